//! Answers: a value as GetSecretValue tells one, an error as AWS's services tell theirs.
//!
//! Pure. Invariant: the text of an error never holds a value.

use base64::Engine as _;
use coffer_resolver::{ErrorKind, Facts};
use http::StatusCode;
use serde::Serialize;
use zeroize::Zeroizing;

/// GetSecretValue's answer, its members in the AWS agent's order.
#[derive(Serialize)]
struct Value<'a> {
    #[serde(rename = "ARN")]
    arn: &'a str,
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "VersionId")]
    version_id: Option<&'a str>,
    #[serde(rename = "SecretString", skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(rename = "SecretBinary", skip_serializing_if = "Option::is_none")]
    bytes: Option<&'a str>,
    #[serde(rename = "VersionStages")]
    stages: &'a [String],
    #[serde(rename = "CreatedDate", skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

/// What goes wrong, as AWS's services say it.
#[derive(Serialize)]
struct Fault<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    message: &'a str,
}

/// A value with what its store says of it. `place` stands in for what the store does not say.
pub(crate) fn value(value: &[u8], facts: &Facts, place: &str, asked_name: &str) -> Zeroizing<Vec<u8>> {
    let text = std::str::from_utf8(value).ok().filter(|_| !facts.is_binary);
    let coded =
        text.is_none().then(|| Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(value)));
    let usual = ["AWSCURRENT".to_owned()];
    let answer = Value {
        arn: facts.arn.as_deref().unwrap_or(place),
        name: facts.name.as_deref().unwrap_or(asked_name),
        version_id: facts.version_id.as_deref(),
        text,
        bytes: coded.as_ref().map(|coded| coded.as_str()),
        stages: if facts.version_id.is_none() { &usual } else { &facts.stages },
        created: facts.created_millis.map(seconds),
    };
    // Room for every byte written out as \u0000, so that no outgrown buffer stays behind.
    let mut body = Zeroizing::new(Vec::with_capacity(value.len() * 6 + place.len() + 1024));
    // Writing texts to a Vec can't fail.
    let _ = serde_json::to_writer(&mut *body, &answer);
    body
}

/// Seconds with a fraction, as text: so the AWS agent writes times.
fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

/// The status and body of an error.
pub(crate) fn fault(kind: ErrorKind, message: &str) -> (StatusCode, Vec<u8>) {
    let (status, name) = match kind {
        ErrorKind::NotFound => (StatusCode::BAD_REQUEST, "ResourceNotFoundException"),
        ErrorKind::Denied => (StatusCode::BAD_REQUEST, "AccessDeniedException"),
        ErrorKind::Malformed => (StatusCode::BAD_REQUEST, "InvalidRequestException"),
        ErrorKind::DecryptionFailed => (StatusCode::BAD_REQUEST, "DecryptionFailure"),
        ErrorKind::Throttled => (StatusCode::BAD_REQUEST, "ThrottlingException"),
        ErrorKind::Misconfigured => (StatusCode::BAD_REQUEST, "InvalidParameterException"),
        // Clients ask again after a 5xx.
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "InternalServiceError"),
    };
    (status, serde_json::to_vec(&Fault { kind: name, message }).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &[u8]) -> &str {
        std::str::from_utf8(body).unwrap()
    }

    #[test]
    fn a_value_with_what_is_known_of_it() {
        let facts = Facts {
            name: Some("MyTest".into()),
            arn: Some("arn:x".into()),
            version_id: Some("v".into()),
            stages: vec!["AWSCURRENT".into()],
            created_millis: Some(1_565_891_646_162),
            is_binary: false,
        };
        assert_eq!(
            text(&value(b"a\"b", &facts, "aws://MyTest", "MyTest")),
            r#"{"ARN":"arn:x","Name":"MyTest","VersionId":"v","SecretString":"a\"b","VersionStages":["AWSCURRENT"],"CreatedDate":"1565891646.162"}"#
        );
        let binary = Facts { is_binary: true, created_millis: None, ..facts };
        assert_eq!(
            text(&value(b"ab", &binary, "", "")),
            r#"{"ARN":"arn:x","Name":"MyTest","VersionId":"v","SecretBinary":"YWI=","VersionStages":["AWSCURRENT"]}"#
        );
        assert_eq!(
            text(&value(b"\xff", &Facts::default(), "env:KEY", "KEY")),
            r#"{"ARN":"env:KEY","Name":"KEY","VersionId":null,"SecretBinary":"/w==","VersionStages":["AWSCURRENT"]}"#
        );
    }

    #[test]
    fn each_kind_of_error() {
        for (kind, expected) in [
            (ErrorKind::NotFound, "400 ResourceNotFoundException"),
            (ErrorKind::Denied, "400 AccessDeniedException"),
            (ErrorKind::Malformed, "400 InvalidRequestException"),
            (ErrorKind::DecryptionFailed, "400 DecryptionFailure"),
            (ErrorKind::Throttled, "400 ThrottlingException"),
            (ErrorKind::Unavailable, "503 InternalServiceError"),
            (ErrorKind::Misconfigured, "400 InvalidParameterException"),
        ] {
            let (status, body) = fault(kind, "why");
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(format!("{} {}", status.as_u16(), body["__type"].as_str().unwrap()), expected);
            assert_eq!(body["message"], "why");
        }
    }
}
