//! A log that fails on purpose, around one in memory that always tells the truth.
//!
//! No I/O. Invariant: what it acknowledged is in the inner log.

use std::collections::HashSet;
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffer_audit::{
    AuditError, AuditHealth, AuditSink, Checkpoint, EventId, Head, MemoryLog, RecordBody, Verified,
    VerifyError, Visit,
};
use coffer_crypto::AuditPublicKey;
use coffer_store::BoxFuture;
use coffer_types::Timestamp;

/// A log that can't be written from a certain append on, until it is healed.
pub struct FailingLog {
    inner: Arc<MemoryLog>,
    plan: Mutex<Plan>,
}

struct Plan {
    appends_left: Option<u64>,
    torn: usize,
}

impl FailingLog {
    /// A log that does not fail yet.
    pub fn new(inner: Arc<MemoryLog>) -> Self {
        Self { inner, plan: Mutex::new(Plan { appends_left: None, torn: 0 }) }
    }

    /// The next `appends` appends succeed, and none after them.
    pub fn fail_after(&self, appends: u64) {
        self.plan().appends_left = Some(appends);
    }

    /// A batch that fails has its first `records` records written all the same, as by a disk that fills up.
    pub fn tear_batches(&self, records: usize) {
        self.plan().torn = records;
    }

    /// No append fails any more.
    pub fn heal(&self) {
        *self.plan() = Plan { appends_left: None, torn: 0 };
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an append; answers how many records of a failing batch are written, `None` if it succeeds.
    fn next_append(&self) -> Option<usize> {
        let mut plan = self.plan();
        match &mut plan.appends_left {
            None => None,
            Some(0) => Some(plan.torn),
            Some(left) => {
                *left -= 1;
                None
            }
        }
    }
}

fn full() -> AuditError {
    AuditError::Unwritable(Arc::new(io::ErrorKind::StorageFull.into()))
}

impl AuditSink for FailingLog {
    fn append(&self, body: RecordBody) -> BoxFuture<'_, Result<(), AuditError>> {
        match self.next_append() {
            None => self.inner.append(body),
            Some(_) => Box::pin(ready(Err(full()))),
        }
    }

    fn append_synced(&self, mut bodies: Vec<RecordBody>) -> BoxFuture<'_, Result<Head, AuditError>> {
        let Some(written) = self.next_append() else { return self.inner.append_synced(bodies) };
        Box::pin(async move {
            bodies.truncate(written);
            self.inner.append_synced(bodies).await?;
            Err(full())
        })
    }

    fn synced_head(&self) -> Head {
        self.inner.synced_head()
    }

    fn event_ids_after(&self, sequence: u64) -> Result<HashSet<EventId>, AuditError> {
        self.inner.event_ids_after(sequence)
    }

    fn visit_newest(&self, visit: Visit<'_>) -> Result<(), AuditError> {
        self.inner.visit_newest(visit)
    }

    fn tail(&self, count: usize) -> Result<Vec<String>, AuditError> {
        self.inner.tail(count)
    }

    fn verify(
        &self,
        checkpoint: Option<&Checkpoint>,
        public_key: &AuditPublicKey,
    ) -> Result<Verified, VerifyError> {
        self.inner.verify(checkpoint, public_key)
    }

    fn health(&self) -> AuditHealth {
        self.inner.health()
    }

    fn close(&self, now: Timestamp) -> BoxFuture<'_, Result<(), AuditError>> {
        self.inner.close(now)
    }
}
