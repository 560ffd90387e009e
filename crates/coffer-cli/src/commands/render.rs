//! `render`: a file made of a template and the secrets that it names.
//!
//! I/O: the template, the resolver's, the file. Invariants: a name that the manifest does not have, or that has no value, makes no
//! file; and the file is whole or as it was, and this user's alone.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use coffer_resolver::{Problems, did_you_mean};
use coffer_wire_local::FailureKind;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use zeroize::Zeroizing;

use crate::access::Place;
use crate::arguments::Render;
use crate::commands::wanted::{resolver, stop};
use crate::failure::Stop;
use crate::output::{Output, plain, stdout_is_terminal};
use crate::shell;

/// What `fromjson` says, and no more: a parser's own words might show the text.
const NO_JSON: &str = "it is no JSON";
/// The filters that are likely meant by one that there is none of.
const FILTERS: [&str; 20] = [
    "shell",
    "base64",
    "fromjson",
    "tojson",
    "default",
    "trim",
    "replace",
    "upper",
    "lower",
    "length",
    "int",
    "join",
    "split",
    "lines",
    "first",
    "last",
    "title",
    "urlencode",
    "indent",
    "escape",
];
/// Largest template.
const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;

pub(crate) fn render(place: &Place, arguments: &Render, output: Output) -> Result<(), Stop> {
    if arguments.output.is_none() && stdout_is_terminal() && !arguments.show {
        return Err(Stop::Usage {
            message: "values are not printed to a terminal unasked".into(),
            hint: "name a file, -o FILE, or add --show".into(),
        });
    }
    let source = read(&arguments.template)?;
    let environment = environment();
    let template =
        environment.template_from_str(&source).map_err(|error| refused(&error, &source, arguments))?;
    let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    // What the language itself brings is no secret.
    names.retain(|name| environment.globals().all(|(known, _)| known != name));
    names.sort();
    let resolver = resolver(place, &arguments.wanting)?;
    if let Some(strange) = names.iter().find(|name| resolver.manifest().need(name).is_none()) {
        let message = format!("`{}` names `{}`, and the manifest does not", shown(arguments), plain(strange));
        return Err(Stop::new(FailureKind::NotFound, message)
            .with_hint("name it in coffer.toml, such as `[secrets.API_KEY]`, or set it in the template"));
    }
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, walk) in resolver.walk_names(&wanted) {
        match walk.result {
            // What need not be there is undefined: `{% if NAME is defined %}`.
            Ok(None) => {}
            Ok(Some(found)) => match std::str::from_utf8(found.value.expose_secret()) {
                Ok(text) => {
                    values.insert(name, Value::from(text));
                }
                Err(_) => {
                    let message = format!("`{name}` is bytes, which no template takes");
                    return Err(Stop::new(FailureKind::Refused, message)
                        .with_hint("give it to the program as a file: coffer run --files"));
                }
            },
            Err(problem) => problems.push(*problem),
        }
    }
    if !problems.is_empty() {
        return Err(stop(&Problems(problems), Some(&arguments.wanting)));
    }
    let text = template.render(Value::from(values)).map_err(|error| refused(&error, &source, arguments))?;
    let text = Zeroizing::new(text);
    match &arguments.output {
        None => output.bytes(text.as_bytes()),
        Some(path) => write_whole(path, text.as_bytes()).map_err(|error| {
            Stop::new(FailureKind::Other, format!("cannot write `{}`: {error}", path.display()))
        }),
    }
}

/// Jinja as it is, but that nothing is escaped, and that what is not there is an error.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.add_filter("shell", |text: String| shell::quoted(&text));
    environment.add_filter("base64", |text: String| {
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)
    });
    environment.add_filter("fromjson", |text: String| {
        serde_json::from_str::<serde_json::Value>(&text)
            .map(|value| Value::from(minijinja::value::Serde(value)))
            .map_err(|_| minijinja::Error::new(ErrorKind::InvalidOperation, NO_JSON))
    });
    environment
}

fn read(path: &Path) -> Result<String, Stop> {
    let read = || -> io::Result<String> {
        let file: Box<dyn io::Read> =
            if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(fs::File::open(path)?) };
        let mut text = String::new();
        file.take(TEMPLATE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > TEMPLATE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 1 MiB"));
        }
        Ok(text)
    };
    read().map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => FailureKind::NotFound,
            io::ErrorKind::PermissionDenied => FailureKind::Denied,
            _ => FailureKind::Refused,
        };
        Stop::new(kind, format!("cannot read `{}`: {error}", path.display()))
            .with_hint("name a template, or - for standard input")
    })
}

/// Where and what is wrong. Of what minijinja says only what it says of the template's own words; never what else stands there,
/// which may be a value by now.
fn refused(error: &minijinja::Error, source: &str, arguments: &Render) -> Stop {
    let said = error.detail().filter(|said| !said.chars().any(char::is_control));
    let of_template = |what: &str| said.map_or_else(|| what.to_owned(), |said| format!("{what}: {said}"));
    let line = error.line().and_then(|line| source.lines().nth(line.saturating_sub(1))).unwrap_or_default();
    let used = filters_of(line);
    let what = match error.kind() {
        ErrorKind::SyntaxError => of_template("is not in Jinja's language"),
        ErrorKind::UndefinedError => "uses what need not be there and is not".to_owned(),
        ErrorKind::UnknownFilter => of_template("names a filter that there is none of"),
        ErrorKind::UnknownFunction => of_template("calls a function that there is none of"),
        ErrorKind::UnknownTest => of_template("names a test that there is none of"),
        ErrorKind::UnknownMethod => of_template("calls a method that there is none of"),
        ErrorKind::MissingArgument => format!("gives {used} too few arguments"),
        ErrorKind::TooManyArguments => format!("gives {used} too many arguments"),
        _ if said == Some(NO_JSON) => "gives `fromjson` what is no JSON".to_owned(),
        _ => format!("gives {used} what it can't work with; a value is text"),
    };
    let hint = match error.kind() {
        ErrorKind::UndefinedError => "ask whether it is there: {% if NAME is defined %}".to_owned(),
        ErrorKind::UnknownFilter => {
            let meant = unknown_among(said, &used_names(line)).and_then(|name| did_you_mean(name, FILTERS));
            let known = "docs/resolver.md says which filters there are beside Jinja's own";
            meant.map_or_else(|| known.to_owned(), |meant| format!("{meant} {known}"))
        }
        _ => "docs/resolver.md says what a template may say".to_owned(),
    };
    let at = error.line().map(|line| format!(":{line}")).unwrap_or_default();
    Stop::new(FailureKind::Refused, format!("`{}`{at} {what}", shown(arguments))).with_hint(hint)
}

/// The filters that a line of a template uses, in its own words.
fn used_names(line: &str) -> Vec<&str> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let after = line.split('|').skip(1).map(str::trim_start);
    after
        .map(|rest| rest.split(|character| !is_of_name(character)).next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The same for people.
fn filters_of(line: &str) -> String {
    match used_names(line).as_slice() {
        [] => "an operator or a function".to_owned(),
        [name] => format!("`{name}`"),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "),
    }
}

/// That one of the names which an error tells.
fn unknown_among<'a>(said: Option<&str>, names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .copied()
        .find(|name| said.is_some_and(|said| said.split([' ', '`']).any(|word| word == *name)))
}

fn shown(arguments: &Render) -> String {
    arguments.template.display().to_string()
}

/// Puts `bytes` into the file all at once, readable by this user only.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut new_name = name.to_owned();
    new_name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(new_name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        drop(fs::remove_file(&new));
    }
    written
}
