//! The only door to hashes, AEAD, signatures and random bytes.
