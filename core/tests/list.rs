//! Lists of a tenant's jobs: which are on a page, where it ends, and what is passed over.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use common::{
    Shard, failure, get, group, job, lease_job, of_tenant, plain, queue, retrying, success, tenant,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::list::{
    DESCRIPTION_BYTES_MAX, IdPrefix, JOBS_LISTED_MAX, List, STATES_SCANNED_MAX,
};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::decide;
use silo_core::shard::reply::{ListedJob, Listing, Reply};
use silo_core::shard::view::{Need, Rows, View};
use silo_core::table::Table;
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::key::{Key, KeyRange};
use silo_core::table::state::{Position, States, Status};
use silo_core::types::time::Timestamp;

/// All jobs of tenant "t".
fn all(jobs_max: u32) -> List {
    List {
        tenant: tenant("t"),
        statuses: BTreeSet::new(),
        group: None,
        prefix: None,
        after: None,
        jobs_max,
    }
}

fn listed(shard: &mut Shard, list: &List) -> Listing {
    match shard.run(&Command::List(list.clone())) {
        Reply::Listed(listing) => listing,
        other => panic!("{other:?}"),
    }
}

/// Every page of a list.
fn pages(shard: &mut Shard, mut list: List) -> Vec<Listing> {
    let mut pages = Vec::new();
    loop {
        let page = listed(shard, &list);
        list.after.clone_from(&page.next);
        pages.push(page);
        if list.after.is_none() {
            return pages;
        }
        assert!(pages.len() < 1000, "pages without end");
    }
}

fn ids(jobs: &[ListedJob]) -> Vec<&str> {
    jobs.iter().map(|job| job.job.as_str()).collect()
}

fn names(pages: &[Listing]) -> Vec<Vec<&str>> {
    pages.iter().map(|page| ids(&page.jobs)).collect()
}

/// Rows, and how many of them a command has looked at.
struct Counting<'a> {
    rows: &'a Rows,
    looked_at: Cell<usize>,
}

impl Counting<'_> {
    fn count(&self, rows: usize) {
        self.looked_at.set(self.looked_at.get() + rows);
    }
}

impl View for Counting<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Need> {
        self.count(1);
        self.rows.get(key)
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Need> {
        let rows = self.rows.range(range, limit)?;
        self.count(rows.len());
        Ok(rows)
    }
}

#[test]
fn jobs_come_page_by_page_in_the_order_of_their_ids() {
    let mut shard = Shard::new();
    for id in ["b", "a", "ab", "a~", "ä", "c"] {
        shard.enqueue(plain(id));
    }
    for beside in ["s", "t2", "u"] {
        shard.enqueue(of_tenant(beside, "another tenant's"));
    }
    let whole = listed(&mut shard, &all(100));
    assert_eq!(ids(&whole.jobs), ["a", "ab", "a~", "b", "c", "ä"]);
    assert_eq!((whole.next, whole.skipped), (None, 0));
    let by_two = pages(&mut shard, all(2));
    let shown = [vec!["a", "ab"], vec!["a~", "b"], vec!["c", "ä"]];
    assert_eq!(names(&by_two), shown, "a full page may be the last");
    let by_four = pages(&mut shard, all(4));
    let shown = [vec!["a", "ab", "a~", "b"], vec!["c", "ä"]];
    assert_eq!(names(&by_four), shown);
    let nobodys = List {
        tenant: tenant("nobody"),
        ..all(100)
    };
    let nothing = listed(&mut shard, &nobodys);
    assert_eq!((nothing.jobs.len(), nothing.next), (0, None));
}

