//! What is seen while the demo runs: a line for each thing that happens and, on a terminal, how
//! many jobs have ended.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::output::{Output, say};

/// Tells what happens, and remembers it.
pub(crate) struct Progress {
    began: Instant,
    output: Output,
    bar: ProgressBar,
    events: Mutex<Vec<Event>>,
}

/// Something that happened.
#[derive(Clone, Serialize)]
pub(crate) struct Event {
    /// When, in milliseconds since the demo began.
    at_ms: u64,
    what: String,
}

impl Progress {
    pub(crate) fn new(output: Output, jobs: u64) -> Self {
        let is_watched = output == Output::Text && std::io::stderr().is_terminal();
        let target = if is_watched {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(jobs), target);
        if let Ok(style) = ProgressStyle::with_template("  {bar:40} {pos} of {len} jobs have ended")
        {
            bar.set_style(style);
        }
        Self {
            began: Instant::now(),
            output,
            bar,
            events: Mutex::default(),
        }
    }

    /// Something happened.
    pub(crate) fn tell(&self, what: impl Into<String>) {
        let what = what.into();
        let at = self.began.elapsed();
        if self.output == Output::Text {
            let line = format!("{:6.2} s  {what}", at.as_secs_f64());
            // Who no longer reads may still want the exit code.
            let _ = self.bar.suspend(|| say(&line));
        }
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Event { at_ms, what });
    }

    /// So many jobs have ended.
    pub(crate) fn ended(&self, jobs: u64) {
        self.bar.set_position(jobs);
    }

    /// All that happened, and how long it took.
    pub(crate) fn finish(&self) -> (Vec<Event>, Duration) {
        self.bar.finish_and_clear();
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        (events.clone(), self.began.elapsed())
    }
}
