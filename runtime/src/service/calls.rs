//! One method per RPC: parse, route, ask the shard, write. Each is told in `proto/silo.proto`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::Empty;
use prost::Message;
use silo_core::shard::command::Command;
use silo_core::shard::commands::inspect::Get;
use silo_core::shard::reply::Reply;
use silo_core::types::Invalid;
use silo_core::types::tenant::Tenant;
use tonic::{Request, Response, Status};

use crate::executor::replies::Failure;
use crate::executor::shard::Shard;
use crate::node::Node;
use crate::proto::silo_server::Silo;
use crate::proto::{self, LeaseTaskResponse, LeaseTasksResponse};
use crate::service::ServiceOptions;
use crate::service::answers::{Answers, sent_with};
use crate::service::ask::ask;
use crate::service::await_job::{Told, Turns, await_job};
use crate::service::bulk::{Bulk, STRANGE};
use crate::service::delivery::Delivery;
use crate::service::denial::Denial;
use crate::service::gate::place::Place;
use crate::service::gate::trace;
use crate::service::lease::{Leased, gather, leased};
use crate::service::list::Lists;
use crate::service::parse::Parser;
use crate::service::poll::Wait;
use crate::service::profile::Profiles;
use crate::service::wait::WaitLimit;
use crate::service::{bulk, cluster, dump, import, limits, list, operate, route, sway, write};

/// Room in an answer for what stands around payloads: ids and names of up to a thousand tasks.
const TASKS_OVERHEAD_BYTES: usize = 2 << 20;

/// The Silo service of one node.
#[derive(Debug)]
pub struct SiloService {
    node: Arc<Node>,
    parser: Parser,
    message_bytes_max: usize,
    answers: Answers,
    bulk: Bulk,
    turns: Turns,
    lists: Lists,
    profiles: Profiles,
    /// Which shard the next request without a shard begins with.
    turn: AtomicUsize,
}

impl SiloService {
    /// The service of `node`.
    #[must_use]
    pub fn new(node: Arc<Node>, options: &ServiceOptions) -> Self {
        Self {
            parser: Parser::new(&node, options),
            message_bytes_max: options.message_bytes_max,
            answers: Answers::new(options.answer_bytes_in_flight_max),
            bulk: Bulk::default(),
            turns: Turns::default(),
            lists: Lists::default(),
            profiles: Profiles::new(options.profilers.clone()),
            turn: AtomicUsize::new(0),
            node,
        }
    }

    fn shard(&self, shard: &str, tenant: &Tenant) -> Result<Arc<Shard>, Denial> {
        route::of_tenant(&self.node, shard, tenant)
    }

    fn named_shard(&self, shard: &str) -> Result<Arc<Shard>, Denial> {
        match route::named(shard)? {
            Some(id) => route::by_id(&self.node, id),
            None => Err(Invalid::new("shard", "empty", "a UUID").into()),
        }
    }

    /// An answer, if it fits into a message.
    fn answer<M: Message>(&self, message: M) -> Result<Response<M>, Status> {
        self.fits(&message)?;
        Ok(Response::new(message))
    }

    /// An answer with job data, if it fits into a message and there is memory to send it.
    fn answer_with_data<M: Message>(&self, message: M) -> Result<Response<M>, Status> {
        let bytes = self.fits(&message)?;
        Ok(sent_with(message, self.answers.pay(bytes)?))
    }

    /// A message's length, if it fits.
    fn fits<M: Message>(&self, message: &M) -> Result<usize, Denial> {
        let bytes = message.encoded_len();
        if bytes > self.message_bytes_max {
            return Err(Denial::AnswerTooLarge {
                bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
                bytes_max: u64::try_from(self.message_bytes_max).unwrap_or(u64::MAX),
            });
        }
        Ok(bytes)
    }

    /// The shards that may have work, beginning with another one each time.
    fn shards_in_turn(&self, may_have: impl Fn(&Shard) -> bool) -> Vec<Arc<Shard>> {
        let mut shards: Vec<_> = self.node.shards().to_vec();
        shards.retain(|shard| may_have(shard));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(shards.len()).unwrap_or(0);
        shards.rotate_left(first);
        shards
    }

    /// Bytes of payloads and metadata that fit into one answer.
    fn tasks_bytes_max(&self, asked: Option<u64>) -> usize {
        let room = self.message_bytes_max.saturating_sub(TASKS_OVERHEAD_BYTES);
        let asked = asked.map(|asked| usize::try_from(asked).unwrap_or(usize::MAX));
        asked.map_or(room, |asked| asked.min(room)).max(1)
    }

