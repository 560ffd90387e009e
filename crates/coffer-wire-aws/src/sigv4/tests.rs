//! The published vectors, the official signer, and everything a tampered or clumsy request can be.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use coffer_crypto::sigv4::SigningKey;
use coffer_types::SecretBytes;
use http::{HeaderValue, Request};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SERVICE: &str = "secretsmanager";

fn verifies(claim: &SigV4Claim) -> bool {
    let secret = SecretBytes::copy_from(SECRET.as_bytes());
    SigningKey::derive(&secret, &claim.date, claim.region.as_str(), claim.service)
        .verify(&claim.string_to_sign, &claim.signature)
}

fn parse_request(request: &Request<Vec<u8>>, service: &'static str) -> Result<SigV4Claim, Rejection> {
    let (head, body) = request.clone().into_parts();
    parse(&head, &body, service)
}

/// Reads a request as it goes over the wire, unfolding folded headers as RFC 9112 (5.2) lets a server do.
fn read_request(text: &str) -> Request<Vec<u8>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let head = head.replace("\n ", " ");
    let mut lines = head.lines();
    let request_line = lines.next().unwrap();
    let (method, rest) = request_line.split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap();
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        request = request.header(name, value.trim());
    }
    request.body(body.as_bytes().to_vec()).unwrap()
}

fn vectors() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/sigv4");
    let mut folders: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

#[test]
fn the_published_vectors() {
    let mut read = 0;
    for vector in vectors() {
        let name = vector.file_name().unwrap().to_string_lossy().into_owned();
        let file = |name: &str| std::fs::read_to_string(vector.join(name)).unwrap();
        let claim = parse_request(&read_request(&file("header-signed-request.txt")), "service");
        if name == "post-sts-header-after" {
            assert_eq!(claim.err().map(|r| r.error), Some(SigV4Error::HeaderNotSigned(X_AMZ_SECURITY_TOKEN)));
            continue;
        }
        let claim = claim.map_err(|rejection| format!("{name}: {rejection:?}")).unwrap();
        // Its last line is the hash of the canonical request.
        assert_eq!(
            String::from_utf8_lossy(&claim.string_to_sign),
            file("header-string-to-sign.txt"),
            "{name}"
        );
        assert_eq!(hex::encode(claim.signature), file("header-signature.txt"), "{name}");
        assert!(verifies(&claim), "{name}");
        read += 1;
    }
    assert_eq!(read, 29, "vectors lost or added");
}

#[test]
fn requests_as_botocore_signs_them() {
    for (request, token) in [
        (include_str!("../../../../vectors/aws/botocore-get-secret-value.http"), None),
        (
            include_str!("../../../../vectors/aws/botocore-create-secret-session.http"),
            Some("session/token+example=="),
        ),
    ] {
        let claim = parse_request(&read_request(request), SERVICE).unwrap_or_else(|r| panic!("{r:?}"));
        assert_eq!(claim.session_token.as_deref(), token);
        assert!(verifies(&claim));
    }
}

