//! Reading a value.

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::{Stage, VersionId};

use super::find::{FoundSecret, Freshness, action, find_secret};
use super::versions::find_ordinal;
use super::{GetSecretValue, ReadValue};
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::records::{EncryptionKey, Secret, Version, VersionState};
use crate::transaction::Transaction;
use crate::{Context, Error, Selected, keys};

/// The secret, the version asked for, and the key to open it.
pub struct Found {
    secret: FoundSecret,
    version: Option<Loaded<Version>>,
    encryption_key: Option<Loaded<EncryptionKey>>,
}

impl Operation for GetSecretValue {
    type Found = Found;
    type Output = ReadValue;
    const NAME: OperationName = OperationName { name: "GetSecretValue", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
        members.optional_text("versionId", self.version_id.as_ref());
        members.optional_text("versionStage", self.version_stage.as_ref());
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let secret = find_secret(context, view, &self.secret_id, Freshness::Newest).await?;
        let mut version = None;
        if let Some(loaded) = &secret.secret
            && let Some(ordinal) = self.ordinal(&loaded.record, view).await?
        {
            version = view.get::<Version>(&keys::version(loaded.record.uid, ordinal)).await?;
        }
        let encryption_key = match version {
            Some(_) => view.get(&keys::encryption_key(secret.account, &secret.region)).await?,
            None => None,
        };
        Ok(Found { secret, version, encryption_key })
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.secret.requires(action("GetSecretValue"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        match key {
            "secretsmanager:versionid" => Values::optional(self.version_id.as_ref().map(VersionId::as_str)),
            "secretsmanager:versionstage" => Values::optional(self.version_stage.as_ref().map(Stage::as_str)),
            _ => found.secret.condition(&self.secret_id, key),
        }
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<ReadValue, Error> {
        let found = grant.into_found();
        let secret = &found.secret.usable()?.record;
        let version = found.version.ok_or_else(|| Error::ValueNotFound(self.selected()))?.record;
        let stages = secret.stages_of(version.ordinal);
        if self.version_id.is_some()
            && self.version_stage.as_ref().is_some_and(|stage| !stages.contains(stage))
        {
            return Err(Error::StageNotOnVersion);
        }
        let stored = match (&version.value, version.state) {
            (Some(stored), VersionState::Enabled) => stored,
            _ => return Err(Error::ValueNotFound(self.selected())),
        };
        let arn = found.secret.arn_of(secret);
        let value = transaction.open_value(found.encryption_key.as_ref(), &arn, &version.id, stored)?;
        transaction.note_access(&found.secret.key, secret.uid, &version);
        Ok(ReadValue { arn, version_id: version.id.clone(), value, stages, created: version.created })
    }
}

impl GetSecretValue {
    /// What was asked for, as an error names it.
    fn selected(&self) -> Selected {
        match (&self.version_id, &self.version_stage) {
            (Some(id), _) => Selected::Version(id.clone()),
            (None, Some(stage)) => Selected::Stage(stage.clone()),
            (None, None) => Selected::Stage(Stage::current()),
        }
    }

    /// The ordinal of the version asked for. A label's version is known from the secret; another's from the index.
    async fn ordinal(&self, secret: &Secret, view: &mut View) -> Result<Option<u64>, Error> {
        let Some(id) = &self.version_id else {
            let stage = self.version_stage.as_ref().map_or(Stage::CURRENT, Stage::as_str);
            return Ok(secret.stages.get(stage).map(|version| version.ordinal));
        };
        if let Some(version) = secret.stages.values().find(|version| version.id == *id) {
            return Ok(Some(version.ordinal));
        }
        find_ordinal(view, secret, id).await
    }
}
