//! Random sequences of commands: every reply is as an independent oracle says, every invariant
//! holds after every command, and at the end every job comes to its end.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use bytes::Bytes;
use common::oracle::{Oracle, Stands};
use common::partial::config;
use common::{
    Shard, attempted, get, group, heartbeat, imported, job, lease, lease_job, policy, queue,
    report, request, success, tenant, worker,
};
use proptest::prelude::*;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{Enqueue, EnqueueAll};
use silo_core::shard::commands::import::{ImportAttempt, ImportEnding, ImportJob};
use silo_core::shard::commands::list::{IdPrefix, List};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::table::Table;
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::state::{Position, States, Status};
use silo_core::types::name::JobId;
use silo_core::types::retention::Retention;
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Timestamp};

const TENANTS: [&str; 4] = ["a", "b", "c", "d"];
const GROUPS: [&str; 2] = ["g", "h"];
/// Which of many: jobs and tasks are picked by number, modulo how many there are.
type Pick = usize;

/// Operations, printed one to a line when they fail.
#[derive(Clone)]
struct Script(Vec<Op>);

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for op in &self.0 {
            let line: String = format!("{op:?}").chars().take(400).collect();
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

fn script(with_damage: bool) -> impl Strategy<Value = Script> {
    prop::collection::vec(op(with_damage), 1..120).prop_map(Script)
}

#[derive(Clone, Debug)]
enum Op {
    Enqueue(Enqueue),
    Lease {
        group: usize,
        tasks_max: u32,
    },
    LeaseJob(Pick),
    Heartbeat(Pick, bool),
    Report(Pick, Outcome),
    Cancel(Pick),
    EnqueueAll(Vec<Enqueue>),
    /// One given job again with more attempts, or others, or none; or a new job.
    Import(Pick, Import),
    Delete(Pick),
    Restart(Pick),
    Expedite(Pick),
    Get(Pick),
    Result(Pick),
    List(List, &'static str),
    Settle,
    Later(i64),
    /// Another process takes over, whose clock is behind.
    Earlier(i64),
    Lost,
    Damage(Pick, bool),
}

/// How an import goes on from what a job has had.
#[derive(Clone, Debug)]
struct Import {
    is_new: bool,
    /// Attempts of its own that it forgets, from the end.
    forgets: usize,
    /// Whether it says something else of the last attempt it knows.
    differs: bool,
    adds: Vec<ImportEnding>,
    start_in: Option<i64>,
    retries: Option<u32>,
}

fn import() -> impl Strategy<Value = Import> {
    let failed = prop::collection::vec(Just(common::failed_import()), 0..4);
    let data = prop_oneof![Just(Bytes::from_static(b"x")), Just(vec![2; 4097].into())];
    let last = prop_oneof![
        Just(common::failed_import()),
        data.prop_map(|data| ImportEnding::Succeeded { data }),
        Just(ImportEnding::Cancelled),
    ];
    let how = (
        any::<bool>(),
        prop_oneof![4 => Just(0), 1 => 1..3_usize],
        prop::bool::weighted(0.2),
    );
    let rules = (
        prop::option::weighted(0.3, -5000..30_000_i64),
        prop::option::of(0..4_u32),
    );
    (how, failed, prop::option::of(last), rules).prop_map(|(how, mut adds, last, rules)| {
        adds.extend(last);
        Import {
            is_new: how.0,
            forgets: how.1,
            differs: how.2,
            adds,
            start_in: rules.0,
            retries: rules.1,
        }
    })
}

fn batch() -> impl Strategy<Value = Vec<Enqueue>> {
    (0..TENANTS.len(), prop::collection::vec(enqueue(), 0..6)).prop_map(|(of, mut jobs)| {
        for job in &mut jobs {
            job.tenant = tenant(TENANTS[of]);
        }
        jobs
    })
}

fn enqueue() -> impl Strategy<Value = Enqueue> {
    let names = (0..TENANTS.len(), 0..GROUPS.len(), 0..3_u32);
    let identity = (
        prop::option::of(0..8_u8),
        prop::option::weighted(0.4, 0..4_u8),
    );
    let start = prop::option::weighted(0.4, -5000..30_000_i64);
    let kept = || prop::option::weighted(0.2, (0..60_000_u64).prop_map(Millis::new));
    let kept = (kept(), kept(), kept());
    let kept = kept.prop_map(|(succeeded, failed, cancelled)| Retention {
        succeeded,
        failed,
        cancelled,
    });
    let rules = (prop::option::of(0..3_u32), 0..3_u32, 0..3_u8, kept);
    (names, identity, start, rules).prop_map(|(names, identity, start, rules)| Enqueue {
        tenant: tenant(TENANTS[names.0]),
        id: identity
            .0
            .map(|id| JobId::parse(&format!("j{id}")).unwrap()),
        request: identity.1.and_then(request),
        queue: queue(GROUPS[names.1], names.2),
        limits: Vec::new(),
        start_at: start.map(|at| Timestamp::from_millis(common::START + at)),
        retry: rules.0.map(policy),
        max_crashes: rules.1,
        lease: (rules.2 == 1).then_some(Millis::new(3000)),
        retention: rules.3,
        metadata: Default::default(),
        payload: Bytes::from(vec![1; if rules.2 == 2 { 5000 } else { 3 }]),
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let data = prop_oneof![Just(Bytes::from_static(b"x")), Just(vec![2; 4097].into())];
    let after = prop::option::weighted(0.2, (0..20_000_u64).prop_map(Millis::new));
    let failure = (data.clone(), any::<bool>(), after).prop_map(|(data, sure, retry_after)| {
        Outcome::Failure {
            code: "E".to_owned(),
            data,
            retryable: sure,
            retry_after,
        }
    });
    prop_oneof![
        3 => data.prop_map(|data| Outcome::Success { data }),
        4 => failure,
        1 => Just(Outcome::Cancelled),
        3 => Just(Outcome::Release),
        2 => (0..20_000_u64).prop_map(|ms| Outcome::Snooze { delay: Millis::new(ms) }),
    ]
}

fn list() -> impl Strategy<Value = (List, &'static str)> {
    let statuses = prop::sample::subsequence(Status::ALL.to_vec(), 0..4);
    let of_group = prop::option::weighted(0.3, 0..GROUPS.len());
    let prefix = prop_oneof![4 => Just(""), 2 => Just("j"), 1 => Just("j1"), 1 => Just("zz")];
    (0..TENANTS.len(), statuses, of_group, prefix, 1..7_u32).prop_map(
        |(of, statuses, of_group, prefix, jobs_max)| {
            let list = List {
                tenant: tenant(TENANTS[of]),
                statuses: statuses.into_iter().collect(),
                group: of_group.map(|of| group(GROUPS[of])),
                prefix: IdPrefix::parse(prefix).ok(),
                after: None,
                jobs_max,
            };
            (list, prefix)
        },
    )
}

fn op(with_damage: bool) -> impl Strategy<Value = Op> {
    let damaged = (any::<Pick>(), any::<bool>()).prop_map(|(p, j)| Op::Damage(p, j));
    let last = if with_damage {
        damaged.boxed()
    } else {
        Just(Op::Settle).boxed()
    };
    prop_oneof![
        12 => enqueue().prop_map(Op::Enqueue),
        8 => (0..GROUPS.len(), 0..6_u32)
            .prop_map(|(group, tasks_max)| Op::Lease { group, tasks_max }),
        2 => any::<Pick>().prop_map(Op::LeaseJob),
        6 => (any::<Pick>(), prop::bool::weighted(0.1)).prop_map(|(p, o)| Op::Heartbeat(p, o)),
        10 => (any::<Pick>(), outcome()).prop_map(|(p, o)| Op::Report(p, o)),
        3 => any::<Pick>().prop_map(Op::Cancel),
        2 => batch().prop_map(Op::EnqueueAll),
        5 => (any::<Pick>(), import()).prop_map(|(p, i)| Op::Import(p, i)),
        3 => any::<Pick>().prop_map(Op::Delete),
        5 => any::<Pick>().prop_map(Op::Restart),
        4 => any::<Pick>().prop_map(Op::Expedite),
        2 => any::<Pick>().prop_map(Op::Get),
        2 => any::<Pick>().prop_map(Op::Result),
        3 => list().prop_map(|(list, prefix)| Op::List(list, prefix)),
        3 => Just(Op::Settle),
        6 => prop_oneof![0..2000_i64, 0..40_000_i64].prop_map(Op::Later),
        1 => (0..60_000_i64).prop_map(Op::Earlier),
        2 => Just(Op::Lost),
        2 => last,
    ]
}

/// A shard and what is expected of it.
struct World {
    shard: Shard,
    oracle: Oracle,
    tasks: Vec<TaskId>,
}

impl World {
    fn new() -> Self {
        let mut shard = Shard::new();
        shard.retention.failed = Some(Millis::new(30_000));
        let mut oracle = Oracle::default();
        oracle.retention = shard.retention;
        Self {
            shard,
            oracle,
            tasks: Vec::new(),
        }
    }

    /// Damaged jobs of which nothing is left were removed, or their time was over.
    fn forget_gone(&mut self) {
        let image = self.shard.image();
        let is_there =
            |key: &JobKey| image.states.contains_key(key) || image.damaged_states.contains_key(key);
        self.oracle
            .jobs
            .retain(|job| !job.is_damaged || is_there(&job.key));
    }

    fn is_damaged(&mut self, key: &JobKey) -> bool {
        self.oracle.find(key).is_some_and(|job| job.is_damaged)
    }

    fn import(&mut self, pick: Pick, how: Import) {
        let now = self.shard.now;
        let key = if how.is_new {
            job("a", &format!("i{}", pick % 8))
        } else {
            self.job(pick)
        };
        if self.is_damaged(&key) {
            return;
        }
        let known = self.oracle.find(&key).map(|job| job.history.clone());
        let mut attempts = known.unwrap_or_default();
        attempts.truncate(attempts.len().saturating_sub(how.forgets));
        if let Some(last) = attempts.last_mut().filter(|_| how.differs) {
            last.finished_at = last.finished_at.after(Millis::new(1));
        }
        let had = attempts.len();
        // All but the last failed, which an import of what did not fail at its end cannot go on.
        let failed = |a: &ImportAttempt| matches!(a.how, ImportEnding::Failed { .. });
        attempts.truncate(attempts.iter().take_while(|a| failed(a)).count() + 1);
        if attempts.len() == had && attempts.last().is_none_or(failed) {
            let number = |at: usize| u32::try_from(had + at).unwrap();
            let adds = how.adds.into_iter().enumerate();
            attempts.extend(adds.map(|(at, how)| attempted(number(at), how)));
        }
        let given = ImportJob {
            tenant: key.tenant,
            retry: how.retries.map(policy),
            start_at: how.start_in.map(|at| Timestamp::from_millis(now + at)),
            ..imported(key.job.as_str(), attempts)
        };
        given.check().expect("an import that may be asked for");
        let reply = self.shard.import(vec![given.clone()]);
        self.oracle.imported(&given, now, &reply);
    }

    fn job(&self, pick: Pick) -> JobKey {
        let known = self.oracle.jobs.iter().map(|job| job.key.clone());
        let mut keys: Vec<JobKey> = known.chain([job("a", "nobody")]).collect();
        keys.sort();
        keys[pick % keys.len()].clone()
    }

    fn task(&self, pick: Pick) -> TaskId {
        let nobodys = TaskId {
            tenant: tenant("a"),
            job: JobId::parse("j1").unwrap(),
            attempt: 1,
            nonce: 1,
        };
        // The latest tasks are picked more often: they are the ones that are still leased.
        match pick % 8 {
            0 => self.tasks.get(pick / 8 % self.tasks.len().max(1)),
            _ => self.tasks.iter().rev().nth(pick / 8 % 6),
        }
        .cloned()
        .unwrap_or(nobodys)
    }

    fn apply(&mut self, op: Op) {
        let now = self.shard.now;
        match op {
            Op::Enqueue(enqueue) => {
                let reply = self.shard.run(&Command::Enqueue(Box::new(enqueue.clone())));
                self.oracle.enqueued(&enqueue, now, &reply);
            }
            Op::Lease { group, tasks_max } => self.lease(GROUPS[group], tasks_max),
            Op::LeaseJob(pick) => {
                let key = self.job(pick);
                let reply = self.shard.run(&lease_job(&key));
                self.oracle.leased_one(&key, now, &reply);
                if let Reply::Leased(tasks) = reply {
                    self.tasks.extend(tasks.into_iter().map(|task| task.id));
                }
            }
            Op::Heartbeat(pick, is_other) => {
                let task = self.task(pick);
                let name = if is_other { "other" } else { "w" };
                let reply = self.shard.run(&heartbeat(&task, name));
                assert!(
                    self.shard.is_damaged || self.shard.changes.is_empty(),
                    "heartbeats write nothing"
                );
                self.oracle.heartbeated(&task, &worker(name), now, &reply);
            }
            Op::Report(pick, outcome) => {
                let task = self.task(pick);
                let reply = self.shard.run(&report(&task, outcome.clone()));
                self.oracle.reported(&task, &outcome, now, &reply);
            }
            Op::Cancel(pick) => {
                let key = self.job(pick);
                let reply = self.shard.run(&Command::Cancel(key.clone()));
                self.oracle.cancelled(&key, now, &reply);
            }
            Op::EnqueueAll(jobs) => {
                let is_damaged = jobs.iter().any(|asked| {
                    let given = asked.request.map(|request| request.job_id());
                    let tenant = asked.tenant.clone();
                    let id = asked.id.clone().or(given);
                    id.is_some_and(|job| self.is_damaged(&JobKey { tenant, job }))
                });
                if !is_damaged {
                    let all = EnqueueAll { jobs: jobs.clone() };
                    all.check().expect("a batch that may be asked for");
                    let reply = self.shard.run(&Command::EnqueueAll(all));
                    self.oracle.enqueued_all(&jobs, now, &reply);
                }
            }
            Op::Import(pick, how) => self.import(pick, how),
            Op::Delete(pick) => {
                let key = self.job(pick);
                let reply = self.shard.delete(&key);
                self.oracle.deleted(&key, &reply);
            }
            Op::Restart(pick) => {
                let key = self.job(pick);
                if !self.is_damaged(&key) {
                    let reply = self.shard.restart(&key);
                    self.oracle.restarted(&key, now, &reply);
                }
            }
            Op::Expedite(pick) => {
                let key = self.job(pick);
                let reply = self.shard.expedite(&key);
                self.oracle.expedited(&key, now, &reply);
            }
            Op::Get(pick) => self.get(&self.job(pick)),
            Op::Result(pick) => {
                let key = self.job(pick);
                let reply = self.shard.run(&Command::Result(key.clone()));
                self.oracle.result(&key, &reply);
            }
            Op::List(list, prefix) => self.list(list, prefix),
            Op::Settle => self.settle(),
            Op::Later(millis) => self.shard.now += millis,
            Op::Earlier(millis) => {
                self.shard.now -= millis;
                self.lose();
            }
            Op::Lost => self.lose(),
            Op::Damage(pick, is_job_row) => {
                let key = self.job(pick);
                if let Some(known) = self.oracle.find(&key) {
                    known.is_damaged = true;
                    let row = if is_job_row {
                        Jobs::key(&key)
                    } else {
                        States::key(&key)
                    };
                    self.shard.damage(&row);
                }
            }
        }
        self.forget_gone();
        self.compare();
    }

    fn lease(&mut self, name: &str, tasks_max: u32) {
        let is_recovered = self.shard.soft.is_recovered();
        let tasks = match self.shard.run(&lease(name, tasks_max)) {
            Reply::Leased(tasks) => tasks,
            other => panic!("{other:?}"),
        };
        let now = self.shard.now;
        let most = usize::try_from(tasks_max).unwrap();
        self.oracle
            .leased(&group(name), most, is_recovered, now, &tasks);
        self.tasks.extend(tasks.into_iter().map(|task| task.id));
    }

    fn get(&mut self, key: &JobKey) {
        let reply = self.shard.run(&get(key));
        let known = self.oracle.find(key);
        match (known, reply) {
            (None, reply) => assert!(matches!(reply, Reply::Refused(_)), "{reply:?}"),
            (Some(known), _) if known.is_damaged => {}
            (Some(known), Reply::Job(view)) => {
                let open = u32::from(known.stands == Stands::Running);
                let shown = u32::try_from(view.attempts.len()).unwrap();
                assert_eq!(shown, known.attempts_ended + open, "all attempts are shown");
                let numbers = view.attempts.iter().map(|shown| shown.attempt.number);
                assert!(numbers.eq(1..=shown), "in order");
                assert_eq!(view.job.queue, known.asked.queue);
                assert_eq!(view.job.start_at, known.asked.start_at);
            }
            (Some(_), other) => panic!("{other:?}"),
        }
    }

    fn list(&mut self, list: List, prefix: &str) {
        let mut pages = Vec::new();
        let mut page = list.clone();
        for _ in 0..200 {
            let Reply::Listed(listing) = self.shard.run(&Command::List(page.clone())) else {
                panic!("a list is answered");
            };
            assert!(self.shard.changes.is_empty(), "a list changes nothing");
            page.after.clone_from(&listing.next);
            pages.push(listing);
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(page.after, None, "pages come to an end");
        self.oracle.listed(&list, prefix, &pages);
        for shown in pages.into_iter().flat_map(|page| page.jobs) {
            let key = JobKey {
                tenant: list.tenant.clone(),
                job: shown.job.clone(),
            };
            if let Reply::Job(view) = self.shard.run(&get(&key)) {
                let next = match view.state.position {
                    Position::Due(place) | Position::Ready(place) => Some(place.at),
                    _ => None,
                };
                let seen = (view.job.enqueued_at, view.state.changed_at, next);
                let listed = (shown.enqueued_at, shown.changed_at, shown.next_start);
                assert_eq!(listed, seen, "as a look at the job itself says");
            }
        }
    }

    fn settle(&mut self) {
        self.shard.settle();
        self.oracle.settled(self.shard.now);
        self.forget_gone();
    }

    fn lose(&mut self) {
        self.shard.soft = Soft::lost();
        self.oracle.lost();
    }

    /// Every job stands where the oracle says.
    fn compare(&self) {
        let image = self.shard.image();
        let sound = self.oracle.jobs.iter().filter(|job| !job.is_damaged);
        for known in sound {
            let state = &image.states[&known.key];
            let stands = match &state.position {
                Position::Due(_) => Stands::Due,
                Position::Ready(_) => Stands::Ready,
                Position::Parked { .. } => unreachable!("no job here has limits"),
                Position::Leased(_) => Stands::Running,
                Position::Ended { .. } => Stands::Over(state.status()),
                Position::Quarantined { .. } => panic!("{} is sound", known.key.job),
            };
            assert_eq!(stands, known.stands, "{known:?}\n{state:?}");
            let counts = (state.attempts_ended, state.retries_used);
            assert_eq!(counts, (known.attempts_ended, known.retries), "{known:?}");
            let misses = (state.crashes, state.losses);
            assert_eq!(misses, (known.crashes, known.losses), "{known:?}");
        }
        assert!(image.states.len() + image.damaged_states.len() <= self.oracle.jobs.len());
    }

    /// Faults stop, workers finish what they are given: every job comes to an end.
    fn drain(&mut self) {
        for _ in 0..1000 {
            self.settle();
            for name in GROUPS {
                self.lease(name, 5);
            }
            let held: Vec<TaskId> = std::mem::take(&mut self.tasks);
            for task in held {
                let reply = self.shard.run(&report(&task, success()));
                let now = self.shard.now;
                self.oracle.reported(&task, &success(), now, &reply);
            }
            self.compare();
            match self.shard.next_wake() {
                Some(at) => self.shard.now = self.shard.now.max(at.as_millis()),
                None if self.oracle.unfinished().is_empty() => {
                    let image = self.shard.image();
                    assert!(image.due.is_empty() && image.running.is_empty());
                    return;
                }
                None => {}
            }
        }
        panic!("stuck: {:?}", self.oracle.unfinished());
    }
}

fn live(ops: Script) {
    let mut world = World::new();
    for op in ops.0 {
        world.apply(op);
    }
    world.drain();
    let wrong = |job: &&common::oracle::Known| job.stands == Stands::Over(Status::Quarantined);
    assert_eq!(world.oracle.jobs.iter().filter(wrong).count(), 0);
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn any_sequence_of_commands_is_answered_as_the_oracle_says_and_drains(
        ops in script(false)
    ) {
        live(ops);
    }

    #[test]
    fn damaged_jobs_leave_all_others_as_they_should_be(
        ops in script(true)
    ) {
        live(ops);
    }
}
