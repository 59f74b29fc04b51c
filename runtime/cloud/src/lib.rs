//! Cloud back ends.
