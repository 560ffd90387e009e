//! Who is asking, may they, and what then happens: authentication, the gate, records and operations.
//!
//! Core decides and does no I/O of its own: it is given a store, an audit log, a clock, randomness and a way to
//! run things to their end. It knows no protocol and no status code. Invariants: nothing runs without a grant, no
//! answer leaves before its record is safe, and nothing commits under a permission that has been taken away.
//!
//! The way in is [`Core::authenticate`], then [`Core::execute`] with one of the operations of [`ops`], or
//! [`Core::refuse`] for what never became one.

mod access;
mod authenticate;
mod authorize;
pub mod backup;
mod claim;
mod clock;
mod commit;
mod core;
mod cursor;
mod error;
mod filters;
mod gate;
mod key_use;
mod labels;
mod maintain;
pub mod metrics;
mod noted;
pub mod password;
mod rate;
mod recorder;
mod records;
mod refuse;
mod session;
mod start;
mod token_keys;
mod transaction;
mod web_identity;

/// The operations: parameters, answers and rules, by family.
pub mod ops {
    pub mod audit;
    pub mod iam;
    pub mod local;
    pub mod review;
    pub mod secrets;
    pub mod sts;
}

pub(crate) use records::keys;

pub use crate::claim::{
    AuthenticationError, Claim, Context, Principal, RequestInfo, SigV4Claim, TlsSession, Transport,
};
pub use crate::clock::{Clock, Spawn, SystemClock};
pub use crate::core::Core;
pub use crate::error::{Denial, DenialReason, Error, IamError, Selected};
pub use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
pub use crate::records::keys::writes_a_secret;
pub use crate::records::view::View;
pub use crate::refuse::Refusal;
pub use crate::session::{Credentials, Session};
pub use crate::start::{
    AuditFacts, AuditFailure, CoreOptions, Founding, FoundingUser, NODE, OpenAudit, Parts, StartError,
};
pub use crate::transaction::Transaction;
pub use crate::web_identity::{
    FetchError, ISSUER_KEYS_BYTES_MAX, IssuerKeysError, IssuerSource, WebIdentity, WebIdentityError,
    check_issuer_keys,
};

/// Hashing for doors, which have no other way to it.
pub mod digest {
    pub use coffer_crypto::digest::{Sha256, sha256, sha256_hex};
}
