//! A frame of the local protocol decoded as a request.
#![no_main]

use coffer_wire_local::{Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let _ = coffer_wire_local::decode::<Request>(json);
    let _ = coffer_wire_local::decode::<Response>(json);
});
