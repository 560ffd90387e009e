//! May they? The caller's policies, compiled and kept, and what a request says of itself.
//!
//! A principal's policies are read from one snapshot, its own, its groups' and its boundary, compiled once, and kept until the
//! account's policy epoch changes. Invariants: a read is decided by policies that are not older than the last acknowledged
//! change of access; a write by those of exactly the epoch that its commit guards. The keys of docs/access.md stand here
//! and in the operations' `condition`, and each is looked up only when a statement asks for it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use coffer_policy::{
    Decision, Document, DocumentKind, Policies as Evaluated, Policy, PolicyKind, Principal as Who, Request,
    ResourcePolicy, Values, evaluate,
};
use coffer_store::Revision;
use coffer_types::{AccountId, PolicyArn, Tag};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::core::Inner;
use crate::error::IamError;
use crate::gate::{Operation, Requirements};
use crate::ops::iam::find_aws_policy;
use crate::records::access::{Entity, Policies};
use crate::records::view::View;
use crate::records::{Group, ManagedPolicy, PolicyEpoch, Role, User};
use crate::session::{Holder, Session, Terms};
use crate::{Context, Denial, DenialReason, Error, Principal, keys, web_identity};

/// Most bytes of compiled policies that are kept, as far as they can be told.
const CACHE_WEIGHT_MAX: u64 = 16 * 1024 * 1024;
/// How many principals that is about.
const CACHE_ENTRIES_EXPECTED: usize = 1024;
/// What a character of a document takes, compiled.
const BYTES_PER_CHAR: u64 = 8;

/// What a principal may do, by the policies of one moment.
pub(crate) struct Permissions {
    /// The count of changes of access when they were read; what was counted since makes them old.
    generation: Option<u64>,
    /// The policy epoch they are of.
    epoch: Option<Revision>,
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
    /// What narrows a session, if anything does.
    session: Option<Vec<Arc<Policy>>>,
    /// The user's or role's tags.
    tags: Vec<Tag>,
    /// The user or role was deleted after the request was signed: nothing is allowed, whoever trusts it.
    is_gone: bool,
    weight: u64,
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<Arc<str>, Arc<Permissions>> for ByWeight {
    fn weight(&self, _: &Arc<str>, permissions: &Arc<Permissions>) -> u64 {
        permissions.weight
    }
}

/// The permissions of those who asked last, by unique id: another of the same name has others.
pub(crate) struct PermissionsCache(Cache<Arc<str>, Arc<Permissions>, ByWeight>);

impl Default for PermissionsCache {
    fn default() -> Self {
        Self(Cache::with_weighter(CACHE_ENTRIES_EXPECTED, CACHE_WEIGHT_MAX, ByWeight))
    }
}

/// A stored document that is no policy any more. Nothing is decided without it, since it might deny.
#[derive(Debug, thiserror::Error)]
#[error("the stored policy {0} can't be read")]
struct UnreadablePolicy(String);

impl Permissions {
    fn of_nobody(generation: Option<u64>, epoch: Option<Revision>) -> Self {
        let (identity, tags) = (Vec::new(), Vec::new());
        let is_gone = false;
        Self { generation, epoch, identity, boundary: None, session: None, tags, is_gone, weight: 1024 }
    }

    async fn of_user(
        view: &mut View,
        generation: Option<u64>,
        account: AccountId,
        name: &str,
        id: &str,
    ) -> Result<Self, Error> {
        let epoch = view.get_past_cache::<PolicyEpoch>(&keys::policy_epoch(account)).await?;
        let mut permissions = Self::of_nobody(generation, epoch.map(|epoch| epoch.revision));
        let user = view.get_past_cache::<User>(&keys::user(account, name)).await?;
        let Some(user) = user.map(|user| user.record).filter(|user| user.facts.id == id) else {
            permissions.is_gone = true;
            return Ok(permissions);
        };
        permissions.tags.clone_from(&user.facts.tags);
        permissions.add(view, account, &user.policies).await?;
        for group in &user.groups {
            if let Some(group) = view.get_past_cache::<Group>(&keys::group(account, group)).await? {
                permissions.add(view, account, &group.record.policies).await?;
            }
        }
        permissions.set_boundary(view, account, user.boundary.as_deref()).await?;
        Ok(permissions)
    }

