//! The nouns of coffer and their rules: names, ARNs, versions, stages, tags, times and secret bytes.
//!
//! Pure: no I/O, no clock, no randomness. Invariant: a value that exists is valid, so nothing that takes one
//! of these types checks it again. The public interface is the list of re-exports below.

// Strangers' bytes arrive here.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::expect_used, clippy::panic))]

mod account;
mod action;
mod arn;
mod correlation;
mod filter;
mod iam;
pub mod iam_limits;
mod issuer;
pub mod limits;
mod name;
pub mod raw_json;
mod secret;
mod tag;
mod timestamp;
mod version;

pub use account::{AccountId, AccountIdError, Region, RegionError};
pub use action::Action;
pub use arn::{ArnError, ParseSecretIdError, SecretArn, SecretArnParts, SecretId, SecretSuffix};
pub use correlation::{CorrelationId, CorrelationIdError};
pub use filter::{Filter, FilterError, FilterKey, FilterValue};
pub use iam::{
    EntityName, EntityNameError, EntityPath, EntityPathError, PolicyArn, PolicyArnError, RoleArn,
    RoleArnError,
};
pub use issuer::{IssuerUrl, IssuerUrlError, OidcProviderArn, OidcProviderArnError};
pub use name::{SecretName, SecretNameError};
pub use secret::{SecretBytes, SecretValue};
pub use tag::{Tag, TagError};
pub use timestamp::Timestamp;
pub use version::{Stage, StageError, VersionId, VersionIdError};
