//! Random workloads and random schedules.

use bytes::Bytes;
use proptest::prelude::*;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::EnqueueAll;
use silo_core::shard::commands::import::Import;
use silo_core::shard::commands::inspect::ListSetAside;
use silo_core::shard::commands::list::{IdPrefix, List};
use silo_core::shard::commands::list_limits::ListLimits;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::show_limit::ShowLimit;
use silo_core::table::job::JobKey;
use silo_core::table::limit::LimitName;
use silo_core::table::state::Status;
use silo_core::types::name::{LimitKey, Priority};
use silo_core::types::retention::Retention;
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Timestamp};
use silo_runtime::executor::flushing::FlushPolicy;
use silo_runtime::executor::limits::{Dispatch, StageLimits};

use crate::common::oracle::{Checked, Promise, check};
use crate::common::say;
use crate::common::world::World;

/// A command, with small numbers for what it is about.
#[derive(Clone, Debug)]
pub enum Op {
    Enqueue {
        job: u8,
        group: bool,
        priority: u8,
        delay: Option<u16>,
        retries: Option<u8>,
        is_repeatable: bool,
        is_named: bool,
        is_large: bool,
        kept: Option<u16>,
        /// Which of three limits it wants, a bit each.
        wanted: u8,
    },
    /// Several at once, all or none.
    EnqueueAll(u8, u8),
    /// With so many failed attempts.
    Import(u8, u8),
    Delete(u8),
    Restart(u8),
    Expedite(u8),
    ListSetAside,
    /// What an operator asks or says of limits and a job. Nothing is paused: all are to end.
    Operate(u8, u8),
    /// Of one of the tenants: those of a status, those whose ids begin with a job's, so many.
    List(bool, Option<u8>, Option<u8>, u8),
    Lease {
        group: bool,
        tasks_max: u8,
        bytes_max: u16,
    },
    LeaseJob(u8),
    Heartbeat(u8, bool),
    Report(u8, u8),
    Cancel(u8),
    Get(u8, bool),
    Result(u8),
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Action {
    Submit(Op),
    HandBack(u8),
    Run,
    Pass(u16),
    Apply,
    Accept,
    Load(u8),
    Tell(u8),
    FailLoad(u8),
    Put,
    TellDurable,
    TellFlushed,
    ReadManifest,
    TellProven,
    ForgetAll,
    ForgetOne(u8),
    Beat,
    LoseSoft,
    Crash(Option<u8>),
    Fail(bool, bool),
}

/// What may happen besides commands and storage that works.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub loads_fail: bool,
    pub soft_is_lost: bool,
    pub crashes: bool,
    pub damage: bool,
}

pub fn op() -> impl Strategy<Value = Op> {
    let enqueue = (
        (0..8u8, any::<bool>(), 0..3u8),
        proptest::option::weighted(0.3, 0..3000u16),
        proptest::option::weighted(0.6, 0..3u8),
        (any::<bool>(), any::<bool>(), proptest::bool::weighted(0.1)),
        (
            proptest::option::weighted(0.3, 0..6000u16),
            prop_oneof![Just(0), 0..8u8],
        ),
    )
        .prop_map(
            |(
                (job, group, priority),
                delay,
                retries,
                (is_repeatable, is_named, is_large),
                (kept, wanted),
            )| {
                Op::Enqueue {
                    job,
                    group,
                    priority,
                    delay,
                    retries,
                    is_repeatable,
                    is_named,
                    is_large,
                    kept,
                    wanted,
                }
            },
        );
    let lease = (any::<bool>(), 0..6u8, prop_oneof![Just(1 << 15), 0..200u16]).prop_map(
        |(group, tasks_max, bytes_max)| Op::Lease {
            group,
            tasks_max,
            bytes_max,
        },
    );
    let status = proptest::option::of(0..5u8);
    let prefix = proptest::option::weighted(0.2, 0..8u8);
    let list = (any::<bool>(), status, prefix, 1..5u8)
        .prop_map(|(of, status, prefix, max)| Op::List(of, status, prefix, max));
    prop_oneof![
        6 => enqueue,
        5 => lease,
        1 => (0..8u8).prop_map(Op::LeaseJob),
        2 => (any::<u8>(), proptest::bool::weighted(0.9)).prop_map(|(t, m)| Op::Heartbeat(t, m)),
        4 => (any::<u8>(), 0..9u8).prop_map(|(task, outcome)| Op::Report(task, outcome)),
        1 => (0..8u8).prop_map(Op::Cancel),
        1 => (0..8u8, 0..4u8).prop_map(|(job, count)| Op::EnqueueAll(job, count)),
        1 => (0..8u8, 0..4u8).prop_map(|(job, failures)| Op::Import(job, failures)),
        1 => (0..8u8).prop_map(Op::Delete),
        1 => (0..8u8).prop_map(Op::Restart),
        1 => (0..8u8).prop_map(Op::Expedite),
        1 => Just(Op::ListSetAside),
        2 => (0..8u8, 0..8u8).prop_map(|(job, what)| Op::Operate(job, what)),
        2 => list,
        3 => (0..8u8, any::<bool>()).prop_map(|(job, all)| Op::Get(job, all)),
        1 => (0..8u8).prop_map(Op::Result),
    ]
}

