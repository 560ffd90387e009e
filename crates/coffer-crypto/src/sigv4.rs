//! Signing keys of AWS Signature Version 4.
//!
//! Pure. What a string to sign is made of is the business of the AWS door; this is the key and the signature.

use aws_lc_rs::hmac;
use coffer_types::SecretBytes;
use zeroize::Zeroizing;

use crate::mac;

/// The key derived from a secret access key for one day, region and service. It is what caches hold: from it
/// nobody can compute the secret, nor the key of another day.
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Derives the key. `date` is written YYYYMMDD.
    pub fn derive(secret_access_key: &SecretBytes, date: &str, region: &str, service: &str) -> Self {
        let mut secret = Zeroizing::new(Vec::with_capacity(4 + secret_access_key.len()));
        secret.extend_from_slice(b"AWS4");
        secret.extend_from_slice(secret_access_key.expose_secret());
        let of_date = Zeroizing::new(mac::hmac_sha256(&secret, date.as_bytes()));
        let of_region = Zeroizing::new(mac::hmac_sha256(&*of_date, region.as_bytes()));
        let of_service = Zeroizing::new(mac::hmac_sha256(&*of_region, service.as_bytes()));
        let of_request = Zeroizing::new(mac::hmac_sha256(&*of_service, b"aws4_request"));
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*of_request))
    }

    /// The signature of a string to sign.
    pub fn sign(&self, string_to_sign: &[u8]) -> [u8; 32] {
        mac::sign(&self.0, string_to_sign)
    }

    /// Whether `signature` is that of `string_to_sign`, in constant time.
    pub fn verify(&self, string_to_sign: &[u8], signature: &[u8; 32]) -> bool {
        hmac::verify(&self.0, string_to_sign, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(date: &str, region: &str, service: &str) -> SigningKey {
        let secret = SecretBytes::copy_from(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        SigningKey::derive(&secret, date, region, service)
    }

    #[test]
    fn derives_the_key_of_aws_published_example() {
        // The key itself stays inside, so a signature under it stands for it.
        let published =
            hex::decode("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9").unwrap();
        let derived = example("20150830", "us-east-1", "iam");
        assert_eq!(derived.sign(b"any text"), mac::hmac_sha256(&published, b"any text"));
    }

    #[test]
    fn signs_the_string_of_aws_published_example() {
        let string_to_sign = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                              f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        assert_eq!(
            hex::encode(example("20150830", "us-east-1", "iam").sign(string_to_sign.as_bytes())),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn verifies_its_own_signature_and_no_other() {
        let key = example("20150830", "us-east-1", "iam");
        let signature = key.sign(b"text");
        assert!(key.verify(b"text", &signature));
        assert!(!key.verify(b"texT", &signature));
        assert!(!example("20150831", "us-east-1", "iam").verify(b"text", &signature));
        assert!(!example("20150830", "us-east-2", "iam").verify(b"text", &signature));
        assert!(!example("20150830", "us-east-1", "sts").verify(b"text", &signature));
    }
}
