//! The gate in front of services that misbehave.

#![cfg(test)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Request, Response};
use silo_core::shard::commands::enqueue::METADATA_PAIRS_MAX;
use silo_runtime::metrics::Metrics;
use silo_runtime::service::gate::budget::Budget;
use silo_runtime::service::gate::deadline::timeout;
use silo_runtime::service::gate::metered::RequestRules;
use silo_runtime::service::gate::trace::join;
use silo_runtime::service::gate::{GateLayer, Rules};
use silo_tests::messages::reason;
use silo_tests::server::Trouble;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber as _;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn rules() -> Rules {
    Rules {
        token: None,
        calls: Arc::new(Semaphore::new(1)),
        calls_max: 1,
        requests: RequestRules {
            bytes_max: 1000,
            arrival_max: Duration::from_secs(30),
            budget: Budget::new(1000),
        },
        metrics: Metrics::default(),
        call_deadline_max: Duration::from_secs(60),
        draining: CancellationToken::new(),
        cut: CancellationToken::new(),
    }
}

fn call() -> Result<Request<Body>, http::Error> {
    Request::post("http://localhost/silo.v1.Silo/Enqueue").body(Body::empty())
}

#[silo::test]
async fn a_panic_ends_its_call_and_nothing_else() -> Result<(), Trouble> {
    let rules = rules();
    let calls = Arc::clone(&rules.calls);
    let layer = GateLayer::new(rules);
    let panics = layer.layer(service_fn(|request: Request<Body>| async move {
        assert!(request.uri().path().is_empty(), "on purpose");
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    for _ in 0..2 {
        let response = panics.clone().oneshot(call()?).await?;
        let status = Status::from_header_map(response.headers()).expect("a status");
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(reason(&status), "BUG");
        assert_eq!(calls.available_permits(), 1);
    }
    Ok(())
}

#[silo::test(start_paused = true)]
async fn a_call_that_never_ends_is_ended() -> Result<(), Trouble> {
    let layer = GateLayer::new(rules());
    let hangs = layer.layer(service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    }));
    for (given, expected) in [(None, 60), (Some("5S"), 5), (Some("3M"), 60)] {
        let mut call = call()?;
        if let Some(given) = given {
            call.headers_mut().insert("grpc-timeout", given.parse()?);
        }
        let began = tokio::time::Instant::now();
        let response = hangs.clone().oneshot(call).await?;
        let status = Status::from_header_map(response.headers()).expect("a status");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(began.elapsed().as_secs(), expected);
    }
    Ok(())
}

#[silo::test]
fn timeouts_are_read_as_grpc_writes_them() -> Result<(), Trouble> {
    let cases = [
        ("1H", Some(Duration::from_secs(3600))),
        ("2M", Some(Duration::from_secs(120))),
        ("3S", Some(Duration::from_secs(3))),
        ("4m", Some(Duration::from_millis(4))),
        ("5u", Some(Duration::from_micros(5))),
        ("6n", Some(Duration::from_nanos(6))),
        ("0S", Some(Duration::ZERO)),
        ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
        ("100000000S", None),
        ("S", None),
        ("", None),
        ("1", None),
        ("+1S", None),
        ("-1S", None),
        ("1s", None),
        ("1.5S", None),
    ];
    for (text, expected) in cases {
        let headers = HeaderMap::from_iter([("grpc-timeout".parse()?, text.parse()?)]);
        assert_eq!(timeout(&headers), expected, "{text:?}");
    }
    assert_eq!(timeout(&HeaderMap::new()), None);
    Ok(())
}

/// What was recorded of spans that are named "call".
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Visit for Spans {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let recorded = (field.name(), format!("{value:?}"));
        self.0.lock().unwrap().push(recorded);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0
            .lock()
            .unwrap()
            .push((field.name(), value.to_owned()));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "call"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What the span of a call with these headers says, but for what it says to exporters.
async fn traced(headers: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>, Trouble> {
    let layer = GateLayer::new(rules());
    let answers = layer.layer(service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let mut call = call()?;
    for (name, value) in headers {
        let name: http::HeaderName = name.parse()?;
        call.headers_mut().append(name, value.parse()?);
    }
    let spans = Spans::default();
    answers.oneshot(call).with_subscriber(spans.clone()).await?;
    let mut recorded = spans.0.lock().unwrap().clone();
    recorded.retain(|(field, _)| !field.starts_with("otel."));
    Ok(recorded)
}

#[silo::test]
async fn a_callers_trace_is_recorded() -> Result<(), Trouble> {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let rest = parent.strip_prefix("00").expect("a version");
    let method = [("method", "Enqueue".to_owned())];
    assert_eq!(traced(&[]).await?, method);
    let both = [
        ("traceparent", parent),
        ("tracestate", "rojo=00f0, a@b=x y,"),
    ];
    let state = ("tracestate", "rojo=00f0, a@b=x y,".to_owned());
    let parented = [method[0].clone(), ("traceparent", parent.to_owned())];
    assert_eq!(traced(&both).await?, [&parented[..], &[state]].concat());
    let later = format!("01{}-more", rest);
    let got = traced(&[("traceparent", later.as_str())]).await?;
    assert_eq!(got[1].1, later);

    let wrong = [
        String::new(),
        "00".to_owned(),
        parent.to_uppercase(),
        format!("{parent}-more"),
        format!("ff{}", rest),
        format!("0x{}", rest),
        format!("01{}-{}", rest, "m".repeat(512)),
        parent.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        parent.replace("b7ad6b7169203331", &"0".repeat(16)),
        parent.replace("b7ad6b7169203331", "b7ad6b716920333"),
    ];
    for text in wrong {
        // Without its parent the state says nothing either.
        let headers = [("traceparent", text.as_str()), ("tracestate", "a=b")];
        assert_eq!(traced(&headers).await?, method, "{text:?}");
    }
    let twice = [("traceparent", parent), ("traceparent", parent)];
    assert_eq!(traced(&twice).await?, method);
    let (long, many) = (format!("a={}", "b".repeat(511)), "a=b,".repeat(32));
    for text in ["", "a", "=b", "a=b=c", &long, &many] {
        let headers = [("traceparent", parent), ("tracestate", text)];
        assert_eq!(traced(&headers).await?, parented, "{text:?}");
    }
    Ok(())
}

#[silo::test]
async fn a_job_belongs_to_its_callers_trace_unless_it_says_otherwise() -> Result<(), Trouble> {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let joined = |own: &[(&str, &str)], header: &str| -> Result<BTreeMap<_, _>, Trouble> {
        let own = own.iter();
        let mut metadata = own
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static("traceparent"), header.parse()?)]);
        join(&mut metadata, &headers);
        Ok(metadata)
    };
    let pair = |value: &str| BTreeMap::from([("traceparent".to_owned(), value.to_owned())]);
    assert_eq!(joined(&[], parent)?, pair(parent));
    assert_eq!(joined(&[("traceparent", "mine")], parent)?, pair("mine"));
    assert_eq!(joined(&[], "a stranger's word")?, BTreeMap::new());
    let keys: Vec<String> = (0..METADATA_PAIRS_MAX).map(|n| n.to_string()).collect();
    let full: Vec<_> = keys.iter().map(|key| (key.as_str(), "")).collect();
    assert_eq!(joined(&full, parent)?.len(), METADATA_PAIRS_MAX);
    assert!(!joined(&full, parent)?.contains_key("traceparent"));
    assert!(joined(&full[1..], parent)?.contains_key("traceparent"));
    Ok(())
}
