//! The log's one thread: it syncs, closes full segments, keeps the next segment and the reserve ready, and writes
//! what nobody else came to write.

use std::io;
use std::sync::{Arc, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use coffer_types::Timestamp;

use super::{AuditError, Closing, Phase, Shared, State};
use crate::SyncMode;
use crate::digest::{Closed, DigestReference, SegmentDigest};
use crate::disk::{Disk, LogFile, write_all_at, write_file};
use crate::record::essentials;
use crate::scan::{End, RESERVE, SPARE, digest_name, read_segment, scan, segment_name};
use crate::{Head, NodeId};
use coffer_crypto::AuditSigningKey;
use coffer_crypto::digest::sha256;

/// How long to wait before what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Why a segment got no digest.
pub(super) enum CloseError {
    Io(io::Error),
    /// It does not hold what was written to it.
    Altered,
}

impl From<io::Error> for CloseError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
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
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if state.armed {
                deadline.get_or_insert(now + interval);
            }
            let due = deadline.is_some_and(|deadline| deadline <= now);
            let may_retry = retry_at.is_none_or(|at| at <= now);
            let open = state.close_wanted.is_none() && !state.shutdown;
            let spare_missing = open
                && state.spare.is_none()
                && state.writer.as_ref().is_some_and(|writer| writer.spare.is_none());
            let can_close = state.altered.is_none()
                && state
                    .closing
                    .front()
                    .is_some_and(|closing| closing.last.sequence <= state.synced.sequence);
            let asked = state.sync_wanted || state.flush_wanted || can_close || spare_missing;
            // Both as they are now: an ending that is asked for during a round is for the next.
            let shutting_down = state.shutdown;
            let close_at = state.close_wanted.filter(|_| state.closed.is_none());
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
                        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                    }
                    None => self.wake_syncer.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
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
            let wants_sync = due || ending || state.sync_wanted || state.sync_failure.is_some();
            if wants_sync {
                state = self.sync_once(state, &mut wake);
            }
            let clean = state.unsynced.is_empty() && state.pending.bytes.is_empty() && state.writer.is_some();
            if due {
                deadline = None;
            }
            state.armed = !clean;
            drop(state);
            wake.into_iter().for_each(Waker::wake);

            let kept_up = self.close_full_segments() & self.keep_ready();
            state = self.state();
            let healthy = kept_up && state.sync_failure.is_none();
            retry_at = (!healthy).then(|| Instant::now() + RETRY_AFTER);

            if shutting_down && (state.writer.is_some() && state.pending.bytes.is_empty() || !healthy) {
                return;
            }
            if let Some(now) = close_at {
                // What is pending now was handed over before the log began to close.
                let busy =
                    state.writer.is_none() || !state.pending.bytes.is_empty() || !state.unsynced.is_empty();
                if busy && healthy {
                    continue;
                }
                drop(state);
                let outcome = self.close_log(now);
                state = self.state();
                state.closed = Some(outcome);
                let closers = std::mem::take(&mut state.waiting_for_close);
                drop(state);
                closers.into_iter().for_each(Waker::wake);
                state = self.state();
            }
        }
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

    /// Gives every full and synced segment its digest. Whether all went well.
    fn close_full_segments(&self) -> bool {
        loop {
            let state = self.state();
            if state.altered.is_some() {
                return true;
            }
            let Some(closing) = state.closing.front().cloned() else { return true };
            if closing.last.sequence > state.synced.sequence {
                return state.sync_failure.is_none();
            }
            let previous = state.last_digest.clone();
            drop(state);
            let closed = close_segment(&*self.disk, &self.key, &self.options.node, &closing, previous);
            match closed {
                Ok(reference) => {
                    let mut state = self.state();
                    state.closing.pop_front();
                    state.last_digest = Some(reference);
                    state.signed_through = closing.last.sequence;
                }
                Err(CloseError::Altered) => {
                    self.state().altered = Some(segment_name(closing.first));
                    return true;
                }
                Err(CloseError::Io(error)) => {
                    if error.kind() == io::ErrorKind::StorageFull {
                        self.release_reserve();
                    }
                    return false;
                }
            }
        }
    }

    /// Makes the next segment and the reserve, if they are missing. Whether both are there.
    fn keep_ready(&self) -> bool {
        let state = self.state();
        if state.close_wanted.is_some() || state.shutdown {
            return true;
        }
        let spare_missing =
            state.spare.is_none() && state.writer.as_ref().is_some_and(|writer| writer.spare.is_none());
        let reserve_missing = !state.reserve_held && self.options.reserve_bytes > 0;
        drop(state);
        if spare_missing {
            let made = self.disk.create(SPARE).and_then(|file| {
                file.allocate(self.options.segment_bytes)?;
                file.sync_all()?;
                Ok(file)
            });
            match made {
                Ok(file) => self.state().spare = Some(file),
                Err(_) => {
                    // Half a spare would only take space; a later attempt makes a whole one.
                    let _ = self.disk.remove(SPARE);
                    return false;
                }
            }
        }
        if reserve_missing {
            let wanted = self.options.reserve_bytes.saturating_add(self.options.low_space_bytes);
            if self.disk.free_bytes().is_ok_and(|free| free >= wanted) {
                let made = make_reserve(&*self.disk, self.options.reserve_bytes).is_ok();
                self.state().reserve_held = made;
            }
        }
        true
    }

    /// The last of a log: its open segment gets a digest, or goes if it is empty.
    fn close_log(&self, now: Timestamp) -> Result<(), AuditError> {
        let mut state = self.state();
        if let Some(segment) = &state.altered {
            return Err(AuditError::Altered { segment: segment.clone() });
        }
        let failure = state.sync_failure.clone().or_else(|| state.write_failure.clone());
        if let Some(error) = failure {
            return Err(AuditError::Unwritable(error));
        }
        if !state.closing.is_empty() {
            // The digests are chained: the last cannot be made before the others. The next open makes them.
            let error = io::Error::other("an earlier segment has no digest yet");
            return Err(AuditError::Unwritable(Arc::new(error)));
        }
        let Some(writer) = state.writer.take() else { return Err(AuditError::Closed) };
        state.spare = None;
        let (last, previous) = (state.written, state.last_digest.clone());
        drop(state);
        let finish = || -> Result<Option<DigestReference>, CloseError> {
            let made = if writer.position == 0 {
                self.disk.remove(&segment_name(writer.first))?;
                None
            } else {
                let closing = Closing {
                    file: Arc::clone(&writer.file),
                    first: writer.first,
                    length: writer.position,
                    before: writer.before,
                    last,
                    time: now,
                };
                Some(close_segment(&*self.disk, &self.key, &self.options.node, &closing, previous)?)
            };
            // Gone already if it was never made.
            let _ = self.disk.remove(SPARE);
            self.disk.sync_directory()?;
            Ok(made)
        };
        let outcome = finish();
        let mut state = self.state();
        state.writer = Some(writer);
        match outcome {
            Ok(made) => {
                if made.is_some() {
                    state.last_digest = made;
                    state.signed_through = last.sequence;
                }
                Ok(())
            }
            Err(CloseError::Io(error)) => Err(AuditError::Unwritable(Arc::new(error))),
            Err(CloseError::Altered) => {
                let segment = segment_name(state.open.0);
                state.altered = Some(segment.clone());
                Err(AuditError::Altered { segment })
            }
        }
    }
}

