//! Opening a store in place.

use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_audit::disk::RealDisk;
use coffer_audit::{AuditSink, FileLog, FileLogOptions, SyncMode, Verified, VerifyError, verify_directory};
use coffer_core::{Core, CoreOptions, NODE, Parts, Spawn, StartError, SystemClock};
use coffer_crypto::{KeyFileSeal, PassphraseSeal, RootKey, Seal, SealedRootKey, StoreId, SystemRandom};
use coffer_store::Store;
use coffer_store_redb::{RedbOptions, RedbStore};
use coffer_types::SecretBytes;

use super::beacon::Beacon;
use super::{
    AUDIT_FOLDER, CHANGED_FILE, Facts, HeldLock, Home, HomeError, KEY_FILE_KIND, STORE_FILE, files, io_error,
    key_file,
};
use crate::CacheSize;

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
    /// Drains what is under way, closes the files, and frees the lock. The log's segment stays open for whoever
    /// comes next: a segment a command would be many small files. Nothing may use a clone of the core afterwards.
    /// Not needed after [`crate::serve`], which has closed the core; then dropping is enough.
    pub async fn close(self) -> Result<(), HomeError> {
        let Self { core, facts: _, engine, lock } = self;
        let closed = core.leave().await.map_err(HomeError::Close);
        drop(core);
        drop(engine);
        drop(lock);
        closed
    }
}

/// How to open a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// When records of the log count as safe.
    pub sync: SyncMode,
    /// Go on although the log has lost records; see [`CoreOptions::accept_audit_loss`]. A log that is gone is begun
    /// anew.
    pub accept_audit_loss: bool,
    /// Most requests a second of a principal; see [`CoreOptions::rate_limit`].
    pub rate_limit: Option<NonZeroU32>,
    /// Memory for what was read.
    pub cache: CacheSize,
}

impl Home {
    /// Opens the store. `passphrase` is asked for only if the root key is sealed by one.
    pub async fn open(
        &self,
        lock: HeldLock,
        data_dir: &Path,
        passphrase: impl FnOnce() -> io::Result<SecretBytes>,
        options: OpenOptions,
        spawn: Arc<dyn Spawn>,
    ) -> Result<Opened, HomeError> {
        let facts = self.facts(data_dir)?;
        let sealed = self.sealed_root_key()?;
        let root = open_root_key(&sealed, data_dir, passphrase)?;
        let engine = Engine::open(&self.path, options)?;
        let core = Core::open(engine.parts(root, sealed.store_id(), spawn))
            .await
            .map_err(|source| self.cannot_start(source))?;
        Ok(Opened { core, facts, engine, lock })
    }

    /// Checks the audit log against what the store keeps of it: [`HomeError::AuditNotWhole`] says where it is not
    /// what was written.
    ///
    /// Opens the log for reading only, so that a log which [`Home::open`] refuses can be looked at, and one that
    /// it would repair is told as it is. Records of changes that are still in the outbox are not looked for.
    pub async fn verify_audit(
        &self,
        lock: HeldLock,
        data_dir: &Path,
        passphrase: impl FnOnce() -> io::Result<SecretBytes>,
    ) -> Result<Verified, HomeError> {
        let sealed = self.sealed_root_key()?;
        let root = open_root_key(&sealed, data_dir, passphrase)?;
        let store = open_records(&self.path, RedbOptions::default())?;
        let facts = Core::audit_facts(&store, &root, sealed.store_id()).await;
        let facts = facts.map_err(|source| self.cannot_start(source))?;
        let audit = self.path.join(AUDIT_FOLDER);
        let verified = verify_directory(&audit, facts.checkpoint.as_ref(), &facts.public_key);
        drop(store);
        drop(lock);
        verified.map_err(|error| match error {
            VerifyError::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
                HomeError::AuditMissing { path: audit }
            }
            error => error.into(),
        })
    }

    fn cannot_start(&self, source: StartError) -> HomeError {
        HomeError::Start { path: self.path.clone(), source }
    }
}

fn open_records(folder: &Path, settings: RedbOptions) -> Result<RedbStore, HomeError> {
    let path = folder.join(STORE_FILE);
    RedbStore::open(&path, settings).map_err(|source| HomeError::Store { path, source })
}

pub(super) fn open_root_key(
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
    options: OpenOptions,
}

impl Engine {
    /// New files in a folder.
    pub(super) fn create(folder: &Path, sync: SyncMode) -> Result<Self, HomeError> {
        Self::create_with(folder, sync, RedbOptions::default())
    }

    /// New files in a folder, with settings for the file of records.
    pub(super) fn create_with(folder: &Path, sync: SyncMode, store: RedbOptions) -> Result<Self, HomeError> {
        let path = folder.join(STORE_FILE);
        let store = RedbStore::create(&path, store).map_err(|source| HomeError::Store { path, source })?;
        let audit = folder.join(AUDIT_FOLDER);
        files::make_private_folder(&audit)?;
        let options = OpenOptions { sync, ..OpenOptions::default() };
        Ok(Self { store: Arc::new(store), audit, options })
    }

    fn open(folder: &Path, options: OpenOptions) -> Result<Self, HomeError> {
        let settings = RedbOptions {
            cache_bytes: usize::try_from(options.cache.page_bytes()).unwrap_or(usize::MAX),
            ..RedbOptions::default()
        };
        let store = open_records(folder, settings)?;
        let audit = folder.join(AUDIT_FOLDER);
        match std::fs::metadata(&audit) {
            Ok(_) => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("open", &audit)(error));
            }
            Err(_) if options.accept_audit_loss => files::make_private_folder(&audit)?,
            Err(_) => return Err(HomeError::AuditMissing { path: audit }),
        }
        Ok(Self { store: Arc::new(store), audit, options })
    }

    /// The records alone.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What a core is made of, over these files.
    pub(super) fn parts(&self, root: RootKey, store_id: StoreId, spawn: Arc<dyn Spawn>) -> Parts {
        let audit = self.audit.clone();
        let OpenOptions { sync, accept_audit_loss, rate_limit, cache } = self.options;
        Parts {
            store: Arc::new(Beacon::new(Arc::clone(&self.store), &self.audit.with_file_name(CHANGED_FILE))),
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
            options: CoreOptions { accept_audit_loss, rate_limit, cache_bytes_max: cache.record_bytes() },
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
