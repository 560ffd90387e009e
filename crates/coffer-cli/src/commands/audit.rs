//! `audit tail` and `audit verify`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::access::{Access, Place};
use crate::failure::Stop;
use crate::output::{Output, counted, table};

/// The newest records: the log's own lines with `--json`, one row each for people.
pub(crate) fn tail(place: &Place, count: usize, output: Output) -> Result<(), Stop> {
    let mut access = Access::to(place, "coffer audit tail")?;
    let lines = access.audit_tail(count);
    access.close()?;
    let lines = lines?;
    let mut text = String::new();
    if output.json {
        for line in &lines {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    } else {
        text = table(&["Time", "Event", "By", "On", "Outcome"], lines.iter().map(|line| row_of(line)));
    }
    output.bytes(text.as_bytes())
}

/// What people want to know first of a record.
fn row_of(line: &str) -> Vec<String> {
    let record: Value = serde_json::from_str(line).unwrap_or_default();
    let text = |pointer| record.pointer(pointer).and_then(Value::as_str);
    let principal = text("/userIdentity/userName")
        .or_else(|| text("/userIdentity/principalId"))
        .or_else(|| text("/userIdentity/accessKeyId"))
        .or_else(|| text("/sourceIPAddress"));
    let resource = text("/requestParameters/secretId")
        .or_else(|| text("/requestParameters/name"))
        .or_else(|| text("/resources/0/ARN"));
    [text("/eventTime"), text("/eventName"), principal, resource, Some(text("/errorCode").unwrap_or("ok"))]
        .into_iter()
        .map(|cell| cell.unwrap_or("-").to_owned())
        .collect()
}

/// Checks the chain; a chain that isn't whole ends the command with exit code 8.
pub(crate) fn verify(place: &Place, output: Output) -> Result<(), Stop> {
    let verification = Access::verify_audit(place)?;
    output.data(&verification, |text| {
        let count = |number, noun| counted(usize::try_from(number).unwrap_or(usize::MAX), noun);
        let (records, segments) =
            (count(verification.records, "record"), count(verification.segments, "segment"));
        let digests = count(verification.digests, "signed digest");
        writeln!(text, "the audit log is whole: {records} in {segments}, {digests}")?;
        if verification.first > 0 {
            writeln!(text, "kept from record {} on", verification.first + 1)?;
        }
        if verification.torn_bytes > 0 {
            writeln!(text, "a power cut left {} bytes behind the last record", verification.torn_bytes)?;
        }
        writeln!(text, "head  {}", verification.head)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_as_a_row() {
        for (record, expected) in [
            (
                r#"{"eventTime":"2026-11-22T10:30:00Z","eventName":"GetSecretValue","userIdentity":{"type":"IAMUser","userName":"admin"},"requestParameters":{"secretId":"a/b"}}"#,
                "2026-11-22T10:30:00Z|GetSecretValue|admin|a/b|ok",
            ),
            (
                r#"{"eventTime":"t","eventName":"e","userIdentity":{"type":"Unknown"},"sourceIPAddress":"127.0.0.1","errorCode":"AccessDenied"}"#,
                "t|e|127.0.0.1|-|AccessDenied",
            ),
            ("not a record", "-|-|-|-|ok"),
        ] {
            assert_eq!(row_of(record).join("|"), expected);
        }
    }
}
