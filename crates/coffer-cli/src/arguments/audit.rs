//! The words of the commands about the audit log.
//!
//! Pure but for the clock, which `--since 2h` counts from.

use clap::{Args, Subcommand};
use coffer_types::Timestamp;

use super::Scope;
use crate::output::now;

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Print the newest records: all, or those that everything given fits.
    Tail(AuditTail),
    /// Tell everything of one request.
    Show {
        /// The request's id, as the client was told it, or the client's own correlation id.
        id: String,
    },
    /// Check the whole chain of records, its digests and its checkpoint.
    Verify,
}

#[derive(Args)]
pub(crate) struct AuditTail {
    /// How many.
    #[arg(short = 'n', long = "count", default_value_t = 20, value_name = "COUNT")]
    pub(crate) count: usize,
    /// Of this secret: its name or ARN.
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
    /// By this user, role, session (ROLE/SESSION), access key or ARN; `owner` for the owner of the store.
    #[arg(long, value_name = "WHO")]
    pub(crate) user: Option<String>,
    /// Of this operation, such as GetSecretValue.
    #[arg(long, value_name = "OPERATION")]
    pub(crate) operation: Option<String>,
    /// Only what was refused or failed.
    #[arg(long)]
    pub(crate) failed: bool,
    /// Not before this: 90s, 15m, 2h or 7d ago, a day such as 2026-11-22 or a time such as 2026-11-22T10:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(crate) since: Option<Timestamp>,
    /// Print the ids of requests, too.
    #[arg(long)]
    pub(crate) requests: bool,
    /// Where the secret is.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct WhoRead {
    /// The secret's name or ARN; every secret unless given.
    pub(crate) name: Option<String>,
    /// Only this user, role, session (ROLE/SESSION), access key or ARN; `owner` for the owner of the store.
    #[arg(long, value_name = "WHO")]
    pub(crate) user: Option<String>,
    /// Not before this: 90s, 15m, 2h or 7d ago, a day such as 2026-11-22 or a time such as 2026-11-22T10:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(crate) since: Option<Timestamp>,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// A time, or how long ago.
fn since(text: &str) -> Result<Timestamp, &'static str> {
    since_at(text, now()).ok_or("say how long ago, such as 15m, 2h or 7d, or when, such as 2026-11-22")
}

fn since_at(text: &str, now: Timestamp) -> Option<Timestamp> {
    for (unit, millis) in [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)] {
        if let Some(count) = text.strip_suffix(unit).and_then(|count| count.parse::<u32>().ok()) {
            return Some(now.plus_millis(-i64::from(count).saturating_mul(millis)));
        }
    }
    text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("90s", Some("2026-11-22T09:58:30.000Z")),
            ("15m", Some("2026-11-22T09:45:00.000Z")),
            ("2h", Some("2026-11-22T08:00:00.000Z")),
            ("7d", Some("2026-11-15T10:00:00.000Z")),
            ("2026-11-22", Some("2026-11-22T00:00:00.000Z")),
            ("2026-11-22T09:00:00+01:00", Some("2026-11-22T08:00:00.000Z")),
            ("yesterday", None),
            ("-2h", None),
            ("2", None),
            ("", None),
        ] {
            let time = since_at(text, now).map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{text}");
        }
    }
}
