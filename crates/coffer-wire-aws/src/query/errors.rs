//! What went wrong, as the Query protocol's codes and statuses.
//!
//! Pure. Invariant: as in [`crate::errors`], each kind of error has its code in one exhaustive match.

use coffer_core::{AuthenticationError, Error, IamError, WebIdentityError};
use http::StatusCode;

use super::parameters::Malformed;
use crate::errors::Refused;
use crate::sigv4::SigV4Error;

pub(super) fn of_core(error: &Error) -> Refused {
    let (status, code) = match error {
        Error::SecretNotFound | Error::ValueNotFound(_) | Error::VersionNotFound(_) => {
            (StatusCode::NOT_FOUND, "NoSuchEntity")
        }
        Error::Denied(_) => (StatusCode::FORBIDDEN, "AccessDenied"),
        Error::SecretExists(_) | Error::TokenInUse { .. } => (StatusCode::CONFLICT, "EntityAlreadyExists"),
        Error::LimitExceeded(_) => (StatusCode::CONFLICT, "LimitExceeded"),
        Error::MarkedForDeletion { .. }
        | Error::NameScheduledForDeletion
        | Error::AlreadyScheduledForDeletion
        | Error::StageNotOnVersion
        | Error::StageElsewhere { .. }
        | Error::StageNotThere { .. }
        | Error::CurrentCannotBeRemoved
        | Error::EncryptionFailure
        | Error::DecryptionFailure
        | Error::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "InvalidInput"),
        Error::InvalidParameter(_) | Error::InvalidNextToken => (StatusCode::BAD_REQUEST, "ValidationError"),
        Error::Iam(IamError::NoSuchEntity(_)) => (StatusCode::NOT_FOUND, "NoSuchEntity"),
        Error::Iam(IamError::EntityAlreadyExists(_)) => (StatusCode::CONFLICT, "EntityAlreadyExists"),
        Error::Iam(IamError::DeleteConflict(_)) => (StatusCode::CONFLICT, "DeleteConflict"),
        Error::Iam(IamError::MalformedPolicyDocument(_)) => {
            (StatusCode::BAD_REQUEST, "MalformedPolicyDocument")
        }
        Error::Iam(IamError::InvalidInput(_)) => (StatusCode::BAD_REQUEST, "InvalidInput"),
        Error::Iam(IamError::PackedPolicyTooLarge(_)) => (StatusCode::BAD_REQUEST, "PackedPolicyTooLarge"),
        Error::Iam(IamError::InvalidAuthorizationMessage) => {
            (StatusCode::BAD_REQUEST, "InvalidAuthorizationMessageException")
        }
        Error::Iam(IamError::NotForSessions(_) | IamError::NotTrusted(_)) => {
            (StatusCode::FORBIDDEN, "AccessDenied")
        }
        Error::Iam(IamError::LimitExceeded(_)) => (StatusCode::CONFLICT, "LimitExceeded"),
        Error::Busy | Error::Iam(IamError::ConcurrentModification(_)) => {
            (StatusCode::CONFLICT, "ConcurrentModification")
        }
        Error::Unavailable(_) => (StatusCode::INTERNAL_SERVER_ERROR, "ServiceFailure"),
    };
    let message = match error {
        Error::InvalidNextToken => "Invalid Marker.".to_owned(),
        _ => error.to_string(),
    };
    Refused::of_protocol(status, code, message)
}

pub(super) fn of_authentication(error: &AuthenticationError) -> Refused {
    let (status, code) = match error {
        AuthenticationError::UnknownAccessKey | AuthenticationError::InvalidSessionToken => {
            (StatusCode::FORBIDDEN, "InvalidClientTokenId")
        }
        AuthenticationError::ExpiredToken => (StatusCode::FORBIDDEN, "ExpiredToken"),
        AuthenticationError::WrongSignature
        | AuthenticationError::Expired { .. }
        | AuthenticationError::NotYetCurrent { .. } => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        AuthenticationError::RateExceeded => (StatusCode::BAD_REQUEST, "Throttling"),
        AuthenticationError::WebIdentity(error) => of_token(error),
        AuthenticationError::NotOwner { .. } => (StatusCode::FORBIDDEN, "AccessDenied"),
        AuthenticationError::Unavailable => (StatusCode::INTERNAL_SERVER_ERROR, "ServiceFailure"),
    };
    Refused::of_protocol(status, code, error.to_string())
}

/// The codes of the service model of `AssumeRoleWithWebIdentity`.
pub(crate) fn of_token(error: &WebIdentityError) -> (StatusCode, &'static str) {
    match error {
        WebIdentityError::NoToken
        | WebIdentityError::Issuer
        | WebIdentityError::NoProvider
        | WebIdentityError::NoVerificationKey
        | WebIdentityError::Signature
        | WebIdentityError::Claim(_)
        | WebIdentityError::Audience => (StatusCode::BAD_REQUEST, "InvalidIdentityToken"),
        WebIdentityError::Expired { .. } => (StatusCode::BAD_REQUEST, "ExpiredTokenException"),
        WebIdentityError::NotYet => (StatusCode::FORBIDDEN, "IDPRejectedClaim"),
        WebIdentityError::IssuerUnreachable => (StatusCode::BAD_REQUEST, "IDPCommunicationError"),
    }
}

pub(super) fn of_signature(error: &SigV4Error) -> Refused {
    let (status, code) = match error {
        SigV4Error::Missing => (StatusCode::FORBIDDEN, "MissingAuthenticationToken"),
        SigV4Error::SignedInQuery
        | SigV4Error::RepeatedHeader(_)
        | SigV4Error::UnreadableHeader(_)
        | SigV4Error::Algorithm
        | SigV4Error::NotAPair
        | SigV4Error::RepeatedParameter(_)
        | SigV4Error::Incomplete(_)
        | SigV4Error::Date
        | SigV4Error::SignedHeaders
        | SigV4Error::Credential => (StatusCode::BAD_REQUEST, "IncompleteSignature"),
        SigV4Error::AccessKeyId => (StatusCode::FORBIDDEN, "InvalidClientTokenId"),
        SigV4Error::SignedTwice
        | SigV4Error::HostNotSigned
        | SigV4Error::HeaderNotSigned(_)
        | SigV4Error::SignedHeaderAbsent(_)
        | SigV4Error::Scope(_)
        | SigV4Error::ContentHash
        | SigV4Error::SignatureForm => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
    };
    Refused::of_protocol(status, code, error.to_string())
}

pub(super) fn of_parameters(error: &Malformed) -> Refused {
    let refused = Refused::of_protocol(StatusCode::BAD_REQUEST, error.code(), error.to_string());
    refused.recorded_as(error.record_text())
}
