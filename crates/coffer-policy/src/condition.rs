//! Conditions, ready to be compared.
//!
//! Pure. The rules where a request lacks the key are AWS's: a plain operator does not hold, a negated one does, `…IfExists` and
//! `ForAllValues:` do, `ForAnyValue:` does not. Of several values a policy gives, one suffices; negated, none may fit.
//! Invariant: what AWS leaves open is answered by what the statement does, so that it denies rather than allows.

use crate::context::{Context, Values};
use crate::document::{Condition, Effect};
use crate::operator::{Comparison, Operator, Quantifier};
use crate::pattern::{ArnPattern, Pattern, Syntax};
use crate::scalar::{self, Moment, Network, Number};

/// One condition.
#[derive(Debug)]
pub(crate) struct Check {
    /// In lower case.
    pub(crate) key: Box<str>,
    pub(crate) operator: Operator,
    wanted: Wanted,
}

/// What a policy compares with, in the form that is compared.
#[derive(Debug)]
enum Wanted {
    Texts(Box<[Pattern]>),
    Arns(Box<[ArnPattern]>),
    Numbers(Box<[Number]>),
    Moments(Box<[Moment]>),
    Truths(Box<[bool]>),
    Bytes(Box<[Vec<u8>]>),
    Networks(Box<[Network]>),
}

impl Check {
    pub(crate) fn new(condition: &Condition, variables: bool) -> Self {
        let operator = condition.operator;
        let texts = || condition.values.iter().map(|value| value.text.as_str());
        let syntax = |wildcards| Syntax { wildcards, variables: variables && operator.takes_variables() };
        // Values were judged when the document was read; one that were none would match nothing.
        let wanted = match operator.comparison {
            Comparison::StringEquals | Comparison::StringEqualsIgnoreCase => {
                Wanted::Texts(texts().map(|text| Pattern::parse(text, syntax(false))).collect())
            }
            Comparison::StringLike => {
                Wanted::Texts(texts().map(|text| Pattern::parse(text, syntax(true))).collect())
            }
            Comparison::Arn => {
                Wanted::Arns(texts().map(|text| ArnPattern::parse(text, syntax(true))).collect())
            }
            Comparison::NumericEquals
            | Comparison::NumericLessThan
            | Comparison::NumericLessThanEquals
            | Comparison::NumericGreaterThan
            | Comparison::NumericGreaterThanEquals => {
                Wanted::Numbers(texts().filter_map(Number::parse).collect())
            }
            Comparison::DateEquals
            | Comparison::DateLessThan
            | Comparison::DateLessThanEquals
            | Comparison::DateGreaterThan
            | Comparison::DateGreaterThanEquals => {
                Wanted::Moments(texts().filter_map(Moment::parse).collect())
            }
            Comparison::Bool | Comparison::Null => {
                Wanted::Truths(texts().filter_map(scalar::parse_bool).collect())
            }
            Comparison::BinaryEquals => Wanted::Bytes(texts().filter_map(scalar::parse_base64).collect()),
            Comparison::IpAddress => Wanted::Networks(texts().filter_map(Network::parse).collect()),
        };
        Self { key: condition.key.text.to_ascii_lowercase().into(), operator, wanted }
    }

    /// Whether it holds in a statement that has this effect. AWS leaves two things open. A list under an operator that has no
    /// `ForAllValues:` and no `ForAnyValue:` is denied by one of its values, and allowed by none. A value whose variable has none
    /// itself is not known to be another than the request's, which allows nothing; for a denial it is another.
    pub(crate) fn holds(&self, effect: Effect, context: &dyn Context) -> bool {
        let values = context.get(&self.key);
        let is_absent = is_absent(&values);
        if self.operator.comparison == Comparison::Null {
            return self.fits_truth(is_absent);
        }
        if is_absent {
            return match self.operator.quantifier {
                _ if self.operator.if_exists => true,
                Quantifier::One => self.operator.is_negated,
                Quantifier::All => true,
                Quantifier::Any => false,
            };
        }
        if self.operator.is_negated && effect == Effect::Allow && !self.is_resolved(context) {
            return false;
        }
        let holds = |value: &str| self.fits(value, context) != self.operator.is_negated;
        match (values, self.operator.quantifier) {
            (Values::Absent, _) => false,
            (Values::One(value), _) => holds(&value),
            (Values::Many(values), Quantifier::One) => {
                effect == Effect::Deny && values.iter().any(|value| holds(value))
            }
            (Values::Many(values), Quantifier::All) => values.iter().all(|value| holds(value)),
            (Values::Many(values), Quantifier::Any) => values.iter().any(|value| holds(value)),
        }
    }

