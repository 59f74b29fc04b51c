//! A view that knows only some rows: loading what is asked for and judging again ends, within a few
//! rounds, in the decision that a complete view gives at once.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::BTreeSet;

use common::partial::{Partial, ROUNDS_MAX, assert_same, config, judge};
use common::{
    Shard, attempted, failed_import, failure, get, gone, heartbeat, imported, job, kept, lease,
    lease_job, limit_key, limited, of_tenant, plain, queue, report, request, retrying, success,
    tenant,
};
use proptest::prelude::*;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{Enqueue, EnqueueAll};
use silo_core::shard::commands::import::{Import, ImportAttempt, ImportJob};
use silo_core::shard::commands::inspect::ListSetAside;
use silo_core::shard::commands::list::{IdPrefix, List};
use silo_core::shard::commands::list_limits::ListLimits;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::show_limit::ShowLimit;
use silo_core::shard::decide;
use silo_core::shard::refusal::{Gone, Refusal};
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::NeedItem;
use silo_core::table::Table as _;
use silo_core::table::attempt::{AttemptKey, Attempts};
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::table::limit::LimitName;
use silo_core::table::state::{States, Status};
use silo_core::types::limit::Limit;
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Timestamp};

/// A shard with jobs in every position; some of its leases are over and some of its jobs due.
fn world(jobs: &[(u8, u8, u8, u8)]) -> (Shard, Vec<TaskId>) {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let mut tasks = Vec::new();
    for (number, (tenant, priority, fate, wanted)) in jobs.iter().enumerate() {
        let id = format!("j{number}");
        let mut enqueue = Enqueue {
            queue: queue("g", u32::from(priority % 100)),
            request: request(u8::try_from(number % 256).unwrap()),
            limits: limits(*wanted),
            ..of_tenant(&format!("t{}", tenant % 4), &id)
        };
        if fate % 2 == 0 {
            enqueue.retry = retrying("x", 3).retry;
        }
        if fate % 3 == 0 {
            enqueue.retention = kept("x", u64::from(*priority) * 100).retention;
        }
        if fate % 8 == 7 {
            enqueue.start_at = Some(Timestamp::from_millis(shard.now + i64::from(*priority)));
        }
        let key = shard.enqueue(enqueue);
        match fate % 8 {
            0..=2 => tasks.extend(leased(shard.run(&lease_job(&key)))),
            3 | 4 => {
                for task in leased(shard.run(&lease_job(&key))) {
                    let outcome = if fate % 8 == 3 { success() } else { failure() };
                    shard.run(&report(&task, outcome));
                    tasks.push(task);
                }
            }
            _ => {}
        }
    }
    (shard, tasks)
}

/// Half of the jobs want slots of some of three limits, which have few.
fn limits(wanted: u8) -> Vec<Limit> {
    let limits = [("a", 1), ("b", 2), ("c", 0)];
    let is_wanted = |bit: u8| wanted & 8 != 0 && wanted & (1 << bit) != 0;
    let wanted = (0..).zip(limits).filter(|(bit, _)| is_wanted(*bit));
    let wanted: Vec<_> = wanted.map(|(_, limit)| limit).collect();
    limited("x", &wanted).limits
}

