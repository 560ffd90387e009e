//! The store in one redb file on one machine.
//!
//! Does I/O: one file, locked for one process. One writer thread owns the database; everyone else reads views
//! that it leaves behind after each commit. Invariant: a change is answered `Ok` only after the redb commit that
//! holds it is durable and the current view and the history show it.
//!
//! The file holds two tables. `records`: key → revision that last wrote it (8 bytes, little endian) ‖ value.
//! `meta`: `format` → the format number, `revision` → the revision of the last change.
//!
//! Whoever writes to the file while a commit is under way may see it half done; that is what redb's checksums
//! are for, and why an I/O error stops the process: what the file holds is then known only by opening it again.

mod file;
mod view;
mod writer;

use std::error::Error;
use std::fmt;
use std::future::ready;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use coffer_store::{BoxFuture, Change, CommitError, Revision, Snapshot, Store, StoreError, Watch};
use futures_channel::oneshot;
use redb::StorageBackend;
use redb::backends::FileBackend;

pub use file::OpenError;
use view::Shared;
use writer::{Job, Writer};

/// The store in one redb file.
///
/// Dropping it does what [`RedbStore::close`] does.
pub struct RedbStore {
    /// What is current, for readers.
    shared: Arc<Shared>,
    /// Unbounded: a change is handed over before the first await. Core bounds its callers, and so this queue.
    queue: Mutex<Option<Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

/// How a [`RedbStore`] runs.
#[derive(Clone)]
pub struct RedbOptions {
    /// Memory for cached pages of the file. Default 16 MiB; redb's own default is 1 GiB.
    pub cache_bytes: usize,
    /// Whether each commit also saves redb's allocator state, so that opening after a crash need not walk the file.
    ///
    /// Default false. With 100,000 records of 600 bytes, opening after SIGKILL takes 0.11 to 0.14 s without it (a walk
    /// of the file, so over 1 s for a million) and 1 ms with it; the goal is 1 s. It costs a second sync for each
    /// redb commit: half of what one writer alone can do, a tenth to a quarter of what 16 or 64 together can. A
    /// crash is rare and commits are not. After a clean end, opening takes less than 1 ms either way.
    /// `examples/group_commit.rs` measures it again.
    pub quick_repair: bool,
    /// What to do when the file has failed under the writer. The default writes one line to standard error and
    /// aborts the process, so that nobody acts on a guess. If it returns, as in tests, the changes under way
    /// are answered `Indeterminate` (or `Determinate`, if the commit had not begun) and the store is closed.
    pub on_fatal: FatalAction,
}

/// See [`RedbOptions::on_fatal`].
pub type FatalAction = Arc<dyn Fn(&(dyn Error + 'static)) + Send + Sync>;

impl RedbStore {
    /// Makes a new file, readable by its owner alone, and opens it.
    ///
    /// It appears under its name whole or not at all. [`OpenError::Exists`] if something has that name.
    pub fn create(path: impl AsRef<Path>, options: RedbOptions) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let draft = file::Draft::make(path)?;
        let store = match Self::open_with_backend(draft.backend()?, options.clone()) {
            Err(OpenError::NotAStore) => {
                draft.discard()?;
                Self::open_with_backend(draft.backend()?, options)?
            }
            opened => opened?,
        };
        draft.publish(path)?;
        Ok(store)
    }

    /// Opens the file of an earlier [`RedbStore::create`]. Repairs what a crash left.
    pub fn open(path: impl AsRef<Path>, options: RedbOptions) -> Result<Self, OpenError> {
        let file = file::open_existing(path.as_ref())?;
        Self::open_with_backend(FileBackend::new(file).map_err(OpenError::from_redb)?, options)
    }

    /// What a file holds, without changing a byte of it: for a store that nobody has open.
    /// [`OpenError::NeedsRepair`] if it was not closed in order.
    pub fn read_only(path: impl AsRef<Path>) -> Result<Box<dyn Snapshot>, OpenError> {
        let database = file::open_read_only(path.as_ref())?;
        let view = view::View::take(&database).map_err(OpenError::Backend)?;
        Ok(Box::new(view::ReadOnlyView { view, _database: database }))
    }

    /// Opens a store over any backend; an empty one becomes a new store. For tests of what a file can do to it.
    pub fn open_with_backend(backend: impl StorageBackend, options: RedbOptions) -> Result<Self, OpenError> {
        let database = file::open_database(backend, &options)?;
        let view = view::View::take(&database).map_err(OpenError::Backend)?;
        let shared = Arc::new(Shared::new(view));
        let (queue, jobs) = mpsc::channel();
        let writer = Writer::new(database, Arc::clone(&shared), jobs, options);
        let thread = std::thread::Builder::new()
            .name("store writer".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Io)?;
        Ok(Self { shared, queue: Mutex::new(Some(queue)), writer: Mutex::new(Some(thread)) })
    }

    /// Commits what was handed over before, closes the file and releases its lock; blocks until done.
    ///
    /// From then on everything answers [`StoreError::Closed`], snapshots taken earlier too. A second call does
    /// nothing.
    pub fn close(&self) -> Result<(), StoreError> {
        drop(lock(&self.queue).take());
        match lock(&self.writer).take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(closed)) => closed,
            Some(Err(_panic)) => Err(StoreError::Closed),
        }
    }
}

impl Store for RedbStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>> {
        let view = self.shared.view().map(|view| Box::new(view) as Box<dyn Snapshot>);
        Box::pin(ready(view.ok_or(StoreError::Closed)))
    }

    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>> {
        if let Err(error) = change.check_limits() {
            return Box::pin(ready(Err(CommitError::Determinate(error))));
        }
        let (answer, answered) = oneshot::channel();
        let queued =
            lock(&self.queue).as_ref().is_some_and(|queue| queue.send(Job { change, answer }).is_ok());
        if !queued {
            return Box::pin(ready(Err(CommitError::Determinate(StoreError::Closed))));
        }
        // The writer answers every job that it takes; a job without an answer was left by a writer that died.
        Box::pin(async { answered.await.unwrap_or(Err(CommitError::Indeterminate(StoreError::Closed))) })
    }

    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(ready(Ok(self.shared.history.watch(prefix, from))))
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // Every acknowledged change is durable already; an error here only means a repair at the next open.
        drop(self.close());
    }
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 * 1024 * 1024, quick_repair: false, on_fatal: Arc::new(report_and_abort) }
    }
}

impl fmt::Debug for RedbOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cache_bytes, quick_repair, on_fatal: _ } = self;
        f.debug_struct("RedbOptions")
            .field("cache_bytes", cache_bytes)
            .field("quick_repair", quick_repair)
            .finish_non_exhaustive()
    }
}

fn report_and_abort(error: &(dyn Error + 'static)) {
    let mut causes = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    // Nothing can be done about a standard error that is gone.
    drop(writeln!(std::io::stderr(), "error: the store's file failed, stopping at once: {error}{causes}"));
    std::process::abort();
}

/// Locks, and takes no notice of a panic elsewhere: what these locks hold is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
