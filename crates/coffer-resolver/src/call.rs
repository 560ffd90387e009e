//! How a resolver is asked, and what that is known by from the caller to the store.
//!
//! Pure, but for the seeds of a hash map.

use std::hash::{BuildHasher as _, RandomState};
use std::thread;

use coffer_types::CorrelationId;

use crate::cache::AgeMax;
use crate::reference::Scheme;
use crate::resolver::Moment;

/// The variable by which a program is told what its caller calls what it does.
pub const CORRELATION_VARIABLE: &str = "COFFER_CORRELATION_ID";

/// How a call of a resolver is made, besides as usual.
#[derive(Clone, Default, Debug)]
pub struct Asking {
    /// Nothing that was read before this stands in, not even while its store can't be asked.
    pub since: Option<Moment>,
    /// What the call is known by, in logs, errors and the records of stores; an id of its own unless given.
    pub id: Option<CorrelationId>,
    /// That nothing older stands in holds for this provider alone.
    pub(crate) only: Option<Scheme>,
}

impl Inquiry<'_> {
    /// The age that a document of this provider may have.
    pub(crate) fn age_of(&self, scheme: Scheme) -> AgeMax {
        match self.only {
            Some(only) if only != scheme => AgeMax { asked_since: None, ..self.age },
            _ => self.age,
        }
    }
}

/// One call, for all the documents that it asks for.
#[derive(Clone, Copy)]
pub(crate) struct Inquiry<'a> {
    pub(crate) age: AgeMax,
    /// The only one of whom the age's beginning is demanded, if not of all.
    pub(crate) only: Option<Scheme>,
    pub(crate) id: &'a CorrelationId,
}

impl Asking {
    /// Known by `id`.
    pub fn by(id: CorrelationId) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    /// The same, read after `since` if that is given.
    pub fn after_any(self, since: Option<Moment>) -> Self {
        Self { since, ..self }
    }

    /// For what is read after `since`.
    pub fn after(since: Moment) -> Self {
        Self { since: Some(since), ..Self::default() }
    }
}

/// An id that no other call has. Nothing secret hangs on it, so the seeds of maps are random enough.
pub fn new_correlation_id() -> CorrelationId {
    CorrelationId::of_number(RandomState::new().hash_one(thread::current().id()))
}
