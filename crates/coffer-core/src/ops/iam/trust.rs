//! Whom a role trusts: the users and roles that its trust policy names, bound to their unique ids when it is written.
//!
//! Pure. A name can be given again, and an id never is. Invariant: a role trusts nobody by name whom its policy did not mean when it
//! was written, so whoever is deleted and made anew has to be named anew; and what a statement denies to a name that was never
//! bound stays denied to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_policy::{Document, DocumentKind, Effect, ParseError, Position, PrincipalName, PrincipalNameKind};
use coffer_types::{AccountId, OidcProviderArn};

use super::directory::{Directory, Kind, Through};
use crate::error::IamError;
use crate::records::access::{Entity, IdOf};
use crate::records::{Role, User};
use crate::session::Holder;
use crate::{Context, Error, Principal};

/// What a trust policy names.
enum Named<'a> {
    /// A user by ARN: its name.
    User(&'a str),
    /// A role by ARN: its name.
    Role(&'a str),
    /// A session by ARN: the name of its role, and its own.
    Session(&'a str, &'a str),
    /// A user or role by its unique id.
    Id(&'a str),
    /// A user, role or session that can't be one of this account's.
    Unknown,
    /// An account, a service, everybody: what is never given again, or nothing of this directory's.
    Other,
}

impl<'a> Named<'a> {
    fn of(principal: &'a PrincipalName, account: AccountId) -> Self {
        let text = principal.name.text.as_str();
        match principal.kind {
            PrincipalNameKind::Arn => Self::of_arn(text, account),
            PrincipalNameKind::UniqueId => Self::Id(text),
            PrincipalNameKind::Everybody
            | PrincipalNameKind::Account
            | PrincipalNameKind::Service
            | PrincipalNameKind::Federated
            | PrincipalNameKind::CanonicalUser => Self::Other,
        }
    }

    fn of_arn(arn: &'a str, account: AccountId) -> Self {
        let mut parts = arn.splitn(6, ':').skip(4);
        let (Some(of), Some(resource)) = (parts.next(), parts.next()) else { return Self::Unknown };
        let (Some((noun, path)), true) = (resource.split_once('/'), of == account.to_string()) else {
            return Self::Unknown;
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        match (noun, path.split_once('/')) {
            ("user", _) => Self::User(name),
            ("role", _) => Self::Role(name),
            ("assumed-role", Some((role, session))) => Self::Session(role, session),
            // There are none of these, and they have no ids.
            ("federated-user", _) => Self::Other,
            _ => Self::Unknown,
        }
    }
}

fn principals(document: &Document) -> impl Iterator<Item = &PrincipalName> {
    document
        .statements
        .iter()
        .filter_map(|statement| statement.principals.as_ref())
        .flat_map(|named| &named.entries)
}

/// The users and roles that a document names, to be read before it is bound. None, if it is no document.
pub(super) fn names(trust: &str, account: AccountId) -> Vec<(Kind, String)> {
    let Ok(document) = Document::parse(trust, DocumentKind::Trust) else { return Vec::new() };
    let named = principals(&document).filter_map(|principal| match Named::of(principal, account) {
        Named::User(name) => Some((Kind::User, name.to_owned())),
        Named::Role(name) | Named::Session(name, _) => Some((Kind::Role, name.to_owned())),
        Named::Id(_) | Named::Unknown | Named::Other => None,
    });
    named.collect()
}

/// Whether a document names one of a kind by its id, which only a look through all of them can tell to be there.
pub(super) fn names_an_id(trust: &str, through: Through) -> bool {
    let of = match through {
        Through::Users => IdOf::User,
        Through::Roles => IdOf::Role,
        Through::Groups | Through::Policies | Through::Providers | Through::AccessKeys => return false,
    };
    let Ok(document) = Document::parse(trust, DocumentKind::Trust) else { return false };
    principals(&document).any(|principal| {
        principal.kind == PrincipalNameKind::UniqueId && principal.name.text.starts_with(of.prefix())
    })
}

/// The ids of the users and roles that a document names, by ARN. Whoever is not there can't be named, as in AWS.
pub(super) fn bind(document: &Document, directory: &Directory) -> Result<BTreeMap<String, String>, Error> {
    let mut bound = BTreeMap::new();
    for principal in principals(document) {
        let text = &principal.name.text;
        let id = match Named::of(principal, directory.account) {
            Named::User(name) => {
                let user = directory.users.get(name).filter(|user| user.arn(directory.account) == *text);
                user.map(|user| &user.facts.id)
            }
            Named::Role(name) => {
                let role = directory.roles.get(name).filter(|role| role.arn(directory.account) == *text);
                role.map(|role| &role.facts.id)
            }
            Named::Session(role, _) => directory.roles.get(role).map(|role| &role.facts.id),
            Named::Id(id) if current_arn("", id, directory).is_some() => continue,
            Named::Id(_) | Named::Unknown => None,
            Named::Other => continue,
        };
        let id = id.ok_or_else(|| {
            IamError::MalformedPolicyDocument(format!(r#"Invalid principal in policy: "AWS":"{text}""#))
        })?;
        bound.insert(text.clone(), id.clone());
    }
    Ok(bound)
}

/// A role's trust policy with ids in the place of ARNs, as it holds for this caller.
pub(crate) fn as_bound(role: &Role, context: &Context) -> Result<Document, ParseError> {
    as_bound_for(role, context.account, role_id(context))
}

/// The same for whoever is a session of this role, or of none.
pub(crate) fn as_bound_for(
    role: &Role,
    account: AccountId,
    role_id: Option<&str>,
) -> Result<Document, ParseError> {
    let mut document = Document::parse(&role.trust, DocumentKind::Trust)?;
    for statement in &mut document.statements {
        let entries = statement.principals.iter_mut().flat_map(|listed| &mut listed.entries);
        for principal in entries {
            let bound = role.trusted.get(&principal.name.text);
            let is_allowed = statement.effect == Effect::Allow;
            match Named::of(principal, account) {
                Named::User(_) | Named::Role(_) => match bound {
                    Some(id) => {
                        principal.kind = PrincipalNameKind::UniqueId;
                        principal.name.text.clone_from(id);
                    }
                    // An ARN is nobody's id.
                    None if is_allowed => principal.kind = PrincipalNameKind::UniqueId,
                    None => {}
                },
                Named::Session(..) => {
                    let is_meant = match bound {
                        Some(id) => role_id == Some(id),
                        None => !is_allowed,
                    };
                    if !is_meant {
                        principal.kind = PrincipalNameKind::UniqueId;
                    }
                }
                Named::Id(_) | Named::Unknown | Named::Other => {}
            }
        }
    }
    Ok(document)
}

/// The id of the role whose session asks, if one does.
fn role_id(context: &Context) -> Option<&str> {
    match &context.principal {
        Principal::Session(session) => match session.terms.holder {
            Holder::Role => Some(&session.terms.id),
            Holder::User => None,
        },
        Principal::User { .. } | Principal::WebIdentity(_) | Principal::Local { .. } => None,
    }
}

/// The users and roles that a role's policy was bound to, to be read before it is shown.
pub(super) fn bound_names(role: &Role, account: AccountId) -> Vec<(Kind, String)> {
    if role.trusted.is_empty() { Vec::new() } else { names(&role.trust, account) }
}

/// Whether a user that some role trusts is not where it was: it may have another name, which only a look through all of them can tell.
pub(super) fn misses_a_user(directory: &Directory) -> bool {
    let mut trusted = directory.roles.values().flat_map(|role| &role.trusted);
    trusted.any(|(arn, id)| match Named::of_arn(arn, directory.account) {
        Named::User(name) => directory.users.get(name).is_none_or(|user| user.facts.id != *id),
        Named::Role(_) | Named::Session(..) | Named::Id(_) | Named::Unknown | Named::Other => false,
    })
}

/// The ARN that the user or role with this id has now; it is looked for under the name it had, and then among all.
fn current_arn(name: &str, id: &str, directory: &Directory) -> Option<String> {
    let account = directory.account;
    if id.starts_with(IdOf::User.prefix()) {
        let is_meant = |user: &&Arc<User>| user.facts.id == id;
        let user = directory.users.get(name).filter(is_meant);
        user.or_else(|| directory.users.values().find(is_meant)).map(|user| user.arn(account))
    } else {
        let is_meant = |role: &&Arc<Role>| role.facts.id == id;
        let role = directory.roles.get(name).filter(is_meant);
        role.or_else(|| directory.roles.values().find(is_meant)).map(|role| role.arn(account))
    }
}

/// What a principal of a role's policy is called now: by the ARN it has, or by the id of whoever is gone.
pub(crate) fn name_now(principal: &PrincipalName, role: &Role, directory: &Directory) -> String {
    let text = &principal.name.text;
    let Some(id) = role.trusted.get(text) else { return text.clone() };
    match Named::of(principal, directory.account) {
        // The name of a role never changes.
        Named::Session(role, session) => match current_arn(role, id, directory) {
            Some(_) => text.clone(),
            None => format!("{id}:{session}"),
        },
        Named::User(name) | Named::Role(name) => {
            current_arn(name, id, directory).unwrap_or_else(|| id.clone())
        }
        Named::Id(_) | Named::Unknown | Named::Other => text.clone(),
    }
}

/// Whether a principal of a role's policy is a user, role, session or identity provider that is there no more. All of these have
/// been read.
pub(crate) fn is_gone(principal: &PrincipalName, role: &Role, directory: &Directory) -> bool {
    let text = &principal.name.text;
    let bound = role.trusted.get(text);
    if principal.kind == PrincipalNameKind::Federated {
        // What is no ARN of one is none of ours, and vouches for nobody here; that is no matter of who was deleted.
        let provider = text.parse::<OidcProviderArn>();
        return provider.is_ok_and(|arn| directory.provider(&arn).is_err());
    }
    match Named::of(principal, directory.account) {
        Named::User(name) | Named::Role(name) | Named::Session(name, _) => {
            bound.is_some_and(|id| current_arn(name, id, directory).is_none())
        }
        Named::Id(id) => {
            // Of a session's it is the role's.
            let id = id.split(':').next().unwrap_or(id);
            current_arn("", id, directory).is_none()
        }
        Named::Unknown | Named::Other => false,
    }
}

/// A role's trust policy as it was written, but for principals that are called something else now.
pub(super) fn shown(role: &Role, directory: &Directory) -> String {
    if role.trusted.is_empty() {
        return role.trust.clone();
    }
    let Ok(document) = Document::parse(&role.trust, DocumentKind::Trust) else { return role.trust.clone() };
    let renamed = principals(&document).filter_map(|principal| {
        let now = name_now(principal, role, directory);
        (now != principal.name.text).then_some((principal.name.position, now))
    });
    let mut renamed: Vec<(Position, String)> = renamed.collect();
    renamed.sort();
    replace_texts(&role.trust, renamed)
}

/// A document with other texts at these places, which stand in its order. What stands in the place of a text needs no escape.
fn replace_texts(document: &str, texts: Vec<(Position, String)>) -> String {
    let mut out = String::with_capacity(document.len());
    let mut characters = document.chars();
    let mut at = Position { line: 1, column: 1 };
    let mut texts = texts.into_iter().peekable();
    while let Some(character) = characters.next() {
        let here = at;
        step(&mut at, character);
        let Some((_, text)) = texts.next_if(|(place, _)| *place == here) else {
            out.push(character);
            continue;
        };
        // Past the end of the text that stands there.
        let mut is_escaped = false;
        for skipped in characters.by_ref() {
            step(&mut at, skipped);
            match skipped {
                '"' if !is_escaped => break,
                '\\' => is_escaped = !is_escaped,
                _ => is_escaped = false,
            }
        }
        out.push('"');
        out.push_str(&text);
        out.push('"');
    }
    out
}

fn step(at: &mut Position, character: char) {
    match character {
        '\n' => *at = Position { line: at.line.saturating_add(1), column: 1 },
        _ => at.column = at.column.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use coffer_policy::{ContextMap, Policies, Policy, Request, ResourcePolicy, evaluate};

    use super::*;
    use crate::records::access::{Facts, Policies as Held};

    /// A role of format 1, which knows no ids.
    #[derive(serde::Serialize)]
    struct FirstFormat<'a> {
        facts: Facts,
        policies: Held,
        boundary: Option<String>,
        trust: &'a str,
        description: Option<String>,
        session_seconds_max: u32,
    }

    #[test]
    fn a_role_that_was_never_bound_trusts_no_name_and_denies_to_names() {
        let arn = "arn:aws:iam::123456789012:user/alice";
        let session = "arn:aws:sts::123456789012:assumed-role/job/app";
        let user = coffer_policy::Principal::User { arn, account: "123456789012", unique_id: "AIDAALICE" };
        let of_role = coffer_policy::Principal::RoleSession {
            arn: session,
            role_arn: "arn:aws:iam::123456789012:role/job",
            account: "123456789012",
            unique_id: "AROAJOB",
        };
        for (principal, effect, named, is_trusted) in [
            (user, "Allow", "*", true),
            (user, "Allow", arn, false),
            (user, "Deny", arn, false),
            (user, "Deny", "arn:aws:iam::123456789012:user/bob", true),
            (of_role, "Allow", session, false),
            (of_role, "Allow", "arn:aws:iam::123456789012:role/job", false),
            (of_role, "Deny", session, false),
            (of_role, "Deny", "arn:aws:sts::123456789012:assumed-role/job/other", true),
        ] {
            let all = if effect == "Deny" {
                r#"{"Effect": "Allow", "Principal": "*", "Action": "sts:*"}, "#
            } else {
                ""
            };
            let trust = format!(
                r#"{{"Version": "2012-10-17", "Statement": [{all}{{"Effect": "{effect}", "Principal": {{"AWS": "{named}"}}, "Action": "sts:AssumeRole"}}]}}"#
            );
            let facts = Facts {
                name: "target".to_owned(),
                path: "/".to_owned(),
                id: "AROATARGET".to_owned(),
                created: coffer_types::Timestamp::from_millis(5),
                tags: Vec::new(),
            };
            let (policies, boundary, description) = (Held::default(), None, None);
            let old = FirstFormat {
                facts,
                policies,
                boundary,
                trust: &trust,
                description,
                session_seconds_max: 3600,
            };
            let role: Role = rmp_serde::from_slice(&rmp_serde::to_vec_named(&old).unwrap()).unwrap();
            let document = as_bound_for(&role, AccountId::EXAMPLE, Some("AROAJOB")).unwrap();
            let policy = Policy::compile("target", &document);
            let policies = Policies { resource: ResourcePolicy::Required(&policy), ..Policies::default() };
            let context = &ContextMap::new();
            let request = Request { principal, action: "sts:AssumeRole", resource: "*", context };
            assert_eq!(evaluate(&policies, &request).is_allowed(), is_trusted, "{effect} {named}");
        }
    }

    #[test]
    fn texts_are_replaced_where_they_stand_and_nowhere_else() {
        let place = |line, column| Position { line, column };
        for (document, texts, expected) in [
            (r#"["a", "a"]"#, vec![(place(1, 7), "b".to_owned())], r#"["a", "b"]"#),
            (
                "{\n \"é\": \"x\\\"y\\\\\", \"z\":1}",
                vec![(place(2, 7), "b".to_owned())],
                "{\n \"é\": \"b\", \"z\":1}",
            ),
            (
                r#"["a","b"]"#,
                vec![(place(1, 2), "long".to_owned()), (place(1, 6), String::new())],
                r#"["long",""]"#,
            ),
            ("[]", vec![(place(9, 9), "x".to_owned())], "[]"),
        ] {
            assert_eq!(replace_texts(document, texts), expected, "{document}");
        }
    }
}
