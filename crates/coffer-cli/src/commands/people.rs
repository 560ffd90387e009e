//! `user`, `group` and `role`: who there is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use coffer_policy::{Document, DocumentKind};
use coffer_types::Timestamp;
use coffer_wire_local::{AccessRequest, Entity, Holder, HolderKind};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::access::{Access, Place};
use crate::arguments::{Group, Permitted, Role, RoleAdd, User};
use crate::commands::policy::{malformed, read};
use crate::failure::Stop;
use crate::output::{Output, age, now, plain, table};
use crate::people::{PoliciesOf, SECRETS_POLICY, document_object, trust_policy};

mod federated;
mod gone;
mod trust;

/// Somebody, as every object has it.
#[derive(Serialize)]
struct EntityObject {
    name: String,
    arn: String,
    id: String,
    created: String,
    /// Of roles only.
    #[serde(flatten)]
    role: Option<RoleObject>,
}

#[derive(Serialize)]
struct RoleObject {
    trust: Box<RawValue>,
    max_session: u32,
    description: Option<String>,
}

/// `add --json`.
#[derive(Serialize)]
struct Added {
    #[serde(flatten)]
    entity: EntityObject,
    /// The policy of its own that was made for it.
    policy: Option<Box<RawValue>>,
}

/// `show --json`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    entity: EntityObject,
    tags: BTreeMap<String, String>,
    /// The ARN of the policy that bounds its permissions.
    boundary: Option<String>,
    /// The names of the policies of its own.
    inline_policies: Vec<String>,
    /// The ARNs of managed ones.
    attached_policies: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_keys: Option<Vec<super::key::KeyObject>>,
    #[serde(skip)]
    age: String,
}

#[derive(Serialize)]
struct Deleted<'a> {
    name: &'a str,
    /// Of users: the profiles that were removed with their keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<Vec<String>>,
}

pub(crate) fn user(place: &Place, command: &User, output: Output) -> Result<(), Stop> {
    match command {
        User::Add { name, permitted } => {
            add(place, holder(HolderKind::User, name), None, permitted, output)?;
            output.hint(
                &place.exact(&format!("give it an access key: `coffer key create {name} --profile {name}`")),
            );
            Ok(())
        }
        User::List => list(place, HolderKind::User, output),
        User::Show { name } => show(place, holder(HolderKind::User, name), output),
        User::Delete { name } => delete(place, &holder(HolderKind::User, name), output),
    }
}

pub(crate) fn group(place: &Place, command: &Group, output: Output) -> Result<(), Stop> {
    match command {
        Group::Add { name, permitted } => {
            add(place, holder(HolderKind::Group, name), None, permitted, output)
        }
        Group::List => list(place, HolderKind::Group, output),
        Group::Show { name } => show(place, holder(HolderKind::Group, name), output),
        Group::Join { group, user } => {
            let request = AccessRequest::AddUserToGroup { group: group.clone(), user: user.clone() };
            Access::of(place, "coffer group join", |access| access.change(request))?;
            member(group, user, "is now in", output)
        }
        Group::Leave { group, user } => {
            let request = AccessRequest::RemoveUserFromGroup { group: group.clone(), user: user.clone() };
            Access::of(place, "coffer group leave", |access| access.change(request))?;
            member(group, user, "is no longer in", output)
        }
        Group::Delete { name } => delete(place, &holder(HolderKind::Group, name), output),
    }
}

pub(crate) fn role(place: &Place, command: &Role, output: Output) -> Result<(), Stop> {
    match command {
        Role::Add(role) => {
            let holder = holder(HolderKind::Role, &role.name);
            add(place, holder, Some(role), &role.permitted, output)
        }
        Role::List => list(place, HolderKind::Role, output),
        Role::Show { name } => show(place, holder(HolderKind::Role, name), output),
        Role::Trust(arguments) => trust::trust(place, arguments, output),
        Role::Delete { name } => delete(place, &holder(HolderKind::Role, name), output),
    }
}

fn holder(kind: HolderKind, name: &str) -> Holder {
    Holder { kind, name: name.to_owned() }
}

fn member(group: &str, user: &str, how: &str, output: Output) -> Result<(), Stop> {
    let object = serde_json::json!({ "group": group, "user": user });
    output.data(&object, |text| writeln!(text, "user `{user}` {how} group `{group}`"))
}

