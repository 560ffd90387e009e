//! `get`, `put` and `import`.
//!
//! Invariant: a value goes to a terminal only if asked for with `--show`, and never comes from an argument.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;

use base64::Engine as _;
use coffer_types::limits::SECRET_VALUE_BYTES_MAX;
use coffer_types::{SecretBytes, SecretName, SecretValue, Stage, VersionId};
use coffer_wire_local::FailureKind;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::access::{Access, Place};
use crate::arguments::{Get, Import, PasswordOptions, Put};
use crate::failure::Stop;
use crate::fields::Fields;
use crate::import::Plan;
use crate::output::{Output, plain, stdout_is_terminal};
use crate::terminal;

/// The hint for who tried another way.
const WAYS_TO_GIVE_A_VALUE: &str =
    "send it to standard input, or name an environment variable with --from-env";

/// `get --json`.
#[derive(Serialize)]
struct ValueObject<'a> {
    arn: &'a str,
    name: &'a SecretName,
    version_id: &'a VersionId,
    stages: &'a [Stage],
    created: String,
    /// The field asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The value, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    /// The value in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<&'a str>,
}

/// `put --json`.
#[derive(Serialize)]
struct PutObject<'a> {
    name: &'a SecretName,
    version_id: &'a VersionId,
    created: bool,
}

pub(crate) fn get(place: &Place, arguments: Get, output: Output) -> Result<(), Stop> {
    let terminal = stdout_is_terminal();
    if terminal && !arguments.show {
        return Err(Stop::Usage {
            message: "a value is not printed to a terminal unasked".into(),
            hint: "add --show, or send it to a file or another program".into(),
        });
    }
    let (secret_id, field) = match arguments.name.split_once('#') {
        Some((secret_id, field)) => (secret_id, Some(field)),
        None => (arguments.name.as_str(), None),
    };
    let read = Access::of(place, "coffer get", |access| {
        access.get(secret_id, arguments.version_id, arguments.stage)
    })?;
    let is_text = matches!(read.value.0, SecretValue::String(_));
    let of_field = field.map(|field| field_of(&read.value.0, secret_id, field)).transpose()?;
    let value = of_field.as_ref().unwrap_or_else(|| read.value.0.bytes()).expose_secret();
    let text = std::str::from_utf8(value).ok().filter(|_| is_text || field.is_some());
    let base64 = || {
        let mut encoded = Zeroizing::new(String::with_capacity(value.len() / 3 * 4 + 8));
        base64::engine::general_purpose::STANDARD.encode_string(value, &mut encoded);
        encoded
    };
    if output.json {
        let encoded = text.is_none().then(base64);
        let object = ValueObject {
            arn: &read.arn,
            name: &read.name,
            version_id: &read.version_id,
            stages: &read.stages,
            created: read.created.to_string(),
            field,
            value: text,
            value_base64: encoded.as_ref().map(|text| text.as_str()),
        };
        // Room for the worst case, so that no outgrown buffer stays behind.
        let mut json = Zeroizing::new(Vec::with_capacity(value.len() * 6 + 8 * 1024));
        serde_json::to_writer(&mut *json, &object).map_err(std::io::Error::from)?;
        json.push(b'\n');
        return output.bytes(&json);
    }
    if !terminal {
        return output.bytes(value);
    }
    match text {
        Some(text) => output.bytes(for_eyes(text).as_bytes()),
        None => {
            output.note("binary, shown in base64");
            let mut encoded = base64();
            encoded.push('\n');
            output.bytes(encoded.as_bytes())
        }
    }
}

/// The text as a terminal may show it: control characters but line breaks written out, and a line break at its
/// end.
fn for_eyes(text: &str) -> Zeroizing<String> {
    // Room for the longest escape of each, so that no outgrown buffer stays behind.
    let mut shown = Zeroizing::new(String::with_capacity(text.len() * 6 + 1));
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if !shown.ends_with('\n') {
        shown.push('\n');
    }
    shown
}

/// Which fields there are, by name; the values stay where they are.
fn fields_told(fields: &Fields) -> String {
    const NAMES_MAX: usize = 20;
    let names: Vec<_> = fields.names().take(NAMES_MAX).map(|name| format!("`{}`", plain(name))).collect();
    match fields.names().count() {
        0 => "it has no fields at all".to_owned(),
        count if count > NAMES_MAX => format!("it has {}, and {} more", names.join(", "), count - NAMES_MAX),
        _ => format!("it has {}", names.join(", ")),
    }
}

