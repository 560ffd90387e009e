//! What a power cut leaves: every acknowledged change, no part of any other, and the right revisions.
//!
//! SIGKILL alone can't show this, because the page cache survives it. Each case prints its seed when it fails.

#![allow(clippy::unwrap_used, reason = "a test, and its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use coffer_store::{Change, CommitError, Entry, KeyRange, Order, Revision, Store, Write};
use coffer_store_redb::{RedbOptions, RedbStore};
use common::{Dice, Loss, PowerCut};
use futures_executor::block_on;

const LOSSES: [Loss; 4] = [Loss::All, Loss::Suffix, Loss::Subset, Loss::Sectors];

fn options(quick_repair: bool) -> RedbOptions {
    RedbOptions { cache_bytes: 1024 * 1024, quick_repair, on_fatal: Arc::new(|_| {}) }
}

/// The change that gets revision `number`: several keys, so that a torn one would show; now and then a large
/// one, so that the file grows.
fn change(seed: u64, number: u64) -> Change {
    let mut dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let mut writes = BTreeMap::new();
    for _ in 0..1 + dice.below(8) {
        let key = Bytes::from(format!("key/{}", dice.below(60)));
        let length = if dice.below(20) == 0 { 40_000 } else { dice.below(700) } as usize;
        let value = Bytes::from([number.to_le_bytes().as_slice(), &vec![number as u8; length]].concat());
        let write =
            if dice.below(4) == 0 { Write::Delete(key.clone()) } else { Write::Put(key.clone(), value) };
        writes.insert(key, write);
    }
    Change { guards: Vec::new(), writes: writes.into_values().collect() }
}

/// Everything as it is at a revision.
fn expected_at(seed: u64, revision: Revision) -> Vec<Entry> {
    let mut entries = BTreeMap::new();
    for number in 1..=revision.0 {
        for write in change(seed, number).writes {
            match write {
                Write::Put(key, value) => {
                    entries.insert(key.clone(), Entry { key, value, revision: Revision(number) });
                }
                Write::Delete(key) => {
                    entries.remove(&key);
                }
            }
        }
    }
    entries.into_values().collect()
}

/// Commits in batches until `changes` are done or the power goes; answers the last acknowledged revision.
fn write_until_the_end(store: &RedbStore, seed: u64, from: Revision, changes: u64) -> Revision {
    let mut dice = Dice(seed);
    let (mut acknowledged, mut next) = (from, from.0 + 1);
    while next <= from.0 + changes {
        let batch = 1 + dice.below(6);
        let answers: Vec<_> = (next..next + batch).map(|number| store.commit(change(seed, number))).collect();
        next += batch;
        for answer in answers {
            match block_on(answer) {
                Ok(revision) => acknowledged = revision,
                Err(CommitError::Determinate(_) | CommitError::Indeterminate(_)) => return acknowledged,
                Err(CommitError::Conflict) => panic!("a conflict without guards"),
            }
        }
    }
    acknowledged
}

/// Opens what was found on the disk, checks it, and commits some more. Answers the revision found.
fn check(image: Vec<u8>, seed: u64, acknowledged: Revision, submitted: u64, quick_repair: bool) -> Revision {
    let store = RedbStore::open_with_backend(PowerCut::new(image, None), options(quick_repair)).unwrap();
    let snapshot = block_on(store.snapshot()).unwrap();
    let found = snapshot.revision();
    assert!(found >= acknowledged, "{acknowledged:?} was acknowledged, {found:?} was found");
    assert!(found.0 <= submitted, "{submitted} were submitted, {found:?} was found");
    let entries =
        block_on(snapshot.range(KeyRange::prefix(Bytes::new()), Order::Ascending, usize::MAX)).unwrap();
    assert_eq!(entries, expected_at(seed, found));
    assert!(write_until_the_end(&store, seed, found, 5).0 >= found.0 + 5);
    found
}

/// How many steps the whole story takes without an accident.
fn steps_in_all(seed: u64, quick_repair: bool) -> u64 {
    let disk = PowerCut::new(Vec::new(), None);
    let store = RedbStore::open_with_backend(disk.clone(), options(quick_repair)).unwrap();
    write_until_the_end(&store, seed, Revision(0), 40);
    store.close().unwrap();
    disk.steps()
}

fn cut_the_power(seed: u64, quick_repair: bool, loss: Loss) {
    let mut dice = Dice(seed ^ 0x5eed);
    let cut_at = dice.below(steps_in_all(seed, quick_repair));
    let disk = PowerCut::new(Vec::new(), Some(cut_at));
    // A cut while the store is being made leaves nothing to open; `create` covers that by its draft.
    let Ok(store) = RedbStore::open_with_backend(disk.clone(), options(quick_repair)) else { return };
    let acknowledged = write_until_the_end(&store, seed, Revision(0), 40);
    drop(store.close());
    let image = disk.image_after(loss, &mut dice);

    // And a second cut, while the first is being repaired or soon after.
    let again = PowerCut::new(image.clone(), Some(dice.below(40)));
    let repaired = RedbStore::open_with_backend(again.clone(), options(quick_repair));
    drop(repaired);
    let image_again = again.image_after(loss, &mut dice);

    check(image, seed, acknowledged, 46, quick_repair);
    check(image_again, seed, acknowledged, 46, quick_repair);
}

fn many_cuts(quick_repair: bool, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        for loss in LOSSES {
            let done = catch_unwind(AssertUnwindSafe(|| cut_the_power(seed, quick_repair, loss)));
            assert!(done.is_ok(), "seed {seed}, {loss:?}, quick_repair {quick_repair}");
        }
    }
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    many_cuts(false, 0..150);
}

#[test]
fn a_power_cut_with_quick_repair_loses_nothing_acknowledged() {
    many_cuts(true, 0..150);
}

#[test]
#[ignore = "takes minutes"]
fn many_power_cuts_lose_nothing_acknowledged() {
    many_cuts(false, 1_000..4_000);
    many_cuts(true, 1_000..4_000);
}

/// The harness would notice: a disk that does not sync loses what was acknowledged.
#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    let noticed = (0..10_u64).filter(|&seed| {
        let disk = PowerCut::lying(60 + seed * 10);
        let Ok(store) = RedbStore::open_with_backend(disk.clone(), options(false)) else { return false };
        let acknowledged = write_until_the_end(&store, seed, Revision(0), 40);
        drop(store);
        let image = disk.image_after(Loss::Subset, &mut Dice(seed));
        let checked = catch_unwind(AssertUnwindSafe(|| check(image, seed, acknowledged, 46, false)));
        acknowledged > Revision(0) && checked.is_err()
    });
    assert!(noticed.count() >= 5);
}
