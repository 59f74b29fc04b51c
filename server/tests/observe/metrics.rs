//! Metrics: which there are, and that they count.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::task::{Outcome, TaskRef};
use silo_runtime::proto::{LeaseTasksRequest, RetryPolicy, Task};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::shell::PATIENCE;
use crate::process::{Server, Site, free_addr, silo};
use crate::scrape::{Scraped, get, scrape};

/// A server that serves metrics at an address that is known.
fn start(site: &Site) -> (Server, SocketAddr) {
    let metrics = free_addr();
    let environment = [("SILO_METRICS_ADDR", &*metrics.to_string())];
    (site.start_within(&environment), metrics)
}

async fn lease(client: &Client) -> Vec<Task> {
    let request = LeaseTasksRequest {
        worker_id: "w".to_owned(),
        task_group: "work".to_owned(),
        max_tasks: 10,
        ..LeaseTasksRequest::default()
    };
    client.lease_tasks(request).await.unwrap().response.tasks
}

/// Three jobs: one succeeds, one fails and waits for its next attempt, one is cancelled.
async fn three_jobs(client: &Client) {
    let retried = Enqueue {
        retry_policy: Some(RetryPolicy {
            retry_count: 1,
            initial_interval_ms: 3_600_000,
            ..RetryPolicy::default()
        }),
        ..Enqueue::new("work", "")
    };
    client.enqueue(Enqueue::new("work", "")).await.unwrap();
    client.enqueue(retried).await.unwrap();
    let tasks = lease(client).await;
    assert_eq!(tasks.len(), 2);
    for task in &tasks {
        let of = TaskRef::from(task);
        client.heartbeat(&of, "w").await.unwrap();
        let outcome = if task.is_last_attempt {
            Outcome::Success(Bytes::new())
        } else {
            Outcome::failure("NOT_TODAY", Bytes::new())
        };
        client.report(&of, outcome).await.unwrap();
    }
    let id = client.enqueue(Enqueue::new("work", "")).await.unwrap();
    client.cancel(&id).await.unwrap();
    assert!(client.job("no-such-job", false).await.is_err());
}

#[silo::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let site = Site::new();
    let (server, metrics) = start(&site);
    let client = server.client().await;
    three_jobs(&client).await;
    let scraped = scrape(metrics).await;
    let expect = |name: &str, labels: &str, value: f64| {
        let found = scraped.sum(name, labels);
        assert!(
            (found - value).abs() < 0.5,
            "{name}{{{labels}}} is {found}, not {value}"
        );
    };
    expect("silo_jobs_enqueued_total", "", 3.0);
    expect("silo_jobs_leased_total", "", 2.0);
    expect("silo_jobs_ended_total", "outcome=\"succeeded\"", 1.0);
    expect("silo_jobs_ended_total", "outcome=\"cancelled\"", 1.0);
    expect("silo_jobs_ended_total", "outcome=\"failed\"", 0.0);
    expect("silo_jobs_retried_total", "", 1.0);
    expect("silo_attempts_ended_total", "outcome=\"succeeded\"", 1.0);
    expect("silo_attempts_ended_total", "outcome=\"failed\"", 1.0);
    expect("silo_attempts_ended_total", "outcome=\"crashed\"", 0.0);
    expect("silo_commands_total", "command=\"heartbeat\"", 2.0);
    expect("silo_commands_refused_total", "", 1.0);
    expect("silo_jobs", "status=\"scheduled\"", 1.0);
    expect("silo_jobs", "status=\"succeeded\"", 1.0);
    expect("silo_jobs", "status=\"running\"", 0.0);
    expect("silo_shards", "state=\"open\"", 1.0);
    expect("silo_shards", "state=\"opening\"", 0.0);
    expect("silo_calls_total", "method=\"Enqueue\",code=\"OK\"", 3.0);
    expect(
        "silo_calls_total",
        "method=\"GetJob\",code=\"NOT_FOUND\"",
        1.0,
    );
    expect("silo_call_seconds_count", "method=\"ReportOutcome\"", 2.0);
    expect("silo_calls_in_flight", "", 0.0);
    expect("silo_damage_total", "", 0.0);
    expect("silo_build_info", "version=", 1.0);
    // What a store cannot do it is not asked for.
    expect("silo_store_requests_total", "result=\"failed\"", 0.0);
    for (name, labels) in [
        ("silo_flush_seconds_count", ""),
        ("silo_written_bytes_total", ""),
        (
            "silo_store_requests_total",
            "object=\"wal\",kind=\"put\",result=\"ok\"",
        ),
        (
            "silo_store_requests_total",
            "object=\"manifest\",kind=\"put\",result=\"ok\"",
        ),
        (
            "silo_store_bytes_total",
            "object=\"wal\",direction=\"sent\"",
        ),
        ("slatedb_db_write_ops_total", ""),
        ("tokio_alive_tasks", ""),
        ("jemalloc_allocated_bytes", ""),
        ("process_cpu_seconds_total", ""),
        ("process_open_fds", ""),
    ] {
        let found = scraped.sum(name, labels);
        assert!(found > 0.0, "{name}{{{labels}}} is {found}");
    }
}

