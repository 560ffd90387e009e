//! What an operation stages: guarded, sealed writes, with the time and the randomness it may use.
//!
//! No I/O. A transaction either becomes one change or is dropped; nothing it stages is visible before.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use coffer_crypto::{Key, KeyEncryptionKey, OpenError, Random, ValueContext, ValueKind, WrappingKey};
use coffer_store::{Change, Guard, Revision, Write};
use coffer_types::{
    AccountId, Region, SecretArn, SecretBytes, SecretSuffix, SecretValue, Timestamp, VersionId,
};

use zeroize::Zeroizing;

use crate::core::Inner;
use crate::records::access::{IdOf, unique_id};
use crate::records::cache::Loaded;
use crate::records::{self, EncryptionKey, Generation, Record, StoredValue, Uid, Version};
use crate::session::{Credentials, Terms};
use crate::{Context, Error, keys};

/// Staged writes of one operation.
pub struct Transaction<'a> {
    inner: &'a Inner,
    now: Timestamp,
    change: Change,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(inner: &'a Inner, now: Timestamp) -> Self {
        Self { inner, now, change: Change::default() }
    }

    /// The time of the operation. It stays the same however often the operation is tried again.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.change.writes.is_empty()
    }

    pub(crate) fn into_change(self) -> Change {
        self.change
    }

    /// Demands that a record is still as it was seen.
    pub(crate) fn guard(&mut self, key: Bytes, seen: Option<Revision>) {
        self.change.guards.push(match seen {
            Some(revision) => Guard::At(key, revision),
            None => Guard::Absent(key),
        });
    }

    /// Writes a record, provided it is still as it was seen (`None`: absent).
    pub(crate) fn replace<R: Record>(&mut self, key: Bytes, seen: Option<Revision>, record: &R) {
        self.guard(key.clone(), seen);
        self.put(key, record);
    }

    /// Writes a record, whatever is there.
    pub(crate) fn put<R: Record>(&mut self, key: Bytes, record: &R) {
        let sealed = self.inner.seal_record(&key, record);
        self.change.writes.push(Write::Put(key, sealed));
    }

    /// Removes a record, provided it is still as it was seen.
    pub(crate) fn remove(&mut self, key: Bytes, seen: Revision) {
        self.guard(key.clone(), Some(seen));
        self.change.writes.push(Write::Delete(key));
    }

    /// Removes a record that only ever changes together with another, which the change guards.
    pub(crate) fn remove_with_its_owner(&mut self, key: Bytes) {
        self.change.writes.push(Write::Delete(key));
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.inner.random
    }

    /// Notes that a version is read, for the date of its last access. No write: see [`crate::access`].
    pub(crate) fn note_access(&self, secret_key: &Bytes, uid: Uid, version: &Version) {
        self.inner.accesses.note(secret_key, uid, version, self.now);
    }

    pub(crate) fn make_uid(&self) -> Uid {
        let mut bytes = [0; 16];
        self.inner.random.fill(&mut bytes);
        Uid(bytes)
    }

    /// An id in AWS's form.
    pub(crate) fn make_unique_id(&self, of: IdOf) -> String {
        let mut bytes = [0; 32];
        self.inner.random.fill(&mut bytes);
        unique_id(of, &bytes)
    }

    /// The id of a new access key, its secret, and the secret sealed for its record.
    pub(crate) fn make_access_key(&self) -> (String, SecretBytes, Vec<u8>) {
        let id = self.make_unique_id(IdOf::AccessKey);
        let secret = self.make_secret_access_key();
        let context: [&[u8]; 1] = [id.as_bytes()];
        let sealed =
            self.inner.wrapping_key.seal_secret(self.random(), "access-key-secret", &context, &secret);
        (id, secret, sealed)
    }

    /// Forty characters of Base64, as AWS's have.
    pub(crate) fn make_secret_access_key(&self) -> SecretBytes {
        let mut bytes = Zeroizing::new([0; 30]);
        self.inner.random.fill(&mut *bytes);
        SecretBytes::from(STANDARD.encode(*bytes))
    }

    /// New credentials on these terms.
    pub(crate) fn issue(&self, terms: Terms) -> Result<Credentials, Error> {
        self.inner.issue(self.make_secret_access_key(), terms)
    }

    /// Asks for the rest of a listing, after this key.
    pub(crate) fn make_cursor(&self, context: &Context, listing: &str, last: String) -> String {
        self.inner.make_cursor(context, listing, &Bytes::from(last))
    }

    /// The key that a cursor was made after.
    pub(crate) fn open_cursor(&self, context: &Context, listing: &str, cursor: &str) -> Result<Bytes, Error> {
        self.inner.open_cursor(context, listing, cursor)
    }

    pub(crate) fn make_suffix(&self) -> SecretSuffix {
        let mut bytes = [0; 32];
        loop {
            self.inner.random.fill(&mut bytes);
            if let Some(suffix) = SecretSuffix::from_random(&bytes) {
                return suffix;
            }
        }
    }

    /// Seals a value for a version, under the newest generation of the region's key; makes the key if the region
    /// has none yet.
    pub(crate) fn seal_value(
        &mut self,
        key: Option<&Loaded<EncryptionKey>>,
        arn: &SecretArn,
        version_id: &VersionId,
        value: &SecretValue,
    ) -> Result<StoredValue, Error> {
        let newest = key.and_then(|key| key.record.generations.last());
        let (number, encryption_key) = match newest {
            Some(generation) => {
                (generation.number, self.inner.open_generation(arn.account, &arn.region, generation)?)
            }
            None => self.make_encryption_key(arn.account, &arn.region),
        };
        let context = value_context(arn, version_id, matches!(value, SecretValue::String(_)));
        let sealed = encryption_key.seal_value(&*self.inner.random, &context, value.bytes());
        Ok(StoredValue { is_string: matches!(value, SecretValue::String(_)), generation: number, sealed })
    }

    /// Opens the value of a version. Whoever calls this holds a grant; the gate made sure.
    pub(crate) fn open_value(
        &self,
        key: Option<&Loaded<EncryptionKey>>,
        arn: &SecretArn,
        version_id: &VersionId,
        stored: &StoredValue,
    ) -> Result<SecretValue, Error> {
        let generations = key.map(|key| key.record.generations.as_slice()).unwrap_or_default();
        let generation = generations
            .iter()
            .find(|generation| generation.number == stored.generation)
            .ok_or(Error::DecryptionFailure)?;
        let encryption_key = self.inner.open_generation(arn.account, &arn.region, generation)?;
        let context = value_context(arn, version_id, stored.is_string);
        let opened: Result<SecretBytes, OpenError> = encryption_key.open_value(&context, &stored.sealed);
        let bytes = opened.map_err(|_| Error::DecryptionFailure)?;
        let value = if stored.is_string { SecretValue::string(bytes) } else { SecretValue::binary(bytes) };
        value.ok_or(Error::DecryptionFailure)
    }

    fn make_encryption_key(&mut self, account: AccountId, region: &Region) -> (u32, Arc<KeyEncryptionKey>) {
        const FIRST: u32 = 1;
        let key = Key::make(&*self.inner.random);
        let wrapped = self.inner.wrap_generation(account, region, FIRST, &key);
        let opened = Arc::new(KeyEncryptionKey::new(key));
        let generation = Generation { number: FIRST, wrapped, created: self.now, opened: Default::default() };
        self.replace(
            keys::encryption_key(account, region),
            None,
            &EncryptionKey { generations: vec![generation] },
        );
        (FIRST, opened)
    }
}

