//! Waiting until jobs have ended.

use std::time::Duration;

use silo_runtime::client::Client;
use silo_runtime::client::error::Error;
use silo_runtime::proto::JobStatus;
use tokio::time::sleep;

use crate::demo::cast::Key;

/// Waits until each of these has ended.
pub(crate) async fn until_ended<'a>(
    client: &Client,
    jobs: impl IntoIterator<Item = &'a Key>,
) -> Result<(), Error> {
    for (tenant, id) in jobs {
        let client = client.with_tenant(tenant.clone());
        while matches!(
            client.job(id, false).await?.status(),
            JobStatus::Scheduled | JobStatus::Running
        ) {
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}
