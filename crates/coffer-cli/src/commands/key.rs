//! `key`: access keys. The secret of one is told once, when it is made.
//!
//! Invariant: no secret goes to a terminal unasked, and no key is made whose secret could not be told.

use std::fmt::Write as _;

use coffer_wire_local::{AccessKey, AccessRequest, Entity, Failure, FailureKind, HolderKind};
use serde::Serialize;

use crate::access::{Access, Place, unexpected};
use crate::arguments::{Key, KeyReference};
use crate::commands::env;
use crate::failure::Stop;
use crate::output::{Output, age, now, stdout_is_terminal, table};
use crate::profile::{self, Occupant, Profile, Removed};
use crate::shell;

/// An access key, as every object has it.
#[derive(Serialize)]
pub(crate) struct KeyObject {
    access_key_id: String,
    active: bool,
    created: String,
    /// Null if it never was.
    last_used: Option<LastUseObject>,
    #[serde(skip)]
    age: String,
    #[serde(skip)]
    used: String,
}

#[derive(Serialize)]
struct LastUseObject {
    time: String,
    service: String,
    region: String,
}

/// `key list --json`.
#[derive(Serialize)]
struct Keys<'a> {
    user: &'a str,
    access_keys: Vec<KeyObject>,
}

/// `key list --json` of everybody.
#[derive(Serialize)]
struct AllKeys {
    users: Vec<UserKeys>,
}

#[derive(Serialize)]
struct UserKeys {
    user: String,
    access_keys: Vec<KeyObject>,
}

/// `key disable` and `enable --json`.
#[derive(Serialize)]
struct Changed<'a> {
    user: &'a str,
    access_key_id: &'a str,
}

/// `key delete --json`.
#[derive(Serialize)]
struct Deleted<'a> {
    #[serde(flatten)]
    key: Changed<'a>,
    /// The profiles that were removed with it.
    profiles: Vec<String>,
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
        used: match &key.last_used {
            Some(last) => format!("{}, {}", age(now, last.at), last.service),
            None => "never".to_owned(),
        },
        last_used: key.last_used.map(|last| LastUseObject {
            time: last.at.to_string(),
            service: last.service,
            region: last.region.to_string(),
        }),
    };
    keys.into_iter().map(object).collect()
}

impl KeyObject {
    fn row(&self) -> Vec<String> {
        let state = if self.active { "active" } else { "disabled" };
        vec![self.access_key_id.clone(), state.to_owned(), self.age.clone(), self.used.clone()]
    }
}

pub(crate) fn table_of(keys: &[KeyObject]) -> String {
    table(&["Access key", "State", "Made", "Last used"], keys.iter().map(KeyObject::row))
}

pub(crate) fn key(place: &Place, command: &Key, output: Output) -> Result<(), Stop> {
    match command {
        Key::Create { user, show, profile, scope: _ } => {
            create(place, user, *show, profile.as_deref(), output)
        }
        Key::List { user: Some(user) } => list(place, user, output),
        Key::List { user: None } => list_all(place, output),
        Key::Disable(key) => change(place, key, "disable", output, |user, id| {
            AccessRequest::UpdateAccessKey { user, id, is_active: false }
        }),
        Key::Enable(key) => change(place, key, "enable", output, |user, id| AccessRequest::UpdateAccessKey {
            user,
            id,
            is_active: true,
        }),
        Key::Delete(key) => delete(place, key, output),
    }
}

