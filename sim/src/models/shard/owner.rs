//! A process that owns the shard, or did: its stage, what it must come to, and what is under way
//! between it and storage.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::reply::Reply;
use silo_core::shard::view::{NeedItem, Rows};
use silo_core::shard::{decide, fold};
use silo_core::types::entropy::Entropy;
use silo_core::types::retention::Retention;
use silo_core::types::time::{Millis, Uptime};
use silo_runtime::executor::limits::StageLimits;
use silo_runtime::executor::loads::LoadId;
use silo_runtime::executor::output::{Loaded, Output};
use silo_runtime::executor::replies::Answer;
use silo_runtime::executor::stage::Stage;
use silo_runtime::executor::working_set::{Forgettable, Generation, Round};

use crate::models::shard::store::{Object, Shelf, Taken, digest, write};
use crate::models::shard::{Call, WINDOW, at};
use crate::world::handle::read;

/// A call that has no answer yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What was asked.
    pub command: Arc<Command>,
    /// What it came to, once that is decided.
    pub judged: Option<Arc<Judged>>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Judged {
    /// What is to be said.
    pub reply: Reply,
    digest: u64,
    /// What it was judged with.
    pub stamp: Stamp,
    /// Whether it changed anything.
    pub has_changes: bool,
    /// Decisions that changed something, up to it.
    pub decided: u32,
}

/// Where a flush stands that the stage has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flush {
    /// None is.
    None,
    /// An object was under way: it needs one of its own.
    Waits,
    /// The object under way is its own.
    Goes,
    /// It has ended, and the stage does not know.
    Ended,
}

/// A question for a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// When it was asked, in steps of the clock.
    pub asked_at: u8,
    /// What was read: whether the shard is this process's still.
    pub is_ours: Option<bool>,
}

/// Rows that are being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its name.
    pub id: LoadId,
    /// Of what.
    pub item: NeedItem,
    /// What was there when it began.
    pub early: Loaded,
}

/// A batch that storage takes in.
#[derive(Clone, Debug)]
pub struct Writing {
    /// What.
    pub taken: Arc<Taken>,
    /// Whether it is there, and the stage does not know.
    pub is_applied: bool,
}

/// What is in one hand at a time, though the checker wants to share it: a stage marks what it
/// reads, in cells.
pub struct Lone<T>(Mutex<T>);

impl<T> Lone<T> {
    /// To be changed.
    pub fn hand(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be looked at.
    pub fn look(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Clone for Lone<T> {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.look().clone()))
    }
}

/// A process.
#[derive(Clone)]
pub struct Owner {
    /// The machine.
    pub stage: Lone<Stage<Call>>,
    /// The epoch that it has claimed.
    pub epoch: u64,
    /// Rows as it has decided.
    pub decided_rows: Arc<Rows>,
    /// Decisions that changed something, so far.
    pub decided: u32,
    /// Rows that it has made durable, or found.
    pub landed: Shelf,
    /// How many of its decisions are in them.
    pub landed_decided: u32,
    /// Rows as reads find them.
    pub visible: Arc<Rows>,
    /// The batch that storage is being handed.
    pub writing: Option<Writing>,
    /// The last round that was handed over.
    pub written: Round,
    /// Batches that storage has taken in and not put.
    pub unflushed: Vec<Arc<Taken>>,
    /// The object under way.
    pub putting: Option<Object>,
    /// The number of its next object.
    pub next_object: u64,
    /// The last number given to a row.
    pub seq: u64,
    /// Up to where rows are durable, when the stage does not know.
    pub news: Option<u64>,
    /// Up to where the stage knows that they are.
    pub told: u64,
    /// The flush under way.
    pub flush: Flush,
    /// Reads under way.
    pub loads: Vec<Load>,
    /// The question under way.
    pub question: Option<Question>,
    /// Who waits.
    pub calls: BTreeMap<Call, Waiting>,
    /// When it began to open the shard, in steps of the clock.
    pub began: u8,
    /// Its clock goes too fast.
    pub is_fast: bool,
    /// The stage has not run since something happened to it.
    pub is_dirty: bool,
    /// When somebody else fenced the log, in steps of the clock: what is decided there may be told
    /// from then on. A claim alone deposes nobody: who puts an object after it still owns the log.
    pub deposed_at: Option<u8>,
}

