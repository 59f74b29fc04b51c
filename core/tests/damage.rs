//! One bad row is not an outage.
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
    Shard, failure, get, gone, ids, job, lease_job, of_tenant, plain, retrying, success, tenant,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::inspect::ListSetAside;
use silo_core::shard::commands::quarantine::SetAside;
use silo_core::shard::decision::Notice;
use silo_core::shard::refusal::{Gone, Refusal};
use silo_core::shard::reply::{Reply, SetAsideView};
use silo_core::shard::run;
use silo_core::shard::soft::Soft;
use silo_core::table::attempt::{Attempt, AttemptEnd, AttemptKey, Attempts, Ending};
use silo_core::table::codec::encode;
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::ready::{Readies, ReadyKey};
use silo_core::table::running::{RunningRow, Runnings};
use silo_core::table::state::{Position, States, Status};
use silo_core::table::tenant::Tenants;
use silo_core::table::{Table, TableId};
use silo_core::types::time::{Millis, Timestamp};

fn is_set_aside(shard: &Shard, key: &JobKey) -> bool {
    shard.status(key) == Status::Quarantined && shard.image().quarantine.contains_key(key)
}

/// Three ready jobs of one tenant, the middle one to be damaged.
fn three() -> (Shard, JobKey) {
    let mut shard = Shard::new();
    shard.enqueue(plain("a"));
    let key = shard.enqueue(plain("b"));
    shard.enqueue(plain("c"));
    (shard, key)
}

#[test]
fn a_ready_job_with_a_damaged_row_is_set_aside_and_the_others_go_on() {
    for row in [States::key, Jobs::key] {
        let (mut shard, key) = three();
        shard.damage(&row(&key));
        let tasks = shard.lease(5);
        assert_eq!(ids(&tasks), ["a", "c"]);
        assert!(is_set_aside(&shard, &key));
        assert!(
            shard
                .notices
                .iter()
                .any(|n| matches!(n, Notice::Quarantined(k, _) if *k == key))
        );
        let refused = Reply::Refused(Refusal::Quarantined(key.clone()));
        assert_eq!(shard.run(&get(&key)), refused);
        assert_eq!(shard.run(&lease_job(&key)), refused);
        assert_eq!(shard.cancel(&key), refused);
        assert_eq!(shard.run(&Command::Result(key)), refused);
    }
}

#[test]
fn a_job_with_all_rows_damaged_is_set_aside_and_the_others_go_on() {
    let (mut shard, key) = three();
    shard.damage(&States::key(&key));
    shard.damage(&Jobs::key(&key));
    assert_eq!(ids(&shard.lease(5)), ["a", "c"]);
    assert_eq!(ids(&shard.lease(5)), Vec::<&str>::new());
}

#[test]
fn a_job_without_a_description_is_set_aside() {
    let (mut shard, key) = three();
    shard.is_checked = false;
    shard.rows.map.remove(&Jobs::key(&key));
    assert_eq!(ids(&shard.lease(5)), ["a", "c"]);
    assert!(is_set_aside(&shard, &key));
}

#[test]
fn a_damaged_due_job_is_set_aside_and_the_others_start() {
    let mut shard = Shard::new();
    let start_at = Some(Timestamp::from_millis(shard.now + 1000));
    let mut keys = Vec::new();
    for id in ["a", "b", "c"] {
        let mut later = plain(id);
        later.start_at = start_at;
        keys.push(shard.enqueue(later));
    }
    shard.damage(&States::key(&keys[1]));
    shard.pass(1000);
    assert!(is_set_aside(&shard, &keys[1]));
    assert_eq!(ids(&shard.lease(5)), ["a", "c"]);
}

#[test]
fn a_damaged_leased_job_is_set_aside_when_its_lease_ends_and_the_other_lease_ends_too() {
    for row in [States::key, Jobs::key] {
        let mut shard = Shard::new();
        let bad = shard.enqueue(plain("bad"));
        let good = shard.enqueue(plain("good"));
        let tasks = shard.lease(2);
        shard.heartbeat(&tasks[0].id);
        shard.heartbeat(&tasks[1].id);
        shard.damage(&row(&bad));
        shard.pass(10_000);
        assert!(is_set_aside(&shard, &bad));
        assert_eq!(shard.status(&good), Status::Scheduled);
        assert!(matches!(
            shard.report(&tasks[0].id, success()),
            Reply::Refused(_)
        ));
    }
}

