//! `audit tail`, `audit show` and `audit verify`.

use std::fmt::Write as _;

use coffer_policy::actions_of;
use coffer_wire_local::{FailureKind, RecordFilter};
use serde_json::Value;

use crate::access::{Access, Place};
use crate::arguments::AuditTail;
use crate::failure::Stop;
use crate::near::did_you_mean;
use crate::output::{Output, counted, plain, table};

/// What coffer's own operations are called, those that people look for.
const OWN_OPERATIONS: [&str; 7] =
    ["SearchAudit", "TailAudit", "VerifyAudit", "ReadStatus", "ListReads", "WhoCan", "ExplainDenial"];

/// The newest records: the log's own lines with `--json`, one row each for people.
pub(crate) fn tail(place: &Place, arguments: &AuditTail, output: Output) -> Result<(), Stop> {
    let AuditTail { count, secret, user, operation, failed, since, requests, scope: _ } = arguments;
    let filter = RecordFilter {
        secret_id: secret.clone(),
        who: user.clone(),
        operation: operation.clone(),
        request_id: None,
        failed: *failed,
        since: *since,
    };
    let is_all = secret.is_none() && user.is_none() && operation.is_none() && !failed && since.is_none();
    let (lines, is_cut, meant) = Access::of(place, "coffer audit tail", |access| {
        if is_all {
            return Ok((access.audit_tail(*count)?, false, None));
        }
        let (lines, is_cut) = access.search_audit(filter, *count)?;
        let meant = if lines.is_empty() && *count > 0 { meant(access, arguments)? } else { None };
        Ok((lines, is_cut, meant))
    })?;
    if is_cut {
        output.warning("the log is long: only its newest 2,000,000 records were looked at");
    }
    if output.json {
        return objects(&lines, output);
    }
    if lines.is_empty() && !is_all {
        let meant = meant.map(|meant| format!("; {meant}")).unwrap_or_default();
        output.note(&format!("no record of the audit log fits{meant}"));
        return Ok(());
    }
    let mut header = vec!["Time", "Event", "By", "On", "Outcome"];
    header.extend(requests.then_some("Request"));
    let rows = lines.iter().map(|line| {
        let told = Told::of(line);
        let mut row = told.row();
        row.extend(requests.then(|| told.text("/requestID").unwrap_or("-").to_owned()));
        row
    });
    output.bytes(table(&header, rows).as_bytes())
}

/// What may have been meant by a filter that nothing fits.
fn meant(access: &mut Access, arguments: &AuditTail) -> Result<Option<String>, Stop> {
    if let Some(operation) = &arguments.operation {
        let names = ["secretsmanager", "iam", "sts"].into_iter().flat_map(actions_of);
        let mut names = names.chain(OWN_OPERATIONS.iter().copied());
        if !names.clone().any(|name| name.eq_ignore_ascii_case(operation)) {
            return Ok(did_you_mean(operation, &mut names));
        }
    }
    match &arguments.user {
        Some(who) => access.like_nobody(who),
        None => Ok(None),
    }
}

/// The log's own lines.
fn objects(lines: &[String], output: Output) -> Result<(), Stop> {
    let text: String = lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect();
    output.bytes(text.as_bytes())
}

/// Everything that the log tells of a request: a record, or several of a batch or of one call of a caller's.
pub(crate) fn show(place: &Place, id: &str, output: Output) -> Result<(), Stop> {
    const RECORDS_MAX: usize = 100;
    let filter = RecordFilter { request_id: Some(id.to_owned()), ..RecordFilter::default() };
    let (lines, is_cut) =
        Access::of(place, "coffer audit show", |access| access.search_audit(filter, RECORDS_MAX))?;
    if is_cut && lines.is_empty() {
        output.warning("the log is long: only its newest 2,000,000 records were looked at");
    }
    if lines.is_empty() {
        return Err(Stop::new(FailureKind::NotFound, format!("the audit log tells of no request `{id}`"))
            .with_hint("see the ids of requests with `coffer audit tail --requests`"));
    }
    if output.json {
        return objects(&lines, output);
    }
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        Told::of(line).describe(&mut text);
    }
    output.people(&text)?;
    let is_denial = |told: &Told| told.text("/errorCode").is_some_and(|code| code.contains("Denied"));
    let denial = lines.iter().map(|line| Told::of(line)).find(is_denial);
    if let Some(id) = denial.as_ref().and_then(|denial| denial.text("/requestID")) {
        output.hint(
            &place.exact(&format!("see why, and what to do, with `coffer policy explain --request {id}`")),
        );
    }
    Ok(())
}

/// What a record tells.
struct Told(Value);

