//! Limits: a few jobs of one tenant that want slots of A, of B, or of both, and everything that may
//! happen to them in any order, within budgets: leases, reports, leases out of turn, people who
//! cancel and expedite, maxima that are raised, lowered and set to nothing, expiry, hints lost.
//!
//! From every state everybody can run: what waits is served by nothing but those who report, and
//! ticks. A search looks at 64 lines, and a line has a ticket after 16: what is rare so far from the
//! beginning begins there. See [`Start`].

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use silo_core::invariants::image::Image;
use silo_core::invariants::{check_all, check_soft, check_step};
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::lease_job::LeaseJob;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::Rows;
use silo_core::shard::{decide, fold};
use silo_core::table::Table as _;
use silo_core::table::TableId;
use silo_core::table::codec::encode;
use silo_core::table::limit::{AdmitRow, Admits, LimitName, Limits};
use silo_core::table::line::{LineRow, Lines};
use silo_core::table::state::Position;
use silo_core::types::entropy::Entropy;
use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::{JobId, LimitKey};
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
/// Ticks that go by while everybody is to run, at the most.
const TURNS_MAX: u32 = 40;

/// The model, and how far it goes.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    /// What each job wants: of A, of B.
    pub jobs: &'static [&'static [char]],
    /// How often each may happen.
    pub budget: Budget,
    /// Where it begins.
    pub start: Start,
    /// What must be met on the way.
    pub dangers: &'static [&'static str],
    /// What is wrong with it on purpose.
    pub wrong: Option<Wrong>,
}

/// Where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nobody has asked for anything.
    Empty,
    /// All have asked, and those who are parked have been passed over as often as can be without a
    /// ticket.
    Passed,
    /// All have asked; B was raised since, and is to be searched still.
    Left,
}

/// How often each may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Requests for tasks.
    pub leases: u8,
    /// Reports of tasks that run.
    pub reports: u8,
    /// What people do: cancel, expedite, lease out of turn.
    pub people: u8,
    /// Another maximum of A.
    pub sets: u8,
    /// Steps of the clock to the next thing that is due.
    pub clock: u8,
    /// Hints lost.
    pub soft: u8,
}

/// A way to be wrong that must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// What is to be searched still is forgotten with the hints.
    AdmitsAreSoft,
    /// Who reports gives back all slots but that of A.
    KeepsASlot,
    /// Those who wait are passed over by ticks: nothing that was left is gone on with.
    NobodySearches,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A job is asked for.
    Enqueue(u8),
    /// A worker asks for a task.
    Lease,
    /// A job is leased by its name.
    LeaseJob(u8),
    /// A task is reported.
    Report(usize, How),
    /// Somebody stops a job.
    Cancel(u8),
    /// Somebody expedites it.
    Expedite(u8),
    /// A has another maximum.
    Set(u32),
    /// Ticks go on with what is there.
    Tick,
    /// Time passes until something is due.
    Advance,
    /// The hints are gone.
    LoseSoft,
}

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The work is done.
    Success,
    /// It failed, and is tried again later.
    Failure,
    /// The task is given back.
    Release,
}

/// A state.
#[derive(Clone, Debug)]
pub struct State {
    rows: Rows,
    soft: Soft,
    now: Now,
    drawn: u64,
    left: Budget,
    /// Jobs that were asked for.
    asked: u8,
    tasks: Vec<TaskId>,
    seen: Seen,
    broken: Option<String>,
    /// It is only looked at where this leads.
    is_unchecked: bool,
    canonical: Vec<u8>,
}

/// Dangers that were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// A job was parked.
    pub parked: bool,
    /// Two jobs stood in one line.
    pub joined: bool,
    /// A line was moved.
    pub moved: bool,
    /// A job was served from its line.
    pub served: bool,
    /// A job that was parked was cancelled.
    pub cancelled: bool,
    /// A job that was parked was expedited.
    pub expedited: bool,
    /// A job that was parked was leased out of turn.
    pub out_of_turn: bool,
    /// A lease out of turn was refused.
    pub full: bool,
    /// More is held than there are slots.
    pub lowered: bool,
    /// A limit is paused.
    pub paused: bool,
    /// A line was passed over.
    pub passed: bool,
    /// A line has a ticket.
    pub ticket: bool,
    /// A line with a ticket was served.
    pub used: bool,
    /// A ticket was taken away.
    pub taken: bool,
    /// A slot is kept: somebody without a ticket waits beside it.
    pub kept: bool,
    /// A limit is still to be searched, and nobody knows.
    pub lost: bool,
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

