//! `role add --github` and `--kubernetes`: a role for whom an identity provider vouches for.
//!
//! Invariant: a role is never trusted to everybody who can get a token of the provider's.

use coffer_types::IssuerUrl;
use serde_json::json;

use crate::access::Access;
use crate::arguments::{GitHubRepository, RoleAdd, ServiceAccount};
use crate::failure::Stop;

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Whom a role is for: the subject of tokens, and who issues them.
pub(super) struct Federated {
    issuer: IssuerUrl,
    /// With wildcards, if its tokens have several.
    subject: String,
    audience: String,
}

impl Federated {
    /// Whom the arguments name, if they name anybody outside.
    pub(super) fn of(arguments: &RoleAdd) -> Result<Option<Self>, Stop> {
        let subject = match (&arguments.github, &arguments.kubernetes) {
            (Some(repository), _) => subject_of_job(repository, arguments),
            (None, Some(account)) => {
                let ServiceAccount { namespace, name } = account;
                format!("system:serviceaccount:{namespace}:{name}")
            }
            (None, None) => return Ok(None),
        };
        let issuer = match (&arguments.issuer, &arguments.github) {
            (Some(issuer), _) => issuer.clone(),
            (None, Some(_)) => GITHUB.parse().expect("a constant that is a URL"),
            (None, None) => {
                return Err(Stop::Usage {
                    message: "--kubernetes needs the issuer of the cluster's tokens".into(),
                    hint: "add --issuer URL; `kubectl get --raw /.well-known/openid-configuration` tells it"
                        .into(),
                });
            }
        };
        Ok(Some(Self { issuer, subject, audience: arguments.audience.clone() }))
    }

    /// Makes the provider, if there is none, and the policy that trusts the subject.
    pub(super) fn trust(&self, access: &mut Access) -> Result<String, Stop> {
        let arn = access.identity_provider(&self.issuer, &self.audience)?;
        let issuer = self.issuer.name();
        let operator = if self.subject.contains('*') { "StringLike" } else { "StringEquals" };
        let mut conditions = json!({"StringEquals": {format!("{issuer}:aud"): self.audience}});
        conditions[operator][format!("{issuer}:sub")] = json!(self.subject);
        let statement = json!({
            "Effect": "Allow",
            "Principal": {"Federated": arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": conditions,
        });
        Ok(json!({"Version": "2012-10-17", "Statement": [statement]}).to_string())
    }
}

/// The subject of a job's tokens: of a branch, of an environment, or of any of a repository's.
fn subject_of_job(repository: &GitHubRepository, arguments: &RoleAdd) -> String {
    match (&arguments.branch, &arguments.environment) {
        (Some(branch), _) => format!("repo:{repository}:ref:refs/heads/{branch}"),
        // As GitHub writes it.
        (None, Some(environment)) => {
            format!("repo:{repository}:environment:{}", environment.replace(':', "%3A"))
        }
        (None, None) => format!("repo:{repository}:*"),
    }
}
