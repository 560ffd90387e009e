//! Changing a secret's description, key or value.

use coffer_audit::Members;
use coffer_policy::Values;

use super::excess::Excess;
use super::find::{FoundSecret, Freshness, action, find_secret};
use super::versions::{KnownVersion, NewVersion, check_encryption_key};
use super::{UpdateSecret, UpdatedSecret};
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::EncryptionKey;
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// The secret, the version that has the token already, and the key to seal under.
pub struct Found {
    secret: FoundSecret,
    version: Option<KnownVersion>,
    excess: Excess,
    encryption_key: Option<Loaded<EncryptionKey>>,
}

impl Operation for UpdateSecret {
    type Found = Found;
    type Output = UpdatedSecret;
    const NAME: OperationName = OperationName { name: "UpdateSecret", read_only: false };
    const FINDS_MORE: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
        members.optional_text("clientRequestToken", self.version.as_ref().map(|version| &version.token));
        members.optional_text("description", self.description.as_ref());
        members.optional_text("kmsKeyId", self.kms_key_id.as_ref());
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let secret = find_secret(context, view, &self.secret_id, Freshness::Newest).await?;
        let (mut version, mut encryption_key) = (None, None);
        if let Some(new) = &self.version {
            if let Some(loaded) = &secret.secret {
                version = KnownVersion::find(view, &loaded.record, &new.token).await?;
            }
            encryption_key = view.get(&keys::encryption_key(secret.account, &secret.region)).await?;
        }
        Ok(Found { secret, version, excess: Excess::default(), encryption_key })
    }

    async fn find_more(&self, context: &Context, view: &mut View, found: &mut Found) -> Result<(), Error> {
        if let (Some(_), Some(loaded), None) = (&self.version, &found.secret.secret, &found.version) {
            found.excess = Excess::find(view, &loaded.record, context.now).await?;
        }
        Ok(())
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.secret.requires(action("UpdateSecret"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        match key {
            "secretsmanager:description" => Values::optional(self.description.as_deref()),
            "secretsmanager:kmskeyid" | "secretsmanager:kmskeyarn" => {
                Values::optional(self.kms_key_id.as_deref())
            }
            _ => found.secret.condition(&self.secret_id, key),
        }
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<UpdatedSecret, Error> {
        let found = grant.into_found();
        let loaded = found.secret.usable()?;
        check_encryption_key(self.kms_key_id.as_deref())?;
        let arn = found.secret.arn_of(&loaded.record);
        let mut secret = loaded.record.as_ref().clone();
        let mut is_changed = false;
        if let Some(description) = &self.description {
            secret.description = Some(description.clone()).filter(|description| !description.is_empty());
            is_changed = secret.description != loaded.record.description;
        }
        if let Some(new) = &self.version {
            match &found.version {
                // The same request again; a description that came with it is no part of the version.
                Some(known) => {
                    let key = found.encryption_key.as_ref();
                    known.check_same(&new.token, &new.value, &arn, key, transaction)?;
                }
                None => {
                    let excess = &found.excess;
                    let new =
                        NewVersion { arn: &arn, token: &new.token, value: &new.value, stages: None, excess };
                    new.stage(&mut secret, found.encryption_key.as_ref(), transaction)?;
                    is_changed = true;
                }
            }
        }
        if is_changed {
            secret.last_changed = transaction.now();
            transaction.replace(found.secret.key.clone(), Some(loaded.revision), &secret);
        }
        Ok(UpdatedSecret { arn, version_id: self.version.as_ref().map(|version| version.token.clone()) })
    }

    fn response(output: &UpdatedSecret, members: &mut Members<'_>) {
        members.text("arn", &output.arn);
        members.text("name", &output.arn.name);
        members.optional_text("versionId", output.version_id.as_ref());
    }
}
