//! Profiles of this process: where CPU time goes, found by a timer signal, and where memory does,
//! found by the allocator. Both as pprof reads them.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jemalloc_pprof::{JemallocProfCtl, PROF_CTL};
use pprof::protos::Message as _;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use silo_runtime::service::profile::{Profile, ProfileError, Profiler, Profiling};
use tokio::sync::Mutex;
use tracing::warn;

/// Code in which the stack cannot be walked from within a signal.
const NOT_WITHIN: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];
/// How to start a server that takes heap profiles.
const HOW_TO_HEAP: &str =
    "start it with _RJEM_MALLOC_CONF=prof:true,prof_active:false in its environment";

/// Takes profiles of this process.
#[derive(Debug)]
pub(crate) struct ProcessProfiler;

impl Profiler for ProcessProfiler {
    fn cpu(&self, hz: u32) -> Result<Box<dyn Profiling>, ProfileError> {
        let guard = ProfilerGuardBuilder::default()
            .frequency(i32::try_from(hz).unwrap_or(i32::MAX))
            .blocklist(&NOT_WITHIN)
            .build();
        Ok(Box::new(Cpu(guard.map_err(failed)?)))
    }

    fn heap(&self) -> Result<Box<dyn Profiling>, ProfileError> {
        let Some(control) = PROF_CTL.as_ref() else {
            return Err(ProfileError::Off(HOW_TO_HEAP.to_owned()));
        };
        let busy = |_| ProfileError::Failed("the allocator's profile is in use".to_owned());
        let mut begun = control.try_lock().map_err(busy)?;
        // Somebody who set prof_active:true wants to see all since the start, also afterwards.
        let was_active = begun.activated();
        if !was_active {
            begun.activate().map_err(failed)?;
        }
        Ok(Box::new(Heap {
            control: Arc::clone(control),
            ends: !was_active,
        }))
    }
}

struct Cpu(ProfilerGuard<'static>);

impl Profiling for Cpu {
    fn finish(self: Box<Self>) -> Result<Profile, ProfileError> {
        let report = self.0.report().build().map_err(failed)?;
        let samples = report.data.values().map(|count| count.unsigned_abs());
        let samples = samples.fold(0_usize, usize::saturating_add);
        let profile = report.pprof().map_err(failed)?.encode_to_vec();
        let mut data = GzEncoder::new(Vec::new(), Compression::default());
        data.write_all(&profile).map_err(failed)?;
        Ok(Profile {
            data: Bytes::from(data.finish().map_err(failed)?),
            samples: u64::try_from(samples).unwrap_or(u64::MAX),
        })
    }
}

struct Heap {
    control: Arc<Mutex<JemallocProfCtl>>,
    ends: bool,
}

impl Profiling for Heap {
    fn finish(self: Box<Self>) -> Result<Profile, ProfileError> {
        let profile = self.control.blocking_lock().dump_pprof();
        let data = profile.map_err(|error| ProfileError::Failed(error.to_string()))?;
        Ok(Profile {
            data: Bytes::from(data),
            samples: 0,
        })
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        if !self.ends {
            return;
        }
        // Nobody else holds it while a profile is taken, and profiles are taken one at a time.
        let ended = self
            .control
            .try_lock()
            .map(|mut control| control.deactivate());
        if !matches!(ended, Ok(Ok(()))) {
            warn!(?ended, "the allocator goes on sampling");
        }
    }
}

fn failed(error: impl std::error::Error) -> ProfileError {
    ProfileError::Failed(error.to_string())
}
