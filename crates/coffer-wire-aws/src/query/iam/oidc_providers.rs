//! OpenID Connect identity providers.

use coffer_core::ops::iam::{
    AddClientIDToOpenIDConnectProvider, CreateOpenIDConnectProvider, CreatedOpenIDConnectProvider,
    DeleteOpenIDConnectProvider, DescribedOpenIDConnectProvider, GetOpenIDConnectProvider,
    ListOpenIDConnectProviders, OpenIDConnectProviders, RemoveClientIDFromOpenIDConnectProvider,
    UpdateOpenIDConnectProviderThumbprint,
};
use coffer_types::iam_limits::{CLIENT_ID_CHARS_MAX, OIDC_URL_CHARS_MAX, THUMBPRINT_CHARS};
use coffer_types::limits::TAGS_PER_SECRET_MAX;
use coffer_types::{IssuerUrl, OidcProviderArn};

use super::super::parameters::{Malformed, Parameters};
use super::super::xml::Xml;
use super::super::{FromQuery, ToXml};
use super::entities::write_tags;

const ARN_RULE: &str =
    "Member must be the ARN of an identity provider: arn:aws:iam::ACCOUNT:oidc-provider/HOST";
const URL_RULE: &str =
    "Member must be the URL of an issuer: https://, a host and perhaps a path, without a query";
/// More entries of a list than any quota allows; quotas are looked at by core.
const LIST_MAX: usize = 200;

impl Parameters {
    /// The ARN of an identity provider.
    pub(super) fn provider_arn(&self) -> Option<OidcProviderArn> {
        self.required("OpenIDConnectProviderArn", ARN_RULE)
    }

    fn thumbprints(&self) -> Option<Vec<String>> {
        let thumbprints = self.texts("ThumbprintList", LIST_MAX, THUMBPRINT_CHARS..=THUMBPRINT_CHARS)?;
        if let Some(odd) = thumbprints.iter().find(|text| !text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            let rule = "Member must satisfy regular expression pattern: [0-9a-fA-F]{40}";
            self.violate("ThumbprintList", odd, rule.to_owned());
        }
        Some(thumbprints)
    }

    fn client_id(&self) -> String {
        self.required_text("ClientID", 1..=CLIENT_ID_CHARS_MAX)
    }
}

impl FromQuery for CreateOpenIDConnectProvider {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        form.text("Url", 1..=OIDC_URL_CHARS_MAX);
        let url = form.required::<IssuerUrl>("Url", URL_RULE);
        let client_ids = form.texts("ClientIDList", LIST_MAX, 1..=CLIENT_ID_CHARS_MAX).unwrap_or_default();
        let thumbprints = form.thumbprints().unwrap_or_default();
        let tags = form.tags("Tags", TAGS_PER_SECRET_MAX).unwrap_or_default();
        form.finish(url.map(|url| Self { url, client_ids, thumbprints, tags }))
    }
}

impl FromQuery for ListOpenIDConnectProviders {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        form.finish(Some(Self))
    }
}

macro_rules! by_arn {
    ($($operation:ident),*) => {$(
        impl FromQuery for $operation {
            fn from_query(form: Parameters) -> Result<Self, Malformed> {
                let arn = form.provider_arn();
                form.finish(arn.map(|arn| Self { arn }))
            }
        }
    )*};
}

by_arn!(GetOpenIDConnectProvider, DeleteOpenIDConnectProvider);

macro_rules! by_arn_and_client_id {
    ($($operation:ident),*) => {$(
        impl FromQuery for $operation {
            fn from_query(form: Parameters) -> Result<Self, Malformed> {
                let (arn, client_id) = (form.provider_arn(), form.client_id());
                form.finish(arn.map(|arn| Self { arn, client_id }))
            }
        }
    )*};
}

by_arn_and_client_id!(AddClientIDToOpenIDConnectProvider, RemoveClientIDFromOpenIDConnectProvider);

impl FromQuery for UpdateOpenIDConnectProviderThumbprint {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let (arn, thumbprints) = (form.provider_arn(), form.thumbprints());
        if thumbprints.is_none() {
            form.missing("ThumbprintList");
        }
        form.finish(arn.zip(thumbprints).map(|(arn, thumbprints)| Self { arn, thumbprints }))
    }
}

impl ToXml for CreatedOpenIDConnectProvider {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.text("OpenIDConnectProviderArn", &self.arn);
        if !self.tags.is_empty() {
            write_tags(&mut xml, &self.tags);
        }
        Some(xml)
    }
}

impl ToXml for DescribedOpenIDConnectProvider {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.text("Url", &self.name);
        xml.texts("ClientIDList", &self.client_ids);
        xml.texts("ThumbprintList", &self.thumbprints);
        xml.time("CreateDate", self.created);
        write_tags(&mut xml, &self.tags);
        Some(xml)
    }
}

impl ToXml for OpenIDConnectProviders {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.list("OpenIDConnectProviderList", &self.0, |xml, arn| xml.text("Arn", arn));
        Some(xml)
    }
}