    async fn of_session(view: &mut View, generation: Option<u64>, session: &Session) -> Result<Self, Error> {
        let Terms { account, holder, name, id, policy, policy_arns, .. } = &session.terms;
        let mut permissions = match holder {
            Holder::User => Self::of_user(view, generation, *account, name, id).await?,
            Holder::Role => Self::of_role(view, generation, *account, name, id).await?,
        };
        if policy.is_some() || !policy_arns.is_empty() {
            let mut narrowing = Vec::new();
            if let Some(document) = policy {
                narrowing.push(permissions.compile("session", document, DocumentKind::Session)?);
            }
            for arn in policy_arns {
                let policy = permissions.managed(view, *account, arn).await?;
                // What is not there any more might deny.
                narrowing.push(policy.ok_or_else(|| Error::unavailable(UnreadablePolicy(arn.clone())))?);
            }
            permissions.session = Some(narrowing);
        }
        Ok(permissions)
    }

    async fn of_role(
        view: &mut View,
        generation: Option<u64>,
        account: AccountId,
        name: &str,
        id: &str,
    ) -> Result<Self, Error> {
        let epoch = view.get_past_cache::<PolicyEpoch>(&keys::policy_epoch(account)).await?;
        let mut permissions = Self::of_nobody(generation, epoch.map(|epoch| epoch.revision));
        let role = view.get_past_cache::<Role>(&keys::role(account, name)).await?;
        let Some(role) = role.map(|role| role.record).filter(|role| role.facts.id == id) else {
            permissions.is_gone = true;
            return Ok(permissions);
        };
        permissions.tags.clone_from(&role.facts.tags);
        permissions.add(view, account, &role.policies).await?;
        permissions.set_boundary(view, account, role.boundary.as_deref()).await?;
        Ok(permissions)
    }

    async fn add(&mut self, view: &mut View, account: AccountId, policies: &Policies) -> Result<(), Error> {
        for (name, document) in &policies.inline {
            let policy = self.compile(name, document, DocumentKind::Inline)?;
            self.identity.push(policy);
        }
        for arn in &policies.attached {
            let policy = self.managed(view, account, arn).await?;
            self.identity.extend(policy);
        }
        Ok(())
    }

    async fn set_boundary(
        &mut self,
        view: &mut View,
        account: AccountId,
        arn: Option<&str>,
    ) -> Result<(), Error> {
        let Some(arn) = arn else { return Ok(()) };
        let policy = self.managed(view, account, arn).await?;
        // Who is bounded by what is not there may do nothing.
        self.boundary = Some(policy.ok_or_else(|| Error::unavailable(UnreadablePolicy(arn.to_owned())))?);
        Ok(())
    }

    /// A managed policy, as its default version has it.
    async fn managed(
        &mut self,
        view: &mut View,
        account: AccountId,
        arn: &str,
    ) -> Result<Option<Arc<Policy>>, Error> {
        if let Some(policy) = find_aws_policy(arn) {
            return self.compile(arn, policy.document, DocumentKind::Managed).map(Some);
        }
        let Ok(parsed) = arn.parse::<PolicyArn>() else { return Ok(None) };
        let key = keys::policy(account, parsed.name.as_str());
        let Some(policy) = view.get_past_cache::<ManagedPolicy>(&key).await? else { return Ok(None) };
        if policy.record.arn(account) != arn {
            return Ok(None);
        }
        let version = policy.record.versions.get(&policy.record.default_version);
        let document = version.ok_or_else(|| Error::unavailable(UnreadablePolicy(arn.to_owned())))?;
        self.compile(arn, &document.document, DocumentKind::Managed).map(Some)
    }

