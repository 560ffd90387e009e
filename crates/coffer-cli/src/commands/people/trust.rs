//! `role trust`: who may take a role on.
//!
//! Invariant: nobody who could take a role on loses it unasked, and nobody who was left out meanwhile can take it on again.
//! Whoever is no more can't, and is not written down again.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use coffer_policy::{Document, DocumentKind, Effect, PrincipalNameKind, Statement};
use coffer_types::AccountId;
use coffer_wire_local::{AccessRequest, FailureKind, HolderKind};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::access::{Access, Place};
use crate::arguments::RoleTrust;
use crate::commands::policy::Change;
use crate::failure::Stop;
use crate::layout::indented;
use crate::output::{Output, plain};
use crate::people::{document_object, trust_policy};
use crate::terminal;

use super::gone::{gone, without};
use super::{holder, read_trust};

/// `role trust --json`.
#[derive(Serialize)]
struct TrustObject<'a> {
    name: &'a str,
    /// Whether the role is trusted to others than before.
    changed: bool,
    trust: Box<RawValue>,
}

/// Whom arguments name.
pub(super) struct Named<'a> {
    pub(super) users: &'a [String],
    pub(super) roles: &'a [String],
    pub(super) accounts: &'a [AccountId],
}

impl Named<'_> {
    /// Their ARNs. Users and roles must be there.
    pub(super) fn principals(&self, access: &mut Access) -> Result<Vec<String>, Stop> {
        let mut principals = Vec::new();
        for (kind, names) in [(HolderKind::User, self.users), (HolderKind::Role, self.roles)] {
            for name in names {
                principals.push(access.entity(AccessRequest::Get { holder: holder(kind, name) })?.arn);
            }
        }
        principals.extend(self.accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")));
        Ok(principals)
    }

    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.roles.is_empty() && self.accounts.is_empty()
    }
}

pub(super) fn trust(place: &Place, arguments: &RoleTrust, output: Output) -> Result<(), Stop> {
    const COMMAND: &str = "coffer role trust";
    let RoleTrust { name, user, role, account, document, add, replace } = arguments;
    let named = Named { users: user, roles: role, accounts: account };
    // Read before the store is opened: it may come from a terminal.
    let document = document.as_deref().map(read_trust).transpose()?;
    if *add && named.is_empty() {
        return Err(Stop::Usage {
            message: "nobody is named to be trusted as well".into(),
            hint: format!("say whom: `coffer role trust {name} --add --user USER`"),
        });
    }
    let (before, gone, after) = Access::of(place, COMMAND, |access| {
        let found = access.entity(AccessRequest::Get { holder: holder(HolderKind::Role, name) })?;
        let before = found.role.map(|role| role.trust).unwrap_or_default();
        let gone = gone_of(&before, access)?;
        let after = match document {
            Some(document) => Some(document),
            None if named.is_empty() => None,
            None => {
                let added = trust_policy(&named.principals(access)?)?;
                let kept = if *add { without_gone(&before, &gone) } else { None };
                match kept {
                    Some(kept) => with_statement(&kept, &added),
                    None => Some(added),
                }
            }
        };
        Ok((before, gone, after))
    })?;
    let Some(after) = after else {
        let object = TrustObject { name, changed: false, trust: document_object(&before) };
        let shown = indented(object.trust.get().as_bytes());
        return output.data(&object, |text| text.write_str(&String::from_utf8_lossy(shown.expose_secret())));
    };
    let change = Change::between(&before, &after);
    let object = TrustObject { name, changed: !change.is_empty(), trust: document_object(&after) };
    if change.is_empty() {
        return output
            .data(&object, |text| writeln!(text, "role `{}` trusts just these already", plain(name)));
    }
    let lost: Vec<String> = {
        let kept: BTreeSet<String> = in_words(&after).into_iter().collect();
        let before = without_gone(&before, &gone).map(|before| in_words(&before)).unwrap_or_default();
        before.into_iter().filter(|line| !kept.contains(line)).collect()
    };
    if !lost.is_empty() && !replace {
        output.shown(&change.shown());
        let message = format!("role `{}` would no longer trust {}", plain(name), plain(&lost.join("; ")));
        if !terminal::can_ask(output) {
            return Err(Stop::new(FailureKind::Conflict, message).with_hint(
                "add --replace if that is meant, or --add to trust them as well as those that are trusted",
            ));
        }
        terminal::confirm(output, &format!("{message}: change it?"))?;
    }
    // What was decided on is what was read. Whoever changed it since then is not overruled unseen.
    let request = AccessRequest::UpdateTrust { role: name.clone(), trust: after, expected: Some(before) };
    Access::of(place, COMMAND, |access| access.change(request))?;
    let dropped: Vec<String> =
        gone.iter().filter(|id| !object.trust.get().contains(*id)).map(|id| format!("`{id}`")).collect();
    if !dropped.is_empty() {
        output.note(&format!("{} is named no longer: whoever that was is deleted", dropped.join(" and ")));
    }
    output.data(&object, |text| {
        writeln!(text, "role `{}` now trusts", plain(name))?;
        in_words(object.trust.get()).iter().try_for_each(|line| writeln!(text, "  {}", plain(line)))
    })
}

/// The ids in a trust policy that are of nobody who is there.
fn gone_of(document: &str, access: &mut Access) -> Result<BTreeSet<String>, Stop> {
    let named = gone(document, &BTreeSet::new());
    if named.is_empty() {
        return Ok(named);
    }
    let mut there = BTreeSet::new();
    for kind in [HolderKind::User, HolderKind::Role] {
        there.extend(access.entities(kind)?.into_iter().map(|entity| entity.id));
    }
    Ok(gone(document, &there))
}

