//! Every model by its name, and how many states it has.

use crate::models::life::Life;
use crate::models::shard::model::{Danger, Shard, Start};
use crate::models::shard::{Asks, Budget};
use crate::models::{Explored, Search, explore};

/// Name, states that differ. A change of a count is a change of what is looked at.
const COUNTS: &str = include_str!("../../tests/models.txt");

/// No model has more states, those that are met again among them.
pub const STATES_MAX: usize = 200_000_000;

/// A model with a name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// As the command line has it.
    pub name: &'static str,
    /// What it looks at.
    pub about: &'static str,
    /// Whether it is small enough for each run of the tests.
    pub is_quick: bool,
    make: fn() -> Made,
}

/// A model.
#[derive(Clone, Debug)]
pub enum Made {
    /// Of the core alone.
    Life(Life),
    /// Of a stage and its storage.
    Shard(Shard),
}

impl Entry {
    /// The model.
    pub fn make(&self) -> Made {
        (self.make)()
    }

    /// Looks at every state.
    pub fn explore(&self, search: Search, threads: usize) -> Explored {
        match self.make() {
            Made::Life(life) => explore(life, search, STATES_MAX, threads),
            Made::Shard(shard) => explore(shard, search, STATES_MAX, threads),
        }
    }

    /// How many states it had when somebody looked.
    pub fn known(&self) -> Option<usize> {
        let line = COUNTS.lines().find_map(|line| {
            let (name, count) = line.split_once(' ')?;
            (name == self.name).then_some(count)
        });
        line.and_then(|count| count.trim().parse().ok())
    }
}

/// The model of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// Every model.
pub const ALL: &[Entry] = &[
    Entry {
        name: "life-quick",
        about: "one job, few of everything",
        is_quick: true,
        make: || Made::Life(Life::quick()),
    },
    Entry {
        name: "executor-quick",
        about: "one owner: rounds, flushes, a crash",
        is_quick: true,
        make: || Made::Shard(executor_quick()),
    },
    Entry {
        name: "owners-quick",
        about: "two owners: a claim, a lease, a heartbeat and a read",
        is_quick: true,
        make: || Made::Shard(owners_quick()),
    },
];

/// Asks in their order: enqueue, get first, get second, lease, report, heartbeat, delete.
const fn asks(asks: [u8; 7]) -> Asks {
    asks
}

/// One owner: a job is asked for and looked at.
pub fn executor_quick() -> Shard {
    Shard::new(
        asks([1, 0, 1, 0, 0, 0, 0]),
        Budget {
            put_faults: 1,
            crashes: 1,
            claims: 1,
            ..Budget::default()
        },
        Start::Cold,
        &[
            Danger::TookBack,
            Danger::CrashedUntold,
            Danger::LandedUnheard,
            Danger::TooLate,
            Danger::OutcomeUnknown,
        ],
    )
}

/// Two owners: a lease is kept at the first and given away at the second.
pub fn owners_quick() -> Shard {
    Shard::new(
        asks([0, 0, 0, 1, 0, 1, 0]),
        Budget {
            claims: 1,
            clock: 4,
            ..Budget::default()
        },
        Start::Leased,
        &[
            Danger::StaleRead,
            Danger::DeposedHeartbeat,
            Danger::DeposedByManifest,
            Danger::TwoAtWork,
            Danger::Fenced,
        ],
    )
}
