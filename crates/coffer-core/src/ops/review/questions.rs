//! A statement before a question of which not everything is known: whether it is about it, and what would have to hold.
//!
//! Pure. What hangs on something that is not known is told, and left out of the statement; of the rest the engine says why it does
//! not apply, so what is said here can't differ from what the gate decides.

use std::sync::Arc;

use coffer_policy::{
    Comparison, Condition, Context as _, ContextMap, Document, DocumentKind, Listed, Mismatch, Policies,
    Policy, Principal, Quantifier, Request, Spelled, Statement, Values, Version, explain,
};
use coffer_types::{AccountId, Tag};

use super::StatementPlace;
use super::subjects::{Held, Subject};

/// A question to somebody's policies.
pub(super) struct Question<'a> {
    pub(super) account: AccountId,
    pub(super) subject: &'a Subject,
    pub(super) action: &'a str,
    pub(super) resource: &'a str,
    /// What is known of the request.
    pub(super) known: ContextMap,
    /// Which of the keys that are not in `known` are known to be absent, rather than not known at all.
    pub(super) is_absent: fn(&str) -> bool,
}

/// What a statement has to do with a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Bearing {
    /// It is about it, if this holds as well.
    About(Vec<String>),
    /// It is about other actions.
    OtherAction,
    /// It is about other resources.
    OtherResource,
    /// These conditions do not hold, with what the request had instead.
    Fails(String),
}

impl Question<'_> {
    /// What a statement has to do with it.
    pub(super) fn bearing(&self, version: Version, statement: &Statement) -> Bearing {
        let bare = Statement { conditions: Vec::new(), resources: None, ..statement.clone() };
        let mut decided = bare.clone();
        let mut open = Vec::new();
        for condition in &statement.conditions {
            let alone = Statement { conditions: vec![condition.clone()], ..bare.clone() };
            if self.knows_all(&compile(version, alone)) {
                decided.conditions.push(condition.clone());
            } else {
                open.push(phrase(condition));
            }
        }
        if let Some(listed) = &statement.resources {
            let listing = |entries: Vec<Spelled>| Some(Listed { entries, ..listed.clone() });
            let (known, hanging) = listed.entries.iter().cloned().partition(|entry: &Spelled| {
                let alone = Statement { resources: listing(vec![entry.clone()]), ..bare.clone() };
                self.knows_all(&compile(version, alone))
            });
            decided.resources = listing(known);
            let hangs = !hanging.is_empty()
                && (listed.is_negated || self.mismatch(version, &decided) == Some(Mismatch::Resource));
            if hangs {
                let names: Vec<&str> = hanging.iter().map(|entry| entry.text.as_str()).collect();
                open.push(format!(
                    "the resource is {}like {}",
                    if listed.is_negated { "not " } else { "" },
                    names.join(" or ")
                ));
                if !listed.is_negated {
                    decided.resources = None;
                }
            }
        }
        match self.mismatch(version, &decided) {
            None => Bearing::About(open),
            Some(Mismatch::Action | Mismatch::Principal) => Bearing::OtherAction,
            Some(Mismatch::Resource) => Bearing::OtherResource,
            Some(Mismatch::Condition(_)) => {
                let fails = |condition: &&Condition| {
                    let alone = Statement { conditions: vec![(*condition).clone()], ..bare.clone() };
                    self.mismatch(version, &alone).is_some()
                };
                let failing = decided.conditions.iter().filter(fails);
                let failing: Vec<String> =
                    failing.map(|condition| failed_phrase(condition, &self.known)).collect();
                Bearing::Fails(failing.join(" and "))
            }
        }
    }

    /// Whether all is known that a policy looks at, also as a variable.
    fn knows_all(&self, policy: &Policy) -> bool {
        policy.condition_keys().all(|key| self.knows(key))
    }

    /// Whether the values of a key are known, or that it has none.
    fn knows(&self, key: &str) -> bool {
        // A session may bring tags of its own, which come before the role's.
        let is_open = self.subject.is_role && key.starts_with("aws:principaltag/");
        !is_open && (self.known.get(key) != Values::Absent || (self.is_absent)(key))
    }

    /// Why the engine takes a statement not to be about it, if it does.
    fn mismatch(&self, version: Version, statement: &Statement) -> Option<Mismatch> {
        let policies = [Arc::new(compile(version, statement.clone()))];
        let account = self.account.to_string();
        let request = Request {
            principal: Principal::User {
                arn: &self.subject.arn,
                account: &account,
                unique_id: &self.subject.id,
            },
            action: self.action,
            resource: self.resource,
            context: &self.known,
        };
        let explanation = explain(&Policies { identity: &policies, ..Policies::default() }, &request);
        explanation.statements.first().and_then(|considered| considered.mismatch)
    }
}

fn compile(version: Version, statement: Statement) -> Policy {
    let kind = DocumentKind::Inline;
    Policy::compile("one", &Document { kind, version, id: None, statements: vec![statement], size: 0 })
}

