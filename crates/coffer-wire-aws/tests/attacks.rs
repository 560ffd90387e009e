//! What somebody tries who may not: forged, stripped and borrowed signatures, names that look like others, and documents
//! that are too much.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod common;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffer_testkit::World;
use common::{
    ACCOUNT, Answer, Keys, Service, assume, encoded, new_role, new_secret, new_user, policy, put_policy,
    role_arn, send, session_token, statement,
};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Request, StatusCode};

use Service::{Iam, SecretsManager, Sts};

const GET: &str = "secretsmanager:GetSecretValue";
/// A call of each service that the administrator gets done.
const CALLS: [(Service, &str, &str); 3] = [
    (SecretsManager, "GetSecretValue", r#"{"SecretId": "app/db"}"#),
    (Iam, "ListUsers", ""),
    (Sts, "GetCallerIdentity", ""),
];

/// A world with a secret in it: the world, and the secret's ARN.
fn world() -> (World, String) {
    let world = World::new();
    let arn = new_secret(&world, "app/db", "[]");
    (world, arn)
}

fn allow(action: &str, resource: &str) -> String {
    statement("Allow", action, resource, "")
}

fn administrator(world: &World, operation: &str, body: &str) -> Answer {
    Keys::administrator().call(world, Iam, operation, body).done()
}

fn read(world: &World, keys: &Keys, secret_id: &str) -> Answer {
    let body = serde_json::json!({ "SecretId": secret_id }).to_string();
    keys.call(world, SecretsManager, "GetSecretValue", &body)
}

/// Each call as the administrator signs it, changed, must be refused; without the change it is answered.
fn refused_when(change: impl Fn(&mut Request<Bytes>), codes: &[&str]) {
    let (world, _) = world();
    for (service, operation, body) in CALLS {
        let signed = || Keys::administrator().sign(&world, service.name(), service.unsigned(operation, body));
        assert_eq!(send(&world, signed()).status, StatusCode::OK);
        let mut request = signed();
        change(&mut request);
        let answer = send(&world, request);
        assert!(answer.status.is_client_error(), "{operation}: {}", answer.body);
        let code = answer.code().trim_end_matches("Exception");
        assert!(codes.contains(&code), "{operation}: {}", answer.body);
    }
}

fn authorization(request: &Request<Bytes>) -> String {
    request.headers()[AUTHORIZATION].to_str().unwrap().to_owned()
}

fn set_authorization(request: &mut Request<Bytes>, change: impl Fn(&str) -> String) {
    let changed = change(&authorization(request));
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&changed).unwrap());
}

const FORGED: &[&str] = &["InvalidSignature", "SignatureDoesNotMatch"];
const INCOMPLETE: &[&str] = &["IncompleteSignature", "InvalidSignature", "SignatureDoesNotMatch"];
const MISSING: &[&str] = &["MissingAuthenticationToken"];

#[test]
fn a_signature_that_is_taken_away_leaves_nothing() {
    refused_when(
        |request| {
            request.headers_mut().remove(AUTHORIZATION);
        },
        MISSING,
    );
    for other in ["Bearer x", "Basic dGVzdDp0ZXN0", "Anonymous", "AWS AKIAADMINISTRATOR:x"] {
        refused_when(
            |request| {
                request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static(other));
            },
            MISSING,
        );
    }
    let signature = |text: &str| text.split_once("Signature=").unwrap().1.to_owned();
    let without = |text: &str| text.split_once(", Signature=").unwrap().0.to_owned();
    refused_when(|request| set_authorization(request, |text| without(text)), INCOMPLETE);
    refused_when(|request| set_authorization(request, |text| without(text) + ", Signature="), INCOMPLETE);
    refused_when(
        |request| {
            set_authorization(request, |text| format!("{}, Signature={}", without(text), "0".repeat(64)));
        },
        FORGED,
    );
    refused_when(
        |request| {
            set_authorization(request, |text| {
                format!("{}, Signature={}", without(text), &signature(text)[..62])
            });
        },
        FORGED,
    );
    // Two signatures: one of them for show.
    refused_when(
        |request| set_authorization(request, |text| format!("{text}, Signature={}", "0".repeat(64))),
        INCOMPLETE,
    );
    // Only the host is said to be signed.
    refused_when(
        |request| {
            set_authorization(request, |text| {
                let (before, rest) = text.split_once("SignedHeaders=").unwrap();
                let (_, after) = rest.split_once(',').unwrap();
                format!("{before}SignedHeaders=host,{after}")
            });
        },
        FORGED,
    );
}

