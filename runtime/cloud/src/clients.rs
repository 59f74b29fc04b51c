//! A client for each cloud.
//!
//! What a client is told, from the weakest to the strongest: the environment, the keys of the
//! configuration, its `options`. An option that the client does not know is refused, as a
//! misspelled one would silently leave data unencrypted or in the wrong place.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use silo_runtime::storage::cloud_config::{AzureConfig, GcsConfig, S3Config, StoreOptions};
use silo_runtime::storage::error::StorageError;
use tokio_rustls::rustls::crypto::ring;

use crate::environment::Environment;

/// How long one request may take; `options.timeout` says otherwise.
const REQUEST_MAX: Duration = Duration::from_secs(20);
/// How long a connection may take to come about; `options.connect_timeout` says otherwise.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Tries after the first. SlateDB, above, tries again as well, so there are few here.
const RETRIES_MAX: usize = 3;
/// After this long a request is not tried again.
const RETRY_TIME_MAX: Duration = Duration::from_secs(20);
/// Waits between tries: doubling from the first to the last.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

const SET_UP: &str = "set up the object store";

/// A client of a cloud, being told what it needs to know.
pub trait Client: Default {
    /// The names of what it can be told.
    type Key: FromStr;
    /// What its variables in the environment begin with.
    const VARIABLES: &'static str;

    /// Tells it something.
    #[must_use]
    fn with(self, key: Self::Key, value: String) -> Self;

    /// What it was told.
    fn told(&self, key: &Self::Key) -> Option<String>;

    /// The keys of where the server is.
    fn endpoints() -> Vec<Self::Key>;

    /// The key of what the client shares with those of other clouds.
    fn shared(key: ClientConfigKey) -> Self::Key;

    /// Tells it its bounds.
    #[must_use]
    fn within(self, options: ClientOptions, retries: RetryConfig) -> Self;

    /// Makes it tell from a URL where the data is.
    #[must_use]
    fn at(self, url: &str) -> Self;

    /// Sets it up.
    ///
    /// # Errors
    /// When it was not told enough, or what contradicts itself.
    fn finish(self) -> object_store::Result<Arc<dyn ObjectStore>>;
}

/// A client for S3.
///
/// # Errors
/// [`StorageError::Invalid`] names what is wrong.
pub fn s3(
    config: &S3Config,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let client = prepared::<AmazonS3Builder>(environment)
        .with_bucket_name(&config.bucket)
        .told_if(AmazonS3ConfigKey::Region, config.region.as_deref())
        .told_if(AmazonS3ConfigKey::Endpoint, config.endpoint.as_deref())
        .http_if(config.allow_http);
    finished(client, &config.options)
}

/// A client for Google Cloud Storage.
///
/// # Errors
/// [`StorageError::Invalid`] names what is wrong.
pub fn gcs(
    config: &GcsConfig,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let key_file = config.service_account.as_deref().map(|path| path.to_str());
    if key_file == Some(None) {
        return Err(invalid("service_account is no text".to_owned()));
    }
    let client = prepared::<GoogleCloudStorageBuilder>(environment)
        .with_bucket_name(&config.bucket)
        .told_if(GoogleConfigKey::ServiceAccount, key_file.flatten())
        .told_if(GoogleConfigKey::BaseUrl, config.endpoint.as_deref())
        .http_if(config.allow_http);
    finished(client, &config.options)
}

/// A client for Azure Blob Storage.
///
/// # Errors
/// [`StorageError::Invalid`] names what is wrong.
pub fn azure(
    config: &AzureConfig,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let client = prepared::<MicrosoftAzureBuilder>(environment)
        .with_container_name(&config.container)
        .told_if(AzureConfigKey::AccountName, config.account.as_deref())
        .told_if(AzureConfigKey::Endpoint, config.endpoint.as_deref())
        .http_if(config.allow_http);
    finished(client, &config.options)
}

/// A client for the store that a URL names.
///
/// # Errors
/// [`StorageError::Invalid`] names what is wrong.
pub fn at<C: Client>(
    url: &str,
    options: &StoreOptions,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    finished(prepared::<C>(environment).at(url), options)
}

