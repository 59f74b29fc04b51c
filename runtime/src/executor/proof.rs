//! Proof that this process still owns the shard, and the question under way.

use silo_core::types::time::{Millis, Uptime};

use crate::executor::form::Form;

/// Since when this process is known to have owned the shard, and what is asked about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    since: Uptime,
    question: Question,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Question {
    None,
    Asked,
    /// The answer came, or failed to: what it is not good enough for gets none.
    Ended,
}

impl Proof {
    /// The shard was opened then, or later.
    pub(crate) const fn since(opened: Uptime) -> Self {
        Self {
            since: opened,
            question: Question::None,
        }
    }

    /// How old the last proof is.
    pub(crate) const fn age(&self, now: Uptime) -> Millis {
        now.since(self.since)
    }

    /// Something proves that this process owned the shard at that time.
    pub(crate) fn good_since(&mut self, since: Uptime) {
        self.since = self.since.max(since);
    }

    /// How old it is, and what is asked.
    pub(crate) fn form(&self, form: &mut Form<'_>) {
        form.age(self.since);
        form.part(&self.question);
    }

    /// Whether to ask for a proof now: not while another question is under way.
    pub(crate) fn ask(&mut self) -> bool {
        let may = self.question == Question::None;
        if may {
            self.question = Question::Asked;
        }
        may
    }

    /// The question has been answered, or cannot be.
    pub(crate) const fn end(&mut self) {
        self.question = Question::Ended;
    }

    /// Whether a question has ended since this was last asked.
    pub(crate) fn take_end(&mut self) -> bool {
        let has_ended = self.question == Question::Ended;
        if has_ended {
            self.question = Question::None;
        }
        has_ended
    }
}
