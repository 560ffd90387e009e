//! What readers see: one redb read transaction for each committed state, shared by all snapshots of it.
//!
//! Reads may touch the disk when a page is not cached. Invariant: the revision of a view is the one its
//! transaction was taken at.

use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use coffer_store::{BoxFuture, Entry, History, KeyRange, Order, Revision, Snapshot, StoreError};
use redb::{AccessGuard, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, StorageError};

use crate::file::{META, META_REVISION, RECORDS};

/// A state of the store. Cloning one is cheap; a live one keeps its pages of the file from being used again.
#[derive(Clone)]
pub(crate) struct View {
    records: Arc<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    revision: Revision,
}

/// What the writer leaves for readers.
pub(crate) struct Shared {
    /// `None` once the store is closed.
    current: RwLock<Option<View>>,
    pub(crate) history: History,
}

/// A key and its stored record, where redb has them.
type Record<'a> = (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>);

#[derive(Debug, thiserror::Error)]
#[error("a stored record is too short to hold its revision")]
struct RecordTooShort;

impl Shared {
    pub(crate) fn new(view: View) -> Self {
        let history = History::new(view.revision);
        Self { current: RwLock::new(Some(view)), history }
    }

    pub(crate) fn view(&self) -> Option<View> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn show(&self, view: View) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let previous = current.replace(view);
        drop(current);
        // Ending a transaction takes redb's locks, not ours.
        drop(previous);
    }

    pub(crate) fn close(&self) {
        drop(self.current.write().unwrap_or_else(PoisonError::into_inner).take());
        self.history.close();
    }
}

impl View {
    /// The newest durable state.
    pub(crate) fn take(database: &impl ReadableDatabase) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        let revision =
            transaction.open_table(META)?.get(META_REVISION)?.map_or(0, |revision| revision.value());
        let records = Arc::new(transaction.open_table(RECORDS)?);
        Ok(Self { records, revision: Revision(revision) })
    }

    fn get_now(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        match self.records.get(key).map_err(from_storage)? {
            Some(record) => entry(key, record.value()).map(Some),
            None => Ok(None),
        }
    }

    fn range_now(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let start = Bound::Included(range.start.as_ref());
        let end = match &range.end {
            Some(end) if *end <= range.start => return Ok(Vec::new()),
            Some(end) => Bound::Excluded(end.as_ref()),
            None => Bound::Unbounded,
        };
        let records = self.records.range::<&[u8]>((start, end)).map_err(from_storage)?;
        let entry_of = |record: Result<Record<'_>, StorageError>| {
            let (key, record) = record.map_err(from_storage)?;
            entry(key.value(), record.value())
        };
        match order {
            Order::Ascending => records.take(limit).map(entry_of).collect(),
            Order::Descending => records.rev().take(limit).map(entry_of).collect(),
        }
    }
}

impl Snapshot for View {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move { self.get_now(key) })
    }

    fn range(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(async move { self.range_now(&range, order, limit) })
    }
}

/// A view of a file that is only read, and the file.
pub(crate) struct ReadOnlyView {
    pub(crate) view: View,
    /// Open for as long as it is read.
    pub(crate) _database: ReadOnlyDatabase,
}

impl Snapshot for ReadOnlyView {
    fn revision(&self) -> Revision {
        self.view.revision()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.view.get(key)
    }

    fn range(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        self.view.range(range, order, limit)
    }
}

/// A record as it is stored: revision ‖ value.
pub(crate) fn encode_record(revision: Revision, value: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(size_of::<u64>() + value.len());
    record.extend_from_slice(&revision.0.to_le_bytes());
    record.extend_from_slice(value);
    record
}

/// The revision and the value of a stored record.
pub(crate) fn decode_record(record: &[u8]) -> Result<(Revision, &[u8]), StoreError> {
    let (revision, value) =
        record.split_first_chunk().ok_or_else(|| StoreError::Backend(Box::new(RecordTooShort)))?;
    Ok((Revision(u64::from_le_bytes(*revision)), value))
}

fn entry(key: &[u8], record: &[u8]) -> Result<Entry, StoreError> {
    let (revision, value) = decode_record(record)?;
    Ok(Entry { key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value), revision })
}

pub(crate) fn from_storage(error: StorageError) -> StoreError {
    match error {
        StorageError::DatabaseClosed => StoreError::Closed,
        error => StoreError::Backend(Box::new(error)),
    }
}
