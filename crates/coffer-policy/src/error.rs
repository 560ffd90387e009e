//! Why a text is no policy: where, what, AWS's own sentence for it, and what to write instead.
//!
//! Pure. AWS's sentences are kept to the letter, since clients match on them; ours say more.

use crate::json::Position;

/// Why a text is no policy. `Display` says it in our words, without the place; [`ParseError::aws_message`] in AWS's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct ParseError {
    pub(crate) at: Position,
    pub(crate) what: String,
    pub(crate) reason: Reason,
    pub(crate) hint: Option<&'static str>,
}

/// The distinctions AWS's answers make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    TooLarge {
        limit: usize,
    },
    /// No JSON at all. IAM and STS say the same; the service of a resource may say something else.
    Syntax,
    Version,
    LegacyParsing,
    Sid,
    SidTwice,
    NoActions,
    NoResources,
    NoPrincipals,
    PrincipalForbidden,
    ResourceForbidden,
    Principal,
    Vendorless,
    TwoColons,
    Vendor(String),
    Resource(String),
    Partition {
        partition: String,
        resource: String,
    },
    ResourceVendor,
    TrustAction,
}

impl ParseError {
    pub(crate) fn new(at: Position, reason: Reason, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), reason, hint: None }
    }

    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Where in the text.
    pub fn position(&self) -> Position {
        self.at
    }

    /// What to write instead, where there is something to say.
    pub fn advice(&self) -> Option<&'static str> {
        self.hint
    }

    /// Whether the document is refused only for its size, for which AWS has other error codes: `LimitExceeded` for IAM's
    /// documents, `PackedPolicyTooLarge` for a session's policy. Every other error is `MalformedPolicyDocument`.
    pub fn size_limit(&self) -> Option<usize> {
        match self.reason {
            Reason::TooLarge { limit } => Some(limit),
            Reason::Syntax
            | Reason::Version
            | Reason::LegacyParsing
            | Reason::Sid
            | Reason::SidTwice
            | Reason::NoActions
            | Reason::NoResources
            | Reason::NoPrincipals
            | Reason::PrincipalForbidden
            | Reason::ResourceForbidden
            | Reason::Principal
            | Reason::Vendorless
            | Reason::TwoColons
            | Reason::Vendor(_)
            | Reason::Resource(_)
            | Reason::Partition { .. }
            | Reason::ResourceVendor
            | Reason::TrustAction => None,
        }
    }

    /// What AWS's IAM answers for it, to the letter.
    pub fn aws_message(&self) -> String {
        match &self.reason {
            Reason::TooLarge { limit } => format!("Cannot exceed quota for PolicySize: {limit}"),
            Reason::Syntax => "Syntax errors in policy.".into(),
            Reason::Version => "Policy document must be version 2012-10-17 or greater.".into(),
            Reason::LegacyParsing => "The policy failed legacy parsing".into(),
            Reason::Sid => {
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular \
                            expression [0-9A-Za-z]*"
                    .into()
            }
            Reason::SidTwice => "Statement IDs (SID) in a single policy must be unique.".into(),
            Reason::NoActions => "Policy statement must contain actions.".into(),
            Reason::NoResources => "Policy statement must contain resources.".into(),
            Reason::NoPrincipals => "Missing required field Principal".into(),
            Reason::PrincipalForbidden => "Policy document should not specify a principal.".into(),
            Reason::ResourceForbidden => "Has prohibited field Resource".into(),
            Reason::Principal => "Invalid principal in policy".into(),
            Reason::Vendorless => {
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.".into()
            }
            Reason::TwoColons => "Actions/Condition can contain only one colon.".into(),
            Reason::Vendor(vendor) => format!("Vendor {vendor} is not valid"),
            Reason::Resource(resource) => format!("Resource {resource} must be in ARN format or \"*\"."),
            Reason::Partition { partition, resource } => {
                format!("Partition \"{partition}\" is not valid for resource \"{resource}\".")
            }
            Reason::ResourceVendor => {
                "Resource vendor must be fully qualified and cannot contain regexes.".into()
            }
            Reason::TrustAction => "AssumeRole policy may only specify STS AssumeRole actions.".into(),
        }
    }
}
