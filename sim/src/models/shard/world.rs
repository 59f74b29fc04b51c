//! A state: owners, storage, callers, time; and what happens to it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use silo_core::shard::view::Rows;
use silo_runtime::executor::output::Output;
use xxhash_rust::xxh3::Xxh3Default;

use crate::models::shard::danger::{Danger, Seen};
use crate::models::shard::facts::Facts;
use crate::models::shard::owner::{Flush, Owner, Question, Waiting, stamp, uptime};
use crate::models::shard::store::{Bucket, Object};
use crate::models::shard::{Ask, Asks, Budget, Call, Promise, Wrong};
use crate::world::handle::read;

/// Processes at once: one that owns the shard, one that did.
pub const SLOTS: usize = 2;

/// Where a process may be.
#[derive(Clone)]
pub enum Slot {
    /// None is.
    Free,
    /// It has claimed this epoch, at this time, and not fenced the log.
    Claimed {
        /// The epoch.
        epoch: u64,
        /// When it began.
        began: u8,
    },
    /// It has the shard open.
    Open(Box<Owner>),
}

/// A state.
#[derive(Clone)]
pub struct World {
    /// Storage.
    pub bucket: Bucket,
    /// Processes.
    pub slots: [Slot; SLOTS],
    /// Objects whose makers have died or given up, and which may land.
    pub adrift: Vec<Object>,
    /// Steps of the clock so far.
    pub now: u8,
    /// How often each thing may be asked still.
    pub asks: Asks,
    /// How often everything else may happen still.
    pub left: Budget,
    /// What callers were told.
    pub facts: Facts,
    /// What is not as it must be.
    pub broken: Option<(Promise, Arc<str>)>,
    /// What is wrong on purpose.
    pub wrong: Option<Wrong>,
    /// Dangers that were met.
    pub seen: Seen,
    /// Everything above as a number: see [`World::form`].
    form: u128,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.form == other.form
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.form);
    }
}

impl World {
    /// Storage with these rows, and nobody who owns it.
    pub fn new(rows: Rows, asks: Asks, left: Budget, wrong: Option<Wrong>, seen: Seen) -> Self {
        Self {
            bucket: Bucket::new(rows),
            slots: [Slot::Free, Slot::Free],
            adrift: Vec::new(),
            now: 0,
            asks,
            left,
            facts: Facts::default(),
            broken: None,
            wrong,
            seen,
            form: 0,
        }
    }

    /// The process in a slot, if it has the shard open.
    pub fn owner(&self, slot: usize) -> Option<&Owner> {
        match self.slots.get(slot) {
            Some(Slot::Open(owner)) => Some(owner),
            Some(Slot::Free | Slot::Claimed { .. }) | None => None,
        }
    }

    /// The same, to be changed.
    pub fn owner_mut(&mut self, slot: usize) -> Option<&mut Owner> {
        match self.slots.get_mut(slot) {
            Some(Slot::Open(owner)) => Some(owner),
            Some(Slot::Free | Slot::Claimed { .. }) | None => None,
        }
    }

