//! Making and opening the file: its mode, its lock, its format number.
//!
//! Does I/O. Invariant: a database that leaves this module has both tables and a format that this coffer knows.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, StorageBackend, TableDefinition, TableError,
};

use crate::RedbOptions;

pub(crate) const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(crate) const META_FORMAT: &str = "format";
pub(crate) const META_REVISION: &str = "revision";

/// The format that this coffer writes, and the newest it reads.
const FORMAT: u64 = 1;

/// Why a store could not be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file.
    #[error("there is no store at `{}`", .0.display())]
    NotFound(PathBuf),
    /// Something has that name already.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// Another process has it open, or this one has.
    #[error("the store is in use by another process")]
    Locked,
    /// A newer coffer wrote it.
    #[error("the store has format {found}, and this coffer knows formats up to {known}: use a newer coffer")]
    NewerFormat {
        /// The format of the file.
        found: u64,
        /// The newest this coffer knows.
        known: u64,
    },
    /// The file is none of ours, or is damaged beyond what a crash can do.
    #[error("the file is not a store, or is damaged")]
    NotAStore,
    /// It was not closed in order, and who only reads may not repair it.
    #[error("the store was not closed in order, and must be repaired before it can be only read")]
    NeedsRepair,
    /// The file could not be read or written.
    #[error("the store's file cannot be opened")]
    Io(#[source] io::Error),
    /// redb could not open it.
    #[error("the store's file cannot be opened")]
    Backend(#[source] redb::Error),
}

impl OpenError {
    pub(crate) fn from_redb(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Self::Locked,
            DatabaseError::RepairAborted => Self::NeedsRepair,
            DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == io::ErrorKind::InvalidData =>
            {
                Self::NotAStore
            }
            DatabaseError::Storage(redb::StorageError::Io(error)) => Self::Io(error),
            DatabaseError::Storage(redb::StorageError::Corrupted(_)) => Self::NotAStore,
            error => Self::Backend(error.into()),
        }
    }
}

/// A new file that does not have its name yet, so that a crash leaves no half-made store.
pub(crate) struct Draft(PathBuf);

impl Draft {
    pub(crate) fn make(path: &Path) -> Result<Self, OpenError> {
        if path.try_exists().map_err(OpenError::Io)? {
            return Err(OpenError::Exists(path.to_owned()));
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        Ok(Self(draft.into()))
    }

    /// The draft's file; what a crash left of an earlier one is used again.
    pub(crate) fn backend(&self) -> Result<FileBackend, OpenError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&self.0).map_err(OpenError::Io)?;
        // The mode above is for a file that is made; this one may have been there.
        file.set_permissions(Permissions::from_mode(0o600)).map_err(OpenError::Io)?;
        FileBackend::new(file).map_err(OpenError::from_redb)
    }

    /// Takes away what a power cut left half made. A draft that is being made is locked, and never comes here.
    pub(crate) fn discard(&self) -> Result<(), OpenError> {
        std::fs::remove_file(&self.0).map_err(OpenError::Io)
    }

    /// Gives it its name. The draft is open, so its lock keeps out everyone who would do the same.
    pub(crate) fn publish(self, path: &Path) -> Result<(), OpenError> {
        if path.try_exists().map_err(OpenError::Io)? {
            drop(std::fs::remove_file(&self.0));
            return Err(OpenError::Exists(path.to_owned()));
        }
        std::fs::rename(&self.0, path).map_err(OpenError::Io)?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(OpenError::Io)
    }
}

pub(crate) fn open_existing(path: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound(path.to_owned()),
        _ => OpenError::Io(error),
    })?;
    // redb would make a new database in an empty file; a store that became empty is not a new store.
    if file.metadata().map_err(OpenError::Io)?.len() == 0 { Err(OpenError::NotAStore) } else { Ok(file) }
}

/// Opens or makes the database, repairs it if need be, and checks its format.
pub(crate) fn open_database(
    backend: impl StorageBackend,
    options: &RedbOptions,
) -> Result<Database, OpenError> {
    let open = || redb::Builder::new().set_cache_size(options.cache_bytes).create_with_backend(backend);
    // redb may panic on a file that something else has altered.
    let database = catch_unwind(AssertUnwindSafe(open))
        .map_err(|_panic| OpenError::NotAStore)?
        .map_err(OpenError::from_redb)?;
    match read_format(&database).map_err(OpenError::Backend)? {
        Format::Known => {}
        Format::Other(found) if found > FORMAT => {
            return Err(OpenError::NewerFormat { found, known: FORMAT });
        }
        Format::Other(_) | Format::Foreign => return Err(OpenError::NotAStore),
        Format::Empty => make_tables(&database, options.quick_repair).map_err(OpenError::Backend)?,
    }
    Ok(database)
}

/// Opens a database that is there, to read it only.
pub(crate) fn open_read_only(path: &Path) -> Result<ReadOnlyDatabase, OpenError> {
    if !path.try_exists().map_err(OpenError::Io)? {
        return Err(OpenError::NotFound(path.to_owned()));
    }
    let open = || ReadOnlyDatabase::open(path);
    let database = catch_unwind(AssertUnwindSafe(open))
        .map_err(|_panic| OpenError::NotAStore)?
        .map_err(OpenError::from_redb)?;
    match read_format(&database).map_err(OpenError::Backend)? {
        Format::Known => Ok(database),
        Format::Other(found) if found > FORMAT => Err(OpenError::NewerFormat { found, known: FORMAT }),
        Format::Other(_) | Format::Foreign | Format::Empty => Err(OpenError::NotAStore),
    }
}

enum Format {
    Known,
    Other(u64),
    /// A redb database without tables.
    Empty,
    /// A redb database of somebody else.
    Foreign,
}

fn read_format(database: &impl ReadableDatabase) -> Result<Format, redb::Error> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            let empty = transaction.list_tables()?.next().is_none();
            return Ok(if empty { Format::Empty } else { Format::Foreign });
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(Format::Foreign),
    };
    Ok(match meta.get(META_FORMAT)?.map(|format| format.value()) {
        Some(FORMAT) => Format::Known,
        Some(found) => Format::Other(found),
        None => Format::Foreign,
    })
}

fn make_tables(database: &Database, quick_repair: bool) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(quick_repair);
    transaction.open_table(RECORDS)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_FORMAT, FORMAT)?;
        meta.insert(META_REVISION, 0)?;
    }
    Ok(transaction.commit()?)
}
