//! A write that was allowed when it was decided, and is not any more when it reaches the store: the guard on the policy epoch.
//!
//! Another's change of access is done between a write's decision and its commit, each time, so that nothing is left to chance.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coffer_core::ops::iam::{
    AddUserToGroup, AttachPolicy, CreateGroup, CreateUser, DeleteInlinePolicy, DetachPolicy, OfGroup, OfUser,
    PutPolicy, RemoveUserFromGroup,
};
use coffer_core::{Error, Operation};
use coffer_store::{
    BoxFuture, Change, CommitError, MemoryStore, Revision, Snapshot, Store, StoreError, Watch,
};
use coffer_testkit::World;
use coffer_testkit::shorthand::{create, delete, put, tag, update};
use coffer_types::EntityName;
use futures_executor::block_on;

const ALL: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
const NONE: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}"#;

type Interruption = Box<dyn FnOnce() + Send>;

/// A store that lets something else happen before the next commit.
struct InterruptedStore {
    inner: Arc<MemoryStore>,
    next: Arc<Mutex<Option<Interruption>>>,
}

impl Store for InterruptedStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>> {
        self.inner.snapshot()
    }

    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>> {
        let (inner, next) = (Arc::clone(&self.inner), Arc::clone(&self.next));
        Box::pin(async move {
            let interruption = next.lock().unwrap().take();
            if let Some(interruption) = interruption {
                std::thread::spawn(interruption).join().unwrap();
            }
            inner.commit(change).await
        })
    }

    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        self.inner.watch(prefix, from)
    }
}

struct Race {
    world: Arc<World>,
    next: Arc<Mutex<Option<Interruption>>>,
}

impl Race {
    fn new() -> Self {
        let next = Arc::default();
        let store = InterruptedStore { inner: Arc::new(MemoryStore::new()), next: Arc::clone(&next) };
        Self { world: Arc::new(World::over(Arc::new(store), 1)), next }
    }

    /// What becomes of `nobody`'s operation if the administrator's is done just before its commit.
    fn run<O: Operation, I: Operation>(&self, operation: O, interruption: I) -> Result<O::Output, Error> {
        let world = Arc::clone(&self.world);
        *self.next.lock().unwrap() = Some(Box::new(move || world.run(interruption).map(drop).unwrap()));
        let outcome = block_on(self.world.core.execute(&self.world.nobody(), operation));
        assert!(self.next.lock().unwrap().is_none(), "it came to a commit, which was interrupted");
        outcome
    }
}

fn name(text: &str) -> EntityName {
    text.parse().unwrap()
}

fn allow(document: &str) -> PutPolicy<OfUser> {
    PutPolicy { holder: name("nobody"), name: name("p"), document: document.into(), kind: PhantomData }
}

fn take_away() -> DeleteInlinePolicy<OfUser> {
    DeleteInlinePolicy { holder: name("nobody"), name: name("p"), kind: PhantomData }
}

fn is_denied<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome.map(drop), Err(Error::Denied(_)))
}

#[test]
fn no_write_commits_under_a_policy_that_was_taken_away_meanwhile() {
    let race = Race::new();
    let world = &race.world;
    world.run(allow(ALL)).unwrap();
    world.create("s", 1, Some("v")).unwrap();
    macro_rules! denied {
        ($($operation:expr),* $(,)?) => {$(
            assert!(is_denied(race.run($operation, take_away())), "{}", stringify!($operation));
            world.run(allow(ALL)).unwrap();
        )*};
    }
    denied! {
        create("t", 2, Some("v")),
        put("s", 3, "w", None),
        update("s", Some("changed"), None),
        tag("s", &["k=v"]),
        delete("s", false),
        delete("s", true),
        CreateUser { name: name("mallory"), path: Default::default(), boundary: None, tags: Vec::new() },
    }
    // Nothing of it is there, and each try is in the log as what it came to.
    assert_eq!(world.secrets(10).unwrap().len(), 1);
    assert_eq!(world.get("s", None, None).unwrap(), "v");
    assert_eq!(world.describe("s").unwrap().description, None);
    let records = world.records();
    let of_nobody: Vec<_> = records.iter().filter(|record| record.contains("user/nobody\"")).collect();
    assert_eq!(of_nobody.iter().filter(|record| record.contains("AccessDenied")).count(), 7, "{of_nobody:?}");
}

#[test]
fn every_way_of_taking_away_counts() {
    let race = Race::new();
    let world = &race.world;
    let attached = || "arn:aws:iam::aws:policy/AdministratorAccess".parse().unwrap();
    let mut number = 1;
    let mut next = || {
        number += 1;
        create(&format!("s{number}"), number, Some("v"))
    };
    world.run(allow(ALL)).unwrap();
    assert!(is_denied(race.run(next(), allow(NONE))), "the policy is written anew");
    world.run(take_away()).unwrap();

    world
        .run(AttachPolicy::<OfUser> { holder: name("nobody"), policy: attached(), kind: PhantomData })
        .unwrap();
    let detach = DetachPolicy::<OfUser> { holder: name("nobody"), policy: attached(), kind: PhantomData };
    assert!(is_denied(race.run(next(), detach)), "a managed policy is detached");

    world.run(CreateGroup { name: name("team"), path: Default::default() }).unwrap();
    let group = |document: &str| PutPolicy::<OfGroup> {
        holder: name("team"),
        name: name("p"),
        document: document.into(),
        kind: PhantomData,
    };
    world.run(group(ALL)).unwrap();
    let join = || AddUserToGroup { group: name("team"), user: name("nobody") };
    world.run(join()).unwrap();
    let leave = RemoveUserFromGroup { group: name("team"), user: name("nobody") };
    assert!(is_denied(race.run(next(), leave)), "the user leaves the group");
    world.run(join()).unwrap();
    assert!(is_denied(race.run(next(), group(NONE))), "the group's policy is written anew");
    assert_eq!(world.secrets(10).unwrap().len(), 0);
}

#[test]
fn a_change_of_access_that_takes_nothing_away_stops_nobody() {
    let race = Race::new();
    race.world.run(allow(ALL)).unwrap();
    let other =
        CreateUser { name: name("other"), path: Default::default(), boundary: None, tags: Vec::new() };
    assert!(race.run(create("s", 1, Some("v")), other).is_ok());
    assert_eq!(race.world.get("s", None, None).unwrap(), "v");
}
