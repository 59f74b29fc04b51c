//! The verbs of the model checker.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Instant;

use stateright::Model as _;

use crate::cli::Trouble;
use crate::models::Search;
use crate::models::catalog::{Entry, Made};

/// Looks at one model, or serves it.
pub(crate) fn look(
    out: &mut impl Write,
    model: &Entry,
    jobs: usize,
    serve: Option<SocketAddr>,
) -> Result<bool, Trouble> {
    if let Some(address) = serve {
        match model.make() {
            Made::Life(life) => drop(life.checker().serve(address)),
            Made::Limits(slots) => drop(slots.checker().serve(address)),
            Made::Shard(shard) => drop(shard.checker().serve(address)),
        }
        return Ok(true);
    }
    let began = Instant::now();
    let found = model.explore(Search::Breadth, jobs);
    let seconds = began.elapsed().as_secs_f64();
    writeln!(out, "{}: {}", model.name, model.about)?;
    writeln!(
        out,
        "{} states, {} with those met again, {} deep, {seconds:.1} s",
        found.unique, found.states, found.depth
    )?;
    for name in &found.wrong {
        writeln!(out, "WRONG {name}")?;
    }
    for text in found.path.iter().chain(&found.end) {
        writeln!(out, "{text}")?;
    }
    Ok(found.wrong.is_empty() && found.is_exhaustive)
}

/// Looks whether states of models that are taken for one are alike.
pub(crate) fn alike<'m>(
    out: &mut impl Write,
    models: impl Iterator<Item = &'m Entry>,
) -> Result<bool, Trouble> {
    let mut is_well = true;
    for model in models {
        let unlike = model.unlike();
        is_well &= unlike.is_none();
        let what = unlike.map_or("alike".to_owned(), |states| format!("UNLIKE\n{states}"));
        writeln!(out, "{}: {what}", model.name)?;
    }
    Ok(is_well)
}

/// Looks at models, and compares with what is known.
pub(crate) fn check<'m>(
    out: &mut impl Write,
    models: impl Iterator<Item = &'m Entry>,
    jobs: usize,
) -> Result<bool, Trouble> {
    let mut is_well = true;
    let (mut states, mut lasted) = (0, 0.0);
    writeln!(
        out,
        "{:<18} {:>12} {:>12} {:>9} {:>11}",
        "model", "states", "met", "seconds", "per second"
    )?;
    for model in models {
        let began = Instant::now();
        let found = model.explore(Search::Depth, jobs);
        let seconds = began.elapsed().as_secs_f64();
        (states, lasted) = (states + found.unique, lasted + seconds);
        writeln!(
            out,
            "{:<18} {:>12} {:>12} {seconds:>9.1} {:>11.0}",
            model.name,
            found.unique,
            found.states,
            found.unique as f64 / seconds
        )?;
        let known = model.known();
        for name in &found.wrong {
            writeln!(out, "  WRONG {name}")?;
        }
        if let Some(path) = &found.path {
            writeln!(out, "  {path}")?;
        }
        if !found.is_exhaustive && found.wrong.is_empty() {
            writeln!(out, "  WRONG not every state was looked at")?;
        }
        if known != Some(found.unique) {
            writeln!(out, "  WRONG there were {known:?} states")?;
        }
        is_well &= found.wrong.is_empty() && found.is_exhaustive && known == Some(found.unique);
        out.flush()?;
    }
    writeln!(
        out,
        "{:<18} {states:>12} {:>12} {lasted:>9.1} {:>11.0}",
        "all",
        "",
        states as f64 / lasted
    )?;
    Ok(is_well)
}
