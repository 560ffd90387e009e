//! Limits on connections and time, health and metrics, each at its edge.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_audit::fault::VolatileDisk;
use coffer_audit::{FileLog, FileLogOptions};
use coffer_core::OpenAudit;
use coffer_crypto::SystemRandom;
use coffer_server::service_manager::PassedSockets;
use coffer_server::{RuntimeSpawn, ServeOptions};
use common::{Server, founded, is_closed, read_response, status};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A connection from another address of this machine's own.
fn connect_from(source: [u8; 4], server: &Server) -> TcpStream {
    let address = rustix::net::SocketAddrV4::new(source.into(), 0);
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    rustix::net::connect(&socket, &server.address).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn is_served(stream: &mut TcpStream) -> bool {
    drop(stream.write_all(HEALTH));
    status(&read_response(stream)) == "200"
}

#[test]
fn each_source_has_so_many_connections_and_takes_none_from_others() {
    let server = Server::dev(|options| options.limits.source_connections_max = 3);
    let mut held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    assert!(held.iter_mut().all(is_served));
    assert!(is_closed(&mut server.connect()));
    for last in 2..5 {
        assert!(is_served(&mut connect_from([127, 0, 0, last], &server)), "{last}");
    }
    drop(held.pop());
    let start = Instant::now();
    while !is_served(&mut server.connect()) {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(held.iter_mut().all(is_served));
    let page = read_page(&mut connect_from([127, 0, 0, 9], &server), METRICS);
    assert!(value(&page, "coffer_connections_refused_total{limit=\"source\"}") >= 1.0, "{page}");
    assert_eq!(value(&page, "coffer_connections_refused_total{limit=\"all\"}"), 0.0);
}

#[test]
fn who_is_told_twice_stops_at_once() {
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let mut told = Some(told);
    let mut server = Server::dev(|options| {
        options.limits.drain_time_max = Duration::from_secs(600);
        let told = told.take().unwrap();
        options.at_once = Some(Box::pin(async { drop(told.await) }));
    });
    let mut stuck = server.connect();
    stuck.write_all(b"POST / HTTP/1.1\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    server.begin_stop();
    std::thread::sleep(Duration::from_millis(300));
    stuck.write_all(b"host: a\r\n").unwrap();
    let start = Instant::now();
    drop(tell);
    server.stop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(is_closed(&mut stuck));
}

fn read_page(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    read_response(stream)
}

/// The value of a sample.
fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {page}")).parse().unwrap()
}

#[test]
fn metrics_are_for_this_machine_and_count_what_happens() {
    let server = Server::dev(|_| {});
    let page = server.exchange(METRICS);
    assert_eq!(status(&page), "200");
    assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    let before = value(&page, "coffer_refusals_total");
    server.exchange(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}");
    let page = server.exchange(METRICS);
    assert_eq!(value(&page, "coffer_refusals_total"), before + 1.0);
    assert_eq!(value(&page, "coffer_ready"), 1.0);
    assert!(value(&page, "coffer_connections_accepted_total") >= 3.0);
    assert!(value(&page, "process_resident_memory_bytes") > 1e6);
    // A web page that somebody on this machine looks at names its own host.
    for host in ["example.com", "localhost.example.com"] {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(status(&server.exchange(request.as_bytes())), "400", "{host}");
    }
    assert_eq!(status(&server.exchange(b"POST /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")), "400");
}

#[test]
fn metrics_can_have_a_listener_of_their_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics: SocketAddr = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = Server::dev(|options| {
        options.passed = PassedSockets { aws: None, metrics: Some(listener) };
    });
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(metrics).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let answer = read_page(&mut stream, request);
        assert!(is_closed(&mut stream), "one request a connection");
        answer
    };
    assert!(ask(METRICS).contains("coffer_build_info"));
    assert_eq!(status(&ask(b"GET /metrics HTTP/1.1\r\nhost: example.com\r\n\r\n")), "200");
    assert_eq!(status(&ask(HEALTH)), "200");
    assert_eq!(status(&ask(b"GET / HTTP/1.1\r\n\r\n")), "404");
    assert_eq!(status(&server.exchange(METRICS)), "404");
}

#[test]
fn a_passed_socket_is_served_and_checked_like_another() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    // A connection that comes before anybody serves waits.
    let mut early = TcpStream::connect(address).unwrap();
    early.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    early.write_all(HEALTH).unwrap();
    let server = Server::dev(|options| {
        options.listen = "127.0.0.1:1".parse().unwrap();
        options.passed = PassedSockets { aws: Some(listener), metrics: None };
    });
    assert_eq!(server.address, address);
    assert_eq!(status(&read_response(&mut early)), "200");

    let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
    everywhere.set_nonblocking(true).unwrap();
    let served = common::runtime().block_on(async {
        let spawn = Arc::new(RuntimeSpawn::here());
        let core = coffer_server::dev_core(&coffer_server::DevSettings::default(), spawn).await.unwrap();
        let mut options = ServeOptions::on("127.0.0.1:0".parse().unwrap());
        options.passed.aws = Some(everywhere);
        coffer_server::serve(core, options, |_| panic!("it listens"), async {}).await
    });
    assert!(served.is_err());
}

#[test]
fn health_tells_when_nothing_can_be_recorded() {
    let disk = Arc::new(VolatileDisk::new());
    let log_disk = Arc::clone(&disk);
    let server = Server::start(
        |_| {},
        || async move {
            let audit: OpenAudit = Box::new(move |key, checkpoint| {
                let options = FileLogOptions::new("test".parse()?);
                Ok(Arc::new(FileLog::open(log_disk, options, key, checkpoint.as_ref())?))
            });
            founded(audit, Arc::new(SystemRandom)).await
        },
    );
    let until = |expected: &str| {
        let start = Instant::now();
        loop {
            let health = server.exchange(HEALTH);
            if status(&health) == expected {
                return health;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{health}");
            server.exchange(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("200");
    disk.fail(0, u64::MAX, std::io::ErrorKind::Other);
    assert!(until("503").ends_with(r#"{"status":"unavailable"}"#));
    assert_eq!(value(&server.exchange(METRICS), "coffer_ready"), 0.0);
    disk.heal();
    until("200");
    // Closing may tell of a write that failed before.
    drop(server.stop());
}
