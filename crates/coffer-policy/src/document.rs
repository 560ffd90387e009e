//! A policy document as it is written: read once, and from then on valid.
//!
//! Pure. Invariant: whatever a [`Document`] holds obeys the grammar of its kind; every part knows where it stands, for errors,
//! lints and explanations.

use crate::error::ParseError;
use crate::json::Position;
use crate::operator::Operator;
use crate::parse;

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
}
