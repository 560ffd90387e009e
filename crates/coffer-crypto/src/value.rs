//! The envelope of a secret's value: a key of its own for each version, wrapped under a key-encryption key.
//!
//! Pure but for key and nonces. Invariant: both parts of an envelope open only for the ARN, version and kind they
//! were sealed for, so nobody who writes the store can pass one version or one secret off as another.

use coffer_types::SecretBytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::context::{self, Use};
use crate::gcm::{Gcm, NONCE_BYTES, Parts, TAG_BYTES};
use crate::random;
use crate::xaes::Xaes;
use crate::{Key, OpenError, Random};

/// The first byte of every ciphertext.
const FORMAT: u8 = 1;

/// Whether a value is a text or bytes. Bound, so that the store cannot make one pass for the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    /// `SecretString`.
    String,
    /// `SecretBinary`.
    Binary,
}

impl ValueKind {
    fn label(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Binary => "binary",
        }
    }
}

/// What a value is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueContext<'a> {
    /// The whole ARN of the secret.
    pub arn: &'a str,
    /// The id of the version.
    pub version_id: &'a str,
    /// Text or bytes.
    pub kind: ValueKind,
}

impl ValueContext<'_> {
    pub(crate) fn encode(&self, label: Use) -> Vec<u8> {
        context::encode(label, [self.arn, self.version_id, self.kind.label()].map(str::as_bytes))
    }
}

/// A value as it is kept. The first byte of each part is its format number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealedValue {
    /// The data key, sealed under the key-encryption key.
    #[serde(with = "serde_bytes")]
    pub wrapped_key: Vec<u8>,
    /// The value, sealed under the data key.
    #[serde(with = "serde_bytes")]
    pub ciphertext: Vec<u8>,
}

/// One generation of the key that wraps the data keys of one account and region.
///
/// It keeps its key schedule, so that opening a value costs two small AES-GCM openings and no set-up of this key.
pub struct KeyEncryptionKey(Xaes);

impl KeyEncryptionKey {
    /// Takes a key into use.
    pub fn new(key: Key) -> Self {
        Self(Xaes::new(key.expose_secret()))
    }

    /// Makes a data key, seals the value under it, and wraps it under this key.
    pub fn seal_value(
        &self,
        random: &dyn Random,
        context: &ValueContext<'_>,
        plaintext: &SecretBytes,
    ) -> SealedValue {
        let data_key = Key::make(random);
        let wrapped_key = self.0.seal(random, &context.encode(Use::DataKey), data_key.expose_secret());
        let nonce: [u8; NONCE_BYTES] = random::make_bytes(random);

        let plaintext = plaintext.expose_secret();
        let mut ciphertext = vec![0; 1 + NONCE_BYTES + plaintext.len() + TAG_BYTES];
        let (head, body) = ciphertext.split_at_mut(1 + NONCE_BYTES);
        head.fill(FORMAT);
        head[1..].copy_from_slice(&nonce);
        Gcm::new(data_key.expose_secret()).seal(nonce, &context.encode(Use::Value), plaintext, body);
        SealedValue { wrapped_key, ciphertext }
    }