fn add(
    place: &Place,
    holder: Holder,
    role: Option<&RoleAdd>,
    permitted: &Permitted,
    output: Output,
) -> Result<(), Stop> {
    let noun = holder.kind.noun();
    // Read before the store is opened: it may come from a terminal.
    let file = role.and_then(|role| role.trust_policy.as_deref()).map(read_trust).transpose()?;
    let federated = role.map(federated::Federated::of).transpose()?.flatten();
    let (entity, policy) = Access::of(place, &format!("coffer {noun} add"), |access| {
        // What is asked for is known to be legal before anybody is made.
        let policy = access.permission(permitted, output)?;
        let trust = match (file, role) {
            (Some(document), _) => Some(document),
            (None, Some(_)) if federated.is_some() => {
                federated.as_ref().map(|federated| federated.trust(access)).transpose()?
            }
            (None, Some(role)) => {
                let named = trust::Named {
                    users: &role.trust_user,
                    roles: &role.trust_role,
                    accounts: &role.trust_account,
                };
                Some(trust_policy(&named.principals(access)?)?)
            }
            (None, None) => None,
        };
        let entity = access.entity(AccessRequest::Create {
            holder: holder.clone(),
            trust,
            description: role.and_then(|role| role.description.clone()),
            session_seconds_max: role.and_then(|role| role.max_session),
        })?;
        if let Some(document) = &policy {
            let name = SECRETS_POLICY.to_owned();
            access.change(AccessRequest::PutPolicy { holder, name, document: document.clone() })?;
        }
        Ok((entity, policy))
    })?;
    let name = entity.name.clone();
    let object = Added { entity: EntityObject::of(entity), policy: policy.as_deref().map(document_object) };
    output.data(&object, |text| {
        writeln!(text, "made {noun} `{name}`")?;
        let may = |what: &str, secrets: &[String]| {
            let secrets: Vec<String> = secrets.iter().map(|name| format!("`{}`", plain(name))).collect();
            (!secrets.is_empty()).then(|| format!("{what} {}", secrets.join(", ")))
        };
        let may: Vec<String> =
            may("read", &permitted.reads).into_iter().chain(may("write", &permitted.writes)).collect();
        match may.as_slice() {
            [] => writeln!(text, "it may do nothing yet"),
            may => writeln!(text, "it may {}, and nothing else", may.join(" and ")),
        }
    })
}

pub(super) fn read_trust(file: &Path) -> Result<String, Stop> {
    let document = read(file)?;
    Document::parse(&document, DocumentKind::Trust).map_err(|error| malformed(file, &error))?;
    Ok(document)
}

fn list(place: &Place, kind: HolderKind, output: Output) -> Result<(), Stop> {
    let noun = kind.noun();
    let now = now();
    let entities = Access::of(place, &format!("coffer {noun} list"), |access| access.entities(kind))?;
    let ages: Vec<String> = entities.iter().map(|entity| age(now, entity.created)).collect();
    let objects: Vec<EntityObject> = entities.into_iter().map(EntityObject::of).collect();
    output.data(&serde_json::json!({ format!("{noun}s"): objects }), |text| {
        if objects.is_empty() {
            return writeln!(text, "{}", place.exact(&format!("no {noun}s yet: `coffer {noun} add NAME`")));
        }
        let rows = objects.iter().zip(ages);
        let rows = rows.map(|(entity, age)| vec![entity.name.clone(), entity.arn.clone(), age]);
        text.push_str(&table(&["Name", "ARN", "Made"], rows));
        Ok(())
    })
}

fn show(place: &Place, holder: Holder, output: Output) -> Result<(), Stop> {
    let kind = holder.kind;
    let name = holder.name.clone();
    let shown = Access::of(place, &format!("coffer {} show", kind.noun()), |access| {
        let entity = access.entity(AccessRequest::Get { holder: holder.clone() })?;
        let PoliciesOf { inline, attached } = access.policies_of(&holder)?;
        let (mut groups, mut users, mut access_keys) = (None, None, None);
        match kind {
            HolderKind::User => {
                groups = Some(access.names(AccessRequest::ListGroupsForUser { user: name.clone() })?);
                access_keys = Some(super::key::objects(access.access_keys(&name)?));
            }
            HolderKind::Group => {
                users = Some(access.names(AccessRequest::ListUsersOfGroup { group: name.clone() })?);
            }
            HolderKind::Role => {}
        }
        Ok(Shown {
            age: age(now(), entity.created),
            tags: entity.tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect(),
            boundary: entity.boundary.clone(),
            entity: EntityObject::of(entity),
            inline_policies: inline,
            attached_policies: attached.into_iter().map(|(_, arn)| arn).collect(),
            groups,
            users,
            access_keys,
        })
    })?;
    output.data(&shown, |text| shown.describe(text, place, kind))
}

