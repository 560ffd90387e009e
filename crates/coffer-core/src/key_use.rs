//! When access keys were last used, and for what.
//!
//! As with the days of reads, an authentication is never a write: it notes itself in a table in memory, once in a quarter of an hour
//! for each key, and maintenance writes the table every minute, unguarded and as well as may be. Invariants: the table is bounded,
//! and noting never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use coffer_store::{Change, CommitError, Write};
use coffer_types::{Region, Timestamp};
use serde::{Deserialize, Serialize};

use crate::core::Inner;
use crate::noted::Noted;
use crate::records::view::View;
use crate::records::{AccessKey, Record};
use crate::{Error, SigV4Claim, keys};

/// Most uses that are noted and not written yet. What finds no room is noted by a later use.
const NOTED_MAX: usize = 1024;
/// How often a use of the same key is noted.
const NOTE_MILLIS: i64 = 15 * 60 * 1000;
/// How many are written in one change.
const WRITE_BATCH: usize = 90;

/// The last use of an access key.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct LastUse {
    pub(crate) at: Timestamp,
    pub(crate) region: Region,
    pub(crate) service: String,
}

impl Record for LastUse {
    const KIND: &'static str = "last-use";
}

/// When a use of a cached key was last noted, in milliseconds since 1970. It goes when the record leaves the cache; then a use is
/// noted once more than needed.
#[derive(Default)]
pub(crate) struct NotedAt(AtomicI64);

/// Uses that are noted and not written yet, by access key id.
pub(crate) struct KeyUses(Noted<Arc<str>, LastUse>);

impl Default for KeyUses {
    fn default() -> Self {
        Self(Noted::new(NOTED_MAX))
    }
}

impl KeyUses {
    /// Notes that a key was used. Costs a comparison but for the first use of a quarter of an hour.
    pub(crate) fn note(&self, key: &AccessKey, claim: &SigV4Claim, now: Timestamp) {
        let noted_at = &key.noted_at.0;
        if now.as_millis().saturating_sub(noted_at.load(Ordering::Relaxed)) < NOTE_MILLIS {
            return;
        }
        let (region, service) = (claim.region.clone(), claim.service.to_owned());
        if self.0.note(Arc::clone(&claim.access_key_id), LastUse { at: now, region, service }) {
            noted_at.store(now.as_millis(), Ordering::Relaxed);
        }
    }
}

/// The last use of a key, if there was one.
pub(crate) async fn last_use(view: &mut View, id: &str) -> Result<Option<LastUse>, Error> {
    let noted = view.inner().key_uses.0.table().get(id).cloned();
    match noted {
        Some(noted) => Ok(Some(noted)),
        None => {
            let stored = view.get_past_cache::<LastUse>(&keys::last_use(id)).await?;
            Ok(stored.map(|stored| stored.record.as_ref().clone()))
        }
    }
}

impl Inner {
    /// Writes a batch of what was noted. `false` if there was nothing to write.
    pub(crate) async fn write_some_key_uses(&self) -> Result<bool, Error> {
        let batch = self.key_uses.0.some(WRITE_BATCH);
        if batch.is_empty() {
            return Ok(false);
        }
        let snapshot = self.store.snapshot().await.map_err(Error::unavailable)?;
        let mut writes = Vec::with_capacity(batch.len());
        for (id, last_use) in &batch {
            // Of what was deleted since nothing is left behind.
            if snapshot.get(&keys::access_key(id)).await.map_err(Error::unavailable)?.is_some() {
                let key = keys::last_use(id);
                writes.push(Write::Put(key.clone(), self.seal_record(&key, last_use)));
            }
        }
        drop(snapshot);
        if !writes.is_empty() {
            match self.store.commit(Change { guards: Vec::new(), writes }).await {
                Ok(_) => {}
                // It stays noted, and writing it twice changes nothing.
                Err(
                    error @ (CommitError::Conflict
                    | CommitError::Determinate(_)
                    | CommitError::Indeterminate(_)),
                ) => return Err(Error::unavailable(error)),
            }
        }
        self.key_uses.0.forget_written(&batch);
        Ok(true)
    }
}
