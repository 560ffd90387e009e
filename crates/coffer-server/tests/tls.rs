//! TLS as clients meet it: versions, whose certificate, its renewal, and what is said to those who speak otherwise.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use coffer_server::{Authority, ServeOptions, TlsIdentity, names_of_this_machine};
use coffer_wire_local::{Client, Request, Response};
use common::{Server, is_closed, read_response, status};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts one authority.
fn client(ca_pem: &str, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn connect(server: &Server, config: &Arc<ClientConfig>, name: &'static str) -> io::Result<Secure> {
    let name = ServerName::try_from(name).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, server.connect());
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Asks for the health, on a connection that stays open.
fn is_healthy(stream: &mut Secure) -> bool {
    stream.write_all(HEALTH).unwrap();
    let mut response = Vec::new();
    let mut buffer = [0; 1024];
    while !response.ends_with(b"}") {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            length => response.extend_from_slice(&buffer[..length]),
        }
    }
    response.starts_with(b"HTTP/1.1 200")
}

fn authority() -> (Authority, String) {
    let authority = Authority::make("test", SystemTime::now()).unwrap();
    let pem = authority.certificate_pem();
    (authority, pem)
}

fn with_authority(authority: Authority) -> impl FnOnce(&mut ServeOptions) {
    let mut names = names_of_this_machine();
    names.push("coffer.example.com".to_owned());
    |options| options.tls = Some(TlsIdentity::Authority { authority, names })
}

fn leaf(stream: &Secure) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

/// A certificate and its key, signed by itself.
fn write_pair(folder: &Path) -> String {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    };
    let certificate = pem("CERTIFICATE", pair.cert.der());
    std::fs::write(folder.join("key"), pem("PRIVATE KEY", pair.signing_key.serialized_der())).unwrap();
    std::fs::write(folder.join("certificate"), &certificate).unwrap();
    certificate
}

#[test]
fn tls_1_2_and_1_3_for_all_names_of_the_server() {
    let (authority, pem) = authority();
    let server = Server::dev(with_authority(authority));
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for name in ["localhost", "127.0.0.1", "::1", "coffer.example.com"] {
            let mut stream = connect(&server, &client(&pem, &[version]), name).unwrap();
            assert_eq!(stream.conn.protocol_version(), Some(expected));
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert!(is_healthy(&mut stream) && is_healthy(&mut stream), "{name}");
        }
    }
    let another = connect(&server, &client(&pem, &[&TLS13]), "example.com");
    assert!(another.is_err());
    let (_, stranger) = self::authority();
    assert!(connect(&server, &client(&stranger, &[&TLS13]), "localhost").is_err());
}

#[test]
fn the_metrics_tell_when_the_certificate_ends() {
    let (authority, pem) = authority();
    let server = Server::dev(with_authority(authority));
    let mut stream = connect(&server, &client(&pem, &[&TLS13]), "localhost").unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let end = page.lines().find_map(|line| line.strip_prefix("coffer_tls_certificate_expiry_seconds "));
    let end: u64 = end.unwrap().parse().unwrap();
    let days = (end - SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()) / 86_400;
    assert!((89..=90).contains(&days), "{days}");

    let plain = Server::dev(|_| {});
    let page = plain.exchange(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(page.contains("coffer_ready 1") && !page.contains("coffer_tls_certificate_expiry"), "{page}");
}

#[test]
fn a_large_answer_and_a_large_body_pass() {
    let (authority, pem) = authority();
    let server = Server::dev(with_authority(authority));
    let mut stream = connect(&server, &client(&pem, &[&TLS13]), "localhost").unwrap();
    let body = vec![b'a'; 524_288];
    let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[test]
fn the_end_of_a_connection_is_told() {
    let (authority, pem) = authority();
    let server = Server::dev(with_authority(authority));
    let mut stream = connect(&server, &client(&pem, &[&TLS13]), "localhost").unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // An end without `close_notify` would be an error.
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), "200");
}

