//! Users.

use std::collections::{BTreeSet, HashSet};

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::iam_limits::USERS_MAX;
use coffer_types::limits::TAGS_PER_SECRET_MAX;
use coffer_types::{EntityName, EntityPath, PolicyArn, Tag};

use super::directory::{
    About, Directory, DirectoryOperation, Kind, Through, check_free, check_quota, paginate, user_or_caller,
};
use super::{CreateUser, DeleteUser, Described, Done, GetUser, ListUsers, Paged, UpdateUser};
use crate::error::IamError;
use crate::gate::OperationName;
use crate::records::User;
use crate::records::access::{Entity, Facts, IdOf, Policies};
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// What a new entity begins with.
pub(super) fn facts(
    transaction: &Transaction<'_>,
    of: IdOf,
    name: &EntityName,
    path: &EntityPath,
    tags: &[Tag],
) -> Result<Facts, Error> {
    check_tag_keys(tags)?;
    check_quota(tags.len(), "TagsPerEntity", TAGS_PER_SECRET_MAX)?;
    Ok(Facts {
        name: name.to_string(),
        path: path.to_string(),
        id: transaction.make_unique_id(of),
        created: transaction.now(),
        tags: tags.to_vec(),
    })
}

/// Refuses tags of which two have keys that differ in case at most: a condition could tell neither of them.
pub(crate) fn check_tag_keys(tags: &[Tag]) -> Result<(), Error> {
    let keys: HashSet<String> = tags.iter().map(|tag| tag.key().to_ascii_lowercase()).collect();
    if keys.len() < tags.len() {
        let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
        return Err(IamError::InvalidInput(text.to_owned()).into());
    }
    Ok(())
}

pub(super) fn write_tags(members: &mut Members<'_>, tags: &[Tag]) {
    if !tags.is_empty() {
        members.objects("tags", tags, |tag, members| {
            members.text("key", tag.key());
            members.text("value", tag.value());
        });
    }
}

/// What a record tells of an entity that was made.
pub(super) fn write_described(members: &mut Members<'_>, name: &'static str, described: &Described) {
    members.text(name, &described.name);
    members.text("arn", &described.arn);
    members.text("id", &described.id);
}

impl DirectoryOperation for CreateUser {
    type Output = Described;
    const NAME: OperationName = OperationName { name: "CreateUser", read_only: false };
    const THROUGH: &'static [Through] = &[Through::Users];

    fn about(&self, _: &Context) -> About {
        About::New(Kind::User, self.path.clone(), self.name.clone())
    }

    fn also(&self, _: &Context) -> Vec<(Kind, String)> {
        self.boundary.iter().map(|arn| (Kind::Policy, arn.name.to_string())).collect()
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("userName", &self.name);
        members.text("path", &self.path);
        members.optional_text("permissionsBoundary", self.boundary.as_ref());
        write_tags(members, &self.tags);
    }

    fn condition<'a>(&'a self, key: &str) -> Values<'a> {
        match key {
            "iam:permissionsboundary" => Values::optional(self.boundary.as_ref().map(PolicyArn::as_str)),
            _ => Values::Absent,
        }
    }

    fn request_tags(&self) -> Option<&[Tag]> {
        Some(&self.tags)
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Described, Error> {
        check_free(&directory.users, self.name.as_str(), "UsersPerAccount", USERS_MAX)?;
        let boundary = super::boundaries::check(directory, self.boundary.as_ref())?;
        let facts = facts(transaction, IdOf::User, &self.name, &self.path, &self.tags)?;
        let user = User { facts, policies: Policies::default(), boundary, groups: BTreeSet::new() };
        directory.put(transaction, &user);
        Ok(directory.describe(&user, user.boundary.as_ref()))
    }

    fn response(output: &Described, members: &mut Members<'_>) {
        members.object("user", |members| write_described(members, "userName", output));
    }
}

impl DirectoryOperation for GetUser {
    type Output = Described;
    const NAME: OperationName = OperationName { name: "GetUser", read_only: true };

