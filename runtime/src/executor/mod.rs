//! The executor: one task owns one shard.
//!
//! * [`stage`]: the poll-style machine without I/O: rounds, needs, chained writes, replies by
//!   durability, proof of ownership, poisoning. Runtime and simulator run the same bytes.
//! * [`output`]: what it asks for, and the rows that come back
//! * [`working_set`]: a bounded cache of rows by key interval, behind the core's `View`
//! * [`replies`]: replies and what they wait for
//! * [`loads`]: rows being loaded, and who waits for them
//! * [`watched`]: jobs whose end somebody waits for; [`endings`]: whom to tell of it
//! * [`limits`]: every bound of the stage
//! * [`counts`]: what was decided since somebody looked, for metrics
//! * `pending`: commands that are not decided yet; `round`: batches; `proof`: of ownership
//! * [`flushing`]: when to make what was accepted durable; `joining`: a flush waits a moment for
//!   whoever its round has woken
//! * [`trace`]: what was decided, for tests and the simulator
//! * [`form`]: what two stages must share to behave alike, for models
//! * `format`: newer rows are refused, older ones are read
//! * [`driver`]: the task that carries out what the stage asks for, on SlateDB
//! * [`shard`]: a shard as its callers see it, opened, opened again after trouble, closed

pub mod counts;
pub mod driver;
pub mod endings;
pub mod flushing;
pub mod form;
mod format;
mod joining;
pub mod limits;
pub mod loads;
pub mod output;
mod pending;
mod proof;
pub mod reads;
pub mod replies;
mod round;
pub mod shard;
pub mod stage;
pub mod trace;
pub mod waiters;
pub mod watched;
pub mod working_set;
