//! AWS Secrets Manager by the official SDK against coffer's own door: a server as it is, over a store in memory.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::sync::{Arc, mpsc};
use std::thread;

use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Config, Region};
use aws_sdk_secretsmanager::primitives::Blob;
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

#[test]
fn what_coffer_keeps_is_read_as_from_aws() {
    let endpoint = door();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(&endpoint)
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .build();
    let writer = Client::from_conf(config);
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
