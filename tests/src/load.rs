//! Producers and workers that keep at it whatever they are told, note every answer, and know what
//! must be true of the jobs afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{JobStatus, Task};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::messages::{NIL, data, enqueue, get, lease, reason, report};
use crate::server::{Client, Server, Trouble};

/// No call may take longer than this: it is answered, or its shard is stuck.
const CALL_MAX: Duration = Duration::from_secs(30);
/// How long jobs may take to end once everything works again.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// Pause of producers, and of workers who were refused or got nothing.
const PAUSE: Duration = Duration::from_millis(5);
const PRODUCERS: usize = 4;
const WORKERS: usize = 2;

/// Producers and workers at work.
#[derive(Debug)]
pub struct Load {
    notes: Arc<Mutex<Notes>>,
    producing: CancellationToken,
    working: CancellationToken,
    tasks: JoinSet<Result<(), Trouble>>,
}

/// What they were told.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Jobs that were acknowledged.
    pub acknowledged: BTreeSet<String>,
    /// Jobs of which nobody knows.
    pub unknown: BTreeSet<String>,
    /// Jobs that were refused: they must not exist, as whoever was told so sends them again.
    pub refused: BTreeSet<String>,
    /// Jobs whose success was acknowledged, and the task under which it was.
    pub ended: BTreeMap<String, String>,
    /// How often calls were refused, by code and reason.
    pub refusals: BTreeMap<(&'static str, String), u64>,
    /// The longest that any call took.
    pub slowest: Duration,
}

impl Load {
    /// Begins, with connections of its own.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn start(server: &Server) -> Result<Self, Trouble> {
        let mut load = Self {
            notes: Arc::default(),
            producing: CancellationToken::new(),
            working: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        for number in 0..PRODUCERS {
            let caller = load.caller(server, &load.producing).await?;
            load.tasks.spawn(produce(caller, number));
        }
        for _ in 0..WORKERS {
            let caller = load.caller(server, &load.working).await?;
            load.tasks.spawn(work(caller));
        }
        Ok(load)
    }

    /// What was noted so far.
    #[must_use]
    pub fn notes(&self) -> Notes {
        locked(&self.notes).clone()
    }

    /// Waits until so many more jobs are acknowledged.
    pub async fn acknowledged(&self, more: usize) {
        let goal = locked(&self.notes).acknowledged.len().saturating_add(more);
        while locked(&self.notes).acknowledged.len() < goal && !self.working.is_cancelled() {
            sleep(PAUSE).await;
        }
    }

    /// Ends it and checks that every acknowledged job is there and has ended once, that what was
    /// refused is not there, and that nothing was said that may not be said while storage fails.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn verify(mut self, server: &Server) -> Result<Notes, Trouble> {
        self.producing.cancel();
        let mut client = server.client().await?;
        let notes = self.notes();
        let began = Instant::now();
        for id in notes.acknowledged.iter().chain(&notes.unknown) {
            let is_optional = notes.unknown.contains(id);
            while !has_ended(&mut client, id, is_optional).await? {
                if began.elapsed() > DRAIN_MAX {
                    let (notes, job) = (self.notes(), client.get_job(get(id)).await);
                    let (ended, all) = (notes.ended.len(), notes.acknowledged.len());
                    return Err(format!("{ended} of {all} ended, not this: {job:?}").into());
                }
                sleep(PAUSE).await;
            }
        }
        for id in &notes.refused {
            match client.get_job(get(id)).await {
                Err(status) if status.code() == Code::NotFound => {}
                other => return Err(format!("{id} was refused, and is there: {other:?}").into()),
            }
        }
        self.working.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(self.notes())
    }

    async fn caller(&self, server: &Server, until: &CancellationToken) -> Result<Caller, Trouble> {
        Ok(Caller {
            client: server.client().await?,
            notes: Arc::clone(&self.notes),
            until: until.clone(),
        })
    }
}

/// A caller.
#[derive(Clone)]
struct Caller {
    client: Client,
    notes: Arc<Mutex<Notes>>,
    until: CancellationToken,
}