/// Every statement of a policy, and where it stands.
pub(super) fn statements(held: &Held) -> impl Iterator<Item = (StatementPlace, &Statement)> {
    held.document.statements.iter().enumerate().map(|(at, statement)| {
        let place = StatementPlace {
            policy: held.policy.clone(),
            holder: held.holder.clone(),
            number: at + 1,
            sid: statement.sid.as_ref().map(|sid| sid.text.clone()),
            position: statement.position,
        };
        (place, statement)
    })
}

/// What is known of somebody whatever they ask.
pub(super) fn known_of(subject: &Subject, account: AccountId) -> ContextMap {
    let mut known = ContextMap::new();
    known.set("aws:PrincipalArn", &*subject.arn);
    for key in ["aws:PrincipalAccount", "aws:ResourceAccount"] {
        known.set(key, account.to_string());
    }
    known.set("aws:PrincipalType", if subject.is_role { "AssumedRole" } else { "User" });
    if !subject.is_role {
        known.set("aws:username", &*subject.name);
        known.set("aws:userid", &*subject.id);
    }
    for key in ["aws:ViaAWSService", "aws:PrincipalIsAWSService"] {
        known.set(key, "false");
    }
    // Of a role these are not known: what a session brought comes before them.
    set_tags(&mut known, "aws:PrincipalTag/", &subject.tags);
    known
}

pub(super) fn set_tags(known: &mut ContextMap, prefix: &str, tags: &[Tag]) {
    for tag in tags {
        known.set(&format!("{prefix}{}", tag.key()), tag.value());
    }
}

/// A condition that did not hold, with what the request had instead, and where that comes from.
pub(super) fn failed_phrase(condition: &Condition, known: &ContextMap) -> String {
    let key = condition.key.text.to_ascii_lowercase();
    let told = |value: &str| format!("`{}`", value.chars().take(VALUE_CHARS_MAX).collect::<String>());
    let had = match known.get(&key) {
        Values::Absent => "it was absent, as far as is known".to_owned(),
        Values::One(value) => format!("it was {}, {}", told(&value), source_of(&key)),
        Values::Many(values) => {
            let values: Vec<String> = values.iter().map(|value| told(value)).collect();
            format!("it was {}, {}", values.join(" and "), source_of(&key))
        }
    };
    format!("{} ({had})", phrase(condition))
}

/// Most characters that are told of a key's value.
const VALUE_CHARS_MAX: usize = 128;

/// Where the value of a key, in lower case, comes from.
fn source_of(key: &str) -> &'static str {
    match key.split_once('/').map_or(key, |(key, _)| key) {
        "aws:sourceip" => "the other end of the connection",
        "aws:currenttime" | "aws:epochtime" => "by the server's clock",
        "aws:useragent" => "as the client says of itself",
        "aws:requestedregion" => "which the request was for",
        "aws:principaltag" => "a tag of who asked",
        "aws:resourcetag" | "secretsmanager:resourcetag" | "iam:resourcetag" => "a tag of what it was about",
        "aws:requesttag" | "aws:tagkeys" => "which the request brought",
        "secretsmanager:secretid" | "aws:resourceaccount" => "what it was about",
        "aws:federatedprovider" => "who vouched for who asked",
        key if key.starts_with("aws:principal") || key.starts_with("aws:user") => "who asked",
        key if key.starts_with("sts:") || key.starts_with("secretsmanager:") => "as the request had it",
        key if key.starts_with("aws:") || key.starts_with("iam:") || key.starts_with("kms:") => {
            "as the server had it"
        }
        // An issuer's name.
        _ => "as the token claims",
    }
}

/// A condition in words: `aws:SourceIp is in 10.0.0.0/8`.
pub(super) fn phrase(condition: &Condition) -> String {
    let operator = condition.operator;
    let values: Vec<&str> = condition.values.iter().map(|value| value.text.as_str()).collect();
    let values = values.join(" or ");
    let key = &condition.key.text;
    let key = match operator.quantifier {
        Quantifier::One => key.clone(),
        Quantifier::All => format!("every {key}"),
        Quantifier::Any => format!("some {key}"),
    };
    if operator.comparison == Comparison::Null {
        return format!("{key} is {}", if values == "true" { "absent" } else { "there" });
    }
    let verb = match operator.comparison {
        Comparison::StringEquals
        | Comparison::NumericEquals
        | Comparison::DateEquals
        | Comparison::BinaryEquals
        | Comparison::Bool
        | Comparison::Null => "",
        Comparison::StringEqualsIgnoreCase => "in whatever case ",
        Comparison::StringLike | Comparison::Arn => "like ",
        Comparison::NumericLessThan => "less than ",
        Comparison::NumericLessThanEquals => "at most ",
        Comparison::NumericGreaterThan => "more than ",
        Comparison::NumericGreaterThanEquals => "at least ",
        Comparison::DateLessThan => "before ",
        Comparison::DateLessThanEquals => "not after ",
        Comparison::DateGreaterThan => "after ",
        Comparison::DateGreaterThanEquals => "not before ",
        Comparison::IpAddress => "in ",
    };
    let not = if operator.is_negated { "not " } else { "" };
    let absent = if operator.if_exists { ", or absent" } else { "" };
    format!("{key} is {not}{verb}{values}{absent}")
}
