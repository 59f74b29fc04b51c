//! Which keys a configuration file may have, and what is known of each. It is read from the JSON
//! Schema of the types, so that there is nothing to keep equal.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::Config;

/// The keys of one section by their names.
pub(crate) type Keys = BTreeMap<String, Key>;

/// One key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// What it is for, in Markdown.
    pub(crate) about: String,
    /// What holds without it. None: it must be there. Null: nothing.
    pub(crate) default: Option<Value>,
    /// What it may be set to.
    pub(crate) shape: Shape,
}

/// What may stand for a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// A table with these keys.
    Section(Keys),
    /// A table of one of several kinds, each with its own keys.
    Kinds {
        /// The key that says which.
        tag: String,
        kinds: Vec<Kind>,
    },
    /// One of these words.
    Choice(Vec<Word>),
    Text {
        chars_min: u64,
        is_secret: bool,
    },
    /// Of a socket: IP and port.
    Address,
    Whole(Bounds),
    Truth,
    /// A table of any keys, with text.
    Texts,
    /// A table of any keys, with whole numbers.
    Wholes(Bounds),
    /// A table of anything; whoever it is for checks it.
    Anything,
}

/// One kind of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) keys: Keys,
}

/// One of several words, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    pub(crate) name: String,
    pub(crate) about: String,
}

/// What is allowed for a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) min: u64,
    pub(crate) max: u64,
    /// Whether 0 is allowed besides.
    pub(crate) or_zero: bool,
}

impl Bounds {
    /// Whether it is allowed.
    pub(crate) fn allow(self, number: u64) -> bool {
        (self.min..=self.max).contains(&number) || (self.or_zero && number == 0)
    }

    /// For people. None: whatever fits.
    pub(crate) fn text(self) -> Option<String> {
        let Self { min, max, .. } = self;
        // What a type holds anyway is no bound that anybody set.
        let is_bounded = ![u64::MAX, u32::MAX.into()].contains(&max);
        let text = match (min, is_bounded) {
            (0, false) => return None,
            (_, true) => format!("{min} to {max}"),
            (_, false) => format!("at least {min}"),
        };
        Some(if self.or_zero { text + ", or 0" } else { text })
    }
}

impl Shape {
    /// What is allowed, for people.
    pub(crate) fn wanted(&self) -> String {
        match self {
            Self::Section(_) | Self::Kinds { .. } | Self::Anything => "a table".to_owned(),
            Self::Texts => "a table of texts".to_owned(),
            Self::Wholes(_) => "a table of whole numbers".to_owned(),
            Self::Text { .. } => "text, in quotes".to_owned(),
            Self::Address => {
                "an IP address with a port, in quotes, such as \"127.0.0.1:7450\"".to_owned()
            }
            Self::Truth => "true or false".to_owned(),
            Self::Whole(bounds) => match bounds.text() {
                Some(bounds) => format!("a whole number, {bounds}"),
                None if bounds.max < u64::MAX => format!("a whole number, 0 to {}", bounds.max),
                None => "a whole number, not negative".to_owned(),
            },
            Self::Choice(words) => {
                let quoted = words.iter().map(|word| format!("\"{}\"", word.name));
                let quoted: Vec<_> = quoted.collect();
                match quoted.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => "nothing".to_owned(),
                }
            }
        }
    }
}

/// The JSON Schema of a configuration file.
pub(crate) fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
}

/// The keys of a configuration file.
pub(crate) fn keys() -> Keys {
    keys_of(&schema())
}

fn keys_of(object: &Value) -> Keys {
    let required = list(object, "required");
    let is_required = |name: &str| required.iter().any(|required| *required == name);
    let named = object.get("properties").and_then(Value::as_object);
    named
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let default = schema.get("default").cloned().unwrap_or_default();
            let key = Key {
                about: about(schema),
                default: (!is_required(name)).then_some(default),
                shape: shape_of(schema),
            };
            (name.clone(), key)
        })
        .collect()
}

fn shape_of(schema: &Value) -> Shape {
    let kinds = list(schema, "oneOf");
    if let Some((tag, kinds)) = kinds_of(kinds) {
        return Shape::Kinds { tag, kinds };
    }
    let words: Vec<_> = kinds.iter().filter_map(word).collect();
    if !words.is_empty() {
        return Shape::Choice(words);
    }
    if let Some(word) = word(schema) {
        return Shape::Choice(vec![word]);
    }
    let number = |name| schema.get(name).and_then(Value::as_u64);
    let text = |name| schema.get(name).and_then(Value::as_str);
    let is_marked = |name| schema.get(name) == Some(&Value::Bool(true));
    match type_of(schema) {
        "string" if text("format") == Some("socket-address") => Shape::Address,
        "string" => Shape::Text {
            chars_min: number("minLength").unwrap_or(0),
            is_secret: is_marked("x-secret"),
        },
        "integer" => {
            let is_small = text("format") == Some("uint32");
            let fits = if is_small { u32::MAX.into() } else { u64::MAX };
            let ranges = list(schema, "anyOf");
            let or_zero = ranges
                .iter()
                .any(|range| range.get("const") == Some(&0.into()));
            let range = ranges.iter().find(|range| range.get("minimum").is_some());
            let bound = |name| range.unwrap_or(schema).get(name).and_then(Value::as_u64);
            Shape::Whole(Bounds {
                min: bound("minimum").unwrap_or(0),
                max: bound("maximum").unwrap_or(fits),
                or_zero,
            })
        }
        "boolean" => Shape::Truth,
        _ if schema.get("properties").is_some() => Shape::Section(keys_of(schema)),
        _ if schema.get("additionalProperties").map(type_of) == Some("string") => Shape::Texts,
        _ => match schema.get("additionalProperties").map(shape_of) {
            Some(Shape::Whole(bounds)) => Shape::Wholes(bounds),
            Some(_) | None => Shape::Anything,
        },
    }
}

/// The kinds of a tagged table: each has one key that can only be its name.
fn kinds_of(schemas: &[Value]) -> Option<(String, Vec<Kind>)> {
    let mut found_tag = None;
    let mut kinds = Vec::new();
    for schema in schemas {
        let keys = schema.get("properties").and_then(Value::as_object)?;
        let tags = keys
            .iter()
            .find_map(|(key, value)| Some((key, word(value)?)));
        let (tag, Word { name, .. }) = tags?;
        found_tag = Some(tag.clone());
        kinds.push(Kind {
            name,
            about: about(schema),
            keys: keys_of(schema),
        });
    }
    Some((found_tag?, kinds))
}

fn word(schema: &Value) -> Option<Word> {
    let name = schema.get("const")?.as_str()?.to_owned();
    let about = about(schema);
    Some(Word { name, about })
}

/// What it is besides null.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::Array(types)) => types
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null")
            .unwrap_or_default(),
        Some(Value::String(name)) => name,
        _ => "",
    }
}

fn about(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    let words = text.unwrap_or_default().split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    let list = schema.get(name).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}
