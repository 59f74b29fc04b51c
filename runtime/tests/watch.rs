//! Whoever waits for a job's end is told of it: once it is durable, not before, and not by a shard
//! that has lost its storage.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use futures::FutureExt as _;
use silo_core::shard::command::Command;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::reply::{Reply, Task};
use silo_core::table::job::JobKey;
use silo_core::types::time::Millis;
use silo_runtime::executor::endings::Endings;
use silo_runtime::executor::replies::Failure;
use silo_runtime::executor::shard::{Shard, ShardState};
use silo_test_faults::fault::{Fault, Requests};
use tokio::sync::oneshot;

use crate::common::disk::{FAILS, context, entry, faulty, log_puts, memory, open, reaches, within};
use crate::common::say;
use crate::common::workload::roomy;
use crate::common::world::World;

/// A world in which somebody waits for the end of a job, which runs.
fn running(key: &JobKey) -> World {
    let mut world = World::new(roomy());
    world.watch(key.clone());
    world.submit(say::enqueue(say::plain(key)));
    world.settle().unwrap();
    world.submit(say::lease_job(key));
    world.settle().unwrap();
    assert_eq!(world.watching.times, 0, "to run is no end");
    world
}

#[silo::test]
fn an_end_is_told_once_it_is_durable_and_not_before() {
    let key = say::job("t", "job");
    let mut world = running(&key);
    let task = world.tasks.pop().unwrap();
    world.submit(say::report(&task, say::success(b"done")));
    world.run().unwrap();
    assert_eq!(world.watching.times, 0, "decided");
    world.apply();
    world.accept().unwrap();
    world.run().unwrap();
    assert_eq!(world.watching.times, 0, "accepted, and a flush asked for");
    world.put();
    world.run().unwrap();
    assert_eq!(world.watching.times, 0, "durable, and nobody knows");
    world.tell_durable().unwrap();
    assert_eq!(world.watching.times, 1);
    world.settle().unwrap();
    assert_eq!(world.watching.times, 1, "told once");
}

#[silo::test]
fn every_end_is_told_and_nothing_else() {
    let key = say::job("t", "job");
    let report = |outcome: Outcome| {
        move |world: &mut World| {
            let task = world.tasks.pop().unwrap();
            world.submit(say::report(&task, outcome));
        }
    };
    let ask = |command: Command| {
        move |world: &mut World| {
            world.submit(command);
        }
    };
    type Step = Box<dyn FnOnce(&mut World)>;
    let snooze = Outcome::Snooze {
        delay: Millis::new(50),
    };
    let steps: [(&str, Step, usize); 6] = [
        ("success", Box::new(report(say::success(b""))), 1),
        ("failure", Box::new(report(say::failure())), 1),
        ("cancelled", Box::new(report(Outcome::Cancelled)), 1),
        ("release", Box::new(report(Outcome::Release)), 0),
        ("snooze", Box::new(report(snooze)), 0),
        ("cancel", Box::new(ask(Command::Cancel(key.clone()))), 0),
    ];
    for (name, step, times) in steps {
        let mut world = running(&key);
        step(&mut world);
        for _ in 0..20 {
            world.beat().unwrap();
        }
        assert_eq!(world.watching.times, times, "{name}");
    }
    // What does not run: a retry that waits is no end, its cancellation is, and its removal too.
    let mut world = World::new(roomy());
    world.watch(key.clone());
    let mut enqueue = say::plain(&key);
    enqueue.retry = Some(say::policy(3));
    world.submit(say::enqueue(enqueue));
    world.settle().unwrap();
    world.submit(say::lease_job(&key));
    world.settle().unwrap();
    report(say::failure())(&mut world);
    world.beat().unwrap();
    world.beat().unwrap();
    assert_eq!(world.watching.times, 0, "a retry");
    world.submit(Command::Cancel(key.clone()));
    world.settle().unwrap();
    assert_eq!(world.watching.times, 1, "a cancel");
    world.submit(Command::Delete(key));
    world.settle().unwrap();
    assert_eq!(world.watching.times, 2, "a removal");
}

#[silo::test]
fn a_job_that_is_not_watched_any_more_is_not_told_of() {
    let key = say::job("t", "job");
    let mut world = running(&key);
    world.stage.watched().remove(&key);
    assert!(world.stage.watched().is_empty());
    let task = world.tasks.pop().unwrap();
    world.submit(say::report(&task, say::success(b"")));
    for _ in 0..20 {
        world.beat().unwrap();
    }
    assert_eq!(world.watching.times, 0);
}

fn count(callers: &mut [oneshot::Receiver<()>]) -> usize {
    let told = callers.iter_mut().filter_map(|c| c.try_recv().ok());
    told.count()
}

#[silo::test]
fn all_who_wait_for_a_job_are_told_and_no_others() {
    let mut endings = Endings::default();
    let mut add = |id: &str, count: usize| -> Vec<oneshot::Receiver<()>> {
        let mut one = || {
            let (sender, over) = oneshot::channel();
            let gone = endings.add(say::job("t", id), sender);
            assert!(gone.is_empty(), "everybody is there");
            over
        };
        (0..count).map(|_| one()).collect()
    };
    let (mut a, mut b) = (add("a", 300), add("b", 2));
    endings.tell(&say::job("t", "a"));
    assert_eq!((count(&mut a), count(&mut b)), (300, 0));
    endings.tell(&say::job("t", "a"));
    endings.tell(&say::job("u", "b"));
    assert_eq!((endings.len(), count(&mut b)), (2, 0));
    endings.tell(&say::job("t", "b"));
    assert_eq!((endings.is_empty(), count(&mut b)), (true, 2));
}

