//! Where log lines and spans go: lines to standard error, as text or JSON; spans to a collector, or
//! to a file for Perfetto, if that is asked for. `RUST_LOG` filters all of them.

use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing_chrome::{ChromeLayerBuilder, FlushGuard};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use crate::config::LogFormat;
use crate::observe::otlp::{self, OtlpError};

/// What is logged unless `RUST_LOG` says otherwise. SlateDB tells of every flush at `info`.
const FILTER_DEFAULT: &str = "info,slatedb=warn";

/// Why spans cannot go where they should.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum TelemetryError {
    #[error("cannot write spans to {}", path.display())]
    #[diagnostic(
        code(silo::telemetry::perfetto),
        help("check the path that --perfetto, or SILO_PERFETTO, names")
    )]
    Perfetto {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot send spans to a collector")]
    #[diagnostic(
        code(silo::telemetry::otlp),
        help("check the environment: OTEL_EXPORTER_OTLP_ENDPOINT is a URL like http://host:4317")
    )]
    Otlp(#[source] OtlpError),
}

/// Writes spans out as long as it is there. [`Telemetry::finish`] writes the last of them.
#[derive(Default)]
pub(crate) struct Telemetry {
    perfetto: Option<FlushGuard>,
    otlp: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Writes out what is left. Waits for the collector, a few seconds at most.
    pub(crate) fn finish(self) {
        drop(self.perfetto);
        if let Some(otlp) = self.otlp {
            otlp::finish(&otlp);
        }
    }
}

/// Installs the process's subscriber, for lines only.
pub(crate) fn install(format: LogFormat) {
    set(format, None, None);
}

/// Installs the process's subscriber, for lines and spans. To be called within a runtime, which
/// carries the connection to a collector.
pub(crate) fn install_with_spans(
    format: LogFormat,
    perfetto: Option<&Path>,
) -> Result<Telemetry, TelemetryError> {
    let otlp = otlp::from_environment().map_err(TelemetryError::Otlp)?;
    let perfetto = perfetto.map(create).transpose()?;
    Ok(Telemetry {
        perfetto: set(format, perfetto, otlp.as_ref()),
        otlp,
    })
}

fn create(path: &Path) -> Result<File, TelemetryError> {
    File::create(path).map_err(|cause| TelemetryError::Perfetto {
        path: path.to_owned(),
        cause,
    })
}

fn set(
    format: LogFormat,
    perfetto: Option<File>,
    otlp: Option<&SdkTracerProvider>,
) -> Option<FlushGuard> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| FILTER_DEFAULT.into());
    // Colours are for eyes, not for files.
    let is_seen = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(is_seen);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let (perfetto, guard) = perfetto
        .map(|file| {
            let builder = ChromeLayerBuilder::new().writer(file);
            builder.include_args(true).build()
        })
        .unzip();
    let installed = registry()
        .with(filter)
        .with(lines)
        .with(perfetto)
        .with(otlp.map(otlp::layer))
        .try_init();
    if let Err(error) = installed {
        tracing::warn!(%error, "a subscriber was installed before");
    }
    guard
}
