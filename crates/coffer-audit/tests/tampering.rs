//! Whatever is changed, removed, moved or cut in a log is found, and said where.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use coffer_audit::fault::VolatileDisk;
use coffer_audit::{
    AuditSink, Checkpoint, FileLog, FileLogOptions, LogOpenError, MemoryLog, SyncMode, Verified, VerifyError,
    verify_directory,
};
use coffer_types::Timestamp;
use common::{START, body, closed_log, event_id, key, open, open_with, options, other_key};
use futures_executor::block_on;
use proptest::prelude::*;

type NamedFile = (String, Vec<u8>);

/// Verifies a directory with these files.
fn verify(files: &[NamedFile], checkpoint: Option<&Checkpoint>) -> Result<Verified, VerifyError> {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    verify_directory(directory.path(), checkpoint, &key().public_key())
}

fn files_of(disk: &VolatileDisk) -> Vec<NamedFile> {
    let names = coffer_audit::disk::Disk::list(disk).unwrap();
    names.into_iter().map(|name| (name.clone(), disk.contents(&name).unwrap())).collect()
}

fn closed_files() -> (Vec<NamedFile>, Checkpoint) {
    let disk = VolatileDisk::new();
    closed_log(&disk, 24);
    let log = open(&disk, SyncMode::Always).unwrap();
    let checkpoint = log.checkpoint(Timestamp::from_millis(START));
    block_on(log.close(Timestamp::from_millis(START))).unwrap();
    (files_of(&disk).into_iter().filter(|(name, _)| name.contains("json")).collect(), checkpoint)
}

fn segment_positions(files: &[NamedFile]) -> Vec<usize> {
    (0..files.len()).filter(|&at| files[at].0.ends_with(".jsonl")).collect()
}

#[test]
fn what_was_left_alone_verifies() {
    let (files, checkpoint) = closed_files();
    let verified = verify(&files, Some(&checkpoint)).unwrap();
    assert_eq!((verified.records, verified.head), (24, checkpoint.head));
    assert!(verified.segments >= 3);
    assert_eq!(verified.digests, verified.segments);
    assert_eq!(verified.torn_bytes, 0);
}

