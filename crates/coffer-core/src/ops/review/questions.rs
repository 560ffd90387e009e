//! A statement before a question of which not everything is known: whether it is about it, and what would have to hold.
//!
//! Pure. The engine answers each part by itself, over a copy of the statement that has this part only; so what is said here can't
//! differ from what the gate decides.

use std::sync::Arc;

use coffer_policy::{
    Comparison, Condition, ContextMap, Decision, Document, DocumentKind, Effect, Policies, Policy, Principal,
    Quantifier, Request, Statement, Version, evaluate,
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
    /// This condition does not hold.
    Fails(String),
}

/// Everything allowed, beside a statement that denies.
const EVERYTHING: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;

impl Question<'_> {
    /// What a statement has to do with it.
    pub(super) fn bearing(&self, version: Version, statement: &Statement) -> Bearing {
        let bare = Statement { conditions: Vec::new(), ..statement.clone() };
        if !self.holds(version, Statement { resources: None, ..bare.clone() }) {
            return Bearing::OtherAction;
        }
        if !self.holds(version, bare.clone()) {
            return Bearing::OtherResource;
        }
        let mut open = Vec::new();
        for condition in &statement.conditions {
            let with = Statement { conditions: vec![condition.clone()], ..bare.clone() };
            if !self.knows(&condition.key.text) {
                open.push(phrase(condition));
            } else if !self.holds(version, with) {
                return Bearing::Fails(phrase(condition));
            }
        }
        Bearing::About(open)
    }

    /// Whether the values of a key are known, or that it has none.
    fn knows(&self, key: &str) -> bool {
        use coffer_policy::{Context as _, Values};
        let key = key.to_ascii_lowercase();
        // A session may bring tags of its own.
        let is_open = self.subject.is_role && key.starts_with("aws:principaltag/");
        self.known.get(&key) != Values::Absent || (!is_open && (self.is_absent)(&key))
    }

    /// Whether the engine takes the statement to be about it.
    fn holds(&self, version: Version, statement: Statement) -> bool {
        let effect = statement.effect;
        let document =
            Document { kind: DocumentKind::Inline, version, id: None, statements: vec![statement], size: 0 };
        let mut policies = vec![Arc::new(Policy::compile("one", &document))];
        if effect == Effect::Deny
            && let Ok(everything) = Document::parse(EVERYTHING, DocumentKind::Managed)
        {
            policies.push(Arc::new(Policy::compile("everything", &everything)));
        }
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
        match evaluate(&Policies { identity: &policies, ..Policies::default() }, &request) {
            Decision::Allowed(_) | Decision::AllowedToOwner => effect == Effect::Allow,
            Decision::ExplicitlyDenied(_) => effect == Effect::Deny,
            Decision::ImplicitlyDenied(_) => false,
        }
    }
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
    // What came with a session, its tags for one, is in the place of the role's own.
    set_tags(&mut known, "aws:PrincipalTag/", &subject.tags);
    known
}

pub(super) fn set_tags(known: &mut ContextMap, prefix: &str, tags: &[Tag]) {
    for tag in tags {
        known.set(&format!("{prefix}{}", tag.key()), tag.value());
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
