//! Moving, attaching or detaching a staging label.

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::VersionId;

use super::find::{FoundSecret, Freshness, action, find_secret};
use super::versions::KnownVersion;
use super::{SecretReference, UpdateSecretVersionStage};
use crate::authorize::one;
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::labels::{self, Move};
use crate::records::VersionReference;
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// The secret and the two versions named.
pub struct Found {
    secret: FoundSecret,
    remove_from: Option<KnownVersion>,
    move_to: Option<KnownVersion>,
}

impl Operation for UpdateSecretVersionStage {
    type Found = Found;
    type Output = SecretReference;
    const NAME: OperationName = OperationName { name: "UpdateSecretVersionStage", read_only: false };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
        members.text("versionStage", &self.stage);
        members.optional_text("removeFromVersionId", self.remove_from.as_ref());
        members.optional_text("moveToVersionId", self.move_to.as_ref());
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let secret = find_secret(context, view, &self.secret_id, Freshness::Newest).await?;
        let mut found = Found { secret, remove_from: None, move_to: None };
        if let Some(loaded) = &found.secret.secret {
            if let Some(id) = &self.remove_from {
                found.remove_from = KnownVersion::find(view, &loaded.record, id).await?;
            }
            if let Some(id) = &self.move_to {
                found.move_to = KnownVersion::find(view, &loaded.record, id).await?;
            }
        }
        Ok(found)
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.secret.requires(action("UpdateSecretVersionStage"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        match key {
            "secretsmanager:versionstage" => one(self.stage.as_str()),
            _ => found.secret.condition(&self.secret_id, key),
        }
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<SecretReference, Error> {
        let found = grant.into_found();
        let loaded = found.secret.usable()?;
        let mut secret = loaded.record.as_ref().clone();
        existing(self.remove_from.as_ref(), found.remove_from.as_ref())?;
        let move_to = existing(self.move_to.as_ref(), found.move_to.as_ref())?;
        let wish =
            Move { stage: &self.stage, remove_from: self.remove_from.as_ref(), move_to: move_to.as_ref() };
        labels::move_label(&mut secret.stages, wish)?;
        if secret.stages != loaded.record.stages {
            secret.last_changed = transaction.now();
            transaction.replace(found.secret.key.clone(), Some(loaded.revision), &secret);
        }
        Ok(SecretReference { arn: found.secret.arn_of(&secret) })
    }

    fn response(output: &SecretReference, members: &mut Members<'_>) {
        members.text("arn", &output.arn);
        members.text("name", &output.arn.name);
    }
}

/// A version that was named must exist.
fn existing(
    named: Option<&VersionId>,
    found: Option<&KnownVersion>,
) -> Result<Option<VersionReference>, Error> {
    let Some(id) = named else { return Ok(None) };
    let known = found.ok_or_else(|| Error::VersionNotFound(id.clone()))?;
    let version = &known.version.record;
    Ok(Some(VersionReference { ordinal: version.ordinal, id: version.id.clone() }))
}
