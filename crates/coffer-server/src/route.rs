//! Where a request goes: nearly always to the AWS door.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::Bytes;
use coffer_core::{Core, Refusal, RequestInfo, TlsSession, Transport};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};

use crate::dev::dev_core;
use crate::local::EVENT_SOURCE;
use crate::metrics;
use crate::panic::{self, Panicked};
use crate::worker::Worker;

use coffer_wire_aws::OverTls;

pub(crate) use coffer_wire_aws::{EarlyRefusal as Early, Protocol};

/// Where the health is.
pub(crate) const HEALTH_PATH: &str = "/health";
/// Where the metrics are.
pub(crate) const METRICS_PATH: &str = "/metrics";
const RESET_PATH: &str = "/_coffer/reset";
const RESET_HEADER: &str = "x-coffer-reset";

macro_rules! reset_rule {
    () => {
        "a reset needs a loopback Host and the header X-Coffer-Reset: yes"
    };
}
const RESET_RULE: &str = reset_rule!();

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) source: IpAddr,
    /// What was agreed on, if TLS is spoken.
    pub(crate) tls: Option<TlsSession>,
}

/// Answers a request that has come whole.
pub(crate) async fn answer(worker: &Worker, peer: Peer, mut request: Request<Bytes>) -> Response<Bytes> {
    let source = peer.source;
    match request.uri().path() {
        HEALTH_PATH if is_read(&request) => health(&worker.core()),
        METRICS_PATH if is_read(&request) && is_of_this_machine(source, request.headers()) => {
            match worker.metrics_page().await {
                Some(page) => metrics_page(page),
                None => plain(StatusCode::NOT_FOUND, r#"{"message":"the metrics have a port of their own"}"#),
            }
        }
        RESET_PATH if *request.method() == Method::POST && worker.dev().is_some() => {
            reset(worker, source, request.headers()).await
        }
        _ => {
            let core = worker.core();
            if let Some(session) = peer.tls {
                request.extensions_mut().insert(OverTls(session));
            }
            let protocol = Protocol::of(request.headers());
            match panic::catch(coffer_wire_aws::answer(&core, request, source)).await {
                Ok(response) => response,
                // Its payload may hold anything, and goes nowhere.
                Err(Panicked) => refuse_early(&core, Early::Failed, protocol, source).await,
            }
        }
    }
}

/// Answers, and records, a request that does not get as far as a door.
pub(crate) async fn refuse_early(
    core: &Core,
    early: Early,
    protocol: Protocol,
    source: IpAddr,
) -> Response<Bytes> {
    panic::catch(coffer_wire_aws::refuse_early(core, early, protocol, source))
        .await
        .unwrap_or_else(|Panicked| plain(StatusCode::INTERNAL_SERVER_ERROR, "{}"))
}

fn is_read<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Says whether requests are served; nothing of the store.
pub(crate) fn health(core: &Core) -> Response<Bytes> {
    match core.is_ready() {
        Ok(()) => plain(StatusCode::OK, r#"{"status":"ok"}"#),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"unavailable"}"#),
    }
}

/// A page for Prometheus.
pub(crate) fn metrics_page(page: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(page));
    let content_type = header::HeaderValue::from_static(metrics::CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Whether a program of this machine asks, and not a web page that it shows: that names another host.
fn is_of_this_machine(source: IpAddr, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    source.is_loopback() && host.is_some_and(is_loopback_host)
}

/// Empties a throw-away server. A web page that somebody on this machine looks at can send a POST here, but
/// neither another Host header nor this header of ours.
async fn reset(worker: &Worker, source: IpAddr, headers: &HeaderMap) -> Response<Bytes> {
    let Some(dev) = worker.dev() else { return plain(StatusCode::NOT_FOUND, "{}") };
    let is_asked = headers.get(RESET_HEADER).is_some_and(|value| value.as_bytes() == b"yes");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !is_asked || !host.is_some_and(is_loopback_host) {
        let core = worker.core();
        let refusal = Refusal {
            context: None,
            request: RequestInfo {
                request_id: core.new_request_id(),
                correlation_id: None,
                source: Some(source),
                user_agent: "".into(),
                transport: Transport::Plain,
            },
            event_source: EVENT_SOURCE,
            event_name: Some("Reset".to_owned()),
            region: None,
            access_key_id: None,
            code: "AccessDenied",
            message: RESET_RULE.to_owned(),
        };
        // Fails for authenticated callers only.
        drop(core.refuse(refusal).await);
        return plain(StatusCode::FORBIDDEN, concat!(r#"{"message":""#, reset_rule!(), r#""}"#));
    }
    match dev_core(dev, Arc::clone(worker.spawner())).await {
        Ok(core) => {
            worker.replace_core(core);
            plain(StatusCode::OK, r#"{"status":"reset"}"#)
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, r#"{"message":"the reset failed"}"#),
    }
}

/// Whether a Host header names this machine: `localhost`, `127.0.0.0/8` or `::1`, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split_once(']').is_some_and(|(ip, port)| {
            ip.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()) && is_port(port)
        });
    }
    let (name, port) = host.find(':').map_or((host, ""), |colon| host.split_at(colon));
    let is_loopback =
        name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    is_loopback && is_port(port)
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

pub(crate) fn plain(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_hosts_are_this_machine() {
        for host in
            ["localhost", "LOCALHOST:8200", "127.0.0.1", "127.0.0.1:8200", "127.1.2.3", "[::1]", "[::1]:80"]
        {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "::1",
            "[::1",
            "[::1]x",
            "[::2]",
            "localhost:",
            "localhost:x",
            "localhost:80:80",
            "0.0.0.0",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
