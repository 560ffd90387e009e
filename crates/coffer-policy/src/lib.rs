//! The policy language of AWS IAM: read, compile, evaluate, explain.
//!
//! A crate anyone can use: it knows no server, no store and no directory of principals, does no I/O, and reads no clock. Documents
//! are read with [`Document::parse`], which answers AWS's sentences for what is malformed; compiled with [`Policy::compile`]; and
//! asked with [`evaluate`], in AWS's order of evaluation. What a request says of itself it says through a [`Context`], key by key
//! and only when it is asked. [`explain()`] tells of every statement why it did not matter, [`lint()`] what is valid and still hardly meant.
//!
//! ```
//! use std::sync::Arc;
//! use coffer_policy::{ContextMap, Document, DocumentKind, Policies, Policy, Principal, Request, evaluate};
//!
//! let text = r#"{
//!     "Version": "2012-10-17",
//!     "Statement": {
//!         "Sid": "OwnSecrets",
//!         "Effect": "Allow",
//!         "Action": "secretsmanager:GetSecretValue",
//!         "Resource": "arn:aws:secretsmanager:*:*:secret:${aws:username}/*"
//!     }
//! }"#;
//! let document = Document::parse(text, DocumentKind::Managed)?;
//! let policy = Arc::new(Policy::compile("own-secrets", &document));
//!
//! let mut context = ContextMap::new();
//! context.set("aws:username", "alice");
//! let request = Request {
//!     principal: Principal::User {
//!         arn: "arn:aws:iam::123456789012:user/alice",
//!         account: "123456789012",
//!         unique_id: "",
//!     },
//!     action: "secretsmanager:GetSecretValue",
//!     resource: "arn:aws:secretsmanager:us-east-1:123456789012:secret:alice/db-AbCdEf",
//!     context: &context,
//! };
//! let policies = Policies { identity: &[policy], ..Policies::default() };
//! assert!(evaluate(&policies, &request).is_allowed());
//! # Ok::<(), coffer_policy::ParseError>(())
//! ```
//!
//! Where AWS's documentation leaves something open, the answer here is the closed one. `NotPrincipal` denies all but those it names
//! themselves, and allows nobody whose role or account it names. `NotResource` with a variable that has no value allows nothing, nor does
//! a negated condition with one. An operator without `ForAllValues:` or `ForAnyValue:` allows nothing where a key has a list of values,
//! and denies where it would hold for one of them.
//!
//! Invariants: nothing is allowed unless a statement allows it, and a denying statement always wins; no text makes any of it panic,
//! recurse without bound, or take more time than its length times a pattern's.

// Strangers' bytes arrive here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)
)]

mod catalog;
mod condition;
mod context;
mod document;
mod error;
mod evaluate;
mod explain;
mod grams;
mod index;
mod json;
mod lint;
mod operator;
mod parse;
mod pattern;
mod policy;
mod principal;
mod scalar;
mod workload;

pub use catalog::{actions_of, has_list};
pub use context::{Context, ContextMap, Values};
pub use document::{
    Condition, Document, DocumentKind, Effect, Listed, PrincipalName, PrincipalNameKind, Spelled, Statement,
    Version,
};
pub use error::ParseError;
pub use evaluate::{Decision, Determining, Policies, PolicyKind, Request, ResourcePolicy, evaluate};
pub use explain::{Considered, Explanation, FailedCondition, explain};
pub use json::Position;
pub use lint::{Finding, Lint, Severity, lint};
pub use operator::{Comparison, OPERATORS, Operator, Quantifier};
pub use policy::{Mismatch, Policy};
pub use principal::Principal;
pub use workload::{Needs, Workload, least_privilege, least_privilege_for_all, smallest_statement};
