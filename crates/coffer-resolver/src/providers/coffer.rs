//! coffer itself: `coffer://NAME#field`, over the socket of the server that holds the store.
//!
//! I/O: a Unix socket, a connection each time. Where no server runs, the `coffer` program reads the store in place, if it
//! is known.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_types::{CorrelationId, Region, SecretBytes, SecretValue, Timestamp, VersionId};
use coffer_wire_local::{CallError, Client, ConnectError, Failure, FailureKind, Request, Response};

use serde::Deserialize;

use crate::error::{ErrorKind, FetchError};
use crate::provider::{Facts, Fetched, Provider};
use crate::providers::Exec;
use crate::reference::{Reference, Scheme};

/// What makes a folder a store.
const SEAL_FILE: &str = "seal.json";
/// What in it shows that a secret has changed.
const CHANGED_FILE: &str = "changed";
/// Where in it a server listens.
const SOCKET_FILE: &str = "coffer.sock";
/// How long a server, or the program in its place, may take for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(8);

/// A store of coffer's.
pub struct Coffer {
    home: PathBuf,
    program: Option<PathBuf>,
}

impl Coffer {
    /// The store in the folder `home`.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into(), program: None }
    }

    /// The same; where no server runs, `program` is run to read the store in place.
    pub fn or_in_place(self, program: PathBuf) -> Self {
        Self { program: Some(program), ..self }
    }

    fn in_place(
        &self,
        document: &Reference,
        id: Option<&CorrelationId>,
    ) -> Option<Result<Fetched, FetchError>> {
        let program = self.program.as_ref()?;
        // What is no store has none to read.
        if !self.home.join(SEAL_FILE).exists() {
            return None;
        }
        let text = |path: &PathBuf| path.to_str().map(str::to_owned);
        let words = ["--json", "--home", &text(&self.home)?, "get"].map(str::to_owned);
        let mut command = vec![text(program)?];
        command.extend(words);
        for (parameter, option) in [("region", "--region"), ("version", "--version-id"), ("stage", "--stage")]
        {
            if let Some(value) = document.parameter(parameter) {
                command.extend([option.to_owned(), value.to_owned()]);
            }
        }
        command.extend(["--".to_owned(), document.path().to_owned()]);
        let exec = Exec::new(".").within(ANSWER_TIME_MAX).quietly().saying(says_in_place);
        let printed = exec.output(&command, id, Scheme::Coffer);
        Some(printed.and_then(|bytes| read_in_place(&bytes)))
    }
}

/// The table of what `coffer get` ends with, so that it says what a server would.
fn says_in_place(status: i32) -> Option<(ErrorKind, &'static str)> {
    let failure = match status {
        1 => FailureKind::Other,
        3 => FailureKind::NotFound,
        4 => FailureKind::Denied,
        5 => FailureKind::Conflict,
        6 => FailureKind::Unavailable,
        8 => FailureKind::Verification,
        // Refused, or of the command line: as whatever else it may end with.
        _ => return None,
    };
    match kind_and_action(failure) {
        (ErrorKind::Unavailable, _) => {
            Some((ErrorKind::Unavailable, "run `coffer get NAME` and see what it says"))
        }
        of_table => Some(of_table),
    }
}

/// What `coffer get --json` prints, as far as it counts here.
#[derive(Deserialize)]
struct Printed {
    arn: String,
    name: String,
    version_id: String,
    stages: Vec<String>,
    created: String,
    value: Option<String>,
    value_base64: Option<String>,
}

/// The same as a server tells.
fn read_in_place(printed: &[u8]) -> Result<Fetched, FetchError> {
    let unreadable = || {
        let what = "what `coffer get` printed can't be read";
        let action = "see whether both programs are of the same version";
        FetchError::new(ErrorKind::Malformed, Scheme::Coffer, what, action)
    };
    // The parser's own words may show a value.
    let printed: Printed = serde_json::from_slice(printed).map_err(|_| unreadable())?;
    let (value, is_binary) = match (printed.value, printed.value_base64.map(SecretBytes::from)) {
        (Some(text), None) => (SecretBytes::from(text), false),
        (None, Some(coded)) => {
            let bytes = STANDARD.decode(coded.expose_secret()).map_err(|_| unreadable())?;
            (SecretBytes::new(bytes), true)
        }
        _ => return Err(unreadable()),
    };
    let created = printed.created.parse::<Timestamp>().ok();
    let facts = Facts {
        name: Some(printed.name),
        arn: Some(printed.arn.clone()),
        version_id: Some(printed.version_id),
        stages: printed.stages,
        created_millis: created.map(Timestamp::as_millis),
        is_binary,
    };
    Ok(Fetched::new(value).identified(Some(printed.arn)).with_facts(facts))
}

impl Provider for Coffer {
    fn scheme(&self) -> Scheme {
        Scheme::Coffer
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        self.read(document, None)
    }

    fn fetch_as(&self, document: &Reference, id: &CorrelationId) -> Result<Fetched, FetchError> {
        self.read(document, Some(id))
    }

    fn beacon(&self) -> Option<PathBuf> {
        Some(self.home.join(CHANGED_FILE))
    }
}

