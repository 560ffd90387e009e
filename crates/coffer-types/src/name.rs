//! The name of a secret.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::SECRET_NAME_CHARS_MAX;

/// A secret's name: 1 to 512 of `A-Z a-z 0-9 / _ + = . @ - !`, such as `btc-agent/twitter/credentials`.
///
/// Slashes are part of the name and carry no rule. `!` stands only in names that AWS services give, but AWS
/// accepts it when asked for one, so it is legal here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(Arc<str>);

/// Why a text is no secret name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretNameError {
    /// Nothing was given.
    #[error("a secret's name has at least one character")]
    Empty,
    /// More than 512 characters.
    #[error("a secret's name has at most {SECRET_NAME_CHARS_MAX} characters, and this one has {chars}")]
    TooLong {
        /// How many it has.
        chars: usize,
    },
    /// A character outside the set.
    #[error("a secret's name is made of letters, digits and /_+=.@-!, and this one holds `{character}`")]
    Character {
        /// The first such character.
        character: char,
    },
}

impl SecretName {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, to be kept without a copy.
    pub fn to_shared_text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Whether `character` may stand in a name.
    pub fn allows(character: char) -> bool {
        matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '_' | '+' | '=' | '.' | '@' | '-' | '!')
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(SecretNameError::Empty);
        }
        if !text.bytes().all(|byte| Self::allows(byte.into())) {
            let character = text.chars().find(|&character| !Self::allows(character)).unwrap_or_default();
            return Err(SecretNameError::Character { character });
        }
        if text.len() > SECRET_NAME_CHARS_MAX {
            return Err(SecretNameError::TooLong { chars: text.len() });
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for SecretName {
    type Error = SecretNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_and_both_edges() {
        assert!("btc-agent/twitter/credentials".parse::<SecretName>().is_ok());
        assert!("a".repeat(512).parse::<SecretName>().is_ok());
        assert_eq!("a".repeat(513).parse::<SecretName>(), Err(SecretNameError::TooLong { chars: 513 }));
        assert_eq!("".parse::<SecretName>(), Err(SecretNameError::Empty));
        for bad in ["a b", "a\0", "é", "a:b", "a*", "a\\b", "a,b", "a\n"] {
            assert!(matches!(bad.parse::<SecretName>(), Err(SecretNameError::Character { .. })), "{bad:?}");
        }
    }
}
