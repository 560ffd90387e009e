//! A test binary of its own, because hardening changes the whole process.
#![cfg(target_os = "linux")]

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

#[test]
fn a_hardened_process_leaves_no_core_and_cannot_be_traced() {
    for _ in ["first", "again"] {
        coffer_crypto::process::harden_process().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
}
