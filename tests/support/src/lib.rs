//! What Silo's tests share: the [`macro@test`] attribute and [`run`], which stands behind it; and
//! [`source`], which reads Rust sources for tests that check rules about them.
//!
//! A crate takes this as a dev-dependency under the name `silo` (`silo.workspace = true`), so that
//! its tests read:
//!
//! ```
//! # extern crate silo_test_support as silo;
//! #[silo::test]
//! async fn a_job_survives_a_restart() -> Result<(), std::io::Error> {
//!     tracing::info!("enqueued");
//!     Ok(())
//! }
//! ```
//!
//! # What a test gets
//!
//! * A tracing subscriber of its own, on every thread of its own runtime. It writes to libtest's
//!   captured output, so only the lines of tests that fail are shown.
//! * Lines and spans of level `info` and above, or what `RUST_LOG` says.
//! * With `SILO_PERFETTO=FILE` (for a run of a single test) or `SILO_PERFETTO_DIR=DIR` (one file
//!   per test, named after its module path), a trace of its spans that <https://ui.perfetto.dev>
//!   opens. `RUST_LOG` decides which spans it has.

pub mod run;
pub mod settings;
pub mod source;

mod subscriber;

pub use silo_test_macros::test;
