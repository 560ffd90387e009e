//! The words of the commands about policies.
//!
//! Pure.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use coffer_policy::{DocumentKind, Workload};
use coffer_types::AccountId;
use coffer_wire_local::{Holder, HolderKind};

use super::Scope;

/// What of policies.
#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Find what a policy says and hardly means.
    Lint(PolicyLint),
    /// Tell what policies answer to a request, and why.
    Simulate(Box<Simulate>),
    /// Print the policy of least privilege for a workload.
    Generate(Generate),
    /// Tell why a request was denied, and the smallest statement that would allow it.
    Explain(PolicyExplain),
    #[command(flatten)]
    Documents(PolicyDocuments),
}

#[derive(Args)]
pub(crate) struct PolicyLint {
    /// The policy's file, - for standard input.
    pub(crate) file: PathBuf,
    /// What it is for; told by what it says unless given.
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Kind>,
}

/// What a policy is for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Attached to users, groups and roles, or set as a permissions boundary.
    Managed,
    /// Inside one user, group or role.
    Inline,
    /// On a secret or another resource.
    Resource,
    /// Who may become a role.
    Trust,
    /// Narrows one session.
    Session,
    /// An organization's, over its accounts.
    ServiceControl,
}

impl From<Kind> for DocumentKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Managed => Self::Managed,
            Kind::Inline => Self::Inline,
            Kind::Resource => Self::Resource,
            Kind::Trust => Self::Trust,
            Kind::Session => Self::Session,
            Kind::ServiceControl => Self::ServiceControl,
        }
    }
}

#[derive(Args)]
pub(crate) struct Simulate {
    /// A policy of the user or role, or of one of its groups. Can be given more than once; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,
    /// The resource's policy: a secret's, a key's or a role's.
    #[arg(long, value_name = "FILE")]
    pub(crate) resource_policy: Option<PathBuf>,
    /// The permissions boundary.
    #[arg(long, value_name = "FILE")]
    pub(crate) boundary: Option<PathBuf>,
    /// A policy the session was begun with. Can be given more than once.
    #[arg(long, value_name = "FILE")]
    pub(crate) session: Vec<PathBuf>,
    /// An organization's policy; each is a level of its own. Can be given more than once.
    #[arg(long, value_name = "FILE")]
    pub(crate) service_control: Vec<PathBuf>,
    /// Who asks: the ARN of a user, a role's session or an account's root, the name of a service, or anonymous.
    #[arg(long, value_name = "PRINCIPAL", default_value = "arn:aws:iam::123456789012:user/somebody")]
    pub(crate) principal: String,
    /// To do what, such as secretsmanager:GetSecretValue.
    #[arg(long, value_name = "ACTION", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) action: String,
    /// On what: an ARN with all its characters, or * for actions that are about no resource.
    #[arg(long, value_name = "ARN", default_value = "*")]
    pub(crate) resource: String,
    /// What the request says of itself, such as aws:SourceIp=203.0.113.9. A key given more than once has a list of values.
    #[arg(long, value_name = "KEY=VALUE", value_parser = context_entry)]
    pub(crate) context: Vec<(String, String)>,
}

fn context_entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains(':') => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a key, = and its value, such as aws:SourceIp=203.0.113.9".into()),
    }
}