#[test]
fn the_lease_of_a_damaged_running_row_ends_as_any_other_after_a_restart() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    shard.lease_one();
    shard.damage(&Runnings::key(&key));
    shard.soft = Soft::lost();
    shard.settle();
    shard.pass(10_000);
    assert_eq!(shard.status(&key), Status::Scheduled, "not leased for ever");
}

#[test]
fn a_running_row_of_a_job_that_is_not_leased_is_dropped_when_it_is_met() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    shard.is_checked = false;
    let row = RunningRow {
        attempt: 1,
        nonce: 9,
        duration: Millis::new(1000),
    };
    shard.rows.map.insert(Runnings::key(&key), encode(&row));
    shard.soft = Soft::lost();
    shard.settle();
    shard.pass(1000);
    assert_eq!(shard.notices, [Notice::IndexDropped(TableId::Running)]);
    shard.is_checked = true;
    assert_eq!(shard.lease(1).len(), 1);
}

#[test]
fn a_ready_row_that_matches_no_job_is_dropped_and_counted() {
    let (mut shard, key) = three();
    shard.is_checked = false;
    let Position::Ready(place) = shard.state(&key).position else {
        panic!("ready");
    };
    shard.rows.map.remove(&States::key(&key));
    let row = ReadyKey::of(&key, &common::queue("g", 10), place);
    assert!(shard.rows.map.contains_key(&Readies::key(&row)));
    assert_eq!(ids(&shard.lease(5)), ["a", "c"]);
    assert!(
        shard
            .notices
            .contains(&Notice::IndexDropped(TableId::Ready))
    );
    assert!(!shard.rows.map.contains_key(&Readies::key(&row)));
}

#[test]
fn a_queue_row_whose_key_does_not_decode_is_dropped_and_the_others_go_on() {
    for tail in [&b"\xff"[..], b"\x00", b""] {
        let (mut shard, key) = three();
        shard.is_checked = false;
        let Position::Ready(place) = shard.state(&key).position else {
            panic!("ready");
        };
        let row = Readies::key(&ReadyKey::of(&key, &common::queue("g", 10), place));
        let garbage = Bytes::from([&row[..row.len() - 3], tail].concat());
        shard.rows.map.insert(garbage.clone(), Bytes::new());
        assert_eq!(ids(&shard.lease(5)), ["a", "b", "c"]);
        assert!(!shard.rows.map.contains_key(&garbage));
    }
}

#[test]
fn a_damaged_earlier_attempt_sets_its_job_aside() {
    let mut shard = Shard::new();
    let key = shard.enqueue(retrying("j", 5));
    for _ in 0..2 {
        let task = shard.lease_one();
        shard.report(&task.id, failure());
        shard.pass(8000);
    }
    shard.damage(&Attempts::key(&AttemptKey::of(&key, 1)));
    let refused = Reply::Refused(Refusal::Quarantined(key.clone()));
    assert_eq!(shard.run(&get(&key)), refused);
    assert!(is_set_aside(&shard, &key));
    assert_eq!(shard.lease(5), []);
}

#[test]
fn a_damaged_tenant_row_stops_that_tenant_alone() {
    let mut shard = Shard::new();
    let start_at = Some(Timestamp::from_millis(shard.now + 1000));
    for name in ["bad", "good"] {
        shard.enqueue(of_tenant(name, "ready"));
        shard.enqueue(of_tenant(name, "leased"));
        let mut later = of_tenant(name, "due");
        later.start_at = start_at;
        shard.enqueue(later);
        shard.run(&lease_job(&job(name, "leased")));
    }
    shard.damage(&Tenants::key(&tenant("bad")));
    let refused = Refusal::TenantDamaged(tenant("bad"));
    let mut more = of_tenant("bad", "more");
    more.id = None;
    let reply = shard.run(&Command::Enqueue(Box::new(more)));
    assert_eq!(reply, Reply::Refused(refused));
    shard.pass(1000);
    assert_eq!(shard.lease(5).len(), 2, "ready and due");
    shard.pass(10_000);
    assert_eq!(shard.status(&job("good", "leased")), Status::Scheduled);
    assert_eq!(shard.status(&job("bad", "leased")), Status::Running);
    for _ in 0..2 {
        shard.soft = Soft::lost();
        shard.settle();
    }
    assert_eq!(shard.lease(5).len(), 3);
}

