//! How the root key is kept while nobody uses it.
//!
//! Pure; [`KeyFileSeal`] alone does I/O. Invariant: a sealed root key opens only with the seal that made it and
//! for the store it was made for; nothing in it is secret without that seal.

mod key_file;
mod passphrase;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use key_file::KeyFileSeal;
use passphrase::Argon2Parameters;
pub use passphrase::PassphraseSeal;

use crate::context::{self, Use};
use crate::xaes::Xaes;
use crate::{Key, OpenError, Random, RootKey, StoreId};

/// The format that [`SealedRootKey`] is written in.
const FORMAT: u32 = 1;

/// A way to keep a root key.
pub trait Seal {
    /// What [`SealedRootKey::kind`] says of a root key sealed this way.
    fn kind(&self) -> &'static str;

    /// Seals the root key of a store. Once this answers `Ok`, whatever the seal itself must keep is on disk.
    fn seal(&self, random: &dyn Random, store: StoreId, root: &RootKey) -> Result<SealedRootKey, SealError>;

    /// Opens what [`Self::seal`] made for this store.
    fn open(&self, store: StoreId, sealed: &SealedRootKey) -> Result<RootKey, SealError>;
}

/// A root key, sealed: the content of a store's `seal.json`.
///
/// Read it with [`Self::from_json`], which recognizes a newer format before it looks at anything else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealedRootKey {
    format: u32,
    kind: String,
    store_id: StoreId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2id: Option<Argon2Parameters>,
    #[serde(with = "hex")]
    sealed: Vec<u8>,
}

/// Why a root key could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Written by a newer coffer.
    #[error("the sealed root key has format {0}, which this coffer does not know")]
    Format(u32),
    /// Not what coffer writes.
    #[error("the sealed root key cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// It was sealed another way: use that seal.
    #[error("the root key is sealed by `{found}`, not by `{expected}`")]
    Kind {
        /// The seal that was asked to open it.
        expected: &'static str,
        /// The seal that can.
        found: String,
    },
    /// It belongs to another store.
    #[error("the root key was sealed for store `{found}`, not for `{expected}`")]
    Store {
        /// The store to be opened.
        expected: StoreId,
        /// The store it was sealed for.
        found: StoreId,
    },
    /// The passphrase has no characters.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The passphrase is wrong, or somebody altered the sealed root key; which of these cannot be told.
    #[error("the passphrase is wrong, or the sealed root key was altered")]
    WrongPassphrase,
    /// The parameters of Argon2id are so low that they protect nothing, or so high that they are an attack.
    #[error("the sealed root key asks for Argon2id parameters out of bounds: {0}")]
    Parameters(&'static str),
    /// There was not enough memory for Argon2id.
    #[error("cannot derive a key from the passphrase")]
    Derive,
    /// The sealed root key does not open under the key in the file.
    #[error("the root key does not open with key file `{path}`")]
    WrongKeyFile {
        /// The key file.
        path: PathBuf,
        /// What was found wrong.
        #[source]
        source: OpenError,
    },
    /// The key file is there already; it may be all that opens some store, so it is never written over.
    #[error("key file `{path}` exists already")]
    KeyFileExists {
        /// The key file.
        path: PathBuf,
    },
    /// There is no key file.
    #[error("there is no key file `{path}`")]
    KeyFileMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Others may read or write the key file, so its key is no longer known to be secret.
    #[error("key file `{path}` has mode {mode:04o}; it must give nothing to group and others (0600)")]
    KeyFileMode {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user owns the key file.
    #[error("key file `{path}` is owned by user {owner}, not by user {expected}, who runs coffer")]
    KeyFileOwner {
        /// The key file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The effective user of this process.
        expected: u32,
    },
    /// The file is no key file.
    #[error("`{path}` is not a coffer key file")]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl SealedRootKey {
    /// Reads what [`Self::to_json`] wrote.
    pub fn from_json(json: &[u8]) -> Result<Self, SealError> {
        #[derive(Deserialize)]
        struct Formatted {
            format: u32,
        }
        let Formatted { format } = serde_json::from_slice(json).map_err(SealError::Malformed)?;
        if format != FORMAT {
            return Err(SealError::Format(format));
        }
        serde_json::from_slice(json).map_err(SealError::Malformed)
    }

    /// As JSON over several lines, for people who look into the file.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("numbers and text always serialize");
        json.push('\n');
        json
    }

    /// Which [`Seal`] opens it.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The store it was sealed for.
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    fn make(
        random: &dyn Random,
        kind: &'static str,
        store_id: StoreId,
        argon2id: Option<Argon2Parameters>,
        sealing_key: &Key,
        root: &RootKey,
    ) -> Self {
        let xaes = Xaes::new(sealing_key.expose_secret());
        let sealed = xaes.seal(random, &context_of(kind, store_id), root.expose_secret());
        Self { format: FORMAT, kind: kind.to_owned(), store_id, argon2id, sealed }
    }

    /// Whether it is of a kind and a store that `kind` may try to open for `store`; asked before any key is derived.
    fn check(&self, kind: &'static str, store: StoreId) -> Result<(), SealError> {
        if self.format != FORMAT {
            return Err(SealError::Format(self.format));
        }
        if self.kind != kind {
            return Err(SealError::Kind { expected: kind, found: self.kind.clone() });
        }
        if self.store_id != store {
            return Err(SealError::Store { expected: store, found: self.store_id });
        }
        Ok(())
    }

    fn open(&self, kind: &'static str, store: StoreId, sealing_key: &Key) -> Result<RootKey, OpenError> {
        let xaes = Xaes::new(sealing_key.expose_secret());
        let root = xaes.open_key(&context_of(kind, store), &self.sealed)?;
        Ok(RootKey::from_key(root.into()))
    }
}

pub(crate) fn context_of(kind: &str, store: StoreId) -> Vec<u8> {
    context::encode(Use::RootKey, [kind.as_bytes(), store.as_bytes().as_slice()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_newer_format_is_named_before_anything_else_is_looked_at() {
        let newer = SealedRootKey::from_json(br#"{"format": 2, "shares": []}"#).unwrap_err();
        assert_eq!(newer.to_string(), "the sealed root key has format 2, which this coffer does not know");
        let malformed = SealedRootKey::from_json(br#"{"format": 1, "shares": []}"#).unwrap_err();
        assert!(matches!(malformed, SealError::Malformed(_)));
    }

    proptest! {
        #[test]
        fn strangers_bytes_make_an_error(bytes: Vec<u8>, text: String) {
            prop_assert!(SealedRootKey::from_json(&bytes).is_err());
            prop_assert!(SealedRootKey::from_json(text.as_bytes()).is_err());
        }
    }
}