    /// Whether a request has no value for its key.
    pub(crate) fn is_absent(&self, context: &dyn Context) -> bool {
        is_absent(&context.get(&self.key))
    }

    fn fits_truth(&self, truth: bool) -> bool {
        match &self.wanted {
            Wanted::Truths(truths) => truths.contains(&truth),
            Wanted::Texts(_)
            | Wanted::Arns(_)
            | Wanted::Numbers(_)
            | Wanted::Moments(_)
            | Wanted::Bytes(_)
            | Wanted::Networks(_) => false,
        }
    }

    /// Whether a value of the request fits one of the policy's, negation left aside.
    fn fits(&self, value: &str, context: &dyn Context) -> bool {
        match &self.wanted {
            Wanted::Texts(patterns) if self.operator.comparison == Comparison::StringEqualsIgnoreCase => {
                patterns
                    .iter()
                    .filter_map(|pattern| pattern.text(context))
                    .any(|text| scalar::same_ignoring_case(&text, value))
            }
            Wanted::Texts(patterns) => patterns.iter().any(|pattern| pattern.matches(value, context)),
            Wanted::Arns(patterns) => patterns.iter().any(|pattern| pattern.matches(value, context)),
            Wanted::Numbers(numbers) => Number::parse(value)
                .is_some_and(|value| numbers.iter().any(|number| self.is_ordered(&value, number))),
            Wanted::Moments(moments) => Moment::parse(value)
                .is_some_and(|value| moments.iter().any(|moment| self.is_ordered(&value, moment))),
            Wanted::Truths(_) => scalar::parse_bool(value).is_some_and(|truth| self.fits_truth(truth)),
            Wanted::Bytes(wanted) => scalar::parse_base64(value).is_some_and(|bytes| wanted.contains(&bytes)),
            Wanted::Networks(networks) => {
                value.parse().is_ok_and(|address| networks.iter().any(|network| network.contains(address)))
            }
        }
    }

    fn is_ordered<T: Ord>(&self, value: &T, wanted: &T) -> bool {
        match self.operator.comparison {
            Comparison::NumericEquals | Comparison::DateEquals => value == wanted,
            Comparison::NumericLessThan | Comparison::DateLessThan => value < wanted,
            Comparison::NumericLessThanEquals | Comparison::DateLessThanEquals => value <= wanted,
            Comparison::NumericGreaterThan | Comparison::DateGreaterThan => value > wanted,
            Comparison::NumericGreaterThanEquals | Comparison::DateGreaterThanEquals => value >= wanted,
            Comparison::StringEquals
            | Comparison::StringEqualsIgnoreCase
            | Comparison::StringLike
            | Comparison::Bool
            | Comparison::BinaryEquals
            | Comparison::IpAddress
            | Comparison::Arn
            | Comparison::Null => false,
        }
    }

    /// Whether each variable among the policy's values has a value.
    fn is_resolved(&self, context: &dyn Context) -> bool {
        match &self.wanted {
            Wanted::Texts(patterns) => patterns.iter().all(|pattern| pattern.is_resolved(context)),
            Wanted::Arns(patterns) => patterns.iter().all(|pattern| pattern.is_resolved(context)),
            Wanted::Numbers(_)
            | Wanted::Moments(_)
            | Wanted::Truths(_)
            | Wanted::Bytes(_)
            | Wanted::Networks(_) => true,
        }
    }

    /// The keys it looks at: its own, and those of its variables.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let (texts, arns): (&[Pattern], &[ArnPattern]) = match &self.wanted {
            Wanted::Texts(patterns) => (patterns, &[]),
            Wanted::Arns(patterns) => (&[], patterns),
            Wanted::Numbers(_)
            | Wanted::Moments(_)
            | Wanted::Truths(_)
            | Wanted::Bytes(_)
            | Wanted::Networks(_) => (&[], &[]),
        };
        let of_values =
            texts.iter().flat_map(Pattern::variables).chain(arns.iter().flat_map(ArnPattern::variables));
        std::iter::once(self.key.as_ref()).chain(of_values)
    }
}

fn is_absent(values: &Values<'_>) -> bool {
    match values {
        Values::Absent => true,
        Values::One(_) => false,
        Values::Many(values) => values.is_empty(),
    }
}
