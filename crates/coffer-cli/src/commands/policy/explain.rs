//! `policy explain`: why a request was denied, and what would allow it.

use std::fmt::Write as _;

use coffer_wire_local::{
    AccessRequest, Considered, Explanation, FailureKind, HolderKind, KeyState, RefusedKey, StatementPlace,
    Verdict,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::access::{Access, Place};
use crate::arguments::PolicyExplain;
use crate::commands::who_can::through;
use crate::failure::Stop;
use crate::layout::indented;
use crate::near;
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
    /// What did not hold of a role's trust policy.
    conditions: &'a [String],
    access_key: Option<&'a RefusedKey>,
    /// What to do, a sentence each.
    advice: Vec<String>,
}

pub(super) fn explain(place: &Place, arguments: &PolicyExplain, output: Output) -> Result<(), Stop> {
    let which = AccessRequest::ExplainDenial {
        request_id: arguments.request.clone(),
        secret_id: arguments.secret.clone(),
        who: arguments.user.clone(),
    };
    let explained = Access::of(place, "coffer policy explain", |access| access.explanation(which))?;
    let explained = explained.ok_or_else(|| {
        let of = arguments.user.as_ref().map(|who| format!(" to `{who}`")).unwrap_or_default();
        let about = arguments.secret.as_ref().map(|name| format!(" of `{name}`")).unwrap_or_default();
        let what = match &arguments.request {
            Some(id) => format!(
                "request `{id}` is not among the denials{about}{of} that the audit log's newest records tell of"
            ),
            None => format!("the audit log's newest records tell of no denial{about}{of}"),
        };
        Stop::new(FailureKind::NotFound, what)
            .with_hint("look through them with `coffer audit tail -n 10000`")
    })?;
    let near = near_names(place, &explained)?;
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
        conditions: &explained.conditions,
        access_key: explained.access_key.as_ref(),
        advice: advice(&explained, &near).iter().map(|advice| place.exact(advice)).collect(),
    };
    output.data(&object, |text| describe(text, &explained, &object.advice, place))
}

/// What is called almost as what is not there.
fn near_names(place: &Place, explained: &Explanation) -> Result<Vec<String>, Stop> {
    let name = wanted_name(&explained.resource);
    let names = match explained.now {
        Verdict::NoSecret => {
            let region = explained.resource.split(':').nth(3).and_then(|region| region.parse().ok());
            Access::of(&place.in_region(region), "coffer policy explain", near::secret_names)?
        }
        Verdict::NoRole => {
            let roles =
                Access::of(place, "coffer policy explain", |access| access.entities(HolderKind::Role))?;
            roles.into_iter().map(|role| role.name).collect()
        }
        Verdict::Allowed
        | Verdict::NotAllowed
        | Verdict::OutOfBounds
        | Verdict::Denied
        | Verdict::NotTrusted
        | Verdict::NoProvider
        | Verdict::OutOfSession
        | Verdict::NotForSessions
        | Verdict::NotAuthenticated => return Ok(Vec::new()),
    };
    let found = near::near(name, names.iter().map(String::as_str));
    Ok(found.into_iter().map(str::to_owned).collect())
}

/// The name at the end of the ARN of a secret or role.
fn wanted_name(resource: &str) -> &str {
    let after = |mark| resource.split_once(mark).map(|(_, name)| name);
    after(":secret:").or_else(|| after(":role/")).unwrap_or(resource)
}

/// What to do, each a sentence of its own.
fn advice(explained: &Explanation, near: &[String]) -> Vec<String> {
    let name = wanted_name(&explained.resource);
    let meant = match near {
        [] => None,
        near => {
            let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("did the program mean {}?", near.join(" or ")))
        }
    };
    match explained.now {
        Verdict::NoSecret => {
            let region = explained.resource.split(':').nth(3).unwrap_or_default();
            let there = format!("see what there is with `coffer list --region {region}`");
            meant.into_iter().chain([there]).collect()
        }
        Verdict::NoRole => {
            meant.into_iter().chain(["see what there is with `coffer role list`".to_owned()]).collect()
        }
        Verdict::NotTrusted => {
            let see = format!("see whom it trusts with `coffer role trust {name}`");
            match (explained.conditions.as_slice(), holder_of(&explained.principal)) {
                ([], Some(holder)) => {
                    let trust = format!("let them take it on with `coffer role trust {name} --add {holder}`");
                    vec![see, trust]
                }
                (_, _) => vec![see],
            }
        }
        Verdict::NoProvider => vec![
            "see what there is, and for whom, with `coffer provider list`".to_owned(),
            "believe such tokens again with `coffer provider add URL --audience A`".to_owned(),
        ],
        Verdict::OutOfBounds => {
            let mut bounds = explained.considered.iter().filter(|considered| considered.is_boundary);
            let bound = bounds.next().map(|considered| considered.place.policy.as_str());
            bound.map_or_else(Vec::new, |policy| {
                vec![
                    format!("nothing that is given to them helps; see their boundary with `coffer policy show {policy}`"),
                    "a boundary that allows it too is written with `coffer policy put NAME FILE --replace`, for all who have it".to_owned(),
                ]
            })
        }
        Verdict::OutOfSession => vec![
            "begin a session whose own policy, `Policy` or `PolicyArns` of AssumeRole, allows it too".to_owned(),
        ],
        Verdict::NotForSessions => {
            vec!["use the user's access key, or take on a role that may do it".to_owned()]
        }
        Verdict::NotAuthenticated => explained.access_key.as_ref().map_or_else(Vec::new, |key| {
            let RefusedKey { id, state, user } = key;
            let user = user.as_deref().unwrap_or("USER");
            match state {
                KeyState::Disabled => vec![
                    format!("believe it again with `coffer key enable {user} {id}`"),
                    format!("or make another with `coffer key create {user}`"),
                ],
                KeyState::Active => vec![
                    format!("see to it that the program has the secret that was made with it, and that its clock is right; a lost secret is replaced with `coffer key create {user}`"),
                ],
                KeyState::SessionOver | KeyState::Session => vec!["begin another session".to_owned()],
                KeyState::Unknown => vec![
                    "see what keys there are with `coffer key list`".to_owned(),
                    "a key of AWS's, or of another store, is not known here".to_owned(),
                ],
            }
        }),
        Verdict::Denied => vec!["no document would help: what denies it has to change".to_owned()],
        Verdict::Allowed | Verdict::NotAllowed => Vec::new(),
    }
}

