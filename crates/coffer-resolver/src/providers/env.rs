//! The environment: `env:NAME`.
//!
//! I/O: reads the file that `NAME_FILE` names, as images of containers do it, when `NAME` itself is not set.

use std::sync::Arc;

use coffer_types::SecretBytes;

use crate::error::{ErrorKind, FetchError};
use crate::provider::{Fetched, Provider};
use crate::providers::file;
use crate::reference::{Reference, Scheme};
use crate::surroundings::Surroundings;

/// Environment variables.
pub struct Env(Arc<Surroundings>);

impl Env {
    /// Those of `surroundings`.
    pub fn new(surroundings: Arc<Surroundings>) -> Self {
        Self(surroundings)
    }
}

impl Provider for Env {
    fn scheme(&self) -> Scheme {
        Scheme::Env
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        let name = document.path();
        let file_name = format!("{name}_FILE");
        if self.0.is_no_text(name) {
            let what = format!("`{name}` is not UTF-8");
            return Err(FetchError::new(ErrorKind::Malformed, Scheme::Env, what, "set it to text"));
        }
        match (self.0.variable(name), self.0.variable(&file_name)) {
            (Some(_), Some(_)) => Err(FetchError::new(
                ErrorKind::Misconfigured,
                Scheme::Env,
                format!("both `{name}` and `{file_name}` are set"),
                "unset one of them",
            )),
            (Some(value), None) => Ok(Fetched::new(SecretBytes::copy_from(value.as_bytes()))),
            // Somebody said where it is: that it is not there is their mistake, not a reason to look elsewhere.
            (None, Some(path)) => {
                file::read(&self.0.folder().join(path), Scheme::Env).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => FetchError::new(
                        ErrorKind::Misconfigured,
                        Scheme::Env,
                        format!("`{file_name}` names a file that is not there"),
                        format!("mount that file, or unset `{file_name}`"),
                    ),
                    _ => error,
                })
            }
            (None, None) => Err(FetchError::new(
                ErrorKind::NotFound,
                Scheme::Env,
                format!("`{name}` is not set"),
                format!("set `{name}`"),
            )),
        }
    }
}
