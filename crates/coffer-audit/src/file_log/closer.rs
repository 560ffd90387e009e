//! The log's second thread: it gives full segments their digests and keeps the next segment and the reserve ready.
//!
//! I/O only through the [`Disk`] seam. Nobody waits for this thread but whoever closes the log, so it goes through
//! files in small pieces and pauses after each: on a core that is busy serving it takes turns of a fraction of a
//! millisecond. Invariant: a digest is signed only over what was written, which is on disk, and of which every line
//! was read back along the chain.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use coffer_crypto::AuditSigningKey;
use coffer_types::Timestamp;

use super::{AuditError, Closing, Shared, State};
use crate::digest::{Closed, DigestReference, SegmentDigest};
use crate::disk::{Disk, LogFile, PIECE, write_all_at, write_file};
use crate::record::essentials;
use crate::scan::{RESERVE, SPARE, digest_name, follow, segment_name};
use crate::{NodeId, SyncMode};

/// How long to wait before what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// The next segment is made once one in so many parts of the open one is written.
pub(super) const SPARE_AFTER: u64 = 8;
/// How long others go first after each piece of a file.
const PAUSE: Duration = Duration::from_micros(500);

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

impl State {
    /// Whether a full segment may get its digest: all of it is on disk.
    pub(super) fn can_close(&self) -> bool {
        let synced = self.synced.sequence;
        self.altered.is_none() && self.closing.front().is_some_and(|closing| closing.last.sequence <= synced)
    }

    /// Whether the log is being closed or dropped.
    pub(super) fn is_ending(&self) -> bool {
        self.close_wanted.is_some() || self.shutdown
    }

    /// Whether the next segment is to be made. Not before some of the open one is written: who only looks in, as a
    /// command does that reads one secret, has no use for it.
    fn spare_missing(&self, segment_bytes: u64) -> bool {
        self.open.1 >= segment_bytes / SPARE_AFTER
            && self.spare.is_none()
            && self.writer.as_ref().is_some_and(|writer| writer.spare.is_none())
    }
}

impl Shared {
    pub(super) fn run_closer(&self) {
        let mut retry_at: Option<Instant> = None;
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let ending = state.syncer_ended;
            let close_at = state.close_ready.filter(|_| state.closed.is_none());
            let may_try = retry_at.is_none_or(|at| at <= now);
            let has_work = state.can_close() || self.has_to_prepare(&state);
            if !(ending || close_at.is_some() || may_try && has_work) {
                let wait = retry_at.filter(|at| *at > now).map(|at| at.saturating_duration_since(now));
                state = self.wait_for_work(state, wait);
                continue;
            }
            drop(state);
            let kept_up = self.close_full_segments() & self.keep_ready();
            retry_at = (!kept_up).then(|| Instant::now() + RETRY_AFTER);
            if let Some(now) = close_at {
                let outcome = self.close_log(now);
                let mut state = self.state();
                state.closed = Some(outcome);
                let closers = std::mem::take(&mut state.waiting_for_close);
                drop(state);
                closers.into_iter().for_each(Waker::wake);
            }
            if ending {
                return;
            }
            state = self.state();
        }
    }

    fn wait_for_work<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        wait: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match wait {
            Some(wait) => {
                let waited = self.wake_closer.wait_timeout(state, wait);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.wake_closer.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn has_to_prepare(&self, state: &State) -> bool {
        let reserve_missing = !state.reserve_held && self.options.reserve_bytes > 0;
        !state.is_ending() && (state.spare_missing(self.options.segment_bytes) || reserve_missing)
    }

    /// Lets others go first; not when they wait for the log to end.
    fn let_others_go_first(&self) {
        if !self.state().is_ending() {
            std::thread::sleep(PAUSE);
        }
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
                return true;
            }
            let previous = state.last_digest.clone();
            drop(state);
            let closed = self.close_segment(&closing, previous);
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
        if !self.has_to_prepare(&state) {
            return true;
        }
        let spare_missing = state.spare_missing(self.options.segment_bytes);
        let reserve_missing = !state.reserve_held && self.options.reserve_bytes > 0;
        drop(state);
        if spare_missing {
            match self.make_spare() {
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
            let has_space = self.disk.free_bytes().is_ok_and(|free| free >= wanted);
            let made = has_space && make_reserve(&*self.disk, self.options.reserve_bytes).is_ok();
            self.state().reserve_held = made;
            return made;
        }
        true
    }

    fn make_spare(&self) -> io::Result<Arc<dyn LogFile>> {
        let length = self.options.segment_bytes;
        let file = self.disk.create(SPARE)?;
        file.allocate(length)?;
        if self.options.sync == SyncMode::Always {
            // The first write to space that is only allocated takes an entry in the file system's journal, which each
            // sync would wait for. Space that was written before takes none.
            let zeros = vec![0; PIECE];
            let mut offset = 0;
            while offset < length {
                let take = usize::try_from(length - offset).map_or(PIECE, |left| left.min(PIECE));
                write_all_at(&*file, offset, zeros.get(..take).unwrap_or_default())?;
                offset += take as u64;
                self.let_others_go_first();
            }
        }
        file.sync_all()?;
        Ok(file)
    }

    fn close_segment(
        &self,
        closing: &Closing,
        previous: Option<DigestReference>,
    ) -> Result<DigestReference, CloseError> {
        close_segment(&*self.disk, &self.key, &self.options.node, closing, previous, || {
            self.let_others_go_first()
        })
    }

    /// The last of a log: its open segment gets a digest, or goes if it is empty.
    fn close_log(&self, now: Timestamp) -> Result<(), AuditError> {
        let mut state = self.state();
        if let Some(segment) = &state.altered {
            return Err(AuditError::Altered { segment: segment.clone() });
        }
        // A failed write has been taken back, and whoever wanted it was told. If the disk still fails, what follows does.
        if let Some(error) = state.sync_failure.clone() {
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
                Some(self.close_segment(&closing, previous)?)
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
    pause: impl FnMut(),
) -> Result<DigestReference, CloseError> {
    closing.file.truncate(closing.length)?;
    closing.file.sync_all()?;
    // Whoever changed the file in between gets no signature.
    let followed = follow(&*closing.file, closing.before, PIECE, pause)?.ok_or(CloseError::Altered)?;
    if followed.head != closing.last || followed.length != closing.length {
        return Err(CloseError::Altered);
    }
    let time_of = |line: &[u8]| essentials(line).map_or(closing.time, |(_, time, _)| time);
    let closed = Closed {
        node: node.clone(),
        segment: segment_name(closing.first),
        previous: closing.before,
        last: closing.last,
        first_time: time_of(&followed.first_line),
        last_time: time_of(&followed.last_line),
        time: closing.time,
        bytes: closing.length,
        sha256: followed.sha256,
    };
    let digest = SegmentDigest::sign(key, closed, previous);
    let file = digest.to_file();
    write_file(disk, &digest_name(closing.first), &file)?;
    Ok(digest.reference(&file))
}
