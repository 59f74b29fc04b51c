//! `#[silo::test]` as tests use it.

extern crate silo_test_support as silo;

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

#[silo::test]
fn a_function() {
    assert!(
        Handle::try_current().is_err(),
        "a synchronous test has no runtime"
    );
}

#[silo::test]
async fn an_async_function() {
    assert_eq!(
        Handle::current().runtime_flavor(),
        RuntimeFlavor::CurrentThread
    );
    tokio::task::yield_now().await;
}

#[silo::test(flavor = "current_thread")]
async fn an_async_function_on_its_own_thread() {
    assert_eq!(
        Handle::current().runtime_flavor(),
        RuntimeFlavor::CurrentThread
    );
}

#[silo::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_async_function_on_worker_threads() {
    assert_eq!(
        Handle::current().runtime_flavor(),
        RuntimeFlavor::MultiThread
    );
    assert_eq!(Handle::current().metrics().num_workers(), 3);
}

#[silo::test(start_paused = true)]
async fn a_paused_clock_jumps() {
    let (before, really_before) = (Instant::now(), std::time::Instant::now());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(before.elapsed() >= Duration::from_secs(3600));
    assert!(really_before.elapsed() < Duration::from_secs(60));
}

#[silo::test(start_paused = false)]
async fn a_clock_that_is_not_paused_runs() {
    let really_before = std::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(really_before.elapsed() >= Duration::from_millis(5));
}

#[silo::test]
fn a_function_with_a_result() -> Result<(), std::num::ParseIntError> {
    let number: u8 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

#[silo::test]
async fn an_async_function_with_a_result() -> Result<(), Box<dyn std::error::Error>> {
    let number: u8 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

#[silo::test]
async fn an_async_function_with_the_unit_written() -> () {}

#[silo::test]
#[should_panic(expected = "as it should")]
fn a_function_that_panics() {
    panic!("as it should");
}

#[silo::test(flavor = "multi_thread", worker_threads = 1)]
#[should_panic(expected = "as it should")]
async fn an_async_function_that_panics() {
    panic!("as it should");
}

#[silo::test]
fn the_thread_bears_the_name_of_the_test() {
    let name = std::thread::current().name().map(str::to_owned);
    assert!(
        matches!(
            name.as_deref(),
            Some("main" | "the_thread_bears_the_name_of_the_test")
        ),
        "a panic would be reported for the thread {name:?}"
    );
}
