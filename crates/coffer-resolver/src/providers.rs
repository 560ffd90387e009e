//! Who can be asked: the environment, `.env` files, files, programs, coffer; with the feature `aws`, AWS Secrets Manager.
//!
//! I/O, all of it blocking. Each file maps what can go wrong there to [`crate::ErrorKind`] in one table.

#[cfg(feature = "aws")]
mod aws;
mod coffer;
mod dotenv;
mod env;
mod exec;
mod file;

#[cfg(feature = "aws")]
pub use aws::{Aws, AwsSettings};
pub use coffer::Coffer;
pub use dotenv::Dotenv;
pub use env::Env;
pub use exec::Exec;
pub use file::File;

/// Largest document of a file or a program.
pub const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;
