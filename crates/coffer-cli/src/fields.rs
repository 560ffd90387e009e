//! The fields of a value that is a JSON object, as `import` makes it and `get NAME#FIELD` reads it.
//!
//! Pure. Buffers that held a field are wiped as far as this file owns them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coffer_types::SecretBytes;
use serde_json::value::RawValue;
use zeroize::{Zeroize, Zeroizing};

use crate::output::plain;

/// An object's fields, each as its JSON text.
pub(crate) struct Fields(BTreeMap<String, Zeroizing<String>>);

/// Names of fields that differ between two objects.
#[derive(Default, PartialEq, Eq, Debug, serde::Serialize)]
pub(crate) struct Differences {
    /// Only in the new one.
    pub(crate) added: Vec<String>,
    /// In both, with other values.
    pub(crate) changed: Vec<String>,
    /// Only in the old one.
    pub(crate) removed: Vec<String>,
}

impl Fields {
    /// No fields.
    pub(crate) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// The fields of `value`; `None` if it is no JSON object.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(value).ok()?;
        let owned = |raw: Box<RawValue>| Zeroizing::new(String::from(Box::<str>::from(raw)));
        Some(Self(fields.into_iter().map(|(name, raw)| (name, owned(raw))).collect()))
    }

    /// A field: the text of a string, the JSON of anything else.
    pub(crate) fn get(&self, name: &str) -> Option<SecretBytes> {
        let json = self.0.get(name)?;
        Some(match text_of(json) {
            Some(text) => SecretBytes::copy_from(text.as_bytes()),
            None => SecretBytes::copy_from(json.as_bytes()),
        })
    }

    /// The fields' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What differs from `older`. Two texts are the same however they are escaped.
    pub(crate) fn differences(&self, older: &Self) -> Differences {
        let mut differences = Differences::default();
        for (name, json) in &self.0 {
            match older.0.get(name) {
                None => differences.added.push(name.clone()),
                Some(other) if !is_same(json, other) => differences.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        differences.removed = older.0.keys().filter(|name| !self.0.contains_key(*name)).cloned().collect();
        differences
    }
}

impl Differences {
    /// The names, one line for each kind of difference.
    pub(crate) fn describe(&self, text: &mut String) -> std::fmt::Result {
        for (word, names) in [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)]
        {
            if !names.is_empty() {
                writeln!(text, "  {word}: {}", plain(&names.join(", ")))?;
            }
        }
        Ok(())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

fn text_of(json: &str) -> Option<Zeroizing<String>> {
    serde_json::from_str(json).ok().map(Zeroizing::new)
}

fn is_same(left: &str, right: &str) -> bool {
    match (text_of(left), text_of(right)) {
        (Some(left), Some(right)) => left == right,
        (None, None) => left == right,
        _ => false,
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.values_mut().for_each(|json| json.zeroize());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    fn field(json: &str, name: &str) -> Option<String> {
        fields(json).get(name).map(|value| String::from_utf8(value.expose_secret().to_vec()).unwrap())
    }

    #[test]
    fn a_string_field_is_its_text_and_any_other_its_json() {
        let json = r#"{"a":"x\ny","n":12.50,"o":{"b": 1},"t":true,"z":null}"#;
        for (name, expected) in
            [("a", "x\ny"), ("n", "12.50"), ("o", r#"{"b": 1}"#), ("t", "true"), ("z", "null")]
        {
            assert_eq!(field(json, name).as_deref(), Some(expected));
        }
        assert_eq!(field(json, "b"), None);
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for json in ["", "x", "1", "\"a\"", "[1]", "{\"a\":1", "{\"a\":1} x"] {
            assert!(Fields::parse(json.as_bytes()).is_none(), "{json}");
        }
    }

    #[test]
    fn differences_are_by_name_and_see_through_escapes() {
        let older = fields(r#"{"a":"x","b":"é","c":1,"d":"x"}"#);
        let newer = fields(r#"{"a":"y","b":"\u00e9","d":"x","e":"x"}"#);
        let expected =
            Differences { added: vec!["e".into()], changed: vec!["a".into()], removed: vec!["c".into()] };
        assert_eq!(newer.differences(&older), expected);
        assert!(newer.differences(&newer).is_empty());
    }
}
