//! The words of the agent.
//!
//! Pure but for the environment variables clap reads.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use coffer_resolver::Reference;

use super::Wanting;

#[derive(Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    pub(crate) wanting: Wanting,
    /// The address to listen on, which only programs of this machine can reach.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2773")]
    pub(crate) listen: SocketAddr,
    /// Listen on an address that others can reach too, such as a container's: HTTP without TLS, the token in clear.
    #[arg(long)]
    pub(crate) beyond_loopback: bool,
    /// Listen on this Unix socket too, where no token is asked for: the kernel says who is calling.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// A user besides this one who may use the socket, by number.
    #[arg(long, value_name = "UID", requires = "socket")]
    pub(crate) allow_user: Vec<u32>,
    /// The file of the token that requests over TCP must show; made if it is not there. Unless given, the value of
    /// AWS_TOKEN, AWS_SESSION_TOKEN or AWS_CONTAINER_AUTHORIZATION_TOKEN, or the file it names by file://, or a file in
    /// XDG_RUNTIME_DIR.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where a secret is looked for that coffer.toml does not name: coffer, aws, gcp:PROJECT/{name}, vault:MOUNT/{name} …
    #[arg(long, value_name = "REFERENCE", default_value = "coffer", value_parser = store)]
    pub(crate) store: Reference,
    /// Give nothing but what coffer.toml names.
    #[arg(long)]
    pub(crate) manifest_only: bool,
    /// Let clients name documents of other stores themselves, such as vault://secret/bot#KEY; of parameters only version and
    /// stage, and nothing of Vault's own.
    #[arg(long, conflicts_with = "manifest_only")]
    pub(crate) allow_references: bool,
    /// What comes before the name in paths.
    #[arg(long, value_name = "PATH", default_value = "/v1/", value_parser = path_prefix)]
    pub(crate) path_prefix: String,
    /// How long a value counts as fresh; 0 to ask each time.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = coffer_resolver::span)]
    pub(crate) ttl: Duration,
    /// How long after that it may be given while its store can't be asked; 0 for never.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = coffer_resolver::span)]
    pub(crate) stale: Duration,
    /// Most documents that are kept.
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) cache_size: u32,
    /// Most connections at once.
    #[arg(long, value_name = "COUNT", default_value = "800", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max_connections: u32,
    /// Ask for this secret at the start, besides those of coffer.toml.
    #[arg(long, value_name = "NAME")]
    pub(crate) prefetch: Vec<String>,
    /// Wait before that for a time drawn from 0 up to this, so that agents that start together don't ask together.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = coffer_resolver::span)]
    pub(crate) prefetch_jitter: Duration,
    /// Ask for nothing at the start.
    #[arg(long)]
    pub(crate) no_prefetch: bool,
    /// Keep the last values in this file, sealed, for a start while their store is away.
    #[arg(long, value_name = "FILE")]
    pub(crate) fallback: Option<PathBuf>,
    /// The file of the key that seals it, made if it is not there; in coffer's data directory unless given.
    #[arg(long, value_name = "FILE", requires = "fallback")]
    pub(crate) fallback_key: Option<PathBuf>,
    /// How old a value of that file may be.
    #[arg(long, value_name = "TIME", default_value = "24h", requires = "fallback", value_parser = super::wanted::pause)]
    pub(crate) fallback_max_age: Duration,
    /// Write a line of JSON to standard error for each request and each fetch.
    #[arg(long)]
    pub(crate) log: bool,
}

/// Where names are looked for: a reference to a store that takes a name.
fn store(text: &str) -> Result<Reference, String> {
    let text = match text {
        "coffer" | "aws" => format!("{text}:{{name}}"),
        text => text.to_owned(),
    };
    let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
    if reference.is_of_store() && reference.path().contains("{name}") {
        Ok(reference)
    } else {
        Err("write a store and where the name stands, such as vault:secret/{name}".to_owned())
    }
}

fn path_prefix(text: &str) -> Result<String, &'static str> {
    let is_one = text.starts_with('/')
        && text.ends_with('/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    if is_one { Ok(text.to_owned()) } else { Err("write a path such as /v1/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_store_and_what_a_prefix() {
        for (text, expected) in [
            ("coffer", Some("coffer://{name}")),
            ("aws", Some("aws://{name}")),
            ("aws:{name}?region=eu-west-1", Some("aws://{name}?region=eu-west-1")),
            ("vault:secret/{name}", Some("vault://secret/{name}")),
            ("aws:fixed", None),
            ("exec:show {name}", None),
            ("file:/etc/{name}", None),
        ] {
            assert_eq!(store(text).ok().map(|r| r.to_string()).as_deref(), expected, "{text}");
        }
        assert!(path_prefix("/v1/").is_ok() && path_prefix("v1").is_err() && path_prefix("/a b/").is_err());
    }
}
