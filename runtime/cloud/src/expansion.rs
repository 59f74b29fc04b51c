//! `${VARIABLES}` in text: what the environment says, put where its name stands.
//!
//! `${NAME}` stands for the variable, `${NAME:-default}` for the variable or, if that is not set or
//! empty, for the default. `$$` stands for `$`. A `$` before anything else stands for itself. What
//! is put in is not looked at again.

use std::borrow::Cow;

use thiserror::Error;

use crate::environment::Environment;

/// Why text could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExpansionError {
    /// A variable without a default is not set.
    #[error("the environment variable {name} is not set")]
    Unset {
        /// The variable's name.
        name: String,
    },
    /// What stands between the braces is no name.
    #[error(
        "`{name}` is no name of a variable: those have letters, digits and _, and no digit first"
    )]
    Name {
        /// What stands there.
        name: String,
    },
    /// A default with a variable in it.
    #[error("the default of {name} has a variable in it: only plain text can stand there")]
    Nested {
        /// The variable whose default it is.
        name: String,
    },
    /// A brace that is not closed.
    #[error("`${{` without a closing `}}`; write `$${{` for the text itself")]
    Open,
}

impl ExpansionError {
    /// The variable that it is about, if it has a name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Unset { name } | Self::Name { name } | Self::Nested { name } => Some(name),
            Self::Open => None,
        }
    }
}

/// Puts variables into `text`. Borrowed if there was nothing to do.
///
/// # Errors
/// The first variable that has no value, or what is no variable.
pub fn expand<'a>(
    text: &'a str,
    environment: &Environment,
) -> Result<Cow<'a, str>, ExpansionError> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let (inside, after) = after.split_once('}').ok_or(ExpansionError::Open)?;
            expanded.push_str(value_of(inside, environment)?);
            after
        } else {
            expanded.push('$');
            after
        };
    }
    if expanded.is_empty() && rest.len() == text.len() {
        return Ok(Cow::Borrowed(text));
    }
    expanded.push_str(rest);
    Ok(Cow::Owned(expanded))
}

/// The value of what stands between braces.
fn value_of<'a>(inside: &'a str, environment: &'a Environment) -> Result<&'a str, ExpansionError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        let name = name.to_owned();
        return Err(ExpansionError::Name { name });
    }
    if default.is_some_and(|default| default.contains("${")) {
        let name = name.to_owned();
        return Err(ExpansionError::Nested { name });
    }
    let value = environment.get(name);
    match default {
        Some(default) => Ok(value.filter(|value| !value.is_empty()).unwrap_or(default)),
        None => value.ok_or_else(|| ExpansionError::Unset {
            name: name.to_owned(),
        }),
    }
}

fn is_name(name: &str) -> bool {
    let begins_well = name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic());
    begins_well && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}