#[test]
fn an_algorithm_is_taken_for_no_other() {
    for other in [
        "AWS4-HMAC-SHA1",
        "AWS4-HMAC-SHA512",
        "AWS4-ECDSA-P256-SHA256",
        "AWS4-HMAC-SHA256-PAYLOAD",
        "AWS4-NONE",
    ] {
        refused_when(
            |request| set_authorization(request, |text| text.replacen("AWS4-HMAC-SHA256", other, 1)),
            &["IncompleteSignature"],
        );
    }
    for other in ["aws4-hmac-sha256", "AWS3-HMAC-SHA256", "none"] {
        refused_when(
            |request| set_authorization(request, |text| text.replacen("AWS4-HMAC-SHA256", other, 1)),
            MISSING,
        );
    }
}

#[test]
fn a_scope_is_good_for_what_it_says_only() {
    for (part, other) in [
        ("us-east-1", "eu-west-1"),
        ("us-east-1", "us-east-1%2Fiam"),
        ("us-east-1", ""),
        ("aws4_request", "aws5_request"),
        ("20261122", "20261121"),
        ("20261122", ""),
        ("/us-east-1", ""),
        ("us-east-1", "us-east-1/us-east-1"),
    ] {
        refused_when(
            |request| set_authorization(request, |text| text.replacen(part, other, 1)),
            &["InvalidSignature", "SignatureDoesNotMatch", "IncompleteSignature"],
        );
    }
    let (world, _) = world();
    let administrator = Keys::administrator();
    let services = ["secretsmanager", "iam", "sts"];
    for (service, operation, body) in CALLS {
        for other in services.into_iter().filter(|other| *other != service.name()) {
            // Signed for another service, as that other says and as the right one is made to say.
            let signed = administrator.sign(&world, other, service.unsigned(operation, body));
            let mut renamed = administrator.sign(&world, other, service.unsigned(operation, body));
            set_authorization(&mut renamed, |text| {
                text.replacen(&format!("/{other}/"), &format!("/{}/", service.name()), 1)
            });
            for request in [signed, renamed] {
                let answer = send(&world, request);
                assert!(answer.status.is_client_error(), "{operation} for {other}: {}", answer.body);
            }
        }
    }
    // What STS was signed for does nothing in IAM, whatever the form says.
    let form = Iam.unsigned("CreateUser", "UserName=mallory");
    let answer = send(&world, administrator.sign(&world, "sts", form));
    assert_eq!(answer.code(), "InvalidAction", "{}", answer.body);
    assert_eq!(administrator.call(&world, Iam, "GetUser", "UserName=mallory").code(), "NoSuchEntity");
}

#[test]
fn headers_that_decide_stand_once_and_are_signed() {
    for name in ["authorization", "host", "x-amz-date", "content-type"] {
        let name = HeaderName::from_static(name);
        for comes_first in [true, false] {
            refused_when(
                |request| {
                    let other = HeaderValue::from_static("20261122T103001Z");
                    let headers = request.headers_mut();
                    let Some(known) = headers.remove(&name) else { return };
                    let (first, second) = if comes_first { (other, known) } else { (known, other) };
                    headers.append(name.clone(), first);
                    headers.append(name.clone(), second);
                },
                INCOMPLETE,
            );
        }
    }
    for (name, value) in [
        ("x-amz-target", "secretsmanager.DeleteSecret"),
        ("x-amz-security-token", "x"),
        ("x-amz-date", "20261122T103001Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-user-agent", "x"),
        ("x-amz-meta", "x"),
    ] {
        refused_when(
            |request| {
                request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
            },
            INCOMPLETE,
        );
    }
    // A header of another name changes nothing about what is asked.
    let (world, _) = world();
    for (name, value) in
        [("x-http-method-override", "DELETE"), ("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")]
    {
        let condition = r#", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#;
        let keys =
            new_user(&world, &format!("far-{}", name.len()), &[&statement("Allow", GET, "*", condition)]);
        let (service, operation, body) = CALLS[0];
        let mut request = keys.sign(&world, service.name(), service.unsigned(operation, body));
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
        assert_eq!(send(&world, request).code(), "AccessDeniedException", "{name}");
    }
}

#[test]
fn a_body_a_method_and_a_path_are_those_that_were_signed() {
    refused_when(|request| *request.body_mut() = Bytes::from_static(b"{}"), FORGED);
    refused_when(|request| *request.method_mut() = http::Method::PUT, FORGED);
    refused_when(|request| *request.uri_mut() = "/?Action=DeleteUser".parse().unwrap(), FORGED);
    refused_when(|request| *request.uri_mut() = "/x".parse().unwrap(), FORGED);
}

