//! The words of the commands that get an application its secrets.
//!
//! Pure but for the environment variables clap reads.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::process::Signal;

/// What an application needs, and where that is looked for.
#[derive(Args)]
pub(crate) struct Wanting {
    /// The profile whose chain says where to look; the manifest's own, or `development`, unless given.
    #[arg(long, env = "COFFER_PROFILE")]
    pub(crate) profile: Option<String>,
    /// The manifest; coffer.toml here or in the nearest folder above unless given.
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) wanting: Wanting,
    /// Hand on nothing of this environment but the secrets, PATH, HOME, USER, LOGNAME, SHELL, TERM, LANG, LC_*, TZ and
    /// TMPDIR.
    #[arg(long)]
    pub(crate) pristine: bool,
    /// Give the values as files in memory: for each secret the variable NAME_FILE names one, and NAME is not set.
    #[arg(long)]
    pub(crate) files: bool,
    /// Keep looking, and when a secret changes, end the program and start it anew with the new values.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Send this signal when a secret changes, such as HUP, rather than start the program anew. With --files the files
    /// hold the new values before.
    #[arg(long, value_name = "SIGNAL", requires = "watch", value_parser = signal)]
    pub(crate) on_change: Option<Signal>,
    /// How often stores are asked whether something changed; files are looked at all the time.
    #[arg(long, value_name = "TIME", default_value = "1m", requires = "watch", value_parser = pause)]
    pub(crate) poll: Duration,
    /// How long the program may take to end before it is killed, where it is started anew.
    #[arg(long, value_name = "TIME", default_value = "10s", requires = "watch", value_parser = coffer_resolver::span)]
    pub(crate) grace: Duration,
    /// The program and its arguments.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) wanting: Wanting,
}

#[derive(Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) wanting: Wanting,
    /// Only these; all of the manifest unless given.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) wanting: Wanting,
    /// As what.
    #[arg(long, value_enum, default_value = "dotenv")]
    pub(crate) format: ExportFormat,
    /// Of k8s: the Secret's name; that of the manifest's folder unless given.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print the values to a terminal too.
    #[arg(long)]
    pub(crate) show: bool,
}

#[derive(Args)]
pub(crate) struct Render {
    #[command(flatten)]
    pub(crate) wanting: Wanting,
    /// The template, in Jinja's language; - for standard input. {{ X_API_KEY }} is a secret's value.
    #[arg(value_name = "TEMPLATE")]
    pub(crate) template: PathBuf,
    /// Write it to this file, which only this user can read, all at once; to standard output unless given.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print it to a terminal too.
    #[arg(long)]
    pub(crate) show: bool,
}

/// What values are written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A .env file.
    Dotenv,
    /// An object.
    Json,
    /// Lines for a POSIX shell to evaluate.
    Shell,
    /// A file for docker run --env-file, which knows no quotes and no line breaks.
    Docker,
    /// A manifest of a Kubernetes Secret.
    K8s,
}

/// The signals that programs take for "look again".
fn signal(text: &str) -> Result<Signal, &'static str> {
    match text.strip_prefix("SIG").unwrap_or(text) {
        "HUP" => Ok(Signal::HUP),
        "INT" => Ok(Signal::INT),
        "QUIT" => Ok(Signal::QUIT),
        "TERM" => Ok(Signal::TERM),
        "USR1" => Ok(Signal::USR1),
        "USR2" => Ok(Signal::USR2),
        "WINCH" => Ok(Signal::WINCH),
        _ => Err("write HUP, INT, QUIT, TERM, USR1, USR2 or WINCH"),
    }
}

/// A span of time that is none too short.
pub(super) fn pause(text: &str) -> Result<Duration, String> {
    let pause = coffer_resolver::span(text).map_err(|error| error.to_string())?;
    if pause < Duration::from_secs(1) { Err("write 1s or more".to_owned()) } else { Ok(pause) }
}
