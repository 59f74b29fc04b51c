//! Stores in the cloud, opened from their configuration.
//!
//! In a crate of its own because the clients are heavy: whoever keeps data in files or memory, and
//! almost every test does, compiles none of them.
//!
//! * [`open`]: the storage of a node, on any back end. Start here.
//! * [`environment`]: what the process was told by its environment, read once
//! * [`expansion`]: `${VARIABLES}` in text
//! * [`clients`]: a client for each cloud, within bounds on time and tries
//! * [`address`]: stores named by a URL

pub mod address;
pub mod clients;
pub mod environment;
pub mod expansion;
pub mod open;
