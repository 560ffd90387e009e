//! The words of the command line.
//!
//! Pure but for the environment variables clap reads. A value is never an argument: arguments can be read by
//! every user of the machine.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use coffer_audit::SyncMode;
use coffer_server::CacheSize;
use coffer_types::{AccountId, IssuerUrl, Region, Stage, VersionId};

pub(crate) use agent::Agent;
pub(crate) use audit::{Audit, AuditTail, WhoRead};
pub(crate) use federated::{GitHubRepository, ServiceAccount};
pub(crate) use people::{
    Group, Key, KeyReference, Permitted, Provider, Role, RoleAdd, RoleTrust, User, WhoCan,
};
pub(crate) use policy::{Generate, Policy, PolicyDocuments, PolicyExplain, PolicyLint, Simulate};
pub(crate) use secret::{
    Delete, Describe, Diff, Edit, List, PasswordOptions, Random, Restore, Rollback, Tag, Wanted,
};
pub(crate) use wanted::{Check, Explain, Export, ExportFormat, Render, Run, Wanting};

mod agent;
mod audit;
mod federated;
mod people;
mod policy;
mod secret;
mod wanted;

/// The folder of the store unless another is said.
pub(crate) const HOME: &str = ".coffer";

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 any other error, 2 wrong usage, 3 not found, 4 denied,
5 conflict, 6 unavailable, 7 input refused, 8 verification failed.";

