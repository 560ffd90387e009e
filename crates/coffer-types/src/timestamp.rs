//! Points in time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A point in time, in whole milliseconds since 1970 UTC, as precise as AWS answers.
///
/// Nothing in this crate reads a clock; a `Timestamp` is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 UTC.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time and `days` days.
    pub const fn plus_days(self, days: u32) -> Self {
        self.plus_millis(days as i64 * 86_400_000)
    }

    /// This time and `millis` milliseconds, never past the end of time.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this time; negative if it is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `20261122T103000Z`, the form Signature Version 4 signs.
    pub fn to_amz_date(self) -> String {
        self.zoned().strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// The time in `20261122T103000Z`; `None` for any other form.
    pub fn from_amz_date(text: &str) -> Option<Self> {
        if text.len() != 16 || !text.is_ascii() {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<i16> {
            let digits = text.as_bytes().get(range)?;
            digits.iter().try_fold(0i16, |number, byte| {
                byte.is_ascii_digit().then(|| number * 10 + i16::from(byte - b'0'))
            })
        };
        let part = |at: usize| number(at..at + 2).and_then(|part| i8::try_from(part).ok());
        if text.get(8..9) != Some("T") || text.get(15..) != Some("Z") {
            return None;
        }
        let civil =
            jiff::civil::DateTime::new(number(0..4)?, part(4)?, part(6)?, part(9)?, part(11)?, part(13)?, 0)
                .ok()?;
        Some(Self(jiff::tz::Offset::UTC.to_timestamp(civil).ok()?.as_millisecond()))
    }

    /// `Sun, 22 Nov 2026 10:30:00 GMT`, the form of an HTTP `Date` header (RFC 9110, 5.6.7).
    pub fn to_http_date(self) -> String {
        self.zoned().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// `2026-11-22T10:30:00Z`, whole seconds: the form of CloudTrail's `eventTime`.
    pub fn to_rfc3339_seconds(self) -> String {
        self.zoned().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    fn zoned(self) -> jiff::Zoned {
        // Times outside jiff's years -9999 to 9999 can only come from a broken clock; they print as 1970.
        jiff::Timestamp::from_millisecond(self.0).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC)
    }
}

/// `2026-11-22T10:30:00.123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.zoned().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(|timestamp| Self(timestamp.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_one_time() {
        let time = Timestamp::from_millis(1_440_938_160_123);
        assert_eq!(time.to_string(), "2015-08-30T12:36:00.123Z");
        assert_eq!(time.to_amz_date(), "20150830T123600Z");
        assert_eq!(time.to_http_date(), "Sun, 30 Aug 2015 12:36:00 GMT");
        assert_eq!(time.to_rfc3339_seconds(), "2015-08-30T12:36:00Z");
        assert_eq!(
            Timestamp::from_amz_date("20150830T123600Z"),
            Some(Timestamp::from_millis(1_440_938_160_000))
        );
        assert_eq!("2015-08-30T12:36:00.123Z".parse::<Timestamp>().unwrap(), time);
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            "",
            "20150830",
            "20150830T123600",
            "20151330T123600Z",
            "2015-08-30T12:36:00Z",
            "20150830T126000Z",
        ] {
            assert_eq!(Timestamp::from_amz_date(bad), None, "{bad}");
        }
    }
}
