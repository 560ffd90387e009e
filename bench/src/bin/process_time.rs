//! How long whole processes take, from before they are begun until they have ended.
//!
//! `process_time COUNT PROGRAM…` prints one line of JSON: the microseconds of each. I/O: begins processes; their output is
//! dropped. Invariant: one that fails is no figure: it ends the measurement.

#![allow(clippy::print_stdout, reason = "a tool that prints figures")]

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

const USAGE: &str = "usage: process_time COUNT PROGRAM…";

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let count: u32 = words.next().context(USAGE)?.parse().context(USAGE)?;
    let mut command = Command::new(words.next().context(USAGE)?);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        let status = command.status().context("cannot begin it")?;
        times.push(began.elapsed().as_micros().to_string());
        ensure!(status.success(), "it ended with {status}");
    }
    println!("[{}]", times.join(", "));
    Ok(())
}
