//! What every provider holds to, and the table of errors of each.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coffer_resolver::providers::{Coffer, Dotenv, Env, Exec, File};
use coffer_resolver::{ErrorKind, Provider, Surroundings};
use support::{SECRET, assert_silent, serve};

/// One provider, and references with what they give.
struct Subject {
    provider: Arc<dyn Provider>,
    cases: Vec<(String, Result<Vec<u8>, ErrorKind>)>,
}

impl Subject {
    fn new(provider: impl Provider + 'static, cases: &[(&str, Result<&str, ErrorKind>)]) -> Self {
        let owned = |(reference, expected): &(&str, Result<&str, ErrorKind>)| {
            ((*reference).to_owned(), expected.map(|value| value.as_bytes().to_vec()))
        };
        Self { provider: Arc::new(provider), cases: cases.iter().map(owned).collect() }
    }

    /// The suite: every case gives what it should, each time and from many threads at once; what is there and what
    /// definitely is not are among the cases; errors say who, what and what to do, and never a value.
    fn hold(&self) {
        assert!(self.cases.iter().any(|(_, expected)| expected.is_ok()));
        assert!(self.cases.iter().any(|(_, expected)| *expected == Err(ErrorKind::NotFound)));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    self.cases.iter().for_each(|(reference, expected)| self.check(reference, expected))
                });
            }
        });
    }

    fn check(&self, reference: &str, expected: &Result<Vec<u8>, ErrorKind>) {
        let reference = reference.parse().unwrap();
        match (self.provider.fetch(&reference), expected) {
            (Ok(fetched), Ok(value)) => assert!(fetched.value.expose_secret() == value, "{reference}"),
            (Err(error), Err(kind)) => {
                assert_eq!(error.kind(), *kind, "{reference}: {error}");
                assert_eq!(error.provider(), self.provider.scheme());
                assert!(!error.action().is_empty(), "{reference}: {error}");
                assert_silent(&error);
            }
            (Ok(_), Err(kind)) => panic!("{reference}: a value rather than {kind}"),
            (Err(error), Ok(_)) => panic!("{reference}: {error}"),
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

#[test]
fn the_environment() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("value"), "from a file\n").unwrap();
    let path = folder.path().join("value").display().to_string();
    let variables = [
        ("A", "a"),
        ("EMPTY", ""),
        ("B_FILE", path.as_str()),
        ("C", SECRET),
        ("C_FILE", &path),
        ("D_FILE", "/gone"),
    ];
    Subject::new(
        Env::new(Arc::new(Surroundings::of(&variables, "/"))),
        &[
            ("env:A", Ok("a")),
            ("env:EMPTY", Ok("")),
            ("env:B", Ok("from a file")),
            ("env:NONE", Err(ErrorKind::NotFound)),
            ("env:C", Err(ErrorKind::Misconfigured)),
            ("env:D", Err(ErrorKind::Misconfigured)),
        ],
    )
    .hold();
}

