//! Groups and who is in them.

use coffer_audit::Members;
use coffer_types::iam_limits::{GROUPS_MAX, GROUPS_PER_USER_MAX};
use coffer_types::{EntityName, EntityPath};

use super::directory::{
    About, Directory, DirectoryOperation, Kind, Through, check_free, check_quota, paginate,
};
use super::users::{check_unused, facts, under, write_described};
use super::{
    AddUserToGroup, CreateGroup, DeleteGroup, Described, Done, GetGroup, GroupWithUsers, ListGroups,
    ListGroupsForUser, Paged, RemoveUserFromGroup, UpdateGroup,
};
use crate::gate::OperationName;
use crate::records::access::{IdOf, Policies};
use crate::records::{Group, User};
use crate::transaction::Transaction;
use crate::{Context, Error};

impl Directory {
    fn members_of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a User> {
        self.users.values().map(AsRef::as_ref).filter(move |user| user.groups.contains(group))
    }
}

impl DirectoryOperation for CreateGroup {
    type Output = Described;
    const NAME: OperationName = OperationName { name: "CreateGroup", read_only: false };
    const THROUGH: &'static [Through] = &[Through::Groups];

    fn about(&self, _: &Context) -> About {
        About::New(Kind::Group, self.path.clone(), self.name.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("groupName", &self.name);
        members.text("path", &self.path);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Described, Error> {
        check_free(&directory.groups, self.name.as_str(), "GroupsPerAccount", GROUPS_MAX)?;
        let facts = facts(transaction, IdOf::Group, &self.name, &self.path, &[])?;
        let group = Group { facts, policies: Policies::default() };
        directory.put(transaction, &group);
        Ok(directory.describe(&group, None))
    }

    fn response(output: &Described, members: &mut Members<'_>) {
        members.object("group", |members| write_described(members, "groupName", output));
    }
}

impl DirectoryOperation for GetGroup {
    type Output = GroupWithUsers;
    const NAME: OperationName = OperationName { name: "GetGroup", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Users];

    fn about(&self, _: &Context) -> About {
        About::group(&self.name)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("groupName", &self.name);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<GroupWithUsers, Error> {
        let group = directory.group(self.name.as_str())?;
        let users = directory
            .members_of(self.name.as_str())
            .map(|user| (user.facts.name.clone(), directory.describe(user, user.boundary.as_ref())));
        let users = paginate(context, transaction, "GetGroup", &self.page, users)?;
        Ok(GroupWithUsers { group: directory.describe(group.as_ref(), None), users })
    }
}

impl DirectoryOperation for ListGroups {
    type Output = Paged<Described>;
    const NAME: OperationName = OperationName { name: "ListGroups", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Groups];

    fn about(&self, _: &Context) -> About {
        About::All(Kind::Group)
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
        let groups = under(&directory.groups, &self.path_prefix)
            .map(|(name, group)| (name, directory.describe(group, None)));
        paginate(context, transaction, "ListGroups", &self.page, groups)
    }
}

impl DirectoryOperation for ListGroupsForUser {
    type Output = Paged<Described>;
    const NAME: OperationName = OperationName { name: "ListGroupsForUser", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Groups];

    fn about(&self, _: &Context) -> About {
        About::user(&self.user)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("userName", &self.user);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Self::Output, Error> {
        let user = directory.user(self.user.as_str())?;
        let groups = user.groups.iter().filter_map(|name| directory.groups.get(name));
        let groups = groups.map(|group| (group.facts.name.clone(), directory.describe(group.as_ref(), None)));
        paginate(context, transaction, "ListGroupsForUser", &self.page, groups)
    }
}

impl DirectoryOperation for UpdateGroup {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "UpdateGroup", read_only: false };
    const THROUGH: &'static [Through] = &[Through::Groups, Through::Users];

    fn about(&self, _: &Context) -> About {
        About::group(&self.name)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("groupName", &self.name);
        members.optional_text("newGroupName", self.new_name.as_ref());
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
        let known = directory.group(self.name.as_str())?;
        let mut group = known.as_ref().clone();
        if let Some(path) = &self.new_path {
            group.facts.path = path.to_string();
        }
        if let Some(name) = self.new_name.as_ref().filter(|name| **name != self.name) {
            // Each member's record says the name, and one change holds so many.
            const MEMBERS_MAX: usize = 90;
            check_free(&directory.groups, name.as_str(), "GroupsPerAccount", GROUPS_MAX + 1)?;
            let members: Vec<_> = directory.members_of(self.name.as_str()).collect();
            check_quota(members.len(), "MembersOfRenamedGroup", MEMBERS_MAX)?;
            for member in members {
                let mut member = member.clone();
                member.groups.remove(self.name.as_str());
                member.groups.insert(name.to_string());
                directory.put(transaction, &member);
            }
            group.facts.name = name.to_string();
            directory.delete(transaction, known.as_ref());
        }
        directory.put(transaction, &group);
        Ok(Done)
    }
}

impl DirectoryOperation for DeleteGroup {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "DeleteGroup", read_only: false };
    const THROUGH: &'static [Through] = &[Through::Users];

    fn about(&self, _: &Context) -> About {
        About::group(&self.name)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("groupName", &self.name);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let group = directory.group(self.name.as_str())?;
        check_unused(&[
            (directory.members_of(self.name.as_str()).next().is_some(), "remove users from group first"),
            (!group.policies.attached.is_empty(), "detach all policies first"),
            (!group.policies.inline.is_empty(), "delete policies first"),
        ])?;
        directory.delete(transaction, group.as_ref());
        Ok(Done)
    }
}

impl DirectoryOperation for AddUserToGroup {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "AddUserToGroup", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::group(&self.group)
    }

    fn also(&self, _: &Context) -> Vec<(Kind, String)> {
        vec![(Kind::User, self.user.to_string())]
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("groupName", &self.group);
        members.text("userName", &self.user);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        directory.group(self.group.as_str())?;
        let mut user = directory.user(self.user.as_str())?.as_ref().clone();
        if user.groups.insert(self.group.to_string()) {
            check_quota(user.groups.len(), "GroupsPerUser", GROUPS_PER_USER_MAX)?;
            directory.put(transaction, &user);
        }
        Ok(Done)
    }
}

impl DirectoryOperation for RemoveUserFromGroup {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "RemoveUserFromGroup", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::group(&self.group)
    }

    fn also(&self, _: &Context) -> Vec<(Kind, String)> {
        vec![(Kind::User, self.user.to_string())]
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("groupName", &self.group);
        members.text("userName", &self.user);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        directory.group(self.group.as_str())?;
        let mut user = directory.user(self.user.as_str())?.as_ref().clone();
        if user.groups.remove(self.group.as_str()) {
            directory.put(transaction, &user);
        }
        Ok(Done)
    }
}
