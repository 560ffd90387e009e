//! From a `.env` file to secrets.
//!
//! I/O: reads the file, then speaks to the store. The whole file is read and every name checked before the first
//! request, so that what can't be imported leaves nothing behind. Invariant: values stay in wiped buffers, and
//! messages hold keys and lines only.

use std::io;
use std::path::{Path, PathBuf};

use coffer_resolver::env_file::{self, EnvFile, LineErrorKind, Warning, shown_key};
use coffer_types::limits::SECRET_VALUE_BYTES_MAX;
use coffer_types::{SecretBytes, SecretName, SecretValue, VersionId};
use coffer_wire_local::{FailureKind, WireValue};
use serde::Serialize;

use crate::access::Access;
use crate::failure::Stop;
use crate::fields::{Differences, Fields};
use crate::output::{Output, counted};
use crate::progress::Progress;

/// A file that can be imported, read and named.
pub(crate) struct Plan {
    file: PathBuf,
    secrets: Vec<PlannedSecret>,
    warnings: Vec<Warning>,
}

struct PlannedSecret {
    name: SecretName,
    value: SecretValue,
    /// The keys of the file that became fields of the value; `None` if the value is that of one key.
    keys: Option<usize>,
}

/// What became of a file.
#[derive(Serialize)]
pub(crate) struct Imported {
    secrets: Vec<ImportedSecret>,
    warnings: Vec<Warning>,
}

/// What became of a secret.
#[derive(Serialize)]
pub(crate) struct ImportedSecret {
    name: SecretName,
    outcome: Outcome,
    version_id: VersionId,
    /// Names of fields; left out if the secret has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Differences>,
    #[serde(skip)]
    keys: Option<usize>,
}

/// What was done with a secret.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Created,
    Changed,
    Unchanged,
}

impl Plan {
    /// Reads `file` for one secret, or with `split` for one secret a key, under `name` or else the name of the
    /// file's folder.
    pub(crate) fn read(file: &Path, name: Option<&str>, split: bool) -> Result<Self, Stop> {
        let EnvFile { entries, mut warnings } = env_file::read(file).map_err(|error| {
            let refusal = Stop::of(kind_of(&error), &error);
            match error {
                env_file::EnvFileError::Read { .. } => refusal.with_hint("name a file that is there and can be read"),
                env_file::EnvFileError::Line {
                    kind: LineErrorKind::KeyName | LineErrorKind::PartOfValue, ..
                } => refusal.with_hint(
                    "a value of several lines is written KEY='…', a key without a value KEY=''; nothing was imported",
                ),
                env_file::EnvFileError::Line { .. } => {
                    refusal.with_hint("put the line right (a value of several lines wants quotes) and import again; nothing was imported")
                }
                _ => refusal,
            }
        })?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => folder_name(file)?,
        };
        let name = legal_name(&name)?;
        if entries.is_empty() {
            return Err(refused(format!("`{}` has no KEY=VALUE line", file.display())));
        }
        let mut secrets = Vec::new();
        if split {
            for entry in &entries {
                let shown = shown_key(&entry.key);
                let name = legal_name(&format!("{name}/{}", entry.key)).map_err(|_| {
                    refused(format!("`{name}/{shown}` is no legal name for a secret"))
                        .with_hint("import without --split, where a key need not be a legal name")
                })?;
                // An empty value has been warned of; it can't be a secret.
                if !entry.value.is_empty() {
                    let value = SecretBytes::copy_from(entry.value.as_bytes());
                    let length = value.len();
                    let value = SecretValue::string(value).ok_or_else(|| too_large(&shown, length))?;
                    secrets.push(PlannedSecret { name, value, keys: None });
                }
            }
            if secrets.is_empty() {
                return Err(refused(format!("`{}` has empty values only", file.display())));
            }
        } else {
            let value = env_file::object_of(&entries);
            let length = value.len();
            let value = SecretValue::string(value).ok_or_else(|| {
                too_large(&file.display().to_string(), length).with_hint("--split makes a secret of each key")
            })?;
            secrets.push(PlannedSecret { name, value, keys: Some(entries.len()) });
        }
        warnings.sort_by_key(|warning| (warning.kind, warning.line));
        Ok(Self { file: file.into(), secrets, warnings })
    }

    /// The first secret's name, to show how one is read.
    pub(crate) fn first_name(&self) -> Option<&SecretName> {
        self.secrets.first().map(|secret| &secret.name)
    }

    /// Writes what differs from what the store holds: a new secret, or one new version, or nothing. Secrets are
    /// written one by one, and a failure tells which were.
    pub(crate) fn import(self, access: &mut Access, output: Output) -> Result<Imported, Stop> {
        let progress = Progress::begin(output, "importing");
        let count = self.secrets.len();
        let mut secrets = Vec::with_capacity(count);
        for secret in self.secrets {
            progress.reached(secrets.len(), count);
            match import_secret(access, secret) {
                Ok(imported) => secrets.push(imported),
                Err(stop) => return Err(after(&secrets, stop)),
            }
        }
        Ok(Imported { secrets, warnings: self.warnings })
    }

    /// Says on standard error what the file's lines are read as elsewhere.
    pub(crate) fn warn(&self, output: Output) {
        if output.json {
            return; // they are part of the object
        }
        for group in self.warnings.chunk_by(|one, next| one.kind == next.kind) {
            let Some(first) = group.first() else { continue };
            let places: Vec<String> = group
                .iter()
                .map(|warning| match &warning.key {
                    Some(key) => format!("line {} `{key}`", warning.line),
                    None => format!("line {}", warning.line),
                })
                .collect();
            output.warning(&format!("{}: {}: {}", self.file.display(), places.join(", "), first.kind));
        }
        if self.warnings.iter().any(|warning| warning.kind.is_of_dialect()) {
            output.note(
                "docs/dotenv.md tells how such lines are read; single quotes are read alike everywhere.",
            );
        }
    }
}

