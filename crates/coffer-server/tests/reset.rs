//! Emptying a throw-away server: who may, and that nothing is left.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use coffer_types::{SecretBytes, SecretValue};
use coffer_wire_local::{Client, Request, Response, WireValue};
use common::{Server, status};

fn reset(host: &str, header: &str) -> Vec<u8> {
    format!("POST /_coffer/reset HTTP/1.1\r\nhost: {host}\r\n{header}content-length: 0\r\n\r\n").into_bytes()
}

#[test]
fn only_who_asks_for_it_on_this_machine() {
    let server = Server::dev(|_| {});
    for (host, header, expected) in [
        ("localhost:8200", "x-coffer-reset: yes\r\n", "200"),
        ("127.0.0.1", "X-Coffer-Reset: yes\r\n", "200"),
        ("[::1]:1", "x-coffer-reset: yes\r\n", "200"),
        ("localhost", "", "403"),
        ("localhost", "x-coffer-reset: no\r\n", "403"),
        ("coffer.example.com", "x-coffer-reset: yes\r\n", "403"),
        ("127.0.0.1.example.com", "x-coffer-reset: yes\r\n", "403"),
    ] {
        assert_eq!(status(&server.exchange(&reset(host, header))), expected, "{host} {header}");
    }
    let wrong_method = b"GET /_coffer/reset HTTP/1.1\r\nhost: localhost\r\nx-coffer-reset: yes\r\n\r\n";
    assert_eq!(status(&server.exchange(wrong_method)), "400");
}

#[test]
fn a_server_that_keeps_things_has_no_such_thing() {
    let server = Server::dev(|options| options.dev = None);
    assert_eq!(status(&server.exchange(&reset("localhost", "x-coffer-reset: yes\r\n"))), "400");
}

#[test]
fn nothing_is_left_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("coffer.sock");
    let server = Server::dev(|options| options.socket = Some(socket.clone()));
    let mut client = Client::connect(&socket, None).unwrap();
    let count = |client: &mut Client| {
        let request = Request::ListSecrets {
            filters: Vec::new(),
            include_planned_deletion: true,
            max_results: None,
            next_token: None,
        };
        match client.call(&request).unwrap() {
            Response::ListSecrets(page) => page.secrets.len(),
            _ => panic!("another answer"),
        }
    };
    let create = Request::CreateSecret {
        name: "a".parse().unwrap(),
        token: None,
        description: None,
        value: WireValue(SecretValue::string(SecretBytes::copy_from(b"v")).unwrap()),
        tags: Vec::new(),
    };
    for _ in 0..2 {
        client.call(&create).unwrap();
        assert_eq!(count(&mut client), 1);
        assert_eq!(status(&server.exchange(&reset("localhost", "x-coffer-reset: yes\r\n"))), "200");
        assert_eq!(count(&mut client), 0);
    }
}
