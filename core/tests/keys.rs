//! Keys order as their parts do, come back as they were, and no bytes make reading panic.
#![allow(missing_docs, unreachable_pub, clippy::restriction)]

use std::fmt::Debug;

use proptest::prelude::*;
use silo_core::table::attempt::{AttemptKey, Attempts};
use silo_core::table::codec::encode;
use silo_core::table::due::{DueKey, Dues};
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::key::{Key, KeyParts, successor, whole, within};
use silo_core::table::limit::LimitName;
use silo_core::table::payload::PayloadKey;
use silo_core::table::place::Place;
use silo_core::table::quarantine::Quarantines;
use silo_core::table::ready::{Readies, ReadyKey};
use silo_core::table::running::Runnings;
use silo_core::table::singleton::{Format, FormatKey, format_key};
use silo_core::table::state::{States, status_of_bytes};
use silo_core::table::tenant::{Queue, Tenants};
use silo_core::table::{Table, TableId};
use silo_core::types::name::{JobId, LimitKey, Priority, TaskGroup};
use silo_core::types::tenant::Tenant;
use silo_core::types::time::Timestamp;

/// Text that is nasty to order: zero bytes, what follows them in an escape, prefixes of each other.
fn text() -> impl Strategy<Value = String> {
    let nasty = prop::collection::vec(
        prop::sample::select(vec!['\0', '\u{1}', 'a', 'b', 'ÿ', '🦀']),
        1..6,
    );
    prop_oneof![nasty.prop_map(String::from_iter), ".{1,12}"]
}

fn tenant() -> impl Strategy<Value = Tenant> {
    prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "ab", "-"]).prop_map(str::to_owned),
        1 => text(),
    ]
    .prop_map(|name| Tenant::parse(&name).unwrap())
}

fn job_id() -> impl Strategy<Value = JobId> {
    let printable = prop_oneof!["[ab]{1,4}", "[!-~]{1,20}", "[ä-ž🦀]{1,5}"];
    printable.prop_map(|id| JobId::parse(&id).unwrap())
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, 254..258_u64, Just(u64::MAX), any::<u64>()]
}

fn place() -> impl Strategy<Value = Place> {
    let time = prop_oneof![-3..3_i64, Just(i64::MIN), Just(i64::MAX), any::<i64>()];
    (time, number()).prop_map(|(at, seq)| Place {
        at: Timestamp::from_millis(at),
        seq,
    })
}

fn job_key() -> impl Strategy<Value = JobKey> {
    (tenant(), job_id()).prop_map(|(tenant, job)| JobKey { tenant, job })
}

fn queue() -> impl Strategy<Value = Queue> {
    (text(), 0..100_u32).prop_map(|(group, priority)| Queue {
        group: TaskGroup::parse(&group).unwrap(),
        priority: Priority::parse(priority).unwrap(),
    })
}

fn attempt_key() -> impl Strategy<Value = AttemptKey> {
    (job_key(), prop_oneof![0..4_u32, any::<u32>()]).prop_map(|(key, n)| AttemptKey::of(&key, n))
}

fn payload_key() -> impl Strategy<Value = PayloadKey> {
    let slot = prop_oneof![0..4_u32, any::<u32>()];
    (job_key(), slot).prop_map(|(job, slot)| PayloadKey { job, slot })
}

fn ready_key() -> impl Strategy<Value = ReadyKey> {
    (job_key(), queue(), place()).prop_map(|(key, queue, place)| ReadyKey::of(&key, &queue, place))
}

fn due_key() -> impl Strategy<Value = DueKey> {
    (job_key(), place()).prop_map(|(key, place)| DueKey::of(&key, place))
}

/// The order of parts is the order of bytes, and parts come back.
fn ordered<T: Table>(one: &T::Key, other: &T::Key)
where
    T::Key: Ord + Debug,
{
    let (one_key, other_key) = (T::key(one), T::key(other));
    assert_eq!(
        one.cmp(other),
        one_key.cmp(&other_key),
        "{one:?} and {other:?}"
    );
    assert_eq!(T::read_key(&one_key).as_ref(), Ok(one));
    assert_eq!(TableId::of(&one_key), Some(T::ID));
    assert!(whole(T::ID).contains(&one_key));
    let longer = successor(&one_key);
    assert!(T::read_key(&longer).is_err(), "nothing may follow a key");
    assert!(
        T::read_key(&one_key[..one_key.len() - 1]).is_err(),
        "nothing may be missing"
    );
}

/// Whatever bytes are read as a key or a row are the bytes that would be written.
fn canonical<T: Table>(bytes: &[u8]) {
    let mut key = bytes.to_vec();
    key.insert(0, T::ID.byte());
    for key in [bytes, &key] {
        if let Ok(parts) = T::read_key(key) {
            assert_eq!(T::key(&parts), key);
        }
    }
    let _ = T::read_row(bytes);
    let _ = status_of_bytes(bytes);
}

