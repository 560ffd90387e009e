//! Storage keys: where each record lies.
//!
//! A key is its kind's letter and its parts, each ended by a zero byte, with fixed-width numbers big-endian so that
//! keys order as numbers do. Names stand in the clear (they are not secret; AWS says the same). No part can hold a
//! zero byte: each is one of `coffer-types`' validated names. docs/formats.md lists them.

use bytes::Bytes;
use coffer_audit::{EventId, NodeId};
use coffer_store::{Change, KeyRange};
use coffer_types::{AccountId, Region, SecretName, Timestamp, VersionId};

use super::{
    AccessKey, AccountAlias, CreationIndex, DueDeletion, EncryptionKey, Group, ManagedPolicy, OidcProvider,
    OutboxEntry, PolicyEpoch, Record, Role, Secret, StoreMeta, StoredCheckpoint, SweepJob, TreeKey, Uid,
    User, Version, VersionIndex,
};
use crate::access::LastAccess;
use crate::key_use::LastUse;

/// Builds `letter ‖ 0 ‖ part ‖ 0 ‖ part ‖ 0 …`, with room for exactly `more` bytes that follow: a vector that is
/// full becomes `Bytes` without another allocation.
fn key(letter: u8, parts: &[&[u8]], more: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + parts.iter().map(|part| part.len() + 1).sum::<usize>() + more);
    key.push(letter);
    key.push(0);
    for part in parts {
        key.extend_from_slice(part);
        key.push(0);
    }
    key
}

/// The kind of the record at a key, by the key's letter; `None` for one that this coffer doesn't know.
pub(crate) fn kind_at(key: &[u8]) -> Option<&'static str> {
    Some(match key {
        [b'm', 0, ..] => StoreMeta::KIND,
        [b'x', 0, ..] => TreeKey::KIND,
        [b'a', 0, ..] => PolicyEpoch::KIND,
        [b'k', 0, ..] => AccessKey::KIND,
        [b'u', 0, ..] => User::KIND,
        [b'g', 0, ..] => Group::KIND,
        [b'r', 0, ..] => Role::KIND,
        [b'p', 0, ..] => ManagedPolicy::KIND,
        [b'f', 0, ..] => OidcProvider::KIND,
        [b'n', 0, ..] => AccountAlias::KIND,
        [b'e', 0, ..] => EncryptionKey::KIND,
        [b's', 0, ..] => Secret::KIND,
        [b'c', 0, ..] => CreationIndex::KIND,
        [b'v', 0, ..] => Version::KIND,
        [b'i', 0, ..] => VersionIndex::KIND,
        [b'd', 0, ..] => DueDeletion::KIND,
        [b'j', 0, ..] => SweepJob::KIND,
        [b'l', 0, ..] => LastAccess::KIND,
        [b'w', 0, ..] => LastUse::KIND,
        [b'o', 0, ..] => OutboxEntry::KIND,
        [b'h', 0, ..] => StoredCheckpoint::KIND,
        _ => return None,
    })
}

fn place(letter: u8, account: AccountId, region: &Region, more: usize) -> Vec<u8> {
    key(letter, &[&account.digits(), region.as_str().as_bytes()], more)
}

pub(crate) fn store_meta() -> Bytes {
    key(b'm', &[], 0).into()
}

pub(crate) fn tree_key(purpose: &str) -> Bytes {
    key(b'x', &[purpose.as_bytes()], 0).into()
}

pub(crate) fn policy_epoch(account: AccountId) -> Bytes {
    key(b'a', &[&account.digits()], 0).into()
}

/// Whether a change writes or removes a secret: its value, its labels, what it is called, that it is to be deleted. What reading
/// leaves behind is none.
pub fn writes_a_secret(change: &Change) -> bool {
    change.writes.iter().any(|write| write.key().starts_with(b"s\0"))
}

/// Whether this is the key of some account's policy epoch.
pub(crate) fn is_policy_epoch(key: &[u8]) -> bool {
    key.starts_with(b"a\0")
}

