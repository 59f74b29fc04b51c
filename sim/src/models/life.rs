//! The life cycle of jobs. Two jobs of one tenant, two workers, and everything that may happen to
//! them in any order, within budgets: leases, heartbeats, reports that are late or come twice,
//! expiry, cancel, restart, delete, hints lost, and crashes that take back what was not durable.
//!
//! Answers go out when a flush has made durable what they speak of. A state's *canonical form* is
//! what two states must share to be the same: times count from now, places and nonces by their rank
//! alone, because no rule looks at more than their order, or whether they are equal; what was drawn
//! so far, and the times that are only shown, are left out.

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use silo_core::invariants::image::Image;
use silo_core::invariants::{check_all, check_soft, check_step};
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::heartbeat::Heartbeat;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::Rows;
use silo_core::shard::{decide, fold};
use silo_core::table::job::JobKey;
use silo_core::table::state::{Ended, Position, StateRow};
use silo_core::types::entropy::Entropy;
use silo_core::types::retention::Retention;
use silo_core::types::task::TaskId;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::{Millis, Now, Timestamp, Uptime};
use stateright::{Model, Property};

use crate::models::form::{Ranks, describe};
use crate::models::jobs::{enqueue, key};
use crate::world::call::job_of;
use crate::world::say;

const LEASE: Millis = Millis::new(10_000);
/// So few rows are found again in so many ticks.
const RECOVERY_TICKS_MAX: u32 = 4;

/// The model, and how far it goes.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// How many jobs.
    pub jobs: u8,
    /// How often each may happen.
    pub budget: Budget,
    /// What is wrong with it on purpose.
    pub wrong: Option<Wrong>,
}

/// How often each may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Requests for tasks.
    pub leases: u8,
    /// Reports, late and double ones among them.
    pub reports: u8,
    /// What people do: cancel, restart, delete.
    pub people: u8,
    /// Steps of the clock to the next thing that is due.
    pub clock: u8,
    /// Crashes.
    pub crashes: u8,
    /// Heartbeats, and hints lost.
    pub soft: u8,
}

/// A way to be wrong that must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Answers go out before what they speak of is durable.
    AnswersAtOnce,
    /// A crash forgets the durable rows of leases.
    ForgetsLeases,
    /// A report is taken for whichever lease the job has now.
    TakesAnyReport,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A job is asked for.
    Enqueue(u8),
    /// A worker asks for a task.
    Lease,
    /// The worker with this task, counted from the first, reports it.
    Report(usize, How),
    /// It keeps its lease.
    Heartbeat(usize),
    /// Somebody stops a job.
    Cancel(u8),
    /// Somebody runs it again.
    Restart(u8),
    /// Somebody removes it.
    Delete(u8),
    /// Time passes until something is due, and a tick sees it.
    Advance,
    /// Everything is made durable, and answers go out.
    Flush,
    /// What is not durable is gone, and so are the hints.
    Crash,
    /// The hints are gone.
    LoseSoft,
}

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The work is done.
    Success,
    /// It failed.
    Failure,
    /// The task is given back.
    Release,
}

/// A state.
#[derive(Clone, Debug)]
pub struct State {
    rows: Rows,
    durable: Rows,
    soft: Soft,
    now: Now,
    drawn: u64,
    left: Budget,
    /// Tasks that workers have.
    tasks: Vec<TaskId>,
    /// Answers that wait for a flush.
    waiting: Vec<Told>,
    /// Successes that were acknowledged, of jobs that nobody has removed since.
    succeeded: Vec<TaskId>,
    seen: Seen,
    broken: Option<String>,
    canonical: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Task(TaskId),
    Succeeded(TaskId),
}

/// Dangers that were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    took_back: bool,
    late_refused: bool,
    twice_taken: bool,
    crashed: bool,
    lost: bool,
    cancelled_and_done: bool,
    restarted: bool,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

impl Life {
    /// One job, and few of everything: quick enough for every run of the tests.
    pub const fn quick() -> Self {
        let budget = Budget {
            leases: 2,
            reports: 2,
            people: 1,
            clock: 2,
            crashes: 1,
            soft: 1,
        };
        Self {
            jobs: 1,
            budget,
            wrong: None,
        }
    }

