//! Requests that name the shard they are for.

use crate::proto::{
    AwaitJobRequest, CancelJobRequest, CompactShardRequest, DeleteJobRequest,
    DropTenantHoldersRequest, EnqueueBatchRequest, EnqueueRequest, ExpediteJobRequest,
    ExplainJobRequest, FlushShardRequest, GetClusterInfoRequest, GetJobRequest,
    GetJobResultRequest, GetNodeInfoRequest, GetShardStorageInfoRequest, GetTenantRequest,
    HeartbeatRequest, HeartbeatsRequest, ImportJobRequest, ImportJobsRequest, LeaseTasksRequest,
    ListJobsRequest, ListLimitsRequest, ListPausedQueuesRequest, ListQuarantinedJobsRequest,
    PauseQueueRequest, ReportOutcomeRequest, ReportOutcomesRequest, ReportRefreshOutcomeRequest,
    RestartJobRequest, ResumeQueueRequest, SetLimitRequest, SetTenantRequest, ShowLimitRequest,
};

/// A request that names the shard it is for.
pub(crate) trait Routed: Clone {
    fn route(&mut self, shard: &str);
}

macro_rules! routed {
    ($($request:ty),* $(,)?) => {$(
        impl Routed for $request {
            fn route(&mut self, shard: &str) {
                shard.clone_into(&mut self.shard);
            }
        }
    )*};
}

routed!(
    AwaitJobRequest,
    CancelJobRequest,
    CompactShardRequest,
    DeleteJobRequest,
    DropTenantHoldersRequest,
    EnqueueRequest,
    ExpediteJobRequest,
    ExplainJobRequest,
    FlushShardRequest,
    GetJobRequest,
    GetJobResultRequest,
    GetShardStorageInfoRequest,
    HeartbeatRequest,
    ImportJobRequest,
    ListJobsRequest,
    ListLimitsRequest,
    ListQuarantinedJobsRequest,
    ReportOutcomeRequest,
    ReportRefreshOutcomeRequest,
    RestartJobRequest,
    SetLimitRequest,
    ShowLimitRequest,
    GetTenantRequest,
    SetTenantRequest,
    PauseQueueRequest,
    ResumeQueueRequest,
    ListPausedQueuesRequest,
);

macro_rules! routed_each {
    ($($request:ty: $field:ident),* $(,)?) => {$(
        impl Routed for $request {
            fn route(&mut self, shard: &str) {
                self.$field.iter_mut().for_each(|one| one.route(shard));
            }
        }
    )*};
}

routed_each!(
    EnqueueBatchRequest: jobs,
    HeartbeatsRequest: heartbeats,
    ImportJobsRequest: jobs,
    ReportOutcomesRequest: outcomes,
);

impl Routed for LeaseTasksRequest {
    /// All shards of the node, whatever is said.
    fn route(&mut self, _: &str) {
        self.shard = None;
    }
}

impl Routed for GetClusterInfoRequest {
    fn route(&mut self, _: &str) {}
}

impl Routed for GetNodeInfoRequest {
    fn route(&mut self, _: &str) {}
}