pub(crate) fn access_key(id: &str) -> Bytes {
    key(b'k', &[id.as_bytes()], 0).into()
}

/// When the access key was last used.
pub(crate) fn last_use(id: &str) -> Bytes {
    key(b'w', &[id.as_bytes()], 0).into()
}

pub(crate) fn user(account: AccountId, name: &str) -> Bytes {
    key(b'u', &[&account.digits(), name.as_bytes()], 0).into()
}

pub(crate) fn users_of(account: AccountId) -> KeyRange {
    KeyRange::prefix(key(b'u', &[&account.digits()], 0))
}

pub(crate) fn group(account: AccountId, name: &str) -> Bytes {
    key(b'g', &[&account.digits(), name.as_bytes()], 0).into()
}

pub(crate) fn groups_of(account: AccountId) -> KeyRange {
    KeyRange::prefix(key(b'g', &[&account.digits()], 0))
}

pub(crate) fn role(account: AccountId, name: &str) -> Bytes {
    key(b'r', &[&account.digits(), name.as_bytes()], 0).into()
}

pub(crate) fn roles_of(account: AccountId) -> KeyRange {
    KeyRange::prefix(key(b'r', &[&account.digits()], 0))
}

/// A managed policy of the account; its name is its own whatever its path.
pub(crate) fn policy(account: AccountId, name: &str) -> Bytes {
    key(b'p', &[&account.digits(), name.as_bytes()], 0).into()
}

pub(crate) fn policies_of(account: AccountId) -> KeyRange {
    KeyRange::prefix(key(b'p', &[&account.digits()], 0))
}

/// An identity provider; its name is the issuer's URL without the scheme.
pub(crate) fn oidc_provider(account: AccountId, name: &str) -> Bytes {
    key(b'f', &[&account.digits(), name.as_bytes()], 0).into()
}

pub(crate) fn oidc_providers_of(account: AccountId) -> KeyRange {
    KeyRange::prefix(key(b'f', &[&account.digits()], 0))
}

pub(crate) fn account_alias(account: AccountId) -> Bytes {
    key(b'n', &[&account.digits()], 0).into()
}

pub(crate) fn encryption_key(account: AccountId, region: &Region) -> Bytes {
    place(b'e', account, region, 0).into()
}

pub(crate) fn secret(account: AccountId, region: &Region, name: &SecretName) -> Bytes {
    let mut key = place(b's', account, region, name.as_str().len());
    key.extend_from_slice(name.as_str().as_bytes());
    key.into()
}

/// All secrets of an account and region, by name.
pub(crate) fn secrets(account: AccountId, region: &Region) -> KeyRange {
    KeyRange::prefix(place(b's', account, region, 0))
}

/// The name in a key of [`secrets`].
pub(crate) fn name_of_secret(account: AccountId, region: &Region, key: &[u8]) -> Option<SecretName> {
    let name = key.strip_prefix(place(b's', account, region, 0).as_slice())?;
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// The index that lists secrets by creation.
pub(crate) fn creation(account: AccountId, region: &Region, created: Timestamp, uid: Uid) -> Bytes {
    let mut key = place(b'c', account, region, 24);
    key.extend_from_slice(&created.as_millis().to_be_bytes());
    key.extend_from_slice(&uid.0);
    key.into()
}

pub(crate) fn creations(account: AccountId, region: &Region) -> KeyRange {
    KeyRange::prefix(place(b'c', account, region, 0))
}

pub(crate) fn secrets_everywhere() -> KeyRange {
    KeyRange::prefix(key(b's', &[], 0))
}

/// Account, region and name of a secret's key.
pub(crate) fn parse_secret(key: &[u8]) -> Option<(AccountId, Region, SecretName)> {
    let mut parts = key.strip_prefix(b"s\0")?.splitn(3, |&byte| byte == 0);
    let mut part = || std::str::from_utf8(parts.next()?).ok();
    Some((part()?.parse().ok()?, part()?.parse().ok()?, part()?.parse().ok()?))
}

/// Account and region of the key of a default key-encryption key.
pub(crate) fn parse_encryption_key(key: &[u8]) -> Option<(AccountId, Region)> {
    let mut parts = key.strip_prefix(b"e\0")?.split(|&byte| byte == 0);
    let mut part = || std::str::from_utf8(parts.next()?).ok();
    Some((part()?.parse().ok()?, part()?.parse().ok()?))
}

/// The id of an access key's key.
pub(crate) fn parse_access_key(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(b"k\0")?.strip_suffix(&[0])?).ok()
}

