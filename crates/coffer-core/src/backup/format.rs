//! The bytes of a backup: a front, frames that are chained by hash, a trailer that signs the chain.
//!
//! Pure but for the reader that is given. Invariants: whatever was written by a stranger makes an error and no panic;
//! no more than one frame is in memory; [`Reader::next`] answers `None` only after a trailer whose counts are right
//! and whose signature holds, with nothing behind it.

use std::io::{self, Read};

use bytes::Bytes;
use coffer_audit::Checkpoint;
use coffer_crypto::digest::Sha256;
use coffer_crypto::{AuditPublicKey, AuditSigningKey, StoreId};
use coffer_store::{Entry, Revision};
use coffer_types::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};

/// What every backup begins with, before the number of its format.
const MAGIC: &[u8; 14] = b"coffer backup\n";
/// The format that this coffer writes, and the newest it reads.
const FORMAT: u16 = 1;
/// Most bytes in a frame: the largest record a store takes, and what was gathered before it.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most bytes of a header.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// A frame of records is written once it holds this much.
const RECORDS_BYTES: usize = 256 * 1024;
/// Keeps these hashes apart from every other use of SHA-256 in coffer.
const FRAME_TAG: &[u8] = b"coffer backup frame v1\0";

const HEADER: u8 = b'H';
const RECORDS: u8 = b'R';
const TRAILER: u8 = b'T';

/// Kind and length before a frame's bytes.
const FRONT_BYTES: usize = 5;
const HASH_BYTES: usize = 32;
const TRAILER_BYTES: usize = 8 + 8 + 64;
/// Key's length, value's length, revision.
const ENTRY_FRONT_BYTES: usize = 4 + 4 + 8;

/// What a backup says of itself. The trailer's signature covers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The version of coffer that wrote it.
    pub coffer: String,
    /// Of which store.
    pub store_id: StoreId,
    /// Its default account.
    pub account: AccountId,
    /// Its default region.
    pub region: Region,
    /// When the store was founded.
    pub founded: Timestamp,
    /// The newest change in it.
    pub revision: u64,
    /// When it was taken.
    pub time: Timestamp,
    /// Where the audit log ended. Records of changes up to the revision that are not in the log up to here are in
    /// the backup, as entries of the outbox.
    pub audit: Checkpoint,
    /// Whose signatures the trailer and the checkpoint bear.
    pub public_key: AuditPublicKey,
    /// The content of the store's `seal.json`: the sealed root key.
    pub seal: serde_json::Value,
    /// The certificates that clients of the store trust, in PEM, if it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<String>,
}

/// What a backup holds, by its trailer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// How many records.
    pub entries: u64,
    /// How many bytes their keys and values have.
    pub bytes: u64,
    /// The hash of everything before the trailer: the backup's own name.
    pub hash: [u8; 32],
}