/// A trust policy without them; as it was written if it names none. `None` if it trusts nobody else.
fn without_gone(document: &str, gone: &BTreeSet<String>) -> Option<String> {
    if gone.is_empty() { Some(document.to_owned()) } else { without(document, gone) }
}

/// A document, with its statements as they were written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) statement: Box<RawValue>,
}

impl Written {
    pub(super) fn statements(&self) -> Option<Vec<&RawValue>> {
        let text = self.statement.get();
        if text.starts_with('[') { serde_json::from_str(text).ok() } else { Some(vec![&self.statement]) }
    }
}

/// A document with the statements of another behind its own. What is no document of ours any more gives way.
fn with_statement(before: &str, added: &str) -> Option<String> {
    let parse = |text: &str| serde_json::from_str::<Written>(text).ok();
    let Some(before) = parse(before) else { return Some(added.to_owned()) };
    let added = parse(added)?;
    let mut statements = before.statements()?;
    for statement in added.statements()? {
        if !statements.iter().any(|known| known.get() == statement.get()) {
            statements.push(statement);
        }
    }
    let statement = to_raw_value(&statements).ok()?;
    serde_json::to_string(&Written { version: before.version.clone(), id: before.id.clone(), statement }).ok()
}

/// Whom a trust policy trusts, a line for each; in its own words where it says more than that.
pub(super) fn in_words(document: &str) -> Vec<String> {
    let Ok(document) = Document::parse(document, DocumentKind::Trust) else {
        return vec![document.to_owned()];
    };
    document.statements.iter().flat_map(statement_in_words).collect()
}

fn statement_in_words(statement: &Statement) -> Vec<String> {
    let actions: Vec<&str> = statement.actions.entries.iter().map(|action| action.text.as_str()).collect();
    let is_plain = !statement.actions.is_negated && actions.iter().all(|action| *action == "sts:AssumeRole");
    let what = match is_plain {
        true => String::new(),
        false if statement.actions.is_negated => format!(", for all but {}", actions.join(" and ")),
        false => format!(", for {}", actions.join(" and ")),
    };
    let conditions: Vec<String> = statement.conditions.iter().map(condition_in_words).collect();
    let conditions = match conditions.as_slice() {
        [] => String::new(),
        conditions => format!(", if {}", conditions.join(" and ")),
    };
    let Some(principals) = &statement.principals else { return Vec::new() };
    let begin = match (statement.effect, principals.is_negated) {
        (Effect::Allow, false) => "",
        (Effect::Allow, true) => "all but ",
        (Effect::Deny, false) => "not ",
        (Effect::Deny, true) => "none but ",
    };
    let named = principals.entries.iter().map(|entry| {
        let text = entry.name.text.as_str();
        match entry.kind {
            PrincipalNameKind::Account => {
                format!("account {}, as its own policies allow", text.split(':').nth(4).unwrap_or(text))
            }
            PrincipalNameKind::Arn => match text.splitn(6, ':').nth(5) {
                Some(resource) if text.contains(":iam:") => resource.replacen('/', " ", 1),
                Some(_) | None => text.to_owned(),
            },
            PrincipalNameKind::UniqueId => format!("{text}, who is no more"),
            PrincipalNameKind::Service => format!("service {text}"),
            PrincipalNameKind::Federated => format!("identities of {text}"),
            PrincipalNameKind::CanonicalUser => format!("canonical user {text}"),
            PrincipalNameKind::Everybody => "everybody".to_owned(),
        }
    });
    named.map(|who| format!("{begin}{who}{what}{conditions}")).collect()
}

fn condition_in_words(condition: &coffer_policy::Condition) -> String {
    let values: Vec<&str> = condition.values.iter().map(|value| value.text.as_str()).collect();
    format!("{} {} {}", condition.key.text, condition.operator, values.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_document_trusts() {
        let of = |statements: &str| {
            in_words(&format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#)).join("; ")
        };
        for (statements, expected) in [
            (
                r#"{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:user/a","arn:aws:iam::111122223333:role/x/b"]},"Action":"sts:AssumeRole"}"#,
                "user a; role x/b",
            ),
            (
                r#"{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"e"}}}"#,
                "account 444455556666, as its own policies allow, if sts:ExternalId StringEquals e",
            ),
            (
                r#"[{"Effect":"Allow","Principal":{"Service":"ci.example.com"},"Action":["sts:AssumeRole","sts:TagSession"]},
                   {"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:user/b"},"Action":"sts:AssumeRole"}]"#,
                "service ci.example.com, for sts:AssumeRole and sts:TagSession; not user b",
            ),
        ] {
            assert_eq!(of(statements), expected);
        }
        assert_eq!(in_words("no document"), ["no document"]);
    }

    #[test]
    fn statements_are_added_as_they_were_written() {
        let one = r#"{"Version":"2012-10-17","Statement":{"Effect" : "Allow"}}"#;
        for (before, added, expected) in [
            (
                one,
                r#"{"Statement":[{"a":1}]}"#,
                r#"{"Version":"2012-10-17","Statement":[{"Effect" : "Allow"},{"a":1}]}"#,
            ),
            (r#"{"Statement":[{"a":1}]}"#, r#"{"Statement":[{"a":1}]}"#, r#"{"Statement":[{"a":1}]}"#),
            ("none", r#"{"Statement":[]}"#, r#"{"Statement":[]}"#),
        ] {
            assert_eq!(with_statement(before, added).as_deref(), Some(expected));
        }
    }
}
