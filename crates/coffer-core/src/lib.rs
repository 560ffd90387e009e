//! Authentication, the gate, records and operations.
mod claim;
mod error;
pub use claim::*;
pub use error::*;
/// Operations.
pub mod ops {
    pub mod secrets;
}