fn leased(reply: Reply) -> Vec<TaskId> {
    match reply {
        Reply::Leased(tasks) => tasks.into_iter().map(|task| task.id).collect(),
        Reply::Refused(Refusal::LimitFull { .. }) => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn commands(shard: &Shard, tasks: &[TaskId], pick: usize, tasks_max: u32) -> Vec<Command> {
    let mut keys: Vec<_> = shard.image().states.into_keys().collect();
    keys.push(job("t0", "nobody"));
    let key = &keys[pick % keys.len()];
    let limit = |of| LimitName {
        tenant: key.tenant.clone(),
        key: limit_key(of),
    };
    let set = |limit, change| Command::SetLimit(SetLimit { limit, change });
    let mut commands = vec![
        Command::Enqueue(Box::new(plain("new"))),
        Command::Enqueue(Box::new(limited("new", &[("a", 1), ("b", 9), ("c", 9)]))),
        Command::Enqueue(Box::new(of_tenant("t0", "j0"))),
        lease("g", tasks_max),
        lease_job(key),
        Command::Cancel(key.clone()),
        Command::Delete(key.clone()),
        Command::Restart(key.clone()),
        Command::Expedite(key.clone()),
        Command::EnqueueAll(EnqueueAll {
            jobs: vec![of_tenant("t1", "new"), of_tenant("t1", key.job.as_str())],
        }),
        Command::Import(Import {
            jobs: vec![
                imported("new", vec![attempted(1, failed_import())]),
                ImportJob {
                    tenant: key.tenant.clone(),
                    ..imported(key.job.as_str(), vec![attempted(1, failed_import())])
                },
            ],
        }),
        Command::ListSetAside(ListSetAside {
            tenant: None,
            after: None,
            jobs_max: tasks_max,
        }),
        Command::List(list("t0", tasks_max)),
        Command::List(List {
            statuses: [Status::Scheduled, Status::Failed].into(),
            prefix: IdPrefix::parse("j1").ok(),
            after: Some(States::key(key)),
            ..list("t1", tasks_max)
        }),
        get(key),
        Command::Result(key.clone()),
        Command::Explain(key.clone()),
        Command::ListLimits(ListLimits {
            tenant: key.tenant.clone(),
            prefix: String::new(),
            after: None,
            limits_max: tasks_max,
        }),
        Command::ShowLimit(ShowLimit {
            limit: limit("a"),
            holders_max: tasks_max,
            holders_after: None,
            waiters_max: tasks_max,
        }),
        set(limit("a"), LimitChange::Maximum(tasks_max)),
        set(limit("b"), LimitChange::Pause),
        Command::RecountLimits(key.tenant.clone()),
        Command::Tick,
    ];
    if let Some(task) = tasks.get(pick % tasks.len().max(1)) {
        commands.push(heartbeat(task, "w"));
        let delay = Millis::new(5);
        let snooze = Outcome::Snooze { delay };
        let given_back = [Outcome::Cancelled, Outcome::Release, snooze];
        for outcome in [success(), failure()].into_iter().chain(given_back) {
            commands.push(report(task, outcome));
        }
    }
    commands
}

/// All jobs of a tenant.
fn list(of: &str, jobs_max: u32) -> List {
    List {
        tenant: tenant(of),
        statuses: BTreeSet::new(),
        group: None,
        prefix: None,
        after: None,
        jobs_max,
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn a_view_that_knows_little_comes_to_the_same_decision_within_a_few_rounds(
        jobs in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 0..40),
        known in prop::collection::vec(any::<bool>(), 1..64),
        later in 0..30_000_i64,
        pick in any::<usize>(),
        tasks_max in 0..30_u32,
        is_lost in any::<bool>(),
        damage in prop::option::of(any::<usize>()),
    ) {
        let (mut shard, tasks) = world(&jobs);
        if is_lost {
            shard.soft = Soft::lost();
        }
        shard.now += later;
        if let Some(damage) = damage {
            let keys: Vec<Key> = shard.rows.map.keys().cloned().collect();
            if let Some(key) = keys.get(damage % keys.len().max(1)) {
                shard.damage(key);
            }
        }
        for command in commands(&shard, &tasks, pick, tasks_max) {
            let rounds = assert_same(&mut shard, &command, &known);
            prop_assert!(rounds <= ROUNDS_MAX, "{rounds} rounds for {command:?}");
        }
    }
}

#[test]
fn nothing_known_takes_few_rounds_however_many_priorities_a_tenant_uses() {
    let mut shard = Shard::new();
    for priority in 0..60 {
        let mut enqueue = plain(&format!("j{priority}"));
        enqueue.queue = queue("g", priority);
        shard.enqueue(enqueue);
    }
    let rounds = assert_same(&mut shard, &lease("g", 100), &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds} rounds");
}

#[test]
fn nothing_known_takes_few_rounds_however_unequal_tenants_are() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for tenant in 0..50 {
        let jobs = if tenant == 0 { 300 } else { 1 };
        for number in 0..jobs {
            shard.enqueue(of_tenant(&format!("t{tenant}"), &format!("j{number}")));
        }
    }
    let rounds = assert_same(&mut shard, &lease("g", 200), &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds} rounds");
}

#[test]
fn a_row_that_matches_no_job_has_nobody_elses_rows_loaded() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for tenant in 0..50 {
        for id in ["a", "b"] {
            shard.enqueue(of_tenant(&format!("t{tenant:02}"), id));
        }
    }
    // The first job of whoever is first is gone; its row in the queue is met, and the next is read.
    shard.rows.map.remove(&States::key(&job("t00", "a")));
    let mut view = Partial {
        rows: &shard.rows,
        keys: BTreeSet::new(),
        intervals: Vec::new(),
    };
    let stamp = shard.clone().stamp();
    let decision = loop {
        match decide(&shard.soft, &view, &stamp, &lease("g", 1)) {
            Ok(decision) => break decision,
            Err(need) => view.load(&need),
        }
    };
    let tasks = leased(decision.reply);
    assert_eq!((tasks.len(), tasks[0].job.as_str()), (1, "b"));
    let loaded = view.keys.len() + view.intervals.len();
    assert!(loaded < 10, "{loaded} rows and ranges for one task");
}

