//! What one GetSecretValue costs inside coffer, without sockets: signature, policy, unwrap, open, record, answer.
//!
//! `cargo run --release -p coffer-wire-aws --example answer_rate [ROUNDS]`
//!
//! With few rounds it is what to run under `valgrind --tool=callgrind`, whose counts of instructions don't depend on
//! what else the machine does; two runs of different length tell what one answer takes.

use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use coffer_core::ops::secrets::CreateSecret;
use coffer_testkit::{World, version_id};
use coffer_types::{SecretBytes, SecretValue};
use futures_executor::block_on;
use http::Request;

const ROUNDS: u32 = 200_000;
const REPETITIONS: u32 = 3;

fn main() {
    let world = World::new();
    let value = SecretValue::string(SecretBytes::copy_from(&[b'x'; 200])).expect("200 bytes are a value");
    let create = CreateSecret {
        name: "btc-agent/twitter/credentials".parse().expect("a legal name"),
        token: version_id(1),
        description: None,
        kms_key_id: None,
        value: Some(value),
        tags: None,
    };
    block_on(world.core.execute(&world.administrator(), create))
        .map_err(|error| error.to_string())
        .expect("is made");
    let request = signed();
    let source = [127, 0, 0, 1].into();
    let rounds =
        std::env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse()).expect("a number of rounds");
    for _ in 0..REPETITIONS {
        let started = Instant::now();
        for _ in 0..rounds {
            let answer = block_on(coffer_wire_aws::answer(&world.core, copy(&request), source));
            assert_eq!(answer.status(), 200);
        }
        let micros = started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
        #[expect(clippy::print_stdout, reason = "what this program is for")]
        {
            println!("{micros:.2} µs an answer");
        }
    }
}

/// The request as boto3 sends it.
fn signed() -> Request<Bytes> {
    let body = Bytes::from_static(br#"{"SecretId": "btc-agent/twitter/credentials"}"#);
    let mut request = Request::post("/")
        .header("host", "127.0.0.1:8200")
        .header("accept-encoding", "identity")
        .header("x-amz-target", "secretsmanager.GetSecretValue")
        .header("content-type", "application/x-amz-json-1.1")
        .header("user-agent", "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11.7 md/pyimpl#CPython m/Z,b,D cfg/retry-mode#standard Botocore/1.44.5")
        .header("amz-sdk-invocation-id", "5a64a0e4-6f0c-4f0b-9f57-21bb1d6f0f3a")
        .header("amz-sdk-request", "attempt=1; max=3")
        .header("content-length", body.len())
        .body(body)
        .expect("a request");
    let identity =
        Credentials::new("AKIAADMINISTRATOR", "secret of administrator", None, None, "example").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("secretsmanager")
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_343_400))
        .settings(SigningSettings::default())
        .build()
        .expect("all is set")
        .into();
    let signed_headers: Vec<_> = request
        .headers()
        .iter()
        .filter(|(name, _)| ["host", "content-type", "x-amz-target"].contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new("POST", "http://127.0.0.1:8200/", signed_headers.into_iter(), body)
        .expect("a request that can be signed");
    let (instructions, _) = sign(signable, &params).expect("a signature").into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request
}

fn copy(request: &Request<Bytes>) -> Request<Bytes> {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
