//! Roles.

use coffer_audit::Members;
use coffer_policy::{DocumentKind, Values};
use coffer_types::iam_limits::ROLES_MAX;
use coffer_types::{EntityName, PolicyArn, Tag};

use super::directory::{About, Directory, DirectoryOperation, Kind, Through, check_free, paginate};
use super::users::{check_unused, facts, under, write_described, write_tags};
use super::{
    CreateRole, DeleteRole, DescribedRole, Done, GetRole, ListRoles, Paged, UpdateAssumeRolePolicy,
    UpdateRole, UpdateRoleDescription,
};
use super::{documents, trust};
use crate::error::IamError;
use crate::gate::OperationName;
use crate::records::Role;
use crate::records::access::{IdOf, Policies};
use crate::transaction::Transaction;
use crate::{Context, Error};

impl Directory {
    fn describe_role(&self, role: &Role) -> DescribedRole {
        DescribedRole {
            entity: self.describe(role, role.boundary.as_ref()),
            trust: trust::shown(role, self),
            description: role.description.clone(),
            session_seconds_max: role.session_seconds_max,
        }
    }

    /// Whom a role trusts, as far as it is known.
    fn trusted_by(&self, role: &EntityName) -> Vec<(Kind, String)> {
        self.roles.get(role.as_str()).map(|role| trust::bound_names(role, self.account)).unwrap_or_default()
    }
}

impl DirectoryOperation for CreateRole {
    type Output = DescribedRole;
    const NAME: OperationName = OperationName { name: "CreateRole", read_only: false };
    const THROUGH: &'static [Through] = &[Through::Roles, Through::Users];

    fn about(&self, _: &Context) -> About {
        About::New(Kind::Role, self.path.clone(), self.name.clone())
    }

    fn also(&self, _: &Context) -> Vec<(Kind, String)> {
        self.boundary.iter().map(|arn| (Kind::Policy, arn.name.to_string())).collect()
    }

    fn names(&self, found: &Directory) -> Vec<(Kind, String)> {
        trust::names(&self.trust, found.account)
    }

    fn has_to_look_through(&self, through: Through, _: &Directory) -> bool {
        through == Through::Roles || trust::names_an_id(&self.trust, through)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("roleName", &self.name);
        members.text("path", &self.path);
        members.document("assumeRolePolicyDocument", &self.trust);
        members.optional_text("description", self.description.as_ref());
        members.json("maxSessionDuration", self.session_seconds_max);
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
    ) -> Result<DescribedRole, Error> {
        check_free(&directory.roles, self.name.as_str(), "RolesPerAccount", ROLES_MAX)?;
        let trusted = trust::bind(&documents::parse(&self.trust, DocumentKind::Trust)?, directory)?;
        let role = Role {
            facts: facts(transaction, IdOf::Role, &self.name, &self.path, &self.tags)?,
            policies: Policies::default(),
            boundary: super::boundaries::check(directory, self.boundary.as_ref())?,
            trust: self.trust.clone(),
            trusted,
            description: self.description.clone(),
            session_seconds_max: self.session_seconds_max,
        };
        directory.put(transaction, &role);
        Ok(directory.describe_role(&role))
    }

    fn response(output: &DescribedRole, members: &mut Members<'_>) {
        members.object("role", |members| write_described(members, "roleName", &output.entity));
    }
}

impl DirectoryOperation for GetRole {
    type Output = DescribedRole;
    const NAME: OperationName = OperationName { name: "GetRole", read_only: true };
    const TELLS_BOUNDARY: bool = true;
    const THROUGH: &'static [Through] = &[Through::Users];

    fn about(&self, _: &Context) -> About {
        About::role(&self.name)
    }

    fn names(&self, found: &Directory) -> Vec<(Kind, String)> {
        found.trusted_by(&self.name)
    }

    fn has_to_look_through(&self, _: Through, found: &Directory) -> bool {
        trust::misses_a_user(found)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("roleName", &self.name);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<DescribedRole, Error> {
        Ok(directory.describe_role(directory.role(self.name.as_str())?))
    }
}

impl DirectoryOperation for ListRoles {
    type Output = Paged<DescribedRole>;
    const NAME: OperationName = OperationName { name: "ListRoles", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Roles, Through::Users];

