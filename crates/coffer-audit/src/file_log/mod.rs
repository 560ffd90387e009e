//! The log on disk: preallocated segments of chained lines, written in batches without a thread between.
//!
//! How an append goes: its future's first poll puts the line into a shared buffer and yields once, so that other
//! requests that are ready join; after a few batches of one it mostly writes at once. Whoever is polled next while
//! nobody writes takes the whole buffer, writes it with no lock held, and wakes the others. Under
//! [`SyncMode::Always`] they then wait for a thread that does nothing but sync ([`syncer`]). Another closes full
//! segments and keeps the next one ready ([`closer`]).
//!
//! I/O only through the [`Disk`] seam. Invariants: at most one batch is being written at any time, by whoever
//! holds the [`Writer`]; the state's lock is never held across I/O; a batch that could not be written whole
//! leaves nothing behind, and its sequences are given out again.

mod closer;
mod recovery;
mod syncer;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use coffer_crypto::{AuditPublicKey, AuditSigningKey};
use coffer_types::Timestamp;

pub use recovery::{LogOpenError, Recovery};

use crate::chain::{CHAIN_BYTES_MAX, push_line};
use crate::digest::DigestReference;
use crate::disk::{Disk, LogFile, write_all_at};
use crate::record::essentials;
use crate::scan::{RESERVE, SPARE, segment_name, segments_after, tail, visit_newest};
use crate::verify::{OpenLog, verify_disk};
use crate::{
    AuditError, AuditHealth, AuditSink, BoxFuture, Checkpoint, EventId, Head, NodeId, RecordBody, SyncMode,
    Verified, VerifyError, Visit,
};

/// The largest segment that may be configured.
const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How large a buffer kept for reuse may be, and all of them: about what is written between two syncs under full load.
/// What is not kept is fresh memory each time, which the kernel has to clear.
const POOLED_BUFFER_BYTES_MAX: usize = 256 * 1024;
const POOLED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// After so many batches of one line appends no longer yield to wait for others, but for one in so many.
const SOLO_WRITES_MIN: u32 = 4;
const SOLO_WRITES_MAX: u32 = 16;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct FileLogOptions {
    /// Whose log it is.
    pub node: NodeId,
    /// When an append is safe.
    pub sync: SyncMode,
    /// How large a segment grows before the next begins. One batch may make a segment larger.
    pub segment_bytes: u64,
    /// How much space is held back for when the disk is full; 0 for none.
    pub reserve_bytes: u64,
    /// The alarm is raised when less than this is free.
    pub low_space_bytes: u64,
    /// How many bytes of lines may wait to be written; beyond it an append waits.
    pub buffer_bytes: usize,
    /// How many bytes of lines may be written and not yet synced; beyond it an append waits.
    pub unsynced_bytes: usize,
}

impl FileLogOptions {
    /// The defaults: segments of 8 MiB, 16 MiB in reserve, an alarm below 256 MiB, synced every 100 ms.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            sync: SyncMode::default(),
            segment_bytes: 8 * 1024 * 1024,
            reserve_bytes: 16 * 1024 * 1024,
            low_space_bytes: 256 * 1024 * 1024,
            buffer_bytes: 8 * 1024 * 1024,
            unsynced_bytes: 32 * 1024 * 1024,
        }
    }
}

/// An [`AuditSink`] on disk. Whoever opens it holds the store's lock, so that nobody else writes to it.
pub struct FileLog {
    shared: Arc<Shared>,
    recovery: Recovery,
    syncer: Option<JoinHandle<()>>,
    closer: Option<JoinHandle<()>>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    options: FileLogOptions,
    key: Arc<AuditSigningKey>,
    state: Mutex<State>,
    wake_syncer: Condvar,
    wake_closer: Condvar,
}

