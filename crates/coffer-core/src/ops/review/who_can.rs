//! Who may do something to a secret: the owner, and every user and role whose policies allow it.

use std::sync::Arc;

use coffer_audit::Members;
use coffer_policy::{ContextMap, Effect, Version};
use coffer_types::Action;

use super::questions::{Bearing, Question, known_of, set_tags, statements};
use super::subjects::{EVERYBODY, Held, Subject, parameters};
use super::{Able, StatementPlace, Way, WhoCan};
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::ops::iam::Directory;
use crate::ops::secrets::find::{FoundSecret, Freshness, find_secret};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// The secret, and everybody there is.
pub struct Found {
    secret: FoundSecret,
    directory: Directory,
}

/// Keys that requests for secrets never have: of other services, or of callers of other kinds. The rest of those that are not
/// known depend on the request.
fn is_absent(key: &str) -> bool {
    key.starts_with("aws:principaltag/")
        || key.starts_with("aws:resourcetag/")
        || key.starts_with("secretsmanager:resourcetag/")
        || key.starts_with("secretsmanager:resource/")
        || key.starts_with("kms:")
}

impl Operation for WhoCan {
    type Found = Found;
    type Output = Able;
    const NAME: OperationName = OperationName { name: "WhoCan", read_only: true };
    const FINDS_MORE: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        parameters(members, &self.secret_id, &self.action);
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let secret = find_secret(context, view, &self.secret_id, Freshness::Snapshot).await?;
        Ok(Found { secret, directory: Directory::new(context.account) })
    }

    async fn find_more(&self, _: &Context, view: &mut View, found: &mut Found) -> Result<(), Error> {
        let inner = Arc::clone(view.inner());
        let _permit = inner.walk_permits.acquire().await;
        for through in EVERYBODY {
            found.directory.read_all(view, through).await?;
        }
        Ok(())
    }

    fn requires(&self, _: &Context, _: &Found) -> Requirements {
        let action = Action::new("coffer", "WhoCan");
        Requirements(vec![Requirement { action, resource: "*".into(), as_supplied: "*".into(), trust: None }])
    }

    fn run(&self, context: &Context, grant: Grant<Found>, _: &mut Transaction<'_>) -> Result<Able, Error> {
        let Found { secret, directory } = grant.into_found();
        let record = &secret.existing()?.record;
        let resource = secret.arn_of(record).as_str().to_owned();
        let account = context.account;
        let owner = format!("arn:aws:iam::{account}:root");
        let mut ways =
            vec![Way { arn: owner, by: None, conditions: Vec::new(), trusted: Vec::new(), taken_on: None }];
        let users = directory.users.values().map(|user| Subject::of_user(&directory, user));
        let roles = directory.roles.values().map(|role| Subject::of_role(&directory, role));
        for subject in users.chain(roles) {
            let subject = subject?;
            let mut known = known_of(&subject, account);
            known.set("aws:RequestedRegion", secret.region.as_str());
            known.set("secretsmanager:SecretId", &*resource);
            set_resource_tags(&mut known, record.tags.as_deref().unwrap_or_default());
            let (action, resource) = (self.action.as_str(), resource.as_str());
            ways.extend(Question { account, subject: &subject, action, resource, known, is_absent }.ways());
        }
        Ok(Able { resource, ways })
    }
}

/// The tags of the secret, under both keys.
pub(super) fn set_resource_tags(known: &mut ContextMap, tags: &[coffer_types::Tag]) {
    set_tags(known, "aws:ResourceTag/", tags);
    set_tags(known, "secretsmanager:ResourceTag/", tags);
}

impl Question<'_> {
    /// Each way in which the subject may; one without conditions makes all others of no interest.
    fn ways(&self) -> Vec<Way> {
        let subject = self.subject;
        let mut unless = Vec::new();
        for held in subject.identity.iter().chain(&subject.boundary) {
            for (_, conditions) in self.about(held, Effect::Deny) {
                match conditions.as_slice() {
                    [] => return Vec::new(),
                    conditions => unless.push(format!("not ({})", conditions.join(", and "))),
                }
            }
        }
        let mut ways: Vec<(StatementPlace, Vec<String>)> =
            subject.identity.iter().flat_map(|held| self.about(held, Effect::Allow)).collect();
        keep_unconditional(&mut ways);
        let mut bounds = match &subject.boundary {
            None => vec![Vec::new()],
            Some(held) => self.about(held, Effect::Allow).map(|(_, conditions)| conditions).collect(),
        };
        if let Some(at) = bounds.iter().position(Vec::is_empty) {
            bounds = vec![bounds.swap_remove(at)];
        }
        let mut all = Vec::new();
        for (by, conditions) in ways {
            for within in &bounds {
                let mut conditions = [conditions.as_slice(), within, &unless].concat();
                let mut seen = std::collections::BTreeSet::new();
                conditions.retain(|condition| seen.insert(condition.clone()));
                all.push(Way {
                    arn: subject.arn.clone(),
                    by: Some(by.clone()),
                    conditions,
                    trusted: subject.trusted.clone(),
                    taken_on: subject.is_role.then_some(!subject.trusted.is_empty()),
                });
            }
        }
        all
    }

    /// The statements with an effect that are about it, and what would have to hold.
    fn about<'h>(
        &'h self,
        held: &'h Held,
        effect: Effect,
    ) -> impl Iterator<Item = (StatementPlace, Vec<String>)> + 'h {
        let version: Version = held.document.version;
        let of_effect = statements(held).filter(move |(_, statement)| statement.effect == effect);
        of_effect.filter_map(move |(place, statement)| match self.bearing(version, statement) {
            Bearing::About(conditions) => Some((place, conditions)),
            Bearing::OtherAction | Bearing::OtherResource | Bearing::Fails(_) => None,
        })
    }
}

fn keep_unconditional(ways: &mut Vec<(StatementPlace, Vec<String>)>) {
    if let Some(at) = ways.iter().position(|(_, conditions)| conditions.is_empty()) {
        *ways = vec![ways.swap_remove(at)];
    }
}