/// Keeps secrets, and serves them to programs that speak AWS Secrets Manager.
#[derive(Parser)]
#[command(name = "coffer", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The store's folder.
    #[arg(long, global = true, env = "COFFER_HOME", default_value = HOME, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// When records of the audit log count as safe: `always`, once they are on disk, or `interval=MILLIS`, once
    /// the kernel has them, which syncs so often; interval=100 unless given.
    #[arg(long, global = true, env = "COFFER_SYNC", value_name = "MODE", value_parser = sync_mode)]
    pub(crate) sync: Option<SyncMode>,
    /// Print objects (JSON) rather than words; errors too.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a store if there is none, import FILE, and serve.
    Up(Up),
    /// Make a store.
    Init(Founding),
    /// Serve the store to programs until Ctrl-C.
    Serve(Serve),
    /// Import a .env file as one secret, a JSON object with a field for each key.
    Import(Import),
    /// Print a value, or one field of it.
    Get(Get),
    /// Write a new version of a secret, from standard input unless told otherwise.
    Put(Put),
    /// List the secrets held: all, or those that everything given fits.
    List(List),
    /// List the versions of a secret.
    Versions {
        /// The secret's name or ARN.
        name: String,
        /// Where.
        #[command(flatten)]
        scope: Scope,
    },
    /// Tell everything of a secret but its value.
    Describe(Describe),
    /// Show in which fields two versions of a secret differ, without their values.
    Diff(Diff),
    /// Make an earlier version of a secret current again.
    Rollback(Rollback),
    /// Change a value in your editor, on a file in memory.
    Edit(Edit),
    /// Attach tags to a secret, and remove them.
    Tag(Tag),
    /// Print a random password.
    Random(Random),
    /// Delete a secret, so that it can be restored for a while.
    Delete(Delete),
    /// Take back the deletion of a secret.
    Restore(Restore),
    /// Make users, who may do what their policies allow, and look at them.
    User {
        /// What.
        #[command(subcommand)]
        command: User,
    },
    /// Make groups of users, which share policies.
    Group {
        /// What.
        #[command(subcommand)]
        command: Group,
    },
    /// Make roles, which users take on for a while.
    Role {
        /// What.
        #[command(subcommand)]
        command: Role,
    },
    /// Look after identity providers, whose tokens roles may trust.
    Provider {
        /// What.
        #[command(subcommand)]
        command: Provider,
    },
    /// Make access keys for users, and take them back.
    Key {
        /// What.
        #[command(subcommand)]
        command: Key,
    },
    /// Tell who may do something to a secret, and through which statement.
    WhoCan(WhoCan),
    /// Tell who read a secret, or all of them: how often, when last, from where.
    WhoRead(WhoRead),
    /// Look at the audit log.
    Audit {
        /// What of it.
        #[command(subcommand)]
        command: Audit,
    },
    /// Write policies, which say who may do what; look them over, try them out, make them.
    Policy {
        /// What of them.
        #[command(subcommand)]
        command: Policy,
    },
    /// Tell the state of store, server and audit log.
    Status,
    /// Copy the whole store to a file, sealed as it is, while it is served or not.
    Backup(Backup),
    /// Make a store of a backup.
    RestoreBackup(RestoreBackup),
    /// Run a program with the secrets its coffer.toml names in its environment.
    Run(Run),
    /// Give programs of this machine secrets over HTTP, as the AWS Secrets Manager Agent does, until Ctrl-C.
    Agent(Agent),
    /// Tell which secrets that coffer.toml names are missing, empty or malformed, and what to do.
    Check(Check),
    /// Tell which layer has each secret that coffer.toml names, and which were asked.
    Explain(Explain),
    /// Make a file of a template and the secrets it names.
    Render(Render),
    /// Print the secrets that coffer.toml names, for other programs.
    Export(Export),
    /// Print what a shell evaluates to reach the server: eval "$(coffer env)".
    Env(Env),
    /// Print the completions of a shell: source <(coffer completions bash).
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page, or write one for each command.
    Man {
        /// Write a page for each command into this folder.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

impl Command {
    /// The region to work in, if one is named.
    pub(crate) fn region(&self) -> Option<&Region> {
        match self {
            // A new store's region is the one to work in, too.
            Self::Up(Up { founding, .. }) => founding.region.as_ref(),
            Self::List(List { scope, .. })
            | Self::Versions { scope, .. }
            | Self::Import(Import { scope, .. })
            | Self::Get(Get { scope, .. })
            | Self::Put(Put { scope, .. })
            | Self::Describe(Describe { scope, .. })
            | Self::Diff(Diff { scope, .. })
            | Self::Rollback(Rollback { scope, .. })
            | Self::Edit(Edit { scope, .. })
            | Self::Tag(Tag { scope, .. })
            | Self::WhoCan(WhoCan { scope, .. })
            | Self::WhoRead(WhoRead { scope, .. })
            | Self::Audit { command: Audit::Tail(AuditTail { scope, .. }) }
            | Self::Delete(Delete { scope, .. })
            | Self::Policy {
                command:
                    Policy::Generate(Generate { scope, .. }) | Policy::Explain(PolicyExplain { scope, .. }),
            }
            | Self::Restore(Restore { scope, .. }) => scope.region.as_ref(),
            Self::User { command: User::Add { permitted, .. } }
            | Self::Group { command: Group::Add { permitted, .. } } => permitted.scope.region.as_ref(),
            Self::Role { command: Role::Add(role) } => role.permitted.scope.region.as_ref(),
            Self::Key { command: Key::Create { scope, .. } } => scope.region.as_ref(),
            Self::Init(_)
            | Self::Serve(_)
            | Self::User { .. }
            | Self::Group { .. }
            | Self::Role { .. }
            | Self::Provider { .. }
            | Self::Key { .. }
            | Self::Audit { .. }
            | Self::Policy { command: Policy::Lint(_) | Policy::Simulate(_) | Policy::Documents(_) }
            | Self::Status
            | Self::Backup(_)
            | Self::RestoreBackup(_)
            | Self::Env(_)
            | Self::Random(_)
            | Self::Agent(_)
            | Self::Render(_)
            | Self::Run(_)
            | Self::Check(_)
            | Self::Explain(_)
            | Self::Export(_)
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        }
    }
}

/// Which of a store's secrets a command is about: names are told apart by region.
#[derive(Args)]
pub(crate) struct Scope {
    /// The region to work in; the store's unless given.
    #[arg(long)]
    pub(crate) region: Option<Region>,
}

/// What a new store is like.
#[derive(Args)]
pub(crate) struct Founding {
    /// What seals the root key.
    #[arg(long, value_enum, default_value = "key-file")]
    pub(crate) seal: SealKind,
    /// The store's account, 12 digits; random unless given.
    #[arg(long, value_name = "ID")]
    pub(crate) account_id: Option<AccountId>,
    /// A new store's region, us-east-1 unless given. Where there is a store, `up` works in this region of it.
    #[arg(long)]
    pub(crate) region: Option<Region>,
}

/// What seals the root key.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SealKind {
    /// A file in the user's data directory, readable by the user only.
    KeyFile,
    /// A passphrase, asked for without echo or read from the file COFFER_PASSPHRASE_FILE names.
    Passphrase,
}

#[derive(Args)]
pub(crate) struct Up {
    /// A .env file to import.
    pub(crate) file: Option<PathBuf>,
    /// The secret's name; that of the file's folder unless given.
    #[arg(long, requires = "file")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) founding: Founding,
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// Go on although the audit log has lost records. That is recorded.
    #[arg(long)]
    pub(crate) accept_audit_loss: bool,
}