struct State {
    /// Lines that nobody has taken to write yet.
    pending: Pending,
    /// The chain after the pending lines.
    chain: Head,
    /// Whoever takes this is the one who writes.
    writer: Option<Writer>,
    in_flight: Option<Arc<Batch>>,
    written: Head,
    synced: Head,
    /// The open segment's first sequence, and how much of it is written.
    open: (u64, u64),
    /// Batches that are written and not known to be on disk, oldest first.
    unsynced: VecDeque<Unsynced>,
    unsynced_bytes: usize,
    /// Full segments, oldest first.
    closing: VecDeque<Closing>,
    last_digest: Option<DigestReference>,
    signed_through: u64,
    /// The next segment, ready.
    spare: Option<Arc<dyn LogFile>>,
    /// Whether names were changed since the directory was last synced.
    directory_dirty: bool,
    reserve_held: bool,
    waiting_for_space: BTreeMap<u64, Waker>,
    waiting_for_close: Vec<Waker>,
    next_waiter: u64,
    pool: Pool,
    /// How many batches of one line were written since the last larger one.
    solo_writes: u32,

    /// For the syncer: something is unsynced or unwritten, so look again after the interval.
    armed: bool,
    sync_wanted: bool,
    /// The syncer waits for this record before it syncs.
    gathering_until: u64,
    flush_wanted: bool,
    close_wanted: Option<Timestamp>,
    /// For the closer: all is synced, or never will be.
    close_ready: Option<Timestamp>,
    shutdown: bool,
    syncer_ended: bool,

    write_failure: Option<Arc<io::Error>>,
    sync_failure: Option<Arc<io::Error>>,
    altered: Option<String>,
    closed: Option<Result<(), AuditError>>,
}

/// Buffers for reuse, the last used first.
#[derive(Default)]
struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity <= POOLED_BUFFER_BYTES_MAX && self.bytes + capacity <= POOLED_BYTES_MAX {
            buffer.clear();
            self.bytes += capacity;
            self.buffers.push(buffer);
        }
    }
}

struct Pending {
    bytes: Vec<u8>,
    last_time: Timestamp,
    batch: Arc<Batch>,
}

/// What those wait on whose lines are written together.
#[derive(Default)]
struct Batch {
    /// Taken only under the state's lock, so never contended.
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    phase: Phase,
    wakers: Vec<Option<Waker>>,
}

#[derive(Clone, Default)]
enum Phase {
    #[default]
    Pending,
    Written,
    Synced,
    Failed(Arc<io::Error>),
}

/// The right to write, and where.
struct Writer {
    file: Arc<dyn LogFile>,
    first: u64,
    position: u64,
    /// The chain before the segment's first line.
    before: Head,
    last_time: Timestamp,
    /// A write failed half-way: what lies behind `position` must go before the next one.
    broken: bool,
    spare: Option<Arc<dyn LogFile>>,
}

#[derive(Clone)]
struct Unsynced {
    file: Arc<dyn LogFile>,
    offset: u64,
    bytes: Vec<u8>,
    batch: Arc<Batch>,
}

/// A full segment that is still to be cut to its length and to get its digest.
#[derive(Clone)]
struct Closing {
    file: Arc<dyn LogFile>,
    first: u64,
    length: u64,
    before: Head,
    last: Head,
    time: Timestamp,
}

impl Batch {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> Phase {
        self.progress().phase.clone()
    }

    /// Has this one woken at the next change, in the place it was given when it first waited.
    fn wait(&self, slot: &mut Option<usize>, waker: &Waker) {
        let mut progress = self.progress();
        let at = *slot.get_or_insert(progress.wakers.len());
        if at == progress.wakers.len() {
            progress.wakers.push(None);
        }
        match progress.wakers.get_mut(at) {
            Some(Some(known)) => known.clone_from(waker),
            Some(place) => *place = Some(waker.clone()),
            None => {}
        }
    }

