//! Signature Version 4: a signed request taken apart into a claim.
//!
//! Pure. The form and the body's hash are checked here; whether the key exists and the signature is its own,
//! and how old the request may be, is decided by core. Invariant: everything a claim says (method, path, query,
//! body, the signed headers, the time) goes into its string to sign exactly as received, and every header that
//! changes what a request means is among the signed ones.
//!
//! The texts are AWS's, with one difference: nothing that the caller sent as a credential is repeated in them,
//! because they are recorded. So the `Authorization=…` at the end of AWS's texts is left out, and so is the
//! canonical request that AWS appends to a wrong signature: it holds the session token.

use std::borrow::Cow;
use std::fmt;

use coffer_core::SigV4Claim;
use coffer_core::digest::sha256_hex;
use coffer_types::{Region, Timestamp};
use http::header::{AUTHORIZATION, DATE, HOST, HeaderMap, HeaderName};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// The one algorithm coffer verifies.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The last element of a credential scope.
const TERMINATOR: &str = "aws4_request";
/// Longest access key id taken; AWS's own have at most 128 characters.
const ACCESS_KEY_ID_CHARS_MAX: usize = 128;

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Headers that must not stand twice, since it would be open which of them counts.
const SINGULAR: [HeaderName; 7] =
    [AUTHORIZATION, DATE, HOST, X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN, X_AMZ_TARGET];

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same, with slashes kept.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// A request that makes no claim coffer could verify, and what of the claim could be read, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What is wrong with it.
    pub error: SigV4Error,
    /// The access key id, if it got that far.
    pub access_key_id: Option<String>,
    /// The region, if it got that far.
    pub region: Option<Region>,
}

impl From<SigV4Error> for Rejection {
    fn from(error: SigV4Error) -> Self {
        Self { error, access_key_id: None, region: None }
    }
}

/// What is wrong with a request's signature, before anybody looks at the signature itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// There is no `Authorization`, or one of another kind.
    #[error("Missing Authentication Token")]
    Missing,
    /// Signed in the header and in the query.
    #[error("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")]
    SignedTwice,
    /// Signed in the query, which coffer does not take.
    #[error(
        "AWS query-string parameters are not supported for authentication. Sign the request in the 'Authorization' header."
    )]
    SignedInQuery,
    /// A header that decides stands more than once.
    #[error("The request has more than one '{0}' header.")]
    RepeatedHeader(HeaderName),
    /// A header that decides is not text.
    #[error("The '{0}' header is not valid text.")]
    UnreadableHeader(HeaderName),
    /// An algorithm other than `AWS4-HMAC-SHA256`.
    #[error("Unsupported AWS 'algorithm' (only AWS4-HMAC-SHA256 for now).")]
    Algorithm,
    /// A part of `Authorization` without an equal sign.
    #[error("Not a valid key=value pair (missing equal-sign) in Authorization header.")]
    NotAPair,
    /// A part of `Authorization` stands more than once.
    #[error("Authorization header has more than one '{0}' parameter.")]
    RepeatedParameter(&'static str),
    /// Parts that must be there are not.
    #[error("{0}")]
    Incomplete(Requirements),
    /// The time is in no form that is taken.
    #[error("Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601")]
    Date,
    /// `Host` is not signed.
    #[error("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")]
    HostNotSigned,
    /// A header that AWS gives a meaning is there and not signed.
    #[error("There were headers present in the request which were not signed: {0}")]
    HeaderNotSigned(HeaderName),
    /// The list of signed headers is no sorted list of header names.
    #[error("SignedHeaders must be a sorted list of header names, separated by semicolons.")]
    SignedHeaders,
    /// A header named as signed is not there.
    #[error("The header '{0}' is named in SignedHeaders but is not in the request.")]
    SignedHeaderAbsent(HeaderName),
    /// The credential has not five elements.
    #[error("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term")]
    Credential,
    /// The credential is for something else.
    #[error("{0}")]
    Scope(ScopeMismatch),
    /// An access key id that cannot exist.
    #[error("The security token included in the request is invalid.")]
    AccessKeyId,
    /// The body is not the one that was signed.
    #[error("The value of the 'x-amz-content-sha256' header is not the SHA-256 hash of the request body.")]
    ContentHash,
    /// The signature is not 64 hexadecimal digits.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    SignatureForm,
}

