//! Runs one test: what the expansion of `#[silo::test]` calls.

use std::error::Error;
use std::future::Future;
use std::panic::resume_unwind;
use std::process::{ExitCode, Termination};
use std::thread;

use tokio::runtime::{Builder, Runtime};

use crate::settings::Settings;
use crate::subscriber::Subscriber;

/// A test about to run.
#[derive(Debug)]
pub struct Test {
    name: String,
    settings: Settings,
}

/// The runtime of an asynchronous test.
#[derive(Clone, Copy, Debug)]
pub enum Flavor {
    /// Everything on the test's own thread.
    CurrentThread {
        /// Whether tokio's clock stands still, and jumps to the next timer when all is idle.
        start_paused: bool,
    },
    /// Tasks on worker threads.
    MultiThread {
        /// How many; tokio's default if not given.
        worker_threads: Option<usize>,
    },
}

impl Test {
    /// A test with the settings of the environment, named for its trace file as [`name`] says.
    #[must_use]
    pub fn new(package: &str, module: &str, function: &str) -> Self {
        let settings = Settings::from_env().unwrap_or_else(|error| fail(&error));
        Self {
            name: name(package, module, function),
            settings,
        }
    }

    /// The same test with other settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Runs a synchronous test.
    pub fn run<T: Termination>(self, body: fn() -> T) -> ExitCode {
        self.on_own_thread(|_| body().report())
    }

    /// Runs an asynchronous test on a runtime made for it, which has ended when this returns.
    pub fn run_async<T, F>(self, flavor: Flavor, body: fn() -> F) -> ExitCode
    where
        T: Termination,
        F: Future<Output = T>,
    {
        self.on_own_thread(|subscriber| {
            let runtime = runtime(flavor, subscriber).unwrap_or_else(|error| fail(&error));
            runtime.block_on(body()).report()
        })
    }

    /// A new thread carries nothing over from the test that ran before. That matters with
    /// `--test-threads=1`, where libtest runs all of them on one thread: the trace writer numbers
    /// threads in a thread-local that would survive into the next test's file.
    fn on_own_thread(self, body: impl FnOnce(&Subscriber) -> ExitCode + Send) -> ExitCode {
        let builder = match thread::current().name() {
            Some(name) => thread::Builder::new().name(name.to_owned()),
            None => thread::Builder::new(),
        };
        let work = || {
            let trace = self.settings.trace_file(&self.name);
            let subscriber = Subscriber::new(&self.settings.filter, trace.as_deref())
                .unwrap_or_else(|error| fail(&error));
            let _on_this_thread = subscriber.enter();
            body(&subscriber)
        };
        thread::scope(|scope| {
            let handle = builder
                .spawn_scoped(scope, work)
                .unwrap_or_else(|error| fail(&error));
            handle.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

/// A test's name among all tests of the workspace: `package::module::function`, where a module
/// path that starts with the package's own library stands for itself.
#[must_use]
pub fn name(package: &str, module: &str, function: &str) -> String {
    let library = package.replace('-', "_");
    let top = module.split("::").next().unwrap_or(module);
    if top == library {
        format!("{module}::{function}")
    } else {
        format!("{package}::{module}::{function}")
    }
}

fn runtime(flavor: Flavor, subscriber: &Subscriber) -> std::io::Result<Runtime> {
    let mut builder = match flavor {
        Flavor::CurrentThread { start_paused } => {
            let mut builder = Builder::new_current_thread();
            builder.start_paused(start_paused);
            builder
        }
        Flavor::MultiThread { worker_threads } => {
            let mut builder = Builder::new_multi_thread();
            if let Some(count) = worker_threads {
                builder.worker_threads(count);
            }
            builder
        }
    };
    let dispatch = subscriber.dispatch();
    builder
        .enable_all()
        // For good: the thread ends with the runtime, so nothing needs to be put back.
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
        .build()
}

/// Ends a test that cannot be set up.
#[expect(clippy::panic, reason = "a test fails by panicking")]
fn fail(error: &dyn Error) -> ! {
    panic!("cannot set up the test: {error}")
}