    /// One job, with a report more.
    pub const fn one() -> Self {
        let mut one = Self::quick();
        one.budget.reports = 3;
        one
    }

    /// Two jobs.
    pub const fn two() -> Self {
        Self {
            jobs: 2,
            budget: Budget {
                leases: 2,
                reports: 2,
                people: 1,
                clock: 2,
                crashes: 1,
                soft: 1,
            },
            wrong: None,
        }
    }
}

impl Model for Life {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            rows: Rows::default(),
            durable: Rows::default(),
            soft: Soft::lost(),
            now: Now {
                wall: Timestamp::from_millis(1_000_000),
                uptime: Uptime::ZERO,
            },
            drawn: 0,
            left: self.budget,
            tasks: Vec::new(),
            waiting: Vec::new(),
            succeeded: Vec::new(),
            seen: Seen::default(),
            broken: None,
            canonical: Vec::new(),
        };
        state.canonical = canonical(&state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let left = state.left;
        let image = Image::read(&state.rows.map);
        for job in 0..self.jobs {
            if image.states.contains_key(&key(job)) {
                if left.people > 0 {
                    actions.extend([
                        Action::Cancel(job),
                        Action::Restart(job),
                        Action::Delete(job),
                    ]);
                }
            } else if state.drawn == u64::from(job) || left.people > 0 {
                actions.push(Action::Enqueue(job));
            }
        }
        if left.leases > 0 {
            actions.push(Action::Lease);
        }
        for task in 0..state.tasks.len() {
            if left.reports > 0 {
                let hows = [How::Success, How::Failure, How::Release];
                actions.extend(hows.map(|how| Action::Report(task, how)));
            }
            if left.soft > 0 {
                actions.push(Action::Heartbeat(task));
            }
        }
        if left.clock > 0 && state.soft.next_wake(state.now).is_some() {
            actions.push(Action::Advance);
        }
        if state.rows != state.durable || !state.waiting.is_empty() {
            actions.push(Action::Flush);
        }
        if left.crashes > 0 {
            actions.push(Action::Crash);
        }
        if left.soft > 0 {
            actions.push(Action::LoseSoft);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.happen(self, &action);
        state.canonical = canonical(&state);
        (state.canonical != last.canonical).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "invariants hold, and steps are allowed",
                |_, state: &State| state.broken.is_none(),
            ),
            Property::always("an acknowledged success stands", |_, state: &State| {
                state.succeeded.iter().all(|task| stands(&state.rows, task))
            }),
            Property::sometimes("a crash took back a success", |_, s: &State| {
                s.seen.took_back
            }),
            Property::sometimes("a late report was refused", |_, s: &State| {
                s.seen.late_refused
            }),
            Property::sometimes("a report was taken twice", |_, s: &State| {
                s.seen.twice_taken
            }),
            Property::sometimes("a lease expired as a crash", |_, s: &State| s.seen.crashed),
            Property::sometimes("a lease was lost", |_, s: &State| s.seen.lost),
            Property::sometimes("a job asked to stop was done", |_, s: &State| {
                s.seen.cancelled_and_done
            }),
            Property::sometimes("a job was restarted", |_, s: &State| s.seen.restarted),
        ]
    }
}