    fn task(&self, leased: Leased) -> Result<proto::Task, Denial> {
        let shard = leased.shard.entry().shard_id;
        write::task::task(leased.task, shard, self.parser.tenancy)
    }
}

/// A reply that does not belong to its command.
fn strange() -> Status {
    STRANGE.into()
}

#[tonic::async_trait]
impl Silo for SiloService {
    type QueryArrowStream = Empty<Result<proto::ArrowIpcMessage, Status>>;

    async fn enqueue(
        &self,
        request: Request<proto::EnqueueRequest>,
    ) -> Result<Response<proto::EnqueueResponse>, Status> {
        let (headers, _, mut request) = request.into_parts();
        trace::join(&mut request.metadata, headers.as_ref());
        let id = bulk::enqueue(&self.node, &self.parser, request).await?;
        self.answer(proto::EnqueueResponse { id })
    }

    async fn get_job(
        &self,
        request: Request<proto::GetJobRequest>,
    ) -> Result<Response<proto::GetJobResponse>, Status> {
        let request = request.into_inner();
        let key = self.parser.job(request.tenant.as_deref(), &request.id)?;
        let shard = self.shard(&request.shard, &key.tenant)?;
        let earlier_attempts = request.include_attempts;
        let command = Command::Get(Get {
            key,
            earlier_attempts,
        });
        let Reply::Job(view) = ask(&shard, command).await? else {
            return Err(strange());
        };
        self.answer_with_data(write::job::job(*view, request.include_attempts)?)
    }

    async fn get_job_result(
        &self,
        request: Request<proto::GetJobResultRequest>,
    ) -> Result<Response<proto::GetJobResultResponse>, Status> {
        let request = request.into_inner();
        let key = self.parser.job(request.tenant.as_deref(), &request.id)?;
        let shard = self.shard(&request.shard, &key.tenant)?;
        let Reply::Result(view) = ask(&shard, Command::Result(key)).await? else {
            return Err(strange());
        };
        self.answer_with_data(write::result::result(*view)?)
    }

    async fn await_job(
        &self,
        request: Request<proto::AwaitJobRequest>,
    ) -> Result<Response<proto::AwaitJobResponse>, Status> {
        let place = request.extensions().get::<Place>().cloned();
        let request = request.into_inner();
        let key = self.parser.job(request.tenant.as_deref(), &request.id)?;
        let limit = WaitLimit::begin(Duration::from_millis(request.wait_ms.into()), place);
        let shard = || self.shard(&request.shard, &key.tenant);
        let waiters = self.node.waiters();
        let told = await_job(&key, shard, &limit, waiters, &self.turns).await?;
        let (message, _turn) = match told {
            Told::Ended(view, turn) => (write::result::awaited(*view)?, turn),
            Told::NotYet(status) => (write::result::not_yet(status)?, None),
        };
        self.answer_with_data(message)
    }

    async fn list_jobs(
        &self,
        request: Request<proto::ListJobsRequest>,
    ) -> Result<Response<proto::ListJobsResponse>, Status> {
        let request = request.into_inner();
        let page = list::list_jobs(&self.node, &self.parser, &self.lists, request).await?;
        self.answer_with_data(page)
    }

    async fn cancel_job(
        &self,
        request: Request<proto::CancelJobRequest>,
    ) -> Result<Response<proto::CancelJobResponse>, Status> {
        let request = request.into_inner();
        let key = self.parser.job(request.tenant.as_deref(), &request.id)?;
        let shard = self.shard(&request.shard, &key.tenant)?;
        let Reply::Cancelled = ask(&shard, Command::Cancel(key)).await? else {
            return Err(strange());
        };
        self.answer(proto::CancelJobResponse {})
    }

    async fn lease_task(
        &self,
        request: Request<proto::LeaseTaskRequest>,
    ) -> Result<Response<LeaseTaskResponse>, Status> {
        let request = request.into_inner();
        let lease = self.parser.lease_task(&request)?;
        let shard = self.shard(&request.shard, &lease.key.tenant)?;
        let tasks = leased(
            shard
                .call(Command::LeaseJob(lease))
                .await
                .map_err(Denial::from)?,
        )?;
        let Some(task) = tasks.into_iter().next() else {
            // Its payload could not be read, so the driver has taken it back.
            return Err(Denial::Failed(Failure::Unreadable).into());
        };
        let delivery = Delivery::default();
        delivery.add(&shard, task.id.clone());
        let task = Some(self.task(Leased { shard, task })?);
        let mut response = self.answer_with_data(LeaseTaskResponse { task })?;
        response.extensions_mut().insert(delivery);
        Ok(response)
    }

