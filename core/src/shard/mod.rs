//! The shard machine: a sorted map of typed rows and a pure transition over it.
//!
//! [`decide`] judges a command with shared borrows only and yields a [`Decision`], or says which
//! rows it needs first. [`fold`] puts a decision into the rows and cannot fail. One command, one
//! atomic batch; a command that is refused, or that needs rows first, leaves nothing behind.
//!
//! * [`commands`]: one command per file: what it asks, what it decides
//! * [`command`]: all of them as one enum, and the stamp they carry
//! * [`reply`], [`refusal`]: what comes back
//! * [`decision`]: what a judged command is, as a value; [`counts`]: what happened in it
//! * [`view`]: how rows are read, and what a missing row is
//! * [`draft`]: a decision in the making
//! * [`moves`]: the one way into a queue, the one way out, the one way to a lease
//! * [`limits`]: who gets a slot, and who is next; [`seen`]: what operators see of it
//! * [`settle`]: what becomes of a job when an attempt of it is over
//! * [`soft`], [`ring`]: hints that may be lost at any instant

pub mod command;
pub mod commands;
pub mod counts;
pub mod decision;
mod draft;
pub mod limits;
mod moves;
pub mod refusal;
pub mod reply;
mod ring;
pub mod seen;
mod settle;
pub mod soft;
pub mod view;

use crate::shard::command::{Command, Stamp};
use crate::shard::commands::{
    cancel, delete, enqueue, expedite, explain, heartbeat, import, inspect, lease, lease_job, list,
    list_limits, pause, quarantine, recount, report, restart, set_limit, show_limit, tenant, tick,
};
use crate::shard::decision::Decision;
use crate::shard::draft::{Draft, Halt};
use crate::shard::limits::search::{looks, search};
use crate::shard::reply::Reply;
use crate::shard::soft::Soft;
use crate::shard::view::{Need, Overlay, View};

/// Judges one command.
///
/// The answer depends on nothing but the arguments. When the reply is [`Reply::Again`], the
/// decision set a damaged job aside: fold it and judge the same command again.
///
/// # Errors
/// [`Need`] when the view does not hold the rows asked for. Load them and judge again; over a
/// complete map this cannot happen.
pub fn decide(
    soft: &Soft,
    view: &dyn View,
    stamp: &Stamp,
    command: &Command,
) -> Result<Decision, Need> {
    let mut draft = Draft::new(soft, view, stamp);
    let judged = match command {
        Command::Enqueue(enqueue) => enqueue::decide(enqueue, &mut draft),
        Command::EnqueueAll(all) => enqueue::decide_all(all, &mut draft),
        Command::Import(import) => import::decide(import, &mut draft),
        Command::Lease(lease) => lease::decide(lease, &mut draft),
        Command::LeaseJob(lease) => lease_job::decide(lease, &mut draft),
        Command::Heartbeat(heartbeat) => heartbeat::decide(heartbeat, &mut draft),
        Command::Report(report) => report::decide(report, &mut draft),
        Command::Cancel(key) => cancel::decide(key, &mut draft),
        Command::Delete(key) => delete::decide(key, &mut draft),
        Command::Restart(key) => restart::decide(key, &mut draft),
        Command::Expedite(key) => expedite::decide(key, &mut draft),
        Command::List(list) => list::list(list, &draft),
        Command::ListSetAside(list) => inspect::list_set_aside(list, &draft),
        Command::Get(get) => inspect::get(get, &draft),
        Command::Result(key) => inspect::result(key, &draft),
        Command::Explain(key) => explain::explain(key, &mut draft),
        Command::ListLimits(list) => list_limits::list(list, &draft),
        Command::ShowLimit(show) => show_limit::show(show, &draft),
        Command::SetLimit(set) => set_limit::decide(set, &mut draft),
        Command::RecountLimits(tenant) => recount::decide(tenant, &mut draft),
        Command::SetTenant(set) => tenant::set(set, &mut draft),
        Command::GetTenant(tenant) => tenant::get(tenant, &mut draft),
        Command::SetQueue(set) => pause::set(set, &mut draft),
        Command::ListPaused => pause::list(&mut draft),
        Command::SetAside(aside) => quarantine::judge(aside, &draft),
        Command::Tick => tick::decide(&mut draft),
    };
    // Whatever frees a slot, whoever waits for it is looked at here: no way out can forget it.
    let judged = judged.and_then(|reply| search(&mut draft, looks(command)).map(|()| reply));
    match judged {
        Ok(reply) => Ok(draft.finish(reply)),
        Err(Halt::Need(need)) => Err(need),
        Err(Halt::Refused(refusal)) => Ok(Decision::refused(*refusal)),
        Err(Halt::Damaged(damage)) => quarantine::decide(&damage, Draft::new(soft, view, stamp)),
    }
}

/// Puts a decision into the rows and the hints.
pub fn fold(soft: &mut Soft, rows: &mut dyn Overlay, decision: &Decision) {
    for change in &decision.changes {
        rows.put(&change.key, change.value.as_ref());
    }
    for step in &decision.steps {
        soft.apply(step);
    }
}

/// Judges and folds one command over a complete map, setting damaged jobs aside on the way.
/// For models, simulator, fuzzer and tests: the executor does the same in steps.
///
/// # Errors
/// [`Need`] when `rows` is not complete.
pub fn run<R: View + Overlay>(
    soft: &mut Soft,
    rows: &mut R,
    stamp: &Stamp,
    command: &Command,
) -> Result<Decision, Need> {
    loop {
        let decision = decide(soft, rows, stamp, command)?;
        fold(soft, rows, &decision);
        if decision.reply != Reply::Again {
            return Ok(decision);
        }
    }
}
