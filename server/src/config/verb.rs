//! `silo config`: what a file says, without serving it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::IntoDiagnostic as _;
use serde::Serialize;
use serde_json::{Map, Value};
use silo_cloud::environment::Environment;
use silo_runtime::storage::cloud_config::MASK;

use crate::config::Config;
use crate::config::plan::Plan;
use crate::config::reference::reference;
use crate::config::shape;
use crate::exit::Exit;
use crate::output::{Output, Show};
use crate::serve::ServeError;

/// Look at a configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Say whether a server would start with this file, and what it would do. No store is asked.
    Check(Of),
    /// Print what holds: the file with variables put in, over the defaults. Secrets are `***`.
    Show(Of),
    /// Print every key, with what it may be set to, in Markdown; as JSON, the file's JSON Schema.
    Reference,
}

#[derive(Debug, Args)]
struct Of {
    /// The configuration file. Without one: the defaults.
    #[arg(value_name = "FILE", env = "SILO_CONFIG")]
    file: Option<PathBuf>,
}

impl Of {
    /// `silo -c FILE config check` is understood too.
    fn file<'a>(&'a self, outer: Option<&'a Path>) -> Option<&'a Path> {
        self.file.as_deref().or(outer)
    }
}

/// Runs `silo config`.
pub(crate) fn run(
    args: &ConfigArgs,
    outer: Option<&Path>,
    environment: &Environment,
    output: Output,
) -> miette::Result<ExitCode> {
    match &args.verb {
        ConfigVerb::Check(of) => {
            let config = Config::load(of.file(outer), environment)?;
            check(&config, environment)?;
            let file = of.file(outer).map(|file| file.display().to_string());
            output.show(&Plan::new(&config, file))?;
        }
        ConfigVerb::Show(of) => {
            let config = Config::load(of.file(outer), environment)?;
            output.show(&Effective::new(&config)?)?;
        }
        ConfigVerb::Reference => output.show(&Reference(shape::schema()))?,
    }
    Ok(Exit::Done.into())
}

/// What a start would refuse, but for what only a store or the network can tell.
fn check(config: &Config, environment: &Environment) -> Result<(), ServeError> {
    if let Some(tls) = &config.server.tls {
        tls.load().map_err(ServeError::Tls)?;
    }
    silo_cloud::open::check(&config.database, environment).map_err(ServeError::Storage)
}

/// What holds.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Effective {
    config: Value,
    #[serde(skip)]
    toml: String,
}

impl Effective {
    fn new(config: &Config) -> miette::Result<Self> {
        let mut config = serde_json::to_value(config).into_diagnostic()?;
        hide_credentials(&mut config);
        let mut set = config.clone();
        drop_unset(&mut set);
        let toml = toml::to_string(&set).into_diagnostic()?;
        Ok(Self { config, toml })
    }
}

impl Show for Effective {
    fn text(&self) -> String {
        self.toml.trim_end().to_owned()
    }
}

/// Strikes out what stands before the `@` of URLs. Secrets that have a key of their own are struck
/// out already.
fn hide_credentials(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((scheme, rest)) = text.split_once("://")
                && let Some((_, host)) = rest.split_once('@')
            {
                *text = format!("{scheme}://{MASK}@{host}");
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide_credentials),
        Value::Object(values) => values.values_mut().for_each(hide_credentials),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// TOML has no word for it; and what has nothing in it says nothing.
fn drop_unset(value: &mut Value) {
    if let Value::Object(values) = value {
        values.values_mut().for_each(drop_unset);
        let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        values.retain(|_, value| !value.is_null() && !is_empty(value));
    }
}

/// The page on every key; as JSON, the schema.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Reference(Value);

impl Show for Reference {
    fn text(&self) -> String {
        reference(&shape::keys())
    }
}