impl State {
    fn happen(&mut self, model: &Life, action: &Action) {
        let spend = |budget: &mut u8| *budget = budget.saturating_sub(1);
        match action {
            Action::Enqueue(job) => {
                if self.drawn != u64::from(*job) {
                    spend(&mut self.left.people);
                }
                self.run(&enqueue(*job));
            }
            Action::Lease => {
                spend(&mut self.left.leases);
                let group = say::Names::new(1, 1).group(0);
                let worker = say::worker(if self.left.leases.is_multiple_of(2) {
                    "a"
                } else {
                    "b"
                });
                if let Some(Reply::Leased(tasks)) = self.run(&say::lease(group, &worker, 1, LEASE))
                {
                    let tasks = tasks.into_iter().map(|task| Told::Task(task.id));
                    self.waiting.extend(tasks);
                }
            }
            Action::Report(index, how) => {
                spend(&mut self.left.reports);
                self.report(model, *index, *how);
            }
            Action::Heartbeat(index) => {
                spend(&mut self.left.soft);
                let Some(task) = self.tasks.get(*index).cloned() else {
                    return;
                };
                let worker = self.state(&job_of(&task));
                let worker = worker.and_then(|state| state.lease().map(|l| l.worker.clone()));
                let worker = worker.unwrap_or_else(|| say::worker("a"));
                self.run(&Command::Heartbeat(Heartbeat { task, worker }));
            }
            Action::Cancel(job) => {
                spend(&mut self.left.people);
                self.run(&Command::Cancel(key(*job)));
            }
            Action::Restart(job) => {
                spend(&mut self.left.people);
                let reply = self.run(&Command::Restart(key(*job)));
                self.seen.restarted |= reply == Some(Reply::Restarted);
            }
            Action::Delete(job) => {
                spend(&mut self.left.people);
                if self.run(&Command::Delete(key(*job))) == Some(Reply::Deleted) {
                    let is_other = |task: &TaskId| job_of(task) != key(*job);
                    self.succeeded.retain(is_other);
                    self.waiting.retain(|told| match told {
                        Told::Succeeded(task) => is_other(task),
                        Told::Task(_) => true,
                    });
                }
            }
            Action::Advance => {
                spend(&mut self.left.clock);
                // What was lost is found again first: that takes no time.
                for _ in 0..RECOVERY_TICKS_MAX {
                    if !self.soft.is_recovered() {
                        self.run(&Command::Tick);
                    }
                }
                if let Some(wait) = self.soft.next_wake(self.now) {
                    self.now.wall = self.now.wall.after(wait);
                    self.now.uptime = self.now.uptime.after(wait);
                    self.run(&Command::Tick);
                }
            }
            Action::Flush => self.flush(),
            Action::Crash => {
                spend(&mut self.left.crashes);
                let is_success = |told: &Told| matches!(told, Told::Succeeded(_));
                self.seen.took_back |= self.waiting.iter().any(is_success);
                self.rows = self.durable.clone();
                if model.wrong == Some(Wrong::ForgetsLeases) {
                    let running = silo_core::table::TableId::Running;
                    let of = silo_core::table::TableId::of;
                    self.rows.map.retain(|key, _| of(key) != Some(running));
                    self.durable = self.rows.clone();
                }
                self.soft = Soft::lost();
                self.waiting.clear();
                self.check(None);
            }
            Action::LoseSoft => {
                spend(&mut self.left.soft);
                self.soft = Soft::lost();
            }
        }
        if model.wrong == Some(Wrong::AnswersAtOnce) {
            self.tell();
        }
    }

    fn report(&mut self, model: &Life, index: usize, how: How) {
        let Some(mut task) = self.tasks.get(index).cloned() else {
            return;
        };
        let before = self.state(&job_of(&task));
        let lease = before.as_ref().and_then(StateRow::lease);
        let is_live = lease.is_some_and(|lease| lease.is(&task));
        if let Some(lease) = lease
            && model.wrong == Some(Wrong::TakesAnyReport)
        {
            (task.attempt, task.nonce) = (lease.attempt, lease.nonce);
        }
        let data = Bytes::from_static(b"\xc0");
        let outcome = match how {
            How::Success => Outcome::Success { data },
            How::Failure => Outcome::Failure {
                code: "E".to_owned(),
                data,
                retryable: true,
                retry_after: None,
            },
            How::Release => Outcome::Release,
        };
        let asked = before.is_some_and(|state| state.cancel_asked_at.is_some());
        let report = Report {
            task: task.clone(),
            outcome,
        };
        let reply = self.run(&Command::Report(report));
        if reply == Some(Reply::Reported) {
            self.seen.twice_taken |= !is_live;
            if is_live && how == How::Success {
                self.seen.cancelled_and_done |= asked;
            }
            if how == How::Success && !is_live && model.wrong == Some(Wrong::TakesAnyReport) {
                // The worker is told that *its* work is what counts.
                task = self.tasks.get(index).cloned().unwrap_or(task);
            }
            if how == How::Success {
                self.waiting.push(Told::Succeeded(task));
            }
        } else {
            self.seen.late_refused |= !is_live;
        }
    }

