//! The wire of Tandem: messages, clients and servers generated from the proto files beside this crate.
//!
//! What each element means stands in the proto files; this crate adds nothing but names for what the files imply.

/// The package `tandem.v1`.
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_debug_implementations,
    unreachable_pub,
    missing_docs
)]
pub mod v1 {
    tonic::include_proto!("tandem.v1");
}

mod hidden;

/// The encoded `FileDescriptorSet` of the package, for reflection and for tests.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tandem.binpb"));

/// The domain of every `google.rpc.ErrorInfo` that the coordinator sends.
pub const ERROR_DOMAIN: &str = "tandem";
