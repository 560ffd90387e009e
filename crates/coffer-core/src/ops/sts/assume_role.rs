//! Taking on a role.
//!
//! Its trust policy says who may; what else the caller's own policies must allow follows the language's rules for a policy that is
//! required. A role that is not there is refused in the same words as one that trusts others, or trusts the account and not the caller.

use std::sync::Arc;

use coffer_audit::Members;
use coffer_policy::{Document, DocumentKind, Policy, Values};
use coffer_types::{Action, PolicyArn, Tag};

use super::{AssumeRole, AssumedRole};
use crate::authorize::{one, request_tags, tag_value};
use crate::error::IamError;
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::ops::iam::{check_tag_keys, find_aws_policy, trust};
use crate::records::access::Entity;
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::records::{ManagedPolicy, Role};
use crate::session::{Holder, Session, Terms, assumed_role_arn, role_session_id};
use crate::transaction::Transaction;
use crate::{Context, Error, Principal, keys};

/// How long a session is, unless it is told.
pub(super) const SECONDS_DEFAULT: u32 = 3600;
/// How long a session can be that begins from another, in seconds.
const CHAINED_SECONDS_MAX: u32 = 3600;
/// Trusts nobody: the policy of a role that is not there.
pub(super) const NOBODY: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "nobody.amazonaws.com"}, "Action": "sts:AssumeRole"}}"#;

/// The role, if it is there, and whom it trusts.
pub struct Found {
    role: Option<Loaded<Role>>,
    trust: Arc<Policy>,
    /// Who is behind the session: as the calling session has it, else as the request says.
    source_identity: Option<String>,
    /// The first policy that is to narrow the session and is not there.
    missing_policy: Option<String>,
}

