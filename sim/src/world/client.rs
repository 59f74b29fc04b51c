//! Clients, and whoever else does what the plan says.

use silo_core::shard::command::Command;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::reply::Reply;
use silo_core::table::job::JobKey;
use silo_core::types::time::Millis;

use crate::check::Checked;
use crate::clock::{MS, wall_micros};
use crate::cover::Mark;
use crate::plan::{Ask, Naming, What};
use crate::random::Of;
use crate::world::World;
use crate::world::call::For;
use crate::world::event::CallId;

impl World<'_> {
    /// Does a step of the plan.
    pub fn step(&mut self, index: u32) {
        let plan = self.plan;
        let Some(step) = plan.steps.get(index as usize) else {
            return;
        };
        let owner = self.latest;
        match &step.what {
            What::Ask(ask) => self.ask(index, step.id, ask),
            What::Crash { effects, back_ms } => {
                if let Some(process) = self.owner_mut() {
                    process.dies_after = Some((*effects, *back_ms));
                    if *effects == 0
                        && let Some(id) = owner
                    {
                        self.die(id, *back_ms);
                    }
                }
            }
            What::TakeOver => self.take_over(),
            What::Stall { ms } => {
                if let Some(process) = self.owner_mut() {
                    process.stalls_for = Some(*ms);
                }
            }
            What::Pause { ms } => {
                let until = self.now + ms * MS;
                if let Some(process) = self.owner_mut() {
                    process.paused_until = until;
                    self.cover.hit(Mark::Paused);
                }
            }
            What::KillWorker { worker, back_ms } => self.kill_worker(*worker, *back_ms),
            What::PauseWorker { worker, ms } => {
                let until = self.now + ms * MS;
                if let Some(worker) = self.workers.get_mut(*worker as usize) {
                    worker.paused_until = until;
                    self.cover.hit(Mark::WorkerPaused);
                }
            }
            What::Cut {
                endpoint,
                requests,
                answers,
                ms,
            } => {
                let until = self.now + ms * MS;
                self.cover.hit(Mark::Partitioned);
                if let Some(cut) = self.cuts.get_mut(*endpoint as usize) {
                    if *requests {
                        cut.0 = until;
                    }
                    if *answers {
                        cut.1 = until;
                    }
                }
            }
            What::StorageDown { loads, puts, ms } => {
                let until = self.now + ms * MS;
                self.cover.hit(Mark::StorageDown);
                if *loads {
                    self.loads_down_until = until;
                }
                if *puts {
                    self.puts_down_until = until;
                }
            }
            What::SetClock { ms } => {
                let machine = self.noise.number(Of::Fault, step.id.into(), 0) as usize;
                let count = self.offsets.len().max(1);
                if let Some(offset) = self.offsets.get_mut(machine % count) {
                    *offset += ms;
                    self.cover.hit(Mark::ClockSet);
                }
            }
            What::LoseSoft => {
                if let Some(id) = owner {
                    self.lose_soft(id);
                }
            }
            What::ForgetRows => {
                if let Some(id) = owner {
                    self.forget_rows(id);
                }
            }
        }
    }

    /// Another process begins to open the shard; its owner is not told.
    pub fn take_over(&mut self) {
        let machine = self
            .owner_mut()
            .map_or(0, |process| 1 - process.machine.min(1));
        if self.opening == 0 {
            self.cover.hit(Mark::TakenOver);
            self.begin_opening(machine);
        }
    }

    fn ask(&mut self, index: u32, id: u32, ask: &Ask) {
        let endpoint = id % self.config.clients.max(1);
        let now_ms = wall_micros(self.now, self.offset_ms(0)) / 1000;
        let lease = Millis::new(self.config.lease_ms);
        let command = self.names.command(ask, now_ms, lease);
        let timeout = self.config.network.timeout_ms * MS;
        self.call(For::Step(index), endpoint, command, timeout);
    }

    /// A client has its answer.
    pub fn client_heard(&mut self, index: u32, _call: CallId, reply: &Reply) -> Checked {
        let plan = self.plan;
        let Some(What::Ask(ask)) = plan.steps.get(index as usize).map(|step| &step.what) else {
            return Ok(());
        };
        match (ask, reply) {
            (Ask::Enqueue(spec), Reply::Enqueued(job)) if spec.naming == Naming::Made => {
                let tenant = self.names.tenant_of(spec);
                let job = job.clone();
                self.names.learn(spec.job, JobKey { tenant, job });
            }
            (Ask::List { .. }, Reply::Listed(page)) if page.next.is_some() => {
                let now_ms = 0;
                let lease = Millis::new(self.config.lease_ms);
                let command = self.names.command(ask, now_ms, lease);
                if let Command::List(mut list) = command {
                    list.after.clone_from(&page.next);
                    self.cover.hit(Mark::ListedOn);
                    let endpoint = index % self.config.clients.max(1);
                    let timeout = self.config.network.timeout_ms * MS;
                    self.call(For::Step(index), endpoint, Command::List(list), timeout);
                }
            }
            (Ask::LeaseJob(job), Reply::Leased(tasks)) => {
                // Half of those who take a job by hand end it, the others forget it.
                for task in tasks.iter().filter(|_| job % 2 == 0) {
                    let report = Report {
                        task: task.id.clone(),
                        outcome: Outcome::Cancelled,
                    };
                    self.cover.hit(Mark::EndedByHand);
                    let timeout = self.config.network.timeout_ms * MS;
                    self.call(For::ByHand, 0, Command::Report(report), timeout);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
