//! The agent's doors: HTTP on a local address, and on a Unix socket.
//!
//! I/O: sockets, threads on which stores are asked. Invariants: who is on the Unix socket is what the kernel says; and every wait
//! has an end and every buffer a size.

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffer_resolver::{CorrelationId, new_correlation_id};
use coffer_types::SecretBytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{sleep, timeout};

use crate::agent::answer;
use crate::agent::durations::Fetches;
use crate::agent::log::Log;
use crate::agent::metrics::{self, Requests};
use crate::agent::prompt::Prompt;
use crate::agent::question::{self, Asked, Refused};
use crate::agent::token::Token;
use crate::agent::values::{Told, Unanswered, Values};

/// The headers that may carry the token.
const TOKEN_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-aws-parameters-secrets-token"), HeaderName::from_static("x-vault-token")];
/// What a proxy adds. Whoever can be made to fetch an address can't add it away.
const FORWARDED: [HeaderName; 2] = [HeaderName::from_static("x-forwarded-for"), header::FORWARDED];
/// What a client may call its request by, for the log and for the records of stores.
const ID_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-amzn-trace-id"), HeaderName::from_static("x-request-id")];
/// How long a request may take to arrive, and a connection may be idle.
const HEADER_TIME_MAX: Duration = Duration::from_secs(61);
/// How long a connection may stay that has shown no token yet.
const STRANGER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the other side may take nothing of an answer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// Most bytes of a request.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Connections beyond the limit that may ask whether the agent is there.
const PINGS_MAX: usize = 2;
/// How long to wait when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A body that others may be given at the same time.
struct Body(Arc<SecretBytes>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

/// What all connections share.
pub(crate) struct Agent {
    pub(crate) values: Values,
    pub(crate) token: Token,
    pub(crate) prefix: String,
    pub(crate) connections_max: usize,
    pub(crate) users: Vec<u32>,
    pub(crate) requests: Requests,
    pub(crate) fetches: Arc<Fetches>,
    pub(crate) tcp: AtomicUsize,
    /// Counted apart: whoever fills the one door does not shut the other.
    pub(crate) socket: AtomicUsize,
    pub(crate) log: Log,
}

/// Through which door a connection came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Who it is, a token has to show.
    Tcp,
    /// Who it is, the kernel has said.
    Socket,
}

impl Agent {
    fn connections(&self, door: Door) -> &AtomicUsize {
        match door {
            Door::Tcp => &self.tcp,
            Door::Socket => &self.socket,
        }
    }
}

/// A Unix socket, whose file is removed with this.
pub(crate) struct SocketFile {
    pub(crate) listener: UnixListener,
    path: PathBuf,
}

