//! A store's own certificate authority, and the server certificates it makes.
//!
//! No I/O. Keys are made and certificates signed here; where the authority is kept is the home's business. Invariants:
//! a private key has no `Debug` and is wiped when dropped; a server's key is never written anywhere; no certificate
//! outlives the authority that signed it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_wire_local::JsonFault;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::TlsError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an authority lasts. Whoever trusts it has to be given the next one.
const AUTHORITY_TIME: Duration = DAY.saturating_mul(3650);
/// How long a server's certificate lasts; clients take at most 397 days.
const SERVER_TIME: Duration = DAY.saturating_mul(90);
/// A server's certificate with less time left than this is made anew.
const SERVER_TIME_LEFT_MIN: Duration = DAY.saturating_mul(30);
/// For clients whose clocks are behind.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(60 * 60);

/// A store's certificate authority.
pub struct Authority {
    common_name: String,
    key: Zeroizing<KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: SystemTime,
}

/// An authority as it is kept. Binary parts in base64.
#[derive(Serialize, Deserialize)]
struct File<Text> {
    common_name: String,
    certificate: String,
    key: Text,
    /// In seconds since 1970.
    not_after: u64,
}

/// A server certificate with its key, and when to make the next.
pub(crate) struct Issued {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) renew_at: SystemTime,
}

impl Authority {
    /// A new one. Two of one store share its name, and no key.
    pub fn make(store_id: &str, now: SystemTime) -> Result<Self, TlsError> {
        let common_name = format!("coffer store {store_id}");
        let key = make_key()?;
        let not_after = whole_seconds(now + AUTHORITY_TIME);
        let mut params = params_of(&common_name);
        params.not_before = (now - CLOCK_DIFFERENCE_MAX).into();
        params.not_after = not_after.into();
        let certificate = params.self_signed(&*key).map_err(TlsError::Make)?;
        Ok(Self { common_name, key, certificate: certificate.into(), not_after })
    }

    /// Reads what [`Self::to_json`] wrote.
    pub fn from_json(json: &[u8]) -> Result<Self, TlsError> {
        let file: File<&str> =
            serde_json::from_slice(json).map_err(|error| TlsError::Kept(JsonFault::from(&error)))?;
        let File { common_name, certificate, key, not_after } = file;
        let certificate = STANDARD.decode(certificate).map_err(|_| TlsError::KeptKey)?;
        let key = Zeroizing::new(STANDARD.decode(key).map_err(|_| TlsError::KeptKey)?);
        let key = PrivatePkcs8KeyDer::from(key.as_slice());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256);
        Ok(Self {
            common_name,
            key: Zeroizing::new(key.map_err(|_| TlsError::KeptKey)?),
            certificate: certificate.into(),
            not_after: UNIX_EPOCH.checked_add(Duration::from_secs(not_after)).ok_or(TlsError::KeptKey)?,
        })
    }

    /// What keeps it, its key included: for a file that only its owner can read.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        let key = Zeroizing::new(STANDARD.encode(self.key.serialized_der()));
        let file = File {
            common_name: self.common_name.clone(),
            certificate: STANDARD.encode(&self.certificate),
            key: key.as_str(),
            not_after: self.not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        // Large enough at once, so that it leaves no copy behind as it grows.
        let mut json = Zeroizing::new(Vec::with_capacity(8 * 1024));
        serde_json::to_writer_pretty(&mut *json, &file)
            .map_err(|error| TlsError::Kept(JsonFault::from(&error)))?;
        json.push(b'\n');
        Ok(json)
    }

    /// Its certificate, which clients are given to trust.
    pub fn certificate_pem(&self) -> String {
        let base64 = STANDARD.encode(&self.certificate);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// When it ends, and whoever trusts it has to have been given the next.
    pub fn end(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it could not sign a server's certificate for its whole time any more.
    pub fn is_near_its_end(&self, now: SystemTime) -> bool {
        now + SERVER_TIME > self.not_after
    }

    /// A server's certificate for these names and addresses, with a key of its own.
    pub(crate) fn issue(&self, names: &[String], now: SystemTime) -> Result<Issued, TlsError> {
        for name in names {
            check_name(name)?;
        }
        let not_after = (now + SERVER_TIME).min(self.not_after);
        let key = make_key()?;
        let mut params = CertificateParams::new(names).map_err(TlsError::Make)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "coffer");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - CLOCK_DIFFERENCE_MAX).into();
        params.not_after = not_after.into();
        let authority = params_of(&self.common_name);
        let issuer = Issuer::from_params(&authority, &*self.key);
        let certificate = params.signed_by(&*key, &issuer).map_err(TlsError::Make)?;
        let der = Zeroizing::new(PrivatePkcs8KeyDer::from(key.serialized_der().to_vec()));
        let signing_key = signing_key_of(&der)?;
        // Without the authority's own, which whoever trusts it has.
        let certified = CertifiedKey::new(vec![certificate.into()], signing_key);
        Ok(Issued { certified: Arc::new(certified), renew_at: not_after - SERVER_TIME_LEFT_MIN })
    }
}

