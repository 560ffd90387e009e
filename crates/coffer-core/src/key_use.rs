//! When access keys were last used, and for what.
//!
//! As with the days of reads, an authentication is never a write: it notes itself in a table in memory, once in a quarter of an hour
//! for each key, and maintenance writes the table every minute, unguarded and as well as may be. Invariants: the table is bounded,
//! and noting never waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use coffer_store::{Change, CommitError, Write};
use coffer_types::{Region, Timestamp};
use serde::{Deserialize, Serialize};

use crate::core::Inner;
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
#[derive(Default)]
pub(crate) struct KeyUses(Mutex<BTreeMap<Arc<str>, LastUse>>);

impl KeyUses {
    /// Notes that a key was used. Costs a comparison but for the first use of a quarter of an hour.
    pub(crate) fn note(&self, key: &AccessKey, claim: &SigV4Claim, now: Timestamp) {
        let noted_at = &key.noted_at.0;
        if now.as_millis().saturating_sub(noted_at.load(Ordering::Relaxed)) < NOTE_MILLIS {
            return;
        }
        // Whoever finds the table in use leaves it to a later use.
        let Ok(mut noted) = self.0.try_lock() else { return };
        if noted.len() < NOTED_MAX || noted.contains_key(&claim.access_key_id) {
            let (region, service) = (claim.region.clone(), claim.service.to_owned());
            noted.insert(Arc::clone(&claim.access_key_id), LastUse { at: now, region, service });
            noted_at.store(now.as_millis(), Ordering::Relaxed);
        }
    }

    fn of(&self, id: &str) -> Option<LastUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn some(&self) -> Vec<(Arc<str>, LastUse)> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.iter().take(WRITE_BATCH).map(|(id, last_use)| (Arc::clone(id), last_use.clone())).collect()
    }

    /// Forgets what was written, unless it was noted anew since.
    fn written(&self, batch: &[(Arc<str>, LastUse)]) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, written) in batch {
            if noted.get(id) == Some(written) {
                noted.remove(id);
            }
        }
    }
}

/// The last use of a key, if there was one.
pub(crate) async fn last_use(view: &mut View, id: &str) -> Result<Option<LastUse>, Error> {
    match view.inner().key_uses.of(id) {
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
        let batch = self.key_uses.some();
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
        self.key_uses.written(&batch);
        Ok(true)
    }
}
