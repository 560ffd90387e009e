//! What answers look like, byte for byte.

use coffer_core::{Principal, RequestInfo, Transport};
use coffer_types::{AccountId, Region, SecretArnParts, SecretBytes};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-a1B2c3";
const VERSION: &str = "a0b1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d";
const CREATED: Timestamp = Timestamp::from_millis(1_795_343_400_123);

fn context() -> Context {
    Context {
        principal: Principal::Local { uid: 0, arn: "".into() },
        account: AccountId::EXAMPLE,
        region: Region::us_east_1(),
        request: RequestInfo {
            request_id: "".into(),
            correlation_id: None,
            source: None,
            user_agent: "".into(),
            transport: Transport::Local,
        },
        now: CREATED,
        event_source: "secretsmanager.amazonaws.com",
    }
}

fn arn() -> SecretArn {
    SecretArnParts {
        region: Region::us_east_1(),
        account: AccountId::EXAMPLE,
        name: "app/db".parse().unwrap(),
        suffix: "a1B2c3".parse().unwrap(),
    }
    .into()
}

fn version() -> VersionId {
    VERSION.parse().unwrap()
}

fn check(answer: &dyn ToWire, expected: Value) {
    let body = answer.to_wire(&context());
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
}

fn description() -> SecretDescription {
    SecretDescription {
        arn: arn(),
        description: None,
        tags: None,
        created: CREATED,
        last_changed: CREATED.plus_millis(877),
        last_accessed: None,
        deleted: None,
        last_ordinal: 0,
        versions: vec![],
    }
}

fn read(value: SecretValue) -> ReadValue {
    ReadValue { arn: arn(), version_id: version(), value, stages: vec![Stage::current()], created: CREATED }
}

#[test]
fn a_value() {
    let string = SecretValue::string(SecretBytes::copy_from("p\"\\\n\u{1}é".as_bytes())).unwrap();
    assert_eq!(
        read(string).to_wire(&context()),
        format!(
            r#"{{"ARN":"{ARN}","Name":"app/db","VersionId":"{VERSION}","SecretString":"p\"\\\n\u0001é","VersionStages":["AWSCURRENT"],"CreatedDate":1795343400.123}}"#
        )
    );
    check(
        &read(SecretValue::binary(SecretBytes::copy_from(&[0xff, 0xfe])).unwrap()),
        json!({
            "ARN": ARN, "Name": "app/db", "VersionId": VERSION, "SecretBinary": "//4=",
            "VersionStages": ["AWSCURRENT"], "CreatedDate": 1795343400.123,
        }),
    );
}

#[test]
fn only_fields_with_a_value() {
    check(&CreatedSecret { arn: arn(), version_id: None }, json!({"ARN": ARN, "Name": "app/db"}));
    check(
        &CreatedSecret { arn: arn(), version_id: Some(version()) },
        json!({"ARN": ARN, "Name": "app/db", "VersionId": VERSION}),
    );
    check(
        &PutVersion { arn: arn(), version_id: version(), stages: vec![Stage::current()] },
        json!({"ARN": ARN, "Name": "app/db", "VersionId": VERSION, "VersionStages": ["AWSCURRENT"]}),
    );
    check(&SecretReference { arn: arn() }, json!({"ARN": ARN, "Name": "app/db"}));
    check(
        &description(),
        json!({"ARN": ARN, "Name": "app/db", "CreatedDate": 1795343400.123, "LastChangedDate": 1795343401.0}),
    );
}

