//! How far a long command is, on one line of a terminal that it takes away again.
//!
//! I/O: standard error, if that is a terminal, and nothing in the first second.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::output::Output;

const FIRST_AFTER: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// A line that tells how many bytes have passed.
pub(super) struct Progress {
    what: &'static str,
    /// How many there will be, if that is known.
    total: Option<u64>,
    is_shown: bool,
    due: Instant,
    was_drawn: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: Option<u64>, output: Output) -> Self {
        let is_shown = !output.json && io::stderr().is_terminal();
        Self { what, total, is_shown, due: Instant::now() + FIRST_AFTER, was_drawn: false }
    }

    /// So many bytes in all.
    pub(super) fn at(&mut self, bytes: u64) {
        if !self.is_shown || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + EVERY;
        self.was_drawn = true;
        let of = match self.total {
            Some(total) if total > 0 => format!(" of {} ({} %)", amount(total), bytes * 100 / total),
            _ => String::new(),
        };
        drop(write!(io::stderr().lock(), "\r\x1b[K{} {}{of}", self.what, amount(bytes)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.was_drawn {
            drop(write!(io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

/// Bytes as people say it.
pub(super) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit_name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{bytes} {unit_name}") } else { format!("{value:.1} {unit_name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (100_000_000, "95.4 MiB"),
            (u64::MAX, "17179869184.0 GiB"),
        ] {
            assert_eq!(amount(bytes), expected);
        }
    }
}