#[test]
fn env_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), "A=1\nB='x y'\nA=2\n").unwrap();
    fs::write(folder.path().join("bad"), format!("A=1\n'{SECRET}\n")).unwrap();
    Subject::new(
        Dotenv::new(folder.path()),
        &[
            ("dotenv:.env", Ok(r#"{"A":"2","B":"x y"}"#)),
            ("dotenv:none", Err(ErrorKind::NotFound)),
            ("dotenv:.env/below", Err(ErrorKind::NotFound)),
            ("dotenv:bad", Err(ErrorKind::Malformed)),
            ("dotenv:.", Err(ErrorKind::Misconfigured)),
        ],
    )
    .hold();
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "value\n").unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    fs::write(folder.path().join("large"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    fs::write(folder.path().join("closed"), SECRET).unwrap();
    fs::set_permissions(folder.path().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
    let mut cases = vec![
        ("file:a", Ok("value")),
        ("file:empty", Ok("")),
        ("file:link", Ok("value")),
        ("file:none", Err(ErrorKind::NotFound)),
        ("file:a/b", Err(ErrorKind::NotFound)),
        ("file:.", Err(ErrorKind::Misconfigured)),
        ("file:large", Err(ErrorKind::Malformed)),
    ];
    if !is_root() {
        cases.push(("file:closed", Err(ErrorKind::Denied)));
    }
    Subject::new(File::new(folder.path()), &cases).hold();
}

#[test]
fn programs() {
    Subject::new(
        Exec::new("/").within(Duration::from_secs(2)),
        &[
            ("exec:echo a b", Ok("a b")),
            ("exec:printf 'a\\n\\n'", Ok("a\n")),
            ("exec:printf '%s' '$HOME;`id`'", Ok("$HOME;`id`")),
            ("exec:sh -c 'echo hunter2; exit 3'", Err(ErrorKind::NotFound)),
            ("exec:sh -c 'echo hunter2; exit 4'", Err(ErrorKind::Denied)),
            ("exec:sh -c 'exit 6'", Err(ErrorKind::Unavailable)),
            ("exec:sh -c 'exit 8'", Err(ErrorKind::DecryptionFailed)),
            ("exec:sh -c 'echo hunter2; exit 1'", Err(ErrorKind::Misconfigured)),
            ("exec:sh -c 'kill -9 $$'", Err(ErrorKind::Unavailable)),
            ("exec:/nonexistent/program", Err(ErrorKind::Misconfigured)),
            ("exec:sleep 60", Err(ErrorKind::Unavailable)),
            ("exec:head -c 2000000 /dev/zero", Err(ErrorKind::Malformed)),
            ("exec:echo 'a", Err(ErrorKind::Misconfigured)),
        ],
    )
    .hold();
}

#[test]
fn coffer() {
    let home = tempfile::tempdir().unwrap();
    serve(&home.path().join("coffer.sock"));
    Subject::new(
        Coffer::new(home.path()),
        &[
            ("coffer://here", Ok(r#"{"A":1}"#)),
            ("coffer://NotFound", Err(ErrorKind::NotFound)),
            ("coffer://Denied", Err(ErrorKind::Denied)),
            ("coffer://Conflict", Err(ErrorKind::Denied)),
            ("coffer://Unavailable", Err(ErrorKind::Unavailable)),
            ("coffer://Other", Err(ErrorKind::Unavailable)),
            ("coffer://Refused", Err(ErrorKind::Misconfigured)),
            ("coffer://Verification", Err(ErrorKind::DecryptionFailed)),
            ("coffer://hang-up", Err(ErrorKind::Unavailable)),
            ("coffer://nonsense", Err(ErrorKind::Malformed)),
            ("coffer://other", Err(ErrorKind::Malformed)),
            ("coffer://here?region=x", Err(ErrorKind::Misconfigured)),
        ],
    )
    .hold();
    let identity = Coffer::new(home.path()).fetch(&"coffer://here".parse().unwrap()).ok().unwrap().identity;
    assert_eq!(identity.as_deref(), Some("arn:aws:secretsmanager:us-east-1:111122223333:secret:here-AbCdEf"));
}

#[test]
fn coffer_without_a_server() {
    let home = tempfile::tempdir().unwrap();
    let refused = || Coffer::new(home.path()).fetch(&"coffer://here".parse().unwrap()).err().unwrap();
    for expected in ["coffer init", "coffer serve"] {
        let error = refused();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.action().contains(expected), "{}", error.action());
        // From now on there is a store.
        fs::write(home.path().join("seal.json"), "{}").unwrap();
    }
}

#[test]
fn coffer_in_place_says_what_a_server_would() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("seal.json"), "{}").unwrap();
    let program = folder.path().join("coffer");
    let script = r#"#!/bin/sh
for name; do :; done
test "$name" != here || exec printf '%s' '{"arn":"a","name":"here","version_id":"v","stages":[],"created":"","value":"x"}'
echo hunter2; echo hunter2 >&2; exit "${name#*-}""#;
    // Written by another process: one that this one forks meanwhile would hold it open for writing, and it could not be run.
    let write = r#"printf '%s\n' "$1" > "$2" && chmod +x "$2""#;
    let written = std::process::Command::new("sh").args(["-c", write, "sh", script]).arg(&program).status();
    assert!(written.unwrap().success());
    Subject::new(
        Coffer::new(folder.path()).or_in_place(program),
        &[
            ("coffer://here", Ok("x")),
            ("coffer://Other-1", Err(ErrorKind::Unavailable)),
            ("coffer://Usage-2", Err(ErrorKind::Misconfigured)),
            ("coffer://NotFound-3", Err(ErrorKind::NotFound)),
            ("coffer://Denied-4", Err(ErrorKind::Denied)),
            ("coffer://Conflict-5", Err(ErrorKind::Denied)),
            ("coffer://Unavailable-6", Err(ErrorKind::Unavailable)),
            ("coffer://Refused-7", Err(ErrorKind::Misconfigured)),
            ("coffer://Verification-8", Err(ErrorKind::DecryptionFailed)),
        ],
    )
    .hold();
}

#[cfg(feature = "vault")]
#[test]
fn vault() {
    let vault = coffer_testkit::remote::Vault::start(None);
    vault.put("", "secret/here", r#"{"A":1}"#);
    vault.put("", "secret/deleted", r#"{"A":1}"#);
    vault.delete("secret/deleted", false);
    let address = vault.remote().url();
    let variables = [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "root")];
    Subject::new(
        coffer_resolver::providers::Vault::new(&Surroundings::of(&variables, "/")),
        &[
            ("vault://secret/here", Ok(r#"{"A":1}"#)),
            ("vault://secret/none", Err(ErrorKind::NotFound)),
            ("vault://secret/deleted", Err(ErrorKind::Denied)),
            ("vault://nowhere/here", Err(ErrorKind::Denied)),
            ("vault://database/here", Err(ErrorKind::Misconfigured)),
            ("vault://secret/here?version=x", Err(ErrorKind::Misconfigured)),
        ],
    )
    .hold();
}

#[cfg(feature = "gcp")]
#[test]
fn gcp() {
    use coffer_resolver::providers::{Gcp, GcpSettings};
    use google_cloud_auth::credentials::user_account;

    let google = coffer_testkit::remote::Google::start(None);
    for name in ["here", "disabled", "closed"] {
        google.put(name, br#"{"A":1}"#);
    }
    google.set_state("disabled", "DISABLED");
    google.close("closed");
    let user = google.authorized_user();
    let settings = GcpSettings {
        endpoint: Some(google.remote().url()),
        project: None,
        credentials: Some(support::on_a_runtime(|| user_account::Builder::new(user).build().unwrap())),
    };
    Subject::new(
        Gcp::with(settings),
        &[
            ("gcp://bot/here", Ok(r#"{"A":1}"#)),
            ("gcp://bot/none", Err(ErrorKind::NotFound)),
            ("gcp://bot/disabled", Err(ErrorKind::Denied)),
            ("gcp://bot/closed", Err(ErrorKind::Denied)),
            ("gcp://-/here", Err(ErrorKind::Misconfigured)),
        ],
    )
    .hold();
}
