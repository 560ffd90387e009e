//! What the store holds, typed: records, where they lie, and how they are read through the cache.
//!
//! A record is one byte of format and a MessagePack map, sealed under the store key and bound to its kind and its
//! storage key. Fields that a record has and this coffer doesn't know are passed over; a format it doesn't know is
//! refused.

pub(crate) mod access;
pub(crate) mod cache;
pub(crate) mod keys;
pub(crate) mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use coffer_crypto::{KeyEncryptionKey, SealedValue, StoreId};
use coffer_types::{
    AccountId, Region, SecretArn, SecretArnParts, SecretName, SecretSuffix, Stage, Tag, Timestamp, VersionId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::NotedDay;

pub(crate) use self::access::{
    AccessKey, AccountAlias, Group, ManagedPolicy, OidcProvider, PolicyEpoch, Role, User,
};

/// Something the store holds.
pub(crate) trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind's name, bound into its envelope.
    const KIND: &'static str;
    /// The newest format this coffer writes and reads. Additions that an older coffer may pass over keep the
    /// number; anything else raises it, and the older coffer refuses the record.
    const FORMAT: u8 = 1;
}

/// A secret's identity in the store. Unlike its name it is never used again, so what is left of a deleted secret
/// can never be taken for a part of a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Uid(#[serde(with = "serde_bytes")] pub(crate) [u8; 16]);

/// Facts of the whole store.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct StoreMeta {
    pub(crate) store_id: StoreId,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) owner_uid: u32,
    pub(crate) created: Timestamp,
}

impl Record for StoreMeta {
    const KIND: &'static str = "store";
}

/// A key of the tree below the root, wrapped under the root's wrapping key.
#[derive(Serialize, Deserialize)]
pub(crate) struct TreeKey {
    #[serde(with = "serde_bytes")]
    pub(crate) wrapped: Vec<u8>,
    /// When it was made. Older records do not say, and are taken for old.
    #[serde(default)]
    pub(crate) created: Timestamp,
    /// Of a token key: the one before.
    #[serde(default, with = "serde_bytes")]
    pub(crate) before: Option<Vec<u8>>,
}

impl Record for TreeKey {
    const KIND: &'static str = "tree-key";
}

/// The default key-encryption key of an account and region, in all its generations. New versions are sealed under
/// the last one.
#[derive(Serialize, Deserialize)]
pub(crate) struct EncryptionKey {
    pub(crate) generations: Vec<Generation>,
}

/// One generation of a key-encryption key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) number: u32,
    #[serde(with = "serde_bytes")]
    pub(crate) wrapped: Vec<u8>,
    pub(crate) created: Timestamp,
    /// Unwrapped at first use, for as long as the record is in the cache.
    #[serde(skip)]
    pub(crate) opened: OnceLock<Arc<KeyEncryptionKey>>,
}

impl Record for EncryptionKey {
    const KIND: &'static str = "encryption-key";
}

/// A secret, without its values.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Secret {
    pub(crate) uid: Uid,
    pub(crate) suffix: SecretSuffix,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) tags: Option<Vec<Tag>>,
    pub(crate) created: Timestamp,
    pub(crate) last_changed: Timestamp,
    /// When it will be deleted, if that is scheduled.
    #[serde(default)]
    pub(crate) deletion_due: Option<Timestamp>,
    /// The highest ordinal given to a version.
    pub(crate) last_ordinal: u64,
    /// How many of its versions have been taken away because there were too many.
    #[serde(default)]
    pub(crate) versions_removed: u64,
    /// Invariant: each label points at exactly one version.
    pub(crate) stages: BTreeMap<Stage, VersionReference>,
    /// Made at first use: neither the suffix nor the place of a secret ever changes.
    #[serde(skip)]
    pub(crate) arn: OnceLock<SecretArn>,
}

impl Record for Secret {
    const KIND: &'static str = "secret";
}

/// A version, as a label points at it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct VersionReference {
    pub(crate) ordinal: u64,
    pub(crate) id: VersionId,
}

