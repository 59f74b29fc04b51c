//! Calls about one job.

use silo_core::table::job::JobKey;
use silo_core::types::name::JobId;

use crate::service::denial::Denial;
use crate::service::parse::Parser;

impl Parser {
    /// Which job a call is about.
    ///
    /// # Errors
    /// [`Denial`] when tenant or id are out of bounds.
    pub fn job(&self, tenant: Option<&str>, id: &str) -> Result<JobKey, Denial> {
        Ok(JobKey {
            tenant: self.tenancy.of_job(tenant)?,
            job: JobId::parse(id)?,
        })
    }
}
