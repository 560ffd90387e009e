//! Closing a log that is still busy.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod common;

use std::time::Duration;

use coffer_audit::fault::VolatileDisk;
use coffer_audit::{AuditError, AuditSink, SyncMode};
use coffer_types::Timestamp;
use common::{body, key, open};
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