#[silo::test]
fn those_who_go_away_are_forgotten_and_their_jobs_too() {
    let mut endings = Endings::default();
    let mut stays = Vec::new();
    let mut forgotten = Vec::new();
    for number in 0..10_000 {
        let (sender, over) = oneshot::channel();
        let key = say::job("t", &format!("job-{}", number % 100));
        if number % 100 == 7 {
            stays.push(over);
        }
        forgotten.extend(endings.add(key, sender));
        let bound = 128.max(2 * stays.len() + 1);
        assert!(endings.len() <= bound, "{} of {bound}", endings.len());
    }
    assert!(!forgotten.contains(&say::job("t", "job-7")));
    assert!(forgotten.contains(&say::job("t", "job-8")));
    endings.tell(&say::job("t", "job-7"));
    assert_eq!(count(&mut stays), 100);
}

async fn call(shard: &Shard, command: Command) -> Reply {
    within(shard.call(command)).await.unwrap()
}

/// A job of a shard that runs.
async fn leased(shard: &Shard, key: &JobKey) -> Task {
    call(shard, say::enqueue(say::plain(key))).await;
    match call(shard, say::lease_job(key)).await {
        Reply::Leased(mut tasks) => tasks.remove(0),
        other => panic!("{other:?}"),
    }
}

#[silo::test]
async fn whoever_waits_hears_of_it_when_the_worker_does() {
    let storage = memory().await;
    let (store, storage) = faulty(&storage, true);
    let shard = open(&storage).await;
    let key = say::job("t", "job");
    let task = leased(&shard, &key).await;
    let mut waits: Vec<_> = (0..200)
        .map(|_| shard.watch(key.clone()).unwrap())
        .collect();
    // Nobody is told while the log cannot be written.
    let fault = store.inject(Fault::Waits, log_puts());
    let report = say::report(&task.id, say::success(b"done"));
    let mut reported = Box::pin(shard.call(report));
    assert!((&mut reported).now_or_never().is_none());
    within(fault.struck(1)).await;
    assert_eq!(count(&mut waits), 0);
    fault.end();
    assert_eq!(within(reported).await, Ok(Reply::Reported));
    for over in &mut waits {
        within(over).await.unwrap();
    }
    // Who comes later asks, and is not left waiting.
    let _later = shard.watch(key.clone()).unwrap();
    let reply = call(&shard, Command::Result(key)).await;
    assert!(matches!(reply, Reply::Result(_)), "{reply:?}");
    shard.close().await;
}

#[silo::test]
async fn a_shard_that_loses_its_storage_lets_everybody_go() {
    let storage = memory().await;
    let (store, storage) = faulty(&storage, true);
    let shard = open(&storage).await;
    let key = say::job("t", "job");
    let task = leased(&shard, &key).await;
    let over = shard.watch(key.clone()).unwrap();
    let fault = store.inject(FAILS, log_puts());
    let report = say::report(&task.id, say::success(b"done"));
    let reported = within(shard.call(report.clone())).await;
    assert_eq!(reported, Err(Failure::Unavailable));
    assert!(
        within(over).await.is_err(),
        "it did not end, as far as is known"
    );
    drop(fault);
    reaches(&shard, |state| *state == ShardState::Open).await;
    let again = shard.watch(key).unwrap();
    call(&shard, report).await;
    within(again).await.unwrap();
    shard.close().await;
}

#[silo::test]
async fn a_shard_that_closes_or_is_not_open_lets_everybody_go() {
    let storage = memory().await;
    let (store, storage) = faulty(&storage, true);
    let key = say::job("t", "job");
    let shard = open(&storage).await;
    let over = shard.watch(key.clone()).unwrap();
    shard.close().await;
    assert!(within(over).await.is_err());
    assert_eq!(shard.watch(key.clone()).err(), Some(Failure::Closing));
    let entry = entry(&storage).await;
    let fault = store.inject(FAILS, Requests::all());
    let shard = Shard::start(entry, context(&storage));
    assert!(within(shard.watch(key).unwrap()).await.is_err());
    drop(fault);
    shard.close().await;
}

#[silo::test]
async fn those_who_have_gone_keep_nobody_from_being_told() {
    let storage = memory().await;
    let shard = open(&storage).await;
    let key = say::job("t", "job");
    let task = leased(&shard, &key).await;
    for _ in 0..1000 {
        drop(shard.watch(key.clone()).unwrap());
        // The inbox is bounded.
        call(&shard, Command::Result(key.clone())).await;
    }
    let over = shard.watch(key.clone()).unwrap();
    for number in 0..200 {
        drop(
            shard
                .watch(say::job("t", &format!("other-{number}")))
                .unwrap(),
        );
    }
    call(&shard, say::report(&task.id, say::success(b""))).await;
    within(over).await.unwrap();
    shard.close().await;
}
