//! An application's secrets, from wherever they are: the environment, `.env`, files, a store.
//!
//! A [`Manifest`] says what an application needs and where that is looked for; a [`Resolver`] finds the values, checks
//! them, and says in plain words what is missing. I/O is in `providers` and in reading the manifest's files; the rest
//! is pure. Blocking, on threads that live as long as one fetch: no runtime, nothing global.
//!
//! Invariants: only a definitive *not found* lets the next layer answer, an error never does; and no value is in an
//! error, a report or a `Debug`.

// Strangers' bytes arrive here.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::expect_used, clippy::panic))]

mod at_hand;
mod background;
mod breaker;
mod cache;
mod call;
mod chain;
mod clock;
pub mod env_file;
mod error;
mod field;
mod manifest;
mod mistake;
mod near;
mod overlay;
mod per_process;
mod provider;
pub mod providers;
mod reference;
mod report;
mod resolver;
mod retry;
pub mod schema;
mod sources;
mod span;
mod surroundings;
pub mod typed;
mod value_type;
mod watch;

pub use background::OnThread;
pub use breaker::{BreakerPolicy, BreakerState};
pub use cache::CachePolicy;
pub use call::{Asking, CORRELATION_VARIABLE, new_correlation_id};
pub use chain::{Layer, LayerError};
pub use clock::{Clock, MachineClock};
pub use coffer_resolver_derive::Credentials;
pub use coffer_types::CorrelationId;
pub use error::{ErrorKind, FetchError};
pub use field::{NoField, field};
pub use manifest::{LOCAL_NAME, MANIFEST_NAME, Manifest, Need, Overdue, Profile};
pub use mistake::{EntryFault, ManifestError};
pub use near::{did_you_mean, near};
pub use provider::{Call, Facts, Fetched, Observer, Provider};
pub use reference::{Reference, ReferenceError, Scheme};
pub use report::{Answer, Asked, Fault, Problem, Problems};
pub use resolver::{Credentials, Moment, Resolved, Resolver, ResolverOptions, UnknownProfile, Walk};
pub use retry::Retry;
pub use sources::{Counts, Policy};
pub use span::{SpanError, span};
pub use surroundings::Surroundings;
pub use typed::{FromSecret, LoadCredentials, SecretText};
pub use value_type::{ValueType, ValueTypeError};
pub use watch::{Change, Subscription, Watch, WatchOptions};
