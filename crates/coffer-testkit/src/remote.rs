//! Other people's stores, as far as their clients can tell: small servers that speak Vault's and Google's protocols from
//! what is written about it, and fail on purpose.
//!
//! I/O: TCP on the loopback address, a thread a connection; TLS if asked. Invariant: a server that is stopped has hung up
//! on everybody and can be started again at the same address.

mod google;
mod tls;
mod vault;
mod wire;

pub use google::Google;
pub use tls::Certified;
pub use vault::{Login, Vault};
pub use wire::{Failure, Remote, Reply, Request};
