//! The suite that every store must pass, whatever it is made of.
//!
//! For tests only; I/O is the store's. A crate that holds a store writes `conformance_tests!(factory)` in a test
//! module, where the factory makes an empty store; each fact below becomes a test of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_executor::block_on;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{
    CHANGE_BYTES_MAX, CHANGE_OPERATIONS_MAX, Change, CommitError, Entry, Guard, KeyRange, Order, Revision,
    Snapshot, Store, StoreError, Watch, WatchEvent, Write,
};

/// Makes an empty store.
pub type Factory<'a> = &'a dyn Fn() -> Arc<dyn Store>;

/// Makes a test of each fact, over the stores that a closure makes.
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr) => {
        $crate::conformance_tests!($factory;
            a_new_store_is_empty_at_revision_zero, what_is_put_is_read, guards_hold_or_conflict,
            a_conflict_changes_nothing, every_change_has_a_revision_of_its_own,
            deleting_an_absent_key_is_no_error, limits_are_enforced, a_key_is_written_once_in_a_change,
            a_snapshot_never_changes, ranges_answer_as_their_bounds_say,
            a_change_whose_future_is_dropped_still_lands, a_watch_tells_changes_in_order,
            a_watch_waits_and_is_woken, a_watch_too_far_back_is_told_to_reload, a_compacted_watch_goes_on,
            writers_at_once_lose_nothing, writers_at_once_see_each_other_through_guards,
            it_agrees_with_a_plain_map);
    };
    ($factory:expr; $($fact:ident),+) => {
        $(#[test]
        fn $fact() {
            $crate::conformance::$fact(&|| {
                let store: ::std::sync::Arc<dyn $crate::Store> = $factory();
                store
            });
        })+
    };
}

/// Zero is the empty store.
pub fn a_new_store_is_empty_at_revision_zero(make: Factory<'_>) {
    let store = make();
    assert_eq!(snapshot(&*store).revision(), Revision(0));
    assert_eq!(all(&*store), []);
    assert_eq!(get(&*store, b""), None);
}

/// Values of any bytes, keys of any bytes, the empty ones too.
pub fn what_is_put_is_read(make: Factory<'_>) {
    let store = make();
    for (key, value) in [(&b"k"[..], &b"v"[..]), (b"", b"empty key"), (b"\0", b""), (b"\xff\xff", b"\0\xff")]
    {
        let revision = commit(&*store, [], [put(key, value)]).expect("a put commits");
        let entry = get(&*store, key).expect("the key exists");
        assert_eq!(entry, Entry { key: bytes(key), value: bytes(value), revision });
    }
    let revision = commit(&*store, [], [put(b"k", b"new")]).expect("a put commits");
    assert_eq!(
        get(&*store, b"k").map(|entry| (entry.value, entry.revision)),
        Some((bytes(b"new"), revision))
    );
    commit(&*store, [], [delete(b"k")]).expect("a delete commits");
    assert_eq!(get(&*store, b"k"), None);
}

/// The table of guards: on a key that exists, that has been written again, that is gone, that never was.
pub fn guards_hold_or_conflict(make: Factory<'_>) {
    let store = make();
    let old = commit(&*store, [], [put(b"twice", b"1"), put(b"gone", b"1")]).expect("a put commits");
    let new = commit(&*store, [], [put(b"twice", b"2"), put(b"once", b"1")]).expect("a put commits");
    let last = commit(&*store, [], [delete(b"gone")]).expect("a delete commits");
    let facts = [
        (vec![], true),
        (vec![at(b"once", new)], true),
        (vec![at(b"twice", new)], true),
        (vec![at(b"twice", old)], false),
        (vec![at(b"twice", last)], false),
        (vec![at(b"twice", Revision(0))], false),
        (vec![absent(b"twice")], false),
        (vec![at(b"gone", old)], false),
        (vec![at(b"gone", last)], false),
        (vec![absent(b"gone")], true),
        (vec![at(b"never", Revision(0))], false),
        (vec![absent(b"never")], true),
        (vec![at(b"once", new), at(b"twice", new), absent(b"never")], true),
        (vec![at(b"once", new), at(b"twice", old), absent(b"never")], false),
        (vec![at(b"once", new), absent(b"once")], false),
    ];
    for (guards, holds) in facts {
        let answer = commit(&*store, guards.clone(), [put(b"other", b"")]);
        match answer {
            Ok(_) => assert!(holds, "{guards:?}"),
            Err(CommitError::Conflict) => assert!(!holds, "{guards:?}"),
            Err(error) => panic!("{guards:?}: {error}"),
        }
    }
    // A guard on a key that the change itself writes looks at what was there before.
    commit(&*store, [at(b"once", new)], [put(b"once", b"2")]).expect("the guard holds");
    assert!(matches!(commit(&*store, [at(b"once", new)], [put(b"once", b"3")]), Err(CommitError::Conflict)));
    commit(&*store, [absent(b"fresh")], [put(b"fresh", b"1")]).expect("the guard holds");
    assert!(matches!(commit(&*store, [absent(b"fresh")], [put(b"fresh", b"2")]), Err(CommitError::Conflict)));
}

