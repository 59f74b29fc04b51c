//! Where log lines go: standard error, as text or JSON, filtered by `RUST_LOG`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::LogFormat;

/// Installs the process's subscriber. `RUST_LOG` says what is logged; default: `info`.
pub(crate) fn install(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy()
        // SlateDB tells of every flush and compaction at this level.
        .add_directive(
            "slatedb=warn"
                .parse()
                .unwrap_or_else(|_| LevelFilter::WARN.into()),
        );
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