impl SocketFile {
    /// Makes the socket in place of a stale one. `others` says whether users besides this one may connect.
    pub(crate) fn bind(path: &Path, others: bool) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            // Somebody may be listening there.
            Ok(metadata) if metadata.file_type().is_socket() => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        // The kernel's word on the peer keeps others out in any case.
        fs::set_permissions(path, Permissions::from_mode(if others { 0o666 } else { 0o600 }))?;
        Ok(Self { listener, path: path.to_owned() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Serves TCP for ever.
pub(crate) async fn serve_tcp(agent: Arc<Agent>, listener: StdTcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let is_loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and whole. On this machine no packet needs to get further than here.
                if stream.set_nodelay(true).is_err() || (is_loopback && stream.set_ttl(1).is_err()) {
                    continue;
                }
                tokio::spawn(serve_connection(Arc::clone(&agent), stream, Door::Tcp));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves the Unix socket for ever.
pub(crate) async fn serve_socket(agent: Arc<Agent>, socket: SocketFile) -> io::Result<()> {
    loop {
        match socket.listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(peer) if agent.users.contains(&peer.uid()) => {
                    tokio::spawn(serve_connection(Arc::clone(&agent), stream, Door::Socket));
                }
                _ => {
                    agent.requests.strangers.fetch_add(1, Ordering::Relaxed);
                }
            },
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve_connection(
    agent: Arc<Agent>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    door: Door,
) {
    let counted = agent.connections(door).fetch_add(1, Ordering::Relaxed) + 1;
    if counted <= agent.connections_max + PINGS_MAX {
        let is_crowded = counted > agent.connections_max;
        let is_known = &AtomicBool::new(door == Door::Socket);
        let service = service_fn(|request: Request<Incoming>| {
            let agent = Arc::clone(&agent);
            let is_trusted = door == Door::Socket || shows_token(&agent.token, request.headers());
            is_known.fetch_or(is_trusted, Ordering::Relaxed);
            async move { Ok::<_, Infallible>(answer_to(agent, request, is_trusted, is_crowded).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME_MAX)
            .max_buf_size(REQUEST_BYTES_MAX)
            .serve_connection(TokioIo::new(Prompt::new(stream, WRITE_TIME_MAX)), service);
        let mut connection = pin!(connection);
        // It fails if the client has gone.
        let is_over = timeout(STRANGER_TIME_MAX, connection.as_mut()).await.is_ok();
        if !is_over && is_known.load(Ordering::Relaxed) {
            drop(connection.await);
        }
    } else {
        let refused = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 25\r\nconnection: close\r\n\r\nConnection limit exceeded";
        let mut stream = stream;
        let written = tokio::io::AsyncWriteExt::write_all(&mut stream, refused);
        drop(timeout(Duration::from_secs(1), written).await);
        agent.requests.count(429);
    }
    agent.connections(door).fetch_sub(1, Ordering::Relaxed);
}

async fn answer_to(
    agent: Arc<Agent>,
    request: Request<Incoming>,
    is_trusted: bool,
    is_crowded: bool,
) -> Response<Full<Bytes>> {
    let (parts, _body) = request.into_parts();
    let began = Instant::now();
    let path = parts.uri.path();
    let is_free = parts.method == Method::GET && (path == "/ping" || path == "/metrics");
    let asked = if is_crowded && path != "/ping" {
        Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, "Connection limit exceeded"))
    } else if !is_free && FORWARDED.iter().any(|name| parts.headers.contains_key(name)) {
        Err(Refused::new(StatusCode::BAD_REQUEST, "Forwarded"))
    } else {
        question::read(&parts.method, path, parts.uri.query(), &agent.prefix, is_trusted)
    };
    // Who says nothing that looks like an id is given one, so that log and records agree.
    let id_of_request = || -> CorrelationId {
        let id = |name: &HeaderName| CorrelationId::from_bytes(parts.headers.get(name)?.as_bytes()).ok();
        ID_HEADERS.iter().find_map(id).unwrap_or_else(new_correlation_id)
    };
    let id = agent.log.is_on.then(id_of_request);
    let is_get = matches!(asked, Ok(Asked::Get(_)));
    let (mut response, secret, stale) = match asked {
        Ok(Asked::Ping) => (text(StatusCode::OK, "healthy"), String::new(), None),
        Ok(Asked::Metrics) => {
            let counts = metrics::text(&agent.requests, &agent.fetches, &agent.values);
            (
                typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", counts.into()),
                String::new(),
                None,
            )
        }
        Ok(Asked::Forget(question)) => {
            let response = match agent.values.forget(&question) {
                Ok(()) => text(StatusCode::NO_CONTENT, ""),
                Err(refused) => text(refused.status, &refused.text),
            };
            (response, question.secret_id, None)
        }
        Ok(Asked::Get(question)) => {
            let secret = question.secret_id.clone();
            let found = match agent.values.at_hand(&question) {
                Some(told) => Ok(told),
                // Stores are asked on threads of their own: a slow one holds up nobody else.
                None => {
                    let (asking, id) = (Arc::clone(&agent), id.clone().unwrap_or_else(id_of_request));
                    let asked = move || {
                        asking.values.get(&question, Some(&id)).map(|found| Told::of(&question, &found))
                    };
                    tokio::task::spawn_blocking(asked).await
                }
            };
            match found {
                Ok(Ok(Told { body, stale })) => {
                    let body = Bytes::from_owner(Body(body));
                    let mut response = typed(StatusCode::OK, "application/json", body);
                    if let Some(age) = stale {
                        response.headers_mut().insert("x-coffer-stale", age.as_secs().into());
                        response.headers_mut().insert(header::AGE, age.as_secs().into());
                    }
                    (response, secret, stale)
                }
                Ok(Err(Unanswered::Refused(refused))) => (text(refused.status, &refused.text), secret, None),
                Ok(Err(Unanswered::Failed(kind, message))) => {
                    let (status, body) = answer::fault(kind, &message);
                    (typed(status, "application/x-amz-json-1.1", body.into()), secret, None)
                }
                Err(_) => (text(StatusCode::SERVICE_UNAVAILABLE, "internal fault"), secret, None),
            }
        }
        Err(refused) => (text(refused.status, &refused.text), String::new(), None),
    };
    let status = response.status().as_u16();
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        // The next one may find room.
        response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    agent.requests.count(status);
    let took = began.elapsed();
    if is_get {
        agent.requests.durations.add(took);
    }
    if let Some(id) = id.filter(|_| !is_free) {
        agent.log.request(&id, &secret, status, stale, took);
    }
    response
}

fn shows_token(token: &Token, headers: &HeaderMap) -> bool {
    TOKEN_HEADERS.iter().any(|name| headers.get_all(name).iter().any(|shown| token.is(shown.as_bytes())))
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text.to_owned().into())
}

fn typed(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    // No cache on the way may keep a value.
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}
