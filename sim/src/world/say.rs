//! What plans say, as commands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{Enqueue, EnqueueAll};
use silo_core::shard::commands::import::{Import, ImportAttempt, ImportEnding, ImportJob};
use silo_core::shard::commands::inspect::{Get, ListSetAside};
use silo_core::shard::commands::lease::{Grantee, Lease};
use silo_core::shard::commands::lease_job::LeaseJob;
use silo_core::shard::commands::list::List;
use silo_core::shard::commands::list_limits::ListLimits;
use silo_core::shard::commands::pause::SetQueue;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::show_limit::ShowLimit;
use silo_core::shard::commands::tenant::{SetTenant, SetWeight};
use silo_core::table::job::JobKey;
use silo_core::table::limit::LimitName;
use silo_core::table::state::Status;
use silo_core::table::tenant::Queue;
use silo_core::types::entropy::RequestId;
use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::{JobId, LimitKey, Priority, TaskGroup, WorkerId};
use silo_core::types::retention::Retention;
use silo_core::types::retry::{Jitter, RetryPolicy};
use silo_core::types::tenant::Tenant;
use silo_core::types::time::{Millis, Timestamp};
use silo_core::types::weight::{Weight, Weights};

use crate::plan::{Ask, JobSpec, Naming, Said, Want};

/// Most tasks of one request, in bytes.
const LEASE_BYTES_MAX: u64 = 1 << 20;

/// The names of a world, made once.
#[derive(Debug)]
pub struct Names {
    tenants: Vec<Tenant>,
    groups: Vec<TaskGroup>,
    /// What each tenant weighs, as the configuration says.
    weights: Weights,
    /// The latest key of each job.
    keys: BTreeMap<u32, JobKey>,
}

impl Names {
    /// So many tenants and groups.
    pub fn new(tenants: u32, groups: u32) -> Self {
        let tenants = (0..tenants).filter_map(|n| Tenant::parse(&format!("tenant-{n}")).ok());
        let groups = (0..groups).filter_map(|n| TaskGroup::parse(&format!("group-{n}")).ok());
        Self {
            tenants: tenants.collect(),
            groups: groups.collect(),
            weights: Weights::default(),
            keys: BTreeMap::new(),
        }
    }

    /// Those, with these weights, in the order of the tenants' numbers.
    pub fn with_weights(tenants: u32, groups: u32, weights: &[u32]) -> Self {
        let names = Self::new(tenants, groups);
        let weights = weights
            .iter()
            .filter_map(|number| Weight::parse(*number).ok());
        let named: BTreeMap<_, _> = names.tenants.iter().cloned().zip(weights).collect();
        let weights = Weights {
            default: Weight::ONE,
            named: Arc::new(named),
        };
        Self { weights, ..names }
    }

    /// What each tenant weighs, as the configuration says.
    pub fn weights(&self) -> Weights {
        self.weights.clone()
    }

    /// The tenants, in the order of their numbers.
    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// A task group; there is one.
    pub fn group(&self, number: u32) -> TaskGroup {
        let index = (number as usize)
            .checked_rem(self.groups.len())
            .unwrap_or(0);
        self.groups.get(index).cloned().unwrap_or_else(a_group)
    }

    /// Whose job it is.
    pub fn tenant_of(&self, spec: &JobSpec) -> Tenant {
        self.tenant(spec.tenant)
    }

    fn tenant(&self, number: u32) -> Tenant {
        let index = (number as usize)
            .checked_rem(self.tenants.len())
            .unwrap_or(0);
        self.tenants
            .get(index)
            .cloned()
            .unwrap_or_else(Tenant::single)
    }

    /// The server has made up a name for a job.
    pub fn learn(&mut self, number: u32, key: JobKey) {
        self.keys.insert(number, key);
    }

    /// The key of a job, as far as it was asked for.
    pub fn key(&self, number: u32) -> JobKey {
        self.keys.get(&number).cloned().unwrap_or_else(|| JobKey {
            tenant: self.tenant(0),
            job: job_id(number),
        })
    }