#[test]
fn a_damaged_job_of_a_damaged_tenant_stops_nobody_else() {
    let mut shard = Shard::new();
    for name in ["bad", "good"] {
        shard.enqueue(of_tenant(name, "j"));
        let task = shard.run(&lease_job(&job(name, "j")));
        assert!(matches!(task, Reply::Leased(_)));
    }
    shard.damage(&Tenants::key(&tenant("bad")));
    shard.damage(&States::key(&job("bad", "j")));
    shard.damage(&Runnings::key(&job("bad", "j")));
    shard.soft = Soft::lost();
    shard.settle();
    shard.pass(10_000);
    assert_eq!(shard.status(&job("good", "j")), Status::Scheduled);
}

#[test]
fn a_damaged_description_met_through_a_lease_that_is_over_does_not_stop_ticks() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    shard.is_checked = false;
    let row = RunningRow {
        attempt: 1,
        nonce: 9,
        duration: Millis::new(1000),
    };
    shard.rows.map.insert(Runnings::key(&key), encode(&row));
    shard.soft = Soft::lost();
    shard.settle();
    shard.damage(&Jobs::key(&key));
    shard.pass(1000);
}

#[test]
fn a_leased_job_whose_payload_is_gone_is_set_aside_and_its_queue_goes_on() {
    let (mut shard, key) = three();
    let tasks = shard.lease(2);
    assert_eq!(ids(&tasks), ["a", "b"]);
    let aside = Command::SetAside(SetAside {
        task: tasks[1].id.clone(),
        reason: "its payload is missing".to_owned(),
    });
    let over = gone(&tasks[1].id, Gone::Unknown);
    assert_eq!(shard.run(&aside), over, "and its lease is over");
    assert!(is_set_aside(&shard, &key));
    assert_eq!(shard.run(&aside), over, "a second time changes nothing");
    assert_eq!(ids(&shard.lease(5)), ["c"]);
}

#[test]
fn a_job_whose_lease_is_over_is_not_set_aside_for_what_was_found_in_it() {
    let (mut shard, key) = three();
    let task = shard.lease(2).remove(1);
    shard.report(&task.id, success());
    let aside = Command::SetAside(SetAside {
        task: task.id.clone(),
        reason: "its payload is missing".to_owned(),
    });
    assert_eq!(shard.run(&aside), gone(&task.id, Gone::Unknown));
    assert_eq!(shard.status(&key), Status::Succeeded);
}

/// Sets the middle one of three jobs aside by way of a command that meets it.
fn with_one_set_aside(row: fn(&JobKey) -> silo_core::table::key::Key) -> (Shard, JobKey) {
    let (mut shard, key) = three();
    shard.damage(&row(&key));
    assert!(matches!(shard.run(&get(&key)), Reply::Refused(_)));
    assert!(is_set_aside(&shard, &key));
    (shard, key)
}

