//! A store's folder, and what of it lies elsewhere: the only place that knows the layout.
//!
//! ```text
//! .coffer/                      0700   the home, made whole or not at all
//!   .gitignore                         *
//!   seal.json                          the sealed root key; a folder with it is a store
//!   store.redb                         the records
//!   audit/                             the log
//!   changed                            empty; its time moves when a secret has changed
//!   lock                               held by whoever has the store open: its pid and command
//!   coffer.sock                        of a running server
//!   tls/ca.pem                         the certificate of the store's own authority, for clients
//! <data directory>/             0700   $COFFER_DATA_DIR, $XDG_DATA_HOME/coffer or ~/.local/share/coffer
//!   keys/<store id>             0600   what the root key is sealed with
//!   credentials/<store id>.json 0600   the first access key, for `coffer env`
//!   tls/<store id>.json         0600   the store's own certificate authority, with its key
//! ```
//!
//! I/O: these files. Invariants: a process that dies at any moment leaves a whole store or none; nothing that
//! opens a store is kept beside it; only the holder of the lock touches records and log.

mod authority;
mod backup;
mod beacon;
mod credentials;
mod files;
mod init;
mod lock;
mod open;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use coffer_audit::LogOpenError;
use coffer_core::StartError;
use coffer_core::backup::{BackupError, RestoreError};
use coffer_crypto::{SealError, SealedRootKey, StoreId};
use coffer_wire_local::{Failure, FailureKind};

pub use backup::{CheckedBackup, RestoreOptions, Restored, check_backup};
pub use credentials::Credentials;
pub use init::{InitOptions, Initialised, SealChoice};
pub use lock::{HeldLock, Holder, WayIn};
pub use open::{OpenOptions, Opened};

use crate::TlsError;

const GITIGNORE_FILE: &str = ".gitignore";
const SEAL_FILE: &str = "seal.json";
const STORE_FILE: &str = "store.redb";
const AUDIT_FOLDER: &str = "audit";
const LOCK_FILE: &str = "lock";
const CHANGED_FILE: &str = "changed";
const SOCKET_FILE: &str = "coffer.sock";

/// The kind of seal that keeps its key in a file.
const KEY_FILE_KIND: &str = "key-file";

/// A store's folder, there or yet to be made.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

/// What can be told of a store without opening it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The store's id.
    pub store_id: StoreId,
    /// How the root key is sealed.
    pub seal: String,
    /// What it is sealed with, if that is a file.
    pub key_file: Option<PathBuf>,
    /// What its owner should put right, in people's words.
    pub warnings: Vec<String>,
}

