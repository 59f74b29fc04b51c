//! A client of a Silo cluster: it finds the node that serves a tenant, follows shards that move,
//! and tries again what may be tried again.

pub mod address;
pub mod await_job;
pub(crate) mod backoff;
pub mod bulk;
mod call;
mod channels;
pub mod enqueue;
mod entropy;
pub mod error;
pub mod import;
pub mod limits;
pub mod list;
mod manage;
mod operate;
pub mod options;
pub mod payload;
mod routed;
pub mod routes;
pub mod task;
pub(crate) mod time;
pub mod tls;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use silo_core::types::tenant::Tenant;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use crate::client::address::Address;
use crate::client::call::{Caller, Place, Plan};
use crate::client::channels::Channels;
use crate::client::enqueue::Enqueue;
use crate::client::error::Error;
use crate::client::options::ClientOptions;
use crate::client::routes::{Routes, tenant_hash};
use crate::client::time::later;
use crate::client::verdict::Repeat;
use crate::proto::{
    CancelJobRequest, GetClusterInfoRequest, GetClusterInfoResponse, GetJobRequest, GetJobResponse,
    GetJobResultRequest, GetJobResultResponse,
};

/// The tenant of every job where tenancy is off.
const NO_TENANT: &str = Tenant::SINGLE;

/// A client. Clones share connections and what is known of the cluster's layout.
///
/// Every call may take as long as its client's deadline, retries included; it fails with
/// [`Error::Unavailable`] as soon as the next retry would come too late. Dropping a call's future
/// gives the call up; what was sent may still be done.
#[derive(Clone, Debug)]
pub struct Client {
    caller: Arc<Caller>,
    tenant: Option<String>,
    deadline: Duration,
}

impl Client {
    /// Connects to the first address that answers, and learns who serves what.
    ///
    /// # Errors
    ///
    /// `Options` if an address is not `host:port`, is a wildcard, or there is none, the token is
    /// not of visible ASCII, or certificates or keys cannot be used; `Unavailable` if nobody
    /// answers within the call deadline, or nobody that trusts this side and is trusted; `Refused`
    /// if the token is wrong.
    pub async fn connect(options: ClientOptions) -> Result<Self, Error> {
        let addresses = options
            .addresses
            .iter()
            .map(|text| Address::parse(text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::Options(error.to_string()))?;
        if addresses.is_empty() {
            return Err(Error::Options("no address is given".to_owned()));
        }
        let bearer = options.token.as_deref().map(bearer).transpose()?;
        let tenant = options.tenant.clone().filter(|tenant| !tenant.is_empty());
        let deadline = options.call_deadline;
        let tls = options.tls.as_ref();
        let tls = tls
            .map(|tls| tls.config(options.connect_timeout))
            .transpose()?;
        let caller = Caller {
            addresses,
            bearer,
            channels: Channels::new(options.connect_timeout, tls),
            routes: Routes::new(),
            doubted: AtomicBool::new(false),
            options,
        };
        caller.learn_first(later(Instant::now(), deadline)).await?;
        Ok(Self {
            caller: Arc::new(caller),
            tenant,
            deadline,
        })
    }

    /// The same client for another tenant's jobs.
    #[must_use]
    pub fn with_tenant(&self, tenant: impl Into<String>) -> Self {
        let tenant = Some(tenant.into()).filter(|tenant| !tenant.is_empty());
        Self {
            tenant,
            ..self.clone()
        }
    }

    /// The same client with another deadline for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    /// Enqueues a job and answers with its id once it is durable. A repeated try never makes a
    /// second job.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the id is taken by another job; `Refused` if a field is out of its
    /// bounds. After `OutcomeUnknown` or `Deadline` enqueue again with the same `request_id`.
    pub async fn enqueue(&self, job: Enqueue) -> Result<String, Error> {
        let request = job.into_request(self.tenant.clone(), entropy::request_id());
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: channels::Stub, request| async move { stub.enqueue(request).await };
        Ok(self.caller.call(plan, request, send).await?.body.id)
    }

    /// A job as it stands, with its attempts if asked for.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none of this id.
    pub async fn job(&self, id: &str, include_attempts: bool) -> Result<GetJobResponse, Error> {
        let request = GetJobRequest {
            shard: String::new(),
            id: id.to_owned(),
            tenant: self.tenant.clone(),
            include_attempts,
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: channels::Stub, request| async move { stub.get_job(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }

    /// How a job has ended.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none of this id; `Refused` with `FailedPrecondition` if it has not
    /// ended.
    pub async fn result(&self, id: &str) -> Result<GetJobResultResponse, Error> {
        let request = GetJobResultRequest {
            shard: String::new(),
            id: id.to_owned(),
            tenant: self.tenant.clone(),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send =
            |mut stub: channels::Stub, request| async move { stub.get_job_result(request).await };
        Ok(self.caller.call(plan, request, send).await?.body)
    }

    /// Cancels a job: at once if it is queued; a running one learns of it.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none of this id; `Refused` with `FailedPrecondition` if it is
    /// cancelled already or has ended; `OutcomeUnknown` if the connection broke.
    pub async fn cancel(&self, id: &str) -> Result<(), Error> {
        let request = CancelJobRequest {
            shard: String::new(),
            id: id.to_owned(),
            tenant: self.tenant.clone(),
        };
        let plan = self.for_tenant(Repeat::Unsafe);
        let send =
            |mut stub: channels::Stub, request| async move { stub.cancel_job(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }

    /// The cluster's layout as the next node in turn tells it.
    ///
    /// # Errors
    ///
    /// `Unavailable` if none tells it.
    pub async fn cluster_info(&self) -> Result<GetClusterInfoResponse, Error> {
        let plan = self.plan(Place::EachNode, Repeat::Safe);
        let send =
            |mut stub: channels::Stub, request| async move { stub.get_cluster_info(request).await };
        Ok(self
            .caller
            .call(plan, GetClusterInfoRequest {}, send)
            .await?
            .body)
    }

    fn for_tenant(&self, repeat: Repeat) -> Plan {
        self.plan(Place::Tenant(self.hash()), repeat)
    }

    fn hash(&self) -> String {
        tenant_hash(self.tenant.as_deref().unwrap_or(NO_TENANT))
    }

    fn plan(&self, place: Place, repeat: Repeat) -> Plan {
        Plan {
            place,
            repeat,
            deadline: later(Instant::now(), self.deadline),
        }
    }
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Error::Options("the token is not of visible ASCII".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
