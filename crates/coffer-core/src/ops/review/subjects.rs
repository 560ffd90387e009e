//! Users and roles with their policies, parsed, and whence they have them.

use coffer_audit::Members;
use coffer_policy::{Document, DocumentKind, Effect};
use coffer_types::Tag;

use crate::Error;
use crate::ops::iam::{Directory, Through, find_aws_policy, trust};
use crate::records::access::{Entity, Policies};
use crate::records::{Role, User};

/// What is read before anybody is looked at: everybody there is, what they have, and who vouches for whom.
pub(super) const EVERYBODY: [Through; 5] =
    [Through::Users, Through::Groups, Through::Roles, Through::Policies, Through::Providers];

/// A policy somebody has.
pub(super) struct Held {
    /// Its name, or its ARN if it is a managed one.
    pub(super) policy: String,
    /// Whose it is: that of a group counts for its users.
    pub(super) holder: String,
    pub(super) document: Document,
}

/// Somebody whose policies are looked at.
pub(super) struct Subject {
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) is_role: bool,
    pub(super) tags: Vec<Tag>,
    pub(super) identity: Vec<Held>,
    pub(super) boundary: Option<Held>,
    /// Of a role: whom its trust policy names, without those who are gone.
    pub(super) trusted: Vec<String>,
}

/// A stored document that is no policy any more.
#[derive(Debug, thiserror::Error)]
#[error("the stored policy {0} can't be read")]
struct UnreadablePolicy(String);

impl Subject {
    pub(super) fn of_user(directory: &Directory, user: &User) -> Result<Self, Error> {
        let name = &user.facts.name;
        let mut subject = Self {
            arn: user.arn(directory.account),
            name: name.clone(),
            id: user.facts.id.clone(),
            is_role: false,
            tags: user.facts.tags.clone(),
            identity: Vec::new(),
            boundary: None,
            trusted: Vec::new(),
        };
        subject.add(directory, &user.policies, &format!("user {name}"))?;
        for name in &user.groups {
            if let Some(group) = directory.groups.get(name) {
                subject.add(directory, &group.policies, &format!("group {name}"))?;
            }
        }
        subject.set_boundary(directory, user.boundary.as_deref())?;
        Ok(subject)
    }

    pub(super) fn of_role(directory: &Directory, role: &Role) -> Result<Self, Error> {
        let name = &role.facts.name;
        let document = parse(name, &role.trust, DocumentKind::Trust)?;
        let allowing = document.statements.iter().filter(|statement| statement.effect == Effect::Allow);
        let named = allowing.filter_map(|statement| statement.principals.as_ref());
        let mut trusted: Vec<String> = named
            .flat_map(|listed| listed.entries.iter().map(|entry| (entry, listed.is_negated)))
            // Whoever is gone takes nothing on.
            .filter(|(entry, is_negated)| *is_negated || !trust::is_gone(entry, role, directory))
            .map(|(entry, _)| trust::name_now(entry, role, directory))
            .collect();
        trusted.sort();
        trusted.dedup();
        let mut subject = Self {
            arn: role.arn(directory.account),
            name: name.clone(),
            id: role.facts.id.clone(),
            is_role: true,
            tags: role.facts.tags.clone(),
            identity: Vec::new(),
            boundary: None,
            trusted,
        };
        subject.add(directory, &role.policies, &format!("role {name}"))?;
        subject.set_boundary(directory, role.boundary.as_deref())?;
        Ok(subject)
    }

    fn add(&mut self, directory: &Directory, policies: &Policies, holder: &str) -> Result<(), Error> {
        for (name, document) in &policies.inline {
            let document = parse(name, document, DocumentKind::Inline)?;
            self.identity.push(Held { policy: name.clone(), holder: holder.to_owned(), document });
        }
        for arn in &policies.attached {
            if let Some(document) = managed(directory, arn)? {
                self.identity.push(Held { policy: arn.clone(), holder: holder.to_owned(), document });
            }
        }
        Ok(())
    }

    fn set_boundary(&mut self, directory: &Directory, arn: Option<&str>) -> Result<(), Error> {
        let Some(arn) = arn else { return Ok(()) };
        let document = managed(directory, arn)?;
        // As the gate has it: who is bounded by what is not there may do nothing.
        let document = document.ok_or_else(|| Error::unavailable(UnreadablePolicy(arn.to_owned())))?;
        let holder = format!("{} {}", if self.is_role { "role" } else { "user" }, self.name);
        self.boundary = Some(Held { policy: arn.to_owned(), holder, document });
        Ok(())
    }
}

fn managed(directory: &Directory, arn: &str) -> Result<Option<Document>, Error> {
    if let Some(policy) = find_aws_policy(arn) {
        return parse(arn, policy.document, DocumentKind::Managed).map(Some);
    }
    let mut known = directory.policies.values();
    let Some(policy) = known.find(|policy| policy.arn(directory.account) == arn) else { return Ok(None) };
    let version = policy.versions.get(&policy.default_version);
    let version = version.ok_or_else(|| Error::unavailable(UnreadablePolicy(arn.to_owned())))?;
    parse(arn, &version.document, DocumentKind::Managed).map(Some)
}

fn parse(name: &str, document: &str, kind: DocumentKind) -> Result<Document, Error> {
    Document::parse(document, kind).map_err(|_| Error::unavailable(UnreadablePolicy(name.to_owned())))
}

/// What the record says was asked for.
pub(super) fn parameters(members: &mut Members<'_>, secret: &dyn std::fmt::Display, action: &str) {
    members.text("secretId", secret);
    members.text("action", action);
}
