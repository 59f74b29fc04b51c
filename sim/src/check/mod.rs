//! What must be true, checked while a world runs. Each check counts what it checked: one that
//! checked nothing has failed.
//!
//! * [`shadow`]: the rows of one process as decided, complete; and what of it is durable
//! * [`touched`]: the core's invariants, on the rows that a decision has touched; [`limits`]: those
//!   of limits and lines
//! * [`transitions`]: what a command may do to a job, and what it may be refused for
//! * [`history`]: every acknowledged operation has its effect, in an order that real time allows
//! * [`at_work`]: no job runs at two workers at once; [`holders`]: no limit is exceeded there
//! * [`listing`]: pages of lists; [`watching`]: who waits for a job's end
//! * [`settings`]: what operators have said holds, and is not forgotten; [`pauses`]: the same as
//!   those see it who ask
//! * [`views`]: what operators see of limits, and why a job does not run
//! * [`fairness`]: nobody waits longer than a turn of the ring

pub mod at_work;
pub mod fairness;
pub mod history;
pub mod holders;
pub mod limits;
pub mod listing;
pub mod pauses;
pub mod settings;
pub mod shadow;
pub mod touched;
pub mod transitions;
pub mod views;
pub mod watching;

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::invariants::image::Image;
use silo_core::invariants::{check_all, check_soft};
use silo_core::shard::decision::Notice;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_runtime::executor::replies::{Answer, Failure};
use silo_runtime::executor::trace::Decided;
use silo_runtime::executor::working_set::Round;

use crate::check::at_work::AtWork;
use crate::check::fairness::Fairness;
use crate::check::history::History;
use crate::check::holders::Holders;
use crate::check::pauses::Pauses;
use crate::check::settings::{Settings, shown};
use crate::check::shadow::Shadow;
use crate::clock::{At, MS};
use crate::cover::{Cover, Mark};
use crate::plan::config::Config;
use crate::plan::{Ask, Plan, What};
use crate::world::bucket::Batch;
use crate::world::call::Call;
use crate::world::event::{Letter, ProcessId};
use crate::world::handle::Object;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise is broken.
    pub promise: Promise,
    /// What was found.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.detail)
    }
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// What is true of every state of a shard.
    Invariant,
    /// A command does what it says to the jobs that it names, and nothing else.
    Transition,
    /// The stage decides as a complete map would.
    Equivalence,
    /// Nothing is said that a crash could take back.
    Durability,
    /// One write, one flush, one proof at a time; batches are what was decided.
    Protocol,
    /// What was acknowledged has its effect once, in an order that real time allows.
    History,
    /// No job runs at two workers at once.
    AtWork,
    /// Nobody waits longer than a turn of the ring.
    Fairness,
    /// Of what is paused nothing is leased.
    Pauses,
    /// What operators have said holds until they say otherwise.
    Settings,
    /// When faults end, everything comes to rest.
    Liveness,
    /// What is kept for a time goes when it is over.
    Retention,
    /// Nobody is told of an error that nothing has caused.
    Provoked,
    /// A check has checked something.
    Checked,
}

/// Fine, or not.
pub type Checked = Result<(), Violation>;

/// It is wrong.
///
/// # Errors
/// Always.
pub fn violated(promise: Promise, detail: impl Into<String>) -> Checked {
    let detail = detail.into();
    Err(Violation { promise, detail })
}

/// It is wrong unless it holds.
///
/// # Errors
/// [`Violation`] when it does not hold.
pub fn ensure(holds: bool, promise: Promise, detail: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        violated(promise, detail())
    }
}

