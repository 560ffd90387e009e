//! The record cache: decoded, opened records, never older than what was acknowledged.
//!
//! Two rules keep that true. A record is taken out *before* the commit that changed it is acknowledged. And a record
//! read from a snapshot is let in only if the snapshot is not older than the last change of its stripe of keys,
//! since it may have been read before that change and arrive after it. Values in the cache are still sealed.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use coffer_store::Revision;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Record;
use super::keys::is_policy_epoch;

const STRIPES: usize = 256;

/// A bounded cache of records by storage key.
pub(crate) struct RecordCache {
    entries: Cache<Bytes, Cached, ByWeight>,
    /// For each stripe of keys, the last change that touched one of them.
    floors: Vec<Mutex<Revision>>,
    hasher: RandomState,
    /// How often access was changed, in any account.
    access_generation: AtomicU64,
}

#[derive(Clone)]
struct Cached {
    record: Arc<dyn Any + Send + Sync>,
    revision: Revision,
    weight: u32,
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<Bytes, Cached> for ByWeight {
    fn weight(&self, key: &Bytes, cached: &Cached) -> u64 {
        // The sealed size stands for the opened one; 384 bytes for the entry, its key, its counts, and what is made of
        // it at first use, such as an ARN.
        key.len() as u64 + u64::from(cached.weight) + 384
    }
}

/// A record and the change that wrote it.
pub(crate) struct Loaded<R> {
    pub(crate) record: Arc<R>,
    pub(crate) revision: Revision,
}

impl<R> Clone for Loaded<R> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record), revision: self.revision }
    }
}

impl RecordCache {
    /// A cache of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries_expected = usize::try_from(bytes_max / 512).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Self {
            entries: Cache::with_weighter(entries_expected, bytes_max, ByWeight),
            floors: (0..STRIPES).map(|_| Mutex::new(Revision(0))).collect(),
            hasher: RandomState::new(),
            access_generation: AtomicU64::new(0),
        }
    }

    /// The record at a key, if it is here.
    pub(crate) fn get<R: Record>(&self, key: &[u8]) -> Option<Loaded<R>> {
        let cached = self.entries.get(key)?;
        let record = cached.record.downcast::<R>().ok()?;
        Some(Loaded { record, revision: cached.revision })
    }

    /// Lets a record in that a snapshot at `seen_at` held, unless its stripe has changed since.
    pub(crate) fn admit<R: Record>(&self, key: &Bytes, loaded: &Loaded<R>, seen_at: Revision, weight: usize) {
        let floor = self.floor(key).lock().unwrap_or_else(PoisonError::into_inner);
        if seen_at >= *floor {
            let record: Arc<dyn Any + Send + Sync> = loaded.record.clone();
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            self.entries.insert(key.clone(), Cached { record, revision: loaded.revision, weight });
        }
        drop(floor);
    }

    /// Takes out the records that a change wrote. Called before the change is acknowledged.
    pub(crate) fn invalidate<'a>(&self, keys: impl IntoIterator<Item = &'a Bytes>, changed_at: Revision) {
        for key in keys {
            self.count_access(key);
            let mut floor = self.floor(key).lock().unwrap_or_else(PoisonError::into_inner);
            *floor = (*floor).max(changed_at);
            self.entries.remove(key);
        }
    }

    /// Takes records out that may be too old for another reason than a change made here.
    pub(crate) fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a Bytes>) {
        for key in keys {
            self.count_access(key);
            self.entries.remove(key);
        }
    }

    /// Counts the changes of access that were acknowledged, and those that may have been made elsewhere.
    pub(crate) fn access_generation(&self) -> u64 {
        self.access_generation.load(Ordering::Acquire)
    }

    fn count_access(&self, key: &[u8]) {
        if is_policy_epoch(key) {
            self.access_generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn floor(&self, key: &[u8]) -> &Mutex<Revision> {
        let stripe = self.hasher.hash_one(key) as usize % STRIPES;
        &self.floors[stripe]
    }
}
