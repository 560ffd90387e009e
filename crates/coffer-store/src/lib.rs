//! The contract of a store: ordered keys, guarded commits, a watch.
//!
//! A store sees sealed bytes only, and nothing above it knows which store it is. The contract is etcd's model
//! and one redb write transaction: every committed change has one revision, greater than all before it; each
//! key remembers the revision that last wrote it; a change is guarded by the revisions its author saw.
//!
//! The limits are part of the contract, enforced by every implementation through [`Change::check_limits`].
//! What needs more is a resumable job of several changes.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod faulty;
mod history;
mod memory;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub use faulty::{Fault, FaultyStore, Odds};
pub use history::History;
pub use memory::MemoryStore;

/// Most guards and writes together in one change.
pub const CHANGE_OPERATIONS_MAX: usize = 100;
/// Most bytes of keys and values together in one change.
pub const CHANGE_BYTES_MAX: usize = 1024 * 1024;

/// A future that a trait object can answer with.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The number of a committed change. Zero is the empty store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

/// A key with its value, as a snapshot sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The value; opaque to the store.
    pub value: Bytes,
    /// The change that last wrote it.
    pub revision: Revision,
}

/// What must still be true for a change to commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Guard {
    /// The key exists and was last written by this revision.
    At(Bytes, Revision),
    /// The key does not exist.
    Absent(Bytes),
}

/// One write of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Sets a key.
    Put(Bytes, Bytes),
    /// Removes a key; removing an absent one is no error.
    Delete(Bytes),
}

/// Guards and writes that commit together or not at all. A key is written at most once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// All happen, at one revision.
    pub writes: Vec<Write>,
}

/// Why a change was not committed, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A guard did not hold. Nothing happened; read again and retry.
    #[error("a record changed in the meantime")]
    Conflict,
    /// It failed, and certainly nothing happened.
    #[error("the change was not committed")]
    Determinate(#[source] StoreError),
    /// It may have happened. The author settles it through the outbox.
    #[error("the change may or may not have been committed")]
    Indeterminate(#[source] StoreError),
}

/// What went wrong below the contract.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// More than [`CHANGE_OPERATIONS_MAX`] guards and writes, or more than [`CHANGE_BYTES_MAX`] bytes.
    #[error("the change exceeds the limits of the store")]
    TooLarge,
    /// One change writes a key twice. Its author is at fault.
    #[error("the change writes a key twice")]
    WrittenTwice,
    /// The store is closed, or its writer is gone.
    #[error("the store is closed")]
    Closed,
    /// The file, disk or network failed.
    #[error("the store failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Which way a range runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// From the lowest key.
    Ascending,
    /// From the highest key.
    Descending,
}

/// All keys from `start` (within) to `end` (without), compared as bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRange {
    /// The first key, within.
    pub start: Bytes,
    /// The end, without; `None` for no end.
    pub end: Option<Bytes>,
}

/// What a watch tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchEvent {
    /// A change wrote these keys (of the watched prefix), in order of revision.
    Changed {
        /// The change.
        revision: Revision,
        /// What it wrote.
        keys: Vec<Bytes>,
    },
    /// The changes between are no longer known; the watcher reloads all it holds. The watch goes on from here.
    Compacted {
        /// The revision to reload at.
        revision: Revision,
    },
}

/// A store of sealed records.
pub trait Store: Send + Sync + 'static {
    /// A view of everything at one revision. Holds nothing that blocks a writer.
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>>;

    /// Commits a change. Once this answers `Ok`, the change is on disk and in every later snapshot.
    ///
    /// The change is handed over before the first await, so a future that is dropped later does not take it back.
    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>>;

    /// The changes after `from` to keys with `prefix`, in order. Answers [`WatchEvent::Compacted`] first if
    /// some of them are no longer known.
    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>>;
}

/// A store at one revision.
pub trait Snapshot: Send + Sync {
    /// The newest change it sees.
    fn revision(&self) -> Revision;

    /// The entry of a key, if there is one.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// At most `limit` entries of a range, in order.
    fn range(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;
}

/// A stream of changes.
pub trait Watch: Send {
    /// The next event; waits for one.
    fn next(&mut self) -> BoxFuture<'_, Result<WatchEvent, StoreError>>;
}

impl KeyRange {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start: Bytes = prefix.into();
        let end = successor_of_prefix(&start);
        Self { start, end }
    }
}

/// The lowest key greater than every key with this prefix; `None` if the prefix is all `0xff`.
fn successor_of_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end.into())
}

impl Write {
    /// The key it sets or removes.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

impl Change {
    /// Whether the change is within the limits that every store enforces, and writes no key twice.
    pub fn check_limits(&self) -> Result<(), StoreError> {
        let guards = self.guards.iter().map(|guard| match guard {
            Guard::At(key, _) | Guard::Absent(key) => key.len(),
        });
        let writes = self.writes.iter().map(|write| match write {
            Write::Put(key, value) => key.len() + value.len(),
            Write::Delete(key) => key.len(),
        });
        let operations = self.guards.len() + self.writes.len();
        let bytes: usize = guards.chain(writes).sum();
        if operations > CHANGE_OPERATIONS_MAX || bytes > CHANGE_BYTES_MAX {
            return Err(StoreError::TooLarge);
        }
        let mut keys: Vec<&Bytes> = self.writes.iter().map(Write::key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(StoreError::WrittenTwice);
        }
        Ok(())
    }
}
