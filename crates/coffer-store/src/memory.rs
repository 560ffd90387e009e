//! A store in memory: for tests, and for a server that keeps nothing.
//!
//! No I/O; nothing survives the process. Entries stand in sorted pages shared by reference count: a snapshot
//! clones one pointer, and a change copies the pages it touches if a snapshot still holds them. Invariant: no
//! page is empty, no page holds more than [`PAGE_ENTRIES_MAX`], and keys ascend within and across pages.

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{
    BoxFuture, Change, CommitError, Entry, Guard, History, KeyRange, Order, Revision, Snapshot, Store,
    StoreError, Watch, Write,
};

const PAGE_ENTRIES_MAX: usize = 128;

/// A store that ends with the process.
pub struct MemoryStore {
    state: Mutex<State>,
    history: History,
}

/// Everything at one revision.
#[derive(Clone, Default)]
struct State {
    pages: Arc<Pages>,
    revision: Revision,
}

/// An ordered map of entries, cheap to clone.
#[derive(Clone, Default)]
struct Pages(Vec<Arc<Vec<Entry>>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { state: Mutex::default(), history: History::new(Revision::default()) }
    }

    fn commit_now(&self, change: Change) -> Result<Revision, CommitError> {
        change.check_limits().map_err(CommitError::Determinate)?;
        let mut state = self.lock();
        if !change.guards.iter().all(|guard| state.pages.holds(guard)) {
            return Err(CommitError::Conflict);
        }
        let revision = Revision(state.revision.0 + 1);
        let keys = change.writes.iter().map(|write| write.key().clone()).collect();
        let pages = Arc::make_mut(&mut state.pages);
        for write in change.writes {
            match write {
                Write::Put(key, value) => pages.put(Entry { key, value, revision }),
                Write::Delete(key) => pages.remove(&key),
            }
        }
        state.revision = revision;
        // Within the lock, so that changes are published in order.
        self.history.publish([(revision, keys)]);
        Ok(revision)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>> {
        let snapshot: Box<dyn Snapshot> = Box::new(self.lock().clone());
        Box::pin(ready(Ok(snapshot)))
    }

    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>> {
        Box::pin(ready(self.commit_now(change)))
    }

    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(ready(Ok(self.history.watch(prefix, from))))
    }
}

impl Snapshot for State {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(ready(Ok(self.pages.get(key).cloned())))
    }

    fn range(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        let entries = self.pages.range(&range);
        let entries = match order {
            Order::Ascending => entries.take(limit).cloned().collect(),
            Order::Descending => entries.rev().take(limit).cloned().collect(),
        };
        Box::pin(ready(Ok(entries)))
    }
}