/// All or nothing.
pub fn a_conflict_changes_nothing(make: Factory<'_>) {
    let store = make();
    commit(&*store, [], [put(b"a", b"1"), put(b"b", b"1")]).expect("a put commits");
    let (revision, before) = (snapshot(&*store).revision(), all(&*store));
    let writes = [put(b"a", b"2"), delete(b"b"), put(b"c", b"2")];
    assert!(matches!(commit(&*store, [absent(b"a")], writes), Err(CommitError::Conflict)));
    assert_eq!(all(&*store), before);
    assert_eq!(snapshot(&*store).revision(), revision);
}

/// Revisions ascend; a change has one for all its writes; a change of guards alone has one too.
pub fn every_change_has_a_revision_of_its_own(make: Factory<'_>) {
    let store = make();
    let mut last = Revision(0);
    let changes: [&[Write]; 5] =
        [&[put(b"a", b"")], &[put(b"a", b"")], &[], &[delete(b"never")], &[put(b"b", b""), put(b"c", b"")]];
    for writes in changes {
        let revision = commit(&*store, [], writes.to_vec()).expect("it commits");
        assert!(revision > last, "{revision:?} after {last:?}");
        assert_eq!(snapshot(&*store).revision(), revision);
        last = revision;
    }
    let revisions: Vec<Revision> = all(&*store).into_iter().map(|entry| entry.revision).collect();
    assert_eq!(revisions, [Revision(last.0 - 3), last, last]);
}

/// As the name says; the other writes of the change happen.
pub fn deleting_an_absent_key_is_no_error(make: Factory<'_>) {
    let store = make();
    commit(&*store, [], [delete(b"a"), put(b"b", b"")]).expect("it commits");
    assert_eq!(get(&*store, b"a"), None);
    assert!(get(&*store, b"b").is_some());
}

/// The limits are met exactly; one more is too large, and certainly nothing happens.
pub fn limits_are_enforced(make: Factory<'_>) {
    let store = make();
    let puts = |count: usize| (0..count).map(|number| put(format!("{number:04}").as_bytes(), b"")).collect();
    let check = |change: Change, fits: bool| {
        let before = all(&*store);
        match block_on(store.commit(change)) {
            Ok(_) => assert!(fits),
            Err(CommitError::Determinate(StoreError::TooLarge)) => {
                assert!(!fits);
                assert_eq!(all(&*store), before);
            }
            Err(error) => panic!("{error}"),
        }
    };
    let operations = CHANGE_OPERATIONS_MAX;
    check(Change { guards: vec![], writes: puts(operations) }, true);
    check(Change { guards: vec![], writes: puts(operations + 1) }, false);
    check(Change { guards: vec![absent(b"x"); operations], writes: vec![] }, true);
    check(Change { guards: vec![absent(b"x"); operations], writes: puts(1) }, false);
    let value = |length| Change { guards: vec![], writes: vec![put(b"key", &vec![7; length])] };
    check(value(CHANGE_BYTES_MAX - 3), true);
    check(value(CHANGE_BYTES_MAX - 2), false);
    check(
        Change { guards: vec![absent(&vec![7; CHANGE_BYTES_MAX - 3])], writes: vec![delete(b"key")] },
        true,
    );
    check(
        Change { guards: vec![absent(&vec![7; CHANGE_BYTES_MAX - 2])], writes: vec![delete(b"key")] },
        false,
    );
    assert_eq!(all(&*store).len(), operations);
}

