//! Files: `file:///run/secrets/NAME`, whose content is the value.
//!
//! I/O: reads one file. One line break at its end is none of the value: editors and `echo` put it there.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use crate::error::{ErrorKind, FetchError};
use crate::provider::{Fetched, Provider};
use crate::providers::DOCUMENT_BYTES_MAX;
use crate::reference::{Reference, Scheme};

/// Files.
pub struct File {
    folder: PathBuf,
}

impl File {
    /// Relative paths begin at `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl Provider for File {
    fn scheme(&self) -> Scheme {
        Scheme::File
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        read(&self.folder.join(document.path()), Scheme::File)
    }
}

/// The content of a file, for the provider that was asked.
pub(crate) fn read(path: &Path, provider: Scheme) -> Result<Fetched, FetchError> {
    let shown = path.display();
    let mut bytes = read_bytes(path).map_err(|error| failed(error, path, provider))?;
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        let what = format!("`{shown}` has more than {DOCUMENT_BYTES_MAX} bytes");
        return Err(FetchError::new(ErrorKind::Malformed, provider, what, "name the file of one secret"));
    }
    without_line_break(&mut bytes);
    Ok(Fetched::new(bytes.into()))
}

/// Everything in the file, or a byte more than is allowed.
fn read_bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let length = file.metadata()?.len().min(DOCUMENT_BYTES_MAX);
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 2));
    file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes one line break off the end.
pub(crate) fn without_line_break(bytes: &mut Vec<u8>) {
    for end in [b"\n", b"\r"] {
        if bytes.ends_with(end) {
            bytes.pop();
        } else {
            break;
        }
    }
    bytes.spare_capacity_mut().zeroize();
}

/// The table of what can go wrong with a file.
pub(crate) fn failed(error: io::Error, path: &Path, provider: Scheme) -> FetchError {
    let shown = path.display();
    let (kind, what, action) = match error.kind() {
        // A part of the path that is a file and no folder can hold nothing, either.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (ErrorKind::NotFound, format!("there is no `{shown}`"), format!("make `{shown}`"))
        }
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Denied,
            format!("`{shown}` can't be read by this user"),
            format!("let this user read `{shown}`"),
        ),
        io::ErrorKind::IsADirectory => (
            ErrorKind::Misconfigured,
            format!("`{shown}` is a folder"),
            "name a file, or write files:FOLDER in the chain".to_owned(),
        ),
        _ => (
            ErrorKind::Unavailable,
            format!("`{shown}` can't be read"),
            format!("see whether `{shown}` can be read"),
        ),
    };
    FetchError::new(kind, provider, what, action).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_is_none_of_the_value() {
        for (bytes, expected) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), ("\n", ""), ("", "")]
        {
            let mut bytes = bytes.as_bytes().to_vec();
            without_line_break(&mut bytes);
            assert_eq!(bytes, expected.as_bytes());
        }
    }
}
