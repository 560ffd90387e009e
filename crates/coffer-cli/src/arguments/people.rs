//! The words of the commands about users, groups, roles, access keys and policies.
//!
//! Pure.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use coffer_types::iam_limits::{SESSION_SECONDS_MAX, SESSION_SECONDS_MIN};
use coffer_types::{AccountId, IssuerUrl};

use super::Scope;
use super::federated::{GitHubRepository, ServiceAccount, without_wildcards};

/// What somebody new may do.
#[derive(Args)]
pub(crate) struct Permitted {
    /// Let it read this secret; NAME* for all that begin so. Can be given more than once.
    #[arg(long, value_name = "SECRET")]
    pub(crate) reads: Vec<String>,
    /// Let it write new versions of this secret; NAME* for all that begin so. Can be given more than once.
    #[arg(long, value_name = "SECRET")]
    pub(crate) writes: Vec<String>,
    /// Where the secrets are.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Subcommand)]
pub(crate) enum User {
    /// Make a user, who may do nothing but what is given here.
    Add {
        /// The user's name.
        name: String,
        #[command(flatten)]
        permitted: Permitted,
    },
    /// List the users.
    List,
    /// Tell everything of a user: policies, groups, access keys.
    Show {
        /// The user's name.
        name: String,
    },
    /// Delete a user, with its access keys, their profiles, and all that it has.
    Delete {
        /// The user's name.
        name: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Group {
    /// Make a group, whose users may do what is given here.
    Add {
        /// The group's name.
        name: String,
        #[command(flatten)]
        permitted: Permitted,
    },
    /// List the groups.
    List,
    /// Tell everything of a group: policies, users.
    Show {
        /// The group's name.
        name: String,
    },
    /// Put a user into a group.
    Join {
        /// The group's name.
        group: String,
        /// The user's name.
        user: String,
    },
    /// Take a user out of a group.
    Leave {
        /// The group's name.
        group: String,
        /// The user's name.
        user: String,
    },
    /// Delete a group, with its policies; its users stay.
    Delete {
        /// The group's name.
        name: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Role {
    /// Make a role, which may do nothing but what is given here.
    Add(Box<RoleAdd>),
    /// List the roles.
    List,
    /// Tell everything of a role: who may take it on, policies.
    Show {
        /// The role's name.
        name: String,
    },
    /// Print who may take a role on, or change that.
    Trust(RoleTrust),
    /// Delete a role, with its policies.
    Delete {
        /// The role's name.
        name: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Provider {
    /// Make an identity provider, or add an audience to one; `role add --github` and `--kubernetes` do so by themselves.
    Add {
        /// The URL of who issues the tokens.
        #[arg(value_name = "URL")]
        issuer: IssuerUrl,
        /// For whom the tokens are.
        #[arg(long, default_value = "sts.amazonaws.com", value_parser = without_wildcards)]
        audience: String,
    },
    /// List the identity providers.
    List,
    /// Tell everything of an identity provider: audiences, and the roles that trust it.
    Show {
        /// The issuer's URL, or the provider's ARN.
        issuer: String,
    },
    /// Delete an identity provider: nobody takes a role on with its tokens any more.
    Delete {
        /// The issuer's URL, or the provider's ARN.
        issuer: String,
    },
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("trusted").required(true).multiple(true))]
pub(crate) struct RoleAdd {
    /// The role's name.
    pub(crate) name: String,
    /// Let this user of the store take it on. Can be given more than once.
    #[arg(long, value_name = "USER", group = "trusted")]
    pub(crate) trust_user: Vec<String>,
    /// Let this role of the store take it on. Can be given more than once.
    #[arg(long, value_name = "ROLE", group = "trusted")]
    pub(crate) trust_role: Vec<String>,
    /// Let everybody of this account whose policies allow it take it on. Can be given more than once.
    #[arg(long, value_name = "ID", group = "trusted")]
    pub(crate) trust_account: Vec<AccountId>,
    /// Or take the trust policy from this file; - for standard input.
    #[arg(long, value_name = "FILE", group = "trusted",
        conflicts_with_all = ["trust_user", "trust_role", "trust_account"])]
    pub(crate) trust_policy: Option<PathBuf>,
    /// Let jobs of this repository of GitHub Actions take it on, without any key: OWNER/REPOSITORY, or
    /// OWNER@ID/REPOSITORY@ID as tokens of repositories have it that were made after July 2026.
    #[arg(long, value_name = "REPOSITORY", group = "trusted",
        conflicts_with_all = ["trust_user", "trust_role", "trust_account", "trust_policy", "kubernetes"])]
    pub(crate) github: Option<GitHubRepository>,
    /// With --github: jobs of this branch only.
    #[arg(long, requires = "github", conflicts_with = "environment", value_parser = without_wildcards)]
    pub(crate) branch: Option<String>,
    /// With --github: jobs of this environment only.
    #[arg(long, requires = "github", value_parser = without_wildcards)]
    pub(crate) environment: Option<String>,
    /// Let pods of this service account take it on, without any key: NAMESPACE/SERVICE_ACCOUNT.
    #[arg(long, value_name = "ACCOUNT", group = "trusted", requires = "issuer",
        conflicts_with_all = ["trust_user", "trust_role", "trust_account", "trust_policy"])]
    pub(crate) kubernetes: Option<ServiceAccount>,
    /// Who issues the tokens: with --kubernetes that of the cluster; with --github GitHub's own unless given.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<IssuerUrl>,
    /// For whom the tokens are.
    #[arg(long, default_value = "sts.amazonaws.com", value_parser = without_wildcards)]
    pub(crate) audience: String,
    /// The longest a session of it can be, 3600 to 43200; 3600 unless given.
    #[arg(long, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(i64::from(SESSION_SECONDS_MIN)..=i64::from(SESSION_SECONDS_MAX)))]
    pub(crate) max_session: Option<u32>,
    /// What it is for.
    #[arg(long)]
    pub(crate) description: Option<String>,
    #[command(flatten)]
    pub(crate) permitted: Permitted,
}

