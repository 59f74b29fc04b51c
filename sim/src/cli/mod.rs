//! The command line of the simulator; [`models`] has the verbs of the model checker.

mod models;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::campaign::{Campaign, Seen};
use crate::cover::Mark;
use crate::models::catalog::{self, Entry, Size};
use crate::plan::profile::Profile;
use crate::plan::{PLAN_VERSION, Plan};
use crate::shrink::shrink;
use crate::trace::Trace;
use crate::world::World;

/// The first argument.
#[derive(Debug, Parser)]
#[command(
    name = "silo-sim",
    about = "Simulates a shard with everything around it, from seeds"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the worlds of many seeds
    Run {
        /// FIRST..LAST, both included
        #[arg(long, env = "SILO_SEEDS", default_value = "1..1000")]
        seeds: Seeds,
        /// Begin no seed after so long
        #[arg(long, env = "SILO_MINUTES")]
        minutes: Option<u64>,
        /// What kind of worlds
        #[arg(long, env = "SILO_PROFILE", value_enum, default_value_t)]
        profile: Profile,
        /// Threads
        #[arg(long, env = "SILO_JOBS", default_value_t = 1)]
        jobs: u32,
        /// Stop after so many seeds that fail
        #[arg(long, env = "SILO_WRONG_MAX", default_value_t = 5)]
        wrong_max: usize,
        /// Only print what was never seen, and fail if there is something
        #[arg(long)]
        coverage: bool,
    },
    /// Runs the worlds of many seeds, and fails if a danger never came up
    Coverage {
        /// FIRST..LAST, both included
        #[arg(long, env = "SILO_SEEDS", default_value = "1..1000")]
        seeds: Seeds,
        /// What kind of worlds
        #[arg(long, env = "SILO_PROFILE", value_enum, default_value_t)]
        profile: Profile,
        /// Threads
        #[arg(long, env = "SILO_JOBS", default_value_t = 1)]
        jobs: u32,
    },
    /// Runs the world of one seed, or of a plan, and shows what happens in it
    Replay {
        /// A seed, or a file with a plan
        what: String,
        /// What kind of world a seed makes
        #[arg(long, env = "SILO_PROFILE", value_enum, default_value_t)]
        profile: Profile,
        /// Only the last so many events
        #[arg(long, env = "SILO_TAIL", default_value_t = 200)]
        tail: usize,
        /// Write a trace that https://ui.perfetto.dev opens
        #[arg(long, env = "SILO_PERFETTO")]
        perfetto: Option<PathBuf>,
        /// Write the plan
        #[arg(long, env = "SILO_PLAN")]
        plan: Option<PathBuf>,
    },
    /// Looks for a smaller plan that fails the same way
    Shrink {
        /// A seed, or a file with a plan
        what: String,
        /// What kind of world a seed makes
        #[arg(long, env = "SILO_PROFILE", value_enum, default_value_t)]
        profile: Profile,
        /// Run at most so many plans
        #[arg(long, env = "SILO_RUNS_MAX", default_value_t = 2_000)]
        runs_max: u32,
        /// Where the smaller plan goes
        #[arg(long, env = "SILO_PLAN")]
        plan: Option<PathBuf>,
    },
    /// Looks at every state of a model, and shows the shortest way to what is wrong
    Explore {
        /// Which: `check` lists them
        #[arg(value_parser = model)]
        model: &'static Entry,
        /// Threads
        #[arg(long, env = "SILO_JOBS", default_value_t = 1)]
        jobs: usize,
        /// Serve stateright's explorer at this address instead, as in 127.0.0.1:3000
        #[arg(long, env = "SILO_SERVE")]
        serve: Option<std::net::SocketAddr>,
    },
    /// Looks at every state of every model, and compares with what is known: fails if something is
    /// wrong, a count has changed, or not all was looked at
    Check {
        /// Which; default: all
        #[arg(value_parser = model)]
        models: Vec<&'static Entry>,
        /// None that is larger
        #[arg(long, env = "SILO_SIZE", default_value = "long")]
        size: Size,
        /// Looks instead whether states that are taken for one are alike: one thread
        #[arg(long, env = "SILO_ALIKE")]
        alike: bool,
        /// Threads
        #[arg(long, env = "SILO_JOBS", default_value_t = 2)]
        jobs: usize,
    },
    /// Runs a world that is broken on purpose: fails, or the alarm does not work
    Canary,
}

