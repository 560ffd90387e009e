//! What the tests of the log share.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use coffer_audit::fault::VolatileDisk;
use coffer_audit::{
    AuditSink as _, Checkpoint, EventId, EventType, FileLog, FileLogOptions, LogOpenError, Record,
    RecordBody, SyncMode, UserIdentity,
};
use coffer_crypto::{AuditSigningKey, Random, SystemRandom};
use coffer_types::Timestamp;

/// Gives the same bytes every time, so that a key is the same in every run.
pub(crate) struct Fixed(pub(crate) u8);

impl Random for Fixed {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0);
    }
}

pub(crate) fn key() -> Arc<AuditSigningKey> {
    Arc::new(AuditSigningKey::make(&Fixed(7)))
}

pub(crate) fn other_key() -> Arc<AuditSigningKey> {
    Arc::new(AuditSigningKey::make(&SystemRandom))
}

pub(crate) const START: i64 = 1_795_343_400_000;

pub(crate) fn event_id(number: u64) -> EventId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    EventId::from_random(bytes)
}

pub(crate) fn body(number: u64) -> RecordBody {
    let mut record = Record::new(
        EventType::AwsApiCall,
        event_id(number),
        Timestamp::from_millis(START + number as i64 * 1000),
        "secretsmanager.amazonaws.com",
        "GetSecretValue",
        "us-east-1",
        "127.0.0.1",
        UserIdentity::local(1000, "123456789012"),
    );
    record.set_request_parameters(&serde_json::json!({ "secretId": format!("prod/{number}") }));
    record.into_body()
}

pub(crate) fn options(sync: SyncMode) -> FileLogOptions {
    FileLogOptions {
        sync,
        segment_bytes: 4096,
        reserve_bytes: 16 * 1024,
        low_space_bytes: 16 * 1024,
        ..FileLogOptions::new("node-1".parse().unwrap())
    }
}

pub(crate) fn open(disk: &VolatileDisk, sync: SyncMode) -> Result<FileLog, LogOpenError> {
    open_with(disk, sync, None)
}

pub(crate) fn open_with(
    disk: &VolatileDisk,
    sync: SyncMode,
    checkpoint: Option<&Checkpoint>,
) -> Result<FileLog, LogOpenError> {
    FileLog::open(Arc::new(disk.clone()), options(sync), key(), checkpoint)
}

/// A closed log of this many records.
pub(crate) fn closed_log(disk: &VolatileDisk, records: u64) {
    let log = open(disk, SyncMode::Always).unwrap();
    for number in 0..records {
        futures_executor::block_on(log.append(body(number))).unwrap();
    }
    futures_executor::block_on(log.close(Timestamp::from_millis(START))).unwrap();
}
