//! Rows as they were written by released versions, checked in as bytes: they must be read for ever.
//! Never change a line of `golden.txt`; add one when a row gets a new version.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{group, job, policy, queue, tenant, worker};
use silo_core::table::attempt::{Attempt, AttemptEnd, AttemptKey, Attempts, Ending};
use silo_core::table::codec::{Row, RowError, encode};
use silo_core::table::due::{DueKey, DueRow, Dues};
use silo_core::table::expiry::{Expiries, ExpiryRow};
use silo_core::table::job::{JobRow, Jobs, Request};
use silo_core::table::limit::{
    AdmitRow, Admits, LimitName, LimitRow, Limits, TicketKey, TicketRow, Tickets,
};
use silo_core::table::line::{
    LineId, LineRow, Lines, Parked, ParkedKey, ParkedRow, WaitPlace, WaiterKey, WaiterRow, Waiters,
};
use silo_core::table::payload::PayloadKey;
use silo_core::table::place::{Head, Place};
use silo_core::table::quarantine::{QuarantineRow, Quarantines};
use silo_core::table::ready::{Readies, ReadyKey, ReadyRow};
use silo_core::table::running::{RunningRow, Runnings};
use silo_core::table::singleton::{
    Format, FormatKey, FormatRow, PausedQueues, PausedQueuesKey, PausedQueuesRow,
};
use silo_core::table::state::{
    EndCode, Ended, Lease, Position, Return, Returned, StateRow, States, Status,
    is_running_of_bytes, status_of_bytes,
};
use silo_core::table::tenant::{Tallies, TenantRow, Tenants};
use silo_core::table::{Table, TableId};
use silo_core::types::data::{DATA_INLINE_BYTES_MAX, Data};
use silo_core::types::entropy::RequestId;
use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::{JobId, LimitKey, Priority};
use silo_core::types::retention::Retention;
use silo_core::types::time::{Millis, Timestamp};
use silo_core::types::weight::Weight;

/// Each line: a name, the key, the row.
const GOLDEN: &str = include_str!("golden.txt");

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn place(at: i64, seq: u64) -> Place {
    Place { at: time(at), seq }
}

fn tenant_row() -> TenantRow {
    let head = |at, count| Head {
        low: place(at, 9),
        count,
    };
    TenantRow {
        next_seq: 77,
        tallies: Tallies {
            scheduled: 1,
            running: 2,
            succeeded: 3,
            failed: 4,
            cancelled: 5,
            quarantined: 6,
        },
        ready: BTreeMap::from([(queue("g", 0), head(5, 2)), (queue("h", 99), head(6, 1))]),
        due: Some(head(-1, 3)),
        expiry: Some(head(8, 4)),
        weight: Some(Weight::parse(300).unwrap()),
        paused: Some(time(10)),
        paused_queues: BTreeMap::from([(group("g"), time(11))]),
    }
}

fn paused_queues_row() -> PausedQueuesRow {
    PausedQueuesRow {
        since: BTreeMap::from([(group("g"), time(12)), (group("h"), time(13))]),
    }
}

fn job_row() -> JobRow {
    JobRow {
        queue: queue("g", 10),
        enqueued_at: time(1000),
        start_at: Some(time(2000)),
        retry: Some(policy(3)),
        max_crashes: 5,
        lease: Some(Millis::new(3000)),
        metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        payload: Data::of(&Bytes::from(vec![1; DATA_INLINE_BYTES_MAX + 1])),
        request: Some(Request {
            id: RequestId([7; 16]),
            fingerprint: [8; 16],
        }),
        limits: vec![
            Limit::Concurrency(slot("b", 2)),
            Limit::Concurrency(slot("a", 1)),
        ],
    }
}

fn attempt(end: Option<Ending>) -> Attempt {
    Attempt {
        number: 2,
        nonce: 0x0102_0304_0506_0708,
        worker: worker("w"),
        started_at: time(10),
        end: end.map(|how| AttemptEnd { at: time(20), how }),
    }
}

fn state(position: Position) -> StateRow {
    let mut row = StateRow::new(position, queue("g", 10), time(5));
    row.attempts_ended = 1;
    row.retries_used = 1;
    row.retry_delay = Millis::new(1000);
    row.crashes = 2;
    row.losses = 3;
    row.cancel_asked_at = Some(time(6));
    row.last = Some(attempt(None));
    row.returned = Some(Returned {
        nonce: 4,
        how: Return::Lost,
    });
    row.attempts_from = 2;
    row.retention.failed = Some(Millis::new(11));
    row.has_payload_row = true;
    row.slots = vec![slot("a", 1), slot("b", 2)];
    row.waited = Some(wait_place());
    row
}

