//! Files of which a bit has flipped. (Of the log and of tables: a manifest carries no checksum, so
//! that what a flipped bit in one does depends on the bit.)

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::table::TableId;
use silo_core::types::time::Millis;
use silo_runtime::executor::replies::Failure;
use silo_runtime::executor::shard::{Shard, ShardState};
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::error::StorageError;
use slatedb::admin::Admin;

use crate::common::disk::{context, entry, faulty, memory, open, reaches, within};
use crate::common::say;

async fn call(shard: &Shard, command: Command) -> Result<Reply, Failure> {
    within(shard.call(command)).await
}

const LEASE: Millis = Millis::new(500);

/// Two tenants with a job of each kind, in files.
async fn filled() -> Storage {
    let storage = memory().await;
    let now = context(&storage).clock.now();
    let shard = open(&storage).await;
    for tenant in ["t", "u"] {
        let plain = |id: &str| Enqueue {
            lease: Some(LEASE),
            ..say::plain(&say::job(tenant, id))
        };
        let leased = say::job(tenant, "leased");
        for job in [
            plain("ready"),
            plain("leased"),
            Enqueue {
                payload: Bytes::from(vec![7; 6_000]),
                ..plain("large")
            },
            Enqueue {
                start_at: Some(now.wall.after(Millis::new(500))),
                ..plain("later")
            },
        ] {
            call(&shard, say::enqueue(job)).await.unwrap();
        }
        let reply = call(&shard, say::lease_job(&leased)).await.unwrap();
        assert!(matches!(reply, Reply::Leased(_)));
    }
    shard.flush_tables().await.unwrap();
    shard.close().await;
    storage
}

/// Flips one bit in the first block of each file of a table. Twice makes them whole again.
async fn flip(storage: &Storage, table: TableId) {
    let path = entry(storage).await.path;
    let admin = Admin::builder(path.clone(), Arc::clone(storage.object_store())).build();
    let manifest = admin.read_manifest(None).await.unwrap().unwrap();
    let mut count = 0;
    for segment in manifest.segments() {
        if segment.prefix().as_ref() != [table as u8] {
            continue;
        }
        for view in segment.l0() {
            let id = view.sst.id.value();
            let file = Path::from(format!("{path}/compacted/{id}.sst"));
            let store = storage.object_store();
            let mut bytes = store
                .get(&file)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap()
                .to_vec();
            bytes[12] ^= 1;
            store.put(&file, bytes.into()).await.unwrap();
            count += 1;
        }
    }
    assert!(count > 0);
}

/// A shard over these files, with an empty cache.
async fn opened(storage: &Storage) -> (Shard, ShardState) {
    let (_, storage) = faulty(storage, true);
    let shard = Shard::start(entry(&storage).await, context(&storage));
    let state = reaches(&shard, |state| *state != ShardState::Opening).await;
    (shard, state)
}

/// Leases until these jobs, and no other, have come, each as `tenant/job`.
async fn leases(shard: &Shard, jobs: &[&str]) {
    let mut missing: BTreeSet<String> = jobs.iter().map(ToString::to_string).collect();
    within(async {
        while !missing.is_empty() {
            let Ok(Reply::Leased(tasks)) = call(shard, say::lease("g", 10)).await else {
                continue;
            };
            for task in tasks {
                let name = format!("{}/{}", task.id.tenant, task.id.job);
                assert!(jobs.contains(&name.as_str()), "{name}");
                missing.remove(&name);
                call(shard, say::report(&task.id, say::success(b"ok")))
                    .await
                    .unwrap();
            }
        }
    })
    .await;
}

async fn goes_on(shard: &Shard) {
    let new = say::plain(&say::job("v", "new"));
    call(shard, say::enqueue(new)).await.unwrap();
    leases(shard, &["v/new"]).await;
}

#[silo::test]
async fn jobs_in_a_damaged_block_are_set_aside_and_others_go_on() {
    for table in [TableId::Job, TableId::State] {
        let storage = filled().await;
        flip(&storage, table).await;
        let (shard, state) = opened(&storage).await;
        assert_eq!(state, ShardState::Open);
        goes_on(&shard).await;
        for id in ["ready", "leased", "large", "later"] {
            let key = say::job("t", id);
            let told = call(&shard, say::get(&key, false)).await;
            assert_eq!(told, Ok(Reply::Refused(Refusal::Quarantined(key))));
        }
        shard.close().await;
    }
}

#[silo::test]
async fn a_job_whose_payload_is_in_a_damaged_block_is_set_aside_and_others_go_on() {
    let storage = filled().await;
    flip(&storage, TableId::Payload).await;
    let (shard, state) = opened(&storage).await;
    assert_eq!(state, ShardState::Open);
    // Each payload fills a block: of two, the first is damaged.
    let others = [
        "t/ready", "t/leased", "t/large", "t/later", "u/ready", "u/leased", "u/later",
    ];
    leases(&shard, &others).await;
    let key = say::job("u", "large");
    let told = call(&shard, say::get(&key, false)).await;
    assert_eq!(told, Ok(Reply::Refused(Refusal::Quarantined(key))));
    shard.close().await;
}

