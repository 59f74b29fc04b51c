//! Random commands on jobs with limits. Every invariant holds after every command; nobody who waits
//! is passed by one of its own line; nobody is given more than the limit has; what is lost of soft
//! state is found again; and when whoever runs ends, everybody has run.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::BTreeMap;

use common::{Shard, failure, imported, job, lease_job, limited, policy, queue, success, tenant};
use proptest::prelude::*;
use silo_core::invariants::image::Image;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{Enqueue, EnqueueAll};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::reply::{Reply, Task};
use silo_core::shard::soft::Soft;
use silo_core::table::Table;
use silo_core::table::TableId;
use silo_core::table::job::JobKey;
use silo_core::table::line::{LineName, WaitPlace};
use silo_core::table::state::{Position, States};
use silo_core::types::time::{Millis, Timestamp};

const TENANTS: [&str; 2] = ["t", "u"];
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

type Pick = usize;

#[derive(Clone)]
struct Script(Vec<Op>);

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for op in &self.0 {
            writeln!(f, "{op:?}")?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Asked {
    id: usize,
    tenant: usize,
    limits: Vec<(usize, u32)>,
    priority: u32,
    start_in: Option<i64>,
    retries: Option<u32>,
}

#[derive(Clone, Debug)]
enum Op {
    Enqueue(Asked),
    EnqueueAll(Vec<Asked>),
    Import(Asked),
    Lease(u32),
    LeaseJob(Pick),
    Report(Pick, Outcome),
    Heartbeat(Pick),
    Cancel(Pick),
    Delete(Pick),
    Restart(Pick),
    Expedite(Pick),
    Settle,
    Later(i64),
    Earlier(i64),
    Lost,
    Damage(Pick),
}

fn asked() -> impl Strategy<Value = Asked> {
    let maximum = prop_oneof![1 => Just(0_u32), 8 => 1..3_u32, 1 => 3..6_u32];
    let limits = prop::collection::vec((0..KEYS.len(), maximum), 0..4);
    let start = prop::option::weighted(0.15, 0..20_000_i64);
    let rules = (0..3_u32, start, prop::option::weighted(0.3, 1..3_u32));
    (0..30_usize, 0..TENANTS.len(), limits, rules).prop_map(|(id, tenant, limits, rules)| Asked {
        id,
        tenant,
        limits,
        priority: rules.0,
        start_in: rules.1,
        retries: rules.2,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        5 => Just(success()),
        2 => Just(failure()),
        1 => Just(Outcome::Cancelled),
        2 => Just(Outcome::Release),
        1 => (0..9000_u64).prop_map(|ms| Outcome::Snooze { delay: Millis::new(ms) }),
    ]
}

fn op(with_damage: bool) -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => asked().prop_map(Op::Enqueue),
        2 => prop::collection::vec(asked(), 0..6).prop_map(Op::EnqueueAll),
        1 => asked().prop_map(Op::Import),
        10 => (1..6_u32).prop_map(Op::Lease),
        3 => any::<Pick>().prop_map(Op::LeaseJob),
        16 => (any::<Pick>(), outcome()).prop_map(|(p, o)| Op::Report(p, o)),
        3 => any::<Pick>().prop_map(Op::Heartbeat),
        4 => any::<Pick>().prop_map(Op::Cancel),
        2 => any::<Pick>().prop_map(Op::Delete),
        3 => any::<Pick>().prop_map(Op::Restart),
        4 => any::<Pick>().prop_map(Op::Expedite),
        3 => Just(Op::Settle),
        4 => (0..15_000_i64).prop_map(Op::Later),
        1 => (0..60_000_i64).prop_map(Op::Earlier),
        2 => Just(Op::Lost),
        1 => any::<Pick>().prop_map(move |pick| match with_damage {
            true => Op::Damage(pick),
            false => Op::Lost,
        }),
    ]
}

fn script(with_damage: bool) -> impl Strategy<Value = Script> {
    prop::collection::vec(op(with_damage), 1..150).prop_map(Script)
}

struct World {
    shard: Shard,
    tasks: Vec<Task>,
    before: Image,
}

impl World {
    fn new() -> Self {
        let shard = Shard::new();
        Self {
            before: shard.image(),
            shard,
            tasks: Vec::new(),
        }
    }

    fn enqueue(&self, asked: &Asked) -> Enqueue {
        let limits: Vec<(&str, u32)> = asked.limits.iter().map(|(k, n)| (KEYS[*k], *n)).collect();
        let start = asked
            .start_in
            .map(|ms| Timestamp::from_millis(self.shard.now + ms));
        Enqueue {
            tenant: tenant(TENANTS[asked.tenant]),
            queue: queue("g", asked.priority),
            start_at: start,
            retry: asked.retries.map(policy),
            ..limited(&format!("j{}", asked.id), &limits)
        }
    }

    fn job(&self, pick: Pick) -> JobKey {
        let image = self.shard.image();
        let states = image.states.keys().chain(image.damaged_states.keys());
        let mut keys: Vec<&JobKey> = states.collect();
        keys.sort();
        match keys.len() {
            0 => job("t", "nobody"),
            len => keys[pick % len].clone(),
        }
    }

    fn task(&self, pick: Pick) -> Option<Task> {
        self.tasks.iter().rev().nth(pick % 8).cloned()
    }

