//! The decision over all policies that apply to a request, in AWS's order.
//!
//! Pure. Invariants: a statement that denies wins, whichever policy it stands in; nothing is allowed unless a statement allows it,
//! but for the owner of an account in their own account.

use std::fmt;
use std::sync::Arc;

use crate::context::Context;
use crate::json::Position;
use crate::policy::{Policy, Question, Verdict};
use crate::principal::{Principal, Reach};

/// A question: may this be done to that?
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// The action, such as `secretsmanager:GetSecretValue`. Case does not count.
    pub action: &'a str,
    /// The resource's ARN, or `*` for actions that are about none.
    pub resource: &'a str,
    /// What else is known.
    pub context: &'a dyn Context,
}

/// The policies that apply to a request.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'a> {
    /// Those of the user or role, and of a user's groups: one suffices.
    pub identity: &'a [Arc<Policy>],
    /// That of the resource.
    pub resource: ResourcePolicy<'a>,
    /// The permissions boundary of the user or role.
    pub boundary: Option<&'a Policy>,
    /// Those a session was begun with: one suffices. A session that was begun without any has `None`.
    pub session: Option<&'a [Arc<Policy>]>,
    /// The organization's, level by level from its root to the account: of each level one must allow.
    pub service_control: &'a [&'a [Arc<Policy>]],
    /// Whether the resource is of the principal's account. Otherwise both accounts must allow.
    pub is_same_account: bool,
}

impl Default for Policies<'_> {
    /// None at all, within one account.
    fn default() -> Self {
        Self {
            identity: &[],
            resource: ResourcePolicy::None,
            boundary: None,
            session: None,
            service_control: &[],
            is_same_account: true,
        }
    }
}

/// The policy of a resource, and what it means for the account's own principals.
#[derive(Clone, Copy, Debug)]
pub enum ResourcePolicy<'a> {
    /// There is none.
    None,
    /// Its permission suffices, and is not needed: a secret's, for instance.
    Optional(&'a Policy),
    /// Without its permission nothing is allowed; if it names the account, the account's own policies decide: a key's policy,
    /// and a role's trust policy.
    Required(&'a Policy),
}

/// The kinds of policies a decision can come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PolicyKind {
    /// Of a user, group or role.
    Identity,
    /// Of a resource.
    Resource,
    /// A permissions boundary.
    Boundary,
    /// A session's own.
    Session,
    /// An organization's.
    ServiceControl,
}

/// A statement that made a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Determining<'a> {
    /// Of which kind its policy is.
    pub kind: PolicyKind,
    /// The policy's name.
    pub policy: &'a str,
    /// Which statement of it, counted from 0.
    pub statement: usize,
    /// The statement's id.
    pub sid: Option<&'a str>,
    /// Where it begins in the document.
    pub position: Position,
}

/// The answer, and what led to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision<'a> {
    /// Allowed by this statement.
    Allowed(Determining<'a>),
    /// Allowed because the owner of an account may do everything in it.
    AllowedToOwner,
    /// Denied by this statement, whatever others say.
    ExplicitlyDenied(Determining<'a>),
    /// Denied because no policy of this kind allows it.
    ImplicitlyDenied(PolicyKind),
}

impl Decision<'_> {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        match self {
            Self::Allowed(_) | Self::AllowedToOwner => true,
            Self::ExplicitlyDenied(_) | Self::ImplicitlyDenied(_) => false,
        }
    }

    /// The end of AWS's sentence for a denial: "because no identity-based policy allows the … action" or "with an explicit deny
    /// in an identity-based policy"; nothing if it is allowed.
    pub fn aws_reason(&self, action: &str) -> Option<String> {
        match self {
            Self::Allowed(_) | Self::AllowedToOwner => None,
            Self::ExplicitlyDenied(by) => {
                let article = if by.kind == PolicyKind::Identity { "an" } else { "a" };
                Some(format!("with an explicit deny in {article} {}", by.kind))
            }
            Self::ImplicitlyDenied(kind) => Some(format!("because no {kind} allows the {action} action")),
        }
    }
}

impl fmt::Display for PolicyKind {
    /// AWS's words.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::ServiceControl => "service control policy",
        })
    }
}

/// Longest action that is brought to lower case without allocating.
const ACTION_BYTES: usize = 128;

impl Request<'_> {
    /// Calls `with` the question with its action in lower case.
    pub(crate) fn ask<T>(&self, has_boundary: bool, with: impl FnOnce(&Question<'_>) -> T) -> T {
        let Self { principal, resource, context, .. } = *self;
        let mut buffer = [0; ACTION_BYTES];
        let short = buffer.get_mut(..self.action.len()).and_then(|lower| {
            lower.copy_from_slice(self.action.as_bytes());
            lower.make_ascii_lowercase();
            std::str::from_utf8(lower).ok()
        });
        match short {
            Some(action) => with(&Question { principal, action, resource, context, has_boundary }),
            None => {
                let action = self.action.to_ascii_lowercase();
                with(&Question { principal, action: &action, resource, context, has_boundary })
            }
        }
    }
}

