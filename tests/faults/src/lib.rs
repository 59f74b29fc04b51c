//! An object store that fails as a test tells it to, in front of any other.
//!
//! * [`store`]: [`store::FaultyStore`], the store; what goes wrong is injected while it is used
//! * [`fault`]: what can go wrong, and with which requests
//! * [`injected`]: one fault at work: how often it struck, and its end
//! * `upload`: the same for objects that are written in parts
//!
//! ```
//! # use silo_test_faults::fault::{Fault, Operation, Requests, Trouble};
//! # use silo_test_faults::store::FaultyStore;
//! # let store = FaultyStore::new(std::sync::Arc::new(object_store::memory::InMemory::new()));
//! let log = Requests::of([Operation::Put]).within("/wal/");
//! let outage = store.inject(Fault::Fails(Trouble::Throttled), log);
//! // ... requests fail ...
//! assert_eq!(outage.hits(), 0);
//! outage.end();
//! ```

pub mod fault;
pub mod injected;
pub mod store;
mod upload;
