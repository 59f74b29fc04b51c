//! Spans for a collector that speaks OTLP over gRPC, if the environment names one. Everything is
//! set as OpenTelemetry says, by variables: `OTEL_EXPORTER_OTLP_ENDPOINT` and its kin,
//! `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// How long the last spans may take to leave when the server stops.
const FINISH_MAX: Duration = Duration::from_secs(5);
/// What carries the spans themselves: spans about that would never end.
const CARRIERS: [&str; 6] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "tonic",
    "tower",
];

/// Why spans cannot be sent.
#[derive(Debug, Error)]
#[error(transparent)]
pub(crate) struct OtlpError(#[from] ExporterBuildError);

/// Spans go to the collector that the environment names, if it does.
pub(crate) fn from_environment() -> Result<Option<SdkTracerProvider>, OtlpError> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !ENDPOINTS.into_iter().any(is_set) {
        return Ok(None);
    }
    // Without this an https endpoint would be trusted by nobody.
    let tls = ClientTlsConfig::new().with_enabled_roots();
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_tls_config(tls)
        .build()?;
    let mut resource = Resource::builder();
    if !is_set(SERVICE_NAME) {
        resource = resource.with_service_name("silo");
    }
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_batch_exporter(exporter)
        .build();
    Ok(Some(provider))
}

/// Hands spans to a provider.
pub(crate) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_ours = |of: &Metadata<'_>| {
        let first = of.target().split("::").next().unwrap_or_default();
        !CARRIERS.contains(&first)
    };
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("silo"))
        .with_filter(filter_fn(is_ours))
}

/// Sends what is left.
pub(crate) fn finish(provider: &SdkTracerProvider) {
    if let Err(error) = provider.shutdown_with_timeout(FINISH_MAX) {
        tracing::warn!(%error, "the last spans did not reach the collector");
    }
}
