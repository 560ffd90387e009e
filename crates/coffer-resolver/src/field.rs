//! One field of a document that is a JSON object.
//!
//! Pure. Buffers that held a field are wiped as far as this file owns them.

use std::collections::BTreeMap;

use coffer_types::SecretBytes;
use serde_json::value::RawValue;
use zeroize::{Zeroize, Zeroizing};

/// Why there is no such field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoField {
    /// The document is an object without it, or with `null` there.
    Absent,
    /// The document is no JSON object.
    NoObject,
}

/// The field: the text of a string, the JSON of anything else.
pub fn field(document: &[u8], name: &str) -> Result<SecretBytes, NoField> {
    let mut fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(document).map_err(|_| NoField::NoObject)?;
    let json = fields.remove(name).map(|raw| Zeroizing::new(String::from(Box::<str>::from(raw))));
    for other in fields.into_values() {
        String::from(Box::<str>::from(other)).zeroize();
    }
    let json = json.filter(|json| json.as_str() != "null").ok_or(NoField::Absent)?;
    Ok(match serde_json::from_str::<String>(&json) {
        Ok(text) => SecretBytes::from(text),
        Err(_) => SecretBytes::copy_from(json.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let json = r#"{"a":"x\ny","n":12.50,"z":null,"o":{"b":1},"e":""}"#;
        for (name, expected) in [
            ("a", Ok("x\ny")),
            ("n", Ok("12.50")),
            ("o", Ok(r#"{"b":1}"#)),
            ("e", Ok("")),
            ("z", Err(NoField::Absent)),
            ("b", Err(NoField::Absent)),
        ] {
            let found = field(json.as_bytes(), name)
                .map(|value| String::from_utf8(value.expose_secret().to_vec()).unwrap());
            assert_eq!(found, expected.map(str::to_owned), "{name}");
        }
        for text in ["", "x", "[1]", "\"a\"", "{\"a\":1"] {
            assert_eq!(field(text.as_bytes(), "a").err(), Some(NoField::NoObject), "{text}");
        }
    }
}