#[test]
fn a_description_with_everything() {
    let full = || SecretDescription {
        description: Some("d".to_owned()),
        tags: Some(vec![Tag::new("k", "v").unwrap()]),
        last_accessed: Some(Timestamp::from_millis(1_795_305_600_000)),
        deleted: Some(CREATED),
        versions: vec![(version(), vec![Stage::current(), "own".parse().unwrap()])],
        ..description()
    };
    let expected = |versions: &str| {
        json!({
            "ARN": ARN, "Name": "app/db", "Description": "d", "CreatedDate": 1795343400.123,
            "LastChangedDate": 1795343401.0, "LastAccessedDate": 1795305600.0, "DeletedDate": 1795343400.123,
            "Tags": [{"Key": "k", "Value": "v"}], versions: {VERSION: ["AWSCURRENT", "own"]},
        })
    };
    check(&full(), expected("VersionIdsToStages"));
    check(
        &SecretPage { secrets: vec![full()], next_token: Some("t".to_owned()) },
        json!({"SecretList": [expected("SecretVersionsToStages")], "NextToken": "t"}),
    );
    check(&SecretPage { secrets: vec![], next_token: None }, json!({"SecretList": []}));
    let tagless = SecretDescription { tags: Some(vec![]), ..description() };
    let body: Value = serde_json::from_slice(&tagless.to_wire(&context())).unwrap();
    assert_eq!(body["Tags"], json!([]));
}

#[test]
fn versions() {
    let entry = |stages: Vec<Stage>| VersionDescription {
        version_id: version(),
        ordinal: 1,
        last_accessed: (!stages.is_empty()).then_some(CREATED),
        stages,
        created: CREATED,
    };
    check(
        &VersionPage {
            arn: arn(),
            versions: vec![entry(vec![Stage::current()]), entry(vec![])],
            next_token: None,
        },
        json!({"ARN": ARN, "Name": "app/db", "Versions": [
            {"VersionId": VERSION, "VersionStages": ["AWSCURRENT"], "LastAccessedDate": 1795343400.123, "CreatedDate": 1795343400.123, "KmsKeyIds": ["DefaultEncryptionKey"]},
            {"VersionId": VERSION, "CreatedDate": 1795343400.123, "KmsKeyIds": ["DefaultEncryptionKey"]},
        ]}),
    );
}

#[test]
fn deletions() {
    let name = || "app/db".parse().unwrap();
    check(
        &DeletedSecret { arn: Some(arn()), name: name(), deletion_date: CREATED },
        json!({"ARN": ARN, "Name": "app/db", "DeletionDate": 1795343400.123}),
    );
    check(
        &DeletedSecret { arn: None, name: name(), deletion_date: CREATED },
        json!({
            "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db", "Name": "app/db",
            "DeletionDate": 1795343400.123,
        }),
    );
}

#[test]
fn times() {
    let text = |millis| {
        let mut bytes = Vec::new();
        Json { bytes: &mut bytes }.time(Timestamp::from_millis(millis));
        String::from_utf8(bytes).unwrap()
    };
    for (millis, expected) in
        [(0, "0.000"), (1, "0.001"), (-1, "-0.001"), (1_795_343_400_000, "1795343400.000")]
    {
        assert_eq!(text(millis), expected);
    }
}

proptest! {
    /// In a debug build this also checks that the buffer never moves.
    #[test]
    fn a_value_goes_out_as_serde_json_reads_it_back(
        text in "(\\PC|[\u{0}-\u{1f}]|\\\\|\"){1,60}",
        bytes in prop::collection::vec(any::<u8>(), 1..200),
        stage in "(\\PC){1,20}",
    ) {
        let stages = || stage.parse::<Stage>().into_iter().chain([Stage::current()]).collect::<Vec<_>>();
        let string = SecretValue::string(SecretBytes::copy_from(text.as_bytes())).unwrap();
        let body: Value = serde_json::from_slice(&ReadValue { stages: stages(), ..read(string) }.to_wire(&context())).unwrap();
        prop_assert_eq!(body["SecretString"].as_str(), Some(text.as_str()));
        let binary = SecretValue::binary(SecretBytes::copy_from(&bytes)).unwrap();
        let body: Value = serde_json::from_slice(&ReadValue { stages: stages(), ..read(binary) }.to_wire(&context())).unwrap();
        prop_assert_eq!(&body["SecretBinary"], &json!(BASE64.encode(&bytes)));
    }
}