impl Model for Slots {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            rows: Rows::default(),
            soft: Soft::lost(),
            now: Now {
                wall: Timestamp::from_millis(1_000_000),
                uptime: Uptime::ZERO,
            },
            drawn: 0,
            left: self.budget,
            asked: 0,
            tasks: Vec::new(),
            seen: Seen::default(),
            broken: None,
            is_unchecked: false,
            canonical: Vec::new(),
        };
        state.begin(self);
        state.canonical = canonical(&state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let left = state.left;
        let image = Image::read(&state.rows.map);
        for job in 0..self.count() {
            match image.states.get(&key(job)).map(|state| &state.position) {
                None if state.asked & (1 << job) == 0 => actions.push(Action::Enqueue(job)),
                Some(Position::Due(_) | Position::Parked { .. }) if left.people > 0 => {
                    actions.extend([
                        Action::Cancel(job),
                        Action::Expedite(job),
                        Action::LeaseJob(job),
                    ]);
                }
                Some(Position::Ready(_) | Position::Leased(_)) if left.people > 0 => {
                    actions.push(Action::Cancel(job));
                }
                _ => {}
            }
        }
        if left.leases > 0 {
            actions.push(Action::Lease);
        }
        if left.reports > 0 {
            let hows = [How::Success, How::Failure, How::Release];
            let tasks = 0..state.tasks.len();
            actions.extend(tasks.flat_map(|task| hows.map(|how| Action::Report(task, how))));
        }
        if left.sets > 0 {
            actions.extend([Action::Set(0), Action::Set(1), Action::Set(2)]);
        }
        match state.soft.next_wake(state.now) {
            Some(Millis::ZERO) => actions.push(Action::Tick),
            Some(_) if left.clock > 0 => actions.push(Action::Advance),
            Some(_) | None => {}
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
        let mut properties = vec![
            Property::always(HOLDS, |_: &Self, state: &State| state.broken.is_none()),
            Property::always(RUNS, |model: &Self, state: &State| {
                state.broken.is_some() || state.clone().everybody_runs(model)
            }),
        ];
        let dangers = vec![
            Property::sometimes("a job is parked", |_: &Self, s: &State| s.seen.parked),
            Property::sometimes("two stand in one line", |_, s: &State| s.seen.joined),
            Property::sometimes("a line is moved", |_, s: &State| s.seen.moved),
            Property::sometimes("a job is served", |_, s: &State| s.seen.served),
            Property::sometimes("a parked job is cancelled", |_, s: &State| s.seen.cancelled),
            Property::sometimes("a parked job is expedited", |_, s: &State| s.seen.expedited),
            Property::sometimes("a lease out of turn", |_, s: &State| s.seen.out_of_turn),
            Property::sometimes("a lease out of turn is refused", |_, s: &State| s.seen.full),
            Property::sometimes("fewer slots than are held", |_, s: &State| s.seen.lowered),
            Property::sometimes("a limit is paused", |_, s: &State| s.seen.paused),
            Property::sometimes("a line is passed over", |_, s: &State| s.seen.passed),
            Property::sometimes("a line has a ticket", |_, s: &State| s.seen.ticket),
            Property::sometimes("a ticket is used", |_, s: &State| s.seen.used),
            Property::sometimes("a ticket is taken away", |_, s: &State| s.seen.taken),
            Property::sometimes("a slot is kept", |_, s: &State| s.seen.kept),
            Property::sometimes("what is to be searched is lost", |_, s: &State| s.seen.lost),
        ];
        let is_wanted = |property: &Property<Self>| self.dangers.contains(&property.name);
        properties.extend(dangers.into_iter().filter(is_wanted));
        properties
    }
}

