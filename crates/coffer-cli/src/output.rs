//! What a command prints: data on standard output, everything else on standard error.
//!
//! I/O: the two streams. Invariant: nothing but data goes to standard output, and no control character of a
//! stored text reaches a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use coffer_types::Timestamp;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::Stop;

/// Where a command writes, and in which form.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    /// Objects rather than words.
    pub(crate) json: bool,
}

impl Output {
    /// An object on a line of its own for `--json`, or what `people` writes.
    pub(crate) fn data(
        self,
        object: &impl Serialize,
        people: impl FnOnce(&mut String) -> std::fmt::Result,
    ) -> Result<(), Stop> {
        let mut text = String::new();
        if self.json {
            text = serde_json::to_string(object).map_err(io::Error::from)?;
            text.push('\n');
            return self.bytes(text.as_bytes());
        }
        // Writing to a String can't fail.
        let _ = people(&mut text);
        self.people(&text)
    }

    /// A text for people, whose colours go to a terminal only.
    pub(crate) fn people(self, text: &str) -> Result<(), Stop> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Bytes as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Stop> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Something worth a look.
    pub(crate) fn warning(self, text: &str) {
        if self.json {
            let _ =
                writeln!(io::stderr().lock(), "{}", serde_json::json!({ "warning": { "message": text } }));
        } else {
            message("warning", AnsiColor::Yellow, text);
        }
    }

    /// What to do next, for people.
    pub(crate) fn hint(self, text: &str) {
        if !self.json {
            message("hint", AnsiColor::Cyan, text);
        }
    }

    /// What is going on, for people.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            let _ = writeln!(anstream::stderr().lock(), "{}", plain(text));
        }
    }

    /// Lines made for people, beside what goes to standard output.
    pub(crate) fn shown(self, text: &str) {
        if !self.json {
            let _ = anstream::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// A question, which the answer follows on the same line.
    pub(crate) fn question(self, text: &str) {
        let mut stderr = anstream::stderr().lock();
        let _ = write!(stderr, "{}", plain(text));
        let _ = stderr.flush();
    }

    /// Why the command stops.
    pub(crate) fn stop(self, stop: &Stop) {
        if self.json {
            if let Some(text) = stop.object().and_then(|object| serde_json::to_string(&object).ok()) {
                let _ = writeln!(io::stderr().lock(), "{text}");
            }
        } else if let Some((text, hint)) = stop.texts() {
            message("error", AnsiColor::Red, text);
            if let Some(hint) = hint {
                message("hint", AnsiColor::Cyan, hint);
            }
        }
    }
}

fn message(label: &str, colour: AnsiColor, text: &str) {
    let style = Style::new().bold().fg_color(Some(colour.into()));
    // There is nowhere left to say that standard error can't be written.
    let _ = writeln!(anstream::stderr().lock(), "{style}{label}:{style:#} {}", plain(text));
}

/// Whether standard output is a terminal, where values are not shown unasked.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A table with a header, as wide as the terminal at most; in a pipe every row is one line.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    if let Some(width) = terminal_width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn terminal_width() -> Option<u16> {
    let width = rustix::termios::tcgetwinsize(io::stdout()).ok()?.ws_col;
    (width > 0).then_some(width.max(40))
}

/// The text with control characters written out, so that no stored name can play tricks on a terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The time now, for ages.
pub(crate) fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or_default())
}

/// How long ago `then` was, in the largest unit that fits; less than a minute is nothing to count.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.millis_since(then).max(0) / 1000;
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        86_400..31_536_000 => (seconds / 86_400, "day"),
        _ => (seconds / 31_536_000, "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// `1 secret`, `2 secrets`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, expected) in [
            (-5, "just now"),
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (119, "1 minute ago"),
            (7_200, "2 hours ago"),
            (86_400 * 40, "40 days ago"),
            (86_400 * 800, "2 years ago"),
        ] {
            let now = Timestamp::from_millis(1_800_000_000_000);
            assert_eq!(age(now, now.plus_millis(-seconds * 1000)), expected);
        }
    }

    #[test]
    fn a_table_has_one_line_a_row_and_no_trailing_space() {
        let text = table(
            &["Name", "Versions"],
            [vec!["a/b".to_owned(), "1".to_owned()], vec!["longer/name".to_owned(), "22".to_owned()]],
        );
        assert_eq!(text, "Name         Versions\na/b          1\nlonger/name  22\n");
    }

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
    }
}
