//! What the tests of the shard machine share: a shard that checks itself after every command, and
//! short ways to say the commands.

pub mod breaks;
pub mod limits;
pub mod oracle;
pub mod partial;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use silo_core::invariants::image::Image;
use silo_core::invariants::{Violation, check_all, check_soft, check_step};
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::heartbeat::Heartbeat;
use silo_core::shard::commands::import::{Import, ImportAttempt, ImportEnding, ImportJob};
use silo_core::shard::commands::inspect::Get;
use silo_core::shard::commands::lease::{Grantee, Lease};
use silo_core::shard::commands::lease_job::LeaseJob;
use silo_core::shard::commands::pause::SetQueue;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::commands::tenant::{SetTenant, SetWeight};
use silo_core::shard::counts::Counts;
use silo_core::shard::decision::{Change, Notice};
use silo_core::shard::refusal::{Gone, Refusal};
use silo_core::shard::reply::{JobView, Reply, Task};
use silo_core::shard::soft::Soft;
use silo_core::shard::view::Rows;
use silo_core::shard::{decide, fold};
use silo_core::table::Table;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::table::state::{StateRow, States, Status};
use silo_core::table::tenant::Queue;
use silo_core::types::data::NIL;
use silo_core::types::entropy::{Entropy, RequestId};
use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::{JobId, LimitKey, Priority, TaskGroup, WorkerId};
use silo_core::types::retention::Retention;
use silo_core::types::retry::{Jitter, RetryPolicy};
use silo_core::types::task::TaskId;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::{Millis, Now, Timestamp, Uptime};
use silo_core::types::weight::Weights;

/// The time at which every test begins.
pub const START: i64 = 1_700_000_000_000;
/// How long a lease lasts when nobody says otherwise.
pub const LEASE: u64 = 10_000;
/// Sigil of "every row decodes", which tests that damage rows expect.
pub const DECODES: &str = "SILO-KEY-1";

/// A shard over a complete map, checked after every command.
#[derive(Clone)]
pub struct Shard {
    pub soft: Soft,
    pub rows: Rows,
    /// What the wall clock says. It may be set back, which no other clock is.
    pub now: i64,
    uptime: u64,
    wall_before: i64,
    /// Whether invariants are checked: reading every row after every command is slow when many.
    pub is_checked: bool,
    /// Whether unreadable rows are expected.
    pub is_damaged: bool,
    /// Jobs whose state was damaged at some time.
    pub once_damaged: BTreeSet<JobKey>,
    /// How long jobs are kept that do not say so.
    pub retention: Retention,
    /// What the last command changed, over all of its rounds.
    pub changes: Vec<Change>,
    /// What the last command noticed.
    pub notices: Vec<Notice>,
    /// What all commands together have counted.
    pub counts: Counts,
    image: Image,
    stamps: u64,
}

impl Shard {
    /// Empty, with soft state recovered.
    pub fn new() -> Self {
        let mut shard = Self {
            soft: Soft::lost(),
            rows: Rows::default(),
            now: START,
            uptime: 0,
            wall_before: START,
            is_checked: true,
            is_damaged: false,
            once_damaged: BTreeSet::new(),
            retention: Retention::FOREVER,
            changes: Vec::new(),
            notices: Vec::new(),
            counts: Counts::default(),
            image: Image::default(),
            stamps: 0,
        };
        shard.settle();
        shard
    }

