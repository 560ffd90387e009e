//! What a restored store has again that the store it replaces had done away with.
//!
//! Reads both, changes neither. Memory is bounded by what is listed; the rest is counted.

use std::collections::VecDeque;

use coffer_crypto::{RootKey, StoreId, StoreKey};
use coffer_store::{Entry, KeyRange, Order, Snapshot};
use coffer_types::{Region, SecretName, Timestamp};
use serde_json::{Value, json};

use super::check::AccessKeyFacts;
use crate::records::access::Entity;
use crate::records::view::{open, successor};
use crate::records::{
    AccessKey, Group, ManagedPolicy, OidcProvider, Role, Secret, StoreMeta, StoredCheckpoint, User,
};
use crate::{Error, NODE, keys};

/// Most names of each kind that are listed.
const LISTED_MAX: usize = 1000;
/// How many records are read of a snapshot at a time.
const PAGE: usize = 64;

/// What was undone by going back to a backup.
#[derive(Clone, Debug, Default)]
pub struct Undone {
    /// Access keys that had been removed or deactivated and are good again.
    pub access_keys: Vec<AccessKeyFacts>,
    /// Users who had been removed, or had other policies, groups, tags or another path, and are again as they were.
    pub users: Vec<String>,
    /// Groups of which the same is true; who is in them, the users tell.
    pub groups: Vec<String>,
    /// Roles of which the same is true, or whose trust had changed.
    pub roles: Vec<String>,
    /// Managed policies that had been removed, or said something else, and are again as they were.
    pub policies: Vec<String>,
    /// Identity providers that had been removed, or vouched for others, and are again as they were.
    pub providers: Vec<String>,
    /// How many users, groups, roles, managed policies and identity providers of the replaced store are not in the backup.
    pub lost_access: u64,
    /// Secrets that had been deleted, or scheduled for that, and are back.
    pub secrets: Vec<(Region, SecretName)>,
    /// How many secrets are back; not all may be listed.
    pub secret_count: u64,
    /// How many secrets of the replaced store are not in the backup.
    pub lost_secrets: u64,
    /// How many secrets are again as they were before later changes.
    pub older_secrets: u64,
    /// How many access keys of the replaced store are not in the backup.
    pub lost_access_keys: u64,
    /// When the replaced store last signed its audit log, if that was before the backup: then it is no later state.
    pub older_than_backup: Option<Timestamp>,
}

impl Undone {
    /// For the record: ids and names, at most so many of each.
    pub(crate) fn to_record(&self, names_max: usize) -> Value {
        let keys: Vec<_> = self.access_keys.iter().map(|key| key.id.as_str()).take(names_max).collect();
        let named = |names: &[String]| -> Vec<_> { names.iter().take(names_max).cloned().collect() };
        let secrets: Vec<_> = self.secrets.iter().map(|(_, name)| name.as_str()).take(names_max).collect();
        json!({
            "accessKeys": keys,
            "users": named(&self.users),
            "groups": named(&self.groups),
            "roles": named(&self.roles),
            "policies": named(&self.policies),
            "providers": named(&self.providers),
            "secrets": secrets,
            "secretCount": self.secret_count,
            "lostSecrets": self.lost_secrets,
            "olderSecrets": self.older_secrets,
        })
    }
}

/// Compares a restored store with the one it replaces; both are the same store's, in different states. `None` if
/// `replaced` is another store, or its records do not open with this root key. `taken` is when the backup was taken.
pub async fn compare(
    root: &RootKey,
    store_id: StoreId,
    restored: &dyn Snapshot,
    replaced: &dyn Snapshot,
    taken: Timestamp,
) -> Result<Option<Undone>, Error> {
    let key = root.derive_store_key(store_id);
    let meta = replaced.get(&keys::store_meta()).await.map_err(Error::unavailable)?;
    if !meta.is_some_and(|meta| open::<StoreMeta>(&key, &meta).is_ok_and(|meta| meta.store_id == store_id)) {
        return Ok(None);
    }
    let mut undone =
        Undone { older_than_backup: signed_before(&key, replaced, taken).await?, ..Undone::default() };
    undone.compare_access_keys(&key, restored, replaced).await?;
    let walk = |range| Walk::new(restored, replaced, range);
    let same_user = |then: &User, later: &User| {
        then.policies == later.policies && then.boundary == later.boundary && then.groups == later.groups
    };
    undone.users = undone.changed(&key, walk(keys::users()), same_user).await?;
    let same_group = |then: &Group, later: &Group| then.policies == later.policies;
    undone.groups = undone.changed(&key, walk(keys::groups()), same_group).await?;
    let same_role = |then: &Role, later: &Role| {
        then.policies == later.policies
            && then.boundary == later.boundary
            && (&then.trust, &then.trusted) == (&later.trust, &later.trusted)
            && then.session_seconds_max == later.session_seconds_max
    };
    undone.roles = undone.changed(&key, walk(keys::roles()), same_role).await?;
    let said = |policy: &ManagedPolicy| {
        policy.versions.get(&policy.default_version).map(|version| version.document.clone())
    };
    let same_policy = |then: &ManagedPolicy, later: &ManagedPolicy| said(then) == said(later);
    undone.policies = undone.changed(&key, walk(keys::policies()), same_policy).await?;
    let same_provider = |then: &OidcProvider, later: &OidcProvider| {
        (&then.client_ids, &then.thumbprints) == (&later.client_ids, &later.thumbprints)
    };
    undone.providers = undone.changed(&key, walk(keys::oidc_providers()), same_provider).await?;
    undone.compare_secrets(&key, restored, replaced).await?;
    Ok(Some(undone))
}

