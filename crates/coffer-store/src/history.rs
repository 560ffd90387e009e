//! The recent changes of a store, and the watches over them.
//!
//! No I/O. A store publishes each change here after it has become visible to new snapshots and before it is
//! acknowledged. Invariant: of the changes after `known_after`, every one that wrote a key is in the ring; so a
//! watch either tells all changes in order or says [`WatchEvent::Compacted`]. Memory is bounded by the ring,
//! whatever the watchers do: one that is too slow is told to reload.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::{BoxFuture, Revision, StoreError, Watch, WatchEvent};

/// Most changes that are remembered.
const CHANGES_MAX: usize = 4096;
/// Most bytes of keys that are remembered; far above the keys of one change.
const KEY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The recent changes of one store. For implementations of [`crate::Store`]; others call `watch` there.
pub struct History {
    state: Arc<Mutex<State>>,
}

struct State {
    known_after: Revision,
    latest: Revision,
    recent: VecDeque<Recent>,
    key_bytes: usize,
    wakers: BTreeMap<u64, Waker>,
    watchers_made: u64,
    closed: bool,
}

struct Recent {
    revision: Revision,
    keys: Vec<Bytes>,
}

/// A watch over a [`History`].
struct HistoryWatch {
    state: Arc<Mutex<State>>,
    number: u64,
    prefix: Bytes,
    seen: Revision,
}