    /// Sets the phase and gives out who waited for it.
    fn reach(&self, phase: Phase, wake: &mut Vec<Waker>) {
        let mut progress = self.progress();
        // Whoever was told of a failure stays told.
        if !matches!(progress.phase, Phase::Failed(_)) {
            progress.phase = phase;
        }
        wake.extend(progress.wakers.iter_mut().filter_map(Option::take));
    }

    /// Takes one who waits.
    fn any_waker(&self) -> Option<Waker> {
        self.progress().wakers.iter_mut().find_map(Option::take)
    }
}

impl State {
    fn failure(&self) -> Option<AuditError> {
        if let Some(Err(error)) = &self.closed {
            return Some(error.clone());
        }
        if self.close_wanted.is_some() || self.closed.is_some() || self.shutdown {
            return Some(AuditError::Closed);
        }
        if let Some(segment) = &self.altered {
            return Some(AuditError::Altered { segment: segment.clone() });
        }
        // A failed write is tried again by the next append; a failed sync only by the thread.
        self.sync_failure.clone().map(AuditError::Unwritable)
    }

    /// Whether to yield before writing. Where nobody joined a few times in a row nobody is likely to; it is tried
    /// again now and then.
    fn expects_company(&self) -> bool {
        self.solo_writes < SOLO_WRITES_MIN || self.solo_writes.is_multiple_of(SOLO_WRITES_MAX)
    }

    /// Gives up what is pending: nothing of it was written, and the chain goes on from what was.
    fn roll_back(&mut self, error: &Arc<io::Error>, wake: &mut Vec<Waker>) {
        self.chain = self.written;
        self.pending.bytes.clear();
        let batch = std::mem::take(&mut self.pending.batch);
        batch.reach(Phase::Failed(Arc::clone(error)), wake);
    }

    fn take_waiting_for_space(&mut self, wake: &mut Vec<Waker>) {
        wake.extend(std::mem::take(&mut self.waiting_for_space).into_values());
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        self.pool.give(bytes);
    }
}

impl FileLog {
    /// Opens a log, or begins one, and repairs what a kill or a power cut left at its end.
    ///
    /// `checkpoint` is the newest the store holds: a log that does not contain it is refused rather than repaired.
    pub fn open(
        disk: Arc<dyn Disk>,
        mut options: FileLogOptions,
        key: Arc<AuditSigningKey>,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Self, LogOpenError> {
        options.segment_bytes = options.segment_bytes.clamp(4096, SEGMENT_BYTES_MAX);
        options.buffer_bytes = options.buffer_bytes.min(16 * 1024 * 1024);
        let (state, recovery) = recovery::recover(&*disk, &options, &key, checkpoint)?;
        let shared = Arc::new(Shared {
            disk,
            options,
            key,
            state: Mutex::new(state),
            wake_syncer: Condvar::new(),
            wake_closer: Condvar::new(),
        });
        // Made before its threads, so that dropping it stops the first if the second can't be had.
        let mut log = Self { shared, recovery, syncer: None, closer: None };
        log.syncer = Some(log.spawn("audit-sync", Shared::run_syncer)?);
        log.closer = Some(log.spawn("audit-close", Shared::run_closer)?);
        Ok(log)
    }

    fn spawn(&self, name: &str, run: fn(&Shared)) -> Result<JoinHandle<()>, LogOpenError> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let run = move || {
            if std::panic::catch_unwind(AssertUnwindSafe(|| run(&shared))).is_err() {
                shared.end_after_panic();
            }
        };
        thread.spawn(run).map_err(LogOpenError::Io)
    }

    /// What opening had to repair.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Signs the synced head, for the store to keep.
    pub fn checkpoint(&self, now: Timestamp) -> Checkpoint {
        let shared = &self.shared;
        Checkpoint::sign(&shared.key, shared.options.node.clone(), self.synced_head(), now)
    }

    fn append_bodies(&self, bodies: Bodies, needs_sync: bool) -> Append<'_> {
        Append { shared: &self.shared, needs_sync, stage: Stage::New { bodies, waiter: None } }
    }
}

