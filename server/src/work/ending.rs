//! What an exit code says about the job.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use rmpv::Value;
use silo_runtime::client::task::{Outcome, Retry};
use silo_runtime::worker::job::StopCause;

use crate::data::{from_printed, packed};

/// `EX_TEMPFAIL` of sysexits.h: the job comes back later, and no retry is used up.
const LATER: i32 = 75;
/// `EX_DATAERR` of sysexits.h: the job fails for good, whatever its retry policy says.
const FOR_GOOD: i32 = 65;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// Why it was stopped, if it was.
    pub(crate) stopped: Option<Stopped>,
    pub(crate) took: Duration,
}

/// Why a command was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    ByWorker(StopCause),
    Timeout,
}

/// What a command left behind.
pub(crate) struct Left {
    pub(crate) status: ExitStatus,
    pub(crate) stopped: Option<Stopped>,
    pub(crate) printed: Vec<u8>,
    pub(crate) printed_too_much: bool,
    /// The end of standard error.
    pub(crate) complaints: String,
}

impl Left {
    /// What is reported. A command that ended with 0 has done its work, also when it was told to
    /// stop.
    pub(crate) fn outcome(self, snooze: Duration) -> Outcome {
        let code = self.status.code();
        match (code, self.stopped) {
            (Some(0), _) if self.printed_too_much => self.failure(
                "RESULT_TOO_LARGE",
                "the command printed too much",
                Retry::AsPolicy,
            ),
            (Some(0), _) => Outcome::Success(from_printed(&self.printed)),
            (_, Some(Stopped::Timeout)) => {
                self.failure("TIMEOUT", "the command took too long", Retry::AsPolicy)
            }
            (_, Some(Stopped::ByWorker(StopCause::Cancelled))) => Outcome::Cancelled,
            (_, Some(Stopped::ByWorker(StopCause::LeaseLost | StopCause::Shutdown))) => {
                Outcome::Release
            }
            (Some(LATER), None) => Outcome::Snooze(snooze),
            (Some(code), None) => {
                let retry = if code == FOR_GOOD {
                    Retry::Never
                } else {
                    Retry::AsPolicy
                };
                let message = format!("the command ended with {code}");
                self.failure(&format!("EXIT_{code}"), &message, retry)
            }
            (None, None) => {
                let name = name_of_signal(self.status.signal());
                let message = format!("the command was ended by SIG{name}");
                self.failure(&format!("SIGNAL_{name}"), &message, Retry::AsPolicy)
            }
        }
    }

    fn failure(&self, code: &str, message: &str, retry: Retry) -> Outcome {
        let data = [("message", message), ("stderr", &self.complaints)];
        let pairs = data.map(|(name, text)| (Value::from(name), Value::from(text)));
        Outcome::Failure {
            code: code.to_owned(),
            data: packed(&Value::Map(pairs.into())),
            retry,
        }
    }
}

/// What is reported of a command that could not be started.
pub(crate) fn not_started(error: &std::io::Error) -> Outcome {
    let message = format!("the command could not be started: {error}");
    let pair = (Value::from("message"), Value::from(message));
    Outcome::failure("NOT_STARTED", packed(&Value::Map(vec![pair])))
}

/// `KILL` for SIGKILL; the number for one without a name.
fn name_of_signal(number: Option<i32>) -> String {
    let number = number.unwrap_or_default();
    let signal = Signal::try_from(number).ok().map(Signal::as_str);
    let name = signal.map(|name| name.trim_start_matches("SIG").to_owned());
    name.unwrap_or_else(|| number.to_string())
}
