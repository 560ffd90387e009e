//! Opening a log: find its end, repair what a kill or a power cut left there, refuse what they cannot have left.
//!
//! Decided first, done afterwards: a log that is refused has not been touched. What is cut off is set aside in
//! files ending in `.cut`, never thrown away. Every step may be interrupted; the next open comes to the same.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use coffer_crypto::AuditSigningKey;
use coffer_types::Timestamp;

use super::closer::{CloseError, close_segment, make_reserve};
use super::{Batch, Closing, FileLogOptions, Pending, Pool, State, Writer};
use crate::digest::{DigestReference, SegmentDigest};
use crate::disk::{Disk, write_file};
use crate::record::essentials;
use crate::scan::{End, Listing, RESERVE, digest_name, read_digest, read_written, scan, segment_name};
use crate::{Checkpoint, Head};

/// What opening a log had to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Bytes cut off the end: lines that were never acknowledged, or were written since the last sync before a
    /// power cut. They are kept beside the log.
    pub cut_bytes: u64,
    /// Segments set aside whole, because an earlier one had lost its end.
    pub segments_set_aside: u64,
    /// Digests that were still to be made.
    pub digests_made: u64,
}

/// Why a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum LogOpenError {
    /// The directory cannot be read or written.
    #[error("the audit log cannot be opened")]
    Io(#[from] io::Error),
    /// A record is not what was written, and no power cut can have done that.
    #[error("the audit log is corrupt: record {sequence} in segment `{segment}` does not continue the chain")]
    Corrupt {
        /// The first record that is wrong.
        sequence: u64,
        /// Where.
        segment: String,
    },
    /// Records are missing before a segment.
    #[error("the audit log is corrupt: record {sequence} is missing before segment `{segment}`")]
    Missing {
        /// The first record that is missing.
        sequence: u64,
        /// The segment found instead.
        segment: String,
    },
    /// The newest digest is not signed by this store's key, or does not match its segment.
    #[error("digest `{digest}` of the audit log is not valid")]
    Digest {
        /// Its file name.
        digest: String,
    },
    /// The store's checkpoint is not signed by the audit key, or not about this node.
    #[error("the store's checkpoint of the audit log is not valid")]
    CheckpointInvalid,
    /// The log holds another record where the checkpoint was signed.
    #[error("record {sequence} of the audit log is not the one the store's checkpoint was signed over")]
    CheckpointMismatch {
        /// The checkpoint's sequence.
        sequence: u64,
    },
    /// The log ends before the checkpoint.
    #[error(
        "the audit log was cut short: it ends at record {last}, and the store knows of record {expected}"
    )]
    Shortened {
        /// The last record found.
        last: u64,
        /// The checkpoint's.
        expected: u64,
    },
}

/// A segment without a digest, as found.
struct Found {
    first: u64,
    before: Head,
    last: Head,
    end: u64,
    /// What lies behind the last good line, without trailing zeros.
    rest: Vec<u8>,
    last_time: Timestamp,
}

