//! A policy document as it is written: read once, and from then on valid.
//!
//! Pure. Invariant: whatever a [`Document`] holds obeys the grammar of its kind; every part knows where it stands, for errors,
//! lints and explanations.

use crate::error::ParseError;
use crate::json::Position;
use crate::operator::Operator;
use crate::{parse, pattern};

/// What a document is for, which decides what it may and must say and how long it may be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DocumentKind {
    /// A managed policy, attached to users, groups and roles, or set as a permissions boundary. Version 2012-10-17 only.
    Managed,
    /// A policy inside one user, group or role.
    Inline,
    /// A policy on a resource, such as a secret: it names principals, and its resource may be left out.
    Resource,
    /// A role's trust policy: it names principals and no resource.
    Trust,
    /// A policy that narrows one session.
    Session,
    /// An organization's policy over its accounts.
    ServiceControl,
}

impl DocumentKind {
    /// Most characters of such a document, white space left out. It is the highest of AWS's limits for the kind: whoever
    /// stores inline policies has sums to look at as well, and a secret's policy ends at 20,480.
    pub fn size_max(self) -> usize {
        match self {
            Self::Managed => 6_144,
            Self::Inline => 10_240,
            Self::Resource => 32_768,
            Self::Trust => 4_096,
            Self::Session => 2_048,
            Self::ServiceControl => 10_240,
        }
    }

    /// Whether its statements name principals, and must.
    pub fn names_principals(self) -> bool {
        match self {
            Self::Resource | Self::Trust => true,
            Self::Managed | Self::Inline | Self::Session | Self::ServiceControl => false,
        }
    }
}

/// The version of the language.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// `2008-10-17`, and every document that names none: `${…}` is no variable but text.
    V2008,
    /// `2012-10-17`.
    V2012,
}

/// Whether a statement allows or denies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Allows what no statement denies.
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// A policy document.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// What it is for.
    pub kind: DocumentKind,
    /// Its `Version`.
    pub version: Version,
    /// Its `Id`.
    pub id: Option<String>,
    /// Its statements, in order; there is at least one.
    pub statements: Vec<Statement>,
    /// How many characters it has, white space left out: what AWS's limits count.
    pub size: usize,
}

/// A statement of a document.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    /// Where it begins.
    pub position: Position,
    /// The place after its last character.
    pub end: Position,
    /// Its `Sid`, if it has one that is not empty.
    pub sid: Option<Spelled>,
    /// What it does.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`.
    pub principals: Option<Listed<PrincipalName>>,
    /// `Action` or `NotAction`.
    pub actions: Listed<Spelled>,
    /// `Resource` or `NotResource`; without it, whatever the policy is attached to.
    pub resources: Option<Listed<Spelled>>,
    /// The conditions, all of which must hold.
    pub conditions: Vec<Condition>,
}

/// A text of a document, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spelled {
    /// The text.
    pub text: String,
    /// Where.
    pub position: Position,
}

/// What an element lists: `Action` those that it is about, `NotAction` those that it is not about.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed<T> {
    /// Whether it is the element with `Not`.
    pub is_negated: bool,
    /// Where the element's name stands.
    pub position: Position,
    /// What is listed; at least one.
    pub entries: Vec<T>,
}

/// A principal as a policy names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrincipalName {
    /// Of what type.
    pub kind: PrincipalNameKind,
    /// Its name.
    pub name: Spelled,
}

/// The types of principals a policy can name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PrincipalNameKind {
    /// `"Principal": "*"`, or `{"AWS": "*"}`, which means the same.
    Everybody,
    /// An account: its number, or the ARN that ends in `:root`.
    Account,
    /// The ARN of a user, role, session or federated user.
    Arn,
    /// The unique id of a user or role.
    UniqueId,
    /// A service, such as `lambda.amazonaws.com`.
    Service,
    /// An identity provider.
    Federated,
    /// The canonical id of an account's owner.
    CanonicalUser,
}

/// One key of one operator of a statement's conditions.
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    /// The operator.
    pub operator: Operator,
    /// The key, such as `aws:SourceIp`. Case does not count.
    pub key: Spelled,
    /// The values, of which one suffices; at least one.
    pub values: Vec<Spelled>,
}

