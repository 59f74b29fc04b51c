//! `silo job list`.

use clap::Parser;
use clap::builder::BoolishValueParser;
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::client::list::JobFilter;
use silo_runtime::proto::ListedJob;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::job::shape::Status;
use crate::moment::shown;
use crate::output::{Output, Show, say, warn};
use crate::table::table;

/// Jobs that one call asks for, at most.
const PAGE_SIZE: u32 = 1000;

/// List jobs in the order of their ids.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// Only jobs of this status. May be given several times.
    #[arg(long, value_enum, env = "SILO_LIST_STATUS", value_delimiter = ',')]
    status: Vec<Status>,

    /// Only jobs of this task group.
    #[arg(long, value_name = "GROUP", env = "SILO_TASK_GROUP")]
    task_group: Option<String>,

    /// Only jobs whose id begins so.
    #[arg(long, value_name = "TEXT", env = "SILO_LIST_PREFIX")]
    prefix: Option<String>,

    /// No more than so many.
    #[arg(long, value_name = "N", env = "SILO_LIST_LIMIT", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "all")]
    limit: u64,

    /// All that there are.
    #[arg(long, env = "SILO_LIST_ALL", value_parser = BoolishValueParser::new())]
    all: bool,

    /// As text: their ids alone, for `silo job cancel -` and the like.
    #[arg(long, env = "SILO_LIST_IDS", value_parser = BoolishValueParser::new())]
    ids: bool,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    task_group: String,
    status: Status,
    priority: u32,
    enqueue_time_ms: i64,
    status_changed_at_ms: i64,
    next_attempt_starts_after_ms: Option<i64>,
    attempt_number: u32,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let mut left = if self.all { u64::MAX } else { self.limit };
        // One more tells whether there are more.
        let page_size = u32::try_from(left.saturating_add(1)).unwrap_or(u32::MAX);
        let statuses = self.status.iter().map(|status| (*status).into());
        let mut pages = client.jobs(JobFilter {
            statuses: statuses.collect(),
            task_group: self.task_group.clone(),
            id_prefix: self.prefix.clone(),
            page_size: Some(page_size.min(PAGE_SIZE)),
        });
        let mut is_first = true;
        let mut has_more = false;
        while let Some(jobs) = pages
            .next_page()
            .await
            .map_err(CallFailed::of("list jobs"))?
        {
            let count = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
            has_more = count > left;
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let jobs: Vec<_> = jobs.into_iter().take(most).map(Listed::new).collect();
            self.show(&jobs, output, is_first)?;
            left = left.saturating_sub(count);
            is_first = false;
            if has_more {
                break;
            }
        }
        if has_more {
            warn(
                output,
                "there are more: --limit and --all show them".to_owned(),
            );
        }
        if pages.skipped() > 0 {
            warn(
                output,
                format!(
                    "{} jobs are left out, their rows are damaged: see `silo job quarantined`",
                    pages.skipped()
                ),
            );
        }
        Ok(Exit::Done)
    }

    fn show(&self, jobs: &[Listed], output: Output, is_first: bool) -> miette::Result<()> {
        if output == Output::Json {
            return Ok(jobs.iter().try_for_each(|job| output.show(job))?);
        }
        if jobs.is_empty() {
            return Ok(());
        }
        if self.ids {
            return Ok(jobs.iter().try_for_each(|job| say(&job.id))?);
        }
        let header = [
            "ID",
            "TASK GROUP",
            "STATUS",
            "SINCE",
            "PRIORITY",
            "ATTEMPT",
            "STARTS",
        ];
        let text = table(header, jobs.iter().map(Listed::row));
        let text = if is_first {
            text.as_str()
        } else {
            text.split_once('\n')
                .map(|(_, rows)| rows)
                .unwrap_or_default()
        };
        Ok(say(text)?)
    }
}

impl Listed {
    fn new(job: ListedJob) -> Self {
        Self {
            status: job.status().into(),
            id: job.id,
            task_group: job.task_group,
            priority: job.priority,
            enqueue_time_ms: job.enqueue_time_ms,
            status_changed_at_ms: job.status_changed_at_ms,
            next_attempt_starts_after_ms: job.next_attempt_starts_after_ms,
            attempt_number: job.attempt_number,
        }
    }

    fn row(&self) -> [String; 7] {
        [
            self.id.clone(),
            self.task_group.clone(),
            self.status.word().to_owned(),
            shown(self.status_changed_at_ms),
            self.priority.to_string(),
            self.attempt_number.to_string(),
            self.next_attempt_starts_after_ms
                .map(shown)
                .unwrap_or_default(),
        ]
    }
}

impl Show for Listed {
    fn text(&self) -> String {
        self.row().join(" ")
    }
}
