//! A form-encoded body to parameters.
//!
//! Pure. Invariants: any bytes are decoded or refused; what a refusal tells of a value it tells the caller only, and
//! never the record. Every violation of one request is told at once, as AWS does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use coffer_types::Tag;
use coffer_types::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX};
use percent_encoding::percent_decode_str;

/// Most parameters of one request; fifty tags are a hundred.
const PARAMETERS_MAX: usize = 1024;
/// Most characters of a value that a refusal repeats.
const TOLD_CHARS_MAX: usize = 256;

/// Why a body is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No form, or one with too much in it.
    #[error("{0}")]
    QueryString(&'static str),
    /// Parameters that violate the service model; the texts, as told and as recorded.
    #[error("{told}")]
    Validation {
        /// For the caller.
        told: String,
        /// For the record: without values.
        recorded: String,
    },
}

impl Malformed {
    /// AWS's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::QueryString(_) => "MalformedQueryString",
            Self::Validation { .. } => "ValidationError",
        }
    }

    /// The text for the record.
    pub fn record_text(&self) -> String {
        match self {
            Self::QueryString(text) => (*text).to_owned(),
            Self::Validation { recorded, .. } => recorded.clone(),
        }
    }
}

/// The parameters of a request, and what is wrong with them so far.
pub struct Parameters {
    values: BTreeMap<String, String>,
    violations: RefCell<Vec<Violation>>,
}

struct Violation {
    value: Option<String>,
    member: String,
    constraint: String,
}

impl Parameters {
    /// Decodes a body.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let body = std::str::from_utf8(body).map_err(|_| Malformed::QueryString("The body is not text."))?;
        let mut values = BTreeMap::new();
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if values.len() >= PARAMETERS_MAX {
                return Err(Malformed::QueryString("The request has too many parameters."));
            }
            if values.insert(decode(name)?, decode(value)?).is_some() {
                return Err(Malformed::QueryString("A parameter stands more than once."));
            }
        }
        Ok(Self { values, violations: RefCell::default() })
    }

    /// A parameter as it was sent, if it was sent.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A parameter as it was sent, which then is not there any more.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// A text, if it was sent, of so many characters.
    pub fn text(&self, name: &str, chars: RangeInclusive<usize>) -> Option<String> {
        let value = self.raw(name)?;
        let count = value.chars().count();
        if count < *chars.start() {
            self.violate(
                name,
                value,
                format!("Member must have length greater than or equal to {}", chars.start()),
            );
        } else if count > *chars.end() {
            self.violate(
                name,
                value,
                format!("Member must have length less than or equal to {}", chars.end()),
            );
        }
        Some(value.to_owned())
    }

    /// A text that must have been sent.
    pub fn required_text(&self, name: &str, chars: RangeInclusive<usize>) -> String {
        self.text(name, chars).unwrap_or_else(|| self.missing(name))
    }

    /// A value of a type with a rule of its own, if it was sent; `rule` says in AWS's words what it violates.
    pub fn parsed<T: FromStr>(&self, name: &str, rule: &str) -> Option<T> {
        let value = self.raw(name)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.violate(name, value, rule.to_owned());
        }
        parsed
    }

    /// The same for one that must have been sent; `None` if it is missing or violates its rule, which is noted.
    pub fn required<T: FromStr>(&self, name: &str, rule: &str) -> Option<T> {
        if self.raw(name).is_none() {
            self.missing(name);
        }
        self.parsed(name, rule)
    }

    /// A whole number, if it was sent.
    pub fn number(&self, name: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.raw(name)?;
        let number = value.parse::<i64>().ok();
        let Some(number) = number else {
            self.violate(name, value, "Member must be a whole number".to_owned());
            return None;
        };
        if number < i64::from(*range.start()) {
            self.violate(
                name,
                value,
                format!("Member must have value greater than or equal to {}", range.start()),
            );
        } else if number > i64::from(*range.end()) {
            self.violate(
                name,
                value,
                format!("Member must have value less than or equal to {}", range.end()),
            );
        }
        u32::try_from(number).ok()
    }

    /// `true` or `false`, if it was sent.
    pub fn truth(&self, name: &str) -> Option<bool> {
        match self.raw(name)? {
            "true" => Some(true),
            "false" => Some(false),
            value => {
                self.violate(name, value, "Member must be true or false".to_owned());
                None
            }
        }
    }

    /// One of a few words, if it was sent.
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.raw(name)?;
        let found = words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let rule = format!("Member must satisfy enum value set: [{}]", words.join(", "));
            self.violate(name, value, rule);
        }
        found
    }

    /// `name.member.1`, `name.member.2` …, at most `max` of them.
    pub fn texts(&self, name: &str, max: usize, chars: RangeInclusive<usize>) -> Option<Vec<String>> {
        let texts: Vec<_> = (1..=max + 1)
            .map_while(|number| self.text(&format!("{name}.member.{number}"), chars.clone()))
            .collect();
        self.check_count(name, texts.len(), max);
        (!texts.is_empty() || self.raw(name).is_some()).then_some(texts)
    }

    /// `Tags.member.1.Key`, `Tags.member.1.Value` …
    pub fn tags(&self, name: &str, max: usize) -> Option<Vec<Tag>> {
        let mut tags = Vec::new();
        for number in 1..=max + 1 {
            let (key_name, value_name) =
                (format!("{name}.member.{number}.Key"), format!("{name}.member.{number}.Value"));
            let (key, value) = (
                self.text(&key_name, 1..=TAG_KEY_CHARS_MAX),
                self.text(&value_name, 0..=TAG_VALUE_CHARS_MAX),
            );
            let (key, value) = match (key, value) {
                (None, None) => break,
                (Some(key), value) => (key, value.unwrap_or_default()),
                (None, Some(_)) => {
                    self.missing(&key_name);
                    continue;
                }
            };
            match Tag::new(key, value) {
                Ok(tag) => tags.push(tag),
                Err(error) => {
                    let told = self.raw(&key_name).unwrap_or_default();
                    if self.is_fine_so_far() {
                        self.violate(&key_name, told, error.to_string());
                    }
                }
            }
        }
        self.check_count(name, tags.len(), max);
        (!tags.is_empty() || self.raw(name).is_some()).then_some(tags)
    }

    fn check_count(&self, name: &str, count: usize, max: usize) {
        if count > max {
            self.violate(name, "", format!("Member must have length less than or equal to {max}"));
        }
    }

    fn is_fine_so_far(&self) -> bool {
        self.violations.borrow().is_empty()
    }

    /// Notes that a parameter must be there and is not.
    pub fn missing(&self, name: &str) -> String {
        let violation = Violation {
            value: None,
            member: member_of(name),
            constraint: "Member must not be null".to_owned(),
        };
        self.violations.borrow_mut().push(violation);
        String::new()
    }

    /// Notes that a parameter's value is none it may have.
    pub fn violate(&self, name: &str, value: &str, constraint: String) {
        let value = value.chars().take(TOLD_CHARS_MAX).collect();
        self.violations.borrow_mut().push(Violation {
            value: Some(value),
            member: member_of(name),
            constraint,
        });
    }

    /// What was made of the parameters, if none of them violates anything.
    pub fn finish<T>(self, operation: Option<T>) -> Result<T, Malformed> {
        let violations = self.violations.into_inner();
        match operation {
            Some(operation) if violations.is_empty() => Ok(operation),
            _ => Err(Malformed::Validation {
                told: sentence(&violations, true),
                recorded: sentence(&violations, false),
            }),
        }
    }
}

