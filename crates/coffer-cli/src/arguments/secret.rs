//! The words of the commands that are about secrets and their versions.
//!
//! Pure.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use coffer_types::FilterValue;

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

#[derive(Args)]
pub(crate) struct Tag {
    /// The secret's name or ARN.
    pub(crate) name: String,
    /// A tag to attach, in the place of one with the same key.
    #[arg(value_name = "KEY=VALUE", value_parser = tag, required_unless_present = "remove")]
    pub(crate) tags: Vec<coffer_types::Tag>,
    /// The key of a tag to remove; may be given more than once.
    #[arg(long, value_name = "KEY")]
    pub(crate) remove: Vec<String>,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Args)]
pub(crate) struct List {
    /// Which.
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// Where.
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Which secrets are listed: those that everything given fits.
#[derive(Args, Default)]
pub(crate) struct Wanted {
    /// Those with words that begin so in name, description or a tag; `!` before it for all others.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Vec<FilterValue>,
    /// Those with this tag, or with this key whatever its value.
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) tag: Vec<String>,
    /// Those whose names begin so.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
}

#[derive(Args)]
pub(crate) struct Random {
    /// What it is like.
    #[command(flatten)]
    pub(crate) password: PasswordOptions,
}

/// What a random password is like.
#[derive(Args, Default, PartialEq, Eq)]
pub(crate) struct PasswordOptions {
    /// How many characters, 1 to 4096; 32 unless given.
    #[arg(long, value_name = "N")]
    pub(crate) length: Option<usize>,
    /// Characters it must not have.
    #[arg(long, value_name = "CHARS", allow_hyphen_values = true)]
    pub(crate) exclude: Option<String>,
    /// No digits.
    #[arg(long)]
    pub(crate) no_numbers: bool,
    /// No punctuation.
    #[arg(long)]
    pub(crate) no_punctuation: bool,
    /// No capital letters.
    #[arg(long)]
    pub(crate) no_uppercase: bool,
    /// No small letters.
    #[arg(long)]
    pub(crate) no_lowercase: bool,
    /// Take the space as a character like others.
    #[arg(long)]
    pub(crate) include_space: bool,
    /// Need not have one character of each kind.
    #[arg(long)]
    pub(crate) any_types: bool,
}

/// `KEY=VALUE`; the value may be empty.
fn tag(text: &str) -> Result<coffer_types::Tag, String> {
    let (key, value) = text.split_once('=').ok_or("a tag is KEY=VALUE")?;
    coffer_types::Tag::new(key, value).map_err(|error| error.to_string())
}