fn slot(key: &str, maximum: u32) -> Slot {
    Slot {
        key: limit_key(key),
        maximum,
    }
}

fn limit_key(key: &str) -> LimitKey {
    LimitKey::parse(key).unwrap()
}

fn line_id() -> LineId {
    LineId::of([limit_key("a"), limit_key("b")].iter(), 0)
}

fn wait_place() -> WaitPlace {
    WaitPlace::new(Priority::parse(10).unwrap(), place(7, 8))
}

/// Every position that a state can have, in the order of their tags.
fn positions() -> Vec<(&'static str, Position, Status)> {
    let ended = |status, code, expires| Position::Ended {
        status,
        at: time(9),
        code,
        expires,
    };
    let leased = Position::Leased(Lease {
        attempt: 2,
        nonce: 3,
        worker: worker("w"),
        duration: Millis::new(10_000),
        place: place(7, 8),
    });
    vec![
        ("due", Position::Due(place(7, 8)), Status::Scheduled),
        ("ready", Position::Ready(place(7, 8)), Status::Scheduled),
        ("leased", leased, Status::Running),
        (
            "succeeded",
            ended(Ended::Succeeded, None, Some(place(20, 10))),
            Status::Succeeded,
        ),
        ("failed", ended(Ended::Failed, None, None), Status::Failed),
        (
            "cancelled",
            ended(Ended::Cancelled, Some(EndCode::Cancelled), None),
            Status::Cancelled,
        ),
        (
            "quarantined",
            Position::Quarantined { at: time(9) },
            Status::Quarantined,
        ),
        (
            "parked",
            Position::Parked {
                line: line_id(),
                place: wait_place(),
            },
            Status::Scheduled,
        ),
    ]
}

fn line<T: Table>(name: &str, key: &T::Key, row: &T::Row) -> String {
    format!("{name} {} {}", hex(&T::key(key)), hex(&encode(row)))
}

/// What this release writes.
fn lines() -> Vec<String> {
    let key = job("t", "j");
    let ready = ReadyKey::of(&key, &queue("g", 10), place(7, 8));
    let data = Data::Inline(Bytes::from_static(b"x"));
    let failed = Ending::Failed {
        code: "E".to_owned(),
        data: data.clone(),
    };
    let endings = [
        ("attempt-succeeded", Ending::Succeeded(data)),
        ("attempt-failed", failed),
        ("attempt-cancelled", Ending::Cancelled),
        ("attempt-crashed", Ending::Crashed),
    ];
    let format = FormatRow {
        version: 3,
        created_at: time(3),
    };
    let running = RunningRow {
        attempt: 2,
        nonce: 3,
        duration: Millis::new(10_000),
    };
    let quarantine = QuarantineRow {
        at: time(9),
        reason: "damaged".to_owned(),
    };
    let mut lines = vec![
        line::<Format>("format@4", &FormatKey, &format),
        line::<Tenants>("tenant@3", &tenant("t"), &tenant_row()),
        line::<PausedQueues>("paused_queues", &PausedQueuesKey, &paused_queues_row()),
        line::<Jobs>("job@2", &key, &job_row()),
        format!("payload {} 78", hex(&PayloadKey::key(&key, 2))),
    ];
    for (name, position, _) in positions() {
        lines.push(line::<States>(
            &format!("state-{name}@4"),
            &key,
            &state(position),
        ));
    }
    for (name, how) in endings {
        lines.push(line::<Attempts>(
            name,
            &AttemptKey::of(&key, 2),
            &attempt(Some(how)),
        ));
    }
    lines.push(line::<Readies>("ready", &ready, &ReadyRow {}));
    let due = DueKey::of(&key, place(-7, 8));
    lines.push(line::<Dues>("due", &due, &DueRow::Start));
    lines.push(line::<Expiries>("expiry", &due, &ExpiryRow {}));
    lines.push(line::<Runnings>("running", &key, &running));
    lines.push(line::<Quarantines>("quarantine", &key, &quarantine));
    lines.extend(lines_of_limits());
    lines
}

fn limit_row() -> LimitRow {
    LimitRow {
        maximum: 3,
        set: Some(2),
        is_paused: true,
        held: 1,
        lines: 7,
        parked: Some(Head::first(wait_place())),
        lowest: Some((4, line_id())),
        tickets: 1,
    }
}

fn line_row() -> LineRow {
    LineRow {
        wanted: vec![limit_key("a"), limit_key("b")],
        at: limit_key("b"),
        head: wait_place(),
        first: JobId::parse("j").unwrap(),
        count: 5,
        passes: 6,
        ticket: Some(4),
    }
}

