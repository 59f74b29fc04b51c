//! Which families of faults a world may draw from.

use serde::{Deserialize, Serialize};

use crate::random::Draw;

/// Faults of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// Messages late, lost, doubled; partitions.
    Network,
    /// Rows that cannot be read, or late.
    Loads,
    /// Objects that cannot be made, or whose making ends unknown and lands late.
    Puts,
    /// The owner dies between any two effects.
    Crashes,
    /// Other owners; owners that stand still and write when they wake.
    Owners,
    /// Clocks that are set, and drift.
    Clocks,
    /// Workers that die and stand still.
    Workers,
    /// Hints and rows forgotten at any instant.
    Memory,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Network,
        Self::Loads,
        Self::Puts,
        Self::Crashes,
        Self::Owners,
        Self::Clocks,
        Self::Workers,
        Self::Memory,
    ];
}

/// What kind of worlds are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Any faults: none, one family, or several.
    #[default]
    Swarm,
    /// No faults.
    Calm,
    /// Storage only.
    Storage,
    /// Owners that die, are deposed, stand still.
    Owners,
    /// Owners that stand still once an object of theirs was made, and wake up deposed, while their
    /// clients go on asking them.
    Zombies,
    /// Network and workers.
    Edges,
    /// Clocks.
    Clocks,
    /// Long and busy, with every family.
    Long,
    /// Most jobs wait for slots of a few limits.
    Limits,
    /// Broken on purpose: must be found.
    Canary,
}

impl Profile {
    /// The families that one world of this profile has.
    pub fn families(self, draw: &mut Draw) -> Vec<Family> {
        match self {
            Self::Calm | Self::Canary => Vec::new(),
            Self::Storage => vec![Family::Loads, Family::Puts],
            Self::Owners => vec![Family::Puts, Family::Crashes, Family::Owners],
            Self::Zombies => vec![Family::Owners],
            Self::Edges => vec![Family::Network, Family::Workers],
            Self::Clocks => vec![Family::Clocks, Family::Crashes],
            Self::Long => Family::ALL.to_vec(),
            Self::Limits => match draw.between(0, 9) {
                0..=3 => Vec::new(),
                4 | 5 => vec![draw.one(&Family::ALL, Family::Crashes)],
                _ => {
                    let all = Family::ALL.into_iter();
                    all.filter(|_| draw.chance(400_000)).collect()
                }
            },
            Self::Swarm => match draw.between(0, 9) {
                0 => Vec::new(),
                1 | 2 => vec![draw.one(&Family::ALL, Family::Network)],
                _ => {
                    let all = Family::ALL.into_iter();
                    all.filter(|_| draw.chance(400_000)).collect()
                }
            },
        }
    }
}
