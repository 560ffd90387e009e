//! Founding a store, and opening one.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use coffer_audit::{AuditError, AuditSink, Checkpoint, Head, NodeId, RefusalMeter};
use coffer_crypto::{AuditPublicKey, AuditSigningKey, Key, Random, RootKey, StoreId, StoreKey, WrappingKey};
use coffer_store::{Change, CommitError, Guard, Snapshot, Store, StoreError, Write};
use coffer_types::{AccountId, Region, SecretBytes};
use serde_json::json;

use crate::commit::{COMMITS_MAX, Committed};
use crate::core::{Core, IdPool, Inner};
use crate::maintain::Maintenance;
use crate::metrics::Metrics;
use crate::ops::audit::SEARCHES_MAX;
use crate::ops::secrets::WALKS_MAX;
use crate::rate::RateLimiter;
use crate::records::access::{ADMINISTRATOR_ACCESS, Facts, IdOf, Policies, unique_id};
use crate::records::cache::RecordCache;
use crate::records::{AccessKey, PolicyEpoch, Record, StoreMeta, StoredCheckpoint, TreeKey, User, view};
use crate::token_keys::TokenKeys;
use crate::web_identity::{IssuerKeys, STRANGERS_A_SECOND};
use crate::{Clock, Error, Spawn, keys};

/// Opens the audit log once it is known what the store keeps of it: its signing key, and the newest checkpoint. A
/// log that does not contain the checkpoint is refused rather than opened.
pub type OpenAudit = Box<
    dyn FnOnce(Arc<AuditSigningKey>, Option<Checkpoint>) -> Result<Arc<dyn AuditSink>, AuditFailure> + Send,
>;

/// Why something that core is given failed to open; each kind of log has errors of its own.
pub type AuditFailure = Box<dyn std::error::Error + Send + Sync>;

/// What a core is made of.
pub struct Parts {
    /// Where records are kept.
    pub store: Arc<dyn Store>,
    /// Opens the audit log.
    pub audit: OpenAudit,
    /// The unsealed root key.
    pub root: RootKey,
    /// The store's id, which its keys are derived for.
    pub store_id: StoreId,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Runs commits to their end.
    pub spawn: Arc<dyn Spawn>,
    /// The rest.
    pub options: CoreOptions,
}

/// Settings of a core.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// Most bytes of records in the cache.
    pub cache_bytes_max: u64,
    /// Go on although the audit log is not whole, or not the one that the store's checkpoint was signed over. That
    /// is recorded. A log that can't be continued, because its own newest records are damaged, is refused even so.
    pub accept_audit_loss: bool,
    /// Most requests a second of a principal with an access key; as many as it likes if `None`. The store's owner, in
    /// place or on the socket, is not counted.
    pub rate_limit: Option<NonZeroU32>,
}

impl Default for CoreOptions {
    fn default() -> Self {
        Self { cache_bytes_max: 32 * 1024 * 1024, accept_audit_loss: false, rate_limit: None }
    }
}

/// What a new store begins with.
pub struct Founding {
    /// The default account.
    pub account: AccountId,
    /// The default region.
    pub region: Region,
    /// Its users, each with an access key.
    pub users: Vec<FoundingUser>,
    /// The uid that owns the store and is its administrator at the machine.
    pub owner_uid: u32,
}

/// A user a new store begins with.
pub struct FoundingUser {
    /// The name.
    pub name: String,
    /// Its unique id; made if `None`.
    pub id: Option<String>,
    /// The access key's id.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: SecretBytes,
    /// Whether it may do all; else it may do nothing.
    pub administrator: bool,
}

