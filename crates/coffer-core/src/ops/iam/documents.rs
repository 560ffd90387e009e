//! Policy documents on their way in: whether they are such, and not too long.

use coffer_policy::{Document, DocumentKind};

use crate::Error;
use crate::error::IamError;

/// Whether a text is a policy document that can be stored, in AWS's words if not.
pub(crate) fn check(document: &str, kind: DocumentKind) -> Result<(), Error> {
    parse(document, kind).map(drop)
}

/// A policy document that can be stored.
pub(crate) fn parse(document: &str, kind: DocumentKind) -> Result<Document, Error> {
    let error = match Document::parse(document, kind) {
        Ok(document) => return Ok(document),
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

/// How long a document is as quotas count it: without white space.
pub(crate) fn length(document: &str) -> usize {
    document.chars().filter(|character| !character.is_whitespace()).count()
}
