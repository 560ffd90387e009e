//! Inline and managed policies.

use coffer_core::ops::iam::{
    AttachPolicy, AttachedPolicies, CreatePolicy, CreatePolicyVersion, DeleteInlinePolicy, DeletePolicy,
    DeletePolicyVersion, DescribedPolicy, DescribedVersion, DetachPolicy, GetInlinePolicy, GetPolicy,
    GetPolicyVersion, InlinePolicy, Kind, ListAttachedPolicies, ListEntitiesForPolicy, ListInlinePolicies,
    ListPolicies, ListPolicyVersions, OfKind, Paged, PolicyEntities, PolicyNames, PolicyScope, PutPolicy,
    SetDefaultPolicyVersion,
};
use coffer_types::iam_limits::ENTITY_DESCRIPTION_CHARS_MAX;
use coffer_types::limits::TAGS_PER_SECRET_MAX;

use super::super::parameters::{Malformed, Parameters};
use super::super::xml::Xml;
use super::super::{FromQuery, ToXml};
use super::entities::{paged, write_tags};
use super::{encoded, name_of, of_kind};

impl<K: OfKind> ToXml for InlinePolicy<K> {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.text(name_of(K::KIND), &self.holder);
        xml.text("PolicyName", &self.name);
        xml.text("PolicyDocument", encoded(&self.document));
        Some(xml)
    }
}

impl ToXml for PolicyNames {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.texts("PolicyNames", &self.0.items);
        xml.value("IsTruncated", self.0.marker.is_some());
        xml.optional_text("Marker", self.0.marker.as_ref());
        Some(xml)
    }
}

impl ToXml for AttachedPolicies {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        paged(&mut xml, "AttachedPolicies", &self.0, |xml, (name, arn)| {
            xml.text("PolicyName", name);
            xml.text("PolicyArn", arn);
        });
        Some(xml)
    }
}

fn write_policy(xml: &mut Xml, policy: &DescribedPolicy) {
    let entity = &policy.entity;
    xml.text("PolicyName", &entity.name);
    xml.text("PolicyId", &entity.id);
    xml.text("Arn", &entity.arn);
    xml.text("Path", &entity.path);
    xml.text("DefaultVersionId", format!("v{}", policy.default_version));
    xml.value("AttachmentCount", policy.attachments);
    xml.value("PermissionsBoundaryUsageCount", policy.boundary_uses);
    xml.value("IsAttachable", true);
    xml.optional_text("Description", policy.description.as_ref());
    xml.time("CreateDate", entity.created);
    xml.time("UpdateDate", policy.updated);
    if !entity.tags.is_empty() {
        write_tags(xml, &entity.tags);
    }
}

fn write_version(xml: &mut Xml, version: &DescribedVersion) {
    if let Some(document) = &version.document {
        xml.text("Document", encoded(document));
    }
    xml.text("VersionId", format!("v{}", version.number));
    xml.value("IsDefaultVersion", version.is_default);
    xml.time("CreateDate", version.created);
}

impl ToXml for DescribedPolicy {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.element("Policy", |xml| write_policy(xml, self));
        Some(xml)
    }
}

impl ToXml for Paged<DescribedPolicy> {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        paged(&mut xml, "Policies", self, write_policy);
        Some(xml)
    }
}

impl ToXml for DescribedVersion {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.element("PolicyVersion", |xml| write_version(xml, self));
        Some(xml)
    }
}

impl ToXml for Paged<DescribedVersion> {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        paged(&mut xml, "Versions", self, write_version);
        Some(xml)
    }
}

impl ToXml for PolicyEntities {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        let lists = [
            (Kind::Group, "PolicyGroups", "GroupName", "GroupId"),
            (Kind::User, "PolicyUsers", "UserName", "UserId"),
            (Kind::Role, "PolicyRoles", "RoleName", "RoleId"),
        ];
        for (kind, list, name, id) in lists {
            let of_kind = self.0.items.iter().filter(|(of, ..)| *of == kind);
            xml.list(list, of_kind, |xml, (_, its_name, its_id)| {
                xml.text(name, its_name);
                xml.text(id, its_id);
            });
        }
        xml.value("IsTruncated", self.0.marker.is_some());
        xml.optional_text("Marker", self.0.marker.as_ref());
        Some(xml)
    }
}

