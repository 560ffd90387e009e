//! Making a store of a backup again, and the audit epoch it begins with.
//!
//! Writes only through the store and the log that are given, which are to be kept aside until [`Core::restore`] has
//! answered. Invariants: what a backup says is believed only once its end was read and its signature is the store's
//! own; every record of a change is in the old log up to the head that the backup names, or in the new log, and never in
//! both; no token that was given out before is good for anything.

use std::io::Read;

use coffer_audit::{Head, Members, RecordBody};
use coffer_crypto::{Key, RootKey};
use coffer_store::{
    BoxFuture, Change, CommitError, Entry, Order, Revision, Snapshot, Store, StoreError, Write,
};

use super::check::{Check, Contents, Essentials};
use super::compare::Undone;
use super::format::{BackupError, Header, Reader, Totals};
use crate::gate::OperationName;
use crate::records::view::successor;
use crate::records::{OutboxEntry, Record, StoredCheckpoint, TreeKey};
use crate::start::{TOKEN_KEY, TreeKeys};
use crate::token_keys::TokenKeys;
use crate::{Context, Core, Parts, Principal, RequestInfo, StartError, Transport, keys};

/// Most writes of one change, and most bytes after which it takes no more.
const CHANGE_WRITES: usize = 96;
const CHANGE_BYTES: usize = 256 * 1024;
/// How many changes are handed to the store before the first is waited for: they share syncs.
const CHANGES_AHEAD: usize = 48;
/// Most bytes of audit records that were in the outbox.
const CARRIED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many records go into the log at a time.
const CARRIED_BATCH: usize = 512;
/// How many records are read of a snapshot at a time.
const PAGE: usize = 64;
/// Most names of what was undone that the record tells.
const RECORDED_NAMES_MAX: usize = 100;

const RESTORE: OperationName = OperationName { name: "RestoreBackup", read_only: false };
/// The door of who restores, in records.
const EVENT_SOURCE: &str = "coffer.local";

/// A backup whose records are in a store that nobody has opened yet.
pub struct Loaded {
    header: Header,
    totals: Totals,
    contents: Contents,
    essentials: Essentials,
    /// Records of changes that were not in the old log, in the order of their commits.
    carried: Vec<RecordBody>,
}

/// Why a backup could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is not whole, or not the store's.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There are records in the store already.
    #[error("the store to restore into is not empty")]
    NotEmpty,
    /// The store failed.
    #[error("the store could not be read or written")]
    Store(#[source] StoreError),
    /// A record was not written.
    #[error("the store could not be written")]
    Commit(#[source] CommitError),
    /// More of the audit log than is kept in memory.
    #[error("the backup holds more audit records that were not in the log yet than coffer takes")]
    TooManyUndrained,
}

impl Loaded {
    /// What the backup says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What its records tell.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// How much it holds.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

/// Puts the records of a backup into an empty store, except what belongs to the old audit log, and checks them on the
/// way. `progress` is told how many bytes were read.
///
/// With `access`, users and access keys are those of that snapshot, of the same store, and not the backup's.
///
/// Records that do not open, or point at what is not there, are faults in [`Loaded::contents`] and no errors: once the
/// signature holds, they are what the store held. After an error the store is to be thrown away.
pub async fn load<R: Read>(
    store: &dyn Store,
    root: &RootKey,
    backup: &mut Reader<R>,
    access: Option<&dyn Snapshot>,
    mut progress: impl FnMut(u64),
) -> Result<Loaded, RestoreError> {
    let empty = store.snapshot().await.map_err(RestoreError::Store)?;
    if empty.revision() != Revision::default() {
        return Err(RestoreError::NotEmpty);
    }
    drop(empty);
    let header = backup.header().clone();
    let mut check = Check::new(root, header.store_id);
    let mut loading = Loading::new(store);
    let (mut carried, mut carried_bytes) = (Vec::new(), 0);
    while let Some(entries) = backup.next()? {
        for entry in entries {
            if access.is_some() && is_access(&entry.key) {
                continue;
            }
            let record = check.open_record(&entry);
            if let Some(body) = record {
                carried_bytes += body.as_bytes().len();
                if carried_bytes > CARRIED_BYTES_MAX {
                    return Err(RestoreError::TooManyUndrained);
                }
                carried.push((entry.revision, body));
            }
            if !belongs_to_the_log(&entry.key) {
                loading.put(entry).await?;
            }
        }
        progress(backup.position());
    }
    if let Some(access) = access {
        for mut range in keys::access() {
            loop {
                let page = access.range(range.clone(), Order::Ascending, PAGE).await;
                let page = page.map_err(RestoreError::Store)?;
                let Some(last) = page.last() else { break };
                range.start = successor(&last.key);
                for entry in page {
                    check.open_record(&entry);
                    loading.put(entry).await?;
                }
            }
        }
    }
    let (contents, essentials) = check.conclude(&header)?;
    loading.finish().await?;
    carried.sort_by_key(|(revision, _)| *revision);
    let carried = carried.into_iter().map(|(_, body)| body).collect();
    Ok(Loaded { header, totals: backup.totals(), contents, essentials, carried })
}

/// Whether a record says who may come in, and what they may do.
fn is_access(key: &[u8]) -> bool {
    keys::access().iter().any(|range| key.starts_with(&range.start))
}

/// Whether a record is about the audit log that the restored store no longer goes on with.
fn belongs_to_the_log(key: &[u8]) -> bool {
    let kind = keys::kind_at(key);
    kind == Some(OutboxEntry::KIND) || kind == Some(StoredCheckpoint::KIND)
}

/// Changes on their way into a store.
struct Loading<'a> {
    store: &'a dyn Store,
    change: Change,
    bytes: usize,
    under_way: Vec<BoxFuture<'static, Result<Revision, CommitError>>>,
}

impl<'a> Loading<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self { store, change: Change::default(), bytes: 0, under_way: Vec::new() }
    }

    async fn put(&mut self, entry: Entry) -> Result<(), RestoreError> {
        let bytes = entry.key.len() + entry.value.len();
        if self.bytes + bytes > CHANGE_BYTES || self.change.writes.len() >= CHANGE_WRITES {
            self.commit();
        }
        self.bytes += bytes;
        self.change.writes.push(Write::Put(entry.key, entry.value));
        if self.under_way.len() >= CHANGES_AHEAD { self.wait().await } else { Ok(()) }
    }

    async fn finish(mut self) -> Result<(), RestoreError> {
        self.commit();
        self.wait().await
    }

    /// Hands the change over; a store takes it before it is waited for.
    fn commit(&mut self) {
        if !self.change.writes.is_empty() {
            self.bytes = 0;
            self.under_way.push(self.store.commit(std::mem::take(&mut self.change)));
        }
    }

    async fn wait(&mut self) -> Result<(), RestoreError> {
        for committed in self.under_way.drain(..) {
            committed.await.map_err(RestoreError::Commit)?;
        }
        Ok(())
    }
}

