//! What limits cost: rows read and written.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::cell::Cell;

use bytes::Bytes;
use common::limits::enqueue;
use common::{Shard, job, limited, success};
use silo_core::shard::decide;
use silo_core::shard::reply::Reply;
use silo_core::shard::view::{Need, Rows, View};
use silo_core::table::key::{Key, KeyRange};

/// One that parks alone in its line writes three rows of its own, and up to six of its line.
#[test]
fn a_job_with_three_limits_writes_six_rows_more_and_some_if_it_parks() {
    let three = [("a", 1), ("b", 1), ("c", 1)];
    let rows = |limits: &[(&str, u32)], is_parked: bool| {
        let mut shard = Shard::new();
        let mut written = 0;
        let mut holder = None;
        if is_parked {
            enqueue(&mut shard, &["holds"], limits);
            holder = Some(shard.lease_one());
        }
        shard.enqueue(limited("j", limits));
        written += shard.changes.len();
        if let Some(holder) = holder {
            let alone = {
                let mut shard = shard.clone();
                shard.delete(&job("t", "j"));
                shard.report(&holder.id, success());
                shard.changes.len()
            };
            assert_eq!(shard.report(&holder.id, success()), Reply::Reported);
            written += shard.changes.len() - alone;
        }
        let task = shard.lease_one();
        written += shard.changes.len();
        assert_eq!(shard.report(&task.id, success()), Reply::Reported);
        written + shard.changes.len()
    };
    let without = rows(&[], false);
    assert_eq!(rows(&three, false), without + 6);
    let parked = rows(&three, true);
    assert!(
        parked <= without + 6 + 7,
        "{parked}, {without} without limits"
    );
}

/// Counts what a command reads.
struct Counted<'a> {
    rows: &'a Rows,
    read: Cell<usize>,
}

impl View for Counted<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Need> {
        self.read.set(self.read.get() + 1);
        self.rows.get(key)
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Need> {
        let rows = self.rows.range(range, limit)?;
        self.read.set(self.read.get() + 1 + rows.len());
        Ok(rows)
    }
}

/// How many rows are read and written when a slot is given back that `waiting` jobs want, in as
/// many lines as `of_line` says, beside `others` limits.
fn cost(waiting: usize, others: usize, of_line: fn(usize) -> Option<String>) -> (usize, usize) {
    let mut shard = Shard::new();
    shard.is_checked = false;
    enqueue(&mut shard, &["holds"], &[("hot", 1)]);
    let task = shard.lease_one();
    for number in 0..waiting {
        let own = of_line(number);
        let mut limits = vec![("hot", 1)];
        limits.extend(own.as_deref().map(|own| (own, 1)));
        enqueue(&mut shard, &[&format!("w{number}")], &limits);
    }
    for number in 0..others {
        enqueue(
            &mut shard,
            &[&format!("o{number}")],
            &[(&format!("key{number}"), 1)],
        );
    }
    let counted = Counted {
        rows: &shard.rows.clone(),
        read: Cell::new(0),
    };
    let stamp = shard.stamp();
    let report = common::report(&task.id, success());
    let decision = decide(&shard.soft, &counted, &stamp, &report).unwrap();
    (counted.read.get(), decision.changes.len())
}

#[test]
fn a_grant_costs_the_same_however_many_wait_and_however_many_limits_there_are() {
    let few = cost(10, 10, |_| None);
    assert_eq!(cost(10_000, 10, |_| None), few, "jobs in one line");
    assert_eq!(cost(10, 10_000, |_| None), few, "limits");
    let own = |number: usize| Some(format!("own{number}"));
    let lines = cost(100, 0, own);
    assert_eq!(cost(5000, 0, own), lines, "lines");
}
