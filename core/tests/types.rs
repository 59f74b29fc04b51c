//! Bounds of every name, the arithmetic of back-off, ids of tasks.
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
use common::{entropy, plain, policy, report, success, tenant};
use proptest::prelude::*;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{
    LEASE_MAX, LEASE_MIN, MAX_CRASHES_MAX, METADATA_KEY_CHARS_END, METADATA_PAIRS_MAX,
    METADATA_VALUE_BYTES_END, check_lease,
};
use silo_core::shard::commands::report::{ERROR_CODE_BYTES_MAX, Outcome, Report};
use silo_core::types::Invalid;
use silo_core::types::data::{DATA_INLINE_BYTES_MAX, Data};
use silo_core::types::entropy::{Entropy, RequestId};
use silo_core::types::name::{JobId, LimitKey, Priority, TaskGroup, WorkerId};
use silo_core::types::retry::{Jitter, RetryPolicy, crash_delay};
use silo_core::types::task::TaskId;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::{Millis, Timestamp};

#[test]
fn a_job_id_has_1_to_256_bytes_and_no_control_characters() {
    assert!(JobId::parse("").is_err());
    assert!(JobId::parse("j").is_ok());
    assert!(JobId::parse(&"j".repeat(256)).is_ok());
    assert!(JobId::parse(&"j".repeat(257)).is_err());
    assert!(JobId::parse(&"ä".repeat(128)).is_ok());
    assert!(JobId::parse(&"ä".repeat(129)).is_err());
    for control in ["a\0", "\n", "a\u{7f}", "\u{85}"] {
        assert!(JobId::parse(control).is_err(), "{control:?}");
    }
}

#[test]
fn a_task_group_has_1_to_64_characters() {
    assert!(TaskGroup::parse("").is_err());
    assert!(TaskGroup::parse(&"🦀".repeat(64)).is_ok());
    assert!(TaskGroup::parse(&"g".repeat(65)).is_err());
}

#[test]
fn a_tenant_has_1_to_64_characters() {
    assert!(Tenant::parse("").is_err());
    assert!(Tenant::parse(&"🦀".repeat(64)).is_ok());
    assert!(Tenant::parse(&"t".repeat(65)).is_err());
    assert_eq!(Tenant::single(), tenant("-"));
}

#[test]
fn a_tenants_hash_is_xxh64_with_seed_0() {
    // From the specification of XXH64: the hash of nothing and of "a".
    assert_eq!(tenant("a").hash(), 0xd24e_c4f1_a98c_6e5b);
}

#[test]
fn a_key_of_a_limit_has_1_to_256_bytes() {
    assert!(LimitKey::parse("").is_err());
    for key in ["k".repeat(256), "ä".repeat(128)] {
        assert!(LimitKey::parse(&key).is_ok());
        for more in ["k", "ä", "🦀🦀"] {
            assert!(LimitKey::parse(&format!("{key}{more}")).is_err());
        }
    }
}

#[test]
fn a_worker_id_has_1_to_256_bytes() {
    assert!(WorkerId::parse("").is_err());
    assert!(WorkerId::parse(&"w".repeat(256)).is_ok());
    assert!(WorkerId::parse(&"w".repeat(257)).is_err());
}

#[test]
fn a_priority_is_0_to_99() {
    assert_eq!(Priority::parse(0).unwrap().get(), 0);
    assert_eq!(Priority::parse(99).unwrap().get(), 99);
    for number in [100, 255, 256, u32::MAX] {
        assert!(Priority::parse(number).is_err(), "{number}");
    }
}

#[test]
fn a_refusal_names_field_value_and_bound_and_stays_short() {
    let refused = Priority::parse(100).unwrap_err();
    assert_eq!(refused.to_string(), "priority is 100, but must be 0 to 99");
    let long = Invalid::new("f", "ä".repeat(1000), "b");
    assert_eq!(long.value.chars().count(), 65);
}