/// Why a home could not be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is no store.
    #[error("there is no store in `{}`", path.display())]
    NotThere {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is a store already.
    #[error("there is a store in `{}` already", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("`{}` is there and is no store", path.display())]
    Occupied {
        /// What.
        path: PathBuf,
    },
    /// Neither of the variables that say where is set.
    #[error("cannot tell where your data directory is: HOME is not set")]
    NoDataDirectory,
    /// Somebody has the store open, and is no server that could be asked.
    #[error("the store in `{}` is in use by {holder}", path.display())]
    Locked {
        /// Which store.
        path: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// A server has the store open, and did not let this process in.
    #[error("the server of this store refused the connection")]
    Server(#[source] coffer_wire_local::ConnectError),
    /// The root key could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A seal of a kind that this coffer has not.
    #[error("the root key is sealed by `{kind}`, which this coffer does not know")]
    UnknownSeal {
        /// Which.
        kind: String,
    },
    /// The passphrase was not given.
    #[error("cannot read the passphrase")]
    Passphrase(#[source] io::Error),
    /// The file of records could not be opened.
    #[error("cannot open `{}`", path.display())]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: coffer_store_redb::OpenError,
    },
    /// The log is gone.
    #[error("the audit log is missing: there is no folder `{}`", path.display())]
    AuditMissing {
        /// Which folder.
        path: PathBuf,
    },
    /// The log is not what was written.
    #[error(transparent)]
    AuditNotWhole(#[from] coffer_audit::VerifyError),
    /// Records and log were opened, and core could not begin with them.
    #[error("cannot open the store in `{}`", path.display())]
    Start {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StartError,
    },
    /// A store did not close well.
    #[error("the store did not close well")]
    Close(#[source] coffer_core::Error),
    /// A backup is not whole, or none.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A backup could not be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The store to compare a backup with is another one.
    #[error("the store in `{}` is another one than the backup's", path.display())]
    AnotherStore {
        /// Where.
        path: PathBuf,
    },
    /// A backup could not be compared with the store it replaces.
    #[error("the backup could not be compared with the store it replaces")]
    Compare(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The credentials file is not what was written.
    #[error("cannot read the credentials in `{}`", path.display())]
    Credentials {
        /// Which file.
        path: PathBuf,
        /// Why not. Says where in the file, and nothing of what stands there.
        #[source]
        source: coffer_wire_local::JsonFault,
    },
    /// The store's own certificate authority cannot be used.
    #[error("cannot use the certificate authority in `{}`", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<TlsError>,
    },
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Where this user's keys and credentials lie: `$COFFER_DATA_DIR`, else `$XDG_DATA_HOME/coffer`, else
/// `~/.local/share/coffer`.
pub fn data_dir() -> Result<PathBuf, HomeError> {
    let path = data_dir_from(|name| std::env::var_os(name).map(PathBuf::from))?;
    std::path::absolute(&path).map_err(io_error("find", &path))
}

fn data_dir_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, HomeError> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    // The XDG specification has relative paths ignored.
    let xdg = || set("XDG_DATA_HOME").filter(|path| path.is_absolute()).map(|path| path.join("coffer"));
    set("COFFER_DATA_DIR")
        .or_else(xdg)
        .or_else(|| set("HOME").map(|home| home.join(".local/share/coffer")))
        .ok_or(HomeError::NoDataDirectory)
}

fn key_file(data_dir: &Path, store_id: StoreId) -> PathBuf {
    data_dir.join("keys").join(store_id.to_string())
}

impl Home {
    /// The home at a path, which is made absolute, so that a later change of directory changes nothing.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, HomeError> {
        let path = path.as_ref();
        let absolute = std::path::absolute(path).map_err(io_error("find", path))?;
        Ok(Self { path: absolute })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a store is there.
    pub fn exists(&self) -> bool {
        self.seal_path().exists()
    }

    /// Where a running server listens.
    pub fn socket_path(&self) -> PathBuf {
        self.path.join(SOCKET_FILE)
    }

    fn seal_path(&self) -> PathBuf {
        self.path.join(SEAL_FILE)
    }

    fn sealed_root_key(&self) -> Result<SealedRootKey, HomeError> {
        let path = self.seal_path();
        let json = std::fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => HomeError::NotThere { path: self.path.clone() },
            _ => HomeError::Io { action: "read", path: path.clone(), source },
        })?;
        Ok(SealedRootKey::from_json(&json)?)
    }

    /// What can be told without opening it.
    pub fn facts(&self, data_dir: &Path) -> Result<Facts, HomeError> {
        let sealed = self.sealed_root_key()?;
        let store_id = sealed.store_id();
        let key_file = (sealed.kind() == KEY_FILE_KIND).then(|| key_file(data_dir, store_id));
        let beside = key_file.as_ref().and_then(|_| self.warn_of_key_beside_store(data_dir));
        let warnings = beside.into_iter().chain(self.warn_of_mode()).collect();
        Ok(Facts { store_id, seal: sealed.kind().to_owned(), key_file, warnings })
    }

    fn warn_of_mode(&self) -> Option<String> {
        let mode = std::fs::metadata(&self.path).ok()?.permissions().mode() & 0o777;
        let path = self.path.display();
        (mode & 0o077 != 0)
            .then(|| format!("others may look into `{path}`, whose mode is {mode:04o}: chmod 700 it"))
    }

    /// Whoever copies a folder with both in it has copied the secrets.
    fn warn_of_key_beside_store(&self, data_dir: &Path) -> Option<String> {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (home, data_dir) = (real(&self.path), real(data_dir));
        let together = data_dir.starts_with(&home)
            || home.starts_with(&data_dir)
            || home.parent().is_some_and(|parent| parent == data_dir || data_dir.parent() == Some(parent));
        together.then(|| {
            format!(
                "the root key's file is kept beside the store, in `{}`: whoever copies one copies both; set COFFER_DATA_DIR to another place and move `keys` there",
                data_dir.display()
            )
        })
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError::Io { action, path, source }
}

/// An error as people should read it, with its causes and the next command.
impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let (kind, hint) = match &error {
            HomeError::NotThere { .. } => {
                (FailureKind::NotFound, Some("make one with `coffer init`, or name another with --home"))
            }
            HomeError::Exists { .. } => (FailureKind::Conflict, Some("see what it holds with `coffer list`")),
            HomeError::Occupied { .. } => (FailureKind::Conflict, Some("name another folder with --home")),
            HomeError::NoDataDirectory => {
                (FailureKind::Other, Some("set COFFER_DATA_DIR to a folder of your own"))
            }
            HomeError::Locked { .. } => (FailureKind::Unavailable, Some("try again when it has ended")),
            HomeError::Server(coffer_wire_local::ConnectError::Refused(failure)) => return failure.clone(),
            HomeError::Server(_) => (
                FailureKind::Unavailable,
                Some("start the server again with the same coffer as this command"),
            ),
            HomeError::Seal(error) => seal_failure(error),
            HomeError::UnknownSeal { .. } => (FailureKind::Other, Some("use a newer coffer")),
            HomeError::Passphrase(source) => {
                // Whoever was asked for it may have said more than an error of I/O does.
                if let Some(failure) = source.get_ref().and_then(|cause| cause.downcast_ref::<Self>()) {
                    return failure.clone();
                }
                (FailureKind::Refused, Some("name a file that holds it in COFFER_PASSPHRASE_FILE"))
            }
            HomeError::AuditMissing { .. } => (FailureKind::Verification, Some(AUDIT_LOSS_HINT)),
            HomeError::AuditNotWhole(error) => match error {
                coffer_audit::VerifyError::Unreadable(_) => (FailureKind::Unavailable, None),
                _ => (FailureKind::Verification, Some(AUDIT_EVIDENCE_HINT)),
            },
            HomeError::Start { source, .. } => start_failure(source),
            HomeError::Store { source: coffer_store_redb::OpenError::NeedsRepair, .. } => {
                (FailureKind::Unavailable, Some("open it once, which repairs it: `coffer status --home DIR`"))
            }
            HomeError::Store { .. } | HomeError::Close(_) | HomeError::Compare(_) => {
                (FailureKind::Unavailable, None)
            }
            HomeError::Backup(error) | HomeError::Restore(RestoreError::Backup(error)) => {
                backup_failure(error)
            }
            HomeError::Restore(_) => (FailureKind::Unavailable, None),
            HomeError::AnotherStore { .. } => (FailureKind::Refused, None),
            HomeError::Credentials { .. } => (FailureKind::Other, None),
            HomeError::Authority { source, .. } if matches!(**source, TlsError::KeptMode { .. }) => (
                FailureKind::Denied,
                Some(
                    "if nobody else has read it: chmod 600 the file; otherwise move it aside to have a new one made, and give clients its certificate",
                ),
            ),
            HomeError::Authority { .. } => (
                FailureKind::Other,
                Some(
                    "move the file aside to have a new one made; clients have to be given its certificate then",
                ),
            ),
            HomeError::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => (
                    FailureKind::Denied,
                    Some("the folder belongs to another user, or can't be written; name another with --home"),
                ),
                _ => (FailureKind::Other, None),
            },
        };
        Self { kind, message: with_causes(&error), hint: hint.map(str::to_owned) }
    }
}