/// A second write of the same key is refused, and certainly nothing happens.
pub fn a_key_is_written_once_in_a_change(make: Factory<'_>) {
    let store = make();
    for twice in
        [[put(b"k", b"1"), put(b"k", b"2")], [put(b"k", b"1"), delete(b"k")], [delete(b"k"), delete(b"k")]]
    {
        let answer = commit(&*store, [], twice);
        assert!(matches!(answer, Err(CommitError::Determinate(StoreError::WrittenTwice))));
    }
    assert_eq!(snapshot(&*store).revision(), Revision(0));
}

/// A snapshot sees what was there when it was taken, whatever is committed later.
pub fn a_snapshot_never_changes(make: Factory<'_>) {
    let store = make();
    let key = |number: u32| format!("{number:04}").into_bytes();
    let mut kept: Vec<(Box<dyn Snapshot>, Revision, Vec<Entry>)> = Vec::new();
    for round in 0..20_u32 {
        let writes = (0..40).map(|number| match (number + round) % 5 {
            0 => delete(&key(number * 7 % 300)),
            _ => put(&key(number * 7 % 300 + round), &round.to_be_bytes()),
        });
        let writes: BTreeMap<Bytes, Write> = writes.map(|write| (write.key().clone(), write)).collect();
        let revision = commit(&*store, [], writes.into_values()).expect("it commits");
        kept.push((snapshot(&*store), revision, all(&*store)));
    }
    for (snapshot, revision, entries) in &kept {
        assert_eq!(snapshot.revision(), *revision);
        assert_eq!(
            &range(&**snapshot, KeyRange::prefix(Bytes::new()), Order::Ascending, usize::MAX),
            entries
        );
        for entry in entries {
            assert_eq!(block_on(snapshot.get(&entry.key)).expect("it reads").as_ref(), Some(entry));
        }
    }
}

/// The table of ranges, both ways, with limits and keys at the edges.
pub fn ranges_answer_as_their_bounds_say(make: Factory<'_>) {
    let store = make();
    let keys: [&[u8]; 10] =
        [b"", b"\0", b"a", b"a\0", b"a/1", b"a/2", b"a/\xff", b"a0", b"\xff", b"\xff\xff"];
    commit(&*store, [], keys.map(|key| put(key, key))).expect("it commits");
    let snapshot = snapshot(&*store);
    let check = |bounds: KeyRange, expected: &[&[u8]]| {
        for limit in [0, 1, 2, expected.len(), usize::MAX] {
            for order in [Order::Ascending, Order::Descending] {
                let found = range(&*snapshot, bounds.clone(), order, limit);
                let found: Vec<&[u8]> = found.iter().map(|entry| entry.key.as_ref()).collect();
                let mut expected = expected.to_vec();
                if order == Order::Descending {
                    expected.reverse();
                }
                expected.truncate(limit);
                assert_eq!(found, expected, "{bounds:?} {order:?} {limit}");
            }
        }
    };
    let between = |start: &[u8], end: &[u8]| KeyRange { start: bytes(start), end: Some(bytes(end)) };
    let from = |start: &[u8]| KeyRange { start: bytes(start), end: None };
    check(KeyRange::prefix(&b""[..]), &keys);
    check(KeyRange::prefix(&b"a"[..]), &[b"a", b"a\0", b"a/1", b"a/2", b"a/\xff", b"a0"]);
    check(KeyRange::prefix(&b"a/"[..]), &[b"a/1", b"a/2", b"a/\xff"]);
    check(KeyRange::prefix(&b"a/\xff"[..]), &[b"a/\xff"]);
    check(KeyRange::prefix(&b"\xff"[..]), &[b"\xff", b"\xff\xff"]);
    check(KeyRange::prefix(&b"\xff\xff"[..]), &[b"\xff\xff"]);
    check(KeyRange::prefix(&b"\xff\xff\xff"[..]), &[]);
    check(KeyRange::prefix(&b"b"[..]), &[]);
    check(from(b"a0"), &[b"a0", b"\xff", b"\xff\xff"]);
    check(from(b"a1"), &[b"\xff", b"\xff\xff"]);
    check(between(b"", b""), &[]);
    check(between(b"", b"\0"), &[b""]);
    check(between(b"a", b"a"), &[]);
    check(between(b"a0", b"a"), &[]);
    check(between(b"\xff\xff", b""), &[]);
    check(between(b"a", b"a/2"), &[b"a", b"a\0", b"a/1"]);
    check(between(b"a/1\0", b"a/2\0"), &[b"a/2"]);
}

