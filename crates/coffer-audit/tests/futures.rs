//! Futures that are dropped, held without being polled, or many: nobody waits for ever, nothing is lost.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use coffer_audit::fault::VolatileDisk;
use coffer_audit::{AuditError, AuditSink, FileLog, FileLogOptions, SyncMode};
use coffer_types::Timestamp;
use common::{body, key, open, options};
use futures_executor::block_on;

const INTERVAL: SyncMode = SyncMode::Interval(Duration::from_millis(20));

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Append<'a> = Pin<Box<dyn Future<Output = Result<(), AuditError>> + Send + 'a>>;

fn poll(append: &mut Append<'_>, counter: &Arc<Counter>) -> Poll<Result<(), AuditError>> {
    append.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(counter))))
}

fn wait_for(log: &FileLog, sequence: u64) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while log.health().synced.sequence < sequence {
        assert!(Instant::now() < deadline, "stuck at {:?}", log.health().written.sequence);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_first_poll_yields_once_and_the_second_writes_for_all() {
    let log = open(&VolatileDisk::new(), SyncMode::Interval(Duration::from_secs(60))).unwrap();
    let counter = Arc::new(Counter::default());
    let mut appends: Vec<Append<'_>> = (0..10).map(|number| log.append(body(number))).collect();
    for append in &mut appends {
        assert!(poll(append, &counter).is_pending());
    }
    assert_eq!(counter.0.load(Ordering::SeqCst), 10);
    assert_eq!(log.health().written.sequence, 0);
    assert!(poll(&mut appends[7], &counter).is_ready());
    assert_eq!(log.health().written.sequence, 10);
    assert!(appends.iter_mut().enumerate().all(|(at, append)| at == 7 || poll(append, &counter).is_ready()));
}

#[test]
fn whoever_is_alone_writes_at_once_but_looks_for_company_now_and_then() {
    let log = open(&VolatileDisk::new(), SyncMode::Interval(Duration::from_secs(60))).unwrap();
    let counter = Arc::new(Counter::default());
    let yields = |numbers: std::ops::Range<u64>| {
        let mut yields = 0;
        for number in numbers {
            let mut append = log.append(body(number));
            if poll(&mut append, &counter).is_pending() {
                yields += 1;
                assert!(poll(&mut append, &counter).is_ready());
            }
        }
        yields
    };
    assert_eq!(yields(0..4), 4);
    assert_eq!(yields(4..164), 10);
    // Company shows at the next look, and then everybody yields again.
    let mut number = 1000;
    let mut two = || {
        number += 2;
        let mut pair = [log.append(body(number)), log.append(body(number + 1))];
        let yielded = pair.each_mut().map(|append| poll(append, &counter).is_pending());
        assert!(
            pair.iter_mut()
                .zip(yielded)
                .all(|(append, yielded)| !yielded || poll(append, &counter).is_ready())
        );
        yielded == [true; 2]
    };
    assert!((0..16).any(|_| two()));
    assert!((0..16).all(|_| two()));
}

#[test]
fn committers_share_a_write_and_a_sync() {
    let disk = VolatileDisk::new();
    // So large that the next segment is not made yet.
    let options = FileLogOptions { segment_bytes: 1024 * 1024, ..options(SyncMode::Always) };
    let log = FileLog::open(Arc::new(disk.clone()), options, key(), None).unwrap();
    let counter = Arc::new(Counter::default());
    std::thread::sleep(Duration::from_millis(50));
    let before = disk.operations();
    let mut appends: Vec<Append<'_>> = (0..8).map(|number| log.append(body(number))).collect();
    assert!(appends.iter_mut().all(|append| poll(append, &counter).is_pending()));
    appends.into_iter().for_each(|append| block_on(append).unwrap());
    assert_eq!(disk.operations() - before, 2, "one write, one sync");
}

#[test]
fn a_dropped_future_leaves_its_record_and_no_one_stuck() {
    for sync in [SyncMode::Always, INTERVAL] {
        let log = open(&VolatileDisk::new(), sync).unwrap();
        let counter = Arc::new(Counter::default());
        let mut dropped = log.append(body(0));
        assert!(poll(&mut dropped, &counter).is_pending());
        drop(dropped);
        wait_for(&log, 1);
        // Never polled: never handed over.
        drop(log.append(body(1)));
        block_on(log.append(body(2))).unwrap();
        assert_eq!(log.health().written.sequence, 2);
    }
}

#[test]
fn a_future_that_is_held_and_never_polled_again_stops_nobody() {
    for sync in [SyncMode::Always, INTERVAL] {
        let log = open(&VolatileDisk::new(), sync).unwrap();
        let counter = Arc::new(Counter::default());
        let mut held: Vec<Append<'_>> = (0..5).map(|number| log.append(body(number))).collect();
        for append in &mut held {
            assert!(poll(append, &counter).is_pending());
        }
        wait_for(&log, 5);
        block_on(log.append(body(5))).unwrap();
        assert_eq!(log.verify(None, &key().public_key()).unwrap().records, 6);
    }
}

#[test]
fn futures_dropped_at_random_lose_nothing_that_was_handed_over() {
    let log = open(&VolatileDisk::new(), INTERVAL).unwrap();
    let handed_over = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (log, handed_over) = (&log, &handed_over);
            scope.spawn(move || {
                for number in 0..300 {
                    handed_over.fetch_add(1, Ordering::SeqCst);
                    let mut append = log.append(body(thread * 1000 + number));
                    let counter = Arc::new(Counter::default());
                    match number % 4 {
                        0 => drop(poll(&mut append, &counter)),
                        1 => {
                            let _ = poll(&mut append, &counter).is_pending()
                                && poll(&mut append, &counter).is_pending();
                        }
                        _ => block_on(append).unwrap(),
                    }
                }
            });
        }
    });
    wait_for(&log, handed_over.load(Ordering::SeqCst) as u64);
    assert_eq!(log.event_ids_after(0).unwrap().len(), 1200);
}

