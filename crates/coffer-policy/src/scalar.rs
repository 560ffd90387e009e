//! Numbers, moments, networks and bytes as condition values spell them.
//!
//! Pure. Invariant: a text is one value or none; what is not spelled as the language has it is no value.

use std::cmp::Ordering;
use std::net::IpAddr;

/// A decimal number, exact: its value times 10⁹.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Number(i128);

const FRACTION_DIGITS: u32 = 9;
const WHOLE_DIGITS_MAX: usize = 20;

impl Number {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        if whole.len() > WHOLE_DIGITS_MAX || fraction.len() > FRACTION_DIGITS as usize {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let missing = FRACTION_DIGITS - u32::try_from(fraction.len()).ok()?;
        let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let value = whole * 10_i128.pow(FRACTION_DIGITS) + fraction * 10_i128.pow(missing);
        Some(Self(if is_negative { -value } else { value }))
    }
}

/// A moment: nanoseconds since 1970 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Moment(i128);

impl Moment {
    /// One of the forms that W3C made of ISO 8601 (`2026`, `2026-11`, `2026-11-22`, `2026-11-22T17:00Z`,
    /// `2026-11-22T17:00:00.5+01:00`), or the seconds since 1970.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // A year has four digits; seconds since 1970 of four digits would be the first three hours of it.
        if text.len() != 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds: i64 = text.parse().ok()?;
            return Some(Self(i128::from(seconds) * 1_000_000_000));
        }
        let mut reader = Digits(text);
        let year = reader.number(4)?;
        let month =
            if reader.take("-") { reader.number(2)? } else { return reader.end(days(year, 1, 1)?, 0) };
        let day =
            if reader.take("-") { reader.number(2)? } else { return reader.end(days(year, month, 1)?, 0) };
        let days = days(year, month, day)?;
        if !reader.take("T") && !reader.take("t") {
            return reader.end(days, 0);
        }
        let hour = reader.number(2).filter(|hour| *hour < 24)?;
        let minute =
            if reader.take(":") { reader.number(2).filter(|minute| *minute < 60)? } else { return None };
        let mut nanoseconds = i128::from(hour * 3600 + minute * 60) * 1_000_000_000;
        if reader.take(":") {
            let second = reader.number(2).filter(|second| *second < 60)?;
            nanoseconds += i128::from(second) * 1_000_000_000;
            if reader.take(".") {
                nanoseconds += reader.fraction()?;
            }
        }
        let offset_minutes = if reader.take("Z") || reader.take("z") {
            0
        } else {
            let sign = if reader.take("+") {
                1
            } else if reader.take("-") {
                -1
            } else {
                return None;
            };
            let hours = reader.number(2).filter(|hours| *hours < 24)?;
            let minutes =
                if reader.take(":") { reader.number(2).filter(|minutes| *minutes < 60)? } else { 0 };
            sign * (hours * 60 + minutes)
        };
        reader.end(days, nanoseconds - i128::from(offset_minutes) * 60_000_000_000)
    }
}

struct Digits<'a>(&'a str);

impl Digits<'_> {
    fn take(&mut self, token: &str) -> bool {
        match self.0.strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        number.parse().ok()
    }

    /// One to nine digits after the point, as nanoseconds.
    fn fraction(&mut self) -> Option<i128> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 9 {
            return None;
        }
        let number = self.number(digits)?;
        Some(i128::from(number) * 10_i128.pow(9 - u32::try_from(digits).ok()?))
    }

    fn end(&self, days: i64, nanoseconds: i128) -> Option<Moment> {
        let midnight = i128::from(days) * 86_400 * 1_000_000_000;
        self.0.is_empty().then_some(Moment(midnight + nanoseconds))
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let before = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(before + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

/// `true` or `false`, whatever the case.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A network: an address, and how many of its first bits count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// `203.0.113.0/24`, `2001:db8::/32`, or one address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok()?
            }
            Some(_) => return None,
            None => width,
        };
        if bits > width {
            return None;
        }
        Some(match address {
            // An IPv4 network in the mapped form. Any other network of IPv6 holds no address of IPv4.
            IpAddr::V6(mapped) if bits >= 96 => match mapped.to_ipv4_mapped() {
                Some(address) => Self { address: IpAddr::V4(address), bits: bits - 96 },
                None => Self { address, bits },
            },
            IpAddr::V4(_) | IpAddr::V6(_) => Self { address, bits },
        })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The bytes that base64 spells, with or without its padding.
pub(crate) fn parse_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.bytes() {
        let six = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    (bits & ((1 << count) - 1) == 0).then_some(bytes)
}

/// Whether two texts are the same but for the case of their letters, those beyond ASCII included.
pub(crate) fn same_ignoring_case(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    lower(a).cmp(&lower(b)) == Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_and_exact() {
        let number = |text| Number::parse(text);
        assert_eq!(number("1.50"), number("1.5"));
        assert_eq!(number("+1"), number("1"));
        assert_eq!(number("-0"), number("0"));
        assert_eq!(number(".5"), number("0.5"));
        assert!(number("9007199254740993").unwrap() > number("9007199254740992").unwrap());
        assert!(number("-2").unwrap() < number("-1.999999999").unwrap());
        for text in ["", ".", "-", "1e3", "0x1", "1,5", " 1", "1.0000000001", "100000000000000000000000", "∞"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970", 0),
            ("1970-01", 0),
            ("1970-01-02", 86_400),
            ("2026-11-22T17:00:00Z", 1_795_366_800),
            ("2026-11-22T18:00+01:00", 1_795_366_800),
            ("2026-11-22T16:30:00-00:30", 1_795_366_800),
            ("1795366800", 1_795_366_800),
            ("2000-02-29", 951_782_400),
            ("0001-01-01", -62_135_596_800),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(seconds * 1_000_000_000)), "{text}");
        }
        assert_eq!(Moment::parse("1970-01-01T00:00:00.25Z"), Some(Moment(250_000_000)));
        for text in [
            "",
            "yesterday",
            "2026-13",
            "2026-02-29",
            "2026-11-22T17",
            "2026-11-22T17:00",
            "2026-11-22T24:00Z",
            "2026-11-22T17:00:00.Z",
            "2026-11-22 17:00Z",
            "2026-11-22T17:00Zx",
            "99999999999999999999",
            "2026-1-1",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, expected) in [
            ("203.0.113.0/24", "203.0.113.9", true),
            ("203.0.113.0/24", "203.0.114.9", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("203.0.113.0/24", "::ffff:203.0.113.9", true),
            ("2001:db8::/32", "2001:db8:1::", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "2001:db9::", true),
            ("::/0", "203.0.113.9", false),
            ("::ffff:203.0.113.0/120", "203.0.113.9", true),
            ("::ffff:203.0.113.0/120", "203.0.114.9", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(Network::parse(network).unwrap().contains(address), expected, "{network} {address}");
        }
        for text in ["", "203.0.113.0/33", "203.0.113/24", "::/129", "1.2.3.4/", "1.2.3.4/+8", "x"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn base64_spells_bytes() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("QQ==", Some(b"A")),
            ("QQ", Some(b"A")),
            ("QUJD", Some(b"ABC")),
            ("QUI=", Some(b"AB")),
        ] {
            assert_eq!(parse_base64(text).as_deref(), bytes, "{text}");
        }
        for text in ["Q", "Q===", "QR==", "Q Q=", "-_=="] {
            assert_eq!(parse_base64(text), None, "{text}");
        }
    }
}
