//! Measures the store on this machine: durable commits a second, and how long it takes to open.
//!
//! `cargo run --release --example group_commit -p coffer-store-redb [folder]`
//!
//! A tool, not a test: it prints figures. It starts itself again as a child process, to kill it.

#![allow(clippy::print_stdout, reason = "a tool that prints figures")]

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffer_store::{Change, Revision, Store, Write};
use coffer_store_redb::{RedbOptions, RedbStore};
use futures_executor::block_on;

const RECORDS: u64 = 100_000;
const VALUE_BYTES: usize = 600;
const RUN_SECONDS: u64 = 3;
const ROUNDS: usize = 5;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, path, quick_repair] = arguments.as_slice()
        && command == "write-until-killed"
    {
        return write_until_killed(Path::new(path), quick_repair == "true");
    }
    let folder = match arguments.first() {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!("fsync of 4 KiB: {:.0}/s", syncs_a_second(folder.path())?);
    for quick_repair in [false, true] {
        let path = folder.path().join(format!("store-{quick_repair}"));
        println!("quick_repair {quick_repair}");
        let store = RedbStore::create(&path, options(quick_repair))?;
        fill(&store)?;
        for writers in [1, 16, 64] {
            println!("  {writers:>2} writers: {:>6.0} commits/s", commits_a_second(&store, writers));
        }
        store.close()?;
        println!("  file: {} MiB", std::fs::metadata(&path)?.len() / 1024 / 1024);
        println!(
            "  open after a clean end: {:.1?} (median of {ROUNDS})",
            median(|| Ok(()), &path, quick_repair)?
        );
        let kill = || kill_while_writing(&path, quick_repair);
        println!("  open after SIGKILL:     {:.1?} (median of {ROUNDS})", median(kill, &path, quick_repair)?);
    }
    Ok(())
}

fn options(quick_repair: bool) -> RedbOptions {
    RedbOptions { quick_repair, ..RedbOptions::default() }
}

fn put(number: u64) -> Write {
    // Scattered, as the keys of many secrets are.
    let key = format!("secret/{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Write::Put(Bytes::from(key), Bytes::from(vec![number as u8; VALUE_BYTES]))
}

fn commit(store: &RedbStore, writes: Vec<Write>) -> Result<Revision, coffer_store::CommitError> {
    block_on(store.commit(Change { guards: Vec::new(), writes }))
}

fn fill(store: &RedbStore) -> Outcome<()> {
    for start in (0..RECORDS).step_by(100) {
        commit(store, (start..start + 100).map(put).collect())?;
    }
    Ok(())
}

fn commits_a_second(store: &RedbStore, writers: u64) -> f64 {
    let begun = Instant::now();
    let write = |writer: u64| {
        let mut done = 0_u64;
        while begun.elapsed() < Duration::from_secs(RUN_SECONDS) {
            if commit(store, vec![put((writer * 7919 + done * 104_729) % RECORDS)]).is_err() {
                break;
            }
            done += 1;
        }
        done
    };
    let done: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || write(writer))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
    });
    done as f64 / begun.elapsed().as_secs_f64()
}

fn median(mut before: impl FnMut() -> Outcome<()>, path: &Path, quick_repair: bool) -> Outcome<Duration> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        before()?;
        let begun = Instant::now();
        let store = RedbStore::open(path, options(quick_repair))?;
        times.push(begun.elapsed());
        store.close()?;
    }
    times.sort();
    times.get(ROUNDS / 2).copied().ok_or_else(|| "no rounds".into())
}

fn write_until_killed(path: &Path, quick_repair: bool) -> Outcome<()> {
    let store = RedbStore::open(path, options(quick_repair))?;
    for number in 0.. {
        commit(&store, vec![put(number % RECORDS)])?;
        if number == 50 {
            println!("writing");
        }
    }
    Ok(())
}

fn kill_while_writing(path: &Path, quick_repair: bool) -> Outcome<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("write-until-killed")
        .arg(path)
        .arg(quick_repair.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(output) = child.stdout.as_mut() {
        output.read_exact(&mut [0; 7])?;
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn syncs_a_second(folder: &Path) -> Outcome<f64> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::create(folder.join("sync"))?;
    file.write_all_at(&vec![0; 4096 * 64], 0)?;
    file.sync_all()?;
    let begun = Instant::now();
    let mut done = 0_u64;
    while begun.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&[done as u8; 4096], (done % 64) * 4096)?;
        file.sync_data()?;
        done += 1;
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}