pub(crate) fn access_keys() -> KeyRange {
    KeyRange::prefix(key(b'k', &[], 0))
}

pub(crate) fn users() -> KeyRange {
    KeyRange::prefix(key(b'u', &[], 0))
}

pub(crate) fn groups() -> KeyRange {
    KeyRange::prefix(key(b'g', &[], 0))
}

pub(crate) fn roles() -> KeyRange {
    KeyRange::prefix(key(b'r', &[], 0))
}

pub(crate) fn oidc_providers() -> KeyRange {
    KeyRange::prefix(key(b'f', &[], 0))
}

pub(crate) fn policies() -> KeyRange {
    KeyRange::prefix(key(b'p', &[], 0))
}

/// Everything that says who may come in, and what they may do.
pub(crate) fn access() -> [KeyRange; 7] {
    [b'k', b'u', b'g', b'r', b'p', b'f', b'n'].map(|letter| KeyRange::prefix(key(letter, &[], 0)))
}

/// The secret a version or an entry of its index belongs to.
pub(crate) fn uid_within(key: &[u8]) -> Option<Uid> {
    Some(Uid(key.get(2..18)?.try_into().ok()?))
}

pub(crate) fn version(uid: Uid, ordinal: u64) -> Bytes {
    let mut key = Vec::with_capacity(26);
    key.extend_from_slice(b"v\0");
    key.extend_from_slice(&uid.0);
    key.extend_from_slice(&ordinal.to_be_bytes());
    key.into()
}

pub(crate) fn versions(uid: Uid) -> KeyRange {
    let mut key = vec![b'v', 0];
    key.extend_from_slice(&uid.0);
    KeyRange::prefix(key)
}

pub(crate) fn version_by_id(uid: Uid, id: &VersionId) -> Bytes {
    let mut key = vec![b'i', 0];
    key.extend_from_slice(&uid.0);
    key.extend_from_slice(id.as_str().as_bytes());
    key.into()
}

/// The day of the last read of a version; with ordinal 0, of any version of the secret.
pub(crate) fn last_access(uid: Uid, ordinal: u64) -> Bytes {
    let mut key = Vec::with_capacity(26);
    key.extend_from_slice(b"l\0");
    key.extend_from_slice(&uid.0);
    key.extend_from_slice(&ordinal.to_be_bytes());
    key.into()
}

pub(crate) fn last_accesses(uid: Uid) -> KeyRange {
    let mut key = vec![b'l', 0];
    key.extend_from_slice(&uid.0);
    KeyRange::prefix(key)
}

pub(crate) fn sweep_job(uid: Uid) -> Bytes {
    let mut key = vec![b'j', 0];
    key.extend_from_slice(&uid.0);
    key.into()
}

pub(crate) fn sweep_jobs() -> KeyRange {
    KeyRange::prefix(vec![b'j', 0])
}

/// The index of scheduled deletions, soonest first, over all accounts and regions.
pub(crate) fn due_deletion(due: Timestamp, uid: Uid) -> Bytes {
    let mut key = vec![b'd', 0];
    key.extend_from_slice(&due.as_millis().to_be_bytes());
    key.extend_from_slice(&uid.0);
    key.into()
}

pub(crate) fn due_deletions() -> KeyRange {
    KeyRange::prefix(vec![b'd', 0])
}

/// An outbox entry: the node, its counter, and the event's id, which no other change ever has.
pub(crate) fn outbox(node: &NodeId, count: u64, event_id: EventId) -> Bytes {
    let mut key = key(b'o', &[node.to_string().as_bytes()], 24);
    key.extend_from_slice(&count.to_be_bytes());
    key.extend_from_slice(event_id.as_bytes());
    key.into()
}

