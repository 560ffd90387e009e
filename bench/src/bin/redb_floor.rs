//! The limit that PutSecretValue is measured against: redb with group commit, writing as many bytes under keys of the
//! same length, with no protocol, no encryption and no audit log.
//!
//! `redb_floor FOLDER --writers N --seconds N --secrets N`. Prints one line of JSON: commits, microseconds.
//! I/O: makes a store in FOLDER. Invariant: a commit counts once it is on disk, like coffer's.

#![allow(clippy::print_stdout, reason = "a tool that prints figures")]

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use coffer_store::{Change, Store, Write};
use coffer_store_redb::{RedbOptions, RedbStore};

/// What a PutSecretValue writes: kind, bytes of the key, bytes of the sealed record.
const WRITES: [(u8, usize, usize); 4] = [(b'v', 26, 430), (b'i', 54, 70), (b's', 50, 420), (b'o', 50, 1250)];

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let folder = PathBuf::from(words.next().context("name a folder")?);
    let (mut writers, mut seconds, mut secrets) = (64, 4, 1000);
    while let Some(word) = words.next() {
        let number: u64 = words.next().context("an option takes a number")?.parse()?;
        match word.as_str() {
            "--writers" => writers = number,
            "--seconds" => seconds = number,
            "--secrets" => secrets = number,
            _ => bail!("unknown option `{word}`"),
        }
    }
    std::fs::create_dir_all(&folder)?;
    let store = Rc::new(RedbStore::create(folder.join("floor.redb"), RedbOptions::default())?);
    let (begun, count) = (Instant::now(), Rc::new(Cell::new(0_u64)));
    let ends = begun + Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = (0..writers)
            .map(|_| {
                let (store, count) = (Rc::clone(&store), Rc::clone(&count));
                tokio::task::spawn_local(async move {
                    while Instant::now() < ends {
                        let number = count.replace(count.get() + 1);
                        store.commit(change(number, secrets)).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        anyhow::Ok(())
    })?;
    println!(r#"{{"requests":{},"microseconds":{}}}"#, count.get(), begun.elapsed().as_micros());
    Ok(())
}

/// The writes of one change: a version and its index under new keys, a secret that is there, an outbox entry.
fn change(number: u64, secrets: u64) -> Change {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let writes = WRITES.iter().map(|&(kind, key_bytes, value_bytes)| {
        let id = if kind == b's' { scattered % secrets } else { scattered };
        let mut key = vec![kind, 0];
        key.extend_from_slice(&id.to_be_bytes());
        key.resize(key_bytes, kind);
        let mut value = vec![kind; value_bytes];
        for (place, byte) in value.iter_mut().zip(number.to_le_bytes().iter().cycle()) {
            *place ^= byte;
        }
        Write::Put(Bytes::from(key), Bytes::from(value))
    });
    Change { guards: Vec::new(), writes: writes.collect() }
}