/// What to do about a log that has lost records.
const AUDIT_LOSS_HINT: &str = "see what is missing with `coffer audit verify`; to go on without it, start the server once with --accept-audit-loss, which is recorded";
/// What to do about a log that can't be continued.
const AUDIT_DAMAGE_HINT: &str = "see where with `coffer audit verify`; to go on with a new log, move the folder `audit` aside and start the server once with --accept-audit-loss, which is recorded";
/// What to do with a log that is not whole.
pub(crate) const AUDIT_EVIDENCE_HINT: &str =
    "keep a copy of the log as it is; then compare it with your backups";

/// What to do about a key that does not open its store.
const WRONG_KEY_HINT: &str = "put this store's own key back, or name the folder that has it in COFFER_DATA_DIR; if the key is the right one, the store was changed: restore a backup with `coffer restore-backup`";

fn start_failure(error: &StartError) -> (FailureKind, Option<&'static str>) {
    match error {
        StartError::AuditShortened { .. } => (FailureKind::Verification, Some(AUDIT_LOSS_HINT)),
        StartError::AuditLog(cause) => match cause.downcast_ref::<LogOpenError>() {
            Some(
                LogOpenError::Shortened { .. }
                | LogOpenError::CheckpointMismatch { .. }
                | LogOpenError::CheckpointInvalid,
            ) => (FailureKind::Verification, Some(AUDIT_LOSS_HINT)),
            Some(
                LogOpenError::Corrupt { .. } | LogOpenError::Missing { .. } | LogOpenError::Digest { .. },
            ) => (FailureKind::Verification, Some(AUDIT_DAMAGE_HINT)),
            Some(LogOpenError::Io(_)) | None => (FailureKind::Unavailable, None),
        },
        StartError::WrongRootKey(_) => (FailureKind::Verification, Some(WRONG_KEY_HINT)),
        StartError::AlreadyFounded
        | StartError::Empty
        | StartError::Store(_)
        | StartError::Record(_)
        | StartError::Commit(_)
        | StartError::AuditWrite(_) => (FailureKind::Unavailable, None),
    }
}

