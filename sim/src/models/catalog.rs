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
        name: "executor-quick",
        about: "one owner: rounds, flushes, a crash",
        is_quick: true,
        make: || Made::Shard(executor_quick()),
    },
    Entry {
        name: "custom",
        about: "custom",
        is_quick: false,
        make: || Made::Shard(custom()),
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
        (1, Start::Cold),
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
        (2, Start::Leased),
        &[
            Danger::StaleRead,
            Danger::DeposedHeartbeat,
            Danger::DeposedByManifest,
            Danger::TwoAtWork,
            Danger::Fenced,
        ],
    )
}

fn custom() -> Shard {
    let text = std::env::var("M").unwrap_or_default();
    let (start, rest) = text.split_at(1);
    let n: Vec<u8> = rest.split(',').map(|n| n.parse().unwrap_or(0)).collect();
    let at = |i: usize| n.get(i).copied().unwrap_or(0);
    let s = Shard::new(
        asks([at(1), at(2), at(3), at(4), at(5), at(6), at(7)]),
        Budget {
            own_flushes: at(8),
            put_faults: at(9),
            load_faults: at(10),
            proof_faults: at(11),
            crashes: at(12),
            claims: at(13),
            clock: at(14),
            forgets: at(15),
        },
        (
            usize::from(at(0)),
            if start == "C" {
                Start::Cold
            } else {
                Start::Leased
            },
        ),
        Danger::ALL,
    );
    use crate::models::shard::Wrong::*;
    match std::env::var("W").unwrap_or_default().as_str() {
        "1" => s.wrongly(RepliesWhenAccepted),
        "2" => s.wrongly(NoFence),
        "3" => s.wrongly(ProofFromArrival),
        "4" => s.wrongly(NobodyLooks),
        "5" => s.wrongly(ForgetsInFlight),
        "6" => s.wrongly(StaleLoads),
        "7" => s.wrongly(LosesARow),
        "8" => s.wrongly(FailureIsSuccess),
        "9" => s.wrongly(SilentFlush),
        _ => s,
    }
}
