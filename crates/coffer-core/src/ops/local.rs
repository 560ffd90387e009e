//! Operations on coffer itself, which no cloud has: reading the audit log, checking it, and how things stand.
//! They go through the gate like all others.

use coffer_audit::{AuditHealth, Checkpoint, Members, Verified};
use coffer_crypto::StoreId;
use coffer_types::{AccountId, Action, Region, Timestamp};

use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::StoredCheckpoint;
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// Reads the newest records of the audit log.
pub struct TailAudit {
    /// How many, at most 10,000.
    pub count: usize,
}

/// Checks the whole audit log.
pub struct VerifyAudit;

/// Tells how things stand.
pub struct ReadStatus;

/// How things stand.
pub struct Status {
    /// The store's id.
    pub store_id: StoreId,
    /// The default account.
    pub account: AccountId,
    /// The default region.
    pub region: Region,
    /// When the store was founded.
    pub created: Timestamp,
    /// How many secrets it holds, in all accounts and regions, those included that wait for their deletion.
    pub secrets: u64,
    /// The newest change.
    pub revision: u64,
    /// The audit log.
    pub audit: AuditHealth,
    /// What the store last signed of the log.
    pub checkpoint: Option<Checkpoint>,
}

/// The outcome of a check.
pub struct AuditVerification {
    /// What holds; or where it doesn't, in words.
    pub outcome: Result<Verified, String>,
}

const COUNT_MAX: usize = 10_000;

fn requires(action: &'static str) -> Requirements {
    let action = Action::new("coffer", action);
    Requirements(vec![Requirement { action, resource: "*".into(), as_supplied: "*".into(), trust: None }])
}

impl Operation for TailAudit {
    type Found = Vec<String>;
    type Output = Vec<String>;
    const NAME: OperationName = OperationName { name: "TailAudit", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        members.json("count", self.count);
    }

    async fn find(&self, _: &Context, view: &mut View) -> Result<Vec<String>, Error> {
        // Committed changes whose records are still in the outbox belong to the log as well.
        view.inner().drain().await?;
        view.inner().audit.tail(self.count.min(COUNT_MAX)).map_err(Error::unavailable)
    }

    fn requires(&self, _: &Context, _: &Vec<String>) -> Requirements {
        requires("TailAudit")
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Vec<String>>,
        _: &mut Transaction<'_>,
    ) -> Result<Vec<String>, Error> {
        Ok(grant.into_found())
    }
}

impl Operation for VerifyAudit {
    type Found = AuditVerification;
    type Output = AuditVerification;
    const NAME: OperationName = OperationName { name: "VerifyAudit", read_only: true };

    fn parameters(&self, _: &mut Members<'_>) {}

    async fn find(&self, _: &Context, view: &mut View) -> Result<AuditVerification, Error> {
        view.inner().drain().await?;
        let key = keys::checkpoint(&view.inner().node);
        let stored = view.get_from_snapshot::<StoredCheckpoint>(&key).await?;
        let checkpoint = stored.as_ref().map(|stored| &stored.record.checkpoint);
        let public_key = view.inner().audit_key.public_key();
        let outcome = view.inner().audit.verify(checkpoint, &public_key).map_err(|error| error.to_string());
        Ok(AuditVerification { outcome })
    }

    fn requires(&self, _: &Context, _: &AuditVerification) -> Requirements {
        requires("VerifyAudit")
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<AuditVerification>,
        _: &mut Transaction<'_>,
    ) -> Result<AuditVerification, Error> {
        Ok(grant.into_found())
    }
}

impl Operation for ReadStatus {
    type Found = Status;
    type Output = Status;
    const NAME: OperationName = OperationName { name: "ReadStatus", read_only: true };

    fn parameters(&self, _: &mut Members<'_>) {}

    async fn find(&self, _: &Context, view: &mut View) -> Result<Status, Error> {
        let checkpoint_key = keys::checkpoint(&view.inner().node);
        let checkpoint = view.get_from_snapshot::<StoredCheckpoint>(&checkpoint_key).await?;
        let secrets = view.count(keys::secrets_everywhere()).await?;
        let revision = view.revision().await?.0;
        let inner = view.inner();
        Ok(Status {
            store_id: inner.meta.store_id,
            account: inner.meta.account,
            region: inner.meta.region.clone(),
            created: inner.meta.created,
            secrets,
            revision,
            audit: inner.audit.health(),
            checkpoint: checkpoint.map(|stored| stored.record.checkpoint.clone()),
        })
    }

    fn requires(&self, _: &Context, _: &Status) -> Requirements {
        requires("ReadStatus")
    }

    fn run(&self, _: &Context, grant: Grant<Status>, _: &mut Transaction<'_>) -> Result<Status, Error> {
        Ok(grant.into_found())
    }
}
