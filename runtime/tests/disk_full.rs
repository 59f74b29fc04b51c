//! A disk without space: what cannot be kept is refused, and what was acknowledged is there when
//! there is space again.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::reply::{Content, Reply};
use silo_core::table::job::JobKey;
use silo_runtime::executor::replies::Failure;
use silo_runtime::executor::shard::{Shard, ShardState};
use silo_runtime::storage::backend::{Storage, StoreAbilities};
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use silo_test_faults::fault::{Fault, Operation, Requests, Trouble};
use silo_test_faults::injected::Injected;
use silo_test_faults::store::FaultyStore;
use tempfile::TempDir;

use crate::common::disk::{impatient, open, reaches};
use crate::common::say;

/// A disk that can be filled.
struct Disk {
    folder: TempDir,
    kind: Kind,
}

enum Kind {
    /// A file system of its own, of a few MiB.
    Real,
    /// The store says what it says when the disk is full: for whoever may not mount anything.
    Pretended(Arc<FaultyStore>, Option<Injected>),
}

impl Disk {
    fn real() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mut mount = Program::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "silo-test"]);
        let mounted = mount.arg(folder.path()).output();
        let is_mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        let kind = Kind::Real;
        is_mounted.then_some(Self { folder, kind })
    }

    fn pretended() -> Self {
        let folder = TempDir::new().unwrap();
        let files = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let store = FaultyStore::new(Arc::new(files.with_fsync(true)));
        let kind = Kind::Pretended(store, None);
        Self { folder, kind }
    }

    async fn storage(&self) -> Storage {
        match &self.kind {
            Kind::Real => {
                let path = self.folder.path().join("data");
                let config = patient(BackendConfig::Fs { path, fsync: true });
                Storage::open(&config).await.unwrap()
            }
            Kind::Pretended(store, _) => {
                let abilities = StoreAbilities {
                    conditional_replace: false,
                };
                let config = patient(BackendConfig::Memory);
                let store = Arc::clone(store);
                Storage::with_object_store(store, abilities, &config).unwrap()
            }
        }
    }

    /// Leaves no byte.
    fn fill(&mut self) {
        match &mut self.kind {
            Kind::Real => {
                let mut ballast = fs::File::create(self.ballast()).unwrap();
                for chunk in [1 << 16, 1 << 12, 1] {
                    while ballast.write_all(&vec![7; chunk]).is_ok() {}
                }
                let full = fs::write(self.folder.path().join("more"), b"x").unwrap_err();
                assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
            }
            Kind::Pretended(store, outage) => {
                let puts = Requests::of([Operation::Put]);
                *outage = Some(store.inject(Fault::Fails(Trouble::DiskFull), puts));
            }
        }
    }

    fn make_room(&mut self) {
        match &mut self.kind {
            Kind::Real => {
                fs::remove_file(self.ballast()).unwrap();
            }
            Kind::Pretended(_, outage) => drop(outage.take()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if matches!(self.kind, Kind::Real) {
            let _ = Program::new("umount")
                .arg("-l")
                .arg(self.folder.path())
                .output();
        }
    }
}

/// Looks around all the time.
fn patient(backend: BackendConfig) -> StorageConfig {
    let mut config = impatient(backend);
    config.shard.compaction_poll_ms = 50;
    config
}

async fn call(shard: &Shard, command: Command) -> Result<Reply, Failure> {
    let answer = tokio::time::timeout(Duration::from_secs(5), shard.call(command)).await;
    answer.expect("nobody waits for the disk")
}

fn job(number: u32) -> (JobKey, Enqueue) {
    let key = say::job("t", &format!("job-{number}"));
    let number = number.to_le_bytes();
    let payload = number
        .iter()
        .copied()
        .cycle()
        .take(20_000)
        .collect::<Vec<_>>();
    let enqueue = Enqueue {
        payload: Bytes::from(payload),
        request: None,
        ..say::plain(&key)
    };
    (key, enqueue)
}

async fn survives(mut disk: Disk) {
    let storage = disk.storage().await;
    let shard = open(&storage).await;
    let mut kept = Vec::new();
    for number in 0..20 {
        let (key, enqueue) = job(number);
        call(&shard, say::enqueue(enqueue)).await.unwrap();
        kept.push((number, key));
    }

    disk.fill();
    let (unsure, enqueue) = job(20);
    let told = call(&shard, say::enqueue(enqueue)).await;
    assert_eq!(told, Err(Failure::OutcomeUnknown));
    reaches(&shard, |state| *state == ShardState::Opening).await;
    for number in 21..200 {
        let told = call(&shard, say::enqueue(job(number).1)).await;
        assert!(
            matches!(
                told,
                Err(Failure::Opening | Failure::Unavailable | Failure::OutcomeUnknown)
            ),
            "{told:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    disk.make_room();
    reaches(&shard, |state| *state == ShardState::Open).await;
    let (key, enqueue) = job(200);
    call(&shard, say::enqueue(enqueue)).await.unwrap();
    kept.push((200, key));
    for (number, key) in &kept {
        let reply = call(&shard, say::get(key, false)).await.unwrap();
        let Reply::Job(shown) = reply else {
            panic!("{key:?} was acknowledged and is lost: {reply:?}");
        };
        let Content::Inline(payload) = shown.payload else {
            panic!("{key:?} has lost its payload");
        };
        assert_eq!(payload, job(*number).1.payload);
    }
    let told = call(&shard, say::get(&unsure, false)).await.unwrap();
    assert!(
        matches!(told, Reply::Job(_) | Reply::Refused(_)),
        "{told:?}"
    );
    shard.flush_tables().await.unwrap();
    shard.close().await;
    assert_eq!(
        halves(disk.folder.path()),
        0,
        "no half-written files are left"
    );
}

/// Files that `LocalFileSystem` has begun and not finished.
fn halves(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += halves(&path);
        } else {
            count += usize::from(path.to_string_lossy().contains('#'));
        }
    }
    count
}

#[silo::test]
async fn a_disk_that_says_it_is_full() {
    survives(Disk::pretended()).await;
}

/// Whoever may not mount a disk of a few MiB runs it with one that pretends.
#[silo::test]
async fn a_disk_that_is_full() {
    let disk = Disk::real().unwrap_or_else(|| {
        tracing::warn!("no file system can be mounted here: the full disk is pretended");
        Disk::pretended()
    });
    survives(disk).await;
}
