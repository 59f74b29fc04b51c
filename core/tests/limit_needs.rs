//! Searches, and whatever else reads much of limits, ask at once for what they will read.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::BTreeSet;

use common::partial::{ROUNDS_MAX, SEARCH_ROUNDS_MAX, assert_same, config};
use common::{Shard, lease_job, limit_key, limited, of_tenant, report, success, tenant};
use proptest::prelude::*;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::limits::search::LOOKS_MAX;
use silo_core::shard::reply::Reply;
use silo_core::table::Table as _;
use silo_core::table::codec::encode;
use silo_core::table::key::Key;
use silo_core::table::limit::{LimitName, Limits, TicketRow, Tickets};
use silo_core::table::line::Lines;
use silo_core::types::time::Timestamp;

#[test]
fn nothing_known_takes_few_rounds_however_many_limits_a_job_wants() {
    let keys: Vec<String> = (0..16).map(|number| format!("l{number}")).collect();
    let wanted: Vec<(&str, u32)> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    let mut shard = Shard::new();
    for id in ["1", "2"] {
        let job = Command::Enqueue(Box::new(limited(id, &wanted)));
        let rounds = assert_same(&mut shard, &job, &[false]);
        assert!(rounds <= 4, "{rounds} rounds");
        shard.run(&job);
    }
}

#[test]
fn nothing_known_takes_few_rounds_however_many_jobs_are_due_that_want_limits() {
    let mut shard = Shard::new();
    for number in 0..30 {
        let own = format!("own-{number:02}");
        shard.enqueue(Enqueue {
            start_at: Some(Timestamp::from_millis(shard.now + 1000)),
            ..limited(&format!("j{number}"), &[("all", 9), (&own, 1)])
        });
    }
    shard.now += 1000;
    let rounds = assert_same(&mut shard, &Command::Tick, &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds} rounds");
}

#[test]
fn nothing_known_takes_few_rounds_to_make_a_damaged_line_anew() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..300 {
        let own = format!("own-{:02}", number % 20);
        shard.enqueue(limited(&format!("j{number}"), &[("a", 0), (&own, 1)]));
    }
    let lines: Vec<Key> = shard.image().lines.keys().map(Lines::key).collect();
    assert_eq!(lines.len(), 20);
    for line in lines {
        shard.damage(&line);
    }
    let recount = Command::RecountLimits(tenant("t"));
    let rounds = assert_same(&mut shard, &recount, &[false]);
    assert!(rounds <= SEARCH_ROUNDS_MAX, "{rounds} rounds");
}

proptest! {
    #![proptest_config(config(100))]

    /// Limits are opened for all who wait in many lines of several tenants; ticks do the rest.
    #[test]
    fn searches_take_few_rounds_whoever_waits(
        waiting in prop::collection::vec((0..3_u8, 0..8_usize, any::<(bool, u8)>()), 0..300),
        maxima in prop::collection::vec(0..60_u32, 8),
    ) {
        let mut shard = Shard::new();
        shard.is_checked = false;
        let key = |number: usize| format!("l{number}");
        for (number, (tenant, first, (is_lone, second))) in waiting.iter().enumerate() {
            let others = (0..8).filter(|bit| !is_lone && second >> bit & 1 == 1);
            let keys: BTreeSet<String> = others.chain([*first]).map(key).collect();
            let wanted: Vec<(&str, u32)> = keys.iter().map(|key| (key.as_str(), 0)).collect();
            shard.enqueue(Enqueue {
                limits: limited("x", &wanted).limits,
                ..of_tenant(&format!("t{tenant}"), &format!("w{number}"))
            });
        }
        let keys: Vec<String> = (0..8).map(key).collect();
        let wanted: Vec<(&str, u32)> = keys.iter().map(String::as_str).zip(maxima).collect();
        for tenant in ["t0", "t1", "t2"] {
            let opens = Enqueue {
                limits: limited("x", &wanted).limits,
                ..of_tenant(tenant, "opens")
            };
            let opens = Command::Enqueue(Box::new(opens));
            let rounds = assert_same(&mut shard, &opens, &[false]);
            prop_assert!(rounds <= SEARCH_ROUNDS_MAX, "{rounds} rounds");
            shard.run(&opens);
        }
        while shard.soft.to_search().next().is_some() {
            let rounds = assert_same(&mut shard, &Command::Tick, &[false]);
            prop_assert!(rounds <= SEARCH_ROUNDS_MAX, "{rounds} rounds for a tick");
            shard.run(&Command::Tick);
        }
    }
}

/// Nothing that waits in many lines, or in long ones, may cost a round each.
#[test]
fn searches_ask_at_once_for_all_that_they_look_at() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let hot = shard.enqueue(limited("hot", &[("hot", 1)]));
    let Reply::Leased(mut tasks) = shard.run(&lease_job(&hot)) else {
        panic!("a lease");
    };
    let task = tasks.remove(0).id;
    for number in 0..80 {
        let own = format!("own-{number:02}");
        shard.enqueue(limited(&format!("runs-{number}"), &[(&own, 1)]));
        shard.enqueue(limited(
            &format!("waits-{number}"),
            &[("hot", 1), (&own, 1)],
        ));
    }
    let many = report(&task, success());
    let rounds = assert_same(&mut shard, &many, &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds}");

    for number in 0..100 {
        shard.enqueue(limited(&format!("long-{number:02}"), &[("shut", 0)]));
    }
    let raised = Command::Enqueue(Box::new(limited("raises", &[("shut", 90)])));
    let rounds = assert_same(&mut shard, &raised, &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds}");
}

/// A pause takes the tickets of all that want what is paused, and may cost no round for each.
#[test]
fn a_pause_asks_at_once_for_all_tickets_that_it_takes() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    shard.enqueue(limited("runs", &[("hot", 1)]));
    for number in 0..LOOKS_MAX + 20 {
        let own = format!("own-{number:02}");
        shard.enqueue(limited(&format!("j{number}"), &[("hot", 1), (&own, 1)]));
    }
    for (ticket, (line, mut row)) in (0..).zip(shard.image().lines) {
        row.ticket = Some(ticket);
        for key in &row.wanted {
            let ticket_key = line.ticket_key(key, ticket);
            let tickets = Tickets::key(&ticket_key);
            shard.rows.map.insert(tickets, encode(&TicketRow {}));
            let limit = Limits::key(&ticket_key.limit);
            let mut of = Limits::read_row(&shard.rows.map[&limit]).unwrap();
            of.tickets += 1;
            of.lowest.get_or_insert((ticket, line.id));
            shard.rows.map.insert(limit, encode(&of));
        }
        shard.rows.map.insert(Lines::key(&line), encode(&row));
    }
    let pause = Command::SetLimit(SetLimit {
        limit: LimitName {
            tenant: tenant("t"),
            key: limit_key("hot"),
        },
        change: LimitChange::Pause,
    });
    let rounds = assert_same(&mut shard, &pause, &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds}");
    shard.run(&pause);
    let tickets = |shard: &Shard| {
        let lines = shard.image().lines.into_values();
        lines.filter(|line| line.ticket.is_some()).count()
    };
    assert_eq!(tickets(&shard), 20, "each is a look");
    shard.settle();
    assert_eq!(tickets(&shard), 0);
}
