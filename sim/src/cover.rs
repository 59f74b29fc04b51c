//! *Sometimes*: what a campaign must have seen at least once. A danger that never came up was not
//! tested.

macro_rules! marks {
    ($($(#[doc = $text:literal])+ $name:ident),+ $(,)?) => {
        /// Something that must be seen sometimes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[doc = $text])+ $name),+
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What was seen, in words.
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($text),+)),+
                }
            }
        }
    };
}

marks! {
    /// A request was lost.
    RequestLost,
    /// A request came twice.
    RequestTwice,
    /// An answer was lost.
    AnswerLost,
    /// An answer came after its caller had given up.
    AnswerTooLate,
    /// A call timed out.
    TimedOut,
    /// A caller never learnt what became of its call.
    OutcomeUnknown,
    /// An endpoint was cut off.
    Partitioned,
    /// The stage's queue was full.
    Overloaded,
    /// Tasks were handed back because their caller had gone.
    CallerGone,
    /// A command was left aside because its caller had gone.
    Abandoned,
    /// Tasks were handed back because their payload could not be read.
    HandedBack,
    /// The payload of a leased task was gone when it was read.
    PayloadGone,
    /// A request for tasks was told that ticks cannot read.
    Blind,
    /// Rows could not be read.
    LoadFailed,
    /// A batch was not taken in.
    WriteFailed,
    /// Making an object was said to have failed.
    PutFailed,
    /// An object was made, and nobody heard of it.
    PutLandedUnheard,
    /// An object came too late: the shard had another owner.
    PutTooLate,
    /// An owner learnt from its write that it was deposed.
    Fenced,
    /// An owner learnt from the manifest that it was deposed.
    DeposedByManifest,
    /// Ownership could not be proved.
    ProofFailed,
    /// Storage was down for a while.
    StorageDown,
    /// A stage was poisoned, and its callers told.
    Poisoned,
    /// An owner died.
    Died,
    /// An owner died between two effects of one turn.
    DiedBetweenEffects,
    /// An owner stood still.
    Paused,
    /// Somebody else began to open a shard that had an owner.
    TakenOver,
    /// A shard was opened.
    Opened,
    /// Opening failed, or was overtaken.
    OpeningFailed,
    /// A clock was set.
    ClockSet,
    /// Hints were lost.
    SoftLost,
    /// Rows were forgotten.
    RowsForgotten,
    /// A worker died.
    WorkerDied,
    /// A worker stood still.
    WorkerPaused,
    /// A task was not heartbeated.
    Unheartbeated,
    /// A lease was over when it arrived.
    LeaseOverOnArrival,
    /// A worker stopped because its lease was not confirmed in time.
    LeaseOverAtWorker,
    /// A worker was told that its lease is lost.
    LeaseLostTold,
    /// A worker stopped because its heartbeat said so.
    StoppedByHeartbeat,
    /// A report was refused.
    ReportRefused,
    /// A report was sent again after it was answered.
    ReportedAgain,
    /// A job that was leased by hand was ended by hand.
    EndedByHand,
    /// A lease expired and counted as a crash.
    Crashed,
    /// A lease expired that was never heartbeated.
    Lost,
    /// A job was taken.
    Enqueued,
    /// A job was leased.
    Leased,
    /// A job succeeded.
    Succeeded,
    /// A job failed for good.
    Failed,
    /// A job was retried.
    Retried,
    /// A job was cancelled while it waited.
    CancelledWaiting,
    /// A running job was asked to stop.
    CancelAsked,
    /// A job was restarted.
    Restarted,
    /// A job was expedited.
    Expedited,
    /// A job was deleted.
    Deleted,
    /// A job was imported.
    Imported,
    /// A job was snoozed or released.
    GivenBack,
    /// A job fell due.
    FellDue,
    /// A job was removed because its time was over.
    Removed,
    /// Several jobs were taken at once.
    TakenTogether,
    /// The same report was answered again.
    ReportedTwice,
    /// A lease request had to choose between tenants.
    SharedOut,
    /// A job ran at two workers at once, where that may be.
    RanTwice,
    /// A list went on with its next page.
    ListedOn,
    /// Whoever waited for a job was told of its end.
    EndTold,
    /// A read was answered by an owner that had been deposed a moment ago.
    StaleRead,
    /// A job was parked: a limit had no slot for it.
    JobParked,
    /// A job that was parked was served.
    ServedFromLine,
    /// A line was moved to another of its limits.
    LineMoved,
    /// A line was given a ticket.
    TicketGiven,
    /// A line with a ticket was served, or ended.
    TicketUsed,
    /// A ticket was taken from a line that wants a limit that is paused.
    TicketTaken,
    /// A search ran out of looks, and left the rest to a tick.
    SearchLeftRest,
    /// A job was expedited while it was parked.
    ExpeditedParked,
    /// A job that was parked was leased out of turn.
    LeasedOutOfTurn,
    /// A lease out of turn was refused: a limit was full.
    LimitWasFull,
    /// A job that was parked was cancelled.
    CancelledParked,
    /// A job that was parked was deleted.
    DeletedParked,
    /// A limit was lowered below what was held.
    LoweredBelowHeld,
    /// A limit was paused: its maximum was 0.
    LimitPaused,
    /// A limit that was paused was not any more.
    LimitResumed,
    /// An operator set how many slots a limit has.
    MaximumSet,
    /// An operator cleared that again.
    MaximumCleared,
    /// An operator paused a limit.
    LimitPausedByHand,
    /// An operator resumed a limit.
    LimitResumedByHand,
    /// What was set of a limit was kept after nobody used it any more.
    SetOfUnused,
    /// What a tenant's jobs hold was counted anew.
    Recounted,
    /// A tenant's weight was set.
    WeightSet,
    /// A tenant's weight was cleared.
    WeightCleared,
    /// A tenant got more than one task in a turn while another waited.
    LongTurn,
    /// A tenant was paused.
    TenantPaused,
    /// A tenant was resumed.
    TenantResumed,
    /// A task group was paused for a tenant.
    GroupOfTenantPaused,
    /// A task group was resumed for a tenant.
    GroupOfTenantResumed,
    /// A task group was paused for everybody.
    GroupPaused,
    /// A task group was resumed for everybody.
    GroupResumed,
    /// What was said was so already.
    SaidAgain,
    /// Tasks were asked for while something was paused.
    LeasedBesidePause,
    /// A job was asked for by name and refused, as it was paused.
    PausedRefused,
    /// A shard was opened in which something was paused.
    OpenedPaused,
    /// A task that was leased before a pause began after it was acknowledged.
    BegunAfterPause,
    /// A lease of something that was paused went on.
    ExtendedPaused,
    /// Something was still paused, or without slots, when all faults had ended.
    ResumedInTheEnd,
    /// An operator saw a limit with jobs that hold a slot and jobs that wait for one.
    HoldersShown,
    /// An operator asked why a job does not run that waits in line.
    WaitExplained,
}

/// What was seen, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    counts: Vec<u64>,
}

impl Cover {
    /// It was seen.
    pub fn hit(&mut self, mark: Mark) {
        if self.counts.is_empty() {
            self.counts.resize(Mark::ALL.len(), 0);
        }
        if let Some(count) = self.counts.get_mut(mark as usize) {
            *count += 1;
        }
    }

    /// How often it was seen.
    pub fn count(&self, mark: Mark) -> u64 {
        self.counts.get(mark as usize).copied().unwrap_or(0)
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.counts.resize(Mark::ALL.len(), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// What was never seen.
    pub fn unseen(&self) -> impl Iterator<Item = Mark> {
        let unseen = |mark: &Mark| self.count(*mark) == 0;
        Mark::ALL.iter().copied().filter(unseen)
    }
}