    fn about(&self, _: &Context) -> About {
        About::All(Kind::Role)
    }

    fn has_to_look_through(&self, through: Through, found: &Directory) -> bool {
        through == Through::Roles || trust::misses_a_user(found)
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
        let roles = under(&directory.roles, &self.path_prefix)
            .map(|(name, role)| (name, directory.describe_role(role)));
        paginate(context, transaction, "ListRoles", &self.page, roles)
    }
}

impl DirectoryOperation for UpdateRole {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "UpdateRole", read_only: false };
    const TELLS_BOUNDARY: bool = true;

    fn about(&self, _: &Context) -> About {
        About::role(&self.name)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("roleName", &self.name);
        members.optional_text("description", self.description.as_ref());
        members.json("maxSessionDuration", self.session_seconds_max);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let mut role = directory.role(self.name.as_str())?.as_ref().clone();
        if let Some(description) = &self.description {
            role.description = Some(description.clone());
        }
        role.session_seconds_max = self.session_seconds_max.unwrap_or(role.session_seconds_max);
        directory.put(transaction, &role);
        Ok(Done)
    }
}

impl DirectoryOperation for UpdateRoleDescription {
    type Output = DescribedRole;
    const NAME: OperationName = OperationName { name: "UpdateRoleDescription", read_only: false };
    const TELLS_BOUNDARY: bool = true;
    const THROUGH: &'static [Through] = &[Through::Users];

    fn about(&self, _: &Context) -> About {
        About::role(&self.name)
    }

    fn names(&self, found: &Directory) -> Vec<(Kind, String)> {
        found.trusted_by(&self.name)
    }

    fn has_to_look_through(&self, _: Through, found: &Directory) -> bool {
        trust::misses_a_user(found)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("roleName", &self.name);
        members.text("description", &self.description);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<DescribedRole, Error> {
        let mut role = directory.role(self.name.as_str())?.as_ref().clone();
        role.description = Some(self.description.clone());
        directory.put(transaction, &role);
        Ok(directory.describe_role(&role))
    }
}

impl DirectoryOperation for UpdateAssumeRolePolicy {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "UpdateAssumeRolePolicy", read_only: false };
    const TELLS_BOUNDARY: bool = true;
    const THROUGH: &'static [Through] = &[Through::Users, Through::Roles];

    fn about(&self, _: &Context) -> About {
        About::role(&self.name)
    }

    fn names(&self, found: &Directory) -> Vec<(Kind, String)> {
        let mut names = trust::names(&self.trust, found.account);
        if self.expected.is_some() {
            names.extend(found.trusted_by(&self.name));
        }
        names
    }

    fn has_to_look_through(&self, through: Through, found: &Directory) -> bool {
        let is_renamed = || through == Through::Users && trust::misses_a_user(found);
        trust::names_an_id(&self.trust, through) || (self.expected.is_some() && is_renamed())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("roleName", &self.name);
        members.document("policyDocument", &self.trust);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let role = directory.role(self.name.as_str())?;
        if self.expected.as_ref().is_some_and(|expected| *expected != trust::shown(role, directory)) {
            let text = format!("Role {} is trusted to others than when it was read.", self.name);
            return Err(IamError::ConcurrentModification(text).into());
        }
        let trusted = trust::bind(&documents::parse(&self.trust, DocumentKind::Trust)?, directory)?;
        directory.put(transaction, &Role { trust: self.trust.clone(), trusted, ..role.as_ref().clone() });
        Ok(Done)
    }
}

impl DirectoryOperation for DeleteRole {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "DeleteRole", read_only: false };
    const TELLS_BOUNDARY: bool = true;

    fn about(&self, _: &Context) -> About {
        About::role(&self.name)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("roleName", &self.name);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let role = directory.role(self.name.as_str())?;
        check_unused(&[
            (!role.policies.attached.is_empty(), "detach all policies first"),
            (!role.policies.inline.is_empty(), "delete policies first"),
        ])?;
        directory.delete(transaction, role.as_ref());
        Ok(Done)
    }
}
