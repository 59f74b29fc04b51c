//! A tenant's jobs, page by page.

use crate::client::Client;
use crate::client::channels::Stub;
use crate::client::error::Error;
use crate::client::verdict::Repeat;
use crate::proto::{JobStatus, ListJobsRequest, ListJobsResponse, ListedJob};

/// Which jobs to list. The default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only jobs of one of these statuses; none: of all.
    pub statuses: Vec<JobStatus>,
    /// Only jobs of this task group.
    pub task_group: Option<String>,
    /// Only jobs whose id begins so.
    pub id_prefix: Option<String>,
    /// Most jobs on a page, at most 1,000; `None`: 100.
    pub page_size: Option<u32>,
}

/// The jobs of a tenant in the order of their ids, as [`Client::jobs`] gives them.
#[derive(Clone, Debug)]
pub struct JobPages {
    client: Client,
    filter: JobFilter,
    /// None: all pages were taken.
    next: Option<String>,
    skipped: u64,
}

impl Client {
    /// One page of the tenant's jobs, in the order of their ids: the first if the token is empty,
    /// else the one after the answer that said the token. A page may be empty although there are
    /// more; there are none when its token is empty.
    ///
    /// # Errors
    ///
    /// `Refused` if a field is out of its bounds, or the token is of another filter.
    pub async fn list_jobs(
        &self,
        filter: &JobFilter,
        page_token: &str,
    ) -> Result<ListJobsResponse, Error> {
        let statuses = filter.statuses.iter();
        let request = ListJobsRequest {
            shard: String::new(),
            tenant: self.tenant.clone(),
            statuses: statuses.map(|status| i32::from(*status)).collect(),
            task_group: filter.task_group.clone().unwrap_or_default(),
            id_prefix: filter.id_prefix.clone().unwrap_or_default(),
            page_size: filter.page_size.unwrap_or_default(),
            page_token: page_token.to_owned(),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.list_jobs(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }

    /// All of the tenant's jobs that the filter lets through, page by page.
    #[must_use]
    pub fn jobs(&self, filter: JobFilter) -> JobPages {
        JobPages {
            client: self.clone(),
            filter,
            next: Some(String::new()),
            skipped: 0,
        }
    }
}

impl JobPages {
    /// The next jobs, at least one; `None` when there are no more. After an error the same page is
    /// asked for again. Looks through all jobs in between, in as many calls as that takes.
    ///
    /// # Errors
    ///
    /// As [`Client::list_jobs`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<ListedJob>>, Error> {
        while let Some(token) = &self.next {
            let page = self.client.list_jobs(&self.filter, token).await?;
            self.next = Some(page.next_page_token).filter(|token| !token.is_empty());
            self.skipped = self.skipped.saturating_add(page.skipped.into());
            if !page.jobs.is_empty() {
                return Ok(Some(page.jobs));
            }
        }
        Ok(None)
    }

    /// Jobs passed over so far, because they are quarantined or a row of theirs is damaged,
    /// whatever the filter says.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }
}
