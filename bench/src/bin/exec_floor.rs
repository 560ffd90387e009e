//! The limit that `coffer run` is measured against: gets values from one place, puts them into the environment, becomes the
//! program. No manifest, no layers, no checks.
//!
//! `exec_floor --file FILE PROGRAM…` reads `NAME=value` lines; `exec_floor --get ADDR:PORT NAME PROGRAM…` sends one GET over
//! loopback. I/O: that, and the program.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, bail};

const USAGE: &str = "usage: exec_floor --file FILE PROGRAM… | --get ADDR:PORT NAME PROGRAM…";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (values, program) = match arguments.as_slice() {
        [option, file, program @ ..] if option == "--file" => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{file}`"))?;
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let values: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            (values, program)
        }
        [option, address, name, program @ ..] if option == "--get" => {
            (vec![(name.clone(), get(address)?)], program)
        }
        _ => bail!(USAGE),
    };
    let (name, rest) = program.split_first().context(USAGE)?;
    Err(Command::new(name).args(rest).envs(values).exec()).with_context(|| format!("cannot run `{name}`"))
}

/// The body of the answer to one GET.
fn get(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    write!(stream, "GET /v1/secret HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200 "), "refused");
    Ok(body.to_owned())
}
