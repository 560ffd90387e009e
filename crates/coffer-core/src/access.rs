//! On which day values were last read.
//!
//! A read is never a write: it notes itself in a table in memory, once a day for each version, and the table is written
//! every minute by maintenance, unguarded and as well as may be. A crash loses at most what was noted since; the next read
//! after it notes again. Invariants: the table is bounded, and noting never waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use coffer_store::{Change, CommitError, Write};
use coffer_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::Inner;
use crate::noted::Noted;
use crate::records::view::View;
use crate::records::{Record, Secret, Uid, Version};
use crate::{Error, keys};

/// Most reads that are noted and not written yet. What finds no room is noted by a later read.
const NOTED_MAX: usize = 4096;
/// How often they are written.
const WRITE_MILLIS: i64 = 60_000;
/// How many are written in one change: each is two records, its secret's and its version's.
const WRITE_BATCH: usize = 45;
/// How many changes one round of maintenance makes of them.
const BATCHES_PER_ROUND: usize = 4;
/// In place of an ordinal: the secret, whichever of its versions was read.
pub(crate) const WHOLE_SECRET: u64 = 0;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A day in UTC, counted from 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Day(u32);

impl Day {
    pub(crate) fn of(time: Timestamp) -> Self {
        Self(u32::try_from(time.as_millis().div_euclid(DAY_MILLIS)).unwrap_or(0))
    }

    /// Its first moment, which is how a date is told.
    pub(crate) fn start(self) -> Timestamp {
        Timestamp::from_millis(i64::from(self.0) * DAY_MILLIS)
    }
}

/// The day of the last read of a secret or of one of its versions.
#[derive(Serialize, Deserialize)]
pub(crate) struct LastAccess {
    pub(crate) day: Day,
}

impl Record for LastAccess {
    const KIND: &'static str = "last-access";
}

/// The last day on which a read of a cached version was noted. It goes when the record leaves the cache; then a read is noted
/// once more than needed.
#[derive(Default)]
pub(crate) struct NotedDay(AtomicU32);

/// Reads that are noted and not written yet, by secret and by version.
pub(crate) struct Accesses(Noted<(Uid, u64), NotedRead>);

#[derive(Clone, PartialEq)]
struct NotedRead {
    day: Day,
    /// Where the secret lies: what was deleted since is not written.
    secret_key: Bytes,
}

impl Default for Accesses {
    fn default() -> Self {
        Self(Noted::new(NOTED_MAX))
    }
}

impl Accesses {
    /// Notes that a version was read. Costs a comparison but for the first read of a day.
    pub(crate) fn note(&self, secret_key: &Bytes, uid: Uid, version: &Version, now: Timestamp) {
        let day = Day::of(now);
        if version.noted_on.0.load(Ordering::Relaxed) == day.0 {
            return;
        }
        if self.0.note((uid, version.ordinal), NotedRead { day, secret_key: secret_key.clone() }) {
            version.noted_on.0.store(day.0, Ordering::Relaxed);
        }
    }

    /// The day noted for a version, or for any version of a secret.
    fn day_of(&self, uid: Uid, ordinal: u64) -> Option<Day> {
        let ordinals = if ordinal == WHOLE_SECRET { 0..=u64::MAX } else { ordinal..=ordinal };
        let table = self.0.table();
        table.range((uid, *ordinals.start())..=(uid, *ordinals.end())).map(|(_, noted)| noted.day).max()
    }
}

/// The day of the last read of a version, or with [`WHOLE_SECRET`] of any version of the secret, if there was one.
pub(crate) async fn last_access(view: &mut View, uid: Uid, ordinal: u64) -> Result<Option<Timestamp>, Error> {
    let stored = view.get_past_cache::<LastAccess>(&keys::last_access(uid, ordinal)).await?;
    let noted = view.inner().accesses.day_of(uid, ordinal);
    Ok(stored.map(|stored| stored.record.day).max(noted).map(Day::start))
}

impl Inner {
    /// Writes what was noted, if that is due: a batch or a few, and the rest in the next round.
    pub(crate) async fn write_accesses_if_due(&self, written_at: &mut Timestamp) -> Result<(), Error> {
        let now = self.clock.now();
        let is_due = now.millis_since(*written_at) >= WRITE_MILLIS || self.accesses.0.is_half_full();
        if !is_due || !self.has_headroom() {
            return Ok(());
        }
        for _ in 0..BATCHES_PER_ROUND {
            if !self.write_some_accesses().await? {
                *written_at = now;
                while self.write_some_key_uses().await? {}
                break;
            }
        }
        Ok(())
    }

