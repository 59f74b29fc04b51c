//! The same decisions over a plain, complete map: what the stage must come to, one by one.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::invariants::image::Image;
use silo_core::invariants::{check_all, check_soft, check_step};
use silo_core::shard::command::Command;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::Rows;
use silo_core::shard::{decide, fold};
use silo_core::table::key::Key;
use silo_core::types::entropy::Entropy;
use silo_core::types::time::{Now, Timestamp};
use silo_runtime::executor::trace::Decided;
use silo_runtime::executor::working_set::Round;

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise is broken.
    pub promise: Promise,
    pub detail: String,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The stage decides as a complete map would.
    Equivalence,
    /// What is true of every state of a shard.
    Invariant,
    /// Nothing is said that a crash could take back.
    Durability,
    /// One write, one flush, one proof at a time; rounds in order; batches as storage wants them.
    Protocol,
    /// Answers that depend on nothing undurable are given under a fresh proof of ownership.
    Proof,
    /// Each caller is answered once, in time, and rightly.
    Answered,
    /// Queues stay within their bounds.
    Bounded,
}

pub type Checked = Result<(), Violation>;

pub fn violated(promise: Promise, detail: impl Into<String>) -> Checked {
    Err(Violation {
        promise,
        detail: detail.into(),
    })
}

pub fn check(promise: Promise, holds: bool, detail: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        violated(promise, detail())
    }
}

/// A complete map with everything that was decided, and what it was before.
pub struct Oracle {
    pub rows: Rows,
    pub soft: Soft,
    /// Decisions in order, with the rows before each.
    pub decisions: Vec<(Decided, Before)>,
    pub image: Image,
    /// The latest stamp.
    pub now: Now,
    /// Whether a row was damaged: the invariants then say so.
    pub is_damaged: bool,
    pub invariants_checked: usize,
}

/// The world before a decision. The rows before a round are shared by what it decided.
#[derive(Clone)]
pub struct Before {
    pub soft: Soft,
    pub rows: BTreeMap<Key, Bytes>,
}

impl Oracle {
    pub fn new(rows: BTreeMap<Key, Bytes>) -> Self {
        let rows = Rows { map: rows };
        Self {
            image: Image::read(&rows.map),
            rows,
            now: Now::default(),
            soft: Soft::lost(),
            decisions: Vec::new(),
            is_damaged: false,
            invariants_checked: 0,
        }
    }

    /// Judges the same command over the complete map and compares everything.
    pub fn replay(&mut self, decided: Decided) -> Checked {
        let before = Before {
            soft: self.soft.clone(),
            rows: self.rows.map.clone(),
        };
        let same = decide(&self.soft, &self.rows, &decided.stamp, &decided.command)
            .map_err(|need| format!("{need:?}"));
        check(
            Promise::Equivalence,
            same.as_ref() == Ok(&decided.decision),
            || format!("the stage decided\n{decided:#?}\nand a complete map says\n{same:#?}"),
        )?;
        fold(&mut self.soft, &mut self.rows, &decided.decision);
        // Commands are stamped when they come, and may be decided after later ones.
        let stamped = decided.stamp.now;
        self.now.wall = self.now.wall.max(stamped.wall);
        self.now.uptime = self.now.uptime.max(stamped.uptime);
        let (command, now) = (decided.command.clone(), stamped.wall);
        self.decisions.push((decided, before));
        self.check_invariants(&command, now)
    }

    fn check_invariants(&mut self, command: &Command, now: Timestamp) -> Checked {
        if self.is_damaged {
            return Ok(());
        }
        let image = Image::read(&self.rows.map);
        let mut found = check_all(&image);
        found.extend(check_step(&self.image, &image, Some(command), now));
        found.extend(check_soft(&image, &self.soft, self.now));
        self.image = image;
        self.invariants_checked += 1;
        check(Promise::Invariant, found.is_empty(), || {
            format!("{found:?}")
        })
    }

    /// The final decision on the command with this stamp: where it stands among all, and what it
    /// is.
    pub fn of(&self, entropy: Entropy) -> Option<(usize, &Decided)> {
        let is_it = |(_, (decided, _)): &(usize, &(Decided, Before))| {
            decided.stamp.entropy == entropy && decided.decision.reply != Reply::Again
        };
        let (at, (decided, _)) = self.decisions.iter().enumerate().rev().find(is_it)?;
        Some((at, decided))
    }

    /// How many decisions survive when everything up to `round` does.
    pub fn surviving(&self, round: Round) -> usize {
        let is_lost = |(decided, _): &(Decided, Before)| {
            !decided.decision.changes.is_empty() && decided.round > round
        };
        let first_lost = self.decisions.iter().position(is_lost);
        first_lost.unwrap_or(self.decisions.len())
    }

    /// The rows after the first `count` decisions.
    pub fn rows_after(&self, count: usize) -> &BTreeMap<Key, Bytes> {
        match self.decisions.get(count) {
            Some((_, before)) => &before.rows,
            None => &self.rows.map,
        }
    }

    /// Whether the decision at `at` would have said the same had nothing been decided that a crash
    /// takes back when only the rounds up to `round` are durable.
    pub fn stands_without(&self, at: usize, round: Round) -> Checked {
        let (decided, before) = &self.decisions[at];
        let surviving = self.surviving(round);
        if at < surviving {
            return Ok(());
        }
        check(
            Promise::Durability,
            decided.decision.changes.is_empty(),
            || format!("acknowledged before it was durable: {decided:?}"),
        )?;
        let rows = Rows {
            map: self.rows_after(surviving).clone(),
        };
        let said = decide(&before.soft, &rows, &decided.stamp, &decided.command);
        let same = said.is_ok_and(|said| said.reply == decided.decision.reply);
        check(Promise::Durability, same, || {
            format!("it showed what is not durable: {decided:?}")
        })
    }
}
