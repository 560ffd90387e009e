//! The client: a blocking connection to a server's socket.
//!
//! I/O: one Unix socket. Every wait has an end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use coffer_types::{CorrelationId, Region};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::{
    ANSWER_BYTES_MAX, Answer, BegunBackup, EndedBackup, Failure, FrameError, Hello, PIECE_BYTES_MAX,
    PROTOCOL, REQUEST_BYTES_MAX, Request, Response, decode, encode, length_of,
};

/// Longest path that fits the kernel's `sun_path`, its last byte being zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// How long a server may take for an answer; verifying a long log takes a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a server may take to greet or to read a request.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a running server.
pub struct Client {
    stream: UnixStream,
    server: Hello,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens: there is no socket, or the server that made it is gone.
    #[error("no server listens there")]
    NobodyListens(#[source] io::Error),
    /// The connection failed.
    #[error("the server's socket failed")]
    Transport(#[source] io::Error),
    /// What came back is no greeting.
    #[error("the server's greeting cannot be read")]
    Greeting(#[source] FrameError),
    /// The server is of another version of coffer.
    #[error("the server speaks protocol {theirs}, and this coffer protocol {PROTOCOL}")]
    Protocol {
        /// Its version of the protocol.
        theirs: u32,
    },
    /// The server refused this user.
    #[error(transparent)]
    Refused(Failure),
}

/// Why a call has no response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection failed. A write may have happened, and is safe to repeat with the same token.
    #[error("the connection to the server was lost")]
    Transport(#[source] io::Error),
    /// The request or the answer is no frame.
    #[error("the server's answer cannot be read")]
    Frame(#[source] FrameError),
    /// The server answered with a failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Why a backup was not taken to its end.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The server failed, or was lost.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is to another request.
    #[error("the answer is of another operation")]
    Unexpected,
    /// Where it was to be written, it could not be.
    #[error("the backup cannot be written")]
    Write(#[source] io::Error),
}

/// What a server greets with, or refuses with.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Greeting {
    Hello(Hello),
    Refused { failure: Failure },
}

impl Client {
    /// Connects to the socket at `path` and exchanges greetings. A path longer than the kernel takes is reached
    /// through its folder's descriptor.
    ///
    /// All requests of this connection work in `region`, or in the store's default: a secret named without it,
    /// by its name alone, is that region's.
    pub fn connect(path: &Path, region: Option<Region>) -> Result<Self, ConnectError> {
        Self::connect_as(path, region, None)
    }

    /// The same; the server's records of what is asked here hold `id`, too.
    pub fn connect_as(
        path: &Path,
        region: Option<Region>,
        id: Option<&CorrelationId>,
    ) -> Result<Self, ConnectError> {
        let mut hello = Hello::of_client(region);
        hello.correlation_id = id.map(ToString::to_string);
        let mut stream = connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ConnectError::NobodyListens(error),
            _ => ConnectError::Transport(error),
        })?;
        stream.set_read_timeout(Some(GREETING_TIMEOUT)).map_err(ConnectError::Transport)?;
        stream.set_write_timeout(Some(GREETING_TIMEOUT)).map_err(ConnectError::Transport)?;
        let greeting = match exchange(&mut stream, &hello) {
            Ok(greeting) => greeting,
            Err(CallError::Transport(error)) => return Err(ConnectError::Transport(error)),
            Err(CallError::Frame(error)) => return Err(ConnectError::Greeting(error)),
            Err(CallError::Failure(failure)) => return Err(ConnectError::Refused(failure)),
        };
        let server = match greeting {
            Greeting::Hello(hello) if hello.protocol == PROTOCOL => hello,
            Greeting::Hello(hello) => return Err(ConnectError::Protocol { theirs: hello.protocol }),
            Greeting::Refused { failure } => return Err(ConnectError::Refused(failure)),
        };
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(ConnectError::Transport)?;
        Ok(Self { stream, server })
    }

    /// Lets no answer take longer than this, for who would rather do without.
    pub fn answer_within(&self, time_max: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(time_max))
    }

    /// What the server said of itself.
    pub fn server(&self) -> &Hello {
        &self.server
    }

    /// Sends a request and waits for its answer. After an error other than [`CallError::Failure`] the connection
    /// is of no more use.
    pub fn call(&mut self, request: &Request) -> Result<Response, CallError> {
        match exchange(&mut self.stream, request)? {
            Answer::Response(response) => Ok(response),
            Answer::Failure(failure) => Err(failure.into()),
        }
    }

    /// Takes a backup: `begun` is told what it is of, `keep` is given its bytes in order. After an error other than a
    /// failure of the first answer the connection is of no more use.
    pub fn backup(
        &mut self,
        begun: impl FnOnce(&BegunBackup),
        mut keep: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(BegunBackup, EndedBackup), BackupError> {
        let Response::Backup(beginning) = self.call(&Request::Backup {})? else {
            return Err(BackupError::Unexpected);
        };
        begun(&beginning);
        let mut piece = Vec::new();
        loop {
            let mut front = [0; 4];
            self.stream.read_exact(&mut front).map_err(CallError::Transport)?;
            piece.resize(length_of(front, PIECE_BYTES_MAX).map_err(CallError::Frame)?, 0);
            if piece.is_empty() {
                break;
            }
            self.stream.read_exact(&mut piece).map_err(CallError::Transport)?;
            keep(&piece).map_err(BackupError::Write)?;
        }
        match receive(&mut self.stream)? {
            Answer::Response(Response::EndBackup(end)) => Ok((beginning, end)),
            Answer::Response(_) => Err(BackupError::Unexpected),
            Answer::Failure(failure) => Err(CallError::from(failure).into()),
        }
    }
}

fn exchange<T: DeserializeOwned>(stream: &mut UnixStream, message: &impl Serialize) -> Result<T, CallError> {
    let frame = encode(message, REQUEST_BYTES_MAX).map_err(CallError::Frame)?;
    stream.write_all(frame.as_bytes()).map_err(CallError::Transport)?;
    receive(stream)
}

fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> Result<T, CallError> {
    let mut front = [0; 4];
    stream.read_exact(&mut front).map_err(CallError::Transport)?;
    let mut json = Zeroizing::new(vec![0; length_of(front, ANSWER_BYTES_MAX).map_err(CallError::Frame)?]);
    stream.read_exact(&mut json).map_err(CallError::Transport)?;
    decode(&json).map_err(CallError::Frame)
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return UnixStream::connect(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    UnixStream::connect(Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::FailureKind;

    /// A server that reads a greeting and answers with `json`.
    fn greeted_with(json: &'static str) -> Result<Client, ConnectError> {
        let folder =
            std::env::temp_dir().join(format!("coffer-wire-local-{}-{:p}", std::process::id(), json));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut front = [0; 4];
            stream.read_exact(&mut front).unwrap();
            let mut hello = vec![0; length_of(front, REQUEST_BYTES_MAX).unwrap()];
            stream.read_exact(&mut hello).unwrap();
            assert_eq!(decode::<Hello>(&hello).unwrap().protocol, PROTOCOL);
            stream.write_all(&(json.len() as u32).to_be_bytes()).unwrap();
            stream.write_all(json.as_bytes()).unwrap();
        });
        let client = Client::connect(&path, None);
        server.join().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        client
    }

    #[test]
    fn each_greeting() {
        let client =
            greeted_with(r#"{"protocol":1,"endpoint":"http://127.0.0.1:8200","later":true}"#).unwrap();
        assert_eq!(client.server().endpoint.as_deref(), Some("http://127.0.0.1:8200"));
        assert!(matches!(greeted_with(r#"{"protocol":2}"#), Err(ConnectError::Protocol { theirs: 2 })));
        assert!(matches!(greeted_with("[]"), Err(ConnectError::Greeting(_))));
        let refusal = r#"{"failure":{"kind":"Denied","message":"no"}}"#;
        assert!(matches!(
            greeted_with(refusal),
            Err(ConnectError::Refused(Failure { kind: FailureKind::Denied, .. }))
        ));
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_not_repeated() {
        use std::error::Error;
        for answer in [
            r#"{"response":{"operation":"GetSecretValue","result":"hunter2"}}"#,
            r#"{"response":"hunter2"}"#,
            r#"{"hunter2":{}}"#,
            r#""hunter2""#,
        ] {
            let (mut stream, mut server) = UnixStream::pair().unwrap();
            server.write_all(&(answer.len() as u32).to_be_bytes()).unwrap();
            server.write_all(answer.as_bytes()).unwrap();
            let error = match exchange::<Answer>(&mut stream, &Request::Status {}) {
                Err(error @ CallError::Frame(_)) => error,
                _ => panic!("{answer} was read"),
            };
            let mut cause: Option<&dyn Error> = Some(&error);
            while let Some(error) = cause {
                let text = format!("{error} {error:?}");
                assert!(!text.contains("hunter2"), "{text}");
                cause = error.source();
            }
        }
    }

    #[test]
    fn where_nobody_listens() {
        let long = std::env::temp_dir().join("x".repeat(200)).join("socket");
        for path in [Path::new("/nonexistent/socket"), &long] {
            assert!(matches!(Client::connect(path, None), Err(ConnectError::NobodyListens(_))));
        }
    }
}
