//! From a file to a configuration that can be served.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use miette::NamedSource;
use serde_json::Value;
use silo_cloud::environment::Environment;

use crate::config::Config;
use crate::config::problem::{ConfigError, Mistake, Refused};
use crate::config::read::{Places, Reading, read};
use crate::config::secret::without;
use crate::config::shape;

/// Far more than anybody writes.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Config {
    /// Reads a file, with variables of the environment put in; without one there are only defaults.
    pub(crate) fn load(
        path: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = text_of(path)?;
        let Reading {
            value,
            mut mistakes,
            places,
            secrets,
        } = read(&text, &shape::keys(), environment);
        if mistakes.is_empty() {
            match Self::of(&value) {
                Ok(config) => return Ok(config),
                Err(misfit) => mistakes.push(misfit.at(&places)),
            }
        }
        let name = path.display().to_string();
        let file = NamedSource::new(name, without(&text, &secrets));
        Err(Refused { file, mistakes }.into())
    }

    fn of(value: &Value) -> Result<Self, Misfit> {
        let config: Self = serde_path_to_error::deserialize(value).map_err(|error| Misfit {
            key: error.path().to_string(),
            value: "not understood".to_owned(),
            wanted: format!("right: {}", error.inner()),
            place: error.path().to_string(),
        })?;
        config.fits()?;
        Ok(config)
    }

    /// Checks that what is set in one place fits what is set in another.
    fn fits(&self) -> Result<(), Misfit> {
        let server = &self.server;
        if server.advertised_grpc_addr.is_none() && server.grpc_addr.ip().is_unspecified() {
            return Err(Misfit {
                key: "server.advertised_grpc_addr".to_owned(),
                value: "not set".to_owned(),
                wanted: "set when grpc_addr is a wildcard: clients must be told where to connect"
                    .to_owned(),
                place: "server.grpc_addr".to_owned(),
            });
        }
        self.fairness.weights().map_err(|(key, invalid)| {
            let key = format!("fairness.{key}");
            Misfit {
                place: key.clone(),
                key,
                value: invalid.value,
                wanted: invalid.bound,
            }
        })?;
        self.service.check().map_err(|error| {
            let key = format!("service.{}", error.option);
            Misfit {
                place: key.clone(),
                key,
                value: error.value.to_string(),
                wanted: error.bound,
            }
        })
    }
}

/// A value that is well written, but does not fit.
struct Misfit {
    key: String,
    value: String,
    wanted: String,
    /// The key to point at, if it is in the file.
    place: String,
}

impl Misfit {
    fn at(self, places: &Places) -> Mistake {
        // A key that has its default is pointed at by its table.
        let outer = std::iter::successors(Some(self.place.as_str()), |name| {
            name.rsplit_once('.').map(|(outer, _)| outer)
        });
        let mut found = outer.filter_map(|name| places.get(name));
        Mistake::WrongValue {
            at: found.next().map(|span| span.clone().into()),
            key: self.key,
            value: self.value,
            wanted: self.wanted,
            help: None,
        }
    }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |cause| ConfigError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let more_than_max = FILE_BYTES_MAX.saturating_add(1);
    let bytes = file.take(more_than_max).read_to_string(&mut text);
    if bytes.map_err(unreadable)? > usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX) {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
            max: FILE_BYTES_MAX,
        });
    }
    Ok(text)
}
