//! The operations on credentials. Their parameters and answers stand here, together; each operation's rules stand in a file
//! of its own below.

use std::sync::Arc;

use coffer_types::{AccountId, EntityName, PolicyArn, RoleArn, Tag};

use crate::session::Credentials;

mod assume_role;
mod assume_role_with_web_identity;
mod decode_authorization_message;
mod get_caller_identity;
mod get_session_token;

/// Tells the caller who it is.
pub struct GetCallerIdentity;

/// Who the caller is.
pub struct CallerIdentity {
    /// Its unique id: a user's own, `AROA…:name` for a session of a role, the account's for its owner.
    pub user_id: String,
    /// Its account.
    pub account: AccountId,
    /// Its ARN.
    pub arn: Arc<str>,
}

/// Takes on a role.
pub struct AssumeRole {
    /// Which.
    pub role: RoleArn,
    /// What to call the session, at most 64 characters.
    pub session_name: EntityName,
    /// How long, 900 or more; an hour if `None`.
    pub seconds: Option<u32>,
    /// What the role's owner gave a third party to say.
    pub external_id: Option<String>,
    /// Who is behind it, as the caller says.
    pub source_identity: Option<String>,
    /// A document that narrows the session.
    pub policy: Option<String>,
    /// Managed policies that narrow the session; at most ten.
    pub policy_arns: Vec<PolicyArn>,
    /// The session's tags.
    pub tags: Vec<Tag>,
    /// Which of them go on to sessions that begin from this one.
    pub transitive: Vec<String>,
}

/// A role was taken on.
pub struct AssumedRole {
    /// The session's credentials.
    pub credentials: Credentials,
    /// `AROA…:name`.
    pub id: String,
    /// The session's ARN.
    pub arn: String,
    /// Who is behind it.
    pub source_identity: Option<String>,
}

/// Takes on a role as somebody an identity provider vouches for.
pub struct AssumeRoleWithWebIdentity {
    /// Which.
    pub role: RoleArn,
    /// What to call the session, at most 64 characters.
    pub session_name: EntityName,
    /// How long, 900 or more; an hour if `None`.
    pub seconds: Option<u32>,
    /// A document that narrows the session.
    pub policy: Option<String>,
    /// Managed policies that narrow the session; at most ten.
    pub policy_arns: Vec<PolicyArn>,
}

/// A role was taken on by somebody an identity provider vouches for.
pub struct AssumedRoleWithWebIdentity {
    /// The session.
    pub role: AssumedRole,
    /// The token's subject.
    pub subject: String,
    /// The audience of the token that is one of the provider's.
    pub audience: String,
    /// The provider's ARN.
    pub provider: String,
}

/// Tells what an encoded denial says.
pub struct DecodeAuthorizationMessage {
    /// The message.
    pub message: String,
}

/// What an encoded denial says: there is none, since coffer encodes no denial.
pub enum DecodedMessage {}

/// Makes credentials of the caller's that end.
pub struct GetSessionToken {
    /// How long: 900 to 129,600.
    pub seconds: u32,
}

/// Credentials that end.
pub struct SessionToken(pub Credentials);
