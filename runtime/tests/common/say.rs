//! Short ways to say the commands.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::heartbeat::Heartbeat;
use silo_core::shard::commands::import::{ImportAttempt, ImportEnding, ImportJob};
use silo_core::shard::commands::inspect::Get;
use silo_core::shard::commands::lease::{Grantee, Lease};
use silo_core::shard::commands::lease_job::LeaseJob;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::table::job::JobKey;
use silo_core::table::tenant::Queue;
use silo_core::types::entropy::{Entropy, RequestId};
use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::{JobId, LimitKey, Priority, TaskGroup, WorkerId};
use silo_core::types::retention::Retention;
use silo_core::types::retry::{Jitter, RetryPolicy};
use silo_core::types::task::TaskId;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::{Millis, Timestamp};
use silo_core::types::weight::Weights;

/// How long a lease lasts when nobody says otherwise.
pub const LEASE_MS: u64 = 5_000;

/// Entropy that differs for every number.
pub fn entropy(number: u64) -> Entropy {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let both = (u128::from(mixed) << 64) | u128::from(number);
    Entropy(both.to_be_bytes())
}

pub fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

pub fn group(name: &str) -> TaskGroup {
    TaskGroup::parse(name).unwrap()
}

pub fn worker(name: &str) -> WorkerId {
    WorkerId::parse(name).unwrap()
}

pub fn job(tenant_name: &str, id: &str) -> JobKey {
    JobKey {
        tenant: tenant(tenant_name),
        job: JobId::parse(id).unwrap(),
    }
}

/// A job of group "g" with this id; safe to repeat unless `request` is taken away.
pub fn plain(key: &JobKey) -> Enqueue {
    Enqueue {
        limits: Vec::new(),
        tenant: key.tenant.clone(),
        id: Some(key.job.clone()),
        request: Some(RequestId([1; 16])),
        queue: Queue {
            group: group("g"),
            priority: Priority::parse(10).unwrap(),
        },
        start_at: None,
        retry: None,
        max_crashes: 2,
        lease: None,
        retention: Retention::FOREVER,
        metadata: BTreeMap::new(),
        payload: Bytes::from_static(b"\xc0"),
    }
}

/// A job to import, with so many failed attempts.
pub fn imported(key: &JobKey, failures: u8) -> ImportJob {
    let plain = plain(key);
    let attempt = |number: u8| ImportAttempt {
        started_at: Timestamp::from_millis(number.into()),
        finished_at: Timestamp::from_millis(i64::from(number) + 1),
        how: ImportEnding::Failed {
            code: "E".to_owned(),
            data: Bytes::from_static(b"\xc0"),
        },
    };
    ImportJob {
        tenant: plain.tenant,
        id: key.job.clone(),
        queue: plain.queue,
        enqueued_at: None,
        start_at: None,
        retry: Some(policy(3)),
        max_crashes: plain.max_crashes,
        limits: plain.limits,
        metadata: plain.metadata,
        payload: plain.payload,
        attempts: (0..failures).map(attempt).collect(),
    }
}

/// Retries after 1 s, 2 s, … with jitter, so that entropy matters.
/// Slots of some of three limits, a bit each; they have few.
pub fn limits(wanted: u8) -> Vec<Limit> {
    let limit = |(bit, (key, maximum)): (u8, (&str, u32))| {
        let key = LimitKey::parse(key).unwrap();
        (wanted & (1 << bit) != 0).then_some(Limit::Concurrency(Slot { key, maximum }))
    };
    let limits = [("a", 1), ("b", 2), ("c", 1)];
    (0..).zip(limits).filter_map(limit).collect()
}

pub fn policy(retry_count: u32) -> RetryPolicy {
    RetryPolicy {
        retry_count,
        initial_interval: Millis::new(1000),
        max_interval: Millis::new(4000),
        backoff_factor: 2.0,
        jitter: Jitter::Full,
    }
}

pub fn enqueue(enqueue: Enqueue) -> Command {
    Command::Enqueue(Box::new(enqueue))
}

pub fn grantee(name: &str) -> Grantee {
    Grantee {
        worker: worker(name),
        lease: None,
        lease_default: Millis::new(LEASE_MS),
    }
}

pub fn lease(group_name: &str, tasks_max: u32) -> Command {
    Command::Lease(Lease {
        group: group(group_name),
        grantee: grantee("w"),
        tasks_max,
        bytes_max: 1 << 20,
        weights: Weights::default(),
    })
}

pub fn lease_job(key: &JobKey) -> Command {
    Command::LeaseJob(LeaseJob {
        key: key.clone(),
        grantee: grantee("w"),
    })
}

pub fn heartbeat(task: &TaskId, name: &str) -> Command {
    Command::Heartbeat(Heartbeat {
        task: task.clone(),
        worker: worker(name),
    })
}

pub fn report(task: &TaskId, outcome: Outcome) -> Command {
    Command::Report(Report {
        task: task.clone(),
        outcome,
    })
}

pub fn success(data: &'static [u8]) -> Outcome {
    Outcome::Success {
        data: Bytes::from_static(data),
    }
}

pub fn failure() -> Outcome {
    Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::from_static(b"\xc0"),
        retryable: true,
        retry_after: None,
    }
}

pub fn get(key: &JobKey, earlier_attempts: bool) -> Command {
    Command::Get(Get {
        key: key.clone(),
        earlier_attempts,
    })
}
