//! Instances of the model `specs/shard.als` (`specs/traces/`, written by `scripts/specs --traces`),
//! replayed as commands: after each step the rows that are decided, handed over and durable say of
//! the job what the model's say. `docs/internals/specs.md` has the mapping.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::{Shard, failure, get, kept, plain, policy, success};
use serde_json::Value;
use silo_core::invariants::image::Image;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::reply::Reply;
use silo_core::shard::view::Rows;
use silo_core::table::attempt::Ending;
use silo_core::table::job::JobKey;
use silo_core::table::state::{Ended, Position, StateRow};
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Timestamp};

/// The one job of a trace, as the model calls it.
const JOB: &str = "Job0";
/// How long a job waits, or is kept, where the model says only that it does.
const WAIT: u64 = 1000;
/// The model's one loss is this many: `max_crashes` is one.
const LOSSES: u32 = 3;

/// What a state of an instance says: the tuples of each relation.
struct Facts(BTreeMap<String, Vec<Vec<String>>>);

struct Trace {
    name: String,
    fixed: Facts,
    states: Vec<Facts>,
    /// The state that follows the last.
    back_to: usize,
}

impl Facts {
    fn read(value: &Value) -> Self {
        let atoms = |tuple: &Value| -> Vec<String> {
            let atoms = tuple.as_array().unwrap().iter();
            atoms.map(|a| a.as_str().unwrap().to_owned()).collect()
        };
        let tuples = |value: &Value| value.as_array().unwrap().iter().map(atoms).collect();
        let pairs = value.as_object().unwrap().iter();
        Self(pairs.map(|(k, v)| (k.clone(), tuples(v))).collect())
    }

    /// What stands in a relation after these atoms.
    fn after(&self, relation: &str, prefix: &[&str]) -> BTreeSet<&str> {
        let tuples = self.0[relation].iter();
        let rest = tuples.filter_map(|tuple| {
            let (start, rest) = tuple.split_at_checked(prefix.len())?;
            (start == prefix).then(|| rest[0].as_str())
        });
        rest.collect()
    }

    fn one(&self, relation: &str) -> Option<&str> {
        self.after(relation, &[]).first().copied()
    }

    fn has(&self, relation: &str, tuple: &[&str]) -> bool {
        self.0[relation].iter().any(|t| t == tuple)
    }

    fn event(&self) -> &str {
        self.one("Event").unwrap()
    }
}

impl Trace {
    fn read(path: &Path) -> Self {
        let value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let states = value["states"].as_array().unwrap();
        Self {
            name: value["command"].as_str().unwrap().to_owned(),
            fixed: Facts::read(&value["fixed"]),
            states: states.iter().map(Facts::read).collect(),
            back_to: usize::try_from(value["loop"].as_u64().unwrap()).unwrap(),
        }
    }

    /// What follows the state at `at`.
    fn next(&self, at: usize) -> &Facts {
        self.states
            .get(at + 1)
            .unwrap_or(&self.states[self.back_to])
    }

    /// Follows every step; the first difference ends it.
    fn replay(&self) -> Result<(), String> {
        let mut world = World::new();
        for (at, facts) in self.states.iter().enumerate() {
            let next = self.next(at);
            let place = |why| format!("{}, step {at} ({}): {why}", self.name, facts.event());
            world.step(&self.fixed, facts, next).map_err(place)?;
            world.compare(&self.fixed, next).map_err(place)?;
        }
        Ok(())
    }
}

/// The code's side: rows as decided, as handed over and as durable.
struct World {
    shard: Shard,
    handed: Rows,
    durable: Rows,
    /// The task ids of the model's leases.
    tasks: BTreeMap<String, TaskId>,
    key: JobKey,
}

impl World {
    fn new() -> Self {
        Self {
            shard: Shard::new(),
            handed: Rows::default(),
            durable: Rows::default(),
            tasks: BTreeMap::new(),
            key: common::job("t", "j"),
        }
    }