/// What the shard cannot see it must not take for nothing: workers would see an idle shard, and
/// nobody that its jobs wait.
#[silo::test]
async fn a_shard_that_cannot_find_its_work_says_so_and_finds_all_once_the_file_is_whole() {
    for table in [
        TableId::Tenant,
        TableId::Ready,
        TableId::Due,
        TableId::Running,
    ] {
        let storage = filled().await;
        flip(&storage, table).await;
        let (shard, state) = opened(&storage).await;
        assert_eq!(state, ShardState::Open, "{table:?}");
        // What can be found is handed out, and then it is said that there may be more.
        let mut found = BTreeSet::new();
        within(async {
            loop {
                match call(&shard, say::lease("g", 10)).await {
                    Ok(Reply::Leased(tasks)) => {
                        for task in tasks {
                            let success = say::report(&task.id, say::success(b"ok"));
                            call(&shard, success).await.unwrap();
                            found.insert(format!("{}/{}", task.id.tenant, task.id.job));
                        }
                    }
                    told => break assert_eq!(told, Err(Failure::Unreadable), "{table:?}"),
                }
            }
        })
        .await;
        assert!(shard.may_have(&say::group("g")), "{table:?}");
        // Whoever asks for something that can be read is answered.
        let shown = call(&shard, say::get(&say::job("t", "leased"), false)).await;
        assert!(matches!(shown, Ok(Reply::Job(_))), "{table:?} {shown:?}");

        flip(&storage, table).await;
        let all = ["ready", "leased", "large", "later"];
        let all = all
            .iter()
            .flat_map(|id| [format!("t/{id}"), format!("u/{id}")]);
        let rest: Vec<_> = all.filter(|name| !found.contains(name)).collect();
        let rest: Vec<_> = rest.iter().map(String::as_str).collect();
        assert!(!rest.is_empty());
        leases(&shard, &rest).await;
        shard.close().await;
    }
}

#[silo::test]
async fn a_shard_that_cannot_read_its_own_format_names_the_file() {
    let storage = filled().await;
    flip(&storage, TableId::Singleton).await;
    let (shard, state) = opened(&storage).await;
    let ShardState::Broken(StorageError::Invalid { detail, .. }) = state else {
        panic!("{state:?}");
    };
    assert!(
        detail.contains("checksum") && detail.contains(".sst"),
        "{detail}"
    );
    shard.close().await;
}

/// Flips one bit in the middle of each object below this folder of the shard that holds anything.
async fn flip_in(storage: &Storage, folder: &str) {
    let store = storage.object_store();
    let folder = Path::from(format!("{}/{folder}", entry(storage).await.path));
    let objects: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
    let filled = objects.iter().filter(|object| object.size > 0);
    assert!(filled.clone().count() > 0);
    for object in filled {
        let bytes = store.get(&object.location).await.unwrap().bytes();
        let mut bytes = bytes.await.unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        store.put(&object.location, bytes.into()).await.unwrap();
    }
}

/// What was acknowledged is in there: to leave it out in silence would lose it.
#[silo::test]
async fn a_damaged_log_keeps_a_shard_from_opening() {
    let storage = memory().await;
    let shard = open(&storage).await;
    let kept = say::job("t", "kept");
    call(&shard, say::enqueue(say::plain(&kept))).await.unwrap();
    // It dies: nothing moves from the log into tables.
    let copy = copy_of(&storage).await;
    shard.close().await;

    flip_in(&copy, "wal").await;
    let (shard, state) = opened(&copy).await;
    let ShardState::Broken(StorageError::Invalid { detail, .. }) = state else {
        panic!("{state:?}");
    };
    assert!(
        detail.contains("checksum") && detail.contains("/wal/"),
        "{detail}"
    );
    shard.close().await;

    flip_in(&copy, "wal").await;
    let (shard, state) = opened(&copy).await;
    assert_eq!(state, ShardState::Open);
    leases(&shard, &["t/kept"]).await;
    shard.close().await;
}

/// All objects as they are now, in a store of their own.
async fn copy_of(storage: &Storage) -> Storage {
    let copy = memory().await;
    let objects: Vec<_> = storage
        .object_store()
        .list(None)
        .try_collect()
        .await
        .unwrap();
    for object in &objects {
        let bytes = storage.object_store().get(&object.location).await.unwrap();
        let bytes = bytes.bytes().await.unwrap();
        copy.object_store()
            .put(&object.location, bytes.into())
            .await
            .unwrap();
    }
    copy
}
