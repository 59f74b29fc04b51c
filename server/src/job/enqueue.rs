//! `silo job enqueue`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::builder::BoolishValueParser;
use clap::{ArgGroup, Parser};
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::payload::NIL;
use silo_runtime::proto;

use crate::connect::Connect;
use crate::data::from_json;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::input::{self, InputError};
use crate::job::lines;
use crate::job::shape::{Jitter, Limit, RetryPolicy};
use crate::job::wait;
use crate::moment;
use crate::output::{Output, Show};

/// Enqueue a job, or many, and print their ids once they are durable.
///
/// The payload is JSON: an argument, a file, or standard input. Without one it is null.
#[derive(Clone, Debug, Parser)]
#[command(group = ArgGroup::new("source"))]
pub(crate) struct Args {
    /// The payload as JSON; `-` reads it from standard input.
    #[arg(value_name = "JSON", group = "source", allow_hyphen_values = true)]
    payload: Option<String>,

    /// Read the payload from this file, as JSON.
    #[arg(long, value_name = "FILE", env = "SILO_ENQUEUE_FILE", group = "source")]
    file: Option<PathBuf>,

    /// Read the payload from this file (`-`: standard input), as MessagePack, and send it as it is.
    #[arg(
        long,
        value_name = "FILE",
        env = "SILO_ENQUEUE_MSGPACK",
        group = "source"
    )]
    msgpack: Option<PathBuf>,

    /// Read one payload a line from standard input, as JSON, and enqueue a job for each.
    #[arg(long, env = "SILO_ENQUEUE_LINES", group = "source",
          value_parser = BoolishValueParser::new(), conflicts_with_all = ["id", "request_id"])]
    lines: bool,

    /// Read one job a line from standard input, as a JSON object: what it does not say the flags
    /// do.
    #[arg(long, env = "SILO_ENQUEUE_JOBS", group = "source",
          value_parser = BoolishValueParser::new(), conflicts_with_all = ["id", "request_id"])]
    jobs: bool,

    /// With --lines or --jobs: take all of them, at most 1,000, or none.
    #[arg(long, env = "SILO_ENQUEUE_ATOMIC", value_parser = BoolishValueParser::new())]
    atomic: bool,

    /// Wait for the job's end and print its result; ends as `silo job result` does.
    #[arg(long, env = "SILO_ENQUEUE_WAIT", value_parser = BoolishValueParser::new(),
          conflicts_with_all = ["lines", "jobs"])]
    wait: bool,

    #[command(flatten)]
    template: Template,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// What a job asks for besides its payload.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Job")]
pub(crate) struct Template {
    /// Which workers take the job: 1 to 64 characters.
    #[arg(
        long,
        value_name = "GROUP",
        env = "SILO_TASK_GROUP",
        required_unless_present = "jobs"
    )]
    task_group: Option<String>,

    /// The job's id, unique while the job exists. Without one the server makes one.
    #[arg(long, value_name = "ID", env = "SILO_ENQUEUE_ID")]
    id: Option<String>,

    /// Names this very wish: enqueuing again with the same gives the same job. A UUID, or 32 hex
    /// digits.
    #[arg(long, value_name = "UUID", env = "SILO_ENQUEUE_REQUEST_ID")]
    request_id: Option<uuid::Uuid>,

    /// 0 (first) to 99 (last).
    #[arg(long, value_name = "N", env = "SILO_ENQUEUE_PRIORITY", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(0..=99))]
    priority: u32,

    /// Start no earlier than this: RFC 3339, or ms since the epoch.
    #[arg(long, value_name = "TIME", env = "SILO_ENQUEUE_START_AT",
          value_parser = moment::parse, conflicts_with = "delay", allow_hyphen_values = true)]
    start_at: Option<i64>,

    /// Start no earlier than in this time, like 90s or "1h 30m".
    #[arg(long, value_name = "TIME", env = "SILO_ENQUEUE_DELAY",
          value_parser = humantime::parse_duration)]
    delay: Option<Duration>,

    /// Pairs handed to the worker, at most 16. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", env = "SILO_ENQUEUE_METADATA", value_parser = pair)]
    metadata: Vec<(String, String)>,

    /// At most MAX jobs at once of those with the same KEY. May be given several times, at most 16:
    /// the job runs when all of them have a slot for it.
    #[arg(long, value_name = "KEY=MAX", env = "SILO_ENQUEUE_LIMIT", value_parser = limit)]
    limit: Vec<(String, u32)>,

    /// Retries after a first attempt that failed.
    #[arg(
        long,
        value_name = "N",
        env = "SILO_ENQUEUE_RETRIES",
        default_value_t = 0
    )]
    retries: u32,

    /// How long to wait before the first retry.
    #[arg(long, value_name = "TIME", env = "SILO_ENQUEUE_RETRY_INITIAL", default_value = "1s",
          value_parser = humantime::parse_duration)]
    retry_initial: Duration,

    /// The longest wait before a retry; 0s: no bound.
    #[arg(long, value_name = "TIME", env = "SILO_ENQUEUE_RETRY_MAX", default_value = "1h",
          value_parser = humantime::parse_duration)]
    retry_max: Duration,

    /// What each further wait is multiplied with.
    #[arg(
        long,
        value_name = "X",
        env = "SILO_ENQUEUE_RETRY_FACTOR",
        default_value_t = 2.0
    )]
    retry_factor: f64,

    /// How random the waits are.
    #[arg(long, value_enum, env = "SILO_ENQUEUE_RETRY_JITTER", default_value_t)]
    retry_jitter: Jitter,

    /// Lost leases in a row that the job survives. Without it the server says.
    #[arg(long, value_name = "N", env = "SILO_ENQUEUE_MAX_CRASHES")]
    max_crashes: Option<u32>,

    /// How long its leases are, in milliseconds. Without it the worker or the server says.
    #[arg(long, value_name = "MS", env = "SILO_ENQUEUE_LEASE_MS")]
    lease_ms: Option<u32>,

    /// How long it stays after it succeeded. Without it the server says.
    #[arg(long, value_name = "TIME", env = "SILO_ENQUEUE_RETAIN_SUCCEEDED",
          value_parser = humantime::parse_duration)]
    retain_succeeded: Option<Duration>,

    /// How long it stays after it failed. Without it the server says.
    #[arg(long, value_name = "TIME", env = "SILO_ENQUEUE_RETAIN_FAILED",
          value_parser = humantime::parse_duration)]
    retain_failed: Option<Duration>,

    /// How long it stays after it was cancelled. Without it the server says.
    #[arg(long, value_name = "TIME", env = "SILO_ENQUEUE_RETAIN_CANCELLED",
          value_parser = humantime::parse_duration)]
    retain_cancelled: Option<Duration>,
}

