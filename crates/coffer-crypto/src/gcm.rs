//! AES-256-GCM, for keys that seal once or with a nonce derived elsewhere.
//!
//! Pure. Private to the crate, because a nonce used twice under one key gives both plaintexts away: callers are
//! [`crate::xaes`], which derives a key for each nonce, and [`crate::value`], whose keys seal one value each.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::OpenError;

pub(crate) const NONCE_BYTES: usize = NONCE_LEN;
pub(crate) const TAG_BYTES: usize = 16;

/// A key ready for use. The library wipes it when it is dropped.
pub(crate) struct Gcm(LessSafeKey);

impl Gcm {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes")))
    }

    /// Writes ciphertext and tag of `plaintext` to `out`, which has exactly [`TAG_BYTES`] more.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_BYTES], context: &[u8], plaintext: &[u8], out: &mut [u8]) {
        let (ciphertext, tag) = out.split_at_mut(plaintext.len());
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(context), plaintext, ciphertext, &[], tag)
            .expect("sealing fails only above 64 GiB, or if `out` has the wrong length");
    }

    /// Writes the plaintext to `out`, which has exactly as many bytes as `ciphertext`.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        context: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_BYTES],
        out: &mut [u8],
    ) -> Result<(), OpenError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_separate_gather(nonce, Aad::from(context), ciphertext, tag, out)
            .map_err(|_| OpenError::Authentication)
    }
}

/// A sealed thing taken apart: what comes before the ciphertext, the ciphertext and the tag.
pub(crate) struct Parts<'a, const NONCE: usize> {
    pub(crate) nonce: &'a [u8; NONCE],
    pub(crate) ciphertext: &'a [u8],
    pub(crate) tag: &'a [u8; TAG_BYTES],
}

impl<'a, const NONCE: usize> Parts<'a, NONCE> {
    /// Takes apart format byte ‖ nonce ‖ ciphertext ‖ tag.
    pub(crate) fn parse(sealed: &'a [u8], format: u8) -> Result<Self, OpenError> {
        let (&first, rest) = sealed.split_first().ok_or(OpenError::Truncated)?;
        if first != format {
            return Err(OpenError::Format(first));
        }
        let (nonce, rest) = rest.split_first_chunk().ok_or(OpenError::Truncated)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(OpenError::Truncated)?;
        Ok(Self { nonce, ciphertext, tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_gcm_specification_cases_13_and_14() {
        let key = Gcm::new(&[0; 32]);
        let mut sealed = [0; 16];
        key.seal([0; 12], b"", b"", &mut sealed);
        assert_eq!(hex::encode(sealed), "530f8afbc74536b9a963b4f1c4cb738b");
        let mut sealed = [0; 32];
        key.seal([0; 12], b"", &[0; 16], &mut sealed);
        assert_eq!(hex::encode(sealed), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    }
}
