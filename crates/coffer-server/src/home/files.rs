//! Files that are there whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::{HomeError, io_error};

/// Makes a folder that only its owner may look into. Fails if there is one.
pub(super) fn make_private_folder(path: &Path) -> Result<(), HomeError> {
    DirBuilder::new().mode(0o700).create(path).map_err(io_error("make folder", path))
}

/// Makes a folder that only its owner may look into, with those missing above it, unless it is there. Its name is
/// durable when this answers: what is written into it later is lost with it otherwise.
pub(super) fn make_private_folders(path: &Path) -> Result<(), HomeError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_private_folders(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Somebody else made it in the meantime, and may not have synced it yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(io_error("make folder", path))?,
    }
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_folder)
}

/// Writes a file (0600) so that a reader, or whoever comes after a power cut, finds the old content or the new.
pub(super) fn write_private_file(path: &Path, content: &[u8]) -> Result<(), HomeError> {
    let write = || -> io::Result<()> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let draft = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
        // What a process of the same number left when it died.
        if let Err(error) = std::fs::remove_file(&draft)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        sync_folder_io(folder)
    };
    write().map_err(io_error("write", path))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), HomeError> {
    sync_folder_io(path).map_err(io_error("sync folder", path))
}

fn sync_folder_io(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
