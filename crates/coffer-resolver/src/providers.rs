//! Who can be asked: the environment, `.env` files, files, programs, coffer; with the features `aws`, `gcp` and `vault`, AWS
//! Secrets Manager, Google Cloud Secret Manager and HashiCorp Vault.
//!
//! I/O, all of it blocking. Each file maps what can go wrong there to [`crate::ErrorKind`] in one table.

#[cfg(feature = "aws")]
mod aws;
mod coffer;
mod dotenv;
#[cfg(any(feature = "aws", feature = "gcp", feature = "http"))]
mod engine;
mod env;
mod exec;
mod file;
#[cfg(feature = "gcp")]
mod gcp;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "vault")]
mod vault;

#[cfg(feature = "aws")]
pub use aws::{Aws, AwsSettings};
pub use coffer::Coffer;
pub use dotenv::Dotenv;
pub use env::Env;
pub use exec::Exec;
pub use file::File;
#[cfg(feature = "gcp")]
pub use gcp::{Gcp, GcpSettings};
#[cfg(feature = "vault")]
pub use vault::{Credential, Vault, VaultAuth, VaultSettings};

/// Largest document of a file or a program.
pub const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;
