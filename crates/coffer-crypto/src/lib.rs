//! The only door to hashes, HMAC, AEAD, signatures and random bytes.
//!
//! Everything here is a pure function of its arguments except [`SystemRandom`], [`KeyFileSeal`] (which reads and
//! writes one file) and [`process`]. The bytes each type makes are written down in `docs/formats.md`.
//!
//! Invariants: no type that holds a key has `Debug`, `Display`, `Serialize` or `Clone`, and each wipes itself when
//! dropped; whatever is opened was sealed under the same key *and* the same context; bytes that somebody else
//! wrote make an error, never a panic.

mod audit_key;
mod context;
pub mod digest;
mod gcm;
#[cfg(test)]
mod golden;
mod key;
mod mac;
pub mod process;
mod random;
mod record;
mod seal;
mod signature;
pub mod sigv4;
mod token;
mod value;
mod xaes;

pub use audit_key::{AuditPublicKey, AuditPublicKeyError, AuditSigningKey};
pub use key::{Key, RootKey, StoreId, StoreIdError, WrappingKey};
pub use mac::{constant_time_eq, hmac_sha256};
pub use random::{Random, SystemRandom};
pub use record::StoreKey;
pub use seal::{KeyFileSeal, PassphraseSeal, Seal, SealError, SealedRootKey};
#[cfg(any(test, feature = "test-issuer"))]
pub use signature::test_issuer::TestKeyPair;
pub use signature::{SignatureAlgorithm, SignaturePublicKey};
pub use token::TokenKey;
pub use value::{KeyEncryptionKey, SealedValue, ValueContext, ValueKind};

/// Why a sealed thing did not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// Its first byte names a format this coffer does not know, most likely a newer one's.
    #[error("sealed in format {0}, which this coffer does not know")]
    Format(u8),
    /// It has fewer bytes than any sealed thing of its kind.
    #[error("the sealed bytes are cut short")]
    Truncated,
    /// It was altered, moved to another place, or sealed under another key; which of these cannot be told.
    #[error("the sealed bytes are not authentic")]
    Authentication,
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    macro_rules! assert_is_secret {
        ($($secret:ty),* $(,)?) => {
            $(assert_not_impl_any!(
                $secret: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone, PartialEq, AsRef<[u8]>
            );)*
        };
    }

    assert_is_secret!(
        crate::AuditSigningKey,
        crate::Key,
        crate::KeyEncryptionKey,
        crate::PassphraseSeal,
        crate::RootKey,
        crate::StoreKey,
        crate::TokenKey,
        crate::WrappingKey,
        crate::gcm::Gcm,
        crate::sigv4::SigningKey,
        crate::xaes::Xaes,
    );

    #[test]
    fn every_key_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<crate::AuditSigningKey>();
        shared::<crate::KeyEncryptionKey>();
        shared::<crate::StoreKey>();
        shared::<crate::TokenKey>();
        shared::<crate::WrappingKey>();
        shared::<crate::sigv4::SigningKey>();
    }
}
