//! The passphrase of a store that is sealed by one: from a file, or asked for once in a command's life.
//!
//! I/O: the terminal, one file, an environment variable. Invariant: it stays in wiped buffers.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use coffer_types::SecretBytes;
use coffer_wire_local::FailureKind;

use crate::failure::Stop;
use crate::given::bits_of_others;
use crate::output::Output;
use crate::terminal;

/// Names a file that holds the passphrase, for where nobody can be asked.
const PASSPHRASE_FILE: &str = "COFFER_PASSPHRASE_FILE";
const PASSPHRASE_BYTES_MAX: u64 = 64 * 1024;
/// Fewer characters are refused for a new store.
const CHARACTERS_MIN: usize = 8;
/// Fewer are warned of: whoever has the sealed key can guess without end.
const CHARACTERS_ADVISED: usize = 15;

/// Where the passphrase comes from, and what it is once that is known.
pub(crate) struct Passphrase {
    known: RefCell<Option<SecretBytes>>,
    output: Output,
}

impl Passphrase {
    /// Nothing is asked yet.
    pub(crate) fn new(output: Output) -> Self {
        Self { known: RefCell::new(None), output }
    }

    /// That of a store which has one.
    pub(crate) fn get(&self) -> Result<SecretBytes, Stop> {
        if self.known.borrow().is_none() {
            let passphrase = match self.in_file()? {
                Some(passphrase) => passphrase,
                None => terminal::prompt("Passphrase: ", &hint())?,
            };
            *self.known.borrow_mut() = Some(passphrase);
        }
        self.copy()
    }

    /// That of a new store, asked for twice.
    pub(crate) fn make(&self) -> Result<SecretBytes, Stop> {
        let passphrase = match self.in_file()? {
            Some(passphrase) => passphrase,
            None => {
                let hint = hint();
                let passphrase = terminal::prompt("New passphrase: ", &hint)?;
                let again = terminal::prompt("The same again: ", &hint)?;
                if passphrase.expose_secret() != again.expose_secret() {
                    return Err(refused("the two passphrases differ"));
                }
                passphrase
            }
        };
        let characters = characters_of(&passphrase);
        if characters < CHARACTERS_MIN {
            let message = format!("a passphrase has at least {CHARACTERS_MIN} characters");
            return Err(refused(&message).with_hint("take a few words that nobody says together"));
        }
        if characters < CHARACTERS_ADVISED {
            self.output.warning(&format!(
                "the passphrase has fewer than {CHARACTERS_ADVISED} characters: whoever gets a copy of the store can try to guess it"
            ));
        }
        *self.known.borrow_mut() = Some(passphrase);
        self.copy()
    }

    fn copy(&self) -> Result<SecretBytes, Stop> {
        let known = self.known.borrow();
        let passphrase = known.as_ref().ok_or_else(|| refused("there is no passphrase"))?;
        Ok(SecretBytes::copy_from(passphrase.expose_secret()))
    }

    fn in_file(&self) -> Result<Option<SecretBytes>, Stop> {
        let Some(path) = std::env::var_os(PASSPHRASE_FILE).map(PathBuf::from) else { return Ok(None) };
        let shown = path.display();
        let failed = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => FailureKind::NotFound,
                io::ErrorKind::PermissionDenied => FailureKind::Denied,
                _ => FailureKind::Refused,
            };
            Stop::new(kind, format!("cannot read `{shown}`, which {PASSPHRASE_FILE} names: {error}"))
        };
        let file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.mode() & 0o777;
        // A pipe of the shell's has a mode that says nothing.
        if mode & bits_of_others(&path) != 0
            && !metadata.file_type().is_fifo()
            && !metadata.file_type().is_char_device()
        {
            self.output.warning(&format!(
                "others may read `{shown}`, which holds the passphrase and has mode {mode:04o}: chmod 600 it"
            ));
        }
        let passphrase = terminal::read(file, PASSPHRASE_BYTES_MAX).map_err(failed)?;
        let without_newline = passphrase.as_ref().map(|bytes| {
            let bytes = bytes.expose_secret();
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            bytes.strip_suffix(b"\r").unwrap_or(bytes)
        });
        match without_newline {
            Some(bytes) if !bytes.is_empty() => Ok(Some(SecretBytes::copy_from(bytes))),
            _ => Err(refused(&format!("`{shown}` holds no passphrase"))),
        }
    }
}

fn characters_of(passphrase: &SecretBytes) -> usize {
    let bytes = passphrase.expose_secret();
    std::str::from_utf8(bytes).map_or(bytes.len(), |text| text.chars().count())
}

fn hint() -> String {
    format!("name a file that holds the passphrase in {PASSPHRASE_FILE}")
}

fn refused(message: &str) -> Stop {
    Stop::new(FailureKind::Refused, message)
}
