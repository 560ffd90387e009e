//! A body's members, read one by one within the service model's limits.
//!
//! Pure. Invariants: a member that stands twice is refused, since readers differ in which one counts; a value goes
//! from the body straight into [`SecretBytes`], through no buffer that isn't wiped; the violations of one request
//! are gathered, to be told all at once.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use coffer_types::limits::{
    NEXT_TOKEN_CHARS_MAX, PAGE_ENTRIES_MAX, SECRET_ID_CHARS_MAX, SECRET_VALUE_BYTES_MAX, STAGE_CHARS_MAX,
    STAGES_PER_REQUEST_MAX, TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, VERSION_ID_CHARS_MAX,
    VERSION_ID_CHARS_MIN,
};
use coffer_types::raw_json::{RawMembers, RawText};
use coffer_types::{SecretBytes, SecretValue, Stage, VersionId};
use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{Malformed, unserved};

mod filters;

/// Deepest nesting of lists and objects taken.
const DEPTH_MAX: usize = 128;
/// Most violations one text tells.
const VIOLATIONS_MAX: usize = 20;
/// Most characters of a value that a text repeats.
const SHOWN_CHARS_MAX: usize = 256;
/// All violations of the service model in one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Violations(Vec<Violation>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    /// What the text repeats of the value, if anything.
    shown: Option<String>,
    member: String,
    constraint: String,
}

impl Violations {
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, with_values: bool) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "{} validation error{plural} detected", self.0.len())?;
        let mut separator = ": ";
        for Violation { shown, member, constraint } in &self.0 {
            write!(f, "{separator}Value")?;
            if let Some(shown) = shown.as_ref().filter(|_| with_values) {
                write!(f, " {shown}")?;
            }
            write!(f, " at '{member}' failed to satisfy constraint: Member must {constraint}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, true)
    }
}

/// `SecretString` and `SecretBinary` as they came.
pub(super) struct ValueMembers {
    string: Option<SecretBytes>,
    binary: Option<SecretBytes>,
}

