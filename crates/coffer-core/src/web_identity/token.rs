//! A JSON Web Token, taken apart: RFC 7515 in its compact form, and the claims of OpenID Connect.
//!
//! Pure. Invariant: nothing a token says of itself chooses how it is verified but the name of its key and an algorithm that
//! the key must be for; keys, addresses and extensions that its header brings are never looked at.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffer_crypto::SignatureAlgorithm;
use coffer_types::iam_limits::WEB_IDENTITY_TOKEN_CHARS_MAX;

use super::json::{Json, Object};

/// A token that nobody has verified yet.
pub(super) struct Token<'a> {
    pub(super) algorithm: SignatureAlgorithm,
    /// The name of its key.
    pub(super) key_id: Option<String>,
    pub(super) claims: Object,
    /// What is signed.
    pub(super) message: &'a [u8],
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > WEB_IDENTITY_TOKEN_CHARS_MAX {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        // Without padding, and with nothing in the bits that are left over: one token has one form.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header = Json::object(&header)?;
        // What an extension says must be heeded, and coffer knows none.
        if header.contains_key("crit") || header.contains_key("b64") {
            return None;
        }
        let algorithm = SignatureAlgorithm::named(header.get("alg")?.text()?)?;
        let key_id = match header.get("kid") {
            Some(key_id) => Some(key_id.text()?.to_owned()),
            None => None,
        };
        let claims = Json::object(&payload)?;
        Some(Self { algorithm, key_id, claims, message: message.as_bytes(), signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(r#"{"alg": "RS256", "kid": "k", "typ": "JWT"}"#, r#"{"iss": "x"}"#);
        let parsed = Token::parse(&text).unwrap();
        assert_eq!((parsed.algorithm, parsed.key_id.as_deref()), (SignatureAlgorithm::Rs256, Some("k")));
        assert_eq!(parsed.claims.get("iss").and_then(Json::text), Some("x"));
        assert_eq!(parsed.signature, b"signature");
        assert_eq!(text.as_bytes().strip_prefix(parsed.message).unwrap()[0], b'.');
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = token(r#"{"alg": "RS256"}"#, "{}");
        assert!(Token::parse(&good).is_some());
        for text in [
            String::new(),
            "..".to_owned(),
            "a.b".to_owned(),
            "token".to_owned(),
            format!("{good}.x"),
            format!("{good}="),
            format!(" {good}"),
            format!("{good}+"),
            token(r#"{"alg": "none"}"#, "{}"),
            token(r#"{"alg": "HS256"}"#, "{}"),
            token(r#"{"alg": ["RS256"]}"#, "{}"),
            token("{}", "{}"),
            token(r#"{"alg": "none", "alg": "RS256"}"#, "{}"),
            token(r#"{"alg": "RS256", "kid": 1}"#, "{}"),
            token(r#"{"alg": "RS256", "crit": ["exp"]}"#, "{}"),
            token(r#"{"alg": "RS256", "b64": false}"#, "{}"),
            token(r#"{"alg": "RS256"}"#, r#"{"sub": "a", "sub": "b"}"#),
            token(r#"{"alg": "RS256"}"#, "[]"),
            token(
                r#"{"alg": "RS256"}"#,
                &format!(r#"{{"a": "{}"}}"#, "a".repeat(WEB_IDENTITY_TOKEN_CHARS_MAX)),
            ),
        ] {
            assert!(Token::parse(&text).is_none(), "{}", text.chars().take(80).collect::<String>());
        }
    }
}