/// rustls takes an owned key in an enum and copies it into aws-lc, whose copy is wiped with it.
fn signing_key_of(der: &PrivatePkcs8KeyDer<'static>) -> Result<Arc<dyn rustls::sign::SigningKey>, TlsError> {
    let key = Zeroizing::new(PrivateKeyDer::Pkcs8(der.clone_key()));
    any_supported_type(&key).map_err(TlsError::Rustls)
}

fn make_key() -> Result<Zeroizing<KeyPair>, TlsError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Zeroizing::new).map_err(TlsError::Make)
}

/// What of an authority's certificate is the same at every time.
fn params_of(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Certificates know whole seconds.
fn whole_seconds(time: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// Whether a certificate can be for it: an address, or a host's name of letters, digits, hyphens and dots, whose first
/// label may be `*`.
pub(crate) fn check_name(name: &str) -> Result<(), TlsError> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_name = host.len() <= 253 && host.split('.').all(is_label);
    if name.parse::<IpAddr>().is_ok() || is_name {
        Ok(())
    } else {
        Err(TlsError::Name { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn what_a_certificate_can_be_for() {
        for (name, is_one) in [
            ("localhost", true),
            ("a.example.com", true),
            ("*.example.com", true),
            ("under_score.example", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("", false),
            ("a..b", false),
            ("-a", false),
            ("a b", false),
            ("a.*.b", false),
            ("ä.example", false),
            ("https://a", false),
            ("a:8200", false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_one, "{name}");
        }
    }

    #[test]
    fn an_authority_is_the_same_after_it_was_kept() {
        let now = SystemTime::now();
        let made = Authority::make("0123", now).unwrap();
        let kept = Authority::from_json(&made.to_json().unwrap()).unwrap();
        assert_eq!(kept.certificate, made.certificate);
        assert_eq!(kept.not_after, made.not_after);
        assert_eq!(kept.key.serialized_der(), made.key.serialized_der());
        assert!(made.certificate_pem().lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn an_end_that_no_clock_reaches_is_damage() {
        let made = Authority::make("0123", SystemTime::now()).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&made.to_json().unwrap()).unwrap();
        json["not_after"] = u64::MAX.into();
        let kept = Authority::from_json(json.to_string().as_bytes());
        assert!(matches!(kept, Err(TlsError::KeptKey)));
    }

    #[test]
    fn what_was_kept_is_not_repeated() {
        for json in [
            &br#"{"key":["hunter2"]}"#[..],
            br#"{"common_name":"a","certificate":"hunter2","key":"hunter2","not_after":0}"#,
            br#"{"common_name":"a","certificate":"YQ==","key":"aHVudGVyMg==","not_after":0}"#,
            b"hunter2",
        ] {
            let Err(error) = Authority::from_json(json) else { panic!("{json:?}") };
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn certificates_are_renewed_in_time_and_do_not_outlive_their_authority() {
        let now = UNIX_EPOCH + DAY * 20_000;
        let authority = Authority::make("0123", now).unwrap();
        let names = names(&["localhost", "::1"]);
        let renew_after =
            |then: SystemTime| authority.issue(&names, then).unwrap().renew_at.duration_since(then).unwrap();
        assert_eq!(renew_after(now), DAY * 60);
        assert!(!authority.is_near_its_end(now));
        assert!(!authority.is_near_its_end(now + DAY * 3560));
        assert!(authority.is_near_its_end(now + DAY * 3561));
        assert_eq!(renew_after(now + DAY * 3600), DAY * 20);
    }
}
