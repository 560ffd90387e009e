//! IAM policy statements as values, and the decision they lead to.
//!
//! Pure: no I/O, no directory of principals, no other room of coffer. So far a statement is its effect, actions and
//! resources; the policy language's text, conditions and the other kinds of policy come with its parser.
//! Invariant: nothing is allowed unless a statement allows it, and a denying statement always wins.

// Strangers' bytes arrive here.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::expect_used, clippy::panic))]

mod pattern;

pub use pattern::Pattern;

use serde::{Deserialize, Serialize};

/// Whether a statement allows or denies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Allows what no statement denies.
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// One statement of an identity-based policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// Its `Sid`, to name it in an explanation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// The actions it is about, such as `secretsmanager:Get*`. Case does not count.
    pub actions: Vec<Pattern>,
    /// The resources it is about, as ARN patterns. Case counts.
    pub resources: Vec<Pattern>,
}

/// A question: may this be done to that?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The action, such as `secretsmanager:GetSecretValue`.
    pub action: &'a str,
    /// The resource: an ARN, a name that has none yet, or `*` for actions on no resource.
    pub resource: &'a str,
}

/// The answer, with the statement that led to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Allowed by the statement with this index.
    Allowed {
        /// Which statement.
        statement: usize,
    },
    /// Denied by the statement with this index, whatever others say.
    ExplicitlyDenied {
        /// Which statement.
        statement: usize,
    },
    /// No statement speaks for it.
    NotAllowed,
}

impl Statement {
    /// A statement that allows everything: an administrator's.
    pub fn allow_everything() -> Self {
        Self {
            sid: Some("AdministratorAccess".into()),
            effect: Effect::Allow,
            actions: vec![Pattern::any()],
            resources: vec![Pattern::any()],
        }
    }

    fn speaks_of(&self, request: &Request<'_>) -> bool {
        self.actions.iter().any(|pattern| pattern.matches_ignoring_case(request.action))
            && self.resources.iter().any(|pattern| pattern.matches(request.resource))
    }
}

/// Decides a request by the statements of all policies attached to the caller.
pub fn decide<'a>(statements: impl IntoIterator<Item = &'a Statement>, request: &Request<'_>) -> Decision {
    let mut decision = Decision::NotAllowed;
    for (index, statement) in statements.into_iter().enumerate() {
        if !statement.speaks_of(request) {
            continue;
        }
        match statement.effect {
            Effect::Deny => return Decision::ExplicitlyDenied { statement: index },
            Effect::Allow if decision == Decision::NotAllowed => {
                decision = Decision::Allowed { statement: index }
            }
            Effect::Allow => {}
        }
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(effect: Effect, action: &str, resource: &str) -> Statement {
        Statement {
            sid: None,
            effect,
            actions: vec![Pattern::new(action)],
            resources: vec![Pattern::new(resource)],
        }
    }

    fn check(statements: &[Statement], action: &str, resource: &str, expected: Decision) {
        assert_eq!(decide(statements, &Request { action, resource }), expected, "{action} on {resource}");
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        check(&[], "secretsmanager:GetSecretValue", "*", Decision::NotAllowed);
    }

    #[test]
    fn an_administrator_may_do_all() {
        let all = [Statement::allow_everything()];
        check(&all, "secretsmanager:GetSecretValue", "app/db", Decision::Allowed { statement: 0 });
    }

    #[test]
    fn a_statement_speaks_of_its_actions_and_resources_only() {
        let reader = [statement(Effect::Allow, "SecretsManager:Get*", "arn:*:secret:app/*-??????")];
        check(
            &reader,
            "secretsmanager:GetSecretValue",
            "arn:aws:secret:app/db-AbCdEf",
            Decision::Allowed { statement: 0 },
        );
        check(&reader, "secretsmanager:GetSecretValue", "arn:aws:secret:App/db-AbCdEf", Decision::NotAllowed);
        check(&reader, "secretsmanager:PutSecretValue", "arn:aws:secret:app/db-AbCdEf", Decision::NotAllowed);
    }

    #[test]
    fn an_explicit_deny_wins_wherever_it_stands() {
        let allow = Statement::allow_everything();
        let deny = statement(Effect::Deny, "*", "prod/*");
        check(
            &[allow.clone(), deny.clone()],
            "s:Get",
            "prod/db",
            Decision::ExplicitlyDenied { statement: 1 },
        );
        check(&[deny, allow], "s:Get", "prod/db", Decision::ExplicitlyDenied { statement: 0 });
    }
}
