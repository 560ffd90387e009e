//! What the commands about users, groups, roles and policies ask of the store.
//!
//! No I/O but the store's.

use coffer_policy::{Needs, Workload, least_privilege_for_all};
use coffer_types::{IssuerUrl, SecretId, SecretName};
use coffer_wire_local::{
    Able, AccessKey, AccessRequest, AccessResponse, Entity, Explanation, FailureKind, Holder, HolderKind,
    NewAccessKey, Policy, PolicySummary, Provider, Request, Response,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::access::{Access, unexpected};
use crate::arguments::Permitted;
use crate::failure::Stop;
use crate::layout::{compact, is_json};
use crate::near::did_you_mean;
use crate::output::Output;

/// What the policy is called that `--reads` and `--writes` make.
pub(crate) const SECRETS_POLICY: &str = "secrets";

/// Somebody's policies.
#[derive(Debug)]
pub(crate) struct PoliciesOf {
    /// The names of their own.
    pub(crate) inline: Vec<String>,
    /// Name and ARN of managed ones.
    pub(crate) attached: Vec<(String, String)>,
}

impl Access {
    fn access(&mut self, request: AccessRequest) -> Result<AccessResponse, Stop> {
        let next = next_of(&request);
        let own_policy_of = match &request {
            AccessRequest::GetInlinePolicy { holder, .. }
            | AccessRequest::DeleteInlinePolicy { holder, .. } => Some(holder.clone()),
            _ => None,
        };
        match self.call(Request::Access(request)) {
            Ok(Response::Access(response)) => Ok(response),
            Ok(_) => Err(unexpected()),
            Err(Stop::Failure(mut failure)) => {
                failure.hint =
                    failure.hint.or_else(|| for_principal(&failure.message)).or_else(|| next(failure.kind));
                if failure.kind == FailureKind::NotFound
                    && let Some(near) = self.like_missing(&failure.message, own_policy_of.as_ref())
                {
                    failure.hint = Some(match failure.hint {
                        Some(hint) => format!("{near} {hint}"),
                        None => near,
                    });
                }
                Err(failure.into())
            }
            Err(stop) => Err(stop),
        }
    }

    /// Who or what is called almost like the one that a failure says is not there.
    fn like_missing(&mut self, message: &str, own_policy_of: Option<&Holder>) -> Option<String> {
        if let Some((_, arn)) = message.split_once("Provider not found for arn ") {
            let names: Vec<String> =
                self.providers().ok()?.into_iter().map(|provider| provider.issuer).collect();
            let name = arn.split_once(":oidc-provider/").map_or(arn, |(_, name)| name);
            return did_you_mean(name, names.iter().map(String::as_str));
        }
        let (noun, rest) = message.strip_prefix("the ")?.split_once(" with name ")?;
        let name = rest.strip_suffix(" cannot be found")?;
        let kind = [HolderKind::User, HolderKind::Group, HolderKind::Role].into_iter();
        // That the names can't be had is no failure of what was asked for.
        let names = match kind.into_iter().find(|kind| kind.noun() == noun) {
            Some(kind) => self.entities(kind).ok()?.into_iter().map(|entity| entity.name).collect(),
            None => self.policies_of(own_policy_of?).ok()?.inline,
        };
        did_you_mean(name, names.iter().map(String::as_str))
    }

    /// Who is called almost so, if nobody is called so: a user or role, as the log's filters take them.
    pub(crate) fn like_nobody(&mut self, who: &str) -> Result<Option<String>, Stop> {
        let mut names = vec!["owner".to_owned()];
        for kind in [HolderKind::User, HolderKind::Role] {
            names.extend(self.entities(kind)?.into_iter().map(|entity| entity.name));
        }
        let is_known = names.iter().any(|name| name == who.split('/').next().unwrap_or(who));
        Ok(if is_known { None } else { did_you_mean(who, names.iter().map(String::as_str)) })
    }

    /// Does what has nothing to tell.
    pub(crate) fn change(&mut self, request: AccessRequest) -> Result<(), Stop> {
        match self.access(request)? {
            AccessResponse::Done {} => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Makes or reads a user, group or role.
    pub(crate) fn entity(&mut self, request: AccessRequest) -> Result<Entity, Stop> {
        match self.access(request)? {
            AccessResponse::Entity(entity) => Ok(entity),
            _ => Err(unexpected()),
        }
    }

    /// The ARN of the identity provider for an issuer, which is made if there is none, and whose tokens are then also for this
    /// audience.
    pub(crate) fn identity_provider(&mut self, url: &IssuerUrl, audience: &str) -> Result<String, Stop> {
        let request = AccessRequest::TrustIssuer { url: url.to_string(), audience: audience.to_owned() };
        match self.access(request)? {
            AccessResponse::IdentityProvider { arn } => Ok(arn),
            _ => Err(unexpected()),
        }
    }

    /// All identity providers, by name.
    pub(crate) fn providers(&mut self) -> Result<Vec<Provider>, Stop> {
        match self.access(AccessRequest::ListProviders {})? {
            AccessResponse::Providers { providers } => Ok(providers),
            _ => Err(unexpected()),
        }
    }

    /// An identity provider, by its issuer or ARN.
    pub(crate) fn provider(&mut self, issuer: &str) -> Result<Provider, Stop> {
        match self.access(AccessRequest::GetProvider { issuer: issuer.to_owned() })? {
            AccessResponse::Provider(provider) => Ok(provider),
            _ => Err(unexpected()),
        }
    }

    /// All users, groups or roles, by name.
    pub(crate) fn entities(&mut self, kind: HolderKind) -> Result<Vec<Entity>, Stop> {
        let (mut entities, mut marker) = (Vec::new(), None);
        loop {
            let AccessResponse::Entities(page) = self.access(AccessRequest::List { kind, marker })? else {
                return Err(unexpected());
            };
            entities.extend(page.entities);
            match page.marker {
                Some(next) => marker = Some(next),
                None => return Ok(entities),
            }
        }
    }

    /// Makes an access key.
    pub(crate) fn new_access_key(&mut self, user: &str) -> Result<NewAccessKey, Stop> {
        match self.access(AccessRequest::CreateAccessKey { user: user.to_owned() })? {
            AccessResponse::NewAccessKey(key) => Ok(key),
            _ => Err(unexpected()),
        }
    }

    /// A user's access keys.
    pub(crate) fn access_keys(&mut self, user: &str) -> Result<Vec<AccessKey>, Stop> {
        match self.access(AccessRequest::ListAccessKeys { user: user.to_owned() })? {
            AccessResponse::AccessKeys { keys } => Ok(keys),
            _ => Err(unexpected()),
        }
    }

    /// The user whose an access key is; `None` if there is no such key.
    pub(crate) fn owner_of_key(&mut self, id: &str) -> Result<Option<String>, Stop> {
        match self.access(AccessRequest::FindAccessKey { id: id.to_owned() }) {
            Ok(AccessResponse::KeyOwner { user, last_used: _ }) => Ok(Some(user)),
            Ok(_) => Err(unexpected()),
            Err(Stop::Failure(failure)) if failure.kind == FailureKind::NotFound => Ok(None),
            Err(stop) => Err(stop),
        }
    }

    /// The groups of a user, or the users of a group.
    pub(crate) fn names(&mut self, request: AccessRequest) -> Result<Vec<String>, Stop> {
        match self.access(request)? {
            AccessResponse::Names { names } => Ok(names),
            _ => Err(unexpected()),
        }
    }

    /// Makes or reads a policy.
    pub(crate) fn policy(&mut self, request: AccessRequest) -> Result<Policy, Stop> {
        match self.access(request)? {
            AccessResponse::Policy(policy) => Ok(policy),
            _ => Err(unexpected()),
        }
    }

    /// All managed policies, by name.
    pub(crate) fn policies(&mut self, with_aws: bool) -> Result<Vec<PolicySummary>, Stop> {
        let (mut policies, mut marker) = (Vec::new(), None);
        loop {
            let request = AccessRequest::ListPolicies { with_aws, marker };
            let AccessResponse::Policies(page) = self.access(request)? else { return Err(unexpected()) };
            policies.extend(page.policies);
            match page.marker {
                Some(next) => marker = Some(next),
                None => return Ok(policies),
            }
        }
    }

    /// Somebody's policies.
    pub(crate) fn policies_of(&mut self, holder: &Holder) -> Result<PoliciesOf, Stop> {
        match self.access(AccessRequest::ListPoliciesOf { holder: holder.clone() })? {
            AccessResponse::PoliciesOf { inline, attached } => Ok(PoliciesOf { inline, attached }),
            _ => Err(unexpected()),
        }
    }

    /// Who may do something to a secret.
    pub(crate) fn who_can(&mut self, secret_id: &str, action: &str) -> Result<Able, Stop> {
        let (secret_id, action) = (secret_id.to_owned(), action.to_owned());
        match self.access(AccessRequest::WhoCan { secret_id, action })? {
            AccessResponse::WhoCan(able) => Ok(able),
            _ => Err(unexpected()),
        }
    }

    /// Why something was denied: the answer to an [`AccessRequest::ExplainDenial`].
    pub(crate) fn explanation(&mut self, which: AccessRequest) -> Result<Option<Explanation>, Stop> {
        match self.access(which)? {
            AccessResponse::Explanation(explanation) => Ok(explanation.map(|explanation| *explanation)),
            _ => Err(unexpected()),
        }
    }

    /// The versions of a managed policy, newest first: their numbers, and whether it is the one that counts.
    pub(crate) fn policy_versions(&mut self, arn: &str) -> Result<Vec<(u32, bool)>, Stop> {
        match self.access(AccessRequest::ListPolicyVersions { arn: arn.to_owned() })? {
            AccessResponse::Versions { versions } => Ok(versions),
            _ => Err(unexpected()),
        }
    }

    /// The policy that `--reads` and `--writes` ask for; `None` if neither does. What is not there yet is warned of.
    pub(crate) fn permission(
        &mut self,
        permitted: &Permitted,
        output: Output,
    ) -> Result<Option<String>, Stop> {
        if permitted.reads.is_empty() && permitted.writes.is_empty() {
            return Ok(None);
        }
        let status = self.status()?;
        let region = permitted.scope.region.as_ref().unwrap_or(&status.region);
        let account = status.account.to_string();
        let mut named_secrets = [Vec::new(), Vec::new()];
        for (names, secrets) in named_secrets.iter_mut().zip([&permitted.reads, &permitted.writes]) {
            for secret in secrets {
                names.push(match secret.strip_suffix('*') {
                    Some(prefix) => {
                        // With a letter in the place of the rest, it has to be a name.
                        named(secret, &format!("{prefix}x"))?;
                        secret.clone()
                    }
                    None => {
                        let name = named(secret, secret)?;
                        self.warn_of_absence(secret, output)?;
                        name.to_string()
                    }
                });
            }
        }
        let [reads, writes] =
            named_secrets.each_ref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
        let needs =
            [(Workload::Reader, &reads), (Workload::Writer, &writes)].map(|(workload, secrets)| Needs {
                workload,
                secrets,
                partition: "aws",
                region: region.as_str(),
                account: &account,
                key: None,
            });
        let document = compact(least_privilege_for_all(&needs).as_bytes());
        Ok(Some(String::from_utf8_lossy(document.expose_secret()).into_owned()))
    }

    fn warn_of_absence(&mut self, secret: &str, output: Output) -> Result<(), Stop> {
        match self.describe(secret) {
            Ok(_) => Ok(()),
            Err(Stop::Failure(failure)) if failure.kind == FailureKind::NotFound => {
                output.warning(&format!(
                    "there is no secret `{secret}` yet; the permission is there for when it is"
                ));
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }
}

/// What to do about a trust policy that names somebody who is not there.
fn for_principal(message: &str) -> Option<String> {
    let named = message.to_lowercase().split_once("invalid principal in policy: \"aws\":\"")?.1.to_owned();
    let is_id = named.starts_with("aida") || named.starts_with("aroa");
    Some(match is_id {
        true => "whose id that was is deleted: take it out of the document, or name who has their name now by ARN".to_owned(),
        false => "only users and roles of this store can be named, by the ARNs of `coffer user list` and `coffer role list`; others by the number of their account".to_owned(),
    })
}

/// Where to look next if a request fails.
fn next_of(request: &AccessRequest) -> impl FnOnce(FailureKind) -> Option<String> + use<> {
    let list = |holder: &Holder| format!("see what there is with `coffer {} list`", holder.kind.noun());
    let (missing, taken) = match request {
        AccessRequest::Create { holder, .. } => {
            let (noun, name) = (holder.kind.noun(), &holder.name);
            (None, Some(format!("see what it is with `coffer {noun} show {name}`")))
        }
        AccessRequest::Get { holder }
        | AccessRequest::Delete { holder }
        | AccessRequest::ListPoliciesOf { holder }
        | AccessRequest::PutPolicy { holder, .. }
        | AccessRequest::AttachPolicy { holder, .. } => (Some(list(holder)), None),
        AccessRequest::CreateAccessKey { .. }
        | AccessRequest::ListAccessKeys { .. }
        | AccessRequest::ListGroupsForUser { .. } => {
            (Some("see who there is with `coffer user list`".to_owned()), None)
        }
        AccessRequest::UpdateAccessKey { user, .. } | AccessRequest::DeleteAccessKey { user, .. } => {
            (Some(format!("see what keys there are with `coffer key list {user}`")), None)
        }
        AccessRequest::GetInlinePolicy { holder: Holder { kind, name }, .. }
        | AccessRequest::DeleteInlinePolicy { holder: Holder { kind, name }, .. }
        | AccessRequest::DetachPolicy { holder: Holder { kind, name }, .. } => {
            (Some(format!("see what it has with `coffer policy list --{} {name}`", kind.noun())), None)
        }
        AccessRequest::GetProvider { .. } | AccessRequest::DeleteProvider { .. } => {
            (Some("see what there is with `coffer provider list`".to_owned()), None)
        }
        AccessRequest::UpdateTrust { role, .. } => (
            Some("see what there is with `coffer role list`".to_owned()),
            Some(format!("see whom it trusts now with `coffer role trust {role}`, and say it again")),
        ),
        AccessRequest::ListUsersOfGroup { .. } => {
            (Some("see what there is with `coffer group list`".to_owned()), None)
        }
        AccessRequest::GetPolicy { .. }
        | AccessRequest::CreatePolicyVersion { .. }
        | AccessRequest::ListPolicyVersions { .. }
        | AccessRequest::DeletePolicyVersion { .. }
        | AccessRequest::DeletePolicy { .. } => {
            (Some("see what there is with `coffer policy list`".to_owned()), None)
        }
        AccessRequest::List { .. }
        | AccessRequest::TrustIssuer { .. }
        | AccessRequest::ListProviders {}
        | AccessRequest::AddUserToGroup { .. }
        | AccessRequest::RemoveUserFromGroup { .. }
        | AccessRequest::FindAccessKey { .. }
        | AccessRequest::ListPolicies { .. }
        | AccessRequest::CreatePolicy { .. }
        | AccessRequest::WhoCan { .. }
        | AccessRequest::ExplainDenial { .. } => (None, None),
    };
    move |kind| match kind {
        FailureKind::NotFound => missing,
        FailureKind::Conflict => taken,
        FailureKind::Other
        | FailureKind::Denied
        | FailureKind::Unavailable
        | FailureKind::Refused
        | FailureKind::Verification => None,
    }
}

/// The name in what the user wrote as a name or ARN.
fn named(written: &str, text: &str) -> Result<SecretName, Stop> {
    let id: SecretId = text.parse().map_err(|error| {
        Stop::new(FailureKind::Refused, format!("`{written}` names no secret: {error}")).with_hint(
            "give a name as `coffer list` shows them, or the beginning of names and a * at the end",
        )
    })?;
    Ok(id.name().clone())
}

/// A document as it is made here, in the order people write one.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    version: &'a str,
    statement: Vec<WrittenStatement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenStatement<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    effect: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Value>,
    action: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource: Vec<String>,
}

fn written(statement: Vec<WrittenStatement<'_>>) -> Result<String, Stop> {
    let document = Written { version: "2012-10-17", statement };
    Ok(serde_json::to_string(&document).map_err(std::io::Error::from)?)
}

/// A trust policy by which these may take a role on.
pub(crate) fn trust_policy(principals: &[String]) -> Result<String, Stop> {
    written(vec![WrittenStatement {
        sid: None,
        effect: "Allow",
        principal: Some(json!({ "AWS": principals })),
        action: vec!["sts:AssumeRole"],
        resource: Vec::new(),
    }])
}

/// A document as an object for `--json`, in its own order; as a text if it is none.
pub(crate) fn document_object(document: &str) -> Box<RawValue> {
    let compacted = String::from_utf8_lossy(compact(document.as_bytes()).expose_secret()).into_owned();
    let object = is_json(document.as_bytes()).then(|| RawValue::from_string(compacted).ok()).flatten();
    object.or_else(|| to_raw_value(document).ok()).unwrap_or_else(|| RawValue::NULL.to_owned())
}
