//! JSON that says nothing twice.
//!
//! Pure. Invariant: an object in which a name stands twice is refused, or two readers of one token could see two tokens.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Json {
    Null,
    Truth(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// Values by name.
pub(super) type Object = BTreeMap<String, Json>;

impl Json {
    pub(super) fn object(bytes: &[u8]) -> Option<Object> {
        match serde_json::from_slice(bytes) {
            Ok(Self::Object(object)) => Some(object),
            Ok(_) | Err(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Truth(_)
            | Self::Whole(_)
            | Self::Number(_)
            | Self::List(_)
            | Self::Object(_) => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            Self::Null
            | Self::Truth(_)
            | Self::Whole(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::Object(_) => None,
        }
    }

    /// Texts only, and all of them; a text alone is a list of one.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::Text(text) => Some(vec![text.clone()]),
            Self::List(list) => list.iter().map(|entry| entry.text().map(str::to_owned)).collect(),
            Self::Null | Self::Truth(_) | Self::Whole(_) | Self::Number(_) | Self::Object(_) => None,
        }
    }

    /// Seconds since 1970, in milliseconds.
    pub(super) fn moment_millis(&self) -> Option<i64> {
        // Beyond the year 9999 nothing is a moment.
        const SECONDS_MAX: i64 = 253_402_300_800;
        match self {
            Self::Whole(seconds) if (0..SECONDS_MAX).contains(seconds) => Some(seconds * 1000),
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "within bounds")]
            Self::Number(seconds) if (0.0..SECONDS_MAX as f64).contains(seconds) => {
                Some((seconds * 1000.0) as i64)
            }
            Self::Null
            | Self::Truth(_)
            | Self::Whole(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Object(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Truth(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is not told exactly is told as nearly as JSON does"
        )]
        Ok(i64::try_from(number).map_or(Json::Number(number as f64), Json::Whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Object::new();
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_something_twice_is_refused() {
        assert!(Json::object(br#"{"a": 1, "b": {"a": [1.5, null, true, "x"]}}"#).is_some());
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": {"b": 1, "b": 2}}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            "[]",
            "1",
            "",
            "{} {}",
        ] {
            assert_eq!(Json::object(text.as_bytes()), None, "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(Json::object(format!(r#"{{"a": {deep}}}"#).as_bytes()), None);
    }

    #[test]
    fn which_numbers_are_moments() {
        let millis = |text: &str| serde_json::from_str::<Json>(text).unwrap().moment_millis();
        assert_eq!((millis("5"), millis("5.25"), millis("0")), (Some(5000), Some(5250), Some(0)));
        for text in
            ["-1", "1e300", "253402300800", "9223372036854775807", "18446744073709551615", r#""5""#, "null"]
        {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
