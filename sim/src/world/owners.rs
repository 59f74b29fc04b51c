//! Who owns the shard: opening it, being deposed, objects of the log on their way.

use silo_core::types::time::Uptime;
use silo_runtime::executor::stage::Stage;

use crate::check::shadow::Shadow;
use crate::check::{Checked, Promise, violated};
use crate::clock::{At, Clock, MS};
use crate::cover::Mark;
use crate::random::{Of, is_hit, spread};
use crate::world::World;
use crate::world::bucket::Put;
use crate::world::event::{Event, ProcessId, Proof, PutTold};
use crate::world::handle::{Handle, Object};
use crate::world::process::Process;

/// How long until it is looked again whether the shard has an owner.
const LOOK_AGAIN: At = 500 * MS;
/// How long a flush takes that has nothing to do.
const NOTHING_TO_FLUSH: At = 50;

impl World<'_> {
    /// How long the manifest takes.
    pub fn manifest_delay(&self, id: u32) -> At {
        let span = self.config.storage.load_us;
        self.noise
            .within(Of::Manifest, id.into(), self.events, span)
    }

    /// Opens the shard if nobody has it, or is about to.
    pub fn ensure(&mut self, machine: u32) {
        let is_owned = self
            .latest
            .and_then(|id| self.processes.get(id as usize))
            .is_some_and(Process::is_alive);
        if is_owned || self.opening > 0 {
            return;
        }
        self.begin_opening(machine);
    }

    /// Begins to open the shard.
    pub fn begin_opening(&mut self, machine: u32) {
        self.opening += 1;
        self.opening_since = self.now;
        let delay = self.manifest_delay(machine);
        self.heap.push(self.now + delay, Event::Claim(machine));
    }

    /// The manifest is written: from now on a proof of anybody else's fails.
    pub fn claim(&mut self, machine: u32) {
        if self.puts_are_down() {
            return self.give_up_opening(machine);
        }
        let epoch = self.bucket.claim();
        let now = self.now;
        for process in self.processes.iter_mut().filter(|p| p.is_alive()) {
            process.deposed_at.get_or_insert(now);
        }
        self.claimed_at = now;
        let delay = self.put_delay(machine, epoch);
        self.heap.push(now + delay, Event::Fence(machine, epoch));
    }

    fn give_up_opening(&mut self, machine: u32) {
        self.cover.hit(Mark::OpeningFailed);
        self.opening -= 1;
        self.heap
            .push(self.now + LOOK_AGAIN, Event::Ensure(machine));
    }

    /// The fence is made: from now on nobody else's objects are.
    pub fn fence(&mut self, machine: u32, epoch: u64) {
        if self.puts_are_down() {
            return self.give_up_opening(machine);
        }
        let Some(fence) = self.bucket.fence(epoch) else {
            return self.give_up_opening(machine);
        };
        let handle = Handle::open(&self.bucket, epoch, fence);
        let delay = self.put_delay(machine, epoch ^ (1 << 32));
        self.heap
            .push(self.now + delay, Event::Opened(machine, Box::new(handle)));
    }

    /// A process has the shard open.
    pub fn opened(&mut self, machine: u32, handle: Handle) -> Checked {
        self.opening -= 1;
        let id = u32::try_from(self.processes.len()).unwrap_or(u32::MAX);
        let offset = self.offset_ms(machine);
        // That the shard is ours is proven by the claim, which comes some time after this.
        let mut clock = Clock::new(self.opening_since, offset);
        let began = clock.read(self.opening_since, offset);
        let shadow = Shadow::new(
            self.bucket.rows().clone(),
            (self.check.history.length(), self.check.settings.clone()),
            self.config.replay,
        );
        let limits = self.config.limits();
        let stage = Stage::new(limits, began);
        let is_deposed = self.bucket.epoch > handle.epoch;
        let mut process = Process::new(machine, stage, handle, clock, shadow, limits.retention);
        if is_deposed {
            process.deposed_at = Some(self.claimed_at);
        }
        self.processes.push(process);
        self.latest = Some(id);
        self.cover.hit(Mark::Opened);
        self.check.opened(id, self.bucket.rows(), &mut self.cover)?;
        self.wake(id);
        Ok(())
    }

    fn put_delay(&self, id: u32, number: u64) -> At {
        let span = self.config.storage.put_us;
        self.noise.within(Of::Put, id.into(), number, span)
    }

    /// Begins an object of the log, if there is something for it; a flush that was asked for
    /// returns when everything that was there is durable.
    pub fn begin_put(&mut self, id: ProcessId) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(id as usize) else {
            return;
        };
        let Some(object) = process.handle.begin_put() else {
            if process.handle.putting.is_some() {
                process.handle.flush_waits = process.handle.flush_asked;
            } else if std::mem::take(&mut process.handle.flush_asked) {
                self.heap.push(now + NOTHING_TO_FLUSH, Event::Flushed(id));
            }
            return;
        };
        let name = object.epoch << 32 | object.number;
        let delay = self.put_delay(id, name);
        let noise = self.noise.number(Of::Put, name, id.into());
        let storage = &self.config.storage;
        let (is_unknown, fails) = if self.is_healed {
            (false, false)
        } else {
            (
                is_hit(noise, storage.put_unknown),
                is_hit(noise.rotate_left(32), storage.put_fails),
            )
        };
        if is_unknown || fails || self.puts_are_down() {
            let told = self.travel(noise) + delay;
            self.heap
                .push(now + told, Event::PutTold(id, PutTold::Failed));
            if is_unknown {
                // It lands before its maker gives up, or long after.
                let late = spread(noise.rotate_left(17), 0, 4 * told + 100 * MS);
                self.heap
                    .push(now + late, Event::Put(id, Box::new(object), false));
            }
            return;
        }
        self.heap
            .push(now + delay, Event::Put(id, Box::new(object), true));
    }

    /// An object of the log arrives where it is to be made.
    pub fn put(&mut self, id: ProcessId, object: &Object, is_told: bool) -> Checked {
        let put = self
            .bucket
            .put(object.number, object.epoch, &object.batches);
        let is_alive = self
            .processes
            .get(id as usize)
            .is_some_and(Process::is_alive);
        if put == Put::Made {
            if !is_told || !is_alive {
                self.cover.hit(Mark::PutLandedUnheard);
            }
            let Some(process) = self.processes.get_mut(id as usize) else {
                return violated(Promise::Protocol, "an object of nobody's was made");
            };
            self.check
                .landed(&mut process.shadow, object, &mut self.cover)?;
            if let Some(ms) = process.stalls_for.take() {
                process.paused_until = self.now + ms * MS;
                self.cover.hit(Mark::Paused);
                self.take_over();
            }
        } else {
            self.cover.hit(Mark::PutTooLate);
        }
        if is_told {
            let told = match put {
                Put::Made => PutTold::Made,
                Put::Taken => PutTold::Taken,
            };
            let delay = self.put_delay(id, object.number ^ (1 << 40)) / 4;
            self.heap.push(self.now + delay, Event::PutTold(id, told));
        }
        Ok(())
    }

    /// A process hears what came of its object.
    pub fn put_told(&mut self, id: ProcessId, told: PutTold) -> Checked {
        match told {
            PutTold::Taken => {
                self.cover.hit(Mark::Fenced);
                return self.poison(id);
            }
            PutTold::Failed => {
                self.cover.hit(Mark::PutFailed);
                return self.poison(id);
            }
            PutTold::Made => {}
        }
        let now = self.now;
        let noise = self.noise.number(Of::Put, self.events, id.into());
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        let Some(object) = process.handle.putting.take() else {
            return Ok(());
        };
        let (first, second) = (spread(noise, 0, 20), spread(noise.rotate_left(32), 0, 20));
        self.heap
            .push(now + first, Event::Durable(id, object.seq()));
        if std::mem::take(&mut process.handle.flush_waits) {
            self.begin_put(id);
        } else if std::mem::take(&mut process.handle.flush_asked) {
            self.heap.push(now + second, Event::Flushed(id));
        }
        Ok(())
    }

    /// The manifest is read for a process.
    pub fn proof_read(&mut self, id: ProcessId, asked_at: Uptime) {
        let noise = self.noise.number(Of::Manifest, id.into(), !self.events);
        let fails = !self.is_healed && is_hit(noise, self.config.storage.proof_fails);
        let Some(process) = self.processes.get(id as usize) else {
            return;
        };
        let proof = if fails || self.loads_are_down() {
            Proof::Failed
        } else if self.bucket.epoch > process.handle.epoch {
            Proof::Theirs
        } else {
            Proof::Ours
        };
        let delay = self.manifest_delay(id);
        self.heap
            .push(self.now + delay, Event::ProofTold(id, asked_at, proof));
    }
}
