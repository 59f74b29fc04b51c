//! Damage of any row at any time: no command is without end, ticks go on, and when every job has
//! been deleted and every queue been met, nothing is left.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::BTreeSet;

use bytes::Bytes;
use common::partial::config;
use common::{
    Shard, attempted, failed_import, get, heartbeat, imported, job, kept, lease, lease_job, report,
    retrying, success,
};
use proptest::prelude::*;
use silo_core::shard::command::Command;
use silo_core::shard::commands::import::Import;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::table::attempt::Attempts;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::table::payload::PayloadKey;
use silo_core::table::{Table, TableId};
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Timestamp};

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

struct World {
    shard: Shard,
    tasks: Vec<TaskId>,
    /// Jobs of which an attempt was damaged at some time.
    attempts_damaged: BTreeSet<JobKey>,
}

impl World {
    fn new() -> Self {
        let mut shard = Shard::new();
        shard.is_checked = false;
        let tasks = Vec::new();
        let attempts_damaged = BTreeSet::new();
        Self {
            shard,
            tasks,
            attempts_damaged,
        }
    }

    fn run(&mut self, command: &Command) {
        if let Reply::Leased(tasks) = self.shard.run(command) {
            self.tasks.extend(tasks.into_iter().map(|task| task.id));
        }
    }

    fn apply(&mut self, what: u8, pick: u16) {
        let pick = usize::from(pick);
        let id = IDS[pick % IDS.len()];
        let key = job("t", id);
        let large = Bytes::from(vec![1; if pick % 3 == 0 { 5000 } else { 3 }]);
        let task = self.tasks.iter().rev().nth(pick % 4).cloned();
        match what % 16 {
            0 | 1 => {
                let mut asked = retrying(id, 3);
                asked.payload = large;
                asked.start_at = (pick % 5 == 0)
                    .then(|| Timestamp::from_millis(self.shard.now + i64::try_from(pick).unwrap()));
                if pick % 7 == 0 {
                    asked.retention = kept("x", 500).retention;
                }
                self.run(&Command::Enqueue(Box::new(asked)));
            }
            2 => self.run(&lease("g", 2)),
            3 => self.run(&lease_job(&key)),
            4 => {
                if let Some(task) = task {
                    self.run(&heartbeat(&task, "w"));
                }
            }
            5 | 6 => {
                let outcomes = [
                    success(),
                    Outcome::Failure {
                        code: "E".to_owned(),
                        data: large.clone(),
                        retryable: true,
                        retry_after: Some(Millis::ZERO),
                    },
                    Outcome::Failure {
                        code: "E".to_owned(),
                        data: large,
                        retryable: pick % 2 == 0,
                        retry_after: None,
                    },
                    Outcome::Release,
                ];
                if let Some(task) = task {
                    self.run(&report(&task, outcomes[pick % outcomes.len()].clone()));
                }
            }
            7 => self.run(&Command::Cancel(key)),
            8 => self.run(&Command::Delete(key)),
            9 => self.run(&Command::Restart(key)),
            10 => self.run(&Command::Expedite(key)),
            11 => {
                let attempts = (0..3).map(|n| attempted(n, failed_import())).collect();
                let jobs = vec![imported(id, attempts)];
                self.run(&Command::Import(Import { jobs }));
            }
            12 => self.run(&get(&key)),
            13 => {
                self.shard.now += i64::try_from(pick).unwrap();
                self.shard.settle();
            }
            14 if pick % 4 == 0 => self.shard.soft = Soft::lost(),
            _ => self.damage(pick),
        }
    }

    /// Cuts some row of a job short: a tenant's stops the tenant until somebody mends it.
    fn damage(&mut self, pick: usize) {
        let may_be = |key: &&Key| {
            !matches!(
                TableId::of(key),
                Some(TableId::Tenant | TableId::Payload | TableId::Singleton) | None
            )
        };
        let keys: Vec<Key> = self.shard.rows.map.keys().filter(may_be).cloned().collect();
        if let Some(key) = keys.get(pick % keys.len().max(1)) {
            self.attempts_damaged
                .extend(Attempts::read_key(key).map(|at| JobKey {
                    tenant: at.tenant,
                    job: at.job,
                }));
            self.shard.damage(key);
        }
    }

    fn jobs(&self) -> BTreeSet<JobKey> {
        let image = self.shard.image();
        let readable = image.states.into_keys();
        readable.chain(image.damaged_states.into_keys()).collect()
    }

    /// What the latest attempt reported of a job whose attempts were given up before its state was
    /// damaged too: nobody knows that attempt's number any more.
    fn may_be_left(&self, key: &Key) -> bool {
        PayloadKey::read_key(key).is_ok_and(|at| {
            self.shard.once_damaged.contains(&at.job) && self.attempts_damaged.contains(&at.job)
        })
    }

    /// Deletes every job, and meets what stands in queues.
    fn clear(&mut self) {
        for _ in 0..20 {
            for key in self.jobs() {
                self.run(&Command::Delete(key));
            }
            self.run(&lease("g", 100));
            for task in std::mem::take(&mut self.tasks) {
                self.run(&report(&task, success()));
            }
            self.shard.pass(100_000);
            if self.shard.rows.map.keys().all(|key| self.may_be_left(key)) {
                return;
            }
        }
        let left: Vec<String> = self
            .shard
            .rows
            .map
            .keys()
            .map(|key| format!("{key:?}"))
            .collect();
        panic!("left: {}", left.join("\n"));
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn whatever_is_damaged_nothing_is_left_once_all_jobs_are_deleted(
        ops in prop::collection::vec(any::<(u8, u16)>(), 1..300)
    ) {
        let mut world = World::new();
        for (what, pick) in ops {
            world.apply(what, pick);
        }
        world.clear();
    }
}