#[test]
fn an_enqueue_is_checked_against_every_bound() {
    let check = |edit: &dyn Fn(&mut silo_core::shard::commands::enqueue::Enqueue)| {
        let mut enqueue = plain("j");
        edit(&mut enqueue);
        enqueue.check().is_ok()
    };
    // A key is counted in characters, a value in bytes.
    let pair = |key: usize, value: usize| BTreeMap::from([("ü".repeat(key), "v".repeat(value))]);
    let pairs = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
    assert!(check(&|_| {}));
    assert!(check(&|e| e.max_crashes = MAX_CRASHES_MAX));
    assert!(!check(&|e| e.max_crashes = MAX_CRASHES_MAX + 1));
    assert!(check(&|e| e.metadata = pairs(METADATA_PAIRS_MAX)));
    assert!(!check(&|e| e.metadata = pairs(METADATA_PAIRS_MAX + 1)));
    assert!(check(&|e| e.metadata = pair(METADATA_KEY_CHARS_END - 1, 0)));
    assert!(!check(&|e| e.metadata = pair(METADATA_KEY_CHARS_END, 0)));
    assert!(check(
        &|e| e.metadata = pair(1, METADATA_VALUE_BYTES_END - 1)
    ));
    assert!(!check(&|e| e.metadata = pair(1, METADATA_VALUE_BYTES_END)));
    assert!(check(&|e| e.lease = Some(LEASE_MIN)));
    assert!(!check(&|e| e.lease = Some(Millis::ZERO)));
    let with = |factor, count| {
        move |e: &mut silo_core::shard::commands::enqueue::Enqueue| {
            e.retry = Some(RetryPolicy {
                backoff_factor: factor,
                ..policy(count)
            });
        }
    };
    assert!(check(&with(0.0, RetryPolicy::RETRY_COUNT_MAX)));
    assert!(!check(&with(0.0, RetryPolicy::RETRY_COUNT_MAX + 1)));
    for factor in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(!check(&with(factor, 1)), "{factor}");
    }
}

#[test]
fn a_lease_lasts_between_a_tenth_of_a_second_and_a_day() {
    assert!(check_lease(LEASE_MIN).is_ok() && check_lease(LEASE_MAX).is_ok());
    assert!(check_lease(Millis::new(LEASE_MIN.get() - 1)).is_err());
    assert!(check_lease(Millis::new(LEASE_MAX.get() + 1)).is_err());
    assert_eq!((LEASE_MIN.get(), LEASE_MAX.get()), (100, 86_400_000));
}

#[test]
fn an_error_code_has_a_bound() {
    let report = |len: usize| Report {
        task: task(1),
        outcome: Outcome::Failure {
            code: "E".repeat(len),
            data: Bytes::new(),
            retryable: true,
            retry_after: None,
        },
    };
    assert!(report(ERROR_CODE_BYTES_MAX).check().is_ok());
    assert!(report(ERROR_CODE_BYTES_MAX + 1).check().is_err());
}

#[test]
fn only_commands_that_may_be_sent_twice_say_so() {
    let with_request = silo_core::shard::commands::enqueue::Enqueue {
        request: common::request(1),
        ..plain("j")
    };
    assert!(!Command::Enqueue(Box::new(plain("j"))).is_repeatable());
    assert!(Command::Enqueue(Box::new(with_request)).is_repeatable());
    assert!(report(&task(1), success()).is_repeatable());
    let key = common::job("t", "j");
    assert!(!common::lease_job(&key).is_repeatable());
    assert!(Command::Delete(key.clone()).is_repeatable());
    assert!(Command::Cancel(key.clone()).is_repeatable());
    assert!(!Command::Restart(key.clone()).is_repeatable());
    assert!(!Command::Expedite(key).is_repeatable());
}

#[test]
fn data_is_empty_when_it_has_no_byte() {
    assert!(Data::of(&Bytes::new()).is_empty());
    assert!(!Data::nil().is_empty());
}

#[test]
fn data_stands_inline_up_to_4_kib() {
    let of = |len| Data::of(&Bytes::from(vec![0; len]));
    assert!(!of(DATA_INLINE_BYTES_MAX).is_stored());
    assert!(of(DATA_INLINE_BYTES_MAX + 1).is_stored());
    assert_eq!(of(5000).len(), 5000);
    assert!(of(0).is_empty());
}

fn delays(policy: &RetryPolicy, retries: u32) -> Vec<u64> {
    (1..=retries)
        .map(|n| policy.delay(n, Millis::ZERO, 0).get())
        .collect()
}

#[test]
fn back_off_multiplies_up_to_its_cap() {
    assert_eq!(delays(&policy(5), 5), [1000, 2000, 4000, 8000, 8000]);
}

#[test]
fn back_off_without_a_cap_goes_on() {
    let uncapped = RetryPolicy {
        max_interval: Millis::ZERO,
        ..policy(5)
    };
    assert_eq!(delays(&uncapped, 5), [1000, 2000, 4000, 8000, 16_000]);
}

#[test]
fn a_factor_of_0_means_1() {
    let constant = RetryPolicy {
        backoff_factor: 0.0,
        ..policy(3)
    };
    assert_eq!(delays(&constant, 3), [1000, 1000, 1000]);
}

