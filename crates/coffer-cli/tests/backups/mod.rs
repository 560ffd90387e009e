//! Backups as an operator meets them: of a store that is served or not, checked, restored, and killed in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod served;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::Folder;

/// How often a backup and a restoration are killed each.
const KILLS: u32 = 30;

fn has_only(folder: &Path, expected: &[&str]) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, expected);
}

/// A store with two secrets, and a folder for its backups.
fn furnished() -> Folder {
    let folder = Folder::with_store();
    for (name, value) in [("a", "one"), ("a", "two"), ("b", "three")] {
        assert_eq!(folder.run_with_input(&["put", name], value.as_bytes()).code, 0);
    }
    std::fs::create_dir(folder.path().join("out")).unwrap();
    folder
}

#[test]
fn a_backup_is_restored_elsewhere() {
    let folder = furnished();
    let made = folder.json(&["backup", "out/b"]);
    let key = PathBuf::from(made["root_key"].as_str().unwrap());
    assert!(key.starts_with(folder.data_dir()));
    assert_eq!(folder.mode_of("out/b".as_ref()), 0o600);
    has_only(&folder.path().join("out"), &["b"]);

    let again = folder.run(&["backup", "out/b"]);
    assert_eq!(again.code, 5, "{}", again.stderr);
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(folder.run(&["backup", "out/b", "--force"]).code, 0);
    assert_eq!(folder.run(&["backup", "out"]).code, 5);
    assert_eq!(folder.run(&["backup"]).code, 2);
    assert_eq!(folder.on_terminal(&["backup", "-"]).0, 2);

    let verified = folder.json(&["backup", "verify", "out/b", "--log", ".coffer/audit"]);
    assert_eq!((&verified["contents"]["secrets"], &verified["contents"]["versions"]), (&2.into(), &3.into()));
    assert!(verified["log_records"].as_u64() > verified["audit_head"]["sequence"].as_u64());

    folder.run_with_input(&["put", "a"], b"later");
    let occupied = folder.run(&["restore-backup", "out/b"]);
    assert_eq!(occupied.code, 5, "{}", occupied.stderr);
    let object = folder.json(&["restore-backup", "out/b", "--home", "again", "--replacing", ".coffer"]);
    assert_eq!(object["undone"]["older_secrets"], 1);
    assert_eq!(object["access_keys"].as_array().unwrap().len(), 1);
    for (home, value) in [("again", "two"), (".coffer", "later")] {
        assert_eq!(folder.run(&["--home", home, "get", "a"]).stdout, value);
        assert_eq!(folder.run(&["--home", home, "audit", "verify"]).code, 0);
    }
    let tail = folder.run(&["--home", "again", "audit", "tail", "-n", "100"]).stdout;
    assert!(tail.lines().nth(1).unwrap().contains("RestoreBackup"), "{tail}");
    let tail = folder.run(&["audit", "tail", "-n", "100"]).stdout;
    assert!(tail.contains("Backup") && tail.contains("EndBackup"), "{tail}");
}

#[test]
fn a_backup_of_a_served_store_goes_over_the_socket() {
    let folder = furnished();
    let server = folder.serve(&["serve", "--listen", "127.0.0.1:0"]);
    let made = folder.json(&["backup", "out/b"]);
    let piped = folder.run(&["backup", "-"]);
    assert_eq!(piped.code, 0, "{}", piped.stderr);
    assert!(piped.stderr.starts_with("backed up: revision "), "{}", piped.stderr);
    assert_eq!(folder.run(&["get", "a"]).stdout, "two");
    assert_eq!(server.stop(), 0);
    assert_eq!(folder.json(&["backup", "verify", "out/b"])["hash"], made["hash"]);
    assert_eq!(folder.run_with_input(&["backup", "verify", "-"], &piped.stdout_bytes).code, 0);
    let restored = folder.run_with_input(&["restore-backup", "-", "--home", "again"], &piped.stdout_bytes);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_eq!(folder.run(&["--home", "again", "get", "b"]).stdout, "three");
}

