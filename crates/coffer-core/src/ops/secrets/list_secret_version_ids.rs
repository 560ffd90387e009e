//! Listing the versions of a secret, oldest first.

use bytes::Bytes;
use coffer_audit::Members;
use coffer_policy::Values;
use coffer_store::Order;

use super::find::{FoundSecret, Freshness, action, find_secret};
use super::{ListSecretVersionIds, VersionDescription, VersionPage};
use crate::access::last_access;
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::view::{View, successor};
use crate::records::{Secret, Version};
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// How many versions are read at a time: a version holds its sealed value, up to 64 KiB.
const BATCH: usize = 32;
/// How many versions one page looks at before it ends early with a cursor.
const LOOKED_AT_MAX: usize = 512;

/// The secret, and the page of its versions.
pub struct Found {
    secret: FoundSecret,
    versions: Vec<VersionDescription>,
    next_token: Option<String>,
}

impl Operation for ListSecretVersionIds {
    type Found = Found;
    type Output = VersionPage;
    const NAME: OperationName = OperationName { name: "ListSecretVersionIds", read_only: true };
    const FINDS_MORE: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
        members.json("includeDeprecated", self.include_deprecated.then_some(true));
        members.json("maxResults", self.max_results);
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let secret = find_secret(context, view, &self.secret_id, Freshness::Snapshot).await?;
        Ok(Found { secret, versions: Vec::new(), next_token: None })
    }

    async fn find_more(&self, context: &Context, view: &mut View, found: &mut Found) -> Result<(), Error> {
        if let Some(loaded) = &found.secret.secret {
            (found.versions, found.next_token) = self.page(context, view, &loaded.record).await?;
        }
        Ok(())
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.secret.requires(action("ListSecretVersionIds"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        found.secret.condition(&self.secret_id, key)
    }

    fn run(&self, _: &Context, grant: Grant<Found>, _: &mut Transaction<'_>) -> Result<VersionPage, Error> {
        let found = grant.into_found();
        let arn = found.secret.arn_of(&found.secret.existing()?.record);
        Ok(VersionPage { arn, versions: found.versions, next_token: found.next_token })
    }
}

impl ListSecretVersionIds {
    async fn page(
        &self,
        context: &Context,
        view: &mut View,
        secret: &Secret,
    ) -> Result<(Vec<VersionDescription>, Option<String>), Error> {
        let choice = if self.include_deprecated { "all" } else { "labelled" };
        let listing = format!("ListSecretVersionIds {:?} {choice}", secret.uid);
        let wanted = self.max_results as usize;
        let all = keys::versions(secret.uid);
        let mut range =
            view.inner().range_after(context, &listing, all, Order::Ascending, self.next_token.as_deref())?;
        let mut versions = Vec::new();
        let mut last: Option<Bytes> = None;
        let mut looked_at = 0;
        let is_at_end = loop {
            let limit = (wanted - versions.len()).clamp(1, BATCH);
            let entries = view.range::<Version>(range.clone(), Order::Ascending, limit).await?;
            let is_last_batch = entries.len() < limit;
            for (key, version) in entries {
                if let Some(described) = self.describe(secret, &version.record) {
                    let last_accessed = last_access(view, secret.uid, described.ordinal).await?;
                    versions.push(VersionDescription { last_accessed, ..described });
                }
                range.start = successor(&key);
                last = Some(key);
                looked_at += 1;
            }
            if is_last_batch {
                break true;
            }
            if versions.len() >= wanted || looked_at >= LOOKED_AT_MAX {
                break view.range::<Version>(range.clone(), Order::Ascending, 1).await?.is_empty();
            }
        };
        let cursor_key = last.filter(|_| !is_at_end);
        let next_token = cursor_key.map(|key| view.inner().make_cursor(context, &listing, &key));
        Ok((versions, next_token))
    }

    /// A version as listed; `None` for one without a value, or without labels if those were not asked for.
    fn describe(&self, secret: &Secret, version: &Version) -> Option<VersionDescription> {
        let stages = secret.stages_of(version.ordinal);
        // One that was made after the secret was read is not there yet.
        let is_listed = version.ordinal <= secret.last_ordinal
            && version.value.is_some()
            && (self.include_deprecated || !stages.is_empty());
        is_listed.then(|| VersionDescription {
            version_id: version.id.clone(),
            ordinal: version.ordinal,
            stages,
            created: version.created,
            last_accessed: None,
        })
    }
}
