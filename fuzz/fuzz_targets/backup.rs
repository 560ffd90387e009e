//! A backup read to its end, as it is and with the keys of a store.
#![no_main]

use coffer_core::backup::{Check, Reader};
use coffer_crypto::{RootKey, StoreId, SystemRandom};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::open(bytes) else { return };
    let mut check = Check::new(&RootKey::make(&SystemRandom), StoreId::make(&SystemRandom));
    while let Ok(Some(entries)) = reader.next() {
        entries.iter().for_each(|entry| check.record(entry));
    }
    let _ = check.finish(reader.header());
});