#[test]
fn back_off_saturates_and_never_panics() {
    let of = |initial, factor| RetryPolicy {
        initial_interval: Millis::new(initial),
        max_interval: Millis::ZERO,
        backoff_factor: factor,
        ..policy(1)
    };
    let last = |p: &RetryPolicy| p.delay(u32::MAX, Millis::new(u64::MAX), u64::MAX).get();
    assert_eq!(last(&of(1, 2.0)), u64::MAX);
    assert_eq!(last(&of(1, f64::MAX)), u64::MAX);
    assert_eq!(
        last(&of(0, f64::MAX)),
        0,
        "nothing multiplied stays nothing"
    );
    assert_eq!(last(&of(1000, 0.5)), 0);
    assert_eq!(last(&of(u64::MAX, 1.0)), u64::MAX);
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        let p = RetryPolicy {
            jitter,
            ..of(u64::MAX, 2.0)
        };
        assert_eq!(last(&p), u64::MAX, "{jitter:?}");
    }
}

#[test]
fn crashes_back_off_from_1_s_doubling_to_30_s() {
    let delays: Vec<u64> = (1..=7).map(|n| crash_delay(n).get()).collect();
    assert_eq!(delays, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    assert_eq!(crash_delay(u32::MAX).get(), 30_000);
}

/// Delays of retry 3 (plainly 4 s) over many draws of one stamp each.
fn spread(jitter: Jitter, previous: u64) -> Vec<u64> {
    let p = RetryPolicy {
        jitter,
        ..policy(9)
    };
    let draw = |seed| entropy(seed).number(0);
    (0..20_000)
        .map(|seed| p.delay(3, Millis::new(previous), draw(seed)).get())
        .collect()
}

/// Every tenth of `low..=high` gets about a tenth of the draws, and both ends are about reached.
fn assert_uniform(delays: &[u64], low: u64, high: u64) {
    assert!(delays.iter().all(|delay| (low..=high).contains(delay)));
    let mut tenths = [0_usize; 10];
    let width = high - low + 1;
    for delay in delays {
        tenths[usize::try_from((delay - low) * 10 / width).unwrap()] += 1;
    }
    let fair = delays.len() / 10;
    assert!(
        tenths.iter().all(|n| n.abs_diff(fair) < fair / 10),
        "{tenths:?} of {fair}"
    );
    let slack = width / 100;
    assert!(*delays.iter().min().unwrap() <= low + slack);
    assert!(*delays.iter().max().unwrap() >= high - slack);
}

#[test]
fn jitter_is_uniform_in_its_range() {
    assert_uniform(&spread(Jitter::Full, 0), 0, 4000);
    assert_uniform(&spread(Jitter::Equal, 0), 2000, 4000);
    assert_uniform(&spread(Jitter::Decorrelated, 2500), 1000, 7500);
    assert!(spread(Jitter::None, 0).iter().all(|delay| *delay == 4000));
}

#[test]
fn decorrelated_jitter_is_capped_and_starts_from_the_first_interval() {
    let capped = spread(Jitter::Decorrelated, 1_000_000);
    assert!(capped.iter().all(|delay| (1000..=8000).contains(delay)));
    let p = RetryPolicy {
        jitter: Jitter::Decorrelated,
        ..policy(9)
    };
    let first = |seed| {
        p.delay(1, Millis::new(u64::MAX), entropy(seed).number(0))
            .get()
    };
    assert!((0..1000).all(|seed| (1000..=3000).contains(&first(seed))));
}

#[test]
fn draws_of_one_stamp_differ() {
    let mut draws: Vec<u64> = (0..10_000).map(|index| entropy(1).number(index)).collect();
    draws.sort_unstable();
    draws.dedup();
    assert_eq!(draws.len(), 10_000);
}

/// A seed that is played again draws what it drew: the numbers are fixed, not only different. These
/// were computed apart from this code.
#[test]
fn what_an_entropy_gives_never_changes() {
    let entropy = Entropy(std::array::from_fn(|at| u8::try_from(at + 1).unwrap()));
    let drawn = [0, 1, 2].map(|index| entropy.number(index));
    assert_eq!(
        drawn,
        [
            0x386b_c79c_8d62_889d,
            0x9d42_9568_0a85_5f70,
            0xcf02_6208_12ea_6f9a
        ]
    );
    let now = Timestamp::from_millis(1_700_000_000_000);
    let ids = [0, 1, 2].map(|index| entropy.job_id(now, index).to_string());
    assert_eq!(
        ids,
        [
            "018bcfe5-6800-7102-8304-05060708090a",
            "018bcfe5-6800-728e-84f2-5d547d25649c",
            "018bcfe5-6800-70c8-9d9e-e7b24242fa89"
        ]
    );
}

#[test]
fn made_up_ids_are_uuids_of_version_7_that_order_by_time() {
    let id = |now, seed| {
        entropy(seed)
            .job_id(Timestamp::from_millis(now), 0)
            .to_string()
    };
    let one = id(1_700_000_000_000, 1);
    assert_eq!(one.len(), 36);
    assert_eq!(&one[14..15], "7", "the version");
    assert!("89ab".contains(&one[19..20]), "the variant");
    assert!(one < id(1_700_000_000_001, 0));
    assert_ne!(one, id(1_700_000_000_000, 2));
    let _ = (id(-1, 1), id(i64::MAX, 1), id(i64::MIN, 1));
}

#[test]
fn a_request_id_names_one_job() {
    let id = RequestId([0xab; 16]).job_id();
    assert_eq!(id.as_str(), "abababab-abab-abab-abab-abababababab");
}

#[test]
fn times_saturate() {
    let most = Millis::new(u64::MAX);
    assert_eq!(Timestamp::MAX.after(Millis::new(1)), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.after(most), Timestamp::MAX);
    assert_eq!(Timestamp::MAX.since(Timestamp::MIN), most);
    assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Millis::ZERO);
}

