//! What happens in a world: everything that is taken off the heap.

use silo_core::shard::reply::Reply;
use silo_core::shard::view::NeedItem;
use silo_core::types::time::Uptime;
use silo_runtime::executor::loads::LoadId;
use silo_runtime::executor::output::Loaded;
use silo_runtime::executor::replies::Answer;
use silo_runtime::executor::working_set::Round;

use crate::world::bucket::Batch;
use crate::world::handle::{Handle, Object};

/// Names a call; calls are never forgotten.
pub type CallId = u32;
/// Names a process; each start of a server is another one.
pub type ProcessId = u32;
/// Names a task that a worker runs.
pub type RunId = u32;

/// Who waits for an answer of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Which call.
    pub call: CallId,
    /// Which try of it.
    pub attempt: u16,
    /// What its stamp's entropy was drawn by.
    pub number: u64,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Letter {
    /// Who gets it.
    pub token: Token,
    /// From whom.
    pub from: ProcessId,
    /// When it was sent.
    pub sent_at: u64,
    /// How much of the history of the shard it knows of, at the most.
    pub knows: u64,
    /// How much of it it shows, at the least.
    pub shows: u64,
    /// Whether its sender may know less than others: it was deposed so shortly ago.
    pub is_stale_allowed: bool,
    /// What it says.
    pub answer: Answer,
}

/// One thing that happens.
#[derive(Debug)]
pub enum Event {
    /// A step of the plan, by its index.
    Step(u32),
    /// All faults end.
    Heal,
    /// Somebody looks whether limits are paused that jobs wait for; how often this was so.
    Unpause(u32),
    /// A request reaches a process.
    Request(ProcessId, CallId, u16),
    /// An answer reaches who asked.
    Answer(Box<Letter>),
    /// A call has waited long enough for an answer.
    Timeout(CallId, u16),
    /// A call is tried again.
    Again(CallId),
    /// A stage gets its turn.
    Turn(ProcessId),
    /// Rows come back, or are read now.
    Loaded(ProcessId, LoadId, Box<Reading>),
    /// Storage takes a batch in.
    Written(ProcessId, Round, Box<Batch>),
    /// A stage learns that its batch was taken in.
    Accepted(ProcessId, Round, u64),
    /// An object of the log arrives where it is to be made. True: its maker will hear of it.
    Put(ProcessId, Box<Object>, bool),
    /// A process hears what came of its object.
    PutTold(ProcessId, PutTold),
    /// A stage learns how far storage is durable.
    Durable(ProcessId, u64),
    /// A stage learns that its flush has returned.
    Flushed(ProcessId),
    /// Storage flushes on its own.
    OwnFlush(ProcessId),
    /// The manifest is read to prove who owns the shard.
    ProofRead(ProcessId, Uptime),
    /// A stage hears of that.
    ProofTold(ProcessId, Uptime, Proof),
    /// Large data of a reply has been read.
    Completed(ProcessId, Token, Box<Reply>),
    /// Somebody looks whether the shard has an owner.
    Ensure(u32),
    /// A process that opens the shard claims it.
    Claim(u32),
    /// It makes the object that fences the others.
    Fence(u32, u64),
    /// It has the shard open.
    Opened(u32, Box<Handle>),
    /// A worker asks for tasks; the second number is which life of it.
    Poll(u32, u32),
    /// A worker keeps a lease.
    Beat(u32, RunId),
    /// A worker looks whether its lease has ended.
    LeaseOver(u32, RunId),
    /// A worker has done its work, as it thinks.
    Done(u32, RunId),
    /// A dead worker is replaced.
    WorkerBack(u32),
}

/// Rows on their way to a stage.
#[derive(Debug)]
pub enum Reading {
    /// They were read when they were asked for.
    Found(Loaded),
    /// They are read when they come back.
    Late(NeedItem),
}

/// What a process hears of an object it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutTold {
    /// It is there.
    Made,
    /// Somebody else was there before.
    Taken,
    /// It failed, or so it is said.
    Failed,
}

/// What a read of the manifest said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nobody else has claimed the shard.
    Ours,
    /// Somebody has.
    Theirs,
    /// It could not be read.
    Failed,
}

