//! The `#[silo::test]` attribute; `silo-test-support` re-exposes it and says what it does.

mod expand;
mod options;

use proc_macro::TokenStream;
use syn::{ItemFn, parse_macro_input};

use crate::options::Options;

/// Turns a `fn` or an `async fn` into a test with a tracing subscriber of its own.
///
/// For an `async fn`: `flavor = "current_thread"` (the default) or `"multi_thread"`,
/// `worker_threads = N`, `start_paused = true`, as for `#[tokio::test]`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(arguments as Options);
    let function = parse_macro_input!(item as ItemFn);
    expand::test(&options, &function)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