/// The metrics that the page lists, and the kind that it says each is.
fn page() -> BTreeMap<String, String> {
    let page = include_str!("../../../docs/reference/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    });
    cells.collect()
}

/// What is on the page and served only when it has happened.
const LATER: [&str; 1] = ["slatedb_compactor_worker_last_heartbeat_ms"];

/// The names under which what was served appears in queries.
fn served(scraped: &Scraped) -> BTreeMap<String, String> {
    let named = |(name, kind): (&String, &String)| {
        let suffix = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        (format!("{name}{suffix}"), kind.clone())
    };
    scraped.kinds.iter().map(named).collect()
}

#[silo::test(flavor = "multi_thread")]
async fn the_page_has_every_metric_and_every_metric_there_is_served() {
    let site = Site::new();
    let (server, metrics) = start(&site);
    let client = server.client().await;
    three_jobs(&client).await;
    let served = served(&scrape(metrics).await);
    let page = page();
    let not_on_page: Vec<_> = served
        .iter()
        .filter(|metric| page.get(metric.0) != Some(metric.1))
        .collect();
    assert!(
        not_on_page.is_empty(),
        "not in docs/reference/metrics.md: {not_on_page:#?}"
    );
    let not_served: Vec<_> = page
        .keys()
        .filter(|name| !served.contains_key(*name) && !LATER.contains(&name.as_str()))
        .collect();
    assert!(
        not_served.is_empty(),
        "in docs/reference/metrics.md only: {not_served:#?}"
    );
}

#[silo::test(flavor = "multi_thread")]
async fn no_metric_tells_of_tenants_or_jobs() {
    let site = Site::new();
    let (server, metrics) = start(&site);
    let client = server.client().await;
    let id = client
        .enqueue(Enqueue::new("group-of-mine", ""))
        .await
        .unwrap();
    let text = get(metrics, "/metrics").await.unwrap();
    assert!(
        !text.contains("group-of-mine") && !text.contains(&id),
        "{text}"
    );
}

#[silo::test]
fn a_taken_port_for_metrics_is_said_with_what_to_do() {
    let site = Site::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let config = site.config_at(site.addr, &format!("[metrics]\naddr = \"{addr}\""));
    let output = silo()
        .env_remove("SILO_METRICS_ADDR")
        .args(["serve", "-c"])
        .arg(&config)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("silo::serve::metrics") && said.contains("--metrics-addr off"),
        "{said}"
    );
}

#[silo::test(flavor = "multi_thread")]
async fn who_asks_for_nothing_is_hung_up_on() {
    let site = Site::new();
    let (server, metrics) = start(&site);
    server.client().await;
    let mut connections = Vec::new();
    // More than there is room for.
    for _ in 0..100 {
        let mut stream = TcpStream::connect(metrics).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\n")
            .await
            .unwrap();
        connections.push(stream);
    }
    let mut said = Vec::new();
    let end = connections[0].read_to_end(&mut said);
    let _ = tokio::time::timeout(PATIENCE, end).await.expect("an end");
    tokio::time::timeout(PATIENCE, scrape(metrics))
        .await
        .expect("there is room again");
}

#[silo::test(flavor = "multi_thread")]
async fn metrics_can_be_turned_off() {
    let site = Site::new();
    let (server, metrics) = start(&site);
    server.client().await;
    let missing = get(metrics, "/nothing").await.unwrap();
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    drop(server);
    let server = site.start_within(&[("SILO_METRICS_ADDR", "off")]);
    server.client().await;
    assert!(get(metrics, "/metrics").await.is_err());
    // The log is that of both servers.
    let said = server.said();
    assert_eq!(said.matches("metrics are at").count(), 1, "{said}");
}
