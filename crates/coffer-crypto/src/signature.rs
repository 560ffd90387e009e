//! Signatures of others: of tokens, by the keys that an issuer publishes (RFC 7517 and 7518).
//!
//! Pure. Invariant: an algorithm is only ever used with a key of its own type, whatever the signed text says of itself; what is
//! not signed, or under a secret that both sides know, has no algorithm here.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

/// Fewest and most bytes of an RSA modulus: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Most bytes of an RSA exponent; 65537 has three.
const EXPONENT_BYTES_MAX: usize = 8;

/// How something is signed, by its name in RFC 7518 and RFC 8037.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureAlgorithm {
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl SignatureAlgorithm {
    /// By its name; `None` for `none`, for HMAC, and for whatever else there is.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A public key that somebody else signs with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignaturePublicKey(Kind);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The point, uncompressed.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl SignaturePublicKey {
    /// An RSA key of 2048 to 8192 bits.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        // Some write a zero byte before a number whose first bit is set.
        let significant =
            |number: &[u8]| number.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
        let (modulus, exponent) = (significant(modulus), significant(exponent));
        let is_legal =
            MODULUS_BYTES.contains(&modulus.len()) && (1..=EXPONENT_BYTES_MAX).contains(&exponent.len());
        is_legal.then_some(Self(Kind::Rsa { modulus, exponent }))
    }

    /// A point on `P-256` or `P-384`, by its coordinates in full length.
    pub fn elliptic(curve: &str, x: &[u8], y: &[u8]) -> Option<Self> {
        let point = [&[4], x, y].concat();
        match (curve, x.len(), y.len()) {
            ("P-256", 32, 32) => Some(Self(Kind::P256(point))),
            ("P-384", 48, 48) => Some(Self(Kind::P384(point))),
            _ => None,
        }
    }

    /// An Ed25519 key of 32 bytes.
    pub fn ed25519(key: &[u8]) -> Option<Self> {
        (key.len() == 32).then(|| Self(Kind::Ed25519(key.to_vec())))
    }

    /// Whether signatures of this algorithm are made with such a key.
    pub fn is_for(&self, algorithm: SignatureAlgorithm) -> bool {
        use SignatureAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs384, Rs512};
        match &self.0 {
            Kind::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256),
            Kind::P256(_) => algorithm == Es256,
            Kind::P384(_) => algorithm == Es384,
            Kind::Ed25519(_) => algorithm == EdDsa,
        }
    }

    /// Whether `signature` is one of `message` by this key's owner; never by an algorithm that such keys are not for.
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use SignatureAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs384, Rs512};
        let rsa = |parameters: &'static RsaParameters, modulus: &[u8], exponent: &[u8]| {
            RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature).is_ok()
        };
        match (&self.0, algorithm) {
            (Kind::Rsa { modulus, exponent }, Rs256) => rsa(&RSA_PKCS1_2048_8192_SHA256, modulus, exponent),
            (Kind::Rsa { modulus, exponent }, Rs384) => rsa(&RSA_PKCS1_2048_8192_SHA384, modulus, exponent),
            (Kind::Rsa { modulus, exponent }, Rs512) => rsa(&RSA_PKCS1_2048_8192_SHA512, modulus, exponent),
            (Kind::Rsa { modulus, exponent }, Ps256) => rsa(&RSA_PSS_2048_8192_SHA256, modulus, exponent),
            (Kind::P256(point), Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            (Kind::P384(point), Es384) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
            (Kind::Ed25519(key), EdDsa) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
            (Kind::Rsa { .. }, Es256 | Es384 | EdDsa)
            | (Kind::P256(_), Rs256 | Rs384 | Rs512 | Ps256 | Es384 | EdDsa)
            | (Kind::P384(_), Rs256 | Rs384 | Rs512 | Ps256 | Es256 | EdDsa)
            | (Kind::Ed25519(_), Rs256 | Rs384 | Rs512 | Ps256 | Es256 | Es384) => false,
        }
    }
}