#[test]
fn each_kind_of_tampering_is_named() {
    let (files, checkpoint) = closed_files();
    let segments = segment_positions(&files);
    let middle = segments[1];
    let tampered = |change: &dyn Fn(&mut Vec<NamedFile>)| {
        let mut files = files.clone();
        change(&mut files);
        verify(&files, Some(&checkpoint)).map(|_| ()).map_err(|error| error.to_string())
    };
    let in_middle = |change: &dyn Fn(Vec<String>) -> Vec<String>| {
        tampered(&|files| {
            let text = String::from_utf8(files[middle].1.clone()).unwrap();
            let lines = change(text.lines().map(str::to_owned).collect());
            files[middle].1 = (lines.join("\n") + "\n").into_bytes();
        })
    };
    let first = files[middle].0.trim_end_matches(".jsonl").parse::<u64>().unwrap();
    let name = &files[middle].0;
    let digest = name.replace("jsonl", "digest.json");
    assert_eq!(
        in_middle(&|mut lines| {
            lines[1] = lines[1].replace("prod/", "test/");
            lines
        }),
        Err(format!("record {} was changed, in segment `{name}`", first + 1))
    );
    assert_eq!(
        in_middle(&|mut lines| {
            lines.remove(1);
            lines
        }),
        Err(format!("record {} is missing from the audit log, before segment `{name}` or in it", first + 1))
    );
    assert_eq!(
        in_middle(&|mut lines| {
            let again = lines[0].clone();
            lines.insert(1, again);
            lines
        }),
        Err(format!("record {first} stands where record {} belongs, in segment `{name}`", first + 1))
    );
    let (next, _) = &files[segments[2]];
    let next: u64 = next.trim_end_matches(".jsonl").parse().unwrap();
    assert_eq!(
        in_middle(&|mut lines| {
            lines.pop();
            lines
        }),
        Err(format!(
            "the audit log was cut short: it ends at record {}, and record {} was in it",
            next - 2,
            next - 1
        ))
    );
    assert_eq!(
        tampered(&|files| drop(files.remove(middle))),
        Err(format!("record {first} is missing from the audit log, before segment `{name}` or in it"))
    );
    assert_eq!(
        tampered(&|files| files.retain(|(name, _)| *name != digest)),
        Err(format!("segment `{name}` has no digest"))
    );
    assert_eq!(
        tampered(&|files| {
            let at = files.iter().position(|(name, _)| *name == digest).unwrap();
            let text = String::from_utf8(files[at].1.clone()).unwrap();
            files[at].1 = text.replace("node-1", "node-2").into_bytes();
        }),
        Err(format!("digest `{digest}` is not a signed digest of this log"))
    );
    assert_eq!(
        tampered(&|files| files.retain(|(name, _)| name.as_str() < format!("{next:020}").as_str())),
        Err(format!("the audit log was cut short: it ends at record {}, and record 24 was in it", next - 1))
    );
    let forged = Checkpoint::sign(&other_key(), "node-1".parse().unwrap(), checkpoint.head, checkpoint.time);
    assert!(matches!(verify(&files, Some(&forged)), Err(VerifyError::CheckpointInvalid)));
    let mut head = checkpoint.head;
    head.hash[0] ^= 1;
    let other = Checkpoint::sign(&key(), "node-1".parse().unwrap(), head, checkpoint.time);
    assert!(matches!(verify(&files, Some(&other)), Err(VerifyError::CheckpointMismatch { sequence: 24 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_changed_byte_is_found(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), xor in 1..=255_u8) {
        let (mut files, checkpoint) = closed_files();
        let file = file.index(files.len());
        let at = at.index(files[file].1.len());
        files[file].1[at] ^= xor;
        // A digest's white space is not signed, but the digest after it covers its file.
        let last_digest = files.iter().rposition(|(name, _)| name.ends_with("digest.json"));
        if Some(file) != last_digest {
            prop_assert!(verify(&files, Some(&checkpoint)).is_err());
        }
    }

    #[test]
    fn any_removed_moved_or_cut_line_is_found(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), how in 0..4) {
        let (mut files, checkpoint) = closed_files();
        // As one who knows the format would: the segments are cut anew, and the digests removed.
        let segments = segment_positions(&files);
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for &at in &segments {
            lines.extend(files[at].1.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec));
        }
        let (from, to) = (from.index(lines.len()), to.index(lines.len()));
        match how {
            0 => drop(lines.remove(from)),
            1 => lines.swap(from, to),
            2 => lines.truncate(from),
            _ => { let line = lines[from].clone(); lines.insert(to, line); }
        }
        files = vec![(files[segments[0]].0.clone(), lines.concat())];
        prop_assert_eq!(verify(&files, Some(&checkpoint)).is_err(), how != 1 || from != to);
    }
}

#[test]
fn a_torn_end_is_cut_and_kept_beside() {
    for torn in [&b"{\"half\":"[..], b"{\"whole\":true}\n", b"\0\0\0\0garbage behind a hole\n"] {
        let disk = VolatileDisk::new();
        let log = open(&disk, SyncMode::Always).unwrap();
        block_on(log.append(body(0))).unwrap();
        drop(log);
        let name = "00000000000000000001.jsonl";
        let mut bytes = disk.contents(name).unwrap();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap();
        bytes.truncate(end);
        bytes.extend_from_slice(torn);
        disk.plant(name, bytes);
        let log = open(&disk, SyncMode::Always).unwrap();
        assert!(log.recovery().cut_bytes > 0);
        block_on(log.append(body(1))).unwrap();
        assert_eq!(log.verify(None, &key().public_key()).unwrap().records, 2);
        let kept = disk.contents("00000000000000000001.0.cut").unwrap();
        assert_eq!(kept, torn);
    }
}

#[test]
fn a_changed_line_before_others_is_refused_and_left_alone() {
    let disk = VolatileDisk::new();
    let log = open(&disk, SyncMode::Always).unwrap();
    for number in 0..3 {
        block_on(log.append(body(number))).unwrap();
    }
    let checkpoint = log.checkpoint(Timestamp::from_millis(START));
    drop(log);
    let name = "00000000000000000001.jsonl";
    let bytes = disk.contents(name).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();

    disk.plant(name, text.replace("prod/1", "prod/9").into_bytes());
    assert!(matches!(open(&disk, SyncMode::Always), Err(LogOpenError::Corrupt { sequence: 2, .. })));
    assert_eq!(disk.contents(name).unwrap(), text.replace("prod/1", "prod/9").into_bytes());

    // The end is cut off, as a power cut might have done; but the store knows better.
    let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut cut = bytes.clone();
    cut[second..].fill(0);
    disk.plant(name, cut.clone());
    let error = open_with(&disk, SyncMode::Always, Some(&checkpoint)).map(drop).unwrap_err();
    assert!(matches!(error, LogOpenError::Shortened { last: 1, expected: 3 }), "{error}");
    assert_eq!(disk.contents(name).unwrap(), cut);

    let forged = Checkpoint::sign(&other_key(), "node-1".parse().unwrap(), checkpoint.head, checkpoint.time);
    assert!(matches!(
        open_with(&disk, SyncMode::Always, Some(&forged)),
        Err(LogOpenError::CheckpointInvalid)
    ));
}

#[test]
fn a_segment_changed_while_the_log_is_open_gets_no_digest() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(coffer_audit::disk::RealDisk::open_directory(directory.path()).unwrap());
    let log = FileLog::open(disk, options(SyncMode::Always), key(), None).unwrap();
    block_on(log.append(body(0))).unwrap();
    let path = directory.path().join("00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("prod/0", "prod/1")).unwrap();
    let mut number = 1;
    let error = loop {
        match block_on(log.append(body(number))) {
            Ok(()) => number += 1,
            Err(error) => break error.to_string(),
        }
        assert!(number < 1000);
        std::thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(error, "the audit log was altered while it was open, in segment `00000000000000000001.jsonl`");
    assert!(log.health().failure.is_some());
    assert!(!directory.path().join("00000000000000000001.digest.json").exists());
}

#[test]
fn the_memory_log_keeps_the_newest_of_one_chain() {
    let log = MemoryLog::with_bounds(10, 1 << 20);
    for number in 0..25 {
        block_on(log.append(body(number))).unwrap();
    }
    let verified = log.verify(None, &key().public_key()).unwrap();
    assert_eq!((verified.records, verified.first.sequence, verified.head.sequence), (10, 15, 25));
    assert_eq!(log.tail(3).unwrap().len(), 3);
    assert!(log.tail(1).unwrap()[0].contains("prod/24"));
    assert_eq!(log.event_ids_after(23).unwrap(), [event_id(23), event_id(24)].into());
    let checkpoint =
        Checkpoint::sign(&key(), "node-1".parse().unwrap(), log.synced_head(), Timestamp::from_millis(0));
    log.verify(Some(&checkpoint), &key().public_key()).unwrap();
    log.reset();
    assert!(log.verify(Some(&checkpoint), &key().public_key()).is_err());
}

/// Written out by the test below when `COFFER_WRITE_VECTORS` is set.
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/audit");

#[test]
fn the_bytes_are_those_of_the_vectors() {
    let disk = VolatileDisk::new();
    let big = FileLogOptions { segment_bytes: 8192, ..options(SyncMode::Always) };
    for numbers in [0..3, 3..5] {
        let log = FileLog::open(Arc::new(disk.clone()), big.clone(), key(), None).unwrap();
        for number in numbers {
            block_on(log.append(body(number))).unwrap();
        }
        block_on(log.close(Timestamp::from_millis(START + 60_000))).unwrap();
        if log.health().written.sequence == 5 {
            let checkpoint = log.checkpoint(Timestamp::from_millis(START + 61_000));
            disk.plant("checkpoint.json", serde_json::to_vec(&checkpoint).unwrap());
        }
    }
    let names = [
        "00000000000000000001.jsonl",
        "00000000000000000001.digest.json",
        "00000000000000000004.jsonl",
        "00000000000000000004.digest.json",
        "checkpoint.json",
    ];
    for name in names {
        let path = std::path::Path::new(VECTORS).join(name);
        let bytes = disk.contents(name).unwrap();
        if std::env::var_os("COFFER_WRITE_VECTORS").is_some() {
            std::fs::create_dir_all(VECTORS).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(&std::fs::read(&path).unwrap()),
            "{name}"
        );
    }
    let text = std::fs::read(std::path::Path::new(VECTORS).join("checkpoint.json")).unwrap();
    let checkpoint: Checkpoint = serde_json::from_slice(&text).unwrap();
    let verified =
        verify_directory(std::path::Path::new(VECTORS), Some(&checkpoint), &key().public_key()).unwrap();
    assert_eq!((verified.records, verified.digests), (5, 2));
}
