//! Who is asking: what a caller claims, and what authentication makes of it.

use std::net::IpAddr;
use std::sync::Arc;

use coffer_audit::TlsDetails;
use coffer_types::{AccountId, CorrelationId, Region, SecretBytes, Timestamp};

use crate::{Session, WebIdentity, WebIdentityError};

/// How a caller says who it is, as data read off the wire by a door.
pub enum Claim {
    /// AWS Signature Version 4.
    SigV4(SigV4Claim),
    /// A token of an identity provider's, for a role of this account.
    WebIdentity {
        /// The account whose provider it is.
        account: AccountId,
        /// The token, as it was sent.
        token: SecretBytes,
    },
    /// A process on this machine, known to the kernel by its uid: over the Unix socket, or in place.
    Local {
        /// Its uid.
        uid: u32,
    },
}

/// A signed AWS request, taken apart. The door has checked form and body hash; core checks the signature.
pub struct SigV4Claim {
    /// The access key id of the credential scope.
    pub access_key_id: Arc<str>,
    /// `X-Amz-Security-Token`, if one was sent.
    pub session_token: Option<String>,
    /// The scope's date, `YYYYMMDD`.
    pub date: String,
    /// The scope's region.
    pub region: Region,
    /// The scope's service, such as `secretsmanager`: that of the door.
    pub service: &'static str,
    /// When it was signed (`X-Amz-Date`).
    pub signed_at: Timestamp,
    /// The whole string to sign.
    pub string_to_sign: Vec<u8>,
    /// The signature, decoded from hex.
    pub signature: [u8; 32],
}

/// What is known of a request besides the claim; all of it goes into the record. Cheap to clone.
#[derive(Clone)]
pub struct RequestInfo {
    /// The id the answer carries in `x-amzn-requestid`.
    pub request_id: Arc<str>,
    /// What the caller calls it, if it does.
    pub correlation_id: Option<CorrelationId>,
    /// Where it came from; `None` for a process on this machine.
    pub source: Option<IpAddr>,
    /// The `User-Agent`, cut to 1 KB.
    pub user_agent: Arc<str>,
    /// How it came.
    pub transport: Transport,
}

/// How a request came here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Not over a network.
    Local,
    /// Over a network, as it is.
    Plain,
    /// Over a network, within TLS.
    Tls {
        /// What was agreed on.
        session: TlsSession,
        /// The `Host` header.
        host: Option<Arc<str>>,
    },
}

/// What client and server agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsSession {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// The suite's name in IANA's list.
    pub cipher_suite: &'static str,
}

impl Transport {
    /// Whether nobody between here and there could read it.
    pub(crate) fn is_secure(&self) -> bool {
        match self {
            Self::Local | Self::Tls { .. } => true,
            Self::Plain => false,
        }
    }

    /// As the record has it.
    pub(crate) fn tls_details(&self) -> Option<TlsDetails<'_>> {
        match self {
            Self::Local | Self::Plain => None,
            Self::Tls { session, host } => Some(TlsDetails {
                version: session.version.into(),
                cipher_suite: session.cipher_suite.into(),
                host: host.as_deref().map(Into::into),
            }),
        }
    }
}

/// An authenticated caller and its request.
#[derive(Clone)]
pub struct Context {
    /// Who.
    pub principal: Principal,
    /// The account the request works in.
    pub account: AccountId,
    /// The region the request works in.
    pub region: Region,
    /// The rest.
    pub request: RequestInfo,
    /// When coffer took it up.
    pub now: Timestamp,
    /// The door: CloudTrail's `eventSource`.
    pub event_source: &'static str,
}

/// Someone with permissions. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// A user with an access key.
    User {
        /// The user's name in the account.
        name: Arc<str>,
        /// The ARN.
        arn: Arc<str>,
        /// The unique id, which is never another user's.
        id: Arc<str>,
        /// The access key that signed.
        access_key_id: Arc<str>,
    },
    /// A session of a role or of a user.
    Session(Arc<Session>),
    /// Somebody an identity provider vouches for, who may become a session of a role and nothing else.
    WebIdentity(Arc<WebIdentity>),
    /// The owner of the store, in place or over its socket.
    Local {
        /// The owner's uid.
        uid: u32,
        /// The ARN of the account's root, whom the owner is.
        arn: Arc<str>,
    },
}

impl Principal {
    /// The ARN.
    pub fn arn(&self) -> &str {
        match self {
            Self::User { arn, .. } | Self::Local { arn, .. } => arn,
            Self::Session(session) => &session.arn,
            Self::WebIdentity(identity) => &identity.provider,
        }
    }

    /// The name of the user whose credentials these are, if they are a user's.
    pub fn user_name(&self) -> Option<&str> {
        match self {
            Self::User { name, .. } => Some(name),
            Self::Session(session) => session.user_name(),
            Self::WebIdentity(_) | Self::Local { .. } => None,
        }
    }

    /// The ARN, shared.
    pub fn shared_arn(&self) -> Arc<str> {
        match self {
            Self::User { arn, .. } | Self::Local { arn, .. } => Arc::clone(arn),
            Self::Session(session) => Arc::clone(&session.arn),
            Self::WebIdentity(identity) => Arc::clone(&identity.provider),
        }
    }
}

/// Why a claim was not believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// No such access key.
    #[error("The security token included in the request is invalid.")]
    UnknownAccessKey,
    /// A session token was sent that coffer did not issue.
    #[error("The security token included in the request is invalid.")]
    InvalidSessionToken,
    /// The session has ended.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// The signature is of another key or another request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    WrongSignature,
    /// Signed more than five minutes ago.
    #[error("Signature expired: {signed_at} is now earlier than {earliest} ({now} - 5 min.)")]
    Expired {
        /// When it says it was signed.
        signed_at: String,
        /// The earliest time taken.
        earliest: String,
        /// The server's time.
        now: String,
    },
    /// Signed more than five minutes ahead.
    #[error("Signature not yet current: {signed_at} is still later than {latest} ({now} + 5 min.)")]
    NotYetCurrent {
        /// When it says it was signed.
        signed_at: String,
        /// The latest time taken.
        latest: String,
        /// The server's time.
        now: String,
    },
    /// Another user of this machine on the socket.
    #[error("uid {uid} does not own this store")]
    NotOwner {
        /// The uid.
        uid: u32,
    },
    /// A token of an identity provider's was not believed.
    #[error(transparent)]
    WebIdentity(#[from] WebIdentityError),
    /// Believed, but it has asked more often than it may.
    #[error("Rate exceeded")]
    RateExceeded,
    /// coffer could not look the key up.
    #[error("An error occurred on the server side.")]
    Unavailable,
}
