//! A view that knows only some rows: loading what is asked for and judging again ends, within a few
//! rounds, in the decision that a complete view gives at once.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::BTreeSet;

use bytes::Bytes;
use common::{
    Shard, attempted, failed_import, failure, get, gone, heartbeat, imported, job, kept, lease,
    lease_job, limit_key, limited, of_tenant, plain, queue, report, request, retrying, success,
    tenant,
};
use proptest::prelude::*;
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::enqueue::{Enqueue, EnqueueAll};
use silo_core::shard::commands::import::{Import, ImportAttempt, ImportJob};
use silo_core::shard::commands::inspect::ListSetAside;
use silo_core::shard::commands::list::{IdPrefix, List};
use silo_core::shard::commands::list_limits::ListLimits;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::show_limit::ShowLimit;
use silo_core::shard::decide;
use silo_core::shard::decision::Decision;
use silo_core::shard::limits::search::LOOKS_MAX;
use silo_core::shard::refusal::{Gone, Refusal};
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::{Need, NeedItem, Rows, View};
use silo_core::table::Table as _;
use silo_core::table::attempt::{AttemptKey, Attempts};
use silo_core::table::codec::encode;
use silo_core::table::job::JobKey;
use silo_core::table::key::{Key, KeyRange, successor};
use silo_core::table::limit::{LimitName, Limits, TicketRow, Tickets};
use silo_core::table::line::Lines;
use silo_core::table::state::{States, Status};
use silo_core::types::limit::Limit;
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Timestamp};

/// Most rounds of loading that any command may take: six, and four more when slots are freed.
const ROUNDS_MAX: usize = 10;
/// The same for those that free slots for which very many wait.
const SEARCH_ROUNDS_MAX: usize = 14;

/// Some of a shard's rows: single keys, and intervals that are completely known.
struct Partial<'a> {
    rows: &'a Rows,
    keys: BTreeSet<Key>,
    intervals: Vec<KeyRange>,
}

impl Partial<'_> {
    fn knows(&self, key: &Key) -> bool {
        self.keys.contains(key) || self.intervals.iter().any(|known| known.contains(key))
    }

    /// How far everything from `start` on is known.
    fn reach(&self, start: &Key) -> Key {
        let mut reach = start.clone();
        loop {
            let further = self
                .intervals
                .iter()
                .filter(|known| known.start <= reach && known.end > reach)
                .map(|known| known.end.clone())
                .chain(self.keys.contains(&reach).then(|| successor(&reach)))
                .max();
            match further {
                Some(further) => reach = further,
                None => return reach,
            }
        }
    }

    fn load(&mut self, need: &Need) {
        assert!(!need.is_empty(), "a need names something");
        let mut has_learned = false;
        for item in &need.items {
            match item {
                NeedItem::Row(key) => has_learned |= self.keys.insert(key.clone()),
                NeedItem::Range { start, end, limit } => {
                    let range = start.clone()..end.clone();
                    let rows = self.rows.range(&range, *limit).unwrap();
                    let end = match rows.last() {
                        Some((last, _)) if rows.len() == *limit => successor(last),
                        _ => end.clone(),
                    };
                    has_learned |= self.reach(start) < end;
                    self.intervals.push(start.clone()..end);
                }
            }
        }
        assert!(has_learned, "asked again for what was known: {need:?}");
    }
}

impl View for Partial<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Need> {
        if self.knows(key) {
            self.rows.get(key)
        } else {
            Err(Need::row(key))
        }
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Need> {
        let rows = self.rows.range(range, limit)?;
        let end = match rows.last() {
            Some((last, _)) if rows.len() == limit => successor(last),
            _ => range.end.clone(),
        };
        if limit == 0 || range.start >= range.end || self.reach(&range.start) >= end {
            Ok(rows)
        } else {
            Err(Need::range(range, limit))
        }
    }
}

/// The decision over rows of which only `keys` are known, and after how many rounds of loading.
fn judge(
    shard: &Shard,
    keys: BTreeSet<Key>,
    stamp: &Stamp,
    command: &Command,
) -> (Decision, usize) {
    let mut view = Partial {
        rows: &shard.rows,
        keys,
        intervals: Vec::new(),
    };
    for rounds in 0..1000 {
        match decide(&shard.soft, &view, stamp, command) {
            Ok(decision) => return (decision, rounds),
            Err(need) => view.load(&need),
        }
    }
    panic!("{command:?} asks without end");
}

