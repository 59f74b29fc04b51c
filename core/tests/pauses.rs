//! Pauses: of what is paused nothing new is leased, and everything else goes on.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::{
    Shard, group, job, lease_job, limit_key, limited, of_tenant, pause_queue, pause_tenant, plain,
    queue, success, tenant,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::decision::Notice;
use silo_core::shard::refusal::{PAUSED_MAX, Paused, Refusal, RefusalCode};
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::table::Table as _;
use silo_core::table::codec::encode;
use silo_core::table::singleton::{FORMAT_VERSION, Format, FormatKey, FormatRow};
use silo_core::table::state::Status;
use silo_core::types::time::Timestamp;

/// What can be paused, of jobs of tenant t in group g.
fn pauses() -> [(fn(bool) -> Command, Paused, &'static str); 3] {
    [
        (
            |is| pause_tenant("t", is),
            Paused::Tenant(tenant("t")),
            "TENANT_PAUSED",
        ),
        (
            |is| pause_queue("g", Some("t"), is),
            Paused::QueueOfTenant(group("g")),
            "QUEUE_PAUSED",
        ),
        (
            |is| pause_queue("g", None, is),
            Paused::Queue(group("g")),
            "QUEUE_PAUSED",
        ),
    ]
}

#[test]
fn of_what_is_paused_nothing_is_leased_what_is_leased_goes_on_and_resuming_wakes() {
    for (pause, by, reason) in pauses() {
        let mut shard = Shard::new();
        let first = shard.enqueue(plain("a"));
        let task = shard.lease_one();
        let second = shard.enqueue(plain("b"));
        shard.run(&pause(true));
        assert!(
            !shard.soft.has_ready(&group("g")),
            "{by}: nobody needs to ask"
        );
        assert_eq!(shard.lease(10).len(), 0, "{by}");
        assert_eq!(shard.changes, [], "{by}: asking costs nothing");
        let refused = shard.run(&lease_job(&second));
        let key = second.clone();
        let refusal = Refusal::Paused {
            key,
            by: by.clone(),
        };
        assert_eq!(refusal.code(), RefusalCode::FailedPrecondition);
        assert_eq!(refusal.reason(), reason);
        assert_eq!(refused, Reply::Refused(refusal));
        // What is leased goes on; all else is done as ever.
        shard.heartbeat(&task.id);
        assert_eq!(shard.report(&task.id, success()), Reply::Reported);
        assert_eq!(shard.status(&first), Status::Succeeded);
        let third = shard.enqueue(plain("c"));
        assert_eq!(shard.notices, [], "{by}: nobody is woken for it");
        assert_eq!(shard.cancel(&third), Reply::Cancelled);
        assert_eq!(shard.lease(10).len(), 0, "{by}");
        shard.run(&pause(true));
        assert_eq!(shard.changes, [], "{by}: it is so already");
        shard.run(&pause(false));
        assert_eq!(shard.notices, [Notice::Ready(group("g"))], "{by}");
        assert_eq!(shard.lease(10).len(), 1, "{by}");
        shard.run(&pause(false));
        assert_eq!(shard.changes, [], "{by}: it is so already");
    }
}

#[test]
fn a_pause_outlives_soft_state() {
    for (pause, by, _) in pauses() {
        let mut shard = Shard::new();
        shard.enqueue(plain("a"));
        shard.run(&pause(true));
        shard.soft = Soft::lost();
        // Before anything is found again, and after.
        shard.enqueue(plain("b"));
        assert_eq!(shard.lease(10).len(), 0, "{by}");
        shard.settle();
        assert_eq!(shard.lease(10).len(), 0, "{by}");
        assert!(!shard.soft.has_ready(&group("g")), "{by}: a lease tells");
        shard.run(&pause(false));
        assert_eq!(shard.lease(10).len(), 2, "{by}");
    }
}

#[test]
fn a_pause_holds_up_nobody_else() {
    let enqueue = |shard: &mut Shard| {
        for (name, number) in [("t", 1), ("t", 2), ("u", 1), ("u", 2)] {
            for of in ["g", "h"] {
                let id = format!("{of}{number}");
                shard.enqueue(Enqueue {
                    queue: queue(of, 10),
                    ..of_tenant(name, &id)
                });
            }
        }
    };
    let left: [&[&str]; 3] = [
        &["u g1", "u g2", "u h1", "u h2"],
        &["u g1", "u g2", "t h1", "u h1", "t h2", "u h2"],
        &["t h1", "u h1", "t h2", "u h2"],
    ];
    for ((pause, by, _), left) in pauses().into_iter().zip(left) {
        let mut shard = Shard::new();
        enqueue(&mut shard);
        shard.run(&pause(true));
        let mut got = shard.lease(10);
        got.extend(shard.lease_from("h", 10));
        let got: Vec<String> = got
            .iter()
            .map(|task| format!("{} {}", task.id.tenant, task.id.job))
            .collect();
        assert_eq!(got, left, "{by}");
    }
}

#[test]
fn jobs_that_are_ready_and_paused_keep_their_slots() {
    let mut shard = Shard::new();
    let held = shard.enqueue(limited("a", &[("k", 1)]));
    let waits = shard.enqueue(Enqueue {
        queue: queue("h", 10),
        ..limited("b", &[("k", 1)])
    });
    shard.run(&pause_queue("g", Some("t"), true));
    assert_eq!(
        shard.lease_from("h", 1).len(),
        0,
        "{} is held",
        limit_key("k")
    );
    shard.cancel(&held);
    assert_eq!(shard.lease_from("h", 1)[0].id.job, waits.job);
}

#[test]
fn a_tenant_without_jobs_stays_paused_until_it_is_resumed() {
    let mut shard = Shard::new();
    shard.run(&pause_tenant("t", true));
    shard.run(&pause_queue("g", Some("t"), true));
    shard.now += 1000;
    shard.enqueue(plain("a"));
    assert_eq!(shard.lease(1).len(), 0);
    shard.run(&pause_tenant("t", false));
    assert_eq!(shard.lease(1).len(), 0, "its queue is paused as well");
    shard.delete(&job("t", "a"));
    match shard.run(&Command::GetTenant(tenant("t"))) {
        Reply::Tenant(view) => {
            let since: Vec<i64> = view
                .paused_queues
                .values()
                .map(|at| at.as_millis())
                .collect();
            assert_eq!((view.paused, since), (None, vec![common::START]));
        }
        other => panic!("{other:?}"),
    }
    shard.run(&pause_queue("g", Some("t"), false));
    assert!(shard.rows.map.is_empty(), "nothing is left");
}

#[test]
fn task_groups_that_are_paused_for_everybody_are_listed_and_bounded() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..PAUSED_MAX {
        shard.run(&pause_queue(&format!("g{number}"), None, true));
        shard.run(&pause_queue(&format!("g{number}"), Some("t"), true));
    }
    for of in [None, Some("t")] {
        let one_more = shard.run(&pause_queue("h", of, true));
        let Reply::Refused(refusal) = one_more else {
            panic!("{one_more:?}")
        };
        assert_eq!(refusal, Refusal::TooManyPaused);
        assert_eq!(refusal.code(), RefusalCode::ResourceExhausted);
    }
    match shard.run(&Command::ListPaused) {
        Reply::PausedQueues(since) => {
            assert_eq!(since.len(), PAUSED_MAX);
            assert!(since.values().all(|at| at.as_millis() == common::START));
        }
        other => panic!("{other:?}"),
    }
    for number in 0..PAUSED_MAX {
        shard.run(&pause_queue(&format!("g{number}"), None, false));
    }
    assert_eq!(
        shard.run(&Command::ListPaused),
        Reply::PausedQueues(std::collections::BTreeMap::new())
    );
}

#[test]
fn the_rows_of_the_shard_itself_are_told_apart() {
    let mut shard = Shard::new();
    let format = FormatRow {
        version: FORMAT_VERSION,
        created_at: Timestamp::from_millis(common::START),
    };
    let key = Format::key(&FormatKey);
    shard.rows.map.insert(key, encode(&format));
    shard.run(&pause_queue("g", None, true));
    let image = shard.image();
    assert_eq!(image.format, Some(format));
    assert_eq!(
        image.paused_queues.into_keys().collect::<Vec<_>>(),
        [group("g")]
    );
    assert!(image.unreadable.is_empty());
}
