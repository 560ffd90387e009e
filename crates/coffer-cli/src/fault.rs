//! What is said of a fault of coffer's own: where it is, and never what was at hand.
//!
//! I/O: standard error. Invariant: a panic's payload, which may hold a value, goes nowhere.

use std::panic::{self, Location};

use coffer_wire_local::FailureKind;

use crate::failure::Stop;
use crate::output::Output;

/// Has every panic from here on told quietly, those too that end one request of a server and not the server.
pub(crate) fn tell_quietly(output: Output) {
    panic::set_hook(Box::new(move |panic| output.stop(&stop_at(panic.location()))));
}

fn stop_at(location: Option<&Location<'_>>) -> Stop {
    let place = location.map_or_else(
        || "an unknown place".to_owned(),
        |location| format!("{}:{}", location.file(), location.line()),
    );
    Stop::new(FailureKind::Other, format!("coffer failed: an internal fault at {place}")).with_hint(
        "please report it with this place, the command and `coffer --version`; what was committed is safe",
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Run by the test below in a process of its own, since a hook is the whole process's.
    #[test]
    #[ignore = "panics on purpose"]
    fn panics_with_a_value() {
        tell_quietly(Output { json: false });
        let value = "hunter2".to_owned();
        assert!(value.is_empty(), "{value}");
    }

    #[test]
    fn a_fault_is_told_by_its_place_only() {
        let name = "fault::tests::panics_with_a_value";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--exact", name])
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("error: coffer failed: an internal fault at "), "{said}");
        assert!(said.contains("src/fault.rs:") && said.contains("\nhint: please report it"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
