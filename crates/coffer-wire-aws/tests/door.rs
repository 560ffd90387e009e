//! Whole requests, signed by the official signer, through the door to a core in memory, and what is recorded.
#![expect(clippy::unwrap_used, reason = "what can't go on in a test fails it")]

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use coffer_testkit::World;
use coffer_wire_aws::{EarlyRefusal, OPERATIONS, Protocol, answer, refuse_early};
use futures_executor::block_on;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const TOKEN: &str = "00000000-0000-4000-8000-000000000001";
const TOKEN_2: &str = "00000000-0000-4000-8000-000000000002";

/// How a request is signed.
struct Signer {
    access_key_id: &'static str,
    secret: &'static str,
    service: &'static str,
    seconds_late: u64,
}

const ADMINISTRATOR: Signer = Signer {
    access_key_id: "AKIAADMINISTRATOR",
    secret: "secret of administrator",
    service: "secretsmanager",
    seconds_late: 0,
};

impl Signer {
    fn sign(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        let identity = Credentials::new(self.access_key_id, self.secret, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_343_400 - self.seconds_late))
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let uri = format!("http://127.0.0.1:8200{}", request.uri());
        let body = SignableBody::Bytes(request.body());
        let signable =
            SignableRequest::new(request.method().as_str(), uri, headers.into_iter(), body).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request
    }

    fn call(&self, world: &World, operation: &str, body: &Value) -> (StatusCode, Value) {
        outcome(world, self.sign(unsigned(operation, body.to_string())))
    }
}

fn unsigned(operation: &str, body: String) -> Request<Bytes> {
    Request::post("/")
        .header("host", "127.0.0.1:8200")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("secretsmanager.{operation}"))
        .body(Bytes::from(body))
        .unwrap()
}

fn send(world: &World, request: Request<Bytes>) -> Response<Bytes> {
    // A server runs it on whichever thread is free.
    fn may_move_between_threads<F: Future + Send>(future: F) -> F {
        future
    }
    block_on(may_move_between_threads(answer(&world.core, request, SOURCE)))
}

fn outcome(world: &World, request: Request<Bytes>) -> (StatusCode, Value) {
    let response = send(world, request);
    let body = response.body();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).unwrap() };
    (response.status(), body)
}

/// The code and the text of a refusal.
fn refusal((status, body): (StatusCode, Value)) -> (StatusCode, String, String) {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    (status, text("__type").unwrap(), text("message").or_else(|| text("Message")).unwrap())
}

fn last_record(world: &World) -> Value {
    serde_json::from_str(world.records().last().unwrap()).unwrap()
}

