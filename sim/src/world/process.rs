//! A process that has the shard open: what production's driver does with a stage, one event at a
//! time, on a store that is a model.

use silo_core::shard::command::Stamp;
use silo_core::shard::commands::quarantine::SetAside;
use silo_core::shard::reply::{Content, Reply};
use silo_core::types::entropy::Entropy;
use silo_core::types::retention::Retention;
use silo_core::types::time::{Now, Uptime};
use silo_runtime::executor::output::Output;
use silo_runtime::executor::replies::{Answer, Failure};
use silo_runtime::executor::stage::Stage;
use silo_runtime::executor::working_set::Round;

use crate::check::shadow::Shadow;
use crate::check::{Checked, Promise, violated};
use crate::clock::{At, Clock};
use crate::cover::Mark;
use crate::plan::config::Wrong;
use crate::random::{Of, is_hit};
use crate::world::World;
use crate::world::bucket::Batch;
use crate::world::call::target;
use crate::world::event::{CallId, Event, Letter, ProcessId, Proof, Reading, Token};
use crate::world::handle::{Handle, read};

/// A process that has the shard open, or had.
pub struct Process {
    /// Which machine it runs on.
    pub machine: u32,
    /// The machine; none once the process is dead.
    pub stage: Option<Stage<Token>>,
    /// Storage as it sees it.
    pub handle: Handle,
    /// What commands are stamped with.
    clock: Clock,
    /// Until when it stands still.
    pub paused_until: At,
    /// For how long it stands still once an object of its is made.
    pub stalls_for: Option<u64>,
    /// When the stage gets its next turn.
    turn_at: Option<At>,
    /// How many more effects it lives for, and how long until it is started again.
    pub dies_after: Option<(u32, u64)>,
    numbers: u64,
    /// What it must come to.
    pub shadow: Shadow,
    /// When somebody else claimed the shard.
    pub deposed_at: Option<At>,
    retention: Retention,
}

impl Process {
    /// A process that has just opened the shard.
    pub fn new(
        machine: u32,
        mut stage: Stage<Token>,
        handle: Handle,
        clock: Clock,
        shadow: Shadow,
        retention: Retention,
    ) -> Self {
        stage.start_trace();
        Self {
            machine,
            stage: Some(stage),
            handle,
            clock,
            paused_until: 0,
            stalls_for: None,
            turn_at: None,
            dies_after: None,
            numbers: 0,
            shadow,
            deposed_at: None,
            retention,
        }
    }

    /// Whether it lives.
    pub const fn is_alive(&self) -> bool {
        self.stage.is_some()
    }
}

