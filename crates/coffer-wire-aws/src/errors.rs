//! What went wrong, as AWS codes and HTTP statuses.
//!
//! Pure. Invariant: each kind of error of core has its code in one exhaustive match, so that a new one does not
//! compile until somebody has decided what AWS calls it. Texts are core's own public ones.

use bytes::Bytes;
use coffer_core::{AuthenticationError, Error};
use http::StatusCode;

use crate::from_wire::Malformed;
use crate::sigv4::SigV4Error;
use crate::to_wire::error_body;

/// A refusal as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// 400 for whatever the caller can mend, 500 for whatever only we can.
    pub status: StatusCode,
    /// AWS's error code.
    pub code: &'static str,
    /// The public text.
    pub message: String,
    /// The text for the record, where the public one repeats something of the body.
    record_text: Option<String>,
    /// How AWS spells the text's member for this code.
    message_member: &'static str,
}

impl Refused {
    /// The JSON body.
    pub fn body(&self) -> Bytes {
        error_body(self.code, self.message_member, &self.message)
    }

    /// The text for the record; nothing of a body is in it.
    pub fn record_text(&self) -> &str {
        self.record_text.as_deref().unwrap_or(&self.message)
    }

    /// The same with another text for the record.
    pub(crate) fn recorded_as(self, record_text: String) -> Self {
        Self { record_text: Some(record_text), ..self }
    }

    /// An error of the protocol, not of Secrets Manager's model.
    pub fn of_protocol(status: StatusCode, code: &'static str, message: String) -> Self {
        Self { status, code, message, record_text: None, message_member: "message" }
    }

    /// An error of Secrets Manager's model.
    fn of_model(status: StatusCode, code: &'static str, message: String) -> Self {
        Self { status, code, message, record_text: None, message_member: "Message" }
    }
}

impl From<&Error> for Refused {
    fn from(error: &Error) -> Self {
        // Clients retry a 5xx, not a 400; `Busy` is worth trying again.
        let (status, code) = match error {
            Error::SecretNotFound | Error::ValueNotFound(_) | Error::VersionNotFound(_) => {
                (StatusCode::BAD_REQUEST, "ResourceNotFoundException")
            }
            Error::Denied(_) => (StatusCode::BAD_REQUEST, "AccessDeniedException"),
            Error::SecretExists(_) | Error::TokenInUse { .. } => {
                (StatusCode::BAD_REQUEST, "ResourceExistsException")
            }
            Error::MarkedForDeletion { .. }
            | Error::NameScheduledForDeletion
            | Error::AlreadyScheduledForDeletion
            | Error::StageNotOnVersion
            | Error::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "InvalidRequestException"),
            Error::StageElsewhere { .. }
            | Error::StageNotThere { .. }
            | Error::CurrentCannotBeRemoved
            | Error::InvalidParameter(_) => (StatusCode::BAD_REQUEST, "InvalidParameterException"),
            Error::LimitExceeded(_) => (StatusCode::BAD_REQUEST, "LimitExceededException"),
            // No operation of this protocol comes to it.
            Error::Iam(error) => (StatusCode::BAD_REQUEST, error.record_code()),
            Error::InvalidNextToken => (StatusCode::BAD_REQUEST, "InvalidNextTokenException"),
            Error::EncryptionFailure => (StatusCode::BAD_REQUEST, "EncryptionFailure"),
            Error::DecryptionFailure => (StatusCode::BAD_REQUEST, "DecryptionFailure"),
            Error::Busy | Error::Unavailable(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalServiceError")
            }
        };
        Self::of_model(status, code, error.to_string())
    }
}

impl From<&AuthenticationError> for Refused {
    fn from(error: &AuthenticationError) -> Self {
        let (status, code) = match error {
            AuthenticationError::UnknownAccessKey | AuthenticationError::InvalidSessionToken => {
                (StatusCode::BAD_REQUEST, "UnrecognizedClientException")
            }
            AuthenticationError::ExpiredToken => (StatusCode::BAD_REQUEST, "ExpiredTokenException"),
            AuthenticationError::WrongSignature
            | AuthenticationError::Expired { .. }
            | AuthenticationError::NotYetCurrent { .. } => {
                (StatusCode::BAD_REQUEST, "InvalidSignatureException")
            }
            AuthenticationError::RateExceeded => (StatusCode::BAD_REQUEST, "ThrottlingException"),
            AuthenticationError::WebIdentity(error) => crate::query::of_token(error),
            AuthenticationError::NotOwner { .. } => (StatusCode::BAD_REQUEST, "AccessDeniedException"),
            AuthenticationError::Unavailable => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServiceError"),
        };
        Self::of_protocol(status, code, error.to_string())
    }
}

impl From<&SigV4Error> for Refused {
    fn from(error: &SigV4Error) -> Self {
        Self::of_protocol(StatusCode::BAD_REQUEST, error.code(), error.to_string())
    }
}

impl From<&Malformed> for Refused {
    fn from(error: &Malformed) -> Self {
        let make = match error {
            Malformed::Serialization(_) | Malformed::Validation(_) | Malformed::InvalidName => {
                Self::of_protocol
            }
            Malformed::InvalidRequest(_) | Malformed::InvalidParameter(_) => Self::of_model,
        };
        let refused = make(StatusCode::BAD_REQUEST, error.code(), error.to_string());
        Self { record_text: Some(error.record_text()), ..refused }
    }
}