/// Asserts that what is known of the rows makes no difference but the rounds; returns the rounds.
fn assert_same(shard: &mut Shard, command: &Command, known: &[bool]) -> usize {
    let stamp = shard.stamp();
    let before = (shard.rows.clone(), shard.soft.clone());
    let complete = decide(&shard.soft, &shard.rows, &stamp, command).expect("a complete map");
    let keys = shard.rows.map.keys().zip(known.iter().cycle());
    let keys = keys
        .filter(|(_, known)| **known)
        .map(|(key, _)| key.clone());
    let (decision, rounds) = judge(shard, keys.collect(), &stamp, command);
    assert_eq!(decision, complete, "{command:?}");
    assert!(
        before == (shard.rows.clone(), shard.soft.clone()),
        "judging changes nothing"
    );
    rounds
}

/// A shard with jobs in every position; some of its leases are over and some of its jobs due.
fn world(jobs: &[(u8, u8, u8, u8)]) -> (Shard, Vec<TaskId>) {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let mut tasks = Vec::new();
    for (number, (tenant, priority, fate, wanted)) in jobs.iter().enumerate() {
        let id = format!("j{number}");
        let mut enqueue = Enqueue {
            queue: queue("g", u32::from(priority % 100)),
            request: request(u8::try_from(number % 256).unwrap()),
            limits: limits(*wanted),
            ..of_tenant(&format!("t{}", tenant % 4), &id)
        };
        if fate % 2 == 0 {
            enqueue.retry = retrying("x", 3).retry;
        }
        if fate % 3 == 0 {
            enqueue.retention = kept("x", u64::from(*priority) * 100).retention;
        }
        if fate % 8 == 7 {
            enqueue.start_at = Some(Timestamp::from_millis(shard.now + i64::from(*priority)));
        }
        let key = shard.enqueue(enqueue);
        match fate % 8 {
            0..=2 => tasks.extend(leased(shard.run(&lease_job(&key)))),
            3 | 4 => {
                for task in leased(shard.run(&lease_job(&key))) {
                    let outcome = if fate % 8 == 3 { success() } else { failure() };
                    shard.run(&report(&task, outcome));
                    tasks.push(task);
                }
            }
            _ => {}
        }
    }
    (shard, tasks)
}

/// Half of the jobs want slots of some of three limits, which have few.
fn limits(wanted: u8) -> Vec<Limit> {
    let limits = [("a", 1), ("b", 2), ("c", 0)];
    let is_wanted = |bit: u8| wanted & 8 != 0 && wanted & (1 << bit) != 0;
    let wanted = (0..).zip(limits).filter(|(bit, _)| is_wanted(*bit));
    let wanted: Vec<_> = wanted.map(|(_, limit)| limit).collect();
    limited("x", &wanted).limits
}