#[test]
fn what_is_not_whole_or_cannot_be_opened_is_refused_and_leaves_nothing() {
    let folder = furnished();
    assert_eq!(folder.run(&["backup", "out/b"]).code, 0);
    let whole = std::fs::read(folder.path().join("out/b")).unwrap();
    let mut spoiled = whole.clone();
    spoiled[whole.len() / 2] ^= 1;
    for (bytes, said) in [
        (&whole[..whole.len() / 2], "is cut short: it ends at byte"),
        (&whole[..whole.len() - 1], "is cut short"),
        (&spoiled, "is damaged in the frame at byte"),
        (&[&whole[..], b"x"].concat(), "something follows its end"),
        (b"no backup".as_slice(), "this is no backup"),
    ] {
        std::fs::write(folder.path().join("out/spoiled"), bytes).unwrap();
        for arguments in
            [&["backup", "verify", "out/spoiled"][..], &["restore-backup", "out/spoiled", "--home", "x/y"]]
        {
            let ran = folder.run(arguments);
            assert_eq!(ran.code, 8, "{}", ran.stderr);
            assert!(ran.stderr.contains(said), "{}", ran.stderr);
        }
    }
    if folder.path().join("x").exists() {
        has_only(&folder.path().join("x"), &[]);
    }

    let key = folder.data_dir().join("keys");
    let aside = folder.data_dir().join("aside");
    std::fs::rename(&key, &aside).unwrap();
    let verified = folder.run(&["backup", "verify", "out/b"]);
    assert_eq!(verified.code, 0);
    assert!(verified.stderr.contains("was not checked: there is no key file"), "{}", verified.stderr);
    let restored = folder.run(&["restore-backup", "out/b", "--home", "again"]);
    assert_eq!(restored.code, 3);
    assert!(
        restored.stderr.contains(&format!("there is no key file `{}/", key.display())),
        "{}",
        restored.stderr
    );
    std::fs::rename(&aside, &key).unwrap();

    let authority = folder.data_dir().join("tls");
    assert!(restored_warnings(&folder, "with").is_empty());
    std::fs::rename(&authority, &aside).unwrap();
    let [warning] = &restored_warnings(&folder, "without")[..] else { panic!("not one warning") };
    assert!(warning.contains(authority.to_str().unwrap()) && warning.contains("clients"), "{warning}");
    std::fs::rename(&aside, &authority).unwrap();

    let other = Folder::with_store();
    let theirs = other.path().join(".coffer");
    let ran =
        folder.run(&["restore-backup", "out/b", "--home", "again", "--replacing", theirs.to_str().unwrap()]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(!folder.path().join("again").exists());
}

fn restored_warnings(folder: &Folder, home: &str) -> Vec<String> {
    let restored = folder.json(&["restore-backup", "out/b", "--home", home]);
    let text = |warning: &serde_json::Value| warning.as_str().unwrap().to_owned();
    restored["warnings"].as_array().unwrap().iter().map(text).collect()
}

/// Wherever a passphrase is asked for.
#[test]
fn a_passphrase_that_cannot_be_had_ends_a_restore_as_it_ends_every_command() {
    let folder = Folder::new();
    folder.write("p", "a few words that nobody says");
    let mut made = folder.shell(
        "export COFFER_PASSPHRASE_FILE=p; chmod 600 p; coffer init --seal passphrase && coffer backup b",
    );
    assert!(made.stdout(std::process::Stdio::null()).status().unwrap().success());
    let restore = &["restore-backup", "b", "--home", "again"][..];
    for arguments in [&["list"], restore] {
        let Some((code, said)) = folder.unasked(arguments) else { return };
        assert_eq!(code, 7, "{said}");
        assert!(
            said.contains("no terminal to ask on\nhint: name a file that holds the passphrase in"),
            "{said}"
        );
        let mut command = folder.command(arguments);
        let ran = command.env("COFFER_PASSPHRASE_FILE", "none").output().unwrap();
        assert_eq!(ran.status.code(), Some(3), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// A file of the first format, with its key.
#[test]
fn a_backup_of_the_first_format_opens() {
    let folder = Folder::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/backup");
    let backup = vectors.join("format-1.backup");
    let backup = backup.to_str().unwrap();
    let without_key = folder.json(&["backup", "verify", backup]);
    assert_eq!(without_key["contents"], serde_json::Value::Null);
    let keys = folder.data_dir().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let key = keys.join(without_key["store_id"].as_str().unwrap());
    std::fs::write(&key, std::fs::read(vectors.join("format-1.key")).unwrap()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let restored = folder.json(&["restore-backup", backup]);
    assert_eq!(restored["fault_count"], 0);
    assert!(restored["warnings"][0].as_str().unwrap().contains("credentials"), "{restored}");
    assert_eq!(folder.run(&["get", "app/db#password"]).stdout, "second");
    assert_eq!(folder.run(&["get", "app/db", "--stage", "AWSPREVIOUS"]).stdout, "first");
    assert_eq!(folder.run(&["get", "app/bytes"]).stdout_bytes, [0, 255]);
}

#[test]
fn whatever_is_killed_leaves_a_whole_file_and_a_whole_store_or_none() {
    let folder = furnished();
    let lines: String = (0..200).map(|number| format!("KEY_{number}='{}'\n", "x".repeat(2000))).collect();
    folder.write("many.env", &lines);
    assert_eq!(folder.run(&["import", "many.env", "--name", "many", "--split"]).code, 0);
    let began = Instant::now();
    assert_eq!(folder.run(&["backup", "out/whole"]).code, 0);
    let backup_time = began.elapsed();
    let began = Instant::now();
    assert_eq!(folder.run(&["restore-backup", "out/whole", "--home", "restored"]).code, 0);
    let restore_time = began.elapsed();

    let (mut killed, mut ended) = (0, 0);
    let mut kill = |arguments: &[&str], time: Duration, round: u32| {
        let mut command = folder.command(arguments);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        // Spread over all of it, and a little beyond.
        sleep(time * round / (KILLS - 5));
        drop(child.kill());
        if child.wait().unwrap().success() { ended += 1 } else { killed += 1 }
    };
    for round in 0..KILLS {
        let (file, home) = (format!("out/{round}"), format!("home-{round}"));
        kill(&["backup", &file], backup_time, round);
        if folder.path().join(&file).exists() {
            assert_eq!(folder.run(&["backup", "verify", &file]).code, 0);
        }
        kill(&["restore-backup", "out/whole", "--home", &home], restore_time, round);
        if folder.path().join(&home).exists() {
            assert_eq!(folder.json(&["--home", &home, "list"])["secrets"].as_array().unwrap().len(), 202);
            assert_eq!(folder.run(&["--home", &home, "audit", "verify"]).code, 0);
        }
    }
    assert!(killed > 10, "{killed} killed, {ended} ended");
    // The store that was backed up is what it was, and what was left of the dead makes no trouble.
    assert_eq!(folder.run(&["audit", "verify"]).code, 0);
    assert_eq!(folder.run(&["backup", "out/last"]).code, 0);
    assert_eq!(folder.run(&["backup", "verify", "out/last"]).code, 0);
}
