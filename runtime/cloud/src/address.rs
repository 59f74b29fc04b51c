//! Stores named by a URL.

use object_store::ObjectStoreScheme;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use silo_runtime::storage::cloud_config::{StoreOptions, UrlConfig};
use silo_runtime::storage::config::BackendConfig;
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::layout::{Layout, PLACEHOLDER};
use url::Url;

use crate::clients;
use crate::environment::Environment;
use crate::open::{Located, invalid};

/// What a URL names.
#[derive(Debug)]
pub enum Named {
    /// Files: always [`BackendConfig::Fs`].
    Files(BackendConfig),
    /// Memory of this process, with shards where the URL says.
    Memory(Option<Layout>),
    /// A client, and where the data begins.
    There(Located),
}

/// Says what a URL names; sets up a client, if that takes one.
///
/// # Errors
/// [`StorageError::Invalid`] names what is wrong with the URL or its options.
pub fn named(config: &UrlConfig, environment: &Environment) -> Result<Named, StorageError> {
    let wrong = |fault: String| invalid(format!("{}: {fault}", config.url));
    let (shared, layout) =
        Layout::split(&config.url).map_err(|error| invalid(error.to_string()))?;
    let url = Url::parse(shared).map_err(|error| wrong(error.to_string()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "put options into `options`, not into the URL".to_owned(),
        ));
    }
    if !url.username().is_empty() && url.password().is_some() {
        return Err(wrong(
            "put credentials into `options` or the environment".to_owned(),
        ));
    }
    let (scheme, prefix) =
        ObjectStoreScheme::parse(&url).map_err(|error| wrong(error.to_string()))?;
    let options = &config.options;
    let text = url.as_str();
    let client = match scheme {
        ObjectStoreScheme::Local => {
            let path = url.to_file_path();
            let path = path.map_err(|()| wrong("is no path on this machine".to_owned()))?;
            let path = match &layout {
                Some(layout) => path.join(layout.to_string()),
                None => path,
            };
            let fsync = fsync(options).map_err(wrong)?;
            return Ok(Named::Files(BackendConfig::Fs { path, fsync }));
        }
        ObjectStoreScheme::Memory => return Ok(Named::Memory(layout)),
        ObjectStoreScheme::AmazonS3 => clients::at::<AmazonS3Builder>(text, options, environment)?,
        ObjectStoreScheme::GoogleCloudStorage => {
            clients::at::<GoogleCloudStorageBuilder>(text, options, environment)?
        }
        ObjectStoreScheme::MicrosoftAzure => {
            clients::at::<MicrosoftAzureBuilder>(text, options, environment)?
        }
        ObjectStoreScheme::Http | _ => {
            return Err(wrong(format!(
                "only file, memory, s3, gs and az can be used; for another server that speaks the \
                 protocol of S3 use kind = \"s3\" with its endpoint (and {PLACEHOLDER} in prefix)"
            )));
        }
    };
    Ok(Named::There(Located {
        client,
        prefix,
        layout,
    }))
}

/// The one option of files.
fn fsync(options: &StoreOptions) -> Result<bool, String> {
    let mut fsync = true;
    for (name, value) in &options.0 {
        fsync = match (name.as_str(), value.as_str()) {
            ("fsync", "true") => true,
            ("fsync", "false") => false,
            ("fsync", _) => return Err("options.fsync must be \"true\" or \"false\"".to_owned()),
            _ => return Err(format!("options.{name}: files have only the option fsync")),
        };
    }
    Ok(fsync)
}
