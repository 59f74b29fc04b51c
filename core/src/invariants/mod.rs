//! What is always true of a shard, each with its sigil: pure functions over all of its rows.
//!
//! One file per invariant. A caller reads rows once ([`image::Image::read`]) and asks for all that
//! does not hold: [`check_all`] of one state, [`check_step`] of two states before and after a
//! command, [`check_soft`] of soft state against the rows it was made from. Whoever
//! checks, tests today, simulator, model checker and fuzzer to come, calls these three.
//!
//! An invariant that is not in [`ALL`], [`STEPS`] or [`SOFT`] is not checked by anybody; a test
//! fails when one of these has no state that is known to break it.
//!
//! A row that does not decode is a violation of its own ([`decodes`]); the job or tenant it belongs
//! to is not judged by the others until a command has met the row and set the job aside.

pub mod attempts_contiguous;
pub mod attempts_final;
pub mod data;
pub mod decodes;
pub mod description;
pub mod ended;
pub mod heads;
pub mod image;
pub mod index;
pub mod lease;
pub mod limits;
pub mod pairs;
pub mod quarantine;
pub mod representation;
pub mod sequence;
pub mod soft;
pub mod tallies;
pub mod tenant;

use crate::invariants::image::Image;
use crate::invariants::limits::{given, held, kept, lines, searched, tickets};
use crate::shard::command::Command;
use crate::shard::soft::Soft;
use crate::types::time::{Now, Timestamp};

/// Something that is true of every state of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its name in code, models and documents.
    pub sigil: &'static str,
    /// What is true, in a sentence.
    pub statement: &'static str,
    /// Everything of which it is not true.
    pub check: fn(&Image) -> Vec<String>,
}

/// Something that is true of every state and the one after the next command.
#[derive(Clone, Copy, Debug)]
pub struct StepInvariant {
    /// Its name in code, models and documents.
    pub sigil: &'static str,
    /// What is true, in a sentence.
    pub statement: &'static str,
    /// Everything of which it is not true, before and after one command, if it is known which, at
    /// this time.
    pub check: fn(&Image, &Image, Option<&Command>, Timestamp) -> Vec<String>,
}

/// Something that is true of soft state and the rows it speaks of.
#[derive(Clone, Copy, Debug)]
pub struct SoftInvariant {
    /// Its name in code, models and documents.
    pub sigil: &'static str,
    /// What is true, in a sentence.
    pub statement: &'static str,
    /// Everything of which it is not true at this time.
    pub check: fn(&Image, &Soft, Now) -> Vec<String>,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Of which invariant.
    pub sigil: &'static str,
    /// What was found.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.sigil, self.detail)
    }
}

/// What is true of every state.
pub const ALL: &[Invariant] = &[
    representation::INVARIANT,
    pairs::INVARIANT,
    index::INVARIANT,
    heads::INVARIANT,
    tallies::INVARIANT,
    tenant::INVARIANT,
    sequence::INVARIANT,
    lease::INVARIANT,
    attempts_contiguous::INVARIANT,
    data::INVARIANT,
    decodes::INVARIANT,
    quarantine::INVARIANT,
    held::INVARIANT,
    lines::INVARIANT,
    searched::INVARIANT,
    tickets::INVARIANT,
];

/// What is true of every step.
pub const STEPS: &[StepInvariant] = &[
    attempts_final::INVARIANT,
    description::INVARIANT,
    ended::INVARIANT,
    given::INVARIANT,
    kept::INVARIANT,
];

/// What is true of soft state once it has been recovered.
pub const SOFT: &[SoftInvariant] = &[soft::TENANTS, soft::LEASES];

/// Every sigil that is registered.
pub fn sigils() -> Vec<&'static str> {
    let states = ALL.iter().map(|invariant| invariant.sigil);
    let steps = STEPS.iter().map(|invariant| invariant.sigil);
    let soft = SOFT.iter().map(|invariant| invariant.sigil);
    states.chain(steps).chain(soft).collect()
}

/// Everything that does not hold of a state.
pub fn check_all(image: &Image) -> Vec<Violation> {
    let each = |invariant: &Invariant| named(invariant.sigil, (invariant.check)(image));
    ALL.iter().flat_map(each).collect()
}

/// Everything that does not hold of a step: what `command` did at `now`. Without the command less
/// can be said.
pub fn check_step(
    before: &Image,
    after: &Image,
    command: Option<&Command>,
    now: Timestamp,
) -> Vec<Violation> {
    let each = |invariant: &StepInvariant| {
        let found = (invariant.check)(before, after, command, now);
        named(invariant.sigil, found)
    };
    STEPS.iter().flat_map(each).collect()
}

/// Everything that does not hold of soft state at `now`; nothing is said before it is recovered.
pub fn check_soft(image: &Image, soft: &Soft, now: Now) -> Vec<Violation> {
    if !soft.is_recovered() {
        return Vec::new();
    }
    let each =
        |invariant: &SoftInvariant| named(invariant.sigil, (invariant.check)(image, soft, now));
    SOFT.iter().flat_map(each).collect()
}

fn named(sigil: &'static str, details: Vec<String>) -> Vec<Violation> {
    let violation = |detail| Violation { sigil, detail };
    details.into_iter().map(violation).collect()
}
