//! The agent: secrets for the programs of one machine, over HTTP, as the AWS Secrets Manager Agent and the Parameters and
//! Secrets Lambda Extension give them.
//!
//! I/O: in `listeners`, `token` and `fallback`; requests and answers are pure. Invariants: who shows no token, or was sent on by a proxy,
//! is told nothing; and a value goes into an answer or into the sealed file, and nowhere else.

pub(crate) mod answer;
pub(crate) mod durations;
pub(crate) mod fallback;
pub(crate) mod listeners;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod prompt;
pub(crate) mod question;
pub(crate) mod token;
pub(crate) mod values;