impl Document {
    /// Reads a document.
    pub fn parse(text: &str, kind: DocumentKind) -> Result<Self, ParseError> {
        parse::document(text, kind)
    }

    /// Every context key its statements ask for, those of variables included, as it is first spelled; in order.
    pub fn context_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        let mut add = |key| {
            if !keys.iter().any(|known: &&str| known.eq_ignore_ascii_case(key)) {
                keys.push(key);
            }
        };
        for statement in &self.statements {
            let mut variables_of = |text| {
                if self.version == Version::V2012 {
                    pattern::variables(text).into_iter().for_each(&mut add);
                }
            };
            for resource in statement.resources.iter().flat_map(|listed| &listed.entries) {
                variables_of(&resource.text);
            }
            for condition in &statement.conditions {
                if condition.operator.takes_variables() {
                    condition.values.iter().for_each(|value| variables_of(&value.text));
                }
            }
            statement.conditions.iter().for_each(|condition| add(&condition.key.text));
        }
        keys
    }
}

impl Statement {
    /// Whether it allows any action of a service, such as `secretsmanager`, on whatever condition.
    pub fn allows_some_of(&self, service: &str) -> bool {
        let Listed { is_negated, entries, .. } = &self.actions;
        let is_of = |action: &&Spelled| pattern::is_of_service(&action.text, service);
        let mut of_service = entries.iter().filter(is_of);
        let is_about = match is_negated {
            false => of_service.next().is_some(),
            // Unless it leaves all of them out.
            true => !of_service.any(|action| action.text == "*" || action.text.ends_with(":*")),
        };
        self.effect == Effect::Allow && is_about
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(statement: &str) -> Document {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
        Document::parse(&text, DocumentKind::Inline).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn a_statement_knows_where_it_ends() {
        let document = document("[\n  {\"Effect\": \"Allow\", \"Action\": \"*\",\n  \"Resource\": \"*\"}\n]");
        let statement = &document.statements[0];
        assert_eq!(statement.position, Position { line: 2, column: 3 });
        assert_eq!(statement.end, Position { line: 3, column: 19 });
    }

    #[test]
    fn the_keys_of_a_document_are_those_of_conditions_and_variables() {
        let document = document(
            r#"[{"Effect": "Allow", "Action": "s:*", "Resource": "arn:aws:s:::${aws:username}/${*}/${aws:x, 'y'}",
                 "Condition": {"StringEquals": {"aws:RequestTag/a": "${aws:PrincipalTag/a}"},
                               "NumericEquals": {"s:Count": "1"}}},
                {"Effect": "Deny", "Action": "s:*", "Resource": "arn:aws:s:::${AWS:UserName}", "Condition": {"Bool": {"s:count": "true"}}}]"#,
        );
        let expected = ["aws:username", "aws:x", "aws:PrincipalTag/a", "aws:RequestTag/a", "s:Count"];
        assert_eq!(document.context_keys(), expected);
        let old = document_of_2008();
        assert_eq!(old.context_keys(), [] as [&str; 0], "no variables there");
    }

    fn document_of_2008() -> Document {
        let text = r#"{"Statement": {"Effect": "Allow", "Action": "s:*", "Resource": "arn:aws:s:::${aws:username}"}}"#;
        Document::parse(text, DocumentKind::Inline).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn which_services_a_statement_allows_something_of() {
        for (effect, actions, expected) in [
            ("Allow", r#""Action": "kms:Decrypt""#, true),
            ("Allow", r#""Action": ["s3:*", "KMS:*"]"#, true),
            ("Allow", r#""Action": "kms:Get*""#, true),
            ("Allow", r#""Action": "*""#, true),
            ("Allow", r#""Action": "s3:*""#, false),
            ("Deny", r#""Action": "kms:*""#, false),
            ("Allow", r#""NotAction": "s3:*""#, true),
            ("Allow", r#""NotAction": "kms:Decrypt""#, true),
            ("Allow", r#""NotAction": ["s3:*", "kms:*"]"#, false),
        ] {
            let document = document(&format!(r#"{{"Effect": "{effect}", {actions}, "Resource": "*"}}"#));
            assert_eq!(document.statements[0].allows_some_of("kms"), expected, "{effect} {actions}");
        }
    }
}
