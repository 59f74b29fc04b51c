//! What the figures were measured on. Without it they say nothing.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::bench::args::{PlaceArgs, Store, Target};

/// The machine and the program. What the system does not tell is absent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    cores: Option<usize>,
    cpu: Option<String>,
    memory_bytes: Option<u64>,
    /// Kind and release of the system.
    system: String,
    /// How many processes wanted to run in the minute before: on an idle machine, near 0.
    load_before: Option<f32>,
    version: &'static str,
    commit: Option<&'static str>,
    /// `release`, or `debug`, whose figures say nothing.
    build: &'static str,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let (cpu, memory_bytes, release, load_before) = told_by_system();
        let cores = std::thread::available_parallelism().ok();
        let build = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        Self {
            cores: cores.map(std::num::NonZero::get),
            cpu,
            memory_bytes,
            system: format!("{} {}", std::env::consts::OS, release.unwrap_or_default())
                .trim_end()
                .to_owned(),
            load_before,
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("SILO_COMMIT"),
            build,
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let known = |known: Option<String>| known.unwrap_or_else(|| "?".to_owned());
        let gibibytes = |bytes: u64| format!("{:.1} GiB", mebibytes(bytes) / 1024.0);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "machine   {} cores, {}, {} memory, {}, load before {}",
            known(self.cores.map(|cores| cores.to_string())),
            known(self.cpu.clone()),
            known(self.memory_bytes.map(gibibytes)),
            self.system,
            known(self.load_before.map(|load| format!("{load:.2}"))),
        );
        let commit = self.commit.map(|commit| format!(", commit {commit}"));
        let _ = write!(
            text,
            "program   silo {}{}, {} build{}",
            self.version,
            commit.unwrap_or_default(),
            self.build,
            if self.build == "debug" {
                ": do not publish these figures"
            } else {
                ""
            },
        );
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What is measured, and where its data is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setting {
    /// `own-server`, `in-process` or `server`.
    target: &'static str,
    /// The addresses of a server that is not the benchmark's own.
    server: Option<String>,
    /// `fs` or `memory`. Absent when it is not ours to say, as all that follows.
    store: Option<&'static str>,
    /// Whether the disk confirms writes to files.
    fsync: Option<bool>,
    /// The kind of file system that the files are on.
    file_system: Option<String>,
    shards: Option<u32>,
    /// Connections to a server. None: it is not called over gRPC.
    connections: Option<u32>,
}

impl Setting {
    pub(crate) fn of(place: &PlaceArgs) -> Self {
        let is_elsewhere = place.is_elsewhere();
        let is_files = !is_elsewhere && place.store == Store::Fs;
        let folder = || place.data.clone().unwrap_or_else(std::env::temp_dir);
        Self {
            target: match place.target {
                _ if is_elsewhere => "server",
                Target::OwnServer => "own-server",
                Target::InProcess => "in-process",
            },
            server: is_elsewhere.then(|| place.connect.server.join(",")),
            store: (!is_elsewhere).then_some(match place.store {
                Store::Fs => "fs",
                Store::Memory => "memory",
            }),
            fsync: place.is_fsynced(),
            file_system: is_files.then(|| file_system(&folder())).flatten(),
            shards: (!is_elsewhere).then_some(place.shards),
            connections: (is_elsewhere || place.target == Target::OwnServer)
                .then_some(place.connections),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("measured  {}", self.target);
        if let Some(server) = &self.server {
            let _ = write!(text, " {server}");
        }
        if let Some(shards) = self.shards {
            let _ = write!(text, ", {shards} shards");
        }
        if let Some(connections) = self.connections {
            let _ = write!(text, ", {connections} connections");
        }
        if let Some(store) = self.store {
            let _ = write!(text, ", store {store}");
        }
        if let Some(file_system) = &self.file_system {
            let _ = write!(text, " on {file_system}");
        }
        if let Some(fsync) = self.fsync {
            let _ = write!(text, ", fsync {}", if fsync { "on" } else { "off" });
        }
        text
    }
}

type Told = (Option<String>, Option<u64>, Option<String>, Option<f32>);

/// The processor, memory in bytes, the system's release, and the load of the last minute.
#[cfg(target_os = "linux")]
fn told_by_system() -> Told {
    use procfs::{CpuInfo, Current as _, LoadAverage, Meminfo};

    let cpu = CpuInfo::current().ok();
    let cpu = cpu.and_then(|cpu| cpu.model_name(0).map(str::to_owned));
    let memory = Meminfo::current().ok().map(|memory| memory.mem_total);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let load = LoadAverage::current().ok().map(|load| load.one);
    (
        cpu,
        memory,
        release.map(|text| text.trim().to_owned()),
        load,
    )
}

#[cfg(not(target_os = "linux"))]
const fn told_by_system() -> Told {
    (None, None, None, None)
}

/// The kind of file system that a folder is on.
#[cfg(target_os = "linux")]
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = procfs::process::Process::myself().and_then(|this| this.mountinfo());
    // Of several mounts on the way, the last one on the longest way is what is seen.
    let over = mounts.ok()?.0.into_iter();
    over.filter(|mount| folder.starts_with(&mount.mount_point))
        .max_by_key(|mount| mount.mount_point.as_os_str().len())
        .map(|mount| mount.fs_type)
}

#[cfg(not(target_os = "linux"))]
const fn file_system(_: &Path) -> Option<String> {
    None
}