    fn step(&mut self, fixed: &Facts, facts: &Facts, next: &Facts) -> Result<(), String> {
        let key = self.key.clone();
        let lease = facts.one("Task").unwrap_or_default();
        let is_due = next.has("position", &["Decided0", JOB, "Due0"]);
        let (reply, expected) = match facts.event() {
            "Enqueue0" => {
                let enqueue = described(fixed, is_due.then(|| self.at(WAIT)));
                let job = key.job.clone();
                let command = Command::Enqueue(Box::new(enqueue));
                (self.shard.run(&command), Reply::Enqueued(job))
            }
            "Cancel0" => (self.shard.cancel(&key), Reply::Cancelled),
            "Delete0" => (self.shard.delete(&key), Reply::Deleted),
            "Restart0" => (self.shard.restart(&key), Reply::Restarted),
            "Expedite0" => (self.shard.expedite(&key), Reply::Expedited),
            "Grant0" => return Ok(self.grant(lease)),
            "Heartbeat0" => {
                let reply = self.shard.heartbeat(&self.tasks[lease]);
                let is_right = matches!(reply, Reply::Extended { .. });
                return is_right.then_some(()).ok_or(format!("{reply:?}"));
            }
            "Report0" | "GiveBack0" => {
                let outcome = outcome(fixed, facts, next, lease, is_due);
                let task = self.tasks[lease].clone();
                (self.shard.report(&task, outcome), Reply::Reported)
            }
            "Expire0" => {
                if next.has("how", &["Decided0", lease, "Lost0"]) {
                    for _ in 1..LOSSES {
                        self.shard.run(&Command::Tick);
                        self.grant(lease);
                        self.pass();
                    }
                }
                (self.shard.run(&Command::Tick), Reply::Ticked)
            }
            "Start0" | "Clean0" => (self.shard.run(&Command::Tick), Reply::Ticked),
            "Pass0" => {
                let ripens = next.has("Ripe", &[JOB]) && !facts.has("Ripe", &[JOB]);
                return Ok(if ripens {
                    self.pass()
                });
            }
            "Again0" => {
                self.shard.run(&get(&key));
                return Ok(());
            }
            "HandOver0" => return Ok(self.handed = self.shard.rows.clone()),
            "Flush0" => return Ok(self.durable = self.handed.clone()),
            "Crash0" => {
                let landed = facts.after("position", &["Handed0", JOB])
                    == next.after("position", &["Decided0", JOB]);
                let rows = if landed { &self.handed } else { &self.durable };
                let rows = rows.clone();
                (self.handed, self.durable) = (rows.clone(), rows.clone());
                return Ok(self.shard.reopen(rows));
            }
            "Forget0" => return Ok(self.shard.reopen(self.shard.rows.clone())),
            "Recover0" => {
                for _ in 0..10 {
                    if !self.shard.soft.is_recovered() {
                        self.shard.run(&Command::Tick);
                    }
                }
                return Ok(());
            }
            "Idle0" => return Ok(()),
            other => return Err(format!("{other} is not mapped to a command")),
        };
        let is_right = reply == expected;
        is_right
            .then_some(())
            .ok_or(format!("{reply:?}, not {expected:?}"))
    }

    fn grant(&mut self, lease: &str) {
        let task = self.shard.lease_one();
        self.tasks.insert(lease.to_owned(), task.id);
    }

    /// What the job waits for comes.
    fn pass(&mut self) {
        if let Some(at) = self.shard.next_wake() {
            self.shard.now = self.shard.now.max(at.as_millis());
        }
    }

    fn at(&self, wait: u64) -> Timestamp {
        Timestamp::from_millis(self.shard.now).after(Millis::new(wait))
    }

    fn compare(&self, fixed: &Facts, facts: &Facts) -> Result<(), String> {
        let rows = [
            ("Decided0", &self.shard.rows),
            ("Handed0", &self.handed),
            ("Durable0", &self.durable),
        ];
        for (stage, rows) in rows {
            let image = Image::read(&rows.map);
            let found = self.project(fixed, &image);
            let wanted = wanted(facts, stage);
            if found != wanted {
                return Err(format!("{stage}: {found:?}, in the model {wanted:?}"));
            }
        }
        Ok(())
    }

    /// What the rows say, in the model's words.
    fn project(&self, fixed: &Facts, image: &Image) -> Option<Said> {
        let state = image.states.get(&self.key)?;
        let earlier = image.attempts.values();
        let mut ends: Vec<String> = earlier
            .chain(&state.last)
            .filter_map(|attempt| attempt.end.as_ref())
            .map(|end| match &end.how {
                Ending::Succeeded(_) => "Success0".to_owned(),
                Ending::Failed { .. } => "Failure0".to_owned(),
                Ending::Cancelled => "Stopped0".to_owned(),
                Ending::Crashed => "Crashed0".to_owned(),
            })
            .collect();
        ends.sort();
        let nonce = state.lease().map(|lease| lease.nonce);
        let named = self
            .tasks
            .iter()
            .filter(|(_, task)| Some(task.nonce) == nonce);
        Some(Said {
            position: position(state).to_owned(),
            is_asked: state.cancel_asked_at.is_some(),
            lease: named.map(|(lease, _)| lease.clone()).next(),
            ends,
            spent: spent(fixed, state),
        })
    }
}

/// What is compared of a job.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    position: String,
    is_asked: bool,
    lease: Option<String>,
    /// Of attempts that ended, not of leases that were given back or lost.
    ends: Vec<String>,
    /// Of a job that has not ended: what is left over then decides nothing any more.
    spent: Vec<&'static str>,
}

