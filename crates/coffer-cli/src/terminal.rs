//! What is asked of the person at the terminal, with echo or without, and what comes from standard input.
//!
//! I/O: the terminal, standard input. Values come back in wiped buffers.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};

use coffer_types::SecretBytes;
use coffer_wire_local::FailureKind;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::failure::Stop;
use crate::interrupt::{Keyboard, Signals};
use crate::output::Output;

/// Where there is somebody to ask, whatever standard input is.
const TERMINAL: &str = "/dev/tty";

/// A line typed without echo. `hint` tells what to do where nobody can be asked.
pub(crate) fn prompt(question: &str, hint: &str) -> Result<SecretBytes, Stop> {
    let asked = Silence::begin().and_then(|_silence| rpassword::prompt_password(question));
    let typed = asked.map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => interrupted(),
        _ => refused("there is no terminal to ask on").with_hint(hint),
    })?;
    if typed.is_empty() { Err(refused("nothing was typed")) } else { Ok(SecretBytes::from(typed)) }
}

/// Whether there is somebody to answer a question: a script that reads objects, or from a pipe, is nobody.
pub(crate) fn can_ask(output: Output) -> bool {
    !output.json && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The line that answers a question, without white space around it; `None` at the end of input.
pub(crate) fn ask(output: Output, signals: &mut Signals, question: &str) -> Result<Option<String>, Stop> {
    output.question(question);
    let answer = signals.unless_ended(Keyboard::Ours, || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|bytes| (bytes > 0).then_some(line))
    });
    match answer {
        Ok(Some(Ok(line))) => Ok(line.map(|line| line.trim().to_owned())),
        Ok(None) => Err(interrupted()),
        Ok(Some(Err(error))) | Err(error) => {
            Err(Stop::new(FailureKind::Other, format!("cannot read the answer: {error}")))
        }
    }
}

/// Goes on if the person at the terminal says yes, and ends the command if not.
pub(crate) fn confirm(output: Output, question: &str) -> Result<(), Stop> {
    let mut signals = Signals::catch().map_err(|error| Stop::of(FailureKind::Other, &error))?;
    let answer = ask(output, &mut signals, &format!("{question} [y/N] "))?;
    if answer.is_some_and(|answer| ["y", "yes"].iter().any(|yes| answer.eq_ignore_ascii_case(yes))) {
        Ok(())
    } else {
        Err(Stop::new(FailureKind::Other, "nothing was changed"))
    }
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

/// Everything in `source`; `None` if that is more than `bytes_max`.
pub(crate) fn read(source: impl Read, bytes_max: u64) -> io::Result<Option<SecretBytes>> {
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let capacity = usize::try_from(bytes_max).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    source.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then(|| SecretBytes::copy_from(&bytes)))
}

/// Ctrl-C at a question, the same at each.
fn interrupted() -> Stop {
    Stop::new(FailureKind::Other, "interrupted")
}

fn refused(message: &str) -> Stop {
    Stop::new(FailureKind::Refused, message)
}
