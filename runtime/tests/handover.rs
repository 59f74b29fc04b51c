//! A slot that comes free is the next one's without a look at the store, as long as the rows are
//! in memory. (`silo bench limits --waiters` has the times; requests can be counted exactly.)

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use std::time::Duration;

use futures::future::join;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{Enqueue, EnqueueAll};
use silo_core::shard::reply::{Reply, Task};
use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::LimitKey;
use silo_runtime::executor::shard::{Shard, ShardContext, ShardState};
use silo_runtime::executor::waiters::Waiters;
use silo_runtime::storage::config::BackendConfig;
use silo_test_faults::fault::{Fault, Operation, Requests};
use silo_test_faults::injected::Injected;
use silo_test_faults::store::FaultyStore;

use crate::common::disk::{
    context, entry, faulty, faulty_with, impatient, memory, open, reaches, within,
};
use crate::common::say;

const WAITERS: usize = 200;
const LINES: usize = 3;
/// Fewer of each line than are read at once; and two flushes each, fewer than those after which
/// tables are written.
const HAND_OVERS: usize = 150;

async fn call(shard: &Shard, command: Command) -> Reply {
    within(shard.call(command)).await.unwrap()
}

/// Jobs that want the only slot there is, in three lines.
fn waiting(number: usize) -> Enqueue {
    let slot = |key: &str, maximum| {
        let key = LimitKey::parse(key).unwrap();
        Limit::Concurrency(Slot { key, maximum })
    };
    let mut limits = vec![slot("only", 1)];
    match number % LINES {
        0 => {}
        line => limits.push(slot(&format!("wide{line}"), 1000)),
    }
    Enqueue {
        limits,
        ..say::plain(&say::job("t", &format!("job-{number:03}")))
    }
}

async fn lease(shard: &Shard) -> Task {
    let Reply::Leased(mut tasks) = call(shard, say::lease("g", 10)).await else {
        panic!("a lease");
    };
    assert_eq!(tasks.len(), 1, "one slot, one job");
    tasks.remove(0)
}

/// The holder ends, and the next has its slot and is leased.
async fn hand_over(shard: &Shard, holder: Task) -> Task {
    let done = say::report(&holder.id, say::success(&[0xc0]));
    assert_eq!(call(shard, done).await, Reply::Reported);
    lease(shard).await
}

/// What is read of the store by commands; the second is what SlateDB reads by itself, again and
/// again, also when nothing happens. Counted until they are dropped.
fn reads(store: &FaultyStore) -> (Injected, [Injected; 3]) {
    let requests = || Requests::of([Operation::Get, Operation::List]);
    let count = |requests| store.inject(Fault::Delays(Duration::ZERO), requests);
    // Of several that strike a request the first one counts it.
    let rest = ["/manifest", "/compactions", "/gc"].map(|part| count(requests().within(part)));
    (count(requests()), rest)
}

#[silo::test]
async fn a_slot_goes_to_the_next_without_a_read_of_the_store() {
    let mut config = impatient(BackendConfig::Memory);
    // SlateDB remembers nothing that it has read.
    config.cache_bytes = 0;
    let (store, storage) = faulty_with(&memory().await, true, &config);
    let shard = open(&storage).await;
    let jobs = (0..WAITERS).map(waiting).collect();
    let taken = call(&shard, Command::EnqueueAll(EnqueueAll { jobs })).await;
    assert!(matches!(taken, Reply::EnqueuedAll(_)), "{taken:?}");
    // From now on what is not in memory has to be read of the store.
    within(shard.flush_tables()).await.unwrap();
    let counted = reads(&store);
    let mut holder = lease(&shard).await;
    // Each line has been looked at then, and some of those that wait in it.
    for _ in 0..LINES {
        holder = hand_over(&shard, holder).await;
    }
    let before = counted.0.hits();
    assert!(before > 0, "what is read is counted");
    for number in LINES + 1..HAND_OVERS {
        holder = hand_over(&shard, holder).await;
        let expected = format!("job-{number:03}");
        assert_eq!(holder.id.job.as_str(), expected, "in order");
        assert_eq!(counted.0.hits(), before, "hand-over {number}");
    }
    shard.close().await;
}

/// Puts of the write-ahead log take so long that it is worth a wait to share them.
const PUT: Duration = Duration::from_millis(10);
const SHARED: u64 = 40;

/// A shard with jobs that wait for a slot, and the lines of those that wait for work.
async fn open_with_waiters() -> (Shard, Waiters, Injected) {
    let (store, storage) = faulty(&memory().await, true);
    let waiters = Waiters::default();
    let context = ShardContext {
        waiters: waiters.clone(),
        ..context(&storage)
    };
    let shard = Shard::start(entry(&storage).await, context);
    let log = Requests::of([Operation::Put]).within("/wal/");
    let puts = store.inject(Fault::Delays(PUT), log);
    reaches(&shard, |state| *state == ShardState::Open).await;
    let jobs = (0..WAITERS).map(waiting).collect();
    let taken = call(&shard, Command::EnqueueAll(EnqueueAll { jobs })).await;
    assert!(matches!(taken, Reply::EnqueuedAll(_)), "{taken:?}");
    (shard, waiters, puts)
}

/// Who waits for work asks for it while the round that has made it is still being written.
#[silo::test]
async fn a_report_and_the_lease_that_it_makes_possible_share_a_write() {
    let (shard, waiters, puts) = open_with_waiters().await;
    let mut holder = lease(&shard).await;
    let before = puts.hits();
    for _ in 0..SHARED {
        let waiter = waiters.line_up(&say::group("g"), None).unwrap();
        let next = async {
            within(waiter.woken()).await;
            waiter.tries();
            lease(&shard).await
        };
        let done = say::report(&holder.id, say::success(&[0xc0]));
        let (reported, next) = join(call(&shard, done), next).await;
        assert_eq!(reported, Reply::Reported);
        waiter.had_tasks([]);
        holder = next;
    }
    // Each by itself takes two. A machine that is busy may let some come too late.
    let hits = puts.hits() - before;
    assert!(
        hits < SHARED * 3 / 2,
        "{hits} writes for {SHARED} reports and leases"
    );
    shard.close().await;
}

#[silo::test]
async fn nobody_waits_long_for_a_worker_that_was_woken_and_asks_for_nothing() {
    let (shard, waiters, _puts) = open_with_waiters().await;
    let holder = lease(&shard).await;
    let waiter = waiters.line_up(&say::group("g"), None).unwrap();
    let done = say::report(&holder.id, say::success(&[0xc0]));
    assert_eq!(call(&shard, done).await, Reply::Reported);
    within(waiter.woken()).await;
    shard.close().await;
}
