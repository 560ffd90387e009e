//! What bodies become, and what they are refused with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use coffer_types::SecretValue;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::input::read_secret_text;
use super::*;

const TOKEN: &str = "a0b1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d";

#[derive(Deserialize)]
struct RefusalVectors {
    refusals: Vec<RefusalVector>,
}

#[derive(Deserialize)]
struct RefusalVector {
    operation: String,
    body: String,
    code: String,
    message: String,
}

fn refusal_of(operation: &str, body: &[u8]) -> Option<Malformed> {
    match operation {
        "BatchGetSecretValue" => decode::<BatchGetSecretValue>(body).err(),
        "CreateSecret" => decode::<CreateSecret>(body).err(),
        "GetSecretValue" => decode::<GetSecretValue>(body).err(),
        "PutSecretValue" => decode::<PutSecretValue>(body).err(),
        "DescribeSecret" => decode::<DescribeSecret>(body).err(),
        "ListSecrets" => decode::<ListSecrets>(body).err(),
        "ListSecretVersionIds" => decode::<ListSecretVersionIds>(body).err(),
        "UpdateSecretVersionStage" => decode::<UpdateSecretVersionStage>(body).err(),
        "DeleteSecret" => decode::<DeleteSecret>(body).err(),
        "RestoreSecret" => decode::<RestoreSecret>(body).err(),
        "TagResource" => decode::<TagResource>(body).err(),
        "GetRandomPassword" => decode::<GetRandomPassword>(body).err(),
        "UpdateSecret" => decode::<UpdateSecret>(body).err(),
        "UntagResource" => decode::<UntagResource>(body).err(),
        _ => panic!("no operation {operation}"),
    }
}

#[test]
fn the_refusals_on_file() {
    let vectors: RefusalVectors =
        serde_json::from_str(include_str!("../../../../vectors/aws/refusals.json")).unwrap();
    for RefusalVector { operation, body, code, message } in vectors.refusals {
        let refusal = refusal_of(&operation, body.as_bytes());
        let refusal = refusal.map(|refusal| (refusal.code().to_owned(), refusal.to_string()));
        assert_eq!(refusal, Some((code, message)), "{operation} {body}");
    }
}

fn created(body: serde_json::Value) -> CreateSecret {
    decode(body.to_string().as_bytes()).expect("legal")
}

#[test]
fn a_secret_with_everything() {
    let secret = created(serde_json::json!({
        "Name": "btc-agent/twitter/credentials", "ClientRequestToken": TOKEN, "Description": "d",
        "KmsKeyId": "alias/aws/secretsmanager", "SecretString": "s",
        "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l"}], "Unknown": [{}],
    }));
    assert_eq!(secret.name.as_str(), "btc-agent/twitter/credentials");
    assert_eq!(secret.token.as_str(), TOKEN);
    assert_eq!(secret.description.as_deref(), Some("d"));
    assert_eq!(secret.kms_key_id.as_deref(), Some("alias/aws/secretsmanager"));
    assert!(matches!(secret.value, Some(SecretValue::String(s)) if s.expose_secret() == b"s"));
    let tags: Vec<_> = secret.tags.iter().flatten().map(|tag| (tag.key(), tag.value())).collect();
    assert_eq!(tags, [("k", "v"), ("l", "")]);
}

