//! What coffer does by itself: draining the outbox into the audit log, checkpoints, summaries of refusals,
//! deletions whose time has come, and removing the versions of deleted secrets.
//!
//! No thread and no timer here: whoever runs coffer calls [`Core::maintain`] every so often.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use coffer_audit::{Checkpoint, Head, RecordBody};
use coffer_store::{Change, CommitError, Guard, Order, Revision, Snapshot, Write};
use coffer_types::Timestamp;
use serde_json::json;

use crate::access::LastAccess;
use crate::commit::{Committed, StoreBroken};
use crate::core::{Core, Inner};
use crate::records::view::View;
use crate::records::{DueDeletion, OutboxEntry, Secret, StoredCheckpoint, SweepJob, Version, view};
use crate::{Error, keys};

/// How many outbox entries are read at a time.
const DRAIN_BATCH: usize = 512;
/// How many go into the log, and then out of the outbox in one change, beside the checkpoint.
const REMOVE_BATCH: usize = 90;
/// How long a checkpoint may stay behind the log.
const CHECKPOINT_MILLIS: i64 = 1000;
/// How long a tombstone keeps a change of unknown fate from landing: far above any store's time-out.
const TOMBSTONE_MILLIS: i64 = 10 * 60 * 1000;
/// How many secrets whose time has come are deleted in one round.
const DUE_BATCH: usize = 16;
/// How many versions of a deleted secret go in one change, each with its index.
const SWEEP_BATCH: usize = 40;

/// What maintenance remembers from one round to the next.
pub(crate) struct Maintenance {
    /// The newest head that the store has a checkpoint of.
    checkpointed: Head,
    checkpointed_at: Timestamp,
    /// When the days of reads were last written.
    accesses_written_at: Timestamp,
    /// When the age of the token key was last looked at.
    token_key_looked_at: Option<Timestamp>,
    /// Whether entries of the outbox may be in the log already: after a start, and after anything failed.
    may_repeat: bool,
}

impl Maintenance {
    pub(crate) fn new(checkpointed: Head, now: Timestamp) -> Self {
        let (checkpointed_at, accesses_written_at) = (now, now);
        let token_key_looked_at = None;
        Self { checkpointed, checkpointed_at, accesses_written_at, token_key_looked_at, may_repeat: true }
    }
}

impl Core {
    /// Does what is due. Call it a few times a second; a call while another is at it returns at once.
    pub async fn maintain(&self) {
        let inner = &self.0;
        let Some(mut maintenance) = inner.maintenance.try_lock() else { return };
        if inner.drain_with(&mut maintenance).await.is_ok() {
            // What fails here is tried again in the next round; requests see the failure themselves.
            let _ = inner.summarise_refusals().await;
            let _ = inner.checkpoint_if_due(&mut maintenance).await;
            // Before the sweep, which so takes everything that is left of a deleted secret.
            let _ = inner.write_accesses_if_due(&mut maintenance.accesses_written_at).await;
            let _ = inner.rotate_token_key_if_due(&mut maintenance.token_key_looked_at).await;
            let _ = inner.delete_due().await;
            let _ = inner.sweep().await;
        }
    }

    /// Finishes a short visit: everything is drained, summed up and signed, and the log's segment stays open for whoever
    /// comes next. Serve nothing afterwards.
    pub async fn leave(&self) -> Result<(), Error> {
        let mut maintenance = self.0.maintenance.lock().await;
        self.0.finish(&mut maintenance).await?;
        let head = self.0.audit.append_synced(Vec::new()).await.map_err(Error::unavailable)?;
        self.0.write_checkpoint(&mut maintenance, head, &[]).await
    }

    /// Finishes as [`Core::leave`] does, and closes the log's segment with its digest: the end of a server.
    pub async fn close(&self) -> Result<(), Error> {
        let mut maintenance = self.0.maintenance.lock().await;
        self.0.finish(&mut maintenance).await?;
        self.0.audit.close(self.0.clock.now()).await.map_err(Error::unavailable)?;
        self.0.write_checkpoint(&mut maintenance, self.0.audit.synced_head(), &[]).await
    }
}

