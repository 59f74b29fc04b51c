//! What operators ask of a cluster: its nodes, the storage of its shards, damaged jobs.

use crate::client::Client;
use crate::client::call::{Place, Plan};
use crate::client::channels::Stub;
use crate::client::error::Error;
use crate::client::verdict::Repeat;
use crate::proto::{
    CompactShardRequest, FlushShardRequest, GetNodeInfoRequest, GetNodeInfoResponse,
    GetShardStorageInfoRequest, GetShardStorageInfoResponse, ListQuarantinedJobsRequest,
    ListQuarantinedJobsResponse, QuarantinedJob,
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

    /// The shard that holds this client's tenant, as far as is known.
    pub fn shard_of_tenant(&self) -> Option<String> {
        let map = self.caller.routes.now();
        Some(map.of_hash(&self.hash())?.shard.clone())
    }

    fn for_shard(&self, shard: &str, repeat: Repeat) -> Plan {
        self.plan(Place::Named(shard.to_owned()), repeat)
    }
}
