//! For tests only: a settable clock, seeded randomness, a whole core over a store in memory, and what fails, waits
//! or gives way on purpose beneath it.
//!
//! Invariant: two worlds of the same seed make the same ids, keys and nonces.

mod clock;
mod failing_log;
pub mod issuer;
pub mod linearizability;
mod paced_store;
pub mod policy;
mod random;
pub mod remote;
pub mod shorthand;
mod steps;
mod world;

pub use clock::TestClock;
pub use failing_log::FailingLog;
pub use paced_store::{Pace, PacedStore};
pub use random::SeededRandom;
pub use steps::{Steps, poll_once};
pub use world::{Ground, OWNER, ThreadSpawn, World, secret_access_key, version_id};
