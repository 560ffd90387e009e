//! Names of users, groups, roles and policies, and the paths they stand under.

use std::fmt;
use std::str::FromStr;

use crate::AccountId;
use crate::iam_limits::{ENTITY_NAME_CHARS_MAX, ENTITY_PATH_CHARS_MAX};

/// The name of a user, group, role or policy: 1 to 128 letters, digits and any of `_+=,.@-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntityName(String);

/// Why a text is no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {ENTITY_NAME_CHARS_MAX} letters, digits and any of _+=,.@-")]
pub struct EntityNameError;

impl EntityName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntityName {
    type Err = EntityNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if (1..=ENTITY_NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(EntityNameError)
        }
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Under which path a user, group, role or policy stands: `/`, or a text of printable ASCII between two slashes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntityPath(String);

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a path is / or a text of at most {ENTITY_PATH_CHARS_MAX} printable characters between two slashes")]
pub struct EntityPathError;

impl EntityPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for EntityPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl FromStr for EntityPath {
    type Err = EntityPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What policies read as a wildcard must not stand in an ARN.
        let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"*?".contains(&byte);
        let is_path = text.len() <= ENTITY_PATH_CHARS_MAX
            && text.starts_with('/')
            && text.ends_with('/')
            && text.bytes().all(is_legal);
        if is_path { Ok(Self(text.to_owned())) } else { Err(EntityPathError) }
    }
}

impl fmt::Display for EntityPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of a managed policy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PolicyArn {
    text: String,
    /// The account it belongs to; `None` for AWS's own.
    pub account: Option<AccountId>,
    /// The policy's name.
    pub name: EntityName,
}

/// Why a text is no policy's ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy's ARN is arn:aws:iam::ACCOUNT:policy/PATH/NAME")]
pub struct PolicyArnError;

impl PolicyArn {
    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for PolicyArn {
    type Err = PolicyArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("arn:aws:iam::").ok_or(PolicyArnError)?;
        let (account, resource) = rest.split_once(':').ok_or(PolicyArnError)?;
        let account = match account {
            "aws" => None,
            account => Some(account.parse().map_err(|_| PolicyArnError)?),
        };
        let name = resource.strip_prefix("policy").ok_or(PolicyArnError)?;
        let (path, name) = name.rsplit_once('/').ok_or(PolicyArnError)?;
        format!("{path}/").parse::<EntityPath>().map_err(|_| PolicyArnError)?;
        let name = name.parse().map_err(|_| PolicyArnError)?;
        Ok(Self { text: text.to_owned(), account, name })
    }
}

impl fmt::Display for PolicyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The ARN of a role.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RoleArn {
    text: String,
    /// The account it belongs to.
    pub account: AccountId,
    /// The role's name.
    pub name: EntityName,
}

/// Why a text is no role's ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role's ARN is arn:aws:iam::ACCOUNT:role/PATH/NAME")]
pub struct RoleArnError;

impl RoleArn {
    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for RoleArn {
    type Err = RoleArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("arn:aws:iam::").ok_or(RoleArnError)?;
        let (account, resource) = rest.split_once(':').ok_or(RoleArnError)?;
        let name = resource.strip_prefix("role").ok_or(RoleArnError)?;
        let (path, name) = name.rsplit_once('/').ok_or(RoleArnError)?;
        format!("{path}/").parse::<EntityPath>().map_err(|_| RoleArnError)?;
        let account = account.parse().map_err(|_| RoleArnError)?;
        let name = name.parse().map_err(|_| RoleArnError)?;
        Ok(Self { text: text.to_owned(), account, name })
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_names_are_names() {
        for name in ["a", "alice", "x_+=,.@-9", &"n".repeat(128)] {
            assert_eq!(name.parse::<EntityName>().map(|parsed| parsed.to_string()), Ok(name.to_owned()));
        }
        for name in ["", "a b", "a/b", "a*", "é", "a\0", &"n".repeat(129)] {
            assert_eq!(name.parse::<EntityName>(), Err(EntityNameError), "{name}");
        }
    }

    #[test]
    fn which_paths_are_paths() {
        for path in ["/", "/a/", "/a/b/", "//"] {
            assert!(path.parse::<EntityPath>().is_ok(), "{path}");
        }
        for path in ["", "a", "/a", "a/", "/a b/", "/*/", "/é/", &format!("/{}/", "p".repeat(511))] {
            assert!(path.parse::<EntityPath>().is_err(), "{path}");
        }
    }

    #[test]
    fn which_arns_are_roles() {
        let arn: RoleArn = "arn:aws:iam::123456789012:role/a/reader".parse().unwrap();
        assert_eq!((arn.account, arn.name.as_str()), (AccountId::EXAMPLE, "reader"));
        for arn in [
            "",
            "arn:aws:iam::aws:role/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:user/x",
        ] {
            assert_eq!(arn.parse::<RoleArn>(), Err(RoleArnError), "{arn}");
        }
    }

    #[test]
    fn which_arns_are_policies() {
        let arn: PolicyArn = "arn:aws:iam::123456789012:policy/a/b/read".parse().unwrap();
        assert_eq!((arn.account, arn.name.as_str()), (Some(AccountId::EXAMPLE), "read"));
        let arn: PolicyArn = "arn:aws:iam::aws:policy/AdministratorAccess".parse().unwrap();
        assert_eq!((arn.account, arn.name.as_str()), (None, "AdministratorAccess"));
        for arn in [
            "",
            "arn:aws:iam::aws:policy",
            "arn:aws:iam::aws:policy/",
            "arn:aws:iam::1:policy/x",
            "arn:aws:iam::123456789012:role/x",
            "arn:aws:iam::123456789012:policyx/y",
            "arn:aws:iam::123456789012:policy/*/x",
        ] {
            assert_eq!(arn.parse::<PolicyArn>(), Err(PolicyArnError), "{arn}");
        }
    }
}
