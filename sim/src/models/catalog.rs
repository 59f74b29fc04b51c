//! Every model by its name, and how many states it has.

use clap::ValueEnum;

use crate::models::life::Life;
use crate::models::limits::{Budget as LimitsBudget, Slots, Start as LimitsStart};
use crate::models::shard::danger::Danger;
use crate::models::shard::model::{Shard, Start};
use crate::models::shard::{Asks, Budget};
use crate::models::{Explored, Search, alike, explore};

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
    /// How much there is to look at.
    pub size: Size,
    make: fn() -> Made,
}

/// How much there is to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Size {
    /// Seconds, for each run of the tests
    Quick,
    /// A minute at the most, for each change
    Usual,
    /// Minutes
    Long,
}

/// A model.
#[derive(Clone, Debug)]
pub enum Made {
    /// Of the core alone.
    Life(Life),
    /// Of the core alone: jobs with limits.
    Limits(Slots),
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
            Made::Limits(slots) => explore(slots, search, STATES_MAX, threads),
            Made::Shard(shard) => explore(shard, search, STATES_MAX, threads),
        }
    }

    /// Two states that are taken for one although other states follow them. One thread.
    pub fn unlike(&self) -> Option<String> {
        match self.make() {
            Made::Life(life) => alike::unlike(&life),
            Made::Limits(slots) => alike::unlike(&slots),
            Made::Shard(shard) => alike::unlike(&shard),
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
        size: Size::Quick,
        make: || Made::Life(Life::quick()),
    },
    Entry {
        name: "life-one",
        about: "one job, with a report more",
        size: Size::Usual,
        make: || Made::Life(Life::one()),
    },
    Entry {
        name: "life-two",
        about: "two jobs: leases, reports, expiry, cancel, restart, delete, a crash",
        size: Size::Usual,
        make: || Made::Life(Life::two()),
    },
    Entry {
        name: "limits-quick",
        about: "jobs that want A, A and B, B: leased, reported, passed over",
        size: Size::Usual,
        make: || Made::Limits(limits_quick()),
    },
    Entry {
        name: "limits-sets",
        about: "the same without people, with other maxima of A, and expiry",
        size: Size::Usual,
        make: || Made::Limits(limits_sets()),
    },
    Entry {
        name: "limits-tickets",
        about: "lines that were passed over, and get tickets",
        size: Size::Usual,
        make: || Made::Limits(limits_tickets()),
    },
    Entry {
        name: "limits-admits",
        about: "a limit that is still to be searched, and hints lost",
        size: Size::Quick,
        make: || Made::Limits(limits_admits()),
    },
    Entry {
        name: "executor-quick",
        about: "one owner at a time: a job is asked for, a flush fails, a crash",
        size: Size::Quick,
        make: || Made::Shard(executor_quick()),
    },
    Entry {
        name: "executor-rounds",
        about: "the same, with a job looked at and a task asked for in later rounds",
        size: Size::Usual,
        make: || Made::Shard(executor_rounds()),
    },
    Entry {
        name: "executor-reports",
        about: "a task reported twice, kept, its job removed and looked at, a flush and a crash",
        size: Size::Usual,
        make: || Made::Shard(executor_reports()),
    },
    Entry {
        name: "executor-loads",
        about: "reads that end late or fail, a cache that forgets",
        size: Size::Usual,
        make: || Made::Shard(executor_loads()),
    },
    Entry {
        name: "owners-quick",
        about: "two owners: a heartbeat at one that is deposed",
        size: Size::Quick,
        make: || Made::Shard(owners_quick()),
    },
    Entry {
        name: "owners-leases",
        about: "a lease kept at a deposed owner and given away at the next",
        size: Size::Usual,
        make: || Made::Shard(owners_leases(3)),
    },
    Entry {
        name: "owners-long",
        about: "the same, for longer than a lease",
        size: Size::Long,
        make: || Made::Shard(owners_leases(4)),
    },
    Entry {
        name: "owners-writes",
        about: "writes at both owners",
        size: Size::Long,
        make: || Made::Shard(owners_writes()),
    },
    Entry {
        name: "owners-reads",
        about: "three owners one after the other: reads and reports, flushes and proofs that fail",
        size: Size::Usual,
        make: || Made::Shard(owners_reads()),
    },
];

/// Jobs that want A, A and B, B, A and B.
const WANTED: &[&[char]] = &[&['a'], &['a', 'b'], &['b'], &['a', 'b']];

/// Few of everything: quick enough for every run of the tests.
pub const fn limits_quick() -> Slots {
    Slots {
        jobs: WANTED,
        budget: LimitsBudget {
            leases: 2,
            reports: 2,
            people: 1,
            sets: 0,
            clock: 0,
            soft: 0,
        },
        start: LimitsStart::Empty,
        dangers: &[
            "a job is parked",
            "two stand in one line",
            "a line is moved",
            "a job is served",
            "a line is passed over",
            "a parked job is cancelled",
            "a parked job is expedited",
            "a lease out of turn is refused",
        ],
        wrong: None,
    }
}

const fn limits_sets() -> Slots {
    Slots {
        budget: LimitsBudget {
            leases: 2,
            reports: 1,
            people: 0,
            sets: 2,
            clock: 1,
            soft: 0,
        },
        dangers: &[
            "a line is moved",
            "a job is served",
            "fewer slots than are held",
            "a limit is paused",
        ],
        ..limits_quick()
    }
}

const fn limits_tickets() -> Slots {
    Slots {
        budget: LimitsBudget {
            leases: 3,
            reports: 3,
            people: 1,
            sets: 1,
            clock: 1,
            soft: 0,
        },
        start: LimitsStart::Passed,
        dangers: &[
            "a line has a ticket",
            "a ticket is used",
            "a ticket is taken away",
            "a slot is kept",
        ],
        ..limits_quick()
    }
}

/// A limit is to be searched: by a tick, whatever is forgotten.
pub const fn limits_admits() -> Slots {
    Slots {
        jobs: &[&['b'], &['b'], &['a', 'b'], &['a']],
        budget: LimitsBudget {
            leases: 2,
            reports: 1,
            people: 1,
            sets: 0,
            clock: 0,
            soft: 1,
        },
        start: LimitsStart::Left,
        dangers: &[
            "a job is served",
            "a line is moved",
            "what is to be searched is lost",
        ],
        ..limits_quick()
    }
}

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
        Danger::HangsOnOneThing,
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
        Danger::HangsOnOneThing,
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
        Danger::HangsOnOneThing,
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
        Danger::HangsOnOneThing,
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
        Danger::HangsOnOneThing,
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
        Danger::HangsOnOneThing,
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
        Danger::HangsOnOneThing,
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
        Danger::HangsOnOneThing,
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
