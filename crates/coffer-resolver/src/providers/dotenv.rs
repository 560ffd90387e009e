//! `.env` files: `dotenv:.env#KEY`. The file as a document is a JSON object of its keys.
//!
//! I/O: reads one file. `docs/dotenv.md` says how it is read.

use std::path::PathBuf;

use crate::env_file::{self, EnvFileError};
use crate::error::{ErrorKind, FetchError};
use crate::provider::{Fetched, Provider};
use crate::providers::file;
use crate::reference::{Reference, Scheme};

/// `.env` files.
pub struct Dotenv {
    folder: PathBuf,
}

impl Dotenv {
    /// Relative paths begin at `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl Provider for Dotenv {
    fn scheme(&self) -> Scheme {
        Scheme::Dotenv
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        let path = self.folder.join(document.path());
        match env_file::read(&path) {
            Ok(read) => Ok(Fetched::new(env_file::object_of(&read.entries))),
            Err(EnvFileError::Read { source, .. }) => Err(file::failed(source, &path, Scheme::Dotenv)),
            Err(error @ (EnvFileError::TooLarge { .. } | EnvFileError::Line { .. })) => Err(FetchError::new(
                ErrorKind::Malformed,
                Scheme::Dotenv,
                error.to_string(),
                "correct that line; docs/dotenv.md says what is read",
            )),
        }
    }
}
