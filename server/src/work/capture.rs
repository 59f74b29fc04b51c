//! What a command prints, within bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::work::progress::say_aside;

/// A longer line of standard error is passed on in parts, in bytes.
const LINE_MAX: usize = 8 << 10;
/// How much of the end of standard error is kept, in bytes.
const TAIL_MAX: usize = 8 << 10;
/// How long a pipe may stay open after the command and its group have gone: whoever has it then is
/// in a group of its own.
const OPEN_MAX: Duration = Duration::from_millis(500);

/// What was printed so far. It is read on until the pipe is closed, whatever is kept of it.
pub(crate) struct Capture<T> {
    kept: Arc<Mutex<T>>,
    reading: AbortOnDropHandle<()>,
}

/// Takes what is read.
pub(crate) trait Keep: Send + 'static {
    fn take(&mut self, bytes: &[u8]);
    /// There is no more.
    fn finish(&mut self) {}
}

impl<T: Keep + Default> Capture<T> {
    pub(crate) fn begin(pipe: Option<impl AsyncRead + Send + Unpin + 'static>, keep: T) -> Self {
        let kept = Arc::new(Mutex::new(keep));
        let keeping = Arc::clone(&kept);
        let reading = tokio::spawn(async move {
            let Some(mut pipe) = pipe else { return };
            let mut buffer = vec![0; 16 << 10];
            while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
                let bytes = buffer.get(..length).unwrap_or_default();
                keeping
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(bytes);
            }
        });
        Self {
            kept,
            reading: AbortOnDropHandle::new(reading),
        }
    }

    /// What was printed, once the command has gone.
    pub(crate) async fn end(self) -> T {
        let _ = timeout(OPEN_MAX, self.reading).await;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = std::mem::take(&mut *kept);
        kept.finish();
        kept
    }
}

/// Standard output, as long as it is not too much.
#[derive(Debug, Default)]
pub(crate) struct Printed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) bytes_max: usize,
    /// There was more than that.
    pub(crate) is_too_much: bool,
}

impl Keep for Printed {
    fn take(&mut self, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        self.is_too_much |= bytes.len() > room;
        self.bytes.extend(bytes.iter().take(room));
    }
}

/// Standard error: passed on line by line behind the job's id, and its end kept.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    job: String,
    line: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Complaints {
    pub(crate) fn of(job: &str) -> Self {
        Self {
            job: job.to_owned(),
            ..Self::default()
        }
    }

    /// The end of what was said.
    pub(crate) fn tail(&self) -> String {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    fn pass_on(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        say_aside(&format!("[{}] {}", self.job, line.trim_end()));
        self.line.clear();
    }
}

impl Keep for Complaints {
    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.pass_on();
            } else {
                self.line.push(byte);
                if self.line.len() >= LINE_MAX {
                    self.pass_on();
                }
            }
            if self.tail.len() >= TAIL_MAX {
                self.tail.pop_front();
            }
            self.tail.push_back(byte);
        }
    }

    fn finish(&mut self) {
        if !self.line.is_empty() {
            self.pass_on();
        }
    }
}
