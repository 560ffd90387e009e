//! The tree of keys, from the root down.
//!
//! Pure. Deriving is deterministic; making draws random bytes.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hkdf;
use coffer_types::SecretBytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::context::{self, Use};
use crate::random::{self, Random};
use crate::xaes::Xaes;
use crate::{OpenError, StoreKey};

/// 32 secret bytes, wiped when dropped.
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A new key.
    pub fn make(random: &dyn Random) -> Self {
        let mut key = Self(Zeroizing::new([0; 32]));
        random.fill(&mut *key.0);
        key
    }

    /// A key read from where it was kept; the caller wipes its own copy.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The bytes. Every caller of this is a place to review.
    pub fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<Zeroizing<[u8; 32]>> for Key {
    fn from(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }
}

/// The name of one store, drawn when it is made. Keys are derived and sealed for it, so that two stores never
/// share one even if they share a root key by mistake. Not secret. Written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct StoreId([u8; 16]);

/// A store id is 32 lowercase hex digits.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a store id: 32 lowercase hex digits")]
pub struct StoreIdError(String);

impl StoreId {
    /// A new id.
    pub fn make(random: &dyn Random) -> Self {
        Self(random::make_bytes(random))
    }

    /// The id's bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoreId({self})")
    }
}

impl FromStr for StoreId {
    type Err = StoreIdError;

    fn from_str(text: &str) -> Result<Self, StoreIdError> {
        decode_lowercase_hex(text).map(Self).ok_or_else(|| StoreIdError(text.to_owned()))
    }
}