/// A key with one byte changed is refused, or is the key of what it then says.
fn changed<T: Table>(parts: &T::Key, at: usize, by: u8) {
    let mut key = T::key(parts).to_vec();
    let at = at % key.len();
    key[at] ^= by;
    if let Ok(parts) = T::read_key(&key) {
        assert_eq!(T::key(&parts), key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_order_as_their_parts_and_come_back(
        tenants in [tenant(), tenant()],
        jobs in [job_key(), job_key()],
        attempts in [attempt_key(), attempt_key()],
        readies in [ready_key(), ready_key()],
        dues in [due_key(), due_key()],
    ) {
        ordered::<Tenants>(&tenants[0], &tenants[1]);
        ordered::<Jobs>(&jobs[0], &jobs[1]);
        ordered::<States>(&jobs[0], &jobs[1]);
        ordered::<Runnings>(&jobs[0], &jobs[1]);
        ordered::<Quarantines>(&jobs[0], &jobs[1]);
        ordered::<Attempts>(&attempts[0], &attempts[1]);
        ordered::<Readies>(&readies[0], &readies[1]);
        ordered::<Dues>(&dues[0], &dues[1]);
    }

    #[test]
    fn payload_keys_order_as_their_parts_and_come_back(
        one in payload_key(), other in payload_key()
    ) {
        let keys = [&one, &other].map(|parts| PayloadKey::key(&parts.job, parts.slot));
        prop_assert_eq!(one.cmp(&other), keys[0].cmp(&keys[1]));
        prop_assert_eq!(PayloadKey::read_key(&keys[0]), Ok(one));
        prop_assert!(PayloadKey::read_key(&successor(&keys[0])).is_err());
    }

    #[test]
    fn no_bytes_make_reading_panic_and_what_is_read_is_canonical(
        bytes in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        canonical::<Format>(&bytes);
        canonical::<Tenants>(&bytes);
        canonical::<Jobs>(&bytes);
        canonical::<States>(&bytes);
        canonical::<Attempts>(&bytes);
        canonical::<Readies>(&bytes);
        canonical::<Dues>(&bytes);
        canonical::<Runnings>(&bytes);
        canonical::<Quarantines>(&bytes);
        let _ = PayloadKey::read_key(&bytes);
    }

    #[test]
    fn a_key_with_one_byte_changed_is_refused_or_canonical(
        job in job_key(), ready in ready_key(), attempt in attempt_key(),
        at in any::<usize>(), by in 1..=u8::MAX,
    ) {
        changed::<Jobs>(&job, at, by);
        changed::<Readies>(&ready, at, by);
        changed::<Attempts>(&attempt, at, by);
    }

    #[test]
    fn a_range_from_a_place_holds_what_stands_at_or_after_it_and_nothing_of_another_queue(
        one in ready_key(), low in place(), due in due_key(), other in ready_key(),
    ) {
        let range = ReadyKey::from(&one.tenant, &one.queue, low);
        prop_assert_eq!(range.contains(&Readies::key(&one)), one.place >= low);
        let is_of_queue = other.tenant == one.tenant && other.queue == one.queue;
        prop_assert!(is_of_queue || !range.contains(&Readies::key(&other)));
        let range = DueKey::from::<Dues>(&due.tenant, low);
        prop_assert_eq!(range.contains(&Dues::key(&due)), due.place >= low);
    }

    #[test]
    fn a_prefix_holds_exactly_the_keys_that_begin_with_it(
        prefix in prop::collection::vec(any::<u8>(), 0..5),
        rest in prop::collection::vec(any::<u8>(), 0..5),
        other in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let prefix: Key = [vec![TableId::Job.byte()], prefix].concat().into();
        let range = within(&prefix);
        prop_assert!(range.contains(&Key::from([&prefix[..], &rest].concat())));
        prop_assert_eq!(range.contains(&Key::from(other.clone())), other.starts_with(&prefix));
    }
}

#[test]
fn a_key_whose_tenant_does_not_match_its_hash_is_refused() {
    let tenant = Tenant::parse("a").unwrap();
    let mut key = Tenants::key(&tenant).to_vec();
    key[1] ^= 1;
    assert!(Tenants::read_key(&key).is_err());
}

#[test]
fn the_format_row_has_one_key() {
    let key = Format::key(&FormatKey);
    assert_eq!(Format::read_key(&key), Ok(FormatKey));
    assert_eq!(key, format_key());
    assert!(Format::read_key(&[0x01, b'x', 0, 1]).is_err());
    assert_eq!(encode(&silo_core::table::ready::ReadyRow {}).as_ref(), [1]);
}

#[test]
fn rows_of_those_that_may_hold_a_slot_are_leases_and_ready_jobs_of_the_tenant() {
    let tenant = |name| Tenant::parse(name).unwrap();
    let limit = LimitName {
        tenant: tenant("t"),
        key: LimitKey::parse("l").unwrap(),
    };
    for (name, may_hold) in [("t", true), ("u", false)] {
        let job = JobKey {
            tenant: tenant(name),
            job: JobId::parse("j").unwrap(),
        };
        let queue = Queue {
            group: TaskGroup::parse("g").unwrap(),
            priority: Priority::parse(1).unwrap(),
        };
        let place = Place {
            at: Timestamp::from_millis(1),
            seq: 1,
        };
        assert_eq!(limit.may_hold(&Runnings::key(&job)), may_hold);
        let ready = ReadyKey::of(&job, &queue, place);
        assert_eq!(limit.may_hold(&Readies::key(&ready)), may_hold);
        assert!(!limit.may_hold(&Jobs::key(&job)));
    }
}

#[test]
fn tables_stand_in_the_order_in_which_they_are_listed() {
    let bytes = TableId::ALL.map(TableId::byte);
    assert!(bytes.is_sorted_by(|a, b| a < b));
    assert_eq!(TableId::of(&[0x46]), None);
    assert_eq!(TableId::of(&[]), None);
}

/// Keeps the trait that keys implement in use here: it is what a new table has to implement.
const _: fn(&JobKey, &mut silo_core::table::key::KeyWriter) = <JobKey as KeyParts>::write;
