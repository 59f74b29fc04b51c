//! Whose call it is.

use silo_core::types::Invalid;
use silo_core::types::task::TaskId;
use silo_core::types::tenant::Tenant;

use crate::node::NodeOptions;
use crate::service::denial::Denial;

/// Whether callers name a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// There is one tenant, and nobody names it.
    Off,
    /// Every call about a job names one.
    On,
}

impl Tenancy {
    /// As a node was told.
    #[must_use]
    pub const fn of(options: &NodeOptions) -> Self {
        if options.tenancy { Self::On } else { Self::Off }
    }

    /// The tenant of a call about a job. An empty tenant is an absent one.
    ///
    /// # Errors
    /// [`Denial`] when one is given and tenancy is off, or is missing or too long and it is on.
    pub fn of_job(self, given: Option<&str>) -> Result<Tenant, Denial> {
        let given = given.filter(|tenant| !tenant.is_empty());
        match (self, given) {
            (Self::Off, None) => Ok(Tenant::single()),
            (Self::Off, Some(_)) => Err(Denial::TenancyOff),
            (Self::On, Some(tenant)) => Ok(Tenant::parse(tenant)?),
            (Self::On, None) => {
                let bound = "given: tenancy is on";
                Err(Invalid::new("tenant", "absent", bound).into())
            }
        }
    }

    /// The task of a worker's call. The task's id is the authority; a tenant beside it may only
    /// agree, and is not looked at when tenancy is off.
    ///
    /// # Errors
    /// [`Denial::LeaseUnknown`] for a text that is no task id, and for another tenant's task.
    pub fn of_task(self, id: &str, given: Option<&str>) -> Result<TaskId, Denial> {
        let task = TaskId::decode(id).map_err(|_| Denial::LeaseUnknown)?;
        let given = given.filter(|tenant| !tenant.is_empty());
        let is_own = match (self, given) {
            (Self::Off, _) => task.tenant == Tenant::single(),
            (Self::On, None) => true,
            (Self::On, Some(tenant)) => task.tenant.as_str() == tenant,
        };
        if is_own {
            Ok(task)
        } else {
            Err(Denial::LeaseUnknown)
        }
    }

    /// The tenant as answers name it.
    #[must_use]
    pub fn shown(self, tenant: &Tenant) -> Option<String> {
        match self {
            Self::Off => None,
            Self::On => Some(tenant.as_str().to_owned()),
        }
    }
}
