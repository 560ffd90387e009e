//! Backups and a store's folder: what goes into one, checking one, and making a folder of one.
//!
//! I/O: the folder, and whatever the backup is read from. Invariants: a process that dies while it restores leaves no
//! store; nothing is written but the draft of the new folder; the store that is replaced is only read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_audit::{SyncMode, Verified, VerifyError, verify_directory};
use coffer_core::backup::{Check, Contents, Enclosures, Header, Reader, Totals, Undone, compare, load};
use coffer_core::{Core, Spawn};
use coffer_crypto::{SealError, SealedRootKey, SystemRandom};
use coffer_store::Snapshot;
use coffer_store_redb::{RedbOptions, RedbStore};
use coffer_types::SecretBytes;

use super::init::Draft;
use super::open::{Engine, open_root_key};
use super::{
    Credentials, GITIGNORE_FILE, Home, HomeError, LOCK_FILE, SEAL_FILE, STORE_FILE, authority, files,
    io_error,
};

/// How to restore.
pub struct RestoreOptions {
    /// Where keys lie: [`super::data_dir`].
    pub data_dir: PathBuf,
    /// When records of the new log count as safe.
    pub sync: SyncMode,
    /// The folder of the same store in a later state, to tell what is undone. It is only read.
    pub replacing: Option<PathBuf>,
    /// Whether users and access keys are taken from there rather than from the backup.
    pub keep_access: bool,
    /// What the record says who restores with.
    pub program: String,
}

/// A store was made of a backup.
pub struct Restored {
    /// What the backup said of itself.
    pub header: Header,
    /// How much it held.
    pub totals: Totals,
    /// What its records told.
    pub contents: Contents,
    /// What is undone, if the store it replaces was at hand.
    pub undone: Option<Undone>,
    /// Where the first access key would be, if there is no such file.
    pub missing_credentials: Option<PathBuf>,
    /// Where the key of the certificate authority would be, if clients were given its certificate and there is no such
    /// file.
    pub missing_authority: Option<PathBuf>,
}

/// What a check of a backup found. What it could not find out, it says.
pub struct CheckedBackup {
    /// What it says of itself.
    pub header: Header,
    /// How much it holds.
    pub totals: Totals,
    /// What its records tell; or why they could not be opened: the root key is not at hand.
    pub contents: Result<Contents, HomeError>,
    /// The old audit log, if it was given.
    pub log: Option<Verified>,
}

impl Home {
    /// The home whose server listens on this socket.
    pub(crate) fn of_socket(socket: &Path) -> Option<Self> {
        Some(Self { path: socket.parent()?.to_owned() })
    }

