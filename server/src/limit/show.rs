//! `silo limit show`.

use clap::Parser;
use serde::Serialize;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::limit::view::{Holder, LimitView, Waiter};
use crate::output::{Output, Show};
use crate::table::table;

/// Jobs of each kind that a call gives, at most.
const PAGE_SIZE: u32 = 1000;

/// Show a limit, who holds its slots and who waits, in the order in which they get one.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// The limit's key.
    #[arg(value_name = "KEY")]
    key: String,

    /// Jobs of each kind, at most: 1 to 1000.
    #[arg(long, value_name = "N", env = "SILO_LIMIT_JOBS", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_SIZE)))]
    jobs: u32,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// A limit and its jobs. `limit` is null when nobody uses it and nothing is set.
#[derive(Debug, Serialize)]
struct Shown {
    limit: Option<LimitView>,
    holders: Vec<Holder>,
    waiting: Vec<Waiter>,
    #[serde(skip)]
    key: String,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let most = usize::try_from(self.jobs).unwrap_or(usize::MAX);
        let mut shown = Shown {
            limit: None,
            holders: Vec::new(),
            waiting: Vec::new(),
            key: self.key,
        };
        let mut token = String::new();
        loop {
            // A page may have none, and more may come.
            let page = client.show_limit(&shown.key, self.jobs, &token, self.jobs);
            let what = format!("show limit {}", shown.key);
            let page = page.await.map_err(CallFailed::of(what))?;
            if token.is_empty() {
                shown.limit = page.limit.map(LimitView::new);
                shown.waiting = page.waiting.into_iter().map(Waiter::new).collect();
            }
            let holders = page.holders.into_iter().map(Holder::new);
            shown.holders.extend(holders);
            token = page.next_page_token;
            let held = shown.limit.as_ref().map_or(0, |limit| limit.held);
            let held = usize::try_from(held).unwrap_or(usize::MAX);
            if token.is_empty() || shown.holders.len() >= held.min(most) {
                break;
            }
        }
        shown.holders.truncate(most);
        output.show(&shown)?;
        Ok(Exit::Done)
    }
}

impl Show for Shown {
    fn text(&self) -> String {
        let Some(limit) = &self.limit else {
            return format!("limit {} is not in use, and nothing is set", self.key);
        };
        let mut text = limit.facts();
        if !self.holders.is_empty() {
            text.push_str("\n\n");
            text.push_str(&table(Holder::HEADER, self.holders.iter().map(Holder::row)));
        }
        if !self.waiting.is_empty() {
            text.push_str("\n\n");
            text.push_str(&table(Waiter::HEADER, self.waiting.iter().map(Waiter::row)));
        }
        text
    }
}
