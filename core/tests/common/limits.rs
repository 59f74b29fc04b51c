//! Short ways to say what operators say of limits, and to ask for what they see.

use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::list_limits::ListLimits;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::show_limit::ShowLimit;
use silo_core::shard::limits::search::PASSES_MAX;
use silo_core::shard::reply::{Reply, Task};
use silo_core::shard::seen::{Count, Explanation, LimitPage, LimitShown, LimitView, Wait};
use silo_core::table::limit::{LimitName, LimitRow};
use silo_core::table::line::LineName;
use silo_core::table::state::Position;

use crate::common::{Shard, group, job, limit_key, limited, success, tenant};

pub fn name(key: &str) -> LimitName {
    LimitName {
        tenant: tenant("t"),
        key: limit_key(key),
    }
}

pub fn row(shard: &Shard, key: &str) -> Option<LimitRow> {
    shard.image().limits.get(&name(key)).cloned()
}

pub fn set(shard: &mut Shard, key: &str, change: LimitChange) {
    let limit = name(key);
    let reply = shard.run(&Command::SetLimit(SetLimit { limit, change }));
    assert_eq!(reply, Reply::LimitSet);
}

pub fn enqueue(shard: &mut Shard, ids: &[&str], limits: &[(&str, u32)]) {
    for id in ids {
        shard.enqueue(limited(id, limits));
    }
}

pub fn is_parked(shard: &Shard, id: &str) -> bool {
    matches!(shard.state(&job("t", id)).position, Position::Parked { .. })
}

pub fn is_ready(shard: &Shard, id: &str) -> bool {
    matches!(shard.state(&job("t", id)).position, Position::Ready(_))
}

pub fn succeed(shard: &mut Shard, task: &Task) {
    assert_eq!(shard.report(&task.id, success()), Reply::Reported);
}

/// Asks for something that changes nothing.
pub fn ask(shard: &mut Shard, command: &Command) -> Reply {
    let before = shard.rows.clone();
    let reply = shard.run(command);
    assert!(shard.rows == before && shard.changes.is_empty());
    reply
}

pub fn page(shard: &mut Shard, prefix: &str, after: Option<&str>, limits_max: u32) -> LimitPage {
    let list = ListLimits {
        tenant: tenant("t"),
        prefix: prefix.to_owned(),
        after: after.map(limit_key),
        limits_max,
    };
    match ask(shard, &Command::ListLimits(list)) {
        Reply::Limits(page) => page,
        other => panic!("{other:?}"),
    }
}

pub fn show(shard: &mut Shard, show: ShowLimit) -> LimitShown {
    match ask(shard, &Command::ShowLimit(show)) {
        Reply::Limit(shown) => *shown,
        other => panic!("{other:?}"),
    }
}

/// A limit with at most so many jobs of each kind.
pub fn shown(shard: &mut Shard, key: &str, jobs_max: u32) -> LimitShown {
    let of = ShowLimit {
        limit: name(key),
        holders_max: jobs_max,
        holders_after: None,
        waiters_max: jobs_max,
    };
    show(shard, of)
}

pub fn view(shard: &mut Shard, key: &str) -> LimitView {
    shown(shard, key, 0).limit.expect("a limit in use")
}

pub fn explain(shard: &mut Shard, id: &str) -> Explanation {
    match ask(shard, &Command::Explain(job("t", id))) {
        Reply::Explained(queue, explanation) => {
            assert_eq!(queue.group, group("g"));
            explanation
        }
        other => panic!("{other:?}"),
    }
}

pub fn waits(shard: &mut Shard, id: &str) -> Wait {
    match explain(shard, id) {
        Explanation::Waits(wait) => *wait,
        other => panic!("{other:?}"),
    }
}

pub fn recount(shard: &mut Shard) -> u64 {
    match shard.run(&Command::RecountLimits(tenant("t"))) {
        Reply::Recounted { differed } => differed,
        other => panic!("{other:?}"),
    }
}

pub fn exactly(number: u64) -> Count {
    Count {
        number,
        is_exact: true,
    }
}

/// The line in which a job waits.
pub fn line_of(shard: &Shard, id: &str) -> LineName {
    let Position::Parked { line, .. } = shard.state(&job("t", id)).position else {
        panic!("{id} does not wait");
    };
    LineName {
        tenant: tenant("t"),
        id: line,
    }
}

/// A line of these jobs, which want both, has a ticket; one runs at each of the two.
pub fn with_ticket(shard: &mut Shard, of_line: Vec<Enqueue>) -> Vec<Task> {
    enqueue(shard, &["a0"], &[("a", 1)]);
    enqueue(shard, &["b0"], &[("b", 1)]);
    let mut tasks = shard.lease(9);
    for job in of_line {
        shard.enqueue(job);
    }
    for number in 1..=PASSES_MAX + 4 {
        enqueue(shard, &[&format!("a{number}")], &[("a", 1)]);
        enqueue(shard, &[&format!("b{number}")], &[("b", 1)]);
    }
    while !shard
        .image()
        .lines
        .values()
        .any(|line| line.ticket.is_some())
    {
        let task = tasks.remove(0);
        succeed(shard, &task);
        tasks.extend(shard.lease(9));
    }
    assert_eq!(tasks.len(), 2);
    tasks
}
