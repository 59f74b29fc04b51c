//! `silo job explain`.

use clap::Parser;
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::proto::explain_job_response::Explanation;
use silo_runtime::proto::{
    DueBecause, ExplainJobResponse, LimitObstacle, LimitOfJob, PausedBy, WaitsForLimits,
};

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::job::each::Ids;
use crate::job::shape::Status;
use crate::limit::view::{Count, Holder};
use crate::moment::shown;
use crate::output::{Output, Show};
use crate::table::{facts, table};

/// Say why jobs do not run, or that they do.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    ids: Ids,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// Why a job does not run, or that it does. Absent values are null.
#[derive(Debug, Serialize)]
struct Explained {
    id: String,
    task_group: String,
    priority: u32,
    #[serde(flatten)]
    why: Why,
}

#[derive(Debug, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
enum Why {
    NotDue {
        until_ms: i64,
        because: &'static str,
    },
    Ready {
        since_ms: i64,
        before: Count,
        of: u64,
        workers_waiting: u32,
        paused_by: Option<&'static str>,
    },
    Waits(Waits),
    Running {
        worker_id: String,
        since_ms: i64,
        attempt_number: u32,
        cancel_asked_at_ms: Option<i64>,
    },
    Ended {
        status: Status,
        at_ms: i64,
        end_code: Option<String>,
    },
    Quarantined {
        at_ms: i64,
        reason: String,
    },
    /// The server is newer than this command.
    Unknown,
}

#[derive(Debug, Serialize)]
struct Waits {
    since_ms: i64,
    expedited: bool,
    limit_key: String,
    limits: Vec<OfJob>,
    before: Count,
    of: u64,
    sets_before: Count,
    has_ticket: bool,
    to_be_searched: bool,
    holders: Vec<Holder>,
}

/// A limit of a job that waits.
#[derive(Debug, Serialize)]
struct OfJob {
    key: String,
    held: u32,
    slots: u32,
    obstacle: &'static str,
    kept_for_id: Option<String>,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let act = async |id: &str| {
            let told = client.explain(id).await;
            Ok(told.map_err(CallFailed::of(format!("explain job {id}")))?)
        };
        self.ids
            .each(output, act, |told, output| {
                output.show(&Explained::new(told))?;
                Ok(Exit::Done)
            })
            .await
    }
}

impl Explained {
    fn new(told: ExplainJobResponse) -> Self {
        Self {
            id: told.id,
            task_group: told.task_group,
            priority: told.priority,
            why: told.explanation.map_or(Why::Unknown, Why::new),
        }
    }

    fn text_of_ready(&self, before: Count, of: u64, workers: u32) -> String {
        let workers = match workers {
            0 => "no worker waits for one: none asks for this group, or all are busy".to_owned(),
            1 => "1 worker waits for one".to_owned(),
            more => format!("{more} workers wait for one"),
        };
        format!(
            "it is ready: {} come before it, of {of} of its tenant that are ready in task group \
             {}; {workers}",
            before.text(),
            self.task_group
        )
    }
}

impl Why {
    fn new(explanation: Explanation) -> Self {
        match explanation {
            Explanation::NotDue(told) => Self::NotDue {
                because: match told.because() {
                    DueBecause::Start => "start",
                    DueBecause::BackOff => "back_off",
                    DueBecause::Snooze => "snooze",
                },
                until_ms: told.until_ms,
            },
            Explanation::Ready(told) => Self::Ready {
                since_ms: told.since_ms,
                before: Count::new(told.before),
                of: told.of,
                workers_waiting: told.workers_waiting,
                paused_by: match told.paused_by() {
                    PausedBy::Nothing => None,
                    PausedBy::Tenant => Some("tenant"),
                    PausedBy::QueueOfTenant => Some("queue_of_tenant"),
                    PausedBy::Queue => Some("queue"),
                },
            },
            Explanation::Waits(told) => Self::Waits(Waits::new(told)),
            Explanation::Running(told) => Self::Running {
                worker_id: told.worker_id,
                since_ms: told.since_ms,
                attempt_number: told.attempt_number,
                cancel_asked_at_ms: told.cancel_asked_at_ms,
            },
            Explanation::Ended(told) => Self::Ended {
                status: told.status().into(),
                at_ms: told.at_ms,
                end_code: told.end_code,
            },
            Explanation::Quarantined(told) => Self::Quarantined {
                at_ms: told.at_ms,
                reason: told.reason,
            },
        }
    }
}

