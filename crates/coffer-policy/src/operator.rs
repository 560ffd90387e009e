//! The condition operators of the policy language, with their `…IfExists` and their `ForAllValues:` and `ForAnyValue:`.
//!
//! Pure. A name that is read is an operator; its comparison says which values a policy may give it.

use std::fmt;

/// What an operator compares, and how. `ArnEquals` means the same as `ArnLike`, as on AWS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Comparison {
    /// `StringEquals`: the same characters.
    StringEquals,
    /// `StringEqualsIgnoreCase`: the same but for case.
    StringEqualsIgnoreCase,
    /// `StringLike`: with `*` and `?`.
    StringLike,
    /// `NumericEquals`.
    NumericEquals,
    /// `NumericLessThan`.
    NumericLessThan,
    /// `NumericLessThanEquals`.
    NumericLessThanEquals,
    /// `NumericGreaterThan`.
    NumericGreaterThan,
    /// `NumericGreaterThanEquals`.
    NumericGreaterThanEquals,
    /// `DateEquals`.
    DateEquals,
    /// `DateLessThan`.
    DateLessThan,
    /// `DateLessThanEquals`.
    DateLessThanEquals,
    /// `DateGreaterThan`.
    DateGreaterThan,
    /// `DateGreaterThanEquals`.
    DateGreaterThanEquals,
    /// `Bool`.
    Bool,
    /// `BinaryEquals`: the same bytes, written in base64.
    BinaryEquals,
    /// `IpAddress`: within a network.
    IpAddress,
    /// `ArnEquals` and `ArnLike`: with `*` and `?`, part by part.
    Arn,
    /// `Null`: whether the key is absent.
    Null,
}

/// Over which of the values that a request has for the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Quantifier {
    /// No prefix: over the one value. Where a request has a list it allows nothing, and denies by one of its values.
    One,
    /// `ForAllValues:`; it holds over none.
    All,
    /// `ForAnyValue:`; it does not hold over none.
    Any,
}

/// An operator, whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Operator {
    /// Over which values.
    pub quantifier: Quantifier,
    /// What it compares.
    pub comparison: Comparison,
    /// Whether it holds where the comparison with none of the policy's values does.
    pub is_negated: bool,
    /// Whether it holds where the request has no such key.
    pub if_exists: bool,
}

/// Every operator's name without prefix and suffix, what it compares, and whether it is negated.
pub const OPERATORS: [(&str, Comparison, bool); 27] = [
    ("StringEquals", Comparison::StringEquals, false),
    ("StringNotEquals", Comparison::StringEquals, true),
    ("StringEqualsIgnoreCase", Comparison::StringEqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Comparison::StringEqualsIgnoreCase, true),
    ("StringLike", Comparison::StringLike, false),
    ("StringNotLike", Comparison::StringLike, true),
    ("NumericEquals", Comparison::NumericEquals, false),
    ("NumericNotEquals", Comparison::NumericEquals, true),
    ("NumericLessThan", Comparison::NumericLessThan, false),
    ("NumericLessThanEquals", Comparison::NumericLessThanEquals, false),
    ("NumericGreaterThan", Comparison::NumericGreaterThan, false),
    ("NumericGreaterThanEquals", Comparison::NumericGreaterThanEquals, false),
    ("DateEquals", Comparison::DateEquals, false),
    ("DateNotEquals", Comparison::DateEquals, true),
    ("DateLessThan", Comparison::DateLessThan, false),
    ("DateLessThanEquals", Comparison::DateLessThanEquals, false),
    ("DateGreaterThan", Comparison::DateGreaterThan, false),
    ("DateGreaterThanEquals", Comparison::DateGreaterThanEquals, false),
    ("Bool", Comparison::Bool, false),
    ("BinaryEquals", Comparison::BinaryEquals, false),
    ("IpAddress", Comparison::IpAddress, false),
    ("NotIpAddress", Comparison::IpAddress, true),
    ("ArnEquals", Comparison::Arn, false),
    ("ArnLike", Comparison::Arn, false),
    ("ArnNotEquals", Comparison::Arn, true),
    ("ArnNotLike", Comparison::Arn, true),
    ("Null", Comparison::Null, false),
];

impl Operator {
    /// Reads an operator's name, such as `ForAllValues:StringLikeIfExists`. Case counts.
    pub fn parse(name: &str) -> Option<Self> {
        let (quantifier, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(_) => return None,
            None => (Quantifier::One, name),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (_, comparison, is_negated) = OPERATORS.iter().find(|(known, ..)| *known == base)?;
        if *comparison == Comparison::Null && if_exists {
            return None;
        }
        Some(Self { quantifier, comparison: *comparison, is_negated: *is_negated, if_exists })
    }

    /// Whether its values may have policy variables: those that compare texts and ARNs.
    pub fn takes_variables(self) -> bool {
        match self.comparison {
            Comparison::StringEquals
            | Comparison::StringEqualsIgnoreCase
            | Comparison::StringLike
            | Comparison::Arn => true,
            Comparison::NumericEquals
            | Comparison::NumericLessThan
            | Comparison::NumericLessThanEquals
            | Comparison::NumericGreaterThan
            | Comparison::NumericGreaterThanEquals
            | Comparison::DateEquals
            | Comparison::DateLessThan
            | Comparison::DateLessThanEquals
            | Comparison::DateGreaterThan
            | Comparison::DateGreaterThanEquals
            | Comparison::Bool
            | Comparison::BinaryEquals
            | Comparison::IpAddress
            | Comparison::Null => false,
        }
    }
}

impl fmt::Display for Operator {
    /// As a policy spells it, `ArnLike` for both of that meaning.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.quantifier {
            Quantifier::One => "",
            Quantifier::All => "ForAllValues:",
            Quantifier::Any => "ForAnyValue:",
        })?;
        let mut same = OPERATORS.iter().filter(|(_, comparison, is_negated)| {
            (*comparison, *is_negated) == (self.comparison, self.is_negated)
        });
        formatter.write_str(same.next_back().map_or("", |(name, ..)| name))?;
        formatter.write_str(if self.if_exists { "IfExists" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_with_prefix_and_suffix() {
        for (name, comparison, is_negated) in OPERATORS {
            for (prefix, quantifier) in
                [("", Quantifier::One), ("ForAllValues:", Quantifier::All), ("ForAnyValue:", Quantifier::Any)]
            {
                let expected = Operator { quantifier, comparison, is_negated, if_exists: false };
                assert_eq!(Operator::parse(&format!("{prefix}{name}")), Some(expected));
                let optional = Operator::parse(&format!("{prefix}{name}IfExists"));
                assert_eq!(optional.is_some(), name != "Null", "{name}");
                assert_eq!(Operator::parse(&expected.to_string()), Some(expected));
            }
        }
    }

    #[test]
    fn other_names_are_none() {
        for name in [
            "",
            "stringEquals",
            "StringEqual",
            "ForEach:StringEquals",
            "StringEqualsIfExistsIfExists",
            ":Bool",
        ] {
            assert_eq!(Operator::parse(name), None, "{name}");
        }
    }
}