/// A model by its name.
fn model(name: &str) -> Result<&'static Entry, String> {
    let all = || catalog::ALL.iter().map(|entry| entry.name);
    let unknown = || format!("there are {}", all().collect::<Vec<_>>().join(", "));
    catalog::find(name).ok_or_else(unknown)
}

/// Seeds from, to; both included.
#[derive(Clone, Copy, Debug)]
struct Seeds(u64, u64);

impl std::str::FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| {
            let text = text.trim_start_matches('=');
            text.parse().map_err(|_| format!("{text} is no number"))
        };
        Ok(Self(number(first)?, number(last)?))
    }
}

/// What may go wrong besides the worlds.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("{0} is no plan: {1}")]
    Plan(PathBuf, serde_json::Error),
    #[error("{0} is a plan of version {1}; this build reads version {PLAN_VERSION}")]
    Version(PathBuf, u32),
    #[error("nothing can be written: {0}")]
    Output(#[from] std::io::Error),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    match run(Arguments::parse().verb, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            let _ = writeln!(std::io::stderr(), "silo-sim: {trouble}");
            ExitCode::from(2)
        }
    }
}

fn run(verb: Verb, out: &mut impl Write) -> Result<bool, Trouble> {
    match verb {
        Verb::Run {
            seeds: Seeds(first, last),
            minutes,
            profile,
            jobs,
            wrong_max,
            coverage,
        } => {
            let time_max = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            let campaign = Campaign {
                first,
                last,
                profile,
                jobs,
                time_max,
            };
            let began = Instant::now();
            let seen = campaign.run(wrong_max);
            summary(out, &seen, began.elapsed(), profile)?;
            Ok(seen.wrong.is_empty() && (!coverage || is_covered(out, &seen)?))
        }
        Verb::Coverage {
            seeds: Seeds(first, last),
            profile,
            jobs,
        } => {
            let campaign = Campaign {
                first,
                last,
                profile,
                jobs,
                time_max: None,
            };
            let seen = campaign.run(usize::MAX);
            for mark in Mark::ALL {
                writeln!(
                    out,
                    "{:>12} {}",
                    seen.cover.count(*mark),
                    mark.words().trim()
                )?;
            }
            is_covered(out, &seen)
        }
        Verb::Replay {
            what,
            profile,
            tail,
            perfetto,
            plan: save,
        } => {
            let plan = plan_of(&what, profile)?;
            if let Some(path) = save {
                write_plan(&path, &plan)?;
            }
            let (ran, trace) = World::new(&plan, Trace::kept()).run();
            let lines = trace.lines();
            for line in lines.iter().skip(lines.len().saturating_sub(tail)) {
                let at = line.at / 1000;
                let text: String = line.text.chars().take(400).collect();
                writeln!(out, "{at:>9} ms {:>8} {text}", line.number)?;
            }
            if let Some(path) = perfetto {
                let text = trace.perfetto();
                std::fs::write(&path, text).map_err(|cause| Trouble::File(path, cause))?;
            }
            writeln!(
                out,
                "{} events, {} s, hash {:016x}",
                ran.events,
                ran.lasted / 1_000_000,
                ran.hash
            )?;
            match &ran.violation {
                Some(violation) => writeln!(out, "WRONG {violation}")?,
                None => writeln!(out, "nothing wrong")?,
            }
            Ok(ran.violation.is_none())
        }
        Verb::Shrink {
            what,
            profile,
            runs_max,
            plan: save,
        } => {
            let plan = plan_of(&what, profile)?;
            let shrunk = shrink(&plan, runs_max);
            let (before, after) = (plan.steps.len(), shrunk.plan.steps.len());
            let runs = shrunk.runs;
            writeln!(
                out,
                "{before} steps, {after} are left after {runs} runs: {:?}",
                shrunk.promise
            )?;
            if let Some(path) = save {
                write_plan(&path, &shrunk.plan)?;
            }
            Ok(shrunk.promise.is_some())
        }
        Verb::Explore { model, jobs, serve } => models::look(out, model, jobs, serve),
        Verb::Check {
            models,
            size,
            alike,
            jobs,
        } => {
            let is_wanted =
                |model: &Entry| models.is_empty() || models.iter().any(|m| m.name == model.name);
            let all = catalog::ALL.iter();
            let chosen = all.filter(|model| model.size <= size && is_wanted(model));
            match alike {
                true => models::alike(out, chosen),
                false => models::check(out, chosen, jobs),
            }
        }
        Verb::Canary => {
            let (ran, _) = World::new(&Plan::of(1, Profile::Canary), Trace::default()).run();
            match &ran.violation {
                Some(violation) => writeln!(out, "WRONG {violation}")?,
                None => writeln!(out, "the canary is silent: the alarm does not work")?,
            }
            Ok(ran.violation.is_none())
        }
    }
}

