//! The ARN of a secret, and the ways a caller may name one.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::SECRET_ID_CHARS_MAX;
use crate::{AccountId, Region, SecretName, SecretNameError};

/// The six characters AWS adds to a secret's name in its ARN, so that a secret made again under the same name
/// has another ARN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretSuffix([u8; 6]);

impl SecretSuffix {
    const ALPHABET: &'static [u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// A suffix out of random bytes, each character equally likely: bytes of 248 and above are passed over.
    /// `None` if fewer than six bytes are usable; the caller draws again.
    pub fn from_random(bytes: &[u8]) -> Option<Self> {
        let mut characters = bytes
            .iter()
            .filter(|&&byte| byte < 248)
            .filter_map(|&byte| Self::ALPHABET.get(usize::from(byte % 62)));
        let mut suffix = [0; 6];
        for slot in &mut suffix {
            *slot = *characters.next()?;
        }
        Some(Self(suffix))
    }

    /// The six characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for SecretSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no secret ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the ARN of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX")]
pub struct ArnError;

impl TryFrom<String> for SecretSuffix {
    type Error = ArnError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SecretSuffix> for String {
    fn from(suffix: SecretSuffix) -> Self {
        suffix.as_str().to_owned()
    }
}

impl FromStr for SecretSuffix {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: [u8; 6] = text.as_bytes().try_into().map_err(|_| ArnError)?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(bytes)) } else { Err(ArnError) }
    }
}

/// A secret's full ARN: `arn:aws:secretsmanager:us-east-1:123456789012:secret:btc-agent/twitter/credentials-AbCdEf`.
///
/// Cheap to clone. Its parts are read as if they were its own fields; they never change, so that its text, which is
/// made once, is always theirs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "SecretArnParts", into = "SecretArnParts")]
pub struct SecretArn {
    parts: SecretArnParts,
    text: Arc<str>,
}

/// What tells one secret's ARN from another's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SecretArnParts {
    /// The region.
    pub region: Region,
    /// The account.
    pub account: AccountId,
    /// The name, without the suffix.
    pub name: SecretName,
    /// The suffix.
    pub suffix: SecretSuffix,
}

impl SecretArn {
    /// The ARN itself.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, to be kept without a copy.
    pub fn to_shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

impl From<SecretArnParts> for SecretArn {
    fn from(parts: SecretArnParts) -> Self {
        let SecretArnParts { region, account, name, suffix } = &parts;
        let text = format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-{suffix}").into();
        Self { parts, text }
    }
}

impl From<SecretArn> for SecretArnParts {
    fn from(arn: SecretArn) -> Self {
        arn.parts
    }
}

impl Deref for SecretArn {
    type Target = SecretArnParts;

    fn deref(&self) -> &SecretArnParts {
        &self.parts
    }
}

impl fmt::Display for SecretArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a caller names a secret: by its name, or by its ARN with or without the suffix.
///
/// An ARN whose resource ends in a dash and six characters is taken to be whole. So a partial ARN of a secret
/// whose own name ends that way finds nothing, as on AWS.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SecretId {
    /// A bare name, in the caller's own account and region.
    Name(SecretName),
    /// An ARN.
    Arn {
        /// The region it names.
        region: Region,
        /// The account it names.
        account: AccountId,
        /// The name, without a suffix.
        name: SecretName,
        /// The suffix; absent from a partial ARN.
        suffix: Option<SecretSuffix>,
    },
}

/// Why a text names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSecretIdError {
    /// Nothing was given.
    #[error("a secret is named by its name or its ARN")]
    Empty,
    /// More than 2048 characters.
    #[error("a secret id has at most {SECRET_ID_CHARS_MAX} characters, and this one has {chars}")]
    TooLong {
        /// How many it has.
        chars: usize,
    },
    /// It begins with `arn:` and is not the ARN of a secret.
    #[error(transparent)]
    Arn(#[from] ArnError),
    /// It is no legal name.
    #[error(transparent)]
    Name(#[from] SecretNameError),
}

impl SecretId {
    /// As the caller wrote it, without a copy if it is a name.
    pub fn to_shared_text(&self) -> Arc<str> {
        match self {
            Self::Name(name) => name.to_shared_text(),
            Self::Arn { .. } => self.to_string().into(),
        }
    }

    /// The name in it.
    pub fn name(&self) -> &SecretName {
        match self {
            Self::Name(name) | Self::Arn { name, .. } => name,
        }
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Arn { region, account, name, suffix } => {
                write!(f, "arn:aws:secretsmanager:{region}:{account}:secret:{name}")?;
                suffix.as_ref().map_or(Ok(()), |suffix| write!(f, "-{suffix}"))
            }
        }
    }
}

impl From<SecretArn> for SecretId {
    fn from(arn: SecretArn) -> Self {
        let SecretArnParts { region, account, name, suffix } = arn.into();
        Self::Arn { region, account, name, suffix: Some(suffix) }
    }
}

impl From<SecretName> for SecretId {
    fn from(name: SecretName) -> Self {
        Self::Name(name)
    }
}

impl FromStr for SecretId {
    type Err = ParseSecretIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseSecretIdError::Empty);
        }
        let chars = text.chars().count();
        if chars > SECRET_ID_CHARS_MAX {
            return Err(ParseSecretIdError::TooLong { chars });
        }
        if !text.starts_with("arn:") {
            return Ok(Self::Name(text.parse()?));
        }
        let mut parts = text.splitn(7, ':');
        let mut next = || parts.next().ok_or(ArnError);
        let (_arn, partition, service) = (next()?, next()?, next()?);
        let (region, account, kind, resource) = (next()?, next()?, next()?, next()?);
        if partition != "aws" || service != "secretsmanager" || kind != "secret" {
            return Err(ArnError.into());
        }
        let (name, suffix) = match resource.rsplit_once('-') {
            Some((name, suffix)) if !name.is_empty() => match suffix.parse() {
                Ok(suffix) => (name, Some(suffix)),
                Err(ArnError) => (resource, None),
            },
            _ => (resource, None),
        };
        Ok(Self::Arn {
            region: region.parse().map_err(|_| ArnError)?,
            account: account.parse().map_err(|_| ArnError)?,
            name: name.parse()?,
            suffix,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_partial_arn_has_no_suffix() {
        let id: SecretId = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db".parse().unwrap();
        assert!(matches!(&id, SecretId::Arn { suffix: None, name, .. } if name.as_str() == "app/db"));
        let id: SecretId =
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-a1B2c3".parse().unwrap();
        assert!(matches!(&id, SecretId::Arn { suffix: Some(_), name, .. } if name.as_str() == "app/db"));
    }

    #[test]
    fn what_is_no_secret_arn_is_refused() {
        for bad in [
            "arn:",
            "arn:aws:s3:::bucket",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:",
            "arn:aws:secretsmanager::123456789012:secret:a",
            "arn:aws:secretsmanager:us-east-1:1:secret:a",
            "arn:aws-cn:secretsmanager:us-east-1:123456789012:secret:a",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:a b",
        ] {
            assert!(bad.parse::<SecretId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_suffix_passes_over_biased_bytes() {
        assert_eq!(SecretSuffix::from_random(&[255, 0, 248, 1, 2, 61, 62, 247]).unwrap().as_str(), "ABC9A9");
        assert!(SecretSuffix::from_random(&[0; 5]).is_none());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_what_parses_prints_itself(text in "(arn:aws:secretsmanager:us-east-1:123456789012:secret:)?\\PC{0,40}") {
            if let Ok(id) = text.parse::<SecretId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
