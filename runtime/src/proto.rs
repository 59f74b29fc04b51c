//! The messages, client and server of `proto/silo.proto`, generated at build time: the meaning of
//! each is told there.

// All of this file but two constants is generated.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction
)]

/// The encoded `FileDescriptorSet` of the contract, with its comments, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/silo_descriptor.bin"));

/// The name of every call of the service.
pub const METHODS: &[&str] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));

tonic::include_proto!("silo.v1");
