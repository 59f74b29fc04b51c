//! Dangers that a model must meet, or it shows nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stateright::Property;

use crate::models::shard::model::Shard;

/// A danger that must be met, or the model shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Danger {
    /// A crash took back what was decided.
    TookBack,
    /// A process died with answers that nobody had been told.
    CrashedUntold,
    /// An object landed after its maker was told that it had not, or had died.
    LandedUnheard,
    /// Such an object found its number taken.
    TooLate,
    /// A caller was told that nobody knows.
    OutcomeUnknown,
    /// A read was answered while there were decisions that were not durable.
    ReadBesideWrites,
    /// Rows came that had been read before others were written.
    LateLoad,
    /// Rows could not be read.
    Unreadable,
    /// No proof could be had in time.
    Unproven,
    /// A proof came a step of the clock after it was asked for.
    LateProof,
    /// A deposed owner answered a read.
    StaleRead,
    /// A deposed owner confirmed a lease.
    DeposedHeartbeat,
    /// A deposed owner told somebody that a write is durable.
    LateAcknowledgement,
    /// An object of a deposed owner landed before the fence.
    LandedBeforeFence,
    /// A deposed owner's object was refused.
    Fenced,
    /// A deposed owner read in the manifest that it is deposed.
    DeposedByManifest,
    /// Two workers were at one job.
    TwoAtWork,
    /// A caller waited, and one thing alone was under way that could help.
    HangsOnOneThing,
}

impl Danger {
    /// Every danger.
    pub const ALL: &[Self] = &[
        Self::TookBack,
        Self::CrashedUntold,
        Self::LandedUnheard,
        Self::TooLate,
        Self::OutcomeUnknown,
        Self::ReadBesideWrites,
        Self::LateLoad,
        Self::Unreadable,
        Self::Unproven,
        Self::LateProof,
        Self::StaleRead,
        Self::DeposedHeartbeat,
        Self::LateAcknowledgement,
        Self::LandedBeforeFence,
        Self::Fenced,
        Self::DeposedByManifest,
        Self::TwoAtWork,
        Self::HangsOnOneThing,
    ];

    /// That it is met. A condition is a function without surroundings: hence one for each danger.
    pub fn sometimes(self) -> Property<Shard> {
        macro_rules! of {
            ($($name:ident)*) => {
                match self {
                    $(Danger::$name => Property::sometimes(self.words(), |model: &Shard, _| {
                        model.seen.has(Danger::$name)
                    }),)*
                }
            };
        }
        of!(TookBack CrashedUntold LandedUnheard TooLate OutcomeUnknown ReadBesideWrites LateLoad
            Unreadable Unproven LateProof StaleRead DeposedHeartbeat LateAcknowledgement
            LandedBeforeFence Fenced DeposedByManifest TwoAtWork HangsOnOneThing)
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::TookBack => "a crash took back what was decided",
            Self::CrashedUntold => "a process died with answers untold",
            Self::LandedUnheard => "an object landed whose maker was gone",
            Self::TooLate => "an object came after the fence",
            Self::OutcomeUnknown => "a caller was told that nobody knows",
            Self::ReadBesideWrites => "a read was answered beside undurable writes",
            Self::LateLoad => "rows came that were read before others were written",
            Self::Unreadable => "rows could not be read",
            Self::Unproven => "no proof could be had in time",
            Self::LateProof => "a proof came late",
            Self::StaleRead => "a deposed owner answered a read",
            Self::DeposedHeartbeat => "a deposed owner confirmed a lease",
            Self::LateAcknowledgement => "a deposed owner acknowledged a write",
            Self::LandedBeforeFence => "a deposed owner's object landed before the fence",
            Self::Fenced => "a deposed owner's object was refused",
            Self::DeposedByManifest => "a deposed owner read that it is",
            Self::TwoAtWork => "two workers were at one job",
            Self::HangsOnOneThing => "a caller waited for one thing alone",
        }
    }
}

/// Dangers that were met, over all states. They are no part of a state: what led to a state makes
/// it no other.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<AtomicU32>);

impl Seen {
    /// A danger was met.
    pub fn hit(&self, danger: Danger) {
        let bit = 1 << danger as u8;
        if self.0.load(Ordering::Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether it was.
    pub fn has(&self, danger: Danger) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << danger as u8) != 0
    }
}
