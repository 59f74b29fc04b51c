//! Silo.
fn main() {}
