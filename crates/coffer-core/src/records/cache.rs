//! The record cache: decoded, opened records, never older than what anybody was shown.
//!
//! Two rules keep that true. While a change is under way, the cache holds none of the records it writes: between the
//! moment the store shows a change and the moment it is acknowledged, some callers see it, and none may then be served
//! what was before. And a record read from a snapshot is let in only if the snapshot is not older than the last change of its
//! stripe of keys, since it may have been read before that change and arrive after it. Values in the cache are still sealed.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    stripes: Vec<Mutex<Stripe>>,
    hasher: RandomState,
    /// How often access was changed, in any account.
    access_generation: AtomicU64,
    /// How many changes of access are under way.
    access_changing: AtomicUsize,
}

/// What is known of the changes of some keys.
#[derive(Default)]
struct Stripe {
    /// The last that was acknowledged.
    floor: Revision,
    /// Hashes of the keys that changes under way write, once for each change.
    changing: Vec<u64>,
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
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            access_generation: AtomicU64::new(0),
            access_changing: AtomicUsize::new(0),
        }
    }

    /// The record at a key, if it is here.
    pub(crate) fn get<R: Record>(&self, key: &[u8]) -> Option<Loaded<R>> {
        let cached = self.entries.get(key)?;
        let record = cached.record.downcast::<R>().ok()?;
        Some(Loaded { record, revision: cached.revision })
    }

    /// Lets a record in that a snapshot at `seen_at` held, unless its stripe has changed since or the record is being changed.
    pub(crate) fn admit<R: Record>(&self, key: &Bytes, loaded: &Loaded<R>, seen_at: Revision, weight: usize) {
        let (hash, stripe) = self.stripe(key);
        if seen_at >= stripe.floor && !stripe.changing.contains(&hash) {
            let record: Arc<dyn Any + Send + Sync> = loaded.record.clone();
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            self.entries.insert(key.clone(), Cached { record, revision: loaded.revision, weight });
        }
        drop(stripe);
    }

    /// Takes out what a change is about to write, and lets none of it in until the change [has ended](Self::end_change).
    /// Called before the change is handed to the store. A change of unknown fate never ends.
    pub(crate) fn begin_change<'a>(&self, keys: impl IntoIterator<Item = &'a Bytes>) {
        for key in keys {
            if is_policy_epoch(key) {
                self.access_changing.fetch_add(1, Ordering::SeqCst);
            }
            let (hash, mut stripe) = self.stripe(key);
            stripe.changing.push(hash);
            self.entries.remove(key);
        }
    }

    /// A change landed at a revision, or with `None` did not. Called before anybody is told.
    pub(crate) fn end_change<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a Bytes>,
        landed_at: Option<Revision>,
    ) {
        for key in keys {
            let (hash, mut stripe) = self.stripe(key);
            stripe.floor = stripe.floor.max(landed_at.unwrap_or_default());
            if let Some(place) = stripe.changing.iter().position(|changing| *changing == hash) {
                stripe.changing.swap_remove(place);
            }
            drop(stripe);
            if is_policy_epoch(key) {
                // In this order, so that nobody finds nothing under way and the count of before.
                self.access_generation.fetch_add(1, Ordering::SeqCst);
                self.access_changing.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// Takes records out that may be too old for another reason than a change made here.
    pub(crate) fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a Bytes>) {
        for key in keys {
            if is_policy_epoch(key) {
                self.access_generation.fetch_add(1, Ordering::SeqCst);
            }
            self.entries.remove(key);
        }
    }

    /// Counts the changes of access that have ended, and those that may have been made elsewhere. `None` while one is under way:
    /// what is read then is not kept.
    pub(crate) fn access_generation(&self) -> Option<u64> {
        let is_changing = self.access_changing.load(Ordering::SeqCst) > 0;
        (!is_changing).then(|| self.access_generation.load(Ordering::SeqCst))
    }

    fn stripe(&self, key: &[u8]) -> (u64, MutexGuard<'_, Stripe>) {
        let hash = self.hasher.hash_one(key);
        let stripe = &self.stripes[hash as usize % STRIPES];
        (hash, stripe.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Day, LastAccess};
    use coffer_types::Timestamp;

    const KEY: Bytes = Bytes::from_static(b"key");

    fn admit(cache: &RecordCache, revision: u64, seen_at: u64) {
        let record = LastAccess { day: Day::of(Timestamp::default()) };
        let loaded = Loaded { record: Arc::new(record), revision: Revision(revision) };
        cache.admit(&KEY, &loaded, Revision(seen_at), 10);
    }

    fn held(cache: &RecordCache) -> Option<u64> {
        cache.get::<LastAccess>(&KEY).map(|loaded| loaded.revision.0)
    }

    #[test]
    fn nothing_of_a_change_is_held_while_it_is_under_way() {
        for (landed_at, old, new) in [(Some(Revision(2)), None, Some(2)), (None, Some(1), Some(2))] {
            let cache = RecordCache::new(1 << 20);
            admit(&cache, 1, 1);
            assert_eq!(held(&cache), Some(1));
            cache.begin_change([&KEY]);
            assert_eq!(held(&cache), None);
            // The store shows it already, and then a reader that began before it comes late.
            admit(&cache, 2, 2);
            assert_eq!(held(&cache), None);
            admit(&cache, 1, 1);
            assert_eq!(held(&cache), None);
            cache.end_change([&KEY], landed_at);
            admit(&cache, 1, 1);
            assert_eq!(held(&cache), old, "{landed_at:?}");
            admit(&cache, 2, 2);
            assert_eq!(held(&cache), new, "{landed_at:?}");
        }
    }

    #[test]
    fn of_two_changes_under_way_the_end_of_one_is_not_that_of_the_other() {
        let cache = RecordCache::new(1 << 20);
        cache.begin_change([&KEY]);
        cache.begin_change([&KEY]);
        cache.end_change([&KEY], Some(Revision(5)));
        admit(&cache, 5, 5);
        assert_eq!(held(&cache), None);
        cache.end_change([&KEY], None);
        admit(&cache, 5, 5);
        assert_eq!(held(&cache), Some(5));
    }

    #[test]
    fn permissions_are_kept_only_while_no_access_changes() {
        let cache = RecordCache::new(1 << 20);
        let epoch = crate::keys::policy_epoch("123456789012".parse().unwrap());
        let before = cache.access_generation().unwrap();
        cache.begin_change([&epoch]);
        assert_eq!(cache.access_generation(), None);
        cache.end_change([&epoch], None);
        let after = cache.access_generation().unwrap();
        assert_ne!(before, after);
        cache.begin_change([&KEY]);
        assert_eq!(cache.access_generation(), Some(after));
    }
}
