//! `edit`: a value in the user's editor.
//!
//! Invariants: the value is in memory only, and its file is wiped when the command ends, whatever ends it but SIGKILL;
//! nothing is overwritten that was written meanwhile.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};

use coffer_types::limits::SECRET_VALUE_BYTES_MAX;
use coffer_types::{SecretBytes, SecretName, SecretValue, VersionId};
use coffer_wire_local::{FailureKind, JsonFault, WireValue};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments::Edit;
use crate::failure::Stop;
use crate::fields::{Differences, Fields};
use crate::interrupt::{Keyboard, Signals};
use crate::layout;
use crate::output::{Output, counted, plain};
use crate::scratch::Scratch;
use crate::terminal;

/// Indented JSON is longer than what is stored of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// `edit --json`.
#[derive(Serialize)]
struct EditObject<'a> {
    name: &'a SecretName,
    /// `changed` or `unchanged`.
    outcome: &'static str,
    version_id: &'a VersionId,
    /// Names of fields; null if the value is no JSON object.
    fields: Option<&'a Differences>,
}

/// How the value is shown in the editor, and what is written back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// JSON in one piece: indented for the editor, and written back in one piece.
    Compact,
    /// JSON with a layout of its own, or too deep to be indented; kept as it is.
    Json,
    /// Any other text, as it is.
    Text,
}

pub(crate) fn edit(place: &Place, arguments: &Edit, output: Output) -> Result<(), Stop> {
    let name = arguments.name.as_str();
    // Nobody else waits while somebody thinks: the store is left, and looked at again before anything is written.
    let held = Access::of(place, "coffer edit", |access| access.get(name, None, None))?;
    let SecretValue::String(old) = &held.value.0 else {
        return Err(Stop::new(FailureKind::Refused, format!("the value of secret `{name}` is binary"))
            .with_hint(format!("give it a new one with `coffer put {name} < FILE`")));
    };
    let form = Form::of(old.expose_secret());
    let new = edited(name, old, form, output)?;
    let fields = Fields::parse(old.expose_secret()).zip(Fields::parse(new.expose_secret()));
    let differences = fields.map(|(old, new)| new.differences(&old));
    if new.expose_secret() == old.expose_secret() {
        let object = EditObject {
            name: &held.name,
            outcome: "unchanged",
            version_id: &held.version_id,
            fields: differences.as_ref(),
        };
        return output.data(&object, |text| writeln!(text, "secret `{name}` is unchanged"));
    }
    let bytes = new.len();
    let value = SecretValue::string(new).ok_or_else(|| illegal(bytes))?;
    let version_id = Access::of(place, "coffer edit", |access| {
        access.put_in_place_of(name, Some(&held.version_id), WireValue(value))
    })?;
    let object = EditObject {
        name: &held.name,
        outcome: "changed",
        version_id: &version_id,
        fields: differences.as_ref(),
    };
    output.data(&object, |text| {
        writeln!(text, "secret `{name}` has a new version {version_id}")?;
        differences.as_ref().map_or(Ok(()), |differences| differences.describe(text))
    })
}

/// What the editor made of the value.
fn edited(name: &str, old: &SecretBytes, form: Form, output: Output) -> Result<SecretBytes, Stop> {
    let (shown, file_name) = match form {
        Form::Compact => (layout::indented(old.expose_secret()), "value.json"),
        Form::Json => (SecretBytes::copy_from(old.expose_secret()), "value.json"),
        Form::Text => (SecretBytes::copy_from(old.expose_secret()), "value.txt"),
    };
    // Before there is a file that a signal could leave behind.
    let mut signals = Signals::catch().map_err(|error| Stop::of(FailureKind::Other, &error))?;
    let scratch = Scratch::new(file_name, shown.expose_secret())?;
    loop {
        run_editor(&scratch.path(), &mut signals)?;
        let edited = scratch
            .read(FILE_BYTES_MAX)
            .map_err(|error| {
                Stop::new(FailureKind::Other, format!("cannot read what the editor left: {error}"))
            })?
            .ok_or_else(|| illegal(FILE_BYTES_MAX as usize + 1))?;
        // An editor that was closed without saving leaves the file as it was, whatever its form.
        if edited.expose_secret() == shown.expose_secret() {
            return Ok(SecretBytes::copy_from(old.expose_secret()));
        }
        match form.stored(old.expose_secret(), edited.expose_secret()) {
            Ok(stored) => return Ok(stored),
            Err((fault, as_text)) => match ask_about(name, fault, output, &mut signals)? {
                Choice::EditAgain => {}
                Choice::KeepAsText => return Ok(as_text),
            },
        }
    }
}

impl Form {
    fn of(value: &[u8]) -> Self {
        match layout::is_json(value) {
            true if !layout::is_deep(value) && layout::compact(value).expose_secret() == value => {
                Self::Compact
            }
            true => Self::Json,
            false => Self::Text,
        }
    }

