//! What tests of a whole server share: a node on memory with its service on a real socket, clients
//! of it, and a clean end.
//!
//! * [`server`]: the server
//! * [`raw`]: calls by hand, for what a proper client would not send
//! * [`messages`]: requests with little to say, to be changed where a test wants it

pub mod messages;
pub mod raw;
pub mod server;