/// What was checked, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Decisions whose touched rows were checked.
    pub touched: u64,
    /// Whole images.
    pub whole: u64,
    /// Transitions of jobs.
    pub transitions: u64,
    /// Decisions taken again over a complete map.
    pub replayed: u64,
    /// Replies whose durability was checked.
    pub released: u64,
    /// Batches compared with what was decided.
    pub batches: u64,
    /// Answers put in order.
    pub ordered: u64,
    /// Commands that got their one answer.
    pub told: u64,
    /// Pages of lists.
    pub listed: u64,
    /// Answers about limits, and why a job does not run.
    pub seen: u64,
    /// Ends of jobs that somebody waited for.
    pub awaited: u64,
    /// Tasks begun and extended.
    pub at_work: u64,
    /// Tasks begun and extended of limits.
    pub held: u64,
    /// Decisions whose limits were checked.
    pub limits: u64,
    /// Turns given.
    pub turns: u64,
    /// Answers about what operators have set.
    pub set: u64,
    /// Tasks begun while something was paused.
    pub paused: u64,
    /// Worlds that came to rest.
    pub rested: u64,
    /// Jobs looked at when their world had come to rest.
    pub ended: u64,
}

impl Counts {
    /// Each with its name.
    pub const fn named(&self) -> [(&'static str, u64); 19] {
        [
            ("decisions whose rows were checked", self.touched),
            ("whole images checked", self.whole),
            ("transitions checked", self.transitions),
            ("decisions taken again", self.replayed),
            ("replies checked for durability", self.released),
            ("batches compared", self.batches),
            ("answers put in order", self.ordered),
            ("commands that got one answer", self.told),
            ("pages of lists checked", self.listed),
            ("answers about limits and jobs that wait", self.seen),
            ("ends that somebody waited for", self.awaited),
            ("leases checked at workers", self.at_work),
            ("slots checked at workers", self.held),
            ("decisions whose limits were checked", self.limits),
            ("turns of tenants checked", self.turns),
            ("answers about what is set", self.set),
            ("tasks begun beside pauses", self.paused),
            ("worlds that came to rest", self.rested),
            ("jobs checked at the end", self.ended),
        ]
    }

    /// Both together.
    pub const fn add(&mut self, other: &Self) {
        self.touched += other.touched;
        self.whole += other.whole;
        self.transitions += other.transitions;
        self.replayed += other.replayed;
        self.released += other.released;
        self.batches += other.batches;
        self.ordered += other.ordered;
        self.told += other.told;
        self.listed += other.listed;
        self.seen += other.seen;
        self.awaited += other.awaited;
        self.at_work += other.at_work;
        self.held += other.held;
        self.limits += other.limits;
        self.turns += other.turns;
        self.set += other.set;
        self.paused += other.paused;
        self.rested += other.rested;
        self.ended += other.ended;
    }
}

/// All checks of a world.
#[derive(Debug)]
pub struct Check {
    /// Who runs what.
    pub at_work: AtWork,
    /// Who holds slots.
    pub holders: Holders,
    /// What was acknowledged.
    pub history: History,
    /// Whose turn it is.
    pub fairness: Fairness,
    /// What operators have said, as far as it is durable.
    pub settings: Settings,
    /// What is paused, as operators know.
    pub pauses: Pauses,
    is_canary: bool,
    proof_window: At,
    counts: Counts,
}

impl Check {
    /// Nothing has happened.
    pub fn new(config: &Config) -> Self {
        Self {
            at_work: AtWork::new(config),
            holders: Holders::new(config),
            history: History::default(),
            fairness: Fairness::default(),
            settings: Settings::default(),
            pauses: Pauses::new(config),
            is_canary: config.profile == crate::plan::profile::Profile::Canary,
            proof_window: config.lease_ms / 3 * MS,
            counts: Counts::default(),
        }
    }

    /// What was checked so far.
    pub const fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.at_work = self.at_work.checked();
        counts.held = self.holders.checked();
        counts.turns = self.fairness.checked();
        counts.paused = self.pauses.checked();
        counts
    }

