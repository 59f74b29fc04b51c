//! What tests of a whole server share: a node on memory with its service on a real socket, clients
//! of it, and a clean end.
//!
//! * [`server`]: the server
//! * [`messages`]: requests with little to say, to be changed where a test wants it

pub mod messages;
pub mod server;
