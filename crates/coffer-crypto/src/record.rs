//! Sealed records: what the store is given to keep.
//!
//! Pure but for the nonce. Invariant: a sealed record opens under the storage key and kind it was sealed for and no
//! other, so whoever writes the file cannot move one record into the place of another.

use zeroize::Zeroizing;

use crate::context::{self, Use};
use crate::xaes::Xaes;
use crate::{Key, OpenError, Random};

/// The key that seals every record of one store.
pub struct StoreKey(Xaes);

impl StoreKey {
    pub(crate) fn new(key: &Key) -> Self {
        Self(Xaes::new(key.expose_secret()))
    }

    /// Seals a record. `kind` names its type, `storage_key` is where it will stand.
    pub fn seal_record(
        &self,
        random: &dyn Random,
        kind: &str,
        storage_key: &[u8],
        plaintext: &[u8],
    ) -> Vec<u8> {
        self.0.seal(random, &place(kind, storage_key), plaintext)
    }

    /// Opens a record that was found at `storage_key` and ought to be of this kind.
    pub fn open_record(
        &self,
        kind: &str,
        storage_key: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.0.open(&place(kind, storage_key), sealed)
    }
}

pub(crate) fn place(kind: &str, storage_key: &[u8]) -> Vec<u8> {
    context::encode(Use::Record, [kind.as_bytes(), storage_key])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SystemRandom;

    fn store_key() -> StoreKey {
        StoreKey::new(&Key::from_bytes(&[5; 32]))
    }

    #[test]
    fn a_record_opens_at_its_place_only() {
        let key = store_key();
        let sealed = key.seal_record(&SystemRandom, "secret", b"s/1", b"plaintext");
        assert_eq!(*key.open_record("secret", b"s/1", &sealed).unwrap(), b"plaintext");
        for (kind, storage_key) in
            [("version", &b"s/1"[..]), ("secret", b"s/2"), ("secrets", b"/1"), ("", b"")]
        {
            assert_eq!(key.open_record(kind, storage_key, &sealed).err(), Some(OpenError::Authentication));
        }
        let another = StoreKey::new(&Key::from_bytes(&[6; 32]));
        assert_eq!(another.open_record("secret", b"s/1", &sealed).err(), Some(OpenError::Authentication));
    }

    #[test]
    fn sealing_twice_never_looks_the_same() {
        let seal = || store_key().seal_record(&SystemRandom, "secret", b"s/1", b"plaintext");
        assert_ne!(seal(), seal());
    }

    proptest! {
        #[test]
        fn any_record_comes_back(kind: String, storage_key: Vec<u8>, plaintext: Vec<u8>) {
            let sealed = store_key().seal_record(&SystemRandom, &kind, &storage_key, &plaintext);
            prop_assert_eq!(&*store_key().open_record(&kind, &storage_key, &sealed).unwrap(), &plaintext);
        }

        #[test]
        fn a_changed_bit_of_bytes_or_place_is_noticed(
            plaintext: Vec<u8>,
            storage_key in prop::collection::vec(any::<u8>(), 1..40),
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let sealed = store_key().seal_record(&SystemRandom, "secret", &storage_key, &plaintext);
            let mut altered = sealed.clone();
            altered[at.index(sealed.len())] ^= 1u8 << bit;
            prop_assert!(store_key().open_record("secret", &storage_key, &altered).is_err());
            let mut moved = storage_key.clone();
            moved[at.index(storage_key.len())] ^= 1u8 << bit;
            prop_assert!(store_key().open_record("secret", &moved, &sealed).is_err());
        }

        #[test]
        fn strangers_bytes_make_an_error(sealed: Vec<u8>) {
            prop_assert!(store_key().open_record("secret", b"s/1", &sealed).is_err());
        }
    }
}
