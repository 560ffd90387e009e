//! Users, groups, roles and their tags.

use coffer_core::ops::iam::{
    AddUserToGroup, CreateGroup, CreateRole, CreateUser, DeleteGroup, DeletePermissionsBoundary, DeleteRole,
    DeleteUser, Described, DescribedRole, Done, EntityReference, GetGroup, GetRole, GetUser, GroupWithUsers,
    Kind, ListEntityTags, ListGroups, ListGroupsForUser, ListRoles, ListUsers, OfKind, Paged,
    PutPermissionsBoundary, RemoveUserFromGroup, TagEntity, Tags, UntagEntity, UpdateAssumeRolePolicy,
    UpdateGroup, UpdateRole, UpdateRoleDescription, UpdateUser,
};
use coffer_types::Tag;
use coffer_types::iam_limits::{ENTITY_DESCRIPTION_CHARS_MAX, SESSION_SECONDS_MAX, SESSION_SECONDS_MIN};
use coffer_types::limits::{TAG_KEY_CHARS_MAX, TAGS_PER_SECRET_MAX};

use super::super::parameters::{Malformed, Parameters};
use super::super::xml::Xml;
use super::super::{Element, FromQuery, ToXml};
use super::{encoded, name_of, of_kind};

impl Element for Described {
    /// A user or a group by where it stands; the names of its elements tell which.
    fn write(&self, kind: Kind, xml: &mut Xml) {
        xml.text("Path", &self.path);
        let (name, id) = match kind {
            Kind::User => ("UserName", "UserId"),
            Kind::Group => ("GroupName", "GroupId"),
            Kind::Role => ("RoleName", "RoleId"),
            Kind::Policy | Kind::OidcProvider => ("PolicyName", "PolicyId"),
        };
        xml.text(name, &self.name);
        xml.text(id, &self.id);
        xml.text("Arn", &self.arn);
        xml.time("CreateDate", self.created);
        if let Some(boundary) = &self.boundary {
            xml.element("PermissionsBoundary", |xml| {
                xml.text("PermissionsBoundaryType", "Policy");
                xml.text("PermissionsBoundaryArn", boundary);
            });
        }
        if !self.tags.is_empty() {
            write_tags(xml, &self.tags);
        }
    }
}

impl Element for DescribedRole {
    fn write(&self, _: Kind, xml: &mut Xml) {
        self.entity.write(Kind::Role, xml);
        xml.text("AssumeRolePolicyDocument", encoded(&self.trust));
        xml.optional_text("Description", self.description.as_ref());
        xml.value("MaxSessionDuration", self.session_seconds_max);
    }
}

pub(super) fn write_tags(xml: &mut Xml, tags: &[Tag]) {
    xml.list("Tags", tags, |xml, tag| {
        xml.text("Key", tag.key());
        xml.text("Value", tag.value());
    });
}

/// A page's entries and what asks for the next.
pub(super) fn paged<T>(xml: &mut Xml, name: &'static str, page: &Paged<T>, write: impl Fn(&mut Xml, &T)) {
    xml.list(name, &page.items, write);
    xml.value("IsTruncated", page.marker.is_some());
    xml.optional_text("Marker", page.marker.as_ref());
}

fn result(write: impl FnOnce(&mut Xml)) -> Option<Xml> {
    let mut xml = Xml::default();
    write(&mut xml);
    Some(xml)
}

impl ToXml for Done {
    /// Of all that tell nothing the service model gives one a result.
    fn to_xml(&self, operation: &str) -> Option<Xml> {
        (operation == "UpdateRole").then(Xml::default)
    }
}

impl ToXml for Described {
    fn to_xml(&self, operation: &str) -> Option<Xml> {
        let (name, kind) =
            if operation.ends_with("Group") { ("Group", Kind::Group) } else { ("User", Kind::User) };
        result(|xml| xml.element(name, |xml| self.write(kind, xml)))
    }
}

impl ToXml for DescribedRole {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        result(|xml| xml.element("Role", |xml| self.write(Kind::Role, xml)))
    }
}

impl ToXml for Paged<Described> {
    fn to_xml(&self, operation: &str) -> Option<Xml> {
        let (name, kind) =
            if operation.starts_with("ListGroups") { ("Groups", Kind::Group) } else { ("Users", Kind::User) };
        result(|xml| paged(xml, name, self, |xml, entity| entity.write(kind, xml)))
    }
}

impl ToXml for Paged<DescribedRole> {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        result(|xml| paged(xml, "Roles", self, |xml, role| role.write(Kind::Role, xml)))
    }
}

impl ToXml for GroupWithUsers {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        result(|xml| {
            xml.element("Group", |xml| self.group.write(Kind::Group, xml));
            paged(xml, "Users", &self.users, |xml, user| user.write(Kind::User, xml));
        })
    }
}

impl ToXml for Tags {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        result(|xml| {
            paged(xml, "Tags", &self.0, |xml, tag| {
                xml.text("Key", tag.key());
                xml.text("Value", tag.value());
            });
        })
    }
}

impl FromQuery for CreateUser {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.new_name("UserName", Kind::User);
        let path = form.path("Path");
        let boundary = form.parsed("PermissionsBoundary", super::ARN_RULE);
        let tags = form.tags("Tags", TAGS_PER_SECRET_MAX).unwrap_or_default();
        form.finish(name.map(|name| Self { name, path, boundary, tags }))
    }
}

impl FromQuery for GetUser {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.optional_name("UserName");
        form.finish(Some(Self { name }))
    }
}

impl FromQuery for ListUsers {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (path_prefix, page) = (form.path_prefix(), form.page());
        form.finish(Some(Self { path_prefix, page }))
    }
}

