//! Who is served, told beforehand by a model that knows no lines, tickets or searches: whoever
//! waits is looked at in the one order of all, and whoever finds a slot of each of its limits takes
//! them.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Shard, failure, job, lease_job, limit_key, limited, queue, success, tenant};
use proptest::prelude::*;
use silo_core::invariants::image::Image;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::reply::{Reply, Task};
use silo_core::table::job::JobKey;
use silo_core::table::limit::LimitName;
use silo_core::table::line::WaitPlace;
use silo_core::table::state::{Position, StateRow};
use silo_core::types::name::LimitKey;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Op {
    Enqueue(usize, Vec<(usize, u32)>, u32),
    Lease(u32),
    LeaseJob(usize),
    Report(usize, bool),
    Cancel(usize),
    Delete(usize),
    Restart(usize),
    Expedite(usize),
    Set(usize, LimitChange),
}

fn op() -> impl Strategy<Value = Op> {
    let limits = prop::collection::vec((0..KEYS.len(), 1..4_u32), 1..4);
    let change = prop_oneof![
        (0..5_u32).prop_map(LimitChange::Maximum),
        Just(LimitChange::Clear),
        Just(LimitChange::Pause),
        Just(LimitChange::Resume),
    ];
    prop_oneof![
        20 => (0..40_usize, limits, 0..3_u32).prop_map(|(id, l, p)| Op::Enqueue(id, l, p)),
        6 => (1..6_u32).prop_map(Op::Lease),
        2 => any::<usize>().prop_map(Op::LeaseJob),
        16 => (any::<usize>(), any::<bool>()).prop_map(|(pick, is_well)| Op::Report(pick, is_well)),
        3 => any::<usize>().prop_map(Op::Cancel),
        2 => any::<usize>().prop_map(Op::Delete),
        3 => any::<usize>().prop_map(Op::Restart),
        3 => any::<usize>().prop_map(Op::Expedite),
        3 => (0..KEYS.len(), change).prop_map(|(key, change)| Op::Set(key, change)),
    ]
}

struct World {
    shard: Shard,
    tasks: Vec<Task>,
    /// Jobs that were served from a line.
    served: usize,
}

/// Of whom a command is: everybody else is moved by searches alone.
fn subject(command: &Command) -> Option<JobKey> {
    match command {
        Command::Enqueue(enqueue) => Some(job("t", enqueue.id.as_ref().unwrap().as_str())),
        Command::LeaseJob(lease) => Some(lease.key.clone()),
        Command::Report(report) => Some(JobKey {
            tenant: report.task.tenant.clone(),
            job: report.task.job.clone(),
        }),
        Command::Cancel(key)
        | Command::Delete(key)
        | Command::Restart(key)
        | Command::Expedite(key) => Some(key.clone()),
        _ => None,
    }
}

fn holds(state: &StateRow) -> bool {
    matches!(state.position, Position::Ready(_) | Position::Leased(_))
}

/// Where a job stands that waits, or that came and took its slots at once.
fn order(state: &StateRow) -> Option<WaitPlace> {
    match &state.position {
        Position::Parked { place, .. } => Some(*place),
        Position::Ready(place) => Some(WaitPlace::new(state.queue.priority, *place)),
        _ => None,
    }
}

/// Who holds its slots once everybody was looked at.
fn ready(before: &Image, after: &Image, subject: Option<&JobKey>) -> BTreeSet<JobKey> {
    let is_subject = |key: &JobKey| Some(key) == subject;
    let mut free: BTreeMap<LimitKey, i64> = BTreeMap::new();
    for (name, row) in &after.limits {
        free.insert(name.key.clone(), i64::from(row.slots()));
    }
    let take = |free: &mut BTreeMap<LimitKey, i64>, state: &StateRow| {
        for slot in &state.slots {
            *free.entry(slot.key.clone()).or_insert(slot.maximum.into()) -= 1;
        }
    };
    let mut waiting: BTreeMap<WaitPlace, (JobKey, StateRow)> = BTreeMap::new();
    for (key, state) in before.states.iter().filter(|(key, _)| !is_subject(key)) {
        if holds(state) {
            take(&mut free, state);
        } else if let Some(place) = order(state) {
            waiting.insert(place, (key.clone(), state.clone()));
        }
    }
    if let Some(key) = subject
        && let Some(state) = after.states.get(key)
    {
        let held = before.states.get(key).is_some_and(holds);
        if held && holds(state) || matches!(state.position, Position::Leased(_)) {
            take(&mut free, state);
        } else if let Some(place) = order(state) {
            waiting.insert(place, (key.clone(), state.clone()));
        }
    }
    let mut ready = BTreeSet::new();
    for (key, state) in waiting.into_values() {
        let has_slot = |key: &LimitKey, maximum: u32| free.get(key).map_or(maximum > 0, |n| *n > 0);
        if state.slots.iter().all(|s| has_slot(&s.key, s.maximum)) {
            take(&mut free, &state);
            ready.insert(key);
        }
    }
    ready
}