fn plan_of(what: &str, profile: Profile) -> Result<Plan, Trouble> {
    if let Ok(seed) = what.parse() {
        return Ok(Plan::of(seed, profile));
    }
    let path = Path::new(what);
    let text = std::fs::read(path).map_err(|cause| Trouble::File(path.to_path_buf(), cause))?;
    let plan: Plan =
        serde_json::from_slice(&text).map_err(|cause| Trouble::Plan(path.to_path_buf(), cause))?;
    if plan.version == PLAN_VERSION {
        Ok(plan)
    } else {
        Err(Trouble::Version(path.to_path_buf(), plan.version))
    }
}

fn write_plan(path: &Path, plan: &Plan) -> Result<(), Trouble> {
    let file = |cause| Trouble::File(path.to_path_buf(), cause);
    let mut text = serde_json::to_string_pretty(plan)
        .map_err(|cause| Trouble::Plan(path.to_path_buf(), cause))?;
    text.push('\n');
    std::fs::write(path, text).map_err(file)
}

fn summary(
    out: &mut impl Write,
    seen: &Seen,
    took: Duration,
    profile: Profile,
) -> Result<(), Trouble> {
    let seconds = took.as_secs_f64();
    writeln!(
        out,
        "{} worlds, {} events in {seconds:.1} s ({:.0} per second), {:.1} hours in the worlds, \
         hash {:016x}",
        seen.worlds,
        seen.events,
        seen.events as f64 / seconds,
        seen.lasted as f64 / 3.6e9,
        seen.hash
    )?;
    for (name, count) in seen.checked.named() {
        writeln!(out, "{count:>14} {name}")?;
    }
    for (seed, violation) in &seen.wrong {
        writeln!(out, "WRONG seed {seed}, profile {profile:?}: {violation}")?;
        writeln!(out, "  silo-sim replay {seed} --profile {}", name(profile))?;
    }
    Ok(())
}

fn name(profile: Profile) -> String {
    format!("{profile:?}").to_lowercase()
}

fn is_covered(out: &mut impl Write, seen: &Seen) -> Result<bool, Trouble> {
    let mut is_covered = true;
    for mark in seen.cover.unseen() {
        is_covered = false;
        writeln!(out, "never seen: {}", mark.words().trim())?;
    }
    for (name, count) in seen.checked.named() {
        if count == 0 {
            is_covered = false;
            writeln!(out, "never checked: {name}")?;
        }
    }
    Ok(is_covered)
}
