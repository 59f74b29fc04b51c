//! Waiting until jobs have ended.

use std::time::Duration;

use silo_runtime::client::Client;
use silo_runtime::client::error::Error;

use crate::demo::cast::Key;

/// Longer than the demo may take.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Waits until each of these has ended. The server waits, not this side.
pub(crate) async fn until_ended<'a>(
    client: &Client,
    jobs: impl IntoIterator<Item = &'a Key>,
) -> Result<(), Error> {
    for (tenant, id) in jobs {
        let client = client.with_tenant(tenant.clone());
        client.await_job(id, WAIT_MAX).await?;
    }
    Ok(())
}
