//! What was asked for a name, what it said, and what is wrong with the result.
//!
//! Pure. Invariant: never a value.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use coffer_types::CorrelationId;

use crate::error::{ErrorKind, FetchError};

/// One layer that was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What was asked for, as a reference: `env:X_API_KEY`, `aws://bot#X_API_KEY`.
    pub place: String,
    /// What came of it.
    pub answer: Answer,
}

/// What a layer said.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It has it, and that counts.
    Found,
    /// It can't be asked; this is what it said that long ago.
    Stale(Duration),
    /// It has it not, definitely.
    NotFound,
    /// Neither yes nor no.
    Failed(ErrorKind),
}

/// What is wrong with a name.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nobody has it.
    Missing,
    /// Whoever has it has nothing in it.
    Empty {
        /// Where.
        place: String,
    },
    /// It is not of its type.
    Malformed {
        /// Where.
        place: String,
        /// What it should be.
        expected: String,
    },
    /// Somebody could not be asked, so nobody knows.
    Failed {
        /// Whom.
        place: String,
        /// Why.
        error: FetchError,
    },
}

/// A name that has no usable value.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which.
    pub name: String,
    /// What is wrong.
    pub fault: Fault,
    /// Who was asked, in order.
    pub asked: Vec<Asked>,
    /// What the manifest says it is for.
    pub description: Option<String>,
    /// Who to ask for it.
    pub owner: Option<String>,
}

impl Problem {
    /// The kind of error it is, as a caller acts on it.
    pub fn kind(&self) -> ErrorKind {
        match &self.fault {
            Fault::Missing | Fault::Empty { .. } => ErrorKind::NotFound,
            Fault::Malformed { .. } => ErrorKind::Malformed,
            Fault::Failed { error, .. } => error.kind(),
        }
    }

    /// What the call was known by that came to nothing, here and in its store's records; `None` if there was none.
    pub fn correlation_id(&self) -> Option<&CorrelationId> {
        match &self.fault {
            Fault::Failed { error, .. } => error.correlation_id(),
            Fault::Missing | Fault::Empty { .. } | Fault::Malformed { .. } => None,
        }
    }

    /// What to do about it.
    pub fn action(&self) -> String {
        let ask = self.owner.as_ref().map(|owner| format!(", or ask {owner}")).unwrap_or_default();
        match &self.fault {
            Fault::Missing => match self.asked.first() {
                Some(asked) => format!("set it where it is looked for first, `{}`{ask}", asked.place),
                None => "name a layer in the profile's chain".to_owned(),
            },
            Fault::Empty { place } => format!("give `{place}` a value, or remove it there{ask}"),
            Fault::Malformed { place, expected } => format!("make `{place}` {expected}{ask}"),
            Fault::Failed { error, .. } => error.action().to_owned(),
        }
    }

    /// Where it was looked for without success, in order.
    pub fn looked_for(&self) -> String {
        self.asked.iter().map(|asked| asked.place.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.name)?;
        match &self.fault {
            Fault::Missing => write!(f, "is missing"),
            Fault::Empty { place } => write!(f, "is empty in `{place}`"),
            Fault::Malformed { place, expected } => write!(f, "in `{place}` is not {expected}"),
            Fault::Failed { place, .. } => write!(f, "can't be read from `{place}`"),
        }
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Failed { error, .. } => Some(error),
            Fault::Missing | Fault::Empty { .. } | Fault::Malformed { .. } => None,
        }
    }
}

/// Every name that has no usable value, at once.
#[derive(Clone, Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|problem| format!("`{}`", problem.name)).collect();
        let what = if names.len() == 1 { "secret" } else { "secrets" };
        write!(f, "{} {what} without a usable value: {}", names.len(), names.join(", "))
    }
}

impl Error for Problems {}