/// Signs with the official signer and puts the result into the request, as the SDK for Rust does.
fn sign_officially(
    mut request: Request<Vec<u8>>,
    session_token: Option<&str>,
    content_hash: bool,
) -> Request<Vec<u8>> {
    let identity =
        Credentials::new("AKIDEXAMPLE", SECRET, session_token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    if content_hash {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-central-1")
        .name(SERVICE)
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_343_400))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let uri = format!("http://{}{}", request.headers()[HOST].to_str().unwrap(), request.uri());
    let headers: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let signable = SignableRequest::new(
        request.method().as_str(),
        uri,
        headers.into_iter(),
        SignableBody::Bytes(request.body()),
    )
    .unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    for (name, value) in instructions.headers() {
        request
            .headers_mut()
            .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    request
}

fn call() -> Request<Vec<u8>> {
    let request = Request::post("/")
        .header("host", "127.0.0.1:8200")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "secretsmanager.GetSecretValue")
        .header("user-agent", "test")
        .body(br#"{"SecretId":"app/db"}"#.to_vec())
        .unwrap();
    sign_officially(request, Some("token"), false)
}

fn error_of(request: &Request<Vec<u8>>) -> SigV4Error {
    parse_request(request, SERVICE).err().expect("refused").error
}

fn with_header(name: &'static str, value: &str) -> Request<Vec<u8>> {
    let mut request = call();
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn with_authorization(replace: impl Fn(&str) -> String) -> Request<Vec<u8>> {
    let authorization = replace(call().headers()[AUTHORIZATION].to_str().unwrap());
    with_header("authorization", &authorization)
}

#[test]
fn a_claim_says_who_and_for_what() {
    let claim = parse_request(&call(), SERVICE).ok().unwrap();
    assert_eq!(&*claim.access_key_id, "AKIDEXAMPLE");
    assert_eq!(claim.session_token.as_deref(), Some("token"));
    assert_eq!((claim.date.as_str(), claim.region.as_str()), ("20261122", "eu-central-1"));
    assert_eq!(claim.signed_at.to_amz_date(), "20261122T103000Z");
    assert!(verifies(&claim));
}

#[test]
fn the_forms_clients_send() {
    let forms: [fn(&str) -> String; 4] = [
        |text| text.replace(", ", ","),
        |text| text.replace(", ", "  "),
        |text| text.replace(", ", " , "),
        |text| format!("{text},"),
    ];
    for form in forms {
        let claim = parse_request(&with_authorization(form), SERVICE);
        assert!(claim.is_ok_and(|claim| verifies(&claim)));
    }
}

#[test]
fn a_date_header_stands_in_for_x_amz_date() {
    for date in ["Sun, 22 Nov 2026 10:30:00 GMT", "20261122T103000Z"] {
        let mut request = call();
        request.headers_mut().remove(X_AMZ_DATE);
        request.headers_mut().insert(DATE, date.parse().unwrap());
        request.headers_mut().insert(
            AUTHORIZATION,
            "AWS4-HMAC-SHA256 Credential=A/20261122/us-east-1/secretsmanager/aws4_request, SignedHeaders=date;host;x-amz-security-token;x-amz-target, Signature=00".parse().unwrap(),
        );
        assert_eq!(error_of(&request), SigV4Error::SignatureForm, "{date}");
    }
}

#[test]
fn what_is_missing_is_named_and_nothing_is_echoed() {
    let mut request = call();
    request.headers_mut().remove(AUTHORIZATION);
    assert_eq!(error_of(&request).to_string(), "Missing Authentication Token");
    assert_eq!(error_of(&with_header("authorization", "Bearer hunter2")), SigV4Error::Missing);

    let mut request = with_header("authorization", "AWS4-HMAC-SHA256 Signature=5da7c1a2");
    request.headers_mut().remove(X_AMZ_DATE);
    let error = error_of(&request);
    assert_eq!(error.code(), "IncompleteSignatureException");
    assert_eq!(
        error.to_string(),
        "Authorization header requires 'Credential' parameter. \
         Authorization header requires 'SignedHeaders' parameter. \
         Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
    );
    let error = error_of(&with_header("authorization", "AWS4-HMAC-SHA256"));
    assert_eq!(
        error.to_string(),
        "Authorization header requires 'Credential' parameter. \
         Authorization header requires 'Signature' parameter. \
         Authorization header requires 'SignedHeaders' parameter."
    );
}

#[test]
fn the_scope_must_be_this_service_on_this_day() {
    let scope_error = |from: &str, to: &str| {
        let rejection =
            parse_request(&with_authorization(|text| text.replace(from, to)), SERVICE).err().unwrap();
        assert_eq!(rejection.access_key_id.as_deref(), Some("AKIDEXAMPLE"));
        assert_eq!(rejection.error.code(), "InvalidSignatureException");
        rejection.error.to_string()
    };
    assert_eq!(
        scope_error("/secretsmanager/", "/kms/"),
        "Credential should be scoped to correct service: 'secretsmanager'."
    );
    assert_eq!(
        scope_error("/20261122/", "/20261121/"),
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."
    );
    assert_eq!(
        scope_error("eu-central-1/secretsmanager/aws4_request", "mars/s3/aws5_request"),
        "Credential should be scoped to a valid region. \
         Credential should be scoped to correct service: 'secretsmanager'. \
         Credential should be scoped with a valid terminator: 'aws4_request'."
    );
}

#[test]
fn malformed_parts() {
    use SigV4Error::*;
    let cases: [(SigV4Error, Request<Vec<u8>>); 14] = [
        (Algorithm, with_authorization(|text| text.replace("SHA256", "SHA1"))),
        (NotAPair, with_authorization(|text| text.replace("Credential=", "Credential"))),
        (RepeatedParameter("Signature"), with_authorization(|text| format!("{text}, Signature=0"))),
        (Credential, with_authorization(|text| text.replace("/aws4_request", ""))),
        (Credential, with_authorization(|text| text.replace("/aws4_request", "/aws4_request/x"))),
        (AccessKeyId, with_authorization(|text| text.replace("AKIDEXAMPLE", &"A".repeat(129)))),
        (HostNotSigned, with_authorization(|text| text.replace("host;", ""))),
        (HeaderNotSigned(X_AMZ_TARGET), with_authorization(|text| text.replace(";x-amz-target", ""))),
        (SignedHeaders, with_authorization(|text| text.replace("host;", "host;host;"))),
        (SignedHeaders, with_authorization(|text| text.replace("host;", "host;;"))),
        (
            SignedHeaderAbsent(HeaderName::from_static("expires")),
            with_authorization(|text| text.replace(";host", ";expires;host")),
        ),
        (SignatureForm, with_authorization(|text| format!("{text}00"))),
        (Date, with_header("x-amz-date", "2026-11-22T10:30:00Z")),
        (Date, with_header("x-amz-date", "+0261122T103000Z")),
    ];
    for (expected, request) in cases {
        assert_eq!(error_of(&request), expected);
    }
    for hash in ["UNSIGNED-PAYLOAD", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"] {
        let mut request = sign_officially(call(), None, true);
        request.headers_mut().insert(X_AMZ_CONTENT_SHA256, hash.parse().unwrap());
        assert_eq!(error_of(&request), ContentHash);
    }
}

#[test]
fn headers_that_decide_stand_once() {
    for name in ["authorization", "host", "x-amz-date", "x-amz-target", "x-amz-security-token"] {
        let mut request = call();
        request.headers_mut().append(name, "other".parse().unwrap());
        assert_eq!(error_of(&request), SigV4Error::RepeatedHeader(HeaderName::from_static(name)));
    }
}

#[test]
fn a_signature_in_the_query_is_refused() {
    let mut request = call();
    *request.uri_mut() = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00".parse().unwrap();
    assert_eq!(error_of(&request), SigV4Error::SignedTwice);
    request.headers_mut().remove(AUTHORIZATION);
    assert_eq!(error_of(&request), SigV4Error::SignedInQuery);
}

#[test]
fn paths_are_encoded_once_more_and_queries_anew() {
    assert_eq!(canonical_path("/functions/arn%3Aaws/@x"), "/functions/arn%253Aaws/%40x");
    for (path, canonical) in
        [("", "/"), ("/../a//b/.", "/a/b/"), ("/..", "/"), ("/a/..", "/"), ("/a/./b", "/a/b")]
    {
        assert_eq!(canonical_path(path), canonical, "{path}");
    }
    let query = Some("b=2&a=1&a=%2f&a&&c=x+y%20z&d=%zz");
    assert_eq!(canonical_query(query), "a=&a=%2F&a=1&b=2&c=x%20y%20z&d=%25zz");
}

fn any_signed_request() -> impl Strategy<Value = Request<Vec<u8>>> {
    let path = "/([a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2}|/|\\.\\.?/){0,12}";
    let query = "([a-zA-Z0-9._~-]|%[2-7][0-9A-F]|&|=|\\+|:|/){0,24}";
    let headers = prop::collection::vec(("x?-?[a-z]{1,8}-own", "[!-~]?([ -~]{0,20}[!-~])?"), 0..4);
    let token = prop::option::of("[A-Za-z0-9+/=]{1,40}");
    (
        prop::sample::select(vec!["POST", "GET", "PUT", "DELETE"]),
        path,
        query,
        headers,
        token,
        prop::collection::vec(any::<u8>(), 0..64),
        any::<bool>(),
        "[a-z]{1,10}(:[1-9][0-9]{2,3})?",
    )
        .prop_filter_map("a URI", |(method, path, query, headers, token, body, content_hash, host)| {
            let mut request =
                Request::builder().method(method).uri(format!("{path}?{query}")).header("host", host);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            Some(sign_officially(request.body(body).ok()?, token.as_deref(), content_hash))
        })
}

proptest! {
    #[test]
    fn what_the_official_signer_signs_verifies(request in any_signed_request()) {
        let claim = parse_request(&request, SERVICE).map_err(|r| TestCaseError::fail(format!("{r:?}")))?;
        prop_assert!(verifies(&claim));
    }

    #[test]
    fn tampering_with_any_part_fails(request in any_signed_request(), at in any::<prop::sample::Index>(), part in 0..7) {
        let mut tampered = request;
        match part {
            0 => tampered.body_mut().push(b' '),
            1 => {
                let method = if tampered.method() == "POST" { "PUT" } else { "POST" };
                *tampered.method_mut() = method.parse().unwrap();
            }
            2 => {
                let query = tampered.uri().query().unwrap_or_default();
                *tampered.uri_mut() = format!("{}/x?{query}", tampered.uri().path()).parse().unwrap();
            }
            3 => *tampered.uri_mut() = format!("{}&x=1", tampered.uri()).parse().unwrap(),
            4 => {
                let names: Vec<_> = tampered.headers().keys().filter(|name| *name != AUTHORIZATION).cloned().collect();
                let name = at.get(&names).clone();
                tampered.headers_mut().append(name, "x".parse().unwrap());
            }
            5 => {
                let names: Vec<_> = tampered.headers().keys().cloned().collect();
                tampered.headers_mut().remove(at.get(&names));
            }
            _ => {
                let mut text = tampered.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
                let last = if text.ends_with('0') { "1" } else { "0" };
                text.replace_range(text.len() - 1.., last);
                tampered.headers_mut().insert(AUTHORIZATION, text.parse().unwrap());
            }
        }
        prop_assert!(!parse_request(&tampered, SERVICE).is_ok_and(|claim| verifies(&claim)));
    }

    #[test]
    fn any_authorization_is_parsed_or_refused(
        text in "(AWS4-HMAC-SHA256)?[ ,]?((Credential|SignedHeaders|Signature)?=?[ -~\\t]{0,30}[, ]){0,4}",
        date in "[0-9TZ:+ -]{0,17}",
        query in "[!-~]{0,30}",
    ) {
        let request = Request::post("/").header("authorization", text).header("x-amz-date", date).header("host", "h");
        let Ok(mut request) = request.body(Vec::new()) else { return Ok(()) };
        if let Ok(uri) = format!("/?{query}").parse() {
            *request.uri_mut() = uri;
        }
        let _ = parse_request(&request, SERVICE);
    }

    #[test]
    fn any_header_bytes_are_parsed_or_refused(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 7)) {
        let mut request = Request::post("/").body(Vec::new()).unwrap();
        for (name, value) in SINGULAR.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().insert(name, value);
            }
        }
        let _ = parse_request(&request, SERVICE);
    }
}