/// Why a file is no backup, or not a whole one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It does not begin as a backup does.
    #[error("this is no backup of coffer's")]
    NotABackup,
    /// A newer coffer wrote it.
    #[error("the backup has format {found}, and this coffer knows formats up to {known}: use a newer coffer")]
    NewerFormat {
        /// Its format.
        found: u16,
        /// The newest this coffer knows.
        known: u16,
    },
    /// It ends before its end.
    #[error("the backup is cut short: it ends at byte {offset}, within {within}")]
    CutShort {
        /// Where it ends.
        offset: u64,
        /// In what.
        within: &'static str,
    },
    /// Bytes of it are not those that were written, or pieces were removed or moved.
    #[error("the backup is damaged {}: {what}", self.place())]
    Damaged {
        /// Where the frame begins that shows it.
        offset: u64,
        /// The first key of that frame, if it can be read.
        key: Option<String>,
        /// What is wrong there.
        what: &'static str,
    },
    /// The signature is not that of the key it names, or that key is not the store's.
    #[error("the backup is not authentic: {0}")]
    NotAuthentic(&'static str),
    /// It could not be read.
    #[error("the backup cannot be read")]
    Read(#[source] io::Error),
}

impl BackupError {
    fn damaged(offset: u64, what: &'static str) -> Self {
        Self::Damaged { offset, key: None, what }
    }

    fn place(&self) -> String {
        match self {
            Self::Damaged { offset, key: Some(key), .. } => {
                format!("in the frame at byte {offset}, after record `{key}`")
            }
            Self::Damaged { offset, .. } => format!("in the frame at byte {offset}"),
            _ => String::new(),
        }
    }
}

/// A storage key as people can read it.
pub(crate) fn shown(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// The hash of a chain of frames after one more.
fn hash_after(previous: &[u8; 32], front: &[u8], payload: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(FRAME_TAG);
    hash.update(previous);
    hash.update(front);
    hash.update(payload);
    hash.finish()
}

/// One field a line; none of them can hold a line break.
fn string_to_sign(store_id: StoreId, revision: u64, totals: &Totals) -> String {
    let Totals { entries, bytes, hash } = totals;
    format!("coffer backup v1\n{store_id}\n{revision}\n{entries}\n{bytes}\n{}\n", hex::encode(hash))
}

/// Makes the pieces of a backup, in order.
pub(crate) struct Encoder {
    store_id: StoreId,
    revision: u64,
    totals: Totals,
    gathered: Vec<u8>,
}

impl Encoder {
    /// The front and the header. `None` if the header is longer than any that would be read.
    pub(crate) fn begin(header: &Header) -> Option<(Self, Vec<u8>)> {
        let mut encoder = Self {
            store_id: header.store_id,
            revision: header.revision,
            totals: Totals::default(),
            gathered: Vec::with_capacity(RECORDS_BYTES + FRONT_BYTES),
        };
        let mut piece = MAGIC.to_vec();
        piece.extend_from_slice(&FORMAT.to_be_bytes());
        let header = serde_json::to_vec(header).ok().filter(|header| header.len() <= HEADER_BYTES_MAX)?;
        piece.extend_from_slice(&encoder.frame(HEADER, &header));
        Some((encoder, piece))
    }

    /// Takes in a record; answers a piece once there is enough for one. Keys come in ascending order.
    pub(crate) fn push(&mut self, entry: &Entry) -> Option<Vec<u8>> {
        let (key, value) = (&entry.key, &entry.value);
        // The store's own limit on a change keeps both far below.
        for length in [key.len(), value.len()] {
            self.gathered.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
        self.gathered.extend_from_slice(&entry.revision.0.to_be_bytes());
        self.gathered.extend_from_slice(key);
        self.gathered.extend_from_slice(value);
        self.totals.entries += 1;
        self.totals.bytes += (key.len() + value.len()) as u64;
        (self.gathered.len() >= RECORDS_BYTES).then(|| self.flush())
    }

    /// What was taken in and not given out, and the trailer.
    pub(crate) fn finish(mut self, key: &AuditSigningKey) -> (Vec<u8>, Totals) {
        let mut piece = if self.gathered.is_empty() { Vec::new() } else { self.flush() };
        let totals = self.totals;
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&totals.entries.to_be_bytes());
        trailer.extend_from_slice(&totals.bytes.to_be_bytes());
        let signed = string_to_sign(self.store_id, self.revision, &totals);
        trailer.extend_from_slice(&key.sign(signed.as_bytes()));
        piece.extend_from_slice(&self.frame(TRAILER, &trailer));
        (piece, totals)
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    fn flush(&mut self) -> Vec<u8> {
        let gathered = std::mem::replace(&mut self.gathered, Vec::with_capacity(RECORDS_BYTES + FRONT_BYTES));
        self.frame(RECORDS, &gathered)
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(FRONT_BYTES + payload.len() + HASH_BYTES);
        frame.push(kind);
        frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.totals.hash = hash_after(&self.totals.hash, &frame, payload);
        frame.extend_from_slice(payload);
        frame.extend_from_slice(&self.totals.hash);
        frame
    }
}

/// Reads a backup from its beginning to its end.
pub struct Reader<R> {
    source: R,
    /// How many bytes were read.
    position: u64,
    header: Header,
    totals: Totals,
    last_key: Bytes,
    is_over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header. That it is authentic shows only at the end.
    pub fn open(mut source: R) -> Result<Self, BackupError> {
        let mut front = [0; MAGIC.len() + 2];
        let length = read_up_to(&mut source, &mut front)?;
        let (magic, format) = front.split_at(MAGIC.len());
        if length < front.len() || magic != MAGIC {
            return Err(BackupError::NotABackup);
        }
        let found = u16::from_be_bytes(format.try_into().unwrap_or_default());
        if found != FORMAT {
            return Err(BackupError::NewerFormat { found, known: FORMAT });
        }
        let mut position = front.len() as u64;
        let mut totals = Totals::default();
        let (kind, payload) = read_frame(&mut source, &mut position, &mut totals.hash, HEADER_BYTES_MAX)?;
        let offset = front.len() as u64;
        if kind != HEADER {
            return Err(BackupError::damaged(offset, "it is no header"));
        }
        let header: Header = serde_json::from_slice(&payload)
            .map_err(|_| BackupError::damaged(offset, "the header cannot be read"))?;
        Ok(Self { source, position, header, totals, last_key: Bytes::new(), is_over: false })
    }

    /// What the backup says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What was read so far; at the end, what the backup holds.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The records of the next frame. `None` once the end is reached, and everything before it is what was signed
    /// with the key that the header names.
    #[expect(clippy::should_implement_trait, reason = "it fails, and ends there")]
    pub fn next(&mut self) -> Result<Option<Vec<Entry>>, BackupError> {
        if self.is_over {
            return Ok(None);
        }
        let (offset, before) = (self.position, self.totals.hash);
        let read = read_frame(&mut self.source, &mut self.position, &mut self.totals.hash, FRAME_BYTES_MAX);
        let (kind, payload) = read.map_err(|error| self.place(error))?;
        let damaged = |what| Err(self.place(BackupError::damaged(offset, what)));
        match kind {
            RECORDS => match self.take_entries(payload) {
                Ok(entries) => Ok(Some(entries)),
                Err(what) => Err(self.place(BackupError::damaged(offset, what))),
            },
            TRAILER => {
                let Ok(trailer) = <&[u8; TRAILER_BYTES]>::try_from(&payload[..]) else {
                    return damaged("the trailer has another length");
                };
                self.totals.hash = before;
                self.check_trailer(offset, trailer)?;
                if read_up_to(&mut self.source, &mut [0])? != 0 {
                    return Err(BackupError::damaged(self.position, "something follows its end"));
                }
                self.is_over = true;
                Ok(None)
            }
            _ => damaged("it is of no known kind"),
        }
    }

    /// Says in an error what was whole before.
    fn place(&self, error: BackupError) -> BackupError {
        match error {
            BackupError::Damaged { offset, key: None, what } if !self.last_key.is_empty() => {
                BackupError::Damaged { offset, key: Some(shown(&self.last_key)), what }
            }
            error => error,
        }
    }

    fn take_entries(&mut self, payload: Bytes) -> Result<Vec<Entry>, &'static str> {
        let mut entries = Vec::new();
        let mut rest = payload;
        while !rest.is_empty() {
            let entry = take_entry(&mut rest).ok_or("a record in it is cut short")?;
            if entry.key <= self.last_key {
                return Err("its records are not in the order of their keys");
            }
            self.totals.entries += 1;
            self.totals.bytes += (entry.key.len() + entry.value.len()) as u64;
            self.last_key = entry.key.clone();
            entries.push(entry);
        }
        // Of its own, so that it does not keep the frame.
        self.last_key = Bytes::copy_from_slice(&self.last_key);
        Ok(entries)
    }

    fn check_trailer(&self, offset: u64, trailer: &[u8; TRAILER_BYTES]) -> Result<(), BackupError> {
        let (counts, signature) = trailer.split_at(16);
        let (entries, bytes) = counts.split_at(8);
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap_or_default());
        if (number(entries), number(bytes)) != (self.totals.entries, self.totals.bytes) {
            return Err(BackupError::damaged(offset, "it holds another number of records than were written"));
        }
        let signed = string_to_sign(self.header.store_id, self.header.revision, &self.totals);
        let is_signed = <&[u8; 64]>::try_from(signature)
            .is_ok_and(|signature| self.header.public_key.verify(signed.as_bytes(), signature));
        if !is_signed {
            return Err(BackupError::NotAuthentic("its signature does not hold"));
        }
        if !self.header.audit.is_signed_by(&self.header.public_key) {
            return Err(BackupError::NotAuthentic(
                "the checkpoint of its audit log is signed by another key",
            ));
        }
        Ok(())
    }
}

/// Splits the next record off.
fn take_entry(rest: &mut Bytes) -> Option<Entry> {
    let front: [u8; ENTRY_FRONT_BYTES] = rest.get(..ENTRY_FRONT_BYTES)?.try_into().ok()?;
    let (lengths, revision) = front.split_at(8);
    let (key, value) = lengths.split_at(4);
    let length = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize);
    let (key_bytes, value_bytes) = (length(key)?, length(value)?);
    let total = ENTRY_FRONT_BYTES.checked_add(key_bytes)?.checked_add(value_bytes)?;
    if key_bytes == 0 || rest.len() < total {
        return None;
    }
    let mut entry = rest.split_to(total);
    drop(entry.split_to(ENTRY_FRONT_BYTES));
    let key = entry.split_to(key_bytes);
    Some(Entry { key, value: entry, revision: Revision(u64::from_be_bytes(revision.try_into().ok()?)) })
}

