//! Looking at every record of a backup, with the keys: does it open at its place, and is what it points at there.
//!
//! Pure. One pass over records in the order of their keys. Memory grows with the number of secrets and versions, about
//! 25 MB for 100,000 secrets, and only by records that opened, so nobody without the store's keys can make it grow.
//! Values are opened, looked at by the cipher alone, and wiped.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use coffer_audit::RecordBody;
use coffer_crypto::{
    AuditPublicKey, AuditSigningKey, Key, KeyEncryptionKey, RootKey, StoreId, StoreKey, WrappingKey,
};
use coffer_store::Entry;
use coffer_types::{AccountId, Region, SecretArn, Timestamp};

use super::format::{BackupError, Header, shown};
use crate::access::LastAccess;
use crate::key_use::LastUse;
use crate::records::{
    AccessKey, AccountAlias, CreationIndex, DueDeletion, EncryptionKey, Group, ManagedPolicy, OidcProvider,
    OutboxEntry, PolicyEpoch, Record, Role, Secret, StoreMeta, StoredCheckpoint, SweepJob, TreeKey, Uid,
    User, Version, VersionIndex, VersionState, view,
};
use crate::start::{AUDIT_KEY, TOKEN_KEY};
use crate::transaction::{unwrap_generation, value_context};
use crate::{Error, keys};

/// Most faults that are told one by one.
const FAULTS_MAX: usize = 20;

/// What a backup holds, as its records tell.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// How many secrets, those included that wait for their deletion.
    pub secrets: u64,
    /// How many versions, those without a value included.
    pub versions: u64,
    /// How many users.
    pub users: u64,
    /// Every access key.
    pub access_keys: Vec<AccessKeyFacts>,
    /// How many records of changes were not in the audit log yet.
    pub outbox: u64,
    /// How many records are of kinds that this coffer does not know, and so could not be checked.
    pub unknown: u64,
    /// What does not open, or points at what is not there: the first few, in words.
    pub faults: Vec<String>,
    /// How many there are.
    pub fault_count: u64,
}

/// An access key, without its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessKeyFacts {
    /// Its id.
    pub id: String,
    /// In which account.
    pub account: AccountId,
    /// Whose it is.
    pub user: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Checks records one after the other.
pub struct Check {
    store_key: StoreKey,
    wrapping_key: WrappingKey,
    contents: Contents,
    hasher: RandomState,
    meta: Option<StoreMeta>,
    has_token_key: bool,
    audit_key: Option<Key>,
    encryption_keys: HashMap<(AccountId, Region), HashMap<u32, KeyEncryptionKey>>,
    users: HashSet<Bytes>,
    secrets: HashMap<Uid, SecretFacts>,
    swept: HashSet<Uid>,
    // Claims that another record is there, as hashes, until it comes.
    creations: HashSet<u64>,
    deletions: HashSet<u64>,
    indexes: HashSet<u64>,
    labels: HashMap<u64, Uid>,
}

struct SecretFacts {
    arn: SecretArn,
    last_ordinal: u64,
}

/// What a store can't be opened without.
pub(crate) struct Essentials {
    pub(crate) meta: StoreMeta,
    pub(crate) audit_key: AuditSigningKey,
    pub(crate) wrapping_key: WrappingKey,
}

impl Check {
    /// A check with the keys of a store.
    pub fn new(root: &RootKey, store_id: StoreId) -> Self {
        Self {
            store_key: root.derive_store_key(store_id),
            wrapping_key: root.derive_wrapping_key(store_id),
            contents: Contents::default(),
            hasher: RandomState::new(),
            meta: None,
            has_token_key: false,
            audit_key: None,
            encryption_keys: HashMap::new(),
            users: HashSet::new(),
            secrets: HashMap::new(),
            swept: HashSet::new(),
            creations: HashSet::new(),
            deletions: HashSet::new(),
            indexes: HashSet::new(),
            labels: HashMap::new(),
        }
    }

    /// Takes in the next record.
    pub fn record(&mut self, entry: &Entry) {
        self.open_record(entry);
    }

    /// What the records tell, once all were taken in: [`BackupError::NotAuthentic`] if the key that signed the backup
    /// is not the store's own.
    pub fn finish(self, header: &Header) -> Result<Contents, BackupError> {
        self.conclude(header).map(|(contents, _)| contents)
    }

