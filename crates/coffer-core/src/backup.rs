//! Backups: a copy of the whole store at one revision, sealed as it lies, signed; and making a store of it again.
//!
//! [`Backup`] is the operation that takes one, through the gate like all others. [`Reader`] reads one back, whoever
//! wrote it; [`Check`] opens every record of it and follows every reference; [`load`] puts it into an empty store
//! and [`Core::restore`](crate::Core::restore) begins a new audit epoch there; [`compare`] tells what a newer store
//! had taken back that is alive again.
//!
//! No I/O but through the reader that is given. The bytes are in `docs/formats.md`. Invariants: no byte leaves before
//! the record of it is safe; nothing of a backup counts as whole before its end is reached and its signature holds.

mod check;
mod compare;
mod format;
mod restore;
mod take;

pub use check::{AccessKeyFacts, Check, Contents};
pub use compare::{Undone, compare};
pub use format::{BackupError, FRAME_BYTES_MAX, Header, Reader, Totals};
pub use restore::{Loaded, RestoreError, load};
pub use take::{Backup, BackupStream, Enclosures};
