//! One HTTP connection: hyper, the limits around it, and a last word where hyper has none.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::progress::{Overdue, Progress, TLS_HANDSHAKE, WatchedStream};
use crate::route::{self, Early, Peer, Protocol};
use crate::stream::Stream;
use crate::worker::Worker;
use crate::{Limits, body};

/// How long, and how much, a refused client may go on sending so that it gets to read why.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Serves requests until the client leaves, something is overdue, or the server drains.
pub(crate) async fn run(
    worker: Rc<Worker>,
    stream: TcpStream,
    source: IpAddr,
    mut draining: watch::Receiver<bool>,
) {
    // Answers are small and whole; waiting to fill a segment only delays them. It fails if the peer is gone.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = match worker.tls() {
        None => Stream::Plain(stream),
        Some(tls) => match shake_hands(&worker, tls, stream, source, &mut draining).await {
            Some(stream) => stream,
            None => return,
        },
    };
    let peer = Peer { source, tls: stream.tls_session() };
    let limits = worker.limits();
    let progress = Progress::new();
    let ended = {
        let service = service_fn(|request| answer(&worker, &progress, peer, request));
        let io = TokioIo::new(WatchedStream::new(stream, Rc::clone(&progress)));
        let mut connection = pin!(
            http1::Builder::new()
                .max_header_size(limits.header_bytes_max)
                // Also what hyper reads ahead of a body, so a bound on the memory of a connection.
                .max_buf_size(64 * 1024)
                .header_read_timeout(None)
                .serve_connection(io, service)
        );
        let glance = glance_interval(limits);
        let mut glance_at = pin!(sleep(glance));
        let mut drained = pin!(draining.wait_for(|draining| *draining));
        let mut is_draining = false;
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => break Ended::Http(result),
                () = glance_at.as_mut() => {
                    if let Some(overdue) = progress.overdue(limits, worker.is_crowded()) {
                        break Ended::Overdue(overdue);
                    }
                    glance_at.as_mut().reset(Instant::now() + glance);
                }
                _ = drained.as_mut(), if !is_draining => {
                    is_draining = true;
                    if progress.is_unused() {
                        break Ended::Drained;
                    }
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    };
    let Some(stream) = progress.take_stream() else { return };
    match ended {
        Ended::Http(Ok(())) if progress.is_refused_unread() => linger(stream).await,
        Ended::Http(Ok(())) | Ended::Drained | Ended::Overdue(Overdue::Idle) => say_goodbye(stream).await,
        Ended::Overdue(Overdue::Reading) => {}
        Ended::Http(Err(error)) => {
            if let Some(early) = what_was_wrong(&error, &progress) {
                // hyper has answered it.
                drop(route::refuse_early(&worker.core(), early, Protocol::unknown(), source).await);
                linger(stream).await;
            }
        }
        Ended::Overdue(Overdue::Receiving) => {
            let response =
                route::refuse_early(&worker.core(), Early::TooSlow, Protocol::unknown(), source).await;
            if !progress.is_write_blocked() {
                last_word(stream, response).await;
            }
        }
    }
}

