//! Making a secret.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::{SecretArn, SecretId};

use super::excess::Excess;
use super::find::{FoundSecret, Freshness, action, find_secret};
use super::versions::{KnownVersion, NewVersion, check_encryption_key};
use super::{CreateSecret, CreatedSecret, tags};
use crate::authorize::{one, request_tags};
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::records::{CreationIndex, EncryptionKey, Secret};
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// The secret that has the name already, and the version that has the token already.
pub struct Found {
    secret: FoundSecret,
    version: Option<KnownVersion>,
    encryption_key: Option<Loaded<EncryptionKey>>,
}

impl Operation for CreateSecret {
    type Found = Found;
    type Output = CreatedSecret;
    const NAME: OperationName = OperationName { name: "CreateSecret", read_only: false };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("name", &self.name);
        members.text("clientRequestToken", &self.token);
        members.optional_text("description", self.description.as_ref());
        members.optional_text("kmsKeyId", self.kms_key_id.as_ref());
        if let Some(tags) = &self.tags {
            tags::write(members, tags);
        }
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let id = SecretId::Name(self.name.clone());
        let secret = find_secret(context, view, &id, Freshness::Newest).await?;
        let version = match &secret.secret {
            Some(loaded) => KnownVersion::find(view, &loaded.record, &self.token).await?,
            None => None,
        };
        let encryption_key = view.get(&keys::encryption_key(secret.account, &secret.region)).await?;
        Ok(Found { secret, version, encryption_key })
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        // Before it exists a secret has no suffix, so the ARN of the name alone is what policies see.
        let (resource, as_supplied) = (found.secret.bare_arn(), self.name.to_shared_text());
        let requirement = |name| Requirement {
            action: action(name),
            resource: resource.clone(),
            as_supplied: as_supplied.clone(),
            trust: None,
        };
        // Whoever may not tag must not make what it likes to look like something it may use.
        let is_tagged = self.tags.as_ref().is_some_and(|tags| !tags.is_empty());
        let actions: &[_] = if is_tagged { &["CreateSecret", "TagResource"] } else { &["CreateSecret"] };
        Requirements(actions.iter().copied().map(requirement).collect())
    }

    fn condition<'a>(&'a self, _: &'a Found, key: &str) -> Values<'a> {
        match key {
            "secretsmanager:name" => one(self.name.as_str()),
            "secretsmanager:description" => Values::optional(self.description.as_deref()),
            "secretsmanager:kmskeyid" | "secretsmanager:kmskeyarn" => {
                Values::optional(self.kms_key_id.as_deref())
            }
            _ => request_tags(self.tags.as_deref(), key),
        }
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<CreatedSecret, Error> {
        let found = grant.into_found();
        check_encryption_key(self.kms_key_id.as_deref())?;
        tags::check(self.tags.as_deref().unwrap_or_default())?;
        if let Some(existing) = &found.secret.secret {
            return self.repeat(&found, &existing.record, transaction);
        }
        let now = transaction.now();
        let mut secret = Secret {
            uid: transaction.make_uid(),
            suffix: transaction.make_suffix(),
            description: self.description.clone().filter(|description| !description.is_empty()),
            tags: self.tags.clone(),
            created: now,
            last_changed: now,
            deletion_due: None,
            last_ordinal: 0,
            versions_removed: 0,
            stages: BTreeMap::new(),
            arn: OnceLock::new(),
        };
        let arn = found.secret.arn_of(&secret);
        let mut version_id = None;
        if let Some(value) = &self.value {
            let new =
                NewVersion { arn: &arn, token: &self.token, value, stages: None, excess: &Excess::default() };
            new.stage(&mut secret, found.encryption_key.as_ref(), transaction)?;
            version_id = Some(self.token.clone());
        }
        let (account, region) = (found.secret.account, &found.secret.region);
        let creation = keys::creation(account, region, now, secret.uid);
        transaction.replace(creation, None, &CreationIndex { name: self.name.clone() });
        transaction.replace(found.secret.key, None, &secret);
        Ok(CreatedSecret { arn, version_id })
    }

    fn response(output: &CreatedSecret, members: &mut Members<'_>) {
        members.text("arn", &output.arn);
        members.text("name", &output.arn.name);
        members.optional_text("versionId", output.version_id.as_ref());
    }
}

impl CreateSecret {
    /// The name is taken. If by this very request, sent again, that is no error.
    fn repeat(
        &self,
        found: &Found,
        secret: &Secret,
        transaction: &Transaction<'_>,
    ) -> Result<CreatedSecret, Error> {
        if secret.deletion_due.is_some() {
            return Err(Error::NameScheduledForDeletion);
        }
        let exists = || Error::SecretExists(self.name.clone());
        let arn: SecretArn = found.secret.arn_of(secret);
        let known = found.version.as_ref().ok_or_else(exists)?;
        let value = self.value.as_ref().ok_or_else(exists)?;
        known.check_same(&self.token, value, &arn, found.encryption_key.as_ref(), transaction)?;
        Ok(CreatedSecret { arn, version_id: Some(self.token.clone()) })
    }
}
