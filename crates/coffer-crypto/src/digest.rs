//! SHA-256.
//!
//! Pure.

use aws_lc_rs::digest;

/// The SHA-256 of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    to_array(&digest::digest(&digest::SHA256, data))
}

/// The SHA-256 of `data` in lowercase hex digits, as SigV4 writes it.
pub fn sha256_hex(data: &[u8]) -> [u8; 64] {
    let mut digits = [0; 64];
    hex::encode_to_slice(sha256(data), &mut digits).expect("64 digits hold 32 bytes");
    digits
}

/// SHA-256 of data that comes in pieces. Cloning it keeps the state of a common prefix.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// The hash of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes in the next piece.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The hash of all pieces.
    pub fn finish(self) -> [u8; 32] {
        to_array(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

fn to_array(digest: &digest::Digest) -> [u8; 32] {
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn agrees_with_fips_180_4() {
        assert_eq!(sha256_hex(b""), *EMPTY.as_bytes());
        assert_eq!(sha256_hex(b"abc"), *ABC.as_bytes());
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let mut pieces = Sha256::new();
        pieces.update(b"a");
        pieces.update(b"");
        pieces.update(b"bc");
        assert_eq!(hex::encode(pieces.finish()), ABC);
        assert_eq!(hex::encode(Sha256::default().finish()), EMPTY);
    }
}