fn leased(reply: Reply) -> Vec<TaskId> {
    match reply {
        Reply::Leased(tasks) => tasks.into_iter().map(|task| task.id).collect(),
        Reply::Refused(Refusal::LimitFull { .. }) => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn commands(shard: &Shard, tasks: &[TaskId], pick: usize, tasks_max: u32) -> Vec<Command> {
    let mut keys: Vec<_> = shard.image().states.into_keys().collect();
    keys.push(job("t0", "nobody"));
    let key = &keys[pick % keys.len()];
    let limit = |of| LimitName {
        tenant: key.tenant.clone(),
        key: limit_key(of),
    };
    let set = |limit, change| Command::SetLimit(SetLimit { limit, change });
    let mut commands = vec![
        Command::Enqueue(Box::new(plain("new"))),
        Command::Enqueue(Box::new(limited("new", &[("a", 1), ("b", 9), ("c", 9)]))),
        Command::Enqueue(Box::new(of_tenant("t0", "j0"))),
        lease("g", tasks_max),
        lease_job(key),
        Command::Cancel(key.clone()),
        Command::Delete(key.clone()),
        Command::Restart(key.clone()),
        Command::Expedite(key.clone()),
        Command::EnqueueAll(EnqueueAll {
            jobs: vec![of_tenant("t1", "new"), of_tenant("t1", key.job.as_str())],
        }),
        Command::Import(Import {
            jobs: vec![
                imported("new", vec![attempted(1, failed_import())]),
                ImportJob {
                    tenant: key.tenant.clone(),
                    ..imported(key.job.as_str(), vec![attempted(1, failed_import())])
                },
            ],
        }),
        Command::ListSetAside(ListSetAside {
            tenant: None,
            after: None,
            jobs_max: tasks_max,
        }),
        Command::List(list("t0", tasks_max)),
        Command::List(List {
            statuses: [Status::Scheduled, Status::Failed].into(),
            prefix: IdPrefix::parse("j1").ok(),
            after: Some(States::key(key)),
            ..list("t1", tasks_max)
        }),
        get(key),
        Command::Result(key.clone()),
        Command::Explain(key.clone()),
        Command::ListLimits(ListLimits {
            tenant: key.tenant.clone(),
            prefix: String::new(),
            after: None,
            limits_max: tasks_max,
        }),
        Command::ShowLimit(ShowLimit {
            limit: limit("a"),
            holders_max: tasks_max,
            holders_after: None,
            waiters_max: tasks_max,
        }),
        set(limit("a"), LimitChange::Maximum(tasks_max)),
        set(limit("b"), LimitChange::Pause),
        Command::RecountLimits(key.tenant.clone()),
        Command::Tick,
    ];
    if let Some(task) = tasks.get(pick % tasks.len().max(1)) {
        commands.push(heartbeat(task, "w"));
        let delay = Millis::new(5);
        let snooze = Outcome::Snooze { delay };
        let given_back = [Outcome::Cancelled, Outcome::Release, snooze];
        for outcome in [success(), failure()].into_iter().chain(given_back) {
            commands.push(report(task, outcome));
        }
    }
    commands
}

/// All jobs of a tenant.
fn list(of: &str, jobs_max: u32) -> List {
    List {
        tenant: tenant(of),
        statuses: BTreeSet::new(),
        group: None,
        prefix: None,
        after: None,
        jobs_max,
    }
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 100;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_view_that_knows_little_comes_to_the_same_decision_within_a_few_rounds(
        jobs in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 0..40),
        known in prop::collection::vec(any::<bool>(), 1..64),
        later in 0..30_000_i64,
        pick in any::<usize>(),
        tasks_max in 0..30_u32,
        is_lost in any::<bool>(),
        damage in prop::option::of(any::<usize>()),
    ) {
        let (mut shard, tasks) = world(&jobs);
        if is_lost {
            shard.soft = Soft::lost();
        }
        shard.now += later;
        if let Some(damage) = damage {
            let keys: Vec<Key> = shard.rows.map.keys().cloned().collect();
            if let Some(key) = keys.get(damage % keys.len().max(1)) {
                shard.damage(key);
            }
        }
        for command in commands(&shard, &tasks, pick, tasks_max) {
            let rounds = assert_same(&mut shard, &command, &known);
            prop_assert!(rounds <= ROUNDS_MAX, "{rounds} rounds for {command:?}");
        }
    }
}

#[test]
fn nothing_known_takes_few_rounds_however_many_priorities_a_tenant_uses() {
    let mut shard = Shard::new();
    for priority in 0..60 {
        let mut enqueue = plain(&format!("j{priority}"));
        enqueue.queue = queue("g", priority);
        shard.enqueue(enqueue);
    }
    let rounds = assert_same(&mut shard, &lease("g", 100), &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds} rounds");
}

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
fn nothing_known_takes_few_rounds_to_make_a_damaged_line_anew() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..300 {
        let keys = [("a", 1), (["b", "c", "d"][number % 3], 1)];
        shard.enqueue(limited(&format!("j{number}"), &keys));
    }
    let lines: Vec<Key> = shard.image().lines.keys().map(Lines::key).collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        shard.damage(&line);
    }
    let recount = Command::RecountLimits(tenant("t"));
    let rounds = assert_same(&mut shard, &recount, &[false]);
    assert!(rounds <= SEARCH_ROUNDS_MAX, "{rounds} rounds");
}

#[test]
fn nothing_known_takes_few_rounds_however_unequal_tenants_are() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for tenant in 0..50 {
        let jobs = if tenant == 0 { 300 } else { 1 };
        for number in 0..jobs {
            shard.enqueue(of_tenant(&format!("t{tenant}"), &format!("j{number}")));
        }
    }
    let rounds = assert_same(&mut shard, &lease("g", 200), &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds} rounds");
}

#[test]
fn a_row_that_matches_no_job_has_nobody_elses_rows_loaded() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for tenant in 0..50 {
        for id in ["a", "b"] {
            shard.enqueue(of_tenant(&format!("t{tenant:02}"), id));
        }
    }
    // The first job of whoever is first is gone; its row in the queue is met, and the next is read.
    shard.rows.map.remove(&States::key(&job("t00", "a")));
    let mut view = Partial {
        rows: &shard.rows,
        keys: BTreeSet::new(),
        intervals: Vec::new(),
    };
    let stamp = shard.clone().stamp();
    let decision = loop {
        match decide(&shard.soft, &view, &stamp, &lease("g", 1)) {
            Ok(decision) => break decision,
            Err(need) => view.load(&need),
        }
    };
    let tasks = leased(decision.reply);
    assert_eq!((tasks.len(), tasks[0].job.as_str()), (1, "b"));
    let loaded = view.keys.len() + view.intervals.len();
    assert!(loaded < 10, "{loaded} rows and ranges for one task");
}

