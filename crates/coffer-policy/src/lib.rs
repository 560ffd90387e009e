//! IAM policy statements, requests and decisions.
