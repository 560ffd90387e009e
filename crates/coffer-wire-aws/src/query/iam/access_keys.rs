//! Access keys.

use coffer_core::ops::iam::{
    AccessKeyLastUsed, CreateAccessKey, CreatedAccessKey, DeleteAccessKey, DescribedKey,
    GetAccessKeyLastUsed, ListAccessKeys, Paged, UpdateAccessKey,
};

use super::super::parameters::{Malformed, Parameters};
use super::super::xml::Xml;
use super::super::{FromQuery, ToXml};
use super::entities::paged;

fn write(xml: &mut Xml, key: &DescribedKey) {
    xml.text("UserName", &key.user);
    xml.text("AccessKeyId", &key.id);
    xml.text("Status", if key.is_active { "Active" } else { "Inactive" });
    xml.time("CreateDate", key.created);
}

impl ToXml for CreatedAccessKey {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.element("AccessKey", |xml| {
            write(xml, &self.key);
            xml.secret("SecretAccessKey", &self.secret);
        });
        Some(xml)
    }
}

impl ToXml for Paged<DescribedKey> {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        paged(&mut xml, "AccessKeyMetadata", self, write);
        Some(xml)
    }
}

impl ToXml for AccessKeyLastUsed {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.text("UserName", &self.user);
        xml.element("AccessKeyLastUsed", |xml| match &self.last {
            Some((at, region, service)) => {
                xml.time("LastUsedDate", *at);
                xml.text("Region", region.as_str());
                xml.text("ServiceName", service);
            }
            // What AWS says of a key that was never used.
            None => {
                xml.text("Region", "N/A");
                xml.text("ServiceName", "N/A");
            }
        });
        Some(xml)
    }
}

impl FromQuery for GetAccessKeyLastUsed {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let id = form.access_key_id();
        form.finish(Some(Self { id }))
    }
}

impl Parameters {
    fn access_key_id(&self) -> String {
        // Those that a store was founded with may be as short as the throw-away server's.
        self.required_text("AccessKeyId", 1..=128)
    }
}

impl FromQuery for CreateAccessKey {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let user = form.optional_name("UserName");
        form.finish(Some(Self { user }))
    }
}

impl FromQuery for UpdateAccessKey {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let user = form.optional_name("UserName");
        let id = form.access_key_id();
        let status = form.word("Status", &[("Active", true), ("Inactive", false)]);
        if form.raw("Status").is_none() {
            form.missing("Status");
        }
        form.finish(status.map(|is_active| Self { user, id, is_active }))
    }
}

impl FromQuery for DeleteAccessKey {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (user, id) = (form.optional_name("UserName"), form.access_key_id());
        form.finish(Some(Self { user, id }))
    }
}

impl FromQuery for ListAccessKeys {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (user, page) = (form.optional_name("UserName"), form.page());
        form.finish(Some(Self { user, page }))
    }
}