impl Told {
    fn of(line: &str) -> Self {
        Self(serde_json::from_str(line).unwrap_or_default())
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer).and_then(Value::as_str)
    }

    /// What people want to know first.
    fn row(&self) -> Vec<String> {
        let cell = |cell: Option<&str>| cell.unwrap_or("-").to_owned();
        vec![
            cell(self.text("/eventTime")),
            cell(self.text("/eventName")),
            self.who(),
            self.what().unwrap_or_else(|| "-".to_owned()),
            self.text("/errorCode").unwrap_or("ok").to_owned(),
        ]
    }

    /// Who did it: a user's name, a role's and its session's, the key that a stranger claimed.
    fn who(&self) -> String {
        if self.text("/userIdentity/type") == Some("Root") {
            return "owner".to_owned();
        }
        let session = self.text("/userIdentity/arn").and_then(|arn| arn.split_once(":assumed-role/"));
        let told = self
            .text("/userIdentity/userName")
            .or(session.map(|(_, session)| session))
            .or_else(|| self.text("/userIdentity/principalId"))
            .or_else(|| self.text("/userIdentity/accessKeyId"))
            .or_else(|| self.text("/userIdentity/invokedBy"))
            .or_else(|| self.text("/sourceIPAddress"));
        told.unwrap_or("-").to_owned()
    }

    /// What it was about: a secret by its name, somebody with what they are.
    fn what(&self) -> Option<String> {
        let parameter = |name: &str| self.0.get("requestParameters")?.get(name);
        let text = |name: &str| parameter(name).and_then(Value::as_str);
        if let Some(id) = text("secretId") {
            return Some(secret_name(id).to_owned());
        }
        if let Some(ids) = parameter("secretIdList").and_then(Value::as_array) {
            let names: Vec<&str> = ids.iter().filter_map(Value::as_str).map(secret_name).collect();
            return Some(names.join(", "));
        }
        if let Some(arn) = text("roleArn") {
            return Some(format!("role {}", arn.split_once(":role/").map_or(arn, |(_, name)| name)));
        }
        for (noun, name) in [
            ("user", "userName"),
            ("group", "groupName"),
            ("role", "roleName"),
            ("policy", "policyName"),
            ("key", "accessKeyId"),
        ] {
            if let Some(value) = text(name) {
                return Some(format!("{noun} {value}"));
            }
        }
        if let Some(arn) = text("policyArn") {
            return Some(format!("policy {}", arn.split_once(":policy/").map_or(arn, |(_, name)| name)));
        }
        text("name").map(str::to_owned)
    }

    fn describe(&self, text: &mut String) {
        let rows = [
            ("Time", "/eventTime"),
            ("Event", "/eventName"),
            ("Service", "/eventSource"),
            ("Region", "/awsRegion"),
            ("By", "/userIdentity/arn"),
            ("", "/userIdentity/principalId"),
            ("Access key", "/userIdentity/accessKeyId"),
            ("From", "/sourceIPAddress"),
            ("Client", "/userAgent"),
            ("Refused", "/errorCode"),
            ("", "/errorMessage"),
            ("Request", "/requestID"),
            ("Called", "/additionalEventData/correlationId"),
            ("Record", "/eventID"),
        ];
        // Writing to a String can't fail.
        for (label, pointer) in rows {
            if let Some(cell) = self.text(pointer) {
                let _ = writeln!(text, "{label:<13}{}", plain(cell));
            }
        }
        for (label, member) in [
            ("Asked", "requestParameters"),
            ("Answered", "responseElements"),
            ("More", "additionalEventData"),
        ] {
            let Some(members) = self.0.get(member).and_then(Value::as_object) else { continue };
            let members = members.iter().filter(|(name, _)| *name != "correlationId");
            for (at, (name, value)) in members.enumerate() {
                let label = if at == 0 { label } else { "" };
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let _ = writeln!(text, "{label:<13}{} = {}", plain(name), plain(&value));
            }
        }
    }
}

/// A secret's name, if it is named by its ARN.
fn secret_name(id: &str) -> &str {
    match id.split_once(":secret:") {
        Some((_, name)) if name.as_bytes().get(name.len().wrapping_sub(7)) == Some(&b'-') => {
            name.get(..name.len() - 7).unwrap_or(name)
        }
        Some((_, name)) => name,
        None => id,
    }
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
            (
                r#"{"eventTime":"t","eventName":"GetSecretValue","userIdentity":{"type":"AssumedRole","principalId":"AROA1:s1","arn":"arn:aws:sts::1:assumed-role/deploy/s1"},"requestParameters":{"secretId":"arn:aws:secretsmanager:r:1:secret:a/b-AbCdEf"}}"#,
                "t|GetSecretValue|deploy/s1|a/b|ok",
            ),
            (
                r#"{"eventTime":"t","eventName":"AssumeRole","userIdentity":{"type":"Root","principalId":"local:0"},"requestParameters":{"roleArn":"arn:aws:iam::1:role/deploy","roleSessionName":"s1"}}"#,
                "t|AssumeRole|owner|role deploy|ok",
            ),
            (
                r#"{"eventTime":"t","eventName":"AttachUserPolicy","userIdentity":{},"requestParameters":{"userName":"app","policyArn":"arn:aws:iam::1:policy/x"}}"#,
                "t|AttachUserPolicy|-|user app|ok",
            ),
            ("not a record", "-|-|-|-|ok"),
        ] {
            assert_eq!(Told::of(record).row().join("|"), expected);
        }
    }
}