#[test]
fn a_report_on_an_attempt_that_never_was_is_answered_from_the_state_alone() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    let task = TaskId {
        tenant: key.tenant.clone(),
        job: key.job.clone(),
        attempt: 7,
        nonce: 1,
    };
    let stamp = shard.stamp();
    let state = BTreeSet::from([States::key(&key)]);
    let (decision, rounds) = judge(&shard, state, &stamp, &report(&task, success()));
    assert_eq!(decision.reply, gone(&task, Gone::Unknown));
    assert_eq!(rounds, 0, "nothing else is read");
}

#[test]
fn nothing_is_loaded_for_a_lease_of_no_tasks() {
    let mut shard = Shard::new();
    shard.enqueue(plain("j"));
    assert_eq!(assert_same(&mut shard, &lease("g", 0), &[false]), 0);
}

/// A job with this many attempts that ended, which waits for its next.
fn with_attempts(shard: &mut Shard, attempts: u32) -> JobKey {
    let key = shard.enqueue(retrying("j", attempts));
    for _ in 0..attempts {
        let task = leased(shard.run(&lease_job(&key))).remove(0);
        shard.run(&report(&task, failure()));
    }
    key
}

#[test]
fn nothing_known_takes_few_rounds_however_many_attempts_a_job_has_had() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let key = with_attempts(&mut shard, 100);
    let shown: Vec<_> = shard.view(&key).attempts;
    let again = |shown: &silo_core::shard::reply::AttemptView| ImportAttempt {
        started_at: shown.attempt.started_at,
        finished_at: shown.attempt.end.as_ref().unwrap().at,
        how: failed_import(),
    };
    let mut given = imported("j", shown.iter().map(again).collect());
    given.attempts.push(attempted(1, failed_import()));
    let import = Command::Import(Import { jobs: vec![given] });
    for is_set_aside in [false, true] {
        if is_set_aside {
            shard.damage(&Attempts::key(&AttemptKey::of(&key, 50)));
            shard.run(&get(&key));
        }
        for command in [
            import.clone(),
            get(&key),
            Command::Restart(key.clone()),
            Command::Delete(key.clone()),
        ] {
            let rounds = assert_same(&mut shard, &command, &[false]);
            assert!(rounds <= ROUNDS_MAX, "{rounds} rounds for {command:?}");
        }
    }
    assert_eq!(
        shard.run(&Command::Restart(key.clone())),
        Reply::Restarted,
        "it had been set aside"
    );
}

#[test]
fn nothing_known_takes_few_rounds_however_few_of_the_jobs_are_listed() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..700 {
        let key = shard.enqueue(of_tenant("t", &format!("j{number:03}")));
        if number % 100 == 0 {
            shard.cancel(&key);
        }
    }
    let all = Command::List(list("t", 500));
    let rounds = assert_same(&mut shard, &all, &[false]);
    assert!(rounds <= ROUNDS_MAX, "{rounds} rounds for many");
    let few = List {
        statuses: [Status::Cancelled].into(),
        ..list("t", 500)
    };
    let rounds = assert_same(&mut shard, &Command::List(few), &[false]);
    assert_eq!(rounds, 2, "the states, and what belongs to the few");
}

#[test]
fn descriptions_are_loaded_as_a_range_where_that_is_cheap_and_never_many_at_once() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..700 {
        let key = shard.enqueue(of_tenant("t", &format!("j{number:03}")));
        if number % 100 == 0 {
            shard.cancel(&key);
        }
    }
    let stamp = shard.stamp();
    let need = |list: List| {
        let states = list.range();
        let view = Partial {
            rows: &shard.rows,
            keys: BTreeSet::new(),
            intervals: vec![states],
        };
        let decision = decide(&shard.soft, &view, &stamp, &Command::List(list));
        decision.expect_err("descriptions are not known").items
    };
    let many = need(list("t", 500));
    assert!(
        matches!(many.as_slice(), [NeedItem::Range { limit: 128, .. }]),
        "{many:?}"
    );
    let few = List {
        statuses: [Status::Cancelled].into(),
        ..list("t", 500)
    };
    let few = need(few);
    let is_row = |item: &NeedItem| matches!(item, NeedItem::Row(_));
    assert!(few.len() == 7 && few.iter().all(is_row), "{few:?}");
    let one = need(list("t", 1));
    assert!(one.len() == 1 && one.iter().all(is_row), "{one:?}");
}

proptest! {
    #![proptest_config(config())]

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
    let task = leased(shard.run(&lease_job(&hot))).remove(0);
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