fn backup_failure(error: &BackupError) -> (FailureKind, Option<&'static str>) {
    match error {
        BackupError::NewerFormat { .. } | BackupError::Read(_) => (FailureKind::Other, None),
        BackupError::NotABackup => (FailureKind::Verification, None),
        BackupError::CutShort { .. } | BackupError::Damaged { .. } | BackupError::NotAuthentic(_) => {
            (FailureKind::Verification, Some("take another copy of it, or an earlier backup"))
        }
    }
}

fn seal_failure(error: &SealError) -> (FailureKind, Option<&'static str>) {
    match error {
        SealError::Format(_) => (FailureKind::Other, Some("use the coffer that made it, or a newer one")),
        SealError::Malformed(_) | SealError::Parameters(_) | SealError::Store { .. } => {
            (FailureKind::Verification, Some("put back the store's own `seal.json`, or restore a backup"))
        }
        SealError::NotAKeyFile { .. } => (FailureKind::Verification, Some(WRONG_KEY_HINT)),
        SealError::Kind { .. } => (FailureKind::Other, None),
        SealError::EmptyPassphrase => (FailureKind::Refused, None),
        SealError::WrongPassphrase => (FailureKind::Denied, None),
        SealError::WrongKeyFile { .. } => (FailureKind::Denied, Some(WRONG_KEY_HINT)),
        SealError::Derive => (FailureKind::Unavailable, None),
        SealError::KeyFileExists { .. } => (FailureKind::Conflict, None),
        SealError::KeyFileMissing { .. } => (
            FailureKind::NotFound,
            Some(
                "put your copy of it back there, or name the folder that has it in COFFER_DATA_DIR: without it nothing opens this store",
            ),
        ),
        SealError::KeyFileMode { .. } => (
            FailureKind::Denied,
            Some("if nobody else has read it: chmod 600 the file; otherwise make a new store"),
        ),
        SealError::KeyFileOwner { .. } => (FailureKind::Denied, None),
        SealError::Io { .. } => (FailureKind::Other, None),
    }
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // A transparent error says the same as its cause.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_data_directory_is() {
        type Variables = &'static [(&'static str, &'static str)];
        let cases: &[(Variables, Option<&str>)] = &[
            (&[("COFFER_DATA_DIR", "/d"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")], Some("/d")),
            (&[("COFFER_DATA_DIR", ""), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")], Some("/x/coffer")),
            (&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")], Some("/h/.local/share/coffer")),
            (&[("HOME", "/h")], Some("/h/.local/share/coffer")),
            (&[("HOME", "")], None),
            (&[], None),
        ];
        for (variables, expected) in cases {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
            };
            assert_eq!(data_dir_from(variable).ok().as_deref(), expected.map(Path::new), "{variables:?}");
        }
    }

    #[test]
    fn a_key_beside_its_store_is_warned_of() {
        for (home, data_dir, warned) in [
            ("/p/.coffer", "/home/u/.local/share/coffer", false),
            ("/home/u/.coffer", "/home/u/.local/share/coffer", false),
            ("/p/.coffer", "/p", true),
            ("/p/.coffer", "/p/data", true),
            ("/p/.coffer", "/p/.coffer/data", true),
            ("/data/store", "/data", true),
        ] {
            let home = Home::at(home).unwrap();
            assert_eq!(
                home.warn_of_key_beside_store(Path::new(data_dir)).is_some(),
                warned,
                "{home:?} {data_dir}"
            );
        }
    }
}