pub(crate) fn value_context<'a>(
    arn: &'a SecretArn,
    version_id: &'a VersionId,
    is_string: bool,
) -> ValueContext<'a> {
    let kind = if is_string { ValueKind::String } else { ValueKind::Binary };
    ValueContext { arn: arn.as_str(), version_id: version_id.as_str(), kind }
}

impl Inner {
    pub(crate) fn seal_record<R: Record>(&self, key: &Bytes, record: &R) -> Bytes {
        let payload = records::view::encode(record);
        self.store_key.seal_record(&*self.random, R::KIND, key, &payload).into()
    }

    fn wrap_generation(&self, account: AccountId, region: &Region, number: u32, key: &Key) -> Vec<u8> {
        let (account, number) = (account.to_string(), number.to_be_bytes());
        let context: [&[u8]; 3] = [account.as_bytes(), region.as_str().as_bytes(), &number];
        self.wrapping_key.wrap(&*self.random, "key-encryption-key", &context, key)
    }

    fn open_generation(
        &self,
        account: AccountId,
        region: &Region,
        generation: &Generation,
    ) -> Result<Arc<KeyEncryptionKey>, Error> {
        if let Some(opened) = generation.opened.get() {
            return Ok(Arc::clone(opened));
        }
        let key = unwrap_generation(&self.wrapping_key, account, region, generation)
            .map_err(|_| Error::DecryptionFailure)?;
        Ok(Arc::clone(generation.opened.get_or_init(|| Arc::new(KeyEncryptionKey::new(key)))))
    }
}

/// The key of a generation.
pub(crate) fn unwrap_generation(
    wrapping_key: &WrappingKey,
    account: AccountId,
    region: &Region,
    generation: &Generation,
) -> Result<Key, OpenError> {
    let (account, number) = (account.to_string(), generation.number.to_be_bytes());
    let context: [&[u8]; 3] = [account.as_bytes(), region.as_str().as_bytes(), &number];
    wrapping_key.unwrap("key-encryption-key", &context, &generation.wrapped)
}
