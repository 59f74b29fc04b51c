//! SlateDB's own settings, laid over ours by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use slatedb::config::Settings;

use crate::storage::error::StorageError;

/// Settings of SlateDB by their names there: any of them, but for those that would break what Silo
/// promises. Durations are text such as `"250ms"` or `"10s"`, sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SlateDbOverrides(pub Map<String, Value>);

/// Settings that are ours to make, and why.
const OURS: [(&str, &str); 7] = [
    (
        "flush_interval",
        "Silo says when to flush: set [flush] interval_ms",
    ),
    (
        "wal_enabled",
        "without its log a shard would lose acknowledged jobs",
    ),
    (
        "default_ttl_millis",
        "rows that vanish by themselves would leave jobs in pieces",
    ),
    (
        "compression_codec",
        "no compression is built into this program",
    ),
    (
        "compactor_options.worker.compression_codec",
        "no compression is built into this program",
    ),
    (
        "garbage_collector_options.wal_fence_options",
        "a suspended process could write behind a fence that was collected",
    ),
    (
        "garbage_collector_options.boundary_files_enabled",
        "it follows from what the back end can do",
    ),
];

impl SlateDbOverrides {
    /// Lays these settings over `base`.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] names the first setting that SlateDB does not have, that cannot
    /// have this value, or that is Silo's to make.
    pub(crate) fn over(&self, base: Settings) -> Result<Settings, StorageError> {
        let mut settings = base;
        // One by one, so that a value that does not fit is named.
        for (name, value) in self.leaves() {
            let refused = |detail: &dyn std::fmt::Display| {
                StorageError::invalid(SET, format!("database.slatedb.{name}: {detail}"))
            };
            if let Some((_, why)) = OURS.iter().find(|(ours, _)| is_within(&name, ours)) {
                return Err(refused(why));
            }
            let mut json = serde_json::to_value(&settings).map_err(|error| refused(&error))?;
            let Some(place) = find(&mut json, &name) else {
                return Err(refused(&"SlateDB has no such setting"));
            };
            *place = value;
            settings = serde_json::from_value(json).map_err(|error| refused(&error))?;
        }
        Ok(settings)
    }

    /// Every value that is no table, with its dotted name.
    fn leaves(&self) -> Vec<(String, Value)> {
        let mut leaves = Vec::new();
        let mut tables = vec![(String::new(), &self.0)];
        while let Some((prefix, table)) = tables.pop() {
            for (key, value) in table {
                let name = format!("{prefix}{key}");
                if let Value::Object(inner) = value {
                    tables.push((format!("{name}."), inner));
                } else {
                    leaves.push((name, value.clone()));
                }
            }
        }
        leaves
    }
}

const SET: &str = "set up SlateDB";
/// Maps whose keys SlateDB does not list: it would ignore what it does not know.
const SCHEDULER: &str = "compactor_options.scheduler_options";
const SCHEDULER_KEYS: [&str; 4] = [
    "min_compaction_sources",
    "max_compaction_sources",
    "include_size_threshold",
    "sorted_run_consolidation_threshold",
];

/// The place of a setting. Those that exist stand in the serialised settings, set or not.
fn find<'a>(settings: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    if let Some(option) = name.strip_prefix(SCHEDULER)
        && let Some(option) = option.strip_prefix('.')
    {
        if !SCHEDULER_KEYS.contains(&option) {
            return None;
        }
        let options = find(settings, SCHEDULER)?.as_object_mut()?;
        return Some(options.entry(option).or_insert(Value::Null));
    }
    name.split('.')
        .try_fold(settings, |table, key| table.as_object_mut()?.get_mut(key))
}

fn is_within(name: &str, outer: &str) -> bool {
    name.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
