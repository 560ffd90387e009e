//! `policy`: policies as texts, looked over, tried out and made, and as the store holds them.

use std::fs::File;
use std::path::Path;

use coffer_policy::{Document, DocumentKind, ParseError};
use coffer_wire_local::FailureKind;

use crate::access::Place;
use crate::arguments::Policy;
use crate::failure::Stop;
use crate::output::Output;
use crate::terminal;

mod change;
mod documents;
mod explain;
mod generate;
mod lint;
mod simulate;

pub(crate) use change::Change;

/// Far more than a policy has.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

pub(crate) fn policy(place: &Place, command: Policy, output: Output) -> Result<(), Stop> {
    match command {
        Policy::Lint(arguments) => lint::lint(&arguments, output),
        Policy::Simulate(arguments) => simulate::simulate(&arguments, output),
        Policy::Generate(arguments) => generate::generate(place, &arguments, output),
        Policy::Explain(arguments) => explain::explain(place, &arguments, output),
        Policy::Documents(command) => documents::documents(place, &command, output),
    }
}

/// A file's text, or that of standard input for `-`.
pub(crate) fn read(file: &Path) -> Result<String, Stop> {
    let name = file.display();
    let read = match file.to_str() {
        Some("-") => terminal::read(std::io::stdin().lock(), FILE_BYTES_MAX),
        _ => File::open(file).and_then(|file| terminal::read(file, FILE_BYTES_MAX)),
    };
    let bytes = match read {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            return Err(Stop::new(
                FailureKind::Refused,
                format!("`{name}` has more than {FILE_BYTES_MAX} bytes"),
            ));
        }
        Err(error) => {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => FailureKind::NotFound,
                _ => FailureKind::Other,
            };
            return Err(Stop::new(kind, format!("cannot read `{name}`: {error}"))
                .with_hint("name a file that is there and can be read, or - for standard input"));
        }
    };
    match std::str::from_utf8(bytes.expose_secret()) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Stop::new(FailureKind::Refused, format!("`{name}` is no text in UTF-8"))),
    }
}

/// What a document says it is for: who names principals is on a resource, or, about sts alone and without resources, a role's.
fn kind_of(text: &str) -> DocumentKind {
    let kinds = [DocumentKind::Managed, DocumentKind::Trust, DocumentKind::Resource, DocumentKind::Inline];
    let fits = |kind: &DocumentKind| Document::parse(text, *kind).is_ok();
    let names_principals = text.contains("\"Principal\"") || text.contains("\"NotPrincipal\"");
    let otherwise = if names_principals { DocumentKind::Resource } else { DocumentKind::Managed };
    kinds.into_iter().find(fits).unwrap_or(otherwise)
}

/// That a text is no policy, and where.
pub(crate) fn malformed(file: &Path, error: &ParseError) -> Stop {
    let message = format!("`{}` is no policy: {}: {error}", file.display(), error.position());
    let stop = Stop::new(FailureKind::Refused, message);
    match error.advice() {
        Some(advice) => stop.with_hint(advice),
        None => stop.with_hint(format!("AWS would answer: {}", error.aws_message())),
    }
}
