//! AWS Secrets Manager by the official SDK against coffer's own door: a server as it is, over a store in memory.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Config, Region};
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use coffer_resolver::providers::{Aws, AwsSettings};
use coffer_resolver::{ErrorKind, Provider};
use coffer_server::{DevSettings, RuntimeSpawn, ServeOptions, dev_core, serve};
use support::told;

/// A server on a thread of its own, as long as the test runs.
fn door() -> String {
    let (bound, on_bound) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let core = dev_core(&DevSettings::default(), Arc::new(RuntimeSpawn::here())).await.unwrap();
            let mut options = ServeOptions::on("127.0.0.1:0".parse().unwrap());
            options.dev = Some(DevSettings::default());
            let ready = |to: &coffer_server::Bound| bound.send(to.address).unwrap();
            serve(core, options, ready, std::future::pending()).await.unwrap();
        });
    });
    format!("http://{}", on_bound.recv().unwrap())
}

fn reader(endpoint: &str, secret: &str) -> Aws {
    Aws::with(AwsSettings {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        credentials: Some(Credentials::from_keys("test", secret, None)),
    })
}

fn writer(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .build();
    Client::from_conf(config)
}

#[test]
fn what_coffer_keeps_is_read_as_from_aws() {
    let endpoint = door();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let writer = writer(&endpoint);
    let arn = runtime.block_on(async {
        let made = writer.create_secret().name("bot").secret_string(r#"{"A":"old"}"#).send().await.unwrap();
        writer.put_secret_value().secret_id("bot").secret_string(r#"{"A":"new"}"#).send().await.unwrap();
        let binary = Blob::new(b"bytes");
        writer.create_secret().name("binary").secret_binary(binary).send().await.unwrap();
        writer.create_secret().name("deleted").secret_string("x").send().await.unwrap();
        writer.delete_secret().secret_id("deleted").send().await.unwrap();
        for number in 0..25 {
            let name = format!("many/{number}");
            writer.create_secret().name(&name).secret_string(&name).send().await.unwrap();
        }
        made.arn.unwrap()
    });
    let aws = reader(&endpoint, "test");
    let version = aws.fetch(&"aws://bot".parse().unwrap()).ok().unwrap();
    assert_eq!(version.identity.as_deref(), Some(arn.as_str()));
    let version = version.facts.version_id.unwrap();
    for (reference, expected) in [
        ("aws://bot".to_owned(), Ok(r#"{"A":"new"}"#)),
        (format!("aws://{arn}"), Ok(r#"{"A":"new"}"#)),
        (format!("aws://bot?version={version}"), Ok(r#"{"A":"new"}"#)),
        ("aws://bot?stage=AWSPREVIOUS".to_owned(), Ok(r#"{"A":"old"}"#)),
        ("aws://binary".to_owned(), Ok("bytes")),
        ("aws://none".to_owned(), Err(ErrorKind::NotFound)),
        ("aws://bot?stage=none".to_owned(), Err(ErrorKind::NotFound)),
        ("aws://bot?region=eu-west-1".to_owned(), Err(ErrorKind::NotFound)),
        ("aws://deleted".to_owned(), Err(ErrorKind::Denied)),
        ("aws://b?version=x".to_owned(), Err(ErrorKind::Misconfigured)),
    ] {
        assert_eq!(told(&aws, &reference), expected.map(str::to_owned), "{reference}");
    }
    assert_eq!(told(&reader(&endpoint, "wrong"), "aws://bot"), Err(ErrorKind::Denied));

    // In batches, among them one that is not there.
    let names: Vec<String> = (0..25).map(|number| format!("many/{number}")).collect();
    let together = std::sync::Barrier::new(names.len() + 1);
    thread::scope(|scope| {
        let absent = scope.spawn(|| {
            together.wait();
            told(&aws, "aws://many/none")
        });
        for name in &names {
            let (aws, together) = (&aws, &together);
            scope.spawn(move || {
                together.wait();
                assert_eq!(told(aws, &format!("aws://{name}")).as_ref(), Ok(name));
            });
        }
        assert_eq!(absent.join().unwrap(), Err(ErrorKind::NotFound));
    });
}

/// One call of IAM by the administrator, for whom there is no SDK here.
fn iam(endpoint: &str, operation: &str, form: &[(&str, &str)]) {
    let encoded = |text: &str| -> String {
        let one = |byte: u8| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect()
    };
    let form: String = form.iter().map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
    let body = format!("Action={operation}&Version=2010-05-08{form}");
    let host = endpoint.trim_start_matches("http://");
    let headers = [("host", host), ("content-type", "application/x-www-form-urlencoded")];
    let identity = Credentials::from_keys("test", "test", None).into();
    let settings = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("iam")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let uri = format!("{endpoint}/");
    let signable =
        SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
    let (instructions, _) = sign(signable, &settings).unwrap().into_parts();
    let lines: String = headers
        .into_iter()
        .chain(instructions.headers())
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(stream, "POST / HTTP/1.1\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A policy of one statement; `whom` is its resource or its principal.
fn policy(action: &str, whom: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "{action}", {whom}}}}}"#
    )
}

#[test]
fn a_role_is_taken_on_and_read_as() {
    let endpoint = door();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let writer = writer(&endpoint);
    let arn = runtime.block_on(async {
        writer.create_secret().name("other").secret_string("x").send().await.unwrap();
        writer.create_secret().name("bot").secret_string("hunter2").send().await.unwrap().arn.unwrap()
    });
    let account = arn.split(':').nth(4).unwrap();
    for (role, trusted) in [("reader", "nobody"), ("closed", "admin")] {
        let trusted = format!(r#""Principal": {{"AWS": "arn:aws:iam::{account}:user/{trusted}"}}"#);
        let trust = policy("sts:AssumeRole", &trusted);
        iam(&endpoint, "CreateRole", &[("RoleName", role), ("AssumeRolePolicyDocument", &trust)]);
        let may = policy("secretsmanager:GetSecretValue", &format!(r#""Resource": "{arn}""#));
        let form = [("RoleName", role), ("PolicyName", "own"), ("PolicyDocument", &may)];
        iam(&endpoint, "PutRolePolicy", &form);
    }
    let aws = Aws::with(AwsSettings {
        endpoint: Some(endpoint),
        region: Some("us-east-1".to_owned()),
        credentials: Some(Credentials::from_keys("nobody", "nobody", None)),
    });
    let role = |name: &str| format!("role_arn=arn:aws:iam::{account}:role/{name}");
    for (reference, expected) in [
        // This user may read nothing; but as whoever reads, it may.
        ("aws://bot".to_owned(), Err(ErrorKind::Denied)),
        (format!("aws://bot?{}", role("reader")), Ok("hunter2")),
        (format!("aws://{arn}?{}", role("reader")), Ok("hunter2")),
        (format!("aws://bot?stage=AWSCURRENT&{}", role("reader")), Ok("hunter2")),
        (format!("aws://other?{}", role("reader")), Err(ErrorKind::Denied)),
        // One that trusts somebody else, and one that is not there.
        (format!("aws://bot?{}", role("closed")), Err(ErrorKind::Denied)),
        (format!("aws://bot?{}", role("none")), Err(ErrorKind::Denied)),
    ] {
        assert_eq!(told(&aws, &reference), expected.map(str::to_owned), "{reference}");
    }
}
