//! What writing a version takes, for the operations that write one.

use coffer_crypto::constant_time_eq;
use coffer_types::{SecretArn, SecretValue, Stage, VersionId};

use super::excess::Excess;
use crate::labels;
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::records::{EncryptionKey, Secret, Version, VersionIndex, VersionReference, VersionState};
use crate::transaction::Transaction;
use crate::{Error, keys};

/// Refuses every key but the default one, which is all there is so far.
pub(crate) fn check_encryption_key(id: Option<&str>) -> Result<(), Error> {
    match id {
        None | Some("alias/aws/secretsmanager") => Ok(()),
        Some(_) => Err(Error::EncryptionFailure),
    }
}

/// A version that has the token of a request already.
pub(crate) struct KnownVersion {
    pub(crate) version: Loaded<Version>,
}

impl KnownVersion {
    pub(crate) async fn find(
        view: &mut View,
        secret: &Secret,
        token: &VersionId,
    ) -> Result<Option<Self>, Error> {
        let Some(ordinal) = find_ordinal(view, secret, token).await? else { return Ok(None) };
        let version = view.get::<Version>(&keys::version(secret.uid, ordinal)).await?;
        Ok(version.map(|version| Self { version }))
    }

    /// A token used again is the same request only if the value is the same. Compared in constant time.
    pub(crate) fn check_same(
        &self,
        token: &VersionId,
        value: &SecretValue,
        arn: &SecretArn,
        key: Option<&Loaded<EncryptionKey>>,
        transaction: &Transaction<'_>,
    ) -> Result<(), Error> {
        let in_use = || Error::TokenInUse { token: token.clone(), arn: arn.to_string() };
        let version = &self.version.record;
        let stored = version.value.as_ref().ok_or_else(in_use)?;
        let held = transaction.open_value(key, arn, &version.id, stored)?;
        let same_kind = matches!(value, SecretValue::String(_)) == stored.is_string;
        let same_bytes = constant_time_eq(held.bytes().expose_secret(), value.bytes().expose_secret());
        if same_kind && same_bytes { Ok(()) } else { Err(in_use()) }
    }
}

/// The ordinal of the version with an id. One that was made after the secret was read is not there yet: the change
/// that made it wrote the secret too, so a write that rests on this is refused by its guard and begins again.
pub(crate) async fn find_ordinal(
    view: &mut View,
    secret: &Secret,
    id: &VersionId,
) -> Result<Option<u64>, Error> {
    let index = view.get::<VersionIndex>(&keys::version_by_id(secret.uid, id)).await?;
    Ok(index.map(|index| index.record.ordinal).filter(|ordinal| *ordinal <= secret.last_ordinal))
}

/// A version about to be made.
pub(crate) struct NewVersion<'a> {
    pub(crate) arn: &'a SecretArn,
    pub(crate) token: &'a VersionId,
    pub(crate) value: &'a SecretValue,
    pub(crate) stages: Option<&'a [Stage]>,
    /// The versions that go for it.
    pub(crate) excess: &'a Excess,
}

impl NewVersion<'_> {
    /// Stages the version and its index, and that others go for it; and changes the secret's labels and highest ordinal; the caller stages
    /// the secret.
    pub(crate) fn stage(
        &self,
        secret: &mut Secret,
        key: Option<&Loaded<EncryptionKey>>,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), Error> {
        let ordinal = secret.last_ordinal + 1;
        let reference = VersionReference { ordinal, id: self.token.clone() };
        labels::label_new_version(&mut secret.stages, self.stages, &reference)?;
        secret.last_ordinal = ordinal;
        secret.last_changed = transaction.now();
        let stored = transaction.seal_value(key, self.arn, self.token, self.value)?;
        let version = Version {
            id: self.token.clone(),
            ordinal,
            created: transaction.now(),
            state: VersionState::Enabled,
            value: Some(stored),
            is_kept_by_another_door: false,
            noted_on: Default::default(),
        };
        transaction.replace(keys::version(secret.uid, ordinal), None, &version);
        transaction.replace(keys::version_by_id(secret.uid, self.token), None, &VersionIndex { ordinal });
        self.excess.stage(secret, transaction);
        Ok(())
    }
}