fn sentence(violations: &[Violation], with_values: bool) -> String {
    let plural = if violations.len() == 1 { "error" } else { "errors" };
    let told: Vec<_> = violations
        .iter()
        .map(|Violation { value, member, constraint }| {
            let value = match value {
                Some(value) if with_values => format!(" '{value}'"),
                Some(_) => String::new(),
                None => " null".to_owned(),
            };
            format!("Value{value} at '{member}' failed to satisfy constraint: {constraint}")
        })
        .collect();
    format!("{} validation {plural} detected: {}", violations.len(), told.join("; "))
}

/// AWS writes members in its messages in lower camel case.
fn member_of(name: &str) -> String {
    let mut characters = name.chars();
    characters
        .next()
        .map(|first| first.to_ascii_lowercase().to_string() + characters.as_str())
        .unwrap_or_default()
}

fn decode(part: &str) -> Result<String, Malformed> {
    let spaced = part.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| Malformed::QueryString("The body is not text."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Parameters {
        Parameters::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_form_is_decoded() {
        let form =
            parse("A=a+b%2Bc&B=&C&Tags.member.1.Key=k&Tags.member.1.Value=v%20w&N.member.1=x&N.member.2=y");
        assert_eq!((form.raw("A"), form.raw("B"), form.raw("C")), (Some("a b+c"), Some(""), Some("")));
        assert_eq!(form.tags("Tags", 50), Some(vec![Tag::new("k", "v w").unwrap()]));
        assert_eq!(form.texts("N", 2, 1..=5), Some(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!((form.texts("M", 2, 1..=5), form.texts("B", 2, 1..=5)), (None, Some(vec![])));
        assert_eq!(form.finish(Some(1)), Ok(1));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let too_many: Vec<_> = (0..=PARAMETERS_MAX).map(|number| format!("k{number}=")).collect();
        for body in ["A=%ff", "A=1&A=2", &too_many.join("&")] {
            let refused = Parameters::parse(body.as_bytes()).map(|_| ());
            assert!(matches!(refused, Err(Malformed::QueryString(_))), "{body}");
        }
        assert!(Parameters::parse(b"A=\xff").is_err());
    }

    #[test]
    fn all_violations_are_told_at_once_and_values_are_not_recorded() {
        let form = parse("UserName=&MaxItems=0&Status=On&Tags.member.1.Value=v");
        form.required_text("UserName", 1..=64);
        form.required_text("Path", 1..=64);
        form.number("MaxItems", 1..=1000);
        form.word("Status", &[("Active", 1), ("Inactive", 0)]);
        form.tags("Tags", 50);
        let Err(Malformed::Validation { told, recorded }) = form.finish(Some(())) else { panic!("refused") };
        assert_eq!(
            told,
            "5 validation errors detected: \
             Value '' at 'userName' failed to satisfy constraint: Member must have length greater than or equal to 1; \
             Value null at 'path' failed to satisfy constraint: Member must not be null; \
             Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1; \
             Value 'On' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]; \
             Value null at 'tags.member.1.Key' failed to satisfy constraint: Member must not be null"
        );
        assert!(!recorded.contains("On"), "{recorded}");
    }

    #[test]
    fn more_than_a_list_may_hold_is_refused() {
        let form = parse("N.member.1=x&N.member.2=y&N.member.3=z");
        form.texts("N", 2, 1..=5);
        assert!(form.finish(Some(())).is_err());
    }
}