impl Core {
    /// Opens a store that a backup was loaded into, over a new and empty log, and begins its new audit epoch: the
    /// first record is `RestoreBackup`, then come those of changes that the old log may not have. The store belongs
    /// to `uid` from now on, and has a new token key.
    pub async fn restore(
        parts: Parts,
        loaded: Loaded,
        uid: u32,
        program: &str,
        undone: Option<&Undone>,
    ) -> Result<Self, StartError> {
        let Loaded { header, totals, contents, essentials, carried } = loaded;
        let Essentials { mut meta, audit_key, wrapping_key } = essentials;
        let previous_owner = std::mem::replace(&mut meta.owner_uid, uid);
        let token_key = Key::make(&*parts.random);
        let retired = TreeKey {
            wrapped: wrapping_key.wrap(&*parts.random, TOKEN_KEY, &[], &token_key),
            created: parts.clock.now(),
            before: None,
        };
        let token_keys = TokenKeys::new(token_key, None);
        let store = std::sync::Arc::clone(&parts.store);
        let tree_keys = TreeKeys { wrapping_key, token_keys, audit_key };
        let core = Self::assemble(parts, meta, tree_keys, None, Head::GENESIS)?;
        let inner = core.inner();
        let (meta_key, token_key) = (keys::store_meta(), keys::tree_key(TOKEN_KEY));
        let writes = vec![
            Write::Put(meta_key.clone(), inner.seal_record(&meta_key, &inner.meta)),
            Write::Put(token_key.clone(), inner.seal_record(&token_key, &retired)),
        ];
        store.commit(Change { guards: Vec::new(), writes }).await.map_err(StartError::Commit)?;

        let context = Context {
            principal: Principal::Local {
                uid,
                arn: format!("arn:aws:iam::{}:root", inner.meta.account).into(),
            },
            account: inner.meta.account,
            region: inner.meta.region.clone(),
            request: RequestInfo {
                request_id: core.new_request_id(),
                correlation_id: None,
                source: None,
                user_agent: program.into(),
                transport: Transport::Local,
            },
            now: core.now(),
            event_source: EVENT_SOURCE,
        };
        let parameters = |members: &mut Members<'_>| {
            members.text("storeId", header.store_id);
            members.object("backup", |backup| {
                backup.json("revision", header.revision);
                backup.text("time", header.time);
                backup.json("records", totals.entries);
                backup.text("hash", hex::encode(totals.hash));
            });
            members.object("previousLog", |log| {
                log.text("node", &header.audit.node);
                log.json("sequence", header.audit.head.sequence);
                log.text("hash", hex::encode(header.audit.head.hash));
            });
        };
        let elements = |members: &mut Members<'_>| {
            members.json("carriedRecords", carried.len());
            members.json("accessKeys", contents.access_keys.len());
            members.json("secrets", contents.secrets);
            members.json("faults", contents.fault_count);
            members.json("previousOwner", previous_owner);
            if let Some(undone) = undone {
                members.json("undone", undone.to_record(RECORDED_NAMES_MAX));
            }
        };
        let first = inner.record(&context, RESTORE.into(), &parameters, &elements);
        inner.audit.append_synced(vec![first]).await.map_err(StartError::AuditWrite)?;
        let mut carried = carried.into_iter();
        loop {
            let batch: Vec<RecordBody> = carried.by_ref().take(CARRIED_BATCH).collect();
            if batch.is_empty() {
                return Ok(core);
            }
            inner.audit.append_synced(batch).await.map_err(StartError::AuditWrite)?;
        }
    }
}
