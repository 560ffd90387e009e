//! The day of the last read: when it is told, when it is written, and that it goes with its secret.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]

use coffer_core::ops::secrets::{ListSecrets, SortBy};
use coffer_store::{KeyRange, Order};
use coffer_testkit::World;
use coffer_types::Timestamp;
use futures_executor::block_on;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The first moment of the day of the world's clock.
fn today(world: &World) -> Timestamp {
    let now = world.core.now().as_millis();
    Timestamp::from_millis(now - now.rem_euclid(DAY_MILLIS))
}

fn last_read(world: &World, name: &str) -> Option<Timestamp> {
    world.describe(name).unwrap().last_accessed
}

fn versions_read(world: &World, name: &str) -> Vec<Option<Timestamp>> {
    world.versions(name, 100).unwrap().iter().map(|version| version.last_accessed).collect()
}

fn maintain(world: &World) {
    block_on(world.core.maintain());
}

/// The store's revision, and how many days of reads it holds.
fn stored(world: &World) -> (u64, usize) {
    let snapshot = block_on(world.store.snapshot()).unwrap();
    let days = block_on(snapshot.range(KeyRange::prefix(b"l\0".to_vec()), Order::Ascending, 10_000)).unwrap();
    (snapshot.revision().0, days.len())
}

#[test]
fn a_read_is_told_by_its_day_and_only_of_what_was_read() {
    let world = World::new();
    world.create("s", 1, Some("one")).unwrap();
    world.put("s", 2, "two", None).unwrap();
    world.create("other", 3, Some("v")).unwrap();
    assert_eq!((last_read(&world, "s"), versions_read(&world, "s")), (None, vec![None, None]));
    let first = today(&world);
    world.get("s", None, None).unwrap();
    assert_eq!((last_read(&world, "s"), versions_read(&world, "s")), (Some(first), vec![None, Some(first)]));
    assert_eq!(last_read(&world, "other"), None);
    world.clock.advance_millis(3 * DAY_MILLIS);
    let later = today(&world);
    world.get("s", Some(1), None).unwrap();
    assert_eq!(
        (last_read(&world, "s"), versions_read(&world, "s")),
        (Some(later), vec![Some(later), Some(first)])
    );
}

#[test]
fn what_is_refused_or_no_read_is_not_told() {
    let world = World::new();
    world.create("s", 1, Some("one")).unwrap();
    let get = coffer_testkit::shorthand::get("s", None, None);
    assert!(block_on(world.core.execute(&world.nobody(), get)).is_err());
    assert!(world.get("s", Some(1), Some("AWSPREVIOUS")).is_err());
    world.describe("s").unwrap();
    world.secrets(10).unwrap();
    world.put("s", 2, "two", None).unwrap();
    assert_eq!(last_read(&world, "s"), None);
}

#[test]
fn a_read_writes_nothing_until_a_minute_has_passed_and_then_once_a_day() {
    let world = World::new();
    world.create("s", 1, Some("one")).unwrap();
    maintain(&world);
    let before = stored(&world);
    world.get("s", None, None).unwrap();
    assert_eq!(stored(&world), before, "a read is never a write");
    world.clock.advance_millis(61_000);
    maintain(&world);
    let (revision, days) = stored(&world);
    assert_eq!(days, 2, "the secret's and the version's");
    // Until the next day, reads write nothing more, though the records about them move the log's checkpoint.
    (0..100).for_each(|_| drop(world.get("s", None, None).unwrap()));
    world.clock.advance_millis(61_000);
    maintain(&world);
    let day_of = |world: &World| {
        let snapshot = block_on(world.store.snapshot()).unwrap();
        let days = block_on(snapshot.range(KeyRange::prefix(b"l\0".to_vec()), Order::Ascending, 10)).unwrap();
        days.iter().map(|entry| entry.revision.0).max().unwrap()
    };
    assert!(day_of(&world) <= revision);
    world.clock.advance_millis(DAY_MILLIS);
    world.get("s", None, None).unwrap();
    maintain(&world);
    assert!(day_of(&world) > revision);
}

#[test]
fn what_was_noted_is_written_at_the_end_and_lost_in_a_crash() {
    let world = World::new();
    world.create("s", 1, Some("one")).unwrap();
    world.get("s", None, None).unwrap();
    let crashed = world.reopen().unwrap();
    assert_eq!(last_read(&crashed, "s"), None);
    crashed.get("s", None, None).unwrap();
    block_on(crashed.core.leave()).unwrap();
    let opened = crashed.reopen().unwrap();
    assert_eq!(last_read(&opened, "s"), Some(today(&opened)));
    // A clock that goes back takes no day back.
    let read = today(&opened);
    opened.clock.advance_millis(-5 * DAY_MILLIS);
    opened.get("s", None, None).unwrap();
    block_on(opened.core.leave()).unwrap();
    assert_eq!(last_read(&opened.reopen().unwrap(), "s"), Some(read));
}

#[test]
fn the_days_go_with_the_secret() {
    let world = World::new();
    for name in ["gone", "gone before it was written", "kept"] {
        let name = name.replace(' ', "-");
        world.create(&name, 1, Some("one")).unwrap();
        world.put(&name, 2, "two", None).unwrap();
    }
    let read = |name: &str| [1, 2].map(|version| drop(world.get(name, Some(version), None).unwrap()));
    read("gone");
    read("kept");
    world.clock.advance_millis(61_000);
    maintain(&world);
    assert_eq!(stored(&world).1, 6);
    read("gone-before-it-was-written");
    world.delete("gone", true).unwrap();
    world.delete("gone-before-it-was-written", true).unwrap();
    for _ in 0..20 {
        world.clock.advance_millis(61_000);
        maintain(&world);
    }
    assert_eq!(stored(&world).1, 3);
    assert_eq!(last_read(&world, "kept"), Some(today(&world)));
}

#[test]
fn reads_of_many_secrets_are_written_a_batch_at_a_time() {
    let world = World::new();
    for number in 0..400 {
        world.create(&format!("s{number}"), number, Some("v")).unwrap();
        world.get(&format!("s{number}"), None, None).unwrap();
    }
    world.clock.advance_millis(61_000);
    maintain(&world);
    let first_round = stored(&world).1;
    assert!(0 < first_round && first_round < 800, "{first_round}");
    (0..5).for_each(|_| maintain(&world));
    assert_eq!(stored(&world).1, 800);
}

#[test]
fn secrets_are_listed_by_when_they_were_read() {
    let world = World::new();
    for name in ["a", "b", "c", "d"] {
        world.create(name, 1, Some("v")).unwrap();
    }
    for name in ["c", "a"] {
        world.get(name, None, None).unwrap();
        world.clock.advance_millis(DAY_MILLIS);
    }
    maintain(&world);
    world.get("b", None, None).unwrap();
    for descending in [false, true] {
        let (mut names, mut next_token) = (Vec::new(), None);
        loop {
            let sort_by = SortBy::LastAccessedDate;
            let list = ListSecrets { sort_by, descending, max_results: 2, next_token, ..Default::default() };
            let page = world.run(list).unwrap();
            names.extend(page.secrets.iter().map(|secret| secret.arn.name.to_string()));
            next_token = page.next_token;
            if next_token.is_none() {
                break;
            }
        }
        assert_eq!(names, if descending { ["b", "a", "c", "d"] } else { ["d", "c", "a", "b"] });
    }
}