/// Reads a frame that continues the chain, and no more of it than it may have.
fn read_frame(
    source: &mut impl Read,
    position: &mut u64,
    hash: &mut [u8; 32],
    bytes_max: usize,
) -> Result<(u8, Bytes), BackupError> {
    let offset = *position;
    let mut fill = |buffer: &mut [u8], within| {
        let length = read_up_to(source, buffer)?;
        *position += length as u64;
        if length < buffer.len() { Err(BackupError::CutShort { offset: *position, within }) } else { Ok(()) }
    };
    let mut front = [0; FRONT_BYTES];
    fill(&mut front, "the front of a frame, with no trailer before it")?;
    let [kind, length @ ..] = front;
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        return Err(BackupError::damaged(offset, "it is longer than any frame"));
    }
    let mut payload = vec![0; length];
    fill(&mut payload, "a frame")?;
    let mut found = [0; HASH_BYTES];
    fill(&mut found, "the hash of a frame")?;
    *hash = hash_after(hash, &front, &payload);
    if *hash != found {
        return Err(BackupError::damaged(offset, "its hash is not that of its bytes and of those before it"));
    }
    Ok((kind, payload.into()))
}

/// Fills the buffer as far as there is something to read.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> Result<usize, BackupError> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BackupError::Read(error)),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use coffer_audit::Head;
    use coffer_crypto::Key;
    use proptest::prelude::*;

    use super::*;

    fn signing_key() -> AuditSigningKey {
        AuditSigningKey::from_seed(Key::from_bytes(&[7; 32]))
    }

    fn header() -> Header {
        let (key, time) = (signing_key(), Timestamp::from_millis(5));
        Header {
            coffer: "0.1.0".to_owned(),
            store_id: "000102030405060708090a0b0c0d0e0f".parse().unwrap(),
            account: AccountId::EXAMPLE,
            region: Region::us_east_1(),
            founded: time,
            revision: 9,
            time,
            audit: Checkpoint::sign(
                &key,
                "node-1".parse().unwrap(),
                Head { sequence: 3, hash: [9; 32] },
                time,
            ),
            public_key: key.public_key(),
            seal: serde_json::json!({"format": 1}),
            certificates: None,
        }
    }

    fn entry(number: u16, bytes: usize) -> Entry {
        let key = Bytes::from([b"v\0".as_slice(), &number.to_be_bytes()].concat());
        Entry { key, value: vec![number as u8; bytes].into(), revision: Revision(number.into()) }
    }

    fn encode(entries: &[Entry]) -> Vec<u8> {
        let (mut encoder, mut bytes) = Encoder::begin(&header()).unwrap();
        for entry in entries {
            bytes.extend(encoder.push(entry).unwrap_or_default());
        }
        bytes.extend(encoder.finish(&signing_key()).0);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Entry>, BackupError> {
        let mut reader = Reader::open(bytes)?;
        let mut entries = Vec::new();
        while let Some(more) = reader.next()? {
            entries.extend(more);
        }
        Ok(entries)
    }

    /// Where each frame begins and ends.
    fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
        let (mut frames, mut at) = (Vec::new(), MAGIC.len() + 2);
        while at < bytes.len() {
            let length = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
            let end = at + FRONT_BYTES + length + HASH_BYTES;
            frames.push(at..end);
            at = end;
        }
        frames
    }

    fn large() -> Vec<Entry> {
        (0..40).map(|number| entry(number, 20_000)).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        for entries in [vec![], vec![entry(1, 0)], large()] {
            assert_eq!(decode(&encode(&entries)).unwrap(), entries);
        }
        assert!(frames(&encode(&large())).len() > 4);
    }

    #[test]
    fn pieces_that_are_missing_moved_or_another_backups_are_noticed() {
        let bytes = encode(&large());
        let frames = frames(&bytes);
        let put = |order: &[usize]| {
            let mut made = bytes[..MAGIC.len() + 2].to_vec();
            order.iter().for_each(|&frame| made.extend_from_slice(&bytes[frames[frame].clone()]));
            made
        };
        let last = frames.len() - 1;
        let all: Vec<usize> = (0..=last).collect();
        assert!(decode(&put(&all)).is_ok());
        for order in [
            vec![],
            all[..last].to_vec(),
            all[1..].to_vec(),
            [&[0], &all[2..]].concat(),
            [&[0, 2, 1], &all[3..]].concat(),
            [&all[..], &[last]].concat(),
            [&[0, 1, 1], &all[2..]].concat(),
        ] {
            assert!(decode(&put(&order)).is_err(), "{order:?}");
        }
        let mut with_tail = bytes.clone();
        with_tail.push(0);
        assert!(matches!(decode(&with_tail), Err(BackupError::Damaged { .. })));
        let mut newer = bytes.clone();
        newer[MAGIC.len() + 1] = 2;
        assert!(matches!(decode(&newer), Err(BackupError::NewerFormat { found: 2, known: 1 })));
        assert!(matches!(decode(b"PK"), Err(BackupError::NotABackup)));
    }

    /// Whoever can write the file can make a chain of hashes, and no signature.
    #[test]
    fn a_chain_made_anew_is_not_signed() {
        let (mut encoder, mut bytes) = Encoder::begin(&header()).unwrap();
        assert!(encoder.push(&entry(1, 10)).is_none());
        let stranger = AuditSigningKey::from_seed(Key::from_bytes(&[8; 32]));
        bytes.extend(encoder.finish(&stranger).0);
        assert!(matches!(decode(&bytes), Err(BackupError::NotAuthentic(_))));
    }

    #[test]
    fn an_error_says_where() {
        let mut bytes = encode(&large());
        let second = frames(&bytes)[2].clone();
        bytes[second.start + 100] ^= 1;
        let text = decode(&bytes).unwrap_err().to_string();
        let place = format!("in the frame at byte {}, after record `v\\x00\\x00\\r`", second.start);
        assert!(text.contains(&place), "{text}");
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut bytes = encode(&[entry(1, 10)]);
        let records = frames(&bytes)[1].clone();
        bytes[records.start + 1..records.start + 5].copy_from_slice(&u32::MAX.to_be_bytes());
        let text = decode(&bytes).unwrap_err().to_string();
        assert!(text.contains("longer than any frame"), "{text}");
    }

    proptest! {
        #[test]
        fn any_records_come_back(values in proptest::collection::vec(0usize..5000, 0..60)) {
            let entries: Vec<_> =
                values.into_iter().zip(0..).map(|(bytes, number)| entry(number, bytes)).collect();
            prop_assert_eq!(decode(&encode(&entries)).unwrap(), entries);
        }

        #[test]
        fn a_changed_bit_is_noticed(at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = encode(&[entry(1, 30), entry(2, 0)]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn every_shorter_file_is_noticed(at: prop::sample::Index) {
            let bytes = encode(&[entry(1, 30), entry(2, 0)]);
            prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
        }

        #[test]
        fn strangers_bytes_make_an_error(tail: Vec<u8>, kind in "[HRTX]", length in 0u32..40) {
            prop_assert!(decode(&tail).is_err());
            let front = encode(&[]);
            let header = frames(&front)[0].end;
            for front in [&front[..MAGIC.len() + 2], &front[..header]] {
                let frame = [front, kind.as_bytes(), &length.to_be_bytes(), &tail].concat();
                prop_assert!(decode(&frame).is_err());
            }
        }

        /// Frames whose hash is right, as a stranger can make them too.
        #[test]
        fn strangers_frames_make_an_error(payload: Vec<u8>, kind in "[HRTX]") {
            let (mut encoder, mut bytes) = Encoder::begin(&header()).unwrap();
            bytes.extend(encoder.frame(kind.as_bytes()[0], &payload));
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
