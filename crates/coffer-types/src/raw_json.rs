//! The members of a JSON object, taken apart and nothing more.
//!
//! Pure. Invariants: members keep their order, one that stands twice is there twice, and their values are not parsed, so that
//! a secret among them passes through no buffer that isn't wiped.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names and values of an object, as they stand.
pub struct RawMembers<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
pub struct RawText<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnObject;
        impl<'de> Visitor<'de> for AnObject {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((RawText(name), json)) = map.next_entry()? {
                    members.push((name, json));
                }
                Ok(RawMembers(members))
            }
        }
        deserializer.deserialize_map(AnObject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_their_doubles_and_their_text() {
        let RawMembers(members) = serde_json::from_str(r#"{"b": 1.0, "\u0061": [ 2 ], "b": "x"}"#).unwrap();
        let members: Vec<_> = members.iter().map(|(name, json)| (name.as_ref(), json.get())).collect();
        assert_eq!(members, [("b", "1.0"), ("a", "[ 2 ]"), ("b", r#""x""#)]);
        for other in ["[]", "1", "null", r#"{"a"}"#, r#"{"a": 1"#] {
            assert!(serde_json::from_str::<RawMembers<'_>>(other).is_err(), "{other}");
        }
    }
}