#[test]
fn a_listed_job_says_where_it_stands() {
    let mut shard = Shard::new();
    let at = Timestamp::from_millis(shard.now + 5000);
    let mut due = plain("due");
    due.start_at = Some(at);
    due.queue = queue("h", 7);
    shard.enqueue(due);
    shard.enqueue(plain("ready"));
    let lease = |shard: &mut Shard, id: &str| match shard.run(&lease_job(&job("t", id))) {
        Reply::Leased(mut tasks) => tasks.remove(0).id,
        other => panic!("{other:?}"),
    };
    for (id, outcome) in [
        ("failed", Some(failure())),
        ("succeeded", Some(success())),
        ("released", Some(Outcome::Release)),
        ("running", None),
    ] {
        shard.now += 10;
        shard.enqueue(plain(id));
        shard.now += 10;
        let task = lease(&mut shard, id);
        if let Some(outcome) = outcome {
            shard.report(&task, outcome);
        }
    }
    shard.enqueue(retrying("waits", 3));
    let task = lease(&mut shard, "waits");
    shard.report(&task, failure());
    let again = shard.enqueue(plain("again"));
    for _ in 0..2 {
        let task = lease(&mut shard, "again");
        shard.report(&task, failure());
        shard.restart(&again);
    }
    let key = shard.enqueue(plain("cancelled"));
    shard.now += 10;
    shard.cancel(&key);

    let page = listed(&mut shard, &all(100));
    let stands: Vec<_> = page
        .jobs
        .iter()
        .map(|job| (job.job.as_str(), job.status, job.attempt))
        .collect();
    assert_eq!(
        stands,
        [
            ("again", Status::Scheduled, 2),
            ("cancelled", Status::Cancelled, 0),
            ("due", Status::Scheduled, 0),
            ("failed", Status::Failed, 1),
            ("ready", Status::Scheduled, 0),
            ("released", Status::Scheduled, 0),
            ("running", Status::Running, 1),
            ("succeeded", Status::Succeeded, 1),
            ("waits", Status::Scheduled, 1),
        ]
    );
    for shown in page.jobs {
        let view = shard.view(&job("t", shown.job.as_str()));
        let seen = (view.job.queue, view.job.enqueued_at, view.state.changed_at);
        assert_eq!((shown.queue, shown.enqueued_at, shown.changed_at), seen);
        let next = match view.state.position {
            Position::Due(place) | Position::Ready(place) => Some(place.at),
            _ => None,
        };
        assert_eq!(shown.next_start, next);
        if shown.job.as_str() == "due" {
            assert_eq!(shown.next_start, Some(at));
        }
    }
}

#[test]
fn only_what_was_asked_for_is_listed() {
    let mut shard = Shard::new();
    for id in ["a", "a1", "a2", "b", "b1", "a\u{10ffff}x", "a\u{10ffff}y"] {
        let mut enqueue = plain(id);
        enqueue.queue = queue(if id.ends_with('1') { "h" } else { "g" }, 3);
        let key = shard.enqueue(enqueue);
        if id.starts_with('b') {
            shard.cancel(&key);
        }
    }
    let mut shown = |statuses: &[Status], of: Option<&str>, prefix: &str| {
        let list = List {
            statuses: statuses.iter().copied().collect(),
            group: of.map(group),
            prefix: IdPrefix::parse(prefix).ok(),
            ..all(100)
        };
        let page = listed(&mut shard, &list);
        assert_eq!(page.next, None);
        ids(&page.jobs).join(" ")
    };
    let last = "a\u{10ffff}x a\u{10ffff}y";
    assert_eq!(shown(&[], None, ""), format!("a a1 a2 {last} b b1"));
    assert_eq!(shown(&[], None, "a"), format!("a a1 a2 {last}"));
    assert_eq!(shown(&[], None, "a\u{10ffff}"), last);
    assert_eq!(shown(&[], None, "a1"), "a1");
    assert_eq!(shown(&[], None, "c"), "");
    assert_eq!(shown(&[Status::Cancelled], None, ""), "b b1");
    assert_eq!(shown(&[Status::Cancelled], Some("h"), ""), "b1");
    assert_eq!(shown(&[], Some("h"), ""), "a1 b1");
    assert_eq!(shown(&[Status::Running, Status::Failed], None, ""), "");
    assert_eq!(
        shown(&[Status::Running, Status::Scheduled], Some("h"), "a"),
        "a1"
    );
}

#[test]
fn a_prefix_is_the_beginning_of_an_id() {
    assert!(IdPrefix::parse(&"x".repeat(256)).is_ok());
    for wrong in ["", "a\0", "a\n", &"x".repeat(257)] {
        let invalid = IdPrefix::parse(wrong).unwrap_err();
        assert_eq!(invalid.field, "id_prefix");
    }
}

