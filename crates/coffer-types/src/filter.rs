//! Filters of a listing: which attribute of a secret must be like what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{FILTER_VALUE_CHARS_MAX, FILTER_VALUES_MAX};

/// One condition of a listing: it holds if any of its values does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "KeyAndValues")]
pub struct Filter {
    key: FilterKey,
    values: Vec<FilterValue>,
}

/// Which attribute a filter looks at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&str")]
pub enum FilterKey {
    /// Name, description, and keys and values of tags.
    All,
    /// The name.
    Name,
    /// Keys of tags.
    TagKey,
    /// The description.
    Description,
    /// Values of tags.
    TagValue,
    /// The region a replicated secret comes from.
    PrimaryRegion,
    /// The service that made the secret and manages it.
    OwningService,
}

/// What an attribute must be like; or, after a `!`, must not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilterValue {
    is_negated: bool,
    text: String,
}

/// Why something is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No attribute is called that.
    #[error("a filter's key is one of {}", FilterKey::NAMES.join(", "))]
    Key,
    /// A filter has 1 to 10 values.
    #[error("a filter has 1 to {FILTER_VALUES_MAX} values")]
    ValueCount,
    /// The value has more than 512 characters.
    #[error("a filter's value has at most {FILTER_VALUE_CHARS_MAX} characters")]
    ValueLength,
    /// The value has a character that none may have.
    #[error("a filter's value has letters, digits, spaces and :_@/+=.-! only")]
    ValueCharacters,
}

impl Filter {
    /// A condition on an attribute, with 1 to 10 values.
    pub fn new(key: FilterKey, values: Vec<FilterValue>) -> Result<Self, FilterError> {
        if !(1..=FILTER_VALUES_MAX).contains(&values.len()) {
            return Err(FilterError::ValueCount);
        }
        Ok(Self { key, values })
    }

    /// Which attribute.
    pub fn key(&self) -> FilterKey {
        self.key
    }

    /// Of which one must hold.
    pub fn values(&self) -> &[FilterValue] {
        &self.values
    }
}

impl FilterKey {
    /// What the keys are called, in the order in which AWS was seen to list them (moto's
    /// `test_with_invalid_filter_key`); the two that came later stand last.
    pub const NAMES: &[&str] =
        &["all", "name", "tag-key", "description", "tag-value", "primary-region", "owning-service"];

    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Name => "name",
            Self::TagKey => "tag-key",
            Self::Description => "description",
            Self::TagValue => "tag-value",
            Self::PrimaryRegion => "primary-region",
            Self::OwningService => "owning-service",
        }
    }
}

impl FromStr for FilterKey {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Ok(match text {
            "all" => Self::All,
            "name" => Self::Name,
            "tag-key" => Self::TagKey,
            "description" => Self::Description,
            "tag-value" => Self::TagValue,
            "primary-region" => Self::PrimaryRegion,
            "owning-service" => Self::OwningService,
            _ => return Err(FilterError::Key),
        })
    }
}

impl FilterValue {
    /// The service model's pattern, which refusals tell.
    pub const PATTERN: &str = r"^\!?[a-zA-Z0-9 :_@\/\+\=\.\-\!]*$";

    /// Whether the attribute must not be like this.
    pub fn is_negated(&self) -> bool {
        self.is_negated
    }

    /// What the attribute is compared with, without the `!` before it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for FilterValue {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.chars().count() > FILTER_VALUE_CHARS_MAX {
            return Err(FilterError::ValueLength);
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" :_@/+=.-!".contains(&byte)) {
            return Err(FilterError::ValueCharacters);
        }
        let (is_negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        Ok(Self { is_negated, text: text.to_owned() })
    }
}

/// What a filter is read from.
#[derive(Deserialize)]
struct KeyAndValues {
    key: FilterKey,
    values: Vec<FilterValue>,
}

impl TryFrom<KeyAndValues> for Filter {
    type Error = FilterError;

    fn try_from(parts: KeyAndValues) -> Result<Self, FilterError> {
        Self::new(parts.key, parts.values)
    }
}

impl TryFrom<String> for FilterKey {
    type Error = FilterError;

    fn try_from(text: String) -> Result<Self, FilterError> {
        text.parse()
    }
}

impl From<FilterKey> for &'static str {
    fn from(key: FilterKey) -> Self {
        key.as_str()
    }
}

impl TryFrom<String> for FilterValue {
    type Error = FilterError;

    fn try_from(text: String) -> Result<Self, FilterError> {
        text.parse()
    }
}

impl From<FilterValue> for String {
    fn from(value: FilterValue) -> Self {
        value.to_string()
    }
}

impl fmt::Display for FilterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_negated { "!" } else { "" }, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_the_service_model_allows() {
        let check = |text: &str, expected: Result<(bool, &str), FilterError>| {
            let value = text.parse::<FilterValue>();
            assert_eq!(
                value.as_ref().map(|value| (value.is_negated(), value.text())),
                expected.as_ref().copied()
            );
            if let Ok(value) = value {
                assert_eq!(value.to_string(), text);
            }
        };
        check("prod/", Ok((false, "prod/")));
        check("!prod", Ok((true, "prod")));
        check("!!prod", Ok((true, "!prod")));
        check("!", Ok((true, "")));
        check("", Ok((false, "")));
        check("aZ09 :_@/+=.-!", Ok((false, "aZ09 :_@/+=.-!")));
        for bad in ["a#b", "a,b", "é", "a\nb", "a*"] {
            check(bad, Err(FilterError::ValueCharacters));
        }
        assert!("x".repeat(512).parse::<FilterValue>().is_ok());
        check(&"x".repeat(513), Err(FilterError::ValueLength));
    }

    #[test]
    fn a_key_is_one_of_seven() {
        for name in FilterKey::NAMES {
            assert_eq!(name.parse::<FilterKey>().unwrap().as_str(), *name);
        }
        for bad in ["", "Name", "tag", "region"] {
            assert_eq!(bad.parse::<FilterKey>(), Err(FilterError::Key));
        }
    }

    #[test]
    fn a_filter_has_1_to_10_values() {
        let with = |count| Filter::new(FilterKey::Name, vec!["a".parse().unwrap(); count]);
        assert!(with(1).is_ok() && with(10).is_ok());
        assert_eq!(with(0), Err(FilterError::ValueCount));
        assert_eq!(with(11), Err(FilterError::ValueCount));
    }
}
