//! What a process must come to: its decisions over a complete map, and which of them are durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use silo_core::shard::decision::Change;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::{Recovery, Soft, SoftStep};
use silo_core::shard::view::Rows;
use silo_core::shard::{command::Command, decide, fold};
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::types::time::Now;
use silo_runtime::executor::trace::Decided;
use silo_runtime::executor::working_set::Round;

use crate::check::history::{Effect, History};
use crate::check::holders::Holders;
use crate::check::limits::Taken;
use crate::check::settings::{Settings, says, shown};
use crate::check::watching::Watching;
use crate::check::{Checked, Promise, Violation, ensure, violated};
use crate::world::bucket::Batch;
use crate::world::call::target;
use crate::world::event::CallId;

/// A job that a decision has changed, and how.
pub type Changed = (JobKey, Life);

/// What a decision means to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is there from now on.
    Begins,
    /// It goes on.
    GoesOn,
    /// It is gone.
    Ends,
}

/// What a process must come to.
#[derive(Debug)]
pub struct Shadow {
    rows: Rows,
    soft: Soft,
    is_replayed: bool,
    is_recovered: bool,
    /// How much of the shard's history this process knows to be durable.
    view: u64,
    now: Now,
    durable: Round,
    /// Changes by round, not handed over yet.
    open: VecDeque<(Round, Vec<Change>)>,
    /// Decisions with changes that are not durable, in order.
    pending: VecDeque<Pending>,
    /// Commands that wait for their reply, by the number in their stamp.
    records: BTreeMap<u64, Record>,
    /// Commands that were taken in and have no answer.
    untold: BTreeSet<u64>,
    /// Jobs whose end somebody waits for.
    pub watching: Watching,
    /// What operators have said, as decided.
    pub settings: Settings,
}

#[derive(Debug)]
struct Pending {
    round: Round,
    number: u64,
    changed: Vec<Changed>,
    taken: Vec<Taken>,
    /// The command, if it is one that says something.
    said: Option<Command>,
}

#[derive(Debug)]
struct Record {
    call: CallId,
    /// Whether the call may have its effect more than once.
    is_repeatable: bool,
    decided: Option<Judged>,
}

#[derive(Debug)]
struct Judged {
    reply: Reply,
    is_lease: bool,
    /// Everything up to this round must be durable before the reply may go.
    depends: Round,
    /// How much of the history it knows of, its own changes included.
    knows: u64,
    /// How much of the history it shows for certain: what it knows of and does not look at may be
    /// lost in a crash.
    shows: u64,
}

impl Shadow {
    /// A shard that was opened with these rows, when its history was so long and operators had
    /// said this.
    pub fn new(
        rows: BTreeMap<Key, Bytes>,
        (history, settings): (u64, Settings),
        is_replayed: bool,
    ) -> Self {
        Self {
            rows: Rows { map: rows },
            soft: Soft::lost(),
            is_replayed,
            is_recovered: false,
            view: history,
            now: Now::default(),
            durable: Round(0),
            open: VecDeque::new(),
            pending: VecDeque::new(),
            records: BTreeMap::new(),
            untold: BTreeSet::new(),
            watching: Watching::default(),
            settings,
        }
    }

    /// All rows as decided.
    pub const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The hints, where they are followed.
    pub const fn soft(&self) -> &Soft {
        &self.soft
    }

    /// Whether all tenants are known again.
    pub const fn is_recovered(&self) -> bool {
        self.is_recovered
    }

    /// The latest time that something was decided at.
    pub const fn now(&self) -> Now {
        self.now
    }

    /// How much of the shard's history the answer with this number knows of, at the most, and how
    /// much it shows, at the least.
    pub fn view(&self, number: u64) -> (u64, u64) {
        let judged = self.records.get(&number).and_then(|r| r.decided.as_ref());
        judged.map_or((0, 0), |judged| (judged.knows, judged.shows))
    }

    /// The hints are lost.
    pub fn lose_soft(&mut self) {
        self.soft = Soft::lost();
        self.is_recovered = false;
    }

    /// A command was submitted.
    pub fn asked(&mut self, number: u64, call: CallId, is_repeatable: bool) {
        let record = Record {
            call,
            is_repeatable,
            decided: None,
        };
        self.records.insert(number, record);
        self.untold.insert(number);
    }

