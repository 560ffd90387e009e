//! Spans of time as people write them: `5m`, `90d`, `1h`, `0`.
//!
//! Pure.

use std::time::Duration;

/// Why a text is no span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("write a number and s, m, h or d, such as `5m`")]
pub struct SpanError;

/// A whole number of seconds, minutes, hours or days; `0` needs no unit.
pub fn span(text: &str) -> Result<Duration, SpanError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let unit = text.chars().next_back().ok_or(SpanError)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(SpanError),
    };
    let count = text.strip_suffix(unit).unwrap_or_default();
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SpanError);
    }
    let count: u64 = count.parse().map_err(|_| SpanError)?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or(SpanError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_span() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("5m", Some(300)),
            ("1h", Some(3600)),
            ("90d", Some(90 * 86_400)),
            ("18446744073709551615s", Some(u64::MAX)),
            ("18446744073709551615m", None),
            ("5", None),
            ("m", None),
            ("", None),
            ("-5m", None),
            ("+5m", None),
            ("5 m", None),
            ("5ms", None),
            ("1.5h", None),
            ("5µ", None),
        ] {
            assert_eq!(span(text).ok(), expected.map(Duration::from_secs), "{text}");
        }
    }
}
