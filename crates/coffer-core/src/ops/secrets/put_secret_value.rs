//! Making a new version.

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::limits;

use super::excess::Excess;
use super::find::{FoundSecret, Freshness, action, find_secret};
use super::versions::{KnownVersion, NewVersion};
use super::{PutSecretValue, PutVersion};
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::EncryptionKey;
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// The secret, the version that has the token already, those that go for a new one, and the key to seal under.
pub struct Found {
    secret: FoundSecret,
    version: Option<KnownVersion>,
    excess: Excess,
    encryption_key: Option<Loaded<EncryptionKey>>,
}

impl Operation for PutSecretValue {
    type Found = Found;
    type Output = PutVersion;
    const NAME: OperationName = OperationName { name: "PutSecretValue", read_only: false };
    const FINDS_MORE: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
        members.text("clientRequestToken", &self.token);
        if let Some(stages) = &self.stages {
            members.texts("versionStages", stages);
        }
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let secret = find_secret(context, view, &self.secret_id, Freshness::Newest).await?;
        let version = match &secret.secret {
            Some(loaded) => KnownVersion::find(view, &loaded.record, &self.token).await?,
            None => None,
        };
        let encryption_key = view.get(&keys::encryption_key(secret.account, &secret.region)).await?;
        Ok(Found { secret, version, excess: Excess::default(), encryption_key })
    }

    async fn find_more(&self, context: &Context, view: &mut View, found: &mut Found) -> Result<(), Error> {
        if let (Some(loaded), None) = (&found.secret.secret, &found.version) {
            found.excess = Excess::find(view, &loaded.record, context.now).await?;
        }
        Ok(())
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.secret.requires(action("PutSecretValue"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        found.secret.condition(&self.secret_id, key)
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<PutVersion, Error> {
        let found = grant.into_found();
        let loaded = found.secret.usable()?;
        let arn = found.secret.arn_of(&loaded.record);
        if self.stages.as_ref().is_some_and(|stages| stages.len() > limits::STAGES_PER_REQUEST_MAX) {
            let most = limits::STAGES_PER_REQUEST_MAX;
            return Err(Error::LimitExceeded(format!(
                "You can't attach more than {most} staging labels to a secret."
            )));
        }
        if let Some(known) = &found.version {
            known.check_same(&self.token, &self.value, &arn, found.encryption_key.as_ref(), transaction)?;
            let stages = loaded.record.stages_of(known.version.record.ordinal);
            return Ok(PutVersion { arn, version_id: self.token.clone(), stages });
        }
        let mut secret = loaded.record.as_ref().clone();
        let new = NewVersion {
            arn: &arn,
            token: &self.token,
            value: &self.value,
            stages: self.stages.as_deref(),
            excess: &found.excess,
        };
        new.stage(&mut secret, found.encryption_key.as_ref(), transaction)?;
        let stages = secret.stages_of(secret.last_ordinal);
        transaction.replace(found.secret.key.clone(), Some(loaded.revision), &secret);
        Ok(PutVersion { arn, version_id: self.token.clone(), stages })
    }

    fn response(output: &PutVersion, members: &mut Members<'_>) {
        members.text("arn", &output.arn);
        members.text("name", &output.arn.name);
        members.text("versionId", &output.version_id);
        members.texts("versionStages", &output.stages);
    }
}
