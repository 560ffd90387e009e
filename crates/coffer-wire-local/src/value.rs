//! A secret value on the wire.
//!
//! Pure.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_types::{SecretBytes, SecretValue};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret value: `{"string":"…"}` or `{"binary":"…"}`, both in base64.
///
/// Text is in base64 too, because a JSON parser copies a text with escapes into a buffer that nobody wipes.
pub struct WireValue(pub SecretValue);

const KINDS: &[&str] = &["string", "binary"];

impl Serialize for WireValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, bytes) = match &self.0 {
            SecretValue::String(bytes) => ("string", bytes),
            SecretValue::Binary(bytes) => ("binary", bytes),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(kind, Zeroizing::new(STANDARD.encode(bytes.expose_secret())).as_str())?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for WireValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = SecretValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a binary in base64")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretValue, A::Error> {
        let value = match map.next_key::<Kind>()? {
            Some(Kind::String) => SecretValue::string(map.next_value::<Base64>()?.0),
            Some(Kind::Binary) => SecretValue::binary(map.next_value::<Base64>()?.0),
            None => return Err(de::Error::custom("a value is a string or a binary")),
        };
        if map.next_key::<Kind>()?.is_some() {
            return Err(de::Error::custom("a value is either a string or a binary"));
        }
        value.ok_or_else(|| de::Error::custom("a value has 1 to 65536 bytes, and a string is UTF-8"))
    }
}

enum Kind {
    String,
    Binary,
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KindVisitor;
        impl Visitor<'_> for KindVisitor {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`string` or `binary`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Kind, E> {
                match text {
                    "string" => Ok(Kind::String),
                    "binary" => Ok(Kind::Binary),
                    // The text itself is left out: a confused writer may have put the value here.
                    _ => Err(E::unknown_variant("another kind", KINDS)),
                }
            }
        }
        deserializer.deserialize_str(KindVisitor)
    }
}

struct Base64(SecretBytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64Visitor;
        impl Visitor<'_> for Base64Visitor {
            type Value = Base64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64, E> {
                let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
                // The cause is left out: it names a byte of the value.
                let length = STANDARD
                    .decode_slice(text, &mut bytes)
                    .map_err(|_| E::custom("a value is not base64"))?;
                bytes.truncate(length);
                Ok(Base64(bytes.into()))
            }
        }
        deserializer.deserialize_str(Base64Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, decode};

    fn text_of(json: &str) -> Result<Vec<u8>, String> {
        match serde_json::from_str::<WireValue>(json) {
            Ok(value) => Ok(value.0.bytes().expose_secret().to_vec()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn both_kinds_are_base64() {
        let value = WireValue(SecretValue::string(SecretBytes::copy_from(b"a\"b")).unwrap());
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"string":"YSJi"}"#);
        let value = WireValue(SecretValue::binary(SecretBytes::copy_from(&[0xff])).unwrap());
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"binary":"/w=="}"#);
        assert_eq!(text_of(r#"{"string":"YSJi"}"#).unwrap(), b"a\"b");
        assert_eq!(text_of(r#"{"binary":"/w=="}"#).unwrap(), [0xff]);
    }

    /// Everything that an error says, its causes and its `Debug` included.
    fn said_of<T: serde::de::DeserializeOwned>(json: &str) -> String {
        let error = decode::<T>(json.as_bytes()).err().expect(json);
        let mut said = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            said.push_str(&format!(" {error} {error:?}"));
            cause = error.source();
        }
        said
    }

    #[test]
    fn what_is_no_value_is_refused_without_repeating_it() {
        for bad in [
            r#"{}"#,
            r#"{"string":""}"#,
            r#"{"string":"/w=="}"#,
            r#"{"string":"hunter2!"}"#,
            r#"{"string":"aHVudGVyMg=="#,
            r#"{"string":"YQ==","binary":"YQ=="}"#,
            r#"{"hunter2":"YQ=="}"#,
            r#"{"string":5}"#,
            r#"{"string":4242}"#,
            r#"{"string":["hunter2"]}"#,
            r#"{"string":{"hunter2":"hunter2"}}"#,
            r#""hunter2""#,
            r#"hunter2"#,
            r#"4242"#,
            r#"-4242.5"#,
            r#"["hunter2"]"#,
            r#"[["hunter2"]]"#,
            r#"true"#,
            r#"null"#,
        ] {
            for json in [
                format!(r#"{{"operation":"PutSecretValue","parameters":{{"secret_id":"a","value":{bad}}}}}"#),
                format!(r#"{{"parameters":{{"secret_id":"a","value":{bad}}},"operation":"PutSecretValue"}}"#),
                format!(r#"{{"operation":"hunter2","parameters":{{"value":{bad}}}}}"#),
                format!(r#"{{"operation":{bad},"parameters":{{}}}}"#),
            ] {
                assert_silent(&said_of::<Request>(&json), &json);
            }
            assert_silent(&said_of::<WireValue>(bad), bad);
        }
    }

    fn assert_silent(said: &str, json: &str) {
        for secret in ["hunter2", "aHVudGVyMg", "4242"] {
            assert!(!said.contains(secret), "{json} {said}");
        }
    }
}
