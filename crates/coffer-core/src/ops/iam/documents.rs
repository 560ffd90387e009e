//! Policy documents on their way in: whether they are such, and not too long.

use coffer_policy::{Comparison, Condition, Document, DocumentKind, Effect, PrincipalNameKind, Quantifier};

use crate::Error;
use crate::error::IamError;

/// Whether a text is a policy document that can be stored, in AWS's words if not.
pub(crate) fn check(document: &str, kind: DocumentKind) -> Result<(), Error> {
    parse(document, kind).map(drop)
}

/// A policy document that can be stored.
pub(crate) fn parse(document: &str, kind: DocumentKind) -> Result<Document, Error> {
    let error = match Document::parse(document, kind) {
        Ok(document) => {
            if kind == DocumentKind::Trust {
                check_shared_issuers(&document)?;
            }
            return Ok(document);
        }
        Err(error) => error,
    };
    Err(match (error.size_limit(), kind) {
        (Some(limit), DocumentKind::Trust) => {
            IamError::LimitExceeded(format!("Cannot exceed quota for ACLSizePerRole: {limit}"))
        }
        (Some(_), _) => IamError::LimitExceeded(error.aws_message()),
        (None, _) => IamError::MalformedPolicyDocument(error.aws_message()),
    }
    .into())
}

/// Issuers whose tokens everybody can get: without a look at the subject a role that trusts one trusts everybody. AWS names these
/// and refuses such trust (its user guide, identity-provider controls for shared OIDC providers).
const SHARED_ISSUERS: [&str; 7] = [
    "agent.buildkite.com",
    "app.terraform.io",
    "gitlab.com",
    "oidc-configuration.audit-log.githubusercontent.com",
    "oidc.codefresh.io",
    "token.actions.githubusercontent.com",
    "vstoken.actions.githubusercontent.com",
];

fn check_shared_issuers(document: &Document) -> Result<(), Error> {
    for statement in document.statements.iter().filter(|statement| statement.effect == Effect::Allow) {
        for principal in statement.principals.iter().flat_map(|principals| &principals.entries) {
            let issuer = principal.name.text.split_once(":oidc-provider/").map_or("", |(_, issuer)| issuer);
            if principal.kind != PrincipalNameKind::Federated || !SHARED_ISSUERS.contains(&issuer) {
                continue;
            }
            let key = format!("{issuer}:sub");
            if !statement.conditions.iter().any(|condition| narrows(condition, &key)) {
                let text = format!(
                    "The trust policy must evaluate {key}: everybody can get a token of this identity provider."
                );
                return Err(IamError::MalformedPolicyDocument(text).into());
            }
        }
    }
    Ok(())
}

/// Whether a condition holds for some values of a key only, and not without one.
fn narrows(condition: &Condition, key: &str) -> bool {
    let operator = condition.operator;
    let is_positive = matches!(
        operator.comparison,
        Comparison::StringEquals | Comparison::StringEqualsIgnoreCase | Comparison::StringLike
    );
    // `repo*` and `repo:*` are everybody's repository, and a variable may be the token's own word.
    let is_any = |value: &str| {
        let (literal, has_wildcard) = match value.find(['*', '?']) {
            Some(at) => (&value[..at], true),
            None => (value, false),
        };
        let name = match literal.split_once(':') {
            Some((_, name)) => name,
            None if has_wildcard => "",
            None => literal,
        };
        !name.contains(|character: char| character.is_ascii_alphanumeric()) || value.contains("${")
    };
    condition.key.text.eq_ignore_ascii_case(key)
        && is_positive
        && !operator.is_negated
        && !operator.if_exists
        && operator.quantifier != Quantifier::All
        && !condition.values.iter().any(|value| is_any(&value.text))
}

/// How long a document is as quotas count it: without white space.
pub(crate) fn length(document: &str) -> usize {
    document.chars().filter(|character| !character.is_whitespace()).count()
}