    /// Takes down the first thing that is not as it must be.
    pub fn must(&mut self, holds: bool, promise: Promise, why: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some((promise, why().into()));
        }
    }

    /// Somebody asks the process in a slot for something.
    pub fn ask(&mut self, slot: usize, ask: Ask, task: u8) {
        let now = self.now;
        let told = self.facts.tasks.get(usize::from(task));
        let told = told.map(|at_work| at_work.task.clone());
        let is_report = ask == Ask::Report;
        let Some(left) = self.asks.get_mut(ask as usize) else {
            return;
        };
        *left -= 1;
        // When it was sent matters for leases alone.
        let sent_at = match ask {
            Ask::Lease | Ask::Heartbeat => now,
            _ => 0,
        };
        let call = Call {
            ask,
            before: *left,
            task,
            sent_at,
        };
        let command = call.command(told.as_ref());
        if is_report && let Some(at_work) = self.facts.tasks.get_mut(usize::from(task)) {
            at_work.is_over = true;
        }
        match ask {
            Ask::Delete => self.facts.is_to_go = true,
            // What one call was told another may make untrue.
            Ask::Enqueue => {
                self.facts.is_refused = false;
                self.facts.enqueues += 1;
            }
            _ => {}
        }
        let Some(owner) = self.owner_mut(slot) else {
            return;
        };
        owner.is_dirty = true;
        let given = owner
            .stage
            .hand()
            .submit(call, command.clone(), stamp(call.number(), now));
        let waiting = Waiting {
            command: Arc::new(command),
            judged: None,
        };
        owner.calls.insert(call, waiting);
        self.must(given.is_ok(), Promise::Told, || {
            "the queue is full".to_owned()
        });
    }

    /// Lets the stage of a slot decide, and carries out what it puts out.
    pub fn run(&mut self, slot: usize) {
        let now = self.now;
        let Some(owner) = self.owner_mut(slot) else {
            return;
        };
        match owner.run(now) {
            Ok(outputs) => {
                for output in outputs {
                    self.carry_out(slot, output);
                }
            }
            Err(why) => self.must(false, Promise::Equal, || why),
        }
    }

    fn carry_out(&mut self, slot: usize, output: Output<Call>) {
        let (now, wrong) = (self.now, self.wrong);
        let Some(owner) = self.owner_mut(slot) else {
            return;
        };
        let is_alone = match &output {
            Output::Write(..) => owner.writing.is_none(),
            Output::Flush => owner.flush == Flush::None,
            Output::Prove => owner.question.is_none(),
            Output::Load(..) | Output::Release(..) | Output::Over(_) | Output::Notice(_) => true,
        };
        match output {
            Output::Load(id, item) => {
                owner.begin_load(id, item, wrong == Some(Wrong::StaleLoads));
            }
            Output::Write(round, batch) => owner.begin_write(round, batch),
            Output::Flush => owner.begin_flush(),
            Output::Prove => {
                owner.question = Some(Question {
                    asked_at: now,
                    is_ours: (wrong == Some(Wrong::NobodyLooks)).then_some(true),
                });
            }
            Output::Release(call, answer) => {
                if wrong == Some(Wrong::AnswersTwice) {
                    self.answered(slot, call, answer.clone());
                }
                self.answered(slot, call, answer);
            }
            Output::Over(_) | Output::Notice(_) => {}
        }
        self.must(is_alone, Promise::Alone, || {
            "two of a kind are under way".to_owned()
        });
    }

    /// Storage says that the batch is there.
    pub fn accept(&mut self, slot: usize) {
        let wrong = self.wrong;
        let Some(owner) = self.owner_mut(slot) else {
            return;
        };
        if let Some(writing) = owner.writing.take_if(|writing| writing.is_applied) {
            let taken = writing.taken;
            owner.stage.hand().accepted(taken.round, taken.seq);
            if wrong == Some(Wrong::RepliesWhenAccepted) {
                owner.stage.hand().durable(taken.seq);
            }
            owner.is_dirty = true;
        }
    }

    /// The object under way arrives where it is to be made, and its maker hears of it.
    pub fn land(&mut self, slot: usize) {
        let (wrong, epoch) = (self.wrong, self.bucket.epoch);
        let Some(object) = self.owner(slot).and_then(|owner| owner.putting.clone()) else {
            return;
        };
        if !self.put(&object) {
            self.seen.hit(Danger::Fenced);
            if let Some(owner) = self.owner_mut(slot) {
                owner.putting = None;
            }
            return self.poison(slot);
        }
        let Some(owner) = self.owner_mut(slot) else {
            return;
        };
        owner.made();
        if wrong == Some(Wrong::SilentFlush) {
            (owner.news, owner.flush) = (None, Flush::None);
        }
        let is_deposed = owner.epoch < epoch;
        let landed = owner.landed.clone();
        let is_same = landed == self.bucket.shelf;
        if is_deposed {
            self.seen.hit(Danger::LandedBeforeFence);
        }
        self.must(is_same, Promise::Alone, || {
            "the log holds what its owner did not decide".to_owned()
        });
    }

    fn put(&mut self, object: &Object) -> bool {
        let is_fenced = self.wrong != Some(Wrong::NoFence);
        let mut object = object.clone();
        if self.wrong == Some(Wrong::LosesARow)
            && let Some(last) = object.batches.pop()
        {
            let mut batch = last.batch.clone();
            batch.pop();
            object.batches.push(crate::models::shard::store::Taken::new(
                last.round,
                last.seq,
                last.decided,
                batch,
            ));
        }
        let is_made = self.bucket.put(&object, is_fenced);
        self.check_facts();
        is_made
    }

    /// An object lands whose maker is gone.
    pub fn drift(&mut self, index: usize) {
        let object = self.adrift.remove(index);
        if self.put(&object) {
            self.seen.hit(Danger::LandedUnheard);
        }
    }

    /// Objects whose number is taken can land no more.
    fn sink(&mut self) {
        if self.wrong == Some(Wrong::NoFence) {
            return;
        }
        let (length, before) = (self.bucket.length, self.adrift.len());
        self.adrift.retain(|object| object.number >= length);
        if self.adrift.len() < before {
            self.seen.hit(Danger::TooLate);
        }
    }

    /// The maker of the object under way is told that it was not made.
    pub fn fail_put(&mut self, slot: usize) {
        if self.wrong == Some(Wrong::FailureIsSuccess) {
            if let Some(owner) = self.owner_mut(slot) {
                let before = (owner.landed.clone(), owner.landed_decided);
                owner.made();
                (owner.landed, owner.landed_decided) = before;
            }
            return;
        }
        self.poison(slot);
    }

    /// A process dies on the spot: nobody is told anything.
    pub fn crash(&mut self, slot: usize) {
        if let Some(owner) = self.take(slot) {
            let is_told = |(_, w): (&Call, &Waiting)| w.judged.is_some();
            if owner.calls.iter().any(is_told) {
                self.seen.hit(Danger::CrashedUntold);
            }
            if owner.decided > owner.landed_decided {
                self.seen.hit(Danger::TookBack);
            }
        }
    }

    pub(crate) fn take(&mut self, slot: usize) -> Option<Owner> {
        let place = self.slots.get_mut(slot)?;
        let Slot::Open(owner) = std::mem::replace(place, Slot::Free) else {
            return None;
        };
        self.adrift.extend(owner.putting.clone());
        Some(*owner)
    }

    /// A process claims the shard: from now on a proof of anybody else's fails.
    pub fn claim(&mut self, slot: usize) {
        let now = self.now;
        self.bucket.epoch += 1;
        let epoch = self.bucket.epoch;
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Slot::Claimed { epoch, began: now };
        }
    }

    /// It fences the log, from when nobody else's objects are made, and reads what is there.
    pub fn open(&mut self, slot: usize) {
        let now = self.now;
        let Some(Slot::Claimed { epoch, began }) = self.slots.get(slot).cloned() else {
            return;
        };
        let opened = if self.bucket.fence > epoch {
            Slot::Free
        } else {
            self.bucket.fence = epoch;
            self.bucket.length += 1;
            let shelf = self.bucket.shelf.clone();
            for other in &mut self.slots {
                if let Slot::Open(owner) = other {
                    owner.deposed_at.get_or_insert(now);
                }
            }
            let mut owner = Owner::open(epoch, self.bucket.length, shelf, began);
            owner.is_fast = self.wrong == Some(Wrong::FastClock) && epoch > 1;
            Slot::Open(Box::new(owner))
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = opened;
        }
    }

    /// The manifest is read for a proof.
    pub fn look(&mut self, slot: usize) {
        let epoch = self.bucket.epoch;
        if let Some(owner) = self.owner_mut(slot) {
            let is_ours = owner.epoch == epoch;
            if let Some(question) = &mut owner.question {
                question.is_ours = Some(is_ours);
            }
        }
    }

    /// What was read reaches the process.
    pub fn prove(&mut self, slot: usize) {
        let (now, wrong) = (self.now, self.wrong);
        let Some(owner) = self.owner_mut(slot) else {
            return;
        };
        let Some(question) = owner.question.take() else {
            return;
        };
        if question.is_ours != Some(true) {
            self.seen.hit(Danger::DeposedByManifest);
            return self.poison(slot);
        }
        let is_late = wrong == Some(Wrong::ProofFromArrival);
        let asked_at = if is_late { now } else { question.asked_at };
        owner.stage.hand().proven(uptime(asked_at));
        owner.is_dirty = true;
        if now > question.asked_at {
            self.seen.hit(Danger::LateProof);
        }
    }

    /// Rows that were read reach the stage: as they are now, or as they were when it began.
    pub fn load(&mut self, slot: usize, index: usize, is_early: bool) {
        let is_stale = self.wrong == Some(Wrong::StaleLoads);
        let Some(owner) = self.owner_mut(slot) else {
            return;
        };
        let load = owner.loads.remove(index);
        let rows = if is_stale {
            &owner.landed.rows
        } else {
            &owner.visible
        };
        let found = if is_early {
            load.early
        } else {
            read(&rows.map, &load.item)
        };
        owner.stage.hand().loaded(load.id, found);
        owner.is_dirty = true;
        if is_early {
            self.seen.hit(Danger::LateLoad);
        }
    }

    /// Writes what two states must share to be the same into [`World::form`]. Epochs and numbers of
    /// objects count from the last, because rules look at their order alone. What was found broken
    /// is an end. Dangers that were met are not part of a state: they are kept beside all states.
    pub fn seal(mut self) -> Self {
        self.sink();
        let mut out = Xxh3Default::new();
        let bucket = &self.bucket;
        bucket.shelf.hash(&mut out);
        (bucket.epoch - bucket.fence).hash(&mut out);
        for slot in &self.slots {
            match slot {
                Slot::Free => 0_u8.hash(&mut out),
                Slot::Claimed { epoch, began } => {
                    (1_u8, bucket.epoch - epoch, began).hash(&mut out);
                }
                Slot::Open(owner) => {
                    (2_u8, bucket.epoch - owner.epoch).hash(&mut out);
                    let next = owner
                        .putting
                        .as_ref()
                        .map_or(owner.next_object, |o| o.number);
                    (bucket.length - next.min(bucket.length)).hash(&mut out);
                    owner.form(self.now, &mut out);
                }
            }
        }
        for object in &self.adrift {
            (bucket.length - object.number.min(bucket.length)).hash(&mut out);
            for taken in &object.batches {
                taken.digest().hash(&mut out);
            }
        }
        (self.adrift.len(), self.now, self.asks, self.left).hash(&mut out);
        (&self.facts, self.broken.is_some()).hash(&mut out);
        self.form = out.digest128();
        self
    }
}