impl Event {
    /// A short name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Step(_) => "step",
            Self::Heal => "heal",
            Self::Unpause(_) => "unpause",
            Self::Request(..) => "request",
            Self::Answer(_) => "answer",
            Self::Timeout(..) => "timeout",
            Self::Again(_) => "again",
            Self::Turn(_) => "turn",
            Self::Loaded(..) => "loaded",
            Self::Written(..) => "written",
            Self::Accepted(..) => "accepted",
            Self::Put(..) => "put",
            Self::PutTold(..) => "put-told",
            Self::Durable(..) => "durable",
            Self::Flushed(_) => "flushed",
            Self::OwnFlush(_) => "own-flush",
            Self::ProofRead(..) => "proof-read",
            Self::ProofTold(..) => "proof-told",
            Self::Completed(..) => "completed",
            Self::Ensure(_) => "ensure",
            Self::Claim(_) => "claim",
            Self::Fence(..) => "fence",
            Self::Opened(..) => "opened",
            Self::Poll(..) => "poll",
            Self::Beat(..) => "beat",
            Self::LeaseOver(..) => "lease-over",
            Self::Done(..) => "done",
            Self::WorkerBack(_) => "worker-back",
        }
    }

    /// The process in whose memory it happens, if it does: nothing of it happens while that stands
    /// still, and nothing ever once it is dead.
    pub const fn process(&self) -> Option<ProcessId> {
        match self {
            Self::Request(process, ..)
            | Self::Turn(process)
            | Self::Loaded(process, ..)
            | Self::Written(process, ..)
            | Self::Accepted(process, ..)
            | Self::PutTold(process, ..)
            | Self::Durable(process, _)
            | Self::Flushed(process)
            | Self::OwnFlush(process)
            | Self::ProofTold(process, ..)
            | Self::Completed(process, ..) => Some(*process),
            Self::Step(_)
            | Self::Heal
            | Self::Unpause(_)
            | Self::Answer(_)
            | Self::Timeout(..)
            | Self::Again(_)
            | Self::Put(..)
            | Self::ProofRead(..)
            | Self::Ensure(_)
            | Self::Claim(_)
            | Self::Fence(..)
            | Self::Opened(..)
            | Self::Poll(..)
            | Self::Beat(..)
            | Self::LeaseOver(..)
            | Self::Done(..)
            | Self::WorkerBack(_) => None,
        }
    }

    /// Two numbers that tell it from others of its kind.
    pub fn mark(&self) -> (u64, u64) {
        match self {
            Self::Step(id)
            | Self::Again(id)
            | Self::Turn(id)
            | Self::Flushed(id)
            | Self::OwnFlush(id)
            | Self::Ensure(id)
            | Self::Claim(id)
            | Self::Unpause(id)
            | Self::WorkerBack(id) => ((*id).into(), 0),
            Self::Heal => (0, 0),
            Self::Request(process, call, attempt) => (
                (*process).into(),
                u64::from(*call) << 16 | u64::from(*attempt),
            ),
            Self::Answer(letter) => (letter.token.call.into(), letter.token.number),
            Self::Timeout(call, attempt) => ((*call).into(), (*attempt).into()),
            Self::Loaded(process, load, _) => ((*process).into(), load.0),
            Self::Written(process, round, batch) => {
                ((*process).into(), round.0 << 32 | batch.len() as u64)
            }
            Self::Accepted(process, round, seq) => ((*process).into(), round.0 << 32 | seq),
            Self::Put(process, object, _) => ((*process).into(), object.number),
            Self::PutTold(process, told) => ((*process).into(), *told as u64),
            Self::Durable(process, seq) => ((*process).into(), *seq),
            Self::ProofRead(process, at) | Self::ProofTold(process, at, _) => {
                ((*process).into(), at.as_millis())
            }
            Self::Completed(process, token, _) => ((*process).into(), token.number),
            Self::Fence(machine, epoch) => ((*machine).into(), *epoch),
            Self::Opened(machine, handle) => ((*machine).into(), handle.epoch),
            Self::Poll(worker, life) => ((*worker).into(), (*life).into()),
            Self::Beat(worker, run) | Self::LeaseOver(worker, run) | Self::Done(worker, run) => {
                ((*worker).into(), (*run).into())
            }
        }
    }
}
