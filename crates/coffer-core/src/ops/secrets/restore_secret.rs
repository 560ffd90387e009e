//! Taking back a scheduled deletion.

use coffer_audit::Members;
use coffer_policy::Values;

use super::find::{FoundSecret, Freshness, action, find_secret};
use super::{RestoreSecret, SecretReference};
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// The secret.
pub struct Found(FoundSecret);

impl Operation for RestoreSecret {
    type Found = Found;
    type Output = SecretReference;
    const NAME: OperationName = OperationName { name: "RestoreSecret", read_only: false };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        find_secret(context, view, &self.secret_id, Freshness::Newest).await.map(Found)
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.0.requires(action("RestoreSecret"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        found.0.condition(&self.secret_id, key)
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<SecretReference, Error> {
        let Found(found) = grant.into_found();
        let loaded = found.existing()?;
        let mut secret = loaded.record.as_ref().clone();
        // One that isn't scheduled for deletion is left as it is, which is what was asked for.
        if let Some(due) = secret.deletion_due.take() {
            transaction.remove_with_its_owner(keys::due_deletion(due, secret.uid));
            secret.last_changed = transaction.now();
            transaction.replace(found.key.clone(), Some(loaded.revision), &secret);
        }
        Ok(SecretReference { arn: found.arn_of(&secret) })
    }

    fn response(output: &SecretReference, members: &mut Members<'_>) {
        members.text("arn", &output.arn);
        members.text("name", &output.arn.name);
    }
}