/// Stops the threads after a last write and sync; the segment stays open, and the next open goes on in it.
impl Drop for FileLog {
    fn drop(&mut self) {
        self.shared.state().shutdown = true;
        self.shared.wake_syncer.notify_one();
        if let Some(syncer) = self.syncer.take() {
            // A panic of the thread has been reported where it happened.
            let _ = syncer.join();
        }
        self.shared.state().syncer_ended = true;
        self.shared.wake_closer.notify_one();
        if let Some(closer) = self.closer.take() {
            let _ = closer.join();
        }
    }
}

/// In place of the panic's own message, which was reported where it happened.
#[derive(Debug, thiserror::Error)]
#[error("a thread of the audit log panicked")]
struct Panicked;

enum Bodies {
    One(RecordBody),
    Many(Vec<RecordBody>),
}

impl Bodies {
    fn as_slice(&self) -> &[RecordBody] {
        match self {
            Self::One(body) => std::slice::from_ref(body),
            Self::Many(bodies) => bodies,
        }
    }
}

struct Append<'a> {
    shared: &'a Shared,
    needs_sync: bool,
    stage: Stage,
}

enum Stage {
    /// Not in the buffer yet; a waiter for space if it has a number.
    New {
        bodies: Bodies,
        waiter: Option<u64>,
    },
    /// In the buffer, or further.
    Pushed {
        batch: Arc<Batch>,
        /// Its place among those who wait; most never have to.
        slot: Option<usize>,
    },
    Done,
}

impl Future for Append<'_> {
    type Output = Result<Head, AuditError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut wake = Vec::new();
        let poll = self.advance(context, &mut wake);
        if poll.is_ready() {
            self.stage = Stage::Done;
        }
        wake.into_iter().for_each(Waker::wake);
        poll
    }
}

impl Append<'_> {
    fn advance(
        &mut self,
        context: &mut Context<'_>,
        wake: &mut Vec<Waker>,
    ) -> Poll<Result<Head, AuditError>> {
        let shared = self.shared;
        let mut state = shared.state();
        if let Stage::New { bodies, waiter } = &mut self.stage {
            let lines: usize =
                bodies.as_slice().iter().map(|body| body.as_bytes().len() + CHAIN_BYTES_MAX).sum();
            loop {
                if let Some(failure) = state.failure() {
                    return Poll::Ready(Err(failure));
                }
                let waiting = state.pending.bytes.len();
                let fits = waiting == 0 || waiting + lines <= shared.options.buffer_bytes;
                let room = state.unsynced_bytes <= shared.options.unsynced_bytes;
                if fits && room {
                    break;
                }
                if !fits && room && state.writer.is_some() {
                    state = shared.write_pending(state, wake);
                    continue;
                }
                if !room {
                    shared.want_sync(&mut state);
                }
                let number = *waiter.get_or_insert_with(|| {
                    state.next_waiter += 1;
                    state.next_waiter
                });
                state.waiting_for_space.insert(number, context.waker().clone());
                return Poll::Pending;
            }
            let nothing_new = bodies.as_slice().is_empty();
            let mut batch = Arc::clone(&state.pending.batch);
            if nothing_new && state.pending.bytes.is_empty() {
                // A barrier: it waits for whatever is on its way.
                let on_its_way = state.in_flight.clone();
                match on_its_way.or_else(|| state.unsynced.back().map(|last| Arc::clone(&last.batch))) {
                    Some(last) => batch = last,
                    None => return Poll::Ready(Ok(state.synced)),
                }
            }
            for body in bodies.as_slice() {
                let chain = state.chain;
                state.chain = push_line(&mut state.pending.bytes, body.as_bytes(), chain);
                state.pending.last_time = body.time();
            }
            if let Some(number) = waiter {
                state.waiting_for_space.remove(number);
            }
            self.stage = Stage::Pushed { batch, slot: None };
            if !state.armed {
                state.armed = true;
                shared.wake_syncer.notify_one();
            }
            if state.expects_company() {
                drop(state);
                // Yield once: whoever else is ready joins the batch before somebody writes it.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let Stage::Pushed { batch, slot } = &mut self.stage else {
            return Poll::Ready(Err(AuditError::Closed));
        };
        loop {
            match batch.phase() {
                Phase::Failed(error) => return Poll::Ready(Err(AuditError::Unwritable(error))),
                Phase::Synced => return Poll::Ready(Ok(state.synced)),
                Phase::Written if !self.needs_sync => return Poll::Ready(Ok(state.written)),
                Phase::Written => {
                    batch.wait(slot, context.waker());
                    shared.want_sync(&mut state);
                    return Poll::Pending;
                }
                Phase::Pending if state.writer.is_some() => state = shared.write_pending(state, wake),
                Phase::Pending => {
                    batch.wait(slot, context.waker());
                    return Poll::Pending;
                }
            }
        }
    }
}

