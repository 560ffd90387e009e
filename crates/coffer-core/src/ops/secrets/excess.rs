//! Versions beyond what a secret keeps: which ones go when the next one is made.
//!
//! AWS takes versions without labels away once a secret has more than 100, and never one younger than a day (its quotas
//! page). They go oldest first, in the same commit as the write that makes the new version, a few at a time: the commit
//! stays small, and a secret that is far over its number comes down with each write.

use bytes::Bytes;
use coffer_store::Order;
use coffer_types::Timestamp;
use coffer_types::limits::{VERSION_KEPT_MILLIS_MIN, VERSIONS_PER_SECRET_MAX};

use crate::records::cache::Loaded;
use crate::records::view::{View, successor};
use crate::records::{Secret, Version};
use crate::transaction::Transaction;
use crate::{Error, keys};

/// How many versions go in one commit: each is three keys, and the store takes a hundred a change.
const REMOVED_MAX: usize = 20;
/// How many are looked at for them: those with labels, at most 20, and those that another door keeps are passed over.
const LOOKED_AT_MAX: usize = 96;
/// How many are read at a time: each holds its sealed value, up to 64 KiB.
const BATCH: usize = 8;

/// Versions that go when the next version is made.
#[derive(Default)]
pub(crate) struct Excess(Vec<(Bytes, Loaded<Version>)>);

/// What becomes of a version when there are too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Goes,
    /// It has a label, or another door shows it.
    Stays,
    /// It is too young, and so are all that come after it.
    StaysWithAllAfter,
}

impl Excess {
    /// The versions that go if one more is made now. Reads nothing of a secret that is within its number.
    pub(crate) async fn find(view: &mut View, secret: &Secret, now: Timestamp) -> Result<Self, Error> {
        let mut excess = Self::default();
        let over = (secret.version_count() + 1).saturating_sub(VERSIONS_PER_SECRET_MAX);
        let wanted = usize::try_from(over).unwrap_or(usize::MAX).min(REMOVED_MAX);
        let mut range = keys::versions(secret.uid);
        let mut looked_at = 0;
        while excess.0.len() < wanted && looked_at < LOOKED_AT_MAX {
            let versions = view.range::<Version>(range.clone(), Order::Ascending, BATCH).await?;
            let is_last_batch = versions.len() < BATCH;
            for (key, version) in versions {
                range.start = successor(&key);
                looked_at += 1;
                match fate(secret, &version.record, now) {
                    Fate::Goes if excess.0.len() < wanted => excess.0.push((key, version)),
                    Fate::Goes | Fate::Stays => {}
                    Fate::StaysWithAllAfter => return Ok(excess),
                }
            }
            if is_last_batch {
                break;
            }
        }
        Ok(excess)
    }

    /// Stages that they go, and counts it in the secret, which the caller stages. The secret's guard holds the labels as
    /// they were when this was found.
    pub(crate) fn stage(&self, secret: &mut Secret, transaction: &mut Transaction<'_>) {
        for (key, version) in &self.0 {
            let (id, ordinal) = (&version.record.id, version.record.ordinal);
            transaction.remove(key.clone(), version.revision);
            transaction.remove_with_its_owner(keys::version_by_id(secret.uid, id));
            transaction.remove_with_its_owner(keys::last_access(secret.uid, ordinal));
        }
        secret.versions_removed += self.0.len() as u64;
    }
}

fn fate(secret: &Secret, version: &Version, now: Timestamp) -> Fate {
    if now.millis_since(version.created) < VERSION_KEPT_MILLIS_MIN {
        return Fate::StaysWithAllAfter;
    }
    let is_labelled = secret.stages.values().any(|labelled| labelled.ordinal == version.ordinal);
    if is_labelled || version.is_kept_by_another_door { Fate::Stays } else { Fate::Goes }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use coffer_types::{SecretSuffix, Stage, VersionId};

    use super::*;
    use crate::records::{Uid, VersionReference, VersionState};

    #[test]
    fn a_version_goes_if_it_is_a_day_old_and_nobody_names_it() {
        let id: VersionId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let labelled = VersionReference { ordinal: 1, id: id.clone() };
        let secret = Secret {
            uid: Uid([0; 16]),
            suffix: SecretSuffix::from_random(&[1; 32]).unwrap(),
            description: None,
            tags: None,
            created: Timestamp::default(),
            last_changed: Timestamp::default(),
            deletion_due: None,
            last_ordinal: 2,
            versions_removed: 0,
            stages: BTreeMap::from([(Stage::current(), labelled)]),
            arn: Default::default(),
        };
        const DAY: i64 = VERSION_KEPT_MILLIS_MIN;
        for (ordinal, is_kept_by_another_door, age_millis, expected) in [
            (2, false, DAY, Fate::Goes),
            (2, false, DAY - 1, Fate::StaysWithAllAfter),
            (2, false, -1, Fate::StaysWithAllAfter),
            (2, true, 100 * DAY, Fate::Stays),
            (1, false, 100 * DAY, Fate::Stays),
            (1, true, 100 * DAY, Fate::Stays),
        ] {
            for state in [VersionState::Enabled, VersionState::Disabled, VersionState::Placeholder] {
                let created = Timestamp::from_millis(0);
                let version = Version {
                    id: id.clone(),
                    ordinal,
                    created,
                    state,
                    value: None,
                    is_kept_by_another_door,
                    noted_on: Default::default(),
                };
                let now = created.plus_millis(age_millis);
                assert_eq!(fate(&secret, &version, now), expected, "{ordinal} {age_millis} {state:?}");
            }
        }
    }
}