impl World {
    fn job(&self, pick: usize) -> JobKey {
        let image = self.shard.image();
        let mut keys = image.states.keys();
        let count = keys.len().max(1);
        let key = keys.nth(pick % count);
        key.cloned().unwrap_or_else(|| job("t", "nobody"))
    }

    fn apply(&mut self, op: Op) {
        let command = match op {
            Op::Enqueue(id, limits, priority) => {
                let limits: Vec<_> = limits.iter().map(|(key, n)| (KEYS[*key], *n)).collect();
                Command::Enqueue(Box::new(Enqueue {
                    tenant: tenant("t"),
                    queue: queue("g", priority),
                    ..limited(&format!("j{id}"), &limits)
                }))
            }
            Op::Lease(tasks_max) => common::lease("g", tasks_max),
            Op::LeaseJob(pick) => lease_job(&self.job(pick)),
            Op::Report(pick, is_well) => {
                if self.tasks.is_empty() {
                    return;
                }
                let task = self.tasks.remove(pick % self.tasks.len());
                let outcome = if is_well { success() } else { failure() };
                common::report(&task.id, outcome)
            }
            Op::Cancel(pick) => Command::Cancel(self.job(pick)),
            Op::Delete(pick) => Command::Delete(self.job(pick)),
            Op::Restart(pick) => Command::Restart(self.job(pick)),
            Op::Expedite(pick) => Command::Expedite(self.job(pick)),
            Op::Set(key, change) => Command::SetLimit(SetLimit {
                limit: LimitName {
                    tenant: tenant("t"),
                    key: limit_key(KEYS[key]),
                },
                change,
            }),
        };
        let before = self.shard.image();
        if let Reply::Leased(tasks) = self.shard.run(&command) {
            self.tasks.extend(tasks);
        }
        let after = self.shard.image();
        // Tickets keep slots for who was passed over, and what is left to ticks comes later.
        let has_tickets = |image: &Image| image.lines.values().any(|line| line.ticket.is_some());
        if has_tickets(&before) || has_tickets(&after) || !after.admits.is_empty() {
            return;
        }
        let subject = subject(&command);
        let told = ready(&before, &after, subject.as_ref());
        let waited = |key: &JobKey| {
            let state = before.states.get(key);
            let was_parked =
                state.is_some_and(|state| matches!(state.position, Position::Parked { .. }));
            was_parked || Some(key) == subject.as_ref() && !state.is_some_and(holds)
        };
        let is_ready = |state: &StateRow| matches!(state.position, Position::Ready(_));
        let is_new = |(key, state): &(&JobKey, &StateRow)| is_ready(state) && waited(key);
        let found: BTreeSet<JobKey> = after
            .states
            .iter()
            .filter(is_new)
            .map(|(k, _)| k.clone())
            .collect();
        self.served += found
            .iter()
            .filter(|key| Some(*key) != subject.as_ref())
            .count();
        assert_eq!(found, told, "{command:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whoever_waits_is_served_in_order_as_soon_as_its_slots_are_free(
        script in prop::collection::vec(op(), 1..150),
    ) {
        let mut world = World { shard: Shard::new(), tasks: Vec::new(), served: 0 };
        for op in script {
            world.apply(op);
        }
    }
}

/// The property says nothing where nobody is served.
#[test]
fn many_are_served_from_lines() {
    let mut world = World {
        shard: Shard::new(),
        tasks: Vec::new(),
        served: 0,
    };
    for id in 0..30 {
        world.apply(Op::Enqueue(id, vec![(id % 4, 1), ((id + 1) % 4, 2)], 0));
    }
    for _ in 0..40 {
        world.apply(Op::Lease(4));
        world.apply(Op::Report(0, true));
    }
    assert!(world.served > 20, "{}", world.served);
}