fn listed(shard: &mut Shard, list: ListSetAside) -> Vec<SetAsideView> {
    match shard.run(&Command::ListSetAside(list)) {
        Reply::SetAside(jobs) => jobs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_report_sets_a_job_aside_whose_lease_and_last_attempt_disagree() {
    let (other_lease, ended): (fn(&mut Attempt), fn(&mut Attempt)) = (
        |last| last.nonce ^= 1,
        |last| {
            let at = last.started_at;
            let how = Ending::Crashed;
            last.end = Some(AttemptEnd { at, how });
        },
    );
    for disagree in [other_lease, ended] {
        let (mut shard, key) = three();
        let task = shard.lease(2).remove(1);
        let mut state = shard.state(&key);
        disagree(state.last.as_mut().unwrap());
        shard.rows.map.insert(States::key(&key), encode(&state));
        shard.is_checked = false;
        assert_ne!(shard.report(&task.id, success()), Reply::Reported);
        assert!(is_set_aside(&shard, &key));
        assert_eq!(ids(&shard.lease(5)), ["c"]);
    }
}

#[test]
fn a_command_that_meets_damaged_jobs_is_run_to_its_answer() {
    let (mut shard, key) = three();
    shard.damage(&States::key(&key));
    let stamp = shard.stamp();
    let decision = run(&mut shard.soft, &mut shard.rows, &stamp, &get(&key)).unwrap();
    let refused = Reply::Refused(Refusal::Quarantined(key.clone()));
    assert_eq!(decision.reply, refused);
    assert!(is_set_aside(&shard, &key));
    let decision = run(&mut shard.soft, &mut shard.rows, &stamp, &get(&key)).unwrap();
    assert_eq!(decision.reply, refused, "and has it at once the next time");
}

#[test]
fn an_operator_sees_which_jobs_were_set_aside_page_by_page() {
    let mut shard = Shard::new();
    let mut keys: Vec<JobKey> = Vec::new();
    for name in ["t", "u"] {
        for id in ["a", "b", "c"] {
            let key = shard.enqueue(of_tenant(name, id));
            shard.damage(&Jobs::key(&key));
            shard.run(&get(&key));
            keys.push(key);
        }
    }
    let all = |tenant: Option<&str>, after: Option<&JobKey>, jobs_max| ListSetAside {
        tenant: tenant.map(common::tenant),
        after: after.cloned(),
        jobs_max,
    };
    let whole = listed(&mut shard, all(None, None, 100));
    let mut shown: Vec<JobKey> = whole.iter().map(|job| job.key.clone()).collect();
    let first = listed(&mut shard, all(None, None, 4));
    let second = listed(&mut shard, all(None, Some(&first[3].key), 4));
    assert_eq!([first, second].concat(), whole);
    shown.sort();
    keys.sort();
    assert_eq!(shown, keys);
    assert!(
        whole
            .iter()
            .all(|job| job.at.is_some() && job.reason.contains("Job row"))
    );
    let of_one = listed(&mut shard, all(Some("u"), None, 100));
    assert_eq!(of_one.len(), 3);
    assert!(of_one.iter().all(|job| job.key.tenant == tenant("u")));
    let rest = listed(&mut shard, all(Some("u"), Some(&of_one[1].key), 100));
    assert_eq!(rest, of_one[2..]);
}

#[test]
fn a_job_set_aside_can_be_deleted_and_its_id_used_again() {
    for row in [States::key, Jobs::key] {
        let (mut shard, key) = with_one_set_aside(row);
        assert_eq!(shard.delete(&key), Reply::Deleted);
        let image = shard.image();
        assert!(image.quarantine.is_empty() && !image.states.contains_key(&key));
        assert!(!image.jobs.contains_key(&key));
        shard.enqueue(plain("b"));
        // A row of the old one may still stand in the queue: whoever meets it drops it.
        assert_eq!(ids(&shard.lease(9)), ["a", "c", "b"]);
        assert_eq!(shard.lease(9), []);
        assert!(shard.image().ready.is_empty());
    }
}

#[test]
fn the_last_job_of_a_tenant_leaves_its_row_until_its_queue_has_been_met() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    shard.damage(&States::key(&key));
    shard.run(&get(&key));
    shard.delete(&key);
    assert_eq!(shard.image().ready.len(), 1);
    assert_eq!(shard.lease(1), []);
    assert!(
        shard.rows.map.is_empty(),
        "nothing is left: {:?}",
        shard.rows.map
    );
    assert_eq!(shard.soft.groups().count(), 0);
    assert_eq!(shard.next_wake(), None);
}

#[test]
fn a_job_set_aside_for_its_state_is_given_back_with_what_is_left_of_its_history() {
    let mut shard = Shard::new();
    let key = shard.enqueue(retrying("j", 5));
    for _ in 0..3 {
        let Reply::Leased(tasks) = shard.run(&lease_job(&key)) else {
            panic!("leased");
        };
        shard.report(&tasks[0].id, failure());
    }
    shard.damage(&States::key(&key));
    shard.run(&get(&key));
    assert!(is_set_aside(&shard, &key));
    assert_eq!(shard.restart(&key), Reply::Restarted);
    assert!(shard.image().quarantine.is_empty());
    // The third attempt was in the state, which is lost; its number is used again.
    let task = match shard.run(&lease_job(&key)) {
        Reply::Leased(mut tasks) => tasks.remove(0),
        other => panic!("{other:?}"),
    };
    assert_eq!((task.id.attempt, task.relative_attempt), (3, 1));
    shard.report(&task.id, success());
    let shown = shard.view(&key).attempts;
    let numbers: Vec<u32> = shown.iter().map(|shown| shown.attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_damaged_attempt_and_those_before_it_are_given_up_when_the_job_is_given_back() {
    let mut shard = Shard::new();
    let key = shard.enqueue(retrying("j", 5));
    for _ in 0..4 {
        let Reply::Leased(tasks) = shard.run(&lease_job(&key)) else {
            panic!("leased");
        };
        let large = common::report(
            &tasks[0].id,
            silo_core::shard::commands::report::Outcome::Failure {
                code: "E".to_owned(),
                data: Bytes::from(vec![1; 5000]),
                retryable: true,
                retry_after: None,
            },
        );
        shard.run(&large);
    }
    shard.damage(&Attempts::key(&AttemptKey::of(&key, 2)));
    shard.run(&get(&key));
    assert!(is_set_aside(&shard, &key));
    assert_eq!(shard.restart(&key), Reply::Restarted);
    let shown = shard.view(&key).attempts;
    let numbers: Vec<u32> = shown.iter().map(|shown| shown.attempt.number).collect();
    assert_eq!(numbers, [3, 4]);
    assert_eq!(
        shard.image().payloads.len(),
        2,
        "what the others reported is gone"
    );
}

#[test]
fn an_attempt_that_is_another_one_or_has_not_ended_is_given_up_when_the_job_is_given_back() {
    let spoil: [fn(&mut Attempt); 3] = [|_| {}, |row| row.number = 9, |row| row.end = None];
    for (spoil, kept) in spoil.into_iter().zip([&[1, 2][..], &[], &[]]) {
        let mut shard = Shard::new();
        let key = shard.enqueue(retrying("j", 5));
        for _ in 0..3 {
            let Reply::Leased(tasks) = shard.run(&lease_job(&key)) else {
                panic!("leased");
            };
            shard.report(&tasks[0].id, failure());
        }
        let second = AttemptKey::of(&key, 2);
        let mut row = shard.image().attempts[&second].clone();
        spoil(&mut row);
        shard.rows.map.insert(Attempts::key(&second), encode(&row));
        shard.damage(&States::key(&key));
        shard.is_checked = false;
        shard.run(&get(&key));
        assert_eq!(shard.restart(&key), Reply::Restarted);
        let shown = shard.view(&key).attempts;
        let numbers: Vec<u32> = shown.iter().map(|shown| shown.attempt.number).collect();
        assert_eq!(numbers, kept);
    }
}

#[test]
fn a_leased_job_set_aside_and_given_back_uses_its_number_again() {
    let (mut shard, key) = three();
    let task = shard.lease(2).remove(1);
    let aside = Command::SetAside(SetAside {
        task: task.id.clone(),
        reason: "its payload is missing".to_owned(),
    });
    shard.run(&aside);
    assert_eq!(shard.restart(&key), Reply::Restarted);
    let over = shard.report(&task.id, success());
    assert_eq!(over, gone(&task.id, Gone::Expired));
    let again = shard.lease(9);
    assert_eq!(ids(&again), ["c", "b"]);
    assert_eq!(again[1].id.attempt, 1);
}

#[test]
fn a_job_whose_description_is_lost_cannot_be_given_back() {
    let (mut shard, key) = with_one_set_aside(Jobs::key);
    let refusal = Refusal::Quarantined(key.clone());
    assert_eq!(shard.restart(&key), Reply::Refused(refusal));
    assert!(is_set_aside(&shard, &key));
}

#[test]
fn a_damaged_job_whose_time_is_over_stops_nobodys_removal() {
    let mut shard = Shard::new();
    let keys: Vec<JobKey> = ["a", "b", "c"]
        .iter()
        .map(|id| shard.enqueue(common::kept(id, 1000)))
        .collect();
    for key in &keys {
        shard.cancel(key);
    }
    shard.damage(&States::key(&keys[1]));
    shard.pass(1000);
    assert!(!shard.has_rows(&keys[0]) && !shard.has_rows(&keys[2]));
    assert!(is_set_aside(&shard, &keys[1]));
    assert_eq!(shard.next_wake(), None);
}