    /// Opens a value that was sealed under this key for this context.
    pub fn open_value(
        &self,
        context: &ValueContext<'_>,
        sealed: &SealedValue,
    ) -> Result<SecretBytes, OpenError> {
        let parts = Parts::parse(&sealed.ciphertext, FORMAT)?;
        let data_key = self.0.open_key(&context.encode(Use::DataKey), &sealed.wrapped_key)?;
        let mut plaintext = Zeroizing::new(vec![0; parts.ciphertext.len()]);
        let context = context.encode(Use::Value);
        Gcm::new(&data_key).open(*parts.nonce, &context, parts.ciphertext, parts.tag, &mut plaintext)?;
        Ok(plaintext.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SystemRandom;

    const CONTEXT: ValueContext<'_> = ValueContext {
        arn: "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-AbCdEf",
        version_id: "01234567-89ab-cdef-0123-456789abcdef",
        kind: ValueKind::String,
    };

    fn kek() -> KeyEncryptionKey {
        KeyEncryptionKey::new(Key::from_bytes(&[4; 32]))
    }

    fn seal(plaintext: &[u8]) -> SealedValue {
        kek().seal_value(&SystemRandom, &CONTEXT, &SecretBytes::copy_from(plaintext))
    }

    #[test]
    fn a_value_opens_for_its_arn_version_and_kind_only() {
        let sealed = seal(b"value");
        assert_eq!(kek().open_value(&CONTEXT, &sealed).ok().unwrap().expose_secret(), b"value");
        for context in [
            ValueContext { arn: &CONTEXT.arn.replace("prod", "prof"), ..CONTEXT },
            ValueContext { arn: &CONTEXT.arn[1..], ..CONTEXT },
            ValueContext { version_id: "01234567-89ab-cdef-0123-456789abcdee", ..CONTEXT },
            ValueContext { kind: ValueKind::Binary, ..CONTEXT },
        ] {
            assert_eq!(kek().open_value(&context, &sealed).err(), Some(OpenError::Authentication));
        }
        let another = KeyEncryptionKey::new(Key::from_bytes(&[5; 32]));
        assert_eq!(another.open_value(&CONTEXT, &sealed).err(), Some(OpenError::Authentication));
    }

    #[test]
    fn the_parts_of_two_envelopes_do_not_mix() {
        let (one, other) = (seal(b"one"), seal(b"two"));
        let mixed = SealedValue { wrapped_key: one.wrapped_key, ciphertext: other.ciphertext };
        assert_eq!(kek().open_value(&CONTEXT, &mixed).err(), Some(OpenError::Authentication));
    }

    #[test]
    fn another_format_is_named() {
        let mut sealed = seal(b"value");
        sealed.ciphertext[0] = 2;
        assert_eq!(kek().open_value(&CONTEXT, &sealed).err(), Some(OpenError::Format(2)));
        sealed.ciphertext[0] = FORMAT;
        sealed.wrapped_key[0] = 3;
        assert_eq!(kek().open_value(&CONTEXT, &sealed).err(), Some(OpenError::Format(3)));
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value: Vec<u8>, arn: String, version_id: String, text: bool) {
            let kind = if text { ValueKind::String } else { ValueKind::Binary };
            let context = ValueContext { arn: &arn, version_id: &version_id, kind };
            let sealed = kek().seal_value(&SystemRandom, &context, &SecretBytes::copy_from(&value));
            let opened = kek().open_value(&context, &sealed).ok().unwrap();
            prop_assert_eq!(opened.expose_secret(), value.as_slice());
        }

        #[test]
        fn a_changed_bit_of_either_part_is_noticed(value: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let sealed = seal(&value);
            let mut altered = sealed.clone();
            altered.ciphertext[at.index(sealed.ciphertext.len())] ^= 1u8 << bit;
            prop_assert!(kek().open_value(&CONTEXT, &altered).is_err());
            let mut altered = sealed.clone();
            altered.wrapped_key[at.index(sealed.wrapped_key.len())] ^= 1u8 << bit;
            prop_assert!(kek().open_value(&CONTEXT, &altered).is_err());
        }

        #[test]
        fn a_shortened_part_is_noticed(value: Vec<u8>, at: prop::sample::Index) {
            let sealed = seal(&value);
            let mut short = sealed.clone();
            short.ciphertext.truncate(at.index(sealed.ciphertext.len()));
            prop_assert!(kek().open_value(&CONTEXT, &short).is_err());
            let mut short = sealed.clone();
            short.wrapped_key.truncate(at.index(sealed.wrapped_key.len()));
            prop_assert!(kek().open_value(&CONTEXT, &short).is_err());
        }

        #[test]
        fn strangers_bytes_make_an_error(mut wrapped_key: Vec<u8>, mut ciphertext: Vec<u8>) {
            let strange = SealedValue { wrapped_key: wrapped_key.clone(), ciphertext: ciphertext.clone() };
            prop_assert!(kek().open_value(&CONTEXT, &strange).is_err());
            wrapped_key.insert(0, FORMAT);
            ciphertext.insert(0, FORMAT);
            let of_our_format = SealedValue { wrapped_key, ciphertext };
            prop_assert!(kek().open_value(&CONTEXT, &of_our_format).is_err());
        }
    }
}
