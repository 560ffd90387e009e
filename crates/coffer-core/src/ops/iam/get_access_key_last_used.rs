//! Telling when an access key was last used.
//!
//! Unlike the other operations it is about a user it does not name: whose the key is, is found first.

use std::sync::Arc;

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::Action;

use super::{AccessKeyLastUsed, GetAccessKeyLastUsed};
use crate::authorize::tag_value;
use crate::error::IamError;
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::key_use::{LastUse, last_use};
use crate::records::access::{Entity, arn_of};
use crate::records::view::View;
use crate::records::{AccessKey, User};
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// Whose the key is, and its last use.
pub struct Found {
    user: Option<Arc<User>>,
    last: Option<LastUse>,
}

impl Operation for GetAccessKeyLastUsed {
    type Found = Found;
    type Output = AccessKeyLastUsed;
    const NAME: OperationName = OperationName { name: "GetAccessKeyLastUsed", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("accessKeyId", &self.id);
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let key = view.get::<AccessKey>(&keys::access_key(&self.id)).await?;
        let Some(key) = key.filter(|key| key.record.account == context.account) else {
            return Ok(Found { user: None, last: None });
        };
        let user = view.get::<User>(&keys::user(context.account, &key.record.user)).await?;
        Ok(Found { user: user.map(|user| user.record), last: last_use(view, &self.id).await? })
    }

    fn requires(&self, context: &Context, found: &Found) -> Requirements {
        let resource = match &found.user {
            Some(user) => user.arn(context.account),
            None => arn_of(context.account, User::NOUN, "/", ""),
        };
        Requirements(vec![Requirement {
            action: Action::new("iam", "GetAccessKeyLastUsed"),
            resource: resource.into(),
            as_supplied: format!("access key {}", self.id).into(),
            trust: None,
        }])
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        let tag = key.strip_prefix("aws:resourcetag/").or_else(|| key.strip_prefix("iam:resourcetag/"));
        let tags = found.user.as_ref().map(|user| user.facts.tags.as_slice());
        tag.map_or(Values::Absent, |tag| tag_value(tags, tag))
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<Found>,
        _: &mut Transaction<'_>,
    ) -> Result<AccessKeyLastUsed, Error> {
        let Found { user, last } = grant.into_found();
        let missing =
            || IamError::NoSuchEntity(format!("The Access Key with id {} cannot be found.", self.id));
        let user = user.ok_or_else(missing)?.facts.name.clone();
        Ok(AccessKeyLastUsed { user, last: last.map(|last| (last.at, last.region, last.service)) })
    }
}
