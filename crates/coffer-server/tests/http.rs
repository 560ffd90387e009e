//! The limits of the HTTP side, each at its edges.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coffer_audit::MemoryLog;
use coffer_crypto::{Random, SystemRandom};
use coffer_server::{RuntimeSpawn, ServeError, ServeOptions, Watcher};
use coffer_wire_local::{Client, Request, Response};
use common::{Server, founded, is_closed, read_response, runtime, status};

const LIMIT: Duration = Duration::from_millis(300);

fn impatient(options: &mut ServeOptions) {
    options.limits.request_time_max = LIMIT;
}

/// A POST to the AWS door, with a head of exactly `head_bytes`.
fn post(head_bytes: usize, body: &[u8]) -> Vec<u8> {
    let start =
        format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nx-padding: ", body.len());
    let padding = head_bytes - start.len() - 4;
    [start.as_bytes(), &vec![b'a'; padding], b"\r\n\r\n", body].concat()
}

#[test]
fn it_says_that_it_is_there_and_unsigned_requests_reach_the_door() {
    let server = Server::dev(|_| {});
    let health = server.exchange(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(status(&health), "200");
    assert!(health.ends_with(r#"{"status":"ok"}"#), "{health}");
    let refused = server.exchange(&post(500, b"{}"));
    assert_eq!(status(&refused), "400");
    assert!(refused.contains("MissingAuthenticationToken"), "{refused}");
}

#[test]
fn a_head_has_at_most_8_kib() {
    let server = Server::dev(|_| {});
    assert_eq!(status(&server.exchange(&post(8192, b"{}"))), "400");
    assert_eq!(status(&server.exchange(&post(8193, b"{}"))), "431");
    // Never ending, it is cut off all the same.
    let mut endless = server.connect();
    endless.write_all(b"GET / HTTP/1.1\r\nx-a: ").unwrap();
    while endless.write_all(&[b'a'; 4096]).is_ok() {}
    // What the server has said by then may be lost to the reset, but the connection is over.
    while !is_closed(&mut endless) {}
    // Nor may there be more headers than hyper has room for.
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    assert_eq!(status(&server.exchange(many.as_bytes())), "431");
}

#[test]
fn a_body_has_at_most_512_kib() {
    let server = Server::dev(|_| {});
    assert_eq!(status(&server.exchange(&post(500, &vec![b'a'; 524_288]))), "400");
    assert_eq!(status(&server.exchange(&post(500, &vec![b'a'; 524_289]))), "413");

    // By its length alone, before anything of it is sent.
    let announced = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n";
    assert_eq!(status(&server.exchange(announced)), "413");
    let expecting =
        b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 524289\r\n\r\n";
    assert_eq!(status(&server.exchange(expecting)), "413");

    // While it comes, if its length is not announced.
    let chunk = [b"10000\r\n".as_slice(), &vec![b'a'; 65_536], b"\r\n"].concat();
    let head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".as_slice();
    let whole = [head, &chunk.repeat(8), b"0\r\n\r\n"].concat();
    assert_eq!(status(&server.exchange(&whole)), "400");
    let more = [head, &chunk.repeat(8), b"1\r\na\r\n0\r\n\r\n"].concat();
    assert_eq!(status(&server.exchange(&more)), "413");
}

#[test]
fn a_request_has_to_come_in_time() {
    let server = Server::dev(impatient);
    let begun: [&[u8]; 3] = [
        b"POST / HT",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{",
    ];
    for begun in begun {
        let start = Instant::now();
        let mut stream = server.connect();
        stream.write_all(begun).unwrap();
        let response = read_response(&mut stream);
        assert_eq!(status(&response), "408", "{begun:?}");
        assert!(response.contains("connection: close"), "{response}");
        assert!(is_closed(&mut stream));
        assert!((LIMIT..10 * LIMIT).contains(&start.elapsed()), "{:?}", start.elapsed());
    }
}

#[test]
fn a_byte_now_and_then_gives_no_more_time() {
    let server = Server::dev(impatient);
    let start = Instant::now();
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    while start.elapsed() < 10 * LIMIT && stream.write_all(b"a: b\r\n").is_ok() {
        std::thread::sleep(LIMIT / 10);
    }
    assert!(start.elapsed() < 8 * LIMIT, "{:?}", start.elapsed());
}

#[test]
fn an_idle_connection_is_ended_and_each_request_has_its_own_time() {
    let server = Server::dev(|options| {
        impatient(options);
        options.limits.idle_time_max = 5 * LIMIT;
    });
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert_eq!(status(&read_response(&mut stream)), "200");
        std::thread::sleep(LIMIT * 3 / 2);
    }
    let start = Instant::now();
    assert!(is_closed(&mut stream));
    assert!(start.elapsed() < 15 * LIMIT);
    assert!(is_closed(&mut server.connect()));
}

#[test]
fn what_is_refused_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("coffer.sock");
    let server = Server::dev(|options| {
        impatient(options);
        options.socket = Some(socket.clone());
    });
    let requests: [&[u8]; 6] = [
        &post(500, b"{}"),
        &post(8193, b"{}"),
        b"POST / HTTP/1.1\r\ncontent-length: 524289\r\n\r\n",
        b"POST / HTTP/1.1\r\n",
        b"GET\r\n\r\n",
        b"POST /_coffer/reset HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ];
    for request in requests {
        assert_ne!(status(&server.exchange(request)), "");
    }
    // What hyper has answered is recorded right after.
    std::thread::sleep(LIMIT);
    let mut client = Client::connect(&socket, None).unwrap();
    let Ok(Response::TailAudit { lines }) = client.call(&Request::TailAudit { count: 100 }) else {
        panic!("no tail")
    };
    for code in [
        "MissingAuthenticationToken",
        "RequestHeaderFieldsTooLargeException",
        "RequestEntityTooLargeException",
        "RequestTimeoutException",
        "SerializationException",
        "AccessDenied",
    ] {
        let record = lines.iter().find(|line| line.contains(&format!("\"errorCode\":\"{code}")));
        assert!(record.is_some_and(|record| record.contains("127.0.0.1")), "{code} {lines:#?}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::dev(|_| {});
    let mut stream = server.connect();
    let health = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(&[health.as_slice(), &post(500, b"{}"), health].concat()).unwrap();
    let statuses: Vec<_> = (0..3).map(|_| status(&read_response(&mut stream)).to_owned()).collect();
    assert_eq!(statuses, ["200", "400", "200"]);
}

#[test]
fn what_is_not_http_is_refused() {
    let server = Server::dev(|_| {});
    for (request, expected) in [
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n", "400"),
        ("GET\r\n\r\n", "400"),
        ("GET / HTTP/3.0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "400"),
    ] {
        assert_eq!(status(&server.exchange(request.as_bytes())), expected, "{request:?}");
    }
}

#[test]
fn connections_are_bounded_and_idle_ones_make_room() {
    let server = Server::dev(|options| {
        options.limits.connections_max = 4;
        options.limits.request_time_max = Duration::from_secs(5);
    });
    let mut open: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for stream in &mut open {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert_eq!(status(&read_response(stream)), "200");
    }
    assert!(is_closed(&mut server.connect()));
    let start = Instant::now();
    while status(&server.exchange(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")) != "200" {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn all_arriving_bodies_together_are_bounded() {
    let server = Server::dev(|options| options.limits.arriving_bytes_max = 64 * 1024);
    let mut holding = server.connect();
    let whole = post(500, &vec![b'a'; 70_000]);
    holding.write_all(&whole[..69_000]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(status(&server.exchange(&whole)), "503");
    // Small ones still pass.
    assert_eq!(status(&server.exchange(&post(500, &[b'a'; 8_000]))), "400");
    holding.write_all(&whole[69_000..]).unwrap();
    assert_eq!(status(&read_response(&mut holding)), "400");
    assert_eq!(status(&server.exchange(&whole)), "400");
}

#[test]
fn a_request_under_way_is_finished_when_the_server_stops() {
    let mut server = Server::dev(|_| {});
    let request = post(500, b"{\"a\": 1}");
    let (begin, rest) = request.split_at(request.len() - 3);
    let mut under_way = server.connect();
    under_way.write_all(begin).unwrap();
    let mut idle = server.connect();
    std::thread::sleep(Duration::from_millis(500));
    server.begin_stop();
    assert!(is_closed(&mut idle));
    std::thread::sleep(Duration::from_millis(200));
    under_way.write_all(rest).unwrap();
    let response = read_response(&mut under_way);
    assert_eq!(status(&response), "400");
    assert!(is_closed(&mut under_way));
    let address = server.address;
    server.stop().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn draining_has_an_end() {
    let mut server = Server::dev(|options| options.limits.drain_time_max = LIMIT);
    let mut stuck = server.connect();
    stuck.write_all(&post(500, b"{}")[..400]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    server.begin_stop();
    server.stop().unwrap();
    assert!((LIMIT..10 * LIMIT).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(is_closed(&mut stuck));
}

/// Panics once when told to.
struct Fragile(Arc<AtomicBool>);

impl Random for Fragile {
    fn fill(&self, out: &mut [u8]) {
        assert!(!self.0.swap(false, Ordering::SeqCst), "as asked");
        SystemRandom.fill(out);
    }
}

#[test]
fn a_panic_ends_one_request_only() {
    let about_to_break = Arc::new(AtomicBool::new(false));
    let random = Fragile(Arc::clone(&about_to_break));
    let server = Server::start(
        |_| {},
        || async move {
            let audit = Box::new(|_, _| Ok(Arc::new(MemoryLog::new()) as _));
            founded(audit, Arc::new(random)).await
        },
    );
    let mut stream = server.connect();
    let mut ask = || {
        stream.write_all(&post(500, b"{}")).unwrap();
        status(&read_response(&mut stream)).to_owned()
    };
    assert_eq!(ask(), "400");
    about_to_break.store(true, Ordering::SeqCst);
    // Random bytes are drawn for many requests at once.
    let broken = (0..10_000).map(|_| ask()).find(|status| status != "400");
    assert_eq!(broken.as_deref(), Some("500"));
    assert_eq!(ask(), "400");
}

#[test]
fn a_watcher_hears_nothing_while_a_worker_hangs() {
    /// Draws nothing for a worker while it is held.
    struct Held(Arc<Mutex<()>>);
    impl Random for Held {
        fn fill(&self, bytes: &mut [u8]) {
            if std::thread::current().name().is_some_and(|name| name.starts_with("http")) {
                drop(self.0.lock().unwrap());
            }
            SystemRandom.fill(bytes);
        }
    }
    let gate = Arc::new(Mutex::new(()));
    let random = Arc::new(Held(Arc::clone(&gate)));
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    let well = Box::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let server = Server::start(
        |options| {
            options.threads = NonZeroUsize::new(2);
            options.watcher = Some(Watcher { every: Duration::from_millis(10), well });
        },
        || async move {
            let audit = Box::new(|_, _| Ok(Arc::new(MemoryLog::new()) as _));
            founded(audit, random).await
        },
    );
    let hears_more = || {
        let start = Instant::now();
        let before = told.load(Ordering::SeqCst);
        while told.load(Ordering::SeqCst) < before + 3 {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    hears_more();
    let held = gate.lock().unwrap();
    let mut stream = server.connect();
    // Random bytes are drawn for many requests at once.
    stream.write_all(&post(500, b"{}").repeat(200)).unwrap();
    let quiet_for = |time: Duration| {
        let before = told.load(Ordering::SeqCst);
        std::thread::sleep(time);
        told.load(Ordering::SeqCst) == before
    };
    let start = Instant::now();
    while !quiet_for(Duration::from_millis(500)) {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    drop(held);
    hears_more();
}

#[test]
fn a_server_is_not_exposed() {
    let core = || coffer_server::DevSettings::default();
    let result = runtime().block_on(async {
        let spawn = Arc::new(RuntimeSpawn::here());
        let core = coffer_server::dev_core(&core(), spawn).await.unwrap();
        let options = ServeOptions::on("0.0.0.0:0".parse().unwrap());
        coffer_server::serve(core, options, |_| panic!("it listens"), std::future::ready(())).await
    });
    assert!(matches!(result, Err(ServeError::BeyondLoopback { .. })));
}
