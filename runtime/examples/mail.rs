//! A producer and a worker in one program: `cargo run -p silo-runtime --example mail`, with a
//! server on port 7450 (`silo dev`).

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;

use bytes::Bytes;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::payload;
use silo_runtime::client::task::{Outcome, Retry};
use silo_runtime::proto::RetryPolicy;
use silo_runtime::worker::Worker;
use silo_runtime::worker::job::Job;
use silo_runtime::worker::options::WorkerOptions;
use tokio_util::sync::CancellationToken;

// ANCHOR: enqueue
async fn enqueue(client: &Client, to: &str) -> Result<String, Box<dyn Error>> {
    let job = Enqueue {
        priority: 10,
        retry_policy: Some(RetryPolicy {
            retry_count: 3,
            initial_interval_ms: 1_000,
            backoff_factor: 2.0,
            ..RetryPolicy::default()
        }),
        ..Enqueue::new("mail", payload::message(to))
    };
    Ok(client.enqueue(job).await?)
}
// ANCHOR_END: enqueue

// ANCHOR: worker
async fn work(client: Client, shutdown: CancellationToken) {
    let options = WorkerOptions::new("mail", "worker-1");
    let worker = Worker::new(client, options, |job: Job| async move {
        match send(&job).await {
            Ok(receipt) => Outcome::Success(receipt),
            Err(SendError::Refused) => Outcome::Failure {
                code: "REFUSED".to_owned(),
                data: payload::message("the address does not exist"),
                retry: Retry::Never,
            },
            Err(SendError::Busy) => Outcome::failure("BUSY", payload::message("try later")),
        }
    });
    worker.run(shutdown).await;
}
// ANCHOR_END: worker

enum SendError {
    /// It will never work.
    Refused,
    /// It may work later.
    Busy,
}

/// Stands for whatever your job does. Whoever is asked for the third time gives in.
async fn send(job: &Job) -> Result<Bytes, SendError> {
    let task = &job.task;
    println!("attempt {} of {}", task.attempt_number, task.job_id);
    if job.payload().is_empty() {
        return Err(SendError::Refused);
    }
    if task.attempt_number < 3 {
        return Err(SendError::Busy);
    }
    Ok(payload::message("sent"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientOptions::new(["127.0.0.1:7450"])).await?;
    let id = enqueue(&client, "ada@example.com").await?;
    println!("{id} is enqueued");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        // Without signals it works until it is killed.
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    });
    work(client, shutdown).await;
    Ok(())
}