impl Imported {
    /// What was done, in words.
    pub(crate) fn describe(&self, text: &mut String) -> std::fmt::Result {
        use std::fmt::Write as _;
        for secret in &self.secrets {
            let ImportedSecret { name, outcome, version_id, fields, keys } = secret;
            match (outcome, fields) {
                (Outcome::Created, _) => {
                    let with = keys.map_or(String::new(), |keys| format!(" with {}", counted(keys, "field")));
                    writeln!(text, "made secret `{name}`{with}")?;
                }
                (Outcome::Unchanged, _) => writeln!(text, "secret `{name}` is unchanged")?,
                (Outcome::Changed, None) => writeln!(text, "secret `{name}` has a new version {version_id}")?,
                (Outcome::Changed, Some(differences)) => {
                    writeln!(text, "secret `{name}` has a new version {version_id}")?;
                    differences.describe(text)?;
                }
            }
        }
        Ok(())
    }
}

fn import_secret(access: &mut Access, secret: PlannedSecret) -> Result<ImportedSecret, Stop> {
    let PlannedSecret { name, value, keys } = secret;
    let held = access.get(name.as_str(), None, None);
    let held = match held {
        Ok(held) => Some(held),
        Err(Stop::Failure(failure)) if failure.kind == FailureKind::NotFound => None,
        Err(stop) => return Err(stop),
    };
    let new_fields = keys.and_then(|_| Fields::parse(value.bytes().expose_secret()));
    let Some(held) = held else {
        let fields = new_fields.map(|fields| shown(fields.differences(&Fields::none())));
        let (version_id, created) = access.create_or_put(&name, value)?;
        let outcome = if created { Outcome::Created } else { Outcome::Changed };
        return Ok(ImportedSecret { name, outcome, version_id, fields, keys });
    };
    let held_bytes = held.value.0.bytes().expose_secret();
    let (same, fields) = match new_fields {
        Some(new) => {
            let held_fields = Fields::parse(held_bytes);
            let differences = new.differences(held_fields.as_ref().unwrap_or(&Fields::none()));
            (held_fields.is_some() && differences.is_empty(), Some(shown(differences)))
        }
        None => (held_bytes == value.bytes().expose_secret(), None),
    };
    if same {
        let outcome = Outcome::Unchanged;
        return Ok(ImportedSecret { name, outcome, version_id: held.version_id, fields, keys });
    }
    let version_id = access.put_in_place_of(name.as_str(), Some(&held.version_id), WireValue(value))?;
    Ok(ImportedSecret { name, outcome: Outcome::Changed, version_id, fields, keys })
}

fn kind_of(error: &env_file::EnvFileError) -> FailureKind {
    match error {
        env_file::EnvFileError::Read { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => FailureKind::NotFound,
            io::ErrorKind::PermissionDenied => FailureKind::Denied,
            _ => FailureKind::Refused,
        },
        env_file::EnvFileError::TooLarge { .. } | env_file::EnvFileError::Line { .. } => FailureKind::Refused,
    }
}

/// The failure, and what had been written before it.
fn after(imported: &[ImportedSecret], stop: Stop) -> Stop {
    let written: Vec<String> = imported
        .iter()
        .filter(|secret| secret.outcome != Outcome::Unchanged)
        .map(|secret| format!("`{}`", secret.name))
        .collect();
    match stop {
        Stop::Failure(mut failure) if !written.is_empty() => {
            failure.message.push_str("; written before that: ");
            failure.message.push_str(&written.join(", "));
            Stop::Failure(failure)
        }
        stop => stop,
    }
}

/// The names as a message may show them.
fn shown(differences: Differences) -> Differences {
    let each = |names: Vec<String>| names.iter().map(|name| shown_key(name)).collect();
    let Differences { added, changed, removed } = differences;
    Differences { added: each(added), changed: each(changed), removed: each(removed) }
}

/// The name of the folder that holds the file.
fn folder_name(file: &Path) -> Result<String, Stop> {
    let unnamed = || {
        refused(format!("the folder of `{}` has no name to call the secret by", file.display()))
            .with_hint("give a name: --name NAME")
    };
    let path = file.canonicalize().map_err(|_| unnamed())?;
    let folder = path.parent().and_then(Path::file_name).ok_or_else(unnamed)?;
    Ok(folder.to_string_lossy().into_owned())
}

fn legal_name(name: &str) -> Result<SecretName, Stop> {
    name.parse().map_err(|error| {
        refused(format!("`{name}` can't be a secret's name: {error}"))
            .with_hint("give another name: --name NAME")
    })
}

fn too_large(what: &str, length: usize) -> Stop {
    refused(format!("`{what}` makes a value of {length} bytes, and a secret holds {SECRET_VALUE_BYTES_MAX}"))
}

fn refused(message: String) -> Stop {
    Stop::new(FailureKind::Refused, message)
}
