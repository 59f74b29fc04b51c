//! Who is woken when there is work.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures::FutureExt as _;
use silo_core::types::name::TaskGroup;
use silo_runtime::executor::waiters::{WAITERS_MAX, Waiter, Waiters};
use uuid::Uuid;

const HERE: Uuid = Uuid::from_u128(1);
const THERE: Uuid = Uuid::from_u128(2);

fn group(name: &str) -> TaskGroup {
    TaskGroup::parse(name).unwrap()
}

/// Whether it is awake, which it is told once.
fn is_woken(waiter: &Waiter) -> bool {
    waiter.woken().now_or_never().is_some()
}

fn line(waiters: &Waiters, count: usize) -> Vec<Waiter> {
    let one = |_| waiters.line_up(&group("g"), None).unwrap();
    (0..count).map(one).collect()
}

#[test]
fn who_has_waited_longest_is_woken_and_nobody_else() {
    let waiters = Waiters::default();
    let line = line(&waiters, 3);
    waiters.wake(HERE, &group("g"));
    let woken: Vec<bool> = line.iter().map(is_woken).collect();
    assert_eq!(woken, [true, false, false]);
    waiters.wake(HERE, &group("g"));
    waiters.wake(HERE, &group("h"));
    let woken: Vec<bool> = line.iter().map(is_woken).collect();
    assert_eq!(woken, [false, true, false]);
}

#[test]
fn a_wake_before_the_wait_is_not_lost() {
    let waiters = Waiters::default();
    let waiter = waiters.line_up(&group("g"), None).unwrap();
    waiter.tries();
    waiters.wake(HERE, &group("g"));
    waiter.found_nothing();
    assert!(
        is_woken(&waiter),
        "what came during the try is worth another"
    );
}

#[test]
fn whoever_goes_away_hands_its_wake_on() {
    for is_trying in [false, true] {
        let waiters = Waiters::default();
        let mut line = line(&waiters, 2);
        waiters.wake(HERE, &group("g"));
        if is_trying {
            line[0].tries();
        }
        drop(line.remove(0));
        assert!(is_woken(&line[0]));
    }
}

#[test]
fn whoever_found_nothing_and_goes_wakes_nobody() {
    let waiters = Waiters::default();
    let mut line = line(&waiters, 2);
    waiters.wake(HERE, &group("g"));
    line[0].tries();
    line[0].found_nothing();
    drop(line.remove(0));
    assert!(!is_woken(&line[0]));
}

#[test]
fn who_waits_for_one_shard_is_woken_by_that_one() {
    let waiters = Waiters::default();
    let here = waiters.line_up(&group("g"), Some(HERE)).unwrap();
    let any = waiters.line_up(&group("g"), None).unwrap();
    waiters.wake(THERE, &group("g"));
    assert!(!is_woken(&here) && is_woken(&any));
    waiters.wake(HERE, &group("g"));
    assert!(is_woken(&here));
}

#[test]
fn lines_have_a_bound_and_vanish_with_the_last() {
    let waiters = Waiters::default();
    let line = line(&waiters, WAITERS_MAX);
    assert!(waiters.line_up(&group("g"), None).is_none());
    assert_eq!(
        (*waiters.waiting().borrow(), waiters.groups()),
        (WAITERS_MAX, 1)
    );
    drop(line);
    assert_eq!((*waiters.waiting().borrow(), waiters.groups()), (0, 0));
}

#[test]
fn whoever_waits_for_something_else_takes_room_too() {
    let waiters = Waiters::default();
    let stays: Vec<_> = (0..WAITERS_MAX - 1).map(|_| waiters.stay()).collect();
    assert!(stays.iter().all(Option::is_some));
    let last = waiters.line_up(&group("g"), None).unwrap();
    assert!(waiters.stay().is_none() && waiters.line_up(&group("g"), None).is_none());
    drop(last);
    assert_eq!(*waiters.waiting().borrow(), WAITERS_MAX - 1);
    assert!(waiters.stay().is_some());
    drop(stays);
    assert_eq!((*waiters.waiting().borrow(), waiters.groups()), (0, 0));
}

/// A queue of jobs, and waiters that try as calls do; counts the tries.
#[silo::test]
async fn everybody_is_served_with_few_tries_however_many_wait() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const JOBS: usize = 500;
    let waiters = Waiters::default();
    let (queue, tries) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let works: Vec<_> = (0..JOBS)
        .map(|_| {
            let waiter = waiters.line_up(&group("g"), None).unwrap();
            let (queue, tries) = (Arc::clone(&queue), Arc::clone(&tries));
            tokio::spawn(async move {
                loop {
                    waiter.woken().await;
                    waiter.tries();
                    tries.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    let take = |jobs: usize| jobs.checked_sub(1);
                    let had = queue.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
                    match had {
                        Ok(jobs) => {
                            let more = (jobs > 1).then_some(HERE);
                            return waiter.had_tasks(more);
                        }
                        Err(_) => waiter.found_nothing(),
                    }
                }
            })
        })
        .collect();
    for _ in 0..JOBS {
        // A shard tells of work only where there was none.
        if queue.fetch_add(1, Ordering::SeqCst) == 0 {
            waiters.wake(HERE, &group("g"));
        }
    }
    let all = futures::future::join_all(works);
    let served = tokio::time::timeout(Duration::from_secs(30), all)
        .await
        .unwrap();
    assert!(served.into_iter().all(|served| served.is_ok()));
    let tries = tries.load(Ordering::SeqCst);
    assert!(tries <= 4 * JOBS, "{tries} tries for {JOBS} jobs");
}
