//! STS's operations: parameters in, elements out.

use coffer_core::ops::sts::{CallerIdentity, GetCallerIdentity};

use super::parameters::{Malformed, Parameters};
use super::xml::Xml;
use super::{FromQuery, ToXml};

impl FromQuery for GetCallerIdentity {
    fn from_query(parameters: Parameters) -> Result<Self, Malformed> {
        parameters.finish(Some(Self))
    }
}

impl ToXml for CallerIdentity {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.text("UserId", &self.user_id);
        xml.text("Account", self.account.to_string());
        xml.text("Arn", &self.arn);
        Some(xml)
    }
}