impl ValueMembers {
    pub(super) fn choose(self) -> Result<Option<SecretValue>, Malformed> {
        let out_of_limits = || Malformed::InvalidParameter("The secret value is out of its limits.".into());
        match (self.string, self.binary) {
            (Some(_), Some(_)) => Err(Malformed::InvalidParameter(
                "You can't specify both a binary secret value and a string secret value in the same secret."
                    .into(),
            )),
            (Some(string), None) => SecretValue::string(string).ok_or_else(out_of_limits).map(Some),
            (None, Some(binary)) => SecretValue::binary(binary).ok_or_else(out_of_limits).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// A body's members, still as JSON, and the violations found so far.
pub struct Input<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    violations: Violations,
}

impl<'a> Input<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        if is_deeper_than(body, DEPTH_MAX) {
            return Err(Malformed::Serialization("The request body is nested too deeply.".into()));
        }
        // serde_json's own message may quote the body, so it is not passed on.
        let RawMembers(members) = serde_json::from_slice(body)
            .map_err(|_| Malformed::Serialization("The request body is not a valid JSON object.".into()))?;
        Ok(Self { members, violations: Violations::default() })
    }

    /// The operation's required part, if there was no violation.
    pub(super) fn finish<T>(self, required: Option<T>) -> Result<T, Malformed> {
        match required {
            Some(required) if self.violations.0.is_empty() => Ok(required),
            _ => Err(Malformed::Validation(self.violations)),
        }
    }

    /// A member's JSON; `None` if it is absent or null.
    fn member(&self, name: &str) -> Result<Option<&'a RawValue>, Malformed> {
        let mut found = self.members.iter().filter(|(member, _)| member == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => {
                Err(Malformed::Serialization(format!("The member {name} is given more than once.").into()))
            }
            (found, None) => Ok(found.map(|(_, json)| *json).filter(|json| json.get() != "null")),
        }
    }

    pub(super) fn refuse_unserved(&self, name: &str) -> Result<(), Malformed> {
        let is_false = |json: &RawValue| json.get() == "false";
        match self.member(name)? {
            Some(json) if !is_false(json) => Err(unserved(name)),
            _ => Ok(()),
        }
    }

    fn violate(&mut self, value: Option<&str>, member: &str, constraint: fmt::Arguments<'_>) {
        let shown =
            value.map(|value| format!("'{}'", value.chars().take(SHOWN_CHARS_MAX).collect::<String>()));
        self.note(shown, member, constraint.to_string());
    }

    /// Notes that a member must be there, if it is not.
    pub(super) fn require(&mut self, name: &str) {
        if matches!(self.member(name), Ok(None)) {
            self.note(Some("null".to_owned()), name, "not be null".to_owned());
        }
    }

    fn note(&mut self, shown: Option<String>, member: &str, constraint: String) {
        if self.violations.0.len() < VIOLATIONS_MAX {
            self.violations.0.push(Violation { shown, member: lower_first(member), constraint });
        }
    }

    fn check_length(&mut self, name: &str, text: &str, chars: RangeInclusive<usize>) {
        let count = text.chars().count();
        if count > *chars.end() {
            let most = chars.end();
            self.violate(Some(text), name, format_args!("have length less than or equal to {most}"));
        } else if count < *chars.start() {
            let least = chars.start();
            self.violate(Some(text), name, format_args!("have length greater than or equal to {least}"));
        }
    }

    pub(super) fn text(
        &mut self,
        name: &str,
        chars: RangeInclusive<usize>,
    ) -> Result<Option<Cow<'a, str>>, Malformed> {
        let text = self.member(name)?.map(|json| read_text(json, name)).transpose()?;
        if let Some(text) = &text {
            self.check_length(name, text, chars);
        }
        Ok(text)
    }

    pub(super) fn required_text(
        &mut self,
        name: &str,
        chars: RangeInclusive<usize>,
    ) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.require(name);
        self.text(name, chars)
    }

    pub(super) fn secret_id(&mut self) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.required_text("SecretId", 1..=SECRET_ID_CHARS_MAX)
    }

    pub(super) fn one_of(&mut self, name: &str, values: &[&str]) -> Result<Option<Cow<'a, str>>, Malformed> {
        let text = self.text(name, 0..=usize::MAX)?;
        if let Some(text) = text.as_deref().filter(|text| !values.contains(text)) {
            let values = values.join(", ");
            self.violate(Some(text), name, format_args!("satisfy enum value set: [{values}]"));
        }
        Ok(text)
    }

    /// A text with a rule for its characters besides its length.
    fn parsed_text<T: FromStr>(
        &mut self,
        name: &str,
        text: &str,
        chars: RangeInclusive<usize>,
        pattern: &str,
    ) -> Option<T> {
        let violations = self.violations.0.len();
        self.check_length(name, text, chars);
        let parsed = text.parse().ok();
        if parsed.is_none() && self.violations.0.len() == violations {
            self.violate(Some(text), name, format_args!("satisfy regular expression pattern: {pattern}"));
        }
        parsed
    }

    pub(super) fn version_id(&mut self, name: &str) -> Result<Option<VersionId>, Malformed> {
        let Some(json) = self.member(name)? else { return Ok(None) };
        let text = read_text(json, name)?;
        Ok(self.parsed_text(name, &text, VERSION_ID_CHARS_MIN..=VERSION_ID_CHARS_MAX, "[!-~]+"))
    }

    pub(super) fn stage(&mut self, name: &str) -> Result<Option<Stage>, Malformed> {
        let Some(json) = self.member(name)? else { return Ok(None) };
        let text = read_text(json, name)?;
        Ok(self.parsed_text(name, &text, 1..=STAGE_CHARS_MAX, "[^\\p{Cc}]+"))
    }

    pub(super) fn stages(&mut self, name: &str) -> Result<Option<Vec<Stage>>, Malformed> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        if list.is_empty() {
            self.violate(Some("[]"), name, format_args!("have length greater than or equal to 1"));
        } else if list.len() > STAGES_PER_REQUEST_MAX {
            let most = STAGES_PER_REQUEST_MAX;
            self.violate(None, name, format_args!("have length less than or equal to {most}"));
            return Ok(None);
        }
        let mut stages = Vec::with_capacity(list.len());
        for (at, json) in list.into_iter().enumerate() {
            let member = format!("{name}.{}.member", at + 1);
            let text = read_text(json, name)?;
            stages.extend(self.parsed_text::<Stage>(&member, &text, 1..=STAGE_CHARS_MAX, "[^\\p{Cc}]+"));
        }
        Ok(Some(stages))
    }

    /// Names and ARNs, 1 to 20.
    pub(super) fn secret_ids(&mut self, name: &str) -> Result<Option<Vec<String>>, Malformed> {
        const MOST: usize = 20;
        let ids = self.texts(name, 1..=SECRET_ID_CHARS_MAX)?;
        match ids.as_ref().map(Vec::len) {
            Some(0) => {
                self.violate(Some("[]"), name, format_args!("have length greater than or equal to 1"));
            }
            Some(count) if count > MOST => {
                self.violate(None, name, format_args!("have length less than or equal to {MOST}"));
            }
            _ => {}
        }
        Ok(ids)
    }

    /// A list of texts, their lengths checked.
    pub(super) fn texts(
        &mut self,
        name: &str,
        chars: RangeInclusive<usize>,
    ) -> Result<Option<Vec<String>>, Malformed> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        let mut texts = Vec::with_capacity(list.len());
        for (at, json) in list.into_iter().enumerate() {
            let text = read_text(json, name)?;
            self.check_length(&format!("{name}.{}.member", at + 1), &text, chars.clone());
            texts.push(text.into_owned());
        }
        Ok(Some(texts))
    }

    /// Keys and values, their lengths checked.
    pub(super) fn tags(&mut self, name: &str) -> Result<Option<Vec<(String, String)>>, Malformed> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        let mut tags = Vec::with_capacity(list.len());
        for (at, json) in list.into_iter().enumerate() {
            let member = format!("{name}.{}.member", at + 1);
            let mut tag = Input { members: read_object(json)?, violations: Violations::default() };
            let key = tag.member("Key")?.map(|json| read_text(json, "Key")).transpose()?;
            let value = tag.text("Value", 0..=usize::MAX)?.unwrap_or_default();
            match key {
                Some(key) => {
                    self.check_length(&format!("{member}.key"), &key, 1..=TAG_KEY_CHARS_MAX);
                    self.check_length(&format!("{member}.value"), &value, 0..=TAG_VALUE_CHARS_MAX);
                    tags.push((key.into_owned(), value.into_owned()));
                }
                None => self.require(&format!("{member}.key")),
            }
        }
        Ok(Some(tags))
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<&'a RawValue>>, Malformed> {
        let Some(json) = self.member(name)? else { return Ok(None) };
        serde_json::from_str(json.get())
            .map(|Elements(list)| Some(list))
            .map_err(|_| wrong_type(json, name, "List"))
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Malformed> {
        match self.member(name)? {
            None => Ok(None),
            Some(json) => match json.get() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(wrong_type(json, name, "Boolean")),
            },
        }
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Malformed> {
        let json = self.member(name)?;
        json.map(|json| json.get().parse().map_err(|_| wrong_type(json, name, "Integer"))).transpose()
    }

    /// A whole number with its limits.
    pub(super) fn integer_within(
        &mut self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, Malformed> {
        let Some(asked) = self.integer(name)? else { return Ok(None) };
        let shown = asked.to_string();
        let (least, most) = (*range.start(), *range.end());
        let number = usize::try_from(asked).unwrap_or(0);
        if number < least {
            self.violate(Some(&shown), name, format_args!("have value greater than or equal to {least}"));
        } else if number > most {
            self.violate(Some(&shown), name, format_args!("have value less than or equal to {most}"));
        }
        Ok(Some(number))
    }

    pub(super) fn max_results(&mut self) -> Result<u32, Malformed> {
        let asked = self.integer_within("MaxResults", 1..=PAGE_ENTRIES_MAX as usize)?;
        Ok(asked.and_then(|asked| u32::try_from(asked).ok()).unwrap_or(PAGE_ENTRIES_MAX))
    }

    pub(super) fn next_token(&mut self) -> Result<Option<String>, Malformed> {
        Ok(self.text("NextToken", 1..=NEXT_TOKEN_CHARS_MAX)?.map(Cow::into_owned))
    }

    pub(super) fn value(&mut self) -> Result<ValueMembers, Malformed> {
        let string = self.member("SecretString")?;
        let string = string.map(|json| read_secret_text(json, "SecretString")).transpose()?;
        let binary = self.member("SecretBinary")?;
        let binary =
            binary.map(|json| decode_base64(&read_secret_text(json, "SecretBinary")?)).transpose()?;
        for (name, bytes) in [("SecretString", &string), ("SecretBinary", &binary)] {
            match bytes.as_ref().map(SecretBytes::len) {
                Some(0) => self.violate(None, name, format_args!("have length greater than or equal to 1")),
                Some(length) if length > SECRET_VALUE_BYTES_MAX => {
                    let most = SECRET_VALUE_BYTES_MAX;
                    self.violate(None, name, format_args!("have length less than or equal to {most}"));
                }
                _ => {}
            }
        }
        Ok(ValueMembers { string, binary })
    }
}