    fn compile(&mut self, name: &str, document: &str, kind: DocumentKind) -> Result<Arc<Policy>, Error> {
        self.weight += 512 + document.len() as u64 * BYTES_PER_CHAR;
        let parsed = Document::parse(document, kind);
        let parsed = parsed.map_err(|_| Error::unavailable(UnreadablePolicy(name.to_owned())))?;
        Ok(Arc::new(Policy::compile(name, &parsed)))
    }
}

impl Inner {
    /// What the caller may do: for a write by the policies of the epoch it guards, for a read by the newest.
    pub(crate) async fn permissions(
        self: &Arc<Self>,
        context: &Context,
        guarded: Option<Option<Revision>>,
    ) -> Result<Arc<Permissions>, Error> {
        // Before the snapshot: a change that is counted later makes what is read now old.
        let generation = self.cache.access_generation();
        let key = context.principal.permissions_key();
        if let Some(known) = self.permissions.0.get(key) {
            let is_current = match guarded {
                Some(epoch) => known.epoch == epoch,
                None => generation.is_some() && known.generation == generation,
            };
            if is_current {
                return Ok(known);
            }
        }
        let mut view = View::new(Arc::clone(self));
        let permissions = match &context.principal {
            Principal::User { name, id, .. } => {
                Permissions::of_user(&mut view, generation, context.account, name, id).await?
            }
            Principal::Session(session) => Permissions::of_session(&mut view, generation, session).await?,
            // Whose own policies are none: whom a role trusts is said by the role, and the owner of the store could read the
            // file anyway.
            Principal::WebIdentity(_) | Principal::Local { .. } => {
                let epoch_key = keys::policy_epoch(context.account);
                let epoch = view.get_past_cache::<PolicyEpoch>(&epoch_key).await?;
                Permissions::of_nobody(generation, epoch.map(|epoch| epoch.revision))
            }
        };
        let permissions = Arc::new(permissions);
        // While access changes, another may have read what is newer; nothing is kept then.
        if generation.is_some() {
            self.permissions.0.insert(key.into(), Arc::clone(&permissions));
        }
        Ok(permissions)
    }
}

/// Whether the caller may do all of it; the first permission that is missing is the answer.
pub(crate) fn authorize<O: Operation>(
    context: &Context,
    permissions: &Permissions,
    operation: &O,
    found: &O::Found,
    requirements: &Requirements,
) -> Result<(), Error> {
    let account = context.account.digits();
    let account = std::str::from_utf8(&account).unwrap_or_default();
    let keys = RequestKeys { context, permissions, operation, found };
    for requirement in &requirements.0 {
        if requirement.action.service == "iam" && context.principal.is_session_of_user() {
            let text = "Cannot call IAM operations with credentials from GetSessionToken";
            return Err(IamError::NotForSessions(text.to_owned()).into());
        }
        let action = requirement.action.to_text();
        let request = Request {
            principal: context.principal.for_policies(account),
            action: &action,
            resource: &requirement.resource,
            context: &keys,
        };
        let policies = Evaluated {
            identity: &permissions.identity,
            boundary: permissions.boundary.as_deref(),
            session: permissions.session.as_deref(),
            resource: requirement.trust.as_deref().map_or(ResourcePolicy::None, ResourcePolicy::Required),
            ..Evaluated::default()
        };
        let decision = match permissions.is_gone {
            true => Decision::ImplicitlyDenied(PolicyKind::Identity),
            false => evaluate(&policies, &request),
        };
        let reason = match decision {
            Decision::Allowed(_) | Decision::AllowedToOwner => continue,
            Decision::ImplicitlyDenied(kind) => DenialReason::NotAllowed(kind),
            Decision::ExplicitlyDenied(by) => DenialReason::ExplicitlyDenied(by.kind),
        };
        let denial = Box::new(Denial {
            principal: context.principal.arn().to_owned(),
            account: context.account,
            action: requirement.action,
            resource: requirement.as_supplied.to_string(),
            reason,
            // It would tell which roles there are that trust the caller's account.
            is_reason_told: requirement.trust.is_none(),
        });
        return Err(match &context.principal {
            Principal::WebIdentity(_) => IamError::NotTrusted(denial).into(),
            Principal::User { .. } | Principal::Session(_) | Principal::Local { .. } => Error::Denied(denial),
        });
    }
    Ok(())
}

impl Principal {
    /// Whose policies count: the user's or role's ARN.
    pub(crate) fn policies_arn(&self) -> &str {
        match self {
            Self::User { arn, .. } | Self::Local { arn, .. } => arn,
            Self::Session(session) => &session.policies_arn,
            Self::WebIdentity(identity) => &identity.provider,
        }
    }

