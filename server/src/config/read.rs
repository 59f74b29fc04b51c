//! A file's text against the shape of a configuration: every unknown key, every value that cannot
//! stand, every variable that is not set, each with its place.
//!
//! Variables are put into strings once TOML has been understood. What is in the environment can
//! therefore never be taken for TOML, and every mistake is where the file has it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

use serde_json::{Map, Value};
use silo_cloud::environment::Environment;
use silo_cloud::expansion::{ExpansionError, expand};
use silo_runtime::storage::cloud_config::{MASK, may_be_secret};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::config::problem::Mistake;
use crate::config::secret::suspects;
use crate::config::shape::{Bounds, Keys, Kind, Shape, Word};
use crate::config::suggest::nearest;

/// Where in the text which value stands, by dotted names.
pub(crate) type Places = BTreeMap<String, Range<usize>>;

/// What was read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What the file says, with variables put in. Without what is mistaken.
    pub(crate) value: Value,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) places: Places,
    /// Where in the text secrets stand.
    pub(crate) secrets: Vec<Range<usize>>,
}

/// Reads a file's text.
pub(crate) fn read(text: &str, keys: &Keys, environment: &Environment) -> Reading {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        text,
        environment,
        mistakes: Vec::new(),
        places: Places::new(),
        secrets: Vec::new(),
    };
    let value = reader.section(keys, table.get_ref(), &Place::top());
    reader.mistakes.sort_by_key(Mistake::offset);
    if !errors.is_empty() {
        reader.secrets.extend(suspects(text));
        // What could not be understood may be all that is wrong with the rest.
        let mistakes = errors.iter().map(|error| Mistake::Syntax {
            message: error.message().to_owned(),
            at: error.span().map(Into::into),
        });
        reader.mistakes = mistakes.take(SYNTAX_ERRORS_MAX).collect();
    }
    Reading {
        value: Value::Object(value),
        mistakes: reader.mistakes,
        places: reader.places,
        secrets: reader.secrets,
    }
}

/// One mistake makes many: the first ones tell.
const SYNTAX_ERRORS_MAX: usize = 3;
/// Longer values are not repeated in full.
const SHOWN_CHARS_MAX: usize = 60;

/// Where a value stands.
struct Place {
    /// Its dotted name; empty at the top.
    name: String,
    /// Its place in the text.
    span: Range<usize>,
}

impl Place {
    fn top() -> Self {
        Self {
            name: String::new(),
            span: 0..0,
        }
    }

    fn of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Self {
        Self {
            name: self.key(key),
            span: value.span(),
        }
    }

    fn key(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            outer => format!("{outer}.{key}"),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    environment: &'a Environment,
    mistakes: Vec<Mistake>,
    places: Places,
    secrets: Vec<Range<usize>>,
}

impl Reader<'_> {
    fn section(&mut self, keys: &Keys, table: &DeTable<'_>, place: &Place) -> Map<String, Value> {
        let mut read = Map::new();
        for (name, value) in table {
            let (name, at) = (name.get_ref(), name.span());
            let Some(key) = keys.get(name.as_ref()) else {
                self.unknown(name, at, keys, place);
                self.hide(value);
                continue;
            };
            if let Some(value) = self.value(&key.shape, value.get_ref(), &place.of(name, value)) {
                read.insert(name.clone().into_owned(), value);
            }
        }
        let is_there = |name: &String| table.iter().any(|(there, _)| there.get_ref() == name);
        for (name, key) in keys {
            if key.default.is_none() && !is_there(name) {
                let about = match key.about.as_str() {
                    "" => format!("it must be {}", key.shape.wanted()),
                    about => about.to_owned(),
                };
                self.mistakes.push(Mistake::MissingKey {
                    key: place.key(name),
                    help: about,
                    at: Some(place.span.clone().into()),
                });
            }
        }
        read
    }

    fn value(&mut self, shape: &Shape, value: &DeValue<'_>, place: &Place) -> Option<Value> {
        self.places.insert(place.name.clone(), place.span.clone());
        match (shape, value) {
            (Shape::Section(keys), DeValue::Table(table)) => {
                Some(Value::Object(self.section(keys, table, place)))
            }
            (Shape::Kinds { tag, kinds }, DeValue::Table(table)) => {
                let kind = self.kind(tag, kinds, table, place)?;
                Some(Value::Object(self.section(&kind.keys, table, place)))
            }
            (Shape::Texts, DeValue::Table(table)) => Some(Value::Object(self.texts(table, place))),
            (Shape::Wholes(bounds), DeValue::Table(table)) => {
                Some(Value::Object(self.wholes(*bounds, table, place)))
            }
            (Shape::Anything, value) => self.anything(value, place),
            (Shape::Text { is_secret, .. }, value) => {
                if *is_secret {
                    self.secrets.push(place.span.clone());
                }
                self.scalar(shape, value, place)
            }
            (Shape::Address | Shape::Choice(_) | Shape::Whole(_) | Shape::Truth, value) => {
                self.scalar(shape, value, place)
            }
            (Shape::Section(_) | Shape::Kinds { .. } | Shape::Texts | Shape::Wholes(_), value) => {
                self.wrong(
                    shape,
                    source(self.text, value, place),
                    shape.wanted(),
                    place,
                );
                None
            }
        }
    }

