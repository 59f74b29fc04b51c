//! The words of the domain as types. Every constructor checks its bounds, so a value that exists is
//! a value that is allowed ("parse, don't validate").
//!
//! * [`time`]: instants and durations in milliseconds
//! * [`name`]: job ids, task groups, worker ids, keys of limits, priorities
//! * [`limit`]: what must have room before a job runs
//! * [`tenant`]: a tenant and its place in the hash space
//! * [`task`]: the id of one leased attempt
//! * [`retry`]: retry policy and the arithmetic of back-off
//! * [`retention`]: how long a job is kept once it has ended
//! * [`data`]: payloads, results and error data
//! * [`weight`]: how much of the workers a tenant gets beside others
//! * [`entropy`]: what is drawn from a command's stamp

pub mod data;
pub mod entropy;
pub mod limit;
pub mod name;
pub mod retention;
pub mod retry;
pub mod task;
pub mod tenant;
pub mod time;
pub mod weight;

/// A value outside its bounds. The sentence names the field, the value and the bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but must be {bound}")]
pub struct Invalid {
    /// The field, by its name on the wire.
    pub field: &'static str,
    /// The value as given, shortened.
    pub value: String,
    /// What is allowed.
    pub bound: String,
}

impl Invalid {
    /// Longest part of a refused value that is repeated in the error, in characters.
    const VALUE_CHARS_MAX: usize = 64;

    /// Says that `field` may not be `value`, because it must be `bound`.
    pub fn new(
        field: &'static str,
        value: impl std::fmt::Display,
        bound: impl Into<String>,
    ) -> Self {
        let full = value.to_string();
        let mut value: String = full.chars().take(Self::VALUE_CHARS_MAX).collect();
        if value.len() < full.len() {
            value.push('…');
        }
        Self {
            field,
            value,
            bound: bound.into(),
        }
    }
}
