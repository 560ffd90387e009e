//! What can go wrong with an operation, as distinctions some caller acts on.
//!
//! [`Error`]'s text is the public one, in AWS's own words where AWS has words for it: those texts are matched by
//! people's alarms and clients (the user guide's metric filter looks for "because it was marked for deletion"),
//! so they are interface. Other doors, and the command line, match on the variant and say it their way. The
//! internal cause of [`Error::Unavailable`] is behind `source()` and never in the text.

use coffer_policy::PolicyKind;
use coffer_types::{AccountId, Action, SecretName, Stage, Timestamp, VersionId};

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No secret by that name or ARN.
    #[error("Secrets Manager can't find the specified secret.")]
    SecretNotFound,
    /// The secret has no version like that, or the version has no value.
    #[error("Secrets Manager can't find the specified secret value for {0}")]
    ValueNotFound(Selected),
    /// A version id was given that the secret doesn't have.
    #[error("Secrets Manager can't find the specified secret version: {0}")]
    VersionNotFound(VersionId),
    /// The policy does not allow it.
    #[error(transparent)]
    Denied(Box<Denial>),
    /// A secret by that name is there.
    #[error("The operation failed because the secret {0} already exists.")]
    SecretExists(SecretName),
    /// The client request token names a version with another value.
    #[error(
        "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
    )]
    TokenInUse {
        /// The token.
        token: VersionId,
        /// The secret's ARN.
        arn: String,
    },
    /// The secret is waiting for its deletion.
    #[error("You can't perform this operation on the secret because it was marked for deletion.")]
    MarkedForDeletion {
        /// Until when it can be restored.
        due: Timestamp,
    },
    /// A secret by that name is waiting for its deletion.
    #[error(
        "You can't create this secret because a secret with this name is already scheduled for deletion."
    )]
    NameScheduledForDeletion,
    /// Its deletion is scheduled already.
    #[error("You can't perform this operation on the secret because it was already scheduled for deletion.")]
    AlreadyScheduledForDeletion,
    /// A version id and a staging label were given that do not belong together.
    #[error("You provided a VersionStage that is not associated to the provided VersionId.")]
    StageNotOnVersion,
    /// The label sits on another version, which the caller must name to take it away.
    #[error(
        "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {version}, so you must explicitly reference that version in RemoveFromVersionId."
    )]
    StageElsewhere {
        /// The label.
        stage: Stage,
        /// The version that has it.
        version: VersionId,
    },
    /// The label is not on the version the caller named.
    #[error(
        "The staging label {stage} isn't attached to the version {version}, which is named in RemoveFromVersionId."
    )]
    StageNotThere {
        /// The label.
        stage: Stage,
        /// The version named.
        version: VersionId,
    },
    /// `AWSCURRENT` may move but never be taken away.
    #[error(
        "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed."
    )]
    CurrentCannotBeRemoved,
    /// More than a limit allows.
    #[error("{0}")]
    LimitExceeded(String),
    /// A parameter has no legal value.
    #[error("{0}")]
    InvalidParameter(String),
    /// The request makes no sense in the secret's state.
    #[error("{0}")]
    InvalidRequest(String),
    /// The page cursor is none of ours, or of another listing.
    #[error("Invalid NextToken.")]
    InvalidNextToken,
    /// The named key is not one coffer can encrypt with.
    #[error(
        "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the KMS key is available, enabled, and not in an invalid state."
    )]
    EncryptionFailure,
    /// A stored value could not be opened: the file was changed, or the key is not its key.
    #[error("Secrets Manager can't decrypt the protected secret text using the provided KMS key.")]
    DecryptionFailure,
    /// What the directory of users, groups, roles and policies has against it.
    #[error(transparent)]
    Iam(#[from] IamError),
    /// Too many others wrote the same secret; the same request may work in a moment.
    #[error("The request conflicted with other requests that were being processed. Try again.")]
    Busy,
    /// coffer itself failed: the store, or the audit log, without which nothing is served.
    #[error("An error occurred on the server side.")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why the directory of users, groups, roles and policies refused; the texts are AWS's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IamError {
    /// There is none by that name, id or ARN.
    #[error("{0}")]
    NoSuchEntity(String),
    /// There is one already.
    #[error("{0}")]
    EntityAlreadyExists(String),
    /// Something still hangs on it.
    #[error("{0}")]
    DeleteConflict(String),
    /// It is not any more what the caller saw.
    #[error("{0}")]
    ConcurrentModification(String),
    /// A document that is no policy.
    #[error("{0}")]
    MalformedPolicyDocument(String),
    /// It makes no sense.
    #[error("{0}")]
    InvalidInput(String),
    /// A policy that is to narrow a session is too long, or its policies and tags are together.
    #[error("{0}")]
    PackedPolicyTooLarge(String),
    /// It is for whoever has credentials that do not end.
    #[error("{0}")]
    NotForSessions(String),
    /// The role does not trust who asks, or is not there: which of these, only the record tells.
    #[error("Not authorized to perform {}", .0.action)]
    NotTrusted(Box<Denial>),
    /// A text that was to be an encoded denial, and is none that was made here.
    #[error(
        "Message is not valid: denials are not encoded here. Ask the audit log for the request's id, or `coffer policy explain --request`."
    )]
    InvalidAuthorizationMessage,
    /// A number or size that would be more than a quota allows.
    #[error("{0}")]
    LimitExceeded(String),
}

