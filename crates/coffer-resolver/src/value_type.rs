//! What a value must look like.
//!
//! Pure. Invariant: a refusal says what was expected, never what was there.

use base64::Engine as _;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

/// The type of a value.
#[derive(Clone, Debug)]
pub enum ValueType {
    /// Any text.
    String,
    /// A scheme, `://`, and a host.
    Url,
    /// 1 to 65535.
    Port,
    /// `true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off`, in any case.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// One of these.
    Enum(Vec<String>),
    /// Any JSON.
    Json,
    /// One or more blocks of PEM.
    Pem,
    /// A text that fits this pattern from its beginning to its end.
    Regex(Pattern),
    /// Any bytes, text or not.
    Bytes,
}

/// A pattern that compiles.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    compiled: regex_lite::Regex,
}

/// Why a manifest's `type`, `values` and `pattern` make no type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ValueTypeError {
    /// No such type.
    #[error("no such type; there are {}", ValueType::NAMES.join(", "))]
    Unknown,
    /// `values` is missing or empty.
    #[error("type `enum` needs `values`, a list that is not empty")]
    Values,
    /// `pattern` is missing.
    #[error("type `regex` needs a `pattern`")]
    Pattern,
    /// `pattern` is no regular expression.
    #[error("`pattern` is no regular expression: {0}")]
    BadPattern(String),
    /// `values` without `enum`.
    #[error("`values` is for type `enum` only")]
    StrayValues,
    /// `pattern` without `regex`.
    #[error("`pattern` is for type `regex` only")]
    StrayPattern,
}

impl ValueType {
    /// The types' names.
    pub const NAMES: [&str; 10] =
        ["string", "url", "port", "bool", "int", "enum", "json", "pem", "regex", "bytes"];

    /// The type a manifest means; `string` if it says nothing.
    pub(crate) fn of_manifest(
        name: Option<&str>,
        values: Option<&[String]>,
        pattern: Option<&str>,
    ) -> Result<Self, ValueTypeError> {
        // A pattern or a list alone says which type is meant.
        let implied = match (pattern, values) {
            (Some(_), _) => "regex",
            (None, Some(_)) => "enum",
            (None, None) => "string",
        };
        let name = name.unwrap_or(implied);
        if values.is_some() && name != "enum" {
            return Err(ValueTypeError::StrayValues);
        }
        if pattern.is_some() && name != "regex" {
            return Err(ValueTypeError::StrayPattern);
        }
        Ok(match name {
            "string" => Self::String,
            "url" => Self::Url,
            "port" => Self::Port,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "json" => Self::Json,
            "pem" => Self::Pem,
            "bytes" => Self::Bytes,
            "enum" => {
                let values = values.filter(|values| !values.is_empty()).ok_or(ValueTypeError::Values)?;
                Self::Enum(values.to_vec())
            }
            "regex" => {
                let text = pattern.ok_or(ValueTypeError::Pattern)?;
                // Alone first, so that an error is about what is written there.
                regex_lite::Regex::new(text)
                    .map_err(|error| ValueTypeError::BadPattern(error.to_string()))?;
                let whole = regex_lite::Regex::new(&format!(r"\A(?:{text})\z"))
                    .map_err(|error| ValueTypeError::BadPattern(error.to_string()))?;
                Self::Regex(Pattern { text: text.to_owned(), compiled: whole })
            }
            _ => return Err(ValueTypeError::Unknown),
        })
    }

    /// Nothing, or what was expected instead.
    pub fn check(&self, value: &[u8]) -> Result<(), String> {
        if let Self::Bytes = self {
            return Ok(());
        }
        let text = std::str::from_utf8(value).map_err(|_| "text in UTF-8".to_owned())?;
        let fits = match self {
            Self::String | Self::Bytes => !text.contains('\0'),
            Self::Url => is_url(text),
            Self::Port => is_digits(text) && text.parse::<u16>().is_ok_and(|port| port > 0),
            Self::Bool => truth_of(text).is_some(),
            Self::Int => is_digits(text.strip_prefix('-').unwrap_or(text)) && text.parse::<i64>().is_ok(),
            Self::Enum(values) => values.iter().any(|value| value == text),
            Self::Json => serde_json::from_str::<IgnoredAny>(text).is_ok(),
            Self::Pem => is_pem(text),
            Self::Regex(pattern) => pattern.compiled.is_match(text),
        };
        if fits { Ok(()) } else { Err(self.expected()) }
    }

    /// What a value of this type is.
    pub fn expected(&self) -> String {
        match self {
            Self::String => "text without null bytes".to_owned(),
            Self::Url => "a URL, such as https://example.com".to_owned(),
            Self::Port => "a port, 1 to 65535".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Int => "a whole number".to_owned(),
            Self::Enum(values) => format!("one of {}", values.join(", ")),
            Self::Json => "JSON".to_owned(),
            Self::Pem => "PEM: -----BEGIN …----- to -----END …-----".to_owned(),
            Self::Regex(pattern) => format!("text that fits {}", pattern.text),
            Self::Bytes => "bytes".to_owned(),
        }
    }
}

