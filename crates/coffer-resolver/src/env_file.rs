//! Reads a `.env` file: what it says, and which of its lines other programs would read differently.
//!
//! Reads one file; otherwise pure. The values are what `dotenv-ng` makes of the file without substitution;
//! `dialect` only finds the lines to warn of or to refuse. Invariant: no text of the file but its keys leaves this
//! module in a message, and a key only if it looks like one ([`shown_key`]).

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use dotenv::{EnvLoader, EnvSequence, ParseErrorKind};
use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

mod dialect;
mod object;

pub use object::object_of;

/// Largest file that is read. A secret holds 64 KiB; with `--split` a file may hold several.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file that could be read.
pub struct EnvFile {
    /// Each key once, in the order of their first lines, with the value of its last.
    pub entries: Vec<Entry>,
    /// In the order of their lines.
    pub warnings: Vec<Warning>,
}

/// A key and its value.
pub struct Entry {
    /// The key, as written.
    pub key: String,
    /// The value; wiped when dropped.
    pub value: Zeroizing<String>,
}

/// A line worth a look. Never holds a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Warning {
    /// Counted from 1; the line the key stands on.
    pub line: usize,
    /// The key, if the warning is of one and it can be shown.
    pub key: Option<String>,
    /// What is the matter.
    pub kind: WarningKind,
}

/// What is the matter with a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// The key has another line further down, which counts.
    Duplicate,
    /// The value is empty.
    EmptyValue,
    /// The file begins with a byte order mark.
    ByteOrderMark,
    /// Lines end in CR LF, or in CR.
    CarriageReturn,
    /// The key is no name of a shell's variable.
    UnusualKey,
    /// White space before `=`, or between `=` and the value.
    SpaceAroundEquals,
    /// An unquoted value holds white space.
    UnquotedSpace,
    /// `#` without white space before it, in or right after a value.
    HashWithoutSpace,
    /// `$` outside single quotes.
    Dollar,
    /// `$(` outside single quotes.
    CommandSubstitution,
    /// A backtick outside single quotes.
    Backtick,
    /// A backslash in an unquoted value.
    UnquotedBackslash,
    /// A backslash in double quotes.
    EscapeInDoubleQuotes,
    /// `\'` or `\\` in single quotes.
    EscapeInSingleQuotes,
    /// A quote inside an unquoted value.
    QuoteInsideUnquoted,
    /// A character in an unquoted value that means something to a shell.
    ShellCharacter,
}

impl WarningKind {
    /// Whether dialects disagree, rather than all of them reading the same questionable thing.
    pub fn is_of_dialect(self) -> bool {
        !matches!(self, Self::Duplicate | Self::EmptyValue)
    }
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "set again further down, and the last line counts",
            Self::EmptyValue => "the value is empty",
            Self::ByteOrderMark => {
                "the file begins with a byte order mark, which some programs take as part of the key"
            }
            Self::CarriageReturn => {
                "the line ends in a carriage return, which a shell takes as part of the value"
            }
            Self::UnusualKey => "a shell takes no such name for a variable",
            Self::SpaceAroundEquals => "white space around `=`, which a shell refuses and some programs keep",
            Self::UnquotedSpace => "white space in an unquoted value, where a shell ends it",
            Self::HashWithoutSpace => {
                "`#` without white space before it: some programs begin a comment there"
            }
            Self::Dollar => "`$` outside single quotes: kept as it is here, replaced by a variable elsewhere",
            Self::CommandSubstitution => {
                "`$(` outside single quotes: kept as it is here, run as a command elsewhere"
            }
            Self::Backtick => {
                "a backtick outside single quotes: kept as it is here, a quote or a command elsewhere"
            }
            Self::UnquotedBackslash => "a backslash in an unquoted value: programs differ on what it escapes",
            Self::EscapeInDoubleQuotes => "a backslash in double quotes: programs differ on what it escapes",
            Self::EscapeInSingleQuotes => "an escape in single quotes, which some programs keep as it is",
            Self::QuoteInsideUnquoted => "a quote inside an unquoted value: kept here, removed by a shell",
            Self::ShellCharacter => "an unquoted character that means something to a shell",
        })
    }
}

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// It could not be opened or read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than any `.env` file.
    #[error("`{}` has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line can't be read. Its text is not told.
    #[error("{}:{line}:{column}: {kind}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What is the matter.
        kind: LineErrorKind,
    },
}

