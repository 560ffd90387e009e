//! IAM's operations: parameters in, elements out.
//!
//! Pure. The limits are the service model's (`iam/2010-05-08`). Policy documents go out percent-encoded, as AWS has them.

use std::marker::PhantomData;

use coffer_core::ops::iam::{Kind, OfKind, Page};
use coffer_types::iam_limits::{DOCUMENT_CHARS_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use coffer_types::{EntityName, EntityPath, PolicyArn};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::parameters::Parameters;

mod access_keys;
mod account;
mod entities;
mod oidc_providers;
mod policies;
mod simulation;

/// Longest cursor taken.
const MARKER_CHARS_MAX: usize = 1024;
/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const NAME_RULE: &str = "Member must satisfy regular expression pattern: [\\w+=,.@-]+, with length 1 to 128";
const PATH_RULE: &str =
    "Member must satisfy regular expression pattern: (\\u002F)|(\\u002F[\\u0021-\\u007E]+\\u002F)";
const ARN_RULE: &str = "Member must be the ARN of a policy: arn:aws:iam::ACCOUNT:policy/NAME";

/// How the parameter is called that names one of a kind.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "UserName",
        Kind::Group => "GroupName",
        Kind::Role => "RoleName",
        Kind::Policy => "PolicyArn",
        Kind::OidcProvider => "OpenIDConnectProviderArn",
    }
}

/// Names of a kind have at most so many characters.
fn name_chars_max(kind: Kind) -> usize {
    match kind {
        Kind::User | Kind::Role => 64,
        Kind::Group | Kind::Policy | Kind::OidcProvider => 128,
    }
}

impl Parameters {
    fn name(&self, name: &str) -> Option<EntityName> {
        self.required(name, NAME_RULE)
    }

    /// The name of something that is to be made.
    fn new_name(&self, name: &str, kind: Kind) -> Option<EntityName> {
        self.text(name, 1..=name_chars_max(kind));
        self.name(name)
    }

    fn optional_name(&self, name: &str) -> Option<EntityName> {
        self.parsed(name, NAME_RULE)
    }

    fn holder<K: OfKind>(&self) -> Option<EntityName> {
        self.name(name_of(K::KIND))
    }

    fn path(&self, name: &str) -> EntityPath {
        self.parsed(name, PATH_RULE).unwrap_or_default()
    }

    fn path_prefix(&self) -> String {
        self.text("PathPrefix", 1..=512).unwrap_or_else(|| "/".to_owned())
    }

    fn policy_arn(&self, name: &str) -> Option<PolicyArn> {
        self.required(name, ARN_RULE)
    }

    fn document(&self, name: &str) -> String {
        self.required_text(name, 1..=DOCUMENT_CHARS_MAX)
    }

    fn page(&self) -> Page {
        Page {
            max_items: self.number("MaxItems", 1..=PAGE_ITEMS_MAX).unwrap_or(PAGE_ITEMS_DEFAULT),
            marker: self.text("Marker", 1..=MARKER_CHARS_MAX),
        }
    }
}

fn of_kind<K>() -> PhantomData<fn() -> K> {
    PhantomData
}

fn encoded(document: &str) -> String {
    utf8_percent_encode(document, RESERVED).to_string()
}