pub(super) fn recover(
    disk: &dyn Disk,
    options: &FileLogOptions,
    key: &AuditSigningKey,
    checkpoint: Option<&Checkpoint>,
) -> Result<(State, Recovery), LogOpenError> {
    let listing = Listing::read(disk)?;
    let signed = |checkpoint: &Checkpoint| {
        checkpoint.is_signed_by(&key.public_key()) && checkpoint.node == options.node
    };
    if !checkpoint.is_none_or(signed) {
        return Err(LogOpenError::CheckpointInvalid);
    }
    let agrees = |head: Head| match checkpoint {
        Some(checkpoint) if checkpoint.head.sequence == head.sequence && checkpoint.head != head => {
            Err(LogOpenError::CheckpointMismatch { sequence: head.sequence })
        }
        _ => Ok(()),
    };
    let (closed_first, closed, mut last_digest) = read_last_digest(disk, &listing, options, key)?;
    agrees(closed)?;

    // Look, without touching anything.
    let mut head = closed;
    let mut found: Vec<Found> = Vec::new();
    let mut set_aside: Vec<u64> = Vec::new();
    for &first in listing.segments.range(closed_first.saturating_add(1)..) {
        let segment = segment_name(first);
        let cut = found.last().is_some_and(|found| !found.rest.is_empty());
        let expected = head.sequence.saturating_add(1);
        if cut || first > expected && !found.is_empty() {
            set_aside.push(first);
            continue;
        }
        if first > expected {
            return Err(LogOpenError::Missing { sequence: expected, segment });
        }
        if first < expected {
            return Err(LogOpenError::Corrupt { sequence: first, segment });
        }
        let bytes = read_written(&*disk.open_to_read(&segment)?)?;
        let mut mismatch = Ok(());
        let mut last_line: &[u8] = &[];
        let scanned = scan(&bytes, head, |head, line| {
            last_line = line;
            if let Err(error) = agrees(head) {
                mismatch = Err(error);
            }
        });
        mismatch?;
        let broken = match scanned.stop {
            End::Clean | End::Torn { .. } => false,
            End::Broken { lines_follow, .. } => lines_follow || listing.segments.last() != Some(&first),
        };
        if broken {
            return Err(LogOpenError::Corrupt { sequence: scanned.head.sequence.saturating_add(1), segment });
        }
        found.push(Found {
            first,
            before: head,
            last: scanned.head,
            end: scanned.end as u64,
            rest: bytes.get(scanned.end..).unwrap_or_default().to_vec(),
            last_time: essentials(last_line).map_or(Timestamp::default(), |(_, time, _)| time),
        });
        head = scanned.head;
    }
    if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.head.sequence > head.sequence) {
        return Err(LogOpenError::Shortened { last: head.sequence, expected: checkpoint.head.sequence });
    }

    // Act: later segments first, so that an interrupted repair still shows the gap before them.
    let mut recovery = Recovery::default();
    for leftover in &listing.leftovers {
        disk.remove(leftover)?;
    }
    for &first in set_aside.iter().rev() {
        disk.rename(&segment_name(first), &free_name(&listing, first))?;
        recovery.segments_set_aside += 1;
    }
    if !set_aside.is_empty() {
        disk.sync_directory()?;
    }
    if let Some(torn) = found.last().filter(|found| !found.rest.is_empty()) {
        write_file(disk, &free_name(&listing, torn.first), &torn.rest)?;
        let file = disk.open(&segment_name(torn.first))?;
        file.truncate(torn.end)?;
        file.sync_all()?;
        recovery.cut_bytes = torn.rest.len() as u64;
    }
    let open = found.pop();
    for segment in found {
        let file = disk.open(&segment_name(segment.first))?;
        if segment.end == 0 {
            continue;
        }
        let closing = Closing {
            file,
            first: segment.first,
            length: segment.end,
            before: segment.before,
            last: segment.last,
            time: segment.last_time,
        };
        match close_segment(disk, key, &options.node, &closing, last_digest.take(), || {}) {
            Ok(reference) => last_digest = Some(reference),
            Err(CloseError::Io(error)) => return Err(error.into()),
            Err(CloseError::Altered) => {
                let segment = segment_name(segment.first);
                return Err(LogOpenError::Corrupt { sequence: closing.before.sequence, segment });
            }
        }
        recovery.digests_made += 1;
    }
    // Of a log that was left in order all is on disk: a checkpoint is signed over what is. A segment's name is, too, if
    // one of its records is.
    let is_on_disk = recovery == Recovery::default()
        && checkpoint.is_some_and(|checkpoint| checkpoint.head == head)
        && open.as_ref().is_some_and(|open| open.end > 0);
    let signed_through = open.as_ref().map_or(head.sequence, |open| open.before.sequence);

    let reserve_held = hold_reserve(disk, &listing, options);
    let writer = match open {
        Some(open) => {
            let file = disk.open(&segment_name(open.first))?;
            // The space may be gone since; appending says so itself.
            let _ = file.allocate(options.segment_bytes);
            Writer {
                file,
                first: open.first,
                position: open.end,
                before: open.before,
                last_time: open.last_time,
                broken: false,
                spare: None,
            }
        }
        None => {
            let first = head.sequence.saturating_add(1);
            let file = disk.create(&segment_name(first))?;
            let _ = file.allocate(options.segment_bytes);
            Writer {
                file,
                first,
                position: 0,
                before: head,
                last_time: Timestamp::default(),
                broken: false,
                spare: None,
            }
        }
    };
    if !is_on_disk {
        // What a killed process wrote is in the page cache only.
        writer.file.sync_all()?;
        disk.sync_directory()?;
    }

    let state = State {
        pending: Pending {
            bytes: Vec::new(),
            last_time: writer.last_time,
            batch: Arc::new(Batch::default()),
        },
        chain: head,
        open: (writer.first, writer.position),
        writer: Some(writer),
        in_flight: None,
        written: head,
        synced: head,
        unsynced: VecDeque::new(),
        unsynced_bytes: 0,
        closing: VecDeque::new(),
        last_digest,
        signed_through,
        spare: None,
        directory_dirty: false,
        reserve_held,
        waiting_for_space: Default::default(),
        waiting_for_close: Vec::new(),
        next_waiter: 0,
        pool: Pool::default(),
        armed: false,
        sync_wanted: false,
        gathering_until: u64::MAX,
        flush_wanted: false,
        solo_writes: 0,
        close_wanted: None,
        close_ready: None,
        shutdown: false,
        syncer_ended: false,
        write_failure: None,
        sync_failure: None,
        altered: None,
        closed: None,
    };
    Ok((state, recovery))
}

/// The newest digest: its segment's first sequence, the chain after it, and how the next digest names it.
fn read_last_digest(
    disk: &dyn Disk,
    listing: &Listing,
    options: &FileLogOptions,
    key: &AuditSigningKey,
) -> Result<(u64, Head, Option<DigestReference>), LogOpenError> {
    let Some(&first) = listing.digests.last() else { return Ok((0, Head::GENESIS, None)) };
    let invalid = || LogOpenError::Digest { digest: digest_name(first) };
    let file = read_digest(disk, first)?;
    let digest = SegmentDigest::from_file(&file).ok_or_else(invalid)?;
    let valid = digest.is_signed_by(&key.public_key())
        && digest.node == options.node
        && digest.segment == segment_name(first)
        && digest.previous.sequence.saturating_add(1) == first
        && listing.segments.contains(&first)
        && disk.open_to_read(&digest.segment)?.length()? == digest.bytes;
    if !valid {
        return Err(invalid());
    }
    Ok((first, digest.last, Some(digest.reference(&file))))
}

/// A name for what is set aside that is not taken.
fn free_name(listing: &Listing, first: u64) -> String {
    let mut names = (0_u32..).map(|number| format!("{first:020}.{number}.cut"));
    names.find(|name| !listing.all.contains(name)).unwrap_or_default()
}

fn hold_reserve(disk: &dyn Disk, listing: &Listing, options: &FileLogOptions) -> bool {
    if options.reserve_bytes == 0 {
        return false;
    }
    let there = listing.all.contains(RESERVE)
        && disk
            .open_to_read(RESERVE)
            .and_then(|file| file.length())
            .is_ok_and(|length| length >= options.reserve_bytes);
    there || make_reserve(disk, options.reserve_bytes).is_ok()
}