    /// Takes in the next record, and answers the record of the audit log in it, if it is one of the outbox.
    pub(crate) fn open_record(&mut self, entry: &Entry) -> Option<RecordBody> {
        let key = &entry.key;
        let Some(kind) = keys::kind_at(key) else {
            self.contents.unknown += 1;
            return None;
        };
        match kind {
            StoreMeta::KIND => self.meta = self.open(entry),
            TreeKey::KIND => self.tree_key(entry),
            PolicyEpoch::KIND => drop(self.open::<PolicyEpoch>(entry)),
            AccessKey::KIND => self.access_key(entry),
            User::KIND => {
                if self.open::<User>(entry).is_some() {
                    self.contents.users += 1;
                    self.users.insert(Bytes::copy_from_slice(key));
                }
            }
            Group::KIND => drop(self.open::<Group>(entry)),
            Role::KIND => drop(self.open::<Role>(entry)),
            ManagedPolicy::KIND => drop(self.open::<ManagedPolicy>(entry)),
            OidcProvider::KIND => drop(self.open::<OidcProvider>(entry)),
            AccountAlias::KIND => drop(self.open::<AccountAlias>(entry)),
            EncryptionKey::KIND => self.encryption_key(entry),
            CreationIndex::KIND => {
                if let Some(index) = self.open::<CreationIndex>(entry) {
                    self.creations.insert(self.hasher.hash_one((&key[..], index.name.as_str())));
                }
            }
            DueDeletion::KIND => {
                if let Some(due) = self.open::<DueDeletion>(entry) {
                    let secret = keys::secret(due.account, &due.region, &due.name);
                    self.deletions.insert(self.hasher.hash_one((&secret[..], due.due, due.uid)));
                }
            }
            VersionIndex::KIND => {
                if let Some(index) = self.open::<VersionIndex>(entry) {
                    self.indexes.insert(self.hasher.hash_one((&key[..], index.ordinal)));
                }
            }
            SweepJob::KIND => {
                if let Some(job) = self.open::<SweepJob>(entry) {
                    self.swept.insert(job.uid);
                }
            }
            Secret::KIND => self.secret(entry),
            Version::KIND => self.version(entry),
            OutboxEntry::KIND => return self.outbox(entry),
            LastAccess::KIND => drop(self.open::<LastAccess>(entry)),
            LastUse::KIND => drop(self.open::<LastUse>(entry)),
            StoredCheckpoint::KIND => drop(self.open::<StoredCheckpoint>(entry)),
            _ => self.contents.unknown += 1,
        }
        None
    }

    pub(crate) fn conclude(mut self, header: &Header) -> Result<(Contents, Essentials), BackupError> {
        let missing = BackupError::NotAuthentic;
        let meta =
            self.meta.take().ok_or(missing("it holds no facts of the store that open with its key"))?;
        let audit_key = self.audit_key.take().ok_or(missing("it holds no signing key of the store's"))?;
        let audit_key = AuditSigningKey::from_seed(audit_key);
        let signer: AuditPublicKey = audit_key.public_key();
        if signer != header.public_key {
            return Err(BackupError::NotAuthentic("it is signed by another key than the store's"));
        }
        if meta.store_id != header.store_id {
            return Err(BackupError::NotAuthentic("its records are another store's"));
        }
        if !self.has_token_key {
            self.fault(|| "the token key is missing".to_owned());
        }
        for key in std::mem::take(&mut self.contents.access_keys) {
            if !self.users.contains(&keys::user(key.account, &key.user)) {
                self.fault(|| format!("access key `{}` is of user `{}`, who is missing", key.id, key.user));
            }
            self.contents.access_keys.push(key);
        }
        self.claims_without_records();
        let Self { contents, wrapping_key, .. } = self;
        Ok((contents, Essentials { meta, audit_key, wrapping_key }))
    }

    fn claims_without_records(&mut self) {
        let mut dangling: Vec<Uid> = self.labels.values().copied().collect();
        dangling.sort_unstable();
        dangling.dedup();
        for uid in dangling {
            let name = self.secrets.get(&uid).map(|secret| secret.arn.name.to_string()).unwrap_or_default();
            self.fault(|| format!("a label of secret `{name}` points at a version that is missing"));
        }
        for (left, what) in [
            (self.creations.len(), "entries of the list of secrets without their secret"),
            (self.deletions.len(), "scheduled deletions without their secret"),
            (self.indexes.len(), "entries of the index of versions without their version"),
        ] {
            if left > 0 {
                self.fault(|| format!("{left} {what}"));
            }
        }
    }

    fn tree_key(&mut self, entry: &Entry) {
        let Some(stored) = self.open::<TreeKey>(entry) else { return };
        for purpose in [TOKEN_KEY, AUDIT_KEY] {
            if entry.key != keys::tree_key(purpose) {
                continue;
            }
            if let Some(Err(error)) =
                stored.before.as_ref().map(|before| self.wrapping_key.unwrap(purpose, &[], before))
            {
                self.fault(|| format!("the {purpose} before the present one does not open: {error}"));
            }
            match self.wrapping_key.unwrap(purpose, &[], &stored.wrapped) {
                Ok(key) if purpose == AUDIT_KEY => self.audit_key = Some(key),
                Ok(_) => self.has_token_key = true,
                Err(error) => self.fault(|| format!("the {purpose} does not open: {error}")),
            }
        }
    }

    fn access_key(&mut self, entry: &Entry) {
        let Some(key) = self.open::<AccessKey>(entry) else { return };
        let Some(id) = keys::parse_access_key(&entry.key).map(str::to_owned) else { return };
        let context: [&[u8]; 1] = [id.as_bytes()];
        if let Err(error) = self.wrapping_key.open_secret("access-key-secret", &context, &key.sealed_secret) {
            self.fault(|| format!("the secret of access key `{id}` does not open: {error}"));
        }
        self.contents.access_keys.push(AccessKeyFacts {
            id,
            account: key.account,
            user: key.user,
            created: key.created,
        });
    }

