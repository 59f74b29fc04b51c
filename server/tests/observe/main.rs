//! What a server shows of itself: metrics, traces, profiles.

#![cfg(test)]

#[path = "../process/mod.rs"]
mod process;

mod collector;
mod metrics;
mod profiles;
mod scrape;
mod traces;
