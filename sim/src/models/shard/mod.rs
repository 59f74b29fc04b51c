//! One shard: the real `Stage`, what is under way between it and storage, and who is told what.
//! With one owner at a time it is the model of the *executor*; with two, of *ownership*.
//!
//! * [`store`]: storage, and what is on its way there
//! * [`owner`]: a process with a stage, one step at a time
//! * [`world`]: a state: owners, storage, callers, time; and what happens to it
//! * [`told`]: callers are told; [`facts`]: what must be true because of it
//! * [`danger`]: what must be met; [`model`]: actions, properties, bounds
//! * [`show`]: a state for people
//!
//! The wall clock stands still: starts, back-offs and retention go by it, and are the life cycle's
//! and the simulator's. Leases, flushes and proofs go by uptime, which no row holds. So rows hold
//! no time that differs from state to state, and are compared byte by byte. All processes' clocks
//! go at one rate; a process that stands still is one that takes no step for a while.

pub mod danger;
pub mod facts;
pub mod model;
pub mod owner;
pub mod show;
pub mod store;
pub mod told;
pub mod world;

use silo_core::shard::command::Command;
use silo_core::shard::commands::heartbeat::Heartbeat;
use silo_core::shard::commands::inspect::Get;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Now, Timestamp, Uptime};

use crate::models::jobs::{enqueue, key};
use crate::world::say;

/// A proof is good for so long, and the clock goes in such steps: a third of a lease.
pub const WINDOW: Millis = Millis::new(1_000);
/// How long leases last.
pub const LEASE: Millis = Millis::new(3_000);

/// Something that must always be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    /// What a caller is told no crash takes back.
    Durable,
    /// What the stage decides a complete map decides too.
    Equal,
    /// No answer comes from an owner that was deposed longer ago than a proof is good for.
    Fresh,
    /// The log is what its owner decided: nobody else writes into it.
    Alone,
    /// A job is at two workers for a third of a lease at most, and only after a change of owners.
    AtWork,
    /// Each caller is told once, and rightly.
    Told,
}

/// A way to be wrong that must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Replies go when their batch was accepted.
    RepliesWhenAccepted,
    /// Objects are made whatever their number.
    NoFence,
    /// A proof counts from when it arrives.
    ProofFromArrival,
    /// Who asks for a proof is told that all is well, and nobody looks.
    NobodyLooks,
    /// Rows are forgotten while they are under way.
    ForgetsInFlight,
    /// Loads do not see what was accepted and is not durable.
    StaleLoads,
    /// One row of each object is lost.
    LosesARow,
    /// A failed flush is taken for one that has ended well.
    FailureIsSuccess,
    /// The news of a flush never comes.
    SilentFlush,
    /// An answer is sent twice.
    AnswersTwice,
    /// The clock of whoever opens the shard later goes half as fast again.
    FastClock,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    /// The second job is asked for, without a request id: not to be repeated blindly.
    Enqueue,
    /// The first job is looked at.
    GetFirst,
    /// The second job is looked at.
    GetSecond,
    /// A task is asked for.
    Lease,
    /// A task is reported as done.
    Report,
    /// A lease is kept.
    Heartbeat,
    /// The first job is removed.
    Delete,
}

impl Ask {
    /// Everything.
    pub const ALL: [Self; 7] = [
        Self::Enqueue,
        Self::GetFirst,
        Self::GetSecond,
        Self::Lease,
        Self::Report,
        Self::Heartbeat,
        Self::Delete,
    ];
}

/// How often each thing is asked for, in the order of [`Ask::ALL`].
pub type Asks = [u8; Ask::ALL.len()];

/// How often each thing may happen that nobody asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Storage flushes of its own accord.
    pub own_flushes: u8,
    /// Puts that are said to have failed; their objects may land later.
    pub put_faults: u8,
    /// Loads that fail.
    pub load_faults: u8,
    /// Questions for a proof that cannot be answered.
    pub proof_faults: u8,
    /// Processes that die.
    pub crashes: u8,
    /// Processes that claim the shard.
    pub claims: u8,
    /// Steps of the clock.
    pub clock: u8,
    /// The cache forgets what it may.
    pub forgets: u8,
}

/// A call: a caller is what it asks for, and which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// What.
    pub ask: Ask,
    /// How often it had been asked before. Nonces are drawn from both, so that states that come
    /// about in another order have the same.
    pub before: u8,
    /// Which task it is about, by the order in which tasks were handed out.
    pub task: u8,
    /// When it was sent, in steps of the clock.
    pub sent_at: u8,
}

impl Call {
    /// What is drawn from its stamp: the same for the same call.
    pub const fn number(&self) -> u8 {
        self.ask as u8 * 8 + self.before + 1
    }

    /// The command, about this task if it is about one.
    pub fn command(&self, task: Option<&TaskId>) -> Command {
        let get = |job| {
            Command::Get(Get {
                key: key(job),
                earlier_attempts: false,
            })
        };
        match (self.ask, task.cloned()) {
            (Ask::Enqueue, _) => enqueue(1),
            (Ask::GetFirst, _) => get(0),
            (Ask::GetSecond, _) => get(1),
            (Ask::Lease, _) => say::lease(say::Names::new(1, 1).group(0), &worker(), 1, LEASE),
            (Ask::Report, Some(task)) => {
                let data = bytes::Bytes::from_static(b"\xc0");
                let outcome = Outcome::Success { data };
                Command::Report(Report { task, outcome })
            }
            (Ask::Heartbeat, Some(task)) => {
                let worker = worker();
                Command::Heartbeat(Heartbeat { task, worker })
            }
            (Ask::Delete, _) => Command::Delete(key(0)),
            (Ask::Report | Ask::Heartbeat, None) => Command::Tick,
        }
    }
}

fn worker() -> silo_core::types::name::WorkerId {
    say::worker("w")
}

/// The time after so many steps of the clock.
pub const fn at(steps: u8) -> Now {
    Now {
        wall: Timestamp::from_millis(1_000_000),
        uptime: Uptime::from_millis(10_000 + steps as u64 * WINDOW.get()),
    }
}