impl Owner {
    /// A process that has opened the shard; it began to at `began`.
    pub fn open(epoch: u64, next_object: u64, shelf: Shelf, began: u8) -> Self {
        let mut stage = Stage::new(limits(), at(began));
        stage.start_trace();
        Self {
            stage: Lone(Mutex::new(stage)),
            epoch,
            decided_rows: Arc::clone(&shelf.rows),
            decided: 0,
            visible: Arc::clone(&shelf.rows),
            landed: shelf,
            landed_decided: 0,
            writing: None,
            written: Round(0),
            unflushed: Vec::new(),
            putting: None,
            next_object,
            seq: 0,
            news: None,
            told: 0,
            flush: Flush::None,
            loads: Vec::new(),
            question: None,
            calls: BTreeMap::new(),
            began,
            is_fast: false,
            is_dirty: true,
            deposed_at: None,
        }
    }

    /// What its clock says.
    const fn time(&self, now: u8) -> u8 {
        let too_much = if self.is_fast {
            (now - self.began) / 2
        } else {
            0
        };
        now + too_much
    }

    /// Whether the stage has something to do.
    pub fn may_run(&self, now: u8) -> bool {
        let now = self.time(now);
        self.is_dirty || self.stage.look().next_deadline(at(now)) == Some(Millis::ZERO)
    }

    /// How many things are under way that could move it; none if it can move on its own.
    pub fn under_way(&self, now: u8) -> Option<usize> {
        let things = [
            self.writing.is_some(),
            !self.unflushed.is_empty() || self.putting.is_some(),
            self.news.is_some(),
            self.flush != Flush::None,
            !self.loads.is_empty(),
            self.question.is_some(),
        ];
        (!self.may_run(now)).then(|| things.into_iter().filter(|is_there| *is_there).count())
    }

    /// Lets the stage decide, and decides the same over all rows. Yields what it puts out.
    ///
    /// # Errors
    /// What is not the same.
    pub fn run(&mut self, now: u8) -> Result<Vec<Output<Call>>, String> {
        self.is_dirty = false;
        let now = self.time(now);
        let stage = self.stage.hand();
        let mut soft = stage.soft().clone();
        stage.run(stamp(0, now));
        for decided in stage.take_trace() {
            let (stamp, command) = (decided.stamp, &decided.command);
            let again = decide(&soft, &*self.decided_rows, &stamp, command);
            if again.as_ref() != Ok(&decided.decision) {
                return Err(format!("the stage: {decided:?}, a complete map: {again:?}"));
            }
            let has_changes = !decided.decision.changes.is_empty();
            if has_changes {
                let rows = Arc::make_mut(&mut self.decided_rows);
                fold(&mut soft, rows, &decided.decision);
                self.decided += 1;
            } else {
                fold(&mut soft, &mut Rows::default(), &decided.decision);
            }
            let number = stamp.entropy.0[0];
            let reply = decided.decision.reply;
            if let Some((_, waiting)) = self.calls.iter_mut().find(|(c, _)| c.number() == number) {
                waiting.judged = Some(Arc::new(Judged {
                    digest: digest(&format!("{reply:?}")),
                    reply,
                    stamp,
                    has_changes,
                    decided: self.decided,
                }));
            }
        }
        if soft != *stage.soft() {
            return Err("hints differ".to_owned());
        }
        Ok(std::iter::from_fn(|| stage.poll()).collect())
    }

    /// A batch goes to storage.
    pub fn begin_write(&mut self, round: Round, batch: Vec<(bytes::Bytes, Option<bytes::Bytes>)>) {
        self.seq += batch.len() as u64;
        self.written = round;
        self.writing = Some(Writing {
            taken: Taken::new(round, self.seq, self.decided, batch),
            is_applied: false,
        });
    }

    /// Storage takes the batch in.
    pub fn apply(&mut self) {
        if let Some(writing) = &mut self.writing {
            writing.is_applied = true;
            write(&mut self.visible, &writing.taken.batch);
            self.unflushed.push(Arc::clone(&writing.taken));
        }
    }

    /// Begins an object of all that was taken in; false if there is nothing.
    pub fn begin_put(&mut self) -> bool {
        if self.unflushed.is_empty() || self.putting.is_some() {
            return false;
        }
        self.putting = Some(Object {
            number: self.next_object,
            batches: std::mem::take(&mut self.unflushed),
        });
        self.next_object += 1;
        true
    }

    /// The stage has asked for a flush.
    pub fn begin_flush(&mut self) {
        self.flush = if self.putting.is_some() {
            Flush::Waits
        } else if self.begin_put() {
            Flush::Goes
        } else {
            Flush::Ended
        };
    }