#[test]
fn absent_null_and_empty() {
    let bare = created(serde_json::json!({
        "Name": "n", "ClientRequestToken": TOKEN, "Description": null, "KmsKeyId": "", "SecretString": null,
        "ForceOverwriteReplicaSecret": false,
    }));
    assert!(
        bare.value.is_none()
            && bare.tags.is_none()
            && bare.kms_key_id.is_none()
            && bare.description.is_none()
    );
    let tags = created(serde_json::json!({"Name": "n", "ClientRequestToken": TOKEN, "Tags": []})).tags;
    assert_eq!(tags, Some(vec![]));

    let list: ListSecrets = decode(br#"{"Filters": [], "SortBy": "created-date"}"#).ok().unwrap();
    assert!(!list.include_planned_deletion && !list.descending);
    assert_eq!((list.max_results, list.next_token), (100, None));
}

#[test]
fn how_a_secret_is_deleted() {
    let mode = |body: &str| decode::<DeleteSecret>(body.as_bytes()).ok().map(|delete| delete.mode);
    for (body, days) in [
        (r#"{"SecretId":"n"}"#, 30),
        (r#"{"SecretId":"n","RecoveryWindowInDays":7}"#, 7),
        (r#"{"SecretId":"n","RecoveryWindowInDays":30,"ForceDeleteWithoutRecovery":false}"#, 30),
    ] {
        assert_eq!(mode(body), Some(DeletionMode::Recoverable { days }), "{body}");
    }
    assert_eq!(mode(r#"{"SecretId":"n","ForceDeleteWithoutRecovery":true}"#), Some(DeletionMode::Immediate));
}

#[test]
fn a_value_of_64_kib_fits_even_if_each_byte_is_escaped() {
    let body = |count: usize| {
        format!(
            r#"{{"Name":"n","ClientRequestToken":"{TOKEN}","SecretString":"{}"}}"#,
            r"\u0001".repeat(count)
        )
    };
    assert!(body(65_536).len() <= BODY_BYTES_MAX);
    let secret: CreateSecret = decode(body(65_536).as_bytes()).ok().unwrap();
    assert!(secret.value.is_some_and(|value| value.bytes().expose_secret() == [1; 65_536]));
    let refusal = decode::<CreateSecret>(body(65_537).as_bytes()).err().unwrap();
    assert_eq!(
        refusal.to_string(),
        "1 validation error detected: Value at 'secretString' failed to satisfy constraint: \
         Member must have length less than or equal to 65536"
    );
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| format!(r#"{{"x":{}1{}}}"#, open.repeat(depth), close.repeat(depth));
        assert!(decode::<ListSecrets>(nested(127).as_bytes()).is_ok());
        for depth in [128, 10_000] {
            let refusal = decode::<ListSecrets>(nested(depth).as_bytes()).err().unwrap();
            assert_eq!(refusal.to_string(), "The request body is nested too deeply.");
        }
        assert!(decode::<ListSecrets>(open.repeat(100_000).as_bytes()).is_err());
    }
    assert!(decode::<ListSecrets>(br#"{"x":"[[\"[["}"#).is_ok());
}

#[test]
fn the_record_holds_nothing_of_a_body() {
    let body = br#"{"SecretId":"","VersionId":"hunter2","VersionStage":null}"#;
    let refusal = decode::<GetSecretValue>(body).err().unwrap();
    assert_eq!(
        refusal.record_text(),
        "2 validation errors detected: \
         Value at 'secretId' failed to satisfy constraint: Member must have length greater than or equal to 1; \
         Value at 'versionId' failed to satisfy constraint: Member must have length greater than or equal to 32"
    );
}

#[test]
fn no_refusal_repeats_a_value() {
    let marker = "MARKER-hunter2";
    let base64 = BASE64.encode(marker);
    let long = marker.repeat(10_000);
    for body in [
        format!(
            r#"{{"SecretId":"n","SecretString":"{marker}","SecretBinary":"{base64}","ClientRequestToken":"{TOKEN}"}}"#
        ),
        format!(r#"{{"SecretId":"n","SecretString":"{marker}","SecretString":"{marker}"}}"#),
        format!(r#"{{"SecretId":"n","SecretString":"{long}"}}"#),
        format!(r#"{{"SecretId":"n","SecretString":["{marker}"]}}"#),
        format!(r#"{{"SecretId":"n","SecretString":"{marker}\ud800"}}"#),
        format!(r#"{{"SecretId":"n","SecretString":"{marker}"#),
        format!(r#"{{"SecretId":"n","SecretBinary":"{base64}*"}}"#),
        format!(r#"{{"SecretId":"n","SecretBinary":{{"a":"{base64}"}}}}"#),
        format!(r#"{{"SecretId":"","SecretString":"{marker}"}}"#),
        format!(r#"{{"SecretId":"n","SecretString":"{marker}","VersionStages":"{marker}"}}"#),
        format!(r#""{marker}""#),
    ] {
        let refusal = decode::<PutSecretValue>(body.as_bytes()).err().unwrap();
        let shown = format!("{refusal} {refusal:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(&base64), "{shown}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::<CreateSecret>(&body);
        let _ = decode::<ListSecrets>(&body);
    }

    #[test]
    fn any_members_are_decoded_or_refused(
        members in prop::collection::vec((
            prop::sample::select(vec![
                "Name", "SecretId", "ClientRequestToken", "SecretString", "SecretBinary", "Tags", "VersionStages",
                "VersionStage", "VersionId", "MaxResults", "NextToken", "RecoveryWindowInDays", "SortOrder", "x",
            ]),
            prop_oneof![
                "\"(\\\\\"|\\\\u[0-9a-fA-F]{3,4}|[ -!#-\\[^-~]|\\\\n|é|\\PC){0,40}\"",
                "-?[0-9]{1,20}(\\.[0-9])?(e[0-9])?",
                "(true|false|null|\\[\\]|\\{\\}|\\[\"a\",\"\"\\]|\\[\\{\"Key\":\"k\",\"Value\":1\\}\\]|\\[\\[\\]\\])",
            ],
        ), 0..8),
    ) {
        let members: Vec<_> = members.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
        let body = format!("{{{}}}", members.join(","));
        for operation in [
            "CreateSecret", "GetSecretValue", "PutSecretValue", "DescribeSecret", "ListSecrets",
            "ListSecretVersionIds", "UpdateSecretVersionStage", "DeleteSecret", "RestoreSecret", "TagResource",
            "UntagResource", "GetRandomPassword", "UpdateSecret", "BatchGetSecretValue",
        ] {
            if let Some(refusal) = refusal_of(operation, body.as_bytes()) {
                prop_assert!(refusal.to_string().len() < 64 * 1024);
            }
        }
    }

    #[test]
    fn a_text_value_comes_out_as_serde_json_reads_it(text in "(\\PC|[\u{0}-\u{1f}]|\\\\|\"|\u{10ffff}){1,40}") {
        let value = |body: String| match decode::<CreateSecret>(body.as_bytes()).ok().and_then(|secret| secret.value) {
            Some(SecretValue::String(bytes)) => Some(bytes.expose_secret().to_vec()),
            _ => None,
        };
        let plain = serde_json::to_string(&text).unwrap();
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        for json in [plain, format!("\"{escaped}\"")] {
            let body = format!(r#"{{"Name":"n","ClientRequestToken":"{TOKEN}","SecretString":{json}}}"#);
            prop_assert_eq!(value(body), Some(text.clone().into_bytes()));
        }
    }

    #[test]
    fn escapes_are_refused_where_serde_json_refuses_them(text in "(\\\\[\"\\\\/bfnrtux]|[a-f0-9D]{1,4}|é){0,12}") {
        let json = format!("\"{text}\"");
        let Ok(raw) = serde_json::from_str::<&RawValue>(&json) else { return Ok(()) };
        let ours = read_secret_text(raw, "x").ok().map(|bytes| bytes.expose_secret().to_vec());
        let theirs = serde_json::from_str::<String>(&json).ok().map(String::into_bytes);
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_binary_value_comes_out_as_it_went_in(bytes in prop::collection::vec(any::<u8>(), 1..100)) {
        let base64 = BASE64.encode(&bytes);
        let escaped = base64.replace('/', "\\/").replace('=', "\\u003d");
        for text in [base64, escaped] {
            let body = format!(r#"{{"Name":"n","ClientRequestToken":"{TOKEN}","SecretBinary":"{text}"}}"#);
            let value = decode::<CreateSecret>(body.as_bytes()).ok().and_then(|secret| secret.value);
            prop_assert!(matches!(value, Some(SecretValue::Binary(got)) if got.expose_secret() == bytes));
        }
    }
}
