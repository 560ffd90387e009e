//! Telling everything of a secret but its value.

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::Timestamp;

use super::find::{FoundSecret, Freshness, action, find_secret};
use super::{DescribeSecret, SecretDescription};
use crate::access::{WHOLE_SECRET, last_access};
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::Secret;
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// The secret, and when it was last read.
pub struct Found {
    secret: FoundSecret,
    last_accessed: Option<Timestamp>,
}

impl Operation for DescribeSecret {
    type Found = Found;
    type Output = SecretDescription;
    const NAME: OperationName = OperationName { name: "DescribeSecret", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let secret = find_secret(context, view, &self.secret_id, Freshness::Newest).await?;
        let last_accessed = match &secret.secret {
            Some(loaded) => last_access(view, loaded.record.uid, WHOLE_SECRET).await?,
            None => None,
        };
        Ok(Found { secret, last_accessed })
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.secret.requires(action("DescribeSecret"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        found.secret.condition(&self.secret_id, key)
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        _: &mut Transaction<'_>,
    ) -> Result<SecretDescription, Error> {
        let Found { secret: found, last_accessed } = grant.into_found();
        let secret = &found.existing()?.record;
        Ok(SecretDescription { last_accessed, ..SecretDescription::of(secret, found.arn_of(secret)) })
    }
}

impl SecretDescription {
    /// Without the day of the last read, which lies elsewhere.
    pub(super) fn of(secret: &Secret, arn: coffer_types::SecretArn) -> Self {
        Self {
            arn,
            description: secret.description.clone(),
            tags: secret.tags.clone(),
            created: secret.created,
            last_changed: secret.last_changed,
            last_accessed: None,
            deleted: secret.deletion_due,
            last_ordinal: secret.last_ordinal,
            versions: secret.labelled_versions(),
        }
    }
}
