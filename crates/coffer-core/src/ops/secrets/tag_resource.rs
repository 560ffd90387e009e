//! Attaching tags to a secret.

use coffer_audit::Members;
use coffer_policy::Values;

use super::find::{FoundSecret, Freshness, action, find_secret};
use super::{TagResource, TaggedSecret, tags};
use crate::authorize::{either, request_tags};
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// The secret.
pub struct Found(FoundSecret);

impl Operation for TagResource {
    type Found = Found;
    type Output = TaggedSecret;
    const NAME: OperationName = OperationName { name: "TagResource", read_only: false };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("secretId", &self.secret_id);
        tags::write(members, &self.tags);
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        find_secret(context, view, &self.secret_id, Freshness::Newest).await.map(Found)
    }

    fn requires(&self, _context: &Context, found: &Found) -> Requirements {
        found.0.requires(action("TagResource"), &self.secret_id)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        either(request_tags(Some(&self.tags), key), || found.0.condition(&self.secret_id, key))
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<TaggedSecret, Error> {
        let Found(found) = grant.into_found();
        tags::change(&found, transaction, |known| tags::with(known, &self.tags))
    }
}
