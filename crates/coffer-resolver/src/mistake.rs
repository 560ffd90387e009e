//! What is wrong with a manifest, and on which line of which file.
//!
//! Pure. Invariant: names of sections, keys and known words are told, never what stands behind a key, where someone may have put
//! a value.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::chain::LayerError;
use crate::manifest::{FILE_BYTES_MAX, NAME_BYTES_MAX};
use crate::near::did_you_mean;
use crate::overlay::Document;
use crate::reference::{ReferenceError, Scheme};
use crate::span::SpanError;
use crate::value_type::{ValueType, ValueTypeError};

/// The table of what is needed.
pub(crate) const SECRETS: &str = "secrets";
/// The table of where that is looked for.
pub(crate) const PROFILES: &str = "profiles";
/// How layers are written, for whoever misspelt one.
const LAYERS: [&str; 12] = [
    "env",
    "dotenv",
    "dotenv:.env",
    "files:",
    "default",
    "coffer:",
    "aws:",
    "gcp:",
    "vault:",
    "file:",
    "exec:",
    "env:",
];

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It is larger than any manifest.
    #[error("`{}` has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not the TOML that a manifest is.
    #[error("{}:{line}: {section}{message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Which entry, as in the file, and a space behind it; nothing where it is in none.
        section: String,
        /// What is wrong, without the text.
        message: String,
        /// What may have been meant, as a question.
        meant: Option<String>,
    },
    /// An entry says something impossible.
    #[error("{}:{line}: [{section}] {fault}", path.display())]
    Entry {
        /// The file that says so last.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Which entry, as in the file.
        section: String,
        /// What is wrong with it.
        fault: EntryFault,
        /// What may have been meant, as a question.
        meant: Option<String>,
    },
}

/// What is wrong with an entry.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EntryFault {
    /// A name that no environment could hold.
    #[error("is no name: letters, digits and _, not beginning with a digit, at most {NAME_BYTES_MAX}")]
    Name,
    /// The type.
    #[error("type: {0}")]
    Type(ValueTypeError),
    /// The default is not of the type.
    #[error("default: is not {0}")]
    Default(String),
    /// A reference.
    #[error("{key}: {error}")]
    Reference {
        /// Which key.
        key: &'static str,
        /// Why it is none.
        error: ReferenceError,
    },
    /// A span of time.
    #[error("{key}: {error}")]
    Span {
        /// Which key.
        key: &'static str,
        /// Why it is none.
        error: SpanError,
    },
    /// A date.
    #[error("renew_at: write a date, such as 2027-01-31")]
    Date,
    /// A layer of a chain.
    #[error("chain: layer {position}: {error}")]
    Layer {
        /// Counted from 1.
        position: usize,
        /// Why it is none.
        error: LayerError,
    },
    /// A chain without layers.
    #[error("chain: names no layer")]
    NoLayer,
}

impl ManifestError {
    /// What may have been meant, as a question.
    pub fn meant(&self) -> Option<&str> {
        match self {
            Self::Syntax { meant, .. } | Self::Entry { meant, .. } => meant.as_deref(),
            Self::Read { .. } | Self::TooLarge { .. } => None,
        }
    }
}

impl EntryFault {
    /// The key that is wrong, and which of a list; none where it is the entry's name.
    fn key(&self) -> (Option<&'static str>, Option<usize>) {
        match self {
            Self::Name => (None, None),
            Self::Type(error) => match error {
                ValueTypeError::BadPattern(_) | ValueTypeError::StrayPattern => (Some("pattern"), None),
                ValueTypeError::StrayValues => (Some("values"), None),
                ValueTypeError::Unknown | ValueTypeError::Values | ValueTypeError::Pattern => {
                    (Some("type"), None)
                }
            },
            Self::Default(_) => (Some("default"), None),
            Self::Reference { key, .. } | Self::Span { key, .. } => (Some(key), None),
            Self::Date => (Some("renew_at"), None),
            Self::Layer { position, .. } => (Some("chain"), Some(position - 1)),
            Self::NoLayer => (Some("chain"), None),
        }
    }

    /// What may have been meant by `text`. Only known words are told.
    fn meant(&self, text: &str) -> Option<String> {
        let schemes = || Scheme::ALL.map(Scheme::as_str);
        let before_colon = text.split(':').next().unwrap_or(text);
        match self {
            Self::Type(ValueTypeError::Unknown) => did_you_mean(text, ValueType::NAMES),
            Self::Layer { error: LayerError::Unknown, .. } => {
                did_you_mean(before_colon, LAYERS.map(|layer| layer.trim_end_matches(':')))
                    .or_else(|| did_you_mean(text, LAYERS))
            }
            Self::Reference { error: ReferenceError::Scheme, .. } => did_you_mean(before_colon, schemes()),
            Self::Name
            | Self::Type(_)
            | Self::Default(_)
            | Self::Reference { .. }
            | Self::Span { .. }
            | Self::Date
            | Self::Layer { .. }
            | Self::NoLayer => None,
        }
    }
}

/// An entry that says something impossible, before it is known where.
pub(crate) struct Refused {
    table: &'static str,
    name: String,
    fault: EntryFault,
}

impl Refused {
    pub(crate) fn new(table: &'static str, name: &str, fault: EntryFault) -> Self {
        Self { table, name: name.to_owned(), fault }
    }