/// The invariants, at every state and step.
pub const HOLDS: &str = "invariants hold, and steps are allowed";
/// Nobody is stuck.
pub const RUNS: &str = "everybody can run";

impl Slots {
    fn count(&self) -> u8 {
        u8::try_from(self.jobs.len()).unwrap_or(8).min(8)
    }

    /// The request for a job.
    fn enqueue(&self, job: u8) -> Option<Command> {
        let wanted = self.jobs.get(usize::from(job))?;
        let Command::Enqueue(mut request) = enqueue(job) else {
            return None;
        };
        request.limits = wanted.iter().filter_map(|key| slot(*key, 1)).collect();
        Some(Command::Enqueue(request))
    }
}

impl State {
    /// What happens before it begins.
    fn begin(&mut self, model: &Slots) {
        if model.start == Start::Empty {
            return;
        }
        for job in 0..model.count() {
            self.happen(model, &Action::Enqueue(job));
        }
        self.recover();
        let (mut lines, mut admits) = (Vec::new(), Vec::new());
        let image = Image::read(&self.rows.map);
        match model.start {
            Start::Empty => {}
            Start::Passed => {
                let passes = silo_core::shard::limits::search::PASSES_MAX.saturating_sub(1);
                let row = |(name, row): (_, LineRow)| (Lines::key(&name), LineRow { passes, ..row });
                lines.extend(image.lines.into_iter().map(row));
            }
            Start::Left => admits.extend(name('b')),
        }
        for (key, line) in lines {
            self.rows.map.insert(key, encode(&line));
        }
        for name in admits {
            if let Some(mut row) = image.limits.get(&name).cloned() {
                row.maximum = 3;
                self.rows.map.insert(Limits::key(&name), encode(&row));
            }
            self.rows.map.insert(Admits::key(&name), encode(&AdmitRow {}));
            self.soft = Soft::lost();
            self.recover();
        }
        self.seen = Seen::default();
        self.check(None);
    }

    /// Finds again what was lost. What is to be searched is gone on with by the next tick.
    fn recover(&mut self) {
        while !self.soft.is_recovered() && self.broken.is_none() {
            self.run(&Command::Tick);
        }
    }

    fn happen(&mut self, model: &Slots, action: &Action) {
        let spend = |budget: &mut u8| *budget = budget.saturating_sub(1);
        match action {
            Action::Enqueue(job) => {
                self.asked |= 1 << job;
                if let Some(command) = model.enqueue(*job) {
                    self.run(&command);
                }
            }
            Action::Lease => {
                spend(&mut self.left.leases);
                self.lease();
            }
            Action::LeaseJob(job) => {
                spend(&mut self.left.people);
                let is_parked = self.is_parked(*job);
                let Command::Lease(lease) = lease() else {
                    return;
                };
                let command = Command::LeaseJob(LeaseJob {
                    key: key(*job),
                    grantee: lease.grantee,
                });
                match self.run(&command) {
                    Some(Reply::Leased(tasks)) => {
                        self.seen.out_of_turn |= is_parked;
                        self.tasks.extend(tasks.into_iter().map(|task| task.id));
                    }
                    Some(Reply::Refused(Refusal::LimitFull { .. })) => self.seen.full = true,
                    _ => {}
                }
            }
            Action::Report(index, how) => {
                spend(&mut self.left.reports);
                self.report(model, *index, *how);
            }
            Action::Cancel(job) => {
                spend(&mut self.left.people);
                self.seen.cancelled |= self.is_parked(*job);
                self.run(&Command::Cancel(key(*job)));
            }
            Action::Expedite(job) => {
                spend(&mut self.left.people);
                self.seen.expedited |= self.is_parked(*job);
                self.run(&Command::Expedite(key(*job)));
            }
            Action::Set(maximum) => {
                spend(&mut self.left.sets);
                self.set('a', *maximum);
            }
            Action::Tick => {
                if model.wrong != Some(Wrong::NobodySearches) {
                    self.run(&Command::Tick);
                }
            }
            Action::Advance => {
                spend(&mut self.left.clock);
                self.advance(model);
            }
            Action::LoseSoft => {
                spend(&mut self.left.soft);
                self.seen.lost |= self.soft.to_search().next().is_some();
                self.soft = Soft::lost();
                if model.wrong == Some(Wrong::AdmitsAreSoft) {
                    let is_admit = |key: &_| TableId::of(key) == Some(TableId::Admit);
                    self.rows.map.retain(|key, _| !is_admit(key));
                }
                self.check(None);
            }
        }
    }

