//! Keeps this process's memory to itself.
//!
//! I/O: system calls that change the process. Linux; elsewhere it does nothing.

use std::io;

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct HardenError {
    action: &'static str,
    #[source]
    source: io::Error,
}

/// Forbids core dumps and tracing by other processes of the same user. To be called before the first secret is
/// read; child processes that run another program get the second back, but not the first.
///
/// It does not stop root, and nothing here keeps pages from being swapped.
#[cfg(target_os = "linux")]
pub fn harden_process() -> Result<(), HardenError> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

    let refused = |action| move |error: rustix::io::Errno| HardenError { action, source: error.into() };
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(refused("forbid core dumps"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused("forbid tracing"))
}

/// Does nothing on this system.
#[cfg(not(target_os = "linux"))]
pub fn harden_process() -> Result<(), HardenError> {
    Ok(())
}