impl History {
    /// The history of a store that is at `latest` and remembers nothing of what came before.
    pub fn new(latest: Revision) -> Self {
        let state = State {
            known_after: latest,
            latest,
            recent: VecDeque::new(),
            key_bytes: 0,
            wakers: BTreeMap::new(),
            watchers_made: 0,
            closed: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Tells the watchers of committed changes: their revisions, ascending, and the keys they wrote.
    pub fn publish(&self, changes: impl IntoIterator<Item = (Revision, Vec<Bytes>)>) {
        let wakers = {
            let mut state = lock(&self.state);
            for (revision, keys) in changes {
                state.remember(revision, keys);
            }
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }

    /// The changes after `from` to keys with `prefix`. A `from` that has not been published yet is waited for.
    pub fn watch(&self, prefix: Bytes, from: Revision) -> Box<dyn Watch> {
        let mut state = lock(&self.state);
        state.watchers_made += 1;
        let number = state.watchers_made;
        Box::new(HistoryWatch { state: Arc::clone(&self.state), number, prefix, seen: from })
    }

    /// Ends every watch with [`StoreError::Closed`], after the changes that are already known.
    pub fn close(&self) {
        let wakers = {
            let mut state = lock(&self.state);
            state.closed = true;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }
}

impl State {
    fn remember(&mut self, revision: Revision, keys: Vec<Bytes>) {
        debug_assert!(revision > self.latest, "revisions ascend");
        self.latest = revision;
        if keys.is_empty() {
            return;
        }
        // A key may be a slice of a large request; copies keep the bound on bytes true.
        let keys: Vec<Bytes> = keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
        self.key_bytes += keys.iter().map(Bytes::len).sum::<usize>();
        self.recent.push_back(Recent { revision, keys });
        while self.recent.len() > CHANGES_MAX || self.key_bytes > KEY_BYTES_MAX {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.key_bytes -= oldest.keys.iter().map(Bytes::len).sum::<usize>();
            self.known_after = oldest.revision;
        }
    }
}

impl HistoryWatch {
    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Result<WatchEvent, StoreError>> {
        let mut state = lock(&self.state);
        if self.seen < state.known_after {
            self.seen = state.latest;
            return Poll::Ready(Ok(WatchEvent::Compacted { revision: state.latest }));
        }
        let first = state.recent.partition_point(|change| change.revision <= self.seen);
        for change in state.recent.range(first..) {
            self.seen = change.revision;
            let keys: Vec<Bytes> =
                change.keys.iter().filter(|key| key.starts_with(&self.prefix)).cloned().collect();
            if !keys.is_empty() {
                return Poll::Ready(Ok(WatchEvent::Changed { revision: change.revision, keys }));
            }
        }
        self.seen = self.seen.max(state.latest);
        if state.closed {
            return Poll::Ready(Err(StoreError::Closed));
        }
        state.wakers.insert(self.number, context.waker().clone());
        Poll::Pending
    }
}

impl Watch for HistoryWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchEvent, StoreError>> {
        Box::pin(std::future::poll_fn(|context| self.poll_next(context)))
    }
}

impl Drop for HistoryWatch {
    fn drop(&mut self) {
        lock(&self.state).wakers.remove(&self.number);
    }
}

/// Locks, and takes no notice of a panic elsewhere: no step of a method leaves the state half-changed.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    fn publish(history: &History, revisions: std::ops::RangeInclusive<u64>, key: &Bytes) {
        history.publish(revisions.map(|number| (Revision(number), vec![key.clone()])));
    }

    #[test]
    fn a_ring_of_changes_is_bounded_by_their_count() {
        let history = History::new(Revision(7));
        let count = CHANGES_MAX as u64;
        publish(&history, 8..=7 + count, &Bytes::from_static(b"k"));
        let first = |from| block_on(history.watch(Bytes::new(), Revision(from)).next()).unwrap();
        assert!(matches!(first(7), WatchEvent::Changed { revision: Revision(8), .. }));
        publish(&history, 8 + count..=8 + count, &Bytes::from_static(b"k"));
        assert_eq!(first(7), WatchEvent::Compacted { revision: Revision(8 + count) });
        assert!(matches!(first(8), WatchEvent::Changed { revision: Revision(9), .. }));
    }

    #[test]
    fn a_ring_of_changes_is_bounded_by_the_bytes_of_their_keys() {
        let history = History::new(Revision(0));
        publish(&history, 1..=5, &Bytes::from(vec![b'k'; 1024 * 1024]));
        let first = |from| block_on(history.watch(Bytes::new(), Revision(from)).next()).unwrap();
        assert_eq!(first(0), WatchEvent::Compacted { revision: Revision(5) });
        assert!(matches!(first(1), WatchEvent::Changed { revision: Revision(2), .. }));
    }

    #[test]
    fn a_watcher_that_sees_nothing_of_its_own_is_not_told_to_reload() {
        let history = History::new(Revision(0));
        let mut watch = history.watch(Bytes::from_static(b"mine/"), Revision(0));
        for start in (1..20_000).step_by(1000) {
            publish(&history, start..=start + 999, &Bytes::from_static(b"other/"));
            let pending =
                std::pin::pin!(watch.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending();
            assert!(pending);
        }
        history.publish([(Revision(30_000), vec![Bytes::from_static(b"mine/1")])]);
        assert!(matches!(
            block_on(watch.next()).unwrap(),
            WatchEvent::Changed { revision: Revision(30_000), .. }
        ));
    }

    #[test]
    fn a_change_without_writes_is_not_told() {
        let history = History::new(Revision(0));
        history.publish([(Revision(1), Vec::new()), (Revision(2), vec![Bytes::from_static(b"k")])]);
        let event = block_on(history.watch(Bytes::new(), Revision(0)).next()).unwrap();
        assert!(matches!(event, WatchEvent::Changed { revision: Revision(2), .. }));
    }

    #[test]
    fn a_closed_history_tells_what_it_knows_and_ends() {
        let history = History::new(Revision(0));
        publish(&history, 1..=1, &Bytes::from_static(b"k"));
        history.close();
        let mut watch = history.watch(Bytes::new(), Revision(0));
        assert!(block_on(watch.next()).is_ok());
        assert!(matches!(block_on(watch.next()), Err(StoreError::Closed)));
    }

    #[test]
    fn a_dropped_watch_leaves_nothing_behind() {
        let history = History::new(Revision(0));
        let mut watch = history.watch(Bytes::new(), Revision(0));
        assert!(std::pin::pin!(watch.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(lock(&history.state).wakers.len(), 1);
        drop(watch);
        assert_eq!(lock(&history.state).wakers.len(), 0);
    }
}
