//! What commands are given to read: an argument, a file, standard input, all of it or line by line.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::Diagnostic;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Stdin};
use tokio::time::timeout;

/// The most that one file, or one line, may hold, in bytes: no server takes more in a message.
const BYTES_MAX: u64 = 128 << 20;

/// Nobody waits longer, for a line or for anything else.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is wrong with what was given.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum InputError {
    #[error("cannot read {what}")]
    #[diagnostic(code(silo::input::unreadable))]
    Unreadable {
        what: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{what} is larger than {BYTES_MAX} bytes")]
    #[diagnostic(code(silo::input::too_large))]
    TooLarge { what: String },
    #[error("{what} is not JSON: {why}")]
    #[diagnostic(
        code(silo::input::json),
        help(
            "a text needs quotes within the shell's: '\"text\"'; --msgpack takes bytes as they are"
        )
    )]
    Json { what: String, why: String },
    #[error("{what} is not a job: {why}")]
    #[diagnostic(
        code(silo::input::job),
        help("docs/reference/command-line.md says what a job may have")
    )]
    Job { what: String, why: String },
    #[error("--metadata gives two values to {key}")]
    #[diagnostic(code(silo::input::twice), help("one of them would be lost"))]
    Twice { key: String },
    #[error("standard input is not UTF-8")]
    #[diagnostic(code(silo::input::utf8))]
    Utf8,
}

/// All that a file holds, or standard input for `-`.
///
/// # Errors
///
/// If it cannot be read, or is too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    let what = name(path);
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        let stdin = std::io::stdin().lock();
        stdin
            .take(BYTES_MAX.saturating_add(1))
            .read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path);
        file.and_then(|file| {
            let mut file = file.take(BYTES_MAX.saturating_add(1));
            file.read_to_end(&mut bytes)
        })
    };
    match read {
        Ok(_) if is_too_large(&bytes) => Err(InputError::TooLarge { what }),
        Ok(_) => Ok(bytes),
        Err(cause) => Err(InputError::Unreadable { what, cause }),
    }
}

/// How reports name a file.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        PathBuf::from(path).display().to_string()
    }
}

/// Standard input, line by line.
pub(crate) struct Lines {
    stdin: BufReader<Stdin>,
    line: Vec<u8>,
    number: u64,
}

/// One line of standard input, not empty.
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What comes next.
pub(crate) enum Next {
    Line(Line),
    /// Nothing for now.
    NotYet,
    End,
}

impl Lines {
    pub(crate) fn of_stdin() -> Self {
        Self {
            stdin: BufReader::with_capacity(1 << 16, tokio::io::stdin()),
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line that is not empty, if it comes in time.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is too large.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Next, InputError> {
        match timeout(patience, self.line()).await {
            Ok(Ok(Some(line))) => Ok(Next::Line(line)),
            Ok(Ok(None)) => Ok(Next::End),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(Next::NotYet),
        }
    }

    /// When it is dropped in the middle of a line, what has come of it stays.
    async fn line(&mut self) -> Result<Option<Line>, InputError> {
        loop {
            let have = u64::try_from(self.line.len()).unwrap_or(u64::MAX);
            let room = BYTES_MAX.saturating_add(1).saturating_sub(have);
            let mut stdin = (&mut self.stdin).take(room);
            let read = stdin.read_until(b'\n', &mut self.line).await;
            let what = || format!("line {} of standard input", self.number.saturating_add(1));
            read.map_err(|cause| InputError::Unreadable {
                what: what(),
                cause,
            })?;
            if is_too_large(&self.line) {
                return Err(InputError::TooLarge { what: what() });
            }
            if self.line.is_empty() {
                return Ok(None);
            }
            self.number = self.number.saturating_add(1);
            let bytes = std::mem::take(&mut self.line);
            if !bytes.trim_ascii().is_empty() {
                let number = self.number;
                return Ok(Some(Line { number, bytes }));
            }
        }
    }
}

fn is_too_large(bytes: &[u8]) -> bool {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BYTES_MAX
}