    async fn lease_tasks(
        &self,
        request: Request<proto::LeaseTasksRequest>,
    ) -> Result<Response<LeaseTasksResponse>, Status> {
        let place = request.extensions().get::<Place>().cloned();
        let request = request.into_inner();
        let lease = self.parser.lease_tasks(&request)?;
        let named = route::named(request.shard.as_deref().unwrap_or_default())?;
        let shards = || match named {
            Some(id) => Ok::<_, Denial>(vec![route::by_id(&self.node, id)?]),
            None => Ok(self.shards_in_turn(|shard| shard.may_have(&lease.group))),
        };
        let wanted = self.tasks_bytes_max(lease.bytes_max);
        let attempt = async |delivery: Delivery| {
            let share = self.answers.share(wanted)?;
            let bytes_max = u64::try_from(wanted.min(share.bytes())).unwrap_or(u64::MAX);
            let gathered = gather(shards()?, &lease, bytes_max, &delivery).await?;
            Ok::<_, Denial>((gathered, share))
        };
        let wait = Wait {
            waiters: self.node.waiters(),
            group: &lease.group,
            shard: named,
            longest: if lease.tasks_max == 0 {
                Duration::ZERO
            } else {
                lease.wait
            },
            place,
        };
        let found = wait.for_tasks(attempt, || shards().unwrap_or_default());
        let found = found.await?;
        let tasks = found.tasks.into_iter().map(|leased| self.task(leased));
        let message = LeaseTasksResponse {
            tasks: tasks.collect::<Result<_, _>>()?,
            refresh_tasks: Vec::new(),
            waited_ms: u32::try_from(found.waited.as_millis()).unwrap_or(u32::MAX),
        };
        let bytes = self.fits(&message)?;
        let mut response = sent_with(message, self.answers.settle(found.room, bytes)?);
        response.extensions_mut().insert(found.delivery);
        Ok(response)
    }

    async fn report_outcome(
        &self,
        request: Request<proto::ReportOutcomeRequest>,
    ) -> Result<Response<proto::ReportOutcomeResponse>, Status> {
        bulk::report(&self.node, &self.parser, request.into_inner()).await?;
        self.answer(proto::ReportOutcomeResponse {})
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        let request = request.into_inner();
        self.answer(bulk::heartbeat(&self.node, &self.parser, request).await?)
    }

    async fn enqueue_batch(
        &self,
        request: Request<proto::EnqueueBatchRequest>,
    ) -> Result<Response<proto::EnqueueBatchResponse>, Status> {
        let (headers, _, mut request) = request.into_parts();
        for job in &mut request.jobs {
            trace::join(&mut job.metadata, headers.as_ref());
        }
        self.answer(bulk::enqueue_batch(&self.node, &self.parser, &self.bulk, request).await?)
    }

    async fn report_outcomes(
        &self,
        request: Request<proto::ReportOutcomesRequest>,
    ) -> Result<Response<proto::ReportOutcomesResponse>, Status> {
        let outcomes = request.into_inner().outcomes;
        self.answer(bulk::report_outcomes(&self.node, &self.parser, &self.bulk, outcomes).await?)
    }

    async fn heartbeats(
        &self,
        request: Request<proto::HeartbeatsRequest>,
    ) -> Result<Response<proto::HeartbeatsResponse>, Status> {
        let heartbeats = request.into_inner().heartbeats;
        self.answer(bulk::heartbeats(&self.node, &self.parser, &self.bulk, heartbeats).await?)
    }

    async fn list_quarantined_jobs(
        &self,
        request: Request<proto::ListQuarantinedJobsRequest>,
    ) -> Result<Response<proto::ListQuarantinedJobsResponse>, Status> {
        let request = request.into_inner();
        self.answer(operate::list_quarantined(&self.node, &self.parser, request).await?)
    }

    async fn get_tenant(
        &self,
        request: Request<proto::GetTenantRequest>,
    ) -> Result<Response<proto::GetTenantResponse>, Status> {
        let request = request.into_inner();
        self.answer(sway::get_tenant(&self.node, &self.parser, request).await?)
    }

    async fn set_tenant(
        &self,
        request: Request<proto::SetTenantRequest>,
    ) -> Result<Response<proto::SetTenantResponse>, Status> {
        let request = request.into_inner();
        self.answer(sway::set_tenant(&self.node, &self.parser, request).await?)
    }

