//! Who issues tokens, by URL, and the ARN of an identity provider, which is made from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::AccountId;
use crate::iam_limits::OIDC_URL_CHARS_MAX;

/// The URL of an issuer of OpenID Connect tokens: `https://`, a host, perhaps a port and a path, in printable ASCII. Without
/// TLS it is a host of this machine: what comes from elsewhere could be anybody's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerUrl(String);

/// Why a text is no issuer's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the URL of an issuer is https://HOST/PATH with at most {OIDC_URL_CHARS_MAX} printable characters, without query, fragment and wildcards; http:// is for hosts of this machine only"
)]
pub struct IssuerUrlError;

impl IssuerUrl {
    /// The URL, as tokens have it under `iss`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL without its scheme: how ARNs and condition keys name it.
    pub fn name(&self) -> &str {
        self.0.split_once("://").map_or(self.0.as_str(), |(_, name)| name)
    }

    /// Where it says which keys it has.
    pub fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }

    /// Whether keys may come from this URL: over TLS, or from this machine if the issuer is there.
    pub fn may_refer_to(&self, url: &str) -> bool {
        let is_plain = self.0.starts_with("http://");
        match take_apart(url) {
            Some(Parts { is_plain: false, .. }) => true,
            Some(Parts { is_plain: true, host, .. }) => is_plain && is_of_this_machine(host),
            None => false,
        }
    }
}

struct Parts<'a> {
    is_plain: bool,
    host: &'a str,
    path: &'a str,
}

/// Scheme, host and the rest, if all of it is as it must be to be asked; a query is looked at by those who allow none.
fn take_apart(url: &str) -> Option<Parts<'_>> {
    let (is_plain, rest) = match url.strip_prefix("https://") {
        Some(rest) => (false, rest),
        None => (true, url.strip_prefix("http://")?),
    };
    let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#*@".contains(&byte);
    if !rest.bytes().all(is_legal) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => {
            let (address, port) = address.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port.strip_prefix(':').or(port.is_empty().then_some("1"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "1")),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let is_port =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    (!host.is_empty() && host.bytes().all(is_host) && is_port).then_some(Parts { is_plain, host, path })
}

fn is_of_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl FromStr for IssuerUrl {
    type Err = IssuerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = take_apart(text).filter(|_| text.len() <= OIDC_URL_CHARS_MAX).ok_or(IssuerUrlError)?;
        let is_reachable = !parts.is_plain || is_of_this_machine(parts.host);
        // What policies read as a wildcard must not stand in an ARN.
        if is_reachable && !parts.path.contains('?') {
            Ok(Self(text.to_owned()))
        } else {
            Err(IssuerUrlError)
        }
    }
}

impl TryFrom<String> for IssuerUrl {
    type Error = IssuerUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IssuerUrl> for String {
    fn from(url: IssuerUrl) -> Self {
        url.0
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of an identity provider.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OidcProviderArn {
    text: String,
    /// The account it belongs to.
    pub account: AccountId,
    /// The issuer's URL without its scheme.
    pub name: String,
}

/// Why a text is no identity provider's ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identity provider's ARN is arn:aws:iam::ACCOUNT:oidc-provider/HOST/PATH")]
pub struct OidcProviderArnError;

impl OidcProviderArn {
    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for OidcProviderArn {
    type Err = OidcProviderArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("arn:aws:iam::").ok_or(OidcProviderArnError)?;
        let (account, resource) = rest.split_once(':').ok_or(OidcProviderArnError)?;
        let name = resource.strip_prefix("oidc-provider/").ok_or(OidcProviderArnError)?;
        // Without its scheme a name may be of either; one that can be reached over TLS has the widest rule.
        format!("https://{name}").parse::<IssuerUrl>().map_err(|_| OidcProviderArnError)?;
        let account = account.parse().map_err(|_| OidcProviderArnError)?;
        Ok(Self { text: text.to_owned(), account, name: name.to_owned() })
    }
}

impl fmt::Display for OidcProviderArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_urls_are_issuers() {
        for (url, name) in [
            ("https://token.actions.githubusercontent.com", "token.actions.githubusercontent.com"),
            ("https://idp.example/realms/a", "idp.example/realms/a"),
            ("https://idp.example/", "idp.example/"),
            ("https://idp.example:6443", "idp.example:6443"),
            ("https://[2001:db8::1]:8443/a", "[2001:db8::1]:8443/a"),
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://localhost", "localhost"),
            ("http://[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(
                url.parse::<IssuerUrl>().map(|issuer| issuer.name().to_owned()),
                Ok(name.to_owned()),
                "{url}"
            );
        }
        for url in [
            "",
            "idp.example",
            "https://",
            "https:///a",
            "ftp://idp.example",
            "http://idp.example",
            "http://127.0.0.1.example",
            "http://localhost@idp.example",
            "https://user@idp.example",
            "https://idp.example?x=1",
            "https://idp.example/?x=1",
            "https://idp.example/#a",
            "https://idp.example/*",
            "https://idp.example:0",
            "https://idp.example:port",
            "https://idp.example:99999",
            "https://idp.example:80:80",
            "https://[::1",
            "https://[::g]",
            "https://[::1]a",
            "https://idp example",
            "https://idp.example/\u{e9}",
            &format!("https://idp.example/{}", "a".repeat(240)),
        ] {
            assert_eq!(url.parse::<IssuerUrl>(), Err(IssuerUrlError), "{url}");
        }
    }

    #[test]
    fn from_where_keys_may_come() {
        let outside: IssuerUrl = "https://idp.example/a/".parse().unwrap();
        assert_eq!(outside.discovery_url(), "https://idp.example/a/.well-known/openid-configuration");
        let inside: IssuerUrl = "http://127.0.0.1:9000".parse().unwrap();
        for (url, to_outside, to_inside) in [
            ("https://keys.example/jwks?v=1", true, true),
            ("http://keys.example/jwks", false, false),
            ("http://127.0.0.1:9001/jwks", false, true),
            ("file:///etc/passwd", false, false),
            ("https://user@keys.example/jwks", false, false),
        ] {
            assert_eq!(
                (outside.may_refer_to(url), inside.may_refer_to(url)),
                (to_outside, to_inside),
                "{url}"
            );
        }
    }

    #[test]
    fn which_arns_are_identity_providers() {
        let arn: OidcProviderArn =
            "arn:aws:iam::123456789012:oidc-provider/idp.example/realms/a".parse().unwrap();
        assert_eq!((arn.account, arn.name.as_str()), (AccountId::EXAMPLE, "idp.example/realms/a"));
        for arn in [
            "",
            "arn:aws:iam::aws:oidc-provider/idp.example",
            "arn:aws:iam::123456789012:oidc-provider/",
            "arn:aws:iam::123456789012:saml-provider/idp.example",
            "arn:aws:iam::123456789012:oidc-provider/*",
        ] {
            assert_eq!(arn.parse::<OidcProviderArn>(), Err(OidcProviderArnError), "{arn}");
        }
    }
}