/// A client that knows its bounds and the environment.
fn prepared<C: Client>(environment: &Environment) -> C {
    // The clients' TLS takes the implementation that is set for the whole process, and stops the
    // process if there is none. If another was set before, that one is as good.
    let _ = ring::default_provider().install_default();
    let options = ClientOptions::new()
        .with_timeout(REQUEST_MAX)
        .with_connect_timeout(CONNECT_MAX);
    let retries = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: RETRY_WAIT_MIN,
            max_backoff: RETRY_WAIT_MAX,
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
    };
    let client = C::default().within(options, retries);
    // Variables that the client does not know are other programs'.
    environment
        .beginning_with(C::VARIABLES)
        .fold(client, |client, (name, value)| match name.parse() {
            Ok(key) => client.with(key, value.to_owned()),
            Err(_) => client,
        })
}

fn finished<C: Client>(
    client: C,
    options: &StoreOptions,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let mut client = client;
    for (name, value) in &options.0 {
        let key = name.to_ascii_lowercase().parse();
        let key = key.map_err(|_| {
            let known_by = C::VARIABLES.trim_end_matches('_');
            invalid(format!(
                "options.{name}: the {known_by} client has no such option"
            ))
        })?;
        client = client.with(key, value.clone());
    }
    let allows_http = client.told(&C::shared(ClientConfigKey::AllowHttp));
    if allows_http.as_deref() != Some("true")
        && let Some(endpoint) = C::endpoints()
            .iter()
            .filter_map(|key| client.told(key))
            .find(|endpoint| endpoint.starts_with("http://"))
    {
        return Err(invalid(format!(
            "the endpoint {endpoint} is not encrypted: set allow_http = true if that is meant"
        )));
    }
    client.finish().map_err(|error| invalid(error.to_string()))
}

fn invalid(detail: String) -> StorageError {
    StorageError::Invalid {
        operation: SET_UP,
        detail,
    }
}

/// What the configuration may leave out.
trait Told: Client {
    fn told_if(self, key: Self::Key, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(key, value.to_owned()),
            None => self,
        }
    }

    /// Left out, the environment may still allow it.
    fn http_if(self, allow_http: bool) -> Self {
        let value = allow_http.then_some("true");
        self.told_if(Self::shared(ClientConfigKey::AllowHttp), value)
    }
}

impl<C: Client> Told for C {}

impl Client for AmazonS3Builder {
    type Key = AmazonS3ConfigKey;
    const VARIABLES: &'static str = "AWS_";

    fn with(self, key: Self::Key, value: String) -> Self {
        self.with_config(key, value)
    }

    fn told(&self, key: &Self::Key) -> Option<String> {
        self.get_config_value(key)
    }

    fn endpoints() -> Vec<Self::Key> {
        vec![AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint]
    }

    fn shared(key: ClientConfigKey) -> Self::Key {
        AmazonS3ConfigKey::Client(key)
    }

    fn within(self, options: ClientOptions, retries: RetryConfig) -> Self {
        self.with_client_options(options).with_retry(retries)
    }

    fn at(self, url: &str) -> Self {
        self.with_url(url)
    }

    fn finish(self) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(self.build()?))
    }
}

impl Client for GoogleCloudStorageBuilder {
    type Key = GoogleConfigKey;
    const VARIABLES: &'static str = "GOOGLE_";

    fn with(self, key: Self::Key, value: String) -> Self {
        self.with_config(key, value)
    }

    fn told(&self, key: &Self::Key) -> Option<String> {
        self.get_config_value(key)
    }

    fn endpoints() -> Vec<Self::Key> {
        vec![GoogleConfigKey::BaseUrl]
    }

    fn shared(key: ClientConfigKey) -> Self::Key {
        GoogleConfigKey::Client(key)
    }

    fn within(self, options: ClientOptions, retries: RetryConfig) -> Self {
        self.with_client_options(options).with_retry(retries)
    }

    fn at(self, url: &str) -> Self {
        self.with_url(url)
    }

    fn finish(self) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(self.build()?))
    }
}

impl Client for MicrosoftAzureBuilder {
    type Key = AzureConfigKey;
    const VARIABLES: &'static str = "AZURE_";

    fn with(self, key: Self::Key, value: String) -> Self {
        self.with_config(key, value)
    }

    fn told(&self, key: &Self::Key) -> Option<String> {
        self.get_config_value(key)
    }

    fn endpoints() -> Vec<Self::Key> {
        vec![AzureConfigKey::Endpoint]
    }

    fn shared(key: ClientConfigKey) -> Self::Key {
        AzureConfigKey::Client(key)
    }

    fn within(self, options: ClientOptions, retries: RetryConfig) -> Self {
        self.with_client_options(options).with_retry(retries)
    }

    fn at(self, url: &str) -> Self {
        self.with_url(url)
    }

    fn finish(self) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(self.build()?))
    }
}