impl Coffer {
    /// `id` stands in the record of the read.
    fn read(&self, document: &Reference, id: Option<&CorrelationId>) -> Result<Fetched, FetchError> {
        let malformed = |what: &str, action: &str| {
            FetchError::new(ErrorKind::Misconfigured, Scheme::Coffer, what, action)
        };
        let region = document.parameter("region").map(str::parse::<Region>).transpose();
        let region =
            region.map_err(|_| malformed("no region is called so", "write one such as us-east-1"))?;
        let version_id = document.parameter("version").map(str::parse::<VersionId>).transpose();
        let version_id = version_id
            .map_err(|_| malformed("no version is called so", "name one that `coffer versions` shows"))?;
        let stage = document.parameter("stage").map(str::parse).transpose();
        let stage = stage.map_err(|_| malformed("no label is called so", "write one such as AWSPREVIOUS"))?;
        let mut client = match Client::connect_as(&self.home.join(SOCKET_FILE), region, id) {
            Ok(client) => client,
            Err(ConnectError::NobodyListens(error)) => {
                return self.in_place(document, id).unwrap_or_else(|| Err(nobody_listens(&self.home, error)));
            }
            Err(error) => return Err(not_connected(error)),
        };
        client
            .answer_within(ANSWER_TIME_MAX)
            .map_err(|error| not_connected(ConnectError::Transport(error)))?;
        let secret_id = document.path().to_owned();
        match client.call(&Request::GetSecretValue { secret_id, version_id, stage }) {
            Ok(Response::GetSecretValue(read)) => {
                let is_binary = matches!(read.value.0, SecretValue::Binary(_));
                let (SecretValue::String(value) | SecretValue::Binary(value)) = read.value.0;
                let facts = Facts {
                    name: Some(read.name.to_string()),
                    arn: Some(read.arn.clone()),
                    version_id: Some(read.version_id.to_string()),
                    stages: read.stages.iter().map(ToString::to_string).collect(),
                    created_millis: Some(read.created.as_millis()),
                    is_binary,
                };
                Ok(Fetched::new(value).identified(Some(read.arn)).with_facts(facts))
            }
            Ok(_) => Err(FetchError::new(
                ErrorKind::Malformed,
                Scheme::Coffer,
                "the answer is to another request",
                "see whether server and program are of the same version",
            )),
            Err(CallError::Failure(failure)) => Err(refused(&failure)),
            Err(CallError::Transport(cause)) if is_late(&cause) => Err(no_answer(cause)),
            Err(error @ CallError::Transport(_)) => Err(FetchError::new(
                ErrorKind::Unavailable,
                Scheme::Coffer,
                "the server went away",
                "start it again: `coffer serve`",
            )
            .caused_by(error)),
            Err(error @ CallError::Frame(_)) => Err(FetchError::new(
                ErrorKind::Malformed,
                Scheme::Coffer,
                "the server's answer can't be read",
                "see whether server and program are of the same version",
            )
            .caused_by(error)),
        }
    }
}

fn nobody_listens(home: &std::path::Path, error: io::Error) -> FetchError {
    let (what, action) = if home.join(SEAL_FILE).exists() {
        (format!("no server holds the store in `{}`", home.display()), "start it: `coffer serve`")
    } else {
        let action = "name the folder of one by COFFER_HOME, or make one: `coffer init`";
        (format!("there is no store in `{}`", home.display()), action)
    };
    FetchError::new(ErrorKind::Unavailable, Scheme::Coffer, what, action).caused_by(error)
}

/// Whether a time ran out, as the kernel says it of a socket.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn no_answer(cause: io::Error) -> FetchError {
    let what = "the server is there and does not answer";
    let action = "see what holds it up; if it is suspended or hangs, start it again";
    FetchError::new(ErrorKind::Unavailable, Scheme::Coffer, what, action).caused_by(cause)
}

fn not_connected(error: ConnectError) -> FetchError {
    let error = match error {
        ConnectError::Transport(cause) if is_late(&cause) => return no_answer(cause),
        error => error,
    };
    let (kind, what, action) = match &error {
        ConnectError::Refused(failure) => return refused(failure),
        ConnectError::Transport(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
            (ErrorKind::Denied, "this user may not reach the server", "run as the user who owns the store")
        }
        ConnectError::NobodyListens(_) | ConnectError::Transport(_) => {
            (ErrorKind::Unavailable, "the server can't be reached", "start it: `coffer serve`")
        }
        ConnectError::Greeting(_) => (
            ErrorKind::Malformed,
            "the server's greeting can't be read",
            "see whether something else listens there",
        ),
        ConnectError::Protocol { .. } => (
            ErrorKind::Misconfigured,
            "the server is of another version",
            "run the same version of coffer on both sides",
        ),
    };
    FetchError::new(kind, Scheme::Coffer, what, action).caused_by(error)
}

/// What the server refuses with. Its own text names what was asked for, and never a value.
fn refused(failure: &Failure) -> FetchError {
    let (kind, action) = kind_and_action(failure.kind);
    let action = failure.hint.clone().unwrap_or_else(|| action.to_owned());
    FetchError::new(kind, Scheme::Coffer, failure.message.clone(), action)
}

/// The table of refusals, whether a server tells them or the program in its place.
fn kind_and_action(failure: FailureKind) -> (ErrorKind, &'static str) {
    match failure {
        FailureKind::NotFound => (ErrorKind::NotFound, "write it: `coffer put NAME`"),
        FailureKind::Denied => (ErrorKind::Denied, "run as the user who owns the store"),
        // It is there, and marked for deletion: taken back on purpose, so no default may stand in.
        FailureKind::Conflict => (ErrorKind::Denied, "take its deletion back: `coffer restore NAME`"),
        FailureKind::Unavailable | FailureKind::Other => (ErrorKind::Unavailable, "see what the server says"),
        FailureKind::Refused => (ErrorKind::Misconfigured, "correct the reference"),
        FailureKind::Verification => (ErrorKind::DecryptionFailed, "check the store: `coffer audit verify`"),
    }
}
