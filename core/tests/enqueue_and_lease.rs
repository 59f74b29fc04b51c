//! What is promised of a job on its way to a worker, one promise per test: enqueue, order, leases.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use bytes::Bytes;
use common::{
    Shard, failure, grantee, group, ids, job, lease, of_tenant, plain, queue, request, retrying,
    success,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::lease::Lease;
use silo_core::shard::decision::Notice;
use silo_core::shard::refusal::{QUEUES_MAX, Refusal, RefusalCode};
use silo_core::shard::reply::{Content, Reply};
use silo_core::table::job::JobKey;
use silo_core::table::payload::PayloadKey;
use silo_core::table::state::{Position, Status};
use silo_core::types::time::{Millis, Timestamp};
use silo_core::types::weight::Weights;

fn enqueue(shard: &mut Shard, enqueue: Enqueue) -> Reply {
    shard.run(&Command::Enqueue(Box::new(enqueue)))
}

fn refused(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A shard in which one job was enqueued and leased.
fn with_lease(asked: Enqueue) -> (Shard, JobKey, silo_core::shard::reply::Task) {
    let mut shard = Shard::new();
    let key = shard.enqueue(asked);
    let task = shard.lease_one();
    (shard, key, task)
}

#[test]
fn a_new_job_is_scheduled_and_its_ready_group_is_announced() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    assert_eq!(shard.status(&key), Status::Scheduled);
    assert_eq!(shard.notices, [Notice::Ready(group("g"))]);
    shard.enqueue(plain("k"));
    assert_eq!(shard.notices, [], "the group had work already");
}

#[test]
fn an_id_is_unique_per_tenant_while_its_job_exists() {
    let mut shard = Shard::new();
    shard.enqueue(plain("j"));
    let again = refused(enqueue(&mut shard, plain("j")));
    assert_eq!(again.code(), RefusalCode::AlreadyExists);
    assert_eq!(again, Refusal::JobExists(job("t", "j").job));
    shard.enqueue(of_tenant("u", "j"));
    let task = shard.lease_one();
    shard.report(&task.id, success());
    assert!(matches!(
        refused(enqueue(&mut shard, plain("j"))),
        Refusal::JobExists(_)
    ));
}

#[test]
fn an_enqueue_repeated_with_its_request_id_gives_the_same_job_also_after_its_end() {
    let mut shard = Shard::new();
    let asked = Enqueue {
        request: request(1),
        ..plain("j")
    };
    let key = shard.enqueue(asked.clone());
    assert_eq!(shard.enqueue(asked.clone()), key);
    assert_eq!(shard.changes, []);
    let task = shard.lease_one();
    shard.report(&task.id, success());
    assert_eq!(shard.enqueue(asked), key);
    assert_eq!(shard.status(&key), Status::Succeeded);
}

#[test]
fn the_same_request_id_with_other_content_is_refused_whatever_differs() {
    let mut shard = Shard::new();
    let asked = Enqueue {
        id: None,
        request: request(1),
        ..plain("j")
    };
    shard.enqueue(asked.clone());
    let edits: [&dyn Fn(&mut Enqueue); 8] = [
        &|e| e.queue = queue("g", 11),
        &|e| e.queue = queue("h", 10),
        &|e| e.start_at = Some(Timestamp::from_millis(0)),
        &|e| e.retry = retrying("j", 1).retry,
        &|e| e.max_crashes += 1,
        &|e| e.lease = Some(Millis::new(5000)),
        &|e| e.payload = Bytes::from_static(b"other"),
        &|e| e.metadata = [("k".to_owned(), "v".to_owned())].into(),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let mut other = asked.clone();
        edit(&mut other);
        assert!(
            matches!(refused(enqueue(&mut shard, other)), Refusal::JobExists(_)),
            "edit {number}"
        );
    }
}

#[test]
fn the_same_request_may_be_repeated_in_another_trace() {
    let mut shard = Shard::new();
    let traced = |span: &str| Enqueue {
        request: request(1),
        metadata: [("k", "v"), ("traceparent", span), ("tracestate", span)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..plain("j")
    };
    let key = shard.enqueue(traced("one"));
    assert_eq!(shard.enqueue(traced("two")), key);
    let metadata = shard.lease_one().metadata;
    assert_eq!(metadata["traceparent"], "one", "the first stays");
}

#[test]
fn without_an_id_the_request_id_makes_it_and_without_both_the_server_does() {
    let mut shard = Shard::new();
    let of_request = shard.enqueue(Enqueue {
        id: None,
        request: request(0xab),
        ..plain("j")
    });
    assert_eq!(
        of_request.job.as_str(),
        "abababab-abab-abab-abab-abababababab"
    );
    let unnamed = Enqueue {
        id: None,
        ..plain("j")
    };
    let one = shard.enqueue(unnamed.clone());
    assert_ne!(one, shard.enqueue(unnamed));
}

#[test]
fn priority_goes_before_time_and_time_before_arrival() {
    let mut shard = Shard::new();
    let at = |id: &str, priority, later: i64| Enqueue {
        queue: queue("g", priority),
        start_at: Some(Timestamp::from_millis(common::START + later)),
        ..plain(id)
    };
    shard.enqueue(at("later", 10, 200));
    shard.enqueue(at("sooner", 10, 100));
    shard.enqueue(at("sooner-too", 10, 100));
    shard.enqueue(at("last", 99, -5));
    shard.enqueue(at("urgent", 0, 300));
    shard.pass(1000);
    let tasks = shard.lease(10);
    assert_eq!(
        ids(&tasks),
        ["urgent", "sooner", "sooner-too", "later", "last"]
    );
}

#[test]
fn a_start_in_the_past_is_now() {
    let mut shard = Shard::new();
    shard.enqueue(plain("first"));
    shard.now += 1;
    let mut early = plain("second");
    early.start_at = Some(Timestamp::from_millis(0));
    shard.enqueue(early);
    assert_eq!(ids(&shard.lease(2)), ["first", "second"]);
}

#[test]
fn a_tenant_with_many_jobs_delays_another_by_one_turn_at_most() {
    let mut shard = Shard::new();
    for number in 0..20 {
        shard.enqueue(of_tenant("many", &format!("m{number:02}")));
    }
    shard.lease(3);
    shard.enqueue(of_tenant("few", "f"));
    let tasks = shard.lease(2);
    assert!(ids(&tasks).contains(&"f"), "{:?}", ids(&tasks));
}

#[test]
fn tenants_are_served_in_turn_over_many_small_leases() {
    let mut shard = Shard::new();
    for number in 0..6 {
        for name in ["a", "b", "c"] {
            shard.enqueue(of_tenant(name, &format!("j{number}")));
        }
    }
    for round in 0..6 {
        let mut served: Vec<String> = (0..3)
            .map(|_| shard.lease_one().id.tenant.to_string())
            .collect();
        served.sort();
        assert_eq!(served, ["a", "b", "c"], "round {round}");
    }
}

#[test]
fn a_queue_is_read_from_after_what_was_leased_from_it() {
    let mut shard = Shard::new();
    let mut places = Vec::new();
    for id in ["a", "b", "c"] {
        let key = shard.enqueue(plain(id));
        let Position::Ready(place) = shard.state(&key).position else {
            panic!("ready");
        };
        places.push(place);
        shard.now += 5;
    }
    shard.lease(2);
    let head = shard.image().tenants[&job("t", "a").tenant].ready[&queue("g", 10)];
    assert!(places[1] < head.low && head.low <= places[2], "{head:?}");
}

#[test]
fn a_lease_takes_no_more_tasks_and_bytes_than_it_may_but_always_one() {
    let mut shard = Shard::new();
    for number in 0..4 {
        let mut large = plain(&format!("j{number}"));
        large.payload = Bytes::from(vec![0; 600]);
        shard.enqueue(large);
    }
    let up_to = |bytes_max| {
        Command::Lease(Lease {
            group: group("g"),
            grantee: grantee("w"),
            tasks_max: 10,
            bytes_max,
            weights: Weights::default(),
        })
    };
    let count = |reply| match reply {
        Reply::Leased(tasks) => tasks.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(count(shard.run(&lease("g", 0))), 0);
    assert_eq!(
        count(shard.run(&up_to(1))),
        1,
        "a larger one goes out alone"
    );
    assert_eq!(count(shard.run(&up_to(1200))), 2);
    assert_eq!(count(shard.run(&lease("other", 10))), 0);
    assert_eq!(count(shard.run(&up_to(u64::MAX))), 1);
}

#[test]
fn a_task_says_what_a_worker_must_know() {
    let mut asked = retrying("j", 1);
    asked.metadata.insert("k".to_owned(), "v".to_owned());
    asked.payload = Bytes::from(vec![3; 5000]);
    asked.lease = Some(Millis::new(2000));
    let (mut shard, key, task) = with_lease(asked);
    assert_eq!((task.relative_attempt, task.is_last_attempt), (1, false));
    assert_eq!(task.metadata["k"], "v");
    assert_eq!(task.lease, Millis::new(2000));
    let stored = Content::Stored {
        key: PayloadKey::key(&key, 0),
        len: 5000,
    };
    assert_eq!(task.payload, stored);
    assert_eq!(shard.rows.map[&PayloadKey::key(&key, 0)].len(), 5000);
    shard.report(&task.id, failure());
    shard.pass(1000);
    let last = shard.lease_one();
    assert_eq!((last.relative_attempt, last.is_last_attempt), (2, true));
}

#[test]
fn the_worker_may_choose_how_long_a_lease_lasts() {
    let mut shard = Shard::new();
    let mut asked = plain("j");
    asked.lease = Some(Millis::new(2000));
    let key = shard.enqueue(asked);
    let mut grantee = grantee("w");
    grantee.lease = Some(Millis::new(500));
    let command = silo_core::shard::commands::lease_job::LeaseJob { key, grantee };
    let Reply::Leased(tasks) = shard.run(&Command::LeaseJob(command)) else {
        panic!("leased");
    };
    assert_eq!(tasks[0].lease, Millis::new(500));
}

#[test]
fn a_tenant_may_have_ready_jobs_in_a_thousand_queues_and_no_more() {
    let mut shard = Shard::new();
    let in_queue = |number: usize| Enqueue {
        queue: queue(&format!("group-{number}"), 0),
        ..plain(&format!("job-{number}"))
    };
    shard.is_checked = false;
    for number in 0..QUEUES_MAX {
        shard.enqueue(in_queue(number));
    }
    shard.is_checked = true;
    let refusal = refused(enqueue(&mut shard, in_queue(QUEUES_MAX)));
    assert_eq!(refusal.reason(), "TOO_MANY_QUEUES");
    assert_eq!(refusal.code(), RefusalCode::ResourceExhausted);
    // Another job in one of its queues is welcome, and so is another tenant's.
    shard.enqueue(Enqueue {
        id: None,
        ..in_queue(7)
    });
    shard.enqueue(Enqueue {
        tenant: of_tenant("other", "j").tenant,
        ..in_queue(QUEUES_MAX)
    });
    assert_eq!(shard.soft.totals().scheduled, QUEUES_MAX as u64 + 2);
}