/// `SecretId` is told as `secretId`.
fn lower_first(name: &str) -> String {
    let mut characters = name.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + characters.as_str())
}

/// The text for a member of another type, in the words of AWS's own JSON reader. It tells the kind of the value
/// and never the value.
fn wrong_type(json: &RawValue, name: &str, expected: &str) -> Malformed {
    let found = match json.get().as_bytes().first() {
        Some(b'{') => {
            return Malformed::Serialization("Start of structure or map found where not expected.".into());
        }
        Some(b'[') => return Malformed::Serialization("Start of list found where not expected.".into()),
        Some(b'"') => "STRING_VALUE",
        Some(b't') => "TRUE_VALUE",
        Some(b'f') => "FALSE_VALUE",
        _ => "NUMBER_VALUE",
    };
    Malformed::Serialization(format!("{found} can not be converted to a {expected} ({name})").into())
}

fn read_text<'a>(json: &'a RawValue, name: &str) -> Result<Cow<'a, str>, Malformed> {
    serde_json::from_str(json.get()).map(|RawText(text)| text).map_err(|_| wrong_type(json, name, "String"))
}

fn read_object(json: &RawValue) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Malformed> {
    serde_json::from_str(json.get()).map(|RawMembers(members)| members).map_err(|_| {
        Malformed::Serialization("Unexpected token found where a structure was expected.".into())
    })
}