async fn signed_before(
    key: &StoreKey,
    replaced: &dyn Snapshot,
    taken: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let Ok(node) = NODE.parse() else { return Ok(None) };
    let entry = replaced.get(&keys::checkpoint(&node)).await.map_err(Error::unavailable)?;
    let Some(entry) = entry else { return Ok(None) };
    let signed = open::<StoredCheckpoint>(key, &entry)?.checkpoint.time;
    // A server that was killed had not signed for a second or so.
    Ok((taken.millis_since(signed) > 60_000).then_some(signed))
}

impl Undone {
    async fn compare_access_keys(
        &mut self,
        key: &StoreKey,
        restored: &dyn Snapshot,
        replaced: &dyn Snapshot,
    ) -> Result<(), Error> {
        let mut walk = Walk::new(restored, replaced, keys::access_keys());
        while let Some(pair) = walk.next().await? {
            match pair {
                (Some(entry), replaced) => {
                    let access_key = open::<AccessKey>(key, &entry)?;
                    let was_good = match replaced {
                        Some(replaced) => !open::<AccessKey>(key, &replaced)?.is_inactive,
                        None => false,
                    };
                    if was_good || access_key.is_inactive {
                        continue;
                    }
                    let id = keys::parse_access_key(&entry.key).unwrap_or_default().to_owned();
                    if self.access_keys.len() < LISTED_MAX {
                        self.access_keys.push(AccessKeyFacts {
                            id,
                            account: access_key.account,
                            user: access_key.user,
                            created: access_key.created,
                        });
                    }
                }
                (None, _) => self.lost_access_keys += 1,
            }
        }
        Ok(())
    }

    /// The names of those of a kind that were removed since, or are different now.
    async fn changed<E: Entity>(
        &mut self,
        key: &StoreKey,
        mut walk: Walk<'_>,
        is_same: impl Fn(&E, &E) -> bool,
    ) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        while let Some(pair) = walk.next().await? {
            let (restored, is_changed) = match pair {
                (None, _) => {
                    self.lost_access += 1;
                    continue;
                }
                (Some(restored), None) => (open::<E>(key, &restored)?, true),
                (Some(restored), Some(replaced)) => {
                    let (then, later) = (open::<E>(key, &restored)?, open::<E>(key, &replaced)?);
                    let is_changed = then.facts() != later.facts() || !is_same(&then, &later);
                    (then, is_changed)
                }
            };
            if is_changed && names.len() < LISTED_MAX {
                names.push(restored.facts().name.clone());
            }
        }
        Ok(names)
    }

    async fn compare_secrets(
        &mut self,
        key: &StoreKey,
        restored: &dyn Snapshot,
        replaced: &dyn Snapshot,
    ) -> Result<(), Error> {
        let mut walk = Walk::new(restored, replaced, keys::secrets_everywhere());
        while let Some(pair) = walk.next().await? {
            let (entry, is_back) = match pair {
                (Some(restored), None) => (restored, true),
                (Some(restored), Some(replaced)) => {
                    let (then, later) = (open::<Secret>(key, &restored)?, open::<Secret>(key, &replaced)?);
                    let is_back = then.uid != later.uid
                        || (then.deletion_due.is_none() && later.deletion_due.is_some());
                    // A deletion is told as one, and not once more as a change.
                    let is_unchanged = (is_back || then.last_changed == later.last_changed)
                        && then.last_ordinal == later.last_ordinal
                        && then.stages == later.stages;
                    if then.uid == later.uid && !is_unchanged {
                        self.older_secrets += 1;
                    }
                    (restored, is_back)
                }
                (None, _) => {
                    self.lost_secrets += 1;
                    continue;
                }
            };
            if is_back {
                self.secret_count += 1;
                if let Some((_, region, name)) = keys::parse_secret(&entry.key)
                    && self.secrets.len() < LISTED_MAX
                {
                    self.secrets.push((region, name));
                }
            }
        }
        Ok(())
    }
}

/// Two snapshots walked side by side, key by key.
struct Walk<'a>([Side<'a>; 2]);

struct Side<'a> {
    snapshot: &'a dyn Snapshot,
    rest: KeyRange,
    page: VecDeque<Entry>,
    is_over: bool,
}

impl<'a> Walk<'a> {
    fn new(one: &'a dyn Snapshot, other: &'a dyn Snapshot, range: KeyRange) -> Self {
        let side = |snapshot| Side { snapshot, rest: range.clone(), page: VecDeque::new(), is_over: false };
        Self([side(one), side(other)])
    }

    /// The entries at the next key, of the one, of the other, or of both; `None` at the end.
    async fn next(&mut self) -> Result<Option<(Option<Entry>, Option<Entry>)>, Error> {
        let Self([one, other]) = self;
        one.fill().await?;
        other.fill().await?;
        let take_one = match (one.page.front(), other.page.front()) {
            (None, None) => return Ok(None),
            (Some(_), None) => Some(true),
            (None, Some(_)) => Some(false),
            (Some(first), Some(second)) if first.key < second.key => Some(true),
            (Some(first), Some(second)) if first.key > second.key => Some(false),
            _ => None,
        };
        Ok(Some(match take_one {
            Some(true) => (one.page.pop_front(), None),
            Some(false) => (None, other.page.pop_front()),
            None => (one.page.pop_front(), other.page.pop_front()),
        }))
    }
}

impl Side<'_> {
    async fn fill(&mut self) -> Result<(), Error> {
        if !self.page.is_empty() || self.is_over {
            return Ok(());
        }
        let page = self.snapshot.range(self.rest.clone(), Order::Ascending, PAGE).await;
        self.page = page.map_err(Error::unavailable)?.into();
        match self.page.back() {
            Some(last) => self.rest.start = successor(&last.key),
            None => self.is_over = true,
        }
        Ok(())
    }
}