impl SigV4Error {
    /// AWS's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::SignedInQuery
            | Self::RepeatedHeader(_)
            | Self::UnreadableHeader(_)
            | Self::Algorithm
            | Self::NotAPair
            | Self::RepeatedParameter(_)
            | Self::Incomplete(_)
            | Self::Date
            | Self::SignedHeaders
            | Self::Credential => "IncompleteSignatureException",
            Self::AccessKeyId => "UnrecognizedClientException",
            Self::SignedTwice
            | Self::HostNotSigned
            | Self::HeaderNotSigned(_)
            | Self::SignedHeaderAbsent(_)
            | Self::Scope(_)
            | Self::ContentHash
            | Self::SignatureForm => "InvalidSignatureException",
        }
    }
}

/// What an `Authorization` header lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requirements {
    /// `Credential`.
    pub credential: bool,
    /// `Signature`.
    pub signature: bool,
    /// `SignedHeaders`.
    pub signed_headers: bool,
    /// A header that says when.
    pub date: bool,
}

impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lacking = [
            (self.credential, "Authorization header requires 'Credential' parameter."),
            (self.signature, "Authorization header requires 'Signature' parameter."),
            (self.signed_headers, "Authorization header requires 'SignedHeaders' parameter."),
            (
                self.date,
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
            ),
        ];
        write_sentences(f, lacking)
    }
}

/// In what a credential scope differs from what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeMismatch {
    /// No region.
    pub region: bool,
    /// Another service; the one expected.
    pub service: Option<String>,
    /// Another last element than `aws4_request`.
    pub terminator: bool,
    /// Another day than the request's time.
    pub date: bool,
}

impl fmt::Display for ScopeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service.as_deref().unwrap_or_default();
        let service = format!("Credential should be scoped to correct service: '{service}'.");
        let mismatches = [
            (self.region, "Credential should be scoped to a valid region."),
            (self.service.is_some(), service.as_str()),
            (self.terminator, "Credential should be scoped with a valid terminator: 'aws4_request'."),
            (
                self.date,
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.",
            ),
        ];
        write_sentences(f, mismatches)
    }
}

fn write_sentences<const N: usize>(f: &mut fmt::Formatter<'_>, sentences: [(bool, &str); N]) -> fmt::Result {
    let mut separator = "";
    for (_, sentence) in sentences.iter().filter(|(stands, _)| *stands) {
        write!(f, "{separator}{sentence}")?;
        separator = " ";
    }
    Ok(())
}