    async fn pause_queue(
        &self,
        request: Request<proto::PauseQueueRequest>,
    ) -> Result<Response<proto::PauseQueueResponse>, Status> {
        let request = request.into_inner();
        self.answer(sway::pause_queue(&self.node, &self.parser, request).await?)
    }

    async fn resume_queue(
        &self,
        request: Request<proto::ResumeQueueRequest>,
    ) -> Result<Response<proto::ResumeQueueResponse>, Status> {
        let request = request.into_inner();
        self.answer(sway::resume_queue(&self.node, &self.parser, request).await?)
    }

    async fn list_paused_queues(
        &self,
        request: Request<proto::ListPausedQueuesRequest>,
    ) -> Result<Response<proto::ListPausedQueuesResponse>, Status> {
        self.answer(sway::list_paused(&self.node, request.into_inner()).await?)
    }

    async fn get_cluster_info(
        &self,
        _request: Request<proto::GetClusterInfoRequest>,
    ) -> Result<Response<proto::GetClusterInfoResponse>, Status> {
        self.answer(cluster::cluster_info(&self.node)?)
    }

    async fn get_node_info(
        &self,
        _request: Request<proto::GetNodeInfoRequest>,
    ) -> Result<Response<proto::GetNodeInfoResponse>, Status> {
        self.answer(cluster::node_info(&self.node).await?)
    }

    async fn reset_shards(
        &self,
        _request: Request<proto::ResetShardsRequest>,
    ) -> Result<Response<proto::ResetShardsResponse>, Status> {
        if !self.node.options().dev_mode {
            return Err(Denial::ResetForbidden.into());
        }
        let node = Arc::clone(&self.node);
        // Half a reset would leave no shards: it runs to its end also when the caller goes away.
        let reset = tokio::spawn(async move { node.reset().await });
        let Ok(reset) = reset.await else {
            return Err(Denial::Bug("the reset panicked").into());
        };
        let shards_reset = reset.map_err(Denial::ResetFailed)?;
        self.answer(proto::ResetShardsResponse { shards_reset })
    }

    async fn flush_shard(
        &self,
        request: Request<proto::FlushShardRequest>,
    ) -> Result<Response<proto::FlushShardResponse>, Status> {
        let shard = self.named_shard(&request.into_inner().shard)?;
        shard.flush_tables().await.map_err(Denial::from)?;
        let status = "flushed".to_owned();
        self.answer(proto::FlushShardResponse { status })
    }

    async fn query_arrow(
        &self,
        _request: Request<proto::QueryArrowRequest>,
    ) -> Result<Response<Self::QueryArrowStream>, Status> {
        Err(Denial::NotImplemented("QueryArrow").into())
    }

    async fn delete_job(
        &self,
        request: Request<proto::DeleteJobRequest>,
    ) -> Result<Response<proto::DeleteJobResponse>, Status> {
        let request = request.into_inner();
        let key = self.parser.job(request.tenant.as_deref(), &request.id)?;
        let shard = self.shard(&request.shard, &key.tenant)?;
        let Reply::Deleted = ask(&shard, Command::Delete(key)).await? else {
            return Err(strange());
        };
        self.answer(proto::DeleteJobResponse {})
    }

    async fn drop_tenant_holders(
        &self,
        request: Request<proto::DropTenantHoldersRequest>,
    ) -> Result<Response<proto::DropTenantHoldersResponse>, Status> {
        self.answer(limits::recount(&self.node, &self.parser, request.into_inner()).await?)
    }

    async fn list_limits(
        &self,
        request: Request<proto::ListLimitsRequest>,
    ) -> Result<Response<proto::ListLimitsResponse>, Status> {
        let request = request.into_inner();
        let page = limits::list(&self.node, &self.parser, &self.lists, request).await?;
        self.answer_with_data(page)
    }

    async fn show_limit(
        &self,
        request: Request<proto::ShowLimitRequest>,
    ) -> Result<Response<proto::ShowLimitResponse>, Status> {
        let request = request.into_inner();
        let shown = limits::show(&self.node, &self.parser, &self.lists, request).await?;
        self.answer_with_data(shown)
    }

    async fn set_limit(
        &self,
        request: Request<proto::SetLimitRequest>,
    ) -> Result<Response<proto::SetLimitResponse>, Status> {
        self.answer(limits::set(&self.node, &self.parser, request.into_inner()).await?)
    }

    async fn explain_job(
        &self,
        request: Request<proto::ExplainJobRequest>,
    ) -> Result<Response<proto::ExplainJobResponse>, Status> {
        self.answer(limits::explain(&self.node, &self.parser, request.into_inner()).await?)
    }

