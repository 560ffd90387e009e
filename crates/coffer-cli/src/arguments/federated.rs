//! Who is outside: repositories of GitHub, service accounts of Kubernetes.

use std::fmt;
use std::str::FromStr;

/// `octo-org/octo-repo`, or `octo-org@123456/octo-repo@456789` where tokens have the ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GitHubRepository(String);

impl FromStr for GitHubRepository {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str =
            "write OWNER/REPOSITORY, or OWNER@ID/REPOSITORY@ID as tokens of newer repositories have it";
        let (owner, repository) = text.split_once('/').ok_or(RULE)?;
        let id_of = |part: &str| -> Option<bool> {
            let (name, id) = part.split_once('@').map_or((part, None), |(name, id)| (name, Some(id)));
            let is_name = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            let is_id = id.is_none_or(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()));
            (is_name && is_id).then_some(id.is_some())
        };
        match (id_of(owner), id_of(repository)) {
            (Some(of_owner), Some(of_repository)) if of_owner == of_repository => Ok(Self(text.to_owned())),
            _ => Err(RULE),
        }
    }
}

impl fmt::Display for GitHubRepository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `NAMESPACE/SERVICE_ACCOUNT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ServiceAccount {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl FromStr for ServiceAccount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "write NAMESPACE/SERVICE_ACCOUNT, in lower-case letters, digits, - and .";
        let (namespace, name) = text.split_once('/').ok_or(RULE)?;
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        let parsed = Self { namespace: namespace.to_owned(), name: name.to_owned() };
        if is_name(namespace) && is_name(name) { Ok(parsed) } else { Err(RULE) }
    }
}

/// The name of a branch or environment, which is meant as it is written.
pub(crate) fn without_wildcards(text: &str) -> Result<String, &'static str> {
    let is_legal = !text.is_empty()
        && text.len() <= 255
        && !text.contains(['*', '?', '$', '"', '\\'])
        && !text.chars().any(char::is_control);
    if is_legal {
        Ok(text.to_owned())
    } else {
        Err("a name has no wildcards: *, ? and ${ would mean others too")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_repositories_and_accounts_can_be_named() {
        for repository in ["octo-org/octo-repo", "octo-org@123456/octo.repo_1@456789"] {
            assert_eq!(repository.parse::<GitHubRepository>().unwrap().to_string(), repository);
        }
        for text in [
            "",
            "octo-org",
            "*/octo-repo",
            "octo-org/*",
            "a/b/c",
            "a@1/b",
            "a/b@1",
            "a@x/b@y",
            "a@/b@",
            "a:b/c",
        ] {
            assert!(text.parse::<GitHubRepository>().is_err(), "{text}");
        }
        let account: ServiceAccount = "prod/app".parse().unwrap();
        assert_eq!((account.namespace.as_str(), account.name.as_str()), ("prod", "app"));
        for text in ["", "prod", "*/app", "prod/*", "prod/app/x", "Prod/app", "prod/a:b"] {
            assert!(text.parse::<ServiceAccount>().is_err(), "{text}");
        }
        for text in ["", "*", "release-*", "${aws:username}", "a?"] {
            assert!(without_wildcards(text).is_err(), "{text}");
        }
        assert_eq!(without_wildcards("feature/x").as_deref(), Ok("feature/x"));
    }
}
