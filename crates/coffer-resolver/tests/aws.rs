//! AWS Secrets Manager over the wire: the official SDK against a small server that answers what it is asked to.

#![cfg(feature = "aws")]
#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use coffer_resolver::providers::{Aws, AwsSettings};
use coffer_resolver::{ErrorKind, Fetched, Provider};

const ARN: &str = "arn:aws:secretsmanager:us-east-1:111122223333:secret:here-AbCdEf";

/// Answers each request by the name it asks for: a name is a status and an error code, `400-DecryptionFailure`.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || while answer(&stream).is_some() {});
        }
    });
    format!("http://{address}")
}

/// `None` to hang up.
fn answer(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut signed, mut target, mut trace) = (0, false, false, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        signed |= line.starts_with("authorization: aws4-hmac-sha256 credential=test/");
        target |= line == "x-amz-target: secretsmanager.getsecretvalue";
        trace = line.strip_prefix("x-amzn-trace-id: ").map_or(trace, str::to_owned);
        length = line.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
    }
    assert!(signed && target);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let name = body["SecretId"].as_str().unwrap();
    let (status, json) = match name {
        "here" => {
            let stage = body["VersionStage"].as_str().unwrap_or("AWSCURRENT");
            (200, format!(r#"{{"ARN":"{ARN}","Name":"here","SecretString":"{{\"A\":\"{stage}\"}}"}}"#))
        }
        "trace" => (200, format!(r#"{{"ARN":"a","Name":"trace","SecretString":"<{trace}>"}}"#)),
        "binary" => (200, r#"{"ARN":"a","Name":"b","SecretBinary":"/wA="}"#.to_owned()),
        "neither" => (200, r#"{"ARN":"a","Name":"b"}"#.to_owned()),
        "nonsense" => (200, r#"{"SecretString": hunter2"#.to_owned()),
        "hang-up" => return None,
        "slow" => {
            thread::sleep(Duration::from_secs(30));
            return None;
        }
        "truncated" => {
            let _ = (&*stream)
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"SecretString\":\"hunter2");
            return None;
        }
        other => {
            let (status, code) = other.split_once('-').unwrap();
            (status.parse().unwrap(), format!(r#"{{"__type":"{code}","Message":"as told"}}"#))
        }
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\nretry-after: 7\r\ncontent-length: {}\r\n\r\n",
        json.len()
    );
    (&*stream).write_all(head.as_bytes()).ok()?;
    (&*stream).write_all(json.as_bytes()).ok()
}

#[test]
fn aws_is_told_what_the_call_is_known_by() {
    let aws = aws(serve());
    let document = "aws://trace?stage=AWSCURRENT".parse().unwrap();
    let told = |fetched: Fetched| String::from_utf8_lossy(fetched.value.expose_secret()).into_owned();
    let named = aws.fetch_as(&document, &"root=1-caller".parse().unwrap()).map(told);
    assert_eq!(named.ok().as_deref(), Some("<root=1-caller>"));
    assert_eq!(aws.fetch(&document).map(told).ok().as_deref(), Some("<>"));
}

fn aws(endpoint: String) -> Aws {
    Aws::with(AwsSettings {
        endpoint: Some(endpoint),
        region: Some("us-east-1".to_owned()),
        credentials: Some(Credentials::from_keys("test", "test", None)),
    })
}

/// The value or the kind of error, of which nothing shows a value.
fn told(aws: &Aws, reference: &str) -> Result<Vec<u8>, ErrorKind> {
    match aws.fetch(&reference.parse().unwrap()) {
        Ok(fetched) => Ok(fetched.value.expose_secret().to_vec()),
        Err(error) => {
            let mut said = format!("{error} {error:?} {}", error.action());
            let mut cause = error.source();
            while let Some(error) = cause {
                said.push_str(&format!(" {error} {error:?}"));
                cause = error.source();
            }
            assert!(!said.contains("hunter2") && !error.action().is_empty(), "{said}");
            Err(error.kind())
        }
    }
}

#[test]
fn each_answer() {
    let aws = aws(serve());
    for (name, expected) in [
        ("here", Ok(&br#"{"A":"AWSCURRENT"}"#[..])),
        ("here?stage=AWSPREVIOUS&region=eu-west-1", Ok(br#"{"A":"AWSPREVIOUS"}"#)),
        ("binary", Ok(&[0xff, 0])),
        ("neither", Err(ErrorKind::Malformed)),
        ("nonsense", Err(ErrorKind::Malformed)),
        ("400-ResourceNotFoundException", Err(ErrorKind::NotFound)),
        ("400-InvalidRequestException", Err(ErrorKind::Denied)),
        ("400-InvalidParameterException", Err(ErrorKind::Misconfigured)),
        ("400-DecryptionFailure", Err(ErrorKind::DecryptionFailed)),
        ("400-AccessDeniedException", Err(ErrorKind::Denied)),
        ("400-UnrecognizedClientException", Err(ErrorKind::Denied)),
        ("400-ExpiredTokenException", Err(ErrorKind::Denied)),
        ("400-ThrottlingException", Err(ErrorKind::Throttled)),
        ("500-InternalServiceError", Err(ErrorKind::Unavailable)),
        ("503-Whatever", Err(ErrorKind::Unavailable)),
        ("429-Whatever", Err(ErrorKind::Throttled)),
        ("404-Whatever", Err(ErrorKind::Misconfigured)),
        ("401-Whatever", Err(ErrorKind::Denied)),
        ("403-Whatever", Err(ErrorKind::Denied)),
        ("hang-up", Err(ErrorKind::Unavailable)),
    ] {
        assert_eq!(told(&aws, &format!("aws://{name}")), expected.map(<[u8]>::to_vec), "{name}");
    }
    let fetched = aws.fetch(&"aws://here".parse().unwrap()).ok().unwrap();
    assert_eq!(fetched.identity.as_deref(), Some(ARN));
    let throttled = aws.fetch(&"aws://400-ThrottlingException".parse().unwrap()).err().unwrap();
    assert_eq!(throttled.asked_to_wait(), Some(Duration::from_secs(7)));
    let denied = aws.fetch(&"aws://400-AccessDeniedException".parse().unwrap()).err().unwrap();
    assert!(denied.action().contains(r#""Action":"secretsmanager:GetSecretValue""#), "{}", denied.action());
}

#[test]
fn a_truncated_answer_is_no_value() {
    let told = told(&aws(serve()), "aws://truncated");
    assert!(matches!(told, Err(ErrorKind::Malformed | ErrorKind::Unavailable)), "{told:?}");
}

#[test]
fn no_answer_ends_in_time() {
    let began = Instant::now();
    assert_eq!(told(&aws(serve()), "aws://slow"), Err(ErrorKind::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn nobody_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(told(&aws(format!("http://{free}")), "aws://here"), Err(ErrorKind::Unavailable));
}

fn of(server: &support::SecretsManager) -> Aws {
    aws(server.remote().url())
}

/// Every name at the same time.
fn ask_at_once(aws: &Aws, names: &[String]) -> Vec<Result<String, ErrorKind>> {
    let together = std::sync::Barrier::new(names.len());
    thread::scope(|scope| {
        let ask = |name: &String| {
            let reference = format!("aws://{name}");
            let together = &together;
            scope.spawn(move || {
                together.wait();
                support::told(aws, &reference)
            })
        };
        let threads: Vec<_> = names.iter().map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn many_at_once_are_read_by_few_calls() {
    let server = support::SecretsManager::start();
    let names: Vec<String> = (0..40).map(|number| format!("n{number}")).collect();
    for name in &names {
        server.put(name, name);
    }
    let aws = of(&server);
    // The SDK is begun; what comes then is a matter of calls.
    assert_eq!(support::told(&aws, "aws://none"), Err(ErrorKind::NotFound));
    let all: Vec<String> = names.iter().cloned().chain(["gone".to_owned()]).collect();
    let answers = ask_at_once(&aws, &all);
    for (name, answer) in names.iter().zip(&answers) {
        assert_eq!(answer.as_ref(), Ok(name));
    }
    assert_eq!(answers.last(), Some(&Err(ErrorKind::NotFound)));
    let asked = server.asked();
    assert!(asked.iter().any(|operation| operation == "BatchGetSecretValue"), "{asked:?}");
    assert!(asked.len() < names.len() / 2, "{asked:?}");
}

#[test]
fn who_may_not_read_in_batches_reads_one_by_one() {
    let server = support::SecretsManager::start();
    let names: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
    for name in &names {
        server.put(name, name);
    }
    server.deny_batches();
    let aws = of(&server);
    for _ in 0..2 {
        let answers = ask_at_once(&aws, &names);
        assert_eq!(answers, names.iter().cloned().map(Ok).collect::<Vec<_>>());
    }
    let singles = server.asked().iter().filter(|operation| *operation == "GetSecretValue").count();
    assert_eq!(singles, 2 * names.len());
}

#[test]
fn another_role_is_assumed_once() {
    let server = support::SecretsManager::start();
    server.put("bot", "value");
    let aws = of(&server);
    let role = |name: &str| format!("aws://bot?role_arn=arn:aws:iam::111122223333:role/{name}");
    for _ in 0..2 {
        assert_eq!(support::told(&aws, &role("reader")), Ok("value".to_owned()));
    }
    assert_eq!(support::told(&aws, "aws://bot"), Ok("value".to_owned()));
    assert_eq!(support::told(&aws, &role("denied")), Err(ErrorKind::Denied));
    let expected =
        ["AssumeRole", "GetSecretValue assumed", "GetSecretValue assumed", "GetSecretValue", "AssumeRole"];
    assert_eq!(server.asked(), expected);
    // That there is nobody to assume a role from is no denial.
    let gone = of(&server);
    server.remote().stop();
    assert_eq!(support::told(&gone, &role("reader")), Err(ErrorKind::Unavailable));
}
