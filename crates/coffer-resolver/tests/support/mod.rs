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

/// What begins to work in the background as soon as it is made, on a runtime.
#[cfg(feature = "gcp")]
pub(crate) fn on_a_runtime<T>(make: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let made = {
        let _inside = runtime.enter();
        make()
    };
    // It goes on asking for tokens as long as the test runs.
    Box::leak(Box::new(runtime));
    made
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

/// A Secrets Manager, as far as AWS's SDK can tell: reads, alone and in batches, and the assuming of roles.
#[cfg(feature = "aws")]
pub(crate) struct SecretsManager {
    remote: coffer_testkit::remote::Remote,
    state: std::sync::Arc<Mutex<Secrets>>,
}

#[cfg(feature = "aws")]
#[derive(Default)]
struct Secrets {
    values: std::collections::BTreeMap<String, String>,
    /// What every read is refused with.
    refused: Option<String>,
    batches_are_denied: bool,
    asked: Vec<String>,
}

#[cfg(feature = "aws")]
impl SecretsManager {
    pub(crate) fn start() -> Self {
        let state = std::sync::Arc::<Mutex<Secrets>>::default();
        let rules = std::sync::Arc::clone(&state);
        let answer = move |request: &_| rules.lock().unwrap().answer(request);
        Self { remote: coffer_testkit::remote::Remote::start(None, answer), state }
    }

    pub(crate) fn remote(&self) -> &coffer_testkit::remote::Remote {
        &self.remote
    }

    pub(crate) fn put(&self, name: &str, value: &str) {
        self.state.lock().unwrap().values.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn refuse(&self, code: Option<&str>) {
        self.state.lock().unwrap().refused = code.map(str::to_owned);
    }

    pub(crate) fn deny_batches(&self) {
        self.state.lock().unwrap().batches_are_denied = true;
    }

    /// The operations so far, in order; with whose key, if it is not `test`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

#[cfg(feature = "aws")]
impl Secrets {
    fn answer(&mut self, request: &coffer_testkit::remote::Request) -> coffer_testkit::remote::Reply {
        use coffer_testkit::remote::Reply;
        use serde_json::json;

        let refused =
            |code: &str| Reply::json(400, json!({ "__type": code, "Message": "as told" }).to_string());
        let Some(operation) = request.header("x-amz-target").and_then(|text| text.split('.').next_back())
        else {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            self.asked.push("AssumeRole".to_owned());
            return if body.contains("denied") {
                let error = "<Code>AccessDenied</Code><Message>no</Message>";
                Reply::json(403, format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
            } else {
                let credentials = "<AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                                   <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>";
                Reply::json(
                    200,
                    format!(
                        "<AssumeRoleResponse><AssumeRoleResult><Credentials>{credentials}</Credentials>\
                         </AssumeRoleResult></AssumeRoleResponse>"
                    ),
                )
            };
        };
        let assumed =
            request.header("authorization").is_some_and(|text| text.contains("Credential=ASSUMED/"));
        self.asked.push(format!("{operation}{}", if assumed { " assumed" } else { "" }));
        let arn = |name: &str| format!("arn:aws:secretsmanager:us-east-1:111122223333:secret:{name}-AbCdEf");
        let body = request.json();
        let entry = |name: &str| {
            let value = self.values.get(name)?;
            Some(json!({ "ARN": arn(name), "Name": name, "SecretString": value }))
        };
        if let Some(code) = &self.refused {
            return refused(code);
        }
        if operation == "BatchGetSecretValue" {
            if self.batches_are_denied {
                return refused("AccessDeniedException");
            }
            let names = body["SecretIdList"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            let (mut values, mut errors) = (Vec::new(), Vec::new());
            for name in names {
                match entry(name) {
                    Some(entry) => values.push(entry),
                    None => errors.push(json!({
                        "SecretId": name,
                        "ErrorCode": "ResourceNotFoundException",
                        "Message": "as told",
                    })),
                }
            }
            return Reply::json(200, json!({ "SecretValues": values, "Errors": errors }).to_string());
        }
        match entry(body["SecretId"].as_str().unwrap()) {
            Some(entry) => Reply::json(200, entry.to_string()),
            None => refused("ResourceNotFoundException"),
        }
    }
}
