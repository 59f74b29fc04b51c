//! Rows changed behind a server's back.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::types::name::JobId;
use silo_core::types::tenant::Tenant;
use silo_runtime::storage::backend::{Storage, StoreAbilities};
use silo_runtime::storage::catalog::ShardCatalog;
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::shard::ShardStore;

use crate::server::{Setup, Trouble};

/// A job where tenancy is off.
///
/// # Errors
/// When that is no id.
pub fn key(id: &str) -> Result<JobKey, Trouble> {
    Ok(JobKey {
        tenant: Tenant::single(),
        job: JobId::parse(id)?,
    })
}

/// A job of this tenant.
///
/// # Errors
/// When that is no tenant, or no id.
pub fn key_of(tenant: &str, id: &str) -> Result<JobKey, Trouble> {
    Ok(JobKey {
        tenant: Tenant::parse(tenant)?,
        job: JobId::parse(id)?,
    })
}

/// Changes a row where tenancy is off, while no server is there.
///
/// # Errors
/// When storage cannot be opened or written.
pub async fn put(setup: &Setup, row: Key, value: Option<Bytes>) -> Result<(), Trouble> {
    put_all(setup, &Tenant::single(), vec![(row, value)]).await
}

/// Changes rows of one tenant, while no server is there.
///
/// # Errors
/// When storage cannot be opened or written.
pub async fn put_all(
    setup: &Setup,
    tenant: &Tenant,
    rows: Vec<(Key, Option<Bytes>)>,
) -> Result<(), Trouble> {
    let abilities = StoreAbilities {
        conditional_replace: true,
    };
    let bucket = Arc::clone(&setup.bucket);
    let storage = Storage::with_object_store(bucket, abilities, &setup.storage)?;
    let shards = NonZeroU32::new(setup.shards).ok_or("a node needs a shard")?;
    let catalog = ShardCatalog::open(&storage, shards, 0).await?;
    let entry = catalog.owner_of(tenant.hash()).ok_or("a shard")?;
    let clock = Arc::new(SystemWallClock::default());
    let store = ShardStore::open(&storage, entry, clock).await?;
    store.write(rows).await?;
    Ok(store.close().await?)
}