/// A change is handed over before the first await; who hangs up does not take it back.
pub fn a_change_whose_future_is_dropped_still_lands(make: Factory<'_>) {
    let store = make();
    for number in 0..10_u8 {
        drop(store.commit(change([], [put(&[number], b"dropped")])));
    }
    // Changes land in the order they are handed over, so this one is after all of them.
    commit(&*store, [], [put(b"last", b"")]).expect("it commits");
    assert_eq!(all(&*store).len(), 11);
}

/// All changes to the prefix after `from`, in order, each once, and nothing else.
pub fn a_watch_tells_changes_in_order(make: Factory<'_>) {
    let store = make();
    let first = commit(&*store, [], [put(b"p/1", b"")]).expect("it commits");
    let second =
        commit(&*store, [], [put(b"p/2", b""), put(b"q/1", b""), delete(b"p/1")]).expect("it commits");
    commit(&*store, [], [put(b"q/2", b"")]).expect("it commits");
    commit(&*store, [], []).expect("it commits");
    let third = commit(&*store, [], [delete(b"p/never")]).expect("it commits");
    let check = |prefix: &[u8], from: Revision, expected: &[(Revision, &[&[u8]])]| {
        let mut watch = watch(&*store, prefix, from);
        for (revision, keys) in expected {
            let keys = keys.iter().map(|key| bytes(key)).collect();
            assert_eq!(sorted(next(&mut *watch)), WatchEvent::Changed { revision: *revision, keys });
        }
        assert!(is_waiting(&mut *watch));
    };
    let both: [&[u8]; 2] = [b"p/1", b"p/2"];
    check(b"p/", Revision(0), &[(first, &[b"p/1"]), (second, &both), (third, &[b"p/never"])]);
    check(b"p/", first, &[(second, &both), (third, &[b"p/never"])]);
    check(b"p/", second, &[(third, &[b"p/never"])]);
    check(b"p/", third, &[]);
    check(b"p/2", Revision(0), &[(second, &[b"p/2"])]);
    check(b"none", Revision(0), &[]);
    check(b"p/", Revision(third.0 + 100), &[]);
}

/// A watch with nothing to tell waits, and a commit of another thread wakes it; its snapshot shows the change.
pub fn a_watch_waits_and_is_woken(make: Factory<'_>) {
    let store = make();
    let mut watch = watch(&*store, b"p/", Revision(0));
    assert!(is_waiting(&mut *watch));
    let writer = std::thread::spawn({
        let store = Arc::clone(&store);
        move || {
            std::thread::sleep(Duration::from_millis(20));
            commit(&*store, [], [put(b"other", b"")]).expect("it commits");
            commit(&*store, [], [put(b"p/1", b"")]).expect("it commits")
        }
    });
    let event = next(&mut *watch);
    assert!(get(&*store, b"p/1").is_some(), "a change is told only once it can be seen");
    let revision = writer.join().expect("the writer ends");
    assert_eq!(event, WatchEvent::Changed { revision, keys: vec![bytes(b"p/1")] });
}

/// History is bounded: sooner or later a watch from the beginning is told to reload, and never misses silently.
pub fn a_watch_too_far_back_is_told_to_reload(make: Factory<'_>) {
    let store = make();
    compact_first_change(&*store);
    let mut watch = watch(&*store, b"nothing has this prefix", Revision(0));
    let now = snapshot(&*store).revision();
    assert_eq!(next(&mut *watch), WatchEvent::Compacted { revision: now });
}

/// After `Compacted`, a watch tells what comes next.
pub fn a_compacted_watch_goes_on(make: Factory<'_>) {
    let store = make();
    compact_first_change(&*store);
    let mut watch = watch(&*store, b"", Revision(0));
    let reload_at = snapshot(&*store).revision();
    assert_eq!(next(&mut *watch), WatchEvent::Compacted { revision: reload_at });
    assert!(is_waiting(&mut *watch));
    let revision = commit(&*store, [], [put(b"after", b"")]).expect("it commits");
    assert_eq!(next(&mut *watch), WatchEvent::Changed { revision, keys: vec![bytes(b"after")] });
}

