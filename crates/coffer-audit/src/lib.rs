//! The audit record, its chained log and the log's verification.
//!
//! [`Record`] is CloudTrail's record; a [`RecordBody`] is one encoded, ready to append. [`AuditSink`] is the seam:
//! [`FileLog`] keeps a directory of chained segments with signed digests, [`MemoryLog`] a bounded ring for a server
//! that keeps nothing. [`verify_directory`] checks a directory without opening it for writing, and [`Checkpoint`]
//! is what the store remembers of the log, so that a shortened one shows.
//!
//! Only [`disk`] does I/O, and only through the seam it defines. No runtime is needed: the futures here wake with
//! plain [`std::task::Waker`]s. The bytes are written down in `docs/formats.md`.
//!
//! Invariant: an append that answered `Ok` is in the log, under the promise of the log's [`SyncMode`].

mod chain;
mod checkpoint;
mod digest;
pub mod disk;
pub mod fault;
mod file_log;
mod members;
mod memory_log;
mod record;
mod scan;
mod summary;
mod verify;

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use coffer_crypto::AuditPublicKey;
use coffer_types::Timestamp;

pub use chain::Head;
pub use checkpoint::{Checkpoint, NodeId, NodeIdError};
pub use digest::SegmentDigest;
pub use file_log::{FileLog, FileLogOptions, LogOpenError, Recovery};
pub use members::Members;
pub use memory_log::MemoryLog;
pub use record::{
    EventId, EventIdError, EventType, IdentityType, RECORD_BYTES_MAX, Record, RecordBody, RecordBodyError,
    STRANGER_RECORD_BYTES_MAX, TlsDetails, UserIdentity,
};
pub use summary::{Admission, FloodBegan, RefusalMeter, RefusalSource, RefusalSummary};
pub use verify::{Verified, VerifyError, verify_directory};

/// A future that a trait object can answer with.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What looks at one record after the other, and says when there is enough.
pub type Visit<'a> = &'a mut dyn FnMut(&str) -> ControlFlow<()>;

/// When an appended record counts as safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// Once it is on disk. Concurrent appends share one fdatasync.
    Always,
    /// Once the kernel has it: no kill of the process loses it, a power cut at most this much time.
    Interval(Duration),
}

impl Default for SyncMode {
    fn default() -> Self {
        Self::Interval(Duration::from_millis(100))
    }
}

/// Why a record was not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The disk is full or failing. The request the record is about must not be served. Every append tries again.
    #[error("the audit log cannot be written")]
    Unwritable(#[source] Arc<io::Error>),
    /// A segment on disk is not what was written to it; nothing is appended after it.
    #[error("the audit log was altered while it was open, in segment `{segment}`")]
    Altered {
        /// The segment's file name.
        segment: String,
    },
    /// The log is closed.
    #[error("the audit log is closed")]
    Closed,
    /// The log could not be read.
    #[error("the audit log cannot be read")]
    Unreadable(#[source] Arc<io::Error>),
}

/// How the log is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditHealth {
    /// Bytes free where the log is kept; `None` if that cannot be told, or has no meaning.
    pub free_bytes: Option<u64>,
    /// Whether the reserve is still kept back. It is given up when the disk is full.
    pub reserve_held: bool,
    /// The alarm: space runs low, or the reserve is gone.
    pub low_space: bool,
    /// Why the log cannot be written at the moment; `None` when all is well.
    pub failure: Option<String>,
    /// The newest record written.
    pub written: Head,
    /// The newest record known to be on disk.
    pub synced: Head,
    /// Full segments whose digest is still to be made.
    pub segments_to_close: usize,
}

/// Where records go.
pub trait AuditSink: Send + Sync + 'static {
    /// Appends a record; resolves when it is safe under the sync mode.
    ///
    /// The record is handed over at the first poll: dropping the future later does not take it back.
    fn append(&self, body: RecordBody) -> BoxFuture<'_, Result<(), AuditError>>;

    /// Appends records in order and answers the synced head, which covers them all, once it does.
    ///
    /// After an error the caller asks [`AuditSink::event_ids_after`] before it appends them again: some may
    /// have been written by then, though not synced. With no records it waits for what was appended before.
    fn append_synced(&self, bodies: Vec<RecordBody>) -> BoxFuture<'_, Result<Head, AuditError>>;

    /// The newest record that is on disk: what a checkpoint may sign.
    fn synced_head(&self) -> Head;

    /// The event ids of the records after `sequence`, so that a drain does not append them twice.
    fn event_ids_after(&self, sequence: u64) -> Result<HashSet<EventId>, AuditError>;

    /// The newest `count` records, newest last, each a JSON line without its end.
    fn tail(&self, count: usize) -> Result<Vec<String>, AuditError>;

    /// Shows every record that is kept as a JSON line without its end, newest first, until there is enough.
    fn visit_newest(&self, visit: Visit<'_>) -> Result<(), AuditError>;

    /// Checks all that is kept: the chain, the digests, and the checkpoint if one is given.
    fn verify(
        &self,
        checkpoint: Option<&Checkpoint>,
        public_key: &AuditPublicKey,
    ) -> Result<Verified, VerifyError>;

    /// How the log is doing. Cheap enough for every metrics scrape.
    fn health(&self) -> AuditHealth;

    /// Writes and syncs what is left and closes the segment with its digest. Nothing can be appended afterwards.
    fn close(&self, now: Timestamp) -> BoxFuture<'_, Result<(), AuditError>>;
}
