//! XAES-256-GCM, as C2SP specifies it (<https://c2sp.org/XAES-256-GCM>): AES-256-GCM with a nonce of 192 bits.
//!
//! Pure but for the nonce it draws. The first half of the nonce derives a key through AES-CMAC, the second half
//! is the nonce under that key, so one key may seal 2⁸⁰ times with random nonces; nobody has to count.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use zeroize::Zeroizing;

use crate::OpenError;
use crate::gcm::{Gcm, NONCE_BYTES as GCM_NONCE_BYTES, Parts, TAG_BYTES};
use crate::random::{self, Random};

pub(crate) const NONCE_BYTES: usize = 24;
/// What sealing adds: format byte, nonce and tag.
pub(crate) const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;
/// The first byte of everything sealed here.
const FORMAT: u8 = 1;

/// A key, kept as its AES key schedule and the subkey AES-CMAC makes of it, so that using it costs no set-up.
/// Both are wiped when it is dropped.
pub(crate) struct Xaes {
    block_cipher: EncryptingKey,
    cmac_subkey: Zeroizing<u128>,
}

impl Xaes {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let block_cipher = UnboundCipherKey::new(&AES_256, key).and_then(EncryptingKey::ecb);
        let block_cipher = block_cipher.expect("an AES-256 key has 32 bytes");
        let mut zero = Zeroizing::new([0; 16]);
        encrypt_blocks(&block_cipher, &mut *zero);
        let cmac_subkey = Zeroizing::new(double(u128::from_be_bytes(*zero)));
        Self { block_cipher, cmac_subkey }
    }

    /// Format byte ‖ nonce ‖ ciphertext ‖ tag.
    pub(crate) fn seal(&self, random: &dyn Random, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let nonce = random::make_bytes(random);
        let mut sealed = vec![0; OVERHEAD_BYTES + plaintext.len()];
        let (head, body) = sealed.split_at_mut(1 + NONCE_BYTES);
        head.copy_from_slice(&head_of(&nonce));
        self.seal_with_nonce(&nonce, context, plaintext, body);
        sealed
    }

    /// The plaintext, if all of it was sealed by [`Self::seal`] under this key and this context.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let parts = Parts::parse(sealed, FORMAT)?;
        let mut plaintext = Zeroizing::new(vec![0; parts.ciphertext.len()]);
        self.open_parts(context, &parts, &mut plaintext)?;
        Ok(plaintext)
    }

    /// The same for a key, without a buffer on the heap.
    pub(crate) fn open_key(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        let parts = Parts::parse(sealed, FORMAT)?;
        let mut key = Zeroizing::new([0; 32]);
        match parts.ciphertext.len().cmp(&key.len()) {
            std::cmp::Ordering::Less => Err(OpenError::Truncated),
            std::cmp::Ordering::Greater => Err(OpenError::Authentication),
            std::cmp::Ordering::Equal => self.open_parts(context, &parts, &mut *key).map(|()| key),
        }
    }

    fn open_parts(
        &self,
        context: &[u8],
        parts: &Parts<NONCE_BYTES>,
        out: &mut [u8],
    ) -> Result<(), OpenError> {
        let (key, nonce) = self.derive(parts.nonce);
        key.open(nonce, context, parts.ciphertext, parts.tag, out)
    }

    fn seal_with_nonce(&self, nonce: &[u8; NONCE_BYTES], context: &[u8], plaintext: &[u8], out: &mut [u8]) {
        let (key, nonce) = self.derive(nonce);
        key.seal(nonce, context, plaintext, out);
    }

    /// The AES-256-GCM key and nonce of one nonce: NIST SP 800-108r1 in counter mode over AES-CMAC, with the label
    /// `X`, the first twelve bytes of the nonce as its context and no length.
    ///
    /// The CMAC of a message of one whole block is that block, XORed with the subkey, encrypted: C2SP writes the
    /// derivation this way. The library's own CMAC gives the same (a test says so), but copies its state on the
    /// heap for each use, which takes longer than everything else about opening a value.
    fn derive(&self, nonce: &[u8; NONCE_BYTES]) -> (Gcm, [u8; GCM_NONCE_BYTES]) {
        let mut halves = [[0; GCM_NONCE_BYTES]; 2];
        halves.as_flattened_mut().copy_from_slice(nonce);
        let [of_key, of_message] = halves;

        let mut derived = Zeroizing::new([[0; 16]; 2]);
        for (counter, block) in (1..).zip(derived.iter_mut()) {
            block[..4].copy_from_slice(&[0, counter, b'X', 0]);
            block[4..].copy_from_slice(&of_key);
            *block = (u128::from_be_bytes(*block) ^ *self.cmac_subkey).to_be_bytes();
        }
        encrypt_blocks(&self.block_cipher, derived.as_flattened_mut());
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(derived.as_flattened());
        (Gcm::new(&key), of_message)
    }
}