    fn run(&mut self, command: Command) {
        let reply = self.shard.run(&command);
        if let Reply::Leased(tasks) = reply {
            self.tasks.extend(tasks);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Enqueue(asked) => {
                let enqueue = self.enqueue(&asked);
                self.run(Command::Enqueue(Box::new(enqueue)));
            }
            Op::EnqueueAll(all) => {
                let jobs = all.iter().map(|asked| Enqueue {
                    tenant: tenant("t"),
                    ..self.enqueue(asked)
                });
                let jobs = jobs.collect();
                self.run(Command::EnqueueAll(EnqueueAll { jobs }));
            }
            Op::Import(asked) => {
                let enqueue = self.enqueue(&asked);
                let mut job = imported(enqueue.id.as_ref().unwrap().as_str(), Vec::new());
                job.tenant = enqueue.tenant;
                job.limits = enqueue.limits;
                self.shard.import(vec![job]);
            }
            Op::Lease(tasks_max) => self.run(common::lease("g", tasks_max)),
            Op::LeaseJob(pick) => self.run(lease_job(&self.job(pick))),
            Op::Report(pick, outcome) => {
                if let Some(task) = self.task(pick) {
                    self.shard.report(&task.id, outcome);
                }
            }
            Op::Heartbeat(pick) => {
                if let Some(task) = self.task(pick) {
                    self.shard.heartbeat(&task.id);
                }
            }
            Op::Cancel(pick) => self.run(Command::Cancel(self.job(pick))),
            Op::Delete(pick) => self.run(Command::Delete(self.job(pick))),
            Op::Restart(pick) => self.run(Command::Restart(self.job(pick))),
            Op::Expedite(pick) => self.run(Command::Expedite(self.job(pick))),
            Op::Settle => drop(self.shard.settle()),
            Op::Later(millis) => self.shard.now += millis,
            Op::Earlier(millis) => {
                self.shard.now -= millis;
                self.shard.soft = Soft::lost();
            }
            Op::Lost => self.shard.soft = Soft::lost(),
            Op::Damage(pick) => {
                let key = self.job(pick);
                // One that is cut twice does not say any more whether it ran: then what it held
                // stays held until an operator has it counted anew.
                if self.shard.image().states.contains_key(&key) {
                    self.shard.is_damaged = true;
                    self.shard.once_damaged.insert(key.clone());
                    self.shard.damage(&States::key(&key));
                }
            }
        }
        self.nobody_is_passed_by();
    }

    /// Of those that waited in one line, whoever took slots stood before whoever waits on.
    fn nobody_is_passed_by(&mut self) {
        let after = self.shard.image();
        let waiting = |image: &Image| -> BTreeMap<JobKey, (LineName, WaitPlace)> {
            let of = |row: &silo_core::table::line::WaiterKey| {
                let key = JobKey {
                    tenant: row.line.tenant.clone(),
                    job: row.job.clone(),
                };
                (key, (row.line.clone(), row.place))
            };
            image.waiters.iter().map(of).collect()
        };
        let now = waiting(&after);
        let mut last: BTreeMap<LineName, WaitPlace> = BTreeMap::new();
        for (key, (line, place)) in waiting(&self.before) {
            // What stands in line for one that was damaged is passed by, whatever became of it.
            if self.shard.once_damaged.contains(&key) {
                continue;
            }
            let position = after.states.get(&key).map(|state| &state.position);
            if matches!(position, Some(Position::Ready(_))) {
                let last = last.entry(line).or_insert(place);
                *last = (*last).max(place);
            }
        }
        for (key, (line, place)) in &now {
            if self.shard.once_damaged.contains(key) {
                continue;
            }
            let was_there = self.before.states.get(key).is_some_and(|state| {
                matches!(&state.position, Position::Parked { place: old, .. } if old == place)
            });
            if let Some(last) = last.get(line).filter(|_| was_there) {
                assert!(place > last, "{key:?} at {place:?} was passed by {last:?}");
            }
        }
        self.before = after;
    }

    /// Whoever waits beside nobody who runs waits for a limit without slots.
    fn open_all(&mut self, round: usize) {
        let image = self.shard.image();
        for (name, row) in &image.limits {
            assert!(
                row.parked.is_none() || row.slots() == 0,
                "{name:?}: {row:?}"
            );
            self.shard.run(&Command::Enqueue(Box::new(Enqueue {
                tenant: name.tenant.clone(),
                ..limited(&format!("{}{round}", name.key), &[(name.key.as_str(), 2)])
            })));
        }
    }

    /// Whoever runs ends, again and again: everybody comes to an end.
    fn finish(mut self) {
        self.shard.now += 200_000;
        for round in 0..600 {
            self.shard.settle();
            let tasks = self.shard.lease(3);
            if tasks.is_empty() && self.shard.next_wake().is_none() {
                if self.shard.image().waiters.is_empty() {
                    break;
                }
                // Who said itself that there is no slot waits until somebody says otherwise.
                self.open_all(round);
            }
            for task in tasks {
                self.shard.report(&task.id, success());
            }
            self.nobody_is_passed_by();
            self.shard.now += 1000;
        }
        let image = self.shard.image();
        for (key, state) in &image.states {
            let is_over = matches!(
                &state.position,
                Position::Ended { .. } | Position::Quarantined { .. }
            );
            assert!(
                is_over,
                "{key:?} stands at {:?}, wants {:?}\n{:?}\n{:?}",
                state.position, state.slots, image.limits, image.lines
            );
        }
        let left = self
            .shard
            .rows
            .map
            .keys()
            .filter(|key| key[0] >= TableId::Limit.byte());
        if self.shard.once_damaged.is_empty() {
            assert_eq!(
                left.count(),
                0,
                "nothing is left of limits that nobody uses"
            );
        }
    }
}

fn play(script: Script) {
    let mut world = World::new();
    for op in script.0 {
        world.apply(op);
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn limits_hold_and_everybody_runs(script in script(false)) {
        play(script);
    }

    #[test]
    fn limits_hold_and_everybody_runs_beside_damaged_jobs(script in script(true)) {
        play(script);
    }
}
