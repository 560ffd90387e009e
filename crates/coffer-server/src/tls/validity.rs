//! When a certificate ends.
//!
//! Pure. Nothing is judged here: a certificate that cannot be read has no end that could be told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag};

/// When the first certificate of a chain ends: clients refuse it from then on.
pub(super) fn end_of(chain: &[CertificateDer<'_>]) -> Option<SystemTime> {
    chain.iter().filter_map(|certificate| not_after(certificate)).min()
}

fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    let seconds = yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|certificate| {
            let seconds = certificate.next().read_sequence(read_body)?;
            // The algorithm and the signature.
            certificate.next().read_der()?;
            certificate.next().read_der()?;
            Ok(seconds)
        })
    });
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds.ok()?).ok()?))
}

/// What of a certificate is signed (RFC 5280, 4.1).
fn read_body(body: &mut BERReaderSeq<'_, '_>) -> ASN1Result<i64> {
    // The version may be left out.
    skip_if(body, Tag::context(0))?;
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        body.next().read_der()?;
    }
    let seconds = body.next().read_sequence(|validity| {
        validity.next().read_der()?;
        read_time(validity.next())
    })?;
    // The subject and its key; then two ids and extensions, each of which may be left out.
    for _ in 0..2 {
        body.next().read_der()?;
    }
    for tag in 1..=3 {
        skip_if(body, Tag::context(tag))?;
    }
    Ok(seconds)
}

fn skip_if(body: &mut BERReaderSeq<'_, '_>, tag: Tag) -> ASN1Result<()> {
    match body.next().lookahead_tag() {
        Ok(found) if found == tag => body.next().read_der().map(drop),
        // Another one, or the end.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// In seconds since 1970.
fn read_time(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    match reader.lookahead_tag()? {
        TAG_UTCTIME => reader.read_utctime().map(|time| time.datetime().unix_timestamp()),
        TAG_GENERALIZEDTIME => reader.read_generalized_time().map(|time| time.datetime().unix_timestamp()),
        _ => Err(ASN1Error::new(ASN1ErrorKind::Invalid)),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SerialNumber};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn certificate(end: SystemTime, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = UNIX_EPOCH.into();
        params.not_after = end.into();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    #[test]
    fn ends_are_read_in_either_form() {
        // Times from 2050 on are written in the other form.
        for days in [1, 10_957, 20_780, 29_219, 29_220, 40_000, 100_000] {
            let end = UNIX_EPOCH + DAY * days + Duration::from_secs(3_723);
            assert_eq!(not_after(&certificate(end, |_| {})), Some(end), "{days}");
        }
        let end = UNIX_EPOCH + DAY * 20_000;
        let long = |params: &mut CertificateParams| {
            params.serial_number = Some(SerialNumber::from_slice(&[7; 20]));
            params.subject_alt_names = Vec::new();
        };
        assert_eq!(not_after(&certificate(end, long)), Some(end));
    }

    #[test]
    fn the_first_of_a_chain_to_end_counts() {
        let ends = [30, 20, 40].map(|days| certificate(UNIX_EPOCH + DAY * days, |_| {}));
        assert_eq!(end_of(&ends), Some(UNIX_EPOCH + DAY * 20));
        assert_eq!(end_of(&[]), None);
    }

    #[test]
    fn damage_has_no_end() {
        let whole = certificate(UNIX_EPOCH + DAY * 20_000, |_| {});
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
        assert_eq!(not_after(b"hunter2"), None);
    }
}
