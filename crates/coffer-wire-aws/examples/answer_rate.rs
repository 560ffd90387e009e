//! What one GetSecretValue costs inside coffer, without sockets: signature, policy, unwrap, open, record, answer.
//!
//! `cargo run --release -p coffer-wire-aws --example answer_rate [ROUNDS [STATEMENTS]]`
//!
//! The administrator reads; or with a number of statements a user who has so many of them in managed policies, of which the
//! last one allows it.
//!
//! With few rounds it is what to run under `valgrind --tool=callgrind`, whose counts of instructions don't depend on
//! what else the machine does; two runs of different length tell what one answer takes.

use std::marker::PhantomData;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use coffer_core::Error;
use coffer_core::ops::iam::{AttachPolicy, CreatePolicy, OfUser};
use coffer_core::ops::secrets::CreateSecret;
use coffer_testkit::{World, version_id};
use coffer_types::{EntityPath, SecretBytes, SecretValue};
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
    let statements: Option<usize> =
        std::env::args().nth(2).map(|statements| statements.parse().expect("a number of statements"));
    let request = match statements {
        Some(statements) => {
            allow(&world, statements);
            signed("AKIANOBODY", "secret of nobody")
        }
        None => signed("AKIAADMINISTRATOR", "secret of administrator"),
    };
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

/// Gives the user without a policy managed policies with so many statements.
fn allow(world: &World, statements: usize) {
    /// As many as a managed policy has room for.
    const PER_POLICY: usize = 36;
    let statement = |number: usize| {
        let secret =
            if number + 1 == statements { "btc-agent".to_owned() } else { format!("application-{number}") };
        format!(
            r#"{{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "arn:aws:secretsmanager:*:*:secret:{secret}/*"}}"#
        )
    };
    let all: Vec<String> = (0..statements).map(statement).collect();
    for (number, some) in all.chunks(PER_POLICY).enumerate() {
        let create = CreatePolicy {
            name: format!("policy-{number}").parse().expect("a legal name"),
            path: EntityPath::default(),
            document: format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, some.join(", ")),
            description: None,
            tags: Vec::new(),
        };
        let arn = done(world.run(create)).entity.arn;
        let attach: AttachPolicy<OfUser> = AttachPolicy {
            holder: "nobody".parse().expect("a legal name"),
            policy: arn.parse().expect("the ARN of a policy"),
            kind: PhantomData,
        };
        done(world.run(attach));
    }
}

fn done<T>(answer: Result<T, Error>) -> T {
    answer.map_err(|error| error.to_string()).expect("an administrator may")
}

/// The request as boto3 sends it.
fn signed(access_key_id: &str, secret: &str) -> Request<Bytes> {
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
    let identity = Credentials::new(access_key_id, secret, None, None, "example").into();
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
