//! What operators ask of a cluster: its nodes, the storage of its shards, damaged jobs, tenants and
//! what is paused.

use crate::client::Client;
use crate::client::call::{Place, Plan};
use crate::client::channels::Stub;
use crate::client::error::Error;
use crate::client::verdict::Repeat;
use crate::proto::{
    CompactShardRequest, FlushShardRequest, GetNodeInfoRequest, GetNodeInfoResponse,
    GetShardStorageInfoRequest, GetShardStorageInfoResponse, GetTenantRequest,
    ListPausedQueuesRequest, ListQuarantinedJobsRequest, ListQuarantinedJobsResponse,
    PauseQueueRequest, PausedQueue, QuarantinedJob, ResumeQueueRequest, SetTenantRequest,
    TenantInfo,
};

/// Jobs on a page; servers give no more.
const PAGE_SIZE: u32 = 1000;

impl Client {
    /// What the node that serves this shard says of itself, and of all shards that it serves.
    ///
    /// # Errors
    ///
    /// As [`Client::storage_info`].
    pub async fn node_info(&self, shard: &str) -> Result<GetNodeInfoResponse, Error> {
        let request = GetNodeInfoRequest {};
        let plan = self.for_shard(shard, Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.get_node_info(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }

    /// How the storage of a shard is laid out.
    ///
    /// # Errors
    ///
    /// `Unavailable` if nobody is known to serve a shard of this id.
    pub async fn storage_info(&self, shard: &str) -> Result<GetShardStorageInfoResponse, Error> {
        let request = GetShardStorageInfoRequest {
            shard: shard.to_owned(),
        };
        let plan = self.for_shard(shard, Repeat::Safe);
        let send =
            |mut stub: Stub, request| async move { stub.get_shard_storage_info(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }

    /// Flushes the storage of a shard; answers with what was done, in a sentence.
    ///
    /// # Errors
    ///
    /// As [`Client::storage_info`].
    pub async fn flush_shard(&self, shard: &str) -> Result<String, Error> {
        let request = FlushShardRequest {
            shard: shard.to_owned(),
        };
        let plan = self.for_shard(shard, Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.flush_shard(request).await };
        Ok(self.caller.call(plan, request, send).await?.body.status)
    }

    /// Begins to merge the files of a shard; answers with what was begun, in a sentence.
    ///
    /// # Errors
    ///
    /// As [`Client::storage_info`].
    pub async fn compact_shard(&self, shard: &str) -> Result<String, Error> {
        let request = CompactShardRequest {
            shard: shard.to_owned(),
        };
        let plan = self.for_shard(shard, Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.compact_shard(request).await };
        Ok(self.caller.call(plan, request, send).await?.body.status)
    }

    /// A page of a shard's jobs that were set aside: of this client's tenant, or of all tenants if
    /// it has none. The first page if the token is empty, else the one after the answer that said
    /// the token.
    ///
    /// # Errors
    ///
    /// As [`Client::storage_info`]; `Refused` if the tenant is not the shard's.
    pub async fn quarantined_page(
        &self,
        shard: &str,
        page_token: &str,
    ) -> Result<ListQuarantinedJobsResponse, Error> {
        let request = ListQuarantinedJobsRequest {
            shard: shard.to_owned(),
            tenant: self.tenant.clone(),
            page_size: PAGE_SIZE,
            page_token: page_token.to_owned(),
        };
        let plan = self.for_shard(shard, Repeat::Safe);
        let send =
            |mut stub: Stub, request| async move { stub.list_quarantined_jobs(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }

    /// All jobs of a shard that were set aside, as [`Client::quarantined_page`] gives them.
    ///
    /// # Errors
    ///
    /// As [`Client::quarantined_page`].
    pub async fn quarantined(&self, shard: &str) -> Result<Vec<QuarantinedJob>, Error> {
        let mut jobs = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.quarantined_page(shard, &token).await?;
            jobs.extend(page.jobs);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(jobs);
            }
        }
    }

    /// What is set of this client's tenant, and how many jobs it has.
    ///
    /// # Errors
    ///
    /// `Refused` if tenancy is on and the client has no tenant, or the other way round.
    pub async fn tenant_info(&self) -> Result<TenantInfo, Error> {
        let request = GetTenantRequest {
            shard: String::new(),
            tenant: self.tenant.clone(),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.get_tenant(request).await };
        let answer = self.caller.call(plan, request, send).await?.body;
        Ok(answer.tenant.unwrap_or_default())
    }

    /// Sets the weight of this client's tenant (0: as the configuration says), pauses it or resumes
    /// it; what is `None` stays. Answers with how it is now.
    ///
    /// # Errors
    ///
    /// As [`Client::tenant_info`]; `Refused` for a weight above 1,000.
    pub async fn set_tenant(
        &self,
        weight: Option<u32>,
        paused: Option<bool>,
    ) -> Result<TenantInfo, Error> {
        let request = SetTenantRequest {
            shard: String::new(),
            tenant: self.tenant.clone(),
            weight,
            paused,
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.set_tenant(request).await };
        let answer = self.caller.call(plan, request, send).await?.body;
        Ok(answer.tenant.unwrap_or_default())
    }

    /// Pauses a task group on a shard: of this client's tenant, or of everybody if it has none.
    ///
    /// # Errors
    ///
    /// As [`Client::quarantined_page`]; `Refused` if too many are paused.
    pub async fn pause_queue(&self, shard: &str, task_group: &str) -> Result<(), Error> {
        let request = PauseQueueRequest {
            shard: shard.to_owned(),
            tenant: self.tenant.clone(),
            task_group: task_group.to_owned(),
        };
        let plan = self.for_shard(shard, Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.pause_queue(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }

    /// Resumes a task group on a shard, as [`Client::pause_queue`] has paused it.
    ///
    /// # Errors
    ///
    /// As [`Client::quarantined_page`].
    pub async fn resume_queue(&self, shard: &str, task_group: &str) -> Result<(), Error> {
        let request = ResumeQueueRequest {
            shard: shard.to_owned(),
            tenant: self.tenant.clone(),
            task_group: task_group.to_owned(),
        };
        let plan = self.for_shard(shard, Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.resume_queue(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }

    /// The task groups that are paused for everybody on a shard.
    ///
    /// # Errors
    ///
    /// As [`Client::storage_info`].
    pub async fn paused_queues(&self, shard: &str) -> Result<Vec<PausedQueue>, Error> {
        let request = ListPausedQueuesRequest {
            shard: shard.to_owned(),
        };
        let plan = self.for_shard(shard, Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.list_paused_queues(request).await };
        Ok(self.caller.call(plan, request, send).await?.body.queues)
    }

    /// The shard that holds this client's tenant, as far as is known.
    pub fn shard_of_tenant(&self) -> Option<String> {
        let map = self.caller.routes.now();
        Some(map.of_hash(&self.hash())?.shard.clone())
    }

    fn for_shard(&self, shard: &str, repeat: Repeat) -> Plan {
        self.plan(Place::Named(shard.to_owned()), repeat)
    }
}
