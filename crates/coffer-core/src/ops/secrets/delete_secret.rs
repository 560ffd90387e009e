//! Deleting a secret, later or now.

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::SecretName;

use super::find::{FoundSecret, Freshness, action, find_secret};
use super::{DeleteSecret, DeletedSecret, DeletionMode};
use crate::authorize::one;
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::records::{CreationIndex, DueDeletion, Secret, SweepJob};
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// The secret and its place in the listing.
pub struct Found {
    secret: FoundSecret,
    creation: Option<Loaded<CreationIndex>>,
}

impl Operation for DeleteSecret {
    type Found = Found;
    type Output = DeletedSecret;
    const NAME: OperationName = OperationName { name: "DeleteSecret", read_only: false };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
        match self.mode {
            DeletionMode::Recoverable { days } => members.json("recoveryWindowInDays", days),
            DeletionMode::Immediate => members.json("forceDeleteWithoutRecovery", true),
        }
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let secret = find_secret(context, view, &self.secret_id, Freshness::Newest).await?;
        let creation = match (&secret.secret, self.mode) {
            (Some(loaded), DeletionMode::Immediate) => {
                let record = &loaded.record;
                view.get(&keys::creation(secret.account, &secret.region, record.created, record.uid)).await?
            }
            _ => None,
        };
        Ok(Found { secret, creation })
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.secret.requires(action("DeleteSecret"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        match (key, self.mode) {
            ("secretsmanager:forcedeletewithoutrecovery", mode) => {
                one(if mode == DeletionMode::Immediate { "true" } else { "false" })
            }
            ("secretsmanager:recoverywindowindays", DeletionMode::Recoverable { days }) => {
                one(days.to_string())
            }
            _ => found.secret.condition(&self.secret_id, key),
        }
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<DeletedSecret, Error> {
        let found = grant.into_found();
        let now = transaction.now();
        let name: SecretName = found.secret.name.clone();
        match (self.mode, &found.secret.secret) {
            // AWS answers so: what is asked for is true already.
            (DeletionMode::Immediate, None) => Ok(DeletedSecret { arn: None, name, deletion_date: now }),
            (DeletionMode::Immediate, Some(loaded)) => {
                let arn = found.secret.arn_of(&loaded.record);
                delete_now(&found, loaded, transaction);
                Ok(DeletedSecret { arn: Some(arn), name, deletion_date: now })
            }
            (DeletionMode::Recoverable { days }, _) => {
                let loaded = found.secret.existing()?;
                if loaded.record.deletion_due.is_some() {
                    return Err(Error::AlreadyScheduledForDeletion);
                }
                let due = now.plus_days(days);
                let (account, region) = (found.secret.account, found.secret.region.clone());
                let uid = loaded.record.uid;
                let deletion = DueDeletion { account, region, name: name.clone(), due, uid };
                transaction.replace(keys::due_deletion(due, uid), None, &deletion);
                let mut secret = loaded.record.as_ref().clone();
                secret.deletion_due = Some(due);
                secret.last_changed = now;
                transaction.replace(found.secret.key.clone(), Some(loaded.revision), &secret);
                Ok(DeletedSecret { arn: Some(found.secret.arn_of(&secret)), name, deletion_date: due })
            }
        }
    }

    fn response(output: &DeletedSecret, members: &mut Members<'_>) {
        members.optional_text("arn", output.arn.as_ref());
        members.text("name", &output.name);
        members.text("deletionDate", output.deletion_date);
    }
}

/// Takes the secret's name and place away at once; its versions go by a job, since there may be any number.
fn delete_now(found: &Found, loaded: &Loaded<Secret>, transaction: &mut Transaction<'_>) {
    let secret = &loaded.record;
    let arn = found.secret.arn_of(secret);
    transaction.remove(found.secret.key.clone(), loaded.revision);
    if let Some(creation) = &found.creation {
        let key = keys::creation(found.secret.account, &found.secret.region, secret.created, secret.uid);
        transaction.remove(key, creation.revision);
    }
    if let Some(due) = secret.deletion_due {
        transaction.remove_with_its_owner(keys::due_deletion(due, secret.uid));
    }
    transaction.replace(keys::sweep_job(secret.uid), None, &SweepJob { uid: secret.uid, arn });
}
