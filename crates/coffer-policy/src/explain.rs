//! Why a request is allowed or denied: every statement that was considered, and what kept it from mattering.
//!
//! Pure. Slower than [`evaluate`](crate::evaluate): it looks at every statement, and answers the same.

use crate::document::Effect;
use crate::evaluate::{
    Decision, Determining, Policies, PolicyKind, Request, ResourcePolicy, determining, evaluate,
};
use crate::operator::Operator;
use crate::policy::{Mismatch, Policy};

/// A decision and all that was considered.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation<'a> {
    /// The decision.
    pub decision: Decision<'a>,
    /// Every statement of every policy, kind by kind and in order.
    pub statements: Vec<Considered<'a>>,
}

/// A statement that was considered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Considered<'a> {
    /// Which.
    pub statement: Determining<'a>,
    /// What it does to what it is about.
    pub effect: Effect,
    /// Why it is not about the request; none if it is.
    pub mismatch: Option<Mismatch>,
    /// The condition that does not hold, if that is why.
    pub condition: Option<FailedCondition<'a>>,
}

/// A condition that does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailedCondition<'a> {
    /// Its operator.
    pub operator: Operator,
    /// Its key, in lower case.
    pub key: &'a str,
    /// Whether the request has no such key.
    pub is_absent: bool,
}

/// Decides a request, and tells of every statement what it had to do with it.
pub fn explain<'a>(policies: &Policies<'a>, request: &Request<'_>) -> Explanation<'a> {
    let mut all: Vec<(PolicyKind, &'a Policy)> = Vec::new();
    for level in policies.service_control {
        all.extend(level.iter().map(|policy| (PolicyKind::ServiceControl, policy.as_ref())));
    }
    match policies.resource {
        ResourcePolicy::None => {}
        ResourcePolicy::Optional(policy) | ResourcePolicy::Required(policy) => {
            all.push((PolicyKind::Resource, policy))
        }
    }
    all.extend(policies.identity.iter().map(|policy| (PolicyKind::Identity, policy.as_ref())));
    all.extend(policies.boundary.map(|policy| (PolicyKind::Boundary, policy)));
    all.extend(
        policies.session.iter().copied().flatten().map(|policy| (PolicyKind::Session, policy.as_ref())),
    );
    let statements = request.ask(policies.boundary.is_some(), |question| {
        let of_policy = |(kind, policy): (PolicyKind, &'a Policy)| {
            let consider = move |(at, rule): (usize, &'a crate::policy::Rule)| {
                let mismatch = rule.test(question).err();
                let condition = match mismatch {
                    Some(Mismatch::Condition(failed)) => {
                        rule.checks.get(failed).map(|check| FailedCondition {
                            operator: check.operator,
                            key: &check.key,
                            is_absent: check.is_absent(question.context),
                        })
                    }
                    Some(Mismatch::Principal | Mismatch::Action | Mismatch::Resource) | None => None,
                };
                Considered {
                    statement: determining(kind, policy, at),
                    effect: rule.effect,
                    mismatch,
                    condition,
                }
            };
            policy.rules().iter().enumerate().map(consider)
        };
        all.into_iter().flat_map(of_policy).collect()
    });
    Explanation { decision: evaluate(policies, request), statements }
}
