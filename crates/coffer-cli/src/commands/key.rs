//! `key`: access keys. The secret of one is told once, when it is made.
//!
//! Invariant: no secret goes to a terminal unasked, and no key is made whose secret could not be told.

use std::fmt::Write as _;

use coffer_wire_local::{AccessKey, AccessRequest, Failure, FailureKind};
use serde::Serialize;

use crate::access::{Access, Place, unexpected};
use crate::arguments::{Key, KeyReference};
use crate::commands::env;
use crate::failure::Stop;
use crate::output::{Output, age, now, stdout_is_terminal, table};
use crate::profile::ProfileFiles;
use crate::shell;

/// An access key, as every object has it.
#[derive(Serialize)]
pub(crate) struct KeyObject {
    access_key_id: String,
    active: bool,
    created: String,
    #[serde(skip)]
    age: String,
}

/// `key list --json`.
#[derive(Serialize)]
struct Keys<'a> {
    user: &'a str,
    access_keys: Vec<KeyObject>,
}

/// `key disable`, `enable` and `delete --json`.
#[derive(Serialize)]
struct Changed<'a> {
    user: &'a str,
    access_key_id: &'a str,
}

/// `key create --profile --json`.
#[derive(Serialize)]
struct Written<'a> {
    user: &'a str,
    access_key_id: &'a str,
    profile: &'a str,
    files: [String; 2],
}

pub(crate) fn objects(keys: Vec<AccessKey>) -> Vec<KeyObject> {
    let now = now();
    let object = |key: AccessKey| KeyObject {
        access_key_id: key.id,
        active: key.is_active,
        created: key.created.to_string(),
        age: age(now, key.created),
    };
    keys.into_iter().map(object).collect()
}

pub(crate) fn table_of(keys: &[KeyObject]) -> String {
    let rows = keys.iter().map(|key| {
        let state = if key.active { "active" } else { "disabled" };
        vec![key.access_key_id.clone(), state.to_owned(), key.age.clone()]
    });
    table(&["Access key", "State", "Made"], rows)
}

pub(crate) fn key(place: &Place, command: &Key, output: Output) -> Result<(), Stop> {
    match command {
        Key::Create { user, show, profile, scope: _ } => {
            create(place, user, *show, profile.as_deref(), output)
        }
        Key::List { user } => list(place, user, output),
        Key::Disable(key) => change(place, key, "disable", output, |user, id| {
            AccessRequest::UpdateAccessKey { user, id, is_active: false }
        }),
        Key::Enable(key) => change(place, key, "enable", output, |user, id| AccessRequest::UpdateAccessKey {
            user,
            id,
            is_active: true,
        }),
        Key::Delete(key) => {
            change(place, key, "delete", output, |user, id| AccessRequest::DeleteAccessKey { user, id })
        }
    }
}

fn create(place: &Place, user: &str, show: bool, profile: Option<&str>, output: Output) -> Result<(), Stop> {
    // All that could stand in the way of telling the secret comes first.
    let files = profile.map(ProfileFiles::of).transpose()?;
    if files.is_none() && !show && stdout_is_terminal() {
        let home = place.home.path();
        let command = |arguments: &str| shell::command(home, &format!("key create {user}{arguments}"));
        return Err(Stop::Usage {
            message: "a secret access key is not printed to a terminal unasked".into(),
            hint: format!(
                "evaluate it, eval \"$({})\", write it into a profile, {}, or see it, {}",
                command(""),
                command(&format!(" --profile {user}")),
                command(" --show")
            ),
        });
    }
    let mut credentials = env::credentials(&place.home)?;
    let made = Access::of(place, "coffer key create", |access| access.new_access_key(user));
    let made = made.map_err(|stop| match stop {
        Stop::Failure(Failure { kind: FailureKind::Refused, message, hint: None }) => {
            Stop::new(FailureKind::Refused, message)
                .with_hint(format!("see what keys there are with `coffer key list {user}`"))
        }
        stop => stop,
    })?;
    credentials.access_key_id.clone_from(&made.id);
    let (coffer_types::SecretValue::String(secret) | coffer_types::SecretValue::Binary(secret)) =
        made.secret.0;
    credentials.secret_access_key = secret;
    let region = place.region.as_ref();
    match (files, profile) {
        (Some(files), Some(profile)) => {
            let files = files.write(&credentials, region).map_err(|stop| {
                stop.with_hint(format!(
                    "the secret is lost: delete the key with `coffer key delete {user} {}`",
                    made.id
                ))
            })?;
            let object = Written { user, access_key_id: &made.id, profile, files };
            output.data(&object, |text| {
                writeln!(text, "made access key `{}` for user `{user}`", made.id)?;
                writeln!(text, "profile `{profile}` has it: export AWS_PROFILE={}", shell::word(profile))
            })
        }
        _ => {
            output.note(&format!(
                "made access key `{}` for user `{user}`; its secret is not told again",
                made.id
            ));
            env::print(&place.home, &credentials, region, output)
        }
    }
}

fn list(place: &Place, user: &str, output: Output) -> Result<(), Stop> {
    let keys = Access::of(place, "coffer key list", |access| access.access_keys(user))?;
    let object = Keys { user, access_keys: objects(keys) };
    output.data(&object, |text| {
        if object.access_keys.is_empty() {
            return writeln!(
                text,
                "{}",
                place.exact(&format!("no access keys yet: `coffer key create {user}`"))
            );
        }
        text.push_str(&table_of(&object.access_keys));
        Ok(())
    })
}

fn change(
    place: &Place,
    key: &KeyReference,
    verb: &str,
    output: Output,
    request: impl FnOnce(String, String) -> AccessRequest,
) -> Result<(), Stop> {
    let user = &key.user;
    let id = Access::of(place, &format!("coffer key {verb}"), |access| {
        let id = match &key.id {
            Some(id) => id.clone(),
            None => only_one(user, access.access_keys(user)?)?,
        };
        access.change(request(user.clone(), id.clone()))?;
        Ok(id)
    })?;
    output.data(&Changed { user, access_key_id: &id }, |text| {
        writeln!(text, "{verb}d access key `{id}` of user `{user}`")
    })
}

fn only_one(user: &str, keys: Vec<AccessKey>) -> Result<String, Stop> {
    match keys.len() {
        0 => Err(Stop::new(FailureKind::NotFound, format!("user `{user}` has no access key"))),
        1 => keys.into_iter().next().map(|key| key.id).ok_or_else(unexpected),
        _ => Err(Stop::Usage {
            message: format!("user `{user}` has several access keys"),
            hint: format!("say which, as `coffer key list {user}` shows them"),
        }),
    }
}