#[test]
fn a_deleted_users_key_and_session_are_nobodys_and_stay_so() {
    let (world, arn) = world();
    let may_read = allow(GET, &arn);
    let old = new_user(&world, "alice", &[&may_read]);
    let session = session_token(&world, &old);
    assert_eq!(read(&world, &old, "app/db").status, StatusCode::OK);
    assert_eq!(read(&world, &session, "app/db").status, StatusCode::OK);
    administrator(&world, "DeleteAccessKey", &format!("UserName=alice&AccessKeyId={}", old.id));
    administrator(&world, "DeleteUserPolicy", "UserName=alice&PolicyName=own");
    administrator(&world, "DeleteUser", "UserName=alice");
    let refused = |keys: &Keys| {
        for (service, operation, body) in CALLS {
            let answer = keys.call(&world, service, operation, body);
            assert!(
                ["UnrecognizedClientException", "InvalidClientTokenId"].contains(&answer.code()),
                "{}",
                answer.body
            );
        }
    };
    refused(&old);
    refused(&session);
    // Another of the same name is another.
    let new = new_user(&world, "alice", &[&may_read]);
    assert_eq!(read(&world, &new, "app/db").status, StatusCode::OK);
    refused(&old);
    refused(&session);
}

#[test]
fn no_session_is_given_a_token_that_no_server_takes() {
    let (world, _) = world();
    let trust = format!(
        r#"{{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": ["sts:AssumeRole", "sts:TagSession"]}}"#
    );
    let trust = encoded(&policy(&[&trust]));
    administrator(&world, "CreateRole", &format!("RoleName=tagged&AssumeRolePolicyDocument={trust}"));
    let ask = |tags: usize| {
        let mut body = format!("RoleArn={}&RoleSessionName=app", encoded(&role_arn("tagged")));
        for number in 1..=tags {
            let value = "v".repeat(256);
            write!(body, "&Tags.member.{number}.Key={number:0>128}&Tags.member.{number}.Value={value}")
                .unwrap();
        }
        Keys::administrator().call(&world, Sts, "AssumeRole", &body)
    };
    // What is given fits beside the other headers of a request, which take 2 KiB at most, into the 8 KiB that a server takes.
    assert!(ask(9).done().element("SessionToken").len() <= 6 * 1024);
    for tags in [12, 20, 50] {
        let answer = ask(tags);
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "PackedPolicyTooLarge"),
            "{tags}"
        );
    }
}

#[test]
fn a_revoked_session_does_nothing_and_gets_no_other() {
    let (world, _) = world();
    let keys = new_user(&world, "app", &[]);
    let user = format!("arn:aws:iam::{ACCOUNT}:user/app");
    new_role(&world, "job", &user, "", &[&allow("*", "*")]);
    new_role(&world, "next", ACCOUNT, "", &[&allow("*", "*")]);
    let old = assume(&world, &keys, "job", "");
    world.clock.advance_millis(1000);
    let older = format!(
        r#", "Condition": {{"DateLessThan": {{"aws:TokenIssueTime": "{}"}}}}"#,
        world.core.now().to_rfc3339_seconds()
    );
    let deny = encoded(&policy(&[&statement("Deny", "*", "*", &older)]));
    administrator(&world, "PutRolePolicy", &format!("RoleName=job&PolicyName=revoke&PolicyDocument={deny}"));
    assert_eq!(read(&world, &old, "app/db").code(), "AccessDeniedException");
    let onwards = format!("RoleArn={}&RoleSessionName=app", encoded(&role_arn("next")));
    assert_eq!(old.call(&world, Sts, "AssumeRole", &onwards).code(), "AccessDenied");
    assert_eq!(
        old.call(&world, Iam, "DeleteRolePolicy", "RoleName=job&PolicyName=revoke").code(),
        "AccessDenied"
    );
    let new = assume(&world, &keys, "job", "");
    assert_eq!(read(&world, &new, "app/db").status, StatusCode::OK);
}

#[test]
fn a_deputy_without_the_external_id_is_confused_by_nobody() {
    let (world, _) = world();
    let keys = new_user(&world, "deputy", &[&allow("sts:*", "*")]);
    let condition = r#", "Condition": {"StringEquals": {"sts:ExternalId": "customer-17"}}"#;
    new_role(&world, "customer", &format!("arn:aws:iam::{ACCOUNT}:user/deputy"), condition, &[]);
    let body = format!("RoleArn={}&RoleSessionName=app", encoded(&role_arn("customer")));
    for id in [
        "",
        "&ExternalId=customer-18",
        "&ExternalId=CUSTOMER-17",
        "&ExternalId=%2A%2A",
        "&ExternalId=customer-17%20",
        "&externalid=customer-17",
    ] {
        assert_eq!(
            keys.call(&world, Sts, "AssumeRole", &format!("{body}{id}")).code(),
            "AccessDenied",
            "{id}"
        );
    }
    keys.call(&world, Sts, "AssumeRole", &format!("{body}&ExternalId=customer-17")).done();
}

