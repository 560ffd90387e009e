//! Listing secrets in order of creation.

use bytes::Bytes;
use coffer_audit::Members;
use coffer_store::Order;

use super::find::action;
use super::{ListSecrets, SecretDescription, SecretPage};
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::view::View;
use crate::records::{CreationIndex, Secret};
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// How many secrets one page looks at before it ends early with a cursor, which AWS allows. It bounds the work of
/// one request where most secrets are passed over.
const LOOKED_AT_MAX: usize = 1000;

/// A page. A cursor that is none of ours is told only after the caller was found to be allowed.
pub struct Found(Result<SecretPage, Error>);

impl Operation for ListSecrets {
    type Found = Found;
    type Output = SecretPage;
    const NAME: OperationName = OperationName { name: "ListSecrets", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        members.json("includePlannedDeletion", self.include_planned_deletion.then_some(true));
        members.json("maxResults", self.max_results);
        members.optional_text("sortOrder", self.descending.then_some("desc"));
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        match self.page(context, view).await {
            Err(Error::Unavailable(cause)) => Err(Error::Unavailable(cause)),
            page => Ok(Found(page)),
        }
    }

    fn requires(&self, _context: &Context, _found: &Found) -> Requirements {
        let requirement =
            Requirement { action: action("ListSecrets"), resource: "*".into(), as_supplied: "*".into() };
        Requirements(vec![requirement])
    }

    fn run(&self, _: &Context, grant: Grant<Found>, _: &mut Transaction<'_>) -> Result<SecretPage, Error> {
        grant.into_found().0
    }
}

impl ListSecrets {
    async fn page(&self, context: &Context, view: &mut View) -> Result<SecretPage, Error> {
        let (account, region) = (context.account, &context.region);
        let order = if self.descending { Order::Descending } else { Order::Ascending };
        let listing = if self.descending { "ListSecrets desc" } else { "ListSecrets asc" };
        let wanted = self.max_results as usize;
        let all = keys::creations(account, region);
        let cursor = self.next_token.as_deref();
        let mut range = view.inner().range_after(context, listing, all, order, cursor)?;
        let mut secrets: Vec<SecretDescription> = Vec::new();
        let mut last: Option<Bytes> = None;
        let mut looked_at = 0;
        let is_at_end = loop {
            let limit = (wanted - secrets.len()).max(1);
            let entries = view.range::<CreationIndex>(range.clone(), order, limit).await?;
            let is_last_batch = entries.len() < limit;
            for (key, index) in entries {
                let name = &index.record.name;
                let secret = view.get_from_snapshot::<Secret>(&keys::secret(account, region, name)).await?;
                if let Some(secret) = secret.filter(|secret| self.shows(&secret.record)) {
                    let arn = secret.record.arn(account, region, name);
                    secrets.push(SecretDescription::of(&secret.record, arn));
                }
                match order {
                    Order::Ascending => range.start = crate::records::view::successor(&key),
                    Order::Descending => range.end = Some(key.clone()),
                }
                last = Some(key);
                looked_at += 1;
            }
            if is_last_batch {
                break true;
            }
            if secrets.len() >= wanted || looked_at >= LOOKED_AT_MAX {
                break view.range::<CreationIndex>(range.clone(), order, 1).await?.is_empty();
            }
        };
        let cursor_key = last.filter(|_| !is_at_end);
        let next_token = cursor_key.map(|key| view.inner().make_cursor(context, listing, &key));
        Ok(SecretPage { secrets, next_token })
    }

    fn shows(&self, secret: &Secret) -> bool {
        self.include_planned_deletion || secret.deletion_due.is_none()
    }
}