impl Inner {
    /// Moves every settled outbox entry into the log, in the order of their commits, and out of the outbox once
    /// the log is on disk.
    pub(crate) async fn drain(&self) -> Result<(), Error> {
        self.drain_with(&mut *self.maintenance.lock().await).await
    }

    /// A snapshot of the store, and the head of the log that belongs to it: the record of each change in the snapshot is
    /// in the log up to that head or in the snapshot's outbox, and never in both. The log is on disk up to there.
    pub(crate) async fn snapshot_with_head(&self) -> Result<(Box<dyn Snapshot>, Head), Error> {
        // Nobody else moves entries while this is held.
        let mut maintenance = self.maintenance.lock().await;
        self.drain_with(&mut maintenance).await?;
        let snapshot = self.store.snapshot().await.map_err(Error::unavailable)?;
        let head = self.audit.append_synced(Vec::new()).await.map_err(Error::unavailable)?;
        Ok((snapshot, head))
    }

    async fn finish(&self, maintenance: &mut Maintenance) -> Result<(), Error> {
        self.drain_with(maintenance).await?;
        // Best effort: a date that is lost is no reason to fail.
        let _ = self.write_all_accesses().await;
        self.summarise_all_refusals().await
    }

    async fn drain_with(&self, maintenance: &mut Maintenance) -> Result<(), Error> {
        let drained = self.drain_batches(maintenance).await;
        self.audit_failed.store(drained.is_err(), Ordering::Release);
        maintenance.may_repeat |= drained.is_err();
        drained
    }

    async fn drain_batches(&self, maintenance: &mut Maintenance) -> Result<(), Error> {
        if self.audit_failed.load(Ordering::Acquire) {
            // Asks the log whether it can be written again.
            self.audit.append_synced(Vec::new()).await.map_err(Error::unavailable)?;
        }
        loop {
            let entries = self.settled_entries().await?;
            if entries.is_empty() {
                return Ok(());
            }
            // As many at a time as leave the outbox together: a checkpoint must not be past an entry that stays.
            let mut entries = entries.into_iter().peekable();
            while entries.peek().is_some() {
                let (keys, bodies): (Vec<Bytes>, Vec<Option<RecordBody>>) =
                    entries.by_ref().take(REMOVE_BATCH).unzip();
                let mut bodies: Vec<RecordBody> = bodies.into_iter().flatten().collect();
                if maintenance.may_repeat {
                    // An entry leaves the outbox together with a checkpoint, so one that is in the log already is
                    // after the last checkpoint.
                    let after = maintenance.checkpointed.sequence;
                    let known = self.audit.event_ids_after(after).map_err(Error::unavailable)?;
                    bodies.retain(|body| !known.contains(&body.event_id()));
                }
                let head = self.audit.append_synced(bodies).await.map_err(Error::unavailable)?;
                self.write_checkpoint(maintenance, head, &keys).await?;
            }
            maintenance.may_repeat = false;
        }
    }

    /// Entries whose author knows that they landed, by revision; and tombstones that have served their time.
    async fn settled_entries(&self) -> Result<Vec<(Bytes, Option<RecordBody>)>, Error> {
        let snapshot = self.store.snapshot().await.map_err(Error::unavailable)?;
        let mut range = keys::outbox_of(&self.node);
        let now = self.clock.now();
        let mut settled = Vec::new();
        loop {
            // A page of tombstones alone must not keep the records behind it waiting.
            let entries = snapshot.range(range.clone(), Order::Ascending, DRAIN_BATCH).await;
            let mut entries = entries.map_err(Error::unavailable)?;
            let is_last_page = entries.len() < DRAIN_BATCH;
            if let Some(last) = entries.last() {
                range.start = view::successor(&last.key);
            }
            entries.sort_by_key(|entry| entry.revision);
            for entry in entries {
                if self.in_flight.contains(&entry.key) {
                    // What was committed later waits too, so that the log has the order of the commits.
                    return Ok(settled);
                }
                match view::open::<OutboxEntry>(&self.store_key, &entry)? {
                    OutboxEntry::Record { body } => {
                        let body = RecordBody::from_bytes(body).map_err(Error::unavailable)?;
                        settled.push((entry.key, Some(body)));
                    }
                    OutboxEntry::Tombstone { placed } if now.millis_since(placed) > TOMBSTONE_MILLIS => {
                        settled.push((entry.key, None));
                    }
                    OutboxEntry::Tombstone { .. } => {}
                }
            }
            if is_last_page || !settled.is_empty() {
                break;
            }
        }
        Ok(settled)
    }

