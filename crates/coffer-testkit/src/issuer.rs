//! An identity provider in memory: keys made at test time, what it publishes, and tokens.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffer_core::{FetchError, IssuerSource};
use coffer_crypto::{SignatureAlgorithm, TestKeyPair};
use coffer_store::BoxFuture;
use coffer_types::IssuerUrl;
use serde_json::{Value, json};

/// What stands where, and how often somebody asked.
#[derive(Default)]
pub struct Published {
    answers: Mutex<HashMap<String, Result<Vec<u8>, FetchError>>>,
    asked: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Published {
    /// Lets a URL answer.
    pub fn set(&self, url: &str, answer: Result<Vec<u8>, FetchError>) {
        self.answers.lock().expect("no test panics with it").insert(url.to_owned(), answer);
    }

    /// What the operator was told since this was last asked.
    pub fn failures(&self) -> Vec<String> {
        std::mem::take(&mut self.failures.lock().expect("no test panics with it"))
    }

    /// How often anything was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl IssuerSource for Published {
    fn given<'a>(&'a self, _: &'a IssuerUrl, _: usize) -> Option<BoxFuture<'a, Result<Vec<u8>, FetchError>>> {
        None
    }

    fn get<'a>(&'a self, url: &'a str, bytes_max: usize) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answers = self.answers.lock().expect("no test panics with it");
        let answer =
            answers.get(url).cloned().unwrap_or_else(|| Err(FetchError::useless("nothing is there")));
        let answer = answer.and_then(|bytes| {
            if bytes.len() > bytes_max { Err(FetchError::useless("too long")) } else { Ok(bytes) }
        });
        Box::pin(std::future::ready(answer))
    }

    fn note_failure(&self, _: &IssuerUrl, error: &FetchError) {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        self.failures.lock().expect("no test panics with it").push(format!("{error}: {cause}"));
    }
}

/// An issuer of tokens.
pub struct TestIssuer {
    /// Its URL.
    pub url: String,
    /// Where it publishes.
    pub published: Arc<Published>,
}

impl TestIssuer {
    /// One that publishes these keys, with their names.
    pub fn new(url: &str, keys: &[(&str, &TestKeyPair)]) -> Self {
        let issuer = Self { url: url.to_owned(), published: Arc::default() };
        let document = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        issuer
            .published
            .set(&format!("{url}/.well-known/openid-configuration"), Ok(document.to_string().into()));
        issuer.publish(keys);
        issuer
    }

    /// Publishes other keys.
    pub fn publish(&self, keys: &[(&str, &TestKeyPair)]) {
        let keys: Vec<Value> = keys.iter().map(|(name, pair)| public_key(name, pair)).collect();
        self.published.set(&format!("{}/keys", self.url), Ok(json!({"keys": keys}).to_string().into()));
    }
}

/// The public half as issuers publish it.
pub fn public_key(name: &str, pair: &TestKeyPair) -> Value {
    let (first, second) = pair.public_parts();
    let (first, second) = (URL_SAFE_NO_PAD.encode(first), URL_SAFE_NO_PAD.encode(second));
    match pair {
        TestKeyPair::Rsa(_) => json!({"kid": name, "kty": "RSA", "use": "sig", "n": first, "e": second}),
        TestKeyPair::P256(_) => json!({"kid": name, "kty": "EC", "crv": "P-256", "x": first, "y": second}),
        TestKeyPair::P384(_) => json!({"kid": name, "kty": "EC", "crv": "P-384", "x": first, "y": second}),
        TestKeyPair::Ed25519(_) => json!({"kid": name, "kty": "OKP", "crv": "Ed25519", "x": first}),
    }
}

/// A token of these parts, as they are written.
pub fn token(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// A token as issuers make it.
pub fn signed_token(algorithm: &str, key_id: &str, pair: &TestKeyPair, claims: &Value) -> String {
    let header = json!({"alg": algorithm, "kid": key_id, "typ": "JWT"}).to_string();
    let algorithm = SignatureAlgorithm::named(algorithm).expect("the name of an algorithm");
    token(&header, &claims.to_string(), |message| pair.sign(algorithm, message))
}