    fn flush(&mut self) {
        self.durable = self.rows.clone();
        self.tell();
    }

    fn tell(&mut self) {
        for told in std::mem::take(&mut self.waiting) {
            match told {
                Told::Task(task) => self.tasks.push(task),
                Told::Succeeded(task) => {
                    let is_there = self.state(&job_of(&task)).is_some();
                    if is_there && !self.succeeded.contains(&task) {
                        self.succeeded.push(task);
                    }
                }
            }
        }
    }

    fn state(&self, key: &JobKey) -> Option<StateRow> {
        Image::read(&self.rows.map).states.get(key).cloned()
    }

    fn run(&mut self, command: &Command) -> Option<Reply> {
        self.drawn += 1;
        let entropy = Entropy(u128::from(self.drawn).to_be_bytes());
        let (now, retention) = (self.now, Retention::FOREVER);
        let stamp = Stamp {
            now,
            entropy,
            retention,
        };
        let before = Image::read(&self.rows.map);
        match decide(&self.soft, &self.rows, &stamp, command) {
            Ok(decision) => {
                for notice in &decision.notices {
                    use silo_core::shard::decision::Notice;
                    self.seen.crashed |= matches!(notice, Notice::Crashed(_));
                    self.seen.lost |= matches!(notice, Notice::Lost(_));
                }
                fold(&mut self.soft, &mut self.rows, &decision);
                self.check(Some((&before, command)));
                Some(decision.reply)
            }
            Err(need) => {
                self.broken = Some(format!("a complete map needs {need:?}"));
                None
            }
        }
    }

    fn check(&mut self, step: Option<(&Image, &Command)>) {
        let image = Image::read(&self.rows.map);
        let mut found = check_all(&image);
        found.extend(check_soft(&image, &self.soft, self.now));
        if let Some((before, command)) = step {
            found.extend(check_step(before, &image, Some(command), self.now.wall));
        }
        if !found.is_empty() {
            self.broken = Some(format!("{found:?}"));
        }
    }
}

/// Whether an acknowledged success is what its job shows.
fn stands(rows: &Rows, task: &TaskId) -> bool {
    let image = Image::read(&rows.map);
    let Some(state) = image.states.get(&job_of(task)) else {
        return false;
    };
    let is_over = matches!(
        &state.position,
        Position::Ended {
            status: Ended::Succeeded,
            ..
        }
    );
    is_over
        && state
            .last
            .as_ref()
            .is_some_and(|last| last.nonce == task.nonce)
}

/// What two states must share to be the same.
fn canonical(state: &State) -> Vec<u8> {
    let mut names = Ranks::default();
    let mut text = String::new();
    for rows in [&state.rows, &state.durable] {
        describe(rows, state.now.wall, &mut names, &mut text);
    }
    for task in state.tasks.iter().chain(&state.succeeded) {
        let nonce = names.rank(task.nonce);
        text.push_str(&format!("{}{}{nonce};", task.job, task.attempt));
    }
    for told in &state.waiting {
        let (what, task) = match told {
            Told::Task(task) => ('t', task),
            Told::Succeeded(task) => ('s', task),
        };
        let nonce = names.rank(task.nonce);
        text.push_str(&format!("{what}{}{}{nonce};", task.job, task.attempt));
    }
    for job in 0..8 {
        if let Some(lease) = state.soft.lease(&key(job)) {
            let left = lease.deadline.since(state.now.uptime).get();
            text.push_str(&format!("{job}:{left}{}", lease.heartbeated));
        }
    }
    let tenant = Tenant::single();
    let due = state
        .soft
        .due(&tenant)
        .map(|at| at.since(state.now.wall).get());
    let (soft, left) = (state.soft.recovery(), state.left);
    let has_work = state.soft.groups().count();
    let drawn = state.drawn.min(8);
    let is_broken = state.broken.is_some();
    text.push_str(&format!(
        "{due:?}{soft:?}{has_work}{left:?}{drawn}{is_broken}"
    ));
    text.push_str(&format!("{:?}", state.seen));
    text.into_bytes()
}
