//! The same for several jobs: some at a time, shown in the order in which they were named.

use std::path::Path;

use clap::Args;
use futures::{StreamExt as _, stream};
use miette::Report;

use crate::exit::Exit;
use crate::failure::About;
use crate::input::{self, InputError};
use crate::output::{Output, Show};

/// Calls at once.
const AT_ONCE: usize = 16;

/// Which jobs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ids {
    /// Ids of jobs; `-` reads them from standard input, one a line.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

impl Ids {
    /// The ids.
    ///
    /// # Errors
    ///
    /// If standard input is to be read and cannot be, or is not UTF-8.
    fn named(&self) -> Result<Vec<String>, InputError> {
        let mut named = Vec::new();
        for id in &self.ids {
            if id != "-" {
                named.push(id.clone());
                continue;
            }
            let text = String::from_utf8(input::read(Path::new("-"))?);
            let text = text.map_err(|_| InputError::Utf8)?;
            let lines = text.lines().filter(|line| !line.is_empty());
            named.extend(lines.map(str::to_owned));
        }
        Ok(named)
    }

    /// Does it for each, and shows what became of each. One that fails does not keep the others
    /// from being done.
    ///
    /// # Errors
    ///
    /// If the ids cannot be read or standard output is gone.
    pub(crate) async fn each<T, D, S>(
        &self,
        output: Output,
        act: D,
        show: S,
    ) -> miette::Result<Exit>
    where
        D: AsyncFn(&str) -> Result<T, Report>,
        S: Fn(T, Output) -> miette::Result<Exit>,
    {
        let ids = self.named()?;
        let act = &act;
        let acts = ids.iter().map(async |id| (id, act(id).await));
        let mut done = stream::iter(acts).buffered(AT_ONCE);
        let mut exit = Exit::Done;
        while let Some((id, told)) = done.next().await {
            let ended = match told {
                Ok(told) => show(told, output)?,
                Err(report) => {
                    let about = About {
                        id: Some(id.clone()),
                        line: None,
                    };
                    output.tell(&report, &about)
                }
            };
            exit = exit.and(ended);
        }
        Ok(exit)
    }

    /// Does it for each, and says of each that it was done.
    ///
    /// # Errors
    ///
    /// As [`Ids::each`].
    pub(crate) async fn each_done<D>(
        &self,
        output: Output,
        done: &'static str,
        act: D,
    ) -> miette::Result<Exit>
    where
        D: AsyncFn(&str) -> Result<(), Report>,
    {
        let act = &act;
        let act = async |id: &str| {
            act(id).await?;
            let id = id.to_owned();
            Ok(Done { id, done })
        };
        self.each(output, act, |done, output| {
            output.show(&done)?;
            Ok(Exit::Done)
        })
        .await
    }
}

#[derive(serde::Serialize)]
struct Done {
    id: String,
    done: &'static str,
}

impl Show for Done {
    fn text(&self) -> String {
        format!("{} {}", self.done, self.id)
    }
}