    async fn restart_job(
        &self,
        request: Request<proto::RestartJobRequest>,
    ) -> Result<Response<proto::RestartJobResponse>, Status> {
        let request = request.into_inner();
        let key = self.parser.job(request.tenant.as_deref(), &request.id)?;
        let shard = self.shard(&request.shard, &key.tenant)?;
        let Reply::Restarted = ask(&shard, Command::Restart(key)).await? else {
            return Err(strange());
        };
        self.answer(proto::RestartJobResponse {})
    }

    async fn expedite_job(
        &self,
        request: Request<proto::ExpediteJobRequest>,
    ) -> Result<Response<proto::ExpediteJobResponse>, Status> {
        let request = request.into_inner();
        let key = self.parser.job(request.tenant.as_deref(), &request.id)?;
        let shard = self.shard(&request.shard, &key.tenant)?;
        let Reply::Expedited = ask(&shard, Command::Expedite(key)).await? else {
            return Err(strange());
        };
        self.answer(proto::ExpediteJobResponse {})
    }

    async fn report_refresh_outcome(
        &self,
        _request: Request<proto::ReportRefreshOutcomeRequest>,
    ) -> Result<Response<proto::ReportRefreshOutcomeResponse>, Status> {
        Err(Denial::NotImplemented("ReportRefreshOutcome").into())
    }

    async fn query(
        &self,
        _request: Request<proto::QueryRequest>,
    ) -> Result<Response<proto::QueryResponse>, Status> {
        Err(Denial::NotImplemented("Query").into())
    }

    async fn cpu_profile(
        &self,
        request: Request<proto::CpuProfileRequest>,
    ) -> Result<Response<proto::CpuProfileResponse>, Status> {
        let place = request.extensions().get::<Place>().cloned();
        self.answer(self.profiles.cpu(request.get_ref(), place).await?)
    }

    async fn heap_profile(
        &self,
        request: Request<proto::HeapProfileRequest>,
    ) -> Result<Response<proto::HeapProfileResponse>, Status> {
        let place = request.extensions().get::<Place>().cloned();
        self.answer(self.profiles.heap(request.get_ref(), place).await?)
    }

    async fn request_split(
        &self,
        _request: Request<proto::RequestSplitRequest>,
    ) -> Result<Response<proto::RequestSplitResponse>, Status> {
        Err(Denial::NotImplemented("RequestSplit").into())
    }

    async fn get_split_status(
        &self,
        _request: Request<proto::GetSplitStatusRequest>,
    ) -> Result<Response<proto::GetSplitStatusResponse>, Status> {
        Err(Denial::NotImplemented("GetSplitStatus").into())
    }

    async fn configure_shard(
        &self,
        _request: Request<proto::ConfigureShardRequest>,
    ) -> Result<Response<proto::ConfigureShardResponse>, Status> {
        Err(Denial::NotImplemented("ConfigureShard").into())
    }

    async fn import_jobs(
        &self,
        request: Request<proto::ImportJobsRequest>,
    ) -> Result<Response<proto::ImportJobsResponse>, Status> {
        let jobs = request.into_inner().jobs;
        self.answer(import::import_jobs(&self.node, &self.parser, &self.bulk, jobs).await?)
    }

    async fn force_release_shard(
        &self,
        _request: Request<proto::ForceReleaseShardRequest>,
    ) -> Result<Response<proto::ForceReleaseShardResponse>, Status> {
        Err(Denial::NotImplemented("ForceReleaseShard").into())
    }

    async fn compact_shard(
        &self,
        request: Request<proto::CompactShardRequest>,
    ) -> Result<Response<proto::CompactShardResponse>, Status> {
        let shard = self.named_shard(&request.into_inner().shard)?;
        let status = shard.compact().await.map_err(Denial::from)?.to_string();
        self.answer(proto::CompactShardResponse { status })
    }

    async fn get_shard_storage_info(
        &self,
        request: Request<proto::GetShardStorageInfoRequest>,
    ) -> Result<Response<proto::GetShardStorageInfoResponse>, Status> {
        let shard = self.named_shard(&request.into_inner().shard)?;
        let info = shard.storage_info().await.map_err(Denial::from)?;
        self.answer(operate::storage_info(&info))
    }

    async fn dump_tasks(
        &self,
        _request: Request<proto::DumpTasksRequest>,
    ) -> Result<Response<proto::DumpTasksResponse>, Status> {
        self.answer(dump::dump_tasks(&self.node)?)
    }
}
