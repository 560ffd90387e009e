//! A file in memory that only this user can read, for an editor: never on a disk, wiped when dropped.
//!
//! I/O: a folder in a file system without a disk. Invariant: the folder is gone when [`Scratch`] is, with all that
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

/// A file in a folder of its own.
pub(crate) struct Scratch {
    folder: PathBuf,
    file: PathBuf,
}

impl Scratch {
    /// A file that holds `contents`, in the first place that is kept in memory.
    pub(crate) fn new(name: &str, contents: &[u8]) -> Result<Self, Stop> {
        let places =
            [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(PathBuf::from("/dev/shm"))];
        let place = places.into_iter().flatten().find(|place| place.is_absolute() && is_in_memory(place));
        let Some(place) = place else {
            return Err(Stop::new(
                FailureKind::Unavailable,
                "there is no folder in memory for the editor's file: neither XDG_RUNTIME_DIR nor /dev/shm is a tmpfs",
            )
            .with_hint("mount a tmpfs of your own and name it in XDG_RUNTIME_DIR, or give the value with `coffer put`"));
        };
        Self::make(&place, name, contents).map_err(|error| {
            Stop::new(FailureKind::Other, format!("cannot make a file in `{}`: {error}", place.display()))
        })
    }

    fn make(place: &Path, name: &str, contents: &[u8]) -> io::Result<Self> {
        let mut random = [0; 8];
        SystemRandom.fill(&mut random);
        let folder = place.join(format!("coffer-edit-{:016x}", u64::from_ne_bytes(random)));
        // Fails if somebody was there first.
        DirBuilder::new().mode(0o700).create(&folder)?;
        let scratch = Self { file: folder.join(name), folder };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&scratch.file)?;
        file.write_all(contents)?;
        Ok(scratch)
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// What it holds now; `None` if that is more than `bytes_max`.
    pub(crate) fn read(&self, bytes_max: u64) -> io::Result<Option<SecretBytes>> {
        terminal::read(File::open(&self.file)?, bytes_max)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be wiped is removed all the same; what can't be removed lies in memory, readable by its owner.
        let _ = wipe_folder(&self.folder);
        let _ = fs::remove_dir_all(&self.folder);
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
        assert_eq!((mode(&scratch.folder), mode(scratch.path())), (0o700, 0o600));
        assert_eq!(scratch.read(7).unwrap().unwrap().expose_secret(), b"hunter2");
        assert!(scratch.read(6).unwrap().is_none());
        // As editors do: a copy beside it, a folder of its own, and another file in place of the first.
        fs::create_dir(scratch.folder.join("undo")).unwrap();
        fs::write(scratch.folder.join("undo/1"), "hunter2").unwrap();
        fs::hard_link(scratch.path(), scratch.folder.join("linked")).unwrap();
        let mut still_open = File::open(scratch.path()).unwrap();
        let folder = scratch.folder.clone();
        drop(scratch);
        assert!(!folder.exists());
        let mut left = Vec::new();
        io::Read::read_to_end(&mut still_open, &mut left).unwrap();
        assert_eq!(left, [0; 7]);
    }

    #[test]
    fn a_disk_is_no_memory() {
        assert!(!is_in_memory(Path::new("/nonexistent")));
        assert!(!is_in_memory(Path::new(env!("CARGO_MANIFEST_DIR"))) || cfg!(not(target_os = "linux")));
    }
}