    /// Which kind a table says it is.
    fn kind<'k>(
        &mut self,
        tag: &str,
        kinds: &'k [Kind],
        table: &DeTable<'_>,
        place: &Place,
    ) -> Option<&'k Kind> {
        let word = |kind: &Kind| Word {
            name: kind.name.clone(),
            about: kind.about.clone(),
        };
        let choice = Shape::Choice(kinds.iter().map(word).collect());
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == tag) else {
            self.mistakes.push(Mistake::MissingKey {
                key: place.key(tag),
                help: format!("it must be {}", choice.wanted()),
                at: Some(place.span.clone().into()),
            });
            return None;
        };
        let place = place.of(name.get_ref(), value);
        let name = self.scalar(&choice, value.get_ref(), &place)?;
        kinds.iter().find(|kind| name == kind.name.as_str())
    }

    /// A value that is no table.
    fn scalar(&mut self, shape: &Shape, value: &DeValue<'_>, place: &Place) -> Option<Value> {
        let (read, shown) = match value {
            DeValue::String(text) => {
                let expanded = self.expand(text, place)?;
                let is_expanded = matches!(expanded, Cow::Owned(_));
                let shown = Value::from(expanded.as_ref()).to_string();
                (from_text(shape, expanded.as_ref(), is_expanded), shown)
            }
            DeValue::Integer(number) => (
                whole(number).map(Value::from),
                source(self.text, value, place),
            ),
            DeValue::Boolean(truth) => (Some(Value::from(*truth)), truth.to_string()),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                (None, source(self.text, value, place))
            }
        };
        match (shape, read) {
            (Shape::Text { chars_min, .. }, Some(Value::String(text))) => {
                let chars = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
                if chars >= *chars_min {
                    return Some(Value::String(text));
                }
                let wanted = format!("absent, or of at least {chars_min} character");
                self.wrong(shape, "empty".to_owned(), wanted, place);
            }
            (Shape::Address, Some(Value::String(text))) => {
                if text.parse::<SocketAddr>().is_ok() {
                    return Some(Value::String(text));
                }
                self.wrong(shape, shown, shape.wanted(), place);
            }
            (Shape::Choice(words), Some(Value::String(text))) => {
                if words.iter().any(|word| word.name == text) {
                    return Some(Value::String(text));
                }
                let names = words.iter().map(|word| word.name.as_str());
                let near = nearest(&text, names);
                let help = near.map(|near| format!("did you mean \"{near}\"?"));
                self.wrong_with(shape, shown, shape.wanted(), help, place);
            }
            (Shape::Whole(bounds), Some(Value::Number(number))) => {
                if number.as_u64().is_some_and(|number| bounds.allow(number)) {
                    return Some(Value::Number(number));
                }
                let wanted = bounds.text().unwrap_or_else(|| shape.wanted());
                self.wrong(shape, shown, wanted, place);
            }
            (Shape::Truth, Some(Value::Bool(truth))) => return Some(Value::Bool(truth)),
            _ => self.wrong(shape, shown, shape.wanted(), place),
        }
        None
    }

    /// A table of any keys, with text.
    fn texts(&mut self, table: &DeTable<'_>, place: &Place) -> Map<String, Value> {
        let mut texts = Map::new();
        for (name, value) in table {
            let name = name.get_ref();
            let shape = Shape::Text {
                chars_min: 0,
                is_secret: may_be_secret(name),
            };
            if let Some(value) = self.value(&shape, value.get_ref(), &place.of(name, value)) {
                texts.insert(name.clone().into_owned(), value);
            }
        }
        texts
    }

    /// A table of any keys, with whole numbers.
    fn wholes(&mut self, bounds: Bounds, table: &DeTable<'_>, place: &Place) -> Map<String, Value> {
        let shape = Shape::Whole(bounds);
        let mut wholes = Map::new();
        for (name, value) in table {
            let name = name.get_ref();
            if let Some(value) = self.value(&shape, value.get_ref(), &place.of(name, value)) {
                wholes.insert(name.clone().into_owned(), value);
            }
        }
        wholes
    }

    /// A value that is another's to judge.
    fn anything(&mut self, value: &DeValue<'_>, place: &Place) -> Option<Value> {
        let known = match value {
            DeValue::String(text) => Some(Value::from(self.expand(text, place)?)),
            DeValue::Integer(number) => whole(number).map(Value::from).or_else(|| {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                number.ok().map(Value::from)
            }),
            DeValue::Float(number) => {
                let number = number.as_str().parse::<f64>().ok();
                number
                    .and_then(serde_json::Number::from_f64)
                    .map(Value::from)
            }
            DeValue::Boolean(truth) => Some(Value::from(*truth)),
            DeValue::Array(values) => {
                let mut read = Vec::new();
                for (index, value) in values.iter().enumerate() {
                    let place = place.of(&index.to_string(), value);
                    read.push(self.anything(value.get_ref(), &place)?);
                }
                Some(Value::Array(read))
            }
            DeValue::Table(table) => {
                let mut read = Map::new();
                for (name, value) in table {
                    let name = name.get_ref();
                    let place = place.of(name, value);
                    let value = self.anything(value.get_ref(), &place)?;
                    read.insert(name.clone().into_owned(), value);
                }
                Some(Value::Object(read))
            }
            DeValue::Datetime(_) => None,
        };
        if known.is_none() {
            let shown = source(self.text, value, place);
            let wanted = "text, a number, true or false, or a table or list of those".to_owned();
            self.wrong(&Shape::Anything, shown, wanted, place);
        }
        known
    }

    fn expand<'t>(&mut self, text: &'t str, place: &Place) -> Option<Cow<'t, str>> {
        match expand(text, self.environment) {
            Ok(expanded) => Some(expanded),
            Err(cause) => {
                let help = match &cause {
                    ExpansionError::Unset { name } => {
                        format!("set it, or give a default: ${{{name}:-default}}")
                    }
                    ExpansionError::Name { .. }
                    | ExpansionError::Nested { .. }
                    | ExpansionError::Open => {
                        "${NAME} is a variable, ${NAME:-text} one with a default, $$ is a $"
                            .to_owned()
                    }
                };
                self.mistakes.push(Mistake::Variable {
                    key: place.name.clone(),
                    at: self.at_variable(&cause, place).into(),
                    cause,
                    help,
                });
                None
            }
        }
    }

    /// Where the variable stands within its value; all of the value, if it is written with escapes.
    fn at_variable(&self, cause: &ExpansionError, place: &Place) -> Range<usize> {
        let opening = format!("${{{}", cause.name().unwrap_or_default());
        let value = self.text.get(place.span.clone()).unwrap_or_default();
        let Some(offset) = value.find(&opening) else {
            return place.span.clone();
        };
        let start = place.span.start.saturating_add(offset);
        start..start.saturating_add(opening.len())
    }

    fn unknown(&mut self, name: &str, at: Range<usize>, keys: &Keys, place: &Place) {
        let names = || keys.keys().map(String::as_str);
        let help = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        let place = match place.name.as_str() {
            "" => "at the top".to_owned(),
            name => format!("in [{name}]"),
        };
        self.mistakes.push(Mistake::UnknownKey {
            key: name.to_owned(),
            place,
            help,
            at: at.into(),
        });
    }

    /// Strikes out all text in a value of which nobody knows what it is: perhaps a secret whose key
    /// is mistyped.
    fn hide(&mut self, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::String(_) => self.secrets.push(value.span()),
            DeValue::Array(values) => values.iter().for_each(|value| self.hide(value)),
            DeValue::Table(table) => table.iter().for_each(|(_, value)| self.hide(value)),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    fn wrong(&mut self, shape: &Shape, value: String, wanted: String, place: &Place) {
        self.wrong_with(shape, value, wanted, None, place);
    }

    fn wrong_with(
        &mut self,
        shape: &Shape,
        value: String,
        wanted: String,
        help: Option<String>,
        place: &Place,
    ) {
        let is_secret = matches!(
            shape,
            Shape::Text {
                is_secret: true,
                ..
            }
        );
        let is_shown = !is_secret || value == "empty";
        let mut value = if is_shown { value } else { MASK.to_owned() };
        if value.chars().count() > SHOWN_CHARS_MAX {
            value = value.chars().take(SHOWN_CHARS_MAX).chain(['…']).collect();
        }
        self.mistakes.push(Mistake::WrongValue {
            key: place.name.clone(),
            value,
            wanted,
            help,
            at: Some(place.span.clone().into()),
        });
    }
}

/// Text as the value that is wanted: in a file only text can have variables, and what they stand
/// for may be a number.
fn from_text(shape: &Shape, text: &str, is_expanded: bool) -> Option<Value> {
    match shape {
        Shape::Whole(_) if is_expanded => text.parse::<u64>().ok().map(Value::from),
        Shape::Truth if is_expanded => text.parse::<bool>().ok().map(Value::from),
        Shape::Section(_)
        | Shape::Kinds { .. }
        | Shape::Choice(_)
        | Shape::Text { .. }
        | Shape::Address
        | Shape::Whole(_)
        | Shape::Truth
        | Shape::Texts
        | Shape::Wholes(_)
        | Shape::Anything => Some(Value::from(text)),
    }
}

/// A whole number that is not negative.
fn whole(number: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A value as the file has it; for tables, what it is.
fn source(text: &str, value: &DeValue<'_>, place: &Place) -> String {
    match value {
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => text
            .get(place.span.clone())
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}
