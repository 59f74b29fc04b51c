//! A server that answers as a test tells it, and a wire that a test can cut.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod enqueues;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use silo_runtime::proto::silo_server::{Silo, SiloServer};
use silo_runtime::proto::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// What was asked.
#[derive(Clone, Debug)]
pub enum Asked {
    Enqueue(EnqueueRequest),
    GetJob(GetJobRequest),
    CancelJob(CancelJobRequest),
    LeaseTasks(LeaseTasksRequest),
    Heartbeat(HeartbeatRequest),
    ReportOutcome(ReportOutcomeRequest),
    ReportRefreshOutcome(ReportRefreshOutcomeRequest),
    EnqueueBatch(EnqueueBatchRequest),
    ReportOutcomes(ReportOutcomesRequest),
    AwaitJob(AwaitJobRequest),
    ListJobs(ListJobsRequest),
}

/// What is answered.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Told {
    Enqueue(EnqueueResponse),
    GetJob(GetJobResponse),
    LeaseTasks(LeaseTasksResponse),
    Heartbeat(HeartbeatResponse),
    EnqueueBatch(EnqueueBatchResponse),
    ReportOutcomes(ReportOutcomesResponse),
    AwaitJob(AwaitJobResponse),
    ListJobs(ListJobsResponse),
    Nothing,
}

pub type Answer = Result<Told, Status>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Script = dyn Fn(Asked, MetadataMap) -> Answering + Send + Sync;

/// A server of one shard, until a test gives it another layout.
pub struct Fake {
    pub address: String,
    pub layout: Arc<Mutex<GetClusterInfoResponse>>,
    /// How often the layout was asked for, and with what metadata the last time.
    pub layouts_asked: Arc<AtomicUsize>,
    pub layout_metadata: Arc<Mutex<MetadataMap>>,
    _serving: JoinSet<()>,
}

impl Fake {
    pub async fn start<F>(script: impl Fn(Asked, MetadataMap) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let layout = Arc::new(Mutex::new(layout(&[(&address, "one", "", "")])));
        let service = Service {
            layout: Arc::clone(&layout),
            layouts_asked: Arc::default(),
            layout_metadata: Arc::default(),
            script: Box::new(move |asked, metadata| Box::pin(script(asked, metadata))),
        };
        let (layouts_asked, layout_metadata) = (
            Arc::clone(&service.layouts_asked),
            Arc::clone(&service.layout_metadata),
        );
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            tonic::transport::Server::builder()
                .add_service(SiloServer::new(service))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self {
            address,
            layout,
            layouts_asked,
            layout_metadata,
            _serving: serving,
        }
    }

    pub fn layouts(&self) -> usize {
        self.layouts_asked.load(Ordering::SeqCst)
    }
}

/// Shards as (address, shard, start, end); each is also its own node.
pub fn layout(shards: &[(&str, &str, &str, &str)]) -> GetClusterInfoResponse {
    let shard_owners = shards
        .iter()
        .map(|(address, shard, start, end)| ShardOwner {
            shard_id: (*shard).to_owned(),
            grpc_addr: (*address).to_owned(),
            node_id: format!("node of {shard}"),
            range_start: (*start).to_owned(),
            range_end: (*end).to_owned(),
            placement_ring: None,
        })
        .collect::<Vec<_>>();
    GetClusterInfoResponse {
        num_shards: u32::try_from(shards.len()).unwrap(),
        shard_owners,
        ..GetClusterInfoResponse::default()
    }
}

/// A wire to a server: what it carries breaks off when it is cut; it can be used again after that.
pub struct Wire {
    pub address: String,
    cut: tokio::sync::watch::Sender<()>,
    _carrying: JoinSet<()>,
}

impl Wire {
    pub async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, server) = (tokio::sync::watch::Sender::new(()), server.to_owned());
        let cuts = cut.clone();
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let (server, mut cut) = (server.clone(), cuts.subscribe());
                connections.spawn(async move {
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            cut,
            _carrying: carrying,
        }
    }

    pub fn cut(&self) {
        self.cut.send_replace(());
    }
}

struct Service {
    layout: Arc<Mutex<GetClusterInfoResponse>>,
    layouts_asked: Arc<AtomicUsize>,
    layout_metadata: Arc<Mutex<MetadataMap>>,
    script: Box<Script>,
}

