//! HMAC-SHA-256, and comparison that takes the same time wherever two values differ.
//!
//! Pure.

use aws_lc_rs::{constant_time, hmac};

/// The HMAC-SHA-256 of `data` under `key`. Compare it with [`constant_time_eq`] only.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
}

/// Whether two byte strings are equal. The time it takes depends on their lengths alone.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// The tag written straight to the caller's array: intermediate tags are keys in SigV4, and the library's own
/// type for a tag is not wiped.
pub(crate) fn sign(key: &hmac::Key, data: &[u8]) -> [u8; 32] {
    let mut tag = [0; 32];
    hmac::sign_to_buffer(key, data, &mut tag).expect("an HMAC-SHA-256 tag has 32 bytes");
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_4231_case_2() {
        assert_eq!(
            hex::encode(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn equality_is_of_all_bytes_and_of_the_length() {
        assert!(constant_time_eq(b"", b""));
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"abcd"));
    }
}
