//! What a caller may be allowed to do, in the policy language's words.

use std::fmt;

/// An action of the policy language: a service prefix and an operation, such as `secretsmanager:GetSecretValue`.
///
/// Comparison in policies ignores case; the spelling kept here is the one AWS documents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Action {
    /// The service prefix, such as `secretsmanager`.
    pub service: &'static str,
    /// The operation, such as `GetSecretValue`.
    pub name: &'static str,
}

impl Action {
    /// An action of a service.
    pub const fn new(service: &'static str, name: &'static str) -> Self {
        Self { service, name }
    }
}

impl Action {
    /// As policies write it: `secretsmanager:GetSecretValue`.
    pub fn to_text(self) -> String {
        [self.service, ":", self.name].concat()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.name)
    }
}