    /// Writes all that was noted.
    pub(crate) async fn write_all_accesses(&self) -> Result<(), Error> {
        while self.has_headroom() && self.write_some_accesses().await? {}
        while self.has_headroom() && self.write_some_key_uses().await? {}
        Ok(())
    }

    /// Writes a batch. `false` if there was nothing to write.
    async fn write_some_accesses(&self) -> Result<bool, Error> {
        let batch = self.accesses.0.some(WRITE_BATCH);
        if batch.is_empty() {
            return Ok(false);
        }
        let mut days: BTreeMap<Bytes, Day> = BTreeMap::new();
        let snapshot = self.store.snapshot().await.map_err(Error::unavailable)?;
        for ((uid, ordinal), noted) in &batch {
            // What a deletion leaves is swept after it, and this runs before the sweep: nothing is written that stays.
            let secret = snapshot.get(&noted.secret_key).await.map_err(Error::unavailable)?;
            let secret = secret.map(|entry| crate::records::view::open::<Secret>(&self.store_key, &entry));
            if secret.transpose()?.is_none_or(|secret| secret.uid != *uid) {
                continue;
            }
            for key in [keys::last_access(*uid, WHOLE_SECRET), keys::last_access(*uid, *ordinal)] {
                let stored = snapshot.get(&key).await.map_err(Error::unavailable)?;
                let stored =
                    stored.map(|entry| crate::records::view::open::<LastAccess>(&self.store_key, &entry));
                if stored.transpose()?.is_none_or(|stored| stored.day < noted.day) {
                    let day = days.entry(key).or_insert(noted.day);
                    *day = (*day).max(noted.day);
                }
            }
        }
        drop(snapshot);
        let put = |(key, day): (Bytes, Day)| {
            let sealed = self.seal_record(&key, &LastAccess { day });
            Write::Put(key, sealed)
        };
        let writes: Vec<Write> = days.into_iter().map(put).collect();
        if !writes.is_empty() {
            match self.store.commit(Change { guards: Vec::new(), writes }).await {
                Ok(_) => {}
                // It stays noted, and writing it twice changes nothing.
                Err(
                    error @ (CommitError::Conflict
                    | CommitError::Determinate(_)
                    | CommitError::Indeterminate(_)),
                ) => return Err(Error::unavailable(error)),
            }
        }
        self.accesses.0.forget_written(&batch);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::VersionState;

    fn version(ordinal: u64) -> Version {
        Version {
            id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
            ordinal,
            created: Timestamp::default(),
            state: VersionState::Enabled,
            value: None,
            is_kept_by_another_door: false,
            noted_on: NotedDay::default(),
        }
    }

    #[test]
    fn a_day_is_one_of_utc() {
        for (millis, day, start) in
            [(0, 0, 0), (DAY_MILLIS - 1, 0, 0), (DAY_MILLIS, 1, DAY_MILLIS), (-1, 0, 0), (i64::MAX, 0, 0)]
        {
            let of = Day::of(Timestamp::from_millis(millis));
            assert_eq!((of, of.start()), (Day(day), Timestamp::from_millis(start)), "{millis}");
        }
    }

    #[test]
    fn a_read_that_found_no_room_is_noted_later() {
        let (accesses, key, uid) = (Accesses::default(), Bytes::from_static(b"s"), Uid([7; 16]));
        let now = Timestamp::from_millis(20_000 * DAY_MILLIS);
        let versions: Vec<Version> = (1..=NOTED_MAX as u64 + 1).map(version).collect();
        versions.iter().for_each(|version| accesses.note(&key, uid, version, now));
        let last = NOTED_MAX as u64 + 1;
        assert_eq!((accesses.day_of(uid, last), accesses.day_of(uid, 1)), (None, Some(Day(20_000))));
        assert_eq!(accesses.day_of(uid, WHOLE_SECRET), Some(Day(20_000)));
        assert_eq!(accesses.day_of(Uid([8; 16]), WHOLE_SECRET), None);
        accesses.0.forget_written(&accesses.0.some(WRITE_BATCH));
        versions.iter().for_each(|version| accesses.note(&key, uid, version, now));
        assert_eq!(accesses.day_of(uid, last), Some(Day(20_000)));
        let noted = accesses.0.some(usize::MAX).len();
        assert_eq!(noted, NOTED_MAX - WRITE_BATCH + 1, "the others were noted that day already");
    }
}