    /// How many records of changes are in the outbox, settled or not.
    pub(crate) async fn undrained_records(&self) -> Result<u64, Error> {
        let snapshot = self.store.snapshot().await.map_err(Error::unavailable)?;
        let mut range = keys::outbox_of(&self.node);
        let mut records = 0;
        loop {
            let entries = snapshot.range(range.clone(), Order::Ascending, DRAIN_BATCH).await;
            let entries = entries.map_err(Error::unavailable)?;
            for entry in &entries {
                match view::open::<OutboxEntry>(&self.store_key, entry)? {
                    OutboxEntry::Record { .. } => records += 1,
                    OutboxEntry::Tombstone { .. } => {}
                }
            }
            match entries.last() {
                Some(last) if entries.len() == DRAIN_BATCH => range.start = view::successor(&last.key),
                Some(_) | None => return Ok(records),
            }
        }
    }

    async fn checkpoint_if_due(&self, maintenance: &mut Maintenance) -> Result<(), Error> {
        let head = self.audit.synced_head();
        let age_millis = self.clock.now().millis_since(maintenance.checkpointed_at);
        if head.sequence > maintenance.checkpointed.sequence && age_millis >= CHECKPOINT_MILLIS {
            self.write_checkpoint(maintenance, head, &[]).await?;
        }
        Ok(())
    }

    /// Signs a head of the log that is on disk into the store, and removes outbox entries that it covers.
    async fn write_checkpoint(
        &self,
        maintenance: &mut Maintenance,
        head: Head,
        removed: &[Bytes],
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let checkpoint = Checkpoint::sign(&self.audit_key, self.node.clone(), head, now);
        let key = keys::checkpoint(&self.node);
        let sealed = self.seal_record(&key, &StoredCheckpoint { checkpoint });
        let mut writes: Vec<Write> = removed.iter().cloned().map(Write::Delete).collect();
        writes.push(Write::Put(key.clone(), sealed));
        // Guarded, so that a checkpoint that is late never takes the place of a newer one.
        let guard = match self.written_at(&key).await? {
            Some(revision) => Guard::At(key.clone(), revision),
            None => Guard::Absent(key.clone()),
        };
        match self.store.commit(Change { guards: vec![guard], writes }).await {
            Ok(revision) => {
                if self.written_at(&key).await? != Some(revision) {
                    return Err(self.acknowledged_but_missing());
                }
                maintenance.checkpointed = head;
                maintenance.checkpointed_at = now;
                Ok(())
            }
            // Whether it landed does not matter: the next round does the same again.
            Err(
                error @ (CommitError::Conflict | CommitError::Determinate(_) | CommitError::Indeterminate(_)),
            ) => Err(Error::unavailable(error)),
        }
    }

    /// The change that last wrote a key, if it is there.
    async fn written_at(&self, key: &Bytes) -> Result<Option<Revision>, Error> {
        let snapshot = self.store.snapshot().await.map_err(Error::unavailable)?;
        let entry = snapshot.get(key).await.map_err(Error::unavailable)?;
        Ok(entry.map(|entry| entry.revision))
    }

    fn acknowledged_but_missing(&self) -> Error {
        self.stop_serving();
        Error::unavailable(StoreBroken::AcknowledgedButMissing)
    }

