//! The account itself.

use coffer_core::ops::iam::{
    AccountAliases, AccountSummary, CreateAccountAlias, DeleteAccountAlias, GetAccountSummary,
    ListAccountAliases,
};

use super::super::parameters::{Malformed, Parameters};
use super::super::xml::Xml;
use super::super::{FromQuery, ToXml};

impl ToXml for AccountAliases {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.texts("AccountAliases", &self.0);
        xml.value("IsTruncated", false);
        Some(xml)
    }
}

impl ToXml for AccountSummary {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.element("SummaryMap", |xml| {
            for (name, count) in &self.0 {
                xml.element("entry", |xml| {
                    xml.text("key", name);
                    xml.value("value", count);
                });
            }
        });
        Some(xml)
    }
}

impl Parameters {
    fn alias(&self) -> String {
        let alias = self.required_text("AccountAlias", 3..=63);
        let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_edge = |edge: Option<u8>| edge.is_none_or(|byte| byte != b'-');
        let (first, last) = (alias.bytes().next(), alias.bytes().next_back());
        if !alias.bytes().all(is_legal) || !is_edge(first) || !is_edge(last) || alias.contains("--") {
            let rule =
                "Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$";
            self.violate("AccountAlias", &alias, rule.to_owned());
        }
        alias
    }
}

impl FromQuery for CreateAccountAlias {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let alias = form.alias();
        form.finish(Some(Self { alias }))
    }
}

impl FromQuery for DeleteAccountAlias {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let alias = form.alias();
        form.finish(Some(Self { alias }))
    }
}

impl FromQuery for ListAccountAliases {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        form.finish(Some(Self))
    }
}

impl FromQuery for GetAccountSummary {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        form.finish(Some(Self))
    }
}
