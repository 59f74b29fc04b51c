//! `CpuProfile` and `HeapProfile`: what the program that runs the service can tell about where its
//! time and memory go. How profiles are taken is the program's; that they are taken one at a time
//! and end in time is ours.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::proto::{
    CpuProfileRequest, CpuProfileResponse, HeapProfileRequest, HeapProfileResponse,
};
use crate::service::denial::Denial;
use crate::service::gate::place::Place;

const SECONDS_DEFAULT: u32 = 30;
const SECONDS_MAX: u32 = 300;
const HZ_DEFAULT: u32 = 100;
const HZ_MAX: u32 = 1000;
/// What is left of a call's time for making the answer, of a profile that would take longer: a
/// tenth, within these bounds.
const ANSWER_MIN: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Takes profiles of this process.
pub trait Profiler: fmt::Debug + Send + Sync {
    /// Begins to look, so often a second, at what runs.
    ///
    /// # Errors
    /// [`ProfileError`] when that cannot be done.
    fn cpu(&self, hz: u32) -> Result<Box<dyn Profiling>, ProfileError>;

    /// Begins to look at what allocates memory.
    ///
    /// # Errors
    /// [`ProfileError`] when that cannot be done.
    fn heap(&self) -> Result<Box<dyn Profiling>, ProfileError>;
}

/// A profile being taken. Dropping it ends that.
pub trait Profiling: Send {
    /// Ends it and writes the profile. Takes a while, and blocks.
    ///
    /// # Errors
    /// [`ProfileError`] when there is no profile.
    fn finish(self: Box<Self>) -> Result<Profile, ProfileError>;
}

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// As pprof reads it: its protocol buffer, compressed by gzip.
    pub data: Bytes,
    /// How often was looked.
    pub samples: u64,
}

/// Why there is no profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// The process was not started so that it could; says how to.
    Off(String),
    /// It was tried; says what went wrong.
    Failed(String),
}

impl From<ProfileError> for Denial {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Off(how) => Self::ProfileOff(how),
            ProfileError::Failed(why) => Self::ProfileFailed(why),
        }
    }
}

/// The profiler of a program, if it has one.
#[derive(Clone, Debug, Default)]
pub struct Profilers(Option<Arc<dyn Profiler>>);

impl Profilers {
    /// This one.
    #[must_use]
    pub fn of(profiler: Arc<dyn Profiler>) -> Self {
        Self(Some(profiler))
    }
}

impl PartialEq for Profilers {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

impl Eq for Profilers {}

/// Takes profiles, one at a time.
#[derive(Debug)]
pub(crate) struct Profiles {
    profilers: Profilers,
    alone: Arc<Mutex<()>>,
}

impl Profiles {
    pub(crate) fn new(profilers: Profilers) -> Self {
        Self {
            profilers,
            alone: Arc::default(),
        }
    }

    pub(crate) async fn cpu(
        &self,
        request: &CpuProfileRequest,
        place: Option<Place>,
    ) -> Result<CpuProfileResponse, Denial> {
        let hz = clamped(request.frequency, HZ_DEFAULT, HZ_MAX);
        let taken = self.take("CpuProfile", request.duration_seconds, place, |profiler| {
            profiler.cpu(hz)
        });
        let (profile, duration_seconds) = taken.await?;
        Ok(CpuProfileResponse {
            profile_data: profile.data,
            duration_seconds,
            samples: profile.samples,
        })
    }

    pub(crate) async fn heap(
        &self,
        request: &HeapProfileRequest,
        place: Option<Place>,
    ) -> Result<HeapProfileResponse, Denial> {
        let taken = self.take("HeapProfile", request.duration_seconds, place, |profiler| {
            profiler.heap()
        });
        let (profile, duration_seconds) = taken.await?;
        Ok(HeapProfileResponse {
            profile_data: profile.data,
            duration_seconds,
        })
    }

    /// Takes a profile for so long, or as long as the call may take; says how long that was.
    async fn take(
        &self,
        call: &'static str,
        seconds: u32,
        place: Option<Place>,
        begin: impl FnOnce(&dyn Profiler) -> Result<Box<dyn Profiling>, ProfileError>,
    ) -> Result<(Profile, u32), Denial> {
        let Some(profiler) = &self.profilers.0 else {
            return Err(Denial::NotImplemented(call));
        };
        let Ok(alone) = Arc::clone(&self.alone).try_lock_owned() else {
            return Err(Denial::ProfileRunning);
        };
        let seconds = clamped(seconds, SECONDS_DEFAULT, SECONDS_MAX);
        let began = Instant::now();
        let profiling = begin(&**profiler)?;
        info!(call, seconds, "taking a profile");
        wait(Duration::from_secs(seconds.into()), place).await;
        let took = began.elapsed();
        let finish = move || {
            // The next one begins when this one has ended, also if nobody waits for it any more.
            let _alone = alone;
            profiling.finish()
        };
        let profile = match spawn_blocking(finish).await {
            Ok(profile) => profile?,
            Err(gone) => return Err(Denial::ProfileFailed(gone.to_string())),
        };
        let took = took.as_secs_f64().round().clamp(1.0, SECONDS_MAX.into());
        // The clamp makes it fit.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "1 to 300"
        )]
        Ok((profile, took as u32))
    }
}

/// Waits so long; less when the call must be answered before, or the server stops.
async fn wait(duration: Duration, place: Option<Place>) {
    let Some(place) = place else {
        return sleep(duration).await;
    };
    let left = place.deadline.saturating_duration_since(Instant::now());
    // Making the answer takes longer the more there is to tell.
    let margin = left.div_f64(10.0).clamp(ANSWER_MIN, ANSWER_MAX);
    let most = left.saturating_sub(margin);
    tokio::select! {
        () = sleep(duration.min(most)) => {}
        () = place.draining.cancelled() => {}
    }
}

fn clamped(asked: u32, default: u32, max: u32) -> u32 {
    match asked {
        0 => default,
        asked => asked.clamp(1, max),
    }
}
