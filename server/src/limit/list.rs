//! `silo limit list`.

use clap::Parser;
use clap::builder::BoolishValueParser;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::limit::view::LimitView;
use crate::output::{Output, say, warn};
use crate::table::table;

/// Limits that one call asks for, at most.
const PAGE_SIZE: u32 = 1000;

/// List the limits that are in use or set, in the order of their keys.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// Only those whose key begins so.
    #[arg(long, value_name = "TEXT", env = "SILO_LIMIT_PREFIX")]
    prefix: Option<String>,

    /// No more than so many.
    #[arg(long, value_name = "N", env = "SILO_LIMIT_LIMIT", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "all")]
    limit: u64,

    /// All that there are.
    #[arg(long, env = "SILO_LIMIT_ALL", value_parser = BoolishValueParser::new())]
    all: bool,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let most = if self.all { u64::MAX } else { self.limit };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let prefix = self.prefix.unwrap_or_default();
        let mut limits = Vec::new();
        let mut token = String::new();
        let mut damaged: u64 = 0;
        loop {
            let page = client.limits_page(&prefix, PAGE_SIZE, &token).await;
            let page = page.map_err(CallFailed::of("list limits"))?;
            limits.extend(page.limits.into_iter().map(LimitView::new));
            damaged = damaged.saturating_add(page.damaged.into());
            token = page.next_page_token;
            if token.is_empty() || limits.len() > most {
                break;
            }
        }
        let has_more = limits.len() > most;
        limits.truncate(most);
        match output {
            Output::Json => limits.iter().try_for_each(|limit| output.show(limit))?,
            Output::Text if limits.is_empty() => say("no limit is in use or set")?,
            Output::Text => say(&table(LimitView::HEADER, limits.iter().map(LimitView::row)))?,
        }
        if has_more {
            let more = "there are more: --limit and --all show them";
            warn(output, more.to_owned());
        }
        if damaged > 0 {
            let left_out = format!(
                "{damaged} limits are left out, their rows are damaged: `silo limit recount` makes \
                 them anew"
            );
            warn(output, left_out);
        }
        Ok(Exit::Done)
    }
}