/// A JSON string's text, without passing it through serde_json's buffers, which nobody wipes.
pub(super) fn read_secret_text(json: &RawValue, name: &str) -> Result<SecretBytes, Malformed> {
    let quoted = json.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let quoted = quoted.ok_or_else(|| wrong_type(json, name, "String"))?;
    if !quoted.contains('\\') {
        return Ok(SecretBytes::copy_from(quoted.as_bytes()));
    }
    // Unescaping never makes a text longer, so the buffer never moves.
    let mut text = Zeroizing::new(Vec::with_capacity(quoted.len()));
    unescape(quoted, &mut text).ok_or_else(|| {
        Malformed::Serialization(format!("The member {name} holds an invalid escape.").into())
    })?;
    Ok(SecretBytes::from(text))
}

/// Undoes the escapes of a JSON string; `None` if one is illegal or names half a character.
fn unescape(quoted: &str, text: &mut Vec<u8>) -> Option<()> {
    let mut rest = quoted;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.extend_from_slice(plain.as_bytes());
        let kind = *escaped.as_bytes().first()?;
        rest = escaped.get(1..)?;
        match kind {
            b'"' | b'\\' | b'/' => text.push(kind),
            b'b' => text.push(0x08),
            b'f' => text.push(0x0c),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let mut unit = take_unit(&mut rest)?;
                if (0xd800..0xdc00).contains(&unit) {
                    rest = rest.strip_prefix("\\u")?;
                    let low = take_unit(&mut rest).filter(|low| (0xdc00..0xe000).contains(low))?;
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                let mut buffer = Zeroizing::new([0; 4]);
                text.extend_from_slice(char::from_u32(unit)?.encode_utf8(&mut *buffer).as_bytes());
            }
            _ => return None,
        }
    }
    text.extend_from_slice(rest.as_bytes());
    Some(())
}

fn take_unit(rest: &mut &str) -> Option<u32> {
    let digits = rest.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    *rest = rest.get(4..)?;
    u32::from_str_radix(digits, 16).ok()
}

fn decode_base64(text: &SecretBytes) -> Result<SecretBytes, Malformed> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = BASE64
        .decode_slice(text.expose_secret(), &mut bytes)
        .map_err(|_| Malformed::Serialization("The member SecretBinary is not valid Base64.".into()))?;
    Ok(SecretBytes::copy_from(bytes.get(..length).unwrap_or_default()))
}

/// Whether lists and objects are nested deeper than `most`. serde_json skips over nesting of any depth without
/// recursion, so it is no danger there; but no legal body is deep.
fn is_deeper_than(body: &[u8], most: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The elements of a list, untouched.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AList;
        impl<'de> Visitor<'de> for AList {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(AList)
    }
}
