//! Verification: does what lies there follow from its beginning, and is it all there?
//!
//! Reads through the [`Disk`] seam only, and changes nothing. What it can't see: records removed from the end
//! after the newest checkpoint, and a log rewritten by whoever holds the signing key.

use std::io;
use std::path::Path;

use coffer_crypto::AuditPublicKey;
use coffer_crypto::digest::sha256;

use crate::digest::{DigestReference, SegmentDigest};
use crate::disk::{Disk, RealDisk};
use crate::scan::{End, Listing, digest_name, read_digests, read_segment, scan, segment_name};
use crate::{Checkpoint, Head};

/// What was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The chain before the first record; genesis unless only the newest records are kept.
    pub first: Head,
    /// The chain after the last record.
    pub head: Head,
    /// How many records.
    pub records: u64,
    /// How many segments.
    pub segments: u64,
    /// How many of them have a signed digest.
    pub digests: u64,
    /// Bytes behind the last record that a power cut left; opening the log removes them.
    pub torn_bytes: u64,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The directory could not be read.
    #[error("the audit log cannot be read")]
    Unreadable(#[source] io::Error),
    /// Records are missing in the middle.
    #[error("record {first} is missing from the audit log, before segment `{segment}` or in it")]
    Removed {
        /// The first missing record.
        first: u64,
        /// Where it shows.
        segment: String,
    },
    /// A record is not the one that was written.
    #[error("record {sequence} was changed, in segment `{segment}`")]
    Changed {
        /// The record.
        sequence: u64,
        /// Its segment.
        segment: String,
    },
    /// A record stands where another belongs.
    #[error("record {found} stands where record {expected} belongs, in segment `{segment}`")]
    Misplaced {
        /// What belongs there.
        expected: u64,
        /// What is there.
        found: u64,
        /// Its segment.
        segment: String,
    },
    /// The log ends too early.
    #[error("the audit log was cut short: it ends at record {last}, and record {expected} was in it")]
    Truncated {
        /// Its last record.
        last: u64,
        /// A record known to have been there.
        expected: u64,
    },
    /// A closed segment has no digest.
    #[error("segment `{segment}` has no digest")]
    DigestMissing {
        /// The segment.
        segment: String,
    },
    /// A digest cannot be read, or is signed by nobody known.
    #[error("digest `{digest}` is not a signed digest of this log")]
    DigestInvalid {
        /// The digest's file name.
        digest: String,
    },
    /// A digest does not agree with its segment or with the digest before.
    #[error("digest `{digest}` does not match {what}")]
    DigestMismatch {
        /// The digest's file name.
        digest: String,
        /// What it does not match.
        what: &'static str,
    },
    /// The checkpoint was not signed by the log's key.
    #[error("the checkpoint is not signed by the audit key")]
    CheckpointInvalid,
    /// The record at the checkpoint is another one than when it was signed.
    #[error("record {sequence} is not the one the checkpoint was signed over")]
    CheckpointMismatch {
        /// The checkpoint's record.
        sequence: u64,
    },
}

/// Verifies a directory without opening it for writing. The log must not be open elsewhere for writing.
pub fn verify_directory(
    path: &Path,
    checkpoint: Option<&Checkpoint>,
    public_key: &AuditPublicKey,
) -> Result<Verified, VerifyError> {
    let disk = RealDisk::open_existing(path).map_err(VerifyError::Unreadable)?;
    verify_disk(&disk, checkpoint, public_key, None)
}

/// How far a log that is open for writing had come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLog {
    /// The open segment, and how much of it is written.
    pub(crate) open: (u64, u64),
    /// The newest record written.
    pub(crate) written: Head,
    /// The newest record in a segment whose digest is made.
    pub(crate) signed_through: u64,
}

