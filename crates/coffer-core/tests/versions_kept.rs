//! How many versions a secret keeps: the clock, the labels and the commit that takes versions away.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]

use coffer_core::Error;
use coffer_store::{KeyRange, Order};
use coffer_testkit::World;
use futures_executor::block_on;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A secret with versions 1 to `count`.
fn world_with(count: u64) -> World {
    let world = World::new();
    world.create("s", 1, Some("v1")).unwrap();
    (2..=count).for_each(|number| drop(world.put("s", number, &format!("v{number}"), None).unwrap()));
    world
}

fn ordinals(world: &World) -> Vec<u64> {
    world.versions("s", 100).unwrap().iter().map(|version| version.ordinal).collect()
}

#[test]
fn none_goes_that_is_younger_than_a_day() {
    let world = world_with(131);
    assert_eq!(ordinals(&world), (1..=131).collect::<Vec<_>>());
    world.clock.advance_millis(DAY_MILLIS - 1);
    world.put("s", 132, "v132", None).unwrap();
    assert_eq!(ordinals(&world).len(), 132);
}

#[test]
fn the_oldest_go_a_few_with_each_write_until_a_hundred_are_left() {
    let world = world_with(131);
    world.clock.advance_millis(DAY_MILLIS);
    assert_eq!(ordinals(&world).len(), 131, "only a write takes any away");
    for (number, first_left) in [(132, 21), (133, 34), (134, 35), (135, 36)] {
        world.put("s", number, "more", None).unwrap();
        assert_eq!(ordinals(&world), (first_left..=number).collect::<Vec<_>>());
    }
    assert!(matches!(world.get("s", Some(1), None), Err(Error::ValueNotFound(_))));
    assert_eq!(world.get("s", Some(36), None).unwrap(), "v36");
    assert_eq!(world.get("s", None, Some("AWSPREVIOUS")).unwrap(), "more");
}

#[test]
fn a_hundred_versions_stay_however_old_they_are() {
    let world = world_with(99);
    world.clock.advance_millis(400 * DAY_MILLIS);
    world.put("s", 100, "more", None).unwrap();
    assert_eq!(ordinals(&world).len(), 100);
    world.put("s", 101, "more", None).unwrap();
    assert_eq!(ordinals(&world), (2..=101).collect::<Vec<_>>());
}

#[test]
fn a_version_with_a_label_stays_wherever_it_stands() {
    let world = world_with(110);
    world.move_stage("s", "keep", None, Some(2)).unwrap();
    world.move_stage("s", "AWSCURRENT", Some(110), Some(5)).unwrap();
    world.clock.advance_millis(2 * DAY_MILLIS);
    world.put("s", 111, "w", Some(&["new"])).unwrap();
    let left = ordinals(&world);
    assert_eq!(left.len(), 100);
    assert_eq!(left[..4], [2, 5, 14, 15]);
    assert_eq!(world.get("s", None, None).unwrap(), "v5");
    assert_eq!(world.get("s", None, Some("keep")).unwrap(), "v2");
    // A version that loses its label is the next to go.
    world.move_stage("s", "keep", Some(2), None).unwrap();
    assert_eq!(ordinals(&world).len(), 100);
    world.put("s", 112, "x", Some(&["new"])).unwrap();
    assert_eq!(ordinals(&world)[..2], [5, 14]);
}

#[test]
fn the_same_request_again_takes_nothing_away() {
    let world = world_with(120);
    world.clock.advance_millis(2 * DAY_MILLIS);
    world.put("s", 120, "v120", None).unwrap();
    assert_eq!(ordinals(&world).len(), 120);
}

#[test]
fn an_id_that_is_gone_can_be_used_again() {
    let world = world_with(101);
    world.clock.advance_millis(2 * DAY_MILLIS);
    world.put("s", 102, "more", None).unwrap();
    assert!(world.get("s", Some(1), None).is_err());
    world.put("s", 1, "again", None).unwrap();
    assert_eq!(world.get("s", Some(1), None).unwrap(), "again");
}

#[test]
fn what_goes_leaves_nothing_behind() {
    let world = world_with(110);
    (1..=110).for_each(|number| drop(world.get("s", Some(number), None).unwrap()));
    block_on(world.core.leave()).unwrap();
    world.clock.advance_millis(2 * DAY_MILLIS);
    world.put("s", 111, "more", None).unwrap();
    let count = |letter: u8| {
        let snapshot = block_on(world.store.snapshot()).unwrap();
        block_on(snapshot.range(KeyRange::prefix(vec![letter, 0]), Order::Ascending, 1000)).unwrap().len()
    };
    // 99 of those that were read are left; the day of the secret itself is one more.
    assert_eq!([b'v', b'i', b'l'].map(count), [100, 100, 100]);
}
