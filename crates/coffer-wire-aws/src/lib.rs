//! AWS JSON 1.1 and Signature Version 4, translated to operations.
//!
//! Pure translation: no store, no key, no socket. A request comes in whole, its signature is taken apart into a
//! claim for core to judge ([`sigv4`]), its body becomes an operation ([`from_wire`]), and core's answer or error
//! goes out as AWS writes it ([`to_wire`], [`errors`]). [`answer`] does all of that; [`OPERATIONS`] lists what is
//! served. Invariant: any bytes of a stranger's are answered or refused, and never cause a panic.

// Strangers' bytes arrive here.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::expect_used, clippy::panic))]

mod door;
pub mod errors;
pub mod from_wire;
pub mod query;
pub mod sigv4;
pub mod to_wire;

pub use door::{EVENT_SOURCE, EarlyRefusal, OPERATIONS, OverTls, Protocol, SERVICE, answer, refuse_early};
pub use query::{IAM_OPERATIONS, STS_OPERATIONS};
