//! What differs between two documents, line by line.
//!
//! Pure.

use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;

use crate::layout::{indented, is_json};
use crate::output::plain;

/// Longer documents are not compared line by line. A policy has far fewer lines.
const LINES_MAX: usize = 2000;
/// How many lines that did not change are shown beside those that did.
const CONTEXT: usize = 2;

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Same,
    Added,
    Removed,
}

/// One document, and what another makes of it.
#[derive(Debug)]
pub(crate) struct Change(Vec<(Line, String)>);

impl Change {
    /// From one to the other. White space does not count.
    pub(crate) fn between(before: &str, after: &str) -> Self {
        let (before, after) = (lines_of(before), lines_of(after));
        if before.len() > LINES_MAX || after.len() > LINES_MAX {
            let removed = before.into_iter().map(|line| (Line::Removed, line));
            return Self(removed.chain(after.into_iter().map(|line| (Line::Added, line))).collect());
        }
        // How many lines the rests have in common, from each pair of lines on.
        let width = after.len() + 1;
        let mut common = vec![0u32; (before.len() + 1) * width];
        let at = |row: usize, column: usize| row * width + column;
        let count = |common: &[u32], place: usize| common.get(place).copied().unwrap_or_default();
        for (row, line) in before.iter().enumerate().rev() {
            for (column, other) in after.iter().enumerate().rev() {
                let most = if line == other {
                    count(&common, at(row + 1, column + 1)) + 1
                } else {
                    count(&common, at(row + 1, column)).max(count(&common, at(row, column + 1)))
                };
                if let Some(place) = common.get_mut(at(row, column)) {
                    *place = most;
                }
            }
        }
        let (mut row, mut column, mut lines) = (0, 0, Vec::new());
        loop {
            match (before.get(row), after.get(column)) {
                (Some(line), Some(other)) if line == other => {
                    lines.push((Line::Same, line.clone()));
                    (row, column) = (row + 1, column + 1);
                }
                (Some(line), other) => {
                    let stays = other.is_some()
                        && count(&common, at(row + 1, column)) < count(&common, at(row, column + 1));
                    match other.filter(|_| stays) {
                        Some(other) => {
                            lines.push((Line::Added, other.clone()));
                            column += 1;
                        }
                        None => {
                            lines.push((Line::Removed, line.clone()));
                            row += 1;
                        }
                    }
                }
                (None, Some(other)) => {
                    lines.push((Line::Added, other.clone()));
                    column += 1;
                }
                (None, None) => return Self(lines),
            }
        }
    }

    /// Whether the two say the same.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|(line, _)| *line == Line::Same)
    }

    /// The lines that differ, with a few around them, as people read them.
    pub(crate) fn shown(&self) -> String {
        let differs = |at: usize| self.0.get(at).is_some_and(|(line, _)| *line != Line::Same);
        let (mut text, mut is_gap) = (String::new(), false);
        for (at, (line, content)) in self.0.iter().enumerate() {
            if !(at.saturating_sub(CONTEXT)..=at + CONTEXT).any(differs) {
                is_gap = true;
                continue;
            }
            if std::mem::take(&mut is_gap) {
                text.push_str("  …\n");
            }
            let (sign, style) = match line {
                Line::Same => (' ', Style::new()),
                Line::Added => ('+', Style::new().fg_color(Some(AnsiColor::Green.into()))),
                Line::Removed => ('-', Style::new().fg_color(Some(AnsiColor::Red.into()))),
            };
            // Writing to a String can't fail.
            let _ = writeln!(text, "{style}{sign} {}{style:#}", plain(content));
        }
        text
    }
}

fn lines_of(document: &str) -> Vec<String> {
    if !is_json(document.as_bytes()) {
        return document.lines().map(str::to_owned).collect();
    }
    let text = indented(document.as_bytes());
    String::from_utf8_lossy(text.expose_secret()).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_lines_differ() {
        let many = r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7}"#;
        for (before, after, expected) in [
            (r#"{"a":1}"#, r#"{ "a" : 1 }"#, ""),
            (r#"{"a":1}"#, r#"{"a":2}"#, "  {\n-   \"a\": 1\n+   \"a\": 2\n  }\n"),
            (r#"{"a":1,"b":2}"#, r#"{"b":2}"#, "  {\n-   \"a\": 1,\n    \"b\": 2\n  }\n"),
            (r#"[1]"#, r#"[1,2]"#, "  [\n-   1\n+   1,\n+   2\n  ]\n"),
            (
                many,
                r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":8}"#,
                "  …\n    \"e\": 5,\n    \"f\": 6,\n-   \"g\": 7\n+   \"g\": 8\n  }\n",
            ),
        ] {
            let change = Change::between(before, after);
            assert_eq!(change.is_empty(), expected.is_empty());
            let shown = anstream::adapter::strip_str(&change.shown()).to_string();
            assert_eq!(shown, expected, "{before} {after}");
        }
    }
}
