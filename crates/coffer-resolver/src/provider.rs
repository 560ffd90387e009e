//! What a provider is.

use coffer_types::SecretBytes;

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
}

/// A document.
pub struct Fetched {
    /// The whole of it.
    pub value: SecretBytes,
    /// What the store itself calls it, if that is more exact than the reference: an ARN. Two references to the same
    /// identity are the same document.
    pub identity: Option<String>,
}

impl Fetched {
    /// A document that has no other name.
    pub fn new(value: SecretBytes) -> Self {
        Self { value, identity: None }
    }
}
