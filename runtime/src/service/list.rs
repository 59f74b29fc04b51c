//! `ListJobs`: a page of a tenant's jobs.
//!
//! A page is one command's answer, so it shows its jobs as they stood at one moment. Commands that
//! found nothing come before it, a bounded number of them: they have shown nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use silo_core::shard::command::Command;
use silo_core::shard::commands::list::{IdPrefix, JOBS_LISTED_MAX, List};
use silo_core::shard::reply::{ListedJob, Reply};
use silo_core::table::key::Key;
use silo_core::table::state::Status;
use silo_core::types::Invalid;
use silo_core::types::name::TaskGroup;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::node::Node;
use crate::proto::{self, JobStatus, ListJobsRequest, ListJobsResponse};
use crate::service::ask::ask;
use crate::service::bulk::STRANGE;
use crate::service::denial::Denial;
use crate::service::parse::Parser;
use crate::service::{route, write};

/// Jobs on a page, unless the caller says otherwise.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// Commands of one call, each of which looks at a thousand jobs at most.
const COMMANDS_MAX: u32 = 10;

/// Commands of all such calls together: what each looks at stays in its shard's memory until it is
/// answered.
const IN_FLIGHT_IN_ALL_MAX: usize = 16;

/// What bounds these calls, over all of them.
#[derive(Debug)]
pub(crate) struct Lists(Semaphore);

impl Default for Lists {
    fn default() -> Self {
        Self(Semaphore::new(IN_FLIGHT_IN_ALL_MAX))
    }
}

impl Lists {
    /// One more that looks at much; given back when it is dropped. Nobody closes it.
    pub(crate) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.0.acquire().await.ok()
    }
}

/// A page of a tenant's jobs.
///
/// # Errors
/// [`Denial`] when a field is out of bounds, or the shard does not answer.
pub(crate) async fn list_jobs(
    node: &Node,
    parser: &Parser,
    lists: &Lists,
    request: ListJobsRequest,
) -> Result<ListJobsResponse, Denial> {
    let mut list = parse(parser, &request)?;
    let shard = route::of_tenant(node, &request.shard, &list.tenant)?;
    let mut skipped: u32 = 0;
    for _ in 0..COMMANDS_MAX {
        let permit = lists.permit().await;
        let reply = ask(&shard, Command::List(list.clone())).await?;
        drop(permit);
        let Reply::Listed(page) = reply else {
            return Err(STRANGE);
        };
        skipped = skipped.saturating_add(page.skipped);
        list.after = page.next;
        if !page.jobs.is_empty() || list.after.is_none() {
            let jobs = page.jobs.into_iter().map(shown);
            let jobs = jobs.collect::<Result<_, _>>()?;
            return Ok(response(jobs, list.after, skipped));
        }
    }
    Ok(response(Vec::new(), list.after, skipped))
}

fn response(jobs: Vec<proto::ListedJob>, next: Option<Key>, skipped: u32) -> ListJobsResponse {
    ListJobsResponse {
        jobs,
        next_page_token: next.map_or_else(String::new, |key| URL_SAFE_NO_PAD.encode(key)),
        skipped,
    }
}

fn parse(parser: &Parser, request: &ListJobsRequest) -> Result<List, Denial> {
    let tenant = parser.tenancy.of_job(request.tenant.as_deref())?;
    let jobs_max = match request.page_size {
        0 => PAGE_SIZE_DEFAULT,
        size if size <= JOBS_LISTED_MAX => size,
        size => {
            let bound = format!("at most {JOBS_LISTED_MAX}");
            return Err(Invalid::new("page_size", size, bound).into());
        }
    };
    let statuses = request.statuses.iter().map(|status| parse_status(*status));
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let group = given(&request.task_group).map(|group| TaskGroup::parse(&group));
    let prefix = given(&request.id_prefix).map(|prefix| IdPrefix::parse(&prefix));
    let mut list = List {
        tenant,
        statuses: statuses.collect::<Result<_, _>>()?,
        group: group.transpose()?,
        prefix: prefix.transpose()?,
        after: None,
        jobs_max,
    };
    list.after = parse_token(&request.page_token, &list)?;
    Ok(list)
}

fn parse_status(number: i32) -> Result<Status, Invalid> {
    match JobStatus::try_from(number) {
        Ok(JobStatus::Scheduled) => Ok(Status::Scheduled),
        Ok(JobStatus::Running) => Ok(Status::Running),
        Ok(JobStatus::Succeeded) => Ok(Status::Succeeded),
        Ok(JobStatus::Failed) => Ok(Status::Failed),
        Ok(JobStatus::Cancelled) => Ok(Status::Cancelled),
        Err(_) => Err(Invalid::new("statuses", number, "a JobStatus")),
    }
}

/// Where a page of the same list ended: the row's key.
fn parse_token(text: &str, list: &List) -> Result<Option<Key>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let key = URL_SAFE_NO_PAD.decode(text).ok().map(Key::from);
    // Another list's: its answer would lack jobs, and nobody would know.
    match key.filter(|key| list.range().contains(key)) {
        Some(key) => Ok(Some(key)),
        None => {
            let bound = "as the last answer to the same request said";
            Err(Invalid::new("page_token", text.escape_debug(), bound))
        }
    }
}

fn shown(job: ListedJob) -> Result<proto::ListedJob, Denial> {
    let quarantined = Denial::Bug("a quarantined job was listed");
    let status = write::job::status(job.status).ok_or(quarantined)?;
    Ok(proto::ListedJob {
        id: job.job.as_str().to_owned(),
        task_group: job.queue.group.as_str().to_owned(),
        priority: job.queue.priority.get().into(),
        status: status.into(),
        enqueue_time_ms: job.enqueued_at.as_millis(),
        status_changed_at_ms: job.changed_at.as_millis(),
        next_attempt_starts_after_ms: job.next_start.map(|at| at.as_millis()),
        attempt_number: job.attempt,
    })
}