/// A version. Its value is sealed under a data key of its own.
#[derive(Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) id: VersionId,
    pub(crate) ordinal: u64,
    pub(crate) created: Timestamp,
    pub(crate) state: VersionState,
    /// The value; a placeholder has none.
    pub(crate) value: Option<StoredValue>,
    /// Another door than AWS's shows it as one that can be read, so that it stays however many there are. No door sets this
    /// yet; docs/versions.md says which will.
    #[serde(default)]
    pub(crate) is_kept_by_another_door: bool,
    /// The last day on which a read of it was noted.
    #[serde(skip)]
    pub(crate) noted_on: NotedDay,
}

/// What may be done with a version.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VersionState {
    /// It has an id and labels, and no value yet.
    Placeholder,
    /// It can be read.
    Enabled,
    /// It is kept and can't be read.
    Disabled,
    /// It will be destroyed.
    Deleted {
        /// When.
        due: Timestamp,
    },
    /// Its value is gone.
    Destroyed,
}

/// A sealed value and what it takes to open it.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredValue {
    pub(crate) is_string: bool,
    /// The generation of the key-encryption key it is under.
    pub(crate) generation: u32,
    pub(crate) sealed: SealedValue,
}

impl Record for Version {
    const KIND: &'static str = "version";
}

/// Finds a version by its id.
#[derive(Serialize, Deserialize)]
pub(crate) struct VersionIndex {
    pub(crate) ordinal: u64,
}

impl Record for VersionIndex {
    const KIND: &'static str = "version-index";
}

/// Finds a secret by when it was made.
#[derive(Serialize, Deserialize)]
pub(crate) struct CreationIndex {
    pub(crate) name: SecretName,
}

impl Record for CreationIndex {
    const KIND: &'static str = "creation-index";
}

/// A scheduled deletion. Written and removed with the secret's own record, which tells whether it still holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct DueDeletion {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) name: SecretName,
    pub(crate) due: Timestamp,
    pub(crate) uid: Uid,
}

impl Record for DueDeletion {
    const KIND: &'static str = "due-deletion";
}

/// The versions of a deleted secret that are still to be removed.
#[derive(Serialize, Deserialize)]
pub(crate) struct SweepJob {
    pub(crate) uid: Uid,
    pub(crate) arn: SecretArn,
}

impl Record for SweepJob {
    const KIND: &'static str = "sweep-job";
}

/// What lies at an outbox key.
#[derive(Serialize, Deserialize)]
pub(crate) enum OutboxEntry {
    /// The audit record of the change it was committed with.
    Record {
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// Put here to make sure that a change whose fate was unknown can never land: the change demands this key
    /// absent.
    Tombstone { placed: Timestamp },
}

impl Record for OutboxEntry {
    const KIND: &'static str = "outbox";
}

/// The signed head of the audit log, as last seen on disk.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredCheckpoint {
    pub(crate) checkpoint: coffer_audit::Checkpoint,
}

impl Record for StoredCheckpoint {
    const KIND: &'static str = "checkpoint";
}

impl Secret {
    /// Its ARN; where it lies is known from its key.
    pub(crate) fn arn(&self, account: AccountId, region: &Region, name: &SecretName) -> SecretArn {
        let make = || {
            let parts =
                SecretArnParts { region: region.clone(), account, name: name.clone(), suffix: self.suffix };
            parts.into()
        };
        self.arn.get_or_init(make).clone()
    }

    /// How many versions there are.
    pub(crate) fn version_count(&self) -> u64 {
        self.last_ordinal.saturating_sub(self.versions_removed)
    }

    /// The labels of a version, sorted.
    pub(crate) fn stages_of(&self, ordinal: u64) -> Vec<Stage> {
        self.stages
            .iter()
            .filter(|(_, version)| version.ordinal == ordinal)
            .map(|(stage, _)| stage.clone())
            .collect()
    }

    /// Versions that have labels, by ordinal, with their labels.
    pub(crate) fn labelled_versions(&self) -> Vec<(VersionId, Vec<Stage>)> {
        let mut by_ordinal: BTreeMap<u64, (VersionId, Vec<Stage>)> = BTreeMap::new();
        for (stage, version) in &self.stages {
            by_ordinal
                .entry(version.ordinal)
                .or_insert_with(|| (version.id.clone(), Vec::new()))
                .1
                .push(stage.clone());
        }
        by_ordinal.into_values().collect()
    }
}