fn field_of(value: &SecretValue, secret_id: &str, field: &str) -> Result<SecretBytes, Stop> {
    let fields = Fields::parse(value.bytes().expose_secret()).ok_or_else(|| {
        let message = format!("secret `{secret_id}` is no JSON object, so it has no fields");
        Stop::new(FailureKind::Refused, message)
            .with_hint(format!("read all of it with `coffer get {secret_id}`"))
    })?;
    fields.get(field).ok_or_else(|| {
        Stop::new(FailureKind::NotFound, format!("secret `{secret_id}` has no field `{field}`"))
            .with_hint(fields_told(&fields))
    })
}

pub(crate) fn put(place: &Place, arguments: Put, output: Output) -> Result<(), Stop> {
    if !arguments.value.is_empty() {
        return Err(Stop::Usage {
            message: "a value is never an argument: every user of this machine can read arguments".into(),
            hint: WAYS_TO_GIVE_A_VALUE.into(),
        });
    }
    if let Some((name, _)) = arguments.name.split_once('=') {
        // Before anything is asked for by that name, since names are recorded. What follows the sign is not repeated.
        return Err(Stop::Usage {
            message: format!(
                "`{}=…` looks like a value in an argument, which every user of this machine can read",
                plain(name)
            ),
            hint: WAYS_TO_GIVE_A_VALUE.into(),
        });
    }
    let name: SecretName = arguments.name.parse().map_err(|error| {
        Stop::new(FailureKind::Refused, format!("`{}` can't be a secret's name: {error}", arguments.name))
    })?;
    if arguments.random {
        return put_random(place, &name, &arguments.password, output);
    }
    if arguments.password != PasswordOptions::default() {
        return Err(Stop::Usage {
            message: "these options are of a random password, and none is asked for".into(),
            hint: format!("add --random; see `coffer put {name} --help`"),
        });
    }
    let value = given_value(&arguments)?;
    if value.is_empty() {
        return Err(Stop::new(
            FailureKind::Refused,
            "the value is empty, and a secret has at least one byte",
        ));
    }
    if value.expose_secret().ends_with(b"\n") && std::str::from_utf8(value.expose_secret()).is_ok() {
        output.warning("the value ends in a newline, which is kept (printf '%s' sends none)");
    }
    let is_text = std::str::from_utf8(value.expose_secret()).is_ok();
    let value = if is_text { SecretValue::string(value) } else { SecretValue::binary(value) };
    let value = value.ok_or_else(|| {
        Stop::new(FailureKind::Refused, format!("a value has at most {SECRET_VALUE_BYTES_MAX} bytes"))
    })?;
    let written = Access::of(place, "coffer put", |access| access.put_or_create(&name, value))?;
    tell_put(&name, &written, output)
}

/// A password that nobody has seen, as a new version.
fn put_random(
    place: &Place,
    name: &SecretName,
    options: &PasswordOptions,
    output: Output,
) -> Result<(), Stop> {
    let written = Access::of(place, "coffer put", |access| {
        let password = access.random_password(options)?;
        access.put_or_create(name, SecretValue::String(password))
    })?;
    tell_put(name, &written, output)
}

fn tell_put(
    name: &SecretName,
    (version_id, created): &(VersionId, bool),
    output: Output,
) -> Result<(), Stop> {
    let object = PutObject { name, version_id, created: *created };
    output.data(&object, |text| match object.created {
        true => writeln!(text, "made secret `{name}`"),
        false => writeln!(text, "secret `{name}` has a new version {version_id}"),
    })
}

fn given_value(arguments: &Put) -> Result<SecretBytes, Stop> {
    if let Some(variable) = &arguments.from_env {
        return match std::env::var_os(variable) {
            Some(value) => Ok(SecretBytes::new(value.into_vec())),
            None => {
                let message = format!("there is no environment variable `{}`", variable.to_string_lossy());
                Err(Stop::new(FailureKind::Refused, message))
            }
        };
    }
    if std::io::stdin().is_terminal() {
        return terminal::prompt(&format!("Value of {}: ", arguments.name), WAYS_TO_GIVE_A_VALUE);
    }
    terminal::standard_input(SECRET_VALUE_BYTES_MAX)
}

pub(crate) fn import(place: &Place, arguments: &Import, output: Output) -> Result<(), Stop> {
    let plan = Plan::read(&arguments.file, arguments.name.as_deref(), arguments.split)?;
    plan.warn(output);
    let imported = Access::of(place, "coffer import", |access| plan.import(access, output))?;
    output.data(&imported, |text| imported.describe(text))
}