fn wanted(facts: &Facts, stage: &str) -> Option<Said> {
    let position = facts.after("position", &[stage, JOB]).first()?.to_string();
    let had = facts.after("had", &[stage, JOB]).into_iter();
    let mut ends: Vec<String> = had
        .flat_map(|lease| facts.after("how", &[stage, lease]))
        .filter(|how| !["Released0", "Snoozed0", "Lost0"].contains(how))
        .map(str::to_owned)
        .collect();
    ends.sort();
    let is_over = ["Succeeded0", "Failed0", "Cancelled0"].contains(&&*position);
    let budgets = ["Retries0", "Crashes0", "Losses0"].into_iter();
    let is_spent = |budget: &&str| !is_over && facts.has("spent", &[stage, budget, JOB]);
    Some(Said {
        is_asked: facts.has("asked", &[stage, JOB]),
        lease: facts
            .after("lease", &[stage, JOB])
            .first()
            .map(|l| l.to_string()),
        ends,
        spent: budgets.filter(is_spent).collect(),
        position,
    })
}

fn position(state: &StateRow) -> &'static str {
    match &state.position {
        Position::Due(_) => "Due0",
        Position::Ready(_) => "Ready0",
        Position::Parked { .. } => unreachable!("no job here has limits"),
        Position::Leased(_) => "Leased0",
        Position::Ended { status, .. } => match status {
            Ended::Succeeded => "Succeeded0",
            Ended::Failed => "Failed0",
            Ended::Cancelled => "Cancelled0",
        },
        Position::Quarantined { .. } => "Aside0",
    }
}

fn spent(fixed: &Facts, state: &StateRow) -> Vec<&'static str> {
    let mut spent = Vec::new();
    if !matches!(state.position, Position::Ended { .. }) {
        spent.extend((state.retries_used > 0).then_some("Retries0"));
        spent.extend((state.crashes > 0).then_some("Crashes0"));
        let may_lose = fixed.has("allows", &[JOB, "Losses0"]);
        spent.extend((may_lose && state.losses >= LOSSES).then_some("Losses0"));
    }
    spent
}

/// The job that the model's is.
fn described(fixed: &Facts, start_at: Option<Timestamp>) -> Enqueue {
    let allows = |budget| fixed.has("allows", &[JOB, budget]);
    assert_eq!(
        allows("Losses0"),
        allows("Crashes0"),
        "a trace that is not as coded"
    );
    let plain = if fixed.has("Kept", &[JOB]) {
        kept("j", WAIT)
    } else {
        plain("j")
    };
    Enqueue {
        start_at,
        retry: allows("Retries0").then(|| policy(1)),
        max_crashes: u32::from(allows("Crashes0")),
        ..plain
    }
}

/// What the worker reports, for the job to come to stand where it does in the model.
fn outcome(fixed: &Facts, facts: &Facts, next: &Facts, lease: &str, is_due: bool) -> Outcome {
    let delay = Millis::new(if is_due { WAIT } else { 0 });
    let hows = next.after("how", &["Decided0", lease]);
    match *hows.first().unwrap() {
        "Success0" => success(),
        "Stopped0" => Outcome::Cancelled,
        "Released0" => Outcome::Release,
        "Snoozed0" => Outcome::Snooze { delay },
        "Failure0" => {
            let may_retry = fixed.has("allows", &[JOB, "Retries0"])
                && !facts.has("spent", &["Decided0", "Retries0", JOB]);
            let ends = next.has("position", &["Decided0", JOB, "Failed0"]);
            let Outcome::Failure { code, data, .. } = failure() else {
                panic!("a failure");
            };
            Outcome::Failure {
                code,
                data,
                retryable: !(may_retry && ends),
                retry_after: Some(delay),
            }
        }
        other => panic!("{other} is not reported"),
    }
}

fn traces() -> Vec<Trace> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/traces");
    let entries = fs::read_dir(folder).unwrap();
    let traces: Vec<Trace> = entries.map(|e| Trace::read(&e.unwrap().path())).collect();
    assert!(traces.len() >= 7, "traces are found at all");
    traces
}

#[test]
fn what_the_model_does_the_code_does() {
    for trace in traces() {
        trace.replay().unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn traces_have_every_step_that_is_mapped() {
    let traces = traces();
    let all = traces.iter().flat_map(|trace| &trace.states);
    let seen: BTreeSet<&str> = all.map(Facts::event).collect();
    for event in [
        "Enqueue",
        "Cancel",
        "Restart",
        "Expedite",
        "Grant",
        "Heartbeat",
        "Report",
        "GiveBack",
        "Expire",
        "Start",
        "Clean",
        "Again",
        "Pass",
        "HandOver",
        "Flush",
        "Crash",
        "Recover",
    ] {
        assert!(seen.contains(&*format!("{event}0")), "no trace has {event}");
    }
}

#[test]
fn a_trace_that_is_not_so_is_noticed() {
    for mut trace in traces() {
        let last = trace.states.len() - 1;
        let said = trace.states[last].0.get_mut("position").unwrap();
        for tuple in said {
            tuple[2] = "Aside0".to_owned();
        }
        assert!(trace.replay().is_err(), "{}", trace.name);
    }
}
