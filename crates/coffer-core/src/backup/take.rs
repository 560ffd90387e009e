//! Taking a backup: an operation whose answer is a stream of pieces.
//!
//! Two records tell of it. `Backup` is in the log before the first piece is given out, so that nobody gets a copy
//! unrecorded. `EndBackup` follows with the outcome, once the last piece was taken; a stream that is dropped before is
//! recorded as abandoned, and a process that dies leaves the first record alone. The snapshot blocks no writer.

use std::sync::Arc;

use bytes::Bytes;
use coffer_audit::{Checkpoint, Head, Members, RecordBody};
use coffer_store::{KeyRange, Order, Snapshot};
use coffer_types::Action;
use serde_json::Value;

use super::format::{Encoder, Header, Totals};
use crate::core::Inner;
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::recorder::Event;
use crate::records::view::{View, successor};
use crate::transaction::Transaction;
use crate::{Context, Error};

/// How many records are read of the snapshot at a time.
const PAGE: usize = 64;

const END: OperationName = OperationName { name: "EndBackup", read_only: true };

const ABANDONED: &str = "the backup was not taken to its end";

/// Copies the whole store.
pub struct Backup {
    /// What goes with it.
    pub enclosures: Enclosures,
}

/// What lies beside the records and is needed to serve them again.
#[derive(Clone, Debug)]
pub struct Enclosures {
    /// The content of `seal.json`: the sealed root key.
    pub seal: Value,
    /// The certificates that clients trust, in PEM, if the store has its own.
    pub certificates: Option<String>,
}

/// A backup as it is made, piece by piece.
pub struct BackupStream {
    inner: Arc<Inner>,
    context: Context,
    snapshot: Box<dyn Snapshot>,
    header: Header,
    front: Option<Vec<u8>>,
    /// `None` once the trailer was given out.
    encoder: Option<Encoder>,
    rest: KeyRange,
    totals: Totals,
    /// Whether its end is still to be recorded.
    is_open: bool,
}

/// What a backup is taken of.
pub struct Moment {
    inner: Arc<Inner>,
    snapshot: Box<dyn Snapshot>,
    head: Head,
}

impl Operation for Backup {
    type Found = Moment;
    type Output = BackupStream;
    const NAME: OperationName = OperationName { name: "Backup", read_only: true };

    fn parameters(&self, _: &mut Members<'_>) {}

    async fn find(&self, _: &Context, view: &mut View) -> Result<Moment, Error> {
        let inner = Arc::clone(view.inner());
        let (snapshot, head) = inner.snapshot_with_head().await?;
        Ok(Moment { inner, snapshot, head })
    }

    fn requires(&self, _: &Context, _: &Moment) -> Requirements {
        let action = Action::new("coffer", "Backup");
        Requirements(vec![Requirement { action, resource: "*".into(), as_supplied: "*".into(), trust: None }])
    }

    fn run(
        &self,
        context: &Context,
        grant: Grant<Moment>,
        transaction: &mut Transaction<'_>,
    ) -> Result<BackupStream, Error> {
        let Moment { inner, snapshot, head } = grant.into_found();
        let time = transaction.now();
        let header = Header {
            coffer: env!("CARGO_PKG_VERSION").to_owned(),
            store_id: inner.meta.store_id,
            account: inner.meta.account,
            region: inner.meta.region.clone(),
            founded: inner.meta.created,
            revision: snapshot.revision().0,
            time,
            audit: Checkpoint::sign(&inner.audit_key, inner.node.clone(), head, time),
            public_key: inner.audit_key.public_key(),
            seal: self.enclosures.seal.clone(),
            certificates: self.enclosures.certificates.clone(),
        };
        let (encoder, front) = Encoder::begin(&header)
            .ok_or_else(|| Error::LimitExceeded("The certificates are too long for a backup.".to_owned()))?;
        Ok(BackupStream {
            inner,
            context: context.clone(),
            snapshot,
            header,
            front: Some(front),
            encoder: Some(encoder),
            rest: KeyRange { start: Bytes::new(), end: None },
            totals: Totals::default(),
            is_open: true,
        })
    }

    fn response(stream: &BackupStream, members: &mut Members<'_>) {
        members.json("revision", stream.header.revision);
        members.json("auditSequence", stream.header.audit.head.sequence);
    }
}

impl BackupStream {
    /// What the backup says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What was given out so far; at the end, what the backup holds.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The next piece. `None` after the last one, when the end is recorded.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if let Some(front) = self.front.take() {
            return Ok(Some(front));
        }
        while let Some(encoder) = &mut self.encoder {
            let page = self.snapshot.range(self.rest.clone(), Order::Ascending, PAGE).await;
            let page = page.map_err(Error::unavailable)?;
            let Some(last) = page.last() else { break };
            self.rest.start = successor(&last.key);
            let mut piece = Vec::new();
            for entry in &page {
                piece.extend(encoder.push(entry).unwrap_or_default());
            }
            self.totals = encoder.totals();
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        if let Some(encoder) = self.encoder.take() {
            let (piece, totals) = encoder.finish(&self.inner.audit_key);
            self.totals = totals;
            return Ok(Some(piece));
        }
        if self.is_open {
            self.is_open = false;
            self.inner.append(self.end(None)).await?;
        }
        Ok(None)
    }

    /// Ends it early, and records that; for whoever cannot keep what it is given. Dropping it does the same, later.
    pub async fn abandon(mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.is_open) {
            self.inner.append(self.end(Some(ABANDONED))).await?;
        }
        Ok(())
    }

    /// The record of how it ended.
    fn end(&self, error: Option<&'static str>) -> RecordBody {
        let mut context = self.context.clone();
        context.now = self.inner.clock.now();
        let Totals { entries, bytes, hash } = self.totals;
        let event = Event { failure: error.map(|message| ("BackupAbandoned", message)), ..END.into() };
        let elements = |members: &mut Members<'_>| {
            members.json("revision", self.header.revision);
            members.json("records", entries);
            members.json("bytes", bytes);
            if error.is_none() {
                members.text("hash", hex::encode(hash));
            }
        };
        self.inner.record(&context, event, &|_| {}, &elements)
    }
}

impl Drop for BackupStream {
    fn drop(&mut self) {
        if self.is_open && self.front.is_none() {
            let record = self.end(Some(ABANDONED));
            let inner = Arc::clone(&self.inner);
            // A log that is closed or fails leaves the first record without a second, which says the same.
            self.inner.spawn.spawn(Box::pin(async move { drop(inner.append(record).await) }));
        }
    }
}
