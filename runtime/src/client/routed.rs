//! Requests that name the shard they are for.

use crate::proto::{
    AwaitJobRequest, CancelJobRequest, CompactShardRequest, DeleteJobRequest, EnqueueBatchRequest,
    EnqueueRequest, ExpediteJobRequest, FlushShardRequest, GetClusterInfoRequest, GetJobRequest,
    GetJobResultRequest, GetNodeInfoRequest, GetShardStorageInfoRequest, GetTenantRequest,
    HeartbeatRequest, HeartbeatsRequest, ImportJobRequest, ImportJobsRequest, LeaseTasksRequest,
    ListJobsRequest, ListPausedQueuesRequest, ListQuarantinedJobsRequest, PauseQueueRequest,
    ReportOutcomeRequest, ReportOutcomesRequest, ReportRefreshOutcomeRequest, RestartJobRequest,
    ResumeQueueRequest, SetTenantRequest,
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
    EnqueueRequest,
    ExpediteJobRequest,
    FlushShardRequest,
    GetJobRequest,
    GetJobResultRequest,
    GetShardStorageInfoRequest,
    HeartbeatRequest,
    ImportJobRequest,
    ListJobsRequest,
    ListQuarantinedJobsRequest,
    ReportOutcomeRequest,
    ReportRefreshOutcomeRequest,
    RestartJobRequest,
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