#[derive(Serialize)]
struct Enqueued {
    id: String,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        self.template.check()?;
        if self.lines || self.jobs {
            let shape = if self.jobs {
                lines::Shape::Jobs
            } else {
                lines::Shape::Payloads
            };
            let batch = lines::Batch {
                client: &client,
                template: &self.template,
                shape,
                output,
            };
            return if self.atomic {
                batch.all_or_none().await
            } else {
                batch.each().await
            };
        }
        let payload = self.payload()?;
        let id = client.enqueue(self.template.job(payload)).await;
        let id = id.map_err(CallFailed::of("enqueue the job"))?;
        if self.wait {
            return wait::for_end(&client, &id, Duration::MAX)
                .await?
                .show(output);
        }
        output.show(&Enqueued { id })?;
        Ok(Exit::Done)
    }

    fn payload(&self) -> Result<Bytes, InputError> {
        if let Some(path) = &self.msgpack {
            return Ok(input::read(path)?.into());
        }
        let (what, json) = match (&self.payload, &self.file) {
            (Some(text), _) if text != "-" => ("the payload".to_owned(), text.clone().into_bytes()),
            (Some(_), _) => {
                let stdin = Path::new("-");
                (input::name(stdin), input::read(stdin)?)
            }
            (None, Some(path)) => (input::name(path), input::read(path)?),
            (None, None) => return Ok(NIL),
        };
        from_json(&json).map_err(|why| InputError::Json { what, why })
    }
}

impl Template {
    /// Checks what no flag shows alone.
    fn check(&self) -> Result<(), InputError> {
        let mut keys = BTreeSet::new();
        let twice = self.metadata.iter().find(|(key, _)| !keys.insert(key));
        match twice {
            Some((key, _)) => Err(InputError::Twice { key: key.clone() }),
            None => Ok(()),
        }
    }

    /// A job with this payload, and all else as the flags say.
    pub(crate) fn job(&self, payload: Bytes) -> Enqueue {
        let delayed = self
            .delay
            .map(|delay| moment::now_ms().saturating_add(moment::millis(delay)));
        let kept = |time: Option<Duration>| time.map(moment::millis);
        let retention = proto::Retention {
            succeeded_ms: kept(self.retain_succeeded),
            failed_ms: kept(self.retain_failed),
            cancelled_ms: kept(self.retain_cancelled),
        };
        Enqueue {
            id: self.id.clone(),
            task_group: self.task_group.clone().unwrap_or_default(),
            payload,
            priority: self.priority,
            start_at_ms: self.start_at.or(delayed),
            retry_policy: self.retry_policy(),
            limits: self.limits(),
            metadata: self.metadata.iter().cloned().collect(),
            max_crashes: self.max_crashes,
            lease_ms: self.lease_ms,
            retention: (retention != proto::Retention::default()).then_some(retention),
            request_id: self.request_id.map(uuid::Uuid::into_bytes),
        }
    }

    fn limits(&self) -> Vec<proto::Limit> {
        let limits = self.limit.iter().cloned();
        let limit = |(key, max_concurrency)| Limit::Concurrency {
            key,
            max_concurrency,
        };
        limits.map(|given| limit(given).into()).collect()
    }

    fn retry_policy(&self) -> Option<proto::RetryPolicy> {
        let policy = RetryPolicy {
            retry_count: self.retries,
            initial_interval_ms: moment::millis(self.retry_initial),
            max_interval_ms: moment::millis(self.retry_max),
            backoff_factor: self.retry_factor,
            jitter: self.retry_jitter,
        };
        (self.retries > 0).then(|| policy.into())
    }
}

impl Show for Enqueued {
    fn text(&self) -> String {
        self.id.clone()
    }
}

/// The key may have a `=`: the last one counts.
fn limit(text: &str) -> Result<(String, u32), String> {
    let pair = text.rsplit_once('=').filter(|(key, _)| !key.is_empty());
    let (key, max) = pair.ok_or("it must be KEY=MAX")?;
    let max = max.parse();
    let max = max.map_err(|error| format!("MAX must be a number of jobs: {error}"))?;
    Ok((key.to_owned(), max))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("it must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
