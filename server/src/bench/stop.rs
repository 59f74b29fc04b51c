//! Why a benchmark ends before its time: a signal, or the time that all may take together.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Why a benchmark ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Ctrl-c, or SIGTERM.
    Interrupted,
    /// All together took too long.
    Time,
    /// Too much went wrong.
    Faults,
}

/// The word to stop. Clones are the same word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    at_once: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

impl Stop {
    /// Listens for signals. The first asks to show what was measured, the second to be gone.
    ///
    /// # Errors
    /// If the system does not let it.
    pub(crate) fn listen(total: Option<Duration>) -> std::io::Result<Self> {
        let stop = Self::default();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let told = stop.clone();
        tokio::spawn(async move {
            for is_first in [true, false] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if is_first {
                    told.now(Reason::Interrupted);
                }
            }
            told.at_once.cancel();
        });
        if let Some(total) = total {
            let told = stop.clone();
            tokio::spawn(async move {
                sleep(total).await;
                told.now(Reason::Time);
            });
        }
        Ok(stop)
    }

    /// Gives the word.
    pub(crate) fn now(&self, reason: Reason) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits for the word.
    pub(crate) async fn over(&self) {
        self.token.cancelled().await;
    }

    /// Waits for the second signal.
    pub(crate) async fn at_once(&self) {
        self.at_once.cancelled().await;
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }
}