impl EntityObject {
    fn of(entity: Entity) -> Self {
        let Entity { name, arn, id, created, tags: _, boundary: _, role } = entity;
        let role = role.map(|role| RoleObject {
            trust: document_object(&role.trust),
            max_session: role.session_seconds_max,
            description: role.description,
        });
        Self { name, arn, id, created: Timestamp::to_string(&created), role }
    }
}

impl Shown {
    fn describe(&self, text: &mut String, place: &Place, kind: HolderKind) -> std::fmt::Result {
        let mut rows = vec![("Name", self.entity.name.clone()), ("ARN", self.entity.arn.clone())];
        rows.push(("Id", self.entity.id.clone()));
        if let Some(role) = &self.entity.role {
            rows.extend(role.description.iter().map(|description| ("For", description.clone())));
            rows.extend(several("Trusts", trust::in_words(role.trust.get()).into_iter()));
            rows.push(("Sessions", format!("of {} seconds at most", role.max_session)));
        }
        rows.extend(several("Tags", self.tags.iter().map(|(key, value)| format!("{key}={value}"))));
        rows.extend(several("Groups", self.groups.iter().flatten().cloned()));
        rows.extend(several("Users", self.users.iter().flatten().cloned()));
        rows.extend(self.boundary.iter().map(|arn| ("Bounded by", arn.clone())));
        let own = self.inline_policies.iter().map(|name| format!("{name} (its own)"));
        rows.extend(several("Policies", own.chain(self.attached_policies.iter().cloned())));
        rows.push(("Made", self.age.clone()));
        for (label, cell) in rows {
            writeln!(text, "{label:<13}{}", plain(&cell))?;
        }
        if let Some(keys) = self.access_keys.as_ref().filter(|keys| !keys.is_empty()) {
            write!(text, "\n{}", super::key::table_of(keys))?;
        } else if kind == HolderKind::User {
            let name = &self.entity.name;
            writeln!(text, "{}", place.exact(&format!("\nno access key yet: `coffer key create {name}`")))?;
        }
        Ok(())
    }
}

/// A label for the first of several lines.
fn several(
    label: &'static str,
    cells: impl Iterator<Item = String>,
) -> impl Iterator<Item = (&'static str, String)> {
    cells.enumerate().map(move |(at, cell)| (if at == 0 { label } else { "" }, cell))
}

/// Takes everything from somebody, access first, and then deletes them.
fn delete(place: &Place, holder: &Holder, output: Output) -> Result<(), Stop> {
    let (noun, name) = (holder.kind.noun(), &holder.name);
    let mut keys = Vec::new();
    Access::of(place, &format!("coffer {noun} delete"), |access| {
        access.entity(AccessRequest::Get { holder: holder.clone() })?;
        if holder.kind == HolderKind::User {
            for key in access.access_keys(name)? {
                access.change(AccessRequest::DeleteAccessKey { user: name.clone(), id: key.id.clone() })?;
                keys.push(key.id);
            }
            for group in access.names(AccessRequest::ListGroupsForUser { user: name.clone() })? {
                access.change(AccessRequest::RemoveUserFromGroup { group, user: name.clone() })?;
            }
        }
        if holder.kind == HolderKind::Group {
            for user in access.names(AccessRequest::ListUsersOfGroup { group: name.clone() })? {
                access.change(AccessRequest::RemoveUserFromGroup { group: name.clone(), user })?;
            }
        }
        let PoliciesOf { inline, attached } = access.policies_of(holder)?;
        for name in inline {
            access.change(AccessRequest::DeleteInlinePolicy { holder: holder.clone(), name })?;
        }
        for (_, arn) in attached {
            access.change(AccessRequest::DetachPolicy { holder: holder.clone(), arn })?;
        }
        access.change(AccessRequest::Delete { holder: holder.clone() })
    })?;
    let profiles = (holder.kind == HolderKind::User).then(|| super::key::remove_profiles(&keys, output));
    let object = Deleted { name, profiles };
    output.data(&object, |text| {
        writeln!(text, "deleted {noun} `{}`", plain(name))?;
        super::key::tell_removed(text, object.profiles.as_deref().unwrap_or_default())
    })
}
