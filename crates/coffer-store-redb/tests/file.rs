//! The file: its mode, its lock, its format number, its end; and what happens when it fails.

#![allow(clippy::unwrap_used, reason = "a test, and its helpers too")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use coffer_store::{Change, CommitError, Revision, Store, StoreError, WatchEvent, Write};
use coffer_store_redb::{OpenError, RedbOptions, RedbStore};
use common::PowerCut;
use futures_executor::block_on;
use redb::{Database, TableDefinition};

fn put(key: &'static str) -> Change {
    Change { guards: vec![], writes: vec![Write::Put(Bytes::from_static(key.as_bytes()), Bytes::new())] }
}

fn create(path: &Path) -> RedbStore {
    RedbStore::create(path, RedbOptions::default()).unwrap()
}

fn open_error(path: &Path) -> OpenError {
    RedbStore::open(path, RedbOptions::default()).err().unwrap()
}

#[test]
fn it_is_made_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = create(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    store.close().unwrap();
}

#[test]
fn it_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(create(&path));
    assert!(matches!(RedbStore::create(&path, RedbOptions::default()), Err(OpenError::Exists(_))));
}

#[test]
fn the_draft_of_a_crash_is_no_obstacle() {
    let whole = tempfile::NamedTempFile::new().unwrap();
    std::fs::remove_file(whole.path()).unwrap();
    drop(create(whole.path()));
    let whole = std::fs::read(whole.path()).unwrap();
    let torn = [&whole[..512], &vec![0; whole.len() - 512]].concat();
    for draft in [Vec::new(), vec![0; 4096], vec![0x5a; 100_000], torn, whole] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        std::fs::write(folder.path().join("store.new"), draft).unwrap();
        let store = create(&path);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(block_on(store.commit(put("k"))).unwrap(), Revision(1));
    }
}

#[test]
fn two_who_make_it_at_once_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let made = std::thread::scope(|scope| {
        let makers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| RedbStore::create(&path, RedbOptions::default()))).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).filter(Result::is_ok).count()
    });
    assert_eq!(made, 1);
    assert!(RedbStore::open(&path, RedbOptions::default()).is_ok());
}

#[test]
fn what_is_no_store_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(matches!(open_error(&path("none")), OpenError::NotFound(_)));
    for (name, content) in
        [("empty", Vec::new()), ("text", b"hello".to_vec()), ("noise", vec![0x5a; 100_000])]
    {
        std::fs::write(path(name), content).unwrap();
        assert!(matches!(open_error(&path(name)), OpenError::NotAStore), "{name}");
    }
    let database = Database::create(path("other")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("other")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(open_error(&path("other")), OpenError::NotAStore));
}

#[test]
fn a_newer_format_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(create(&path));
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open_error(&path);
    assert!(matches!(error, OpenError::NewerFormat { found: 2, known: 1 }));
    assert_eq!(
        error.to_string(),
        "the store has format 2, and this coffer knows formats up to 1: use a newer coffer"
    );
}

#[test]
fn it_is_locked_while_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = create(&path);
    assert!(matches!(open_error(&path), OpenError::Locked));
    store.close().unwrap();
    assert!(RedbStore::open(&path, RedbOptions::default()).is_ok());
}

#[test]
fn it_goes_on_where_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = create(&path);
    for number in 1..=3 {
        assert_eq!(block_on(store.commit(put("k"))).unwrap(), Revision(number));
    }
    drop(store);
    let store = RedbStore::open(&path, RedbOptions::default()).unwrap();
    assert_eq!(block_on(store.snapshot()).unwrap().revision(), Revision(3));
    let mut behind = block_on(store.watch(Bytes::new(), Revision(2))).unwrap();
    assert_eq!(block_on(behind.next()).unwrap(), WatchEvent::Compacted { revision: Revision(3) });
    let mut level = block_on(store.watch(Bytes::new(), Revision(3))).unwrap();
    assert_eq!(block_on(store.commit(put("k"))).unwrap(), Revision(4));
    assert!(matches!(block_on(level.next()).unwrap(), WatchEvent::Changed { revision: Revision(4), .. }));
}