/// Many writers, no guards: every change is there, each with a revision of its own, and a watch tells each once.
pub fn writers_at_once_lose_nothing(make: Factory<'_>) {
    const WRITERS: u8 = 8;
    const CHANGES: u8 = 25;
    let store = make();
    let mut watch = watch(&*store, b"", Revision(0));
    let mut committed: Vec<(Revision, Bytes)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = &*store;
                scope.spawn(move || {
                    let put_own = |number| {
                        let key = bytes(&[writer, number]);
                        let revision = commit(store, [], [put(&key, b"")]).expect("it commits");
                        let seen = get(store, &key).expect("acknowledged, so visible");
                        assert_eq!(seen.revision, revision);
                        (revision, key)
                    };
                    (0..CHANGES).map(put_own).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("the writer ends")).collect()
    });
    committed.sort();
    assert!(committed.is_sorted_by(|a, b| a.0 < b.0), "revisions are distinct");
    let stored = all(&*store).into_iter().map(|entry| (entry.revision, entry.key));
    assert_eq!(stored.collect::<std::collections::BTreeSet<_>>(), committed.iter().cloned().collect());
    for (revision, key) in committed {
        assert_eq!(next(&mut *watch), WatchEvent::Changed { revision, keys: vec![key] });
    }
}

/// Many writers count up one key by guarded changes: no count is lost.
pub fn writers_at_once_see_each_other_through_guards(make: Factory<'_>) {
    const WRITERS: u64 = 4;
    const COUNTS: u64 = 25;
    let store = make();
    let count_up = |store: &dyn Store| loop {
        let (guard, count) = match get(store, b"count") {
            Some(entry) => (at(b"count", entry.revision), number(&entry.value)),
            None => (absent(b"count"), 0),
        };
        match commit(store, [guard], [put(b"count", &(count + 1).to_be_bytes())]) {
            Ok(_) => break,
            Err(CommitError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..COUNTS).for_each(|_| count_up(&*store)));
        }
    });
    assert_eq!(get(&*store, b"count").map(|entry| number(&entry.value)), Some(WRITERS * COUNTS));
}

/// Random changes, some handed over together before any is awaited, against the naive model below.
pub fn it_agrees_with_a_plain_map(make: Factory<'_>) {
    let batches = prop::collection::vec(prop::collection::vec(any_step(), 1..5), 1..12);
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let agreed = TestRunner::new(config).run(&batches, |batches| {
        let store = make();
        let mut model = Model::default();
        let mut watch = watch(&*store, b"", Revision(0));
        for batch in batches {
            // The revisions that guards name are those of before the batch, so that some of them conflict.
            let seen = model.clone();
            let changes: Vec<Change> = batch.into_iter().map(|step| seen.change(step)).collect();
            let answers: Vec<_> = changes.iter().map(|change| store.commit(change.clone())).collect();
            for (change, answer) in changes.iter().zip(answers) {
                let expected = model.commit(change);
                prop_assert_eq!(block_on(answer).ok(), expected);
                let mut keys: Vec<Bytes> = change.writes.iter().map(|write| write.key().clone()).collect();
                keys.sort();
                if let (Some(revision), false) = (expected, keys.is_empty()) {
                    prop_assert_eq!(sorted(next(&mut *watch)), WatchEvent::Changed { revision, keys });
                }
            }
            prop_assert_eq!(snapshot(&*store).revision(), model.revision);
            prop_assert_eq!(all(&*store), model.entries());
        }
        Ok(())
    });
    if let Err(error) = agreed {
        panic!("{error}");
    }
}

/// What a store is, naively.
#[derive(Clone, Default)]
struct Model {
    entries: BTreeMap<Bytes, (Bytes, Revision)>,
    revision: Revision,
}

/// A change before its guards know their revisions: key by number, what its guard expects, what it writes.
#[derive(Clone, Debug)]
struct Step(BTreeMap<u8, (Expectation, Option<Option<u8>>)>);

#[derive(Clone, Copy, Debug)]
enum Expectation {
    Nothing,
    AsSeen,
    Older,
}

fn any_step() -> impl Strategy<Value = Step> {
    let expectation = prop_oneof![4 => Just(Expectation::Nothing), 4 => Just(Expectation::AsSeen), 1 => Just(Expectation::Older)];
    prop::collection::btree_map(0..12_u8, (expectation, any::<Option<Option<u8>>>()), 0..5).prop_map(Step)
}