    fn lease(&mut self) {
        if let Some(Reply::Leased(tasks)) = self.run(&lease()) {
            self.tasks.extend(tasks.into_iter().map(|task| task.id));
        }
    }

    /// A job that comes late says how many slots there are, and is gone.
    fn set(&mut self, limit: char, maximum: u32) {
        let (Command::Enqueue(request), Ok(id)) = (enqueue(8), JobId::parse("says")) else {
            return;
        };
        let start = self.now.wall.after(Millis::new(1_000_000));
        let request = Enqueue {
            id: Some(id.clone()),
            start_at: Some(start),
            limits: slot(limit, maximum).into_iter().collect(),
            ..*request
        };
        let says = silo_core::table::job::JobKey {
            tenant: request.tenant.clone(),
            job: id,
        };
        self.run(&Command::Enqueue(Box::new(request)));
        self.run(&Command::Delete(says));
    }

    fn advance(&mut self, model: &Slots) {
        if let Some(wait) = self.soft.next_wake(self.now) {
            self.now.wall = self.now.wall.after(wait);
            self.now.uptime = self.now.uptime.after(wait);
            if model.wrong != Some(Wrong::NobodySearches) {
                self.run(&Command::Tick);
            }
        }
        // Whoever has lost its lease hears of it.
        let image = Image::read(&self.rows.map);
        self.tasks.retain(|task| {
            let state = image.states.get(&job_of(task));
            state.is_some_and(|state| state.lease().is_some_and(|lease| lease.is(task)))
        });
    }

    fn report(&mut self, model: &Slots, index: usize, how: How) {
        if index >= self.tasks.len() {
            return;
        }
        let task = self.tasks.remove(index);
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
        let kept = name('a').map(|name| Limits::key(&name));
        let kept = kept.and_then(|key| Some((self.rows.map.get(&key).cloned()?, key)));
        self.run(&Command::Report(Report { task, outcome }));
        if let Some((row, key)) = kept.filter(|_| model.wrong == Some(Wrong::KeepsASlot)) {
            self.rows.map.insert(key, row);
            self.check(None);
        }
    }

    fn is_parked(&self, job: u8) -> bool {
        let image = Image::read(&self.rows.map);
        let state = image.states.get(&key(job));
        state.is_some_and(|state| matches!(state.position, Position::Parked { .. }))
    }

    /// Whether all run in the end, when A and B have a slot and nobody does anything but work.
    fn everybody_runs(mut self, model: &Slots) -> bool {
        self.is_unchecked = true;
        for limit in ['a', 'b'] {
            let image = Image::read(&self.rows.map);
            let row = name(limit).and_then(|name| image.limits.get(&name).cloned());
            if row.is_some_and(|row| row.slots() == 0) {
                self.set(limit, 1);
            }
        }
        for _ in 0..TURNS_MAX {
            let totals = Image::read(&self.rows.map);
            let is_over = |position: &Position| matches!(position, Position::Ended { .. });
            if totals.states.values().all(|state| is_over(&state.position)) {
                return self.broken.is_none();
            }
            self.happen(model, &Action::Tick);
            self.lease();
            if self.tasks.is_empty() {
                self.advance(model);
            } else {
                self.report(model, 0, How::Success);
            }
        }
        false
    }