/// Decides a request.
pub fn evaluate<'a>(policies: &Policies<'a>, request: &Request<'_>) -> Decision<'a> {
    request.ask(policies.boundary.is_some(), |question| decide(policies, question))
}

fn decide<'a>(policies: &Policies<'a>, question: &Question<'_>) -> Decision<'a> {
    // Every policy is asked, since a denial in any of them wins.
    let mut denied = None;
    let mut ask = |kind, policy: &'a Policy| {
        let verdict = policy.verdict(question);
        if let (None, Some(statement)) = (denied, verdict.denied) {
            denied = Some(determining(kind, policy, statement));
        }
        verdict
    };
    let mut is_within_organization = true;
    for level in policies.service_control {
        let mut is_allowed = false;
        for policy in *level {
            is_allowed |= ask(PolicyKind::ServiceControl, policy).allowed.is_some();
        }
        is_within_organization &= is_allowed;
    }
    let resource_policy = match policies.resource {
        ResourcePolicy::None => None,
        ResourcePolicy::Optional(policy) | ResourcePolicy::Required(policy) => Some(policy),
    };
    let by_resource = resource_policy.and_then(|policy| {
        let (statement, reach) = ask(PolicyKind::Resource, policy).allowed?;
        Some((determining(PolicyKind::Resource, policy, statement), reach))
    });
    let by_identity = any_allowing(policies.identity, PolicyKind::Identity, &mut ask);
    let by_boundary = policies.boundary.map(|policy| ask(PolicyKind::Boundary, policy).allowed.is_some());
    let by_session =
        policies.session.map(|session| any_allowing(session, PolicyKind::Session, &mut ask).is_some());

    if let Some(denied) = denied {
        return Decision::ExplicitlyDenied(denied);
    }
    if !is_within_organization {
        return Decision::ImplicitlyDenied(PolicyKind::ServiceControl);
    }
    let by_owner = matches!(question.principal, Principal::Root { .. }).then_some(Decision::AllowedToOwner);
    let identity = by_identity.map(Decision::Allowed).or(by_owner);
    let resource = by_resource.map(|(by, _)| Decision::Allowed(by));
    let reach = by_resource.map(|(_, reach)| reach);

    if !question.principal.has_identity() {
        return resource.unwrap_or(Decision::ImplicitlyDenied(PolicyKind::Resource));
    }
    let is_required = match policies.resource {
        ResourcePolicy::Required(_) => true,
        ResourcePolicy::None | ResourcePolicy::Optional(_) => !policies.is_same_account,
    };
    if is_required && resource.is_none() {
        // Of two permissions that are missing the caller's own is named first.
        let missing = match identity {
            None if !policies.is_same_account => PolicyKind::Identity,
            Some(_) | None => PolicyKind::Resource,
        };
        return Decision::ImplicitlyDenied(missing);
    }
    let granted = match (policies.is_same_account, reach) {
        // Neither boundary nor session narrow what is given to the user or session by name.
        (true, Some(Reach::Itself)) => {
            return resource.unwrap_or(Decision::ImplicitlyDenied(PolicyKind::Resource));
        }
        (true, Some(Reach::Role)) => resource,
        (true, Some(Reach::Account) | None) | (false, _) => identity,
    };
    match granted {
        None => Decision::ImplicitlyDenied(PolicyKind::Identity),
        Some(_) if by_boundary == Some(false) => Decision::ImplicitlyDenied(PolicyKind::Boundary),
        Some(_) if by_session == Some(false) => Decision::ImplicitlyDenied(PolicyKind::Session),
        Some(decision) => decision,
    }
}

/// The first statement that allows, after every policy was asked.
fn any_allowing<'a>(
    policies: &'a [Arc<Policy>],
    kind: PolicyKind,
    ask: &mut impl FnMut(PolicyKind, &'a Policy) -> Verdict,
) -> Option<Determining<'a>> {
    let mut by = None;
    for policy in policies {
        let verdict = ask(kind, policy);
        if let (None, Some((statement, _))) = (by, verdict.allowed) {
            by = Some(determining(kind, policy, statement));
        }
    }
    by
}

pub(crate) fn determining(kind: PolicyKind, policy: &Policy, statement: usize) -> Determining<'_> {
    let rule = policy.rules().get(statement);
    Determining {
        kind,
        policy: policy.name(),
        statement,
        sid: rule.and_then(|rule| rule.sid.as_deref()),
        position: rule.map_or(Position { line: 1, column: 1 }, |rule| rule.position),
    }
}
