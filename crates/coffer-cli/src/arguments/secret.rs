//! The words of the commands that are about one secret and its versions.
//!
//! Pure.

use clap::Args;

use super::Scope;
use crate::version::VersionSelector;

#[derive(Args)]
pub(crate) struct Describe {
    /// The secret's name or ARN.
    pub(crate) name: String,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The secret's name or ARN.
    pub(crate) name: String,
    /// Delete it after so many days, 7 to 30, in which it can be restored.
    #[arg(long, value_name = "N", default_value_t = coffer_types::limits::RECOVERY_WINDOW_DAYS_MAX)]
    pub(crate) days: u32,
    /// Delete it at once and for good, with all its versions.
    #[arg(long, conflicts_with = "days")]
    pub(crate) now: bool,
    /// Do not ask.
    #[arg(long, requires = "now")]
    pub(crate) yes: bool,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct Restore {
    /// The secret's name or ARN.
    pub(crate) name: String,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct Diff {
    /// The secret's name or ARN.
    pub(crate) name: String,
    /// The older version: its number, `current`, `previous`, a label, or its id.
    #[arg(value_name = "V1", default_value = "previous")]
    pub(crate) from: VersionSelector,
    /// The newer version.
    #[arg(value_name = "V2", default_value = "current")]
    pub(crate) to: VersionSelector,
    /// Show what tells values apart: a hash under a key made for this run, which tells nothing outside its output.
    #[arg(long)]
    pub(crate) hash: bool,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct Rollback {
    /// The secret's name or ARN.
    pub(crate) name: String,
    /// The version to make current: its number, `previous`, a label, or its id.
    #[arg(long, value_name = "VERSION", default_value = "previous")]
    pub(crate) to: VersionSelector,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct Edit {
    /// The secret's name or ARN.
    pub(crate) name: String,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}