    /// The object under way was made.
    pub fn made(&mut self) {
        let Some(object) = self.putting.take() else {
            return;
        };
        if let Some(last) = object.batches.last() {
            self.news = Some(last.seq);
            self.landed_decided = last.decided;
        }
        self.landed = self.landed.with(object.batches.iter());
        match self.flush {
            Flush::Goes => self.flush = Flush::Ended,
            Flush::Waits => self.begin_flush(),
            Flush::None | Flush::Ended => {}
        }
    }

    /// A read begins.
    pub fn begin_load(&mut self, id: LoadId, item: NeedItem, is_stale: bool) {
        let rows = if is_stale {
            &self.landed.rows
        } else {
            &self.visible
        };
        let early = read(&rows.map, &item);
        self.loads.push(Load { id, item, early });
    }

    /// Forgets what may be forgotten, or anything at all.
    pub fn forget(&mut self, is_wrong: bool) {
        let (set, what) = self.stage.hand().cache();
        let anything = Forgettable {
            round: Round(u64::MAX),
            unused_since: Generation(u64::MAX),
        };
        set.forget_all(if is_wrong { anything } else { what });
    }

    /// Whether a decision would have been the same had nothing been decided that is not durable.
    pub fn stands(&self, waiting: &Waiting, judged: &Judged) -> bool {
        // That there is no task says nothing that lasts.
        let is_lease = matches!(*waiting.command, Command::Lease(_));
        if is_lease || judged.decided <= self.landed_decided {
            return true;
        }
        let stage = self.stage.look();
        let said = decide(
            stage.soft(),
            &*self.landed.rows,
            &judged.stamp,
            &waiting.command,
        );
        said.is_ok_and(|said| said.reply == judged.reply)
    }

    /// Every call that has no answer, when the process ends: what each is told.
    pub fn fail(&self) -> Vec<(Call, Answer)> {
        let stage = self.stage.look().clone();
        stage.fail()
    }

    /// Writes what two processes must share to behave alike. What was decided follows from what
    /// has landed and what is under way; storage's numbers count from what the stage knows to be
    /// durable, decisions from what has landed: rules look at their order alone.
    pub fn form(&self, now: u8, mut out: &mut dyn Hasher) {
        self.stage.look().form(at(self.time(now)), out);
        self.landed.hash(&mut out);
        let mut take = |taken: &Arc<Taken>| {
            let after = taken.seq.saturating_sub(self.told);
            let beyond = taken.decided.saturating_sub(self.landed_decided);
            (taken.digest(), after, beyond).hash(&mut out);
        };
        let putting = self.putting.iter().flat_map(|object| &object.batches);
        putting.for_each(&mut take);
        self.unflushed.iter().for_each(&mut take);
        self.writing.iter().for_each(|writing| take(&writing.taken));
        let in_put = self.putting.as_ref().map(|object| object.batches.len());
        (in_put, self.unflushed.len()).hash(&mut out);
        let is_applied = self.writing.as_ref().map(|writing| writing.is_applied);
        let news = self.news.map(|seq| seq.saturating_sub(self.told));
        (is_applied, news, self.flush, self.question).hash(&mut out);
        (self.is_dirty, self.deposed_at).hash(&mut out);
        for load in &self.loads {
            (&load.item, &load.early).hash(&mut out);
        }
        out.write_u8(0xee);
        for (call, waiting) in &self.calls {
            call.hash(&mut out);
            if let Some(judged) = &waiting.judged {
                let beyond = judged.decided.saturating_sub(self.landed_decided);
                (judged.digest, judged.has_changes, beyond).hash(&mut out);
            }
        }
    }
}

/// A stamp for a call of this number.
pub fn stamp(number: u8, now: u8) -> Stamp {
    let mut bytes = [0; 16];
    if let Some(first) = bytes.first_mut() {
        *first = number;
    }
    Stamp {
        now: at(now),
        entropy: Entropy(bytes),
        retention: Retention::FOREVER,
    }
}

/// Whether an answer may be given under a proof as old as the window, in steps of the clock.
pub const PROOF_STEPS: u8 = 1;

fn limits() -> StageLimits {
    StageLimits {
        proof_window: WINDOW,
        read_ahead_rows: 8,
        ..StageLimits::default()
    }
}

/// The time of a step, as a process's clock says it.
pub const fn uptime(step: u8) -> Uptime {
    at(step).uptime
}
