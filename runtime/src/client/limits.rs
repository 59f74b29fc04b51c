//! Limits: what they are, who holds their slots, who waits; and why a job does not run.

use crate::client::Client;
use crate::client::channels::Stub;
use crate::client::error::Error;
use crate::client::verdict::Repeat;
use crate::proto::set_limit_request::Change;
use crate::proto::{
    ClearLimit, DropTenantHoldersRequest, ExplainJobRequest, ExplainJobResponse, ListLimitsRequest,
    ListLimitsResponse, PauseLimit, ResumeLimit, SetLimitRequest, ShowLimitRequest,
    ShowLimitResponse,
};

/// What an operator says of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitChange {
    /// So many slots, whatever enqueues say; 0: nobody gets one.
    Maximum(u32),
    /// As many slots as the newest enqueue says.
    Clear,
    /// Nobody gets a slot until told otherwise.
    Pause,
    /// As if it had not been paused.
    Resume,
}

impl Client {
    /// A page of the tenant's limits whose keys begin so, in the order of their keys, at most
    /// `page_size`, which is at most 1,000: the first if the token is empty, else the one after the
    /// answer that said the token. There are no more when its token is empty.
    ///
    /// # Errors
    ///
    /// `Refused` if the page is too large, or the token is of another list.
    pub async fn limits_page(
        &self,
        key_prefix: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<ListLimitsResponse, Error> {
        let request = ListLimitsRequest {
            shard: String::new(),
            tenant: self.tenant.clone(),
            key_prefix: key_prefix.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.list_limits(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }

    /// A limit, a page of at most `page_size` jobs that hold a slot, and the first `waiting_max`
    /// that wait for one; each at most 1,000. A page may be empty although there are more; there
    /// are none when its token is empty.
    ///
    /// # Errors
    ///
    /// `Refused` if a number or the key is out of bounds, or the token is of another limit.
    pub async fn show_limit(
        &self,
        key: &str,
        page_size: u32,
        page_token: &str,
        waiting_max: u32,
    ) -> Result<ShowLimitResponse, Error> {
        let request = ShowLimitRequest {
            shard: String::new(),
            tenant: self.tenant.clone(),
            key: key.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
            waiting_max: Some(waiting_max),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.show_limit(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }

    /// Says something of a limit, until told otherwise. It need not be in use.
    ///
    /// # Errors
    ///
    /// `Refused` if the key is out of bounds. After `OutcomeUnknown` or `Deadline` say it again.
    pub async fn set_limit(&self, key: &str, change: LimitChange) -> Result<(), Error> {
        let change = match change {
            LimitChange::Maximum(maximum) => Change::MaxConcurrency(maximum),
            LimitChange::Clear => Change::Clear(ClearLimit {}),
            LimitChange::Pause => Change::Pause(PauseLimit {}),
            LimitChange::Resume => Change::Resume(ResumeLimit {}),
        };
        let request = SetLimitRequest {
            shard: String::new(),
            tenant: self.tenant.clone(),
            key: key.to_owned(),
            change: Some(change),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.set_limit(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }

    /// Counts anew what the tenant's jobs hold and who waits; says how many limits and lines
    /// differed: none, unless something was damaged.
    ///
    /// # Errors
    ///
    /// `Refused` if the tenant has too many jobs that run or are ready. After `OutcomeUnknown` or
    /// `Deadline` count again.
    pub async fn recount_limits(&self) -> Result<u64, Error> {
        let request = DropTenantHoldersRequest {
            shard: String::new(),
            tenant: self.tenant.clone(),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.drop_tenant_holders(request).await };
        let answer = self.caller.call(plan, request, send).await?;
        Ok(answer.body.holders_dropped)
    }

    /// Why a job does not run, or that it does.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none of this id.
    pub async fn explain(&self, id: &str) -> Result<ExplainJobResponse, Error> {
        let request = ExplainJobRequest {
            shard: String::new(),
            id: id.to_owned(),
            tenant: self.tenant.clone(),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.explain_job(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }
}