    fn encryption_key(&mut self, entry: &Entry) {
        let Some(stored) = self.open::<EncryptionKey>(entry) else { return };
        let Some((account, region)) = keys::parse_encryption_key(&entry.key) else { return };
        let mut generations = HashMap::new();
        for generation in &stored.generations {
            match unwrap_generation(&self.wrapping_key, account, &region, generation) {
                Ok(key) => drop(generations.insert(generation.number, KeyEncryptionKey::new(key))),
                Err(error) => self.fault(|| {
                    format!(
                        "generation {} of the key of region `{region}` does not open: {error}",
                        generation.number
                    )
                }),
            }
        }
        self.encryption_keys.insert((account, region), generations);
    }

    fn secret(&mut self, entry: &Entry) {
        let Some(secret) = self.open::<Secret>(entry) else { return };
        let Some((account, region, name)) = keys::parse_secret(&entry.key) else { return };
        self.contents.secrets += 1;
        let creation = keys::creation(account, &region, secret.created, secret.uid);
        if !self.creations.remove(&self.hasher.hash_one((&creation[..], name.as_str()))) {
            self.fault(|| format!("secret `{name}` is missing from the list of secrets"));
        }
        if let Some(due) = secret.deletion_due
            && !self.deletions.remove(&self.hasher.hash_one((&entry.key[..], due, secret.uid)))
        {
            self.fault(|| format!("the scheduled deletion of secret `{name}` is missing"));
        }
        for version in secret.stages.values() {
            let key = keys::version(secret.uid, version.ordinal);
            self.labels.insert(self.hasher.hash_one((&key[..], version.id.as_str())), secret.uid);
        }
        let arn = secret.arn(account, &region, &name);
        self.secrets.insert(secret.uid, SecretFacts { arn, last_ordinal: secret.last_ordinal });
    }

    fn version(&mut self, entry: &Entry) {
        let Some(version) = self.open::<Version>(entry) else { return };
        let Some(uid) = keys::uid_within(&entry.key) else { return };
        let (id, ordinal) = (version.id.as_str(), version.ordinal);
        self.contents.versions += 1;
        self.labels.remove(&self.hasher.hash_one((&entry.key[..], id)));
        let index = keys::version_by_id(uid, &version.id);
        let is_indexed = self.indexes.remove(&self.hasher.hash_one((&index[..], ordinal)));
        let Some(secret) = self.secrets.get(&uid) else {
            // What is left of a deleted secret, until it is swept away.
            if !self.swept.contains(&uid) {
                self.fault(|| format!("version `{id}` belongs to no secret"));
            }
            return;
        };
        let name = secret.arn.name.clone();
        let is_past = ordinal > secret.last_ordinal || keys::version(uid, ordinal) != entry.key;
        let opened = self.opens(&secret.arn, &version);
        if !is_indexed {
            self.fault(|| format!("version `{id}` of secret `{name}` is missing from the index"));
        }
        if is_past {
            self.fault(|| format!("version `{id}` of secret `{name}` has a number that it can't have"));
        }
        if let Err(why) = opened {
            self.fault(|| format!("the value of version `{id}` of secret `{name}` does not open: {why}"));
        }
    }

    fn opens(&self, arn: &SecretArn, version: &Version) -> Result<(), String> {
        let Some(stored) = &version.value else {
            return match version.state {
                VersionState::Placeholder | VersionState::Destroyed | VersionState::Deleted { .. } => Ok(()),
                VersionState::Enabled | VersionState::Disabled => Err("it is missing".to_owned()),
            };
        };
        let keys = self.encryption_keys.get(&(arn.account, arn.region.clone()));
        let key = keys.and_then(|generations| generations.get(&stored.generation));
        let key = key.ok_or_else(|| format!("generation {} of its key is missing", stored.generation))?;
        let context = value_context(arn, &version.id, stored.is_string);
        key.open_value(&context, &stored.sealed).map(drop).map_err(|error| error.to_string())
    }

    fn outbox(&mut self, entry: &Entry) -> Option<RecordBody> {
        match self.open::<OutboxEntry>(entry)? {
            OutboxEntry::Tombstone { .. } => None,
            OutboxEntry::Record { body } => {
                self.contents.outbox += 1;
                let body = RecordBody::from_bytes(body);
                if let Err(error) = &body {
                    self.fault(|| format!("a record of the outbox is not one: {error}"));
                }
                body.ok()
            }
        }
    }

    fn open<R: Record>(&mut self, entry: &Entry) -> Option<R> {
        match view::open(&self.store_key, entry) {
            Ok(record) => Some(record),
            Err(error) => {
                let why = match &error {
                    Error::Unavailable(cause) => cause.to_string(),
                    error => error.to_string(),
                };
                self.fault(|| format!("at `{}`: {why}", shown(&entry.key)));
                None
            }
        }
    }

    fn fault(&mut self, words: impl FnOnce() -> String) {
        self.contents.fault_count += 1;
        if self.contents.faults.len() < FAULTS_MAX {
            self.contents.faults.push(words());
        }
    }
}