/// Makes TLS of a connection, in the time there is for it; `None` if that came to nothing, which is recorded unless the
/// client just left.
async fn shake_hands(
    worker: &Worker,
    tls: &TlsAcceptor,
    stream: TcpStream,
    source: IpAddr,
    draining: &mut watch::Receiver<bool>,
) -> Option<Stream> {
    let limits = worker.limits();
    // As for idle connections: where others wait for the place, it is kept free for less long.
    let time = if worker.is_crowded() { limits.handshake_time_max / 10 } else { limits.handshake_time_max };
    let until = Instant::now() + time;
    let shaken = async {
        let mut first = [0];
        match timeout_at(until, stream.peek(&mut first)).await {
            Ok(Ok(1..)) => {}
            _left_or_silent => return Err(None),
        }
        if first != [TLS_HANDSHAKE] && first[0].is_ascii_alphabetic() {
            return Err(Some((Early::PlainOnTlsPort, Some(stream))));
        }
        match timeout_at(until, tls.accept(stream)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(None),
            Ok(Err(_)) => Err(Some((Early::HandshakeFailed, None))),
            Err(_) => Err(Some((Early::TooSlow, None))),
        }
    };
    let failure = tokio::select! {
        biased;
        _ = draining.wait_for(|draining| *draining) => return None,
        shaken = shaken => match shaken {
            Ok(stream) => {
                worker.metrics().handshakes.add_one();
                return Some(stream);
            }
            Err(failure) => failure?,
        },
    };
    let (early, stream) = failure;
    worker.metrics().handshake_failed(early);
    let response = route::refuse_early(&worker.core(), early, Protocol::unknown(), source).await;
    if let Some(stream) = stream {
        last_word(Stream::Plain(stream), response).await;
    }
    None
}

/// Ends TLS in order, so that the client can tell the end from a cut.
async fn say_goodbye(mut stream: Stream) {
    if stream.is_buffered() {
        drop(timeout(LINGER_TIME_MAX, stream.shutdown()).await);
    }
}

enum Ended {
    Http(hyper::Result<()>),
    Overdue(Overdue),
    Drained,
}

/// What to record of a request that hyper could not read; `None` if the client merely left.
fn what_was_wrong(error: &hyper::Error, progress: &Progress) -> Option<Early> {
    if error.is_parse() && progress.began_as_tls() {
        Some(Early::TlsOnPlainPort)
    } else if error.is_parse_too_large() {
        Some(Early::HeadersTooLarge)
    } else if error.is_parse() {
        Some(Early::Unreadable)
    } else {
        None
    }
}

/// How often to look at a connection's progress: what is overdue is seen at most a tenth too late.
fn glance_interval(limits: &Limits) -> Duration {
    let shortest = limits.request_time_max.min(limits.idle_time_max);
    (shortest / 10).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

/// Answers one request. Never an error: what is wrong with a request is an answer.
async fn answer(
    worker: &Worker,
    progress: &Progress,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let response = match body::receive(body, worker.limits(), worker.arriving_budget()).await {
        Ok(body::Received { bytes, share }) => {
            progress.received();
            let response = route::answer(worker, peer, Request::from_parts(parts, bytes)).await;
            drop(share);
            response
        }
        Err(early) => {
            progress.received();
            progress.refuse_unread();
            let protocol = Protocol::of(&parts.headers);
            closing(route::refuse_early(&worker.core(), early, protocol, peer.source).await)
        }
    };
    progress.answered();
    Ok(response.map(Full::new))
}

fn closing(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

/// Says what hyper has no way to say: it has been cut off in the middle of a request.
async fn last_word(mut stream: Stream, response: Response<Bytes>) {
    let (parts, body) = closing(response).into_parts();
    let mut head =
        format!("HTTP/1.1 {} {}\r\n", parts.status.as_str(), parts.status.canonical_reason().unwrap_or(""))
            .into_bytes();
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    head.extend_from_slice(&body);
    let said = timeout(LINGER_TIME_MAX, stream.write_all(&head)).await;
    if matches!(said, Ok(Ok(()))) {
        linger(stream).await;
    }
}

/// Ends a connection whose client may still be sending. Closed at once, the kernel would answer what arrives with
/// a reset, which takes from the client the answer it has not read yet.
async fn linger(mut stream: Stream) {
    let discard = async {
        stream.shutdown().await?;
        let mut buffer = [0; 4096];
        let mut bytes = 0;
        while bytes < LINGER_BYTES_MAX {
            match stream.read(&mut buffer).await? {
                0 => break,
                length => bytes += length,
            }
        }
        io::Result::Ok(())
    };
    // Whatever comes of it, the connection is over.
    drop(timeout(LINGER_TIME_MAX, discard).await);
}
