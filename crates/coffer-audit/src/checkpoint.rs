//! What the store remembers of a log: a signed head.
//!
//! Pure. A checkpoint covers synced records only, so a log that was not tampered with always contains it.

use std::fmt;
use std::str::FromStr;

use coffer_crypto::{AuditPublicKey, AuditSigningKey};
use coffer_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Head;
use crate::chain::hex_bytes;

/// The node whose chain it is: 1 to 64 letters, digits, dots, dashes and underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Box<str>);

/// Why a text is no node id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node id is 1 to 64 letters, digits, dots, dashes and underscores")]
pub struct NodeIdError;

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(NodeIdError)
        }
    }
}

impl TryFrom<String> for NodeId {
    type Error = NodeIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.0.into()
    }
}

/// A signed statement that a chain had this head at this time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whose chain.
    pub node: NodeId,
    /// Its synced head.
    pub head: Head,
    /// When it was signed.
    pub time: Timestamp,
    /// By the audit signing key, over all of the above.
    #[serde(with = "hex_bytes")]
    pub signature: [u8; 64],
}

impl Checkpoint {
    /// Signs a head. Only a synced head may be signed, or a power cut would look like tampering.
    pub fn sign(key: &AuditSigningKey, node: NodeId, head: Head, time: Timestamp) -> Self {
        let signature = key.sign(string_to_sign(&node, head, time).as_bytes());
        Self { node, head, time, signature }
    }

    /// Whether the key's owner signed it.
    pub fn is_signed_by(&self, public_key: &AuditPublicKey) -> bool {
        public_key.verify(string_to_sign(&self.node, self.head, self.time).as_bytes(), &self.signature)
    }
}

/// One field a line; none of them can hold a line break.
fn string_to_sign(node: &NodeId, head: Head, time: Timestamp) -> String {
    let Head { sequence, hash } = head;
    format!("coffer audit checkpoint v1\n{node}\n{sequence}\n{}\n{}\n", hex::encode(hash), time.as_millis())
}

#[cfg(test)]
mod tests {
    use coffer_crypto::SystemRandom;

    use super::*;

    #[test]
    fn a_checkpoint_holds_for_what_was_signed_only() {
        let key = AuditSigningKey::make(&SystemRandom);
        let head = Head { sequence: 3, hash: [9; 32] };
        let good = Checkpoint::sign(&key, "node-1".parse().unwrap(), head, Timestamp::from_millis(5));
        assert!(good.is_signed_by(&key.public_key()));
        assert!(!good.is_signed_by(&AuditSigningKey::make(&SystemRandom).public_key()));
        let altered = [
            Checkpoint { node: "node-2".parse().unwrap(), ..good.clone() },
            Checkpoint { head: Head { sequence: 4, ..head }, ..good.clone() },
            Checkpoint { head: Head { hash: [8; 32], ..head }, ..good.clone() },
            Checkpoint { time: Timestamp::from_millis(6), ..good.clone() },
            Checkpoint { signature: [0; 64], ..good.clone() },
        ];
        assert!(altered.iter().all(|checkpoint| !checkpoint.is_signed_by(&key.public_key())));
        let json = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), good);
    }

    #[test]
    fn a_node_id_is_a_plain_word() {
        assert!("a.B-9_".parse::<NodeId>().is_ok());
        for bad in ["", "a b", "a\n", "é", &"a".repeat(65)] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }
}
