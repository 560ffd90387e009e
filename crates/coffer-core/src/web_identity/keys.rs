//! The keys that an issuer publishes: a JSON Web Key Set (RFC 7517), and the document that says where it is.
//!
//! Pure. Invariant: a key is used for what it is said to be for, and a secret one for nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffer_crypto::{SignatureAlgorithm, SignaturePublicKey};
use coffer_types::IssuerUrl;

use super::json::{Json, Object};

/// Most keys of a set that are looked at.
const KEYS_MAX: usize = 128;

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct KeySet(Vec<PublishedKey>);

#[derive(Debug)]
struct PublishedKey {
    id: Option<String>,
    /// The only one it is for, if it says so.
    algorithm: Option<SignatureAlgorithm>,
    key: SignaturePublicKey,
}

impl KeySet {
    /// Reads a set; keys of unknown types are passed over, as the standard has it.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let set = Json::object(bytes)?;
        let keys = set.get("keys")?.list()?;
        Some(Self(keys.iter().take(KEYS_MAX).filter_map(published).collect()))
    }

    /// Whether it has none that could sign a token.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that signed, if it is told which: by its name, or because there is no other.
    pub(super) fn find(
        &self,
        key_id: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Option<&SignaturePublicKey> {
        let is_fit = |known: &&PublishedKey| {
            known.key.is_for(algorithm)
                && known.algorithm.is_none_or(|only| only == algorithm)
                && (key_id.is_none() || known.id.as_deref() == key_id)
        };
        let mut fit = self.0.iter().filter(is_fit);
        match (fit.next(), fit.next()) {
            (Some(found), None) => Some(&found.key),
            // Of several none is meant more than the others.
            (Some(_), Some(_)) | (None, _) => None,
        }
    }
}

fn published(key: &Json) -> Option<PublishedKey> {
    let Json::Object(key) = key else { return None };
    let text = |name: &str| key.get(name).and_then(Json::text);
    if text("use").is_some_and(|use_| use_ != "sig") || !may_verify(key) {
        return None;
    }
    let algorithm = match text("alg") {
        Some(name) => Some(SignatureAlgorithm::named(name)?),
        None => None,
    };
    let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
    let public_key = match text("kty")? {
        "RSA" => SignaturePublicKey::rsa(&number("n")?, &number("e")?)?,
        "EC" => SignaturePublicKey::elliptic(text("crv")?, &number("x")?, &number("y")?)?,
        "OKP" if text("crv") == Some("Ed25519") => SignaturePublicKey::ed25519(&number("x")?)?,
        _ => return None,
    };
    Some(PublishedKey { id: text("kid").map(str::to_owned), algorithm, key: public_key })
}

fn may_verify(key: &Object) -> bool {
    match key.get("key_ops") {
        Some(operations) => {
            operations.texts().is_some_and(|operations| operations.iter().any(|name| name == "verify"))
        }
        None => true,
    }
}

/// Where an issuer's keys are, as its own document says; `None` if the document is another's, or names a place from which keys
/// must not come.
pub(super) fn keys_url(issuer: &IssuerUrl, document: &[u8]) -> Option<String> {
    let document = Json::object(document)?;
    let is_its_own = document.get("issuer")?.text()? == issuer.as_str();
    let url = document.get("jwks_uri")?.text()?;
    (is_its_own && issuer.may_refer_to(url)).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use coffer_crypto::TestKeyPair;

    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn a_key_is_found_by_its_name_and_for_what_it_is() {
        let (x, y) = TestKeyPair::make(SignatureAlgorithm::Es256).public_parts();
        let ec = |more: &str| {
            format!(
                r#"{{"kty": "EC", "crv": "P-256", "x": "{}", "y": "{}"{more}}}"#,
                encoded(&x),
                encoded(&y)
            )
        };
        let find = |keys: &[String], id: Option<&str>, algorithm| {
            let set = KeySet::parse(format!(r#"{{"keys": [{}]}}"#, keys.join(", ")).as_bytes()).unwrap();
            set.find(id, algorithm).is_some()
        };
        let (es256, rs256) = (SignatureAlgorithm::Es256, SignatureAlgorithm::Rs256);
        let named = ec(r#", "kid": "a""#);
        assert!(find(std::slice::from_ref(&named), Some("a"), es256));
        assert!(find(std::slice::from_ref(&named), None, es256));
        assert!(!find(std::slice::from_ref(&named), Some("b"), es256));
        assert!(!find(std::slice::from_ref(&named), Some("a"), rs256));
        assert!(!find(&[named.clone(), ec(r#", "kid": "b""#)], None, es256));
        assert!(find(&[named.clone(), ec(r#", "kid": "b""#)], Some("b"), es256));
        assert!(!find(&[named.clone(), named], Some("a"), es256));
        for (more, is_found) in [
            (r#", "use": "sig", "alg": "ES256", "key_ops": ["verify"]"#, true),
            (r#", "use": "enc""#, false),
            (r#", "alg": "ES384""#, false),
            (r#", "alg": "HS256""#, false),
            (r#", "key_ops": ["sign"]"#, false),
        ] {
            assert_eq!(find(&[ec(more)], None, es256), is_found, "{more}");
        }
        let secret = r#"{"kty": "oct", "k": "AAAA", "kid": "a"}"#.to_owned();
        assert!(!find(&[secret, "7".to_owned(), "{}".to_owned()], Some("a"), es256));
    }

    #[test]
    fn what_is_no_set_is_none() {
        for text in ["", "[]", "{}", r#"{"keys": {}}"#, r#"{"keys": [], "keys": []}"#, "<html>"] {
            assert!(KeySet::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn the_document_of_an_issuer_is_its_own() {
        let issuer: IssuerUrl = "https://idp.example".parse().unwrap();
        let keys = |document: &str| keys_url(&issuer, document.as_bytes());
        let found = keys(r#"{"issuer": "https://idp.example", "jwks_uri": "https://keys.example/a"}"#);
        assert_eq!(found.as_deref(), Some("https://keys.example/a"));
        for document in [
            r#"{"issuer": "https://idp.example/", "jwks_uri": "https://keys.example/a"}"#,
            r#"{"issuer": "https://other.example", "jwks_uri": "https://keys.example/a"}"#,
            r#"{"issuer": "https://idp.example", "jwks_uri": "http://127.0.0.1/a"}"#,
            r#"{"issuer": "https://idp.example", "jwks_uri": "file:///etc/passwd"}"#,
            r#"{"issuer": "https://idp.example"}"#,
            r#"{"issuer": "https://idp.example", "jwks_uri": 1}"#,
            "{",
        ] {
            assert_eq!(keys(document), None, "{document}");
        }
    }
}
