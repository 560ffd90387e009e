//! Looking over who may do what: every principal that may, and why one request was denied. No cloud has these; they go through
//! the gate like all others, as `coffer:WhoCan` and `coffer:ExplainDenial`.

use coffer_policy::Position;
use coffer_types::SecretId;

use crate::ops::audit::RecordFilter;

mod explain;
mod questions;
mod refusals;
mod subjects;
mod who_can;

/// Tells who may do something to a secret.
pub struct WhoCan {
    /// To which secret.
    pub secret_id: SecretId,
    /// Which action, such as `secretsmanager:GetSecretValue`.
    pub action: String,
}

/// Who may do something to a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Able {
    /// The ARN of what it would be done to.
    pub resource: String,
    /// Each way in which somebody may; the owner of the store comes first.
    pub ways: Vec<Way>,
}

/// One way in which somebody may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// Who.
    pub arn: String,
    /// Through which statement; the owner needs none.
    pub by: Option<StatementPlace>,
    /// What must hold as well and no one can know beforehand, in words. All of it.
    pub conditions: Vec<String>,
    /// Of a role: whom its trust policy names, without those who are gone.
    pub trusted: Vec<String>,
    /// Of a role: whether its trust policy names anybody who is there.
    pub taken_on: Option<bool>,
}

/// Where a statement stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatementPlace {
    /// The policy's name or ARN.
    pub policy: String,
    /// Whose it is, such as `user app`.
    pub holder: String,
    /// Which statement, counted from 1.
    pub number: usize,
    /// Its id.
    pub sid: Option<String>,
    /// Where it begins in the document.
    pub position: Position,
}

/// Explains a denial that the audit log tells of, by the policies as they are now.
#[derive(Default)]
pub struct ExplainDenial {
    /// Which: the last denial that fits.
    pub filter: RecordFilter,
}

/// A denial and how it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// When, as the record has it.
    pub time: String,
    /// The request's id.
    pub request_id: Option<String>,
    /// What was asked for.
    pub event_name: String,
    /// Who asked.
    pub principal: String,
    /// Whether there is no such user or role any more.
    pub is_gone: bool,
    /// The permission that was missing.
    pub action: String,
    /// What it was missing on: the stored ARN, if it is a secret that is there.
    pub resource: String,
    /// The end of AWS's sentence: why.
    pub reason: String,
    /// Every statement that could have had a say.
    pub considered: Vec<Considered>,
    /// What the policies say to the same request now.
    pub now: Verdict,
    /// The smallest document that would allow it, if one would.
    pub advice: Option<String>,
    /// What of a role's trust policy must hold besides and did not: one of these, each of a statement of its own.
    pub conditions: Vec<String>,
    /// Of a refusal of credentials: the access key, what has become of it, and the user whose it is.
    pub access_key: Option<(String, KeyState, Option<String>)>,
}

/// What the policies say now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is allowed.
    Allowed,
    /// No policy of the principal's allows it.
    NotAllowed,
    /// The boundary does not allow it.
    OutOfBounds,
    /// A statement denies it.
    Denied,
    /// There is no such secret, so no policy would help.
    NoSecret,
    /// There is no such role.
    NoRole,
    /// The role's trust policy does not let the caller take it on.
    NotTrusted,
    /// The identity provider that vouched for the caller is not there any more, or not for this audience.
    NoProvider,
    /// The policies allow it, and what the session was begun with does not.
    OutOfSession,
    /// IAM is not for sessions of users.
    NotForSessions,
    /// Nobody was believed: the credentials are at fault.
    NotAuthenticated,
}

/// What has become of an access key that was not believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It is there, and disabled.
    Disabled,
    /// It is there and good: what was signed with was another secret, or the time was off, or it was disabled then.
    Active,
    /// It is one of a session.
    Session {
        /// Whether the session was over.
        is_over: bool,
    },
    /// There is none such, or no more.
    Unknown,
}

/// A statement, and what it says to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Considered {
    /// Which.
    pub place: StatementPlace,
    /// Whether it allows; it denies otherwise.
    pub allows: bool,
    /// Whether it is of the permissions boundary, which gives nothing by itself.
    pub is_boundary: bool,
    /// Whether it applies.
    pub applies: bool,
    /// Why, in words.
    pub why: String,
}
