//! The digest of a closed segment: what was in it, signed, and chained to the digest before.
//!
//! Pure. Invariant: the string to sign has one field a line and no field can hold a line break, so two different
//! digests never have the same string.

use coffer_crypto::digest::sha256;
use coffer_crypto::{AuditPublicKey, AuditSigningKey};
use coffer_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain::hex_bytes;
use crate::{Head, NodeId};

/// The format this coffer writes.
const FORMAT: u32 = 1;
/// A digest file is far smaller; a larger one is none.
pub(crate) const DIGEST_FILE_BYTES_MAX: usize = 16 * 1024;

/// A closed segment's digest, as its file holds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentDigest {
    /// The format of this file.
    pub format: u32,
    /// Whose log.
    pub node: NodeId,
    /// The segment's file name.
    pub segment: String,
    /// The chain before the segment's first line.
    pub previous: Head,
    /// The chain after its last line.
    pub last: Head,
    /// The `eventTime` of its first record, in milliseconds.
    pub first_time: Timestamp,
    /// The `eventTime` of its last record, in milliseconds.
    pub last_time: Timestamp,
    /// When the segment was closed, in milliseconds.
    pub time: Timestamp,
    /// How long the file is.
    pub bytes: u64,
    /// The SHA-256 of the file.
    #[serde(with = "hex_bytes")]
    pub sha256: [u8; 32],
    /// The digest before; none before the first.
    pub previous_digest: Option<DigestReference>,
    /// Who signed.
    pub public_key: AuditPublicKey,
    /// The signature.
    #[serde(with = "hex_bytes")]
    pub signature: [u8; 64],
}

/// How a digest names the one before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DigestReference {
    /// The SHA-256 of its file.
    #[serde(with = "hex_bytes")]
    pub sha256: [u8; 32],
    /// Its signature.
    #[serde(with = "hex_bytes")]
    pub signature: [u8; 64],
}

/// What a digest says about its segment.
pub(crate) struct Closed {
    pub(crate) node: NodeId,
    pub(crate) segment: String,
    pub(crate) previous: Head,
    pub(crate) last: Head,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
    pub(crate) time: Timestamp,
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

impl SegmentDigest {
    pub(crate) fn sign(
        key: &AuditSigningKey,
        closed: Closed,
        previous_digest: Option<DigestReference>,
    ) -> Self {
        let Closed { node, segment, previous, last, first_time, last_time, time, bytes, sha256 } = closed;
        let mut digest = Self {
            format: FORMAT,
            node,
            segment,
            previous,
            last,
            first_time,
            last_time,
            time,
            bytes,
            sha256,
            previous_digest,
            public_key: key.public_key(),
            signature: [0; 64],
        };
        digest.signature = key.sign(digest.string_to_sign().as_bytes());
        digest
    }

    /// Whether this key's owner signed it; that it names the key is not enough.
    pub fn is_signed_by(&self, public_key: &AuditPublicKey) -> bool {
        self.public_key == *public_key
            && !self.segment.contains('\n')
            && public_key.verify(self.string_to_sign().as_bytes(), &self.signature)
    }

    /// The file's bytes.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a digest is JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a file; `None` if it is no digest of a format this coffer knows.
    pub(crate) fn from_file(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|digest: &Self| digest.format == FORMAT)
    }

    /// How the next digest names this one.
    pub(crate) fn reference(&self, file: &[u8]) -> DigestReference {
        DigestReference { sha256: sha256(file), signature: self.signature }
    }

    fn string_to_sign(&self) -> String {
        let (previous_file, previous_signature) = match &self.previous_digest {
            Some(previous) => (hex::encode(previous.sha256), hex::encode(previous.signature)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let fields = [
            "coffer audit digest v1".to_owned(),
            self.node.to_string(),
            self.segment.clone(),
            self.previous.sequence.to_string(),
            hex::encode(self.previous.hash),
            self.last.sequence.to_string(),
            hex::encode(self.last.hash),
            self.first_time.as_millis().to_string(),
            self.last_time.as_millis().to_string(),
            self.time.as_millis().to_string(),
            self.bytes.to_string(),
            hex::encode(self.sha256),
            previous_file,
            previous_signature,
            self.public_key.to_string(),
        ];
        fields.join("\n") + "\n"
    }
}