/// A future dropped while its line waits may have been the one woken to write; the thread writes then.
impl Drop for Append<'_> {
    fn drop(&mut self) {
        match &self.stage {
            Stage::New { waiter: Some(number), .. } => {
                self.shared.state().waiting_for_space.remove(number);
            }
            Stage::Pushed { batch, .. } => {
                let mut state = self.shared.state();
                if matches!(batch.phase(), Phase::Pending) {
                    state.flush_wanted = true;
                    self.shared.wake_syncer.notify_one();
                }
            }
            Stage::New { .. } | Stage::Done => {}
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing between locking and unlocking leaves the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the threads is gone: nobody who waits for it waits for ever, and nothing more is appended.
    fn end_after_panic(&self) {
        let error = Arc::new(io::Error::other(Panicked));
        let mut wake = Vec::new();
        let mut state = self.state();
        state.closed.get_or_insert_with(|| Err(AuditError::Unwritable(Arc::clone(&error))));
        state.roll_back(&error, &mut wake);
        for unsynced in &state.unsynced {
            unsynced.batch.reach(Phase::Failed(Arc::clone(&error)), &mut wake);
        }
        state.take_waiting_for_space(&mut wake);
        wake.append(&mut state.waiting_for_close);
        // What is left of the log is for whoever drops it.
        state.shutdown = true;
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        self.wake_syncer.notify_one();
        self.wake_closer.notify_one();
    }

    fn want_sync(&self, state: &mut State) {
        if !state.sync_wanted {
            state.sync_wanted = true;
            self.wake_syncer.notify_one();
        }
    }

    /// Takes all that is pending and writes it, unlocked. The caller checked that the writer is free.
    fn write_pending<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wake: &mut Vec<Waker>,
    ) -> MutexGuard<'a, State> {
        let Some(mut writer) = state.writer.take() else { return state };
        // The next batch will be about as large as this one.
        let fresh = state.pool.take().unwrap_or_else(|| Vec::with_capacity(state.pending.bytes.len()));
        let bytes = std::mem::replace(&mut state.pending.bytes, fresh);
        let batch = std::mem::take(&mut state.pending.batch);
        let is_solo = state.chain.sequence == state.written.sequence.saturating_add(1);
        state.solo_writes = if is_solo { state.solo_writes.wrapping_add(1) } else { 0 };
        let (last, time, written) = (state.chain, state.pending.last_time, state.written);
        let filled = writer.position > 0
            && writer.position.saturating_add(bytes.len() as u64) > self.options.segment_bytes;
        if filled && writer.spare.is_none() {
            writer.spare = state.spare.take();
        }
        state.in_flight = Some(Arc::clone(&batch));
        drop(state);

        let mut closing = None;
        let outcome = self.write_batch(&mut writer, filled, written, &bytes, &mut closing);

        let mut state = self.state();
        state.in_flight = None;
        if let Some(closing) = closing {
            state.closing.push_back(closing);
            state.directory_dirty = true;
            self.wake_closer.notify_one();
        }
        match outcome {
            Ok(offset) => {
                writer.position = offset + bytes.len() as u64;
                writer.last_time = time;
                let spare_from = self.options.segment_bytes / closer::SPARE_AFTER;
                if offset < spare_from && writer.position >= spare_from {
                    self.wake_closer.notify_one();
                }
                state.written = last;
                state.write_failure = None;
                state.unsynced_bytes += bytes.len();
                let file = Arc::clone(&writer.file);
                if self.options.sync == SyncMode::Always {
                    // Nobody can go on before it is synced.
                    batch.progress().phase = Phase::Written;
                } else {
                    batch.reach(Phase::Written, wake);
                }
                state.unsynced.push_back(Unsynced { file, offset, bytes, batch });
                state.armed = true;
                if self.options.sync == SyncMode::Always {
                    self.want_sync(&mut state);
                    if last.sequence >= state.gathering_until {
                        self.wake_syncer.notify_one();
                    }
                }
            }
            Err(error) => {
                writer.broken = true;
                let error = Arc::new(error);
                batch.reach(Phase::Failed(Arc::clone(&error)), wake);
                state.roll_back(&error, wake);
                state.write_failure = Some(error);
            }
        }
        state.open = (writer.first, writer.position);
        state.writer = Some(writer);
        // Of those who came meanwhile one must write; if none is waiting yet, the first to be polled does.
        if !state.pending.bytes.is_empty() {
            wake.extend(state.pending.batch.any_waker());
        }
        state.take_waiting_for_space(wake);
        state
    }

    /// Writes a batch at the writer's position, in the next segment if this one is full, and answers where.
    fn write_batch(
        &self,
        writer: &mut Writer,
        filled: bool,
        written: Head,
        bytes: &[u8],
        closing: &mut Option<Closing>,
    ) -> io::Result<u64> {
        if writer.broken {
            // Synced before anything is written there again, or a power cut could mix old and new bytes.
            writer.file.truncate(writer.position)?;
            // Without the space the write below may fail, and then says so itself.
            let _ = writer.file.allocate(self.options.segment_bytes);
            writer.file.sync_data()?;
            writer.broken = false;
        }
        if filled {
            let first = written.sequence.saturating_add(1);
            let file = match &writer.spare {
                Some(spare) => {
                    let spare = Arc::clone(spare);
                    self.disk.rename(SPARE, &segment_name(first))?;
                    spare
                }
                None => self.with_reserve(|| self.create_allocated(&segment_name(first)))?,
            };
            writer.spare = None;
            *closing = Some(Closing {
                file: std::mem::replace(&mut writer.file, file),
                first: writer.first,
                length: writer.position,
                before: writer.before,
                last: written,
                time: writer.last_time,
            });
            writer.first = first;
            writer.position = 0;
            writer.before = written;
        }
        let (file, position) = (Arc::clone(&writer.file), writer.position);
        self.with_reserve(|| write_all_at(&*file, position, bytes))?;
        Ok(position)
    }

    fn create_allocated(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = self.disk.create(name)?;
        match file.allocate(self.options.segment_bytes) {
            Ok(()) => Ok(file),
            Err(error) => {
                // What is left of it is overwritten the next time, or found empty when the log is opened.
                let _ = self.disk.remove(name);
                Err(error)
            }
        }
    }

    /// Does something that takes space; if there is none, gives up the reserve and does it again.
    fn with_reserve<T>(&self, mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match action() {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.release_reserve() => action(),
            outcome => outcome,
        }
    }

    /// Whether there was a reserve, and now there is none.
    fn release_reserve(&self) -> bool {
        let held = std::mem::replace(&mut self.state().reserve_held, false);
        held && self.disk.remove(RESERVE).is_ok()
    }

    fn read_error(error: io::Error) -> AuditError {
        AuditError::Unreadable(Arc::new(error))
    }
}