impl<K: OfKind> FromQuery for PutPolicy<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let both = form.holder::<K>().zip(form.name("PolicyName"));
        let document = form.document("PolicyDocument");
        form.finish(both.map(|(holder, name)| Self { holder, name, document, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for GetInlinePolicy<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let both = form.holder::<K>().zip(form.name("PolicyName"));
        form.finish(both.map(|(holder, name)| Self { holder, name, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for DeleteInlinePolicy<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let both = form.holder::<K>().zip(form.name("PolicyName"));
        form.finish(both.map(|(holder, name)| Self { holder, name, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for ListInlinePolicies<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (holder, page) = (form.holder::<K>(), form.page());
        form.finish(holder.map(|holder| Self { holder, page, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for AttachPolicy<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let both = form.holder::<K>().zip(form.policy_arn("PolicyArn"));
        form.finish(both.map(|(holder, policy)| Self { holder, policy, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for DetachPolicy<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let both = form.holder::<K>().zip(form.policy_arn("PolicyArn"));
        form.finish(both.map(|(holder, policy)| Self { holder, policy, kind: of_kind() }))
    }
}

impl<K: OfKind> FromQuery for ListAttachedPolicies<K> {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (holder, path_prefix, page) = (form.holder::<K>(), form.path_prefix(), form.page());
        form.finish(holder.map(|holder| Self { holder, path_prefix, page, kind: of_kind() }))
    }
}

impl FromQuery for CreatePolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (name, path) = (form.new_name("PolicyName", Kind::Policy), form.path("Path"));
        let document = form.document("PolicyDocument");
        let description = form.text("Description", 0..=ENTITY_DESCRIPTION_CHARS_MAX);
        let tags = form.tags("Tags", TAGS_PER_SECRET_MAX).unwrap_or_default();
        form.finish(name.map(|name| Self { name, path, document, description, tags }))
    }
}

impl FromQuery for GetPolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let arn = form.policy_arn("PolicyArn");
        form.finish(arn.map(|arn| Self { arn }))
    }
}

impl FromQuery for ListPolicies {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let scopes = [("All", PolicyScope::All), ("AWS", PolicyScope::Aws), ("Local", PolicyScope::Local)];
        let scope = form.word("Scope", &scopes).unwrap_or(PolicyScope::All);
        let only_attached = form.truth("OnlyAttached").unwrap_or(false);
        let (path_prefix, page) = (form.path_prefix(), form.page());
        form.finish(Some(Self { scope, only_attached, path_prefix, page }))
    }
}

impl FromQuery for DeletePolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let arn = form.policy_arn("PolicyArn");
        form.finish(arn.map(|arn| Self { arn }))
    }
}

impl FromQuery for CreatePolicyVersion {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let arn = form.policy_arn("PolicyArn");
        let document = form.document("PolicyDocument");
        let set_as_default = form.truth("SetAsDefault").unwrap_or(false);
        form.finish(arn.map(|arn| Self { arn, document, set_as_default }))
    }
}

impl Parameters {
    /// `v3`
    fn version_number(&self) -> Option<u32> {
        const RULE: &str = "Member must satisfy regular expression pattern: v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?";
        let text = self.required_text("VersionId", 1..=32);
        let number = text.strip_prefix('v').and_then(|digits| digits.parse().ok());
        if number.is_none() && !text.is_empty() {
            self.violate("VersionId", &text, RULE.to_owned());
        }
        number
    }
}

macro_rules! by_arn_and_number {
    ($($operation:ident),*) => {$(
        impl FromQuery for $operation {
            fn from_query(form: Parameters) -> Result<Self, Malformed> {
                let both = form.policy_arn("PolicyArn").zip(form.version_number());
                form.finish(both.map(|(arn, number)| Self { arn, number }))
            }
        }
    )*};
}

by_arn_and_number!(GetPolicyVersion, DeletePolicyVersion, SetDefaultPolicyVersion);

impl FromQuery for ListPolicyVersions {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (arn, page) = (form.policy_arn("PolicyArn"), form.page());
        form.finish(arn.map(|arn| Self { arn, page }))
    }
}

impl FromQuery for ListEntitiesForPolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let arn = form.policy_arn("PolicyArn");
        let kinds = [
            ("User", Some(Kind::User)),
            ("Group", Some(Kind::Group)),
            ("Role", Some(Kind::Role)),
            // Managed policies are found by nothing else here; these two narrow to one sort of them.
            ("LocalManagedPolicy", None),
            ("AWSManagedPolicy", None),
        ];
        let kind = form.word("EntityFilter", &kinds).flatten();
        let (path_prefix, page) = (form.path_prefix(), form.page());
        form.finish(arn.map(|arn| Self { arn, kind, path_prefix, page }))
    }
}
