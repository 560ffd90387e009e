//! Who asks, and whether a policy that names principals means them.
//!
//! Pure; no directory of principals: what a request says of its principal is taken as proven.

use crate::document::{Effect, Listed, PrincipalName, PrincipalNameKind};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Principal<'a> {
    /// Nobody in particular.
    Anonymous,
    /// The owner of an account.
    Root {
        /// The account's 12 digits.
        account: &'a str,
    },
    /// A user.
    User {
        /// `arn:aws:iam::123456789012:user/alice`.
        arn: &'a str,
        /// The account's 12 digits.
        account: &'a str,
        /// `AIDA…`, which a policy may name instead of the ARN; empty if there is none.
        unique_id: &'a str,
    },
    /// A session of a role.
    RoleSession {
        /// `arn:aws:sts::123456789012:assumed-role/reader/app`.
        arn: &'a str,
        /// `arn:aws:iam::123456789012:role/reader`.
        role_arn: &'a str,
        /// The account's 12 digits.
        account: &'a str,
        /// `AROA…` of the role; empty if there is none.
        unique_id: &'a str,
    },
    /// A federated user's session.
    FederatedUser {
        /// `arn:aws:sts::123456789012:federated-user/alice`.
        arn: &'a str,
        /// The account's 12 digits.
        account: &'a str,
    },
    /// A service that acts for itself, such as `lambda.amazonaws.com`.
    Service {
        /// Its name.
        name: &'a str,
    },
    /// Somebody an identity provider vouches for, who is to become a session.
    Federated {
        /// The provider's ARN, or its name.
        provider: &'a str,
    },
}

impl<'a> Principal<'a> {
    /// The account it belongs to.
    pub fn account(&self) -> Option<&'a str> {
        match *self {
            Self::Root { account }
            | Self::User { account, .. }
            | Self::RoleSession { account, .. }
            | Self::FederatedUser { account, .. } => Some(account),
            Self::Anonymous | Self::Service { .. } | Self::Federated { .. } => None,
        }
    }

    /// Whether identity-based policies can be attached to it.
    pub(crate) fn has_identity(&self) -> bool {
        match self {
            Self::Root { .. } | Self::User { .. } | Self::RoleSession { .. } | Self::FederatedUser { .. } => {
                true
            }
            Self::Anonymous | Self::Service { .. } | Self::Federated { .. } => false,
        }
    }
}

/// How closely a policy names a principal, which decides what its permission is worth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Reach {
    /// Only its account, whose own policies then decide.
    Account,
    /// Its role: a boundary and a session's policy still count.
    Role,
    /// Itself, or everybody.
    Itself,
}

/// The `Principal` of a statement, ready to be compared.
#[derive(Debug)]
pub(crate) struct Principals {
    is_negated: bool,
    names: Box<[(PrincipalNameKind, Box<str>)]>,
}

impl Principals {
    pub(crate) fn new(listed: &Listed<PrincipalName>) -> Self {
        let name = |principal: &PrincipalName| {
            let text = principal.name.text.as_str();
            // An account's ARN and its number mean the same.
            let name = match principal.kind {
                PrincipalNameKind::Account => {
                    text.strip_suffix(":root").map_or(text, |arn| arn.rsplit(':').next().unwrap_or_default())
                }
                PrincipalNameKind::Everybody
                | PrincipalNameKind::Arn
                | PrincipalNameKind::UniqueId
                | PrincipalNameKind::Service
                | PrincipalNameKind::Federated
                | PrincipalNameKind::CanonicalUser => text,
            };
            (principal.kind, name.into())
        };
        Self { is_negated: listed.is_negated, names: listed.entries.iter().map(name).collect() }
    }

    /// How closely the statement means the principal, if it does. `NotPrincipal` errs on the closed side: a denial spares only
    /// whom it names itself, and a permission is for those only of whom neither role nor account is named.
    pub(crate) fn reach(
        &self,
        effect: Effect,
        principal: &Principal<'_>,
        has_boundary: bool,
    ) -> Option<Reach> {
        // Whoever holds a provider's token is nobody until a policy names the provider: `*` is for who has an identity here.
        let is_token = matches!(principal, Principal::Federated { .. });
        let is_stranger = is_token && effect == Effect::Allow && !self.is_negated;
        let named =
            self.names.iter().filter(|(kind, _)| !(is_stranger && *kind == PrincipalNameKind::Everybody));
        let closest = named.filter_map(|(kind, name)| reach(*kind, name, principal)).max();
        if !self.is_negated {
            return closest;
        }
        let is_spared = match effect {
            // AWS's own rule: with a boundary nobody is spared.
            Effect::Deny => closest == Some(Reach::Itself) && !has_boundary,
            Effect::Allow => closest.is_some(),
        };
        (!is_spared).then_some(Reach::Itself)
    }
}

fn reach(kind: PrincipalNameKind, name: &str, principal: &Principal<'_>) -> Option<Reach> {
    let when = |is_named: bool, reach| is_named.then_some(reach);
    match kind {
        PrincipalNameKind::Everybody => Some(Reach::Itself),
        PrincipalNameKind::Account => match principal {
            Principal::Root { account } => when(*account == name, Reach::Itself),
            Principal::User { account, .. }
            | Principal::RoleSession { account, .. }
            | Principal::FederatedUser { account, .. } => when(*account == name, Reach::Account),
            Principal::Anonymous | Principal::Service { .. } | Principal::Federated { .. } => None,
        },
        PrincipalNameKind::Arn => match principal {
            Principal::User { arn, .. } | Principal::FederatedUser { arn, .. } => {
                when(*arn == name, Reach::Itself)
            }
            Principal::RoleSession { arn, role_arn, .. } => {
                when(*arn == name, Reach::Itself).or(when(*role_arn == name, Reach::Role))
            }
            Principal::Anonymous
            | Principal::Root { .. }
            | Principal::Service { .. }
            | Principal::Federated { .. } => None,
        },
        PrincipalNameKind::UniqueId => match principal {
            Principal::User { unique_id, .. } => when(*unique_id == name, Reach::Itself),
            Principal::RoleSession { unique_id, .. } => when(*unique_id == name, Reach::Role),
            Principal::Anonymous
            | Principal::Root { .. }
            | Principal::FederatedUser { .. }
            | Principal::Service { .. }
            | Principal::Federated { .. } => None,
        },
        PrincipalNameKind::Service => match principal {
            Principal::Service { name: service } => when(*service == name, Reach::Itself),
            Principal::Anonymous
            | Principal::Root { .. }
            | Principal::User { .. }
            | Principal::RoleSession { .. }
            | Principal::FederatedUser { .. }
            | Principal::Federated { .. } => None,
        },
        PrincipalNameKind::Federated => match principal {
            Principal::Federated { provider } => when(*provider == name, Reach::Itself),
            Principal::Anonymous
            | Principal::Root { .. }
            | Principal::User { .. }
            | Principal::RoleSession { .. }
            | Principal::FederatedUser { .. }
            | Principal::Service { .. } => None,
        },
        // No request says which canonical id its account has.
        PrincipalNameKind::CanonicalUser => None,
    }
}