/// Takes the signature of a request to `service` apart, and computes what must have been signed.
///
/// `body` is the whole body as received; its real hash is what counts, and `UNSIGNED-PAYLOAD` is refused.
/// The caller is at fault in every error.
pub fn parse(head: &Parts, body: &[u8], service: &'static str) -> Result<SigV4Claim, Rejection> {
    let headers = &head.headers;
    let signed_in_query = head
        .uri
        .query()
        .is_some_and(|query| decoded_pairs(query).any(|(key, _)| *key == *b"X-Amz-Algorithm"));
    match (headers.contains_key(AUTHORIZATION), signed_in_query) {
        (true, true) => return Err(SigV4Error::SignedTwice.into()),
        (false, true) => return Err(SigV4Error::SignedInQuery.into()),
        (false, false) => return Err(SigV4Error::Missing.into()),
        (true, false) => {}
    }
    let has_repeated = headers.len() > headers.keys_len();
    if has_repeated
        && let Some(name) = SINGULAR.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
    {
        return Err(SigV4Error::RepeatedHeader(name.clone()).into());
    }

    let authorization = Authorization::parse(text(headers, &AUTHORIZATION)?.unwrap_or_default())?;
    let amz_date = match text(headers, &X_AMZ_DATE)? {
        Some(date) => Some(Cow::Borrowed(date)),
        None => text(headers, &DATE)?.map(|date| amz_date_of_http_date(date).map_or(date.into(), Cow::Owned)),
    };
    let (credential, signed_headers, signature, amz_date) = authorization.complete(amz_date)?;
    let signed_at = parse_amz_date(&amz_date).ok_or(SigV4Error::Date)?;

    let list = lowercase(signed_headers);
    let signed_headers = SignedHeaders::parse(&list, headers)?;

    let credential = Credential::parse(credential)?;
    let reject = |error| Rejection {
        error,
        access_key_id: Some(credential.access_key_id.to_owned()),
        region: credential.region.clone(),
    };
    let region =
        credential.check(service, &amz_date).map_err(|mismatch| reject(SigV4Error::Scope(mismatch)))?;
    let session_token = text(headers, &X_AMZ_SECURITY_TOKEN).map_err(reject)?.map(str::to_owned);

    let body_hash = sha256_hex(body);
    if headers.get(X_AMZ_CONTENT_SHA256).is_some_and(|hash| hash.as_bytes() != body_hash) {
        return Err(reject(SigV4Error::ContentHash));
    }
    let mut signature_bytes = [0; 32];
    hex::decode_to_slice(signature, &mut signature_bytes).map_err(|_| reject(SigV4Error::SignatureForm))?;

    let canonical_request = canonical_request(head, &signed_headers, &body_hash).map_err(reject)?;
    let hash = sha256_hex(&canonical_request);
    let string_to_sign =
        [ALGORITHM.as_bytes(), amz_date.as_bytes(), credential.scope.as_bytes(), &hash].join(&b'\n');
    Ok(SigV4Claim {
        access_key_id: credential.access_key_id.into(),
        session_token,
        date: credential.date.to_owned(),
        region,
        service,
        signed_at,
        string_to_sign,
        signature: signature_bytes,
    })
}

/// The text of a header, if it is there.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, SigV4Error> {
    headers
        .get(name)
        .map(|value| value.to_str().map(str::trim))
        .transpose()
        .map_err(|_| SigV4Error::UnreadableHeader(name.clone()))
}

/// The parts of an `Authorization` header.
#[derive(Default)]
struct Authorization<'a> {
    credential: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> Authorization<'a> {
    /// Clients separate the parts by a comma, a space, or both.
    fn parse(text: &'a str) -> Result<Self, SigV4Error> {
        if !text.starts_with("AWS4-") {
            return Err(SigV4Error::Missing);
        }
        let is_separator = |byte: u8| matches!(byte, b' ' | b'\t' | b',');
        let end = text.bytes().position(is_separator).unwrap_or(text.len());
        let (algorithm, parameters) = text.split_at_checked(end).ok_or(SigV4Error::Algorithm)?;
        if algorithm != ALGORITHM {
            return Err(SigV4Error::Algorithm);
        }
        let mut parts = Self::default();
        for pair in parameters.as_bytes().split(|byte| is_separator(*byte)).filter(|pair| !pair.is_empty()) {
            // Split at ASCII, a text is in texts again.
            let pair = std::str::from_utf8(pair).map_err(|_| SigV4Error::NotAPair)?;
            let (key, value) = pair.split_once('=').ok_or(SigV4Error::NotAPair)?;
            let (slot, name) = match key {
                "Credential" => (&mut parts.credential, "Credential"),
                "SignedHeaders" => (&mut parts.signed_headers, "SignedHeaders"),
                "Signature" => (&mut parts.signature, "Signature"),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(SigV4Error::RepeatedParameter(name));
            }
        }
        Ok(parts)
    }

    /// All parts and the date, or what lacks.
    fn complete<'d>(
        self,
        amz_date: Option<Cow<'d, str>>,
    ) -> Result<(&'a str, &'a str, &'a str, Cow<'d, str>), SigV4Error> {
        let given = |part: Option<&'a str>| part.filter(|value| !value.is_empty());
        match (given(self.credential), given(self.signed_headers), given(self.signature), amz_date) {
            (Some(credential), Some(signed_headers), Some(signature), Some(amz_date)) => {
                Ok((credential, signed_headers, signature, amz_date))
            }
            (credential, signed_headers, signature, amz_date) => Err(SigV4Error::Incomplete(Requirements {
                credential: credential.is_none(),
                signature: signature.is_none(),
                signed_headers: signed_headers.is_none(),
                date: amz_date.is_none(),
            })),
        }
    }
}

