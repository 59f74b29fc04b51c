//! `ImportJobs`: jobs with a history, of one shard or several.

use std::sync::Arc;

use silo_core::shard::command::Command;
use silo_core::shard::commands::import::{
    IMPORT_ATTEMPTS_TOTAL_MAX, IMPORT_JOBS_MAX, Import, ImportJob,
};
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::{Imported, Reply};
use silo_core::table::job::JobKey;
use silo_core::table::state::Status;

use crate::executor::replies::Failure;
use crate::executor::shard::Shard;
use crate::node::Node;
use crate::proto::{ImportJobRequest, ImportJobResult, ImportJobsResponse, JobStatus};
use crate::service::ask::ask;
use crate::service::bulk::{Bulk, STRANGE, check_count, routed};
use crate::service::denial::Denial;
use crate::service::parse::Parser;
use crate::service::{route, write};

/// Imports jobs.
///
/// # Errors
/// [`Denial`] for too many jobs, and while one of them runs: then nothing is imported. When the
/// jobs are of one shard and that does not answer, so is the call not.
pub async fn import_jobs(
    node: &Node,
    parser: &Parser,
    bulk: &Bulk,
    requests: Vec<ImportJobRequest>,
) -> Result<ImportJobsResponse, Denial> {
    check_count("jobs", requests.len(), IMPORT_JOBS_MAX)?;
    let attempts = requests.iter().map(|request| request.attempts.len()).sum();
    check_count("attempts of all jobs", attempts, IMPORT_ATTEMPTS_TOTAL_MAX)?;
    let ids: Vec<String> = requests.iter().map(|request| request.id.clone()).collect();
    let mut outcomes: Vec<Option<Result<Status, Denial>>> = Vec::with_capacity(ids.len());
    let mut parts: Vec<Part> = Vec::new();
    for (index, request) in requests.into_iter().enumerate() {
        let parsed = parse(node, parser, request);
        outcomes.push(match parsed {
            Ok((shard, job)) => {
                Part::add(&mut parts, shard, index, job);
                None
            }
            Err(denial) => Some(Err(denial)),
        });
    }
    // One shard judges all of its jobs together; over several, they are looked at first.
    let is_one = parts.len() <= 1;
    if !is_one {
        for part in &parts {
            part.refuse_running(bulk).await?;
        }
    }
    let mut may_be_taken = false;
    for part in parts {
        let indexes = part.indexes.clone();
        match part.import().await {
            Ok(imported) => {
                may_be_taken = true;
                for (index, imported) in indexes.into_iter().zip(imported) {
                    let outcome = imported.outcome.map_err(Denial::from);
                    put(&mut outcomes, index, outcome);
                }
            }
            // A job runs, or the one shard does not answer: nothing was imported.
            Err(denial @ Denial::Refused(_)) if !may_be_taken => return Err(denial),
            Err(denial) if is_one => return Err(denial),
            // The jobs of other shards may have been taken: the call cannot say that none was.
            Err(denial) => {
                may_be_taken |= matches!(denial, Denial::Failed(Failure::OutcomeUnknown));
                for index in indexes {
                    put(&mut outcomes, index, Err(denial.clone()));
                }
            }
        }
    }
    let missing = || Err(Denial::Bug("a job of an import has no outcome"));
    let outcomes = outcomes.into_iter().map(|o| o.unwrap_or_else(missing));
    let outcomes = routed(outcomes.collect())?;
    let results = ids.into_iter().zip(outcomes);
    Ok(ImportJobsResponse {
        results: results.map(|(id, outcome)| result(id, outcome)).collect(),
    })
}

fn parse(
    node: &Node,
    parser: &Parser,
    mut request: ImportJobRequest,
) -> Result<(Arc<Shard>, ImportJob), Denial> {
    let shard = std::mem::take(&mut request.shard);
    let job = parser.import(request)?;
    let shard = route::of_tenant(node, &shard, &job.tenant)?;
    Ok((shard, job))
}

fn put(
    outcomes: &mut [Option<Result<Status, Denial>>],
    index: usize,
    outcome: Result<Status, Denial>,
) {
    if let Some(place) = outcomes.get_mut(index) {
        *place = Some(outcome);
    }
}

fn result(id: String, outcome: Result<Status, Denial>) -> ImportJobResult {
    let status = match &outcome {
        Ok(status) => write::job::status(*status).unwrap_or_default(),
        Err(_) => JobStatus::default(),
    };
    ImportJobResult {
        id,
        success: outcome.is_ok(),
        error: outcome.err().map(|denial| denial.to_string()),
        status: status.into(),
    }
}

/// The jobs of one shard, and where they stood in the call.
struct Part {
    shard: Arc<Shard>,
    indexes: Vec<usize>,
    jobs: Vec<ImportJob>,
}

impl Part {
    fn add(parts: &mut Vec<Self>, shard: Arc<Shard>, index: usize, job: ImportJob) {
        let of_shard = |part: &&mut Self| Arc::ptr_eq(&part.shard, &shard);
        if let Some(part) = parts.iter_mut().find(of_shard) {
            part.indexes.push(index);
            part.jobs.push(job);
        } else {
            parts.push(Self {
                shard,
                indexes: vec![index],
                jobs: vec![job],
            });
        }
    }

    /// Refuses when one of the jobs runs. What cannot be looked at is left to the import to say.
    async fn refuse_running(&self, bulk: &Bulk) -> Result<(), Denial> {
        let keys = self.jobs.iter().map(|job| JobKey {
            tenant: job.tenant.clone(),
            job: job.id.clone(),
        });
        // That there is no result yet says where the job stands, and reads nothing else of it.
        let looks = bulk.each(keys.collect(), |key| ask(&self.shard, Command::Result(key)));
        for looked in looks.await {
            if let Err(Denial::Refused(refusal)) = looked
                && let Refusal::NotTerminal(key, Status::Running) = *refusal
            {
                return Err(Refusal::JobRunning(key).into());
            }
        }
        Ok(())
    }

    async fn import(self) -> Result<Vec<Imported>, Denial> {
        let import = Import { jobs: self.jobs };
        let Reply::Imported(imported) = ask(&self.shard, Command::Import(import)).await? else {
            return Err(STRANGE);
        };
        Ok(imported)
    }
}
