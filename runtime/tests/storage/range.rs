use silo_runtime::storage::range::{HashRange, RangeError};

#[test]
fn an_even_split_covers_the_space_in_order_and_evenly() {
    for count in [1, 2, 3, 7, 8, 1000] {
        let ranges = HashRange::split_evenly(count);
        assert_eq!(ranges.len(), count as usize);
        assert!(HashRange::is_partition(&ranges));
        let width = u64::MAX / u64::from(count);
        for range in &ranges {
            let size = range.end().unwrap_or(u64::MAX) - range.start();
            assert!(size.abs_diff(width) <= 1, "{range} of {count}");
        }
    }
}

#[test]
fn gaps_overlaps_and_open_ends_are_no_partition() {
    let range = |start, end| HashRange::new(start, end).unwrap();
    assert!(!HashRange::is_partition(&[]));
    assert!(!HashRange::is_partition(&[range(0, Some(5))]));
    assert!(!HashRange::is_partition(&[range(1, None)]));
    assert!(!HashRange::is_partition(&[
        range(0, Some(5)),
        range(6, None)
    ]));
    assert!(!HashRange::is_partition(&[
        range(0, Some(5)),
        range(4, None)
    ]));
    assert!(!HashRange::is_partition(&[HashRange::ALL, range(5, None)]));
    assert!(HashRange::is_partition(&[
        range(0, Some(5)),
        range(5, None)
    ]));
}

#[test]
fn a_range_holds_its_start_and_not_its_end() {
    let range = HashRange::new(10, Some(20)).unwrap();
    assert!(!range.contains(9));
    assert!(range.contains(10));
    assert!(range.contains(19));
    assert!(!range.contains(20));
    let last = HashRange::new(u64::MAX, None).unwrap();
    assert!(last.contains(u64::MAX));
    assert!(!last.contains(u64::MAX - 1));
}

#[test]
fn bounds_are_written_as_the_wire_wants_and_read_back() {
    let halves = HashRange::split_evenly(2);
    assert_eq!(halves[0].start_string(), "");
    assert_eq!(halves[0].end_string(), "8000000000000000");
    assert_eq!(halves[1].start_string(), "8000000000000000");
    assert_eq!(halves[1].end_string(), "");
    let small = HashRange::new(0xab, Some(0xcd)).unwrap();
    assert_eq!(small.start_string(), "00000000000000ab");
    for range in [halves[0], halves[1], small, HashRange::ALL] {
        let read = HashRange::parse(&range.start_string(), &range.end_string());
        assert_eq!(read, Ok(range));
    }
}

#[test]
fn malformed_and_empty_ranges_are_refused() {
    for bound in [
        "0",
        "00000000000000AB",
        "000000000000000g",
        "+00000000000000a",
        " ",
    ] {
        let refused = HashRange::parse(bound, "");
        assert!(
            matches!(refused, Err(RangeError::Bound { .. })),
            "{bound:?}"
        );
    }
    let empty = RangeError::Empty { start: 5, end: 5 };
    assert_eq!(HashRange::new(5, Some(5)), Err(empty));
}