pub fn action(faults: Faults) -> impl Strategy<Value = Action> {
    let weight = |on: bool, weight: u32| if on { weight } else { 0 };
    // A choice needs some weight; what is off becomes a step of its own kind that does no harm.
    let or_run = |on: bool, action: Action| if on { action } else { Action::Run };
    prop_oneof![
        30 => op().prop_map(Action::Submit),
        1 => any::<u8>().prop_map(Action::HandBack),
        20 => Just(Action::Run),
        6 => prop_oneof![0..50u16, 0..6000u16].prop_map(Action::Pass),
        8 => Just(Action::Apply),
        8 => Just(Action::Accept),
        12 => any::<u8>().prop_map(Action::Load),
        12 => any::<u8>().prop_map(Action::Tell),
        1 + weight(faults.loads_fail, 2) => any::<u8>()
            .prop_map(move |index| or_run(faults.loads_fail, Action::FailLoad(index))),
        6 => Just(Action::Put),
        6 => Just(Action::TellDurable),
        6 => Just(Action::TellFlushed),
        3 => Just(Action::ReadManifest),
        3 => Just(Action::TellProven),
        3 => Just(Action::ForgetAll),
        4 => any::<u8>().prop_map(Action::ForgetOne),
        6 => Just(Action::Beat),
        1 + weight(faults.soft_is_lost, 3) => Just(or_run(faults.soft_is_lost, Action::LoseSoft)),
        1 + weight(faults.crashes, 1) => proptest::option::weighted(0.5, any::<u8>())
            .prop_map(move |damage| {
                or_run(faults.crashes, Action::Crash(damage.filter(|_| faults.damage)))
            }),
        1 + weight(faults.crashes, 1) => (any::<bool>(), any::<bool>())
            .prop_map(move |(a, p)| or_run(faults.crashes, Action::Fail(a, p))),
    ]
}

/// Limits from tiny to roomy.
pub fn limits() -> impl Strategy<Value = StageLimits> {
    (
        prop_oneof![Just(0_usize), Just(400), Just(2_000), Just(1 << 20)],
        prop_oneof![1..4usize, Just(1024)],
        prop_oneof![1..2000usize, Just(1 << 20)],
        prop_oneof![1..5usize, Just(64)],
        prop_oneof![Just(0_u64), 0..500u64],
        prop_oneof![1..4000u64, Just(1 << 20)],
        any::<bool>(),
        proptest::option::weighted(0.3, 0..6000u64),
        // Less, and more, than leases allow.
        prop_oneof![Just(1_000), Just(3_333)],
    )
        .prop_map(
            |(
                cache,
                commands,
                batch,
                read_ahead,
                interval,
                unflushed,
                is_durable,
                kept,
                window,
            )| {
                StageLimits {
                    commands_max: 64,
                    command_bytes_max: 1 << 20,
                    round_commands_max: commands,
                    batch_bytes_max: batch,
                    unflushed_bytes_max: unflushed,
                    cache_bytes_max: cache,
                    read_ahead_rows: read_ahead,
                    proof_window: Millis::new(window),
                    flush: FlushPolicy {
                        interval: Millis::new(interval),
                        bytes: 4 << 20,
                    },
                    dispatch: if is_durable {
                        Dispatch::Durable
                    } else {
                        Dispatch::Speculative
                    },
                    retention: Retention {
                        failed: kept.map(Millis::new),
                        ..Retention::FOREVER
                    },
                }
            },
        )
}

