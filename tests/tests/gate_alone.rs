//! The gate in front of services that misbehave.

#![cfg(test)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use silo_runtime::service::gate::budget::Budget;
use silo_runtime::service::gate::deadline::timeout;
use silo_runtime::service::gate::metered::RequestRules;
use silo_runtime::service::gate::{GateLayer, Rules};
use silo_tests::messages::reason;
use silo_tests::server::Trouble;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};

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
