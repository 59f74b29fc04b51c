//! Spans: those of a server are children of its callers', and all of them get to a collector or
//! into a file.

use bytes::Bytes;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::task::Outcome;
use silo_runtime::worker::Worker;
use silo_runtime::worker::options::WorkerOptions;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, info_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::collector::Collector;
use crate::process::{Site, silo};

/// The only span of a service and a name.
fn only(collector: &Collector, service: &str, name: &str) -> Span {
    let mut spans = collector.spans(service, name);
    assert_eq!(spans.len(), 1, "{service} {name}: {spans:#?}");
    spans.remove(0)
}

fn is_child(child: &Span, parent: &Span) {
    assert_eq!(child.trace_id, parent.trace_id, "{child:?} {parent:?}");
    assert_eq!(child.parent_span_id, parent.span_id, "{child:?} {parent:?}");
}

#[silo::test]
async fn from_who_enqueues_to_the_server_and_the_worker_it_is_one_trace() {
    let (collector, addr) = Collector::start().await;
    let endpoint = format!("http://{addr}");
    let site = Site::new();
    let server = site.start_within(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint.as_str());
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("the-client").build())
        .with_batch_exporter(exporter.build().unwrap())
        .build();
    let ours = Targets::new()
        .with_target("observe", LevelFilter::INFO)
        .with_target("silo_runtime", LevelFilter::INFO);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("the-client"));
    let subscriber = tracing_subscriber::registry().with(ours).with(layer);
    // Every task of this test runs on this thread.
    let subscribed = tracing::subscriber::set_default(subscriber);

    let client = server.client().await;
    // Tried again until the shard is open: what follows is done by its first try.
    client.job("no-such-job", false).await.unwrap_err();
    let enqueue = async { client.enqueue(Enqueue::new("work", "")).await };
    let id = enqueue.instrument(info_span!("order")).await.unwrap();
    let (done, mut ended) = mpsc::unbounded_channel();
    let handler = move |_job| {
        let done = done.clone();
        async move {
            info_span!("handle").in_scope(|| done.send(()).unwrap());
            Outcome::Success(Bytes::new())
        }
    };
    let shutdown = CancellationToken::new();
    let worker = Worker::new(client.clone(), WorkerOptions::new("work", "w"), handler);
    let worker = tokio::spawn(worker.run(shutdown.clone()));
    ended.recv().await.unwrap();
    shutdown.cancel();
    worker.await.unwrap();
    client.result(&id).await.unwrap();
    drop(subscribed);

    let sent = tokio::task::spawn_blocking(move || provider.shutdown());
    sent.await.unwrap().unwrap();
    server.terminate();
    let (status, said) = server.ended().await;
    assert!(status.success(), "{said}");

    let order = only(&collector, "client", "order");
    is_child(&only(&collector, "silo", "Enqueue"), &order);
    let task = only(&collector, "client", "task");
    is_child(&task, &order);
    is_child(&only(&collector, "client", "handle"), &task);
    is_child(&only(&collector, "silo", "ReportOutcome"), &task);
    let unrelated = only(&collector, "silo", "GetJobResult");
    assert_ne!(unrelated.trace_id, order.trace_id);
    assert!(unrelated.parent_span_id.is_empty(), "{unrelated:?}");
}

#[silo::test(flavor = "multi_thread")]
async fn a_server_writes_spans_for_perfetto_until_it_stops() {
    let site = Site::new();
    let file = site.folder().join("spans.json");
    let server = site.start_within(&[("SILO_PERFETTO", file.to_str().unwrap())]);
    let client = server.client().await;
    client.enqueue(Enqueue::new("work", "")).await.unwrap();
    server.terminate();
    let (status, said) = server.ended().await;
    assert!(status.success(), "{said}");
    let text = std::fs::read_to_string(file).unwrap();
    let spans: serde_json::Value = serde_json::from_str(&text).expect("a whole file");
    let named = |span: &&serde_json::Value| span["args"]["method"] == "\"Enqueue\"";
    let span = spans.as_array().unwrap().iter().find(named);
    assert!(span.is_some_and(|span| span["name"] == "call"), "{text}");
}

#[silo::test]
fn spans_that_have_nowhere_to_go_are_said_with_what_to_do() {
    for (name, value, code) in [
        ("SILO_PERFETTO", "/no/such/folder/spans.json", "perfetto"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a URL", "otlp"),
    ] {
        let site = Site::new();
        let config = site.config_at(site.addr, "");
        let mut serve = silo();
        let output = serve.args(["serve", "-c"]).arg(&config).env(name, value);
        let output = output.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!("silo::telemetry::{code}")) && said.contains(name),
            "{said}"
        );
    }
}
