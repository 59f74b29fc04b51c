//! The reference page: every key, from the types themselves.

use std::fmt::Write as _;

use serde_json::Value;

use crate::config::shape::{Key, Keys, Kind, Shape};

/// The page, in Markdown, without the last line's end.
pub(crate) fn reference(keys: &Keys) -> String {
    let mut page = Page {
        text: HEAD.to_owned(),
        kinds_told: Vec::new(),
    };
    let mut sections: Vec<(String, &Key)> = Vec::new();
    // The last is taken first.
    sections.extend(keys.iter().rev().map(|(name, key)| (name.clone(), key)));
    while let Some((name, key)) = sections.pop() {
        match &key.shape {
            Shape::Section(keys) => {
                page.section(&name, key, keys);
                let nested = keys.iter().rev().filter(|(_, key)| is_table(&key.shape));
                sections.extend(nested.map(|(inner, key)| (format!("{name}.{inner}"), key)));
            }
            Shape::Kinds { tag, kinds } => page.kinds(&name, key, tag, kinds),
            Shape::Choice(_)
            | Shape::Text { .. }
            | Shape::Address
            | Shape::Whole(_)
            | Shape::Truth
            | Shape::Texts
            | Shape::Wholes(_)
            | Shape::Anything => {}
        }
    }
    page.text.push_str(ENVIRONMENT);
    page.text
}

const HEAD: &str = "\
# Configuration: every key

<!-- Made from the types: `silo config reference > docs/reference/configuration.md`. -->

The [guide](../guides/configuration.md) says how a file is written. Absent keys have their defaults;
a key that is not here is refused. `–` as a default: nothing.
";

const ENVIRONMENT: &str = "
## Environment

The environment is read once, at the start.

| variable | what it is for |
|---|---|
| `SILO_CONFIG` | the file, where no command-line flag names one |
| `RUST_LOG` | what is logged; default: `info`, and `warn` for SlateDB |
| `AWS_…`, `GOOGLE_…`, `AZURE_…` | what the clients of object stores are told, credentials above \
all: see [Where the data is kept](../guides/storage.md) |
| any other | what `${NAME}` in the file stands for |

The flags of each command have variables too; `--help` names them.";

struct Page<'a> {
    text: String,
    /// Tables that are the same in several places are written once.
    kinds_told: Vec<(&'a [Kind], String)>,
}

impl<'a> Page<'a> {
    fn section(&mut self, name: &str, key: &Key, keys: &Keys) {
        let optional = if key.default == Some(Value::Null) {
            " The table may be absent."
        } else {
            ""
        };
        self.line(&format!("\n## `[{name}]`\n\n{}{optional}", key.about));
        self.keys(keys);
    }

    fn kinds(&mut self, name: &str, key: &Key, tag: &str, kinds: &'a [Kind]) {
        self.line(&format!("\n## `[{name}]`\n\n{}", key.about));
        let told = self.kinds_told.iter().find(|(told, _)| *told == kinds);
        if let Some((_, place)) = told {
            let same = format!("\nThe keys are those of `[{place}]`.");
            self.line(&same);
            return;
        }
        self.kinds_told.push((kinds, name.to_owned()));
        self.line(&format!(
            "\n`{tag}` says which kind it is; each has keys of its own."
        ));
        for kind in kinds {
            self.line(&format!(
                "\n### `{tag} = \"{}\"`\n\n{}",
                kind.name, kind.about
            ));
            let mut keys = kind.keys.clone();
            keys.remove(tag);
            self.keys(&keys);
        }
    }

    fn keys(&mut self, keys: &Keys) {
        let leaves = || keys.iter().filter(|(_, key)| !is_table(&key.shape));
        if leaves().next().is_none() {
            return;
        }
        self.line("\n| key | what may stand there | default | |\n|---|---|---|---|");
        for (name, key) in leaves() {
            let (allowed, default) = (allowed(&key.shape), default(key));
            let about = cell(&key.about);
            self.line(&format!("| `{name}` | {allowed} | {default} | {about} |"));
        }
    }

    fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{text}");
    }
}

/// Whether it has a section of its own.
fn is_table(shape: &Shape) -> bool {
    matches!(shape, Shape::Section(_) | Shape::Kinds { .. })
}

fn allowed(shape: &Shape) -> String {
    match shape {
        Shape::Section(_) | Shape::Kinds { .. } | Shape::Anything => "a table".to_owned(),
        Shape::Texts => "a table of texts".to_owned(),
        Shape::Wholes(bounds) => match bounds.text() {
            Some(bounds) => format!("a table of whole numbers, {bounds}"),
            None => "a table of whole numbers".to_owned(),
        },
        Shape::Text {
            is_secret: true, ..
        } => "text, secret".to_owned(),
        Shape::Text { .. } => "text".to_owned(),
        Shape::Address => "IP address and port".to_owned(),
        Shape::Truth => "`true` or `false`".to_owned(),
        Shape::Whole(bounds) => match bounds.text() {
            Some(bounds) => format!("whole number, {bounds}"),
            None => "whole number".to_owned(),
        },
        Shape::Choice(words) => {
            let words = words.iter().map(|word| match word.about.as_str() {
                "" => format!("`\"{}\"`", word.name),
                about => format!("`\"{}\"`: {}", word.name, cell(about)),
            });
            words.collect::<Vec<_>>().join("<br>")
        }
    }
}

fn default(key: &Key) -> String {
    match &key.default {
        None => "**must be set**".to_owned(),
        Some(Value::Null) => "–".to_owned(),
        Some(Value::Object(none)) if none.is_empty() => "–".to_owned(),
        Some(value) => format!("`{}`", cell(&value.to_string())),
    }
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