/// Why a line can't be read. Says nothing of the line's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineErrorKind {
    /// Bytes that are no UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// No key before `=`.
    #[error("no key before `=`")]
    MissingKey,
    /// No `=` after the key.
    #[error("no `=` after the key")]
    MissingEquals,
    /// A control character in a key.
    #[error("a control character in the key")]
    KeyCharacter,
    /// A null byte in a value.
    #[error("a null byte in the value")]
    ValueCharacter,
    /// Something other than a comment behind the closing quote.
    #[error("text after the closing quote")]
    TextAfterQuote,
    /// No closing quote.
    #[error("the quote that opens here is never closed")]
    UnterminatedQuote,
    /// A key that no program would name a variable by.
    #[error(
        "the key is no name of a variable; if the line is part of a value of several lines, quote the value"
    )]
    KeyName,
    /// A line of base64 whose padding passes for `=`.
    #[error("looks like part of a value of several lines; quote the value")]
    PartOfValue,
    /// Anything else the parser may come to refuse.
    #[error("not in the form KEY=VALUE")]
    Other,
}

/// Reads the file at `path`; all of it, or nothing.
pub fn read(path: &Path) -> Result<EnvFile, EnvFileError> {
    let failed = |source| EnvFileError::Read { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let capacity = usize::try_from(length.min(FILE_BYTES_MAX)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    std::io::Read::read_to_end(&mut std::io::Read::take(file, FILE_BYTES_MAX + 1), &mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(EnvFileError::TooLarge { path: path.into() });
    }
    parse(path, &bytes)
}

/// Reads `bytes`, the content of the file at `path`.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<EnvFile, EnvFileError> {
    let unreadable = |(line, column), kind| EnvFileError::Line { path: path.into(), line, column, kind };
    let source = std::str::from_utf8(bytes).map_err(|error| {
        let readable = bytes.get(..error.valid_up_to()).unwrap_or_default();
        unreadable(position_after(readable), LineErrorKind::Encoding)
    })?;
    let mut values =
        EnvLoader::with_reader(bytes).sequence(EnvSequence::InputOnly).substitution(false).load().map_err(
            |error| match error {
                // The parser's own text shows the line, so only position and kind are taken.
                dotenv::Error::Parse(error, _) => {
                    unreadable((error.line(), error.column()), LineErrorKind::from(error.kind()))
                }
                _ => unreadable((1, 1), LineErrorKind::Other),
            },
        )?;

    let assignments = dialect::assignments(source);
    let mut warnings = dialect::file_warnings(source);
    let mut last_lines = HashMap::new();
    for assignment in &assignments {
        let unlikely = (!looks_like_key(assignment.key)).then_some(LineErrorKind::KeyName);
        let stray = assignment.looks_like_padded_base64().then_some(LineErrorKind::PartOfValue);
        if let Some(kind) = unlikely.or(stray) {
            values.values_mut().for_each(Zeroize::zeroize);
            return Err(unreadable((assignment.line, assignment.column), kind));
        }
        last_lines.insert(assignment.key, assignment.line);
    }
    let mut entries = Vec::with_capacity(values.len());
    for assignment in &assignments {
        let mut kinds = assignment.warnings();
        if last_lines.get(assignment.key) != Some(&assignment.line) {
            kinds.push(WarningKind::Duplicate);
        } else if values.get(assignment.key).is_some_and(String::is_empty) {
            kinds.push(WarningKind::EmptyValue);
        }
        let key = || Some(shown_key(assignment.key));
        warnings.extend(kinds.into_iter().map(|kind| Warning { line: assignment.line, key: key(), kind }));
    }
    for assignment in &assignments {
        if let Some(value) = values.remove(assignment.key) {
            entries.push(Entry { key: assignment.key.to_owned(), value: Zeroizing::new(value) });
        }
    }
    // Every key has been taken, or the two readings of the file differ and it is not to be trusted.
    if !values.is_empty() {
        values.values_mut().for_each(Zeroize::zeroize);
        return Err(unreadable((1, 1), LineErrorKind::Other));
    }
    warnings.sort_by_key(|warning| (warning.line, warning.kind));
    Ok(EnvFile { entries, warnings })
}

/// The key as a message may show it. A secret's field may be called anything, so what doesn't look like a key is
/// told by its length only.
pub fn shown_key(key: &str) -> String {
    if looks_like_key(key) {
        key.to_owned()
    } else {
        format!("(a key of {} characters)", key.chars().count())
    }
}

/// Whether a program might name a variable like that. A line of a value that slipped out of its quotes can pass for
/// a key, as the last line of a PEM file does.
fn looks_like_key(key: &str) -> bool {
    key.len() <= 128
        && key.starts_with(|first: char| first.is_alphanumeric() || first == '_')
        && key.chars().all(|character| character.is_alphanumeric() || "_.-".contains(character))
}

impl From<&ParseErrorKind> for LineErrorKind {
    fn from(kind: &ParseErrorKind) -> Self {
        match kind {
            ParseErrorKind::MissingKey => Self::MissingKey,
            ParseErrorKind::MissingEquals => Self::MissingEquals,
            ParseErrorKind::InvalidKeyCharacter(_) => Self::KeyCharacter,
            ParseErrorKind::InvalidValueCharacter(_) => Self::ValueCharacter,
            ParseErrorKind::TrailingCharacters => Self::TextAfterQuote,
            ParseErrorKind::UnterminatedQuote(_) => Self::UnterminatedQuote,
            _ => Self::Other,
        }
    }
}

/// Line and column right after `readable`.
fn position_after(readable: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(readable);
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn parse_text(text: &str) -> Result<EnvFile, EnvFileError> {
        parse(Path::new("x/.env"), text.as_bytes())
    }

    fn warnings(text: &str) -> Vec<String> {
        let file = parse_text(text).unwrap_or_else(|error| panic!("{error}"));
        file.warnings
            .iter()
            .map(|warning| {
                let kind = serde_json::to_value(warning.kind).unwrap();
                format!(
                    "{} {} {}",
                    warning.line,
                    warning.key.as_deref().unwrap_or("-"),
                    kind.as_str().unwrap()
                )
            })
            .collect()
    }

    #[test]
    fn forty_inputs_read_as_recorded_and_those_the_dialects_disagree_on_are_warned_of() {
        let recorded: Value =
            serde_json::from_str(include_str!("../../../vectors/dotenv/dialects.json")).unwrap();
        let cases = recorded["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 40);
        let mut disagreements = 0;
        for case in cases {
            let name = case["case"].as_str().unwrap();
            let dialects: Vec<&Value> = case["dialects"].as_object().unwrap().values().collect();
            let agree = dialects.windows(2).all(|pair| pair[0] == pair[1]);
            disagreements += usize::from(!agree);
            match parse_text(case["input"].as_str().unwrap()) {
                Err(_) => assert_eq!(case["dotenv-ng"]["error"], true, "{name}"),
                Ok(file) => {
                    let read: BTreeMap<_, _> =
                        file.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
                    assert_eq!(serde_json::to_value(read).unwrap(), case["dotenv-ng"], "{name}");
                    let warned = file.warnings.iter().any(|warning| warning.kind.is_of_dialect());
                    assert_eq!(warned, !agree, "{name}: {:?}", file.warnings);
                }
            }
        }
        assert_eq!(disagreements, 28);
    }

    #[test]
    fn each_kind_of_warning_names_line_and_key() {
        for (text, expected) in [
            ("A=1\nA=2\n", &["1 A duplicate"][..]),
            ("A=\n", &["1 A empty-value"]),
            ("\u{feff}A=1\n", &["1 - byte-order-mark"]),
            ("A=1\r\nB=2\r\n", &["1 A carriage-return", "2 B carriage-return"]),
            ("\n# c\nA-B=1\n", &["3 A-B unusual-key"]),
            ("A =1\n", &["1 A space-around-equals"]),
            ("A= 1\n", &["1 A space-around-equals"]),
            ("A=x y\n", &["1 A unquoted-space"]),
            ("A=x#y\n", &["1 A hash-without-space"]),
            ("A=#y\n", &["1 A empty-value", "1 A hash-without-space"]),
            ("A=\"x\"#y\n", &["1 A hash-without-space"]),
            ("A=x$y\n", &["1 A dollar"]),
            ("A=\"x$y\"\n", &["1 A dollar"]),
            ("A=\"$(x)\"\n", &["1 A command-substitution"]),
            ("A=x`y\n", &["1 A backtick"]),
            ("A=\"x`y\"\n", &["1 A backtick"]),
            ("A=x\\y\n", &["1 A unquoted-backslash"]),
            ("A=\"x\\ty\"\n", &["1 A escape-in-double-quotes"]),
            ("A='x\\\\y'\n", &["1 A escape-in-single-quotes"]),
            ("A=x'y'\n", &["1 A quote-inside-unquoted"]),
            ("A=x&y\n", &["1 A shell-character"]),
            ("A=~/x\n", &["1 A shell-character"]),
            ("A=\"1\n2\n3\"\nB=x#y\n", &["4 B hash-without-space"]),
            ("A='1\n#2=3\n'\nB=x y\n", &["4 B unquoted-space"]),
        ] {
            assert_eq!(warnings(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_every_dialect_reads_alike_is_not_warned_of() {
        for text in [
            "A=1\n",
            "export A=1\n",
            "  A=1  \n",
            "A='x $y `z` # \"w\"'\n",
            "A=\"x # y\" # z\n",
            "A=x # y\n",
            "A=https://example.org:8200/a?b=c%2B\n",
            "",
            "# only a comment",
        ] {
            assert_eq!(warnings(text), [""; 0], "{text:?}");
        }
    }

    const PART: &str = "x/.env:2:2: looks like part of a value of several lines; quote the value";

    #[test]
    fn a_line_of_base64_does_not_pass_for_a_key() {
        for (line, is_refused) in [
            ("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A==", true),
            ("c2VjcmV0Cg==", true),
            ("c2VjcmV0Cg== # end", true),
            ("export c2VjcmV0Cg==", true),
            ("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A=", true),
            ("MIIBIjANBgkqhkiG9w0B/QEFAAOCAQ8=", true),
            ("MIIBIjANBgkqhkiG9w0B+QEFAAOCAQ8==", true),
            ("c2VjcmV0Cg=", false),
            ("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A=''", false),
            ("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A=x", false),
            ("A_NAME_OF_A_VARIABLE_1=", false),
            ("AVERYLONGNAMEOFAVARIABLE=", false),
            ("SECRET==", false),
            ("a-name.of2parts=", false),
            ("KEY=c2VjcmV0Cg==", false),
        ] {
            let read = parse_text(&format!("A=1\n{line}\n"));
            assert_eq!(read.is_err(), is_refused, "{line}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told_by_place_and_kind_only() {
        for (text, expected) in [
            (&b"A=1\nhunter2\n"[..], "x/.env:2:8: no `=` after the key"),
            (b"A=1\n  =hunter2\n", "x/.env:2:3: no key before `=`"),
            (b"A='hunter2\nB=2\n", "x/.env:1:3: the quote that opens here is never closed"),
            (b"A=\"x\"hunter2\n", "x/.env:1:6: text after the closing quote"),
            (b"A: hunter2\n", "x/.env:1:4: no `=` after the key"),
            (b"A=hunter2\0\n", "x/.env:1:10: a null byte in the value"),
            (b"hunter2\x07=1\n", "x/.env:1:8: a control character in the key"),
            (b"A=1\nB=hunter2\xff\n", "x/.env:2:10: not UTF-8"),
            (
                b"A=1\n  hunter/2=x\n",
                "x/.env:2:3: the key is no name of a variable; if the line is part of a value of several lines, quote the value",
            ),
            (b"A=1\n hunter2==\n", PART),
            (b"A=1\r\n\thunter2==\r\n", PART),
        ] {
            let error = parse(Path::new("x/.env"), text).err().unwrap();
            assert_eq!(error.to_string(), expected);
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn of_duplicates_the_last_wins_and_the_order_is_of_first_lines() {
        let file = parse_text("B=1\nA=2\nB=3\n").ok().unwrap();
        let entries: Vec<_> =
            file.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        assert_eq!(entries, [("B", "3"), ("A", "2")]);
    }

    #[test]
    fn what_does_not_look_like_a_key_is_not_shown() {
        assert_eq!(shown_key("TWITTER_API_KEY"), "TWITTER_API_KEY");
        assert_eq!(shown_key("MIIEpAIBAAKCAQ/4"), "(a key of 16 characters)");
        assert_eq!(shown_key(&"A".repeat(129)), "(a key of 129 characters)");
    }

    proptest! {
        /// The scanner that finds lines and the parser that finds values agree on what the keys are.
        #[test]
        fn any_file_is_read_whole_or_refused_without_its_text(
            text in "(([A-C ]{0,3}|export )(=|: | = )?([a-z$#'\"\\\\` ]|\r?\n){0,8}\r?\n){0,6}"
        ) {
            match parse_text(&text) {
                Ok(file) => {
                    let expected = EnvLoader::with_reader(text.as_bytes())
                        .sequence(EnvSequence::InputOnly).load().unwrap();
                    prop_assert_eq!(file.entries.len(), expected.len());
                    for entry in &file.entries {
                        prop_assert_eq!(expected.get(&entry.key), Some(&*entry.value));
                    }
                }
                Err(EnvFileError::Line { kind, .. }) => prop_assert_ne!(kind, LineErrorKind::Other),
                Err(error) => prop_assert!(false, "{}", error),
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(Path::new(".env"), &bytes);
        }
    }
}