fn describe(
    text: &mut String,
    explained: &Explanation,
    advice: &[String],
    place: &Place,
) -> std::fmt::Result {
    let rows = [
        ("When", explained.time.as_str()),
        ("Request", explained.request_id.as_deref().unwrap_or("-")),
        ("Who", explained.principal.as_str()),
        ("Action", explained.action.as_str()),
        ("On", explained.resource.as_str()),
        ("Denied", explained.reason.as_str()),
        ("Now", &says(explained)),
    ];
    for (label, cell) in rows.into_iter().filter(|(_, cell)| !cell.is_empty()) {
        writeln!(text, "{label:<13}{}", plain(cell))?;
    }
    for (at, sentence) in advice.iter().enumerate() {
        writeln!(text, "{:<13}{}", if at == 0 { "To do" } else { "" }, plain(sentence))?;
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
        let mut bounds = explained.considered.iter().filter(|considered| considered.is_boundary).peekable();
        let is_out_of_bounds = bounds.peek().is_some() && !bounds.any(|bound| bound.applies && bound.allows);
        let provided = if is_out_of_bounds { ", once their boundary allows it too" } else { "" };
        write!(
            text,
            "\nthis would allow it{provided}:\n{}",
            String::from_utf8_lossy(document.expose_secret())
        )?;
        let id = explained.request_id.as_deref();
        let which = id.map_or("--last-denied".to_owned(), |id| format!("--request {id}"));
        let print = format!("`coffer policy explain {which} --document >FILE`");
        let told = match (explained.now, holder_of(&explained.principal)) {
            (Verdict::NotAllowed, Some(holder)) => {
                format!("{print}, then `coffer policy put NAME FILE {holder}`")
            }
            (_, _) => print,
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
    let name = wanted_name(&explained.resource);
    match explained.now {
        Verdict::NotAuthenticated => match explained.access_key.as_ref() {
            Some(RefusedKey { id, state, user }) => {
                let of = user.as_ref().map(|user| format!(" of user `{user}`")).unwrap_or_default();
                let what = match state {
                    KeyState::Disabled => "is disabled",
                    KeyState::Active => "is there and active, so what it was signed with, or when, was wrong",
                    KeyState::SessionOver => "is one of a session that is over",
                    KeyState::Session => {
                        "is one of a session whose token or signature was wrong, or whose role or user is gone"
                    }
                    KeyState::Unknown => "is not one of this store's, or no longer",
                };
                format!("access key `{id}`{of} {what}")
            }
            None => "the credentials are wrong".to_owned(),
        },
        Verdict::NotForSessions => {
            "credentials from GetSessionToken can't do it, whoever has them".to_owned()
        }
        Verdict::NoSecret => {
            let region = explained.resource.split(':').nth(3).unwrap_or_default();
            format!("there is no secret `{name}` in {region}, so no policy would help")
        }
        Verdict::NoRole => format!("there is no role `{name}`, so no policy would help"),
        _ if explained.is_gone => {
            "there is no such user or role whose policies could be looked at".to_owned()
        }
        Verdict::Allowed => match applying(true) {
            Some(place) => format!("{} allows it", through(place)),
            None => "it is allowed".to_owned(),
        },
        Verdict::NotAllowed => "no statement allows it".to_owned(),
        Verdict::OutOfBounds => "a statement allows it, and the permissions boundary does not".to_owned(),
        Verdict::NotTrusted => match explained.conditions.as_slice() {
            [] => {
                format!("role `{name}` does not trust them: its trust policy refuses, whatever theirs allow")
            }
            conditions => format!(
                "role `{name}` trusts them only if {}; its trust policy refuses, whatever theirs allow",
                conditions.join(", or if ")
            ),
        },
        Verdict::NoProvider => "the identity provider that vouched for them is deleted, or is not for their audience any more, so no policy would help".to_owned(),
        Verdict::OutOfSession => {
            "their policies allow it, and what the session was begun with does not".to_owned()
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_statements_of_a_trust_one_is_enough() {
        let of = |now, conditions: &[&str]| {
            says(&Explanation {
                time: String::new(),
                request_id: None,
                event_name: String::new(),
                principal: String::new(),
                is_gone: false,
                action: "sts:AssumeRole".to_owned(),
                resource: "arn:aws:iam::123456789012:role/job".to_owned(),
                reason: String::new(),
                considered: Vec::new(),
                now,
                document: None,
                conditions: conditions.iter().map(|condition| (*condition).to_owned()).collect(),
                access_key: None,
            })
        };
        for (conditions, expected) in [
            (&[] as &[&str], "role `job` does not trust them: "),
            (&["a is b and c is d"], "role `job` trusts them only if a is b and c is d; "),
            (&["a is b", "a is c"], "role `job` trusts them only if a is b, or if a is c; "),
        ] {
            let said = of(Verdict::NotTrusted, conditions);
            assert!(said.starts_with(expected), "{said}");
        }
        assert!(of(Verdict::NoProvider, &[]).starts_with("the identity provider that vouched for them"));
    }
}