impl Pages {
    fn get(&self, key: &[u8]) -> Option<&Entry> {
        let page = self.0.get(self.page_of(key))?;
        page.get(page.binary_search_by(|entry| entry.key.as_ref().cmp(key)).ok()?)
    }

    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::At(key, revision) => self.get(key).is_some_and(|entry| entry.revision == *revision),
            Guard::Absent(key) => self.get(key).is_none(),
        }
    }

    fn put(&mut self, entry: Entry) {
        let number = self.page_of(&entry.key);
        let Some(shared) = self.0.get_mut(number) else {
            self.0.push(Arc::new(vec![entry]));
            return;
        };
        let page = Arc::make_mut(shared);
        match page.binary_search_by(|other| other.key.cmp(&entry.key)) {
            Ok(place) => {
                if let Some(other) = page.get_mut(place) {
                    *other = entry;
                }
            }
            Err(place) => page.insert(place, entry),
        }
        if page.len() > PAGE_ENTRIES_MAX {
            let upper = page.split_off(page.len() / 2);
            self.0.insert(number + 1, Arc::new(upper));
        }
    }

    fn remove(&mut self, key: &[u8]) {
        let number = self.page_of(key);
        let Some(shared) = self.0.get_mut(number) else { return };
        let Ok(place) = shared.binary_search_by(|entry| entry.key.as_ref().cmp(key)) else { return };
        let page = Arc::make_mut(shared);
        page.remove(place);
        if page.is_empty() {
            self.0.remove(number);
        } else {
            self.join_small(number);
        }
        if let Some(before) = number.checked_sub(1) {
            self.join_small(before);
        }
    }

    /// Joins a page with the next if both together are small, so that many deletions leave few pages.
    fn join_small(&mut self, number: usize) {
        let (Some(page), Some(next)) = (self.0.get(number), self.0.get(number + 1)) else { return };
        if page.len() + next.len() <= PAGE_ENTRIES_MAX / 2 {
            let next = self.0.remove(number + 1);
            if let Some(page) = self.0.get_mut(number) {
                Arc::make_mut(page).extend(next.iter().cloned());
            }
        }
    }

    fn range<'a>(&'a self, range: &'a KeyRange) -> impl DoubleEndedIterator<Item = &'a Entry> {
        let last = match &range.end {
            Some(end) => self.0.partition_point(|page| starts_before(page, end)),
            None => self.0.len(),
        };
        let pages = self.0.get(self.page_of(&range.start)..last).unwrap_or_default();
        pages.iter().flat_map(move |page| {
            let first = page.partition_point(|entry| entry.key < range.start);
            let last = match &range.end {
                Some(end) => page.partition_point(|entry| entry.key < end),
                None => page.len(),
            };
            page.get(first..last).unwrap_or_default()
        })
    }

    /// The page that holds a key, or would.
    fn page_of(&self, key: &[u8]) -> usize {
        let after =
            self.0.partition_point(|page| page.first().is_some_and(|entry| entry.key.as_ref() <= key));
        after.saturating_sub(1)
    }
}

fn starts_before(page: &[Entry], end: &[u8]) -> bool {
    page.first().is_some_and(|entry| entry.key.as_ref() < end)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    crate::conformance_tests!(|| Arc::new(MemoryStore::new()));

    fn entry(number: u16, value: u8) -> Entry {
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        Entry { key, value: Bytes::copy_from_slice(&[value]), revision: Revision(1) }
    }

    fn check_invariant(pages: &Pages) {
        assert!(pages.0.iter().all(|page| !page.is_empty() && page.len() <= PAGE_ENTRIES_MAX));
        let keys: Vec<&Bytes> = pages.0.iter().flat_map(|page| page.iter()).map(|entry| &entry.key).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
    }

    proptest! {
        #[test]
        fn pages_agree_with_an_ordered_map(steps in prop::collection::vec((0..700_u16, any::<Option<u8>>()), 0..3000)) {
            let (mut pages, mut model) = (Pages::default(), BTreeMap::new());
            for (number, value) in steps {
                match value {
                    Some(value) => {
                        pages.put(entry(number, value));
                        model.insert(number, value);
                    }
                    None => {
                        pages.remove(&number.to_be_bytes());
                        model.remove(&number);
                    }
                }
            }
            check_invariant(&pages);
            let all = KeyRange::prefix(Bytes::new());
            let expected: Vec<Entry> = model.iter().map(|(&number, &value)| entry(number, value)).collect();
            prop_assert_eq!(pages.range(&all).cloned().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn deletions_leave_few_pages() {
        let mut pages = Pages::default();
        (0..10_000).for_each(|number| pages.put(entry(number, 0)));
        (0..10_000).filter(|number| number % 100 != 0).for_each(|number| pages.remove(&entry(number, 0).key));
        check_invariant(&pages);
        assert!(pages.0.len() <= 10, "{} pages for 100 entries", pages.0.len());
    }

    #[test]
    fn a_change_copies_only_the_pages_it_touches() {
        let mut pages = Pages::default();
        (0..10_000).for_each(|number| pages.put(entry(number, 0)));
        let before = pages.clone();
        pages.put(entry(5_000, 1));
        let copied = pages.0.iter().zip(&before.0).filter(|(page, old)| !Arc::ptr_eq(page, old)).count();
        assert_eq!(copied, 1);
    }
}
