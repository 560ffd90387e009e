//! A secret's id parses or is refused, and what parses prints itself.
#![no_main]

use coffer_types::SecretId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<SecretId>() {
        assert_eq!(id.to_string(), text);
    }
});