impl AuditSink for FileLog {
    fn append(&self, body: RecordBody) -> BoxFuture<'_, Result<(), AuditError>> {
        let needs_sync = self.shared.options.sync == SyncMode::Always;
        let append = self.append_bodies(Bodies::One(body), needs_sync);
        Box::pin(async move { append.await.map(drop) })
    }

    fn append_synced(&self, bodies: Vec<RecordBody>) -> BoxFuture<'_, Result<Head, AuditError>> {
        Box::pin(self.append_bodies(Bodies::Many(bodies), true))
    }

    fn synced_head(&self) -> Head {
        self.shared.state().synced
    }

    fn event_ids_after(&self, sequence: u64) -> Result<HashSet<EventId>, AuditError> {
        let open = self.shared.state().open;
        let mut ids = HashSet::new();
        segments_after(&*self.shared.disk, open, sequence, |bytes| {
            // The chain is not checked here: a record is looked for by what its line says.
            for line in bytes.split(|&byte| byte == b'\n') {
                let later =
                    crate::chain::Line::parse(line).is_some_and(|line| line.claimed.sequence > sequence);
                if later && let Some((id, ..)) = essentials(line) {
                    ids.insert(id);
                }
            }
        })
        .map_err(Shared::read_error)?;
        Ok(ids)
    }

    fn tail(&self, count: usize) -> Result<Vec<String>, AuditError> {
        let open = self.shared.state().open;
        tail(&*self.shared.disk, open, count).map_err(Shared::read_error)
    }

    fn visit_newest(&self, visit: Visit<'_>) -> Result<(), AuditError> {
        let open = self.shared.state().open;
        visit_newest(&*self.shared.disk, open, visit).map_err(Shared::read_error)
    }

    fn verify(
        &self,
        checkpoint: Option<&Checkpoint>,
        public_key: &AuditPublicKey,
    ) -> Result<Verified, VerifyError> {
        let state = self.shared.state();
        let closed = state.closed.is_some();
        let log = OpenLog { open: state.open, written: state.written, signed_through: state.signed_through };
        drop(state);
        verify_disk(&*self.shared.disk, checkpoint, public_key, (!closed).then_some(log))
    }

    fn health(&self) -> AuditHealth {
        let free_bytes = self.shared.disk.free_bytes().ok();
        let state = self.shared.state();
        let ended_by = match &state.closed {
            Some(Err(AuditError::Unwritable(error))) => Some(error),
            Some(_) | None => None,
        };
        let unwritable = ended_by.or(state.sync_failure.as_ref()).or(state.write_failure.as_ref());
        let failure = match (&state.altered, unwritable) {
            (Some(segment), _) => Some(format!("segment `{segment}` was altered")),
            (None, Some(error)) => Some(error.to_string()),
            (None, None) => None,
        };
        let reserve_missing = !state.reserve_held && self.shared.options.reserve_bytes > 0;
        let low = free_bytes.is_some_and(|free| free < self.shared.options.low_space_bytes);
        AuditHealth {
            free_bytes,
            reserve_held: state.reserve_held,
            low_space: low || reserve_missing,
            failure,
            written: state.written,
            synced: state.synced,
            segments_to_close: state.closing.len(),
        }
    }

    fn close(&self, now: Timestamp) -> BoxFuture<'_, Result<(), AuditError>> {
        Box::pin(std::future::poll_fn(move |context| {
            let mut state = self.shared.state();
            if let Some(outcome) = &state.closed {
                return Poll::Ready(outcome.clone());
            }
            state.close_wanted.get_or_insert(now);
            state.waiting_for_close.push(context.waker().clone());
            self.shared.wake_syncer.notify_one();
            Poll::Pending
        }))
    }
}