/// Why a store could not be founded or opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is a store already.
    #[error("the store has been founded already")]
    AlreadyFounded,
    /// There is none yet.
    #[error("the store is empty")]
    Empty,
    /// The root key is another store's.
    #[error("the root key does not open this store: it is another store's, or the store's file was changed")]
    WrongRootKey(#[source] AuditFailure),
    /// The store failed.
    #[error("the store could not be read or written")]
    Store(#[source] StoreError),
    /// A record could not be read.
    #[error("a record of the store could not be read")]
    Record(#[source] Error),
    /// The change that founds it was not committed.
    #[error("the new store could not be written")]
    Commit(#[source] CommitError),
    /// The log could not be opened.
    #[error("the audit log could not be opened")]
    AuditLog(#[source] AuditFailure),
    /// The log could not be written.
    #[error("the audit log could not be written")]
    AuditWrite(#[source] AuditError),
    /// Records the store knows of are missing from the log.
    #[error(
        "the audit log ends at record {found}, and the store knows of {known}: records were removed, or the log is another store's"
    )]
    AuditShortened {
        /// The last record of the log.
        found: u64,
        /// The last record the signed checkpoint covers.
        known: u64,
    },
}

pub(crate) const TOKEN_KEY: &str = "token-key";
pub(crate) const AUDIT_KEY: &str = "audit-signing-key";
/// The only node there is, until stores span several: whose log and checkpoint it is.
pub const NODE: &str = "node-1";

/// What a store knows of its audit log: enough to check the log without opening it.
pub struct AuditFacts {
    /// The newest checkpoint, if there has been one.
    pub checkpoint: Option<Checkpoint>,
    /// Checks the checkpoint's signature and those of the log's digests.
    pub public_key: AuditPublicKey,
}

impl Core {
    /// Founds a store: writes its first records, with the record of that.
    pub async fn found(parts: Parts, founding: Founding) -> Result<Self, StartError> {
        let snapshot = parts.store.snapshot().await.map_err(StartError::Store)?;
        if snapshot.get(&keys::store_meta()).await.map_err(StartError::Store)?.is_some() {
            return Err(StartError::AlreadyFounded);
        }
        drop(snapshot);
        let random = &*parts.random;
        let token_key = Key::make(random);
        let audit_key = AuditSigningKey::make(random);
        let wrapping_key = parts.root.derive_wrapping_key(parts.store_id);
        let created = parts.clock.now();
        let wrap = |purpose, key: &Key| {
            let wrapped = wrapping_key.wrap(random, purpose, &[], key);
            TreeKey { wrapped, created, before: None }
        };
        let tree = [(TOKEN_KEY, wrap(TOKEN_KEY, &token_key)), (AUDIT_KEY, wrap(AUDIT_KEY, audit_key.seed()))];
        let meta = StoreMeta {
            store_id: parts.store_id,
            account: founding.account,
            region: founding.region,
            owner_uid: founding.owner_uid,
            created,
        };
        let token_keys = TokenKeys::new(token_key, None);
        let tree_keys = TreeKeys { wrapping_key, token_keys, audit_key };
        let core = Self::assemble(parts, meta, tree_keys, None, Head::GENESIS)?;
        core.0.write_founding(&tree, &founding.users).await?;
        core.start(Start { is_unsealing: false }).await
    }

    /// Opens a founded store: checks that the key and the log are its own, finishes what was under way, and
    /// records that it was unsealed.
    pub async fn open(parts: Parts) -> Result<Self, StartError> {
        let snapshot = parts.store.snapshot().await.map_err(StartError::Store)?;
        let store_key = parts.root.derive_store_key(parts.store_id);
        let meta: StoreMeta =
            read(&*snapshot, &store_key, keys::store_meta()).await?.ok_or(StartError::Empty)?;
        let wrapping_key = parts.root.derive_wrapping_key(parts.store_id);
        let stored: Option<TreeKey> = read(&*snapshot, &store_key, keys::tree_key(TOKEN_KEY)).await?;
        let (token_key, before) = TokenKeys::unwrap(&wrapping_key, &stored.ok_or(StartError::Empty)?)
            .map_err(|error| StartError::WrongRootKey(error.into()))?;
        let token_keys = TokenKeys::new(token_key, before);
        let audit_key = unwrap(&*snapshot, &store_key, &wrapping_key, AUDIT_KEY).await?;
        let checkpoint = read_checkpoint(&*snapshot, &store_key).await?;
        drop(snapshot);
        let accept_audit_loss = parts.options.accept_audit_loss;
        let audit_key = AuditSigningKey::from_seed(audit_key);
        let tree_keys = TreeKeys { wrapping_key, token_keys, audit_key };
        let known = checkpoint.as_ref().map_or(Head::GENESIS, |checkpoint| checkpoint.head);
        if accept_audit_loss {
            // What the checkpoint says may not be so; going by nothing of it costs a look through the log.
            let core = Self::assemble(parts, meta, tree_keys, None, Head::GENESIS)?;
            core.0.accept_audit_loss(checkpoint.as_ref()).await?;
            return core.start(Start { is_unsealing: true }).await;
        }
        let core = Self::assemble(parts, meta, tree_keys, checkpoint, known)?;
        let found = core.0.audit.synced_head().sequence;
        if found < known.sequence {
            return Err(StartError::AuditShortened { found, known: known.sequence });
        }
        core.start(Start { is_unsealing: true }).await
    }

    /// Reads what a founded store knows of its audit log, and neither needs the log nor changes anything.
    pub async fn audit_facts(
        store: &dyn Store,
        root: &RootKey,
        store_id: StoreId,
    ) -> Result<AuditFacts, StartError> {
        let snapshot = store.snapshot().await.map_err(StartError::Store)?;
        let store_key = root.derive_store_key(store_id);
        let wrapping_key = root.derive_wrapping_key(store_id);
        let audit_key = unwrap(&*snapshot, &store_key, &wrapping_key, AUDIT_KEY).await?;
        let checkpoint = read_checkpoint(&*snapshot, &store_key).await?;
        let public_key = AuditSigningKey::from_seed(audit_key).public_key();
        Ok(AuditFacts { checkpoint, public_key })
    }

    pub(crate) fn assemble(
        parts: Parts,
        meta: StoreMeta,
        tree_keys: TreeKeys,
        expected: Option<Checkpoint>,
        known: Head,
    ) -> Result<Self, StartError> {
        let store_key = parts.root.derive_store_key(parts.store_id);
        let audit_key = Arc::new(tree_keys.audit_key);
        let audit = (parts.audit)(Arc::clone(&audit_key), expected).map_err(StartError::AuditLog)?;
        let now = parts.clock.now();
        let inner = Inner {
            store: parts.store,
            audit,
            clock: parts.clock,
            random: parts.random,
            ids: IdPool::default(),
            spawn: parts.spawn,
            cache: RecordCache::new(parts.options.cache_bytes_max),
            permissions: Default::default(),
            store_key,
            wrapping_key: tree_keys.wrapping_key,
            token_keys: tree_keys.token_keys,
            audit_key,
            meta,
            node: NODE.parse().expect("a constant that is a node id"),
            outbox_keys: AtomicU64::new(0),
            in_flight: Default::default(),
            commit_permits: Arc::new(async_lock::Semaphore::new(COMMITS_MAX)),
            walk_permits: async_lock::Semaphore::new(WALKS_MAX),
            search_permits: async_lock::Semaphore::new(SEARCHES_MAX),
            accesses: Default::default(),
            key_uses: Default::default(),
            refusals: Mutex::new(RefusalMeter::new(now)),
            metrics: Metrics::default(),
            rate: parts.options.rate_limit.map(RateLimiter::new),
            strangers: RateLimiter::new(STRANGERS_A_SECOND),
            issuers: IssuerKeys::default(),
            maintenance: async_lock::Mutex::new(Maintenance::new(known, now)),
            audit_failed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Drains what an earlier run left in the outbox, and records the start.
    async fn start(self, start: Start) -> Result<Self, StartError> {
        self.0.drain().await.map_err(StartError::Record)?;
        if start.is_unsealing {
            let data = json!({"storeId": self.0.meta.store_id.to_string()});
            let record = self.0.service_record("Unseal", &data).into_body();
            self.0.audit.append(record).await.map_err(StartError::AuditWrite)?;
        }
        Ok(self)
    }
}

pub(crate) struct TreeKeys {
    pub(crate) wrapping_key: WrappingKey,
    pub(crate) token_keys: TokenKeys,
    pub(crate) audit_key: AuditSigningKey,
}

struct Start {
    /// A store is opened, not founded; the founding has its own record.
    is_unsealing: bool,
}

impl Inner {
    /// Records what is wrong with the log, if anything is: the log then goes on from where it ends.
    async fn accept_audit_loss(&self, checkpoint: Option<&Checkpoint>) -> Result<(), StartError> {
        let Err(problem) = self.audit.verify(checkpoint, &self.audit_key.public_key()) else { return Ok(()) };
        let data = json!({
            "problem": problem.to_string(),
            "lastRecordFound": self.audit.synced_head().sequence,
            "lastRecordKnown": checkpoint.map(|checkpoint| checkpoint.head.sequence),
        });
        let record = self.service_record("AcceptAuditLoss", &data).into_body();
        self.audit.append_synced(vec![record]).await.map_err(StartError::AuditWrite)?;
        Ok(())
    }

    /// One change with everything a store begins with, and its record.
    async fn write_founding(
        self: &Arc<Self>,
        tree: &[(&str, TreeKey)],
        users: &[FoundingUser],
    ) -> Result<(), StartError> {
        let now = self.meta.created;
        let account = self.meta.account;
        let mut change = Change { guards: vec![Guard::Absent(keys::store_meta())], writes: Vec::new() };
        self.stage(&mut change, keys::store_meta(), &self.meta);
        self.stage(&mut change, keys::policy_epoch(account), &PolicyEpoch { changed: now });
        for (purpose, key) in tree {
            self.stage(&mut change, keys::tree_key(purpose), key);
        }
        for user in users {
            let id = user.access_key_id.as_str();
            let context: [&[u8]; 1] = [id.as_bytes()];
            let access_key = AccessKey {
                account,
                user: user.name.clone(),
                sealed_secret: self.wrapping_key.seal_secret(
                    &*self.random,
                    "access-key-secret",
                    &context,
                    &user.secret_access_key,
                ),
                created: now,
                is_inactive: false,
                derived: Default::default(),
                noted_at: Default::default(),
                principal: Default::default(),
            };
            self.stage(&mut change, keys::access_key(id), &access_key);
            let mut policies = Policies::default();
            if user.administrator {
                policies.attached.insert(ADMINISTRATOR_ACCESS.to_owned());
            }
            let mut random = [0; 32];
            self.random.fill(&mut random);
            let facts = Facts {
                name: user.name.clone(),
                path: "/".to_owned(),
                id: user.id.clone().unwrap_or_else(|| unique_id(IdOf::User, &random)),
                created: now,
                tags: Vec::new(),
            };
            let record = User { facts, policies, boundary: None, groups: BTreeSet::new() };
            self.stage(&mut change, keys::user(account, &user.name), &record);
        }
        let names: Vec<_> = users
            .iter()
            .map(|user| json!({"userName": user.name, "accessKeyId": user.access_key_id}))
            .collect();
        let data = json!({"storeId": self.meta.store_id.to_string(), "users": names});
        let record = self.service_record("Init", &data).into_body();
        match self.commit_recorded(change, record).await {
            Committed::Landed => Ok(()),
            Committed::Conflict => Err(StartError::AlreadyFounded),
            Committed::Failed(cause) | Committed::Unknown(cause) => {
                Err(StartError::Commit(CommitError::Indeterminate(StoreError::Backend(cause))))
            }
        }
    }

    fn stage<R: Record>(&self, change: &mut Change, key: bytes::Bytes, record: &R) {
        let sealed = self.seal_record(&key, record);
        change.writes.push(Write::Put(key, sealed));
    }
}

async fn read<R: Record>(
    snapshot: &dyn Snapshot,
    store_key: &StoreKey,
    key: bytes::Bytes,
) -> Result<Option<R>, StartError> {
    let Some(entry) = snapshot.get(&key).await.map_err(StartError::Store)? else { return Ok(None) };
    view::open(store_key, &entry).map(Some).map_err(StartError::Record)
}

async fn read_checkpoint(
    snapshot: &dyn Snapshot,
    store_key: &StoreKey,
) -> Result<Option<Checkpoint>, StartError> {
    let node: NodeId = NODE.parse().expect("a constant that is a node id");
    let stored: Option<StoredCheckpoint> = read(snapshot, store_key, keys::checkpoint(&node)).await?;
    Ok(stored.map(|stored| stored.checkpoint))
}

async fn unwrap(
    snapshot: &dyn Snapshot,
    store_key: &StoreKey,
    wrapping_key: &WrappingKey,
    purpose: &str,
) -> Result<Key, StartError> {
    let stored: Option<TreeKey> = read(snapshot, store_key, keys::tree_key(purpose)).await?;
    let stored = stored.ok_or(StartError::Empty)?;
    wrapping_key.unwrap(purpose, &[], &stored.wrapped).map_err(|error| StartError::WrongRootKey(error.into()))
}
