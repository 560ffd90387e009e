//! The hash chain: how a record's body becomes a line, and how a line is read back.
//!
//! Pure. Invariant: a line's hash covers its body, its sequence and the hash of the line before, so a line that
//! was changed, removed or moved no longer continues the chain.

use std::io::Write as _;

use coffer_crypto::digest::Sha256;
use serde::{Deserialize, Serialize};

/// Keeps these hashes apart from every other use of SHA-256 in coffer.
const LINE_TAG: &[u8] = b"coffer audit line v1\0";

const SEQUENCE_MEMBER: &[u8] = b",\"chain\":{\"sequence\":";
const HASH_MEMBER: &[u8] = b",\"hash\":\"";
const LINE_TAIL: &[u8] = b"\"}}";

/// What a line adds to its body at most: the chain member and the line's end.
pub(crate) const CHAIN_BYTES_MAX: usize =
    SEQUENCE_MEMBER.len() + 20 + HASH_MEMBER.len() + 64 + LINE_TAIL.len() + 1;

/// The end of a chain: the newest record's sequence and hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The number of the record; the first is 1.
    pub sequence: u64,
    /// Its hash, which covers all records before it.
    #[serde(with = "hex_bytes")]
    pub hash: [u8; 32],
}

impl Head {
    /// The head of a chain without records.
    pub const GENESIS: Self = Self { sequence: 0, hash: [0; 32] };

    /// The head after a record with this body; the body is given in two pieces.
    fn after(self, body: [&[u8]; 2]) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let body_bytes = body.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let mut hash = Sha256::new();
        hash.update(LINE_TAG);
        hash.update(&self.hash);
        hash.update(&sequence.to_be_bytes());
        hash.update(&body_bytes.to_be_bytes());
        for piece in body {
            hash.update(piece);
        }
        Self { sequence, hash: hash.finish() }
    }
}

/// Puts the line of the record after `previous` at the end of `out`, and answers the new head.
///
/// `body` is a JSON object with at least one member, on one line; [`crate::RecordBody`] guarantees it.
pub(crate) fn push_line(out: &mut Vec<u8>, body: &[u8], previous: Head) -> Head {
    let head = previous.after([body, b""]);
    let mut hash = [0; 64];
    hex::encode_to_slice(head.hash, &mut hash).expect("64 digits hold 32 bytes");
    out.reserve(body.len() + CHAIN_BYTES_MAX);
    out.extend_from_slice(body.strip_suffix(b"}").unwrap_or(body));
    out.extend_from_slice(SEQUENCE_MEMBER);
    write!(out, "{}", head.sequence).expect("writing to a vector does not fail");
    out.extend_from_slice(HASH_MEMBER);
    out.extend_from_slice(&hash);
    out.extend_from_slice(LINE_TAIL);
    out.push(b'\n');
    head
}

/// A line taken apart. That it has this form says nothing yet about its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line<'a> {
    /// The body without its closing brace.
    open_body: &'a [u8],
    /// What the line says it is.
    pub(crate) claimed: Head,
}

impl<'a> Line<'a> {
    /// Takes a line (without its end) apart from behind, so that nothing in the body can be mistaken for the
    /// chain member. `None` if it has another form.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_suffix(LINE_TAIL)?;
        let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
        if digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).ok()?;
        let rest = rest.strip_suffix(HASH_MEMBER)?;
        let body_and_name = rest.iter().rposition(|byte| !byte.is_ascii_digit())? + 1;
        let (rest, digits) = rest.split_at_checked(body_and_name)?;
        if digits.is_empty() || digits.len() > 20 || digits.first() == Some(&b'0') {
            return None;
        }
        let sequence = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let open_body = rest.strip_suffix(SEQUENCE_MEMBER)?;
        Some(Self { open_body, claimed: Head { sequence, hash } })
    }

    /// Whether the line is the one after `previous`.
    pub(crate) fn continues(&self, previous: Head) -> bool {
        self.claimed.sequence == previous.sequence.saturating_add(1)
            && previous.after([self.open_body, b"}"]) == self.claimed
    }
}

/// Bytes as lowercase hex in JSON.
pub(crate) mod hex_bytes {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<const N: usize, S: Serializer>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(text.as_bytes(), &mut bytes)
            .map_err(|_| D::Error::custom(format_args!("not {} hex digits", N * 2)))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_body_with_the_chain_as_last_member() {
        let mut out = Vec::new();
        let first = push_line(&mut out, br#"{"a":1}"#, Head::GENESIS);
        let second = push_line(&mut out, br#"{"b":"}\",\"chain\":{\"sequence\":9"}"#, first);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            format!(r#"{{"a":1,"chain":{{"sequence":1,"hash":"{}"}}}}"#, hex::encode(first.hash))
        );
        let read: Vec<Line<'_>> = lines.iter().map(|line| Line::parse(line.as_bytes()).unwrap()).collect();
        assert!(read[0].continues(Head::GENESIS));
        assert!(read[1].continues(first));
        assert!(!read[1].continues(Head::GENESIS));
        assert_eq!(read[1].claimed, second);
    }

    #[test]
    fn the_hash_is_as_documented() {
        let body = br#"{"a":1}"#;
        let bytes = [LINE_TAG, &[0; 32], &1_u64.to_be_bytes(), &7_u64.to_be_bytes(), body].concat();
        let head = push_line(&mut Vec::new(), body, Head::GENESIS);
        assert_eq!(head.hash, coffer_crypto::digest::sha256(&bytes));
    }

    #[test]
    fn other_forms_are_refused() {
        let mut out = Vec::new();
        push_line(&mut out, br#"{"a":1}"#, Head::GENESIS);
        let line = String::from_utf8(out).unwrap().trim_end().to_owned();
        assert!(Line::parse(line.as_bytes()).is_some());
        for bad in [
            String::new(),
            "{}".to_owned(),
            line.replace("\"sequence\":1", "\"sequence\":01"),
            line.replace("\"sequence\":1", "\"sequence\":"),
            line.replace("\"sequence\":1", "\"sequence\":99999999999999999999"),
            line.replace("\"sequence\":1", "\"sequence\":+1"),
            format!("{line} "),
            line.to_uppercase(),
            line[..line.len() - 1].to_owned(),
        ] {
            assert!(Line::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
