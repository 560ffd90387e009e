//! The key that signs checkpoints and digests of the audit log: Ed25519, RFC 8032.
//!
//! Pure. Whoever verifies a log needs the public half only.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::key::decode_lowercase_hex;
use crate::{Key, Random};

/// The secret half.
pub struct AuditSigningKey {
    seed: Key,
    pair: Ed25519KeyPair,
}

impl AuditSigningKey {
    /// A new key.
    pub fn make(random: &dyn Random) -> Self {
        Self::from_seed(Key::make(random))
    }

    /// The key whose seed was kept, wrapped, in the store.
    pub fn from_seed(seed: Key) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose_secret());
        Self { seed, pair: pair.expect("any 32 bytes are an Ed25519 seed") }
    }

    /// What to wrap and keep.
    pub fn seed(&self) -> &Key {
        &self.seed
    }

    /// The signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }

    /// The half to give away.
    pub fn public_key(&self) -> AuditPublicKey {
        let bytes = self.pair.public_key().as_ref();
        AuditPublicKey(bytes.try_into().expect("an Ed25519 public key has 32 bytes"))
    }
}

/// The public half, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AuditPublicKey([u8; 32]);

/// An audit public key is 64 lowercase hex digits.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not an audit public key: 64 lowercase hex digits")]
pub struct AuditPublicKeyError(String);

impl AuditPublicKey {
    /// Whether `signature` is one of `message` by this key's owner.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for AuditPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AuditPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AuditPublicKey({self})")
    }
}

impl FromStr for AuditPublicKey {
    type Err = AuditPublicKeyError;

    fn from_str(text: &str) -> Result<Self, AuditPublicKeyError> {
        decode_lowercase_hex(text).map(Self).ok_or_else(|| AuditPublicKeyError(text.to_owned()))
    }
}

impl From<AuditPublicKey> for String {
    fn from(key: AuditPublicKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for AuditPublicKey {
    type Error = AuditPublicKeyError;

    fn try_from(text: String) -> Result<Self, AuditPublicKeyError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SystemRandom;

    #[test]
    fn agrees_with_rfc_8032_test_1() {
        let seed =
            decode_lowercase_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = AuditSigningKey::from_seed(Key::from_bytes(&seed));
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(key.public_key().to_string(), public);
        assert_eq!(public.parse(), Ok(key.public_key()));
        assert_eq!(
            hex::encode(key.sign(b"")),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
    }

    #[test]
    fn a_public_key_is_64_lowercase_hex_digits() {
        let text = AuditSigningKey::make(&SystemRandom).public_key().to_string();
        for wrong in ["", &text[2..], &format!("{text}00"), &format!("{}xy", &text[2..])] {
            assert!(wrong.parse::<AuditPublicKey>().is_err(), "{wrong}");
        }
        let json = serde_json::to_string(&text.parse::<AuditPublicKey>().unwrap()).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<AuditPublicKey>(&json).unwrap().to_string(), text);
    }

    proptest! {
        #[test]
        fn a_signature_holds_for_its_message_only(message: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let key = AuditSigningKey::from_seed(Key::from_bytes(&[8; 32]));
            let signature = key.sign(&message);
            prop_assert!(key.public_key().verify(&message, &signature));

            let mut altered = signature;
            altered[at.index(64)] ^= 1u8 << bit;
            prop_assert!(!key.public_key().verify(&message, &altered));
            prop_assert!(!key.public_key().verify(&[&message[..], b"x"].concat(), &signature));
        }

        #[test]
        fn any_public_key_and_signature_may_be_tried(public: [u8; 32], signature: [[u8; 32]; 2]) {
            let signature = signature.as_flattened().try_into().unwrap();
            prop_assert!(!AuditPublicKey(public).verify(b"message", signature));
        }
    }
}
