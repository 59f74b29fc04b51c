//! The tracing subscriber of one test.

use std::fs::{File, create_dir_all};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tracing::Dispatch;
use tracing::dispatcher::{DefaultGuard, set_default};
use tracing_chrome::{ChromeLayerBuilder, FlushGuard};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// Keeps the lines and spans of one test; when dropped, its trace is complete.
pub(crate) struct Subscriber {
    dispatch: Dispatch,
    _trace: Option<FlushGuard>,
}

/// Why a test has no subscriber.
#[derive(Debug, Error)]
pub(crate) enum SubscriberError {
    #[error("RUST_LOG is not a filter: {0}")]
    Filter(#[from] ParseError),
    #[error("cannot write the trace {}: {error}", .path.display())]
    Trace {
        path: PathBuf,
        error: std::io::Error,
    },
}

impl Subscriber {
    pub(crate) fn new(filter: &str, trace: Option<&Path>) -> Result<Self, SubscriberError> {
        let (traced, guard) = trace
            .map(create)
            .transpose()?
            .map(|file| {
                // The style in which spans lie on the threads they ran on.
                ChromeLayerBuilder::new()
                    .writer(file)
                    .include_args(true)
                    .build()
            })
            .unzip();
        let subscriber = registry()
            .with(EnvFilter::builder().parse(filter)?)
            .with(fmt::layer().with_test_writer())
            .with(traced);
        Ok(Self {
            dispatch: Dispatch::new(subscriber),
            _trace: guard,
        })
    }

    /// Holds on this thread until the guard is dropped.
    pub(crate) fn enter(&self) -> DefaultGuard {
        set_default(&self.dispatch)
    }

    /// For other threads.
    pub(crate) fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }
}

fn create(path: &Path) -> Result<File, SubscriberError> {
    let explain = |error| SubscriberError::Trace {
        path: path.to_owned(),
        error,
    };
    if let Some(folder) = path.parent() {
        create_dir_all(folder).map_err(explain)?;
    }
    File::create(path).map_err(explain)
}