/// Makes the file that holds space back.
pub(super) fn make_reserve(disk: &dyn Disk, bytes: u64) -> io::Result<()> {
    let file = disk.create(RESERVE)?;
    let made = file.allocate(bytes).and_then(|()| file.sync_all());
    if made.is_err() {
        // Half a reserve is none.
        let _ = disk.remove(RESERVE);
    }
    made
}

/// Cuts a segment to its length, reads it back, and makes its digest. Done twice it comes to the same.
pub(super) fn close_segment(
    disk: &dyn Disk,
    key: &AuditSigningKey,
    node: &NodeId,
    closing: &Closing,
    previous: Option<DigestReference>,
) -> Result<DigestReference, CloseError> {
    closing.file.truncate(closing.length)?;
    closing.file.sync_all()?;
    let bytes = read_segment(&*closing.file, None)?;
    let mut ends: Option<(Timestamp, Timestamp)> = None;
    let mut last_line: &[u8] = &[];
    let scanned = scan(&bytes, closing.before, |_: Head, line| {
        if ends.is_none() {
            ends = essentials(line).map(|(_, time, _)| (time, time));
        }
        last_line = line;
    });
    // A digest is signed only over what was written; whoever changed the file in between gets no signature.
    if scanned.stop != End::Clean || scanned.head != closing.last || bytes.len() as u64 != closing.length {
        return Err(CloseError::Altered);
    }
    let last_time = essentials(last_line).map(|(_, time, _)| time);
    let (first_time, last_time) =
        ends.zip(last_time).map_or((closing.time, closing.time), |(ends, last)| (ends.0, last));
    let closed = Closed {
        node: node.clone(),
        segment: segment_name(closing.first),
        previous: closing.before,
        last: closing.last,
        first_time,
        last_time,
        time: closing.time,
        bytes: closing.length,
        sha256: sha256(&bytes),
    };
    let digest = SegmentDigest::sign(key, closed, previous);
    let file = digest.to_file();
    write_file(disk, &digest_name(closing.first), &file)?;
    Ok(digest.reference(&file))
}
