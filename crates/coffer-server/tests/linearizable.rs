//! Many callers on one secret, on both stores: what they were answered is checked against one caller at a time.
//!
//! A failure tells its seed, which says what each caller asks; how their calls meet is the machine's doing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};

use coffer_core::ops::secrets::{
    CreateSecret, DeleteSecret, DeletionMode, GetSecretValue, PutSecretValue, RestoreSecret,
    UpdateSecretVersionStage,
};
use coffer_core::{Error, Operation};
use coffer_crypto::Random;
use coffer_store::{MemoryStore, Store};
use coffer_store_redb::{RedbOptions, RedbStore};
use coffer_testkit::linearizability::{Call, Event, check};
use coffer_testkit::{SeededRandom, World, version_id};
use coffer_types::{SecretBytes, SecretId, SecretValue, VersionId};

const CLIENTS: u32 = 32;
const CALLS_OF_EACH: u32 = 5;

#[test]
fn in_memory() {
    for seed in 1..=12 {
        run(Arc::new(MemoryStore::new()), seed);
    }
}

#[test]
fn on_disk() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 1..=8 {
        let path = folder.path().join(format!("{seed}.redb"));
        let store = RedbStore::create(&path, RedbOptions::default()).unwrap();
        run(Arc::new(store), seed);
    }
}

fn run(store: Arc<dyn Store>, seed: u64) {
    let world = World::over(store, seed);
    world
        .run(CreateSecret {
            name: "app/db".parse().unwrap(),
            token: version_id(0),
            description: None,
            kms_key_id: None,
            value: Some(value(0)),
            tags: None,
        })
        .unwrap();
    let (clock, events, start) = (AtomicU64::new(0), Mutex::new(Vec::new()), Barrier::new(CLIENTS as usize));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (world, clock, events, start) = (&world, &clock, &events, &start);
            scope.spawn(move || {
                let random = SeededRandom::new(seed * 1000 + u64::from(client));
                let mut seen = 0;
                start.wait();
                for call in 0..CALLS_OF_EACH {
                    let begun = clock.fetch_add(1, Ordering::SeqCst);
                    // A number of its own for each version.
                    let call = act(world, &random, client * CALLS_OF_EACH + call + 1, &mut seen);
                    let ended = clock.fetch_add(1, Ordering::SeqCst);
                    if let Some(call) = call {
                        events.lock().unwrap().push(Event { call, begun, ended });
                    }
                }
            });
        }
    });
    let events = events.into_inner().unwrap();
    assert!(
        events.len() > (CLIENTS * CALLS_OF_EACH / 2) as usize,
        "most calls have an answer that tells something"
    );
    if let Err(error) = check(0, events) {
        panic!("seed {seed}: {error}");
    }
}

/// One call, chosen at random; `None` for one that tells nothing.
fn act(world: &World, random: &SeededRandom, number: u32, seen: &mut u32) -> Option<Call> {
    let mut choice = [0; 1];
    random.fill(&mut choice);
    match choice[0] % 16 {
        0..=5 => {
            let read = GetSecretValue { secret_id: secret_id(), version_id: None, version_stage: None };
            Some(match done(world, read) {
                Some(read) => {
                    *seen = number_of(&read.version_id);
                    // The value must be the version's own.
                    let expected = value(*seen);
                    assert_eq!(read.value.bytes().expose_secret(), expected.bytes().expose_secret());
                    Call::Read { version: Some(*seen) }
                }
                None => Call::Read { version: None },
            })
        }
        6..=10 => {
            let (token, value) = (version_id(u64::from(number)), value(number));
            let put = PutSecretValue { secret_id: secret_id(), token, value, stages: None };
            Some(done(world, put).map_or(Call::RefusedByDeletion, |_| {
                *seen = number;
                Call::Put { version: number }
            }))
        }
        11..=13 => {
            let (from, to) = (*seen, 0);
            let update = UpdateSecretVersionStage {
                secret_id: secret_id(),
                stage: "AWSCURRENT".parse().unwrap(),
                remove_from: Some(version_id(u64::from(from))),
                move_to: Some(version_id(to)),
            };
            let moved = match world.run(update) {
                Ok(_) => true,
                Err(Error::StageNotThere { .. } | Error::StageElsewhere { .. }) => false,
                Err(Error::MarkedForDeletion { .. }) => return Some(Call::RefusedByDeletion),
                // Moving it to where it is.
                Err(Error::InvalidParameter(_) | Error::InvalidRequest(_)) if from == 0 => return None,
                Err(error) => panic!("{error}"),
            };
            Some(Call::Move { from, to: 0, moved })
        }
        14 => {
            let mode = DeletionMode::Recoverable { days: 7 };
            match world.run(DeleteSecret { secret_id: secret_id(), mode }) {
                Ok(_) => Some(Call::Delete),
                Err(Error::AlreadyScheduledForDeletion) => Some(Call::RefusedByDeletion),
                Err(error) => panic!("{error}"),
            }
        }
        _ => {
            world.run(RestoreSecret { secret_id: secret_id() }).unwrap();
            Some(Call::Restore)
        }
    }
}

/// The answer; `None` if the secret was marked for deletion.
fn done<O: Operation>(world: &World, operation: O) -> Option<O::Output> {
    match world.run(operation) {
        Ok(output) => Some(output),
        Err(Error::MarkedForDeletion { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn secret_id() -> SecretId {
    "app/db".parse().unwrap()
}

fn value(number: u32) -> SecretValue {
    SecretValue::string(SecretBytes::copy_from(format!("value {number}").as_bytes())).unwrap()
}

fn number_of(id: &VersionId) -> u32 {
    let digits = id.as_str().rsplit('-').next().unwrap();
    digits.parse().unwrap()
}
