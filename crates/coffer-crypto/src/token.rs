//! Sealed tokens: page cursors, and whatever else a caller keeps for coffer without being able to read it.
//!
//! Pure but for the nonce. A token is opaque and authentic; whether it has expired is for its reader to say.

use zeroize::Zeroizing;

use crate::context::{self, Use};
use crate::xaes::Xaes;
use crate::{Key, OpenError, Random};

/// A key that seals tokens. It is replaced in time; its predecessor opens until the last token under it is void.
pub struct TokenKey(Xaes);

impl TokenKey {
    /// Takes a key into use.
    pub fn new(key: Key) -> Self {
        Self(Xaes::new(key.expose_secret()))
    }

    /// Seals a token. A token for one purpose does not open for another.
    pub fn seal(&self, random: &dyn Random, purpose: &str, plaintext: &[u8]) -> Vec<u8> {
        self.0.seal(random, &context::encode(Use::Token, [purpose.as_bytes()]), plaintext)
    }

    /// Opens a token that a stranger may have made up.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.0.open(&context::encode(Use::Token, [purpose.as_bytes()]), sealed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SystemRandom;

    proptest! {
        #[test]
        fn a_token_opens_for_its_purpose_only(plaintext: Vec<u8>, purpose: String, other: String) {
            let key = TokenKey::new(Key::from_bytes(&[9; 32]));
            let sealed = key.seal(&SystemRandom, &purpose, &plaintext);
            prop_assert_eq!(&*key.open(&purpose, &sealed).unwrap(), &plaintext);
            prop_assert_eq!(key.open(&other, &sealed).is_ok(), purpose == other);
        }

        #[test]
        fn strangers_bytes_make_an_error(sealed: Vec<u8>) {
            prop_assert!(TokenKey::new(Key::from_bytes(&[9; 32])).open("page", &sealed).is_err());
        }
    }
}
