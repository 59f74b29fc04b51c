//! Actions, properties, bounds.

use silo_core::shard::command::Command;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::Rows;
use stateright::{Model, Property};

use crate::models::jobs::enqueue;
use crate::models::shard::danger::{Danger, Seen};
use crate::models::shard::owner::{Flush, stamp};
use crate::models::shard::world::{SLOTS, Slot, World};
use crate::models::shard::{Ask, Asks, Budget, Promise, Wrong};

/// A model.
#[derive(Clone, Debug)]
pub struct Shard {
    /// How often each thing is asked for.
    pub asks: Asks,
    /// How often everything else may happen.
    pub budget: Budget,
    /// How many processes may have the shard open, or be about to.
    pub owners: usize,
    /// Where it begins.
    pub start: Start,
    /// Which dangers it must meet.
    pub dangers: &'static [Danger],
    /// What is wrong with it on purpose.
    pub wrong: Option<Wrong>,
    pub(crate) seen: Seen,
}

/// Where a model begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first job waits in storage; a process has opened the shard and knows nothing.
    Cold,
    /// The first job is at a worker; the shard's owner knows all and has nothing to do.
    Leased,
}

/// What can happen; numbers are slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A process is asked for something, about this task.
    Ask(usize, Ask, u8),
    /// A stage decides.
    Run(usize),
    /// Storage takes in a batch.
    Apply(usize),
    /// The stage hears of it.
    Accept(usize),
    /// Storage flushes of its own accord.
    OwnFlush(usize),
    /// An object is made, or refused.
    Land(usize),
    /// It is said not to have been made.
    FailPut(usize),
    /// The stage hears how far all is durable.
    Durable(usize),
    /// The stage hears that its flush has ended.
    Flushed(usize),
    /// Rows reach the stage.
    Loaded(usize, usize),
    /// Rows reach the stage as they were when the read began.
    LoadedEarly(usize, usize),
    /// Rows cannot be read.
    FailLoad(usize, usize),
    /// The manifest is read for a proof.
    Look(usize),
    /// What was read reaches the process.
    Prove(usize),
    /// The manifest cannot be read.
    FailProof(usize),
    /// What may be forgotten is.
    Forget(usize),
    /// A process dies.
    Crash(usize),
    /// A process claims the shard.
    Claim(usize),
    /// It fences the log and opens the shard.
    Open(usize),
    /// An object lands whose maker is gone.
    Drift(usize),
    /// The clock goes on.
    Pass,
}

const TOLD: &str = "what callers are told is durable";
const EQUAL: &str = "the stage decides as a complete map does";
const FRESH: &str = "no answer is older than a proof may be";
const ALONE: &str = "nobody else writes into an owner's log";
const AT_WORK: &str = "a job is at one worker, but for a third of a lease";
const RIGHTLY: &str = "each caller is told once, and rightly";
const WAITS: &str = "who waits, waits for something";

impl Shard {
    /// A model without anything wrong.
    pub fn new(
        asks: Asks,
        budget: Budget,
        (owners, start): (usize, Start),
        dangers: &'static [Danger],
    ) -> Self {
        Self {
            asks,
            budget,
            owners,
            start,
            dangers,
            wrong: None,
            seen: Seen::default(),
        }
    }

    /// The same, wrong in this way.
    pub fn wrongly(self, wrong: Wrong) -> Self {
        Self {
            wrong: Some(wrong),
            seen: Seen::default(),
            ..self
        }
    }

    fn first(&self) -> World {
        let mut world = World::new(
            one_job(),
            self.asks,
            self.budget,
            self.wrong,
            self.seen.clone(),
        );
        world.claim(0);
        world.open(0);
        if self.start == Start::Leased {
            // The prologue asks for what the budget does not count.
            let asks = std::mem::replace(&mut world.asks, [7; Ask::ALL.len()]);
            settle(&mut world);
            world.ask(0, Ask::Lease, 0);
            settle(&mut world);
            world.asks = asks;
        }
        world.seal()
    }