    /// Deletes secrets whose recovery window is over, soonest first. Their versions are left to the sweep.
    async fn delete_due(self: &Arc<Self>) -> Result<(), Error> {
        let now = self.clock.now();
        let mut view = View::new(Arc::clone(self));
        let due = view.range::<DueDeletion>(keys::due_deletions(), Order::Ascending, DUE_BATCH).await?;
        for (due_key, deletion) in due {
            let deletion = deletion.record;
            if deletion.due > now {
                break;
            }
            let secret_key = keys::secret(deletion.account, &deletion.region, &deletion.name);
            // The index changes only with the secret, so the two agree; still nothing is deleted on the word of an index.
            let found = view.get_from_snapshot::<Secret>(&secret_key).await?;
            let is_meant =
                |secret: &Secret| secret.uid == deletion.uid && secret.deletion_due == Some(deletion.due);
            let Some(found) = found.filter(|found| is_meant(&found.record)) else { continue };
            let secret = found.record;
            let arn = secret.arn(deletion.account, &deletion.region, &deletion.name);
            let creation = keys::creation(deletion.account, &deletion.region, secret.created, secret.uid);
            let job_key = keys::sweep_job(secret.uid);
            let job = self.seal_record(&job_key, &SweepJob { uid: secret.uid, arn: arn.clone() });
            let guards = vec![Guard::At(secret_key.clone(), found.revision), Guard::Absent(job_key.clone())];
            let writes = vec![
                Write::Delete(secret_key),
                Write::Delete(creation),
                Write::Delete(due_key),
                Write::Put(job_key, job),
            ];
            let data = json!({"SecretId": arn.to_string(), "DeletionDate": deletion.due.to_string()});
            let record = self.service_record("StartSecretVersionDelete", &data).into_body();
            match self.commit_recorded(Change { guards, writes }, record).await {
                // After a conflict somebody has restored or deleted it meanwhile.
                Committed::Landed | Committed::Conflict => {}
                Committed::Failed(cause) | Committed::Unknown(cause) => {
                    return Err(Error::unavailable(cause));
                }
            }
        }
        Ok(())
    }

    /// Removes what is left of deleted secrets, a batch of versions a change. A job that is cut short goes on at
    /// the next call, or after the next start.
    async fn sweep(self: &Arc<Self>) -> Result<(), Error> {
        let mut view = View::new(Arc::clone(self));
        let jobs = view.range::<SweepJob>(keys::sweep_jobs(), Order::Ascending, 1).await?;
        for (job_key, job) in jobs {
            let uid = job.record.uid;
            let versions = view.range::<Version>(keys::versions(uid), Order::Ascending, SWEEP_BATCH).await?;
            let mut writes = Vec::with_capacity(2 * versions.len());
            for (key, version) in versions {
                writes.push(Write::Delete(keys::version_by_id(uid, &version.record.id)));
                writes.push(Write::Delete(key));
            }
            if writes.is_empty() {
                let accesses = keys::last_accesses(uid);
                let accesses = view.range::<LastAccess>(accesses, Order::Ascending, 2 * SWEEP_BATCH).await?;
                writes.extend(accesses.into_iter().map(|(key, _)| Write::Delete(key)));
            }
            if writes.is_empty() {
                self.finish_sweep(job_key, &job.record, job.revision).await?;
                continue;
            }
            let removed: Vec<Bytes> = writes.iter().map(crate::commit::written_key).cloned().collect();
            self.cache.begin_change(&removed);
            let committed = self.store.commit(Change { guards: Vec::new(), writes }).await;
            self.cache.end_change(&removed, committed.as_ref().ok().copied());
            committed.map_err(Error::unavailable)?;
            if let Some(key) = removed.first()
                && self.written_at(key).await?.is_some()
            {
                return Err(self.acknowledged_but_missing());
            }
        }
        Ok(())
    }

    async fn finish_sweep(
        self: &Arc<Self>,
        job_key: Bytes,
        job: &SweepJob,
        seen: Revision,
    ) -> Result<(), Error> {
        let data = json!({"SecretId": job.arn.to_string()});
        let record = self.service_record("EndSecretVersionDelete", &data).into_body();
        let change =
            Change { guards: vec![Guard::At(job_key.clone(), seen)], writes: vec![Write::Delete(job_key)] };
        match self.commit_recorded(change, record).await {
            Committed::Landed | Committed::Conflict => Ok(()),
            Committed::Failed(cause) | Committed::Unknown(cause) => Err(Error::unavailable(cause)),
        }
    }
}
