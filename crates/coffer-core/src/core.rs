//! The core itself: what it is made of, and the small questions it answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use coffer_audit::{AuditSink, NodeId, RefusalMeter};
use coffer_crypto::{AuditSigningKey, Random, StoreKey, WrappingKey};
use coffer_store::Store;
use coffer_types::{AccountId, Region, Timestamp, VersionId};
use futures_channel::oneshot;
use uuid::Uuid;

use crate::access::Accesses;
use crate::authorize::PermissionsCache;
use crate::commit::{InFlight, StoreBroken};
use crate::key_use::KeyUses;
use crate::maintain::Maintenance;
use crate::metrics::Metrics;
use crate::rate::RateLimiter;
use crate::records::StoreMeta;
use crate::records::cache::RecordCache;
use crate::token_keys::TokenKeys;
use crate::web_identity::IssuerKeys;
use crate::{Clock, Error, Spawn};

/// Authenticates, authorizes, executes and records. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Core(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) ids: IdPool,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) cache: RecordCache,
    /// What the policies of those who asked last allow.
    pub(crate) permissions: PermissionsCache,
    pub(crate) store_key: StoreKey,
    pub(crate) wrapping_key: WrappingKey,
    pub(crate) token_keys: TokenKeys,
    pub(crate) audit_key: Arc<AuditSigningKey>,
    pub(crate) meta: StoreMeta,
    /// The name of this node in outbox keys and checkpoints.
    pub(crate) node: NodeId,
    /// How many outbox keys were made since the start: each has a number of its own.
    pub(crate) outbox_keys: AtomicU64,
    pub(crate) in_flight: InFlight,
    pub(crate) commit_permits: Arc<async_lock::Semaphore>,
    /// To go through all secrets, users or the like.
    pub(crate) walk_permits: async_lock::Semaphore,
    /// To go through the audit log.
    pub(crate) search_permits: async_lock::Semaphore,
    /// Reads whose day is still to be written.
    pub(crate) accesses: Accesses,
    /// Uses of access keys that are still to be written.
    pub(crate) key_uses: KeyUses,
    pub(crate) refusals: Mutex<RefusalMeter>,
    pub(crate) metrics: Metrics,
    /// `None` if principals may ask as often as they like.
    pub(crate) rate: Option<RateLimiter>,
    /// By source: who brings tokens of identity providers and has signed nothing.
    pub(crate) strangers: RateLimiter,
    pub(crate) issuers: IssuerKeys,
    /// Held by whoever drains and maintains: one at a time, across its waits.
    pub(crate) maintenance: async_lock::Mutex<Maintenance>,
    /// The audit log could not be written when last tried.
    pub(crate) audit_failed: AtomicBool,
    /// The store said something that can't be true; nothing more is served.
    pub(crate) stopped: AtomicBool,
}

impl Core {
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The account made at `init`.
    pub fn account(&self) -> AccountId {
        self.0.meta.account
    }

    /// The region chosen at `init`, for callers that name none.
    pub fn region(&self) -> &Region {
        &self.0.meta.region
    }

    /// A fresh request id.
    pub fn new_request_id(&self) -> Arc<str> {
        (&*self.0.make_uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer())).into()
    }

    /// A fresh version id, for callers whose client sends no token.
    pub fn new_version_id(&self) -> VersionId {
        self.0.make_uuid().to_string().parse().expect("a UUID has 36 printable characters")
    }

    /// Runs a future to its end, also if whoever waits for it goes away; `None` if it did not come to one.
    pub async fn run_to_end<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.0.spawn.spawn(Box::pin(async move {
            // If nobody waits any more, it is done all the same.
            let _ = sender.send(future.await);
        }));
        receiver.await.ok()
    }
}

impl Inner {
    pub(crate) fn make_uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.ids.make(&*self.random)).into_uuid()
    }

    /// Nothing is served that could not be recorded, and nothing at all once the store can't be believed.
    pub(crate) fn refuse_if_unsafe(&self) -> Result<(), Error> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(Error::unavailable(StoreBroken::Unsettled));
        }
        if self.audit_failed.load(Ordering::Acquire) {
            return Err(Error::unavailable("the audit log can't be written"));
        }
        Ok(())
    }

    pub(crate) fn stop_serving(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

/// Random bytes for ids, drawn for many at once, since drawing has a price of its own. An id is no secret; whatever is
/// one is drawn by itself.
#[derive(Default)]
pub(crate) struct IdPool(Mutex<Vec<[u8; 16]>>);

impl IdPool {
    const IDS: usize = 64;

    pub(crate) fn make(&self, random: &dyn Random) -> [u8; 16] {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.is_empty() {
            ids.resize(Self::IDS, [0; 16]);
            random.fill(ids.as_flattened_mut());
        }
        ids.pop().expect("it was filled three lines up")
    }
}
