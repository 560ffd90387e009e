//! What a provider is.

use std::path::PathBuf;
use std::time::Duration;

use coffer_types::{CorrelationId, SecretBytes};

use crate::error::FetchError;
use crate::reference::{Reference, Scheme};

/// Someone who can be asked for a document. Blocking. `tests/providers.rs` is what each of them holds to.
pub trait Provider: Send + Sync {
    /// Whose references it answers.
    fn scheme(&self) -> Scheme;

    /// The document that `document` names, which has no field.
    ///
    /// `NotFound` only if it is definitely not there: whoever can't tell says something else.
    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError>;

    /// The same, for a provider that can hand `id` on to its store, whose records then tell this call from others.
    fn fetch_as(&self, document: &Reference, id: &CorrelationId) -> Result<Fetched, FetchError> {
        let _ = id;
        self.fetch(document)
    }

    /// A file on this machine whose time moves when something that it answers has changed, and not when it is asked. `None` if
    /// there is none: then changes show when it is asked again.
    fn beacon(&self) -> Option<PathBuf> {
        None
    }
}

/// Somebody who is told of every call of a provider that is cached, for logs. Values are not told.
pub trait Observer: Send + Sync {
    /// A call has come back.
    fn called(&self, call: &Call<'_>);
}

/// One call of a provider.
pub struct Call<'a> {
    /// What this and the calls that repeat it are known by, here and, where the provider can hand it on, in its store's
    /// records: what the caller that set it off called its own.
    pub id: &'a CorrelationId,
    /// What was asked for.
    pub document: &'a Reference,
    /// Which call for it this is, counted from 1.
    pub attempt: u32,
    /// What came of it.
    pub result: Result<&'a Facts, &'a FetchError>,
    /// How long it took.
    pub took: Duration,
}

/// A document.
pub struct Fetched {
    /// The whole of it.
    pub value: SecretBytes,
    /// What the store itself calls it, if that is more exact than the reference: an ARN. Two references to the same
    /// identity are the same document.
    pub identity: Option<String>,
    /// What the store says of it besides.
    pub facts: Facts,
}

/// What a store says of a document besides its value, as far as it does. Nothing in it is secret.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// What it is called there.
    pub name: Option<String>,
    /// Its ARN.
    pub arn: Option<String>,
    /// Which version it is.
    pub version_id: Option<String>,
    /// That version's labels.
    pub stages: Vec<String>,
    /// When that version was made, in milliseconds since 1970.
    pub created_millis: Option<i64>,
    /// Whether the store keeps it as bytes rather than as text.
    pub is_binary: bool,
}

impl Fetched {
    /// A document that has no other name.
    pub fn new(value: SecretBytes) -> Self {
        Self { value, identity: None, facts: Facts::default() }
    }

    /// The same by the name that its store calls it.
    pub fn identified(self, identity: Option<String>) -> Self {
        Self { identity, ..self }
    }

    /// The same with what its store says of it.
    pub fn with_facts(self, facts: Facts) -> Self {
        Self { facts, ..self }
    }
}
