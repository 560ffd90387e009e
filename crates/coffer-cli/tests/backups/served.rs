//! Backups of a store that is written to while they are taken, and of servers that die.

use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use coffer_types::{SecretBytes, SecretValue};
use coffer_wire_local::{Client, Request, Response, WireValue};

use super::has_only;
use crate::support::Folder;

const WRITERS: usize = 16;

/// A store of a few megabytes, more than lies in a socket and in a pipe, and a folder for its backups.
fn large() -> Folder {
    let folder = Folder::with_store();
    let lines: String = (0..200).map(|number| format!("KEY_{number}='{}'\n", "x".repeat(12_000))).collect();
    folder.write("many.env", &lines);
    let imported = folder.run(&["import", "many.env", "--name", "many", "--split"]);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    std::fs::create_dir(folder.path().join("out")).unwrap();
    folder
}

#[test]
fn a_server_killed_while_it_gives_out_a_backup_leaves_a_record_and_a_whole_store() {
    let folder = large();
    let server = folder.serve(&["serve", "--listen", "127.0.0.1:0"]);
    let mut command = folder.command(&["backup", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // It has begun, and can't end before somebody reads on.
    let mut copied = vec![0; 16];
    stdout.read_exact(&mut copied).unwrap();
    // Killed, as the kernel does when memory is short.
    drop(server);
    stdout.read_to_end(&mut copied).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(!stderr.contains("backed up"), "{stderr}");
    let refused = folder.run_with_input(&["backup", "verify", "-"], &copied);
    assert_eq!(refused.code, 8, "{}", refused.stderr);

    assert_eq!(folder.run(&["audit", "verify"]).code, 0);
    let tail = folder.run(&["--json", "audit", "tail", "-n", "100"]).stdout;
    let count = |name: &str| tail.matches(&format!("\"eventName\":\"{name}\"")).count();
    assert_eq!((count("Backup"), count("EndBackup")), (1, 0), "{tail}");
    assert_eq!(folder.run(&["backup", "out/next"]).code, 0);
    assert_eq!(folder.run(&["backup", "verify", "out/next"]).code, 0);
}

#[test]
fn a_file_is_there_whole_or_not_at_all_whenever_its_server_is_killed() {
    let folder = large();
    let mut kept = 0;
    for round in 0..8_u32 {
        let server = folder.serve(&["serve", "--listen", "127.0.0.1:0"]);
        let file = format!("out/{round}");
        let mut command = folder.command(&["backup", &file]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(40) * round);
        drop(server);
        let succeeded = child.wait().unwrap().success();
        // Without a server the command takes the backup itself, if it had not asked for it yet.
        assert_eq!(folder.path().join(&file).exists(), succeeded);
        if succeeded {
            kept += 1;
            assert_eq!(folder.run(&["backup", "verify", &file]).code, 0);
        }
    }
    let names = std::fs::read_dir(folder.path().join("out")).unwrap().count();
    assert_eq!(names, kept, "nothing is left of what was not taken to its end");
    assert_eq!(folder.run(&["audit", "verify"]).code, 0);
}

/// Each writer writes the same number to one secret and then to another. So in any one moment the first is the second or
/// one more; and no backup may hold less than was acknowledged before it began, nor more than was begun before it ended.
#[test]
fn a_backup_under_sixteen_writers_is_one_moment() {
    let folder = large();
    let server = folder.serve(&["serve", "--listen", "127.0.0.1:0"]);
    let value_of =
        |number: u64| WireValue(SecretValue::string(SecretBytes::from(number.to_string())).unwrap());
    let put = |client: &mut Client, name: String, number: u64| {
        let value = value_of(number);
        let request = Request::PutSecretValue { secret_id: name, token: None, value, stages: None };
        client.call(&request).unwrap();
    };
    let socket = folder.path().join(".coffer/coffer.sock");
    let mut client = Client::connect(&socket, None).unwrap();
    for name in (0..WRITERS).flat_map(|writer| [format!("w{writer}/first"), format!("w{writer}/second")]) {
        let value = value_of(0);
        let name = name.parse().unwrap();
        let request = Request::CreateSecret { name, token: None, description: None, value, tags: Vec::new() };
        client.call(&request).unwrap();
    }
    drop(client);
    let acknowledged: [AtomicU64; WRITERS] = Default::default();
    let acknowledged_now = || acknowledged.each_ref().map(|count| count.load(Ordering::SeqCst));
    let is_over = AtomicBool::new(false);
    let bounds = std::thread::scope(|scope| {
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            let (socket, is_over) = (&socket, &is_over);
            scope.spawn(move || {
                let mut client = Client::connect(socket, None).unwrap();
                let mut number = 1;
                while !is_over.load(Ordering::SeqCst) {
                    put(&mut client, format!("w{writer}/first"), number);
                    put(&mut client, format!("w{writer}/second"), number);
                    acknowledged.store(number, Ordering::SeqCst);
                    number += 1;
                }
            });
        }
        let bounds = [0, 1].map(|round| {
            sleep(Duration::from_millis(200));
            let before = acknowledged_now();
            let made = folder.run(&["backup", &format!("out/{round}")]);
            let after = acknowledged_now();
            (made.code, made.stderr, before, after)
        });
        is_over.store(true, Ordering::SeqCst);
        bounds
    });
    assert_eq!(server.stop(), 0);
    assert!(acknowledged_now().iter().sum::<u64>() > 0);
    for (round, (code, stderr, before, after)) in bounds.iter().enumerate() {
        assert_eq!(*code, 0, "{stderr}");
        let (file, home) = (format!("out/{round}"), format!("again-{round}"));
        assert_eq!(
            folder.json(&["backup", "verify", &file, "--log", ".coffer/audit"])["contents"]["secrets"],
            232
        );
        assert_eq!(folder.json(&["restore-backup", &file, "--home", &home])["fault_count"], 0);
        let server = folder.serve(&["serve", "--home", &home, "--listen", "127.0.0.1:0"]);
        let socket = folder.path().join(&home).join("coffer.sock");
        let mut client = Client::connect(&socket, None).unwrap();
        let mut get = |name: String| {
            let request = Request::GetSecretValue { secret_id: name, version_id: None, stage: None };
            let Response::GetSecretValue(got) = client.call(&request).unwrap() else {
                panic!("another answer")
            };
            let bytes = got.value.0.bytes().expose_secret().to_vec();
            String::from_utf8(bytes).unwrap().parse::<u64>().unwrap()
        };
        for writer in 0..WRITERS {
            let [first, second] = ["first", "second"].map(|half| get(format!("w{writer}/{half}")));
            assert!(first == second || first == second + 1, "writer {writer}: {first} and {second}");
            assert!((before[writer]..=after[writer] + 1).contains(&second), "writer {writer}: {second}");
        }
        drop(client);
        assert_eq!(server.stop(), 0);
    }
}

#[test]
fn a_replaced_store_that_was_not_closed_says_how_it_is_repaired() {
    let folder = Folder::with_store();
    assert_eq!(folder.run_with_input(&["put", "a"], b"one").code, 0);
    assert_eq!(folder.run(&["backup", "nightly"]).code, 0);
    let server = folder.serve(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(folder.run_with_input(&["put", "a"], b"two").code, 0);
    drop(server);
    std::fs::rename(folder.path().join(".coffer"), folder.path().join("broken")).unwrap();
    let before = std::fs::read(folder.path().join("broken/store.redb")).unwrap();
    let restore = ["restore-backup", "nightly", "--replacing", "broken"];
    let refused = folder.run(&restore);
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(refused.stderr.contains("coffer status --home"), "{}", refused.stderr);
    assert!(!folder.path().join(".coffer").exists());
    assert!(before == std::fs::read(folder.path().join("broken/store.redb")).unwrap(), "it is only read");
    has_only(folder.path(), &["broken", "nightly"]);

    assert_eq!(folder.run(&["status", "--home", "broken"]).code, 0);
    assert_eq!(folder.json(&restore)["undone"]["older_secrets"], 1);
    assert_eq!(folder.run(&["get", "a"]).stdout, "one");
}