impl Waits {
    fn new(told: WaitsForLimits) -> Self {
        Self {
            since_ms: told.since_ms,
            expedited: told.expedited,
            limit_key: told.limit_key,
            limits: told.limits.into_iter().map(OfJob::new).collect(),
            before: Count::new(told.before),
            of: told.of,
            sets_before: Count::new(told.sets_before),
            has_ticket: told.has_ticket,
            to_be_searched: told.to_be_searched,
            holders: told.holders.into_iter().map(Holder::new).collect(),
        }
    }

    fn text(&self) -> String {
        let yes = |is_so: bool, text: &str| is_so.then(|| text.to_owned());
        let before = format!(
            "{} of {} that want the same limits, and {} other sets of jobs",
            self.before.text(),
            self.of,
            self.sets_before.text()
        );
        let mut text = facts(&[
            ("waits for", Some(format!("limit {}", self.limit_key))),
            ("since", Some(shown(self.since_ms))),
            ("before it", Some(before)),
            (
                "expedited",
                yes(self.expedited, "it goes before all that are not"),
            ),
            (
                "ticket",
                yes(
                    self.has_ticket,
                    "a slot of each of these limits is kept for the first of them",
                ),
            ),
            (
                "search",
                yes(
                    self.to_be_searched,
                    "it is still to be looked at: that happens by itself",
                ),
            ),
        ]);
        text.push_str("\n\n");
        let header = ["LIMIT", "HELD", "SLOTS", "STATE"];
        text.push_str(&table(header, self.limits.iter().map(OfJob::row)));
        if !self.holders.is_empty() {
            text.push_str("\n\n");
            text.push_str(&table(Holder::HEADER, self.holders.iter().map(Holder::row)));
        }
        text
    }
}

impl OfJob {
    fn new(limit: LimitOfJob) -> Self {
        let obstacle = match limit.obstacle() {
            LimitObstacle::None => "none",
            LimitObstacle::Full => "full",
            LimitObstacle::Kept => "kept",
            LimitObstacle::Paused => "paused",
            LimitObstacle::MaximumZero => "maximum_zero",
            LimitObstacle::Damaged => "damaged",
        };
        Self {
            key: limit.key,
            held: limit.held,
            slots: limit.slots,
            obstacle,
            kept_for_id: limit.kept_for_id,
        }
    }

    fn row(&self) -> [String; 4] {
        let state = match (self.obstacle, &self.kept_for_id) {
            ("none", _) => "has a slot for it".to_owned(),
            ("kept", Some(id)) => format!("the last slot is kept for job {id}"),
            ("kept", None) => "the last slot is kept for another job".to_owned(),
            ("paused", _) => "paused by an operator".to_owned(),
            ("maximum_zero", _) => "the newest enqueue said 0".to_owned(),
            ("damaged", _) => "damaged: `silo limit recount` makes it anew".to_owned(),
            (other, _) => other.to_owned(),
        };
        [
            self.key.clone(),
            self.held.to_string(),
            self.slots.to_string(),
            state,
        ]
    }
}

impl Show for Explained {
    fn text(&self) -> String {
        let why = match &self.why {
            Why::NotDue { until_ms, because } => {
                let because = match *because {
                    "start" => "its start",
                    "back_off" => "the back-off after an attempt",
                    _ => "its worker wants it back then",
                };
                format!("it is not due until {}: {because}", shown(*until_ms))
            }
            Why::Ready {
                paused_by: Some(by),
                ..
            } => {
                let what = match *by {
                    "tenant" => "its tenant is paused".to_owned(),
                    "queue" => format!("task group {} is paused", self.task_group),
                    _ => format!("task group {} is paused for its tenant", self.task_group),
                };
                format!("it is ready, and {what}")
            }
            Why::Ready {
                before,
                of,
                workers_waiting,
                ..
            } => self.text_of_ready(*before, *of, *workers_waiting),
            Why::Waits(waits) => return format!("job {}\n{}", self.id, waits.text()),
            Why::Running {
                worker_id,
                since_ms,
                attempt_number,
                cancel_asked_at_ms,
            } => {
                let since = shown(*since_ms);
                let stop = cancel_asked_at_ms.map_or_else(String::new, |at| {
                    format!("; it was asked to stop at {}", shown(at))
                });
                format!("{worker_id} runs it since {since}, attempt {attempt_number}{stop}")
            }
            Why::Ended { status, at_ms, .. } => {
                format!("it has ended: {} at {}", status.word(), shown(*at_ms))
            }
            Why::Quarantined { at_ms, reason } => {
                format!("it is quarantined since {}: {reason}", shown(*at_ms))
            }
            Why::Unknown => "the server says what this command does not know".to_owned(),
        };
        format!("job {}: {}", self.id, crate::output::on_one_line(&why))
    }
}
