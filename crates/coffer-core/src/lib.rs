//! Authentication, the gate, records and operations.