/// How programs reach the server.
#[derive(Args, Clone)]
pub(crate) struct Transport {
    /// Where to listen.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8200", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// Speak TLS on this machine, too; beyond it coffer always does.
    #[arg(long)]
    pub(crate) tls: bool,
    /// A further name or address that clients call the server by; the store's own certificate is for it. Can be
    /// given more than once.
    #[arg(long, value_name = "NAME", conflicts_with = "tls_certificate")]
    pub(crate) tls_name: Vec<String>,
    /// Show this certificate (PEM, with those that vouch for it) rather than one of the store's own. Read again when
    /// it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// That certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Serve plain HTTP beyond this machine: everybody on the way can read every secret.
    #[arg(long, conflicts_with_all = ["tls", "tls_name", "tls_certificate"])]
    pub(crate) plain_http_beyond_loopback: bool,
    /// Where to serve /metrics and /health, in plain HTTP to whoever asks. Unless given, /metrics is beside the rest
    /// and for programs of this machine.
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen_address)]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// The keys of an identity provider, as a JWK set in a file, instead of asking it. Read anew when a token names another key.
    /// Can be given more than once.
    #[arg(long, value_name = "ISSUER=FILE", value_parser = oidc_keys)]
    pub(crate) oidc_keys: Vec<(IssuerUrl, PathBuf)>,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// What one caller, and all together, may use.
#[derive(Args, Clone)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArguments {
    /// Most requests a second of one user; no limit unless given.
    #[arg(long, value_name = "REQUESTS")]
    pub(crate) rate_limit: Option<NonZeroU32>,
    /// Most connections; 4096 unless given.
    #[arg(long, value_name = "COUNT")]
    pub(crate) connections: Option<NonZeroU32>,
    /// Most connections from one address; 1024 unless given.
    #[arg(long, value_name = "COUNT")]
    pub(crate) connections_per_source: Option<NonZeroU32>,
    /// Most bytes of a request's line and headers, 1024 to 65536; 8192 unless given.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1024..=65536))]
    pub(crate) header_bytes: Option<u32>,
    /// Most bytes of a request's body, 1024 to 524288; 524288 unless given.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1024..=524_288))]
    pub(crate) body_bytes: Option<u32>,
    /// Longest time a request may take to arrive; 10 unless given.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) request_time: Option<u32>,
    /// Longest time a TLS handshake may take; 10 unless given.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) handshake_time: Option<u32>,
    /// Longest time between two requests of a connection; 75 unless given.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) idle_time: Option<u32>,
    /// Longest time that requests under way have when the server stops; 10 unless given.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) drain_time: Option<u32>,
    /// Memory for what was read of the store, 1MiB to 1024GiB; 48MiB unless given.
    #[arg(long, value_name = "SIZE")]
    pub(crate) cache_size: Option<CacheSize>,
}

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// Go on although the audit log has lost records. That is recorded.
    #[arg(long, conflicts_with = "dev")]
    pub(crate) accept_audit_loss: bool,
    /// Serve a throw-away store in memory, for tests: account 123456789012, keys test/test.
    #[arg(long)]
    pub(crate) dev: bool,
    /// Let --dev listen beyond this machine.
    #[arg(long, requires = "dev")]
    pub(crate) dev_expose: bool,
    /// The account of --dev.
    #[arg(long, value_name = "ID", requires = "dev")]
    pub(crate) account_id: Option<AccountId>,
    /// The region of --dev.
    #[arg(long, requires = "dev")]
    pub(crate) region: Option<Region>,
}