pub(crate) fn verify_disk(
    disk: &dyn Disk,
    checkpoint: Option<&Checkpoint>,
    public_key: &AuditPublicKey,
    log: Option<OpenLog>,
) -> Result<Verified, VerifyError> {
    if checkpoint.is_some_and(|checkpoint| !checkpoint.is_signed_by(public_key)) {
        return Err(VerifyError::CheckpointInvalid);
    }
    let mut listing = Listing::read(disk).map_err(VerifyError::Unreadable)?;
    if let Some(log) = log {
        listing.segments.retain(|&first| first <= log.open.0);
        listing.digests.retain(|&first| first <= log.open.0);
    }
    let digests = read_digests(disk, &listing).map_err(VerifyError::Unreadable)?;
    let signed_through = log.map_or(0, |log| log.signed_through);
    let last_digest = listing.digests.last().copied().unwrap_or(0);
    if let Some(&stray) = listing.digests.difference(&listing.segments).next() {
        return Err(VerifyError::Removed { first: stray, segment: segment_name(stray) });
    }

    let mut verified = Verified {
        first: Head::GENESIS,
        head: Head::GENESIS,
        records: 0,
        segments: 0,
        digests: 0,
        torn_bytes: 0,
    };
    let mut checkpoint_seen = checkpoint.is_none_or(|checkpoint| checkpoint.head == Head::GENESIS);
    let mut previous_digest: Option<DigestReference> = None;
    for &first in &listing.segments {
        let segment = segment_name(first);
        let before = verified.head;
        let expected = before.sequence.saturating_add(1);
        if first > expected {
            return Err(VerifyError::Removed { first: expected, segment });
        }
        if first < expected {
            return Err(VerifyError::Misplaced { expected, found: first, segment });
        }
        let file = disk.open_to_read(&segment).map_err(VerifyError::Unreadable)?;
        let limit = log.filter(|log| log.open.0 == first).map(|log| log.open.1);
        let bytes = read_segment(&*file, limit).map_err(VerifyError::Unreadable)?;
        let mut mismatch = None;
        let scanned = scan(&bytes, before, |head, _| {
            verified.records += 1;
            if let Some(checkpoint) =
                checkpoint.filter(|checkpoint| checkpoint.head.sequence == head.sequence)
            {
                checkpoint_seen = true;
                if checkpoint.head != head {
                    mismatch = Some(head.sequence);
                }
            }
        });
        let next = scanned.head.sequence.saturating_add(1);
        let closed = digests.contains_key(&first);
        let is_last = listing.segments.last() == Some(&first);
        match scanned.stop {
            End::Clean => {}
            End::Torn { lines_follow: false } if is_last && !closed && log.is_none() => {
                verified.torn_bytes = (bytes.len() - scanned.end) as u64;
            }
            End::Torn { .. } | End::Broken { claimed: None, .. } => {
                return Err(VerifyError::Changed { sequence: next, segment });
            }
            End::Broken { claimed: Some(claimed), .. } if claimed.sequence == next => {
                return Err(VerifyError::Changed { sequence: next, segment });
            }
            End::Broken { claimed: Some(claimed), .. } if claimed.sequence > next => {
                // Either the lines between are gone, or a later line was moved here.
                return Err(VerifyError::Removed { first: next, segment });
            }
            End::Broken { claimed: Some(claimed), .. } => {
                let found = claimed.sequence;
                return Err(VerifyError::Misplaced { expected: next, found, segment });
            }
        }
        if let Some(sequence) = mismatch {
            return Err(VerifyError::CheckpointMismatch { sequence });
        }
        verified.head = scanned.head;
        verified.segments += 1;

        match digests.get(&first) {
            Some(text) => {
                let digest = digest_name(first);
                let Some(read) = SegmentDigest::from_file(text).filter(|read| read.is_signed_by(public_key))
                else {
                    return Err(VerifyError::DigestInvalid { digest });
                };
                let what = if read.previous_digest != previous_digest {
                    Some("the digest before")
                } else if read.last.sequence > scanned.head.sequence {
                    return Err(VerifyError::Truncated {
                        last: scanned.head.sequence,
                        expected: read.last.sequence,
                    });
                } else if read.segment != segment
                    || read.previous != before
                    || read.last != scanned.head
                    || read.bytes != bytes.len() as u64
                    || read.sha256 != sha256(&bytes)
                {
                    Some("its segment")
                } else if checkpoint.is_some_and(|checkpoint| checkpoint.node != read.node) {
                    Some("the checkpoint's node")
                } else {
                    None
                };
                if let Some(what) = what {
                    return Err(VerifyError::DigestMismatch { digest, what });
                }
                previous_digest = Some(read.reference(text));
                verified.digests += 1;
            }
            // An open segment without a line yet ends where the last closed one did.
            None if scanned.head != before
                && (first < last_digest || scanned.head.sequence <= signed_through) =>
            {
                return Err(VerifyError::DigestMissing { segment });
            }
            None => {}
        }
    }
    let last = verified.head.sequence;
    if let Some(log) = log.filter(|log| log.written != verified.head) {
        return if last < log.written.sequence {
            Err(VerifyError::Truncated { last, expected: log.written.sequence })
        } else {
            Err(VerifyError::Changed { sequence: last, segment: segment_name(log.open.0) })
        };
    }
    if let Some(checkpoint) = checkpoint.filter(|_| !checkpoint_seen) {
        return Err(VerifyError::Truncated { last, expected: checkpoint.head.sequence });
    }
    Ok(verified)
}
