//! Finds the assignments of a `.env` file and what other programs would read differently in them.
//!
//! Pure. Follows the grammar of `dotenv-ng`, which has accepted the file before. The forty inputs of
//! `vectors/dotenv/dialects.json` and a property test hold the two together.

use super::{Warning, WarningKind};

/// `KEY=VALUE`, taken apart but not decoded.
pub(super) struct Assignment<'a> {
    /// The line of the key, counted from 1.
    pub(super) line: usize,
    /// Where in the line the key begins, in characters, counted from 1.
    pub(super) column: usize,
    /// The key.
    pub(super) key: &'a str,
    spaced: bool,
    carriage_return: bool,
    value: RawValue<'a>,
}

/// A shorter key without a value is taken for a key.
const BASE64_CHARS_MIN: usize = 16;

enum RawValue<'a> {
    /// Nothing, or nothing but a comment; whether the comment follows `=` without white space.
    Absent { hash: bool },
    /// Unquoted, up to the comment or the end of the line, white space at its end included.
    Unquoted(&'a str),
    /// Quoted; whether a comment follows the closing quote without white space.
    Quoted { quote: char, inner: &'a str, hash: bool },
}

/// What is to be said of the file as a whole.
pub(super) fn file_warnings(source: &str) -> Vec<Warning> {
    let mark = source.starts_with('\u{feff}');
    mark.then_some(Warning { line: 1, key: None, kind: WarningKind::ByteOrderMark }).into_iter().collect()
}

/// The assignments of `source`, in order.
pub(super) fn assignments(source: &str) -> Vec<Assignment<'_>> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut scanner = Scanner { source, rest: source, line: 1 };
    let mut found = Vec::new();
    loop {
        scanner.take_while(is_space);
        match scanner.peek() {
            None => return found,
            Some('\n' | '\r') => {
                scanner.end_line();
            }
            Some('#') => {
                scanner.skip_comment();
            }
            Some(_) => found.push(scanner.assignment()),
        }
    }
}

impl Assignment<'_> {
    /// Whether this looks like the last line of base64 text that lost its quotes, whose `=` are padding.
    pub(super) fn looks_like_padded_base64(&self) -> bool {
        let padding = match self.value {
            RawValue::Absent { .. } => 0,
            RawValue::Unquoted(raw) if raw.trim_end_matches([' ', '\t']) == "=" => 1,
            RawValue::Unquoted(_) | RawValue::Quoted { .. } => return false,
        };
        let has = |kind: fn(&char) -> bool| self.key.chars().any(|character| kind(&character));
        let is_mixed =
            has(char::is_ascii_digit) || has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase);
        let is_base64 = self.key.chars().all(|character| character.is_ascii_alphanumeric());
        is_base64 && is_mixed && (padding > 0 || self.key.len() >= BASE64_CHARS_MIN)
    }

    /// What other programs would read differently.
    pub(super) fn warnings(&self) -> Vec<WarningKind> {
        let mut kinds = Vec::new();
        let mut warn_if = |holds: bool, kind| {
            if holds {
                kinds.push(kind);
            }
        };
        warn_if(self.carriage_return, WarningKind::CarriageReturn);
        warn_if(!is_shell_name(self.key), WarningKind::UnusualKey);
        warn_if(self.spaced, WarningKind::SpaceAroundEquals);
        match self.value {
            RawValue::Absent { hash } => warn_if(hash, WarningKind::HashWithoutSpace),
            RawValue::Unquoted(raw) => {
                let text = raw.trim_end_matches([' ', '\t']);
                warn_if(text.contains(char::is_whitespace), WarningKind::UnquotedSpace);
                warn_if(text.contains('#'), WarningKind::HashWithoutSpace);
                warn_if(holds_reference(text), WarningKind::Dollar);
                warn_if(text.contains("$("), WarningKind::CommandSubstitution);
                warn_if(text.contains('`'), WarningKind::Backtick);
                warn_if(text.contains('\\'), WarningKind::UnquotedBackslash);
                warn_if(text.contains(['\'', '"']), WarningKind::QuoteInsideUnquoted);
                let tilde = text.starts_with('~') || text.contains(":~");
                let bracket = text.contains(['(', ')']) && !text.contains("$(");
                let shell = bracket || text.contains([';', '&', '|', '<', '>']);
                warn_if(tilde || shell, WarningKind::ShellCharacter);
            }
            RawValue::Quoted { quote: '"', inner, hash } => {
                warn_if(hash, WarningKind::HashWithoutSpace);
                warn_if(holds_reference(inner), WarningKind::Dollar);
                warn_if(inner.contains("$("), WarningKind::CommandSubstitution);
                warn_if(inner.contains('`'), WarningKind::Backtick);
                warn_if(inner.contains('\\'), WarningKind::EscapeInDoubleQuotes);
            }
            RawValue::Quoted { inner, hash, .. } => {
                warn_if(hash, WarningKind::HashWithoutSpace);
                let escape = inner.contains("\\'") || inner.contains("\\\\");
                warn_if(escape, WarningKind::EscapeInSingleQuotes);
            }
        }
        kinds
    }
}

