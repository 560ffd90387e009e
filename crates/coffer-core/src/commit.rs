//! Committing a change together with its record, and finding out what happened when the store doesn't know.
//!
//! The record rides in the same change as an entry of the *outbox*, under a key no other change ever has. So the
//! two exist together or not at all, and the entry tells whether the change landed.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use coffer_audit::RecordBody;
use coffer_store::{Change, CommitError, Entry, Guard, Revision, Write};
use futures_channel::oneshot;

use crate::core::Inner;
use crate::records::{OutboxEntry, view};
use crate::{Error, keys};

/// How many changes may be under way, and so in memory. More wait.
pub(crate) const COMMITS_MAX: usize = 256;

/// How often a change of unknown fate is asked about before coffer gives up and stops serving.
const SETTLE_ATTEMPTS_MAX: usize = 16;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How a commit ended.
pub(crate) enum Committed {
    /// It is on disk with its record.
    Landed,
    /// It is not: something it stood on had changed.
    Conflict,
    /// It is not, and never will be.
    Failed(Cause),
    /// Nobody can tell. coffer serves nothing more; at the next start the outbox tells.
    Unknown(Cause),
}

/// The store said something that can't be true.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreBroken {
    #[error("the store acknowledged a change that it does not hold")]
    AcknowledgedButMissing,
    #[error("a change's fate could not be found out")]
    Unsettled,
}

/// The store lost a change, and it was made sure that the change stays lost.
#[derive(Debug, thiserror::Error)]
#[error("the store lost the change")]
struct NeverLanded;

/// Outbox keys of changes that are under way. The drainer leaves their entries alone, so that an entry that is not
/// there means a change that did not land.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashSet<Bytes>>);

impl InFlight {
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn enter(&self, key: Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    fn leave(&self, key: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl Inner {
    /// Commits a change and its record. Runs to its end even if the caller is gone.
    pub(crate) async fn commit_recorded(
        self: &Arc<Self>,
        mut change: Change,
        record: RecordBody,
    ) -> Committed {
        let count = self.outbox_keys.fetch_add(1, Ordering::Relaxed);
        let outbox_key = keys::outbox(&self.node, count, record.event_id());
        let entry = self.seal_record(&outbox_key, &OutboxEntry::Record { body: record.as_bytes().to_vec() });
        change.guards.push(Guard::Absent(outbox_key.clone()));
        change.writes.push(Write::Put(outbox_key.clone(), entry));

        // Waited for here and held to the commit's end: whoever hangs up does not make room for more.
        let permit = self.commit_permits.acquire_arc().await;
        self.in_flight.enter(outbox_key.clone());
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(self);
        self.spawn.spawn(Box::pin(async move {
            let committed = inner.commit_and_settle(change, &outbox_key).await;
            // An unsettled entry stays out of the drainer's way until the next start.
            if !matches!(committed, Committed::Unknown(_)) {
                inner.in_flight.leave(&outbox_key);
            }
            drop(permit);
            // If nobody waits any more, the change stands all the same.
            let _ = sender.send(committed);
        }));
        match receiver.await {
            Ok(committed) => committed,
            Err(oneshot::Canceled) => self.broken(StoreBroken::Unsettled),
        }
    }

    async fn commit_and_settle(&self, change: Change, outbox_key: &Bytes) -> Committed {
        let written: Vec<Bytes> = change.writes.iter().map(written_key).cloned().collect();
        let guarded: Vec<Bytes> = change.guards.iter().map(guarded_key).cloned().collect();
        self.cache.begin_change(&written);
        match self.store.commit(change).await {
            Ok(revision) => {
                self.cache.end_change(&written, Some(revision));
                self.check_acknowledged(outbox_key).await
            }
            Err(CommitError::Conflict) => {
                self.cache.end_change(&written, None);
                // What it stood on may have been read from the cache, and changed by nobody here: by a change of an
                // earlier run that landed late.
                self.cache.forget(&guarded);
                Committed::Conflict
            }
            Err(CommitError::Determinate(cause)) => {
                self.cache.end_change(&written, None);
                Committed::Failed(Box::new(cause))
            }
            Err(CommitError::Indeterminate(_)) => self.settle(&written, outbox_key).await,
        }
    }

    /// Looks whether the store holds what it acknowledged.
    async fn check_acknowledged(&self, outbox_key: &Bytes) -> Committed {
        for _ in 0..SETTLE_ATTEMPTS_MAX {
            match self.outbox_entry(outbox_key).await {
                Ok(Some(_)) => return Committed::Landed,
                Ok(None) => return self.broken(StoreBroken::AcknowledgedButMissing),
                Err(_) => {}
            }
        }
        // It was acknowledged; that nothing can be read is no reason to deny it.
        Committed::Landed
    }

    /// Finds out whether a change landed, and makes sure that it never will if it did not: puts a tombstone at its
    /// outbox key, which the change demands absent. If the tombstone finds the place taken, the change had landed.
    async fn settle(&self, written: &[Bytes], outbox_key: &Bytes) -> Committed {
        for _ in 0..SETTLE_ATTEMPTS_MAX {
            let tombstone = OutboxEntry::Tombstone { placed: self.clock.now() };
            let change = Change {
                guards: vec![Guard::Absent(outbox_key.clone())],
                writes: vec![Write::Put(outbox_key.clone(), self.seal_record(outbox_key, &tombstone))],
            };
            // Whatever the answer: what lies at the key now tells more. It may be the change, this tombstone, or one of
            // an earlier round.
            let is_acknowledged = self.store.commit(change).await.is_ok();
            match self.outbox_entry(outbox_key).await {
                Ok(Some((OutboxEntry::Tombstone { .. }, _))) => {
                    self.cache.end_change(written, None);
                    return Committed::Failed(Box::new(NeverLanded));
                }
                Ok(Some((OutboxEntry::Record { .. }, revision))) if !is_acknowledged => {
                    self.cache.end_change(written, Some(revision));
                    return Committed::Landed;
                }
                Ok(_) if is_acknowledged => return self.broken(StoreBroken::AcknowledgedButMissing),
                // Nothing is there yet, or it can't be read: the next round tells.
                Ok(_) | Err(_) => {}
            }
        }
        self.broken(StoreBroken::Unsettled)
    }

    async fn outbox_entry(&self, key: &Bytes) -> Result<Option<(OutboxEntry, Revision)>, Error> {
        let snapshot = self.store.snapshot().await.map_err(Error::unavailable)?;
        let Some(entry): Option<Entry> = snapshot.get(key).await.map_err(Error::unavailable)? else {
            return Ok(None);
        };
        Ok(Some((view::open(&self.store_key, &entry)?, snapshot.revision())))
    }

    fn broken(&self, how: StoreBroken) -> Committed {
        self.stop_serving();
        Committed::Unknown(Box::new(how))
    }
}

fn guarded_key(guard: &Guard) -> &Bytes {
    match guard {
        Guard::At(key, _) | Guard::Absent(key) => key,
    }
}

pub(crate) fn written_key(write: &Write) -> &Bytes {
    match write {
        Write::Put(key, _) | Write::Delete(key) => key,
    }
}