impl Caller {
    fn goes_on(&self) -> bool {
        !self.until.is_cancelled()
    }

    fn insert(&self, into: impl FnOnce(&mut Notes) -> &mut BTreeSet<String>, id: String) {
        into(&mut self.notes()).insert(id);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        locked(&self.notes)
    }

    /// Notes what a call came to.
    fn note<T>(
        &self,
        began: Instant,
        answer: &Result<tonic::Response<T>, Status>,
    ) -> Result<(), Trouble> {
        let mut notes = self.notes();
        notes.slowest = notes.slowest.max(began.elapsed());
        if let Err(status) = answer {
            let said = (code_name(status)?, reason(status));
            let count = notes.refusals.entry(said).or_default();
            *count = count.saturating_add(1);
        }
        Ok(())
    }
}

/// The codes that trouble with storage may have; any other is an error.
fn code_name(status: &Status) -> Result<&'static str, Trouble> {
    match (status.code(), reason(status).as_str()) {
        (Code::Unavailable, _) => Ok("UNAVAILABLE"),
        (Code::Aborted, "OUTCOME_UNKNOWN") => Ok("ABORTED"),
        // The lease has run out meanwhile.
        (Code::NotFound, _) if status.message() == "lease not found" => Ok("NOT_FOUND"),
        _ => Err(format!("storage trouble is no reason for {status:?}").into()),
    }
}

async fn produce(mut caller: Caller, number: usize) -> Result<(), Trouble> {
    for count in 0..u64::MAX {
        if !caller.goes_on() {
            break;
        }
        let id = format!("job-{number}-{count}");
        let began = Instant::now();
        let answer = timeout(CALL_MAX, caller.client.enqueue(enqueue(&id))).await?;
        caller.note(began, &answer)?;
        match answer {
            Ok(_) => caller.insert(|notes| &mut notes.acknowledged, id),
            Err(status) if status.code() == Code::Aborted => {
                caller.insert(|notes| &mut notes.unknown, id);
            }
            Err(_) => caller.insert(|notes| &mut notes.refused, id),
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn work(mut caller: Caller) -> Result<(), Trouble> {
    while caller.goes_on() {
        let began = Instant::now();
        let answer = timeout(CALL_MAX, caller.client.lease_tasks(lease(16))).await?;
        caller.note(began, &answer)?;
        let tasks = answer.map_or_else(|_| Vec::new(), |answer| answer.into_inner().tasks);
        if tasks.is_empty() {
            sleep(PAUSE).await;
        }
        let ends = tasks.into_iter().map(|task| end(caller.clone(), task));
        try_join_all(ends).await?;
    }
    Ok(())
}

/// Reports a success until somebody takes it, or says that it comes too late.
async fn end(mut caller: Caller, task: Task) -> Result<(), Trouble> {
    while caller.goes_on() {
        let success = report(&task, Outcome::Success(data(NIL)));
        let began = Instant::now();
        let answer = timeout(CALL_MAX, caller.client.report_outcome(success)).await?;
        caller.note(began, &answer)?;
        match answer {
            Ok(_) => {
                let before = caller.notes().ended.insert(task.job_id.clone(), task.id);
                return match before {
                    Some(other) => Err(format!("{} ended before: {other}", task.job_id).into()),
                    None => Ok(()),
                };
            }
            Err(status) if status.code() == Code::NotFound => return Ok(()),
            Err(_) => sleep(PAUSE).await,
        }
    }
    Ok(())
}

async fn has_ended(client: &mut Client, id: &str, is_optional: bool) -> Result<bool, Trouble> {
    match timeout(CALL_MAX, client.get_job(get(id))).await? {
        Ok(job) => Ok(job.into_inner().status() == JobStatus::Succeeded),
        Err(status) if status.code() == Code::Unavailable => Ok(false),
        Err(status) if is_optional && status.code() == Code::NotFound => Ok(true),
        Err(status) => Err(format!("{id} was acknowledged and is lost: {status:?}").into()),
    }
}

fn locked(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
