//! Silo.
