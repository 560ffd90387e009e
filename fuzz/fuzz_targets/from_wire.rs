//! A body decoded as each operation.
#![no_main]

use coffer_core::ops::secrets::*;
use coffer_wire_aws::from_wire::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = decode::<CreateSecret>(body);
    let _ = decode::<GetSecretValue>(body);
    let _ = decode::<PutSecretValue>(body);
    let _ = decode::<DescribeSecret>(body);
    let _ = decode::<ListSecrets>(body);
    let _ = decode::<ListSecretVersionIds>(body);
    let _ = decode::<UpdateSecretVersionStage>(body);
    let _ = decode::<DeleteSecret>(body);
    let _ = decode::<RestoreSecret>(body);
    let _ = decode::<TagResource>(body);
    let _ = decode::<UntagResource>(body);
    let _ = decode::<GetRandomPassword>(body);
    let _ = decode::<UpdateSecret>(body);
    let _ = decode::<BatchGetSecretValue>(body);
});