#[test]
fn closing_lands_what_was_handed_over_and_ends_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = create(&path);
    let snapshot = block_on(store.snapshot()).unwrap();
    let mut watch = block_on(store.watch(Bytes::new(), Revision(100))).unwrap();
    let answers: Vec<_> = (0..50).map(|_| store.commit(put("k"))).collect();
    store.close().unwrap();
    for (number, answer) in (1..).zip(answers) {
        assert_eq!(block_on(answer).unwrap(), Revision(number));
    }
    store.close().unwrap();
    let answer = block_on(store.commit(put("k")));
    assert!(matches!(answer, Err(CommitError::Determinate(StoreError::Closed))));
    assert!(matches!(block_on(store.snapshot()), Err(StoreError::Closed)));
    assert!(matches!(block_on(watch.next()), Err(StoreError::Closed)));
    // What a snapshot has in memory it may still answer; it never fails in another way.
    assert!(matches!(block_on(snapshot.get(b"k")), Ok(None) | Err(StoreError::Closed)));
}

#[test]
fn a_conflict_does_not_fail_its_batch() {
    let store =
        RedbStore::open_with_backend(PowerCut::new(Vec::new(), None), RedbOptions::default()).unwrap();
    let create = |key: &'static str| {
        let Change { writes, .. } = put(key);
        Change { guards: vec![coffer_store::Guard::Absent(Bytes::from_static(key.as_bytes()))], writes }
    };
    let answers = ["a", "a", "b", "a", "c"].map(|key| store.commit(create(key)));
    let answers = answers.map(|answer| block_on(answer).map_err(|error| error.to_string()));
    let conflict = || Err("a record changed in the meantime".to_owned());
    assert_eq!(answers, [Ok(Revision(1)), conflict(), Ok(Revision(2)), conflict(), Ok(Revision(3))]);
}

#[test]
fn a_file_that_fails_stops_everything_once() {
    // Wherever in a commit the file fails, the action is called once and no answer is `Ok` after it.
    for steps in 0..12 {
        let calls = Arc::new(AtomicUsize::new(0));
        let on_fatal = {
            let calls = Arc::clone(&calls);
            Arc::new(move |_: &(dyn std::error::Error + 'static)| {
                calls.fetch_add(1, Ordering::SeqCst);
            })
        };
        let options = RedbOptions { on_fatal, ..RedbOptions::default() };
        let whole = PowerCut::new(Vec::new(), None);
        drop(RedbStore::open_with_backend(whole.clone(), options.clone()).unwrap());
        let disk = PowerCut::new(Vec::new(), Some(whole.steps() + steps));
        let store = RedbStore::open_with_backend(disk, options).unwrap();
        let answers: Vec<_> = (0..20).map(|_| block_on(store.commit(put("k")))).collect();
        let first_failure = answers.iter().position(Result::is_err).unwrap();
        for answer in &answers[first_failure + 1..] {
            assert!(matches!(answer, Err(CommitError::Determinate(StoreError::Closed))), "{answer:?}");
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert!(matches!(block_on(store.snapshot()), Err(StoreError::Closed)));
    }
}

#[test]
#[ignore = "started by the test below, because it aborts its process"]
fn a_process_whose_file_fails() {
    let whole = PowerCut::new(Vec::new(), None);
    drop(RedbStore::open_with_backend(whole.clone(), RedbOptions::default()).unwrap());
    let disk = PowerCut::new(Vec::new(), Some(whole.steps()));
    let store = RedbStore::open_with_backend(disk, RedbOptions::default()).unwrap();
    (0..20).for_each(|_| drop(block_on(store.commit(put("k")))));
}

#[test]
fn by_default_a_file_that_fails_aborts_the_process_with_one_line() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_whose_file_fails", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    assert_eq!(child.status.signal(), Some(6), "SIGABRT");
    let message = String::from_utf8(child.stderr).unwrap();
    assert_eq!(message, "error: the store's file failed, stopping at once: I/O error: the power is gone\n");
}
