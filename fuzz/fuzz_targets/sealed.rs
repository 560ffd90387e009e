//! Bytes that nobody sealed never open, and a root key file that is none is refused.
#![no_main]

use coffer_crypto::{RootKey, SealedRootKey, StoreId, SystemRandom};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = SealedRootKey::from_json(bytes);
    let root = RootKey::make(&SystemRandom);
    let store = StoreId::make(&SystemRandom);
    assert!(root.derive_store_key(store).open_record("secret", b"key", bytes).is_err());
    assert!(root.derive_wrapping_key(store).unwrap("key", &[], bytes).is_err());
});
