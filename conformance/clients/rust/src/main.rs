//! Secrets Manager through the AWS SDK for Rust (`sdk`) and the official caching library (`caching`), unmodified;
//! conformance/README.md says what a line means. Endpoint, region and keys come from the environment alone.

mod caching;
mod sdk;

use std::fmt::Debug;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::process::ExitCode;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use uuid::Uuid;

/// What everything in a case fails with: its own words.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
/// A case and its name.
pub(crate) type Case = (&'static str, fn(Client) -> Pin<Box<dyn Future<Output = Outcome>>>);

/// A row of a table of cases.
macro_rules! case {
    ($name:literal, $body:path) => {
        ($name, |client| Box::pin($body(client)))
    };
}
pub(crate) use case;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cases = match std::env::args().nth(1).as_deref() {
        Some("sdk") => sdk::CASES,
        Some("caching") => caching::CASES,
        _ => {
            eprintln!("usage: coffer-conformance-rust sdk|caching");
            return ExitCode::from(2);
        }
    };
    let client = Client::new(&config().await);
    let mut failed = false;
    for (name, body) in cases {
        match body(client.clone()).await {
            Ok(()) => println!("ok {name}"),
            Err(why) => {
                failed = true;
                println!("not ok {name}: {}", DisplayErrorContext(&*why).to_string().replace('\n', " | "));
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// What every program has that takes its configuration from the environment.
pub(crate) async fn config() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}

pub(crate) fn variable(name: &str) -> Outcome<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

pub(crate) fn token() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn unique() -> String {
    format!("rust/{}", token())
}

pub(crate) fn check(holds: bool, otherwise: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into().into()) }
}

pub(crate) fn equal<L: Debug + PartialEq<R>, R: Debug>(got: L, wanted: R) -> Outcome {
    check(got == wanted, format!("{got:?} instead of {wanted:?}"))
}

/// How often the proxy at `url` was asked for this operation on this secret.
pub(crate) fn requests(url: &str, operation: &str, name: &str) -> Outcome<u32> {
    let address = url.strip_prefix("http://").ok_or("not an http address")?;
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /{operation}/{name} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, count) = answer.rsplit_once("\r\n\r\n").ok_or("no body")?;
    Ok(count.parse()?)
}
