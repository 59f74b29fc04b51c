//! Text that is never shown, and how it is struck out of what is.

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use silo_runtime::storage::cloud_config::{MASK, may_be_secret};

/// A secret: neither printing nor serialising it shows it.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-secret" = true))]
pub(crate) struct Secret(#[schemars(length(min = 1))] String);

impl Secret {
    /// What it is.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// A file's text with these spans struck out: errors show lines of it, and are kept in logs.
pub(crate) fn without(text: &str, secrets: &[Range<usize>]) -> String {
    let mut shown = text.to_owned();
    for span in secrets {
        if let Some(secret) = shown.get(span.clone()) {
            // As long as before and with the same lines, so that places stay where they are.
            let byte = |byte| if byte == b'\n' { '\n' } else { '*' };
            let stars: String = secret.bytes().map(byte).collect();
            shown.replace_range(span.clone(), &stars);
        }
    }
    shown
}

/// What may be secrets in a text that is no TOML: whatever stands behind a name that sounds so.
pub(crate) fn suspects(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_inclusive('\n')
        .scan(0_usize, |end, line| {
            let start = *end;
            *end = start.saturating_add(line.len());
            let names = line.rsplit_once('=').map_or(line, |(names, _)| names);
            let value = line.find('=').map_or(0, |equals| equals.saturating_add(1));
            let is_suspect = may_be_secret(names);
            let value = start.saturating_add(value)..start.saturating_add(line.trim_end().len());
            Some((is_suspect && !value.is_empty()).then_some(value))
        })
        .flatten()
}