    /// A stage has decided something.
    ///
    /// # Errors
    /// [`Violation`], and so do all others here.
    pub fn decided(
        &mut self,
        process: ProcessId,
        shadow: &mut Shadow,
        decided: Decided,
        cover: &mut Cover,
    ) -> Checked {
        if shadow.replay(&decided)? {
            self.counts.replayed += 1;
        }
        self.fairness.decided(process, shadow, &decided, cover)?;
        shadow.settings.heeded(&decided, cover)?;
        let touched = touched::before(shadow.rows(), &decided)?;
        transitions::answer(shadow.rows(), &decided, cover)?;
        if listing::check(shadow.rows(), &decided)? {
            self.counts.listed += 1;
        }
        if views::check(shadow.rows(), &shadow.settings, &decided, cover)? {
            self.counts.seen += 1;
        }
        shadow.fold(&decided);
        self.said(shadow, &decided, cover)?;
        self.counts.transitions += touched.jobs() as u64;
        transitions::check(&touched, shadow.rows(), &decided, cover)?;
        let after = (shadow.rows(), &shadow.settings);
        touched::check(&touched, after, &decided, cover)?;
        self.counts.touched += 1;
        self.counts.limits += u64::from(!touched.limits.is_empty());
        shadow.watching.decided(&touched, decided.round);
        let jobs = touched.states();
        let taken = touched.limits.taken(shadow.rows(), jobs, &decided.command);
        shadow.keep(decided, touched.into_changed(), taken);
        Ok(())
    }

    /// What a decision says, and shows, of what operators have set.
    fn said(&mut self, shadow: &mut Shadow, decided: &Decided, cover: &mut Cover) -> Checked {
        let reply = &decided.decision.reply;
        if shown(&decided.command).is_none() || matches!(reply, Reply::Refused(_)) {
            return Ok(());
        }
        self.counts.set += 1;
        let before = shadow.settings.clone();
        shadow.settings.apply(&decided.command);
        shadow.settings.answered(&before, decided, cover)?;
        shadow.settings.is_of_all(&shadow.rows().map)
    }

