//! For tests only: a settable clock, seeded randomness, and a whole core over a store in memory.
//!
//! Invariant: two worlds of the same seed make the same ids, keys and nonces.

mod clock;
mod random;
mod world;

pub use clock::TestClock;
pub use random::SeededRandom;
pub use world::{ThreadSpawn, World, version_id};
