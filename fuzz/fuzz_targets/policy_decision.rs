//! The policy engine and the plain evaluator answer every case alike.
#![no_main]

use coffer_testkit::policy::{case, engine, naive};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let case = case(bytes);
    assert_eq!(engine(&case).expect("generated documents are valid"), naive(&case), "{}", case.0);
});
