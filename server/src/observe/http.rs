//! Metrics for Prometheus: `GET /metrics`, in the OpenMetrics text format.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves metrics until `stop` is cancelled.
pub(crate) async fn serve(listener: TcpListener, registry: Registry, stop: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::new(registry));
    let serving = axum::serve(listener, router);
    // Who scrapes may keep a connection open: nothing waits for that.
    let served = stop.run_until_cancelled(serving.into_future()).await;
    if let Some(Err(error)) = served {
        error!(%error, "metrics are served no more");
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            error!(%error, "metrics could not be written out");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