impl Operation for AssumeRole {
    type Found = Found;
    type Output = AssumedRole;
    const NAME: OperationName = OperationName { name: "AssumeRole", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("roleArn", &self.role);
        members.text("roleSessionName", &self.session_name);
        members.json("durationSeconds", self.seconds);
        members.optional_text("externalId", self.external_id.as_ref());
        members.optional_text("sourceIdentity", self.source_identity.as_ref());
        members.optional_document("policy", self.policy.as_deref());
        if !self.policy_arns.is_empty() {
            members.texts("policyArns", &self.policy_arns);
        }
        if !self.tags.is_empty() {
            members.objects("tags", &self.tags, |tag, members| {
                members.text("key", tag.key());
                members.text("value", tag.value());
            });
        }
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Found, Error> {
        let found = view.get::<Role>(&keys::role(context.account, self.role.name.as_str())).await?;
        let role = found.filter(|role| role.record.arn(context.account) == self.role.as_str());
        let document = match &role {
            Some(role) => trust::as_bound(&role.record, context),
            None => Document::parse(NOBODY, DocumentKind::Trust),
        };
        let document = document.map_err(Error::unavailable)?;
        let missing_policy = missing_policy(context, view, &self.policy_arns).await?;
        let source_identity = calling_session(context)
            .and_then(|session| session.terms.source_identity.as_deref())
            .or(self.source_identity.as_deref())
            .map(str::to_owned);
        let trust = Arc::new(Policy::compile(self.role.as_str(), &document));
        Ok(Found { trust, role, source_identity, missing_policy })
    }

    fn requires(&self, _: &Context, found: &Found) -> Requirements {
        let resource: Arc<str> = self.role.as_str().into();
        let requirement = |name| Requirement {
            action: Action::new("sts", name),
            resource: Arc::clone(&resource),
            as_supplied: Arc::clone(&resource),
            trust: Some(Arc::clone(&found.trust)),
        };
        let mut requirements = vec![requirement("AssumeRole")];
        if !self.tags.is_empty() {
            requirements.push(requirement("TagSession"));
        }
        if found.source_identity.is_some() {
            requirements.push(requirement("SetSourceIdentity"));
        }
        Requirements(requirements)
    }

    fn condition<'a>(&'a self, found: &'a Found, key: &str) -> Values<'a> {
        let tag = key.strip_prefix("aws:resourcetag/").or_else(|| key.strip_prefix("iam:resourcetag/"));
        if let Some(tag) = tag {
            return tag_value(found.role.as_ref().map(|role| role.record.facts.tags.as_slice()), tag);
        }
        match key {
            "sts:externalid" => Values::optional(self.external_id.as_deref()),
            "sts:rolesessionname" => one(self.session_name.as_str()),
            "sts:sourceidentity" => Values::optional(found.source_identity.as_deref()),
            "sts:durationseconds" => one(self.seconds.unwrap_or(SECONDS_DEFAULT).to_string()),
            "sts:transitivetagkeys" => {
                Values::Many(self.transitive.iter().map(|key| key.as_str().into()).collect())
            }
            _ if self.tags.is_empty() => Values::Absent,
            _ => request_tags(Some(&self.tags), key),
        }
    }

    fn run(
        &self,
        context: &Context,
        grant: Grant<Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<AssumedRole, Error> {
        let found = grant.into_found();
        // Nobody is trusted where there is no role, so nobody comes here without one.
        let role =
            found.role.ok_or_else(|| Error::unavailable("a role that is not there was granted"))?.record;
        let from = calling_session(context);
        let is_chained = from.is_some_and(|session| session.terms.holder == Holder::Role);
        let seconds = self.seconds.unwrap_or(SECONDS_DEFAULT);
        if is_chained && seconds > CHAINED_SECONDS_MAX {
            return Err(Error::InvalidParameter(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.".to_owned(),
            ));
        }
        check_longest(seconds, &role)?;
        // Once set it stays, from session to session.
        if self.source_identity.is_some() && self.source_identity != found.source_identity {
            let text = "The SourceIdentity of the calling session can't be changed.";
            return Err(IamError::InvalidInput(text.to_owned()).into());
        }
        if let Some(policy) = &self.policy {
            check_session_policy(policy)?;
        }
        refuse_missing_policy(found.missing_policy.as_deref())?;
        check_tag_keys(&self.tags)?;
        let inherited: Vec<Tag> = from.map(|session| transitive_tags(&session.terms)).unwrap_or_default();
        if self
            .tags
            .iter()
            .any(|tag| inherited.iter().any(|known| known.key().eq_ignore_ascii_case(tag.key())))
        {
            let text = "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.";
            return Err(IamError::InvalidInput(text.to_owned()).into());
        }
        let mut transitive = self.transitive.clone();
        transitive.extend(inherited.iter().map(|tag| tag.key().to_owned()));
        let mut tags = inherited;
        tags.extend(self.tags.iter().cloned());
        let now = transaction.now();
        let terms = Terms {
            account: context.account,
            holder: Holder::Role,
            name: role.facts.name.clone(),
            id: role.facts.id.clone(),
            session_name: self.session_name.to_string(),
            issued: now,
            expires: now.plus_millis(i64::from(seconds) * 1000),
            tags,
            transitive,
            source_identity: found.source_identity,
            policy: self.policy.clone(),
            policy_arns: self.policy_arns.iter().map(ToString::to_string).collect(),
            federated: None,
        };
        let arn = assumed_role_arn(context.account, &terms.name, &terms.session_name);
        let (id, source_identity) = (role_session_id(&terms), terms.source_identity.clone());
        Ok(AssumedRole { credentials: transaction.issue(terms)?, id, arn, source_identity })
    }

    fn response(output: &AssumedRole, members: &mut Members<'_>) {
        output.write(members);
    }
}

impl AssumedRole {
    /// What a record tells of it.
    pub(super) fn write(&self, members: &mut Members<'_>) {
        members.object("credentials", |members| {
            members.text("accessKeyId", &self.credentials.access_key_id);
            members.text("expiration", self.credentials.expires.to_rfc3339_seconds());
        });
        members.object("assumedRoleUser", |members| {
            members.text("assumedRoleId", &self.id);
            members.text("arn", &self.arn);
        });
    }
}

/// Whether a role's sessions may be so long.
pub(super) fn check_longest(seconds: u32, role: &Role) -> Result<(), Error> {
    if seconds > role.session_seconds_max {
        return Err(Error::InvalidParameter(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.".to_owned(),
        ));
    }
    Ok(())
}

/// The first of some policies that is not there.
pub(super) async fn missing_policy(
    context: &Context,
    view: &mut View,
    arns: &[PolicyArn],
) -> Result<Option<String>, Error> {
    for arn in arns {
        if !is_there(context, view, arn).await? {
            return Ok(Some(arn.to_string()));
        }
    }
    Ok(None)
}

pub(super) fn refuse_missing_policy(arn: Option<&str>) -> Result<(), Error> {
    let Some(arn) = arn else { return Ok(()) };
    let text = format!("Policy {arn} does not exist or is not attachable.");
    Err(IamError::NoSuchEntity(text).into())
}

/// The session that asks, if one does.
fn calling_session(context: &Context) -> Option<&Session> {
    match &context.principal {
        Principal::Session(session) => Some(session),
        Principal::User { .. } | Principal::WebIdentity(_) | Principal::Local { .. } => None,
    }
}

async fn is_there(context: &Context, view: &mut View, arn: &PolicyArn) -> Result<bool, Error> {
    if find_aws_policy(arn.as_str()).is_some() {
        return Ok(true);
    }
    let found = view.get::<ManagedPolicy>(&keys::policy(context.account, arn.name.as_str())).await?;
    Ok(found.is_some_and(|policy| policy.record.arn(context.account) == arn.as_str()))
}

fn transitive_tags(terms: &Terms) -> Vec<Tag> {
    let is_transitive = |tag: &&Tag| terms.transitive.iter().any(|key| key.eq_ignore_ascii_case(tag.key()));
    terms.tags.iter().filter(is_transitive).cloned().collect()
}

pub(super) fn check_session_policy(policy: &str) -> Result<(), Error> {
    match Document::parse(policy, DocumentKind::Session) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.size_limit() {
            Some(limit) => {
                IamError::PackedPolicyTooLarge(format!("Packed policy exceeds {limit} characters."))
            }
            None => IamError::MalformedPolicyDocument(error.aws_message()),
        }
        .into()),
    }
}
