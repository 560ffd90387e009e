//! Version ids and staging labels.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{STAGE_CHARS_MAX, VERSION_ID_CHARS_MAX, VERSION_ID_CHARS_MIN};

/// The id of a version: the client request token that made it, 32 to 64 characters, usually a UUID.
///
/// AWS puts no rule on the characters; coffer takes printable ASCII only, so that an id is safe in a log line,
/// a header and a storage key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionId(Arc<str>);

/// Why a text is no version id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionIdError {
    /// Not 32 to 64 characters.
    #[error(
        "a version id has {VERSION_ID_CHARS_MIN} to {VERSION_ID_CHARS_MAX} characters, and this one has {chars}"
    )]
    Length {
        /// How many it has.
        chars: usize,
    },
    /// A character outside printable ASCII.
    #[error("a version id is printable ASCII")]
    Character,
}

impl VersionId {
    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VersionId {
    type Err = VersionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let chars = text.chars().count();
        if !(VERSION_ID_CHARS_MIN..=VERSION_ID_CHARS_MAX).contains(&chars) {
            return Err(VersionIdError::Length { chars });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(VersionIdError::Character);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for VersionId {
    type Error = VersionIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<VersionId> for String {
    fn from(id: VersionId) -> Self {
        id.as_str().to_owned()
    }
}

/// A staging label: a name that points at one version of a secret, such as `AWSCURRENT`.
///
/// 1 to 256 characters without control characters (AWS documents only the length).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stage(Arc<str>);

/// Why a text is no staging label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// Not 1 to 256 characters.
    #[error("a staging label has 1 to {STAGE_CHARS_MAX} characters, and this one has {chars}")]
    Length {
        /// How many it has.
        chars: usize,
    },
    /// A control character.
    #[error("a staging label holds no control characters")]
    Character,
}

impl Stage {
    /// The version a plain read answers with.
    pub const CURRENT: &'static str = "AWSCURRENT";
    /// The version that was current before.
    pub const PREVIOUS: &'static str = "AWSPREVIOUS";

    /// `AWSCURRENT`.
    pub fn current() -> Self {
        Self(Self::CURRENT.into())
    }

    /// `AWSPREVIOUS`.
    pub fn previous() -> Self {
        Self(Self::PREVIOUS.into())
    }

    /// The label itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Stage {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Stage {
    type Err = StageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let chars = text.chars().count();
        if !(1..=STAGE_CHARS_MAX).contains(&chars) {
            return Err(StageError::Length { chars });
        }
        if text.chars().any(char::is_control) {
            return Err(StageError::Character);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Stage {
    type Error = StageError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Stage> for String {
    fn from(stage: Stage) -> Self {
        stage.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_id_has_32_to_64_printable_characters() {
        assert!("a".repeat(32).parse::<VersionId>().is_ok());
        assert!("a".repeat(64).parse::<VersionId>().is_ok());
        assert_eq!("a".repeat(31).parse::<VersionId>(), Err(VersionIdError::Length { chars: 31 }));
        assert_eq!("a".repeat(65).parse::<VersionId>(), Err(VersionIdError::Length { chars: 65 }));
        assert_eq!(format!("{}\n", "a".repeat(40)).parse::<VersionId>(), Err(VersionIdError::Character));
    }

    #[test]
    fn a_stage_has_1_to_256_characters() {
        assert!("é".repeat(256).parse::<Stage>().is_ok());
        assert!("a".repeat(257).parse::<Stage>().is_err());
        assert!("".parse::<Stage>().is_err());
        assert!("a\u{0}".parse::<Stage>().is_err());
    }
}
