//! What is always true of limits, and of those that wait for their slots.
//!
//! * [`held`]: who is counted as a holder
//! * [`given`]: when a slot is given out
//! * [`lines`]: who waits, and where
//! * [`searched`]: nobody waits beside a free slot
//! * [`kept`], [`tickets`]: slots that are kept for one line

pub mod given;
pub mod held;
pub mod kept;
pub mod lines;
pub mod searched;
pub mod tickets;
