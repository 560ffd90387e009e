//! Kills, power cuts and failing disks: what was acknowledged is there, and the chain holds.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod common;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coffer_audit::fault::VolatileDisk;
use coffer_audit::{AuditError, AuditSink, EventId, FileLog, SyncMode};
use coffer_types::Timestamp;
use common::{body, event_id, key, open, open_with};
use futures_executor::block_on;

const INTERVAL: SyncMode = SyncMode::Interval(Duration::from_millis(5));

/// All ids in a log, once it has been opened and verified.
fn ids_after_recovery(disk: &VolatileDisk, what: &str) -> HashSet<EventId> {
    let log = open(disk, SyncMode::Always).unwrap_or_else(|error| panic!("{what}: {error}"));
    log.verify(None, &key().public_key()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let ids = log.event_ids_after(0).unwrap();
    block_on(log.append(body(1_000_000))).unwrap_or_else(|error| panic!("{what}: {error}"));
    block_on(log.close(Timestamp::from_millis(0))).unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(log);
    let log = open(disk, SyncMode::Always).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    let verified =
        log.verify(None, &key().public_key()).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert_eq!(verified.records, ids.len() as u64 + 1, "{what}");
    ids
}

/// Appends one record after another until the disk dies, and answers how many were acknowledged.
fn append_until_dead(log: &FileLog, records: u64) -> u64 {
    (0..records).find(|&number| block_on(log.append(body(number))).is_err()).unwrap_or(records)
}

#[test]
fn whatever_operation_is_the_last_what_was_acknowledged_survives() {
    for last_operation in 0..160 {
        let disk = VolatileDisk::new();
        disk.die_at(last_operation);
        let acknowledged = match open(&disk, SyncMode::Always) {
            Ok(log) => append_until_dead(&log, 60),
            Err(_) => 0,
        };
        let after = [
            ("kill", disk.after_kill()),
            ("cut 1", disk.after_power_cut(last_operation)),
            ("cut 2", disk.after_power_cut(last_operation + 1000)),
            ("cut 3", disk.after_power_cut(last_operation + 2000)),
            ("kill then cut", disk.after_kill().after_power_cut(last_operation + 3000)),
        ];
        for (how, disk) in after {
            let what = format!("{how} at operation {last_operation}");
            let ids = ids_after_recovery(&disk, &what);
            for number in 0..acknowledged {
                assert!(ids.contains(&event_id(number)), "{what}: record {number} of {acknowledged} is lost");
            }
        }
    }
}

#[test]
fn a_repair_may_be_interrupted_too() {
    let disk = VolatileDisk::new();
    let log = open(&disk, INTERVAL).unwrap();
    block_on(log.append_synced((0..30).map(body).collect())).unwrap();
    for number in 30..60 {
        block_on(log.append(body(number))).unwrap();
    }
    for seed in 0..12 {
        let cut = disk.after_power_cut(seed);
        for last_operation in 0..24 {
            let again = cut.after_kill();
            again.die_at(last_operation);
            drop(open(&again, SyncMode::Always));
            let twice = again.after_power_cut(seed + last_operation);
            let what = format!("seed {seed}, operation {last_operation}");
            let ids = ids_after_recovery(&twice, &what);
            assert!((0..30).all(|number| ids.contains(&event_id(number))), "{what}");
        }
    }
}

#[test]
fn a_power_cut_under_interval_loses_only_what_was_not_synced() {
    for seed in 0..80 {
        let disk = VolatileDisk::new();
        let log = open(&disk, INTERVAL).unwrap();
        for number in 0..(seed % 50) {
            block_on(log.append(body(number))).unwrap();
            if number % 16 == 7 {
                std::thread::sleep(Duration::from_millis(8));
            }
        }
        let synced = log.synced_head().sequence;
        let checkpoint = log.checkpoint(Timestamp::from_millis(0));
        let cut = disk.after_power_cut(seed);
        drop(
            open_with(&cut, INTERVAL, Some(&checkpoint))
                .unwrap_or_else(|error| panic!("seed {seed}: {error}")),
        );
        let ids = ids_after_recovery(&cut, &format!("seed {seed}"));
        for number in 0..synced {
            assert!(ids.contains(&event_id(number)), "seed {seed}: record {number} of {synced} is lost");
        }
        // A kill alone loses nothing at all.
        let killed = ids_after_recovery(&disk.after_kill(), &format!("seed {seed}, killed"));
        assert_eq!(killed.len() as u64, seed % 50, "seed {seed}");
    }
}

#[test]
fn concurrent_appends_survive_a_power_cut_once_acknowledged() {
    for seed in 0..20 {
        let disk = VolatileDisk::new();
        let log = Arc::new(open(&disk, SyncMode::Always).unwrap());
        disk.die_at(30 + seed * 7);
        let acknowledged: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    let log = &log;
                    scope.spawn(move || {
                        let numbers = (0..100).map(|number| thread * 1000 + number);
                        numbers
                            .take_while(|&number| block_on(log.append(body(number))).is_ok())
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let ids = ids_after_recovery(&disk.after_power_cut(seed), &format!("seed {seed}"));
        for number in acknowledged {
            assert!(ids.contains(&event_id(number)), "seed {seed}: record {number} is lost");
        }
    }
}

#[test]
fn an_error_at_any_operation_is_answered_and_got_over() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for (first, count) in (0..90).map(|first| (first, if first % 2 == 0 { 1 } else { 4 })) {
            let what = format!("{kind:?} at {first}, {count} times");
            let disk = VolatileDisk::new();
            disk.fail(first, count, kind);
            let Ok(log) = open(&disk, SyncMode::Always) else {
                disk.heal();
                ids_after_recovery(&disk.after_kill(), &what);
                continue;
            };
            let mut acknowledged = Vec::new();
            for number in 0..40 {
                match block_on(log.append(body(number))) {
                    Ok(()) => acknowledged.push(number),
                    Err(AuditError::Unwritable(_)) => {}
                    Err(error) => panic!("{what}: {error}"),
                }
            }
            let deadline = Instant::now() + Duration::from_secs(10);
            while block_on(log.append(body(99))).is_err() {
                assert!(Instant::now() < deadline, "{what}: never writable again");
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(log.health().failure, None, "{what}");
            log.verify(None, &key().public_key()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let ids = ids_after_recovery(&disk.after_power_cut(first), &what);
            for number in acknowledged {
                assert!(ids.contains(&event_id(number)), "{what}: record {number} is lost");
            }
        }
    }
}

#[test]
fn a_full_disk_uses_the_reserve_then_refuses_then_goes_on() {
    let disk = VolatileDisk::new();
    let log = open(&disk, SyncMode::Always).unwrap();
    assert!(log.health().reserve_held && !log.health().low_space);
    // Room for the reserve and a few segments.
    disk.set_capacity(Some(48 * 1024));
    let mut alarm_at = None;
    let full_at = (0..1000).find(|&number| {
        let outcome = block_on(log.append(body(number)));
        if log.health().low_space {
            alarm_at.get_or_insert(number);
        }
        outcome.is_err()
    });
    let (alarm_at, full_at) = (alarm_at.unwrap(), full_at.expect("the disk runs full"));
    // How long depends on whether the next segment was made before the disk ran full: 30 records, or many more.
    assert!(alarm_at + 10 < full_at, "the alarm at {alarm_at} comes long before the end at {full_at}");
    assert!(!log.health().reserve_held);
    for _ in 0..5 {
        assert!(matches!(block_on(log.append(body(5000))), Err(AuditError::Unwritable(_))));
    }
    assert!(log.health().failure.is_some());

    disk.set_capacity(None);
    let deadline = Instant::now() + Duration::from_secs(10);
    while block_on(log.append(body(6000))).is_err() {
        assert!(Instant::now() < deadline);
    }
    let verified = log.verify(None, &key().public_key()).unwrap();
    assert_eq!(verified.records, full_at + 1, "no refused append left a record");
    while !log.health().reserve_held || log.health().low_space {
        assert!(Instant::now() < deadline, "the reserve comes back");
        block_on(log.append(body(7000))).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(log.health().failure, None);
}

#[test]
fn appends_from_many_threads_are_one_chain() {
    for sync in [SyncMode::Always, INTERVAL] {
        let disk = VolatileDisk::new();
        let log = open(&disk, sync).unwrap();
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number.is_multiple_of(50) {
                            block_on(log.append_synced(vec![body(number)])).unwrap();
                        } else {
                            block_on(log.append(body(number))).unwrap();
                        }
                    }
                });
            }
        });
        let head = block_on(log.append_synced(Vec::new())).unwrap();
        assert_eq!(head.sequence, 800);
        assert_eq!(log.synced_head(), head);
        assert_eq!(log.verify(None, &key().public_key()).unwrap().head, head);
        assert_eq!(log.event_ids_after(0).unwrap().len(), 800);
        let (last, all) = (log.tail(1).unwrap(), log.tail(10_000).unwrap());
        assert_eq!((last.len(), all.len()), (1, 800));
        assert_eq!(all.last(), last.last());
    }
}

#[test]
fn half_a_batch_leaves_nothing_behind_a_shorter_one() {
    for sync in [SyncMode::Always, INTERVAL] {
        let disk = VolatileDisk::new();
        let log = open(&disk, sync).unwrap();
        block_on(log.append_synced(vec![body(0)])).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        // The batch begins a new segment; its write comes after the rename.
        disk.fail(disk.operations() + 1, 1, io::ErrorKind::Other);
        let refused = block_on(log.append_synced((1..21).map(body).collect()));
        assert!(matches!(refused, Err(AuditError::Unwritable(_))));
        block_on(log.append(body(30))).unwrap();
        let ids = ids_after_recovery(&disk.after_kill(), "killed");
        assert_eq!(ids, [event_id(0), event_id(30)].into());
    }
}
