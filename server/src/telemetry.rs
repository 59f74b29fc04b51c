//! Where log lines go: standard error, as text or JSON, filtered by `RUST_LOG`.

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is logged unless `RUST_LOG` says otherwise. SlateDB tells of every flush at `info`.
const FILTER_DEFAULT: &str = "info,slatedb=warn";

/// Installs the process's subscriber.
pub(crate) fn install(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| FILTER_DEFAULT.into());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = installed {
        tracing::warn!(%error, "a subscriber was installed before");
    }
}
