//! Times and durations as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat};

/// A point in time, in ms since the epoch, as RFC 3339 in UTC; the number if it is too far off.
pub(crate) fn shown(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).map_or_else(
        || ms.to_string(),
        |time| time.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

/// Reads a point in time: RFC 3339, or ms since the epoch.
///
/// # Errors
///
/// A sentence that says so.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let time = DateTime::parse_from_rfc3339(text);
    let time = time.map(|time| time.timestamp_millis());
    time.map_err(|error| {
        format!("neither RFC 3339 (2026-01-31T08:00:00Z) nor ms since 1970: {error}")
    })
}

/// Now, in ms since the epoch.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    millis(now.unwrap_or_default())
}

/// A duration in ms; the longest that there is for what is longer.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The time from one point to another, as people write it.
pub(crate) fn between(from_ms: i64, to_ms: i64) -> String {
    let ms = u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or_default();
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}