#[derive(Args)]
pub(crate) struct Import {
    /// The .env file.
    pub(crate) file: PathBuf,
    /// The secret's name; that of the file's folder unless given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Make a secret of each key, NAME/KEY.
    #[arg(long)]
    pub(crate) split: bool,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct Get {
    /// The secret's name or ARN, and perhaps a field of its JSON object.
    #[arg(value_name = "NAME[#FIELD]")]
    pub(crate) name: String,
    /// Print the value to a terminal too.
    #[arg(long)]
    pub(crate) show: bool,
    /// The version, by its id.
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<VersionId>,
    /// The version, by its label; AWSCURRENT unless given.
    #[arg(long, value_name = "LABEL")]
    pub(crate) stage: Option<Stage>,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct Put {
    /// The secret's name; it is made if there is none.
    pub(crate) name: String,
    /// Take the value from this environment variable.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) from_env: Option<OsString>,
    /// Make up a password, which is shown nowhere; the options below say what it is like.
    #[arg(long, conflicts_with = "from_env")]
    pub(crate) random: bool,
    #[command(flatten)]
    pub(crate) password: PasswordOptions,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Caught here, so that a value given as an argument is refused without being repeated.
    #[arg(hide = true, allow_hyphen_values = true)]
    pub(crate) value: Vec<OsString>,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// Where to; - for standard output.
    #[arg(required = true)]
    pub(crate) file: Option<PathBuf>,
    /// Write over a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Or what to do with one.
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
}

#[derive(Subcommand)]
pub(crate) enum BackupCommand {
    /// Check a backup: with its root key at hand everything, else that it is whole.
    Verify {
        /// The backup; - for standard input.
        file: PathBuf,
        /// Check this audit log too, the folder `audit` of the store that was backed up: it has to contain the record
        /// that the backup ends with.
        #[arg(long, value_name = "DIR")]
        log: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct RestoreBackup {
    /// The backup; - for standard input.
    pub(crate) file: PathBuf,
    /// The folder of the same store as it was last, moved aside: tells what is undone by going back. It is only read.
    #[arg(long, value_name = "DIR")]
    pub(crate) replacing: Option<PathBuf>,
    /// Take users and access keys from there, so that what was revoked stays revoked.
    #[arg(long, requires = "replacing")]
    pub(crate) keep_access: bool,
}

#[derive(Args)]
pub(crate) struct Env {
    /// The region to export; the store's unless given.
    #[arg(long)]
    pub(crate) region: Option<Region>,
    /// Rather than the administrator's key, use this profile, as `key create --profile` writes one.
    #[arg(long, value_name = "NAME", conflicts_with = "region")]
    pub(crate) profile: Option<String>,
    /// Take back all that it sets.
    #[arg(long, conflicts_with_all = ["region", "profile"])]
    pub(crate) unset: bool,
}

/// An address and a port; a port alone is one of this machine's.
fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    match (text.parse(), port.parse()) {
        (Ok(address), _) => Ok(address),
        (Err(_), Ok(port)) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        _ => Err("say an address and a port, such as 127.0.0.1:8200, or a port of this machine alone"),
    }
}

/// `always`, `interval` or `interval=MILLIS`.
fn sync_mode(text: &str) -> Result<SyncMode, &'static str> {
    const SYNC_MILLIS_MAX: u64 = 60_000;
    match text.split_once('=') {
        None if text == "always" => Ok(SyncMode::Always),
        None if text == "interval" => Ok(SyncMode::default()),
        Some(("interval", millis)) => match millis.parse() {
            Ok(millis @ 1..=SYNC_MILLIS_MAX) => Ok(SyncMode::Interval(Duration::from_millis(millis))),
            _ => Err("an interval has 1 to 60000 milliseconds"),
        },
        _ => Err("say `always`, `interval` or `interval=MILLIS`"),
    }
}

/// `https://idp.example=keys.json`
fn oidc_keys(text: &str) -> Result<(IssuerUrl, PathBuf), String> {
    let (issuer, file) =
        text.split_once('=').ok_or("write ISSUER=FILE, such as https://idp.example=keys.json")?;
    let issuer = issuer.parse::<IssuerUrl>().map_err(|error| error.to_string())?;
    if file.is_empty() {
        Err("name the file after the equals sign".to_owned())
    } else {
        Ok((issuer, file.into()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn where_to_listen() {
        for (text, expected) in [
            ("127.0.0.1:8400", Some("127.0.0.1:8400")),
            ("[::1]:8400", Some("[::1]:8400")),
            ("0.0.0.0:0", Some("0.0.0.0:0")),
            ("8400", Some("127.0.0.1:8400")),
            (":8400", Some("127.0.0.1:8400")),
            ("localhost:8400", Some("127.0.0.1:8400")),
            ("127.0.0.1", None),
            ("65536", None),
            ("example.com:8400", None),
            ("", None),
        ] {
            let address = listen_address(text).ok().map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn when_records_are_safe() {
        let interval = |millis| Some(SyncMode::Interval(Duration::from_millis(millis)));
        for (text, expected) in [
            ("always", Some(SyncMode::Always)),
            ("interval", interval(100)),
            ("interval=1", interval(1)),
            ("interval=60000", interval(60_000)),
            ("interval=60001", None),
            ("interval=0", None),
            ("interval=", None),
            ("interval=1s", None),
            ("always=", None),
            ("never", None),
            ("", None),
        ] {
            assert_eq!(sync_mode(text).ok(), expected, "{text}");
        }
    }
}