#[test]
fn a_report_on_an_attempt_that_never_was_is_answered_from_the_state_alone() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    let task = TaskId {
        tenant: key.tenant.clone(),
        job: key.job.clone(),
        attempt: 7,
        nonce: 1,
    };
    let stamp = shard.stamp();
    let state = BTreeSet::from([States::key(&key)]);
    let (decision, rounds) = judge(&shard, state, &stamp, &report(&task, success()));
    assert_eq!(decision.reply, gone(&task, Gone::Unknown));
    assert_eq!(rounds, 0, "nothing else is read");
}

#[test]
fn nothing_is_loaded_for_a_lease_of_no_tasks() {
    let mut shard = Shard::new();
    shard.enqueue(plain("j"));
    assert_eq!(assert_same(&mut shard, &lease("g", 0), &[false]), 0);
}

/// A job with this many attempts that ended, which waits for its next.
fn with_attempts(shard: &mut Shard, attempts: u32) -> JobKey {
    let key = shard.enqueue(retrying("j", attempts));
    for _ in 0..attempts {
        let task = leased(shard.run(&lease_job(&key))).remove(0);
        shard.run(&report(&task, failure()));
    }
    key
}

#[test]
fn nothing_known_takes_few_rounds_however_many_attempts_a_job_has_had() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let key = with_attempts(&mut shard, 100);
    let shown: Vec<_> = shard.view(&key).attempts;
    let again = |shown: &silo_core::shard::reply::AttemptView| ImportAttempt {
        started_at: shown.attempt.started_at,
        finished_at: shown.attempt.end.as_ref().unwrap().at,
        how: failed_import(),
    };
    let mut given = imported("j", shown.iter().map(again).collect());
    given.attempts.push(attempted(1, failed_import()));
    let import = Command::Import(Import { jobs: vec![given] });
    for is_set_aside in [false, true] {
        if is_set_aside {
            shard.damage(&Attempts::key(&AttemptKey::of(&key, 50)));
            shard.run(&get(&key));
        }
        for command in [
            import.clone(),
            get(&key),
            Command::Restart(key.clone()),
            Command::Delete(key.clone()),
        ] {
            let rounds = assert_same(&mut shard, &command, &[false]);
            assert!(rounds <= ROUNDS_MAX, "{rounds} rounds for {command:?}");
        }
    }
    assert_eq!(
        shard.run(&Command::Restart(key.clone())),
        Reply::Restarted,
        "it had been set aside"
    );
}

#[test]
fn nothing_known_takes_few_rounds_however_few_of_the_jobs_are_listed() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..700 {
        let key = shard.enqueue(of_tenant("t", &format!("j{number:03}")));
        if number % 100 == 0 {
            shard.cancel(&key);
        }
    }
    let all = Command::List(list("t", 500));
    let rounds = assert_same(&mut shard, &all, &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds} rounds for many");
    let few = List {
        statuses: [Status::Cancelled].into(),
        ..list("t", 500)
    };
    let rounds = assert_same(&mut shard, &Command::List(few), &[false]);
    assert_eq!(rounds, 2, "the states, and what belongs to the few");
}

#[test]
fn descriptions_are_loaded_as_a_range_where_that_is_cheap_and_never_many_at_once() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..700 {
        let key = shard.enqueue(of_tenant("t", &format!("j{number:03}")));
        if number % 100 == 0 {
            shard.cancel(&key);
        }
    }
    let stamp = shard.stamp();
    let need = |list: List| {
        let states = list.range();
        let view = Partial {
            rows: &shard.rows,
            keys: BTreeSet::new(),
            intervals: vec![states],
        };
        let decision = decide(&shard.soft, &view, &stamp, &Command::List(list));
        decision.expect_err("descriptions are not known").items
    };
    let many = need(list("t", 500));
    assert!(
        matches!(many.as_slice(), [NeedItem::Range { limit: 128, .. }]),
        "{many:?}"
    );
    let few = List {
        statuses: [Status::Cancelled].into(),
        ..list("t", 500)
    };
    let few = need(few);
    let is_row = |item: &NeedItem| matches!(item, NeedItem::Row(_));
    assert!(few.len() == 7 && few.iter().all(is_row), "{few:?}");
    let one = need(list("t", 1));
    assert!(one.len() == 1 && one.iter().all(is_row), "{one:?}");
}