/// The same in lowercase, without a copy if it is.
fn lowercase(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

/// The `SignedHeaders` parameter: lowercase header names, strictly ascending, so that none stands twice; each with the
/// first of its values in the request.
struct SignedHeaders<'a> {
    list: &'a str,
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> SignedHeaders<'a> {
    /// `Host` must be among them, and every header of the request that AWS gives a meaning.
    fn parse(list: &'a str, headers: &'a HeaderMap) -> Result<Self, SigV4Error> {
        let mut signed = Vec::with_capacity(list.bytes().filter(|byte| *byte == b';').count() + 1);
        signed.extend(list.split(';').map(|name| (name, None)));
        if !signed.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(SigV4Error::SignedHeaders);
        }
        let mut unsigned = None;
        for (name, value) in headers {
            match position(&signed, name.as_str()).and_then(|at| signed.get_mut(at)) {
                Some((_, first)) => {
                    first.get_or_insert(value.as_bytes());
                }
                None if name.as_str().starts_with("x-amz-") => unsigned = unsigned.or(Some(name)),
                None => {}
            }
        }
        let signed = Self { list, headers: signed };
        // Those of the request are legal.
        if signed.headers.iter().any(|(name, value)| value.is_none() && header_name(name).is_err()) {
            return Err(SigV4Error::SignedHeaders);
        }
        if position(&signed.headers, HOST.as_str()).is_none() {
            return Err(SigV4Error::HostNotSigned);
        }
        match unsigned {
            Some(name) => Err(SigV4Error::HeaderNotSigned(name.clone())),
            None => Ok(signed),
        }
    }
}

/// Where a name stands in a sorted list. A short one, as clients send it, is quicker looked through, since most names
/// differ in their length.
fn position<T>(sorted: &[(&str, T)], name: &str) -> Option<usize> {
    const SHORT: usize = 16;
    if sorted.len() <= SHORT {
        sorted.iter().position(|(known, _)| *known == name)
    } else {
        sorted.binary_search_by(|(known, _)| (*known).cmp(name)).ok()
    }
}

fn header_name(name: &str) -> Result<HeaderName, SigV4Error> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| SigV4Error::SignedHeaders)
}

/// The `Credential` parameter: who signed, and for what.
struct Credential<'a> {
    access_key_id: &'a str,
    /// The rest of it, as it goes into the string to sign.
    scope: &'a str,
    date: &'a str,
    region: Option<Region>,
    service: &'a str,
    terminator: &'a str,
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Result<Self, SigV4Error> {
        let (access_key_id, scope) = text.split_once('/').ok_or(SigV4Error::Credential)?;
        let mut elements = scope.split('/');
        let mut next = || elements.next().ok_or(SigV4Error::Credential);
        let (date, region, service, terminator) = (next()?, next()?, next()?, next()?);
        if elements.next().is_some() {
            return Err(SigV4Error::Credential);
        }
        let legal_key = (1..=ACCESS_KEY_ID_CHARS_MAX).contains(&access_key_id.len())
            && access_key_id.bytes().all(|byte| byte.is_ascii_graphic());
        if !legal_key {
            return Err(SigV4Error::AccessKeyId);
        }
        Ok(Self { access_key_id, scope, date, region: region.parse().ok(), service, terminator })
    }

    /// The region, if the scope is this service's on the request's day.
    fn check(&self, service: &str, amz_date: &str) -> Result<Region, ScopeMismatch> {
        let mismatch = ScopeMismatch {
            region: self.region.is_none(),
            service: (self.service != service).then(|| service.to_owned()),
            terminator: self.terminator != TERMINATOR,
            date: amz_date.get(..8) != Some(self.date),
        };
        match &self.region {
            Some(region) if mismatch == ScopeMismatch::default() => Ok(region.clone()),
            _ => Err(mismatch),
        }
    }
}

