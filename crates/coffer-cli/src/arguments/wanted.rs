//! The words of the commands that get an application its secrets.
//!
//! Pure but for the environment variables clap reads.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