#[test]
fn nothing_is_made_with_tags_by_whoever_may_not_tag() {
    let (world, _) = world();
    let creates = ["iam:CreateUser", "iam:CreateRole", "iam:CreatePolicy", "secretsmanager:CreateSecret"];
    let statements: Vec<_> = creates.iter().map(|action| allow(action, "*")).collect();
    let keys = new_user(&world, "maker", &statements.iter().map(String::as_str).collect::<Vec<_>>());
    let document = encoded(&policy(&[&allow(GET, "*")]));
    let trust = encoded(&format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "sts:AssumeRole"}}}}"#
    ));
    for (operation, body, tagging) in [
        ("CreateUser", "UserName=made".to_owned(), "iam:TagUser"),
        ("CreateRole", format!("RoleName=made&AssumeRolePolicyDocument={trust}"), "iam:TagRole"),
        ("CreatePolicy", format!("PolicyName=made&PolicyDocument={document}"), "iam:TagPolicy"),
    ] {
        let tagged = format!("{body}&Tags.member.1.Key=team&Tags.member.1.Value=blue");
        let answer = keys.call(&world, Iam, operation, &tagged);
        assert_eq!(answer.code(), "AccessDenied", "{}", answer.body);
        assert!(answer.body.contains(&format!("not authorized to perform: {tagging} on")), "{}", answer.body);
        keys.call(&world, Iam, operation, &body).done();
    }
    let body = r#"{"Name": "app/new", "ClientRequestToken": "00000000-0000-4000-8000-000000000001", "Tags": [{"Key": "team", "Value": "blue"}]}"#;
    let answer = keys.call(&world, SecretsManager, "CreateSecret", body);
    assert!(answer.body.contains("secretsmanager:TagResource"), "{}", answer.body);
}

