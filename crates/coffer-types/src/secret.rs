//! Secret values in memory.

use zeroize::{Zeroize, Zeroizing};

use crate::limits::SECRET_VALUE_BYTES_MAX;

/// Bytes nobody may see: wiped when dropped, never printed, never serialized.
///
/// It has no `Debug`, `Display`, `Serialize`, `Clone` or `PartialEq`, so a log line, an error or a derive that
/// would show a value does not compile. [`SecretBytes::expose_secret`] is the one way in, and easy to search for.
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Takes over `bytes`. A vector with spare capacity is copied to its exact size and the old one wiped, since
    /// shrinking in place may leave the old bytes behind.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        if bytes.len() == bytes.capacity() {
            return Self(bytes.into_boxed_slice());
        }
        let exact = bytes.as_slice().into();
        bytes.zeroize();
        Self(exact)
    }

    /// A copy of `bytes`; the caller wipes its own.
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The value. Every caller of this is a place to review.
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes; a length is not secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretBytes {
    fn from(mut bytes: Zeroizing<Vec<u8>>) -> Self {
        Self::new(std::mem::take(&mut *bytes))
    }
}

/// A secret's value: text or bytes, which AWS keeps apart (`SecretString`, `SecretBinary`).
///
/// Invariant: 1 to 65,536 bytes, and a `String` is UTF-8.
pub enum SecretValue {
    /// `SecretString`.
    String(SecretBytes),
    /// `SecretBinary`.
    Binary(SecretBytes),
}

impl SecretValue {
    /// A text value; `None` unless it has 1 to 65,536 bytes of UTF-8.
    pub fn string(bytes: SecretBytes) -> Option<Self> {
        let legal = Self::has_legal_length(&bytes) && std::str::from_utf8(bytes.expose_secret()).is_ok();
        legal.then_some(Self::String(bytes))
    }

    /// A binary value; `None` unless it has 1 to 65,536 bytes.
    pub fn binary(bytes: SecretBytes) -> Option<Self> {
        Self::has_legal_length(&bytes).then_some(Self::Binary(bytes))
    }

    /// The bytes, whichever kind.
    pub fn bytes(&self) -> &SecretBytes {
        match self {
            Self::String(bytes) | Self::Binary(bytes) => bytes,
        }
    }

    fn has_legal_length(bytes: &SecretBytes) -> bool {
        (1..=SECRET_VALUE_BYTES_MAX).contains(&bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(SecretBytes: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone, PartialEq);
    assert_not_impl_any!(SecretValue: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone, PartialEq);

    #[test]
    fn a_value_has_1_to_65536_bytes_and_a_text_is_utf8() {
        assert!(SecretValue::string(SecretBytes::new(vec![])).is_none());
        assert!(SecretValue::string(SecretBytes::new(vec![b'a'; 65_536])).is_some());
        assert!(SecretValue::binary(SecretBytes::new(vec![b'a'; 65_537])).is_none());
        assert!(SecretValue::string(SecretBytes::new(vec![0xff])).is_none());
        assert!(SecretValue::binary(SecretBytes::new(vec![0xff])).is_some());
    }
}