    fn about(&self, context: &Context) -> About {
        About::user_or_caller(context, self.name.as_ref())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.optional_text("userName", self.name.as_ref());
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<Described, Error> {
        let user = directory.user(&user_or_caller(context, self.name.as_ref())?)?;
        Ok(directory.describe(user.as_ref(), user.boundary.as_ref()))
    }
}

/// Those of a listing whose path begins so, by name.
pub(super) fn under<'a, E: Entity>(
    known: impl IntoIterator<Item = (&'a String, &'a std::sync::Arc<E>)>,
    path_prefix: &'a str,
) -> impl Iterator<Item = (String, &'a E)> {
    known
        .into_iter()
        .filter(move |(_, entity)| entity.facts().path.starts_with(path_prefix))
        .map(|(name, entity)| (name.clone(), entity.as_ref()))
}

impl DirectoryOperation for ListUsers {
    type Output = Paged<Described>;
    const NAME: OperationName = OperationName { name: "ListUsers", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Users];

    fn about(&self, _: &Context) -> About {
        About::All(Kind::User)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("pathPrefix", &self.path_prefix);
        members.json("maxItems", self.page.max_items);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Self::Output, Error> {
        let users = under(&directory.users, &self.path_prefix)
            .map(|(name, user)| (name, directory.describe(user, user.boundary.as_ref())));
        paginate(context, transaction, "ListUsers", &self.page, users)
    }
}

impl DirectoryOperation for UpdateUser {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "UpdateUser", read_only: false };
    const THROUGH: &'static [Through] = &[Through::Users, Through::AccessKeys];

    fn about(&self, _: &Context) -> About {
        About::user(&self.name)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("userName", &self.name);
        members.optional_text("newUserName", self.new_name.as_ref());
        members.optional_text("newPath", self.new_path.as_ref());
    }

    fn renames(&self) -> Option<(Option<&EntityName>, Option<&EntityPath>)> {
        Some((self.new_name.as_ref(), self.new_path.as_ref()))
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let known = directory.user(self.name.as_str())?;
        let mut user = known.as_ref().clone();
        if let Some(path) = &self.new_path {
            user.facts.path = path.to_string();
        }
        if let Some(name) = self.new_name.as_ref().filter(|name| **name != self.name) {
            check_free(&directory.users, name.as_str(), "UsersPerAccount", USERS_MAX + 1)?;
            user.facts.name = name.to_string();
            directory.delete(transaction, known.as_ref());
        }
        directory.put(transaction, &user);
        // They know the name, and who signs with them is told by it.
        for (id, key) in directory.access_keys.iter().filter(|(_, key)| key.user == known.facts.name) {
            let mut key = key.anew();
            key.user.clone_from(&user.facts.name);
            transaction.put(keys::access_key(id), &key);
        }
        Ok(Done)
    }
}

impl DirectoryOperation for DeleteUser {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "DeleteUser", read_only: false };
    const THROUGH: &'static [Through] = &[Through::AccessKeys];

    fn about(&self, _: &Context) -> About {
        About::user(&self.name)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("userName", &self.name);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let user = directory.user(self.name.as_str())?;
        let has_keys = directory.access_keys.values().any(|key| key.user == user.facts.name);
        check_unused(&[
            (has_keys, "delete access keys first"),
            (!user.groups.is_empty(), "remove users from group first"),
            (!user.policies.attached.is_empty(), "detach all policies first"),
            (!user.policies.inline.is_empty(), "delete policies first"),
        ])?;
        directory.delete(transaction, user.as_ref());
        Ok(Done)
    }
}

/// What still hangs on something keeps it from being deleted.
pub(super) fn check_unused(conflicts: &[(bool, &str)]) -> Result<(), Error> {
    match conflicts.iter().find(|(stands, _)| *stands) {
        Some((_, what)) => {
            Err(IamError::DeleteConflict(format!("Cannot delete entity, must {what}.")).into())
        }
        None => Ok(()),
    }
}
