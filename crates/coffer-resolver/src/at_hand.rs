//! Values that can be given at once: what a name leads to first is a document, and that is in memory.
//!
//! Pure but for the clock. Invariants: what is given here is what the walk through the layers would give; and no value lives on
//! here that the cache has let go.

use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};
use std::time::Duration;

use coffer_types::SecretBytes;

use crate::chain::Layer;
use crate::manifest::Need;
use crate::provider::Facts;
use crate::resolver::Resolved;
use crate::sources::Sources;
use crate::value_type::ValueType;

/// The first place of a name, where that is a document which is kept.
pub(crate) struct First {
    /// What the document is kept by.
    key: String,
    field: Option<String>,
    place: String,
    value_type: ValueType,
    fresh: Option<Duration>,
    last: Mutex<Option<Last>>,
}

/// What was given last: right as long as the cache is as it was.
struct Last {
    version: CacheVersion,
    value: Weak<SecretBytes>,
    facts: Weak<Facts>,
    asked_at: Duration,
    /// Until when it is to be given without a look at the cache.
    until: Duration,
}

/// Which cache, and how often it had changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheVersion {
    pub(crate) process: u32,
    pub(crate) changes: u64,
}

impl First {
    /// Nothing, if another place comes before it, or none is kept. `is_unset` says that the environment has no value.
    pub(crate) fn of(need: &Need, chain: &[Layer], is_unset: impl Fn(&str) -> bool) -> Option<Self> {
        let of_layer = |layer: &Layer| match layer {
            Layer::Reference(reference) => Some(reference.of_name(&need.name)),
            Layer::Environment | Layer::Dotenv(_) | Layer::Files(_) | Layer::Default => None,
        };
        let is_passed = |layer: &&Layer| matches!(layer, Layer::Environment) && is_unset(&need.name);
        let reference = match &need.from {
            Some(reference) => reference.clone(),
            None => chain.iter().find(|layer| !is_passed(layer)).and_then(of_layer)?,
        };
        let place = reference.to_string();
        reference.scheme().is_kept().then(|| Self {
            key: reference.document_of(&place).to_owned(),
            field: reference.field().map(str::to_owned),
            place,
            value_type: need.value_type.clone(),
            fresh: need.fresh,
            last: Mutex::default(),
        })
    }

    /// The value, if it is fresh, not about to end, and one that the name may have.
    pub(crate) fn at_hand(&self, sources: &Sources) -> Option<Resolved> {
        let version = sources.version();
        // Whoever holds it may be a thread of the parent of this process.
        let mut last = match self.last.try_lock() {
            Ok(last) => Some(last),
            Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => None,
        };
        let now = sources.now();
        if let Some(last) = last.as_ref().and_then(|last| last.as_ref())
            && last.version == version
            && now < last.until
            && let (Some(value), Some(facts)) = (last.value.upgrade(), last.facts.upgrade())
        {
            sources.count_hit();
            return Some(self.resolved(value, facts, now.saturating_sub(last.asked_at)));
        }
        let document = sources.at_hand(&self.key, self.fresh)?;
        let value = match &self.field {
            Some(field) => document.kept.field(field).ok()?,
            None => document.kept.value,
        };
        if value.is_empty() || self.value_type.check(value.expose_secret()).is_err() {
            return None;
        }
        let facts = document.kept.facts;
        if let Some(last) = &mut last {
            let (value, facts) = (Arc::downgrade(&value), Arc::downgrade(&facts));
            let asked_at = now.saturating_sub(document.age);
            **last = Some(Last { version, value, facts, asked_at, until: document.until });
        }
        Some(self.resolved(value, facts, document.age))
    }

    fn resolved(&self, value: Arc<SecretBytes>, facts: Arc<Facts>, age: Duration) -> Resolved {
        Resolved { value, place: self.place.clone(), age, stale: None, facts }
    }
}
