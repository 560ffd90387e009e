//! A clock that is moved by hand, and a server of coffer's protocol that says what it is asked to say.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use coffer_resolver::{Clock, ErrorKind, FetchError, Provider};
use coffer_wire_local::{Hello, REQUEST_BYTES_MAX, Request, decode, length_of};

/// What must never be in an error.
pub(crate) const SECRET: &str = "hunter2";

/// The value or the kind of error, of which nothing shows a value.
pub(crate) fn told(provider: &impl Provider, reference: &str) -> Result<String, ErrorKind> {
    match provider.fetch(&reference.parse().unwrap()) {
        Ok(fetched) => Ok(String::from_utf8(fetched.value.expose_secret().to_vec()).unwrap()),
        Err(error) => {
            assert_silent(&error);
            assert!(!error.action().is_empty());
            Err(error.kind())
        }
    }
}

/// An error and its causes show no value.
pub(crate) fn assert_silent(error: &FetchError) {
    let mut said = format!("{error} {error:?} {}", error.action());
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    assert!(!said.contains(SECRET), "{said}");
}

/// A clock that only goes on when somebody waits, or when it is told to.
#[derive(Default)]
pub(crate) struct Hand(Mutex<Duration>);

impl Hand {
    pub(crate) fn pass(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    fn chance(&self) -> f64 {
        0.5
    }
}

/// A server that answers each request by the name it asks for.
pub(crate) fn serve(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    let said = path.with_file_name("said");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let said = said.clone();
            thread::spawn(move || {
                let hello: Option<Hello> = received(&mut stream);
                assert!(hello.is_some());
                send(&mut stream, r#"{"protocol":1,"endpoint":null}"#);
                while let Some(Request::GetSecretValue { secret_id, .. }) = received(&mut stream) {
                    // `said` is answered as the file beside the socket says.
                    let said = std::fs::read_to_string(&said).unwrap_or_default();
                    match answer(if secret_id == "said" { &said } else { &secret_id }) {
                        Some(json) => send(&mut stream, &json),
                        None => return,
                    }
                }
            });
        }
    });
}

fn answer(name: &str) -> Option<String> {
    let failure = |kind: &str| format!(r#"{{"failure":{{"kind":"{kind}","message":"as told"}}}}"#);
    Some(match name {
        "here" => r#"{"response":{"operation":"GetSecretValue","result":{"arn":"arn:aws:secretsmanager:us-east-1:111122223333:secret:here-AbCdEf","name":"here","version_id":"00000000-0000-0000-0000-000000000001","value":{"string":"eyJBIjoxfQ=="},"stages":["AWSCURRENT"],"created":0}}}"#.to_owned(),
        "hang-up" => return None,
        "nonsense" => format!(r#"{{"response":"{SECRET}"}}"#),
        "other" => r#"{"response":{"operation":"TailAudit","result":{"lines":[]}}}"#.to_owned(),
        kind => failure(kind),
    })
}

fn received<T: serde::de::DeserializeOwned>(stream: &mut impl Read) -> Option<T> {
    let mut front = [0; 4];
    stream.read_exact(&mut front).ok()?;
    let mut json = vec![0; length_of(front, REQUEST_BYTES_MAX).unwrap()];
    stream.read_exact(&mut json).ok()?;
    Some(decode(&json).unwrap())
}

fn send(stream: &mut impl Write, json: &str) {
    let _ = stream.write_all(&(json.len() as u32).to_be_bytes());
    let _ = stream.write_all(json.as_bytes());
}