#[derive(Args)]
pub(crate) struct RoleTrust {
    /// The role's name.
    pub(crate) name: String,
    /// Trust this user of the store. Can be given more than once.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Vec<String>,
    /// Trust this role of the store. Can be given more than once.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Vec<String>,
    /// Trust everybody of this account whose policies allow it. Can be given more than once.
    #[arg(long, value_name = "ID")]
    pub(crate) account: Vec<AccountId>,
    /// Or take the trust policy from this file; - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "role", "account", "add"])]
    pub(crate) document: Option<PathBuf>,
    /// Trust them as well as those that are trusted, who otherwise no longer are.
    #[arg(long)]
    pub(crate) add: bool,
    /// Do not ask before somebody loses the role.
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Subcommand)]
pub(crate) enum Key {
    /// Make an access key and print, once, what a shell evaluates to be that user: eval "$(coffer key create USER)".
    Create {
        /// Whose.
        user: String,
        /// Print the secret to a terminal too.
        #[arg(long, conflicts_with = "profile")]
        show: bool,
        /// Print nothing; write a profile of this name into the files of the AWS tools, in the place of one whose
        /// key is gone.
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        /// The region to export; the store's unless given.
        #[command(flatten)]
        scope: Scope,
    },
    /// List access keys and when each was last used: a user's, or everybody's.
    List {
        /// Whose.
        user: Option<String>,
    },
    /// Keep an access key and believe nobody who signs with it.
    Disable(KeyReference),
    /// Believe those again who sign with it.
    Enable(KeyReference),
    /// Delete an access key, and the profile that `key create` wrote for it.
    Delete(KeyReference),
}

#[derive(Args)]
pub(crate) struct KeyReference {
    /// Whose.
    pub(crate) user: String,
    /// Which; may be left out if there is but one.
    pub(crate) id: Option<String>,
}

#[derive(Args)]
pub(crate) struct WhoCan {
    /// What: read, write, delete, or the name of an action such as DescribeSecret.
    #[arg(value_name = "ACTION")]
    pub(crate) action: String,
    /// The secret's name or ARN.
    pub(crate) name: String,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}