    /// The same with its place: the last of the files that says it.
    pub(crate) fn found_in(self, sources: &[Source]) -> ManifestError {
        let (key, position) = self.fault.key();
        let of_key =
            || sources.iter().rev().find_map(|source| source.place(self.table, &self.name, key, position));
        let of_name =
            || sources.iter().rev().find_map(|source| source.place(self.table, &self.name, None, None));
        let place = of_key().or_else(of_name);
        let (path, line, text) = place.unwrap_or_else(|| {
            (sources.first().map(|source| source.path.clone()).unwrap_or_default(), 1, String::new())
        });
        ManifestError::Entry {
            path,
            line,
            section: format!("{}.{}", self.table, shown(&self.name)),
            meant: self.fault.meant(&text),
            fault: self.fault,
        }
    }
}

/// A file's text.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// What it says.
    pub(crate) fn document(&self) -> Result<Document, ManifestError> {
        toml::from_str(&self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let text = self.text.get(span.clone()).unwrap_or_default();
            let wrong = unknown_key(error.message()).or(is_twice(error.message()).then_some(text));
            let section = self.section_at(span.start, wrong);
            let (message, meant) = said(error.message(), text);
            let (path, line) = (self.path.clone(), self.line_of(span.start));
            ManifestError::Syntax { path, line, section, message, meant }
        })
    }

    fn line_of(&self, start: usize) -> usize {
        self.text.get(..start).unwrap_or_default().matches('\n').count() + 1
    }

    /// Where an entry, one of its keys, or one of that key's list stands, and what stands there.
    fn place(
        &self,
        table: &str,
        name: &str,
        key: Option<&str>,
        position: Option<usize>,
    ) -> Option<(PathBuf, usize, String)> {
        let document = DeTable::parse(&self.text).ok()?;
        let entries = table_of(entry_of(document.get_ref(), table)?.1)?;
        let (entry, value) = entry_of(entries, name)?;
        let (span, text) = match key {
            None => (entry.span(), String::new()),
            Some(key) => {
                let (key, value) = entry_of(table_of(value)?, key)?;
                let item = position.and_then(|at| value.get_ref().as_array()?.get(at));
                // A list has its own line, each of its items may have another.
                (item.map_or(key.span(), Spanned::span), text_of(item.unwrap_or(value)))
            }
        };
        Some((self.path.clone(), self.line_of(span.start), text))
    }

    /// Which entry and which key of it a place is in, as far as the file can be read: `[secrets.A] required: `.
    /// Without `wrong`, the key itself that should not be there.
    fn section_at(&self, start: usize, wrong: Option<&str>) -> String {
        let (document, _) = DeTable::parse_recoverable(&self.text);
        let mut keys = Vec::new();
        deepest(document.get_ref(), start, &mut keys);
        if let Some(at) = keys.iter().position(|key| Some(key.as_str()) == wrong) {
            keys.truncate(at);
        }
        match keys.as_slice() {
            [table, name, key, ..] => format!("[{}.{}] {}: ", shown(table), shown(name), shown(key)),
            [table, name] => format!("[{}.{}] ", shown(table), shown(name)),
            [table] if wrong.is_some() => format!("[{}] ", shown(table)),
            [key] => format!("{}: ", shown(key)),
            [] => String::new(),
        }
    }
}

type Entry<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

fn entry_of<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<Entry<'a, 'i>> {
    table.iter().find(|(key, _)| key.get_ref() == name)
}

fn table_of<'a, 'i>(value: &'a Spanned<DeValue<'i>>) -> Option<&'a DeTable<'i>> {
    value.get_ref().as_table()
}

fn text_of(value: &Spanned<DeValue<'_>>) -> String {
    value.get_ref().as_str().unwrap_or_default().to_owned()
}

/// The keys that lead to what stands at `start`.
fn deepest(table: &DeTable<'_>, start: usize, keys: &mut Vec<String>) -> bool {
    let is_in = |span: Range<usize>| span.contains(&start);
    for (key, value) in table {
        keys.push(key.get_ref().to_string());
        let is_below = table_of(value).is_some_and(|table| deepest(table, start, keys));
        if is_below || is_in(value.span()) {
            return true;
        }
        keys.pop();
        // A key that is wrong is named with what is wrong.
        if is_in(key.span()) {
            return true;
        }
    }
    false
}

/// A name, as far as a message may show it.
fn shown(name: &str) -> &str {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    if name.len() <= 64 && name.chars().all(plain) { name } else { "…" }
}

/// The key that there is none of, if that is what the parser says.
fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// Whether it says that a key or a table is there already.
fn is_twice(message: &str) -> bool {
    message.starts_with("duplicate key")
}

/// What the parser says of `text`, and what may have been meant; nothing that repeats a value: `invalid type: string "…",
/// expected a boolean`.
fn said(message: &str, text: &str) -> (String, Option<String>) {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let mut words = rest.split('`');
        let name = words.next().unwrap_or_default();
        let known: Vec<&str> = words.skip(1).step_by(2).collect();
        let message = format!("no key is called `{}`; there are {}", shown(name), known.join(", "));
        return (message, did_you_mean(name, known));
    }
    // The last: a value before it may hold the same.
    let message = match message.rsplit_once(", expected ") {
        _ if is_twice(message) => format!("`{}` stands there twice", shown(text)),
        Some((_, expected)) => match expected {
            "a sequence" => "write a list, such as [\"env\", \"default\"]".to_owned(),
            expected => format!("expected {expected}"),
        },
        None if message.contains(['"', '`']) => "not what a manifest says here".to_owned(),
        None => message.to_owned(),
    };
    (message, None)
}
