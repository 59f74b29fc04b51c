//! What tests of a whole server share: a node on memory with its service on a real socket, clients
//! of it, and a clean end.
//!
//! * [`server`]: the server
//! * [`raw`]: calls by hand, for what a proper client would not send
//! * [`load`]: producers and workers that note what they are told, and check it afterwards
//! * [`book`]: the pages of the book
//! * [`certificates`]: CAs made on the spot, and what they sign
//! * [`anything`]: messages that say anything, by the contract itself
//! * [`damaged`]: rows changed behind a server's back
//! * [`messages`]: requests with little to say, to be changed where a test wants it
//! * [`limits`]: jobs with limits: taking them, all that may run, and their end

pub mod anything;
pub mod book;
pub mod certificates;
pub mod damaged;
pub mod limits;
pub mod load;
pub mod messages;
pub mod raw;
pub mod server;
