//! A root key sealed under a passphrase, by way of Argon2id (RFC 9106).
//!
//! Pure. The parameters stand beside the sealed key and are bounded when read: whoever writes the file cannot make
//! opening it take more memory or time than the bounds allow.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use coffer_types::SecretBytes;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{Seal, SealError, SealedRootKey};
use crate::{Key, Random, RootKey, StoreId, random};

const MEMORY_KIB_MIN: u32 = 19 * 1024;
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const ITERATIONS_MAX: u32 = 16;
const PARALLELISM_MAX: u32 = 16;
const SALT_BYTES: usize = 16;

/// Seals under a passphrase: Argon2id version 1.3 with 64 MiB, 3 passes and 4 lanes.
pub struct PassphraseSeal {
    passphrase: SecretBytes,
}

/// How a key was derived from a passphrase.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Argon2Parameters {
    version: u32,
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    #[serde(with = "hex")]
    salt: [u8; SALT_BYTES],
}

impl PassphraseSeal {
    /// The seal of a passphrase, taken byte for byte: its caller removes the line feed that ended it.
    pub fn new(passphrase: SecretBytes) -> Self {
        Self { passphrase }
    }

    fn derive(&self, parameters: &Argon2Parameters) -> Result<Key, SealError> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters.bounded()?);
        let mut memory = Memory::reserve(argon2.params().block_count())?;
        let mut key = Zeroizing::new([0; 32]);
        argon2
            .hash_password_into_with_memory(
                self.passphrase.expose_secret(),
                &parameters.salt,
                &mut *key,
                memory.0.as_mut_slice(),
            )
            .map_err(|_| SealError::Derive)?;
        Ok(key.into())
    }
}

impl Seal for PassphraseSeal {
    fn kind(&self) -> &'static str {
        "passphrase"
    }

    fn seal(&self, random: &dyn Random, store: StoreId, root: &RootKey) -> Result<SealedRootKey, SealError> {
        if self.passphrase.is_empty() {
            return Err(SealError::EmptyPassphrase);
        }
        let parameters = Argon2Parameters::make(random);
        let sealing_key = self.derive(&parameters)?;
        Ok(SealedRootKey::make(random, self.kind(), store, Some(parameters), &sealing_key, root))
    }

    fn open(&self, store: StoreId, sealed: &SealedRootKey) -> Result<RootKey, SealError> {
        sealed.check(self.kind(), store)?;
        let parameters = sealed.argon2id.as_ref().ok_or(SealError::Parameters("they are missing"))?;
        let sealing_key = self.derive(parameters)?;
        sealed.open(self.kind(), store, &sealing_key).map_err(|_| SealError::WrongPassphrase)
    }
}

impl Argon2Parameters {
    /// Those of today, with a new salt.
    fn make(random: &dyn Random) -> Self {
        let salt = random::make_bytes(random);
        Self { version: 0x13, memory_kib: 64 * 1024, iterations: 3, parallelism: 4, salt }
    }

    fn bounded(&self) -> Result<Params, SealError> {
        let refuse = |wrong, what| if wrong { Err(SealError::Parameters(what)) } else { Ok(()) };
        refuse(self.version != 0x13, "the version is not 19")?;
        refuse(self.memory_kib < MEMORY_KIB_MIN, "less than 19 MiB of memory")?;
        refuse(self.memory_kib > MEMORY_KIB_MAX, "more than 256 MiB of memory")?;
        refuse(self.iterations < 1, "no iteration")?;
        refuse(self.iterations > ITERATIONS_MAX, "more than 16 iterations")?;
        refuse(self.parallelism < 1, "no lane")?;
        refuse(self.parallelism > PARALLELISM_MAX, "more than 16 lanes")?;
        Params::new(self.memory_kib, self.iterations, self.parallelism, Some(32))
            .map_err(|_| SealError::Parameters("Argon2id has no such parameters"))
    }
}

/// What Argon2id computes in; wiped, because the last block gives the key.
struct Memory(Vec<Block>);