/// Keys that sign, for tests of whoever verifies.
#[cfg(any(test, feature = "test-issuer"))]
pub(crate) mod test_issuer {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaKeyPair,
    };

    use super::SignatureAlgorithm;

    /// A pair of keys of one type.
    pub enum TestKeyPair {
        /// RSA with 2048 bits.
        Rsa(Box<RsaKeyPair>),
        /// P-256.
        P256(Box<EcdsaKeyPair>),
        /// P-384.
        P384(Box<EcdsaKeyPair>),
        /// Ed25519.
        Ed25519(Box<Ed25519KeyPair>),
    }

    impl TestKeyPair {
        /// A new pair that an algorithm can sign with.
        #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "for tests")]
        pub fn make(algorithm: SignatureAlgorithm) -> Self {
            use SignatureAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs384, Rs512};
            match algorithm {
                Rs256 | Rs384 | Rs512 | Ps256 => {
                    Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a pair")))
                }
                Es256 => Self::P256(Box::new(
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a pair"),
                )),
                Es384 => Self::P384(Box::new(
                    EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a pair"),
                )),
                EdDsa => Self::Ed25519(Box::new(Ed25519KeyPair::generate().expect("a pair"))),
            }
        }

        /// The numbers of the public half: modulus and exponent, both coordinates, or the key.
        pub fn public_parts(&self) -> (Vec<u8>, Vec<u8>) {
            match self {
                Self::Rsa(pair) => {
                    // In DER: a sequence of two numbers, of 2048 bits and of three bytes.
                    let key = pair.public_key().as_ref();
                    (key[9..265].to_vec(), key[key.len() - 3..].to_vec())
                }
                Self::P256(pair) | Self::P384(pair) => {
                    let point = pair.public_key().as_ref();
                    let (x, y) = point.split_at(1).1.split_at(point.len() / 2);
                    (x.to_vec(), y.to_vec())
                }
                Self::Ed25519(pair) => (pair.public_key().as_ref().to_vec(), Vec::new()),
            }
        }

        /// A signature; RSA keys sign with any of their algorithms, all others with their own.
        #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "for tests")]
        pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
            let random = SystemRandom::new();
            match self {
                Self::Rsa(pair) => {
                    let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                        SignatureAlgorithm::Rs384 => &RSA_PKCS1_SHA384,
                        SignatureAlgorithm::Rs512 => &RSA_PKCS1_SHA512,
                        SignatureAlgorithm::Ps256 => &RSA_PSS_SHA256,
                        SignatureAlgorithm::Rs256
                        | SignatureAlgorithm::Es256
                        | SignatureAlgorithm::Es384
                        | SignatureAlgorithm::EdDsa => &RSA_PKCS1_SHA256,
                    };
                    let mut signature = vec![0; pair.public_modulus_len()];
                    pair.sign(encoding, &random, message, &mut signature).expect("a signature");
                    signature
                }
                Self::P256(pair) | Self::P384(pair) => {
                    pair.sign(&random, message).expect("a signature").as_ref().to_vec()
                }
                Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::test_issuer::TestKeyPair;
    use super::*;

    const ALL: [(&str, SignatureAlgorithm); 7] = [
        ("RS256", SignatureAlgorithm::Rs256),
        ("RS384", SignatureAlgorithm::Rs384),
        ("RS512", SignatureAlgorithm::Rs512),
        ("PS256", SignatureAlgorithm::Ps256),
        ("ES256", SignatureAlgorithm::Es256),
        ("ES384", SignatureAlgorithm::Es384),
        ("EdDSA", SignatureAlgorithm::EdDsa),
    ];

    fn public_key(pair: &TestKeyPair) -> SignaturePublicKey {
        let (first, second) = pair.public_parts();
        match pair {
            TestKeyPair::Rsa(_) => SignaturePublicKey::rsa(&first, &second),
            TestKeyPair::P256(_) => SignaturePublicKey::elliptic("P-256", &first, &second),
            TestKeyPair::P384(_) => SignaturePublicKey::elliptic("P-384", &first, &second),
            TestKeyPair::Ed25519(_) => SignaturePublicKey::ed25519(&first),
        }
        .unwrap()
    }

    #[test]
    fn a_signature_holds_for_its_message_its_key_and_its_algorithm_only() {
        for (name, algorithm) in ALL {
            assert_eq!(SignatureAlgorithm::named(name), Some(algorithm));
            let (pair, other) = (TestKeyPair::make(algorithm), TestKeyPair::make(algorithm));
            let (key, signature) = (public_key(&pair), pair.sign(algorithm, b"message"));
            assert!(key.is_for(algorithm) && key.verify(algorithm, b"message", &signature), "{name}");
            assert!(!key.verify(algorithm, b"massage", &signature), "{name}");
            assert!(!public_key(&other).verify(algorithm, b"message", &signature), "{name}");
            assert!(!key.verify(algorithm, b"message", &signature[1..]), "{name}");
            assert!(!key.verify(algorithm, b"message", &[]), "{name}");
            assert!(!key.verify(algorithm, b"message", &vec![0; signature.len()]), "{name}");
            for (_, wrong) in ALL.iter().filter(|(_, wrong)| *wrong != algorithm) {
                assert!(!key.verify(*wrong, b"message", &signature), "{name} as {wrong:?}");
            }
        }
    }

    #[test]
    fn what_is_no_signature_of_a_pair_has_no_algorithm() {
        for name in [
            "none", "None", "NONE", "", "HS256", "HS384", "HS512", "rs256", "RS1", "ES256K", "ES512",
            "Ed25519",
        ] {
            assert_eq!(SignatureAlgorithm::named(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        let (modulus, exponent) = (vec![255; 256], vec![1, 0, 1]);
        assert!(SignaturePublicKey::rsa(&modulus, &exponent).is_some());
        let with_zero = [&[0], modulus.as_slice()].concat();
        assert_eq!(
            SignaturePublicKey::rsa(&with_zero, &exponent),
            SignaturePublicKey::rsa(&modulus, &exponent)
        );
        assert_eq!(SignaturePublicKey::rsa(&modulus[1..], &exponent), None);
        assert_eq!(SignaturePublicKey::rsa(&vec![255; 1025], &exponent), None);
        assert_eq!(SignaturePublicKey::rsa(&modulus, &[]), None);
        assert_eq!(SignaturePublicKey::elliptic("P-256", &[1; 31], &[1; 32]), None);
        assert_eq!(SignaturePublicKey::elliptic("P-521", &[1; 66], &[1; 66]), None);
        assert_eq!(SignaturePublicKey::ed25519(&[1; 31]), None);
        // A point that is on no curve verifies nothing.
        let nowhere = SignaturePublicKey::elliptic("P-256", &[1; 32], &[1; 32]).unwrap();
        assert!(!nowhere.verify(SignatureAlgorithm::Es256, b"message", &[1; 64]));
    }
}