#[test]
fn a_full_buffer_makes_appends_wait_and_not_fail() {
    let small = FileLogOptions { buffer_bytes: 1500, unsynced_bytes: 3000, ..options(INTERVAL) };
    let log = FileLog::open(Arc::new(VolatileDisk::new()), small, key(), None).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6_u64 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..50 {
                    block_on(log.append(body(thread * 100 + number))).unwrap();
                }
            });
        }
    });
    let counter = Arc::new(Counter::default());
    let mut appends: Vec<Append<'_>> = (0..50).map(|number| log.append(body(1000 + number))).collect();
    for append in &mut appends {
        let _ = poll(append, &counter);
    }
    drop(appends);
    let head = block_on(log.append_synced((0..20).map(|number| body(2000 + number)).collect())).unwrap();
    assert!(head.sequence >= 320);
    log.verify(None, &key().public_key()).unwrap();
}

#[test]
fn a_closed_log_takes_no_more() {
    let disk = VolatileDisk::new();
    let log = open(&disk, INTERVAL).unwrap();
    for number in 0..30 {
        block_on(log.append(body(number))).unwrap();
    }
    let counter = Arc::new(Counter::default());
    let mut late = log.append_synced(vec![body(30)]);
    assert!(late.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&counter)))).is_pending());
    block_on(log.close(Timestamp::from_millis(common::START))).unwrap();
    block_on(log.close(Timestamp::from_millis(common::START))).unwrap();
    let late_outcome = late.as_mut().poll(&mut Context::from_waker(&Waker::from(counter)));
    assert!(matches!(late_outcome, Poll::Ready(Ok(_))));
    assert!(matches!(block_on(log.append(body(31))), Err(AuditError::Closed)));
    let verified = log.verify(None, &key().public_key()).unwrap();
    assert_eq!((verified.records, verified.digests), (31, verified.segments));
    drop(late);
    drop(log);

    let log = open(&disk, INTERVAL).unwrap();
    block_on(log.append(body(31))).unwrap();
    assert_eq!(log.health().written.sequence, 32);
    assert_eq!(log.event_ids_after(30).unwrap().len(), 2);
    assert_eq!(log.tail(3).unwrap().len(), 3);
}

#[test]
fn an_empty_log_opens_closes_and_opens() {
    let disk = VolatileDisk::new();
    for _ in 0..3 {
        let log = open(&disk, INTERVAL).unwrap();
        assert!(log.tail(5).unwrap().is_empty());
        assert_eq!(log.verify(None, &key().public_key()).unwrap().records, 0);
        block_on(log.close(Timestamp::from_millis(0))).unwrap();
    }
}
