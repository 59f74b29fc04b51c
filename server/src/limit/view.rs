//! A limit, who holds its slots and who waits, as they are shown.

use serde::Serialize;
use silo_runtime::proto;

use crate::moment::shown;
use crate::output::Show;
use crate::table::facts;

/// How many there are, counted as far as a bounded look goes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Count {
    pub(crate) number: u64,
    pub(crate) at_least: bool,
}

impl Count {
    pub(crate) fn new(count: Option<proto::Count>) -> Self {
        let proto::Count { number, at_least } = count.unwrap_or_default();
        Self { number, at_least }
    }

    pub(crate) fn text(self) -> String {
        let Self { number, at_least } = self;
        if at_least {
            format!("at least {number}")
        } else {
            number.to_string()
        }
    }
}

/// A limit as it stands. Absent values are null.
#[derive(Debug, Serialize)]
pub(crate) struct LimitView {
    key: String,
    kind: &'static str,
    pub(crate) held: u32,
    slots: u32,
    max_concurrency: u32,
    set_max_concurrency: Option<u32>,
    paused: bool,
    waiting: Count,
    first_waiting_id: Option<String>,
    first_waits_since_ms: Option<i64>,
    tickets: u32,
    to_be_searched: bool,
}

impl LimitView {
    pub(crate) fn new(limit: proto::LimitView) -> Self {
        let kind = match limit.kind() {
            proto::LimitKind::Concurrency => "concurrency",
        };
        Self {
            key: limit.key,
            kind,
            held: limit.held,
            slots: limit.slots,
            max_concurrency: limit.max_concurrency,
            set_max_concurrency: limit.set_max_concurrency,
            paused: limit.paused,
            waiting: Count::new(limit.waiting),
            first_waiting_id: limit.first_waiting_id,
            first_waits_since_ms: limit.first_waits_since_ms,
            tickets: limit.tickets,
            to_be_searched: limit.to_be_searched,
        }
    }

    /// What is not as enqueues say.
    fn said(&self) -> String {
        match (self.paused, self.set_max_concurrency) {
            (true, Some(set)) => format!("paused, set to {set}"),
            (true, None) => "paused".to_owned(),
            (false, Some(set)) => format!("set to {set}"),
            (false, None) => String::new(),
        }
    }

    pub(crate) const HEADER: [&'static str; 6] =
        ["KEY", "HELD", "SLOTS", "WAITING", "FIRST SINCE", "OPERATOR"];

    pub(crate) fn row(&self) -> [String; 6] {
        [
            self.key.clone(),
            self.held.to_string(),
            self.slots.to_string(),
            self.waiting.text(),
            self.first_waits_since_ms.map(shown).unwrap_or_default(),
            self.said(),
        ]
    }

    pub(crate) fn facts(&self) -> String {
        let said = Some(self.said()).filter(|said| !said.is_empty());
        let tickets = (self.tickets > 0).then(|| self.tickets.to_string());
        facts(&[
            ("key", Some(self.key.clone())),
            ("kind", Some(self.kind.to_owned())),
            ("held", Some(format!("{} of {}", self.held, self.slots))),
            ("enqueues say", Some(self.max_concurrency.to_string())),
            ("operator", said),
            ("waiting", Some(self.waiting.text())),
            ("first waits", self.first_waiting_id.clone()),
            ("since", self.first_waits_since_ms.map(shown)),
            ("tickets", tickets),
        ])
    }
}

impl Show for LimitView {
    fn text(&self) -> String {
        self.row().join(" ")
    }
}

/// A job that holds a slot.
#[derive(Debug, Serialize)]
pub(crate) struct Holder {
    id: String,
    task_group: String,
    priority: u32,
    since_ms: i64,
    /// Null while it is ready.
    worker_id: Option<String>,
}

impl Holder {
    pub(crate) fn new(holder: proto::LimitHolder) -> Self {
        Self {
            id: holder.id,
            task_group: holder.task_group,
            priority: holder.priority,
            since_ms: holder.since_ms,
            worker_id: holder.worker_id,
        }
    }

    pub(crate) const HEADER: [&'static str; 4] = ["HOLDS A SLOT", "TASK GROUP", "WORKER", "SINCE"];

    pub(crate) fn row(&self) -> [String; 4] {
        let ready = || "(ready)".to_owned();
        [
            self.id.clone(),
            self.task_group.clone(),
            self.worker_id.clone().unwrap_or_else(ready),
            shown(self.since_ms),
        ]
    }
}

/// A job that waits for a slot.
#[derive(Debug, Serialize)]
pub(crate) struct Waiter {
    id: String,
    priority: u32,
    since_ms: i64,
    expedited: bool,
    has_ticket: bool,
}

impl Waiter {
    pub(crate) fn new(waiter: proto::LimitWaiter) -> Self {
        Self {
            id: waiter.id,
            priority: waiter.priority,
            since_ms: waiter.since_ms,
            expedited: waiter.expedited,
            has_ticket: waiter.has_ticket,
        }
    }

    pub(crate) const HEADER: [&'static str; 4] = ["WAITS", "PRIORITY", "SINCE", ""];

    pub(crate) fn row(&self) -> [String; 4] {
        let notes = [
            self.expedited.then_some("expedited"),
            self.has_ticket.then_some("a slot is kept"),
        ];
        let notes: Vec<_> = notes.into_iter().flatten().collect();
        [
            self.id.clone(),
            self.priority.to_string(),
            shown(self.since_ms),
            notes.join(", "),
        ]
    }
}