    /// Under what its permissions are kept.
    fn permissions_key(&self) -> &str {
        match self {
            Self::User { id, .. } => id,
            Self::Local { arn, .. } => arn,
            Self::Session(session) => session.permissions_key(),
            Self::WebIdentity(identity) => &identity.provider,
        }
    }

    /// Whether it has credentials of a user's that end. They may not touch IAM, as in AWS without MFA: an access key made with
    /// them would not end.
    fn is_session_of_user(&self) -> bool {
        match self {
            Self::Session(session) => session.terms.holder == Holder::User,
            Self::User { .. } | Self::WebIdentity(_) | Self::Local { .. } => false,
        }
    }

    fn for_policies<'a>(&'a self, account: &'a str) -> Who<'a> {
        match self {
            Self::User { arn, id, .. } => Who::User { arn, account, unique_id: id },
            Self::Session(session) => match session.terms.holder {
                Holder::User => Who::User { arn: &session.arn, account, unique_id: &session.terms.id },
                Holder::Role => Who::RoleSession {
                    arn: &session.arn,
                    role_arn: &session.policies_arn,
                    account,
                    unique_id: &session.terms.id,
                },
            },
            Self::WebIdentity(identity) => Who::Federated { provider: &identity.provider },
            Self::Local { .. } => Who::Root { account },
        }
    }
}

/// What a request says of itself, for conditions and variables.
struct RequestKeys<'a, O: Operation> {
    context: &'a Context,
    permissions: &'a Permissions,
    operation: &'a O,
    found: &'a O::Found,
}

impl<O: Operation> coffer_policy::Context for RequestKeys<'_, O> {
    fn get(&self, key: &str) -> Values<'_> {
        match self.global(key) {
            // What the operation says of itself is not for an issuer to say.
            Values::Absent => either(self.operation.condition(self.found, key), || self.federated(key)),
            known => known,
        }
    }
}