    /// What goes into a backup beside the records.
    pub fn enclosures(&self) -> Result<Enclosures, HomeError> {
        let sealed = self.sealed_root_key()?;
        let seal = serde_json::from_str(&sealed.to_json()).map_err(SealError::Malformed)?;
        let path = self.authority_certificate();
        let certificates = match std::fs::read_to_string(&path) {
            Ok(certificates) => Some(certificates),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        Ok(Enclosures { seal, certificates })
    }

    /// Makes a store here of a backup: whole, or not at all. `passphrase` is asked for only if the root key is sealed by
    /// one; `progress` is told how many bytes were read.
    pub async fn restore(
        &self,
        backup: impl Read,
        options: &RestoreOptions,
        passphrase: impl FnOnce() -> io::Result<SecretBytes>,
        spawn: Arc<dyn Spawn>,
        progress: impl FnMut(u64),
    ) -> Result<Restored, HomeError> {
        if self.exists() {
            return Err(HomeError::Exists { path: self.path.clone() });
        }
        let mut reader = Reader::open(backup)?;
        let sealed = sealed_in(reader.header())?;
        let store_id = sealed.store_id();
        let root = open_root_key(&sealed, &options.data_dir, passphrase)?;
        let replaced = options.replacing.as_deref().map(|path| replaced_store(path, &sealed)).transpose()?;

        let draft = Draft::make(&self.path, &SystemRandom)?;
        files::write_private_file(&draft.path.join(GITIGNORE_FILE), b"*\n")?;
        files::write_private_file(&draft.path.join(LOCK_FILE), b"")?;
        // What fails here is the draft's end, and no reason to stop the process.
        let store = RedbOptions { on_fatal: Arc::new(|_| {}), ..RedbOptions::default() };
        let engine = Engine::create_with(&draft.path, options.sync, store)?;
        let access = replaced.as_deref().filter(|_| options.keep_access);
        let loaded = load(engine.store(), &root, &mut reader, access, progress).await?;
        let snapshot = engine.store().snapshot().await.map_err(cannot_compare)?;
        let undone = match (&options.replacing, &replaced) {
            (Some(path), Some(replaced)) => {
                let taken = loaded.header().time;
                let undone = compare(&root, store_id, &*snapshot, &**replaced, taken).await;
                let undone = undone.map_err(|error| HomeError::Compare(Box::new(error)))?;
                Some(undone.ok_or_else(|| HomeError::AnotherStore { path: path.clone() })?)
            }
            _ => None,
        };
        drop((snapshot, replaced));
        let (header, totals) = (loaded.header().clone(), loaded.totals());
        let contents = loaded.contents().clone();

        let uid = rustix::process::geteuid().as_raw();
        let parts = engine.parts(root, store_id, spawn);
        let core = Core::restore(parts, loaded, uid, &options.program, undone.as_ref())
            .await
            .map_err(|source| HomeError::Start { path: draft.path.clone(), source })?;
        core.close().await.map_err(HomeError::Close)?;
        drop(core);
        drop(engine);
        if let Some(certificates) = &header.certificates {
            let path = Self { path: draft.path.clone() }.authority_certificate();
            if let Some(folder) = path.parent() {
                files::make_private_folder(folder)?;
            }
            files::write_private_file(&path, certificates.as_bytes())?;
        }
        // Last, since a folder with a seal is a store.
        files::write_private_file(&draft.path.join(SEAL_FILE), sealed.to_json().as_bytes())?;
        draft.publish()?;
        let credentials = Credentials::path(&options.data_dir, store_id);
        let missing_credentials = (!credentials.exists()).then_some(credentials);
        let authority = authority::path(&options.data_dir, store_id);
        let missing_authority = (header.certificates.is_some() && !authority.exists()).then_some(authority);
        Ok(Restored { header, totals, contents, undone, missing_credentials, missing_authority })
    }
}

/// Checks a backup: with its root key everything, without it the chain of its frames, their order and their signature.
/// `passphrase` is asked for only if the root key is sealed by one. With `log`, the folder of the old audit log is checked
/// too: it must contain the head that the backup names.
pub fn check_backup(
    backup: impl Read,
    data_dir: &Path,
    passphrase: impl FnOnce() -> io::Result<SecretBytes>,
    log: Option<&Path>,
    mut progress: impl FnMut(u64),
) -> Result<CheckedBackup, HomeError> {
    let mut reader = Reader::open(backup)?;
    let header = reader.header().clone();
    let sealed = sealed_in(&header)?;
    let check = match open_root_key(&sealed, data_dir, passphrase) {
        Ok(root) => Ok(Check::new(&root, sealed.store_id())),
        Err(error @ (HomeError::Seal(SealError::KeyFileMissing { .. }) | HomeError::Passphrase(_))) => {
            Err(error)
        }
        Err(error) => return Err(error),
    };
    let contents = match check {
        Ok(mut check) => {
            while let Some(entries) = reader.next()? {
                entries.iter().for_each(|entry| check.record(entry));
                progress(reader.position());
            }
            Ok(check.finish(&header)?)
        }
        Err(why) => {
            while reader.next()?.is_some() {
                progress(reader.position());
            }
            Err(why)
        }
    };
    let log = log.map(|log| check_log(log, &header)).transpose()?;
    Ok(CheckedBackup { totals: reader.totals(), header, contents, log })
}

fn check_log(log: &Path, header: &Header) -> Result<Verified, HomeError> {
    verify_directory(log, Some(&header.audit), &header.public_key).map_err(|error| match error {
        VerifyError::Unreadable(source) if source.kind() == io::ErrorKind::NotFound => {
            io_error("read", log)(source)
        }
        error => error.into(),
    })
}

/// The sealed root key in a backup, for the store the backup says it is of.
fn sealed_in(header: &Header) -> Result<SealedRootKey, HomeError> {
    let sealed = SealedRootKey::from_json(header.seal.to_string().as_bytes())?;
    match sealed.store_id() {
        found if found == header.store_id => Ok(sealed),
        found => Err(SealError::Store { expected: header.store_id, found }.into()),
    }
}

/// The records of the store that is replaced, to be read only.
fn replaced_store(folder: &Path, sealed: &SealedRootKey) -> Result<Box<dyn Snapshot>, HomeError> {
    let home = Home::at(folder)?;
    if home.sealed_root_key()?.store_id() != sealed.store_id() {
        return Err(HomeError::AnotherStore { path: home.path });
    }
    let path = home.path.join(STORE_FILE);
    RedbStore::read_only(&path).map_err(|source| HomeError::Store { path, source })
}

fn cannot_compare(error: coffer_store::StoreError) -> HomeError {
    HomeError::Compare(Box::new(error))
}
