//! Taking on a role with the token of an identity provider.
//!
//! The token was found to be good before this begins; what is decided here is whether the role trusts whom it is of. A role that
//! is not there is refused in the same words as one that does not.

use std::sync::Arc;

use coffer_audit::Members;
use coffer_policy::{Document, DocumentKind, Policy, Values};
use coffer_types::Action;

use super::assume_role::{
    NOBODY, SECONDS_DEFAULT, check_longest, check_session_policy, missing_policy, refuse_missing_policy,
};
use super::{AssumeRoleWithWebIdentity, AssumedRole, AssumedRoleWithWebIdentity};
use crate::authorize::{one, request_tags, tag_value};
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::ops::iam::{check_tag_keys, trust};
use crate::records::Role;
use crate::records::access::Entity;
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::session::{Holder, Terms, assumed_role_arn, role_session_id};
use crate::transaction::Transaction;
use crate::web_identity::WebIdentity;
use crate::{Context, Error, Principal, keys};

/// The role, if it is there, whom it trusts, and who asks.
pub struct Found {
    role: Option<Loaded<Role>>,
    trust: Arc<Policy>,
    identity: Arc<WebIdentity>,
    /// The first policy that is to narrow the session and is not there.
    missing_policy: Option<String>,
}

impl Operation for AssumeRoleWithWebIdentity {
    type Found = Found;
    type Output = AssumedRoleWithWebIdentity;
    const NAME: OperationName = OperationName { name: "AssumeRoleWithWebIdentity", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("roleArn", &self.role);
        members.text("roleSessionName", &self.session_name);
        members.json("durationSeconds", self.seconds);
        members.optional_document("policy", self.policy.as_deref());
        if !self.policy_arns.is_empty() {
            members.texts("policyArns", &self.policy_arns);
        }
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let Principal::WebIdentity(identity) = &context.principal else {
            return Err(Error::unavailable("a role is taken on with a token by whom the token is of"));
        };
        let found = view.get::<Role>(&keys::role(context.account, self.role.name.as_str())).await?;
        let role = found.filter(|role| role.record.arn(context.account) == self.role.as_str());
        let document = match &role {
            Some(role) => trust::as_bound(&role.record, context),
            None => Document::parse(NOBODY, DocumentKind::Trust),
        };
        let document = document.map_err(Error::unavailable)?;
        let missing_policy = missing_policy(context, view, &self.policy_arns).await?;
        let trust = Arc::new(Policy::compile(self.role.as_str(), &document));
        Ok(Found { role, trust, identity: Arc::clone(identity), missing_policy })
    }

    fn requires(&self, _: &Context, found: &Found) -> Requirements {
        let resource: Arc<str> = self.role.as_str().into();
        let requirement = |name| Requirement {
            action: Action::new("sts", name),
            resource: Arc::clone(&resource),
            as_supplied: Arc::clone(&resource),
            trust: Some(Arc::clone(&found.trust)),
        };
        let mut requirements = vec![requirement("AssumeRoleWithWebIdentity")];
        if !found.identity.tags.is_empty() {
            requirements.push(requirement("TagSession"));
        }
        if found.identity.source_identity.is_some() {
            requirements.push(requirement("SetSourceIdentity"));
        }
        Requirements(requirements)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        let identity = &found.identity;
        let tag = key.strip_prefix("aws:resourcetag/").or_else(|| key.strip_prefix("iam:resourcetag/"));
        if let Some(tag) = tag {
            return tag_value(found.role.as_ref().map(|role| role.record.facts.tags.as_slice()), tag);
        }
        match key {
            "sts:rolesessionname" => one(self.session_name.as_str()),
            "sts:sourceidentity" => Values::optional(identity.source_identity.as_deref()),
            "sts:durationseconds" => one(self.seconds.unwrap_or(SECONDS_DEFAULT).to_string()),
            "sts:transitivetagkeys" => {
                Values::Many(identity.transitive.iter().map(|key| key.as_str().into()).collect())
            }
            _ if identity.tags.is_empty() => Values::Absent,
            _ => request_tags(Some(&identity.tags), key),
        }
    }

    fn run(
        &self,
        context: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<AssumedRoleWithWebIdentity, Error> {
        let Found { role, identity, missing_policy, .. } = grant.into_found();
        // Nobody is trusted where there is no role, so nobody comes here without one.
        let role = role.ok_or_else(|| Error::unavailable("a role that is not there was granted"))?.record;
        let seconds = self.seconds.unwrap_or(SECONDS_DEFAULT);
        check_longest(seconds, &role)?;
        if let Some(policy) = &self.policy {
            check_session_policy(policy)?;
        }
        refuse_missing_policy(missing_policy.as_deref())?;
        check_tag_keys(&identity.tags)?;
        let now = transaction.now();
        let terms = Terms {
            account: context.account,
            holder: Holder::Role,
            name: role.facts.name.clone(),
            id: role.facts.id.clone(),
            session_name: self.session_name.to_string(),
            issued: now,
            expires: now.plus_millis(i64::from(seconds) * 1000),
            tags: identity.tags.clone(),
            transitive: identity.transitive.clone(),
            source_identity: identity.source_identity.clone(),
            policy: self.policy.clone(),
            policy_arns: self.policy_arns.iter().map(ToString::to_string).collect(),
            federated: Some(identity.federated()),
        };
        let arn = assumed_role_arn(context.account, &terms.name, &terms.session_name);
        let (id, source_identity) = (role_session_id(&terms), terms.source_identity.clone());
        Ok(AssumedRoleWithWebIdentity {
            role: AssumedRole { credentials: transaction.issue(terms)?, id, arn, source_identity },
            subject: identity.subject.clone(),
            audience: identity.audience.clone(),
            provider: identity.provider.to_string(),
        })
    }

    fn response(output: &AssumedRoleWithWebIdentity, members: &mut Members<'_>) {
        AssumedRole::write(&output.role, members);
        members.text("subjectFromWebIdentityToken", &output.subject);
        members.text("audience", &output.audience);
        members.text("provider", &output.provider);
    }
}
