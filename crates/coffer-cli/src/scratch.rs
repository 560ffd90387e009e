//! Files in memory that only this user can read, for an editor or a program: never on a disk, wiped when dropped.
//!
//! I/O: a folder in a file system without a disk. Invariant: the folder is gone when [`ScratchFolder`] is, with all that
//! lies in it, whatever an editor has put beside the file. Memory may still be swapped by the kernel.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coffer_crypto::{Random, SystemRandom};
use coffer_types::SecretBytes;
use coffer_wire_local::FailureKind;
use rustix::fs::statfs;

use crate::failure::Stop;
use crate::terminal;

/// What `statfs` calls file systems that are kept in memory (statfs(2)).
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// A folder of this user's alone, in memory.
pub(crate) struct ScratchFolder {
    path: PathBuf,
}

impl ScratchFolder {
    /// An empty one in the first place that is kept in memory; `purpose` is part of its name, `hint` says what to do where
    /// there is no such place.
    pub(crate) fn new(purpose: &str, hint: &str) -> Result<Self, Stop> {
        let places =
            [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(PathBuf::from("/dev/shm"))];
        let place = places.into_iter().flatten().find(|place| place.is_absolute() && is_in_memory(place));
        let Some(place) = place else {
            let what = "there is no folder in memory: neither XDG_RUNTIME_DIR nor /dev/shm is a tmpfs";
            return Err(Stop::new(FailureKind::Unavailable, what)
                .with_hint(format!("mount a tmpfs of your own and name it in XDG_RUNTIME_DIR, or {hint}")));
        };
        Self::make(&place, purpose).map_err(|error| {
            Stop::new(FailureKind::Other, format!("cannot make a folder in `{}`: {error}", place.display()))
        })
    }

    fn make(place: &Path, purpose: &str) -> io::Result<Self> {
        let mut random = [0; 8];
        SystemRandom.fill(&mut random);
        let path = place.join(format!("coffer-{purpose}-{:016x}", u64::from_ne_bytes(random)));
        // Fails if somebody was there first.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file `name` hold `contents`, all at once: who opens it sees the one before or this one.
    pub(crate) fn put(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let (path, new) = (self.path.join(name), self.path.join(format!(".{name}.new")));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let result = file.write_all(contents).and_then(|()| fs::rename(&new, &path));
        if result.is_err() {
            // Else it would be in the way of the next one.
            let _ = file.metadata().and_then(|metadata| wipe_file(&new, metadata.len()));
            let _ = fs::remove_file(&new);
        }
        result
    }

    /// Wipes the file `name` and takes it away, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        match fs::metadata(&path) {
            Ok(metadata) => {
                wipe_file(&path, metadata.len())?;
                fs::remove_file(&path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What can't be wiped is removed all the same; what can't be removed lies in memory, readable by its owner.
        let _ = wipe_folder(&self.path);
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A file in a folder of its own.
pub(crate) struct Scratch {
    folder: ScratchFolder,
    name: String,
}

impl Scratch {
    /// A file that holds `contents`, in the first place that is kept in memory.
    pub(crate) fn new(name: &str, contents: &[u8]) -> Result<Self, Stop> {
        let folder = ScratchFolder::new("edit", "give the value with `coffer put`")?;
        folder.put(name, contents).map_err(|error| {
            let file = folder.path().join(name);
            Stop::new(FailureKind::Other, format!("cannot write `{}`: {error}", file.display()))
        })?;
        Ok(Self { folder, name: name.to_owned() })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// What it holds now; `None` if that is more than `bytes_max`.
    pub(crate) fn read(&self, bytes_max: u64) -> io::Result<Option<SecretBytes>> {
        terminal::read(File::open(self.path())?, bytes_max)
    }
}

/// Overwrites every file below, links not followed.
fn wipe_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let _ = wipe_folder(&path);
        } else if metadata.is_file() {
            let _ = wipe_file(&path, metadata.len());
        }
    }
    Ok(())
}

fn wipe_file(path: &Path, length: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(0))?;
    let zeros = [0; 4096];
    let mut left = length;
    while left > 0 {
        let piece = usize::try_from(left.min(4096)).unwrap_or(4096);
        file.write_all(&zeros[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}

/// Whether what is written there stays in memory, and the folder lets nobody take away another user's files.
fn is_in_memory(place: &Path) -> bool {
    let Ok(found) = statfs(place) else { return false };
    // The kernel's magic numbers have 32 bits, whatever the type that this platform has for them.
    let kind = found.f_type as u64 & 0xffff_ffff;
    let Ok(metadata) = fs::metadata(place) else { return false };
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    let is_sticky = metadata.mode() & 0o1000 != 0;
    [TMPFS, RAMFS].contains(&kind) && (is_ours || is_sticky)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_it() {
        let Ok(scratch) = Scratch::new("value.json", b"hunter2") else { return };
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(scratch.folder.path()), mode(&scratch.path())), (0o700, 0o600));
        assert_eq!(scratch.read(7).unwrap().unwrap().expose_secret(), b"hunter2");
        assert!(scratch.read(6).unwrap().is_none());
        // As editors do: a copy beside it, a folder of its own, and another file in place of the first.
        fs::create_dir(scratch.folder.path().join("undo")).unwrap();
        fs::write(scratch.folder.path().join("undo/1"), "hunter2").unwrap();
        fs::hard_link(scratch.path(), scratch.folder.path().join("linked")).unwrap();
        let mut still_open = File::open(scratch.path()).unwrap();
        let folder = scratch.folder.path().to_owned();
        drop(scratch);
        assert!(!folder.exists());
        let mut left = Vec::new();
        io::Read::read_to_end(&mut still_open, &mut left).unwrap();
        assert_eq!(left, [0; 7]);
    }

    #[test]
    fn a_file_that_could_not_be_put_is_not_in_the_way_of_the_next() {
        let Ok(folder) = ScratchFolder::new("test", "nothing") else { return };
        let path = folder.path().join("KEY");
        fs::create_dir(&path).unwrap();
        assert!(folder.put("KEY", b"hunter2").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::remove_dir(&path).unwrap();
        folder.put("KEY", b"hunter3").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"hunter3");
    }

    #[test]
    fn a_disk_is_no_memory() {
        assert!(!is_in_memory(Path::new("/nonexistent")));
        assert!(!is_in_memory(Path::new(env!("CARGO_MANIFEST_DIR"))) || cfg!(not(target_os = "linux")));
    }
}
