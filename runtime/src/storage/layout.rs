//! Where in a store the data of each shard lies.

use std::fmt;

use uuid::Uuid;

/// What an operator writes where the shard's id is to be.
pub const PLACEHOLDER: &str = "%shard%";

/// How paths of shard data are made: a path relative to the store with [`PLACEHOLDER`] in it.
///
/// Everything that belongs to no single shard (the catalog, the marks) stands beside it, so that it
/// is found without knowing any shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(String);

impl Default for Layout {
    fn default() -> Self {
        Self(format!("shards/{PLACEHOLDER}"))
    }
}

/// Why a path cannot say where shards are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct LayoutError {
    /// The path.
    pub path: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl Layout {
    /// Divides a path into the part that all shards share and, if it has a [`PLACEHOLDER`], the
    /// layout below that part. `data/%shard%/rows` becomes `data` and `%shard%/rows`.
    ///
    /// # Errors
    /// [`LayoutError`] if the path has a misspelled placeholder, which would give all shards one
    /// path, or if what follows the shared part is no path.
    pub fn split(path: &str) -> Result<(&str, Option<Self>), LayoutError> {
        let wrong = |fault| LayoutError {
            path: path.to_owned(),
            fault,
        };
        if has_stray_percent(&path.replace(PLACEHOLDER, "")) {
            return Err(wrong("%shard% is the only placeholder there is"));
        }
        let Some((before, _)) = path.split_once(PLACEHOLDER) else {
            return Ok((path, None));
        };
        let shared = before.rfind('/').map_or(0, |slash| slash.saturating_add(1));
        let (shared, layout) = path.split_at_checked(shared).unwrap_or((path, ""));
        let layout = layout.trim_end_matches('/');
        if layout
            .split('/')
            .any(|part| ["", ".", ".."].contains(&part))
        {
            return Err(wrong("the part with %shard% has empty or relative folders"));
        }
        let shared = match shared.strip_suffix('/') {
            Some("") => "/",
            Some(shared) => shared,
            None => shared,
        };
        Ok((shared, Some(Self(layout.to_owned()))))
    }

    /// A path that no database has had before, below the shard's own.
    pub(crate) fn fresh_path(&self, shard_id: Uuid) -> String {
        let shard = self.0.replace(PLACEHOLDER, &shard_id.to_string());
        format!("{shard}/{}", Uuid::new_v4().simple())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether there is a percent sign that does not begin an encoded byte, as in `%20`.
fn has_stray_percent(path: &str) -> bool {
    path.split('%').skip(1).any(|after| {
        let mut digits = after.bytes().take(2);
        let is_hex = |digit: Option<u8>| digit.is_some_and(|digit| digit.is_ascii_hexdigit());
        !(is_hex(digits.next()) && is_hex(digits.next()))
    })
}