macro_rules! service {
    (
        scripted {
            $(
                $scripted:ident: $asked:ident($request:ty)
                    => $told:pat => $answer:expr => $response:ty;
            )*
        }
        unscripted { $($name:ident: $other:ty => $nothing:ty;)* }
    ) => {
        #[tonic::async_trait]
        impl Silo for Service {
            type QueryArrowStream = tokio_stream::Empty<Result<ArrowIpcMessage, Status>>;

            async fn query_arrow(
                &self,
                _: Request<QueryArrowRequest>,
            ) -> Result<Response<Self::QueryArrowStream>, Status> {
                Err(Status::unimplemented("query_arrow"))
            }

            async fn get_cluster_info(
                &self,
                request: Request<GetClusterInfoRequest>,
            ) -> Result<Response<GetClusterInfoResponse>, Status> {
                self.layouts_asked.fetch_add(1, Ordering::SeqCst);
                *self.layout_metadata.lock().unwrap() = request.metadata().clone();
                Ok(Response::new(self.layout.lock().unwrap().clone()))
            }

            $(async fn $scripted(
                &self,
                request: Request<$request>,
            ) -> Result<Response<$response>, Status> {
                let (metadata, _, body) = request.into_parts();
                match (self.script)(Asked::$asked(body), metadata).await? {
                    $told => Ok(Response::new($answer)),
                    #[allow(unreachable_patterns)]
                    other => panic!("{other:?} is no answer to {}", stringify!($scripted)),
                }
            })*

            $(async fn $name(
                &self,
                _: Request<$other>,
            ) -> Result<Response<$nothing>, Status> {
                Err(Status::unimplemented(stringify!($name)))
            })*
        }
    };
}

service! {
    scripted {
    enqueue: Enqueue(EnqueueRequest) => Told::Enqueue(it) => it => EnqueueResponse;
    get_job: GetJob(GetJobRequest) => Told::GetJob(it) => it => GetJobResponse;
    cancel_job: CancelJob(CancelJobRequest)
        => Told::Nothing => CancelJobResponse {} => CancelJobResponse;
    lease_tasks: LeaseTasks(LeaseTasksRequest) => Told::LeaseTasks(it) => it => LeaseTasksResponse;
    heartbeat: Heartbeat(HeartbeatRequest) => Told::Heartbeat(it) => it => HeartbeatResponse;
    report_outcome: ReportOutcome(ReportOutcomeRequest)
        => Told::Nothing => ReportOutcomeResponse {} => ReportOutcomeResponse;
    report_refresh_outcome: ReportRefreshOutcome(ReportRefreshOutcomeRequest)
        => Told::Nothing => ReportRefreshOutcomeResponse {} => ReportRefreshOutcomeResponse;
    enqueue_batch: EnqueueBatch(EnqueueBatchRequest)
        => Told::EnqueueBatch(it) => it => EnqueueBatchResponse;
    report_outcomes: ReportOutcomes(ReportOutcomesRequest)
        => Told::ReportOutcomes(it) => it => ReportOutcomesResponse;
    await_job: AwaitJob(AwaitJobRequest) => Told::AwaitJob(it) => it => AwaitJobResponse;
    list_jobs: ListJobs(ListJobsRequest) => Told::ListJobs(it) => it => ListJobsResponse;
    }
    unscripted {
    get_node_info: GetNodeInfoRequest => GetNodeInfoResponse;
    get_job_result: GetJobResultRequest => GetJobResultResponse;
    delete_job: DeleteJobRequest => DeleteJobResponse;
    drop_tenant_holders: DropTenantHoldersRequest => DropTenantHoldersResponse;
    restart_job: RestartJobRequest => RestartJobResponse;
    expedite_job: ExpediteJobRequest => ExpediteJobResponse;
    lease_task: LeaseTaskRequest => LeaseTaskResponse;
    query: QueryRequest => QueryResponse;
    cpu_profile: CpuProfileRequest => CpuProfileResponse;
    heap_profile: HeapProfileRequest => HeapProfileResponse;
    request_split: RequestSplitRequest => RequestSplitResponse;
    get_split_status: GetSplitStatusRequest => GetSplitStatusResponse;
    configure_shard: ConfigureShardRequest => ConfigureShardResponse;
    import_jobs: ImportJobsRequest => ImportJobsResponse;
    reset_shards: ResetShardsRequest => ResetShardsResponse;
    force_release_shard: ForceReleaseShardRequest => ForceReleaseShardResponse;
    compact_shard: CompactShardRequest => CompactShardResponse;
    flush_shard: FlushShardRequest => FlushShardResponse;
    get_shard_storage_info: GetShardStorageInfoRequest => GetShardStorageInfoResponse;
    dump_tasks: DumpTasksRequest => DumpTasksResponse;
    heartbeats: HeartbeatsRequest => HeartbeatsResponse;
    list_limits: ListLimitsRequest => ListLimitsResponse;
    show_limit: ShowLimitRequest => ShowLimitResponse;
    set_limit: SetLimitRequest => SetLimitResponse;
    explain_job: ExplainJobRequest => ExplainJobResponse;
    list_quarantined_jobs: ListQuarantinedJobsRequest => ListQuarantinedJobsResponse;
    get_tenant: GetTenantRequest => GetTenantResponse;
    set_tenant: SetTenantRequest => SetTenantResponse;
    pause_queue: PauseQueueRequest => PauseQueueResponse;
    resume_queue: ResumeQueueRequest => ResumeQueueResponse;
    list_paused_queues: ListPausedQueuesRequest => ListPausedQueuesResponse;
    }
}