/// Which version was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selected {
    /// By staging label.
    Stage(Stage),
    /// By version id.
    Version(VersionId),
}

impl std::fmt::Display for Selected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stage(stage) => write!(f, "staging label: {stage}"),
            Self::Version(version) => write!(f, "VersionId: {version}"),
        }
    }
}

/// A refusal by policy: who lacked which permission on what. The resource is named as the caller named it, and the reason is
/// left out where it would depend on what is there, so that a denial tells nobody whether it exists.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", self.sentence(self.is_reason_told))]
pub struct Denial {
    /// The caller's ARN.
    pub principal: String,
    /// The account it belongs to.
    pub account: AccountId,
    /// The permission that was missing.
    pub action: Action,
    /// What it was missing on, as supplied; `*` for an action on no resource, which AWS's sentence then leaves out.
    pub resource: String,
    /// Why: no statement allows it, or one denies it.
    pub reason: DenialReason,
    /// Whether the caller may know the reason. The record always has it.
    pub is_reason_told: bool,
}

impl Denial {
    /// The sentence of the record, with the reason.
    fn recorded(&self) -> String {
        self.sentence(true)
    }

    fn sentence(&self, with_reason: bool) -> String {
        let Self { principal, action, .. } = self;
        let on_resource =
            if self.resource == "*" { String::new() } else { format!(" on resource: {}", self.resource) };
        let because = if with_reason { format!(" {}", self.because()) } else { String::new() };
        format!("User: {principal} is not authorized to perform: {action}{on_resource}{because}")
    }

    /// The end of the sentence: what was missing.
    pub fn because(&self) -> String {
        let action = self.action;
        match self.reason {
            DenialReason::NotAllowed(kind) => format!("because no {kind} allows the {action} action"),
            DenialReason::ExplicitlyDenied(PolicyKind::Identity) => {
                "with an explicit deny in an identity-based policy".to_owned()
            }
            DenialReason::ExplicitlyDenied(kind) => format!("with an explicit deny in a {kind}"),
        }
    }
}

/// Why a policy said no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DenialReason {
    /// No policy of this kind allows the action.
    NotAllowed(PolicyKind),
    /// A statement of a policy of this kind denies it.
    ExplicitlyDenied(PolicyKind),
}

impl Error {
    /// A failure of coffer itself, with its cause.
    pub fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// The text of the audit record: that of the answer, and the reason where the answer keeps it back.
    pub(crate) fn record_message(&self) -> String {
        match self {
            Self::Denied(denial) | Self::Iam(IamError::NotTrusted(denial)) => denial.recorded(),
            Self::SecretNotFound
            | Self::ValueNotFound(_)
            | Self::VersionNotFound(_)
            | Self::SecretExists(_)
            | Self::TokenInUse { .. }
            | Self::MarkedForDeletion { .. }
            | Self::NameScheduledForDeletion
            | Self::AlreadyScheduledForDeletion
            | Self::StageNotOnVersion
            | Self::StageElsewhere { .. }
            | Self::StageNotThere { .. }
            | Self::CurrentCannotBeRemoved
            | Self::LimitExceeded(_)
            | Self::InvalidParameter(_)
            | Self::InvalidRequest(_)
            | Self::InvalidNextToken
            | Self::EncryptionFailure
            | Self::DecryptionFailure
            | Self::Iam(_)
            | Self::Busy
            | Self::Unavailable(_) => self.to_string(),
        }
    }

    /// The error code of the audit record, in CloudTrail's vocabulary.
    pub fn record_code(&self) -> &'static str {
        match self {
            Self::SecretNotFound | Self::ValueNotFound(_) | Self::VersionNotFound(_) => {
                "ResourceNotFoundException"
            }
            Self::Denied(_) => "AccessDenied",
            Self::SecretExists(_) | Self::TokenInUse { .. } => "ResourceExistsException",
            Self::MarkedForDeletion { .. }
            | Self::NameScheduledForDeletion
            | Self::AlreadyScheduledForDeletion
            | Self::StageNotOnVersion
            | Self::InvalidRequest(_) => "InvalidRequestException",
            Self::StageElsewhere { .. }
            | Self::StageNotThere { .. }
            | Self::CurrentCannotBeRemoved
            | Self::InvalidParameter(_) => "InvalidParameterException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::InvalidNextToken => "InvalidNextTokenException",
            Self::EncryptionFailure => "EncryptionFailure",
            Self::DecryptionFailure => "DecryptionFailure",
            Self::Iam(error) => error.record_code(),
            Self::Busy | Self::Unavailable(_) => "InternalServiceError",
        }
    }
}

impl IamError {
    /// The error code of the audit record, in CloudTrail's vocabulary.
    pub fn record_code(&self) -> &'static str {
        match self {
            Self::NoSuchEntity(_) => "NoSuchEntityException",
            Self::EntityAlreadyExists(_) => "EntityAlreadyExistsException",
            Self::DeleteConflict(_) => "DeleteConflictException",
            Self::ConcurrentModification(_) => "ConcurrentModificationException",
            Self::MalformedPolicyDocument(_) => "MalformedPolicyDocumentException",
            Self::InvalidInput(_) => "InvalidInputException",
            Self::PackedPolicyTooLarge(_) => "PackedPolicyTooLargeException",
            Self::InvalidAuthorizationMessage => "InvalidAuthorizationMessageException",
            Self::NotForSessions(_) | Self::NotTrusted(_) => "AccessDenied",
            Self::LimitExceeded(_) => "LimitExceededException",
        }
    }
}
