//! The file layer below the log: one directory, a handful of operations.
//!
//! A seam with two implementations: [`RealDisk`], and [`crate::fault::VolatileDisk`], which loses what was not
//! synced. [`RealDisk`] is the only thing in this crate that does I/O.
//!
//! Invariant: names are plain file names inside the one directory, never paths.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a large file is read or written at once.
pub(crate) const PIECE: usize = 64 * 1024;

/// One directory of files.
pub trait Disk: Send + Sync + 'static {
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;

    /// Opens an existing file for reading only.
    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;

    /// Makes a file, or empties one that is there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;

    /// Renames a file, over another one if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Brings creations, renames and removals to disk.
    fn sync_directory(&self) -> io::Result<()>;

    /// Bytes that may still be written.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file. Positions are the caller's business; there is no cursor.
pub trait LogFile: Send + Sync + 'static {
    /// Reads at an offset; fewer bytes than asked for near the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Where the first byte at or after an offset may lie that is not zero; `None` if only zeros follow. Files that can't
    /// tell answer with the offset.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok(Some(offset))
    }

    /// Writes at an offset, possibly fewer bytes than given.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Makes the file at least this long, with space on the disk for all of it. New bytes read as zero.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// Cuts the file to this length.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Brings the file's bytes to disk, and as much of its metadata as reading them back takes.
    fn sync_data(&self) -> io::Result<()>;

    /// Brings the file's bytes and all its metadata to disk.
    fn sync_all(&self) -> io::Result<()>;

    /// How long the file is.
    fn length(&self) -> io::Result<u64>;
}

/// Writes all of `bytes`, in as many writes as it takes.
pub(crate) fn write_all_at(file: &dyn LogFile, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads from `offset` up to `length` bytes; fewer only at the file's end.
pub(crate) fn read_up_to(file: &dyn LogFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(offset + filled as u64, rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Makes a small file whole or not at all: written beside, synced, renamed, and the directory synced.
pub(crate) fn write_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    let file = disk.create(&temporary)?;
    write_all_at(&*file, 0, bytes)?;
    file.sync_all()?;
    disk.rename(&temporary, name)?;
    disk.sync_directory()
}

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    directory: File,
}

impl RealDisk {
    /// Opens a directory; makes it (0700) if it is missing and its parent is there.
    pub fn open_directory(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                // The new name must survive a power cut, or all that is synced inside it is lost with it.
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Self::open_existing(path)
    }

    /// Opens a directory that is there, and never makes one: for those who only read.
    pub fn open_existing(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let directory = File::open(&path)?;
        Ok(Self { path, directory })
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(self.path.join(name))?))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(File::open(self.path.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Arc::new(options.open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not text is none of the log's.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let status = rustix::fs::fstatvfs(&self.directory)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

impl LogFile for File {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, out, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        // Space that was allocated and never written counts as a hole. This moves the cursor, which nobody uses.
        match rustix::fs::seek(self, rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => Ok(Some(data.max(offset))),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(Some(offset)),
            Err(error) => Err(error.into()),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // Some file systems cannot allocate; the zeros are written out there.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                let zeros = vec![0; PIECE];
                let mut offset = File::metadata(self)?.len();
                while offset < length {
                    let take =
                        usize::try_from(length - offset).map_or(zeros.len(), |left| left.min(zeros.len()));
                    self.write_all_at(zeros.get(..take).unwrap_or_default(), offset)?;
                    offset += take as u64;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        File::sync_all(self)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
