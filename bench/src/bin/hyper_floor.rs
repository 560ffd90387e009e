//! The limit that coffer is measured against: hyper, one thread, and one answer that was made beforehand.
//!
//! With `--append FILE BYTES` so many bytes are appended to a file, and are on disk, before each answer leaves; all
//! that wait share one `fdatasync`. That is the limit of `sync=always`.
//!
//! With `--tls CERTIFICATE KEY` it speaks TLS, as rustls does by default.
//!
//! With `--agent` it answers GET, with the headers of coffer's agent.
//!
//! I/O: reads the answer's body from a file, listens on loopback. Invariant: what goes over the wire is what
//! coffer's answer to the same request is made of (the same headers, the same bytes), and nothing between reading
//! the request and writing the answer depends on the request but its method.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const USAGE: &str = "usage: hyper_floor ADDR:PORT BODY_FILE CONTENT_TYPE REQUEST_ID [--append FILE BYTES | --tls CERTIFICATE KEY | --agent]";
const X_AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The file has its size before it is written to, as coffer's log has.
const PREALLOCATED_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// The answer to every request of a method.
#[derive(Clone)]
struct Answer {
    method: Method,
    content_type: HeaderValue,
    /// The other header that coffer's answer has.
    header: (HeaderName, HeaderValue),
    body: Bytes,
    /// Who appends before the answer leaves.
    appender: Option<mpsc::UnboundedSender<oneshot::Sender<()>>>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, body_file, content_type, request_id, options @ ..] = arguments.as_slice() else {
        bail!(USAGE)
    };
    let address: SocketAddr = address.parse().with_context(|| format!("cannot read address `{address}`"))?;
    let (mut appender, mut tls) = (None, None);
    let request_id = HeaderValue::from_str(request_id).context("the request id is no header value")?;
    let (mut method, mut header) = (Method::POST, (X_AMZN_REQUEST_ID, request_id));
    match options {
        [] => {}
        [option, file, bytes] if option == "--append" => {
            appender = Some(start_appender(Path::new(file), bytes.parse().context(USAGE)?)?);
        }
        [option, certificate, key] if option == "--tls" => tls = Some(acceptor(certificate, key)?),
        [option] if option == "--agent" => {
            (method, header) = (Method::GET, (CACHE_CONTROL, HeaderValue::from_static("no-store")));
        }
        _ => bail!(USAGE),
    }
    let answer = Answer {
        method,
        content_type: HeaderValue::from_str(content_type).context("the content type is no header value")?,
        header,
        body: std::fs::read(body_file).with_context(|| format!("cannot read `{body_file}`"))?.into(),
        appender,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(address, answer, tls))
}

/// A thread that appends `bytes` for each that waits, syncs once for all of them, and tells them.
fn start_appender(path: &Path, bytes: usize) -> anyhow::Result<mpsc::UnboundedSender<oneshot::Sender<()>>> {
    let mut file =
        std::fs::File::create(path).with_context(|| format!("cannot make `{}`", path.display()))?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, PREALLOCATED_BYTES)?;
    file.sync_all()?;
    let (appender, mut waiting) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
    std::thread::spawn(move || {
        let mut batch = Vec::new();
        while let Some(first) = waiting.blocking_recv() {
            batch.push(first);
            while let Ok(next) = waiting.try_recv() {
                batch.push(next);
            }
            let kept = file.write_all(&vec![b'x'; bytes * batch.len()]).and_then(|()| file.sync_data());
            if kept.is_err() {
                // Nobody is told, so the load ends with an error.
                return;
            }
            for waiter in batch.drain(..) {
                let _ = waiter.send(());
            }
        }
    });
    Ok(appender)
}

fn acceptor(certificate: &str, key: &str) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(address: SocketAddr, answer: Answer, tls: Option<TlsAcceptor>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (answer, tls) = (answer.clone(), tls.clone());
        tokio::task::spawn_local(async move {
            if stream.set_nodelay(true).is_err() {
                return;
            }
            match tls {
                None => serve_connection(stream, answer).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve_connection(stream, answer).await;
                    }
                }
            }
        });
    }
}

async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    let service = service_fn(|request| respond(request, &answer));
    let connection =
        http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
    // An error here is a client that left in the middle of a request.
    drop(connection.await);
}

/// Reads the whole body, then answers. hyper adds the length and the date.
async fn respond(request: Request<Incoming>, answer: &Answer) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Full::new(answer.body.clone()));
    if head.method != answer.method {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    if let Some(appender) = &answer.appender {
        let (kept, is_kept) = oneshot::channel();
        if appender.send(kept).is_err() || is_kept.await.is_err() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Ok(response);
        }
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, answer.content_type.clone());
    let (name, value) = &answer.header;
    headers.insert(name, value.clone());
    Ok(response)
}
