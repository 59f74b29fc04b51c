//! What operators ask: jobs that were set aside, and the files of a shard.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use silo_core::shard::command::Command;
use silo_core::shard::commands::inspect::{ListSetAside, SET_ASIDE_SHOWN_MAX};
use silo_core::shard::reply::{Reply, SetAsideView};
use silo_core::table::Table as _;
use silo_core::table::job::JobKey;
use silo_core::table::quarantine::Quarantines;
use silo_core::types::Invalid;
use uuid::Uuid;

use crate::executor::shard::Shard;
use crate::node::Node;
use crate::proto::{
    GetShardStorageInfoResponse, ListQuarantinedJobsRequest, ListQuarantinedJobsResponse,
    QuarantinedJob, SortedRunInfo,
};
use crate::service::ask::ask;
use crate::service::bulk::STRANGE;
use crate::service::denial::Denial;
use crate::service::parse::Parser;
use crate::service::parse::tenancy::Tenancy;
use crate::service::route;
use crate::storage::compaction::StorageInfo;

/// Jobs on a page, unless the caller says otherwise.
const PAGE_SIZE_DEFAULT: u32 = 100;

/// A page of the jobs that were set aside, over all shards that were asked for.
///
/// # Errors
/// [`Denial`] when a shard does not answer: the page would lack its jobs.
pub async fn list_quarantined(
    node: &Node,
    parser: &Parser,
    request: ListQuarantinedJobsRequest,
) -> Result<ListQuarantinedJobsResponse, Denial> {
    let jobs_max = match request.page_size {
        0 => PAGE_SIZE_DEFAULT,
        size if size <= SET_ASIDE_SHOWN_MAX => size,
        size => {
            let bound = format!("at most {SET_ASIDE_SHOWN_MAX}");
            return Err(Invalid::new("page_size", size, bound).into());
        }
    };
    let given = request.tenant.as_deref().filter(|t| !t.is_empty());
    let tenant = given
        .map(|tenant| parser.tenancy.of_job(Some(tenant)))
        .transpose()?;
    let named = route::named(&request.shard)?;
    let shards = match (&tenant, named) {
        (Some(tenant), _) => vec![route::of_tenant(node, &request.shard, tenant)?],
        (None, Some(id)) => vec![route::by_id(node, id)?],
        (None, None) => node.shards().to_vec(),
    };
    let place = PageToken::read(&request.page_token)?;
    let mut page = Page::new(jobs_max, parser.tenancy);
    for shard in shards {
        let shard_id = shard.entry().shard_id;
        let after = match &place {
            // Shards are gone through in the order of their ids' ranges; those before are done.
            Some(place) if !page.has_begun && place.shard != shard_id => continue,
            Some(place) if !page.has_begun => Some(place.after.clone()),
            Some(_) | None => None,
        };
        page.has_begun = true;
        let list = ListSetAside {
            tenant: tenant.clone(),
            after,
            jobs_max: page.room(),
        };
        let Reply::SetAside(jobs) = ask(&shard, Command::ListSetAside(list)).await? else {
            return Err(STRANGE);
        };
        page.add(&shard, jobs);
        if page.room() == 0 {
            break;
        }
    }
    if place.is_some() && !page.has_begun {
        // Another list's: an empty page would say that all was shown.
        return Err(PageToken::invalid(&request.page_token).into());
    }
    Ok(page.finish())
}

/// What a shard's files are.
#[must_use]
pub fn storage_info(info: &StorageInfo) -> GetShardStorageInfoResponse {
    let runs = info.sorted_runs.iter().map(|run| SortedRunInfo {
        id: run.id,
        sst_count: run.files,
        estimated_size: run.bytes,
    });
    GetShardStorageInfoResponse {
        l0_sst_count: info.l0_files,
        total_l0_size: info.l0_bytes,
        sorted_run_count: u64::try_from(info.sorted_runs.len()).unwrap_or(u64::MAX),
        total_sorted_run_size: info.sorted_run_bytes(),
        sorted_runs: runs.collect(),
    }
}

struct Page {
    jobs: Vec<QuarantinedJob>,
    jobs_max: u32,
    tenancy: Tenancy,
    has_begun: bool,
    last: Option<PageToken>,
}

impl Page {
    const fn new(jobs_max: u32, tenancy: Tenancy) -> Self {
        Self {
            jobs: Vec::new(),
            jobs_max,
            tenancy,
            has_begun: false,
            last: None,
        }
    }

    fn room(&self) -> u32 {
        let taken = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        self.jobs_max.saturating_sub(taken)
    }

    fn add(&mut self, shard: &Arc<Shard>, jobs: Vec<SetAsideView>) {
        let shard = shard.entry().shard_id;
        for job in jobs {
            self.jobs.push(QuarantinedJob {
                id: job.key.job.as_str().to_owned(),
                tenant: self.tenancy.shown(&job.key.tenant),
                shard: shard.to_string(),
                quarantined_at_ms: job.at.map(|at| at.as_millis()),
                reason: job.reason,
            });
            let after = job.key;
            self.last = Some(PageToken { shard, after });
        }
    }

    fn finish(self) -> ListQuarantinedJobsResponse {
        // A full page may be the last one; the next is empty then.
        let is_full = self.room() == 0;
        let next = self.last.filter(|_| is_full);
        ListQuarantinedJobsResponse {
            jobs: self.jobs,
            next_page_token: next.map(|token| token.write()).unwrap_or_default(),
        }
    }
}

/// Where a page ended: the shard's id, and the key of the last job.
struct PageToken {
    shard: Uuid,
    after: JobKey,
}

impl PageToken {
    fn write(&self) -> String {
        let mut bytes = self.shard.as_bytes().to_vec();
        bytes.extend_from_slice(&Quarantines::key(&self.after));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(text: &str) -> Result<Option<Self>, Invalid> {
        if text.is_empty() {
            return Ok(None);
        }
        let invalid = || Self::invalid(text);
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        let (shard, key) = bytes.split_first_chunk().ok_or_else(invalid)?;
        let after = Quarantines::read_key(key).map_err(|_| invalid())?;
        Ok(Some(Self {
            shard: Uuid::from_bytes(*shard),
            after,
        }))
    }

    fn invalid(text: &str) -> Invalid {
        let bound = "as the last answer to the same request said";
        Invalid::new("page_token", text.escape_debug(), bound)
    }
}
