//! The policy language twice: cases that are generated or read from vectors, and an evaluator that is slow and plain.
//!
//! Pure. The engine in `coffer-policy` and the evaluator here must answer every case alike; they share no code but the cases.

mod case;
mod generate;
mod naive;

pub use case::{Case, engine};
pub use generate::case;
pub use naive::naive;