    /// The command that asks for this, at this time by the client's clock.
    pub fn command(&mut self, ask: &Ask, now_ms: i64, lease: Millis) -> Command {
        match ask {
            Ask::Enqueue(spec) => Command::Enqueue(Box::new(self.enqueue(spec, now_ms))),
            Ask::EnqueueAll(jobs) => {
                let first = jobs.first().map_or(0, |spec| spec.tenant);
                let jobs = jobs.iter().map(|spec| {
                    let spec = JobSpec {
                        tenant: first,
                        ..spec.clone()
                    };
                    self.enqueue(&spec, now_ms)
                });
                let jobs = jobs.collect();
                Command::EnqueueAll(EnqueueAll { jobs })
            }
            Ask::Import {
                jobs,
                failures,
                succeeded,
            } => {
                let jobs = jobs
                    .iter()
                    .map(|spec| self.import(spec, now_ms, *failures, *succeeded));
                let jobs = jobs.collect();
                Command::Import(Import { jobs })
            }
            Ask::Cancel(job) => Command::Cancel(self.key(*job)),
            Ask::Delete(job) => Command::Delete(self.key(*job)),
            Ask::Restart(job) => Command::Restart(self.key(*job)),
            Ask::Expedite(job) => Command::Expedite(self.key(*job)),
            Ask::Get(job, all) => Command::Get(Get {
                key: self.key(*job),
                earlier_attempts: *all,
            }),
            Ask::Result(job) | Ask::Await(job) => Command::Result(self.key(*job)),
            Ask::List {
                tenant,
                group,
                ended,
                page,
            } => Command::List(List {
                tenant: self.tenant(*tenant),
                statuses: ended.map_or_else(BTreeSet::new, statuses),
                group: group.map(|group| self.group(group)),
                prefix: None,
                after: None,
                jobs_max: *page,
            }),
            Ask::LeaseJob(job) => Command::LeaseJob(LeaseJob {
                key: self.key(*job),
                grantee: grantee(&worker("by-hand"), lease),
            }),
            Ask::ListSetAside => Command::ListSetAside(ListSetAside {
                tenant: None,
                after: None,
                jobs_max: 10,
            }),
            Ask::SetLimit {
                tenant,
                key,
                change,
            } => self.set_limit(*tenant, *key, *change),
            Ask::Recount(tenant) => Command::RecountLimits(self.tenant(*tenant)),
            Ask::SetTenant {
                tenant,
                weight,
                paused,
            } => Command::SetTenant(SetTenant {
                tenant: self.tenant(*tenant),
                weight: weight.map_or(SetWeight::Keep, |number| {
                    Weight::parse(number).map_or(SetWeight::Clear, SetWeight::To)
                }),
                paused: *paused,
            }),
            Ask::SetQueue {
                tenant,
                group,
                paused,
            } => Command::SetQueue(SetQueue {
                group: self.group(*group),
                tenant: tenant.map(|tenant| self.tenant(tenant)),
                is_paused: *paused,
            }),
            Ask::GetTenant(tenant) => Command::GetTenant(self.tenant(*tenant)),
            Ask::ListPaused => Command::ListPaused,
            Ask::ListLimits(tenant, limits_max) => Command::ListLimits(ListLimits {
                tenant: self.tenant(*tenant),
                prefix: String::new(),
                after: None,
                limits_max: *limits_max,
            }),
            Ask::ShowLimit { tenant, key, jobs } => self.show_limit(*tenant, *key, *jobs),
            Ask::Explain(job) => Command::Explain(self.key(*job)),
        }
    }

    fn show_limit(&self, tenant: u32, key: u8, jobs_max: u32) -> Command {
        let Some(key) = limit_key(key) else {
            return Command::ListPaused;
        };
        let tenant = self.tenant(tenant);
        Command::ShowLimit(ShowLimit {
            limit: LimitName { tenant, key },
            holders_max: jobs_max,
            holders_after: None,
            waiters_max: jobs_max,
        })
    }

    fn set_limit(&self, tenant: u32, key: u8, change: Said) -> Command {
        let change = match change {
            Said::Maximum(maximum) => LimitChange::Maximum(maximum),
            Said::Clear => LimitChange::Clear,
            Said::Pause => LimitChange::Pause,
            Said::Resume => LimitChange::Resume,
        };
        let Some(key) = limit_key(key) else {
            return Command::ListPaused;
        };
        let tenant = self.tenant(tenant);
        let limit = LimitName { tenant, key };
        Command::SetLimit(SetLimit { limit, change })
    }

    fn enqueue(&mut self, spec: &JobSpec, now_ms: i64) -> Enqueue {
        let tenant = self.tenant(spec.tenant);
        let request = RequestId(request_bytes(spec.job));
        let is_named = matches!(spec.naming, Naming::Repeatable | Naming::Once);
        let is_repeatable = matches!(spec.naming, Naming::Repeatable | Naming::ByRequest);
        let id = is_named.then(|| job_id(spec.job));
        let job = match spec.naming {
            Naming::Repeatable | Naming::Once => Some(job_id(spec.job)),
            Naming::ByRequest => Some(request.job_id()),
            Naming::Made => None,
        };
        if let Some(job) = job {
            let tenant = tenant.clone();
            self.learn(spec.job, JobKey { tenant, job });
        }
        let kept = spec.kept_ms.map(Millis::new);
        Enqueue {
            tenant,
            id,
            request: is_repeatable.then_some(request),
            queue: self.queue(spec),
            start_at: spec
                .start_in_ms
                .map(|by| Timestamp::from_millis(now_ms.saturating_add(by))),
            retry: spec.retries.map(policy),
            max_crashes: spec.max_crashes,
            limits: limits(spec),
            lease: spec.lease_ms.map(Millis::new),
            retention: Retention {
                succeeded: kept,
                failed: kept,
                cancelled: None,
            },
            metadata: BTreeMap::new(),
            payload: payload(spec),
        }
    }