    fn of_owner(&self, world: &World, slot: usize, actions: &mut Vec<Action>) {
        let Some(owner) = world.owner(slot) else {
            return;
        };
        let left = world.left;
        let mut may = |is: bool, action: Action| {
            if is {
                actions.push(action);
            }
        };
        for ask in Ask::ALL {
            let is_left = world.asks.get(ask as usize).is_some_and(|left| *left > 0);
            match ask {
                Ask::Report | Ask::Heartbeat if is_left => {
                    for (task, at_work) in (0_u8..).zip(&world.facts.tasks) {
                        may(!at_work.is_over, Action::Ask(slot, ask, task));
                    }
                }
                _ => may(is_left, Action::Ask(slot, ask, 0)),
            }
        }
        may(owner.may_run(world.now), Action::Run(slot));
        let writing = owner.writing.as_ref().map(|writing| writing.is_applied);
        may(writing == Some(false), Action::Apply(slot));
        may(writing == Some(true), Action::Accept(slot));
        let may_put = owner.putting.is_none() && !owner.unflushed.is_empty();
        may(left.own_flushes > 0 && may_put, Action::OwnFlush(slot));
        may(owner.putting.is_some(), Action::Land(slot));
        may(
            left.put_faults > 0 && owner.putting.is_some(),
            Action::FailPut(slot),
        );
        may(owner.news.is_some(), Action::Durable(slot));
        let is_flushed = owner.flush == Flush::Ended;
        may(is_flushed, Action::Flushed(slot));
        for (index, load) in owner.loads.iter().enumerate() {
            may(true, Action::Loaded(slot, index));
            let now = crate::world::handle::read(&owner.visible.map, &load.item);
            may(now != load.early, Action::LoadedEarly(slot, index));
            may(left.load_faults > 0, Action::FailLoad(slot, index));
        }
        if let Some(question) = owner.question {
            may(question.is_ours.is_none(), Action::Look(slot));
            may(question.is_ours.is_some(), Action::Prove(slot));
            may(left.proof_faults > 0, Action::FailProof(slot));
        }
        may(left.forgets > 0, Action::Forget(slot));
        may(left.crashes > 0, Action::Crash(slot));
    }
}

impl Model for Shard {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.first()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        for slot in 0..SLOTS {
            match world.slots.get(slot) {
                Some(Slot::Open(_)) => self.of_owner(world, slot, actions),
                Some(Slot::Claimed { .. }) => actions.push(Action::Open(slot)),
                Some(Slot::Free) | None => {}
            }
        }
        // Which of the free places a process takes makes no difference.
        let is_free = |slot: &usize| matches!(world.slots.get(*slot), Some(Slot::Free));
        let taken = SLOTS - (0..SLOTS).filter(is_free).count();
        if let Some(slot) = (0..SLOTS).find(is_free)
            && world.left.claims > 0
            && taken < self.owners
        {
            actions.push(Action::Claim(slot));
        }
        actions.extend((0..world.adrift.len()).map(Action::Drift));
        if world.left.clock > 0 {
            actions.push(Action::Pass);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut next = last.clone();
        act(&mut next, action);
        let next = next.seal();
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds(world: &World, promise: Promise) -> bool {
            world
                .broken
                .as_ref()
                .is_none_or(|(broken, _)| *broken != promise)
        }
        let mut properties = vec![
            Property::always(TOLD, |_, world| holds(world, Promise::Durable)),
            Property::always(EQUAL, |_, world| holds(world, Promise::Equal)),
            Property::always(FRESH, |_, world| holds(world, Promise::Fresh)),
            Property::always(ALONE, |_, world| holds(world, Promise::Alone)),
            Property::always(AT_WORK, |_, world| holds(world, Promise::AtWork)),
            Property::always(RIGHTLY, |_, world| holds(world, Promise::Told)),
            Property::always(WAITS, |model: &Self, world: &World| {
                let owners = (0..SLOTS).filter_map(|slot| world.owner(slot));
                let waited_for = owners.filter(|owner| !owner.calls.is_empty());
                let mut things = waited_for.map(|owner| owner.under_way(world.now));
                if things.clone().any(|things| things == Some(1)) {
                    model.seen.hit(Danger::HangsOnOneThing);
                }
                world.broken.is_some() || things.all(|things| things != Some(0))
            }),
        ];
        properties.extend(self.dangers.iter().map(|danger| danger.sometimes()));
        properties
    }
}