/// The truth value a text stands for.
pub(crate) fn truth_of(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(["true", "1", "yes", "on"]) => Some(true),
        () if is(["false", "0", "no", "off"]) => Some(false),
        () => None,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, after)) => (address, after.strip_prefix(':').or((!after.is_empty()).then_some("x"))),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    is_scheme
        && !name.is_empty()
        && port.is_none_or(|port| is_digits(port) && port.parse::<u16>().is_ok())
        && !text.chars().any(|character| character.is_whitespace() || character.is_control())
}

/// Every block begins and ends with the same label and holds base64, and nothing but white space is between blocks.
fn is_pem(text: &str) -> bool {
    let mut rest = text.trim();
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let Some((label, after)) = rest.strip_prefix("-----BEGIN ").and_then(|r| r.split_once("-----"))
        else {
            return false;
        };
        let Some((body, after)) = after.split_once(&format!("-----END {label}-----")) else { return false };
        // Headers of old encrypted keys end with an empty line.
        let body = body.replace("\r\n", "\n");
        let body = Zeroizing::new(body);
        let coded = match body.trim_start().split_once("\n\n") {
            Some((headers, coded)) if headers.contains(':') => coded,
            _ => &body,
        };
        let coded: Zeroizing<String> =
            Zeroizing::new(coded.chars().filter(|character| !character.is_whitespace()).collect());
        let decoded = base64::engine::general_purpose::STANDARD.decode(coded.as_bytes()).map(Zeroizing::new);
        if label.is_empty() || coded.is_empty() || decoded.is_err() {
            return false;
        }
        rest = after.trim_start();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> ValueType {
        ValueType::of_manifest(Some(name), None, None).unwrap()
    }

    #[test]
    fn each_type_with_what_it_takes_and_what_it_does_not() {
        let choice = ValueType::of_manifest(None, Some(&["a".into(), "b".into()]), None).unwrap();
        let pattern = ValueType::of_manifest(None, None, Some("sk-[a-z0-9]+|x")).unwrap();
        let pem = "-----BEGIN KEY-----\naGVs\nbG8=\n-----END KEY-----\n";
        let two = format!("{pem}\n{pem}");
        let old = "-----BEGIN KEY-----\nProc-Type: 4,ENCRYPTED\n\naGVsbG8=\n-----END KEY-----";
        for (kind, good, bad) in [
            (of("string"), vec!["x", "a b\n", "é"], vec!["a\0b"]),
            (
                of("url"),
                vec!["https://a", "postgres://u:p@h:5432/d?x", "http://[::1]:80/"],
                vec![
                    "a",
                    "://a",
                    "https://",
                    "https:///x",
                    "https://a b",
                    "https://a:x",
                    "1x://a",
                    "http://[::1]x",
                ],
            ),
            (of("port"), vec!["1", "443", "65535"], vec!["0", "65536", "-1", "+1", "", "80 "]),
            (of("bool"), vec!["true", "FALSE", "1", "off"], vec!["", "2", "t"]),
            (
                of("int"),
                vec!["0", "-5", "9223372036854775807"],
                vec!["", "1.5", "+5", "9223372036854775808", "--1"],
            ),
            (of("json"), vec!["{}", "1", "\"x\""], vec!["", "{", "x", "{} x"]),
            (
                of("pem"),
                vec![pem, &two, old],
                vec![
                    "",
                    "x",
                    "-----BEGIN A-----\naGVsbG8=\n-----END B-----",
                    "-----BEGIN A-----\n!\n-----END A-----",
                ],
            ),
            (choice, vec!["a", "b"], vec!["", "c", "A"]),
            (pattern, vec!["sk-a1", "x"], vec!["sk-", " sk-a1", "sk-a1\n", "xx"]),
        ] {
            for value in good {
                assert!(kind.check(value.as_bytes()).is_ok(), "{kind:?} {value}");
            }
            for value in bad {
                assert!(kind.check(value.as_bytes()).is_err(), "{kind:?} {value}");
            }
            assert!(kind.check(&[0xff]).is_err(), "{kind:?}");
        }
        assert!(of("bytes").check(&[0xff, 0]).is_ok());
    }

    #[test]
    fn a_refusal_never_repeats_the_value() {
        for name in ValueType::NAMES.into_iter().filter(|name| !["enum", "regex", "bytes"].contains(name)) {
            let expected = of(name).check(b"hunter2\0").expect_err(name);
            assert!(!expected.contains("hunter2"), "{expected}");
        }
    }

    #[test]
    fn types_that_do_not_hold_together() {
        let values: &[String] = &["a".into()];
        for (name, values, pattern, expected) in [
            (Some("text"), None, None, ValueTypeError::Unknown),
            (Some("enum"), None, None, ValueTypeError::Values),
            (Some("enum"), Some(&[][..]), None, ValueTypeError::Values),
            (Some("regex"), None, None, ValueTypeError::Pattern),
            (Some("int"), Some(values), None, ValueTypeError::StrayValues),
            (Some("int"), None, Some("x"), ValueTypeError::StrayPattern),
            (None, Some(values), Some("x"), ValueTypeError::StrayValues),
        ] {
            let error = ValueType::of_manifest(name, values, pattern).expect_err("no type");
            assert_eq!(error, expected);
        }
        // Neither could be closed early to let anything pass.
        for pattern in ["(", "a)|(b", "[", "x)(?:"] {
            let made = ValueType::of_manifest(None, None, Some(pattern));
            assert!(matches!(made, Err(ValueTypeError::BadPattern(_))), "{pattern}");
        }
    }
}
