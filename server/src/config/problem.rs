//! What can be wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};
use silo_cloud::expansion::ExpansionError;
use thiserror::Error;

/// Why a configuration was refused.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration file {}", path.display())]
    #[diagnostic(
        code(silo::config::unreadable),
        help("check the path and its permissions")
    )]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the configuration file {} has more than {max} bytes", path.display())]
    #[diagnostic(code(silo::config::too_long), help("is it the right file?"))]
    TooLong { path: PathBuf, max: u64 },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Refused(#[from] Refused),
}

/// A file with mistakes; with one, it looks as if it were that.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Without what must not be shown.
    pub(crate) file: NamedSource<String>,
    /// At least one.
    pub(crate) mistakes: Vec<Mistake>,
}

/// Something that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub(crate) enum Mistake {
    #[error("the file is not valid TOML: {message}")]
    #[diagnostic(
        code(silo::config::syntax),
        help("https://toml.io says how it is written")
    )]
    Syntax {
        message: String,
        #[label("here")]
        at: Option<SourceSpan>,
    },
    #[error("there is no key `{key}` {place}")]
    #[diagnostic(code(silo::config::unknown_key))]
    UnknownKey {
        key: String,
        /// Such as `in [server]`.
        place: String,
        #[help]
        help: String,
        #[label("unknown")]
        at: SourceSpan,
    },
    #[error("{key} is missing")]
    #[diagnostic(code(silo::config::missing_key))]
    MissingKey {
        key: String,
        #[help]
        help: String,
        #[label("in this table")]
        at: Option<SourceSpan>,
    },
    #[error("{key} is {value}, but must be {wanted}")]
    #[diagnostic(code(silo::config::wrong_value))]
    WrongValue {
        key: String,
        value: String,
        /// What is allowed.
        wanted: String,
        #[help]
        help: Option<String>,
        #[label("must be {wanted}")]
        at: Option<SourceSpan>,
    },
    #[error("{key}: {cause}")]
    #[diagnostic(code(silo::config::variable))]
    Variable {
        key: String,
        // No source: it is said already.
        cause: ExpansionError,
        #[help]
        help: String,
        #[label("here")]
        at: SourceSpan,
    },
}

impl Mistake {
    /// Where it is in the file; what has no place is last.
    pub(crate) fn offset(&self) -> usize {
        let at = match self {
            Self::UnknownKey { at, .. } | Self::Variable { at, .. } => Some(at),
            Self::Syntax { at, .. } | Self::MissingKey { at, .. } | Self::WrongValue { at, .. } => {
                at.as_ref()
            }
        };
        at.map_or(usize::MAX, SourceSpan::offset)
    }
}

impl Refused {
    /// The one mistake, if it is one.
    fn only(&self) -> Option<&Mistake> {
        match self.mistakes.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.only() {
            Some(mistake) => mistake.fmt(f),
            None => {
                let (count, name) = (self.mistakes.len(), self.file.name());
                write!(f, "there are {count} mistakes in {name}")
            }
        }
    }
}

impl std::error::Error for Refused {}

impl Diagnostic for Refused {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self.only() {
            Some(mistake) => mistake.code(),
            None => Some(Box::new("silo::config::invalid")),
        }
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self.only() {
            Some(mistake) => mistake.help(),
            None => Some(Box::new(
                "`silo config reference` prints every key, with what it may be set to",
            )),
        }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.file)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.only().and_then(Diagnostic::labels)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        let several = self.only().is_none().then_some(&self.mistakes)?;
        Some(Box::new(several.iter().map(|it| it as &dyn Diagnostic)))
    }
}
