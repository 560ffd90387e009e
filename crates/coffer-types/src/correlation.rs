//! What a caller calls its request by, so that its logs and the store's records can be laid side by side.
//!
//! Pure. Invariant: short, and of letters, digits and a few signs that mean nothing to any log, shell or page.

use std::fmt;
use std::sync::Arc;

/// Most bytes of an id: `Root=…;Parent=…;Sampled=…;Lineage=…`, as AWS's tracing writes it, fits.
const BYTES_MAX: usize = 128;

/// An id of the caller's own choice, which nobody vouches for. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CorrelationId(Arc<str>);

/// Why a text is no such id. The text is not repeated: what does not look like an id may be anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an id has 1 to {BYTES_MAX} letters, digits and any of -_.:;=,/+@|~")]
pub struct CorrelationIdError;

impl CorrelationId {
    /// The id in a header's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CorrelationIdError> {
        let is_legal = (1..=BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(|byte| is_harmless(*byte));
        let text = std::str::from_utf8(bytes).ok().filter(|_| is_legal);
        text.map(|text| Self(text.into())).ok_or(CorrelationIdError)
    }

    /// A number as an id.
    pub fn of_number(number: u64) -> Self {
        Self(format!("{number:016x}").into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Several ids as one, for a request made for several callers: as many as there is room for. `None` of none.
    pub fn joined<'a>(ids: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut text = String::new();
        for Self(id) in ids {
            if text.split(',').any(|known| *known == **id) {
                continue;
            }
            let comma = if text.is_empty() { "" } else { "," };
            if text.len() + comma.len() + id.len() <= BYTES_MAX {
                text.push_str(comma);
                text.push_str(id);
            }
        }
        Self::from_bytes(text.as_bytes()).ok()
    }

    /// Whether `recorded`, which a record may have of another version or through a proxy that added to it, names this id.
    pub fn is_named_by(recorded: &str, id: &str) -> bool {
        recorded == id || recorded.split([',', ';']).any(|part| part == id)
    }
}

fn is_harmless(byte: u8) -> bool {
    matches!(byte, b'+'..=b';' | b'=' | b'@'..=b'Z' | b'_' | b'a'..=b'z' | b'|' | b'~')
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for CorrelationId {
    type Err = CorrelationIdError;

    fn from_str(text: &str) -> Result<Self, CorrelationIdError> {
        Self::from_bytes(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_id() {
        for (text, is_one) in [
            ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", true),
            ("6f1a2f1e-93b6-4f6a-8c07-2f8f3e3a9c11", true),
            ("x", true),
            (&"x".repeat(128), true),
            (&"x".repeat(129), false),
            ("", false),
            ("two words", false),
            ("a\nb", false),
            ("a\"b", false),
            ("a\\b", false),
            ("<b>", false),
            ("a\u{e9}", false),
            ("$(id)", false),
            ("\u{1b}[2J", false),
        ] {
            assert_eq!(text.parse::<CorrelationId>().is_ok(), is_one, "{text:?}");
        }
        assert!(CorrelationId::from_bytes(b"\xff").is_err());
    }

    #[test]
    fn several_are_one_as_far_as_there_is_room() {
        let joined = |ids: &[&str]| {
            let ids: Vec<CorrelationId> = ids.iter().map(|id| id.parse().unwrap()).collect();
            CorrelationId::joined(&ids).map(|id| id.as_str().to_owned())
        };
        assert_eq!(joined(&[]), None);
        assert_eq!(joined(&["a"]).as_deref(), Some("a"));
        assert_eq!(joined(&["a", "b", "a"]).as_deref(), Some("a,b"));
        for bytes in [127, 128] {
            let long = "x".repeat(bytes);
            assert_eq!(joined(&[&long, "b"]), Some(long.clone()));
            assert_eq!(joined(&["b", &long]).as_deref(), Some("b"));
            assert_eq!(joined(&["b", &long, "c"]).as_deref(), Some("b,c"), "the long one keeps no other out");
        }
        assert_eq!(joined(&["a", &"x".repeat(126)]), Some(format!("a,{}", "x".repeat(126))));
    }

    #[test]
    fn whom_a_record_names() {
        for (recorded, id, is_named) in [
            ("a", "a", true),
            ("a,b", "b", true),
            ("Self=1-2;Root=1-3", "Root=1-3", true),
            ("Self=1-2;Root=1-3", "Self=1-2;Root=1-3", true),
            ("ab", "a", false),
        ] {
            assert_eq!(CorrelationId::is_named_by(recorded, id), is_named, "{recorded} {id}");
        }
    }
}