#[test]
fn a_secret_from_its_making_to_its_end() {
    let world = World::new();
    let call = |operation: &str, body: Value| {
        let (status, answer) = ADMINISTRATOR.call(&world, operation, &body);
        assert_eq!(status, StatusCode::OK, "{operation}: {answer}");
        answer
    };
    let call_for_nothing = |operation: &str, body: Value| assert_eq!(call(operation, body), json!(null));
    let created =
        call("CreateSecret", json!({"Name": "app/db", "ClientRequestToken": TOKEN, "SecretString": "one"}));
    let arn = created["ARN"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-"));
    assert_eq!(created, json!({"ARN": arn, "Name": "app/db", "VersionId": TOKEN}));

    let read = call("GetSecretValue", json!({"SecretId": "app/db"}));
    assert_eq!((&read["SecretString"], &read["VersionStages"]), (&json!("one"), &json!(["AWSCURRENT"])));

    let put = call(
        "PutSecretValue",
        json!({"SecretId": arn, "ClientRequestToken": TOKEN_2, "SecretBinary": "dHdv", "VersionStages": ["PENDING"]}),
    );
    assert_eq!(put["VersionStages"], json!(["PENDING"]));
    let moved = call(
        "UpdateSecretVersionStage",
        json!({"SecretId": "app/db", "VersionStage": "AWSCURRENT", "RemoveFromVersionId": TOKEN, "MoveToVersionId": TOKEN_2}),
    );
    assert_eq!(moved, json!({"ARN": arn, "Name": "app/db"}));
    assert_eq!(call("GetSecretValue", json!({"SecretId": "app/db"}))["SecretBinary"], "dHdv");

    let described = call("DescribeSecret", json!({"SecretId": "app/db"}));
    let stages = json!({TOKEN: ["AWSPREVIOUS"], TOKEN_2: ["AWSCURRENT", "PENDING"]});
    assert_eq!(described["VersionIdsToStages"], stages);
    let listed = call("ListSecrets", json!({}));
    assert_eq!(listed["SecretList"][0]["SecretVersionsToStages"], stages);
    let versions = call("ListSecretVersionIds", json!({"SecretId": "app/db"}));
    assert_eq!(versions["Versions"].as_array().map(Vec::len), Some(2));

    let updated = call("UpdateSecret", json!({"SecretId": "app/db", "Description": "d", "KmsKeyId": ""}));
    assert_eq!(updated, json!({"ARN": arn, "Name": "app/db"}));
    assert_eq!(call("DescribeSecret", json!({"SecretId": "app/db"}))["Description"], "d");
    let again = json!({"SecretId": "app/db", "ClientRequestToken": TOKEN, "SecretString": "one"});
    assert_eq!(call("UpdateSecret", again), json!({"ARN": arn, "Name": "app/db", "VersionId": TOKEN}));
    let password = call("GetRandomPassword", json!({"PasswordLength": 4096, "ExcludePunctuation": true}));
    assert!(password["RandomPassword"].as_str().is_some_and(|password| password.len() == 4096));

    let tags = || call("DescribeSecret", json!({"SecretId": "app/db"}))["Tags"].clone();
    let untag = || call_for_nothing("UntagResource", json!({"SecretId": "app/db", "TagKeys": ["k", "z"]}));
    untag();
    assert_eq!(tags(), json!(null));
    call_for_nothing(
        "TagResource",
        json!({"SecretId": arn, "Tags": [{"Key": "k", "Value": "v"}, {"Key": "e"}]}),
    );
    assert_eq!(tags(), json!([{"Key": "k", "Value": "v"}, {"Key": "e", "Value": ""}]));
    untag();
    call_for_nothing("UntagResource", json!({"SecretId": "app/db", "TagKeys": ["e"]}));
    assert_eq!(tags(), json!([]));

    call("DeleteSecret", json!({"SecretId": "app/db"}));
    call("RestoreSecret", json!({"SecretId": "app/db"}));
    call("DeleteSecret", json!({"SecretId": "app/db", "ForceDeleteWithoutRecovery": true}));
    let gone = refusal(ADMINISTRATOR.call(&world, "GetSecretValue", &json!({"SecretId": "app/db"})));
    assert_eq!(gone.1, "ResourceNotFoundException");
    assert_eq!(gone.2, "Secrets Manager can't find the specified secret.");
}

#[test]
fn every_answer_says_which_request_and_when() {
    let world = World::new();
    let signed = ADMINISTRATOR.sign(unsigned("ListSecrets", "{}".to_owned()));
    for (request, status) in
        [(signed, StatusCode::OK), (unsigned("ListSecrets", "{}".to_owned()), StatusCode::BAD_REQUEST)]
    {
        let response = send(&world, request);
        assert_eq!(response.status(), status);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/x-amz-json-1.1");
        assert_eq!(header("date"), "Sun, 22 Nov 2026 10:30:00 GMT");
        assert_eq!(last_record(&world)["requestID"], header("x-amzn-requestid"));
    }
}

#[test]
fn who_cannot_prove_who_it_is() {
    let world = World::new();
    let cases = [
        (
            Signer { access_key_id: "AKIASTRANGER", ..ADMINISTRATOR },
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            Signer { secret: "another", ..ADMINISTRATOR },
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ),
        (
            Signer { seconds_late: 301, ..ADMINISTRATOR },
            "InvalidSignatureException",
            "Signature expired: 20261122T102459Z is now earlier than 20261122T102500Z (20261122T103000Z - 5 min.)",
        ),
        (
            Signer { service: "kms", ..ADMINISTRATOR },
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'secretsmanager'.",
        ),
    ];
    for (signer, code, message) in cases {
        // Even of an operation that does not exist, or a body that is none, a stranger learns nothing.
        for (operation, body) in [("ListSecrets", "{}"), ("Nonsense", "{"), ("GetSecretValue", "[[")] {
            let refused = refusal(outcome(&world, signer.sign(unsigned(operation, body.to_owned()))));
            assert_eq!(refused, (StatusCode::BAD_REQUEST, code.to_owned(), message.to_owned()));
        }
        assert_eq!(last_record(&world)["errorCode"], code);
    }
    let refused = refusal(outcome(&world, unsigned("Nonsense", String::new())));
    assert_eq!(
        (refused.1.as_str(), refused.2.as_str()),
        ("MissingAuthenticationTokenException", "Missing Authentication Token")
    );
}

#[test]
fn what_is_not_served_is_said_with_what_is() {
    let world = World::new();
    let refused = refusal(ADMINISTRATOR.call(&world, "RotateSecret", &json!({})));
    assert_eq!((refused.0, refused.1.as_str()), (StatusCode::BAD_REQUEST, "UnknownOperationException"));
    assert!(refused.2.starts_with("The operation RotateSecret is not served."), "{}", refused.2);
    assert_eq!(last_record(&world)["eventName"], "RotateSecret");
    for operation in OPERATIONS {
        assert!(refused.2.contains(operation.name));
        let answered =
            ADMINISTRATOR.call(&world, operation.name, &json!({"MaxResults": 0, "PasswordLength": 0}));
        let (_, code, _) = refusal(answered);
        assert_eq!(code, "ValidationException", "{} is decoded", operation.name);
    }

    let mut elsewhere = unsigned("ListSecrets", "{}".to_owned());
    *elsewhere.uri_mut() = "/elsewhere".parse().unwrap();
    let refused = refusal(outcome(&world, ADMINISTRATOR.sign(elsewhere)));
    assert_eq!((refused.0, refused.1.as_str()), (StatusCode::NOT_FOUND, "UnknownOperationException"));
}

#[test]
fn the_table_says_which_operations_only_read() {
    let reading: Vec<_> = OPERATIONS.iter().filter(|operation| operation.read_only).map(|o| o.name).collect();
    assert_eq!(
        reading,
        [
            "BatchGetSecretValue",
            "DescribeSecret",
            "GetRandomPassword",
            "GetSecretValue",
            "ListSecretVersionIds",
            "ListSecrets"
        ]
    );
}

#[test]
fn who_is_known_and_may_not() {
    let world = World::new();
    let nobody = Signer { access_key_id: "AKIANOBODY", secret: "secret of nobody", ..ADMINISTRATOR };
    let refused = nobody.call(&world, "GetSecretValue", &json!({"SecretId": "app/db"}));
    assert!(refused.1["Message"].is_string(), "{}", refused.1);
    let (status, code, message) = refusal(refused);
    assert_eq!((status, code.as_str()), (StatusCode::BAD_REQUEST, "AccessDeniedException"));
    assert!(
        message.starts_with(
            "User: arn:aws:iam::123456789012:user/nobody is not authorized to perform: secretsmanager:GetSecretValue on resource: "
        ),
        "{message}"
    );
}

#[test]
fn a_malformed_body_is_recorded_without_what_it_held() {
    let world = World::new();
    let marker = "MARKER-hunter2";
    for body in [
        json!({"SecretId": "", "SecretString": marker, "ClientRequestToken": marker}),
        json!({"SecretId": "n", "SecretString": {"password": marker}}),
        json!({"SecretId": format!("{marker}*"), "SecretString": marker, "ClientRequestToken": TOKEN}),
    ] {
        let (_, code, _) = refusal(ADMINISTRATOR.call(&world, "PutSecretValue", &body));
        let record = last_record(&world);
        assert_eq!((&record["errorCode"], &record["eventName"]), (&json!(code), &json!("PutSecretValue")));
        assert!(!record.to_string().contains("hunter2"), "{record}");
    }
}

#[test]
fn what_the_server_refuses_by_itself() {
    let world = World::new();
    for (early, status) in [
        (EarlyRefusal::BodyTooLarge, 413),
        (EarlyRefusal::HeadersTooLarge, 431),
        (EarlyRefusal::TooSlow, 408),
        (EarlyRefusal::Unreadable, 400),
        (EarlyRefusal::Overloaded, 503),
        (EarlyRefusal::Failed, 500),
    ] {
        let response = block_on(refuse_early(&world.core, early, Protocol::unknown(), SOURCE));
        assert_eq!(response.status(), status);
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(last_record(&world)["errorCode"], body["__type"]);
    }
    let large = unsigned("ListSecrets", " ".repeat(512 * 1024 + 1));
    assert_eq!(send(&world, large).status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn what_the_server_refuses_by_itself_is_told_in_the_protocol_of_the_request() {
    let world = World::new();
    for (content_type, service, is_xml, event_source) in [
        ("application/x-www-form-urlencoded; charset=utf-8", "iam", true, "iam.amazonaws.com"),
        ("application/x-www-form-urlencoded", "sts", true, "sts.amazonaws.com"),
        ("application/x-amz-json-1.1", "secretsmanager", false, "secretsmanager.amazonaws.com"),
    ] {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20261122/us-east-1/{service}/aws4_request");
        let request = http::Request::post("/")
            .header("content-type", content_type)
            .header("authorization", scope)
            .body(Bytes::from(vec![b' '; 512 * 1024 + 1]));
        let response = send(&world, request.unwrap());
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let body = String::from_utf8_lossy(response.body()).into_owned();
        let record = last_record(&world);
        assert_eq!(record["eventSource"], event_source);
        let id = record["requestID"].as_str().unwrap();
        if is_xml {
            assert_eq!(response.headers()["content-type"], "text/xml");
            assert!(
                body.contains("<Type>Sender</Type><Code>RequestEntityTooLargeException</Code>"),
                "{body}"
            );
            assert!(body.contains(&format!("https://{service}.amazonaws.com/doc/")), "{body}");
            assert!(body.contains(&format!("<RequestId>{id}</RequestId>")), "{body}");
        } else {
            assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
            assert!(body.starts_with('{'), "{body}");
        }
    }
}

#[test]
fn a_batch_is_read_one_by_one_and_one_that_fails_is_told_among_the_others() {
    let world = World::new();
    for name in ["a", "b"] {
        let body = json!({"Name": name, "ClientRequestToken": TOKEN, "SecretString": name});
        assert_eq!(ADMINISTRATOR.call(&world, "CreateSecret", &body).0, StatusCode::OK);
        world.clock.advance_millis(1);
    }
    let batch = |body: Value| ADMINISTRATOR.call(&world, "BatchGetSecretValue", &body);
    let records = world.records().len();
    let (status, answer) = batch(json!({"SecretIdList": ["b", "missing", "a"]}));
    assert_eq!(status, StatusCode::OK);
    let names = |answer: &Value| -> Vec<String> {
        let values = answer["SecretValues"].as_array().unwrap();
        values.iter().map(|value| value["SecretString"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&answer), ["b", "a"]);
    assert_eq!(
        answer["Errors"],
        json!([{
            "SecretId": "missing",
            "ErrorCode": "ResourceNotFoundException",
            "Message": "Secrets Manager can't find the specified secret."
        }])
    );
    let event = |record: &String| serde_json::from_str::<Value>(record).unwrap()["eventName"].clone();
    let events: Vec<_> = world.records()[records..].iter().map(event).collect();
    assert_eq!(events, ["BatchGetSecretValue", "GetSecretValue", "GetSecretValue", "GetSecretValue"]);

    let (_, page) = batch(json!({"Filters": [], "MaxResults": 1}));
    assert_eq!((names(&page), &page["Errors"]), (vec!["a".to_owned()], &json!([])));
    let (_, page) = batch(json!({"Filters": [], "MaxResults": 1, "NextToken": page["NextToken"]}));
    assert_eq!((names(&page), page.get("NextToken")), (vec!["b".to_owned()], None));

    for (body, code) in [
        (json!({}), "InvalidParameterException"),
        (json!({"SecretIdList": ["a"], "Filters": []}), "InvalidParameterException"),
        (json!({"SecretIdList": ["a"], "MaxResults": 1}), "InvalidParameterException"),
        (json!({"SecretIdList": []}), "ValidationException"),
        (json!({"SecretIdList": vec!["a"; 21]}), "ValidationException"),
        (json!({"Filters": [], "MaxResults": 21}), "ValidationException"),
    ] {
        assert_eq!(refusal(batch(body)).1, code);
    }
}