struct Scanner<'a> {
    source: &'a str,
    rest: &'a str,
    line: usize,
}

impl<'a> Scanner<'a> {
    fn assignment(&mut self) -> Assignment<'a> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with(is_space)
        {
            self.rest = after;
            self.take_while(is_space);
        }
        let (line, column) = (self.line, self.column());
        let key = self
            .take_while(|character| !matches!(character, '=' | '\n' | '\r' | '#') && !is_space(character));
        let before = self.take_while(is_space);
        self.rest = self.rest.strip_prefix('=').unwrap_or(self.rest);
        let after = self.take_while(is_space);
        let value = match self.peek() {
            None | Some('\n' | '\r') => RawValue::Absent { hash: false },
            Some('#') => RawValue::Absent { hash: after.is_empty() },
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            Some(_) => RawValue::Unquoted(self.unquoted()),
        };
        let blank = matches!(value, RawValue::Absent { .. }) && !matches!(self.peek(), Some('#'));
        let spaced = !before.is_empty() || !after.is_empty() && !blank;
        let carriage_return = self.skip_comment();
        Assignment { line, column, key, spaced, carriage_return, value }
    }

    fn quoted(&mut self, quote: char) -> RawValue<'a> {
        self.rest = self.rest.strip_prefix(quote).unwrap_or(self.rest);
        let mut escaped = false;
        let inner = self.take_while(|character| {
            if character == quote && !escaped {
                return false;
            }
            escaped = character == '\\' && !escaped;
            true
        });
        // CR LF counts once; a lone CR also ends a line.
        self.line += inner.matches('\n').count() + inner.replace("\r\n", "").matches('\r').count();
        self.rest = self.rest.strip_prefix(quote).unwrap_or(self.rest);
        let hash = self.peek() == Some('#');
        self.take_while(is_space);
        RawValue::Quoted { quote, inner, hash }
    }

    fn unquoted(&mut self) -> &'a str {
        let (mut quote, mut escaped, mut previous) = (None, false, None);
        self.take_while(|character| {
            if matches!(character, '\n' | '\r') {
                return false;
            }
            if let Some(open) = quote {
                if character == open && !escaped {
                    quote = None;
                }
            } else {
                if character == '#' && previous.is_none_or(is_space) && !escaped {
                    return false;
                }
                if matches!(character, '\'' | '"') && !escaped {
                    quote = Some(character);
                }
            }
            escaped = character == '\\' && !escaped;
            previous = Some(character);
            true
        })
    }

    /// Skips the rest of the line; whether it ended in a carriage return.
    fn skip_comment(&mut self) -> bool {
        self.take_while(|character| !matches!(character, '\n' | '\r'));
        self.end_line()
    }

    fn end_line(&mut self) -> bool {
        let carriage_return = self.rest.strip_prefix('\r');
        let after = carriage_return.unwrap_or(self.rest);
        let ended = after.strip_prefix('\n');
        self.line += usize::from(carriage_return.is_some() || ended.is_some());
        self.rest = ended.unwrap_or(after);
        carriage_return.is_some()
    }

    fn column(&self) -> usize {
        let before = self.source.strip_suffix(self.rest).unwrap_or_default();
        before.rsplit(['\n', '\r']).next().unwrap_or_default().chars().count() + 1
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take_while(&mut self, mut keep: impl FnMut(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !keep(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn is_space(character: char) -> bool {
    character.is_whitespace() && !matches!(character, '\n' | '\r')
}

fn is_shell_name(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Whether a `$` stands before something a program might replace; `$(` is warned of on its own.
fn holds_reference(text: &str) -> bool {
    let mut after = text.split('$');
    after.next();
    after.any(|rest| rest.starts_with(|next: char| !next.is_whitespace() && next != '('))
}