#[test]
fn a_tag_that_differs_in_case_stands_for_no_other() {
    let world = World::new();
    let blue = |key: &str| format!(r#", "Condition": {{"StringEquals": {{"{key}": "blue"}}}}"#);
    let keys = new_user(
        &world,
        "blue",
        &[
            &statement("Allow", "secretsmanager:*", "*", &blue("aws:ResourceTag/team")),
            &statement("Allow", "secretsmanager:CreateSecret", "*", &blue("aws:RequestTag/team")),
            &statement("Allow", "secretsmanager:TagResource", "*", &blue("aws:RequestTag/team")),
        ],
    );
    // Somebody adds a tag to a secret of the red team.
    new_secret(&world, "red", r#"[{"Key": "team", "Value": "red"}]"#);
    for added in ["TEAM", "Team", "teaM"] {
        let body = format!(r#"{{"SecretId": "red", "Tags": [{{"Key": "{added}", "Value": "blue"}}]}}"#);
        let answer = Keys::administrator().call(&world, SecretsManager, "TagResource", &body);
        assert_eq!(answer.code(), "InvalidParameterException", "{}", answer.body);
        assert_eq!(read(&world, &keys, "red").code(), "AccessDeniedException", "{added}");
    }
    let body = r#"{"Name": "four", "ClientRequestToken": "00000000-0000-4000-8000-000000000001", "Tags": [{"Key": "TEAM", "Value": "blue"}, {"Key": "team", "Value": "red"}]}"#;
    assert_eq!(keys.call(&world, SecretsManager, "CreateSecret", body).code(), "AccessDeniedException");
    new_secret(&world, "five", r#"[{"Key": "Team", "Value": "blue"}]"#);
    assert_eq!(read(&world, &keys, "five").status, StatusCode::OK);
}

#[test]
fn a_tag_that_is_denied_does_not_get_in_beside_one_that_differs_in_case() {
    let world = World::new();
    let denied = r#", "Condition": {"StringEquals": {"aws:RequestTag/role": "admin"}}"#;
    let statements = [allow("*", "*"), statement("Deny", "*", "*", denied)];
    let keys = new_user(&world, "tagger", &statements.each_ref().map(String::as_str));
    let trust = encoded(&policy(&[&format!(
        r#"{{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": ["sts:AssumeRole", "sts:TagSession"]}}"#
    )]));
    let document = encoded(&policy(&[&allow(GET, "*")]));
    administrator(&world, "CreateUser", "UserName=target");
    administrator(&world, "CreateRole", &format!("RoleName=target&AssumeRolePolicyDocument={trust}"));
    administrator(&world, "CreatePolicy", &format!("PolicyName=target&PolicyDocument={document}"));
    new_secret(&world, "target", "[]");
    let arn = encoded(&format!("arn:aws:iam::{ACCOUNT}:policy/target"));
    // `Rules` sorts between the two that are the same.
    let member =
        |n: u32, key: &str, value: &str| format!("&Tags.member.{n}.Key={key}&Tags.member.{n}.Value={value}");
    let both = member(1, "ROLE", "x") + &member(2, "Rules", "x") + &member(3, "role", "admin");
    let admin = member(1, "role", "admin");
    for (service, operation, body) in [
        (Iam, "TagUser", "UserName=target".to_owned()),
        (Iam, "TagRole", "RoleName=target".to_owned()),
        (Iam, "TagPolicy", format!("PolicyArn={arn}")),
        (Iam, "CreateUser", "UserName=new".to_owned()),
        (Iam, "CreateRole", format!("RoleName=new&AssumeRolePolicyDocument={trust}")),
        (Iam, "CreatePolicy", format!("PolicyName=new&PolicyDocument={document}")),
        (Sts, "AssumeRole", format!("RoleArn={}&RoleSessionName=app", encoded(&role_arn("target")))),
    ] {
        let alone = keys.call(&world, service, operation, &format!("{body}{admin}"));
        assert_eq!(alone.code(), "AccessDenied", "{operation}: {}", alone.body);
        let answer = keys.call(&world, service, operation, &format!("{body}{both}"));
        assert_eq!(answer.code(), "InvalidInput", "{operation}: {}", answer.body);
        assert!(answer.body.contains("Tag keys are case insensitive"), "{}", answer.body);
    }
    let both = r#""Tags": [{"Key": "ROLE", "Value": "x"}, {"Key": "role", "Value": "admin"}]"#;
    for (operation, body) in [
        ("CreateSecret", r#""Name": "new", "ClientRequestToken": "00000000-0000-4000-8000-000000000001""#),
        ("TagResource", r#""SecretId": "target""#),
    ] {
        let answer = keys.call(&world, SecretsManager, operation, &format!("{{{body}, {both}}}"));
        assert_eq!(answer.code(), "InvalidParameterException", "{operation}: {}", answer.body);
        assert!(answer.body.contains("only in the case of their letters"), "{}", answer.body);
    }
}

#[test]
fn whoever_is_held_to_a_boundary_changes_nobody_without_it() {
    let world = World::new();
    let bounds = policy(&[&allow(GET, "*")]);
    for name in ["bounds", "other", "more"] {
        let document = encoded(&bounds);
        administrator(&world, "CreatePolicy", &format!("PolicyName={name}&PolicyDocument={document}"));
    }
    let arn = |name: &str| format!("arn:aws:iam::{ACCOUNT}:policy/{name}");
    let when = |operator: &str| {
        format!(r#", "Condition": {{"{operator}": {{"iam:PermissionsBoundary": "{}"}}}}"#, arn("bounds"))
    };
    let held = new_user(&world, "held", &[&statement("Allow", "iam:*", "*", &when("StringEquals"))]);
    let keeps = statement("Deny", "iam:Delete*PermissionsBoundary", "*", &when("StringEquals"));
    let keeper = new_user(&world, "keeper", &[&allow("iam:*", "*"), &keeps]);
    let (document, more) = (encoded(&bounds), encoded(&arn("more")));
    let trust = encoded(&policy(&[&format!(
        r#"{{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "sts:AssumeRole"}}"#
    )]));
    for kind in ["User", "Role"] {
        for (name, boundary) in [("in", Some("bounds")), ("elsewhere", Some("other")), ("out", None)] {
            let trust =
                if kind == "Role" { format!("&AssumeRolePolicyDocument={trust}") } else { String::new() };
            let boundary = boundary.map_or(String::new(), |boundary| {
                format!("&PermissionsBoundary={}", encoded(&arn(boundary)))
            });
            administrator(&world, &format!("Create{kind}"), &format!("{kind}Name={name}{trust}{boundary}"));
            let is_held = name == "in";
            for (operation, rest) in [
                (format!("Attach{kind}Policy"), format!("&PolicyArn={more}")),
                (format!("Detach{kind}Policy"), format!("&PolicyArn={more}")),
                (format!("Put{kind}Policy"), format!("&PolicyName=own&PolicyDocument={document}")),
                (format!("Delete{kind}Policy"), "&PolicyName=own".to_owned()),
            ] {
                let answer = held.call(&world, Iam, &operation, &format!("{kind}Name={name}{rest}"));
                let expected = if is_held { "" } else { "AccessDenied" };
                assert_eq!(answer.code(), expected, "{operation} {name}: {}", answer.body);
            }
            // Not told by AWS, so not allowed by it.
            let answer = held.call(&world, Iam, &format!("List{kind}Tags"), &format!("{kind}Name={name}"));
            assert_eq!(answer.code(), "AccessDenied", "{kind} {name}: {}", answer.body);
            let answer = keeper.call(
                &world,
                Iam,
                &format!("Delete{kind}PermissionsBoundary"),
                &format!("{kind}Name={name}"),
            );
            assert_eq!(answer.code() == "AccessDenied", is_held, "{kind} {name}: {}", answer.body);
        }
    }
    held.call(&world, Iam, "GetRole", "RoleName=in").done();
    assert_eq!(held.call(&world, Iam, "GetRole", "RoleName=out").code(), "AccessDenied");
}

#[test]
fn a_name_is_not_taken_by_whoever_may_not_have_it() {
    let (world, _) = world();
    let own = |kind: &str| allow("iam:Update*", &format!("arn:aws:iam::{ACCOUNT}:{kind}/dev-*"));
    let keys = new_user(&world, "renamer", &[&own("user"), &own("group")]);
    administrator(&world, "CreateUser", "UserName=dev-1");
    administrator(&world, "CreateGroup", "GroupName=dev-1");
    for (kind, change) in
        [("User", "Name=boss"), ("User", "Path=/admin/"), ("Group", "Name=boss"), ("Group", "Path=/admin/")]
    {
        let (what, value) = change.split_once('=').unwrap();
        let new = if what == "Name" {
            format!("New{kind}Name={value}")
        } else {
            format!("NewPath={}", encoded(value))
        };
        let answer = keys.call(&world, Iam, &format!("Update{kind}"), &format!("{kind}Name=dev-1&{new}"));
        assert_eq!(answer.code(), "AccessDenied", "{kind} {new}: {}", answer.body);
    }
    keys.call(&world, Iam, "UpdateUser", "UserName=dev-1&NewUserName=dev-2").done();
    keys.call(&world, Iam, "UpdateGroup", "GroupName=dev-1&NewGroupName=dev-2").done();
}

#[test]
fn what_a_variable_stands_for_is_no_pattern_and_no_variable() {
    let (world, arn) = world();
    let victim = new_secret(&world, "alice/db", r#"[{"Key": "team", "Value": "blue"}]"#);
    let wild =
        ["*", "?????", "alice*", "${*}", "${?}", "${aws:username}", "${aws:UserAgent}", "al${*}", "*/db"];
    // Whoever asks writes its own user agent, its own tags and its own session's.
    let by_agent = new_user(
        &world,
        "alice",
        &[
            &allow(GET, "arn:aws:secretsmanager:*:*:secret:${aws:UserAgent}/*"),
            &statement(
                "Allow",
                GET,
                "*",
                r#", "Condition": {"StringLike": {"aws:ResourceTag/team": "${aws:UserAgent}"}}"#,
            ),
            &statement(
                "Allow",
                GET,
                "*",
                r#", "Condition": {"ArnLike": {"secretsmanager:SecretId": "arn:aws:secretsmanager:*:*:secret:${aws:UserAgent}"}}"#,
            ),
        ],
    );
    let read_as = |agent: &str| {
        let mut request = SecretsManager.unsigned("GetSecretValue", r#"{"SecretId": "alice/db"}"#);
        request.headers_mut().insert("user-agent", HeaderValue::from_str(agent).unwrap());
        send(&world, by_agent.sign(&world, "secretsmanager", request))
    };
    assert_eq!(read_as("alice").status, StatusCode::OK, "the policy itself works");
    for agent in wild {
        assert_eq!(read_as(agent).code(), "AccessDeniedException", "{agent}");
    }
    for (number, value) in wild.into_iter().enumerate() {
        let name = format!("tagged{number}");
        let keys = new_user(
            &world,
            &name,
            &[
                &allow(GET, "arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}*"),
                &statement(
                    "Allow",
                    GET,
                    "*",
                    r#", "Condition": {"StringLike": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}"#,
                ),
            ],
        );
        let body = format!("UserName={name}&Tags.member.1.Key=team&Tags.member.1.Value={}", encoded(value));
        // Taken or not: it opens nothing.
        Keys::administrator().call(&world, Iam, "TagUser", &body);
        for secret in ["alice/db", victim.as_str(), arn.as_str()] {
            assert_eq!(read(&world, &keys, secret).code(), "AccessDeniedException", "{value}: {secret}");
        }
        // Nor are they names.
        let body = format!("UserName={}", encoded(value));
        assert_eq!(
            Keys::administrator().call(&world, Iam, "CreateUser", &body).code(),
            "ValidationError",
            "{value}"
        );
        let body = format!("RoleArn={}&RoleSessionName={}", encoded(&role_arn("x")), encoded(value));
        assert_eq!(
            Keys::administrator().call(&world, Sts, "AssumeRole", &body).code(),
            "ValidationError",
            "{value}"
        );
    }
}

#[test]
fn names_that_look_like_another_are_another_or_none() {
    let (world, arn) = world();
    let victim = new_secret(&world, "app/admin", "[]");
    let keys = new_user(&world, "reader", &[&allow(GET, &arn)]);
    let suffix = &victim[victim.len() - 7..];
    let tricks = [
        "app/admin".to_owned(),
        "app%2Fadmin".to_owned(),
        "app%2fdb".to_owned(),
        "app/db/../admin".to_owned(),
        "app/db%00app/admin".to_owned(),
        "app/db\u{0}".to_owned(),
        "app/db\n".to_owned(),
        " app/db".to_owned(),
        "APP/DB".to_owned(),
        "app//db".to_owned(),
        "./app/db".to_owned(),
        "\u{ff41}pp/db".to_owned(),
        "app\u{2215}db".to_owned(),
        "app/d\u{0432}".to_owned(),
        "app/db\u{200b}".to_owned(),
        "app/db\u{202e}".to_owned(),
        "app/*".to_owned(),
        "app/d?".to_owned(),
        "*".to_owned(),
        format!("app/db{suffix}"),
        format!("app/admin{suffix}"),
        victim.clone(),
        victim.replace("us-east-1", "*"),
        victim.replace(ACCOUNT, "*"),
        victim.replace(ACCOUNT, "999999999999"),
        victim.replace("arn:aws:", "arn:aws-cn:"),
        victim.replace("arn:", "ARN:"),
        victim.replace('/', "%2F"),
        victim.replace("secretsmanager", "SECRETSMANAGER"),
        format!("{arn}:{victim}"),
        format!("{arn}/../{victim}"),
        format!("{arn},{victim}"),
        arn.replace("app/db", "app/admin"),
        arn[..arn.len() - 7].replace("app/db", "app/admin"),
        victim.replace("app/admin", "app/db"),
    ];
    for trick in &tricks {
        // Who may read the one secret gets no other, and nobody gets one that was not named.
        let answer = read(&world, &keys, trick);
        assert!(answer.status.is_client_error() && answer.code() != "", "{trick:?}: {}", answer.body);
        let answer = read(&world, &Keys::administrator(), trick);
        let is_named = ["app/admin", &victim, &victim[..victim.len() - 7]].contains(&trick.as_str());
        assert_eq!(answer.status == StatusCode::OK, is_named, "{trick:?}: {}", answer.body);
    }
    // In a form, what is decoded is decoded once.
    let iam = |operation: &str, body: &str| Keys::administrator().call(&world, Iam, operation, body);
    assert_eq!(iam("GetUser", "UserName=r%65ader").status, StatusCode::OK);
    for (body, code) in [
        ("UserName=r%2565ader", "ValidationError"),
        ("UserName=reader%00", "ValidationError"),
        ("UserName=reader%0A", "ValidationError"),
        ("UserName=%C0%AFreader", "MalformedQueryString"),
        ("UserName=%EF%BD%92eader", "ValidationError"),
        ("UserName=reader&UserName=administrator", "MalformedQueryString"),
        ("UserName=reader&User%4eame=administrator", "MalformedQueryString"),
        ("UserName=READER", "NoSuchEntity"),
        ("UserName=..%2Freader", "ValidationError"),
        ("UserName=arn%3Aaws%3Aiam%3A%3A123456789012%3Auser%2Freader", "ValidationError"),
    ] {
        let answer = iam("GetUser", body);
        assert_eq!(answer.code(), code, "{body}: {}", answer.body);
    }
    assert_eq!(iam("CreateUser", "UserName=READER").code(), "EntityAlreadyExists");
}

#[test]
fn a_policy_of_a_megabyte_costs_little_and_changes_nothing() {
    let (world, arn) = world();
    let keys = new_user(&world, "reader", &[&allow(GET, &arn)]);
    let many = |count: usize| {
        let statement = allow(GET, "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-??????");
        policy(&vec![statement.as_str(); count])
    };
    let padded = |bytes: usize| format!("{}{}", many(1), " ".repeat(bytes));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let begun = Instant::now();
    let cases = [
        (many(8000), &["RequestEntityTooLargeException"][..]),
        (padded(1 << 20), &["RequestEntityTooLargeException"]),
        (many(800), &["LimitExceeded", "ValidationError", "MalformedPolicyDocument"]),
        (nested(60_000), &["MalformedPolicyDocument", "LimitExceeded"]),
        ("*".repeat(100_000), &["MalformedPolicyDocument", "LimitExceeded"]),
    ];
    for (document, codes) in cases {
        // Forms are signed as they stand; spaces and brackets need no more than this.
        let document = document.replace('%', "%25").replace('&', "%26").replace('+', "%2B").replace(' ', "+");
        for (service, operation, before) in [
            (Iam, "PutUserPolicy", "UserName=reader&PolicyName=own&PolicyDocument="),
            (Iam, "CreatePolicy", "PolicyName=big&PolicyDocument="),
            (Iam, "CreateRole", "RoleName=big&AssumeRolePolicyDocument="),
        ] {
            let answer =
                Keys::administrator().call(&world, service, operation, &format!("{before}{document}"));
            assert!(
                codes.contains(&answer.code()),
                "{operation}, {}: {}",
                document.len(),
                &answer.body[..answer.body.len().min(300)]
            );
        }
        let body = format!("RoleArn={}&RoleSessionName=app&Policy={document}", encoded(&role_arn("x")));
        let answer = Keys::administrator().call(&world, Sts, "AssumeRole", &body);
        assert!(answer.status.is_client_error());
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(read(&world, &keys, "app/db").status, StatusCode::OK);
    let records = world.records().join("\n");
    assert!(records.len() < 2_000_000, "{}", records.len());
}

#[test]
fn a_key_that_never_was_one_that_is_off_and_one_of_a_deleted_user_are_told_alike() {
    let (world, _) = world();
    let off = new_user(&world, "off", &[]);
    administrator(&world, "UpdateAccessKey", &format!("UserName=off&AccessKeyId={}&Status=Inactive", off.id));
    let gone = new_user(&world, "gone", &[]);
    administrator(&world, "DeleteAccessKey", &format!("UserName=gone&AccessKeyId={}", gone.id));
    administrator(&world, "DeleteUser", "UserName=gone");
    let never = Keys::new("AKIA0000000000000000", "x");
    let (service, operation, body) = CALLS[0];
    let answers = [&off, &gone, &never].map(|keys| keys.call(&world, service, operation, body));
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[0].code(), "UnrecognizedClientException");
}

/// How long the fastest of some tries took: what else the machine does only makes a try slower.
fn fastest(tries: usize, mut attempt: impl FnMut()) -> Duration {
    let time = |_| {
        let begun = Instant::now();
        (0..8).for_each(|_| attempt());
        begun.elapsed()
    };
    (0..tries).map(time).min().unwrap()
}

#[test]
fn how_long_a_refusal_takes_says_no_more_than_the_refusal() {
    let (world, _) = world();
    let off = new_user(&world, "off", &[]);
    administrator(&world, "UpdateAccessKey", &format!("UserName=off&AccessKeyId={}&Status=Inactive", off.id));
    let (service, operation, body) = CALLS[0];
    let right = Keys::administrator().sign(&world, service.name(), service.unsigned(operation, body));
    send(&world, right);
    let with_signature = |change: &dyn Fn(&str) -> String| {
        let mut request =
            Keys::administrator().sign(&world, service.name(), service.unsigned(operation, body));
        set_authorization(&mut request, |text| {
            let (before, signature) = text.split_once("Signature=").unwrap();
            format!("{before}Signature={}", change(signature))
        });
        request
    };
    let flip = |digit: &str| if digit == "0" { "1" } else { "0" };
    let wrong_at_once = with_signature(&|signature| flip(&signature[..1]).to_owned() + &signature[1..]);
    let wrong_at_the_end = with_signature(&|signature| signature[..63].to_owned() + flip(&signature[63..]));
    let signed = |keys: &Keys| keys.sign(&world, service.name(), service.unsigned(operation, body));
    let (switched_off, never) = (signed(&off), signed(&Keys::new("AKIA0000000000000000", "x")));
    let time = |request: &Request<Bytes>, code: &str| {
        fastest(40, || {
            let copy = copy_of(request);
            assert_eq!(send(&world, copy).code(), code);
        })
    };
    let unlike = |one: Duration, other: Duration| one > other * 3 || other > one * 3;
    let forged = "InvalidSignatureException";
    let (first, last) = (time(&wrong_at_once, forged), time(&wrong_at_the_end, forged));
    assert!(!unlike(first, last), "wrong at the first digit {first:?}, at the last {last:?}");
    let unknown = "UnrecognizedClientException";
    let (off, never) = (time(&switched_off, unknown), time(&never, unknown));
    assert!(!unlike(off, never), "switched off {off:?}, never there {never:?}");
    // AWS tells an unknown key and a wrong signature apart by their codes; the time must not tell more.
    assert!(!unlike(first, never), "wrong signature {first:?}, unknown key {never:?}");
}

fn copy_of(request: &Request<Bytes>) -> Request<Bytes> {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[test]
fn what_is_put_back_in_place_counts_at_once() {
    let (world, arn) = world();
    let keys = new_user(&world, "reader", &[&allow(GET, &arn)]);
    put_policy(&world, "reader", &policy(&[&statement("Deny", "*", "*", "")]));
    assert_eq!(read(&world, &keys, "app/db").code(), "AccessDeniedException");
    put_policy(&world, "reader", &policy(&[&allow(GET, &arn)]));
    assert_eq!(read(&world, &keys, "app/db").status, StatusCode::OK);
}
