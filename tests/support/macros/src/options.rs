//! What stands in the brackets of `#[silo::test(...)]`.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitBool, LitInt, LitStr, Result, Token};

/// The arguments as written, each at most once.
#[derive(Default)]
pub(crate) struct Options {
    /// Which runtime: `flavor = "..."`.
    pub(crate) flavor: Option<Flavor>,
    /// How many worker threads a multi-thread runtime has.
    pub(crate) worker_threads: Option<LitInt>,
    /// Whether tokio's clock stands still until the test is idle.
    pub(crate) start_paused: Option<LitBool>,
    /// Where the first argument stands.
    pub(crate) first: Option<Span>,
}

/// Tokio's two runtimes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    CurrentThread,
    MultiThread,
}

impl Options {
    /// The flavour in force, `current_thread` unless written.
    pub(crate) fn flavor(&self) -> Flavor {
        self.flavor.unwrap_or(Flavor::CurrentThread)
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        for argument in Punctuated::<Argument, Token![,]>::parse_terminated(input)? {
            options.first.get_or_insert(argument.span);
            let twice = match argument.value {
                Value::Flavor(flavor) => options.flavor.replace(flavor).is_some(),
                Value::WorkerThreads(count) => options.worker_threads.replace(count).is_some(),
                Value::StartPaused(paused) => options.start_paused.replace(paused).is_some(),
            };
            if twice {
                return Err(Error::new(argument.span, "this argument is given twice"));
            }
        }
        options.agree()?;
        Ok(options)
    }
}

impl Options {
    /// Refuses what tokio would refuse only when the test runs.
    fn agree(&self) -> Result<()> {
        match self.flavor() {
            Flavor::CurrentThread => self.worker_threads.as_ref().map_or(Ok(()), |count| {
                let message = "`worker_threads` needs `flavor = \"multi_thread\"`";
                Err(Error::new(count.span(), message))
            }),
            Flavor::MultiThread => self.start_paused.as_ref().map_or(Ok(()), |paused| {
                let message = "`start_paused` needs `flavor = \"current_thread\"`";
                Err(Error::new(paused.span(), message))
            }),
        }
    }
}

/// One `name = value`.
struct Argument {
    span: Span,
    value: Value,
}

enum Value {
    Flavor(Flavor),
    WorkerThreads(LitInt),
    StartPaused(LitBool),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
        input.parse::<Token![=]>()?;
        let value = match name.to_string().as_str() {
            "flavor" => Value::Flavor(flavor(&input.parse()?)?),
            "worker_threads" => Value::WorkerThreads(at_least_one(input.parse()?)?),
            "start_paused" => Value::StartPaused(input.parse()?),
            _ => {
                let message = "expected `flavor`, `worker_threads` or `start_paused`";
                return Err(Error::new(name.span(), message));
            }
        };
        Ok(Self {
            span: name.span(),
            value,
        })
    }
}

fn flavor(name: &LitStr) -> Result<Flavor> {
    match name.value().as_str() {
        "current_thread" => Ok(Flavor::CurrentThread),
        "multi_thread" => Ok(Flavor::MultiThread),
        _ => {
            let message = "expected \"current_thread\" or \"multi_thread\"";
            Err(Error::new(name.span(), message))
        }
    }
}

fn at_least_one(count: LitInt) -> Result<LitInt> {
    match count.base10_parse::<usize>()? {
        0 => Err(Error::new(
            count.span(),
            "at least one worker thread is needed",
        )),
        _ => Ok(count),
    }
}