impl World<'_> {
    fn stamp(&mut self, id: ProcessId) -> (u64, Stamp) {
        let now = self.now;
        let machine = self.processes.get(id as usize).map_or(0, |p| p.machine);
        let offset = self.offset_ms(machine);
        let noise = self.noise;
        let Some(process) = self.processes.get_mut(id as usize) else {
            let stamp = Stamp {
                now: Now::default(),
                entropy: Entropy([0; 16]),
                retention: Retention::FOREVER,
            };
            return (0, stamp);
        };
        process.numbers += 1;
        let number = process.numbers;
        let random = noise.number(Of::Stamp, id.into(), number);
        let both = u128::from(random) << 64 | u128::from(number);
        let now = process.clock.read(now, offset);
        let stamp = Stamp {
            now,
            entropy: Entropy(both.to_be_bytes()),
            retention: process.retention,
        };
        (number, stamp)
    }

    /// A stage has something to do: it gets a turn soon.
    pub fn wake(&mut self, id: ProcessId) {
        let number = self.events;
        let wait = self
            .noise
            .within(Of::Turn, id.into(), number, self.config.turn_us);
        self.turn_at(id, self.now + wait.max(1));
    }

    fn turn_at(&mut self, id: ProcessId, at: At) {
        let Some(process) = self.processes.get_mut(id as usize) else {
            return;
        };
        if process.turn_at.is_none_or(|known| known > at) {
            process.turn_at = Some(at);
            self.heap.push(at, Event::Turn(id));
        }
    }

    /// A request has arrived at a server.
    pub fn requested(&mut self, id: ProcessId, call: CallId, attempt: u16) -> Checked {
        let Some(known) = self.calls.get(call as usize).filter(|c| c.is_open) else {
            // Its caller has given up, and its command with it.
            return Ok(());
        };
        let (command, is_repeatable) = (known.command.clone(), known.is_repeatable);
        let watches = self.watches(known.by);
        let (number, stamp) = self.stamp(id);
        let token = Token {
            call,
            attempt,
            number,
        };
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        let Some(stage) = &mut process.stage else {
            return Ok(());
        };
        process.shadow.asked(number, call, is_repeatable);
        // First the watch, then the question: what happens in between is not lost.
        if watches && let Some(job) = target(&command) {
            stage.watched().add(&job);
            process.shadow.watching.begin(job);
        }
        if stage.submit(token, command, stamp).is_err() {
            self.cover.hit(Mark::Overloaded);
            self.check.told(&mut process.shadow, number)?;
            self.reply(id, token, Answer::Failed(Failure::Overloaded));
        } else {
            self.wake(id);
        }
        Ok(())
    }

    /// A stage gets its turn.
    pub fn turn(&mut self, id: ProcessId) -> Checked {
        let now = self.now;
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        // An earlier turn was arranged since, and has been.
        if process.turn_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        process.turn_at = None;
        self.forget(id);
        let (_, stamp) = self.stamp(id);
        let is_tickless = self.config.wrong == Some(Wrong::NoTicks);
        let Some(stage) = self.stage(id) else {
            return Ok(());
        };
        if is_tickless && stage.soft().is_recovered() {
            stage.close();
        }
        stage.run(stamp);
        self.drain(id)?;
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        let stage = process.stage.as_ref();
        if let Some(wait) = stage.and_then(|stage| stage.next_deadline(stamp.now)) {
            // A clock that runs slower is looked at again when it is not there yet.
            let wait = wait.get().saturating_mul(1_000);
            let wait = if wait > 1_000_000 {
                wait - wait / 3
            } else {
                wait
            };
            let soonest = self.config.turn_us.0.max(1);
            self.turn_at(id, self.now + wait.max(soonest));
        }
        Ok(())
    }

    fn forget(&mut self, id: ProcessId) {
        if self.is_healed {
            return;
        }
        let noise = self.noise.number(Of::Fault, id.into(), self.events);
        if is_hit(noise, self.config.forget) {
            self.forget_rows(id);
        }
        if is_hit(noise.rotate_left(32), self.config.lose_soft) {
            self.lose_soft(id);
        }
    }

    /// A process forgets all rows that it may.
    pub fn forget_rows(&mut self, id: ProcessId) {
        if let Some(stage) = self.stage(id) {
            let (set, what) = stage.cache();
            set.forget_all(what);
            self.cover.hit(Mark::RowsForgotten);
        }
    }

    /// A process loses its hints.
    pub fn lose_soft(&mut self, id: ProcessId) {
        if let Some(stage) = self.stage(id) {
            stage.lose_soft();
            self.cover.hit(Mark::SoftLost);
        }
        if let Some(process) = self.processes.get_mut(id as usize) {
            process.shadow.lose_soft();
            self.check.fairness.reset(id);
        }
        self.wake(id);
    }

    /// The stage of a process that lives.
    pub fn stage(&mut self, id: ProcessId) -> Option<&mut Stage<Token>> {
        self.processes.get_mut(id as usize)?.stage.as_mut()
    }

    /// Checks what was decided, then carries out what the stage asks for. Between any two effects
    /// the process may die.
    pub fn drain(&mut self, id: ProcessId) -> Checked {
        self.check_decided(id)?;
        loop {
            let Some(process) = self.processes.get_mut(id as usize) else {
                return Ok(());
            };
            let Some(stage) = &mut process.stage else {
                return Ok(());
            };
            let Some(output) = stage.poll() else {
                return Ok(());
            };
            if let Some((left, back_ms)) = &mut process.dies_after {
                if *left == 0 {
                    let back_ms = *back_ms;
                    self.cover.hit(Mark::DiedBetweenEffects);
                    self.die(id, back_ms);
                    return Ok(());
                }
                *left -= 1;
            }
            self.carry_out(id, output)?;
        }
    }

    fn check_decided(&mut self, id: ProcessId) -> Checked {
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        let Some(stage) = &mut process.stage else {
            return Ok(());
        };
        let trace = stage.take_trace();
        // Nothing else changes the hints.
        let is_compared = self.config.replay && !trace.is_empty();
        for decided in trace {
            self.check
                .decided(id, &mut process.shadow, decided, &mut self.cover)?;
        }
        if is_compared {
            self.check.soft_is_same(&process.shadow, stage.soft())?;
        }
        Ok(())
    }

    fn carry_out(&mut self, id: ProcessId, output: Output<Token>) -> Checked {
        let now = self.now;
        match output {
            Output::Load(load, item) => {
                let noise = self.noise.number(Of::Load, id.into(), load.0);
                let span = self.config.storage.load_us;
                let delay = crate::random::spread(noise, span.0, span.1);
                let Some(process) = self.processes.get_mut(id as usize) else {
                    return Ok(());
                };
                let reading = if self.config.wrong == Some(Wrong::StaleLoads) {
                    Reading::Found(read(self.bucket.rows(), &item))
                } else if noise & 1 == 0 {
                    Reading::Found(process.handle.read(&item))
                } else {
                    Reading::Late(item)
                };
                self.heap
                    .push(now + delay, Event::Loaded(id, load, Box::new(reading)));
            }
            Output::Write(round, batch) => {
                let Some(process) = self.processes.get_mut(id as usize) else {
                    return Ok(());
                };
                self.check.written(&mut process.shadow, round, &batch)?;
                let span = self.config.storage.write_us;
                let delay = self.noise.within(Of::Write, id.into(), round.0, span);
                self.heap
                    .push(now + delay, Event::Written(id, round, Box::new(batch)));
            }
            Output::Flush => {
                let Some(process) = self.processes.get_mut(id as usize) else {
                    return Ok(());
                };
                if std::mem::replace(&mut process.handle.flush_asked, true) {
                    return violated(Promise::Protocol, "two flushes at once");
                }
                self.begin_put(id);
            }
            Output::Over(job) => {
                self.cover.hit(Mark::EndTold);
                if let Some(process) = self.processes.get_mut(id as usize) {
                    self.check.over(&mut process.shadow, &job)?;
                }
            }
            Output::Prove => {
                let machine = self.processes.get(id as usize).map_or(0, |p| p.machine);
                let offset = self.offset_ms(machine);
                let Some(process) = self.processes.get_mut(id as usize) else {
                    return Ok(());
                };
                let asked_at = process.clock.read(now, offset).uptime;
                let wait = self.manifest_delay(id);
                self.heap.push(now + wait, Event::ProofRead(id, asked_at));
            }
            Output::Release(token, answer) => return self.release(id, token, answer),
            Output::Notice(notice) => self.check.notice(&notice, &mut self.cover)?,
        }
        Ok(())
    }

    /// Sends an answer; large data in it is read first.
    fn release(&mut self, id: ProcessId, token: Token, answer: Answer) -> Checked {
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        self.check.told(&mut process.shadow, token.number)?;
        let is_blind = process.stage.as_ref().is_some_and(Stage::is_blind);
        let Answer::Reply(mut reply) = answer else {
            self.check.failed_rightly(&answer)?;
            self.reply(id, token, answer);
            return Ok(());
        };
        let is_speculative = self.config.stage.speculative;
        self.check
            .released(&process.shadow, token.number, &reply, is_speculative)?;
        if is_blind && matches!(&reply, Reply::Leased(tasks) if tasks.is_empty()) {
            self.cover.hit(Mark::Blind);
            self.reply(id, token, Answer::Failed(Failure::Unreadable));
        } else if reply.stored().is_empty() {
            self.reply(id, token, Answer::Reply(reply));
        } else {
            let span = self.config.storage.load_us;
            let delay = self.noise.within(Of::Load, id.into(), !token.number, span);
            self.heap.push(
                self.now + delay,
                Event::Completed(id, token, Box::new(reply)),
            );
        }
        Ok(())
    }

    /// Large data of a reply is read now.
    pub fn completed(&mut self, id: ProcessId, token: Token, mut reply: Reply) -> Checked {
        let (_, stamp) = self.stamp(id);
        let is_down = self.loads_are_down();
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        let Some(stage) = &mut process.stage else {
            return Ok(());
        };
        if is_down {
            let answer = if let Reply::Leased(tasks) = reply {
                let is_stored = |content: &Content| matches!(content, Content::Stored { .. });
                let (back, whole): (Vec<_>, Vec<_>) =
                    tasks.into_iter().partition(|task| is_stored(&task.payload));
                self.cover.hit(Mark::HandedBack);
                stage.hand_back(back.into_iter().map(|task| task.id), stamp);
                self.wake(id);
                Answer::Reply(Reply::Leased(whole))
            } else {
                Answer::Failed(Failure::Unreadable)
            };
            self.reply(id, token, answer);
            return Ok(());
        }
        let is_lease = matches!(reply, Reply::Leased(_));
        let mut aside = Vec::new();
        if let Reply::Leased(tasks) = &mut reply {
            for task in tasks {
                if let Content::Stored { key, .. } = &task.payload {
                    match process.handle.get(key) {
                        Some(bytes) => task.payload = Content::Inline(bytes.clone()),
                        None => aside.push(SetAside {
                            task: task.id.clone(),
                            reason: "its payload is missing".to_owned(),
                        }),
                    }
                }
            }
        }
        // The lease may be over by now, and the job gone with its payload; setting aside one that
        // is still leased is judged when it is decided.
        if !aside.is_empty() {
            self.cover.hit(Mark::PayloadGone);
            if let Reply::Leased(tasks) = &mut reply {
                tasks.retain(|task| matches!(task.payload, Content::Inline(_)));
            }
            stage.set_aside(aside, stamp);
        }
        if !is_lease {
            for content in reply.stored() {
                if let Content::Stored { key, .. } = content
                    && let Some(bytes) = process.handle.get(key)
                {
                    *content = Content::Inline(bytes.clone());
                }
            }
        }
        self.wake(id);
        self.reply(id, token, Answer::Reply(reply));
        Ok(())
    }

    /// Sends an answer. Tasks whose caller has gone are handed back, where that is noticed.
    pub fn reply(&mut self, from: ProcessId, token: Token, answer: Answer) {
        let is_gone = self
            .calls
            .get(token.call as usize)
            .is_none_or(|call| !call.is_open || call.attempt != token.attempt);
        let is_lease = matches!(&answer, Answer::Reply(Reply::Leased(tasks)) if !tasks.is_empty());
        let notices = self.noise.number(Of::Answer, token.number, from.into()) & 1 == 0;
        if is_gone && is_lease && notices {
            self.cover.hit(Mark::CallerGone);
            let (_, stamp) = self.stamp(from);
            if let (Answer::Reply(Reply::Leased(tasks)), Some(stage)) = (answer, self.stage(from)) {
                stage.hand_back(tasks.into_iter().map(|task| task.id), stamp);
            }
            self.wake(from);
            return;
        }
        let process = self.processes.get(from as usize);
        let (knows, shows) = process.map_or((0, 0), |process| process.shadow.view(token.number));
        let deposed_at = process.and_then(|process| process.deposed_at);
        let stale_until = deposed_at.map_or(0, |at| at + self.check.stale_max());
        let sent_at = self.now;
        let is_stale_allowed = sent_at <= stale_until;
        if is_stale_allowed && matches!(answer, Answer::Reply(_)) {
            self.cover.hit(Mark::StaleRead);
        }
        self.answer(Letter {
            token,
            from,
            sent_at,
            knows,
            shows,
            is_stale_allowed,
            answer,
        });
    }

    /// Storage has looked for rows.
    pub fn loaded(
        &mut self,
        id: ProcessId,
        load: silo_runtime::executor::loads::LoadId,
        reading: Reading,
    ) {
        let noise = self.noise.number(Of::Load, id.into(), load.0 ^ (1 << 40));
        let fails = !self.is_healed && is_hit(noise, self.config.storage.load_fails);
        let fails = fails || self.loads_are_down();
        let Some(process) = self.processes.get_mut(id as usize) else {
            return;
        };
        let Some(stage) = &mut process.stage else {
            return;
        };
        if fails {
            self.cover.hit(Mark::LoadFailed);
            stage.load_failed(load);
        } else {
            let found = match reading {
                Reading::Found(found) => found,
                Reading::Late(item) => process.handle.read(&item),
            };
            stage.loaded(load, found);
        }
        self.wake(id);
    }

    /// Storage takes a batch in.
    pub fn written(&mut self, id: ProcessId, round: Round, batch: Batch) -> Checked {
        let noise = self.noise.number(Of::Write, id.into(), round.0 ^ (1 << 40));
        if !self.is_healed && is_hit(noise, self.config.storage.write_fails) {
            self.cover.hit(Mark::WriteFailed);
            return self.poison(id);
        }
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        let seq = process.handle.write(round, batch);
        let span = self.config.storage.write_us;
        let delay = crate::random::spread(noise, 0, span.0);
        self.heap
            .push(self.now + delay, Event::Accepted(id, round, seq));
        if is_hit(noise.rotate_left(32), self.config.storage.own_flush) {
            self.heap.push(self.now + delay / 2, Event::OwnFlush(id));
        }
        Ok(())
    }

    /// Somebody has read the manifest for a process.
    pub fn proof_told(&mut self, id: ProcessId, asked_at: Uptime, proof: Proof) -> Checked {
        match proof {
            Proof::Theirs => {
                self.cover.hit(Mark::DeposedByManifest);
                return self.poison(id);
            }
            Proof::Ours => {
                if let Some(stage) = self.stage(id) {
                    stage.proven(asked_at);
                }
            }
            Proof::Failed => {
                self.cover.hit(Mark::ProofFailed);
                if let Some(stage) = self.stage(id) {
                    stage.proof_failed();
                }
            }
        }
        self.wake(id);
        Ok(())
    }

    /// Storage failed, or belongs to somebody else: all callers are told, and the process ends.
    pub fn poison(&mut self, id: ProcessId) -> Checked {
        self.drain(id)?;
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        let Some(stage) = process.stage.take() else {
            return Ok(());
        };
        self.cover.hit(Mark::Poisoned);
        for (token, answer) in stage.fail() {
            self.check.failed_rightly(&answer)?;
            if let Some(process) = self.processes.get_mut(id as usize) {
                self.check.told(&mut process.shadow, token.number)?;
            }
            self.reply(id, token, answer);
        }
        if let Some(process) = self.processes.get(id as usize) {
            process.shadow.all_told()?;
        }
        self.buried(id, 50);
        Ok(())
    }

    /// A process dies on the spot: nobody is told anything.
    pub fn die(&mut self, id: ProcessId, back_ms: u64) {
        if let Some(process) = self.processes.get_mut(id as usize)
            && process.stage.take().is_some()
        {
            self.cover.hit(Mark::Died);
            self.buried(id, back_ms);
        }
    }

    fn buried(&mut self, id: ProcessId, back_ms: u64) {
        let machine = self.processes.get(id as usize).map_or(0, |p| p.machine);
        let at = self.now + back_ms * crate::clock::MS;
        self.heap.push(at, Event::Ensure(machine));
    }
}