#[test]
fn times_and_tenants_can_be_read_in_a_log() {
    assert_eq!(Timestamp::from_millis(-5).to_string(), "-5 ms");
    assert_eq!(Millis::new(5).to_string(), "5 ms");
    assert_eq!(tenant("t").to_string(), "t");
    assert_eq!(format!("{:?}", tenant("t")), "\"t\"");
}

fn task(nonce: u64) -> TaskId {
    TaskId {
        tenant: tenant("t"),
        job: JobId::parse("j").unwrap(),
        attempt: 1,
        nonce,
    }
}

#[test]
fn a_task_id_of_another_version_or_with_bad_parts_is_refused() {
    let text = task(7).encode();
    assert_eq!(TaskId::decode(&text), Ok(task(7)));
    for end in 0..text.len() {
        assert!(TaskId::decode(&text[..end]).is_err(), "cut to {end}");
    }
    assert!(TaskId::decode(&format!("{text}A")).is_err());
    assert!(TaskId::decode(&format!("{text}=")).is_err());
    assert!(
        TaskId::decode(&text.replacen('A', "C", 1)).is_err(),
        "another version"
    );
    assert!(TaskId::decode("").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn task_ids_come_back(
        name in ".{1,64}", job in "[!-~]{1,256}", attempt in any::<u32>(), nonce in any::<u64>()
    ) {
        let task = TaskId {
            tenant: tenant(&name),
            job: JobId::parse(&job).unwrap(),
            attempt,
            nonce,
        };
        let text = task.encode();
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(TaskId::decode(&text), Ok(task));
    }

    #[test]
    fn any_text_is_refused_or_is_the_one_text_of_its_task_id(
        text in prop_oneof![".*", "AQ[A-Za-z0-9_-]{0,80}"]
    ) {
        if let Ok(task) = TaskId::decode(&text) {
            prop_assert_eq!(task.encode(), text);
        }
    }

    #[test]
    fn a_changed_task_id_is_refused_or_names_another_task(
        at in any::<usize>(), to in "[A-Za-z0-9_-]"
    ) {
        let text = task(0x0102_0304_0506_0708).encode();
        let at = at % text.len();
        let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
        if let Ok(read) = TaskId::decode(&changed) {
            prop_assert_eq!(read == task(0x0102_0304_0506_0708), changed == text);
        }
    }

    #[test]
    fn delays_stay_in_their_bounds(
        initial in any::<u64>(), cap in any::<u64>(), factor in 0.0..10.0_f64, n in any::<u32>(),
        previous in any::<u64>(), random in any::<u64>(), jitter in 0..4_u8,
    ) {
        let jitter = match jitter {
            0 => Jitter::None,
            1 => Jitter::Full,
            2 => Jitter::Equal,
            _ => Jitter::Decorrelated,
        };
        let policy = RetryPolicy {
            retry_count: 1,
            initial_interval: Millis::new(initial),
            max_interval: Millis::new(cap),
            backoff_factor: factor,
            jitter,
        };
        let delay = policy.delay(n, Millis::new(previous), random).get();
        prop_assert!(cap == 0 || delay <= cap);
    }
}
