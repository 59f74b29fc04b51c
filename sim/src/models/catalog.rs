//! Every model by its name, and how many states it has.

use crate::models::life::Life;
use crate::models::shard::danger::Danger;
use crate::models::shard::model::{Shard, Start};
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
        name: "life-one",
        about: "one job, with a report more",
        is_quick: false,
        make: || Made::Life(Life::one()),
    },
    Entry {
        name: "life-two",
        about: "two jobs: leases, reports, expiry, cancel, restart, delete, a crash",
        is_quick: false,
        make: || Made::Life(Life::two()),
    },
    Entry {
        name: "executor-quick",
        about: "one owner at a time: a job is asked for, a flush fails, a crash",
        is_quick: true,
        make: || Made::Shard(executor_quick()),
    },
    Entry {
        name: "executor-rounds",
        about: "the same, with a job looked at and a task asked for in later rounds",
        is_quick: false,
        make: || Made::Shard(executor_rounds()),
    },
    Entry {
        name: "executor-reports",
        about: "a task reported twice, kept, its job removed and looked at, a flush and a crash",
        is_quick: false,
        make: || Made::Shard(executor_reports()),
    },
    Entry {
        name: "executor-loads",
        about: "reads that end late or fail, a cache that forgets",
        is_quick: false,
        make: || Made::Shard(executor_loads()),
    },
    Entry {
        name: "owners-quick",
        about: "two owners: a heartbeat at one that is deposed",
        is_quick: true,
        make: || Made::Shard(owners_quick()),
    },
    Entry {
        name: "owners-leases",
        about: "a lease kept at a deposed owner and given away at the next",
        is_quick: false,
        make: || Made::Shard(owners_leases(3)),
    },
    Entry {
        name: "owners-long",
        about: "the same, for longer than a lease",
        is_quick: false,
        make: || Made::Shard(owners_leases(4)),
    },
    Entry {
        name: "owners-writes",
        about: "writes at both owners",
        is_quick: false,
        make: || Made::Shard(owners_writes()),
    },
    Entry {
        name: "owners-reads",
        about: "three owners one after the other: reads and reports, flushes and proofs that fail",
        is_quick: false,
        make: || Made::Shard(owners_reads()),
    },
];

/// Asks in their order: enqueue, get first, get second, lease, report, heartbeat, delete.
const fn asks(asks: [u8; 7]) -> Asks {
    asks
}

/// Nothing happens that nobody asks for.
const CALM: Budget = Budget {
    own_flushes: 0,
    put_faults: 0,
    load_faults: 0,
    proof_faults: 0,
    crashes: 0,
    claims: 0,
    clock: 0,
    forgets: 0,
};

/// One owner: a job is asked for.
pub fn executor_quick() -> Shard {
    let budget = Budget {
        put_faults: 1,
        crashes: 1,
        claims: 1,
        ..CALM
    };
    let dangers = &[
        Danger::TookBack,
        Danger::CrashedUntold,
        Danger::LandedUnheard,
        Danger::TooLate,
        Danger::OutcomeUnknown,
    ];
    let asks = asks([1, 0, 1, 0, 0, 0, 0]);
    Shard::new(asks, budget, (1, Start::Cold), dangers)
}

fn executor_rounds() -> Shard {
    let budget = Budget {
        own_flushes: 1,
        put_faults: 1,
        crashes: 1,
        claims: 1,
        ..CALM
    };
    let dangers = &[
        Danger::TookBack,
        Danger::CrashedUntold,
        Danger::LandedUnheard,
        Danger::TooLate,
        Danger::OutcomeUnknown,
        Danger::ReadBesideWrites,
        Danger::LateLoad,
    ];
    let asks = asks([1, 0, 1, 1, 0, 0, 0]);
    Shard::new(asks, budget, (1, Start::Cold), dangers)
}

fn executor_reports() -> Shard {
    let budget = Budget {
        own_flushes: 1,
        put_faults: 1,
        crashes: 1,
        claims: 1,
        ..CALM
    };
    let dangers = &[
        Danger::TookBack,
        Danger::CrashedUntold,
        Danger::LandedUnheard,
        Danger::TooLate,
        Danger::ReadBesideWrites,
    ];
    let asks = asks([0, 1, 0, 1, 2, 1, 1]);
    Shard::new(asks, budget, (1, Start::Leased), dangers)
}

fn executor_loads() -> Shard {
    let budget = Budget {
        own_flushes: 1,
        load_faults: 1,
        forgets: 1,
        ..CALM
    };
    let dangers = &[
        Danger::ReadBesideWrites,
        Danger::LateLoad,
        Danger::Unreadable,
    ];
    let asks = asks([1, 0, 1, 1, 0, 0, 0]);
    Shard::new(asks, budget, (1, Start::Cold), dangers)
}

/// Two owners: a lease is kept at the first.
pub fn owners_quick() -> Shard {
    let budget = Budget {
        claims: 1,
        clock: 3,
        ..CALM
    };
    let dangers = &[
        Danger::StaleRead,
        Danger::DeposedHeartbeat,
        Danger::DeposedByManifest,
        Danger::LateProof,
        Danger::Fenced,
    ];
    let asks = asks([0, 0, 0, 0, 0, 1, 0]);
    Shard::new(asks, budget, (2, Start::Leased), dangers)
}

fn owners_leases(clock: u8) -> Shard {
    let budget = Budget {
        claims: 1,
        clock,
        ..CALM
    };
    let dangers = &[
        Danger::LateProof,
        Danger::StaleRead,
        Danger::DeposedHeartbeat,
        Danger::LateAcknowledgement,
        Danger::LandedBeforeFence,
        Danger::Fenced,
        Danger::DeposedByManifest,
        Danger::TwoAtWork,
    ];
    let asks = asks([0, 0, 0, 1, 0, 1, 0]);
    Shard::new(asks, budget, (2, Start::Leased), dangers)
}

fn owners_writes() -> Shard {
    let budget = Budget {
        claims: 1,
        clock: 1,
        ..CALM
    };
    let dangers = &[
        Danger::StaleRead,
        Danger::LateAcknowledgement,
        Danger::LandedBeforeFence,
        Danger::Fenced,
        Danger::OutcomeUnknown,
    ];
    let asks = asks([1, 0, 1, 0, 1, 0, 0]);
    Shard::new(asks, budget, (2, Start::Leased), dangers)
}

fn owners_reads() -> Shard {
    let budget = Budget {
        put_faults: 1,
        proof_faults: 1,
        claims: 2,
        clock: 2,
        ..CALM
    };
    let dangers = &[
        Danger::StaleRead,
        Danger::LateAcknowledgement,
        Danger::LandedUnheard,
        Danger::LandedBeforeFence,
        Danger::Fenced,
        Danger::DeposedByManifest,
        Danger::Unproven,
    ];
    let asks = asks([0, 1, 0, 0, 1, 0, 0]);
    Shard::new(asks, budget, (2, Start::Leased), dangers)
}