#[test]
fn one_command_looks_at_a_bounded_number_of_rows_however_few_are_asked_for() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let count = 2 * STATES_SCANNED_MAX + 10;
    for number in 0..count {
        let key = shard.enqueue(plain(&format!("j{number:04}")));
        if number == count - 1 {
            shard.cancel(&key);
        }
    }
    let mut rare = List {
        statuses: [Status::Cancelled].into(),
        ..all(100)
    };
    let mut shown = Vec::new();
    for _ in 0..10 {
        let view = Counting {
            rows: &shard.rows,
            looked_at: Cell::new(0),
        };
        let stamp = Shard::new().stamp();
        let command = Command::List(rare.clone());
        let decision = decide(&shard.soft, &view, &stamp, &command).expect("a complete map");
        let looked_at = view.looked_at.get();
        assert!(
            looked_at <= STATES_SCANNED_MAX + 1,
            "{looked_at} rows for a job or none"
        );
        let Reply::Listed(page) = decision.reply else {
            panic!("{:?}", decision.reply);
        };
        shown.push(ids(&page.jobs).len());
        rare.after = page.next;
        if rare.after.is_none() {
            break;
        }
    }
    assert_eq!(shown, [0, 0, 1]);

    let page = listed(&mut shard, &all(u32::MAX));
    assert_eq!(
        page.jobs.len(),
        usize::try_from(JOBS_LISTED_MAX).unwrap(),
        "no page has more, whatever is asked"
    );
    let rest: usize = pages(&mut shard, all(u32::MAX))
        .iter()
        .map(|p| p.jobs.len())
        .sum();
    assert_eq!(rest, count, "and all are shown in the end");
}

#[test]
fn a_page_ends_when_its_jobs_were_asked_for_with_much() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..12 {
        let mut enqueue = plain(&format!("j{number:02}"));
        let pair = |pair: usize| (format!("key-{pair}"), "x".repeat(65_000));
        enqueue.metadata = (0..16).map(pair).collect();
        shard.enqueue(enqueue);
    }
    shard.enqueue(plain("k"));
    shard.rows.map.remove(&Jobs::key(&job("t", "j01")));
    shard.damage(&States::key(&job("t", "j11")));
    let pages = pages(&mut shard, all(100));
    let counts: Vec<_> = pages.iter().map(|p| (p.jobs.len(), p.skipped)).collect();
    // One of the first page has no description to look at; the last is far behind it.
    assert_eq!(counts, [(5, 1), (5, 0), (1, 1)]);
    let row = shard.rows.map[&Jobs::key(&job("t", "j02"))].len();
    assert!(5 * row >= DESCRIPTION_BYTES_MAX && 4 * row < DESCRIPTION_BYTES_MAX);
}

#[test]
fn what_cannot_be_read_is_passed_over_counted_and_left_alone() {
    let mut shard = Shard::new();
    let mut keys: BTreeMap<&str, JobKey> = BTreeMap::new();
    for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        keys.insert(id, shard.enqueue(plain(id)));
    }
    shard.damage(&Jobs::key(&keys["b"]));
    shard.run(&get(&keys["b"]));
    assert_eq!(shard.status(&keys["b"]), Status::Quarantined);
    shard.is_checked = false;
    shard.damage(&States::key(&keys["c"]));
    shard.rows.map.insert(States::key(&keys["d"]), Bytes::new());
    shard.damage(&Jobs::key(&keys["e"]));
    shard.rows.map.remove(&Jobs::key(&keys["f"]));
    // No key at all, within the tenant's.
    let mut strange = States::key(&keys["g"]).to_vec();
    strange.extend_from_slice(b"?");
    let state = shard.rows.map[&States::key(&keys["g"])].clone();
    shard.rows.map.insert(strange.into(), state);

    let before = shard.rows.clone();
    let whole = listed(&mut shard, &all(100));
    assert_eq!(ids(&whole.jobs), ["a", "g", "h"]);
    assert_eq!((whole.skipped, whole.next), (6, None));
    for jobs_max in 1..5 {
        let pages = pages(&mut shard, all(jobs_max));
        let shown: Vec<ListedJob> = pages.iter().flat_map(|page| page.jobs.clone()).collect();
        assert_eq!(ids(&shown), ["a", "g", "h"]);
        let skipped: u32 = pages.iter().map(|page| page.skipped).sum();
        assert_eq!(skipped, 6, "each once, {jobs_max} jobs a page");
    }
    assert!(shard.rows == before, "a list changes nothing");
    // What a row's first bytes say rules it out: whether the rest can be read does not matter.
    let running = List {
        statuses: [Status::Running].into(),
        ..all(100)
    };
    let page = listed(&mut shard, &running);
    assert_eq!((page.jobs.len(), page.skipped), (0, 2));
}
