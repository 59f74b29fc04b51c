//! One job's command: started, watched, stopped.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use silo_runtime::trace::TRACEPARENT;
use silo_runtime::worker::job::{Job, StopCause};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::data::Data;
use crate::input::FOR_EVER;
use crate::work::capture::{Capture, Complaints, Printed};
use crate::work::ending::{Ended, Left, Stopped, not_started};
use crate::work::group::Group;

/// What is run for each job, and how.
pub(crate) struct Command {
    pub(crate) exec: String,
    /// Handed on, so that the command's own calls go where its job came from.
    pub(crate) server: String,
    pub(crate) timeout: Option<Duration>,
    pub(crate) snooze: Duration,
    pub(crate) kill_grace: Duration,
    pub(crate) result_bytes_max: usize,
}

impl Command {
    /// Runs it for one job. When this future is dropped, the command and all that it started in
    /// its process group are killed.
    pub(crate) async fn run(&self, job: &Job) -> Ended {
        let began = Instant::now();
        let (outcome, stopped) = match self.left(job).await {
            Ok(left) => {
                let stopped = left.stopped;
                (left.outcome(self.snooze), stopped)
            }
            Err(error) => (not_started(&error), None),
        };
        Ended {
            outcome,
            stopped,
            took: began.elapsed(),
        }
    }

    async fn left(&self, job: &Job) -> io::Result<Left> {
        let mut child = self.start(job)?;
        let group = Group::of(&child)?;
        let _feeding = feed(child.stdin.take(), job);
        let printed = Printed {
            bytes_max: self.result_bytes_max,
            ..Printed::default()
        };
        let stdout = Capture::begin(child.stdout.take(), printed);
        let stderr = Capture::begin(child.stderr.take(), Complaints::of(&job.task.job_id));
        let (status, stopped) = self.ended(&mut child, &group, job).await?;
        // What it left behind in its group would run on without a lease.
        group.kill();
        let printed = stdout.end().await;
        Ok(Left {
            status,
            stopped,
            printed: printed.bytes,
            printed_too_much: printed.is_too_much,
            complaints: stderr.end().await.tail(),
        })
    }

    fn start(&self, job: &Job) -> io::Result<Child> {
        let task = &job.task;
        let metadata = serde_json::to_string(&task.metadata).map_err(io::Error::other)?;
        let mut command = tokio::process::Command::new("sh");
        command
            .arg("-c")
            .arg(&self.exec)
            .env("SILO_JOB_ID", &task.job_id)
            .env("SILO_TASK_ID", &task.id)
            .env("SILO_ATTEMPT", task.attempt_number.to_string())
            .env("SILO_IS_LAST_ATTEMPT", task.is_last_attempt.to_string())
            .env("SILO_TASK_GROUP", &task.task_group)
            .env("SILO_PRIORITY", task.priority.to_string())
            .env("SILO_METADATA", metadata)
            .env("SILO_SHARD", &task.shard)
            .env("SILO_SERVER", &self.server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        match &task.tenant_id {
            Some(tenant) => command.env("SILO_TENANT", tenant),
            None => command.env_remove("SILO_TENANT"),
        };
        match task.metadata.get(TRACEPARENT) {
            Some(parent) => command.env("TRACEPARENT", parent),
            None => command.env_remove("TRACEPARENT"),
        };
        command.spawn()
    }

    /// Waits until it has ended, and sees to it that it does when it must.
    async fn ended(
        &self,
        child: &mut Child,
        group: &Group,
        job: &Job,
    ) -> io::Result<(ExitStatus, Option<Stopped>)> {
        let stopped = tokio::select! {
            biased;
            status = child.wait() => return Ok((status?, None)),
            () = job.stop_token().cancelled() => {
                Stopped::ByWorker(job.stop_cause().unwrap_or(StopCause::Shutdown))
            }
            () = too_long(self.timeout) => Stopped::Timeout,
        };
        if stopped == Stopped::ByWorker(StopCause::LeaseLost) {
            // Another worker may be running the job by now.
            group.kill();
        } else {
            group.terminate();
        }
        let began = Instant::now();
        let grace = self.kill_grace.min(FOR_EVER);
        let until = began.checked_add(grace).unwrap_or(began);
        let status = match timeout_at(until, child.wait()).await {
            Ok(status) => {
                // Its children were told as well, and may need longer.
                group.is_gone_by(until).await;
                status?
            }
            Err(_) => {
                group.kill();
                child.wait().await?
            }
        };
        Ok((status, Some(stopped)))
    }
}

/// Writes the payload, as far as it is read.
fn feed(stdin: Option<ChildStdin>, job: &Job) -> AbortOnDropHandle<()> {
    let payload = job.payload();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let Some(mut stdin) = stdin else { return };
        let mut json = Data::read(&payload).json().into_bytes();
        json.push(b'\n');
        // A command need not read what it does not want.
        let _ = stdin.write_all(&json).await;
    }))
}

async fn too_long(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => sleep(timeout).await,
        None => std::future::pending().await,
    }
}
