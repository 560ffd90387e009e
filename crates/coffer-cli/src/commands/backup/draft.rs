//! The file a backup is written to: under another name until it is whole and on disk.
//!
//! I/O: one folder. Invariants: a process that dies leaves nothing under the backup's name, and what it leaves is removed
//! by the next backup to that name; a file that is there is not written over unless that is asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use crate::failure::Stop;
use coffer_wire_local::FailureKind;

/// A backup's file, not yet under its name.
pub(super) struct Draft {
    file: File,
    path: PathBuf,
    place: PathBuf,
    force: bool,
    is_published: bool,
}

impl Draft {
    /// A new file (0600) beside its place. A conflict if something has the place and `force` is not set.
    pub(super) fn make(place: &Path, force: bool) -> Result<Self, Stop> {
        let place = std::path::absolute(place).map_err(|error| cannot("find", place, &error))?;
        if place.is_dir() || place.file_name().is_none() {
            return Err(Stop::new(FailureKind::Conflict, format!("`{}` is a folder", place.display()))
                .with_hint("name a file in it"));
        }
        if !force && place.symlink_metadata().is_ok() {
            return Err(exists(&place));
        }
        let prefix = prefix_of(&place);
        remove_left(&place, &prefix);
        let path = place.with_file_name(format!("{prefix}{}", std::process::id()));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(|error| cannot("make", &path, &error))?;
        // Held while this process lives, so that nobody takes the draft for one that was left.
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            drop(std::fs::remove_file(&path));
            return Err(cannot("lock", &path, &error.into()));
        }
        Ok(Self { file, path, place, force, is_published: false })
    }

    /// Writes the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Gives it its name, once it is on disk.
    pub(super) fn publish(mut self) -> Result<PathBuf, Stop> {
        self.file.sync_all().map_err(|error| cannot("write", &self.path, &error))?;
        self.rename().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.place),
            _ => cannot("rename to", &self.place, &error),
        })?;
        self.is_published = true;
        let folder = self.place.parent().unwrap_or(Path::new("/"));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| cannot("sync folder", folder, &error))?;
        Ok(self.place.clone())
    }

    fn rename(&self) -> io::Result<()> {
        if self.force {
            return std::fs::rename(&self.path, &self.place);
        }
        match renameat_with(CWD, &self.path, CWD, &self.place, RenameFlags::NOREPLACE) {
            // A file system that can't promise it, such as that of a memory stick.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if self.place.symlink_metadata().is_err() => {
                std::fs::rename(&self.path, &self.place)
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(io::ErrorKind::AlreadyExists.into()),
            renamed => Ok(renamed?),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_published {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn prefix_of(place: &Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    format!("{}{name}.part-", if name.starts_with('.') { "" } else { "." })
}

/// Removes drafts whose makers died. Best effort: what is left over does no harm.
fn remove_left(place: &Path, prefix: &str) {
    let Some(entries) = place.parent().and_then(|folder| std::fs::read_dir(folder).ok()) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_draft = path.file_name().is_some_and(|name| {
            name.to_str()
                .and_then(|name| name.strip_prefix(prefix))
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        });
        if is_draft && is_left(&path) {
            drop(std::fs::remove_file(&path));
        }
    }
}

fn is_left(draft: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(draft) else { return false };
    let is_mine = file
        .metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw());
    is_mine && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn exists(place: &Path) -> Stop {
    Stop::new(FailureKind::Conflict, format!("`{}` is there already", place.display()))
        .with_hint("name another file, or write over it with --force")
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> Stop {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => FailureKind::Denied,
        io::ErrorKind::NotFound => FailureKind::NotFound,
        _ => FailureKind::Other,
    };
    Stop::new(kind, format!("cannot {action} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("backup");
        let mut draft = Draft::make(&place, false).unwrap();
        draft.write(b"whole").unwrap();
        assert!(!place.exists());
        draft.publish().unwrap();
        assert_eq!(names(folder.path()), ["backup"]);
        assert_eq!(std::fs::read(&place).unwrap(), b"whole");
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);

        assert_eq!(Draft::make(&place, false).err().unwrap().exit_code(), 5);
        let mut draft = Draft::make(&place, true).unwrap();
        draft.write(b"given up").unwrap();
        drop(draft);
        assert_eq!(
            (names(folder.path()), std::fs::read(&place).unwrap()),
            (vec!["backup".into()], b"whole".into())
        );
        let mut draft = Draft::make(&place, true).unwrap();
        draft.write(b"newer").unwrap();
        draft.publish().unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"newer");
    }

    #[test]
    fn what_came_there_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("backup");
        let draft = Draft::make(&place, false).unwrap();
        std::fs::write(&place, "another's").unwrap();
        assert_eq!(draft.publish().err().unwrap().exit_code(), 5);
        assert_eq!(std::fs::read(&place).unwrap(), b"another's");
        assert_eq!(names(folder.path()), ["backup"]);
    }

    #[test]
    fn only_what_the_dead_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("backup");
        let alive = Draft::make(&place, false).unwrap();
        for name in [".backup.part-1", ".backup.part-x", ".backup.part-", ".other.part-1"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        remove_left(&place, &prefix_of(&place));
        let mine = alive.path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected =
            vec![".backup.part-".to_owned(), mine, ".backup.part-x".into(), ".other.part-1".into()];
        expected.sort();
        assert_eq!(names(folder.path()), expected);
    }
}