/// The same, bounds apart from these, as production has them.
pub fn roomy() -> StageLimits {
    StageLimits {
        commands_max: 64,
        proof_window: Millis::new(1_000),
        ..StageLimits::default()
    }
}

pub fn job_key(number: u8) -> JobKey {
    let tenant = if number.is_multiple_of(3) { "a" } else { "b" };
    say::job(tenant, &format!("job-{number}"))
}

impl Op {
    fn command(&self, world: &World) -> Option<Command> {
        Some(match self {
            Self::Enqueue {
                job,
                group,
                priority,
                delay,
                retries,
                is_repeatable,
                is_named,
                is_large,
                kept,
                wanted,
            } => {
                let mut enqueue = say::plain(&job_key(*job));
                enqueue.queue.group = group_of(*group);
                enqueue.queue.priority = Priority::parse((*priority).into()).unwrap();
                enqueue.start_at =
                    delay.map(|by| Timestamp::from_millis(world.now + i64::from(by)));
                enqueue.retry = retries.map(|count| say::policy(count.into()));
                if !is_repeatable {
                    enqueue.request = None;
                }
                if !is_named {
                    enqueue.id = None;
                    enqueue.request = None;
                }
                if *is_large {
                    enqueue.payload = Bytes::from(vec![*job; 5000]);
                }
                enqueue.limits = say::limits(*wanted);
                let kept = kept.map(|kept| Millis::new(kept.into()));
                enqueue.retention.succeeded = kept;
                enqueue.retention.cancelled = kept;
                say::enqueue(enqueue)
            }
            Self::EnqueueAll(first, count) => {
                // Every third job is of the same tenant.
                let numbers = (0..*count).map(|number| first + number * 3);
                let jobs = numbers.map(|number| say::plain(&job_key(number)));
                Command::EnqueueAll(EnqueueAll {
                    jobs: jobs.collect(),
                })
            }
            Self::Import(job, failures) => Command::Import(Import {
                jobs: vec![
                    say::imported(&job_key(*job), *failures),
                    say::imported(&job_key(job + 1), *failures),
                ],
            }),
            Self::Delete(job) => Command::Delete(job_key(*job)),
            Self::Restart(job) => Command::Restart(job_key(*job)),
            Self::Expedite(job) => Command::Expedite(job_key(*job)),
            Self::ListSetAside => Command::ListSetAside(ListSetAside {
                tenant: None,
                after: None,
                jobs_max: 3,
            }),
            Self::Operate(job, what) => operate(job_key(*job), *what),
            Self::List(is_first, status, prefix, jobs_max) => {
                let status = status.and_then(|status| Status::ALL.get(usize::from(status)));
                let prefix = prefix.map(|job| IdPrefix::parse(job_key(job).job.as_str()).unwrap());
                Command::List(List {
                    tenant: say::tenant(if *is_first { "a" } else { "b" }),
                    statuses: status.copied().into_iter().collect(),
                    group: None,
                    prefix,
                    after: None,
                    jobs_max: (*jobs_max).into(),
                })
            }
            Self::Lease {
                group,
                tasks_max,
                bytes_max,
            } => {
                let mut lease = say::lease("g", (*tasks_max).into());
                if let Command::Lease(lease) = &mut lease {
                    lease.group = group_of(*group);
                    lease.bytes_max = (*bytes_max).into();
                }
                lease
            }
            Self::LeaseJob(job) => say::lease_job(&job_key(*job)),
            Self::Heartbeat(task, is_mine) => {
                say::heartbeat(&task_of(world, *task)?, if *is_mine { "w" } else { "x" })
            }
            Self::Report(task, outcome) => {
                say::report(&task_of(world, *task)?, outcome_of(*outcome))
            }
            Self::Cancel(job) => Command::Cancel(job_key(*job)),
            Self::Get(job, all) => say::get(&job_key(*job), *all),
            Self::Result(job) => Command::Result(job_key(*job)),
        })
    }
}

