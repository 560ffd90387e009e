//! What an application was started with: its environment and its folder.
//!
//! I/O: reads the process's environment once, when made of it. Values are those of the environment, so there is no
//! `Debug`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Environment variables and a current folder.
pub struct Surroundings {
    variables: HashMap<String, Variable>,
    folder: PathBuf,
}

enum Variable {
    Text(Zeroizing<String>),
    /// It is set, and is no UTF-8.
    NoText,
}

impl Surroundings {
    /// This process's, looked at now.
    pub fn of_process() -> std::io::Result<Self> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, Variable::of(value))));
        Ok(Self { variables: variables.collect(), folder: std::env::current_dir()? })
    }

    /// Made up.
    pub fn of(variables: &[(&str, &str)], folder: impl Into<PathBuf>) -> Self {
        let text = |&(name, value): &(&str, &str)| {
            (name.to_owned(), Variable::Text(Zeroizing::new(value.to_owned())))
        };
        Self { variables: variables.iter().map(text).collect(), folder: folder.into() }
    }

    /// The same elsewhere: what relative paths begin at.
    pub fn at(self, folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), ..self }
    }

    /// A variable, if it is set to a text.
    pub fn variable(&self, name: &str) -> Option<&str> {
        match self.variables.get(name)? {
            Variable::Text(text) => Some(text),
            Variable::NoText => None,
        }
    }

    /// Whether a variable is set to what is no text.
    pub(crate) fn is_no_text(&self, name: &str) -> bool {
        matches!(self.variables.get(name), Some(Variable::NoText))
    }

    /// Whether neither `name` nor the file of it is set.
    pub(crate) fn has_nothing_of(&self, name: &str) -> bool {
        !self.variables.contains_key(name) && !self.variables.contains_key(&format!("{name}_FILE"))
    }

    /// What relative paths begin at.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Variable {
    fn of(value: OsString) -> Self {
        match value.into_string() {
            Ok(text) => Self::Text(Zeroizing::new(text)),
            Err(_) => Self::NoText,
        }
    }
}
