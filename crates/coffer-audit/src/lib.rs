//! The audit record, its chained log and the log's verification.
