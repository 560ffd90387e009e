//! Google Cloud Secret Manager over the wire: the official SDK against a small server, signing in included.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use coffer_resolver::providers::{Gcp, GcpSettings};
use coffer_resolver::{ErrorKind, Provider};
use coffer_testkit::remote::{Failure, Google};
use google_cloud_auth::credentials::{Credentials, external_account, mds, user_account};
use support::{on_a_runtime, told};

fn google() -> Google {
    let google = Google::start(None);
    google.put("KEY", b"old");
    google.put("KEY", br#"{"A":"new"}"#);
    google
}

fn client_of(google: &Google, credentials: Credentials) -> Gcp {
    Gcp::with(GcpSettings {
        endpoint: Some(google.remote().url()),
        project: Some("bot".to_owned()),
        credentials: Some(credentials),
    })
}

/// A user who signed in. The SDK begins to ask for tokens when they are made, on a runtime.
fn client(google: &Google) -> Gcp {
    let user = google.authorized_user();
    client_of(google, on_a_runtime(|| user_account::Builder::new(user).build().unwrap()))
}

#[test]
fn names_and_versions() {
    let google = google();
    google.put("disabled", b"x");
    google.set_state("disabled", "DISABLED");
    google.put("destroyed", b"x");
    google.set_state("destroyed", "DESTROYED");
    google.put("closed", b"x");
    google.close("closed");
    let client = client(&google);
    for (reference, expected) in [
        ("gcp://bot/KEY", Ok(r#"{"A":"new"}"#)),
        ("gcp://-/KEY", Ok(r#"{"A":"new"}"#)),
        ("gcp://bot/KEY?version=1", Ok("old")),
        ("gcp://bot/none", Err(ErrorKind::NotFound)),
        ("gcp://bot/KEY?version=9", Err(ErrorKind::NotFound)),
        ("gcp://bot/KEY?version=last", Err(ErrorKind::Misconfigured)),
        ("gcp://bot/disabled", Err(ErrorKind::Denied)),
        ("gcp://bot/destroyed", Err(ErrorKind::NotFound)),
        ("gcp://bot/closed", Err(ErrorKind::Denied)),
        ("gcp://bot/a/b", Err(ErrorKind::Misconfigured)),
    ] {
        assert_eq!(told(&client, reference), expected.map(str::to_owned), "{reference}");
    }
    let fetched = client.fetch(&"gcp://bot/KEY".parse().unwrap()).ok().unwrap();
    assert_eq!(fetched.identity.as_deref(), Some("123456789/KEY"));
    assert_eq!(fetched.facts.version_id.as_deref(), Some("2"));
    let denied = client.fetch(&"gcp://bot/closed".parse().unwrap()).err().unwrap();
    assert!(denied.action().contains("roles/secretmanager.secretAccessor"), "{}", denied.action());
    assert_eq!(google.given_out(), 1);
}

#[test]
fn a_value_has_to_fit_its_checksum() {
    let google = google();
    google.send_wrong_checksums(true);
    assert_eq!(told(&client(&google), "gcp://bot/KEY"), Err(ErrorKind::Malformed));
}

#[test]
fn who_is_signed_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "workload").unwrap();
    let google = google();
    let workload = google.external_account(file.to_str().unwrap());
    let workload = on_a_runtime(|| external_account::Builder::new(workload).build().unwrap());
    assert!(told(&client_of(&google, workload), "gcp://bot/KEY").is_ok());
    let url = google.remote().url();
    let machine = on_a_runtime(|| mds::Builder::default().with_endpoint(url).build().unwrap());
    assert!(told(&client_of(&google, machine), "gcp://bot/KEY").is_ok());
    google.refuse_tokens(true);
    let began = Instant::now();
    assert_eq!(told(&client(&google), "gcp://bot/KEY"), Err(ErrorKind::Denied));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn each_failure() {
    let google = google();
    let client = client(&google);
    told(&client, "gcp://bot/KEY").unwrap();
    for (failure, expected) in [
        (Failure::Delay(Duration::from_millis(100)), None),
        (Failure::Throttled(7), Some(ErrorKind::Throttled)),
        (Failure::Status(400), Some(ErrorKind::Misconfigured)),
        (Failure::Status(401), Some(ErrorKind::Denied)),
        (Failure::Status(403), Some(ErrorKind::Denied)),
        (Failure::Status(404), Some(ErrorKind::Misconfigured)),
        (Failure::Status(500), Some(ErrorKind::Unavailable)),
        (Failure::Status(503), Some(ErrorKind::Unavailable)),
        (Failure::Truncated, Some(ErrorKind::Unavailable)),
        (Failure::OtherJson, Some(ErrorKind::Malformed)),
        (Failure::NoJson("{\"payload\": hunter2"), Some(ErrorKind::Malformed)),
        (Failure::NoJson("{}"), Some(ErrorKind::Malformed)),
        (Failure::HangUp, Some(ErrorKind::Unavailable)),
    ] {
        google.remote().fail_next([failure.clone()]);
        assert_eq!(told(&client, "gcp://bot/KEY").err(), expected, "{failure:?}");
        google.remote().clear();
    }
    google.remote().fail_next([Failure::Throttled(7)]);
    let throttled = client.fetch(&"gcp://bot/KEY".parse().unwrap()).err().unwrap();
    assert_eq!(throttled.asked_to_wait(), Some(Duration::from_secs(7)));
    google.end_tokens();
    assert_eq!(told(&client, "gcp://bot/KEY"), Err(ErrorKind::Denied));
}

#[test]
fn nobody_there_and_back_again() {
    let google = google();
    let client = client(&google);
    told(&client, "gcp://bot/KEY").unwrap();
    google.remote().stop();
    assert_eq!(told(&client, "gcp://bot/KEY"), Err(ErrorKind::Unavailable));
    google.remote().start_again();
    assert!(told(&client, "gcp://bot/KEY").is_ok());
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let google = google();
    let client = client(&google);
    told(&client, "gcp://bot/KEY").unwrap();
    google.remote().fail_always(Some(Failure::Delay(Duration::from_secs(30))));
    let began = Instant::now();
    assert_eq!(told(&client, "gcp://bot/KEY"), Err(ErrorKind::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