    /// Hints are what they would be over a complete map.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn soft_is_same(&self, shadow: &Shadow, soft: &Soft) -> Checked {
        ensure(shadow.soft() == soft, Promise::Equivalence, || {
            "the hints differ from those over a complete map".to_owned()
        })
    }

    /// A batch is handed over.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn written(&mut self, shadow: &mut Shadow, round: Round, batch: &Batch) -> Checked {
        self.counts.batches += 1;
        shadow.written(round, batch)
    }

    /// An object of the log was made.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn landed(&mut self, shadow: &mut Shadow, object: &Object, _: &mut Cover) -> Checked {
        let (history, holders) = (&mut self.history, &mut self.holders);
        shadow.landed(object.round(), history, holders, &mut self.settings)
    }

    /// A reply leaves a stage.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn released(
        &mut self,
        shadow: &Shadow,
        number: u64,
        reply: &Reply,
        is_speculative: bool,
    ) -> Checked {
        self.counts.released += 1;
        shadow.released(number, reply, is_speculative)
    }

    /// A command gets its answer, whatever that says.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn told(&mut self, shadow: &mut Shadow, number: u64) -> Checked {
        self.counts.told += 1;
        shadow.told(number)
    }

    /// Those who wait for the end of a job are told of it.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn over(&mut self, shadow: &mut Shadow, job: &JobKey) -> Checked {
        self.counts.awaited += 1;
        let durable = shadow.durable();
        shadow.watching.told(job, durable)
    }

    /// A caller has its answer.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn answered(
        &mut self,
        (call, letter): (&Call, &Letter),
        reply: &Reply,
        now: At,
        cover: &mut Cover,
    ) -> Checked {
        self.counts.ordered += 1;
        self.pauses.answered(call, letter.token, reply, now);
        if let Reply::Leased(tasks) = reply {
            for task in tasks {
                self.pauses.may_begin(task, call.sent_at, cover)?;
            }
        }
        self.history.answered(call, letter, reply)
    }

    /// What somebody else may want to know: nothing was damaged, so nothing is mended.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn notice(&self, notice: &Notice, cover: &mut Cover) -> Checked {
        match notice {
            Notice::Ready(_) => {}
            Notice::CancelAsked(_) => cover.hit(Mark::CancelAsked),
            Notice::Crashed(_) => cover.hit(Mark::Crashed),
            Notice::Lost(_) => cover.hit(Mark::Lost),
            Notice::IndexDropped(_)
            | Notice::Quarantined(..)
            | Notice::Mended(_)
            | Notice::Unreadable(_) => {
                return violated(Promise::Invariant, format!("a bug, or damage: {notice:?}"));
            }
        }
        ensure(!self.is_canary, Promise::Invariant, || {
            "the canary sings: this world is broken on purpose".to_owned()
        })
    }

    /// Somebody is told that nothing was done, or that nobody knows.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn failed_rightly(&self, answer: &Answer) -> Checked {
        match answer {
            Answer::Reply(_) => Ok(()),
            Answer::Failed(failure) => match failure {
                Failure::Unavailable
                | Failure::Unreadable
                | Failure::Unproven
                | Failure::OutcomeUnknown => Ok(()),
                Failure::Opening | Failure::Closing | Failure::Overloaded => {
                    violated(Promise::Provoked, format!("a stage said {failure}"))
                }
            },
        }
    }

    /// A process has opened the shard: it finds what was durable.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn opened(
        &mut self,
        _: ProcessId,
        rows: &BTreeMap<Key, Bytes>,
        cover: &mut Cover,
    ) -> Checked {
        self.counts.whole += 1;
        if self.settings.has_pauses() {
            cover.hit(Mark::OpenedPaused);
        }
        self.settings.is_of(rows)?;
        all(rows)
    }

    /// Everything that a process has decided, at once.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn whole(&mut self, shadow: &Shadow, soft: &Soft, is_deposed: bool) -> Checked {
        self.counts.whole += 1;
        all(&shadow.rows().map)?;
        shadow.settings.is_of(&shadow.rows().map)?;
        if is_deposed {
            return Ok(());
        }
        let image = Image::read(&shadow.rows().map);
        let found = check_soft(&image, soft, shadow.now());
        ensure(found.is_empty(), Promise::Invariant, || {
            format!("{found:?}")
        })
    }

    /// The world has come to rest.
    ///
    /// # Errors
    /// See [`Check::decided`].
    pub fn end(&mut self, rows: &BTreeMap<Key, Bytes>, _: &Cover) -> Checked {
        all(rows)?;
        self.settings.is_of(rows)?;
        self.counts.rested += 1;
        let image = Image::read(rows);
        self.counts.ended += image.states.len() as u64;
        ensure(image.expiry.is_empty(), Promise::Retention, || {
            format!("{} jobs were to be removed", image.expiry.len())
        })?;
        self.history.end(&image)
    }

    /// How long after it was deposed an owner may answer what others know better: a proof is good
    /// for so long by its own clock, which may run a tenth slow, and drifts.
    pub const fn stale_max(&self) -> At {
        self.proof_window + self.proof_window / 8 + 2 * MS
    }
}

fn all(rows: &BTreeMap<Key, Bytes>) -> Checked {
    let found = check_all(&Image::read(rows));
    ensure(found.is_empty(), Promise::Invariant, || {
        format!("{found:?}")
    })
}

/// How long a world may take to come to rest once it was healed: everything that may take its
/// time after the last fault, added up.
pub fn rest_bound(config: &Config, plan: &Plan) -> At {
    let mut ms: u64 = 600_000;
    let longest = config.lease_ms.max(3_000);
    ms += longest * 20;
    // Whoever waits for a slot may be the last of all.
    ms += plan.limited() * 2_000;
    for step in &plan.steps {
        match &step.what {
            // Clocks catch up at a tenth of time at the slowest.
            What::SetClock { ms: by } => ms += by.unsigned_abs() * 11,
            What::Ask(Ask::Enqueue(spec)) => {
                ms += spec.start_in_ms.unwrap_or(0).unsigned_abs() / 100;
            }
            _ => {}
        }
    }
    ms * MS
}