    /// A command gets its answer: one.
    ///
    /// # Errors
    /// [`Violation`] when it has had one.
    pub fn told(&mut self, number: u64) -> Checked {
        ensure(self.untold.remove(&number), Promise::Protocol, || {
            format!("command {number} was answered twice")
        })
    }

    /// A command is left aside, as its caller has gone.
    ///
    /// # Errors
    /// [`Violation`] when it was decided, or had its answer.
    pub fn abandoned(&mut self, number: u64) -> Checked {
        let record = self.records.remove(&number);
        let is_undecided = record.is_some_and(|record| record.decided.is_none());
        ensure(
            self.untold.remove(&number) && is_undecided,
            Promise::Protocol,
            || format!("command {number} was left aside too late"),
        )
    }

    /// Nothing is asked any more, or will be answered: everybody has been told something.
    ///
    /// # Errors
    /// [`Violation`] when somebody has not.
    pub fn all_told(&self) -> Checked {
        ensure(self.untold.is_empty(), Promise::Protocol, || {
            format!("commands {:?} were never answered", self.untold)
        })
    }

    /// What is durable.
    pub const fn durable(&self) -> Round {
        self.durable
    }

    /// Takes a decision again over all rows, in worlds that do so. True if it did.
    ///
    /// # Errors
    /// [`Violation`] when it comes out otherwise.
    pub fn replay(&self, decided: &Decided) -> Result<bool, Violation> {
        if !self.is_replayed {
            return Ok(false);
        }
        let again = decide(&self.soft, &self.rows, &decided.stamp, &decided.command);
        ensure(
            again.as_ref() == Ok(&decided.decision),
            Promise::Equivalence,
            || format!("the stage decided\n{decided:#?}\nand a complete map says\n{again:#?}"),
        )?;
        Ok(true)
    }

    /// Takes a decision in.
    pub fn fold(&mut self, decided: &Decided) {
        let stamped = decided.stamp.now;
        self.now.wall = self.now.wall.max(stamped.wall);
        self.now.uptime = self.now.uptime.max(stamped.uptime);
        if self.is_replayed {
            fold(&mut self.soft, &mut self.rows, &decided.decision);
        } else {
            for change in &decided.decision.changes {
                match &change.value {
                    Some(value) => self.rows.map.insert(change.key.clone(), value.clone()),
                    None => self.rows.map.remove(&change.key),
                };
            }
        }
        for step in &decided.decision.steps {
            if let SoftStep::Recovered(how) = step {
                self.is_recovered = *how == Recovery::Done;
            }
        }
    }

    /// Remembers a decision until it is durable and answered.
    pub fn keep(&mut self, decided: Decided, changed: Vec<Changed>, taken: Vec<Taken>) {
        let Decided {
            stamp,
            command,
            decision,
            round,
        } = decided;
        let number = number_of(&stamp.entropy.0);
        let has_changes = !decision.changes.is_empty();
        let depends = if has_changes {
            round
        } else {
            let shown = self.last_shown(&command, &decision.reply);
            self.last_change(&command)
                .max(shown)
                .max(self.last_said(&command))
        };
        let knows = self.view + self.pending.len() as u64 + u64::from(has_changes);
        let shows = if has_changes { knows } else { self.view };
        if let Some(record) = self.records.get_mut(&number)
            && decision.reply != Reply::Again
        {
            let is_lease = matches!(command, Command::Lease(_));
            let reply = decision.reply;
            record.decided = Some(Judged {
                reply,
                is_lease,
                depends,
                knows,
                shows,
            });
        }
        if has_changes {
            self.open.push_back((round, decision.changes));
            self.pending.push_back(Pending {
                round,
                number,
                changed,
                taken,
                said: says(&command).then_some(command),
            });
        }
    }

    /// The round that last set what a command shows, if that is not durable.
    fn last_said(&self, command: &Command) -> Round {
        let Some(wanted) = shown(command) else {
            return Round(0);
        };
        let is_it = |said: &Command| shown(said).as_ref() == Some(&wanted);
        let mut pending = self.pending.iter().rev();
        let last = pending.find(|pending| pending.said.as_ref().is_some_and(is_it));
        last.map_or(Round(0), |pending| pending.round)
    }