impl<O: Operation> RequestKeys<'_, O> {
    /// What was agreed when the session began, if it is one.
    fn terms(&self) -> Option<&Terms> {
        match &self.context.principal {
            Principal::Session(session) => Some(&session.terms),
            Principal::User { .. } | Principal::WebIdentity(_) | Principal::Local { .. } => None,
        }
    }

    /// What an identity provider said of whom the session is of, or of who is to become one.
    fn federated(&self, key: &str) -> Values<'_> {
        match &self.context.principal {
            Principal::WebIdentity(identity) => web_identity::claim(&identity.issuer, &identity.claims, key),
            Principal::Session(session) => match &session.terms.federated {
                Some(federated) => web_identity::claim(&federated.issuer, &federated.claims, key),
                None => Values::Absent,
            },
            Principal::User { .. } | Principal::Local { .. } => Values::Absent,
        }
    }

    fn federated_provider(&self) -> Values<'_> {
        match &self.context.principal {
            Principal::WebIdentity(identity) => one(&*identity.provider),
            Principal::Session(session) => Values::optional(
                session.terms.federated.as_ref().map(|federated| federated.provider.as_str()),
            ),
            Principal::User { .. } | Principal::Local { .. } => Values::Absent,
        }
    }

    /// The keys of every request.
    fn global(&self, key: &str) -> Values<'_> {
        let Some(name) = key.strip_prefix("aws:") else { return Values::Absent };
        let context = self.context;
        match name {
            "federatedprovider" => self.federated_provider(),
            "principalarn" | "principalaccount" | "principaltype" | "userid"
                if matches!(context.principal, Principal::WebIdentity(_)) =>
            {
                Values::Absent
            }
            "principalarn" => one(context.principal.policies_arn()),
            "principalaccount" | "resourceaccount" => one(context.account.to_string()),
            "principaltype" => one(match &context.principal {
                Principal::User { .. } => "User",
                Principal::Session(session) => match session.terms.holder {
                    Holder::User => "User",
                    Holder::Role => "AssumedRole",
                },
                Principal::WebIdentity(_) => "",
                Principal::Local { .. } => "Account",
            }),
            "username" => Values::optional(context.principal.user_name()),
            "tokenissuetime" => match self.terms() {
                Some(terms) => one(terms.issued.to_rfc3339_seconds()),
                None => Values::Absent,
            },
            "multifactorauthpresent" => match self.terms() {
                Some(_) => one("false"),
                None => Values::Absent,
            },
            "sourceidentity" => {
                Values::optional(self.terms().and_then(|terms| terms.source_identity.as_deref()))
            }
            "userid" => match &context.principal {
                Principal::User { id, .. } => one(&**id),
                Principal::Session(session) => one(&*session.id),
                Principal::WebIdentity(_) => Values::Absent,
                Principal::Local { .. } => one(context.account.to_string()),
            },
            "sourceip" => match context.request.source {
                Some(address) => one(plain(address).to_string()),
                None => Values::Absent,
            },
            "securetransport" => one(if context.request.transport.is_secure() { "true" } else { "false" }),
            "currenttime" => one(context.now.to_rfc3339_seconds()),
            "epochtime" => one(context.now.as_millis().div_euclid(1000).to_string()),
            "useragent" => one(&*context.request.user_agent),
            "requestedregion" => one(context.region.as_str()),
            "viaawsservice" | "principalisawsservice" => one("false"),
            _ => match name.strip_prefix("principaltag/") {
                // A session's own tags come before the role's.
                Some(tag) => either(tag_value(self.terms().map(|terms| terms.tags.as_slice()), tag), || {
                    tag_value(Some(&self.permissions.tags), tag)
                }),
                None => Values::Absent,
            },
        }
    }
}

/// An address of IPv4 as such, however the socket has it.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// A key's one value.
pub(crate) fn one<'a>(value: impl Into<Cow<'a, str>>) -> Values<'a> {
    Values::One(value.into())
}

/// The value of a tag; the case of its key does not count. Of two whose keys differ in nothing else neither is it, or whoever
/// adds a `TEAM` could choose which team a secret is taken to be of.
pub(crate) fn tag_value<'a>(tags: Option<&'a [Tag]>, key: &str) -> Values<'a> {
    let mut found = tags.unwrap_or_default().iter().filter(|tag| tag.key().eq_ignore_ascii_case(key));
    match (found.next(), found.next()) {
        (Some(tag), None) => one(tag.value()),
        (Some(_), Some(_)) | (None, _) => Values::Absent,
    }
}

/// What a request says of the tags it brings: `aws:RequestTag/…` and `aws:TagKeys`.
pub(crate) fn request_tags<'a>(tags: Option<&'a [Tag]>, key: &str) -> Values<'a> {
    match key.strip_prefix("aws:requesttag/") {
        Some(tag) => tag_value(tags, tag),
        None if key == "aws:tagkeys" => match tags {
            Some(tags) => Values::Many(tags.iter().map(|tag| Cow::Borrowed(tag.key())).collect()),
            None => Values::Absent,
        },
        None => Values::Absent,
    }
}

/// What a request says of the tags it takes away.
pub(crate) fn tag_keys<'a>(keys: &'a [String], key: &str) -> Values<'a> {
    match key {
        "aws:tagkeys" => Values::Many(keys.iter().map(|key| Cow::Borrowed(key.as_str())).collect()),
        _ => Values::Absent,
    }
}

/// The first of two that is there.
pub(crate) fn either<'a>(first: Values<'a>, second: impl FnOnce() -> Values<'a>) -> Values<'a> {
    match first {
        Values::Absent => second(),
        known => known,
    }
}
