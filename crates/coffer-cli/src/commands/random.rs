//! `random`: a password that nobody has had before.
//!
//! Invariant: it is kept nowhere, and in wiped buffers until it is printed.

use std::io;

use coffer_wire_local::FailureKind;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::access::{Access, Place};
use crate::arguments::Random;
use crate::failure::Stop;
use crate::output::{Output, stdout_is_terminal};

/// `random --json`.
#[derive(Serialize)]
struct RandomObject<'a> {
    password: &'a str,
}

/// Prints a password: as it is to a pipe or a file, and on a line of its own to a terminal.
pub(crate) fn random(place: &Place, arguments: &Random, output: Output) -> Result<(), Stop> {
    let password = Access::of(place, "coffer random", |access| access.random_password(&arguments.password))?;
    let password = password.expose_secret();
    // Room for the worst case, so that no outgrown buffer stays behind.
    let mut text = Zeroizing::new(Vec::with_capacity(password.len() * 6 + 32));
    if output.json {
        let password = std::str::from_utf8(password)
            .map_err(|_| Stop::new(FailureKind::Other, "the password is no text"))?;
        serde_json::to_writer(&mut *text, &RandomObject { password }).map_err(io::Error::from)?;
        text.push(b'\n');
    } else {
        text.extend_from_slice(password);
        if stdout_is_terminal() {
            text.push(b'\n');
        }
    }
    output.bytes(&text)
}
