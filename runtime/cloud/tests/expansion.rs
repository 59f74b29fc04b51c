//! Variables in text.

#![cfg(test)]

use std::borrow::Cow;

use proptest::prelude::*;
use silo_cloud::environment::Environment;
use silo_cloud::expansion::{ExpansionError, expand};

fn environment() -> Environment {
    [("HOST", "silo-1"), ("EMPTY", ""), ("_X9", "a${HOST}$$b")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[silo::test]
fn variables_stand_for_what_they_are_set_to() {
    for (text, expanded) in [
        ("", ""),
        ("plain", "plain"),
        ("${HOST}", "silo-1"),
        ("a ${HOST}:${HOST} z", "a silo-1:silo-1 z"),
        ("${HOST:-other}", "silo-1"),
        ("${NONE:-other}", "other"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${NONE:-a:-b{$c}", "a:-b{$c"),
        ("$$", "$"),
        ("$${HOST}", "${HOST}"),
        ("$$$${HOST}", "$${HOST}"),
        ("$$${HOST}", "$silo-1"),
        ("$HOST $ 5$", "$HOST $ 5$"),
        ("}{", "}{"),
        // What is put in is not looked at again.
        ("${_X9}", "a${HOST}$$b"),
    ] {
        assert_eq!(expand(text, &environment()).unwrap(), expanded, "{text}");
    }
}

#[silo::test]
fn what_cannot_be_expanded_is_named() {
    let unset = |name: &str| ExpansionError::Unset {
        name: name.to_owned(),
    };
    let no_name = |name: &str| ExpansionError::Name {
        name: name.to_owned(),
    };
    let nested = |name: &str| ExpansionError::Nested {
        name: name.to_owned(),
    };
    for (text, error) in [
        ("a ${NONE}", unset("NONE")),
        ("${host}", unset("host")),
        ("${HOST", ExpansionError::Open),
        ("${", ExpansionError::Open),
        ("${}", no_name("")),
        ("${9X}", no_name("9X")),
        ("${HOST-x}", no_name("HOST-x")),
        ("${HOST:x}", no_name("HOST:x")),
        ("${ HOST }", no_name(" HOST ")),
        ("${HÖST}", no_name("HÖST")),
        ("${:-x}", no_name("")),
        ("${HOST:-${NONE}}", nested("HOST")),
    ] {
        assert_eq!(expand(text, &environment()), Err(error), "{text}");
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Text in which what matters to an expansion is frequent.
fn text() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just("$".to_owned()),
        Just("${".to_owned()),
        Just("}".to_owned()),
        Just(":-".to_owned()),
        Just("HOST".to_owned()),
        Just("NONE".to_owned()),
        any::<String>(),
    ];
    prop::collection::vec(parts, 0..12).prop_map(|parts| parts.concat())
}

#[silo::test]
fn any_text_is_expanded_or_refused() {
    proptest!(config(), |(text in text())| {
        if let Ok(expanded) = expand(&text, &environment()) {
            // Borrowed means untouched.
            prop_assert!(matches!(expanded, Cow::Owned(_)) || expanded == text);
        }
    });
}

#[silo::test]
fn doubled_signs_stand_for_themselves() {
    proptest!(config(), |(text in text())| {
        let doubled = text.replace('$', "$$");
        prop_assert_eq!(expand(&doubled, &environment()).unwrap(), text);
    });
}

#[silo::test]
fn a_value_is_put_in_as_it_is() {
    proptest!(config(), |(before in "[^$]*", value: String, after in "[^$]*")| {
        let environment: Environment = [("V".to_owned(), value.clone())].into_iter().collect();
        let text = format!("{before}${{V}}{after}");
        let expected = format!("{before}{value}{after}");
        prop_assert_eq!(expand(&text, &environment).unwrap(), expected);
    });
}
