//! What is asked of the person at the terminal, without echo, or read from a file they named.
//!
//! I/O: the terminal, one file, environment variables. Values come back in wiped buffers.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use coffer_types::SecretBytes;
use coffer_wire_local::FailureKind;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::failure::Stop;

/// Names a file that holds the passphrase, for where nobody can be asked.
const PASSPHRASE_FILE: &str = "COFFER_PASSPHRASE_FILE";
/// Where there is somebody to ask, whatever standard input is.
const TERMINAL: &str = "/dev/tty";
const PASSPHRASE_BYTES_MAX: u64 = 64 * 1024;

/// The passphrase of a store that has one.
pub(crate) fn passphrase() -> Result<SecretBytes, Stop> {
    match passphrase_file()? {
        Some(passphrase) => Ok(passphrase),
        None => prompt("Passphrase: ", &passphrase_hint()),
    }
}

/// The passphrase of a new store, asked for twice.
pub(crate) fn new_passphrase() -> Result<SecretBytes, Stop> {
    if let Some(passphrase) = passphrase_file()? {
        return Ok(passphrase);
    }
    let hint = passphrase_hint();
    let passphrase = prompt("New passphrase: ", &hint)?;
    let again = prompt("The same again: ", &hint)?;
    if passphrase.expose_secret() == again.expose_secret() {
        Ok(passphrase)
    } else {
        Err(refused("the two passphrases differ"))
    }
}

/// A line typed without echo. `hint` tells what to do where nobody can be asked.
pub(crate) fn prompt(question: &str, hint: &str) -> Result<SecretBytes, Stop> {
    let asked = Silence::begin().and_then(|_silence| rpassword::prompt_password(question));
    let typed = asked.map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => refused("interrupted"),
        _ => refused("there is no terminal to ask on").with_hint(hint),
    })?;
    if typed.is_empty() { Err(refused("nothing was typed")) } else { Ok(SecretBytes::from(typed)) }
}

/// The terminal does not echo until this is dropped. Begins before the question is asked, so that what is typed
/// ahead of it is not shown either.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Self> {
        let terminal = File::options().read(true).write(true).open(TERMINAL)?;
        catch_interrupt()?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        // As rpassword sets it, so that nothing typed in between is taken another way: Ctrl-C is a character here.
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Now, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // If it fails, the terminal is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Keeps Ctrl-C, for which rpassword raises the signal, from ending the process, which would leave the terminal
/// silent: the question ends as interrupted instead. The handler stays, so whatever else is to stop at Ctrl-C asks for it itself, as a server does.
fn catch_interrupt() -> io::Result<()> {
    let catch = || signal(SignalKind::interrupt()).map(drop);
    if Handle::try_current().is_ok() {
        return catch();
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    catch()
}

/// All of standard input, if it has at most `bytes_max`.
pub(crate) fn standard_input(bytes_max: usize) -> Result<SecretBytes, Stop> {
    read(io::stdin().lock(), bytes_max as u64)
        .map_err(|error| Stop::new(FailureKind::Other, format!("cannot read standard input: {error}")))?
        .ok_or_else(|| refused(&format!("a value has at most {bytes_max} bytes")))
}

fn passphrase_hint() -> String {
    format!("name a file that holds the passphrase in {PASSPHRASE_FILE}")
}

fn passphrase_file() -> Result<Option<SecretBytes>, Stop> {
    let Some(path) = env::var_os(PASSPHRASE_FILE).map(PathBuf::from) else { return Ok(None) };
    let passphrase =
        File::open(&path).and_then(|file| read(file, PASSPHRASE_BYTES_MAX)).map_err(|error| {
            let message = format!("cannot read `{}`, which {PASSPHRASE_FILE} names: {error}", path.display());
            Stop::new(FailureKind::Refused, message)
        })?;
    let without_newline = passphrase.as_ref().map(|bytes| {
        let bytes = bytes.expose_secret();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    });
    match without_newline {
        Some(bytes) if !bytes.is_empty() => Ok(Some(SecretBytes::copy_from(bytes))),
        _ => Err(refused(&format!("`{}` holds no passphrase", path.display()))),
    }
}

/// Everything in `source`; `None` if that is more than `bytes_max`.
fn read(source: impl Read, bytes_max: u64) -> io::Result<Option<SecretBytes>> {
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let capacity = usize::try_from(bytes_max).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    source.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then(|| SecretBytes::copy_from(&bytes)))
}

fn refused(message: &str) -> Stop {
    Stop::new(FailureKind::Refused, message)
}