fn create(place: &Place, user: &str, show: bool, profile: Option<&str>, output: Output) -> Result<(), Stop> {
    // All that could stand in the way of telling the secret comes first.
    let profile = profile.map(Profile::of).transpose()?;
    if profile.is_none() && !show && stdout_is_terminal() {
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
    let occupant = match &profile {
        Some(profile) => profile.occupant(&credentials.endpoint)?,
        None => None,
    };
    let is_replaced = occupant.is_some();
    let made = Access::of(place, "coffer key create", |access| {
        if let (Some(profile), Some(occupant)) = (&profile, occupant) {
            check_dead(access, profile.name(), occupant)?;
        }
        access.new_access_key(user)
    });
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
    let Some(profile) = profile else {
        output
            .note(&format!("made access key `{}` for user `{user}`; its secret is not told again", made.id));
        return env::print(&place.home, &credentials, region, output);
    };
    let files = profile.write(&credentials, region).map_err(|stop| {
        stop.with_hint(format!(
            "the secret is lost: delete the key with `coffer key delete {user} {}`",
            made.id
        ))
    })?;
    let name = profile.name();
    let object = Written { user, access_key_id: &made.id, profile: name, files };
    output.data(&object, |text| {
        writeln!(text, "made access key `{}` for user `{user}`", made.id)?;
        let instead = if is_replaced { ", in the place of one whose key is gone" } else { "" };
        writeln!(text, "profile `{name}` has it{instead}: export AWS_PROFILE={}", shell::word(name))
    })?;
    if env::has_keys() {
        output.warning(
            "this shell has an access key in AWS_ACCESS_KEY_ID, as `coffer env` sets it, and programs take that before any profile",
        );
        let command = shell::command(place.home.path(), &format!("env --profile {}", shell::word(name)));
        output.hint(&format!("be `{user}` in this shell: eval \"$({command})\""));
    }
    Ok(())
}

/// What has the profile's name must be a profile of ours whose key is gone.
fn check_dead(access: &mut Access, name: &str, occupant: Occupant) -> Result<(), Stop> {
    let taken = |what: String, hint: String| Err(Stop::new(FailureKind::Conflict, what).with_hint(hint));
    match occupant {
        Occupant::Other(file) => taken(
            format!("`{}` has a profile `{name}` already, which is not for this store", file.display()),
            "choose another name, or remove that one first".to_owned(),
        ),
        Occupant::Ours(None) => Ok(()),
        Occupant::Ours(Some(id)) => match access.owner_of_key(&id)? {
            None => Ok(()),
            Some(owner) => taken(
                format!("there is a profile `{name}` already, with access key `{id}` of user `{owner}`"),
                format!(
                    "choose another name, or remove it and its key with `coffer key delete {owner} {id}`"
                ),
            ),
        },
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

/// Everybody's keys, by user.
fn list_all(place: &Place, output: Output) -> Result<(), Stop> {
    let users = Access::of(place, "coffer key list", |access| {
        let users = access.entities(HolderKind::User)?;
        let keys_of = |user: Entity| {
            let access_keys = objects(access.access_keys(&user.name)?);
            Ok(UserKeys { user: user.name, access_keys })
        };
        users.into_iter().map(keys_of).collect::<Result<Vec<_>, Stop>>()
    })?;
    let object = AllKeys { users: users.into_iter().filter(|user| !user.access_keys.is_empty()).collect() };
    output.data(&object, |text| {
        let rows = object.users.iter().flat_map(|of| {
            let row = |key: &KeyObject| [vec![of.user.clone()], key.row()].concat();
            of.access_keys.iter().map(row)
        });
        text.push_str(&table(&["User", "Access key", "State", "Made", "Last used"], rows));
        Ok(())
    })
}

/// Deletes a key, and then the profile that holds it.
fn delete(place: &Place, key: &KeyReference, output: Output) -> Result<(), Stop> {
    let user = &key.user;
    let id = Access::of(place, "coffer key delete", |access| {
        let id = chosen(access, key)?;
        access.change(AccessRequest::DeleteAccessKey { user: user.clone(), id: id.clone() })?;
        Ok(id)
    })?;
    let profiles = remove_profiles(std::slice::from_ref(&id), output);
    let object = Deleted { key: Changed { user, access_key_id: &id }, profiles };
    output.data(&object, |text| {
        writeln!(text, "deleted access key `{id}` of user `{user}`")?;
        tell_removed(text, &object.profiles)
    })
}

/// Takes away the profiles of keys that are no more. That this can't be done is no reason to fail: the keys are gone.
pub(crate) fn remove_profiles(ids: &[String], output: Output) -> Vec<String> {
    match profile::remove_keys(ids) {
        Ok(Removed { removed, left }) => {
            for name in left {
                output.warning(&format!(
                    "profile `{name}` had the key and holds settings of yours, so it is left as it is"
                ));
            }
            removed
        }
        Err(stop) => {
            if let Some((text, _)) = stop.texts() {
                output.warning(&format!("no profile was removed: {text}"));
            }
            Vec::new()
        }
    }
}

pub(crate) fn tell_removed(text: &mut String, profiles: &[String]) -> std::fmt::Result {
    profiles.iter().try_for_each(|name| writeln!(text, "removed profile `{name}`, which had it"))
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
        let id = chosen(access, key)?;
        access.change(request(user.clone(), id.clone()))?;
        Ok(id)
    })?;
    output.data(&Changed { user, access_key_id: &id }, |text| {
        writeln!(text, "{verb}d access key `{id}` of user `{user}`")
    })
}

/// The key that is meant.
fn chosen(access: &mut Access, key: &KeyReference) -> Result<String, Stop> {
    match &key.id {
        Some(id) => Ok(id.clone()),
        None => only_one(&key.user, access.access_keys(&key.user)?),
    }
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
