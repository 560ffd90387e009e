//! `policy explain`: why a request was denied, and what would allow it.

use std::fmt::Write as _;

use coffer_wire_local::{Considered, Explanation, FailureKind, StatementPlace, Verdict};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::access::{Access, Place};
use crate::arguments::PolicyExplain;
use crate::commands::who_can::through;
use crate::failure::Stop;
use crate::layout::indented;
use crate::output::{Output, plain, table};
use crate::people::document_object;

/// `policy explain --json`.
#[derive(Serialize)]
struct ExplainObject<'a> {
    time: &'a str,
    request_id: Option<&'a str>,
    event_name: &'a str,
    principal: &'a str,
    action: &'a str,
    resource: &'a str,
    reason: &'a str,
    considered: &'a [Considered],
    now: Verdict,
    document: Option<Box<RawValue>>,
}

pub(super) fn explain(place: &Place, arguments: &PolicyExplain, output: Output) -> Result<(), Stop> {
    let request = arguments.request.clone();
    let explained = Access::of(place, "coffer policy explain", |access| access.explanation(request))?;
    let explained = explained.ok_or_else(|| {
        let what = match &arguments.request {
            Some(id) => {
                format!("request `{id}` is not among the denials that the audit log's newest records tell of")
            }
            None => "the audit log's newest records tell of no denial".to_owned(),
        };
        Stop::new(FailureKind::NotFound, what)
            .with_hint("look through them with `coffer audit tail -n 10000`")
    })?;
    if arguments.document {
        let document = explained.document.as_deref().ok_or_else(|| {
            Stop::new(FailureKind::NotFound, format!("no document would allow it: {}", says(&explained)))
        })?;
        let document = indented(document.as_bytes());
        return output.bytes(document.expose_secret());
    }
    let object = ExplainObject {
        time: &explained.time,
        request_id: explained.request_id.as_deref(),
        event_name: &explained.event_name,
        principal: &explained.principal,
        action: &explained.action,
        resource: &explained.resource,
        reason: &explained.reason,
        considered: &explained.considered,
        now: explained.now,
        document: explained.document.as_deref().map(document_object),
    };
    output.data(&object, |text| describe(text, &explained, place))
}

fn describe(text: &mut String, explained: &Explanation, place: &Place) -> std::fmt::Result {
    let rows = [
        ("When", explained.time.as_str()),
        ("Request", explained.request_id.as_deref().unwrap_or("-")),
        ("Who", explained.principal.as_str()),
        ("Action", explained.action.as_str()),
        ("On", explained.resource.as_str()),
        ("Denied", explained.reason.as_str()),
        ("Now", &says(explained)),
    ];
    for (label, cell) in rows {
        writeln!(text, "{label:<13}{}", plain(cell))?;
    }
    if !explained.considered.is_empty() {
        let rows = explained.considered.iter().map(|considered| {
            let effect = if considered.allows { "Allow" } else { "Deny" };
            let bounds = if considered.is_boundary { ", as its boundary" } else { "" };
            let place = format!("{}{bounds}", through(&considered.place));
            vec![place, effect.to_owned(), considered.why.clone()]
        });
        write!(text, "\n{}", table(&["Statement", "Effect", "Why"], rows))?;
    }
    if let Some(document) = &explained.document {
        let document = indented(document.as_bytes());
        write!(text, "\nthis would allow it:\n{}", String::from_utf8_lossy(document.expose_secret()))?;
        let id = explained.request_id.as_deref();
        let which = id.map_or("--last-denied".to_owned(), |id| format!("--request {id}"));
        let print = format!("`coffer policy explain {which} --document >FILE`");
        let told = match (explained.now, holder_of(&explained.principal)) {
            (Verdict::NotAllowed, Some(holder)) => {
                format!("{print}, then `coffer policy put NAME FILE {holder}`")
            }
            (Verdict::NotAllowed | Verdict::OutOfBounds | Verdict::Allowed | Verdict::Denied, _) => print,
        };
        writeln!(text, "{}", place.exact(&told))?;
    }
    Ok(())
}

/// What the policies say to it now.
fn says(explained: &Explanation) -> String {
    let applying = |allows: bool| -> Option<&StatementPlace> {
        let mut applying = explained.considered.iter().filter(|statement| statement.applies);
        Some(&applying.find(|statement| statement.allows == allows)?.place)
    };
    match explained.now {
        _ if explained.is_gone => {
            "there is no such user or role whose policies could be looked at".to_owned()
        }
        Verdict::Allowed => match applying(true) {
            Some(place) => format!("{} allows it", through(place)),
            None => "it is allowed".to_owned(),
        },
        Verdict::NotAllowed => "no statement allows it".to_owned(),
        Verdict::OutOfBounds => "a statement allows it, and the permissions boundary does not".to_owned(),
        Verdict::Denied => match applying(false) {
            Some(place) => format!("{} denies it, whatever others allow", through(place)),
            None => "a statement denies it".to_owned(),
        },
    }
}

/// The option that names whose policies count.
fn holder_of(arn: &str) -> Option<String> {
    let resource = arn.splitn(6, ':').nth(5)?;
    let mut parts = resource.split('/');
    match parts.next()? {
        "user" => Some(format!("--user {}", parts.next_back()?)),
        "assumed-role" => Some(format!("--role {}", parts.next()?)),
        _ => None,
    }
}
