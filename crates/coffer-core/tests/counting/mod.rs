//! A store that tells how much was looked through.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use coffer_store::{
    BoxFuture, Change, CommitError, Entry, KeyRange, MemoryStore, Order, Revision, Snapshot, Store,
    StoreError, Watch,
};

/// A store that counts the ranges that are read.
pub(crate) struct CountingStore {
    pub(crate) store: MemoryStore,
    pub(crate) ranges: Arc<AtomicUsize>,
}

struct CountingSnapshot {
    snapshot: Box<dyn Snapshot>,
    ranges: Arc<AtomicUsize>,
}

impl Store for CountingStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>> {
        Box::pin(async move {
            let snapshot = self.store.snapshot().await?;
            let counting: Box<dyn Snapshot> =
                Box::new(CountingSnapshot { snapshot, ranges: Arc::clone(&self.ranges) });
            Ok(counting)
        })
    }

    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>> {
        self.store.commit(change)
    }

    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        self.store.watch(prefix, from)
    }
}

impl Snapshot for CountingSnapshot {
    fn revision(&self) -> Revision {
        self.snapshot.revision()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.snapshot.get(key)
    }

    fn range(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        self.ranges.fetch_add(1, Ordering::SeqCst);
        self.snapshot.range(range, order, limit)
    }
}
