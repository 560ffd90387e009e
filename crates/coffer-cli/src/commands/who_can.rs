//! `who-can`: everybody who may do something to a secret, and why.

use std::fmt::Write as _;

use coffer_policy::{Document, DocumentKind, Lint, lint};
use coffer_wire_local::{StatementPlace, Way};
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments::WhoCan;
use crate::failure::Stop;
use crate::output::{Output, table};

/// `who-can --json`.
#[derive(Serialize)]
struct WhoCanObject {
    arn: String,
    action: String,
    ways: Vec<Way>,
}

pub(crate) fn who_can(place: &Place, arguments: &WhoCan, output: Output) -> Result<(), Stop> {
    let action = action_of(&arguments.action)?;
    let able = Access::of(place, "coffer who-can", |access| access.who_can(&arguments.name, &action))?;
    let object = WhoCanObject { arn: able.arn, action, ways: able.ways };
    output.data(&object, |text| {
        writeln!(text, "{} on {}\n", object.action, object.arn)?;
        text.push_str(&table(&["Who", "Through", "If"], object.ways.iter().map(row)));
        Ok(())
    })
}

fn row(way: &Way) -> Vec<String> {
    let who = match way.arn.splitn(6, ':').nth(5) {
        Some("root") => "the owner of the store".to_owned(),
        Some(resource) => resource.replacen('/', " ", 1),
        None => way.arn.clone(),
    };
    let mut conditions = way.conditions.clone();
    match way.trusted.as_slice() {
        [] if way.taken_on == Some(false) => conditions.insert(0, "taken on by nobody now".to_owned()),
        [] => {}
        trusted => conditions.insert(0, format!("taken on by {}", trusted.join(" or "))),
    }
    let through = way.through.as_ref().map_or("-".to_owned(), through);
    vec![who, through, if conditions.is_empty() { "-".to_owned() } else { conditions.join(", and ") }]
}

/// Where a statement stands, in words.
pub(crate) fn through(place: &StatementPlace) -> String {
    let sid = place.sid.as_ref().map(|sid| format!(" ({sid})")).unwrap_or_default();
    format!("statement {}{sid} of policy {} of {}", place.statement, place.policy, place.holder)
}

/// What is meant by a word of the command line.
fn action_of(text: &str) -> Result<String, Stop> {
    let action = match text {
        "read" => "secretsmanager:GetSecretValue".to_owned(),
        "write" => "secretsmanager:PutSecretValue".to_owned(),
        "delete" => "secretsmanager:DeleteSecret".to_owned(),
        name if name.contains(':') => name.to_owned(),
        name => format!("secretsmanager:{name}"),
    };
    let is_plain = action.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':');
    let document = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": { "Effect": "Allow", "Action": action, "Resource": "*" },
    });
    let is_unknown = match Document::parse(&document.to_string(), DocumentKind::Inline) {
        Ok(document) => lint(&document)
            .iter()
            .any(|finding| matches!(finding.lint, Lint::UnknownAction | Lint::UnknownService)),
        Err(_) => true,
    };
    if is_unknown || !is_plain {
        return Err(Stop::Usage {
            message: format!("`{text}` is no action"),
            hint: "say read, write, delete, or the name of an action such as DescribeSecret".into(),
        });
    }
    Ok(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_words_mean() {
        for (text, expected) in [
            ("read", Some("secretsmanager:GetSecretValue")),
            ("write", Some("secretsmanager:PutSecretValue")),
            ("delete", Some("secretsmanager:DeleteSecret")),
            ("DescribeSecret", Some("secretsmanager:DescribeSecret")),
            ("secretsmanager:TagResource", Some("secretsmanager:TagResource")),
            ("red", None),
            ("secretsmanager:*", None),
            ("Get*", None),
            ("", None),
            ("a:b:c", None),
        ] {
            assert_eq!(action_of(text).ok().as_deref(), expected, "{text}");
        }
    }
}
