//! What core tells of itself is so.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]

use std::sync::Arc;

use coffer_core::StartError;
use coffer_store::{Fault, FaultyStore, MemoryStore};
use coffer_testkit::{FailingLog, Ground, World};
use futures_executor::block_on;

fn undrained(world: &World) -> Option<u64> {
    block_on(world.core.metrics()).outbox
}

fn make_secrets(world: &World, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| drop(world.create(&format!("s{number}"), number, None).unwrap()));
}

#[test]
fn the_outbox_counts_records_that_are_not_in_the_log_yet() {
    let world = World::new();
    block_on(world.core.maintain());
    assert_eq!(undrained(&world), Some(0), "what founds a store is drained too");
    make_secrets(&world, 0..3);
    assert_eq!(undrained(&world), Some(3));
    world.describe("s0").unwrap();
    assert_eq!(undrained(&world), Some(3), "a read stages nothing");
    block_on(world.core.maintain());
    assert_eq!(undrained(&world), Some(0));
    make_secrets(&world, 3..5);
    assert_eq!(undrained(&world), Some(2), "not how many there ever were");
}

/// More than is read of the outbox at a time.
#[test]
fn the_outbox_is_counted_to_its_end() {
    let world = World::new();
    block_on(world.core.maintain());
    make_secrets(&world, 0..600);
    assert_eq!(undrained(&world), Some(600));
}

#[test]
fn what_an_earlier_run_left_in_the_outbox_is_counted_until_it_is_drained() {
    let mut ground = Ground::new(Arc::new(MemoryStore::new()), 1).found().unwrap().into_ground();
    let log = Arc::new(FailingLog::new(Arc::clone(&ground.log)));
    ground.sink = Some(Arc::clone(&log) as _);
    let world = ground.open().unwrap();
    make_secrets(&world, 0..3);
    log.fail_after(0);
    block_on(world.core.maintain());
    assert_eq!(undrained(&world), Some(3), "the log takes none");
    let ground = world.into_ground();
    assert!(matches!(ground.clone().open().err(), Some(StartError::Record(_))), "nor at a start");
    log.heal();
    let world = ground.open().unwrap();
    assert_eq!(undrained(&world), Some(0), "drained by the start");
    make_secrets(&world, 3..4);
    assert_eq!(undrained(&world), Some(1));
}

#[test]
fn a_change_that_never_landed_leaves_nothing_to_drain() {
    let mut ground = Ground::new(Arc::new(MemoryStore::new()), 1).found().unwrap().into_ground();
    let store = Arc::new(FaultyStore::new(Arc::clone(&ground.store)));
    ground.store = Arc::clone(&store) as _;
    let world = ground.open().unwrap();
    block_on(world.core.maintain());
    store.inject([Fault::RequestLost]);
    assert!(world.create("s", 1, None).is_err());
    assert_eq!(undrained(&world), Some(0), "a tombstone is no record");
    store.fail_snapshots(usize::MAX);
    assert_eq!(undrained(&world), None, "not 0: nobody knows");
}
