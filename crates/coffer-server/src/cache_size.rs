//! How much memory may hold what was read of the store.
//!
//! Pure. Invariant: what the two caches take together is what was asked for.

use std::str::FromStr;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The bounds of what can be asked for.
const BYTES: std::ops::RangeInclusive<u64> = MIB..=1024 * GIB;

/// Memory for records that were opened, and for pages of the store's file: two thirds and one third.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheSize(u64);

impl Default for CacheSize {
    fn default() -> Self {
        Self(48 * MIB)
    }
}

impl CacheSize {
    /// For opened records, their values still sealed.
    pub(crate) fn record_bytes(self) -> u64 {
        self.0 - self.page_bytes()
    }

    /// For pages of the store's file.
    pub(crate) fn page_bytes(self) -> u64 {
        self.0 / 3
    }
}

/// A text that says no size, or none that can be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("say a size from 1MiB to 1024GiB, such as 64MiB")]
pub struct NotACacheSize;

/// A number of `KiB`, `MiB` or `GiB`, or of bytes.
impl FromStr for CacheSize {
    type Err = NotACacheSize;

    fn from_str(text: &str) -> Result<Self, NotACacheSize> {
        let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "" => 1,
            "KiB" => KIB,
            "MiB" => MIB,
            "GiB" => GIB,
            _ => return Err(NotACacheSize),
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        bytes.filter(|bytes| BYTES.contains(bytes)).map(Self).ok_or(NotACacheSize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("64MiB", Some(64 * MIB)),
            ("1MiB", Some(MIB)),
            ("1024KiB", Some(MIB)),
            ("1048576", Some(MIB)),
            ("2GiB", Some(2 * GIB)),
            ("1024GiB", Some(1024 * GIB)),
            ("1025GiB", None),
            ("1048575", None),
            ("0", None),
            ("", None),
            ("MiB", None),
            ("64 MiB", None),
            ("64mib", None),
            ("64MB", None),
            ("1.5GiB", None),
            ("-1MiB", None),
            ("+64MiB", None),
            ("18446744073709551616", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(text.parse().ok(), expected.map(CacheSize), "{text}");
        }
    }

    #[test]
    fn the_two_caches_take_what_was_asked_for() {
        let shares = |size: CacheSize| (size.record_bytes(), size.page_bytes());
        assert_eq!(shares(CacheSize::default()), (32 * MIB, 16 * MIB));
        for bytes in [MIB, MIB + 1, MIB + 2, 4 * MIB] {
            let (records, pages) = shares(CacheSize(bytes));
            assert_eq!(records + pages, bytes);
            assert!(pages * 2 <= records);
        }
    }
}
