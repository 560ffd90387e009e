//! Closing a log that is still busy, and segments of one that stays open.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod common;

use std::io;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use coffer_audit::disk::{Disk, LogFile};
use coffer_audit::fault::VolatileDisk;
use coffer_audit::{AuditError, AuditSink, FileLog, SyncMode};
use coffer_types::Timestamp;
use common::{body, key, open, options};
use futures_executor::block_on;

#[test]
fn a_busy_log_closes_with_all_its_digests() {
    for (sync, round) in [SyncMode::Always, SyncMode::Interval(Duration::from_millis(3))]
        .into_iter()
        .flat_map(|sync| (0..100).map(move |round| (sync, round)))
    {
        let disk = VolatileDisk::new();
        let log = open(&disk, sync).unwrap();
        let appended: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3_u64)
                .map(|thread| {
                    let log = &log;
                    scope.spawn(move || {
                        let appends =
                            (0..).map(|number| block_on(log.append(body(thread * 100_000 + number))));
                        let results = appends.take_while(|outcome| match outcome {
                            Ok(()) => true,
                            Err(AuditError::Closed) => false,
                            Err(error) => panic!("{error}"),
                        });
                        results.count() as u64
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_micros(100 * round));
            block_on(log.close(Timestamp::from_millis(0))).unwrap();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(log.synced_head().sequence, appended);
        let verified = log.verify(None, &key().public_key()).unwrap();
        assert_eq!((verified.records, verified.digests), (appended, verified.segments));
    }
}

#[test]
fn a_log_that_failed_closes_once_its_disk_is_well() {
    for sync in [SyncMode::Always, SyncMode::Interval(Duration::from_millis(3))] {
        for first in 0..60 {
            let disk = VolatileDisk::new();
            let log = open(&disk, sync).unwrap();
            let what = format!("{sync:?}, {first} operations after it was opened");
            disk.fail(disk.operations() + first, 1000, io::ErrorKind::Other);
            let appended = (0..200).take_while(|&number| block_on(log.append(body(number))).is_ok()).count();
            assert!(appended < 200, "{what}");
            disk.heal();
            // Nobody appends in between, so nobody else finds out that it is well.
            block_on(log.close(Timestamp::from_millis(0))).unwrap_or_else(|error| panic!("{what}: {error}"));
            let verified = log.verify(None, &key().public_key()).unwrap();
            assert!(verified.records >= appended as u64, "{what}");
            // A segment that was begun when the disk failed may be there, without a line.
            assert!(verified.digests + 1 >= verified.segments, "{what}: {verified:?}");
            drop(log);
            let log = open(&disk, sync).unwrap_or_else(|error| panic!("{what}, again: {error}"));
            block_on(log.append(body(1_000_000))).unwrap_or_else(|error| panic!("{what}, again: {error}"));
        }
    }
}

/// A disk whose files can't be read while somebody holds the gate.
struct GatedDisk {
    disk: VolatileDisk,
    gate: Arc<RwLock<()>>,
}

struct GatedFile {
    file: Arc<dyn LogFile>,
    gate: Arc<RwLock<()>>,
}

impl GatedDisk {
    fn gated(&self, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(GatedFile { file, gate: Arc::clone(&self.gate) })
    }
}

impl Disk for GatedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.disk.open(name).map(|file| self.gated(file))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.disk.open_to_read(name).map(|file| self.gated(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.disk.create(name).map(|file| self.gated(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

impl LogFile for GatedFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let _open = self.gate.read().unwrap();
        self.file.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(offset, bytes)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

#[test]
fn a_segment_that_takes_long_to_close_holds_up_no_append() {
    for sync in [SyncMode::Always, SyncMode::Interval(Duration::from_millis(3))] {
        let gate = Arc::new(RwLock::new(()));
        let disk = VolatileDisk::new();
        let gated = GatedDisk { disk: disk.clone(), gate: Arc::clone(&gate) };
        let log = FileLog::open(Arc::new(gated), options(sync), key(), None).unwrap();
        let shut = gate.write().unwrap();
        for number in 0..60 {
            block_on(log.append(body(number))).unwrap();
        }
        block_on(log.append_synced(vec![body(60)])).unwrap();
        assert!(log.health().segments_to_close >= 5, "{:?}", log.health());
        assert_eq!(log.health().failure, None);
        drop(shut);
        let deadline = Instant::now() + Duration::from_secs(10);
        while log.health().segments_to_close > 0 {
            assert!(Instant::now() < deadline, "segments are never closed");
            std::thread::sleep(Duration::from_millis(1));
        }
        block_on(log.close(Timestamp::from_millis(common::START))).unwrap();
        let verified = log.verify(None, &key().public_key()).unwrap();
        assert_eq!((verified.records, verified.digests), (61, verified.segments));
    }
}

#[test]
fn a_log_that_is_dropped_has_closed_its_full_segments() {
    let disk = VolatileDisk::new();
    let log = open(&disk, SyncMode::Always).unwrap();
    for number in 0..60 {
        block_on(log.append(body(number))).unwrap();
    }
    drop(log);
    let log = open(&disk, SyncMode::Always).unwrap();
    assert_eq!(log.recovery().digests_made, 0);
    let verified = log.verify(None, &key().public_key()).unwrap();
    assert_eq!((verified.records, verified.digests), (60, verified.segments - 1));
}

#[test]
fn a_log_whose_thread_panics_is_closed_with_an_error_and_takes_nothing_more() {
    for sync in [SyncMode::Always, SyncMode::Interval(Duration::from_millis(3))] {
        let gate = Arc::new(RwLock::new(()));
        let gated = GatedDisk { disk: VolatileDisk::new(), gate: Arc::clone(&gate) };
        let log = FileLog::open(Arc::new(gated), options(sync), key(), None).unwrap();
        // Whoever reads a file now panics; the closer does, at the first full segment.
        let poisoned = std::panic::catch_unwind(|| {
            let _held = gate.write().unwrap();
            panic!("on purpose");
        });
        assert!(poisoned.is_err());
        let deadline = Instant::now() + Duration::from_secs(10);
        let refused = (0..).find_map(|number| {
            assert!(Instant::now() < deadline, "{sync:?}: appends go on");
            block_on(log.append(body(number))).err()
        });
        assert!(matches!(refused, Some(AuditError::Unwritable(_))), "{sync:?}: {refused:?}");
        assert!(log.health().failure.unwrap().contains("panicked"));
        let closed = block_on(log.close(Timestamp::from_millis(0)));
        assert!(matches!(closed, Err(AuditError::Unwritable(_))), "{sync:?}: {closed:?}");
    }
}