    fn import(&mut self, spec: &JobSpec, now_ms: i64, failures: u32, succeeded: bool) -> ImportJob {
        let tenant = self.tenant(spec.tenant);
        let id = job_id(spec.job);
        let key = JobKey {
            tenant: tenant.clone(),
            job: id.clone(),
        };
        self.learn(spec.job, key);
        let attempt = |number: u32, how| ImportAttempt {
            started_at: Timestamp::from_millis(i64::from(number)),
            finished_at: Timestamp::from_millis(i64::from(number).saturating_add(1)),
            how,
        };
        let failed = |number: u32| {
            let code = "E".to_owned();
            let data = Bytes::from_static(b"\xc0");
            attempt(number, ImportEnding::Failed { code, data })
        };
        let mut attempts: Vec<_> = (0..failures).map(failed).collect();
        if succeeded {
            let data = Bytes::from_static(b"\xc3");
            attempts.push(attempt(failures, ImportEnding::Succeeded { data }));
        }
        ImportJob {
            tenant,
            id,
            queue: self.queue(spec),
            enqueued_at: None,
            start_at: spec
                .start_in_ms
                .map(|by| Timestamp::from_millis(now_ms.saturating_add(by))),
            retry: spec.retries.map(policy),
            max_crashes: spec.max_crashes,
            limits: limits(spec),
            metadata: BTreeMap::new(),
            payload: payload(spec),
            attempts,
        }
    }

    fn queue(&self, spec: &JobSpec) -> Queue {
        Queue {
            group: self.group(spec.group),
            priority: Priority::parse(spec.priority).unwrap_or_default(),
        }
    }
}

/// A job that says that a limit has a slot.
pub fn unpause(name: &LimitName, number: u32, group: TaskGroup) -> Command {
    let request = RequestId((u128::MAX - u128::from(number)).to_be_bytes());
    Command::Enqueue(Box::new(Enqueue {
        tenant: name.tenant.clone(),
        id: None,
        request: Some(request),
        queue: Queue {
            group,
            priority: Priority::default(),
        },
        start_at: None,
        retry: None,
        max_crashes: 5,
        limits: vec![Limit::Concurrency(Slot {
            key: name.key.clone(),
            maximum: 1,
        })],
        lease: None,
        retention: Retention::FOREVER,
        metadata: BTreeMap::new(),
        payload: Bytes::from_static(b"\x92\x01\x02"),
    }))
}

/// A request for tasks, where nobody weighs more than another.
pub fn lease(group: TaskGroup, to: &WorkerId, tasks_max: u32, lease: Millis) -> Command {
    weighed_lease(group, to, tasks_max, lease, Weights::default())
}

/// A request for tasks.
pub fn weighed_lease(
    group: TaskGroup,
    to: &WorkerId,
    tasks_max: u32,
    lease: Millis,
    weights: Weights,
) -> Command {
    Command::Lease(Lease {
        group,
        grantee: grantee(to, lease),
        tasks_max,
        bytes_max: LEASE_BYTES_MAX,
        weights,
    })
}

fn limits(spec: &JobSpec) -> Vec<Limit> {
    let limit = |want: &Want| {
        let key = limit_key(want.key)?;
        let maximum = want.maximum;
        Some(Limit::Concurrency(Slot { key, maximum }))
    };
    spec.limits.iter().filter_map(limit).collect()
}

fn limit_key(number: u8) -> Option<LimitKey> {
    LimitKey::parse(&format!("limit-{number:02}")).ok()
}

fn statuses(ended: bool) -> BTreeSet<Status> {
    let all = Status::ALL.into_iter();
    all.filter(|status| matches!(status, Status::Scheduled | Status::Running) != ended)
        .collect()
}

/// A worker by its name; any name of ours is one.
pub fn worker(name: &str) -> WorkerId {
    match WorkerId::parse(name) {
        Ok(worker) => worker,
        Err(_) => worker("w"),
    }
}

fn grantee(to: &WorkerId, lease_default: Millis) -> Grantee {
    Grantee {
        worker: to.clone(),
        lease: None,
        lease_default,
    }
}

fn a_group() -> TaskGroup {
    match TaskGroup::parse("group") {
        Ok(group) => group,
        Err(_) => a_group(),
    }
}

fn job_id(number: u32) -> JobId {
    match JobId::parse(&format!("job-{number}")) {
        Ok(job) => job,
        Err(_) => job_id(0),
    }
}

const fn request_bytes(number: u32) -> [u8; 16] {
    let mixed = (number as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed as u128) << 64 | number as u128).to_be_bytes()
}

const fn policy(retry_count: u32) -> RetryPolicy {
    RetryPolicy {
        retry_count,
        initial_interval: Millis::new(200),
        max_interval: Millis::new(2_000),
        backoff_factor: 2.0,
        jitter: Jitter::Full,
    }
}

fn payload(spec: &JobSpec) -> Bytes {
    // Cheap: most are the same three bytes.
    if spec.payload <= 3 {
        Bytes::from_static(b"\x92\x01\x02")
    } else {
        Bytes::from(vec![1; spec.payload as usize])
    }
}