#[derive(Args)]
pub(crate) struct Generate {
    /// The secrets: names, beginnings of names such as app/*, or ARNs.
    #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) secrets: Vec<String>,
    /// What the workload does with them.
    #[arg(long = "for", value_enum, value_name = "WORKLOAD")]
    pub(crate) workload: Kinds,
    /// The account of the names; the store's unless given, any if there is no store.
    #[arg(long, value_name = "ID")]
    pub(crate) account_id: Option<AccountId>,
    /// The ARN of the key that the secrets are sealed under, if it is not the service's own.
    #[arg(long, value_name = "ARN")]
    pub(crate) key: Option<String>,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Kinds of workloads.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kinds {
    /// An application: reads values.
    Reader,
    /// Writes new versions and reads none.
    Writer,
    /// A rotation function: makes a new value, tries it and makes it current.
    Rotator,
    /// A pipeline: makes, changes and tags secrets, and reads none.
    Ci,
    /// Looks at everything but values.
    Auditor,
}

impl From<Kinds> for Workload {
    fn from(kind: Kinds) -> Self {
        match kind {
            Kinds::Reader => Self::Reader,
            Kinds::Writer => Self::Writer,
            Kinds::Rotator => Self::Rotator,
            Kinds::Ci => Self::Deployer,
            Kinds::Auditor => Self::Auditor,
        }
    }
}

/// Documents that the store holds.
#[derive(Subcommand)]
pub(crate) enum PolicyDocuments {
    /// Write a policy from a file: one of the holder's own, or else a managed one.
    Put {
        /// The policy's name.
        name: String,
        /// The document; - for standard input.
        file: PathBuf,
        #[command(flatten)]
        holder: HolderArguments,
        /// Do not ask before another document of this name is written over.
        #[arg(long)]
        replace: bool,
        /// Write it although it does not do what it says: what `policy lint` calls errors.
        #[arg(long)]
        despite_errors: bool,
    },
    /// Print the document of a policy: one of the holder's own, or else a managed one.
    Show {
        /// The policy's name; a managed one's ARN too.
        name: String,
        #[command(flatten)]
        holder: HolderArguments,
    },
    /// List the holder's policies, or else the managed ones.
    List {
        #[command(flatten)]
        holder: HolderArguments,
        /// AWS's own managed policies, too.
        #[arg(long, conflicts_with_all = ["user", "group", "role"])]
        aws: bool,
    },
    /// Give somebody a managed policy.
    Attach {
        /// The policy's name or ARN.
        policy: String,
        #[command(flatten)]
        holder: RequiredHolder,
    },
    /// Take a managed policy from somebody.
    Detach {
        /// The policy's name or ARN.
        policy: String,
        #[command(flatten)]
        holder: RequiredHolder,
    },
    /// Delete a policy: one of the holder's own, or else a managed one that nobody has.
    Delete {
        /// The policy's name; a managed one's ARN too.
        name: String,
        #[command(flatten)]
        holder: HolderArguments,
    },
}

/// Whose, if anybody's.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct HolderArguments {
    /// Of this user.
    #[arg(long)]
    user: Option<String>,
    /// Of this group.
    #[arg(long)]
    group: Option<String>,
    /// Of this role.
    #[arg(long)]
    role: Option<String>,
}

/// Whose.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RequiredHolder {
    /// Of this user.
    #[arg(long)]
    user: Option<String>,
    /// Of this group.
    #[arg(long)]
    group: Option<String>,
    /// Of this role.
    #[arg(long)]
    role: Option<String>,
}

impl HolderArguments {
    pub(crate) fn holder(&self) -> Option<Holder> {
        holder_of([&self.user, &self.group, &self.role])
    }
}

impl RequiredHolder {
    pub(crate) fn holder(&self) -> Option<Holder> {
        holder_of([&self.user, &self.group, &self.role])
    }
}

fn holder_of(names: [&Option<String>; 3]) -> Option<Holder> {
    let kinds = [HolderKind::User, HolderKind::Group, HolderKind::Role];
    let mut named = kinds.into_iter().zip(names);
    named.find_map(|(kind, name)| Some(Holder { kind, name: name.clone()? }))
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("denial").required(true))]
pub(crate) struct PolicyExplain {
    /// The last denial of which the audit log tells.
    #[arg(long, group = "denial")]
    pub(crate) last_denied: bool,
    /// That of this request.
    #[arg(long, value_name = "ID", group = "denial")]
    pub(crate) request: Option<String>,
    /// The last one of this user, role, session (ROLE/SESSION), access key or ARN.
    #[arg(long, value_name = "WHO")]
    pub(crate) user: Option<String>,
    /// The last one about this secret: its name or ARN.
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
    /// Where the secret is.
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Print only the document that would allow it, to be put into a file.
    #[arg(long)]
    pub(crate) document: bool,
}