impl Action {
    /// Makes it happen.
    pub fn happen(&self, world: &mut World) -> Checked {
        match self {
            Self::Submit(op) => {
                if let Some(command) = op.command(world) {
                    world.submit(command);
                }
                Ok(())
            }
            Self::HandBack(task) => {
                if let Some(task) = task_of(world, *task) {
                    world.hand_back(task);
                }
                Ok(())
            }
            Self::Run => world.run(),
            Self::Pass(millis) => {
                world.pass((*millis).into());
                Ok(())
            }
            Self::Apply => {
                world.apply();
                Ok(())
            }
            Self::Accept => world.accept(),
            Self::Load(index) => {
                world.perform_load((*index).into());
                Ok(())
            }
            Self::Tell(index) => world.tell_loaded((*index).into()),
            Self::FailLoad(index) => world.fail_load((*index).into()),
            Self::Put => {
                world.put();
                Ok(())
            }
            Self::TellDurable => world.tell_durable(),
            Self::TellFlushed => world.tell_flushed(),
            Self::ReadManifest => {
                world.perform_proof();
                Ok(())
            }
            Self::TellProven => world.tell_proven(),
            Self::ForgetAll => {
                world.forget_all();
                Ok(())
            }
            Self::ForgetOne(index) => {
                world.forget_one((*index).into());
                Ok(())
            }
            Self::Beat => world.beat(),
            Self::LoseSoft => world.lose_soft(),
            Self::Crash(damage) => world.crash(damage.map(usize::from)),
            Self::Fail(is_applied, is_put) => world.fail(*is_applied, *is_put),
        }
    }
}

/// Makes everything happen, then lets it come to rest.
pub fn play(world: &mut World, actions: &[Action]) -> Checked {
    for job in 0..8 {
        world.watch(job_key(job));
    }
    for action in actions {
        action.happen(world)?;
    }
    world.settle()?;
    let checked = world.oracle.invariants_checked;
    check(
        Promise::Invariant,
        checked > 0 || world.oracle.is_damaged || world.oracle.decisions.is_empty(),
        || "nothing was checked".to_owned(),
    )
}

fn group_of(is_first: bool) -> silo_core::types::name::TaskGroup {
    say::group(if is_first { "g" } else { "h" })
}

fn task_of(world: &World, index: u8) -> Option<TaskId> {
    let count = world.tasks.len();
    // The latest leases are the interesting ones.
    let back = usize::from(index).checked_rem(count.min(6))?;
    world.tasks.get(count.checked_sub(back + 1)?).cloned()
}

fn outcome_of(number: u8) -> Outcome {
    match number {
        0..=2 => say::success(b"done"),
        3..=5 => say::failure(),
        6 => Outcome::Cancelled,
        7 => Outcome::Snooze {
            delay: Millis::new(700),
        },
        _ => Outcome::Release,
    }
}

/// What an operator asks or says of the limits of a job's tenant.
fn operate(key: JobKey, what: u8) -> Command {
    let limit = LimitName {
        tenant: key.tenant.clone(),
        key: LimitKey::parse("a").unwrap(),
    };
    let set = |change| {
        let limit = limit.clone();
        Command::SetLimit(SetLimit { limit, change })
    };
    match what {
        0 => set(LimitChange::Maximum(3)),
        1 => set(LimitChange::Maximum(1)),
        2 => set(LimitChange::Clear),
        3 => Command::RecountLimits(key.tenant),
        4 => Command::ListLimits(ListLimits {
            tenant: key.tenant,
            prefix: String::new(),
            after: None,
            limits_max: 2,
        }),
        5 => Command::ShowLimit(ShowLimit {
            limit,
            holders_max: 2,
            holders_after: None,
            waiters_max: 2,
        }),
        _ => Command::Explain(key),
    }
}
