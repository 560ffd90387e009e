//! Tags.

use serde::{Deserialize, Serialize};

use crate::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX};

/// A tag: a key of 1 to 128 characters and a value of 0 to 256. Tags are not secret and appear in records.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "KeyAndValue")]
pub struct Tag {
    key: String,
    value: String,
}

/// A tag as it is read, before it is known to be one.
#[derive(Deserialize)]
struct KeyAndValue {
    key: String,
    value: String,
}

impl TryFrom<KeyAndValue> for Tag {
    type Error = TagError;

    fn try_from(pair: KeyAndValue) -> Result<Self, TagError> {
        Self::new(pair.key, pair.value)
    }
}

/// Why a pair of texts is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// The key has not 1 to 128 characters.
    #[error("a tag's key has 1 to {TAG_KEY_CHARS_MAX} characters")]
    KeyLength,
    /// The value has more than 256 characters.
    #[error("a tag's value has at most {TAG_VALUE_CHARS_MAX} characters")]
    ValueLength,
    /// The key begins with `aws:`, which AWS reserves.
    #[error("a tag's key must not begin with aws:")]
    Reserved,
}

impl Tag {
    /// A tag of a key and a value.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Result<Self, TagError> {
        let (key, value) = (key.into(), value.into());
        if !(1..=TAG_KEY_CHARS_MAX).contains(&key.chars().count()) {
            return Err(TagError::KeyLength);
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX {
            return Err(TagError::ValueLength);
        }
        if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(TagError::Reserved);
        }
        Ok(Self { key, value })
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_the_reserved_prefix() {
        assert!(Tag::new("Project", "").is_ok());
        assert!(Tag::new("k".repeat(128), "v".repeat(256)).is_ok());
        assert_eq!(Tag::new("", "v"), Err(TagError::KeyLength));
        assert_eq!(Tag::new("k".repeat(129), "v"), Err(TagError::KeyLength));
        assert_eq!(Tag::new("k", "v".repeat(257)), Err(TagError::ValueLength));
        assert_eq!(Tag::new("AWS:x", "v"), Err(TagError::Reserved));
    }
}