    /// The round that last changed what a command looks at, if that is not durable.
    fn last_change(&self, command: &Command) -> Round {
        let Some(key) = target(command) else {
            return Round(0);
        };
        // A call that is repeated looks at what was asked for, which never changes.
        let looks_at = |life: Life| match command {
            Command::Enqueue(_) => life != Life::GoesOn,
            _ => true,
        };
        let names = |pending: &&Pending| {
            let mut changed = pending.changed.iter();
            changed.any(|(job, life)| *job == key && looks_at(*life))
        };
        let last = self.pending.iter().rev().find(names);
        last.map_or(Round(0), |pending| pending.round)
    }

    /// The round that last changed one of the jobs on a page, if that is not durable.
    fn last_shown(&self, command: &Command, reply: &Reply) -> Round {
        let (Command::List(list), Reply::Listed(page)) = (command, reply) else {
            return Round(0);
        };
        let is_shown = |(job, _): &Changed| {
            let mut shown = page.jobs.iter();
            job.tenant == list.tenant && shown.any(|shown| shown.job == job.job)
        };
        let mut pending = self.pending.iter().rev();
        let last = pending.find(|pending| pending.changed.iter().any(is_shown));
        last.map_or(Round(0), |pending| pending.round)
    }

    /// A batch is handed over: it must be what was decided for its round.
    ///
    /// # Errors
    /// [`Violation`] when it is not.
    pub fn written(&mut self, round: Round, batch: &Batch) -> Checked {
        let mut decided: Vec<Vec<Change>> = Vec::new();
        while let Some((_, changes)) = self.open.pop_front_if(|(of, _)| *of <= round) {
            decided.push(changes);
        }
        let is_same = if let [only] = decided.as_slice() {
            let same = |(change, row): (&Change, &(Key, Option<Bytes>))| {
                change.key == row.0 && change.value == row.1
            };
            only.len() == batch.len() && only.iter().zip(batch).all(same)
        } else {
            let mut rows: BTreeMap<&Key, Option<&Bytes>> = BTreeMap::new();
            for change in decided.iter().flatten() {
                rows.insert(&change.key, change.value.as_ref());
            }
            let rows = rows.into_iter();
            rows.eq(batch.iter().map(|(key, value)| (key, value.as_ref())))
        };
        ensure(is_same, Promise::Protocol, || {
            format!("the batch of {round:?} is not what was decided for it")
        })
    }

    /// Everything up to a round is durable.
    ///
    /// # Errors
    /// [`Violation`] when an effect is there twice.
    pub fn landed(
        &mut self,
        round: Round,
        history: &mut History,
        holders: &mut Holders,
        settings: &mut Settings,
    ) -> Checked {
        ensure(round > self.durable, Promise::Protocol, || {
            format!("{round:?} became durable after {:?}", self.durable)
        })?;
        self.durable = round;
        while let Some(pending) = self.pending.pop_front_if(|p| p.round <= round) {
            let record = self.records.get(&pending.number);
            if let Some(said) = &pending.said {
                settings.apply(said);
            }
            holders.took(pending.taken, settings);
            self.view = history.effect(Effect {
                call: record.map(|record| record.call),
                is_once: record.is_some_and(|record| !record.is_repeatable),
                changed: pending.changed,
            })?;
        }
        Ok(())
    }

    /// A reply leaves: what it depends on must be durable by now.
    ///
    /// # Errors
    /// [`Violation`] when it is not, or when nobody decided this.
    pub fn released(&self, number: u64, reply: &Reply, is_speculative: bool) -> Checked {
        let record = self.records.get(&number);
        let Some(judged) = record.and_then(|record| record.decided.as_ref()) else {
            return violated(Promise::Equivalence, format!("nobody decided {reply:?}"));
        };
        ensure(judged.reply == *reply, Promise::Equivalence, || {
            format!(
                "{reply:?} goes out, and what was decided is {:?}",
                judged.reply
            )
        })?;
        if is_speculative && judged.is_lease {
            return Ok(());
        }
        ensure(judged.depends <= self.durable, Promise::Durability, || {
            let durable = self.durable;
            format!(
                "{reply:?} depends on {:?}, durable is {durable:?}",
                judged.depends
            )
        })
    }
}

/// The number in a stamp's entropy.
fn number_of(entropy: &[u8; 16]) -> u64 {
    (u128::from_be_bytes(*entropy) & u128::from(u64::MAX)) as u64
}
