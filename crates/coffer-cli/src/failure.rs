//! How a command ends when it doesn't succeed, and what is said about it.
//!
//! Pure. Messages are lowercase, with what the user wrote in backticks, and never hold a value.

use std::error::Error;
use std::io;

use coffer_wire_local::{Failure, FailureKind};
use serde::Serialize;

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something failed or was refused.
    Failure(Failure),
    /// The command was called wrongly: exit code 2, like any other wrong usage.
    Usage {
        /// What is wrong.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// Whoever read the output has gone. Nothing is said.
    ClosedPipe,
    /// A program that was run for somebody has ended with this code. It has said itself what it had to say.
    Ended(u8),
}

/// What `--json` prints of a stop.
#[derive(Serialize)]
pub(crate) struct ErrorObject<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: &'static str,
    message: &'a str,
    hint: Option<&'a str>,
}

impl Stop {
    /// A failure of some kind.
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failure(Failure::new(kind, message))
    }

    /// A failure that an error caused; its causes are told after it.
    pub(crate) fn of(kind: FailureKind, error: &dyn Error) -> Self {
        Self::new(kind, with_causes(error))
    }

    /// The same with a hint.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Failure(failure) => Self::Failure(failure.with_hint(hint)),
            Self::Usage { message, .. } => Self::Usage { message, hint: hint.into() },
            Self::ClosedPipe | Self::Ended(_) => self,
        }
    }

    /// The same with another hint made of the hint there is.
    pub(crate) fn map_hint(mut self, change: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            Self::Failure(failure) => failure.hint = failure.hint.as_deref().map(change),
            Self::Usage { hint, .. } => *hint = change(hint),
            Self::ClosedPipe | Self::Ended(_) => {}
        }
        self
    }

    /// The exit code, as documented in `docs/cli.md`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failure(failure) => failure.kind.exit_code(),
            Self::Usage { .. } => 2,
            Self::ClosedPipe => 0,
            Self::Ended(code) => *code,
        }
    }

    /// What is said, and the hint.
    pub(crate) fn texts(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Self::Failure(failure) => Some((&failure.message, failure.hint.as_deref())),
            Self::Usage { message, hint } => Some((message, Some(hint))),
            Self::ClosedPipe | Self::Ended(_) => None,
        }
    }

    /// What is said, as an object.
    pub(crate) fn object(&self) -> Option<ErrorObject<'_>> {
        let (message, hint) = self.texts()?;
        let kind = match self {
            Self::Failure(failure) => kind_name(failure.kind),
            Self::Usage { .. } | Self::ClosedPipe | Self::Ended(_) => "usage",
        };
        Some(ErrorObject { error: ErrorBody { kind, message, hint } })
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A failure to write the output.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ClosedPipe
        } else {
            Self::new(FailureKind::Other, format!("cannot write the output: {error}"))
        }
    }
}

/// The error's text and those of its causes.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Other => "other",
        FailureKind::NotFound => "not-found",
        FailureKind::Denied => "denied",
        FailureKind::Conflict => "conflict",
        FailureKind::Unavailable => "unavailable",
        FailureKind::Refused => "refused",
        FailureKind::Verification => "verification",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_exit_code() {
        for (kind, code) in [
            (FailureKind::Other, 1),
            (FailureKind::NotFound, 3),
            (FailureKind::Denied, 4),
            (FailureKind::Conflict, 5),
            (FailureKind::Unavailable, 6),
            (FailureKind::Refused, 7),
            (FailureKind::Verification, 8),
        ] {
            assert_eq!(Stop::new(kind, "x").exit_code(), code);
        }
        assert_eq!(Stop::Usage { message: "x".into(), hint: "y".into() }.exit_code(), 2);
        assert_eq!(Stop::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit_code(), 0);
    }

    #[test]
    fn an_error_as_an_object() {
        let stop = Stop::new(FailureKind::NotFound, "no secret `a`").with_hint("coffer list");
        assert_eq!(
            serde_json::to_string(&stop.object().unwrap()).unwrap(),
            r#"{"error":{"kind":"not-found","message":"no secret `a`","hint":"coffer list"}}"#
        );
    }
}