impl FromQuery for UpdateUser {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.name("UserName");
        let new_name = form.raw("NewUserName").and_then(|_| form.new_name("NewUserName", Kind::User));
        let new_path = form.parsed("NewPath", super::PATH_RULE);
        form.finish(name.map(|name| Self { name, new_name, new_path }))
    }
}

impl FromQuery for DeleteUser {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.name("UserName");
        form.finish(name.map(|name| Self { name }))
    }
}

impl FromQuery for CreateGroup {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (name, path) = (form.new_name("GroupName", Kind::Group), form.path("Path"));
        form.finish(name.map(|name| Self { name, path }))
    }
}

impl FromQuery for GetGroup {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (name, page) = (form.name("GroupName"), form.page());
        form.finish(name.map(|name| Self { name, page }))
    }
}

impl FromQuery for ListGroups {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (path_prefix, page) = (form.path_prefix(), form.page());
        form.finish(Some(Self { path_prefix, page }))
    }
}

impl FromQuery for ListGroupsForUser {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (user, page) = (form.name("UserName"), form.page());
        form.finish(user.map(|user| Self { user, page }))
    }
}

impl FromQuery for UpdateGroup {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.name("GroupName");
        let new_name = form.optional_name("NewGroupName");
        let new_path = form.parsed("NewPath", super::PATH_RULE);
        form.finish(name.map(|name| Self { name, new_name, new_path }))
    }
}

impl FromQuery for DeleteGroup {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.name("GroupName");
        form.finish(name.map(|name| Self { name }))
    }
}

impl FromQuery for AddUserToGroup {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let both = form.name("GroupName").zip(form.name("UserName"));
        form.finish(both.map(|(group, user)| Self { group, user }))
    }
}

impl FromQuery for RemoveUserFromGroup {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let both = form.name("GroupName").zip(form.name("UserName"));
        form.finish(both.map(|(group, user)| Self { group, user }))
    }
}

impl FromQuery for CreateRole {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.new_name("RoleName", Kind::Role);
        let path = form.path("Path");
        let trust = form.document("AssumeRolePolicyDocument");
        let description = form.text("Description", 0..=ENTITY_DESCRIPTION_CHARS_MAX);
        let seconds = form.number("MaxSessionDuration", SESSION_SECONDS_MIN..=SESSION_SECONDS_MAX);
        let session_seconds_max = seconds.unwrap_or(SESSION_SECONDS_MIN);
        let boundary = form.parsed("PermissionsBoundary", super::ARN_RULE);
        let tags = form.tags("Tags", TAGS_PER_SECRET_MAX).unwrap_or_default();
        form.finish(name.map(|name| Self {
            name,
            path,
            trust,
            description,
            session_seconds_max,
            boundary,
            tags,
        }))
    }
}

impl FromQuery for GetRole {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.name("RoleName");
        form.finish(name.map(|name| Self { name }))
    }
}

impl FromQuery for ListRoles {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (path_prefix, page) = (form.path_prefix(), form.page());
        form.finish(Some(Self { path_prefix, page }))
    }
}

impl FromQuery for UpdateRole {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.name("RoleName");
        let description = form.text("Description", 0..=ENTITY_DESCRIPTION_CHARS_MAX);
        let session_seconds_max =
            form.number("MaxSessionDuration", SESSION_SECONDS_MIN..=SESSION_SECONDS_MAX);
        form.finish(name.map(|name| Self { name, description, session_seconds_max }))
    }
}

impl FromQuery for UpdateRoleDescription {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.name("RoleName");
        let description = form.required_text("Description", 0..=ENTITY_DESCRIPTION_CHARS_MAX);
        form.finish(name.map(|name| Self { name, description }))
    }
}

impl FromQuery for UpdateAssumeRolePolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (name, trust) = (form.name("RoleName"), form.document("PolicyDocument"));
        form.finish(name.map(|name| Self { name, trust, expected: None }))
    }
}

impl FromQuery for DeleteRole {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let name = form.name("RoleName");
        form.finish(name.map(|name| Self { name }))
    }
}

impl<K: OfKind> FromQuery for PutPermissionsBoundary<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let both = form.holder::<K>().zip(form.policy_arn("PermissionsBoundary"));
        form.finish(both.map(|(holder, policy)| Self { holder, policy, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for DeletePermissionsBoundary<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let holder = form.holder::<K>();
        form.finish(holder.map(|holder| Self { holder, kind: of_kind() }))
    }
}

fn reference<K: OfKind>(form: &Parameters) -> Option<EntityReference> {
    match K::KIND {
        Kind::Policy => form.policy_arn("PolicyArn").map(EntityReference::Policy),
        Kind::OidcProvider => form.provider_arn().map(EntityReference::Provider),
        Kind::User | Kind::Group | Kind::Role => form.name(name_of(K::KIND)).map(EntityReference::Named),
    }
}

impl<K: OfKind> FromQuery for TagEntity<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let entity = reference::<K>(&form);
        let tags = form.tags("Tags", TAGS_PER_SECRET_MAX);
        if tags.is_none() {
            form.missing("Tags");
        }
        form.finish(entity.zip(tags).map(|(entity, tags)| Self { entity, tags, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for UntagEntity<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let entity = reference::<K>(&form);
        let keys = form.texts("TagKeys", TAGS_PER_SECRET_MAX, 1..=TAG_KEY_CHARS_MAX);
        if keys.is_none() {
            form.missing("TagKeys");
        }
        form.finish(entity.zip(keys).map(|(entity, keys)| Self { entity, keys, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for ListEntityTags<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (entity, page) = (reference::<K>(&form), form.page());
        form.finish(entity.map(|entity| Self { entity, page, kind: of_kind() }))
    }
}
