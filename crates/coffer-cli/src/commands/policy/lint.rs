//! `policy lint`: what a policy says and hardly means.

use std::fmt::Write as _;

use coffer_policy::{Document, DocumentKind, Finding, Severity, lint as look_over};
use coffer_wire_local::FailureKind;
use serde::Serialize;

use crate::arguments::PolicyLint;
use crate::failure::Stop;
use crate::output::{Output, counted, plain};

/// `policy lint --json`.
#[derive(Serialize)]
struct LintObject {
    file: String,
    kind: &'static str,
    findings: Vec<FindingObject>,
}

#[derive(Serialize)]
struct FindingObject {
    line: u32,
    column: u32,
    severity: &'static str,
    lint: &'static str,
    message: String,
    advice: String,
}

pub(crate) fn lint(arguments: &PolicyLint, output: Output) -> Result<(), Stop> {
    let text = super::read(&arguments.file)?;
    let kind = arguments.kind.map_or_else(|| super::kind_of(&text), DocumentKind::from);
    let document = Document::parse(&text, kind).map_err(|error| super::malformed(&arguments.file, &error))?;
    let findings: Vec<FindingObject> = look_over(&document).into_iter().map(FindingObject::from).collect();
    let errors = findings.iter().filter(|finding| finding.severity == severity_name(Severity::Error)).count();
    let object = LintObject { file: arguments.file.display().to_string(), kind: kind_name(kind), findings };
    output.data(&object, |text| object.describe(text))?;
    match errors {
        0 => Ok(()),
        _ => Err(Stop::new(
            FailureKind::Refused,
            format!("`{}` does not do what it says: {}", object.file, counted(errors, "error")),
        )),
    }
}

impl LintObject {
    fn describe(&self, text: &mut String) -> std::fmt::Result {
        let Self { file, kind, findings } = self;
        for finding in findings {
            let FindingObject { line, column, severity, lint, message, advice } = finding;
            writeln!(text, "{}:{line}:{column}: {severity}: {} [{lint}]", plain(file), plain(message))?;
            writeln!(text, "    {}", plain(advice))?;
        }
        match findings.len() {
            0 => writeln!(text, "`{}` ({kind} policy): nothing found", plain(file)),
            count => writeln!(text, "`{}` ({kind} policy): {}", plain(file), counted(count, "finding")),
        }
    }
}

impl From<Finding> for FindingObject {
    fn from(finding: Finding) -> Self {
        Self {
            line: finding.position.line,
            column: finding.position.column,
            severity: severity_name(finding.lint.severity()),
            lint: finding.lint.name(),
            message: finding.message,
            advice: finding.advice,
        }
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn kind_name(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Managed => "managed",
        DocumentKind::Inline => "inline",
        DocumentKind::Resource => "resource",
        DocumentKind::Trust => "trust",
        DocumentKind::Session => "session",
        DocumentKind::ServiceControl => "service-control",
    }
}