impl From<StoreId> for String {
    fn from(id: StoreId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for StoreId {
    type Error = StoreIdError;

    fn try_from(text: String) -> Result<Self, StoreIdError> {
        text.parse()
    }
}

/// Exactly `N` bytes in the one way coffer writes them.
pub(crate) fn decode_lowercase_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let written_our_way = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (written_our_way && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// The key everything in a store hangs on. It exists only in memory and inside a [`crate::SealedRootKey`].
pub struct RootKey(Key);

impl RootKey {
    /// A new root key; once, at `init`.
    pub fn make(random: &dyn Random) -> Self {
        Self(Key::make(random))
    }

    /// The key that seals the records of `store`.
    pub fn derive_store_key(&self, store: StoreId) -> StoreKey {
        StoreKey::new(&self.derive(store, "coffer store key v1"))
    }

    /// The key that wraps the other keys of `store`.
    pub fn derive_wrapping_key(&self, store: StoreId) -> WrappingKey {
        WrappingKey(Xaes::new(self.derive(store, "coffer wrapping key v1").expose_secret()))
    }

    /// HKDF-SHA-256: the root key is the input, the store id the salt, the text the info.
    pub(crate) fn derive(&self, store: StoreId, info: &str) -> Key {
        let mut derived = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, store.as_bytes())
            .extract(self.0.expose_secret())
            .expand(&[info.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut *derived))
            .expect("HKDF-SHA-256 gives 32 bytes");
        Key(derived)
    }

    pub(crate) fn from_key(key: Key) -> Self {
        Self(key)
    }

    pub(crate) fn expose_secret(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

/// Wraps the keys below the root: key-encryption keys, token keys, the audit signing key.
///
/// `purpose` says what a thing is, `context` whose it is; both must be given again, unchanged, to open it.
pub struct WrappingKey(Xaes);

impl WrappingKey {
    /// Seals a key.
    pub fn wrap(&self, random: &dyn Random, purpose: &str, context: &[&[u8]], key: &Key) -> Vec<u8> {
        self.0.seal(random, &bound(Use::KeyWrap, purpose, context), key.expose_secret())
    }

    /// Opens a key sealed by [`Self::wrap`].
    pub fn unwrap(&self, purpose: &str, context: &[&[u8]], sealed: &[u8]) -> Result<Key, OpenError> {
        self.0.open_key(&bound(Use::KeyWrap, purpose, context), sealed).map(Key)
    }

    /// Seals a secret of any length that is no secret's version: an access key's secret, bound to its id. Such a
    /// secret stays sealed inside its opened record, and so in caches, until the one place that needs it.
    pub fn seal_secret(
        &self,
        random: &dyn Random,
        purpose: &str,
        context: &[&[u8]],
        secret: &SecretBytes,
    ) -> Vec<u8> {
        self.0.seal(random, &bound(Use::SealedSecret, purpose, context), secret.expose_secret())
    }

    /// Opens a secret sealed by [`Self::seal_secret`].
    pub fn open_secret(
        &self,
        purpose: &str,
        context: &[&[u8]],
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        self.0.open(&bound(Use::SealedSecret, purpose, context), sealed).map(SecretBytes::from)
    }
}

fn bound(label: Use, purpose: &str, context: &[&[u8]]) -> Vec<u8> {
    context::encode(label, std::iter::once(purpose.as_bytes()).chain(context.iter().copied()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SystemRandom;

    #[test]
    fn hkdf_agrees_with_rfc_5869_case_1() {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let salt: Vec<u8> = (0x00..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut output = [0; 42];
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&[0x0b; 22]);
        key.expand(&[&info], Length(42)).unwrap().fill(&mut output).unwrap();
        assert_eq!(
            hex::encode(output),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }

    #[test]
    fn each_store_and_each_use_has_its_own_key() {
        let root = RootKey::make(&SystemRandom);
        let (one, other) = (StoreId::make(&SystemRandom), StoreId::make(&SystemRandom));
        let key = |store, info| *root.derive(store, info).expose_secret();
        assert_eq!(key(one, "a"), key(one, "a"));
        assert_ne!(key(one, "a"), key(one, "b"));
        assert_ne!(key(one, "a"), key(other, "a"));
    }

    #[test]
    fn a_store_id_is_32_lowercase_hex_digits() {
        let id = "000102030405060708090a0b0c0d0e0f";
        assert_eq!(id.parse::<StoreId>().unwrap().to_string(), id);
        assert_eq!(serde_json::to_string(&id.parse::<StoreId>().unwrap()).unwrap(), format!("\"{id}\""));
        for wrong in ["", "00", &id[1..], &format!("{id}00"), &id.to_uppercase(), &id.replace('f', "g")] {
            assert!(wrong.parse::<StoreId>().is_err(), "{wrong}");
            assert!(serde_json::from_str::<StoreId>(&format!("\"{wrong}\"")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wrapped_key_opens_for_its_purpose_and_context_only() {
        let wrapping = RootKey::make(&SystemRandom).derive_wrapping_key(StoreId::make(&SystemRandom));
        let key = Key::make(&SystemRandom);
        let sealed = wrapping.wrap(&SystemRandom, "kek", &[b"123456789012", b"us-east-1"], &key);

        let opened = wrapping.unwrap("kek", &[b"123456789012", b"us-east-1"], &sealed).ok();
        assert_eq!(opened.unwrap().expose_secret(), key.expose_secret());

        let refused = |purpose: &str, context: &[&[u8]]| {
            assert_eq!(wrapping.unwrap(purpose, context, &sealed).err(), Some(OpenError::Authentication));
        };
        refused("token", &[b"123456789012", b"us-east-1"]);
        refused("kek", &[b"123456789013", b"us-east-1"]);
        refused("kek", &[b"123456789012us-", b"east-1"]);
        refused("kek", &[b"123456789012"]);
        refused("kek123456789012", &[b"us-east-1"]);
        assert_eq!(
            wrapping.open_secret("kek", &[b"123456789012", b"us-east-1"], &sealed).err(),
            Some(OpenError::Authentication)
        );
        let another = RootKey::make(&SystemRandom).derive_wrapping_key(StoreId::make(&SystemRandom));
        assert!(another.unwrap("kek", &[b"123456789012", b"us-east-1"], &sealed).is_err());
    }

    proptest! {
        #[test]
        fn a_sealed_secret_opens_for_its_owner_only(secret: Vec<u8>, owner: Vec<u8>, other: Vec<u8>) {
            let wrapping = RootKey::from_key(Key::from_bytes(&[3; 32]))
                .derive_wrapping_key("000102030405060708090a0b0c0d0e0f".parse().unwrap());
            let value = SecretBytes::copy_from(&secret);
            let sealed = wrapping.seal_secret(&SystemRandom, "access key", &[&owner], &value);
            let opened = |owner: &[u8]| {
                let opened = wrapping.open_secret("access key", &[owner], &sealed).ok();
                opened.map(|secret| secret.expose_secret().to_vec())
            };
            prop_assert_eq!(opened(&owner), Some(secret));
            if other != owner {
                prop_assert_eq!(opened(&other), None);
            }
        }
    }
}
