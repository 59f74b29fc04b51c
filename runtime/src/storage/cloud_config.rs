//! What an operator can set about object stores in the cloud. The clients for them are in a crate
//! of their own; here they are only described.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// Options that are passed on to the client of an object store by name, such as credentials.
/// Printing them for debugging leaves the values out; writing them as configuration, those that may
/// be secret.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StoreOptions(pub BTreeMap<String, String>);

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Serialize for StoreOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| {
            let is_shown = !may_be_secret(name);
            (name, if is_shown { value.as_str() } else { MASK })
        }))
    }
}

/// What stands for a secret where configuration is shown.
pub const MASK: &str = "***";

/// Whether the value of an option may be a secret. Rather too often than too seldom:
/// `sse_kms_key_id` is none.
#[must_use]
pub fn may_be_secret(option: &str) -> bool {
    const WORDS: [&str; 7] = [
        "key",
        "secret",
        "token",
        "password",
        "credential",
        "sas",
        "signature",
    ];
    let option = option.to_ascii_lowercase();
    WORDS.iter().any(|word| option.contains(word))
}

/// A bucket of Amazon S3, or of a server that speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket. It must exist.
    pub bucket: String,
    /// Folders within the bucket, possibly with `%shard%`.
    #[serde(default)]
    pub prefix: String,
    /// Default: `AWS_REGION` or `AWS_DEFAULT_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// Where the server is, if it is not Amazon's. Default: `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be reached without encryption.
    #[serde(default)]
    pub allow_http: bool,
    /// Anything else that the client knows, by the names of its `AWS_…` variables.
    #[serde(default)]
    pub options: StoreOptions,
}

/// A bucket of Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GcsConfig {
    /// The bucket. It must exist.
    pub bucket: String,
    /// Folders within the bucket, possibly with `%shard%`.
    #[serde(default)]
    pub prefix: String,
    /// The key file of a service account. Default: `GOOGLE_SERVICE_ACCOUNT`, then
    /// `GOOGLE_APPLICATION_CREDENTIALS`, then the machine's own identity.
    pub service_account: Option<PathBuf>,
    /// Where the server is, if it is not Google's.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be reached without encryption.
    #[serde(default)]
    pub allow_http: bool,
    /// Anything else that the client knows, by the names of its `GOOGLE_…` variables.
    #[serde(default)]
    pub options: StoreOptions,
}

/// A container of Azure Blob Storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureConfig {
    /// The container. It must exist.
    pub container: String,
    /// Folders within the container, possibly with `%shard%`.
    #[serde(default)]
    pub prefix: String,
    /// The storage account. Default: `AZURE_STORAGE_ACCOUNT_NAME`.
    pub account: Option<String>,
    /// Where the server is, if it is not Microsoft's.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be reached without encryption.
    #[serde(default)]
    pub allow_http: bool,
    /// Anything else that the client knows, by the names of its `AZURE_…` variables.
    #[serde(default)]
    pub options: StoreOptions,
}

/// Any store that has a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlConfig {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///folder`,
    /// `memory:///`; the path possibly with `%shard%`.
    pub url: String,
    /// What the client of such a store knows, by name; for `file:`, only `fsync`.
    #[serde(default)]
    pub options: StoreOptions,
}
