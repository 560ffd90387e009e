//! Opening a store in place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_audit::disk::RealDisk;
use coffer_audit::{AuditSink, FileLog, FileLogOptions, SyncMode};
use coffer_core::{Core, CoreOptions, Parts, Spawn, SystemClock};
use coffer_crypto::{KeyFileSeal, PassphraseSeal, RootKey, Seal, SealedRootKey, StoreId, SystemRandom};
use coffer_store::Store;
use coffer_store_redb::{RedbOptions, RedbStore};
use coffer_types::SecretBytes;

use super::{
    AUDIT_FOLDER, Facts, HeldLock, Home, HomeError, KEY_FILE_KIND, STORE_FILE, files, io_error, key_file,
};

/// The one node of a store on one machine.
const NODE: &str = "node-1";
/// The kind of seal that asks for a passphrase.
const PASSPHRASE_KIND: &str = "passphrase";

/// A store that is open in place. Closes when dropped, if [`Opened::close`] was not called; what is committed is
/// safe either way.
pub struct Opened {
    /// What answers.
    pub core: Core,
    /// What can be told of it.
    pub facts: Facts,
    // Dropped in this order: the file is closed before the lock is free for the next.
    engine: Engine,
    lock: HeldLock,
}

impl Opened {
    /// Drains what is under way, closes log and records, and frees the lock. Nothing may use a clone of the core
    /// afterwards. Not needed after [`crate::serve`], which has closed the core; then dropping is enough.
    pub async fn close(self) -> Result<(), HomeError> {
        let Self { core, facts: _, engine, lock } = self;
        let closed = core.close().await.map_err(HomeError::Close);
        drop(core);
        drop(engine);
        drop(lock);
        closed
    }
}

impl Home {
    /// Opens the store. `passphrase` is asked for only if the root key is sealed by one.
    pub async fn open(
        &self,
        lock: HeldLock,
        data_dir: &Path,
        passphrase: impl FnOnce() -> io::Result<SecretBytes>,
        sync: SyncMode,
        spawn: Arc<dyn Spawn>,
    ) -> Result<Opened, HomeError> {
        let facts = self.facts(data_dir)?;
        let sealed = self.sealed_root_key()?;
        let root = open_root_key(&sealed, data_dir, passphrase)?;
        let engine = Engine::open(&self.path, sync)?;
        let core = Core::open(engine.parts(root, sealed.store_id(), spawn))
            .await
            .map_err(|source| HomeError::Start { path: self.path.clone(), source })?;
        Ok(Opened { core, facts, engine, lock })
    }
}

fn open_root_key(
    sealed: &SealedRootKey,
    data_dir: &Path,
    passphrase: impl FnOnce() -> io::Result<SecretBytes>,
) -> Result<RootKey, HomeError> {
    let store_id = sealed.store_id();
    match sealed.kind() {
        KEY_FILE_KIND => Ok(KeyFileSeal::new(key_file(data_dir, store_id)).open(store_id, sealed)?),
        PASSPHRASE_KIND => {
            let passphrase = passphrase().map_err(HomeError::Passphrase)?;
            Ok(PassphraseSeal::new(passphrase).open(store_id, sealed)?)
        }
        kind => Err(HomeError::UnknownSeal { kind: kind.to_owned() }),
    }
}

/// The files below a core: records, and where the log is.
pub(super) struct Engine {
    store: Arc<RedbStore>,
    audit: PathBuf,
    sync: SyncMode,
}

impl Engine {
    /// New files in a folder.
    pub(super) fn create(folder: &Path, sync: SyncMode) -> Result<Self, HomeError> {
        let path = folder.join(STORE_FILE);
        let store = RedbStore::create(&path, RedbOptions::default())
            .map_err(|source| HomeError::Store { path, source })?;
        let audit = folder.join(AUDIT_FOLDER);
        files::make_private_folder(&audit)?;
        Ok(Self { store: Arc::new(store), audit, sync })
    }

    fn open(folder: &Path, sync: SyncMode) -> Result<Self, HomeError> {
        let path = folder.join(STORE_FILE);
        let store = RedbStore::open(&path, RedbOptions::default())
            .map_err(|source| HomeError::Store { path, source })?;
        let audit = folder.join(AUDIT_FOLDER);
        std::fs::metadata(&audit).map_err(io_error("open", &audit))?;
        Ok(Self { store: Arc::new(store), audit, sync })
    }

    /// What a core is made of, over these files.
    pub(super) fn parts(&self, root: RootKey, store_id: StoreId, spawn: Arc<dyn Spawn>) -> Parts {
        let (audit, sync) = (self.audit.clone(), self.sync);
        Parts {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            audit: Box::new(move |key, checkpoint| {
                let options = FileLogOptions { sync, ..FileLogOptions::new(NODE.parse()?) };
                let disk = Arc::new(RealDisk::open_existing(&audit)?);
                Ok(Arc::new(FileLog::open(disk, options, key, checkpoint.as_ref())?) as Arc<dyn AuditSink>)
            }),
            root,
            store_id,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            spawn,
            options: CoreOptions::default(),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A clone of the core may still hold the store; closing it does not wait for that. What was acknowledged
        // is on disk already.
        drop(self.store.close());
    }
}
