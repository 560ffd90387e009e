//! Programs: `exec:program argument`, whose standard output is the value.
//!
//! I/O: runs a program, without a shell, within a time. Only a manifest names one, never a value. Exit status 3 says that
//! it is not there, 4 denied, 6 unavailable, 8 that it can't be decrypted, as coffer's own; anything else but 0 is a
//! misconfiguration.

use std::io::{self, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use coffer_types::CorrelationId;

use crate::call::CORRELATION_VARIABLE;
use crate::error::{ErrorKind, FetchError};
use crate::provider::{Fetched, Provider};
use crate::providers::{DOCUMENT_BYTES_MAX, file};
use crate::reference::{Reference, Scheme};

/// How long a program may take.
const RUN_TIME_MAX: Duration = Duration::from_secs(30);

/// Programs.
pub struct Exec {
    folder: PathBuf,
    time_max: Duration,
    quiet: bool,
    says: Statuses,
}

/// What an exit status other than 0 says, and what to do; `None` is a misconfiguration.
pub(crate) type Statuses = fn(i32) -> Option<(ErrorKind, &'static str)>;

impl Exec {
    /// They are run in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), time_max: RUN_TIME_MAX, quiet: false, says }
    }

    /// The same with another limit of time.
    pub fn within(self, time_max: Duration) -> Self {
        Self { time_max, ..self }
    }

    /// The same, and what they say to standard error is not shown.
    pub(crate) fn quietly(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// The same, and their exit statuses say this.
    pub(crate) fn saying(self, says: Statuses) -> Self {
        Self { says, ..self }
    }

    /// What `program` prints, every byte of it. It is told what the call is known by.
    pub(crate) fn output(
        &self,
        program: &[String],
        id: Option<&CorrelationId>,
        provider: Scheme,
    ) -> Result<Zeroizing<Vec<u8>>, FetchError> {
        let Some((name, arguments)) = program.split_first() else {
            return Err(unreadable(provider));
        };
        let failed = |kind, what: String, action: &str| FetchError::new(kind, provider, what, action);
        let mut command = Command::new(name);
        command.args(arguments).current_dir(&self.folder);
        command.envs(id.map(|id| (CORRELATION_VARIABLE, id.as_str())));
        if self.quiet {
            command.stderr(Stdio::null());
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| {
            let action = "name a program that can be run";
            failed(ErrorKind::Misconfigured, format!("`{name}` can't be run"), action).caused_by(error)
        })?;
        let (sender, receiver) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            // A program that hands its output to another and ends may keep the pipe open: it is waited for as well.
            thread::spawn(move || {
                let mut bytes = Zeroizing::new(Vec::with_capacity(8 * 1024));
                let read = stdout.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes);
                let _ = sender.send(read.map(|_| bytes));
            });
        }
        let deadline = Instant::now() + self.time_max;
        let late = || {
            let what = format!("`{name}` took more than {} s", self.time_max.as_secs());
            failed(ErrorKind::Unavailable, what, "see what it waits for")
        };
        let status = wait_until(&mut child, deadline)
            .map_err(|error| {
                failed(ErrorKind::Unavailable, format!("`{name}` was lost"), "try again").caused_by(error)
            })?
            .ok_or_else(late)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let bytes = match receiver.recv_timeout(left) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                let what = format!("the output of `{name}` was lost");
                return Err(failed(ErrorKind::Unavailable, what, "try again").caused_by(error));
            }
            Err(_) => return Err(late()),
        };
        // Before its status, which says no more than that nobody read on.
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            let what = format!("`{name}` printed more than {DOCUMENT_BYTES_MAX} bytes");
            return Err(failed(ErrorKind::Malformed, what, "make it print one secret"));
        }
        self.refused(name, status, provider)?;
        Ok(bytes)
    }
}

impl Provider for Exec {
    fn scheme(&self) -> Scheme {
        Scheme::Exec
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        self.read(document, None)
    }

    fn fetch_as(&self, document: &Reference, id: &CorrelationId) -> Result<Fetched, FetchError> {
        self.read(document, Some(id))
    }
}

impl Exec {
    fn read(&self, document: &Reference, id: Option<&CorrelationId>) -> Result<Fetched, FetchError> {
        let program = words(document.path()).ok_or_else(|| unreadable(Scheme::Exec))?;
        let mut bytes = self.output(&program, id, Scheme::Exec)?;
        file::without_line_break(&mut bytes);
        Ok(Fetched::new(bytes.into()))
    }

    fn refused(&self, name: &str, status: ExitStatus, provider: Scheme) -> Result<(), FetchError> {
        let (how, kind, action) = match (status.code(), status.signal()) {
            (Some(0), _) => return Ok(()),
            (Some(code), _) => {
                let by_hand =
                    || (ErrorKind::Misconfigured, format!("run `{name}` by hand and see what it says"));
                let said = (self.says)(code).map(|(kind, action)| (kind, action.to_owned()));
                let (kind, action) = said.unwrap_or_else(by_hand);
                (format!("`{name}` ended with status {code}"), kind, action)
            }
            (None, signal) => {
                let how = format!("`{name}` was ended by signal {}", signal.unwrap_or_default());
                (how, ErrorKind::Unavailable, "try again".to_owned())
            }
        };
        Err(FetchError::new(kind, provider, how, action))
    }
}

fn unreadable(provider: Scheme) -> FetchError {
    FetchError::new(
        ErrorKind::Misconfigured,
        provider,
        "the command line ends inside a quote, or names nothing",
        "write exec:PROGRAM ARGUMENT…, with quotes closed",
    )
}

/// The table of what a program's exit status says.
fn says(status: i32) -> Option<(ErrorKind, &'static str)> {
    match status {
        3 => Some((ErrorKind::NotFound, "put it where the program looks")),
        4 => Some((ErrorKind::Denied, "let this user read it")),
        6 => Some((ErrorKind::Unavailable, "try again later")),
        8 => Some((ErrorKind::DecryptionFailed, "see what the program said")),
        _ => None,
    }
}

/// Its status once it has ended, or `None` once it was ended because its time was up.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The words of a command line: white space parts them, quotes of either kind keep it, a backslash outside single quotes
/// keeps the character behind it. Nothing else means anything.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(characters.next()?),
            (None, character) if character.is_whitespace() => words.extend(word.take()),
            (_, character) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_line() {
        for (line, expected) in [
            ("pass show a", Some(&["pass", "show", "a"][..])),
            ("  a   b ", Some(&["a", "b"])),
            (r#"sh -c 'echo "x y"'"#, Some(&["sh", "-c", r#"echo "x y""#])),
            (r#"a "b \" c" d\ e"#, Some(&["a", "b \" c", "d e"])),
            ("a '' b", Some(&["a", "", "b"])),
            (r"a 'b\'", Some(&["a", r"b\"])),
            ("a $B; c | d", Some(&["a", "$B;", "c", "|", "d"])),
            ("a 'b", None),
            ("a \\", None),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(
                words(line).as_deref(),
                expected.map(|w| w.iter().map(|s| s.to_string()).collect::<Vec<_>>()).as_deref(),
                "{line}"
            );
        }
    }
}
