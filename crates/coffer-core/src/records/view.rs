//! Reading records: through the cache where it knows them, else from one snapshot of the store.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use coffer_crypto::StoreKey;
use coffer_store::{Entry, KeyRange, Order, Revision, Snapshot, StoreError};

use super::Record;
use super::cache::Loaded;
use crate::Error;
use crate::core::Inner;

/// What one attempt at an operation reads. Every record comes with the revision that wrote it, which the commit
/// guards if the record mattered.
pub struct View {
    inner: Arc<Inner>,
    snapshot: Option<Box<dyn Snapshot>>,
}

/// A stored record that can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(
        "a stored record of kind {kind} could not be opened: the file was changed, or its key is another"
    )]
    Open {
        kind: &'static str,
        #[source]
        source: coffer_crypto::OpenError,
    },
    #[error(
        "a stored record of kind {kind} has format {format}, and this coffer reads up to {known}: use a newer coffer"
    )]
    NewerFormat { kind: &'static str, format: u8, known: u8 },
    #[error("a stored record of kind {kind} could not be decoded")]
    Decode { kind: &'static str },
}

impl View {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, snapshot: None }
    }

    /// What an operation on coffer itself looks at.
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The record at a key: from the cache, or from the snapshot and then into the cache.
    pub(crate) async fn get<R: Record>(&mut self, key: &Bytes) -> Result<Option<Loaded<R>>, Error> {
        match self.inner.cache.get(key) {
            Some(loaded) => {
                self.inner.metrics.cache_hits.add_one();
                // What is read beside it must not be older, or a label would point at a version that is not there yet.
                if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.revision() < loaded.revision) {
                    self.snapshot = None;
                }
                Ok(Some(loaded))
            }
            None => {
                self.inner.metrics.cache_misses.add_one();
                self.get_from_snapshot(key).await
            }
        }
    }

    /// The record at a key as the snapshot has it, whatever the cache knows: for operations that also read ranges
    /// and must see one state of both.
    pub(crate) async fn get_from_snapshot<R: Record>(
        &mut self,
        key: &Bytes,
    ) -> Result<Option<Loaded<R>>, Error> {
        let snapshot = self.snapshot().await?;
        let seen_at = snapshot.revision();
        let Some(entry) = snapshot.get(key).await.map_err(Error::unavailable)? else { return Ok(None) };
        let loaded =
            Loaded { record: Arc::new(open::<R>(&self.inner.store_key, &entry)?), revision: entry.revision };
        self.inner.cache.admit(key, &loaded, seen_at, entry.value.len());
        Ok(Some(loaded))
    }

    /// As the snapshot has it, and the cache stays as it is: for listings, which look at many records once and would push
    /// out what is read over and over.
    pub(crate) async fn get_past_cache<R: Record>(
        &mut self,
        key: &Bytes,
    ) -> Result<Option<Loaded<R>>, Error> {
        let entry = self.snapshot().await?.get(key).await.map_err(Error::unavailable)?;
        let open = |entry: Entry| {
            let record = Arc::new(open::<R>(&self.inner.store_key, &entry)?);
            Ok(Loaded { record, revision: entry.revision })
        };
        entry.map(open).transpose()
    }

    /// At most `limit` records of a range with their keys. They do not pass through the cache.
    pub(crate) async fn range<R: Record>(
        &mut self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Bytes, Loaded<R>)>, Error> {
        let entries = self.snapshot().await?.range(range, order, limit).await.map_err(Error::unavailable)?;
        let open_entry = |entry: Entry| {
            let record = Arc::new(open::<R>(&self.inner.store_key, &entry)?);
            Ok((entry.key, Loaded { record, revision: entry.revision }))
        };
        entries.into_iter().map(open_entry).collect()
    }

    /// How many keys a range has, and the newest revision, counted in pages.
    pub(crate) async fn count(&mut self, mut range: KeyRange) -> Result<u64, Error> {
        const PAGE: usize = 1000;
        let mut count = 0;
        loop {
            let entries = self
                .snapshot()
                .await?
                .range(range.clone(), Order::Ascending, PAGE)
                .await
                .map_err(Error::unavailable)?;
            count += entries.len() as u64;
            match entries.last() {
                Some(last) if entries.len() == PAGE => range.start = successor(&last.key),
                _ => return Ok(count),
            }
        }
    }

    /// The revision of the snapshot.
    pub(crate) async fn revision(&mut self) -> Result<Revision, Error> {
        Ok(self.snapshot().await?.revision())
    }

    async fn snapshot(&mut self) -> Result<&dyn Snapshot, Error> {
        if self.snapshot.is_none() {
            self.snapshot = Some(self.inner.store.snapshot().await.map_err(Error::unavailable)?);
        }
        self.snapshot.as_deref().ok_or_else(|| Error::unavailable(StoreError::Closed))
    }
}

/// Lets what else waits on this thread have a turn. Reading a store in memory or on this machine never waits, so a long
/// listing would hold everybody up.
pub(crate) async fn let_others_run() {
    let mut has_waited = false;
    std::future::poll_fn(|task| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The key right after `key`.
pub(crate) fn successor(key: &Bytes) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

/// Opens and decodes what a store holds.
pub(crate) fn open<R: Record>(key: &StoreKey, entry: &Entry) -> Result<R, Error> {
    let opened = key
        .open_record(R::KIND, &entry.key, &entry.value)
        .map_err(|source| Error::unavailable(RecordError::Open { kind: R::KIND, source }))?;
    let Some((&format, payload)) = opened.split_first() else {
        return Err(Error::unavailable(RecordError::Decode { kind: R::KIND }));
    };
    if format > R::FORMAT {
        return Err(Error::unavailable(RecordError::NewerFormat { kind: R::KIND, format, known: R::FORMAT }));
    }
    // The decoder's own message may quote what it read, so it is not kept.
    rmp_serde::from_slice(payload).map_err(|_| Error::unavailable(RecordError::Decode { kind: R::KIND }))
}

/// Encodes a record: its format and its fields by name.
pub(crate) fn encode<R: Record>(record: &R) -> Vec<u8> {
    let mut payload = vec![R::FORMAT];
    let mut serializer = rmp_serde::Serializer::new(&mut payload).with_struct_map();
    record.serialize(&mut serializer).expect("records are plain data and a vector takes any write");
    payload
}