impl Memory {
    fn reserve(blocks: usize) -> Result<Self, SealError> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(blocks).map_err(|_| SealError::Derive)?;
        memory.resize(blocks, Block::new());
        Ok(Self(memory))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    fn seal_of(passphrase: &str) -> PassphraseSeal {
        PassphraseSeal::new(SecretBytes::copy_from(passphrase.as_bytes()))
    }

    fn sealed() -> (StoreId, RootKey, SealedRootKey) {
        let (store, root) = (StoreId::make(&SystemRandom), RootKey::make(&SystemRandom));
        let sealed = seal_of("correct horse").seal(&SystemRandom, store, &root).unwrap();
        (store, root, sealed)
    }

    #[test]
    fn the_root_key_comes_back_for_the_passphrase_only() {
        let (store, root, sealed) = sealed();
        let read = SealedRootKey::from_json(sealed.to_json().as_bytes()).unwrap();
        assert_eq!((read.kind(), &read), ("passphrase", &sealed));
        let opened = seal_of("correct horse").open(store, &read).ok().unwrap();
        assert_eq!(opened.expose_secret(), root.expose_secret());
        assert!(matches!(seal_of("correct hors").open(store, &read).err(), Some(SealError::WrongPassphrase)));
        assert!(matches!(seal_of("").open(store, &read).err(), Some(SealError::WrongPassphrase)));

        let mut altered = read.clone();
        *altered.sealed.last_mut().unwrap() ^= 1;
        assert!(matches!(
            seal_of("correct horse").open(store, &altered).err(),
            Some(SealError::WrongPassphrase)
        ));
        let other = StoreId::make(&SystemRandom);
        assert!(matches!(seal_of("correct horse").open(other, &read).err(), Some(SealError::Store { .. })));
    }

    #[test]
    fn an_empty_passphrase_seals_nothing() {
        let (store, root) = (StoreId::make(&SystemRandom), RootKey::make(&SystemRandom));
        assert!(matches!(
            seal_of("").seal(&SystemRandom, store, &root).err(),
            Some(SealError::EmptyPassphrase)
        ));
    }

    #[test]
    fn parameters_out_of_bounds_are_refused_not_tried() {
        let good = || Argon2Parameters::make(&SystemRandom);
        let store = StoreId::make(&SystemRandom);
        let hostile = [
            Argon2Parameters { memory_kib: u32::MAX, ..good() },
            Argon2Parameters { memory_kib: MEMORY_KIB_MAX + 1, ..good() },
            Argon2Parameters { memory_kib: MEMORY_KIB_MIN - 1, ..good() },
            Argon2Parameters { memory_kib: 0, ..good() },
            Argon2Parameters { iterations: u32::MAX, ..good() },
            Argon2Parameters { iterations: 17, ..good() },
            Argon2Parameters { iterations: 0, ..good() },
            Argon2Parameters { parallelism: u32::MAX, ..good() },
            Argon2Parameters { parallelism: 17, ..good() },
            Argon2Parameters { parallelism: 0, ..good() },
            Argon2Parameters { version: 0x10, ..good() },
        ];
        for parameters in hostile.into_iter().map(Some).chain([None]) {
            let sealed = SealedRootKey {
                format: super::super::FORMAT,
                kind: "passphrase".to_owned(),
                store_id: store,
                argon2id: parameters,
                sealed: vec![1; 73],
            };
            let refused = seal_of("correct horse").open(store, &sealed).err();
            assert!(matches!(refused, Some(SealError::Parameters(_))), "{:?}", sealed.argon2id);
        }
        for parameters in [
            Argon2Parameters { memory_kib: MEMORY_KIB_MIN, iterations: 1, parallelism: 1, ..good() },
            Argon2Parameters { memory_kib: MEMORY_KIB_MAX, iterations: 16, parallelism: 16, ..good() },
        ] {
            assert!(parameters.bounded().is_ok());
        }
    }
}
