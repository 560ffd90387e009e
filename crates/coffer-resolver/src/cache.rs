//! What was read, how old it is, and what may be done with it. RFC 5861's words: fresh, stale while it is revalidated,
//! stale if there is an error.
//!
//! Pure: the clock is given, nothing is fetched. Invariant: a document that was denied, not found or revoked leaves at
//! once, so that no later outage brings its value back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_types::SecretBytes;

use crate::error::{ErrorKind, FetchError};
use crate::field::{NoField, field};
use crate::provider::{Facts, Fetched};

/// How long documents are kept, and how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CachePolicy {
    /// How long a document counts as fresh; a need may set its own.
    pub fresh: Duration,
    /// How long after that it may stand in while its store can't be asked; 0 for never.
    pub stale_if_error: Duration,
    /// At most this many documents.
    pub entries_max: usize,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(5 * 60),
            stale_if_error: Duration::from_secs(60 * 60),
            entries_max: 1024,
        }
    }
}

/// Documents by what they are called. Holds values, so there is no `Debug`.
pub(crate) struct Cache {
    policy: CachePolicy,
    /// What the store itself calls a document, by the reference it was asked for by.
    identities: HashMap<String, String>,
    entries: HashMap<String, Entry>,
    /// Counts uses, so that the one not used for longest can be told.
    uses: u64,
}

/// A document as it is kept: shared by all who ask.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) value: Arc<SecretBytes>,
    pub(crate) facts: Arc<Facts>,
    parts: Arc<Parts>,
}

/// What was made of a document, so that it is made once; it goes when the document goes.
#[derive(Default)]
struct Parts {
    /// Its fields that were asked for.
    fields: Mutex<HashMap<String, Arc<SecretBytes>>>,
    /// What callers made of it, by what they call that.
    made: Mutex<HashMap<String, Arc<SecretBytes>>>,
}

/// At most so much that callers made of a document is kept.
const MADE_MAX: usize = 16;

impl Kept {
    /// The field `name` of it.
    pub(crate) fn field(&self, name: &str) -> Result<Arc<SecretBytes>, NoField> {
        let mut fields = self.parts.fields.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = fields.get(name) {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(field(self.value.expose_secret(), name)?);
        fields.insert(name.to_owned(), Arc::clone(&value));
        Ok(value)
    }

    /// What `make` made of it, now or when it was first called `name`.
    pub(crate) fn made(&self, name: &str, make: impl FnOnce() -> SecretBytes) -> Arc<SecretBytes> {
        let mut all = self.parts.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = all.get(name) {
            return Arc::clone(made);
        }
        let made = Arc::new(make());
        if all.len() < MADE_MAX {
            all.insert(name.to_owned(), Arc::clone(&made));
        }
        made
    }
}

impl From<Fetched> for Kept {
    fn from(fetched: Fetched) -> Self {
        Self { value: Arc::new(fetched.value), facts: Arc::new(fetched.facts), parts: Arc::default() }
    }
}

struct Entry {
    kept: Kept,
    read_at: Duration,
    /// When it was asked for: what changed in its store before that is in it.
    asked_at: Duration,
    used: u64,
}

/// How old a document may be for a caller.
#[derive(Clone, Copy, Default)]
pub(crate) struct AgeMax {
    /// So old; as the policy says unless given.
    pub(crate) fresh: Option<Duration>,
    /// Not from before then, however fresh.
    pub(crate) asked_since: Option<Duration>,
}

/// What to do for a caller.
pub(crate) enum Look {
    /// Give it this. If `refresh`, which begins at `until`, fetch it anew behind its back.
    Fresh { kept: Kept, refresh: bool, until: Duration, age: Duration },
    /// Fetch it; the caller waits.
    Fetch,
}

/// What a caller gets after a fetch.
pub(crate) struct Given {
    pub(crate) kept: Kept,
    /// How long ago it was asked for.
    pub(crate) age: Duration,
    /// How old it is, if it should not be as old.
    pub(crate) stale: Option<Duration>,
}

impl Cache {
    pub(crate) fn new(policy: CachePolicy) -> Self {
        Self { policy, identities: HashMap::new(), entries: HashMap::new(), uses: 0 }
    }

