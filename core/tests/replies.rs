//! What a reply or a refusal says to those who send it on.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use bytes::Bytes;
use common::{Shard, failure, job, lease, plain, retrying, tenant};
use silo_core::shard::command::Command;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::refusal::{Gone, ImportFault, Refusal};
use silo_core::shard::reply::{Content, Reply};
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::table::payload::PayloadKey;
use silo_core::table::state::{EndCode, Position, Status};
use silo_core::types::task::TaskId;

/// A job's task that was leased, and one more job.
fn task() -> (JobKey, TaskId) {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    (key, shard.lease_one().id)
}

#[test]
fn a_refusal_names_the_job_it_speaks_of() {
    let (key, task) = task();
    let of_lease = Refusal::LeaseNotFound {
        task: task.clone(),
        gone: Gone::Unknown,
    };
    let refusals = [
        Refusal::JobNotFound(key.clone()),
        Refusal::JobExists(key.job.clone()),
        of_lease.clone(),
        Refusal::LeaseOwnerMismatch(task),
        Refusal::AlreadyCancelled(key.clone()),
        Refusal::AlreadyTerminal(key.clone()),
        Refusal::NotTerminal(key.clone(), Status::Running),
        Refusal::NotLeasable(key.clone(), Status::Running),
        Refusal::JobRunning(key.clone()),
        Refusal::NotRestartable(key.clone(), Status::Running),
        Refusal::NotExpeditable(key.clone(), Status::Running),
        Refusal::AlreadyReady(key.clone()),
        Refusal::NotImportable(key.clone(), ImportFault::Twice),
        Refusal::Quarantined(key.clone()),
    ];
    for refusal in refusals {
        assert_eq!(refusal.job(), Some(&key.job), "{refusal:?}");
        let in_batch = Refusal::InBatch {
            index: 3,
            refusal: Box::new(refusal),
        };
        assert_eq!(in_batch.job(), Some(&key.job), "{in_batch:?}");
    }
    let of_none = [
        Refusal::TooManyQueues {
            tenant: tenant("t"),
        },
        Refusal::TenantDamaged(tenant("t")),
    ];
    for refusal in of_none {
        assert_eq!(refusal.job(), None, "{refusal:?}");
    }
}

fn large(byte: u8) -> Bytes {
    Bytes::from(vec![byte; 5000])
}

fn stored(reply: &mut Reply) -> Vec<Key> {
    let key = |content: &mut Content| match content {
        Content::Stored { key, len } => {
            assert_eq!(*len, 5000);
            key.clone()
        }
        Content::Inline(bytes) => panic!("{} bytes are here already", bytes.len()),
    };
    reply.stored().into_iter().map(key).collect()
}

#[test]
fn a_reply_says_which_data_is_still_to_be_read() {
    let mut shard = Shard::new();
    for id in ["large", "small"] {
        let mut asked = retrying(id, 1);
        if id == "large" {
            asked.payload = large(1);
        }
        shard.enqueue(asked);
    }
    let key = job("t", "large");
    let mut leased = shard.run(&lease("g", 9));
    assert_eq!(stored(&mut leased), [PayloadKey::key(&key, 0)]);
    let Reply::Leased(tasks) = leased else {
        panic!("leased");
    };
    assert_eq!(tasks.len(), 2);
    shard.report(&tasks[0].id, failure());
    shard.pass(1000);
    let task = shard.lease_one();
    let done = Outcome::Success { data: large(2) };
    shard.report(&task.id, done);
    let mut shown = Reply::Job(Box::new(shard.view(&key)));
    let slots = [PayloadKey::key(&key, 0), PayloadKey::key(&key, 2)];
    assert_eq!(stored(&mut shown), slots, "not what the first one reported");
    let mut result = shard.run(&Command::Result(key.clone()));
    assert_eq!(stored(&mut result), [PayloadKey::key(&key, 2)]);
    assert_eq!(stored(&mut Reply::Deleted), [] as [Key; 0]);
}

#[test]
fn a_job_that_was_cancelled_while_it_waited_says_so_in_its_code() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    shard.cancel(&key);
    let Position::Ended { code, .. } = shard.state(&key).position else {
        panic!("it has ended");
    };
    assert_eq!(code.map(EndCode::as_str), Some("CANCELLED"));
}

#[test]
fn data_is_as_long_wherever_it_stands() {
    let inline = |bytes: &'static [u8]| Content::Inline(Bytes::from_static(bytes));
    let (key, _) = task();
    let key = PayloadKey::key(&key, 0);
    let stored = Content::Stored { key, len: 5000 };
    assert_eq!((inline(b"done").len(), stored.len()), (4, 5000));
    assert!(!inline(b"done").is_empty() && !stored.is_empty());
    assert!(inline(b"").is_empty());
}