impl Model {
    fn change(&self, step: Step) -> Change {
        let mut change = Change::default();
        for (key, (expectation, write)) in step.0 {
            let key = bytes(&[key]);
            let revision = self.entries.get(&key).map(|(_, revision)| *revision);
            match (expectation, revision) {
                (Expectation::Nothing, _) => {}
                (Expectation::AsSeen, Some(revision)) => change.guards.push(Guard::At(key.clone(), revision)),
                (Expectation::AsSeen, None) => change.guards.push(Guard::Absent(key.clone())),
                (Expectation::Older, Some(revision)) => {
                    change.guards.push(Guard::At(key.clone(), Revision(revision.0 - 1)));
                }
                (Expectation::Older, None) => change.guards.push(Guard::At(key.clone(), self.revision)),
            }
            match write {
                Some(Some(value)) => change.writes.push(Write::Put(key, bytes(&[value]))),
                Some(None) => change.writes.push(Write::Delete(key)),
                None => {}
            }
        }
        change
    }

    fn commit(&mut self, change: &Change) -> Option<Revision> {
        let revision_of = |key: &Bytes| self.entries.get(key).map(|(_, revision)| *revision);
        let holds = change.guards.iter().all(|guard| match guard {
            Guard::At(key, revision) => revision_of(key) == Some(*revision),
            Guard::Absent(key) => revision_of(key).is_none(),
        });
        if !holds {
            return None;
        }
        self.revision.0 += 1;
        for write in &change.writes {
            match write {
                Write::Put(key, value) => self.entries.insert(key.clone(), (value.clone(), self.revision)),
                Write::Delete(key) => self.entries.remove(key),
            };
        }
        Some(self.revision)
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |(key, (value, revision)): (&Bytes, &(Bytes, Revision))| Entry {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        };
        self.entries.iter().map(entry).collect()
    }
}

/// Commits until the store no longer knows its first change.
fn compact_first_change(store: &dyn Store) {
    for _ in 0..100 {
        let answers: Vec<_> =
            (0..1000_u16).map(|number| store.commit(change([], [put(&number.to_be_bytes(), b"")]))).collect();
        for answer in answers {
            block_on(answer).expect("it commits");
        }
        if matches!(next(&mut *watch(store, b"", Revision(0))), WatchEvent::Compacted { .. }) {
            return;
        }
    }
    panic!("100,000 changes, and all are still known");
}

fn change(guards: impl IntoIterator<Item = Guard>, writes: impl IntoIterator<Item = Write>) -> Change {
    Change { guards: guards.into_iter().collect(), writes: writes.into_iter().collect() }
}

fn commit(
    store: &dyn Store,
    guards: impl IntoIterator<Item = Guard>,
    writes: impl IntoIterator<Item = Write>,
) -> Result<Revision, CommitError> {
    block_on(store.commit(change(guards, writes)))
}

fn snapshot(store: &dyn Store) -> Box<dyn Snapshot> {
    block_on(store.snapshot()).expect("a snapshot is taken")
}

fn get(store: &dyn Store, key: &[u8]) -> Option<Entry> {
    block_on(snapshot(store).get(key)).expect("it reads")
}

fn range(snapshot: &dyn Snapshot, range: KeyRange, order: Order, limit: usize) -> Vec<Entry> {
    block_on(snapshot.range(range, order, limit)).expect("it reads")
}

fn all(store: &dyn Store) -> Vec<Entry> {
    range(&*snapshot(store), KeyRange::prefix(Bytes::new()), Order::Ascending, usize::MAX)
}

fn watch(store: &dyn Store, prefix: &[u8], from: Revision) -> Box<dyn Watch> {
    block_on(store.watch(bytes(prefix), from)).expect("it watches")
}

fn next(watch: &mut dyn Watch) -> WatchEvent {
    block_on(watch.next()).expect("the watch goes on")
}

fn is_waiting(watch: &mut dyn Watch) -> bool {
    pin!(watch.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// The keys of an event are in no promised order.
fn sorted(event: WatchEvent) -> WatchEvent {
    match event {
        WatchEvent::Changed { revision, mut keys } => {
            keys.sort();
            WatchEvent::Changed { revision, keys }
        }
        WatchEvent::Compacted { revision } => WatchEvent::Compacted { revision },
    }
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().expect("eight bytes"))
}

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put(bytes(key), bytes(value))
}

fn delete(key: &[u8]) -> Write {
    Write::Delete(bytes(key))
}

fn at(key: &[u8], revision: Revision) -> Guard {
    Guard::At(bytes(key), revision)
}

fn absent(key: &[u8]) -> Guard {
    Guard::Absent(bytes(key))
}