    /// What is there for `reference`, if it is no older than `age` allows.
    pub(crate) fn look(&mut self, now: Duration, reference: &str, age: AgeMax) -> Look {
        let fresh = age.fresh.unwrap_or(self.policy.fresh);
        self.uses += 1;
        let uses = self.uses;
        let Some(entry) = self.entries.get_mut(identity_of(&self.identities, reference)) else {
            return Look::Fetch;
        };
        entry.used = uses;
        if age.asked_since.is_some_and(|since| entry.asked_at < since) {
            return Look::Fetch;
        }
        let age = now.saturating_sub(entry.read_at);
        if age >= fresh {
            return Look::Fetch;
        }
        // In its last fifth it is fetched anew, so that nobody who asks often ever waits.
        let until = entry.read_at.saturating_add(fresh - fresh / 5);
        let age = now.saturating_sub(entry.asked_at);
        Look::Fresh { kept: entry.kept.clone(), refresh: now >= until, until, age }
    }

    /// A document was read that was asked for at `asked_at`.
    pub(crate) fn read(
        &mut self,
        now: Duration,
        asked_at: Duration,
        reference: &str,
        identity: Option<String>,
        kept: Kept,
    ) -> Given {
        let identity = identity.unwrap_or_else(|| reference.to_owned());
        let before = self.identities.insert(reference.to_owned(), identity.clone());
        // The name leads to another document from now on; whoever asks for the old one by its own name still may.
        if let Some(before) = before.filter(|before| *before != identity) {
            self.drop_unnamed(&before);
        }
        self.uses += 1;
        let entry = Entry { kept: kept.clone(), read_at: now, asked_at, used: self.uses };
        self.entries.insert(identity, entry);
        self.shrink();
        Given { kept, age: now.saturating_sub(asked_at), stale: None }
    }

    /// A document could not be read: what is served in its place, if anything may be.
    pub(crate) fn failed(
        &mut self,
        now: Duration,
        reference: &str,
        fresh: Option<Duration>,
        error: FetchError,
    ) -> Result<Given, FetchError> {
        let identity = identity_of(&self.identities, reference).to_owned();
        match error.kind() {
            ErrorKind::Throttled | ErrorKind::Unavailable => {
                let fresh = fresh.unwrap_or(self.policy.fresh);
                let entry = self.entries.get(&identity).ok_or_else(|| error.clone())?;
                let age = now.saturating_sub(entry.read_at);
                let given = |stale| {
                    let age = now.saturating_sub(entry.asked_at);
                    Given { kept: entry.kept.clone(), age, stale }
                };
                if age < fresh {
                    return Ok(given(None));
                }
                let limit = fresh.saturating_add(self.policy.stale_if_error);
                if age < limit { Ok(given(Some(age))) } else { Err(error) }
            }
            ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::DecryptionFailed => {
                self.evict(reference);
                Err(error)
            }
            // It says nothing of the value; but nobody can say that it still counts.
            ErrorKind::Malformed | ErrorKind::Misconfigured => Err(error),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.identities.clear();
    }

    /// How many documents are kept.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether `name` is, or may turn out to be, another name of the document that `reference` names.
    pub(crate) fn may_be_of(&self, name: &str, reference: &str) -> bool {
        let identity = identity_of(&self.identities, reference);
        // What was never read is not known to be another.
        self.identities.get(name).is_none_or(|known| known == identity)
    }

    /// Forgets a document, by whatever name.
    pub(crate) fn evict(&mut self, reference: &str) {
        let identity = identity_of(&self.identities, reference).to_owned();
        self.entries.remove(&identity);
        self.identities.retain(|_, known| *known != identity);
    }

    fn drop_unnamed(&mut self, identity: &str) {
        if !self.identities.values().any(|known| known == identity) {
            self.entries.remove(identity);
        }
    }

    fn shrink(&mut self) {
        while self.entries.len() > self.policy.entries_max.max(1) {
            let oldest =
                self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            self.entries.remove(&oldest);
            self.identities.retain(|_, known| *known != oldest);
        }
    }
}

/// What a document is kept by: what its store calls it, if that is known.
fn identity_of<'a>(identities: &'a HashMap<String, String>, reference: &'a str) -> &'a str {
    identities.get(reference).map_or(reference, String::as_str)
}

#[cfg(test)]
mod tests;