/// `20261122T103000Z` and nothing else: eight digits, `T`, six digits, `Z`.
fn parse_amz_date(text: &str) -> Option<Timestamp> {
    let legal = text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    legal.then(|| Timestamp::from_amz_date(text)).flatten()
}

/// The time of a `Date` header (`Sun, 22 Nov 2026 10:30:00 GMT`) in the form that is signed.
fn amz_date_of_http_date(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_weekday, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year, time, zone) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    (zone == "GMT" && words.next().is_none())
        .then(|| format!("{year}{month:02}{day}T{}Z", time.replace(':', "")))
}

/// The canonical request: what the client signed, built from what was received.
fn canonical_request(
    head: &Parts,
    signed_headers: &SignedHeaders<'_>,
    body_hash: &[u8],
) -> Result<Vec<u8>, SigV4Error> {
    let (path, query) = (canonical_path(head.uri.path()), canonical_query(head.uri.query()));
    // HTTP/2 has the host in the URI.
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let lines =
        signed_headers.headers.iter().map(|(name, value)| name.len() + value.map_or(64, <[u8]>::len) + 2);
    let lines: usize = lines.sum();
    let mut canonical = Vec::with_capacity(
        path.len() + query.len() + lines + signed_headers.list.len() + body_hash.len() + 16,
    );
    canonical.extend_from_slice(head.method.as_str().as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(path.as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(query.as_bytes());
    canonical.push(b'\n');
    let has_repeated = head.headers.len() > head.headers.keys_len();
    for &(name, value) in &signed_headers.headers {
        canonical.extend_from_slice(name.as_bytes());
        canonical.push(b':');
        match value.or(authority.filter(|_| name == HOST.as_str())) {
            Some(value) => append_folded(&mut canonical, value),
            None => return Err(SigV4Error::SignedHeaderAbsent(header_name(name)?)),
        }
        // Further values are joined by commas.
        if has_repeated {
            for value in head.headers.get_all(name).iter().skip(1) {
                canonical.push(b',');
                append_folded(&mut canonical, value.as_bytes());
            }
        }
        canonical.push(b'\n');
    }
    canonical.push(b'\n');
    canonical.extend_from_slice(signed_headers.list.as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(body_hash);
    Ok(canonical)
}

/// A header's value without spaces at either end, and with one space for each run of them.
fn append_folded(canonical: &mut Vec<u8>, value: &[u8]) {
    let is_folded = value.first() != Some(&b' ')
        && value.last() != Some(&b' ')
        && !value.windows(2).any(|two| two == b"  ");
    if is_folded {
        return canonical.extend_from_slice(value);
    }
    let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            canonical.push(b' ');
        }
        canonical.extend_from_slice(word);
    }
}

/// The path, without `.`, `..` and empty segments, percent-encoded once more than it came (as every service but
/// S3 has it).
fn canonical_path(path: &str) -> Cow<'_, str> {
    if path == "/" || path.is_empty() {
        return "/".into();
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let is_directory = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end)) && !segments.is_empty();
    let normal = format!("/{}{}", segments.join("/"), if is_directory { "/" } else { "" });
    percent_encode(normal.as_bytes(), RESERVED_IN_PATH).to_string().into()
}

/// The query's pairs, each percent-encoded anew, sorted.
fn canonical_query(query: Option<&str>) -> String {
    let Some(query) = query else { return String::new() };
    let encode = |part: &[u8]| percent_encode(part, RESERVED).to_string();
    let mut pairs: Vec<_> = decoded_pairs(query).map(|(key, value)| (encode(&key), encode(&value))).collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join("&")
}

/// The query's pairs, decoded as forms are: a plus is a space.
fn decoded_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

fn decode(part: &str) -> Cow<'_, [u8]> {
    if part.contains('+') {
        let spaced = part.replace('+', " ");
        return Cow::Owned(percent_decode_str(&spaced).collect());
    }
    percent_decode_str(part).into()
}

#[cfg(test)]
mod tests;
