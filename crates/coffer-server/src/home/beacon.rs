//! Tells whoever watches the store's folder that a secret has changed: by the time of an empty file.
//!
//! I/O: sets the time of that file, after each change of a secret. Reading changes nothing there, nor does anything that the store
//! writes down besides (who read what, the log's head), so whoever reads because of it sets off nothing.
//! Invariant: it moves only after the change can be read. It is a hint; that it can't be moved is no failure, and is tried again with
//! the next change, also where somebody has removed it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use coffer_core::writes_a_secret;
use coffer_store::{BoxFuture, Change, CommitError, Revision, Snapshot, Store, StoreError, Watch};

/// A store whose changes of secrets can be seen from outside.
pub(super) struct Beacon<S> {
    inner: Arc<S>,
    mark: Arc<Mark>,
}

/// The file.
struct Mark {
    path: PathBuf,
    /// `None` while it can't be had.
    file: Mutex<Option<File>>,
}

impl Mark {
    fn moves(&self) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let known = file.take().filter(|file| file.metadata().is_ok_and(|facts| facts.nlink() > 0));
        let known = known.map_or_else(|| made(&self.path), Ok)?;
        known.set_modified(SystemTime::now())?;
        *file = Some(known);
        Ok(())
    }
}

/// The file at `path`, made if it is not there.
fn made(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

impl<S> Beacon<S> {
    /// Over `inner`; the file is made if it is not there.
    pub(super) fn new(inner: Arc<S>, path: &Path) -> Self {
        // Made once: that it is there is no change.
        let file = Mutex::new(made(path).ok());
        Self { inner, mark: Arc::new(Mark { path: path.to_owned(), file }) }
    }
}

impl<S: Store> Store for Beacon<S> {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>> {
        self.inner.snapshot()
    }

    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>> {
        let mark = writes_a_secret(&change).then(|| Arc::clone(&self.mark));
        let committed = self.inner.commit(change);
        let Some(mark) = mark else { return committed };
        Box::pin(async move {
            let result = committed.await;
            let may_have_happened = match &result {
                Ok(_) | Err(CommitError::Indeterminate(_)) => true,
                Err(CommitError::Conflict | CommitError::Determinate(_)) => false,
            };
            if may_have_happened {
                // Whoever watches looks from time to time as well.
                let _ = mark.moves();
            }
            result
        })
    }

    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        self.inner.watch(prefix, from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coffer_store::{MemoryStore, Write};

    use super::*;

    #[test]
    fn it_moves_with_secrets_and_with_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changed");
        let beacon = Beacon::new(Arc::new(MemoryStore::new()), &path);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (key, moves) in [
            (&b"s\x00123456789012\x00us-east-1\x00bot\x00"[..], true),
            (b"l\0x", false),
            (b"h\0x", false),
            (b"u\0x", false),
        ] {
            File::open(&path).unwrap().set_modified(long_ago).unwrap();
            let write = Write::Put(Bytes::from_static(key), Bytes::from_static(b"x"));
            let change = Change { guards: Vec::new(), writes: vec![write] };
            futures_executor::block_on(beacon.commit(change)).unwrap();
            assert_eq!(path.metadata().unwrap().modified().unwrap() != long_ago, moves, "{key:?}");
        }
    }

    #[test]
    fn what_could_not_be_had_or_was_removed_is_there_after_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changed");
        // Something else is in its place.
        std::fs::create_dir(&path).unwrap();
        let beacon = Beacon::new(Arc::new(MemoryStore::new()), &path);
        let commit = || {
            let write = Write::Put(Bytes::from_static(b"s\0x"), Bytes::from_static(b"x"));
            let change = Change { guards: Vec::new(), writes: vec![write] };
            futures_executor::block_on(beacon.commit(change)).unwrap();
        };
        commit();
        std::fs::remove_dir(&path).unwrap();
        for _ in 0..2 {
            commit();
            assert!(path.is_file());
            std::fs::remove_file(&path).unwrap();
        }
    }
}