    /// What to store of an edited text. What was JSON should be JSON again; if not, where it isn't, and the text.
    fn stored(self, old: &[u8], edited: &[u8]) -> Result<SecretBytes, (JsonFault, SecretBytes)> {
        // Editors end a file with a line break that the value may not have.
        let text = match edited.strip_suffix(b"\n") {
            Some(text) if !old.ends_with(b"\n") => text.strip_suffix(b"\r").unwrap_or(text),
            _ => edited,
        };
        let text = || SecretBytes::copy_from(text);
        match self {
            Self::Text => Ok(text()),
            Self::Json | Self::Compact => match layout::check(edited) {
                Err(fault) => Err((fault, text())),
                Ok(()) if self == Self::Compact => Ok(layout::compact(edited)),
                Ok(()) => Ok(text()),
            },
        }
    }
}

/// What to do about JSON that is none any more.
enum Choice {
    EditAgain,
    KeepAsText,
}

fn ask_about(name: &str, fault: JsonFault, output: Output, signals: &mut Signals) -> Result<Choice, Stop> {
    let message = format!("the value of secret `{name}` was JSON and is none any more: {fault}");
    if !terminal::can_ask(output) {
        return Err(Stop::new(FailureKind::Refused, message)
            .with_hint(format!("edit it again; to store a text that is no JSON: `coffer put {name}`")));
    }
    output.warning(&message);
    loop {
        let question = "[e]dit again, [k]eep it as it is, or [d]rop the change? ";
        match terminal::ask(output, signals, question)?.as_deref() {
            Some("e" | "edit") => return Ok(Choice::EditAgain),
            Some("k" | "keep") => return Ok(Choice::KeepAsText),
            Some("d" | "drop") | None => return Err(Stop::new(FailureKind::Other, "nothing was changed")),
            // Whoever types ahead, or nothing, has not said to lose what was written.
            Some(_) => {}
        }
    }
}

/// Runs the user's editor on the file, and waits for it.
fn run_editor(file: &Path, signals: &mut Signals) -> Result<(), Stop> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var_os(name).filter(|editor| !editor.is_empty()))
        .unwrap_or_else(|| OsString::from("vi"));
    let shown = plain(&editor.to_string_lossy());
    let failed = |why: String| {
        Stop::new(FailureKind::Other, format!("the editor `{shown}` {why}; nothing was changed"))
            .with_hint("name an editor in VISUAL or EDITOR")
    };
    // By a shell, as other programs do, so that the variable may hold options.
    let mut script = editor.clone();
    script.push(" \"$@\"");
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(&editor)
        .arg(file)
        .spawn()
        .map_err(|error| failed(format!("did not start: {error}")))?;
    let process = Pid::from_child(&child);
    let ended: io::Result<Option<io::Result<ExitStatus>>> =
        signals.unless_ended(Keyboard::Theirs, move || child.wait());
    match ended {
        Ok(Some(Ok(status))) if status.success() => Ok(()),
        Ok(Some(Ok(status))) => Err(failed(match status.code() {
            Some(code) => format!("ended with status {code}"),
            None => "was killed".to_owned(),
        })),
        Ok(None) => {
            let _ = kill_process(process, Signal::TERM);
            Err(Stop::new(FailureKind::Other, "interrupted; nothing was changed"))
        }
        Ok(Some(Err(error))) | Err(error) => Err(failed(format!("can't be waited for: {error}"))),
    }
}

fn illegal(bytes: usize) -> Stop {
    let message = match bytes {
        0 => "the value is empty, and a secret has at least one byte".to_owned(),
        bytes if bytes <= SECRET_VALUE_BYTES_MAX => "the value is not UTF-8".to_owned(),
        bytes => {
            format!("the value has {}, and a secret holds {SECRET_VALUE_BYTES_MAX}", counted(bytes, "byte"))
        }
    };
    Stop::new(FailureKind::Refused, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_of_an_edited_text() {
        for (old, edited, expected) in [
            (r#"{"a":1}"#, "{\n  \"a\": 2.50\n}\n", Ok(r#"{"a":2.50}"#)),
            ("{ \"a\": 1 }", "{ \"a\": 2 }\n", Ok("{ \"a\": 2 }")),
            ("{\n}\n", "{\"a\": 2}\n", Ok("{\"a\": 2}\n")),
            (r#"{"a":1}"#, "{a}\n", Err("{a}")),
            ("text", "other\n", Ok("other")),
            ("text", "two\nlines\n\n", Ok("two\nlines\n")),
            ("text\n", "other\n", Ok("other\n")),
            ("text", "other\r\n", Ok("other")),
            ("text", "", Ok("")),
        ] {
            let form = Form::of(old.as_bytes());
            let stored = form.stored(old.as_bytes(), edited.as_bytes());
            let text = |bytes: SecretBytes| String::from_utf8(bytes.expose_secret().to_vec()).unwrap();
            let stored = stored.map(text).map_err(|(_, as_text)| text(as_text));
            assert_eq!(stored, expected.map(str::to_owned).map_err(str::to_owned), "{old:?} {edited:?}");
        }
    }
}
