//! The listener that metrics and health have to themselves, if they have one.
//!
//! Plain HTTP for whoever can reach it: which address that is was chosen for this. One request a connection, in a time,
//! and few connections at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::route::{self, HEALTH_PATH, METRICS_PATH};
use crate::worker::Shared;

const CONNECTIONS_MAX: usize = 16;
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the server stops.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            Some(_ended) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, &request).await.map(Full::new)) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever becomes of it.
    drop(timeout(CONNECTION_TIME_MAX, connection).await);
}

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Bytes> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        METRICS_PATH if is_read => {
            let core = shared.core.get();
            route::metrics_page(shared.metrics_page(&core).await)
        }
        HEALTH_PATH if is_read => route::health(&shared.core.get()),
        _ => route::plain(StatusCode::NOT_FOUND, "{}"),
    }
}