/// Encrypts each block of 16 bytes in its place.
fn encrypt_blocks(block_cipher: &EncryptingKey, blocks: &mut [u8]) {
    block_cipher.encrypt(blocks).expect("ECB encrypts any number of whole blocks");
}

/// Doubling in GF(2¹²⁸), as AES-CMAC makes its first subkey; without a branch on secret bits.
fn double(block: u128) -> u128 {
    let carry = block >> 127;
    (block << 1) ^ (carry * 0x87)
}

fn head_of(nonce: &[u8; NONCE_BYTES]) -> [u8; 1 + NONCE_BYTES] {
    let mut head = [FORMAT; 1 + NONCE_BYTES];
    head[1..].copy_from_slice(nonce);
    head
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SystemRandom;

    #[derive(serde::Deserialize)]
    struct Published {
        key: String,
        nonce: String,
        plaintext: String,
        aad: String,
        ciphertext: String,
    }

    #[test]
    fn agrees_with_the_vectors_c2sp_publishes() {
        let file = include_str!("../../../vectors/crypto/xaes-256-gcm.json");
        let vectors: Vec<Published> = serde_json::from_str(file).unwrap();
        assert_eq!(vectors.len(), 2);
        for vector in vectors {
            let key = Xaes::new(&hex::decode(vector.key).unwrap().try_into().unwrap());
            let nonce = vector.nonce.as_bytes().try_into().unwrap();
            let mut sealed = vec![0; vector.plaintext.len() + TAG_BYTES];
            key.seal_with_nonce(nonce, vector.aad.as_bytes(), vector.plaintext.as_bytes(), &mut sealed);
            assert_eq!(hex::encode(&sealed), vector.ciphertext);

            let framed = [head_of(nonce).as_slice(), &sealed].concat();
            assert_eq!(*key.open(vector.aad.as_bytes(), &framed).unwrap(), vector.plaintext.as_bytes());
        }
    }

    #[test]
    fn what_is_too_short_or_of_another_format_says_so() {
        let key = Xaes::new(&[7; 32]);
        let sealed = key.seal(&SystemRandom, b"", b"");
        assert_eq!(sealed.len(), OVERHEAD_BYTES);
        assert_eq!(key.open(b"", &[]).err(), Some(OpenError::Truncated));
        assert_eq!(key.open(b"", &sealed[..OVERHEAD_BYTES - 1]).err(), Some(OpenError::Truncated));
        assert_eq!(key.open(b"", &[0; 80]).err(), Some(OpenError::Format(0)));
        assert_eq!(key.open(b"", &[2; 80]).err(), Some(OpenError::Format(2)));
        assert_eq!(key.open_key(b"", &sealed).err(), Some(OpenError::Truncated));
        let long = key.seal(&SystemRandom, b"", &[0; 33]);
        assert_eq!(key.open_key(b"", &long).err(), Some(OpenError::Authentication));
    }

    proptest! {
        #[test]
        fn the_key_of_a_nonce_is_made_by_aes_cmac(key: [u8; 32], nonce: [u8; NONCE_BYTES], plaintext: Vec<u8>) {
            use aws_lc_rs::cmac;
            let library = cmac::Key::new(cmac::AES_256, &key).unwrap();
            let half = |counter| {
                let message = [&[0, counter, b'X', 0][..], &nonce[..12]].concat();
                cmac::sign(&library, &message).unwrap().as_ref().to_vec()
            };
            let derived = [half(1), half(2)].concat().try_into().unwrap();
            let [mut expected, mut sealed] = [0, 1].map(|_| vec![0; plaintext.len() + TAG_BYTES]);
            Gcm::new(&derived).seal(nonce[12..].try_into().unwrap(), b"context", &plaintext, &mut expected);
            Xaes::new(&key).seal_with_nonce(&nonce, b"context", &plaintext, &mut sealed);
            prop_assert_eq!(expected, sealed);
        }

        #[test]
        fn opens_what_it_sealed(key: [u8; 32], context: Vec<u8>, plaintext: Vec<u8>) {
            let key = Xaes::new(&key);
            let sealed = key.seal(&SystemRandom, &context, &plaintext);
            prop_assert_eq!(&*key.open(&context, &sealed).unwrap(), &plaintext);
        }

        #[test]
        fn strangers_bytes_make_an_error(key: [u8; 32], context: Vec<u8>, mut sealed: Vec<u8>, known: bool) {
            if let (true, Some(format)) = (known, sealed.first_mut()) {
                *format = FORMAT;
            }
            prop_assert!(Xaes::new(&key).open(&context, &sealed).is_err());
            prop_assert!(Xaes::new(&key).open_key(&context, &sealed).is_err());
        }

        #[test]
        fn one_changed_bit_is_noticed(plaintext: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let key = Xaes::new(&[7; 32]);
            let mut sealed = key.seal(&SystemRandom, b"context", &plaintext);
            let at = at.index(sealed.len());
            sealed[at] ^= 1u8 << bit;
            prop_assert!(key.open(b"context", &sealed).is_err());
        }
    }
}