#[test]
fn a_new_pair_is_shown_without_ending_connections_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first_pem = write_pair(folder.path());
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let warned = Arc::clone(&warnings);
    let server = Server::dev(|options| {
        let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
        options.tls = Some(TlsIdentity::Files { certificate, key });
        options.warn = Arc::new(move |text: &str| warned.lock().unwrap().push(text.to_owned()));
    });
    let mut open = connect(&server, &client(&first_pem, &[&TLS13]), "localhost").unwrap();
    let first = leaf(&open);
    assert!(is_healthy(&mut open));
    let warnings_of = |what: &str| warnings.lock().unwrap().iter().filter(|text| text.contains(what)).count();
    assert_eq!(warnings_of("chmod 600"), 1, "{warnings:?}");

    // A certificate that does not go with the key is told once, and not shown.
    let key = std::fs::read(folder.path().join("key")).unwrap();
    let second_pem = write_pair(folder.path());
    let second_key = std::fs::read(folder.path().join("key")).unwrap();
    std::fs::write(folder.path().join("key"), &key).unwrap();
    let start = Instant::now();
    while warnings_of("do not go together") == 0 {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(warnings_of("do not go together"), 1, "{warnings:?}");
    let again = connect(&server, &client(&first_pem, &[&TLS13]), "localhost").unwrap();
    assert_eq!(leaf(&again), first);

    // Both, put in place one after the other, as renewal programs do.
    std::fs::write(folder.path().join("new key"), &second_key).unwrap();
    std::fs::rename(folder.path().join("new key"), folder.path().join("key")).unwrap();
    let start = Instant::now();
    let second = loop {
        if let Ok(stream) = connect(&server, &client(&second_pem, &[&TLS12]), "localhost") {
            break leaf(&stream);
        }
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_ne!(second, first);
    assert!(is_healthy(&mut open), "an open connection goes on");
}

#[test]
fn what_cannot_be_shown_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
    let said = || {
        let mut options = ServeOptions::on("127.0.0.1:0".parse().unwrap());
        options.tls = Some(TlsIdentity::Files { certificate: certificate.clone(), key: key.clone() });
        let served = common::runtime().block_on(async {
            let spawn = Arc::new(coffer_server::RuntimeSpawn::here());
            let core = coffer_server::dev_core(&coffer_server::DevSettings::default(), spawn).await.unwrap();
            coffer_server::serve(core, options, |_| panic!("served"), async {}).await
        });
        served.unwrap_err().to_string()
    };
    assert!(said().contains("cannot read"), "{}", said());
    write_pair(folder.path());
    let pem = std::fs::read_to_string(&key).unwrap();
    std::fs::write(&key, "hunter2").unwrap();
    assert!(said().contains("no private key in PEM"), "{}", said());
    write_pair(folder.path());
    std::fs::write(&key, &pem).unwrap();
    assert!(said().contains("do not go together"), "{}", said());
    std::fs::write(&certificate, &pem).unwrap();
    assert!(said().contains("no certificate in PEM"), "{}", said());
}

fn records(socket: &Path) -> Vec<String> {
    let mut client = Client::connect(socket, None).unwrap();
    match client.call(&Request::TailAudit { count: 100 }) {
        Ok(Response::TailAudit { lines }) => lines,
        _ => panic!("no tail"),
    }
}

#[test]
fn who_speaks_otherwise_is_told_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("coffer.sock");
    let limit = Duration::from_millis(300);
    let (authority, _) = authority();
    let server = Server::dev(|options| {
        with_authority(authority)(options);
        options.socket = Some(socket.clone());
        options.limits.handshake_time_max = limit;
    });
    let answer = server.exchange(HEALTH);
    assert_eq!(status(&answer), "400");
    assert!(answer.contains("use https://"), "{answer}");

    // Neither HTTP nor TLS; and a handshake that never ends.
    let mut garbage = server.connect();
    garbage.write_all(&[0x16, 3, 1, 0, 4, 9, 0, 0, 0]).unwrap();
    let mut alert = [0];
    garbage.read_exact(&mut alert).unwrap();
    assert_eq!(alert, [0x15]);
    let start = Instant::now();
    let mut slow = server.connect();
    slow.write_all(&[0x16, 3, 1]).unwrap();
    assert!(is_closed(&mut slow));
    let mut silent = server.connect();
    assert!(is_closed(&mut silent));
    assert!((2 * limit..20 * limit).contains(&start.elapsed()), "{:?}", start.elapsed());

    let records = records(&socket);
    for code in ["HttpsRequired", "TlsHandshakeFailed", "RequestTimeoutException"] {
        let found = records.iter().filter(|line| line.contains(&format!("\"errorCode\":\"{code}\""))).count();
        assert_eq!(found, 1, "{code} {records:#?}");
    }
}

#[test]
fn tls_on_a_plain_port_is_recorded_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("coffer.sock");
    let server = Server::dev(|options| options.socket = Some(socket.clone()));
    let (_, pem) = authority();
    assert!(connect(&server, &client(&pem, &[&TLS13]), "localhost").is_err());
    std::thread::sleep(Duration::from_millis(300));
    let records = records(&socket);
    assert!(records.iter().any(|line| line.contains(r#""errorCode":"HttpRequired""#)), "{records:#?}");
}

#[test]
fn a_handshake_counts_as_a_connection_and_ends_when_the_server_stops() {
    let (authority, pem) = authority();
    let mut server = Server::dev(|options| {
        with_authority(authority)(options);
        options.limits.connections_max = 2;
        options.limits.handshake_time_max = Duration::from_secs(600);
    });
    let mut held: Vec<_> = (0..2).map(|_| server.connect()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let mut third = server.connect();
    assert!(is_closed(&mut third));
    drop(held.pop());
    let start = Instant::now();
    while connect(&server, &client(&pem, &[&TLS13]), "localhost").is_err() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    let start = Instant::now();
    server.begin_stop();
    assert!(is_closed(&mut held[0]));
    server.stop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(read_response(&mut held[0]).is_empty());
}
