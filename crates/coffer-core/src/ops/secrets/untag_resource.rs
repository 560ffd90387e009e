//! Removing tags from a secret.

use coffer_audit::Members;
use coffer_policy::Values;

use super::find::{FoundSecret, Freshness, action, find_secret};
use super::{TaggedSecret, UntagResource, tags};
use crate::authorize::{either, tag_keys};
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// The secret.
pub struct Found(FoundSecret);

impl Operation for UntagResource {
    type Found = Found;
    type Output = TaggedSecret;
    const NAME: OperationName = OperationName { name: "UntagResource", read_only: false };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
        members.texts("tagKeys", &self.tag_keys);
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        find_secret(context, view, &self.secret_id, Freshness::Newest).await.map(Found)
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.0.requires(action("UntagResource"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        either(tag_keys(&self.tag_keys, key), || found.0.condition(&self.secret_id, key))
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<TaggedSecret, Error> {
        let Found(found) = grant.into_found();
        tags::change(&found, transaction, |known| Ok(tags::without(known, &self.tag_keys)))
    }
}
