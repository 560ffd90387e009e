//! A `.env` file as one document.
//!
//! Pure.

use coffer_types::SecretBytes;

use crate::env_file::Entry;

/// A JSON object of `entries`, in their order, with their keys as field names.
pub fn object_of(entries: &[Entry]) -> SecretBytes {
    // Room for the worst case, six bytes for each, so that no outgrown buffer stays behind.
    let room = entries.iter().map(|entry| (entry.key.len() + entry.value.len()) * 6 + 6).sum::<usize>() + 2;
    let mut json = Vec::with_capacity(room);
    json.push(b'{');
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        // Writing a string to a Vec can't fail.
        let _ = serde_json::to_writer(&mut json, &entry.key);
        json.push(b':');
        let _ = serde_json::to_writer(&mut json, entry.value.as_str());
    }
    json.push(b'}');
    SecretBytes::new(json)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn an_object_keeps_the_order_of_the_file() {
        let entry = |key: &str, value: &str| Entry { key: key.into(), value: Zeroizing::new(value.into()) };
        let object = object_of(&[entry("B", "1"), entry("A", "x\"\n")]);
        assert_eq!(object.expose_secret(), br#"{"B":"1","A":"x\"\n"}"#);
    }
}
