//! Limits: a few jobs of one tenant that want slots of A, of B, or of both, and everything that may
//! happen to them in any order, within budgets: leases, reports, leases out of turn, people who
//! cancel and expedite, maxima that are raised, lowered and set to nothing, expiry, hints lost.
//!
//! From every state everybody can run: what waits is served by nothing but those who report, and
//! ticks. A search looks at 64 lines, and a line has a ticket after 16 searches: two of the models
//! begin where that is near. See [`Start`].
//!
//! * here: the model, its actions and properties
//! * `steps`: what happens in a state

mod steps;

use std::hash::{Hash, Hasher};

use silo_core::invariants::image::Image;
use silo_core::shard::command::Command;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::Rows;
use silo_core::table::state::Position;
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Now, Timestamp, Uptime};
use stateright::{Model, Property};

use crate::models::jobs::{enqueue, key};
use crate::models::limits::steps::{canonical, slot};

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