pub(crate) fn outbox_of(node: &NodeId) -> KeyRange {
    KeyRange::prefix(key(b'o', &[node.to_string().as_bytes()], 0))
}

pub(crate) fn checkpoint(node: &NodeId) -> Bytes {
    key(b'h', &[node.to_string().as_bytes()], 0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: impl AsRef<[u8]>, expected: &[u8]) {
        assert_eq!(key.as_ref().escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// The bytes of docs/formats.md.
    #[test]
    fn each_kind_of_key_lies_where_it_always_did() {
        let (account, region, uid) = (AccountId::EXAMPLE, Region::us_east_1(), Uid(*b"0123456789abcdef"));
        let name: SecretName = "app/db".parse().unwrap();
        let version_id: VersionId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let node: NodeId = "node-1".parse().unwrap();
        let event_id = EventId::from_bytes([7; 16]);
        check(store_meta(), b"m\0");
        check(tree_key("token-key"), b"x\0token-key\0");
        check(policy_epoch(account), b"a\x00123456789012\0");
        check(access_key("AKIA"), b"k\0AKIA\0");
        check(last_use("AKIA"), b"w\0AKIA\0");
        check(user(account, "alice"), b"u\x00123456789012\0alice\0");
        check(group(account, "admins"), b"g\x00123456789012\0admins\0");
        check(role(account, "reader"), b"r\x00123456789012\0reader\0");
        check(policy(account, "read"), b"p\x00123456789012\0read\0");
        check(oidc_provider(account, "idp.example/realm"), b"f\x00123456789012\0idp.example/realm\0");
        check(account_alias(account), b"n\x00123456789012\0");
        check(encryption_key(account, &region), b"e\x00123456789012\0us-east-1\0");
        check(secret(account, &region, &name), b"s\x00123456789012\0us-east-1\0app/db");
        let created = creation(account, &region, Timestamp::from_millis(1), uid);
        check(created, b"c\x00123456789012\0us-east-1\0\0\0\0\0\0\0\0\x010123456789abcdef");
        check(version(uid, 2), b"v\x000123456789abcdef\0\0\0\0\0\0\0\x02");
        check(version_by_id(uid, &version_id), b"i\x000123456789abcdef00000000-0000-4000-8000-000000000001");
        check(last_access(uid, 2), b"l\x000123456789abcdef\0\0\0\0\0\0\0\x02");
        check(sweep_job(uid), b"j\x000123456789abcdef");
        let due = due_deletion(Timestamp::from_millis(1), uid);
        check(due, b"d\0\0\0\0\0\0\0\0\x010123456789abcdef");
        let entry = outbox(&node, 3, event_id);
        check(entry, &[b"o\0node-1\0\0\0\0\0\0\0\0\x03".as_slice(), &[7; 16]].concat());
        check(checkpoint(&node), b"h\0node-1\0");
    }

    #[test]
    fn an_entry_lies_within_the_range_of_its_kind() {
        let (account, region, uid) = (AccountId::EXAMPLE, Region::us_east_1(), Uid([255; 16]));
        let holds = |range: KeyRange, key: Bytes| {
            range.start <= key && range.end.as_ref().is_none_or(|end| key < *end)
        };
        assert!(holds(versions(uid), version(uid, u64::MAX)));
        assert!(!holds(versions(uid), version(Uid([254; 16]), 1)));
        assert!(holds(
            creations(account, &region),
            creation(account, &region, Timestamp::from_millis(5), uid)
        ));
        let name: SecretName = "app/db".parse().unwrap();
        assert!(holds(secrets(account, &region), secret(account, &region, &name)));
        assert_eq!(name_of_secret(account, &region, &secret(account, &region, &name)), Some(name));
        let other: Region = "us-east-11".parse().unwrap();
        assert!(!holds(
            creations(account, &region),
            creation(account, &other, Timestamp::from_millis(5), uid)
        ));
    }
}
