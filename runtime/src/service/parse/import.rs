//! A job with a history, to import.

use silo_core::shard::commands::enqueue::MAX_CRASHES_DEFAULT;
use silo_core::shard::commands::import::{ImportAttempt, ImportEnding, ImportJob};
use silo_core::shard::commands::report::check_error_code;
use silo_core::table::tenant::Queue;
use silo_core::types::Invalid;
use silo_core::types::name::{JobId, Priority, TaskGroup};
use silo_core::types::time::Timestamp;

use crate::proto::{self, AttemptStatus, ImportJobRequest};
use crate::service::denial::Denial;
use crate::service::parse::enqueue::limits;
use crate::service::parse::{Parser, retry};

impl Parser {
    /// Takes a job with its history.
    ///
    /// # Errors
    /// [`Denial`] for the first field out of bounds, and for what is not there yet.
    pub fn import(&self, request: ImportJobRequest) -> Result<ImportJob, Denial> {
        let given = |millis: i64| (millis > 0).then(|| Timestamp::from_millis(millis));
        let attempts = request.attempts.into_iter();
        let attempts = attempts.map(|attempt| self.import_attempt(attempt));
        let job = ImportJob {
            tenant: self.tenancy.of_job(request.tenant.as_deref())?,
            id: JobId::parse(&request.id)?,
            queue: Queue {
                group: TaskGroup::parse(&request.task_group)?,
                priority: Priority::parse(request.priority)?,
            },
            enqueued_at: given(request.enqueue_time_ms),
            start_at: given(request.start_at_ms),
            retry: request
                .retry_policy
                .as_ref()
                .map(retry::policy)
                .transpose()?,
            max_crashes: MAX_CRASHES_DEFAULT,
            limits: limits(request.limits)?,
            metadata: request.metadata,
            payload: self.data("payload", request.payload)?,
            attempts: attempts.collect::<Result<_, _>>()?,
        };
        job.check()?;
        Ok(job)
    }

    fn import_attempt(&self, attempt: proto::ImportAttempt) -> Result<ImportAttempt, Invalid> {
        let terminal = "succeeded, failed or cancelled";
        let unknown = |_| Invalid::new("attempts.status", attempt.status, terminal);
        let status = AttemptStatus::try_from(attempt.status).map_err(unknown)?;
        let how = match status {
            AttemptStatus::Running => {
                return Err(Invalid::new("attempts.status", "running", terminal));
            }
            AttemptStatus::Succeeded => ImportEnding::Succeeded {
                data: self.data("attempts.result", attempt.result)?,
            },
            AttemptStatus::Failed => {
                let code = attempt.error_code.unwrap_or_default();
                check_error_code("attempts.error_code", &code)?;
                ImportEnding::Failed {
                    code,
                    data: self.data("attempts.error_data", attempt.error_data)?,
                }
            }
            AttemptStatus::Cancelled => ImportEnding::Cancelled,
        };
        Ok(ImportAttempt {
            started_at: Timestamp::from_millis(attempt.started_at_ms),
            finished_at: Timestamp::from_millis(attempt.finished_at_ms),
            how,
        })
    }
}
