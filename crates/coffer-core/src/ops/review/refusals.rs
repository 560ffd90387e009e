//! What else than a user's or role's own policies refuses: a role's trust, or the credentials themselves.
//!
//! Pure.

use std::sync::Arc;

use coffer_policy::{
    Condition, ContextMap, Decision, Document, DocumentKind, Effect, Policies, Policy, Principal, Request,
    ResourcePolicy, Statement, evaluate,
};
use coffer_types::AccountId;
use serde_json::Value;

use super::questions::failed_phrase;
use super::subjects::Subject;
use super::{KeyState, Verdict};
use crate::Error;
use crate::ops::iam::trust;
use crate::records::access::Entity;
use crate::records::{AccessKey, Role};

/// Permission for everything: with it only a role's trust decides.
const EVERYTHING: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;

/// What a role's trust policy says to somebody.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// It does not let them take the role on.
    No,
    /// It would, if what one of these says held: one for each statement that names who asks.
    If(Vec<String>),
    /// It does, if their own policies allow it as well.
    WithPermission,
    /// It does, by itself.
    Alone,
}

/// Who asks for a role.
pub(super) enum Asker<'a> {
    /// A user or a session of a role, and the ARN it asks as.
    Subject(&'a Subject, &'a str),
    /// Somebody whom the identity provider of this ARN vouches for.
    WebIdentity(&'a str),
}

/// What a role's trust policy says to who asks.
pub(super) fn trust_of(
    role: &Role,
    account: AccountId,
    asker: &Asker<'_>,
    action: &str,
    known: &ContextMap,
) -> Result<Trust, Error> {
    let role_id = match asker {
        Asker::Subject(subject, _) => subject.is_role.then_some(&*subject.id),
        Asker::WebIdentity(_) => None,
    };
    let document = trust::as_bound_for(role, account, role_id);
    let mut document = document.map_err(Error::unavailable)?;
    let (account_text, resource) = (account.to_string(), role.arn(account));
    let account = account_text.as_str();
    let principal = match asker {
        Asker::Subject(subject, arn) => {
            let unique_id = subject.id.as_str();
            match subject.is_role {
                true => Principal::RoleSession { arn, role_arn: &subject.arn, account, unique_id },
                false => Principal::User { arn: &subject.arn, account, unique_id },
            }
        }
        Asker::WebIdentity(provider) => Principal::Federated { provider },
    };
    let request = Request { principal, action, resource: &resource, context: known };
    let everything = Document::parse(EVERYTHING, DocumentKind::Managed).map_err(Error::unavailable)?;
    let everything = [Arc::new(Policy::compile("everything", &everything))];
    let allows = |document: &Document, identity: &[Arc<Policy>]| {
        let trust = Arc::new(Policy::compile("trust", document));
        let policies =
            Policies { identity, resource: ResourcePolicy::Required(&trust), ..Policies::default() };
        matches!(evaluate(&policies, &request), Decision::Allowed(_) | Decision::AllowedToOwner)
    };
    if allows(&document, &[]) {
        return Ok(Trust::Alone);
    }
    if allows(&document, &everything) {
        return Ok(Trust::WithPermission);
    }
    let alone = |statement: &Statement, conditions: Vec<Condition>| {
        let statement = Statement { conditions, ..statement.clone() };
        allows(&Document { statements: vec![statement], ..document.clone() }, &everything)
    };
    let allowing = document.statements.iter().filter(|statement| statement.effect == Effect::Allow);
    let mut conditions = Vec::new();
    // One statement that applies is enough, and it applies if all its conditions hold.
    // Of statements about others, and of conditions that held, nothing is told.
    for statement in allowing.filter(|statement| alone(statement, Vec::new())) {
        let failing =
            statement.conditions.iter().filter(|condition| !alone(statement, vec![(*condition).clone()]));
        let failing: Vec<String> = failing.map(|condition| failed_phrase(condition, known)).collect();
        let told = failing.join(" and ");
        if !told.is_empty() && !conditions.contains(&told) {
            conditions.push(told);
        }
    }
    for statement in &mut document.statements {
        if statement.effect == Effect::Allow {
            statement.conditions.clear();
        }
    }
    Ok(if allows(&document, &everything) { Trust::If(conditions) } else { Trust::No })
}

/// The codes of refusals that are about credentials, at either door.
const CREDENTIAL_CODES: [&str; 6] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
];

/// The access key that a refusal of credentials names, if a record is one.
pub(super) fn refused_key(record: &Value) -> Option<&str> {
    let text = |pointer| record.pointer(pointer).and_then(Value::as_str);
    let code = text("/errorCode")?;
    CREDENTIAL_CODES.contains(&code).then(|| text("/userIdentity/accessKeyId")).flatten()
}

/// What there is to say of an access key whose request was refused.
pub(super) fn key_verdict(id: &str, key: Option<&AccessKey>, code: &str) -> (Verdict, KeyState) {
    let state = match key {
        Some(key) if key.is_inactive => KeyState::Disabled,
        Some(_) => KeyState::Active,
        None if id.starts_with("ASIA") => KeyState::Session { is_over: code.starts_with("ExpiredToken") },
        None => KeyState::Unknown,
    };
    (Verdict::NotAuthenticated, state)
}
