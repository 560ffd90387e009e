//! The log's first thread: it syncs, and writes what nobody else came to write. Whoever waits for a sync waits for
//! nothing else: full segments are the other thread's business.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::{Phase, Shared, State};
use crate::SyncMode;
use crate::disk::{LogFile, write_all_at};

/// How long to wait before what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The longest wait for a group to come together.
const GATHER_MAX: Duration = Duration::from_millis(2);

/// What was synced together.
#[derive(Clone, Copy, Default)]
struct Group {
    records: u64,
    took: Duration,
}

impl Shared {
    pub(super) fn run_syncer(&self) {
        let interval = match self.options.sync {
            SyncMode::Interval(interval) => interval.max(Duration::from_millis(1)),
            // Only for lines that nobody came to write.
            SyncMode::Always => Duration::from_millis(100),
        };
        let mut deadline: Option<Instant> = None;
        let mut retry_at: Option<Instant> = None;
        let mut previous = Group::default();
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if state.armed {
                deadline.get_or_insert(now + interval);
            }
            let due = deadline.is_some_and(|deadline| deadline <= now);
            let may_retry = retry_at.is_none_or(|at| at <= now);
            let asked = state.sync_wanted || state.flush_wanted;
            // Both as they are now: an ending that is asked for during a round is for the next.
            let shutting_down = state.shutdown;
            let close_at = state.close_wanted.filter(|_| state.close_ready.is_none());
            let ending = shutting_down || close_at.is_some();
            if !(due || ending || may_retry && (asked || retry_at.is_some())) {
                let until = [deadline, retry_at]
                    .into_iter()
                    .flatten()
                    .min()
                    .map(|at| at.saturating_duration_since(now));
                state = match until {
                    Some(wait) => {
                        let waited = self.wake_syncer.wait_timeout(state, wait);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self.wake_syncer.wait(state).unwrap_or_else(PoisonError::into_inner),
                };
                continue;
            }

            let mut wake = Vec::new();
            if (due || ending || state.flush_wanted)
                && !state.pending.bytes.is_empty()
                && state.writer.is_some()
            {
                state = self.write_pending(state, &mut wake);
            }
            state.flush_wanted = false;
            // Somebody else may be writing just now; an ending waits for that.
            if ending && state.writer.is_none() {
                state = self.pause(state, wake);
                continue;
            }
            let may_gather = self.options.sync == SyncMode::Always && !ending && wake.is_empty();
            if may_gather && state.written != state.synced {
                state = self.gather(state, previous);
            }
            let wants_sync = due || ending || state.sync_wanted || state.sync_failure.is_some();
            if wants_sync {
                let (start, before) = (Instant::now(), state.synced.sequence);
                state = self.sync_once(state, &mut wake);
                previous = Group { records: state.synced.sequence - before, took: start.elapsed() };
            }
            let clean = state.unsynced.is_empty() && state.pending.bytes.is_empty() && state.writer.is_some();
            if due {
                deadline = None;
            }
            state.armed = !clean;
            let healthy = state.sync_failure.is_none();
            retry_at = (!healthy).then(|| Instant::now() + RETRY_AFTER);
            if state.can_close() {
                self.wake_closer.notify_one();
            }
            drop(state);
            wake.into_iter().for_each(Waker::wake);

            state = self.state();
            if shutting_down && (state.writer.is_some() && state.pending.bytes.is_empty() || !healthy) {
                return;
            }
            if let Some(now) = close_at {
                // What is pending now was handed over before the log began to close.
                let busy =
                    state.writer.is_none() || !state.pending.bytes.is_empty() || !state.unsynced.is_empty();
                if !(busy && healthy) {
                    state.close_ready = Some(now);
                    self.wake_closer.notify_one();
                }
            }
        }
    }

    /// Lets a group come together, since a sync takes as long for many as for one: half of all who are at it, so that
    /// the other half can get ready during the sync. Waits no longer than a sync takes.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>, previous: Group) -> MutexGuard<'a, State> {
        let first = state.synced.sequence;
        let half = (previous.records + (state.written.sequence - first)) / 2;
        let deadline = Instant::now() + previous.took.min(GATHER_MAX);
        state.gathering_until = first.saturating_add(half);
        while state.written.sequence < state.gathering_until && !state.is_ending() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wake_syncer.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.gathering_until = u64::MAX;
        state
    }

    /// Wakes those who can go on, and lets them.
    fn pause<'a>(&'a self, state: MutexGuard<'a, State>, wake: Vec<Waker>) -> MutexGuard<'a, State> {
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        std::thread::sleep(Duration::from_millis(1));
        self.state()
    }

    /// Brings all that is written to disk. After a failure the same bytes are written again first: the kernel
    /// may have dropped them.
    fn sync_once<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wake: &mut Vec<Waker>,
    ) -> MutexGuard<'a, State> {
        state.sync_wanted = false;
        let again = state.sync_failure.is_some();
        let target = state.written;
        let count = state.unsynced.len();
        let directory_dirty = std::mem::take(&mut state.directory_dirty);
        let rewrite: Vec<_> = if again { state.unsynced.iter().cloned().collect() } else { Vec::new() };
        let mut files: Vec<Arc<dyn LogFile>> = Vec::new();
        for unsynced in &state.unsynced {
            if !files.last().is_some_and(|last| Arc::ptr_eq(last, &unsynced.file)) {
                files.push(Arc::clone(&unsynced.file));
            }
        }
        if files.is_empty() && !directory_dirty {
            state.sync_failure = None;
            return state;
        }
        drop(state);

        let outcome = (|| {
            for batch in &rewrite {
                write_all_at(&*batch.file, batch.offset, &batch.bytes)?;
            }
            for file in &files {
                file.sync_data()?;
            }
            if directory_dirty { self.disk.sync_directory() } else { Ok(()) }
        })();
        drop(rewrite);

        let full = outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
        if full {
            // The next attempt has the space.
            self.release_reserve();
        }
        let mut state = self.state();
        match outcome {
            Ok(()) => {
                state.synced = target;
                state.sync_failure = None;
                for _ in 0..count {
                    let Some(unsynced) = state.unsynced.pop_front() else { break };
                    state.unsynced_bytes -= unsynced.bytes.len();
                    unsynced.batch.reach(Phase::Synced, wake);
                    state.recycle(unsynced.bytes);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for unsynced in &state.unsynced {
                    unsynced.batch.reach(Phase::Failed(Arc::clone(&error)), wake);
                }
                state.directory_dirty |= directory_dirty;
                state.sync_failure = Some(error);
            }
        }
        state.take_waiting_for_space(wake);
        state
    }
}