fn act(world: &mut World, action: Action) {
    let spend = |left: &mut u8| *left = left.saturating_sub(1);
    match action {
        Action::Ask(slot, ask, task) => world.ask(slot, ask, task),
        Action::Run(slot) => world.run(slot),
        Action::Accept(slot) => world.accept(slot),
        Action::Land(slot) => world.land(slot),
        Action::FailPut(slot) => {
            spend(&mut world.left.put_faults);
            world.fail_put(slot);
        }
        Action::Loaded(slot, index) => world.load(slot, index, false),
        Action::LoadedEarly(slot, index) => world.load(slot, index, true),
        Action::Look(slot) => world.look(slot),
        Action::Prove(slot) => world.prove(slot),
        Action::Crash(slot) => {
            spend(&mut world.left.crashes);
            world.crash(slot);
        }
        Action::Claim(slot) => {
            spend(&mut world.left.claims);
            world.claim(slot);
        }
        Action::Open(slot) => world.open(slot),
        Action::Drift(index) => world.drift(index),
        Action::Pass => {
            spend(&mut world.left.clock);
            world.now += 1;
        }
        Action::Apply(slot)
        | Action::OwnFlush(slot)
        | Action::Durable(slot)
        | Action::Flushed(slot)
        | Action::FailLoad(slot, _)
        | Action::FailProof(slot)
        | Action::Forget(slot) => act_on_owner(world, slot, action),
    }
}

fn act_on_owner(world: &mut World, slot: usize, action: Action) {
    let is_wrong = world.wrong == Some(Wrong::ForgetsInFlight);
    let spend = |left: &mut u8| *left = left.saturating_sub(1);
    match action {
        Action::OwnFlush(_) => spend(&mut world.left.own_flushes),
        Action::FailLoad(..) => spend(&mut world.left.load_faults),
        Action::FailProof(_) => spend(&mut world.left.proof_faults),
        Action::Forget(_) => spend(&mut world.left.forgets),
        _ => {}
    }
    let Some(owner) = world.owner_mut(slot) else {
        return;
    };
    match action {
        Action::Apply(_) => owner.apply(),
        Action::OwnFlush(_) => {
            owner.begin_put();
        }
        Action::Durable(_) => {
            if let Some(seq) = owner.news.take() {
                owner.told = seq;
                owner.stage.hand().durable(seq);
                owner.is_dirty = true;
            }
        }
        Action::Flushed(_) => {
            owner.flush = Flush::None;
            owner.stage.hand().flushed();
            owner.is_dirty = true;
        }
        Action::FailLoad(_, index) => {
            let load = owner.loads.remove(index);
            owner.stage.hand().load_failed(load.id);
            owner.is_dirty = true;
        }
        Action::FailProof(_) => {
            owner.question = None;
            owner.stage.hand().proof_failed();
            owner.is_dirty = true;
        }
        Action::Forget(_) => owner.forget(is_wrong),
        _ => {}
    }
}

/// Everything that is under way ends well, as long as there is something.
fn settle(world: &mut World) {
    const STEPS_MAX: usize = 200;
    for _ in 0..STEPS_MAX {
        let Some(owner) = world.owner(0) else { return };
        let action = if owner.may_run(world.now) {
            Action::Run(0)
        } else if let Some(writing) = &owner.writing {
            if writing.is_applied {
                Action::Accept(0)
            } else {
                Action::Apply(0)
            }
        } else if owner.putting.is_some() {
            Action::Land(0)
        } else if owner.news.is_some() {
            Action::Durable(0)
        } else if owner.flush == Flush::Ended {
            Action::Flushed(0)
        } else if !owner.loads.is_empty() {
            Action::Loaded(0, 0)
        } else if owner.question.is_some_and(|q| q.is_ours.is_none()) {
            Action::Look(0)
        } else if owner.question.is_some() {
            Action::Prove(0)
        } else {
            return;
        };
        act(world, action);
    }
}

/// The first job waits.
fn one_job() -> Rows {
    let (mut rows, mut soft) = (Rows::default(), Soft::lost());
    let commands: [Command; 1] = [enqueue(0)];
    for command in commands {
        let enqueued = silo_core::shard::run(&mut soft, &mut rows, &stamp(0xff, 0), &command);
        debug_assert!(enqueued.is_ok());
    }
    rows
}
