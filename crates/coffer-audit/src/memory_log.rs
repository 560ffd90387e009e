//! The log of a server that keeps nothing: the newest records in a bounded ring.
//!
//! No I/O. Invariant: what is held is one unbroken piece of the chain.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use coffer_crypto::AuditPublicKey;
use coffer_types::Timestamp;

use crate::chain::push_line;
use crate::record::essentials;
use crate::scan::{End, scan};
use crate::{
    AuditError, AuditHealth, AuditSink, BoxFuture, Checkpoint, EventId, Head, RecordBody, Verified,
    VerifyError, Visit,
};

/// An [`AuditSink`] in memory.
pub struct MemoryLog {
    records_max: usize,
    bytes_max: usize,
    ring: Mutex<Ring>,
}

struct Ring {
    /// The chain before the oldest line held.
    before: Head,
    head: Head,
    /// Each line with its end, and the chain after it.
    lines: VecDeque<(Head, Vec<u8>)>,
    bytes: usize,
    closed: bool,
}

impl MemoryLog {
    /// Holds the newest 10,000 records, 16 MiB of them at most.
    pub fn new() -> Self {
        Self::with_bounds(10_000, 16 * 1024 * 1024)
    }

    /// Holds this many records and bytes at most, and always the newest record.
    pub fn with_bounds(records_max: usize, bytes_max: usize) -> Self {
        let ring = Ring {
            before: Head::GENESIS,
            head: Head::GENESIS,
            lines: VecDeque::new(),
            bytes: 0,
            closed: false,
        };
        Self { records_max: records_max.max(1), bytes_max, ring: Mutex::new(ring) }
    }

    /// Forgets everything and begins a new chain.
    pub fn reset(&self) {
        let mut ring = self.ring();
        ring.lines.clear();
        ring.bytes = 0;
        ring.before = Head::GENESIS;
        ring.head = Head::GENESIS;
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bodies: &[RecordBody]) -> Result<Head, AuditError> {
        let mut ring = self.ring();
        if ring.closed {
            return Err(AuditError::Closed);
        }
        for body in bodies {
            let mut line = Vec::new();
            let head = push_line(&mut line, body.as_bytes(), ring.head);
            ring.head = head;
            ring.bytes += line.len();
            ring.lines.push_back((head, line));
            while ring.lines.len() > self.records_max || ring.lines.len() > 1 && ring.bytes > self.bytes_max {
                let Some((head, line)) = ring.lines.pop_front() else { break };
                ring.before = head;
                ring.bytes -= line.len();
            }
        }
        Ok(ring.head)
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl AuditSink for MemoryLog {
    fn append(&self, body: RecordBody) -> BoxFuture<'_, Result<(), AuditError>> {
        Box::pin(async move { self.push(&[body]).map(drop) })
    }

    fn append_synced(&self, bodies: Vec<RecordBody>) -> BoxFuture<'_, Result<Head, AuditError>> {
        Box::pin(async move { self.push(&bodies) })
    }

    fn synced_head(&self) -> Head {
        self.ring().head
    }

    fn event_ids_after(&self, sequence: u64) -> Result<HashSet<EventId>, AuditError> {
        let ring = self.ring();
        let after = ring.lines.iter().filter(|(head, _)| head.sequence > sequence);
        Ok(after.filter_map(|(_, line)| essentials(line).map(|(id, ..)| id)).collect())
    }

    fn tail(&self, count: usize) -> Result<Vec<String>, AuditError> {
        let ring = self.ring();
        let skipped = ring.lines.len().saturating_sub(count);
        let newest = ring.lines.iter().skip(skipped);
        Ok(newest.map(|(_, line)| String::from_utf8_lossy(line).trim_end().to_owned()).collect())
    }

    fn visit_newest(&self, visit: Visit<'_>) -> Result<(), AuditError> {
        let ring = self.ring();
        let mut newest = ring.lines.iter().rev();
        // Whether there was enough or no more does not matter.
        let _ = newest.try_for_each(|(_, line)| visit(String::from_utf8_lossy(line).trim_end()));
        Ok(())
    }

    fn verify(
        &self,
        checkpoint: Option<&Checkpoint>,
        public_key: &AuditPublicKey,
    ) -> Result<Verified, VerifyError> {
        if checkpoint.is_some_and(|checkpoint| !checkpoint.is_signed_by(public_key)) {
            return Err(VerifyError::CheckpointInvalid);
        }
        let ring = self.ring();
        let mut head = ring.before;
        let mut mismatch = None;
        for (_, line) in &ring.lines {
            let scanned = scan(line, head, |head, _| {
                let other = |checkpoint: &&Checkpoint| {
                    checkpoint.head.sequence == head.sequence && checkpoint.head != head
                };
                mismatch = mismatch.or(checkpoint.filter(other));
            });
            if scanned.stop != End::Clean {
                let sequence = head.sequence.saturating_add(1);
                return Err(VerifyError::Changed { sequence, segment: "memory".to_owned() });
            }
            head = scanned.head;
        }
        if let Some(checkpoint) = mismatch {
            return Err(VerifyError::CheckpointMismatch { sequence: checkpoint.head.sequence });
        }
        if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.head.sequence > head.sequence) {
            return Err(VerifyError::Truncated { last: head.sequence, expected: checkpoint.head.sequence });
        }
        Ok(Verified {
            first: ring.before,
            head,
            records: ring.lines.len() as u64,
            segments: 1,
            digests: 0,
            torn_bytes: 0,
        })
    }

    fn health(&self) -> AuditHealth {
        let head = self.ring().head;
        AuditHealth {
            free_bytes: None,
            reserve_held: true,
            low_space: false,
            failure: None,
            written: head,
            synced: head,
            segments_to_close: 0,
        }
    }

    fn close(&self, _now: Timestamp) -> BoxFuture<'_, Result<(), AuditError>> {
        Box::pin(async move {
            self.ring().closed = true;
            Ok(())
        })
    }
}
