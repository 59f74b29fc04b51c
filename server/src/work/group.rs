//! A process group that does not outlive its job.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

/// How often a group that is to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The process group that a child leads. Killed when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Group(Pid);

impl Group {
    /// The group of a child that was started as the leader of one.
    ///
    /// # Errors
    ///
    /// If the child has no process id any more.
    pub(crate) fn of(child: &Child) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let gone = || io::Error::other("the command has no process id");
        Ok(Self(Pid::from_raw(id.ok_or_else(gone)?)))
    }

    /// Asks all of it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends all of it, now.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Waits until nobody is left in it, or until then. Its leader must have been waited for.
    pub(crate) async fn is_gone_by(&self, until: Instant) -> bool {
        loop {
            if killpg(self.0, None) == Err(Errno::ESRCH) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn signal(&self, signal: Signal) {
        match killpg(self.0, signal) {
            // Nobody is left: that is what was wanted.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!(group = %self.0, %signal, %error, "cannot be signalled"),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
