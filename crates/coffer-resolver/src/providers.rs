//! Who can be asked: the environment, `.env` files, files, programs, coffer.
//!
//! I/O, all of it blocking. Each file maps what can go wrong there to [`crate::ErrorKind`] in one table.

mod coffer;
mod dotenv;
mod env;
mod exec;
mod file;

pub use coffer::Coffer;
pub use dotenv::Dotenv;
pub use env::Env;
pub use exec::Exec;
pub use file::File;

/// Largest document of a file or a program.
pub const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;