    fn run(&mut self, command: &Command) -> Option<Reply> {
        self.drawn += 1;
        let stamp = Stamp {
            now: self.now,
            entropy: Entropy(u128::from(self.drawn).to_be_bytes()),
            retention: Retention::FOREVER,
        };
        let before = match self.is_unchecked {
            true => Image::default(),
            false => Image::read(&self.rows.map),
        };
        match decide(&self.soft, &self.rows, &stamp, command) {
            Ok(decision) => {
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
        if self.is_unchecked {
            return;
        }
        let image = Image::read(&self.rows.map);
        let mut found = check_all(&image);
        found.extend(check_soft(&image, &self.soft, self.now));
        if let Some((before, command)) = step {
            found.extend(check_step(before, &image, Some(command), self.now.wall));
            self.see(before, &image);
        }
        if !found.is_empty() && self.broken.is_none() {
            self.broken = Some(format!("{found:?}"));
        }
    }

    fn see(&mut self, before: &Image, after: &Image) {
        let seen = &mut self.seen;
        seen.parked |= !after.lines.is_empty();
        seen.joined |= after.lines.values().any(|line| line.count > 1);
        seen.ticket |= after.lines.values().any(|line| line.ticket.is_some());
        for (key, state) in &after.states {
            let was = before.states.get(key).map(|state| &state.position);
            let (from, to) = (was, &state.position);
            seen.served |=
                matches!((from, to), (Some(Position::Parked { .. }), Position::Ready(_)));
        }
        for (name, old) in &before.lines {
            let new = after.lines.get(name);
            seen.moved |= new.is_some_and(|new| new.at != old.at);
            seen.passed |= new.is_some_and(|new| new.passes > old.passes);
            if old.ticket.is_some() && new.is_none_or(|new| new.ticket.is_none()) {
                match new {
                    Some(new) if new.count == old.count => seen.taken = true,
                    _ => seen.used = true,
                }
            }
        }
        for (name, limit) in &after.limits {
            seen.lowered |= limit.slots() > 0 && limit.held > limit.slots();
            seen.paused |= limit.slots() == 0;
            seen.kept |= limit.free() == 1
                && limit.lowest.is_some()
                && after.parked.keys().any(|row| row.limit == *name);
        }
    }
}

fn lease() -> Command {
    let group = say::Names::new(1, 1).group(0);
    say::lease(group, &say::worker("a"), 1, LEASE)
}

fn slot(key: char, maximum: u32) -> Option<Limit> {
    let key = LimitKey::parse(&key.to_string()).ok()?;
    Some(Limit::Concurrency(Slot { key, maximum }))
}

fn name(key: char) -> Option<LimitName> {
    let tenant = Tenant::single();
    let key = LimitKey::parse(&key.to_string()).ok()?;
    Some(LimitName { tenant, key })
}

/// What two states must share to be the same. Low-water marks are left out, as those of queues are:
/// a mark that is wrong is found where it is made.
fn canonical(state: &State) -> Vec<u8> {
    let mut names = Ranks::default();
    let mut text = String::new();
    describe(&state.rows, state.now.wall, &mut names, &mut text);
    let image = Image::read(&state.rows.map);
    let mut tickets: Vec<u64> = image.lines.values().filter_map(|line| line.ticket).collect();
    tickets.sort_unstable();
    let rank = |ticket: u64| tickets.iter().position(|known| *known == ticket);
    for (name, limit) in &image.limits {
        let (maximum, held) = (limit.maximum, limit.held);
        let is_admitted = image.admits.contains(name);
        text.push_str(&format!("{}{maximum}:{held}{is_admitted};", name.key));
    }
    for line in image.lines.values() {
        let ticket = line.ticket.map(rank);
        text.push_str(&format!("{:?}{}{}{ticket:?};", line.wanted, line.at, line.passes));
    }
    for task in &state.tasks {
        text.push_str(&format!("{}{};", task.job, names.rank(task.nonce)));
        if let Some(lease) = state.soft.lease(&job_of(task)) {
            let left = lease.deadline.since(state.now.uptime).get();
            text.push_str(&format!("{left}{}", lease.heartbeated));
        }
    }
    for name in state.soft.to_search() {
        text.push_str(name.key.as_str());
    }
    let due = state.soft.due(&Tenant::single());
    let due = due.map(|at| at.since(state.now.wall).get());
    let (soft, left, asked) = (state.soft.is_recovered(), state.left, state.asked);
    let (broken, seen) = (state.broken.is_some(), state.seen);
    text.push_str(&format!("{due:?}{soft}{left:?}{asked}{broken}{seen:?}"));
    text.into_bytes()
}
