//! Conditions that can't hold, or hold where nobody thinks of it.

use crate::catalog::{Action, CATALOG, Key, KeyType};
use crate::document::{Condition, Document, Effect, Statement};
use crate::operator::{Comparison, Quantifier};

use super::{Findings, Lint, nearest, variable_is_text};

pub(super) fn lint(document: &Document, statement: &Statement, actions: &[&Action], findings: &mut Findings) {
    for condition in &statement.conditions {
        let key = condition.key.text.to_ascii_lowercase();
        let service = key.split_once(':').map_or("", |(service, _)| service);
        let known = CATALOG.key(&key);
        // Keys of other services, and of identity providers, are not known here.
        let is_judged = service == "aws" || CATALOG.knows(service);
        match known {
            None if is_judged => {
                let advice = match nearest(&key, CATALOG.keys()) {
                    Some(near) => format!("did you mean `{near}`? Case does not count"),
                    None => "look it up in AWS's Service Authorization Reference".into(),
                };
                let message = format!("there is no condition key `{}`", condition.key.text);
                findings.add(Lint::UnknownKey, condition.key.position, message, advice);
            }
            None => {}
            Some(known) => {
                lint_known(statement, condition, known, findings);
                lint_actions_of_key(condition, &key, service, actions, findings);
            }
        }
        for value in &condition.values {
            if condition.operator.takes_variables() {
                variable_is_text(document, value, findings);
            }
        }
        lint_wildcards(condition, findings);
    }
}

fn lint_known(statement: &Statement, condition: &Condition, known: Key, findings: &mut Findings) {
    let (operator, key) = (condition.operator, &condition.key);
    if operator.comparison == Comparison::Null {
        return;
    }
    match (known.is_list, operator.quantifier) {
        (true, Quantifier::One) => findings.add(
            Lint::ListWithoutQuantifier,
            key.position,
            format!("`{}` has a list of values, so that {operator} never holds", key.text),
            format!("write ForAllValues:{operator} or ForAnyValue:{operator}"),
        ),
        (false, Quantifier::All | Quantifier::Any) => findings.add(
            Lint::QuantifierOverOne,
            key.position,
            format!(
                "`{}` has one value, so that ForAllValues: and ForAnyValue: add nothing but surprise",
                key.text
            ),
            "leave the prefix out",
        ),
        (true, Quantifier::All) if statement.effect == Effect::Allow => {
            let is_required = statement.conditions.iter().any(|other| {
                other.operator.comparison == Comparison::Null
                    && other.key.text.eq_ignore_ascii_case(&key.text)
            });
            if !is_required {
                findings.add(
                    Lint::ForAllHoldsWhenAbsent,
                    key.position,
                    format!("it also holds for requests without any `{}`", key.text),
                    format!("if they are not meant, add \"Null\": {{\"{}\": \"false\"}}", key.text),
                );
            }
        }
        (true, Quantifier::All | Quantifier::Any) | (false, Quantifier::One) => {}
    }
    let is_text = matches!(
        operator.comparison,
        Comparison::StringEquals | Comparison::StringEqualsIgnoreCase | Comparison::StringLike
    );
    let fits = match operator.comparison {
        Comparison::StringEquals | Comparison::StringEqualsIgnoreCase | Comparison::StringLike => {
            matches!(known.value, KeyType::Text | KeyType::Arn)
        }
        Comparison::NumericEquals
        | Comparison::NumericLessThan
        | Comparison::NumericLessThanEquals
        | Comparison::NumericGreaterThan
        | Comparison::NumericGreaterThanEquals => matches!(known.value, KeyType::Number | KeyType::Moment),
        Comparison::DateEquals
        | Comparison::DateLessThan
        | Comparison::DateLessThanEquals
        | Comparison::DateGreaterThan
        | Comparison::DateGreaterThanEquals => known.value == KeyType::Moment,
        Comparison::Bool => known.value == KeyType::Truth,
        Comparison::BinaryEquals => known.value == KeyType::Text,
        Comparison::IpAddress => known.value == KeyType::Address,
        Comparison::Arn => known.value == KeyType::Arn,
        Comparison::Null => true,
    };
    let (holds, wanted) = match known.value {
        KeyType::Text => ("a text", "StringEquals or StringLike"),
        KeyType::Arn => ("an ARN", "ArnLike"),
        KeyType::Truth => ("true or false", "Bool"),
        KeyType::Number => ("a number", "NumericEquals or its like"),
        KeyType::Moment => ("a moment", "DateLessThan or its like"),
        KeyType::Address => ("an address", "IpAddress"),
    };
    // A truth value as text is compared well enough.
    let fits = fits || is_text && known.value == KeyType::Truth;
    if !fits {
        findings.add(
            Lint::OperatorOfOtherType,
            key.position,
            format!("`{}` holds {holds}, which {operator} does not compare", key.text),
            format!("use {wanted}"),
        );
    }
}

/// Keys that no request for any of the actions has: only with negated operators and `IfExists` could they ever hold.
fn lint_actions_of_key(
    condition: &Condition,
    key: &str,
    service: &str,
    actions: &[&Action],
    findings: &mut Findings,
) {
    // Global keys stand in every request, but for those of the resource's and the request's tags.
    if service == "aws" || actions.is_empty() || condition.operator.if_exists || condition.operator.is_negated
    {
        return;
    }
    if condition.operator.comparison == Comparison::Null {
        return;
    }
    let judged: Vec<&&Action> = actions.iter().filter(|action| action.service == service).collect();
    let can_have = |action: &&&Action| !action.has_known_keys() || action.can_have(key);
    if !judged.is_empty() && !judged.iter().any(can_have) {
        let example = judged.first().map_or("", |action| action.name);
        findings.add(
            Lint::KeyOfOtherActions,
            condition.key.position,
            format!("no request for these actions, such as {example}, has `{}`", condition.key.text),
            "take it to a statement of the actions that have it",
        );
    }
}

fn lint_wildcards(condition: &Condition, findings: &mut Findings) {
    let is_text = matches!(
        condition.operator.comparison,
        Comparison::StringEquals | Comparison::StringEqualsIgnoreCase
    );
    for value in condition.values.iter().filter(|_| is_text) {
        let outside: String =
            value.text.split("${").map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect();
        if outside.contains(['*', '?']) {
            findings.add(
                Lint::WildcardIsText,
                value.position,
                format!(
                    "{} compares `{}` as it stands, its `*` and `?` included",
                    condition.operator, value.text
                ),
                "use StringLike",
            );
        }
    }
}