fn lines_of_limits() -> Vec<String> {
    let key = job("t", "j");
    let limit = LimitName {
        tenant: tenant("t"),
        key: limit_key("b"),
    };
    let waiter = WaiterKey::of(&key, line_id(), wait_place());
    let parked = ParkedKey {
        limit: limit.clone(),
        head: wait_place(),
        line: line_id(),
    };
    let row = ParkedRow {
        wanted: line_row().wanted,
        first: line_row().first,
    };
    let ticket = TicketKey {
        limit: limit.clone(),
        ticket: 4,
        line: line_id(),
    };
    vec![
        line::<Limits>("limit", &limit, &limit_row()),
        line::<Lines>("line", &waiter.line, &line_row()),
        line::<Waiters>("waiter", &waiter, &WaiterRow {}),
        line::<Parked>("parked", &parked, &row),
        line::<Tickets>("ticket", &ticket, &TicketRow {}),
        line::<Admits>("admit", &limit, &AdmitRow {}),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What a row says now that format 3 could not say.
fn as_of_format_3(mut row: StateRow) -> StateRow {
    row.waited = None;
    row
}

/// What a row says now that format 2 could not say.
fn as_of_format_2(row: StateRow) -> StateRow {
    let mut row = as_of_format_3(row);
    row.slots = Vec::new();
    row
}

/// What a row says now that format 1 could not say.
fn as_of_format_1(row: StateRow) -> StateRow {
    let mut row = as_of_format_2(row);
    row.attempts_from = 1;
    row.retention = Retention::FOREVER;
    row.has_payload_row = true;
    if let Position::Ended { expires, .. } = &mut row.position {
        *expires = None;
    }
    row
}

/// Key and row of the golden row with this name, of the newest version there is.
fn golden(name: &str) -> (Vec<u8>, Vec<u8>) {
    let newer = [4, 3, 2].map(|version| format!("{name}@{version}"));
    let mut versions = newer.into_iter().chain([name.to_owned()]);
    let is_there = |name: &String| GOLDEN.lines().any(|l| l.starts_with(&format!("{name} ")));
    named(&versions.find(is_there).unwrap())
}

fn named(name: &str) -> (Vec<u8>, Vec<u8>) {
    let mut words = GOLDEN
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|words| words[0] == name)
        .unwrap_or_else(|| panic!("no golden row {name}"))
        .into_iter()
        .skip(1)
        .map(unhex);
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn what_is_written_today_is_what_was_written() {
    let lines = lines();
    let golden: Vec<&str> = GOLDEN.lines().collect();
    let missing: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| !golden.contains(line))
        .collect();
    assert!(
        missing.is_empty(),
        "not in golden.txt:\n{}",
        missing.join("\n")
    );
    let tables = lines
        .iter()
        .map(|line| unhex(line.split(' ').nth(1).unwrap())[0]);
    let mut tables: Vec<u8> = tables.collect();
    tables.sort_unstable();
    tables.dedup();
    assert_eq!(
        tables,
        TableId::ALL.map(TableId::byte),
        "every table has a golden row"
    );
}

#[test]
fn golden_rows_are_read_as_what_they_say() {
    let (key, row) = golden("tenant");
    assert_eq!(Tenants::read_key(&key), Ok(tenant("t")));
    assert_eq!(Tenants::read_row(&row), Ok(tenant_row()));
    let (_, row) = named("tenant@2");
    let without = TenantRow {
        weight: None,
        paused: None,
        paused_queues: BTreeMap::new(),
        ..tenant_row()
    };
    assert_eq!(Tenants::read_row(&row), Ok(without.clone()), "of version 2");
    let (_, row) = named("tenant");
    let without = TenantRow {
        expiry: None,
        ..without
    };
    assert_eq!(Tenants::read_row(&row), Ok(without), "of format 1");
    let (key, row) = golden("job");
    assert_eq!(Jobs::read_key(&key), Ok(job("t", "j")));
    assert_eq!(Jobs::read_row(&row), Ok(job_row()));
    let (_, row) = named("job");
    let without = JobRow {
        limits: Vec::new(),
        ..job_row()
    };
    assert_eq!(Jobs::read_row(&row), Ok(without), "of format 1");
    for (name, position, status) in positions() {
        let (_, row) = golden(&format!("state-{name}"));
        assert_eq!(status_of_bytes(&row), Some(status), "{name}");
        assert_eq!(
            status_of_bytes(&row[..3]),
            Some(status),
            "{name}, its rest lost"
        );
        let holds = matches!(position, Position::Ready(_) | Position::Leased(_));
        assert_eq!(is_running_of_bytes(&row[..3]), holds, "{name}");
        assert_eq!(States::read_row(&row), Ok(state(position.clone())));
        let (_, row) = named(&format!("state-{name}@3"));
        let old = as_of_format_3(state(position.clone()));
        assert_eq!(States::read_row(&row), Ok(old), "{name} of format 3");
        if name == "parked" {
            continue;
        }
        let (_, row) = named(&format!("state-{name}@2"));
        let old = as_of_format_2(state(position.clone()));
        assert_eq!(States::read_row(&row), Ok(old), "{name} of format 2");
        let (_, row) = named(&format!("state-{name}"));
        assert_eq!(status_of_bytes(&row), Some(status), "{name} of format 1");
        let old = as_of_format_1(state(position));
        assert_eq!(States::read_row(&row), Ok(old), "{name} of format 1");
    }
    let (_, row) = golden("attempt-crashed");
    assert_eq!(Attempts::read_row(&row), Ok(attempt(Some(Ending::Crashed))));
    let (key, _) = golden("ready");
    assert_eq!(Readies::read_key(&key).unwrap().queue.group, group("g"));
}

/// A row of a later version is refused as such; bytes that are cut or go on are malformed.
fn refuses<T: Table>(name: &str)
where
    T::Row: std::fmt::Debug + PartialEq,
{
    let (_, row) = golden(name);
    let mut newer = row.clone();
    newer[0] = T::Row::VERSION + 1;
    let (found, known) = (newer[0], T::Row::VERSION);
    assert_eq!(T::read_row(&newer), Err(RowError::Newer { found, known }));
    let mut older = row.clone();
    older[0] = 0;
    assert!(matches!(T::read_row(&older), Err(RowError::Malformed(_))));
    for len in 0..row.len() {
        let cut = T::read_row(&row[..len]);
        assert!(
            matches!(cut, Err(RowError::Malformed(_))),
            "{name} cut to {len}"
        );
    }
    let mut longer = row.clone();
    longer.push(0);
    assert!(matches!(T::read_row(&longer), Err(RowError::Malformed(_))));
}

#[test]
fn newer_older_cut_and_longer_rows_are_refused() {
    refuses::<Format>("format");
    refuses::<Tenants>("tenant");
    refuses::<PausedQueues>("paused_queues");
    refuses::<Jobs>("job");
    refuses::<States>("state-leased");
    refuses::<Attempts>("attempt-failed");
    refuses::<Readies>("ready");
    refuses::<Dues>("due");
    refuses::<Expiries>("expiry");
    refuses::<Runnings>("running");
    refuses::<Quarantines>("quarantine");
    refuses::<Limits>("limit");
    refuses::<Lines>("line");
    refuses::<Waiters>("waiter");
    refuses::<Parked>("parked");
    refuses::<Tickets>("ticket");
    refuses::<Admits>("admit");
}

/// Changes each byte of a row to each other value: it is refused, or is exactly what is written for
/// what it then says.
fn is_canonical<T: Table>(name: &str) {
    let (_, row) = golden(name);
    for at in 1..row.len() {
        for by in 1..=u8::MAX {
            let mut changed = row.clone();
            changed[at] ^= by;
            if let Ok(read) = T::read_row(&changed) {
                assert_eq!(encode(&read), changed, "{name} byte {at} ^ {by}");
            }
        }
    }
}

#[test]
fn a_changed_byte_makes_another_row_or_none() {
    is_canonical::<Format>("format");
    for (name, _, _) in positions() {
        is_canonical::<States>(&format!("state-{name}"));
    }
    is_canonical::<Tenants>("tenant");
    is_canonical::<PausedQueues>("paused_queues");
    is_canonical::<Attempts>("attempt-failed");
    is_canonical::<Dues>("due");
    is_canonical::<Runnings>("running");
    is_canonical::<Quarantines>("quarantine");
    is_canonical::<Limits>("limit");
    is_canonical::<Lines>("line");
    is_canonical::<Parked>("parked");
}

#[test]
fn names_out_of_bounds_are_refused_when_they_are_read() {
    let (_, row) = golden("state-leased");
    let at = row
        .windows(6)
        .position(|w| w == [1, 0, 0, 0, b'g', 10])
        .unwrap();
    let mut priority = row.clone();
    priority[at + 5] = 100;
    assert!(States::read_row(&priority).is_err(), "priority 100");
    let mut empty = row;
    empty[at] = 0;
    empty.remove(at + 4);
    assert!(States::read_row(&empty).is_err(), "no task group");
}