    /// A stamp that no other command has.
    pub fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        let now = self.time();
        self.uptime = now.uptime.as_millis();
        self.wall_before = self.now;
        Stamp {
            now,
            entropy: entropy(self.stamps),
            retention: self.retention,
        }
    }

    /// The time by both clocks. The wall clock moves on with the other, and is set back alone.
    pub fn time(&self) -> Now {
        let passed = self.now.saturating_sub(self.wall_before).max(0);
        Now {
            wall: Timestamp::from_millis(self.now),
            uptime: Uptime::from_millis(self.uptime.saturating_add_signed(passed)),
        }
    }

    /// Sets the wall clock, forward or back, while no time passes.
    pub fn set_wall(&mut self, by: i64) {
        self.uptime = self.time().uptime.as_millis();
        self.now += by;
        self.wall_before = self.now;
    }

    /// When the next tick has something to do, by the wall clock.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let now = self.time();
        self.soft.next_wake(now).map(|wait| now.wall.after(wait))
    }

    /// Goes on from these rows, as a process does that opens a shard: soft state is lost.
    pub fn reopen(&mut self, rows: Rows) {
        self.rows = rows;
        self.soft = Soft::lost();
        self.image = self.image();
    }

    /// Judges and folds a command, and checks everything that must be true afterwards.
    pub fn run(&mut self, command: &Command) -> Reply {
        let stamp = self.stamp();
        self.changes.clear();
        self.notices.clear();
        for _ in 0..1000 {
            let decision = decide(&self.soft, &self.rows, &stamp, command).expect("a complete map");
            let keys: Vec<&Key> = decision.changes.iter().map(|c| &c.key).collect();
            assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
            if matches!(decision.reply, Reply::Refused(_)) {
                assert!(decision.changes.is_empty(), "a refusal changed {keys:?}");
            }
            fold(&mut self.soft, &mut self.rows, &decision);
            self.changes.extend(decision.changes);
            self.notices.extend(decision.notices);
            self.counts.add(&decision.counts);
            self.check(command);
            if decision.reply != Reply::Again {
                return decision.reply;
            }
        }
        panic!("{command:?} set jobs aside without end");
    }

    fn check(&mut self, command: &Command) {
        if !self.is_checked {
            return;
        }
        let image = self.image();
        let now = Timestamp::from_millis(self.now);
        let mut violations = check_all(&image);
        violations.extend(check_step(&self.image, &image, Some(command), now));
        violations.extend(check_soft(&image, &self.soft, self.time()));
        violations.retain(|v| !(self.is_damaged && v.sigil == DECODES));
        assert!(violations.is_empty(), "{command:?}\n{}", lines(&violations));
        self.check_counts(command);
        self.image = image;
    }

    /// What was counted is what is there, as long as nothing was damaged.
    fn check_counts(&self, command: &Command) {
        let Counts {
            taken,
            leased,
            removed,
            quarantined,
            attempts,
            ..
        } = self.counts;
        if quarantined > 0 || self.is_damaged || !self.soft.is_recovered() {
            return;
        }
        let there = self.soft.totals();
        assert_eq!(taken - removed, there.total(), "{command:?}");
        let returned = attempts.lost + attempts.released + attempts.snoozed;
        let ended = attempts.succeeded + attempts.failed + attempts.cancelled + attempts.crashed;
        assert_eq!(leased - returned - ended, there.running, "{command:?}");
    }

    /// Every row, decoded.
    pub fn image(&self) -> Image {
        let mut image = Image::read(&self.rows.map);
        image.once_damaged.clone_from(&self.once_damaged);
        image
    }

    /// Ticks until nothing is left to do now; says how many ticks it took.
    pub fn settle(&mut self) -> usize {
        for ticks in 0..10_000 {
            match self.next_wake() {
                Some(at) if at <= Timestamp::from_millis(self.now) => {
                    assert_eq!(self.run(&Command::Tick), Reply::Ticked);
                }
                _ => return ticks,
            }
        }
        panic!("ticks without end");
    }

    /// Lets time pass and does what is due then.
    pub fn pass(&mut self, millis: i64) {
        self.now += millis;
        self.settle();
    }

    pub fn enqueue(&mut self, enqueue: Enqueue) -> JobKey {
        let tenant = enqueue.tenant.clone();
        match self.run(&Command::Enqueue(Box::new(enqueue))) {
            Reply::Enqueued(job) => JobKey { tenant, job },
            other => panic!("{other:?}"),
        }
    }

    pub fn lease(&mut self, tasks_max: u32) -> Vec<Task> {
        self.lease_from("g", tasks_max)
    }

    pub fn lease_from(&mut self, group: &str, tasks_max: u32) -> Vec<Task> {
        match self.run(&lease(group, tasks_max)) {
            Reply::Leased(tasks) => tasks,
            other => panic!("{other:?}"),
        }
    }

    /// Leases the one job that is ready.
    pub fn lease_one(&mut self) -> Task {
        let mut tasks = self.lease(1);
        assert_eq!(tasks.len(), 1, "one task is ready");
        tasks.remove(0)
    }

    pub fn report(&mut self, task: &TaskId, outcome: Outcome) -> Reply {
        self.run(&report(task, outcome))
    }

    pub fn heartbeat(&mut self, task: &TaskId) -> Reply {
        self.run(&heartbeat(task, "w"))
    }

    pub fn cancel(&mut self, key: &JobKey) -> Reply {
        self.run(&Command::Cancel(key.clone()))
    }

    pub fn delete(&mut self, key: &JobKey) -> Reply {
        self.run(&Command::Delete(key.clone()))
    }

    pub fn restart(&mut self, key: &JobKey) -> Reply {
        self.run(&Command::Restart(key.clone()))
    }

    pub fn expedite(&mut self, key: &JobKey) -> Reply {
        self.run(&Command::Expedite(key.clone()))
    }

    pub fn import(&mut self, jobs: Vec<ImportJob>) -> Reply {
        self.run(&Command::Import(Import { jobs }))
    }

    /// Imports one job and says what became of it.
    pub fn import_one(&mut self, job: ImportJob) -> Result<Status, Refusal> {
        match self.import(vec![job]) {
            Reply::Imported(mut results) => results.remove(0).outcome,
            other => panic!("{other:?}"),
        }
    }

    /// Whether anything at all stands under the name of a job.
    pub fn has_rows(&self, key: &JobKey) -> bool {
        let image = self.image();
        image.jobs.contains_key(key)
            || image.states.contains_key(key)
            || image.damaged_states.contains_key(key)
            || image.payloads.keys().any(|at| at.job == *key)
            || image
                .attempts
                .keys()
                .any(|at| (&at.tenant, &at.job) == (&key.tenant, &key.job))
            || image
                .due
                .iter()
                .chain(&image.expiry)
                .any(|at| (&at.tenant, &at.job) == (&key.tenant, &key.job))
            || image
                .ready
                .iter()
                .any(|at| (&at.tenant, &at.job) == (&key.tenant, &key.job))
            || image.running.contains_key(key)
            || image.quarantine.contains_key(key)
    }

    pub fn state(&self, key: &JobKey) -> StateRow {
        let bytes = &self.rows.map[&States::key(key)];
        States::read_row(bytes).expect("a readable state")
    }

    pub fn status(&self, key: &JobKey) -> Status {
        self.state(key).status()
    }

    pub fn view(&mut self, key: &JobKey) -> JobView {
        match self.run(&get(key)) {
            Reply::Job(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    /// Cuts a row short, so that it does not decode but still says its first bytes.
    pub fn damage(&mut self, key: &Key) {
        let row = self.rows.map.get(key).expect("a row to damage");
        let short = row.slice(..row.len().min(4));
        self.rows.map.insert(key.clone(), short);
        self.is_damaged = true;
        self.once_damaged.extend(States::read_key(key));
    }
}

/// Entropy that differs for every number.
pub fn entropy(number: u64) -> Entropy {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let both = (u128::from(mixed) << 64) | u128::from(number);
    Entropy(both.to_be_bytes())
}

pub fn lines(violations: &[Violation]) -> String {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    lines.join("\n")
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

pub fn queue(group_name: &str, priority: u32) -> Queue {
    Queue {
        group: group(group_name),
        priority: Priority::parse(priority).unwrap(),
    }
}

/// A plain job of tenant "t" in group "g", with this id.
pub fn plain(id: &str) -> Enqueue {
    Enqueue {
        tenant: tenant("t"),
        id: Some(JobId::parse(id).unwrap()),
        request: None,
        queue: queue("g", 10),
        start_at: None,
        retry: None,
        max_crashes: 2,
        limits: Vec::new(),
        lease: None,
        retention: Retention::FOREVER,
        metadata: BTreeMap::new(),
        payload: Bytes::from_static(NIL),
    }
}

/// A plain job that wants a slot of each of these, with so many slots.
pub fn limited(id: &str, limits: &[(&str, u32)]) -> Enqueue {
    let limit = |(key, maximum): &(&str, u32)| {
        Limit::Concurrency(Slot {
            key: limit_key(key),
            maximum: *maximum,
        })
    };
    Enqueue {
        limits: limits.iter().map(limit).collect(),
        ..plain(id)
    }
}

pub fn limit_key(key: &str) -> LimitKey {
    LimitKey::parse(key).unwrap()
}

/// A plain job that is removed so many milliseconds after its end, however it ends.
pub fn kept(id: &str, millis: u64) -> Enqueue {
    let kept = Some(Millis::new(millis));
    Enqueue {
        retention: Retention {
            succeeded: kept,
            failed: kept,
            cancelled: kept,
        },
        ..plain(id)
    }
}

pub fn of_tenant(name: &str, id: &str) -> Enqueue {
    Enqueue {
        tenant: tenant(name),
        ..plain(id)
    }
}

pub fn retrying(id: &str, retry_count: u32) -> Enqueue {
    Enqueue {
        retry: Some(policy(retry_count)),
        ..plain(id)
    }
}

/// Retries after 1 s, 2 s, 4 s … at most 8 s, without jitter.
pub fn policy(retry_count: u32) -> RetryPolicy {
    RetryPolicy {
        retry_count,
        initial_interval: Millis::new(1000),
        max_interval: Millis::new(8000),
        backoff_factor: 2.0,
        jitter: Jitter::None,
    }
}

pub fn request(number: u8) -> Option<RequestId> {
    Some(RequestId([number; 16]))
}

pub fn grantee(name: &str) -> Grantee {
    Grantee {
        worker: worker(name),
        lease: None,
        lease_default: Millis::new(LEASE),
    }
}

pub fn lease(group_name: &str, tasks_max: u32) -> Command {
    Command::Lease(Lease {
        group: group(group_name),
        grantee: grantee("w"),
        tasks_max,
        bytes_max: u64::MAX,
        weights: Weights::default(),
    })
}

pub fn pause_queue(group_name: &str, of: Option<&str>, is_paused: bool) -> Command {
    Command::SetQueue(SetQueue {
        group: group(group_name),
        tenant: of.map(tenant),
        is_paused,
    })
}

pub fn pause_tenant(name: &str, is_paused: bool) -> Command {
    Command::SetTenant(SetTenant {
        tenant: tenant(name),
        weight: SetWeight::Keep,
        paused: Some(is_paused),
    })
}

pub fn set_weight(name: &str, weight: SetWeight) -> Command {
    Command::SetTenant(SetTenant {
        tenant: tenant(name),
        weight,
        paused: None,
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

pub fn get(key: &JobKey) -> Command {
    Command::Get(Get {
        key: key.clone(),
        earlier_attempts: true,
    })
}

/// A plain job of tenant "t" in group "g" with this history, to import.
pub fn imported(id: &str, attempts: Vec<ImportAttempt>) -> ImportJob {
    let plain = plain(id);
    ImportJob {
        tenant: plain.tenant,
        id: JobId::parse(id).unwrap(),
        queue: plain.queue,
        enqueued_at: Some(Timestamp::from_millis(START - 100_000)),
        start_at: None,
        retry: None,
        max_crashes: plain.max_crashes,
        limits: Vec::new(),
        metadata: plain.metadata,
        payload: plain.payload,
        attempts,
    }
}

/// An attempt that took a second, `number` seconds after a time long before every test.
pub fn attempted(number: u32, how: ImportEnding) -> ImportAttempt {
    let started = START - 90_000 + i64::from(number) * 1000;
    ImportAttempt {
        started_at: Timestamp::from_millis(started),
        finished_at: Timestamp::from_millis(started + 1000),
        how,
    }
}

pub fn failed_import() -> ImportEnding {
    ImportEnding::Failed {
        code: "E".to_owned(),
        data: Bytes::from_static(b"broken"),
    }
}

pub fn success() -> Outcome {
    Outcome::Success {
        data: Bytes::from_static(b"done"),
    }
}

pub fn failure() -> Outcome {
    Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::from_static(b"broken"),
        retryable: true,
        retry_after: None,
    }
}

/// A refusal of a report or heartbeat, for this reason.
pub fn gone(task: &TaskId, gone: Gone) -> Reply {
    Reply::Refused(Refusal::LeaseNotFound {
        task: task.clone(),
        gone,
    })
}

pub fn ids(tasks: &[Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.id.job.as_str()).collect()
}
