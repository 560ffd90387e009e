//! What went wrong at a provider, by what the caller can do about it.
//!
//! Pure. Invariant: no value, and nothing a provider's answer said that might hold one.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coffer_types::CorrelationId;

use crate::Scheme;

/// The distinctions a caller acts on. Each provider has one table that leads here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ErrorKind {
    /// It is definitely not there. The only kind that lets the next layer answer.
    NotFound,
    /// Not allowed, or not known who asks.
    Denied,
    /// What came back can't be read.
    Malformed,
    /// The store has it and can't open it.
    DecryptionFailed,
    /// Asked too often.
    Throttled,
    /// No answer, none in time, or one that says the other side is broken.
    Unavailable,
    /// It can't be asked at all until something is changed here.
    Misconfigured,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::NotFound,
        Self::Denied,
        Self::Malformed,
        Self::DecryptionFailed,
        Self::Throttled,
        Self::Unavailable,
        Self::Misconfigured,
    ];

    /// Whether the same question may well be answered a moment later. Only then is it asked again, and only then may a
    /// stale value stand in.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable => true,
            Self::NotFound
            | Self::Denied
            | Self::Malformed
            | Self::DecryptionFailed
            | Self::Misconfigured => false,
        }
    }

    /// Whether it says of the value that it is not, or no longer, to be had: what was read before does not count any more.
    pub fn is_definite(self) -> bool {
        match self {
            Self::NotFound | Self::Denied | Self::DecryptionFailed => true,
            Self::Throttled | Self::Unavailable | Self::Malformed | Self::Misconfigured => false,
        }
    }

    /// As reports and metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::Denied => "denied",
            Self::Malformed => "malformed",
            Self::DecryptionFailed => "decryption failed",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a provider gave no value. Cheap to clone: callers that waited for the same fetch share it.
#[derive(Clone)]
pub struct FetchError(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    kind: ErrorKind,
    provider: Scheme,
    what: String,
    action: String,
    retry_after: Option<Duration>,
    id: Option<CorrelationId>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl FetchError {
    /// An error of `provider`. `what` says what happened, with what was asked for in backticks; `action` what to do.
    pub fn new(
        kind: ErrorKind,
        provider: Scheme,
        what: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        let (what, action) = (what.into(), action.into());
        Self(Arc::new(Parts { kind, provider, what, action, retry_after: None, id: None, source: None }))
    }

    /// The same with its cause, which must not hold a value.
    pub fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(Parts { source: Some(Arc::new(source)), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The same with the time the provider asked to be left alone for.
    pub fn retry_after(self, time: Duration) -> Self {
        Self(Arc::new(Parts { retry_after: Some(time), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The same with what the call was known by.
    pub fn of_call(self, id: &CorrelationId) -> Self {
        Self(Arc::new(Parts { id: Some(id.clone()), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Who said so.
    pub fn provider(&self) -> Scheme {
        self.0.provider
    }

    /// What to do about it.
    pub fn action(&self) -> &str {
        &self.0.action
    }

    /// What the call was known by that came to nothing, here and in its store's records; `None` if nobody was called.
    pub fn correlation_id(&self) -> Option<&CorrelationId> {
        self.0.id.as_ref()
    }

    /// How long the provider asked to be left alone.
    pub fn asked_to_wait(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.0.provider, self.0.kind, self.0.what)
    }
}

impl fmt::Debug for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FetchError({self})")
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
