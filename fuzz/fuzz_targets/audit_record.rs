//! Bytes taken as an audit record: refused, or one line that is kept as it is.
#![no_main]

use coffer_audit::RecordBody;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(body) = RecordBody::from_bytes(bytes.to_vec()) {
        assert_eq!(body.as_bytes(), bytes);
        assert!(!bytes.contains(&b'\n'));
    }
});
