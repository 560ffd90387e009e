//! The command as people and scripts meet it: the built program in a folder of its own.

mod backups;
mod support;

use support::{ENV_FILE, Folder, Serving};

#[test]
fn init_makes_a_store_once() {
    let folder = Folder::new();
    let made = folder.json(&["init", "--account-id", "123456789012", "--region", "eu-central-1"]);
    assert_eq!(made["account"], "123456789012");
    assert_eq!(made["region"], "eu-central-1");
    assert_eq!(made["seal"], "key-file");
    let root_key = std::path::PathBuf::from(made["root_key"].as_str().unwrap());
    assert!(root_key.starts_with(folder.data_dir()), "{}", root_key.display());
    assert_eq!(folder.mode_of(&root_key), 0o600);
    assert_eq!(folder.mode_of(made["credentials"].as_str().unwrap().as_ref()), 0o600);
    assert_eq!(std::fs::read_to_string(folder.path().join(".coffer/.gitignore")).unwrap().trim(), "*");

    let again = folder.run(&["init"]);
    assert_eq!(again.code, 5);
    assert!(again.stderr.starts_with("error: "), "{}", again.stderr);
    assert!(again.stderr.contains("\nhint: "), "{}", again.stderr);
}

#[test]
fn a_value_comes_back_byte_for_byte() {
    let folder = Folder::with_store();
    let bytes: Vec<u8> = (0..=255).collect();
    for (name, value) in [("text", &b"no newline"[..]), ("lines", b"a\nb\n"), ("bytes", &bytes)] {
        assert_eq!(folder.run_with_input(&["put", name], value).code, 0, "{name}");
        assert_eq!(folder.run(&["get", name]).stdout_bytes, value, "{name}");
    }
    let object = folder.json(&["get", "bytes"]);
    assert!(object.get("value").is_none());
    assert!(object["value_base64"].as_str().unwrap().starts_with("AAECAw"));
    assert_eq!(folder.json(&["get", "text"])["value"], "no newline");
}

#[test]
fn put_takes_a_value_from_anywhere_but_an_argument() {
    let folder = Folder::with_store();
    let refused = folder.run(&["put", "a", "hunter2"]);
    assert_eq!(refused.code, 2);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    let refused = folder.run(&["put", "a", "-hunter2"]);
    assert_eq!(refused.code, 2);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);

    let put =
        folder.command(&["put", "a", "--from-env", "VALUE"]).env("VALUE", "from the environment").output();
    assert!(put.unwrap().status.success());
    assert_eq!(folder.run(&["get", "a"]).stdout, "from the environment");
    assert_eq!(folder.run(&["put", "a", "--from-env", "NOT_SET"]).code, 7);
    assert_eq!(folder.run_with_input(&["put", "a"], b"").code, 7);
    assert_eq!(folder.run_with_input(&["put", "a"], &[b'x'; 65_537]).code, 7);
    assert_eq!(folder.run_with_input(&["put", "a b"], b"x").code, 7);
    let put = folder.run_with_input(&["put", "a"], b"x\n");
    assert!(put.stderr.starts_with("warning: the value ends in a newline"), "{}", put.stderr);
}

#[test]
fn versions_are_read_by_id_and_by_label() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], b"one");
    folder.run_with_input(&["put", "a"], b"two");
    let versions = folder.json(&["versions", "a"]);
    let versions = versions["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0]["stages"][0], "AWSPREVIOUS");
    assert_eq!(versions[1]["stages"][0], "AWSCURRENT");
    let first = versions[0]["version_id"].as_str().unwrap();
    assert_eq!(folder.run(&["get", "a"]).stdout, "two");
    assert_eq!(folder.run(&["get", "a", "--version-id", first]).stdout, "one");
    assert_eq!(folder.run(&["get", "a", "--stage", "AWSPREVIOUS"]).stdout, "one");
    assert_eq!(folder.run(&["get", "a", "--stage", "NONE"]).code, 3);
    assert_eq!(folder.run(&["get", "b"]).code, 3);
    assert_eq!(folder.run(&["versions", "b"]).code, 3);

    let listed = folder.run(&["list"]).stdout;
    let mut lines = listed.lines();
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["Name", "Versions", "Made", "Changed"]
    );
    assert!(lines.next().unwrap().starts_with("a     2         "), "{listed}");
}

#[test]
fn an_import_is_one_secret_and_the_same_again_changes_nothing() {
    let folder = Folder::with_store();
    folder.write("app/.env", ENV_FILE);
    let imported = folder.run(&["import", "app/.env"]);
    assert_eq!(imported.stdout, "made secret `app` with 3 fields\n");
    assert_eq!(imported.stderr, "");
    assert_eq!(
        folder.run(&["get", "app"]).stdout,
        r#"{"API_KEY":"key-1","API_SECRET":"s%2Fecret","REGION":"eu"}"#
    );
    assert_eq!(folder.run(&["get", "app#API_SECRET"]).stdout, "s%2Fecret");
    assert_eq!(folder.run(&["get", "app#NONE"]).code, 3);

    assert_eq!(folder.run(&["import", "app/.env"]).stdout, "secret `app` is unchanged\n");
    assert_eq!(folder.json(&["versions", "app"])["versions"].as_array().unwrap().len(), 1);

    folder.write("app/.env", "API_KEY='key-2'\nREGION=eu\nNEW=x\n");
    let changed = folder.run(&["import", "app/.env"]);
    let mut lines = changed.stdout.lines();
    assert!(lines.next().unwrap().starts_with("secret `app` has a new version "), "{}", changed.stdout);
    assert_eq!(lines.collect::<Vec<_>>(), ["  added: NEW", "  changed: API_KEY", "  removed: API_SECRET"]);
    assert_eq!(folder.json(&["versions", "app"])["versions"].as_array().unwrap().len(), 2);

    let object = folder.json(&["import", "app/.env", "--name", "other/name"]);
    assert_eq!(object["secrets"][0]["outcome"], "created");
    assert_eq!(object["secrets"][0]["fields"]["added"], serde_json::json!(["API_KEY", "NEW", "REGION"]));
}

#[test]
fn an_import_over_a_value_that_is_no_object_is_one_new_version() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "app"], b"plain");
    assert_eq!(folder.run(&["get", "app#FIELD"]).code, 7);
    folder.write("app/.env", "A=1\n");
    assert!(folder.run(&["import", "app/.env"]).stdout.contains("  added: A\n"));
    assert_eq!(folder.run(&["get", "app"]).stdout, r#"{"A":"1"}"#);
}

#[test]
fn a_split_import_is_a_secret_of_each_key() {
    let folder = Folder::with_store();
    folder.write("app/.env", "A=1\nB='x y'\nEMPTY=\n");
    let imported = folder.run(&["import", "app/.env", "--split"]);
    assert_eq!(imported.stdout, "made secret `app/A`\nmade secret `app/B`\n");
    assert_eq!(imported.stderr, "warning: app/.env: line 3 `EMPTY`: the value is empty\n");
    assert_eq!(folder.run(&["get", "app/B"]).stdout, "x y");
    folder.write("app/.env", "A=1\nB=2\n");
    let imported = folder.run(&["import", "app/.env", "--split"]).stdout;
    assert!(
        imported.starts_with("secret `app/A` is unchanged\nsecret `app/B` has a new version "),
        "{imported}"
    );

    folder.write("app/.env", "A=\n");
    assert_eq!(folder.run(&["import", "app/.env", "--split"]).code, 7);
    folder.write("app/.env", "A=3\nA B=1\n");
    assert_eq!(folder.run(&["import", "app/.env", "--split"]).code, 7);
    folder.write("app/.env", "A=3\nA:B=1\n");
    assert_eq!(folder.run(&["import", "app/.env", "--split"]).code, 7);
    assert_eq!(folder.run(&["get", "app/A"]).stdout, "1");
}

#[test]
fn an_import_into_a_secret_without_a_value_gives_it_one() {
    let folder = Folder::with_store();
    folder.make_secret_without_value("app");
    folder.make_secret_without_value("app/A");
    folder.write("app/.env", "A=1\n");
    let imported = folder.run(&["import", "app/.env"]);
    assert_eq!((imported.code, imported.stderr.as_str()), (0, ""));
    let mut lines = imported.stdout.lines();
    assert!(lines.next().unwrap().starts_with("secret `app` has a new version "), "{}", imported.stdout);
    assert_eq!(lines.collect::<Vec<_>>(), ["  added: A"]);
    assert_eq!(folder.run(&["get", "app#A"]).stdout, "1");
    let object = folder.json(&["import", "app/.env", "--split"]);
    assert_eq!(object["secrets"][0]["outcome"], "changed");
    assert_eq!(folder.run(&["get", "app/A"]).stdout, "1");
}

#[test]
fn a_split_import_that_fails_midway_says_what_it_has_written() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "app/A"], b"1");
    folder.run_with_input(&["put", "app/B"], b"1");
    folder.run_with_input(&["put", "app/D"], b"1");
    folder.delete_secret("app/D");
    folder.write("app/.env", "A=1\nB=hunter2\nC=hunter2\nD=hunter2\nE=hunter2\n");
    let failed = folder.run(&["import", "app/.env", "--split"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (5, ""));
    let (error, _) = failed.stderr.split_once("\nhint: ").unwrap();
    assert_eq!(error, "error: secret `app/D` is marked for deletion; written before that: `app/B`, `app/C`");
    let again = folder.run(&["import", "app/.env", "--split"]);
    assert!(again.stderr.starts_with("error: secret `app/D` is marked for deletion\n"), "{}", again.stderr);
    assert!(![failed.stderr, again.stderr].concat().contains("hunter2"));
}

#[test]
fn what_cannot_be_imported_leaves_nothing_behind_and_shows_nothing() {
    let folder = Folder::with_store();
    folder.write("app/.env", "A=1\nhunter2\n");
    let refused = folder.run(&["import", "app/.env"]);
    assert_eq!(refused.code, 7);
    assert_eq!(
        refused.stderr,
        "error: app/.env:2:8: no `=` after the key\nhint: put the line right (a value of several lines wants quotes) and import again; nothing was imported\n"
    );
    folder.write("a b/.env", "A=1\n");
    let refused = folder.run(&["import", "a b/.env"]);
    assert_eq!(refused.code, 7);
    assert!(refused.stderr.ends_with("hint: give another name: --name NAME\n"), "{}", refused.stderr);
    folder.write("app/.env", "# nothing\n");
    assert_eq!(folder.run(&["import", "app/.env"]).code, 7);
    assert_eq!(folder.run(&["import", "none/.env"]).code, 3);
    folder.write("app/.env", &format!("A={}\n", "x".repeat(65_536)));
    assert_eq!(folder.run(&["import", "app/.env"]).code, 7);
    assert_eq!(folder.json(&["list"])["secrets"], serde_json::json!([]));
}

#[test]
fn lines_that_others_read_differently_are_named_without_their_values() {
    let folder = Folder::with_store();
    folder.write("app/.env", "A=hunter2$x\nB=1\nC=hunter2$y\nB=2\n");
    let imported = folder.run(&["import", "app/.env"]);
    let lines: Vec<&str> = imported.stderr.lines().collect();
    assert_eq!(lines[0], "warning: app/.env: line 2 `B`: set again further down, and the last line counts");
    assert!(lines[1].starts_with("warning: app/.env: line 1 `A`, line 3 `C`: `$` outside single quotes"));
    assert!(!imported.stderr.contains("hunter2"));
    assert_eq!(folder.run(&["get", "app#B"]).stdout, "2");
    let object = folder.json(&["import", "app/.env"]);
    assert_eq!(object["warnings"][1], serde_json::json!({"line": 1, "key": "A", "kind": "dollar"}));
}

#[test]
fn errors_are_objects_with_json() {
    let folder = Folder::new();
    let missing = folder.run(&["list", "--json"]);
    assert_eq!(missing.code, 3);
    let error: serde_json::Value = serde_json::from_str(&missing.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "not-found");
    assert!(error["error"]["hint"].as_str().unwrap().contains("coffer init"));
    let usage = folder.run(&["--json", "get"]);
    assert_eq!(usage.code, 2);
    let error: serde_json::Value = serde_json::from_str(&usage.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "usage");
    assert_eq!(folder.run(&["nonsense"]).code, 2);
    assert_eq!(folder.run(&["--help"]).code, 0);
    assert!(folder.run(&["--help"]).stdout.contains("Exit codes: 0 ok"));
}

#[test]
fn a_value_reaches_a_terminal_only_if_asked_for() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], b"hunter2\x1b[31m");
    folder.run_with_input(&["put", "b"], &[0xff, 0xfe]);
    let (code, shown) = folder.on_terminal(&["get", "a"]);
    assert_eq!(code, 2);
    assert!(!shown.contains("hunter2") && shown.contains("add --show"), "{shown}");
    let (code, shown) = folder.on_terminal(&["--json", "get", "a"]);
    assert!(code == 2 && !shown.contains("hunter2"), "{shown}");
    assert_eq!(folder.on_terminal(&["get", "a", "--show"]), (0, "hunter2\\u{1b}[31m\r\n".into()));
    let (code, shown) = folder.on_terminal(&["get", "b", "--show"]);
    assert!(code == 0 && shown.ends_with("//4=\r\n"), "{shown}");
    let (code, shown) = folder.on_terminal(&["env"]);
    assert_eq!(code, 2);
    assert!(!shown.contains("AWS_SECRET") && shown.contains("eval \"$("), "{shown}");
}

#[test]
fn what_is_typed_is_never_echoed_and_the_terminal_is_left_as_it_was() {
    let folder = Folder::with_store();
    for (typed, code, said) in
        [(&b"hunter2\r"[..], 0, "made secret `a`"), (b"hunter2\x03", 1, "interrupted"), (b"\r", 7, "nothing")]
    {
        let Some((ended, printed, echo)) = folder.asked(&["put", "a"], "Value of a: ", typed) else { return };
        assert_eq!((ended, echo), (code, [false, true]), "{printed}");
        assert!(printed.contains(said) && !printed.contains("hunter2"), "{printed}");
    }
    assert_eq!(folder.run(&["get", "a"]).stdout, "hunter2");
}

#[test]
fn where_nobody_can_be_asked_the_hint_is_that_of_the_question() {
    let folder = Folder::with_store();
    for (arguments, hint) in [
        (&["put", "a"][..], "send it to standard input, or name an environment variable with --from-env"),
        (
            &["init", "--home", "other", "--seal", "passphrase"],
            "name a file that holds the passphrase in COFFER_PASSPHRASE_FILE",
        ),
    ] {
        let Some((code, said)) = folder.unasked(arguments) else { return };
        assert_eq!(code, 7, "{said}");
        assert_eq!(said, format!("error: there is no terminal to ask on\nhint: {hint}\n"));
    }
}

#[test]
fn colour_only_on_a_terminal() {
    let folder = Folder::new();
    assert!(!folder.run(&["list"]).stderr.contains('\u{1b}'));
    assert!(folder.on_terminal(&["list"]).1.contains('\u{1b}'));
}

#[test]
fn env_exports_what_a_client_needs() {
    let folder = Folder::new();
    let init = folder
        .command(&["init"])
        .env("COFFER_ADMIN_ACCESS_KEY_ID", "AKIAEXAMPLE000000001")
        .env("COFFER_ADMIN_SECRET_ACCESS_KEY", "it's/made+up")
        .output();
    assert!(init.unwrap().status.success());
    let exported = folder.run(&["env"]).stdout;
    assert_eq!(
        exported.lines().collect::<Vec<_>>(),
        [
            "export AWS_ENDPOINT_URL='http://127.0.0.1:8200'",
            "export AWS_ACCESS_KEY_ID='AKIAEXAMPLE000000001'",
            r"export AWS_SECRET_ACCESS_KEY='it'\''s/made+up'",
            "export AWS_REGION='us-east-1'",
            "export AWS_DEFAULT_REGION='us-east-1'",
            "unset AWS_SESSION_TOKEN AWS_ENDPOINT_URL_SECRETS_MANAGER AWS_PROFILE AWS_DEFAULT_PROFILE",
        ]
    );
    assert!(folder.run(&["env", "--region", "eu-west-1"]).stdout.contains("AWS_REGION='eu-west-1'"));
    assert_eq!(folder.json(&["env"])["AWS_SECRET_ACCESS_KEY"], "it's/made+up");
}

#[test]
fn an_access_key_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let no_text = std::ffi::OsStr::from_bytes(b"hunter2\xff");
    for (id, secret, named) in [
        (no_text, "secret".as_ref(), "COFFER_ADMIN_ACCESS_KEY_ID"),
        ("AKIAEXAMPLE000000001".as_ref(), no_text, "COFFER_ADMIN_SECRET_ACCESS_KEY"),
        (no_text, no_text, "COFFER_ADMIN_ACCESS_KEY_ID"),
    ] {
        let init = folder
            .command(&["init"])
            .env("COFFER_ADMIN_ACCESS_KEY_ID", id)
            .env("COFFER_ADMIN_SECRET_ACCESS_KEY", secret)
            .output()
            .unwrap();
        assert_eq!(init.status.code(), Some(7));
        assert_eq!(
            String::from_utf8(init.stderr).unwrap(),
            format!("error: the value of {named} is not UTF-8\n")
        );
        assert!(!folder.path().join(".coffer").exists());
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_not_repeated() {
    const ANSWERS: [&str; 3] = [
        r#"{"response":{"operation":"GetSecretValue","result":{"arn":"a","name":"a","version_id":"hunter2"}}}"#,
        r#"{"response":{"operation":"GetSecretValue","result":"hunter2"}}"#,
        r#"{"response":{"operation":"hunter2","result":{}}}"#,
    ];
    let folder = Folder::with_store();
    for answer in ANSWERS {
        let server = folder.pretend_to_serve(answer);
        let ran = folder.run(&["get", "a"]);
        server.join().unwrap();
        assert_eq!((ran.code, ran.stdout.as_str()), (6, ""));
        assert_eq!(
            ran.stderr,
            "error: the server's answer is not one that this coffer can read\n\
             hint: start the server again with the same coffer as this command\n"
        );
    }
}

#[test]
fn a_region_has_secrets_of_its_own_either_way_in() {
    let folder = Folder::with_store();
    let in_west = |arguments: &[&str], input: &[u8]| {
        folder.run_with_input(&[arguments, &["--region", "eu-west-1"]].concat(), input)
    };
    let names_in = |region: &[&str]| -> Vec<String> {
        let listed = folder.json(&[&["list"], region].concat());
        let names = listed["secrets"].as_array().unwrap().iter();
        names.map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
    };
    folder.write("app/.env", "A=west\n");
    folder.run_with_input(&["put", "a"], b"home");
    let put_and_read = |imported: &str| {
        assert_eq!(in_west(&["put", "a"], b"west").code, 0);
        assert_eq!(in_west(&["get", "a"], b"").stdout, "west");
        assert_eq!(folder.run(&["get", "a"]).stdout, "home");
        assert_eq!(folder.run(&["get", "a", "--region", "us-east-1"]).stdout, "home");
        assert_eq!(in_west(&["import", "app/.env"], b"").stdout, imported);
        assert_eq!(folder.run(&["get", "app"]).code, 3);
        assert_eq!(names_in(&[]), ["a"]);
        assert_eq!(names_in(&["--region", "eu-west-1"]), ["a", "app"]);
    };
    put_and_read("made secret `app` with 1 field\n");
    assert_eq!(in_west(&["versions", "a"], b"").stdout.lines().count(), 2);

    let server = folder.serve(&["up", "app/.env", "--region", "eu-west-1", "--listen", "127.0.0.1:0"]);
    assert_eq!(server.object["imported"]["secrets"][0]["outcome"], "unchanged");
    let names: Vec<_> = server.object["secrets"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["a", "app"]);
    let evaluate = server.object["environment_command"].as_str().unwrap();
    assert!(evaluate.ends_with(" env --region eu-west-1)\""), "{evaluate}");
    put_and_read("secret `app` is unchanged\n");
    assert_eq!(in_west(&["versions", "a"], b"").stdout.lines().count(), 3);
    assert_eq!(folder.json(&["status"])["region"], "us-east-1");
    let beside = folder.json(&["up", "app/.env"]);
    assert_eq!(beside["imported"]["secrets"][0]["outcome"], "created");
    assert_eq!(folder.run(&["up", "--account-id", "000000000000"]).code, 5);
    assert_eq!(server.stop(), 0);
    assert_eq!(folder.run(&["get", "app"]).code, 0);
}

#[test]
fn both_ways_in_give_the_same_output() {
    let folder = Folder::with_store();
    folder.write("app/.env", ENV_FILE);
    folder.run(&["import", "app/.env"]);
    let commands: &[&[&str]] = &[
        &["list", "--json"],
        &["get", "app"],
        &["get", "app", "--json"],
        &["get", "app#API_KEY"],
        &["get", "none"],
        &["get", "none", "--json"],
        &["get", "app", "--stage", "NONE"],
        &["versions", "app", "--json"],
        &["import", "app/.env"],
        &["put", "arn:aws:s3:::bucket"],
    ];
    let run_all = || -> Vec<_> {
        commands
            .iter()
            .map(|arguments| folder.run(arguments))
            .map(|ran| (ran.code, ran.stdout, ran.stderr))
            .collect()
    };
    let in_place = run_all();
    let server = folder.serve(&["serve", "--listen", "127.0.0.1:0"]);
    let over_socket = run_all();
    for ((arguments, one), other) in commands.iter().zip(in_place).zip(over_socket) {
        assert_eq!(one, other, "{arguments:?}");
    }
    let status = folder.json(&["status"]);
    assert_eq!(status["server"]["endpoint"], server.object["endpoint"]);
    assert_eq!(status["secrets"], 1);
    assert_eq!(server.stop(), 0);
    assert_eq!(folder.json(&["status"])["server"], serde_json::Value::Null);
}

#[test]
fn up_makes_imports_and_serves_and_beside_a_server_imports_through_it() {
    let folder = Folder::new();
    folder.write("app/.env", ENV_FILE);
    let server = folder.serve(&["up", "app/.env", "--name", "app/credentials", "--listen", "127.0.0.1:0"]);
    let endpoint = server.object["endpoint"].as_str().unwrap().to_owned();
    assert_eq!(server.object["imported"]["secrets"][0]["outcome"], "created");
    assert_eq!(server.object["secrets"][0]["name"], "app/credentials");
    assert!(server.object["store"]["root_key"].is_string());
    assert!(folder.run(&["env"]).stdout.contains(&format!("AWS_ENDPOINT_URL='{endpoint}'")));

    let beside = folder.json(&["up", "app/.env", "--name", "app/credentials"]);
    assert_eq!(beside["endpoint"], endpoint.as_str());
    assert_eq!(beside["imported"]["secrets"][0]["outcome"], "unchanged");
    assert_eq!(beside["store"], serde_json::Value::Null);
    let words = folder.run(&["up", "app/.env", "--name", "app/credentials"]).stdout;
    for expected in [
        "secret `app/credentials` is unchanged\n",
        "env)\"\n",
        "aws secretsmanager get-secret-value --secret-id app/credentials\n",
        "Name ",
    ] {
        assert!(words.contains(expected), "{words}");
    }
    assert!(!words.contains("key-1"));
    assert_eq!(server.stop(), 0);
    assert_eq!(folder.run(&["audit", "verify"]).code, 0);
}

#[test]
fn of_two_that_come_up_at_once_one_serves_and_both_import() {
    let folder = Folder::new();
    let up = |name: &str| {
        folder.write(&format!("{name}/.env"), ENV_FILE);
        folder.serve(&["up", &format!("{name}/.env"), "--listen", "127.0.0.1:0"])
    };
    let servers = std::thread::scope(|scope| {
        ["one", "two"].map(|name| scope.spawn(move || up(name))).map(|thread| thread.join().unwrap())
    });
    assert_eq!(servers[0].object["endpoint"], servers[1].object["endpoint"]);
    assert_eq!(folder.json(&["list"])["secrets"].as_array().unwrap().len(), 2);
    assert_eq!(servers.map(Serving::stop), [0, 0]);
}

#[test]
fn a_second_server_of_a_store_is_refused() {
    let folder = Folder::with_store();
    let server = folder.serve(&["serve", "--listen", "127.0.0.1:0"]);
    let address = server.object["endpoint"].as_str().unwrap().strip_prefix("http://").unwrap();
    let second = folder.run(&["serve", "--listen", address]);
    assert_eq!(second.code, 5);
    assert!(second.stderr.contains(&format!("runs already, on http://{address}")), "{}", second.stderr);
}

#[test]
fn a_value_is_in_nothing_that_is_said_and_no_file_that_is_kept() {
    const MARKER: &str = "mArKeR7hunter2";
    let folder = Folder::with_store();
    let mut said = String::new();
    let mut run = |arguments: &[&str], input: &str| {
        for json in [&[][..], &["--json"]] {
            let ran = folder.run_with_input(&[json, arguments].concat(), input.as_bytes());
            said.push_str(&ran.stdout);
            said.push_str(&ran.stderr);
        }
    };
    for (text, split) in [
        ("A=MARKER\n", false),
        ("A=MARKER$x\nB=\"MARKER\\t\"\nC=`MARKER`\nC=MARKER #\n", false),
        ("A=MARKER$x\nB='MARKER'\nE=\n", true),
        ("A=MARKER2\nB=MARKER\n", true),
        ("MARKER\n", false),
        ("A='MARKER\n", false),
        ("A=\"x\"MARKER\n", false),
        ("A=\u{0}MARKER\n", false),
        ("A: MARKER\n", false),
        ("MARKER/+==\n", false),
    ] {
        folder.write("app/.env", &text.replace("MARKER", MARKER));
        let split: &[&str] = if split { &["--split"] } else { &[] };
        run(&[&["import", "app/.env"], split].concat(), "");
    }
    run(&["put", "b"], MARKER);
    run(&["put", "b c"], MARKER);
    run(&["put", "b", MARKER], "");
    run(&["put", "b"], &MARKER.repeat(10_000));
    run(&["get", "b#A"], "");
    run(&["get", "app#NONE"], "");
    for arguments in [
        &["list"][..],
        &["versions", "b"],
        &["status"],
        &["audit", "tail", "-n", "500"],
        &["audit", "verify"],
    ] {
        run(arguments, "");
    }
    // In base64 at each of the three alignments, and in hex.
    let mut forms = vec![MARKER.to_owned(), MARKER.bytes().map(|byte| format!("{byte:02x}")).collect()];
    for skipped in 0..3 {
        use base64::Engine as _;
        let text = &MARKER[skipped..];
        forms.push(base64::engine::general_purpose::STANDARD_NO_PAD.encode(&text[..text.len() / 3 * 3]));
    }
    assert!(said.len() > 10_000);
    for form in &forms {
        assert!(!said.contains(form), "{form} was said");
        for path in folder.kept_files() {
            let bytes = std::fs::read(&path).unwrap();
            let holds = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!holds, "{form} is in {}", path.display());
        }
    }
}

#[test]
fn a_refused_file_makes_no_store() {
    let folder = Folder::new();
    folder.write("app/.env", "A\n");
    assert_eq!(folder.run(&["up", "app/.env"]).code, 7);
    assert!(!folder.path().join(".coffer").exists());
}

#[test]
fn a_taken_port_is_told_before_anything_is_written() {
    let folder = Folder::new();
    folder.write("app/.env", "A=1\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = folder.run(&["up", "app/.env", "--listen", &address]);
    assert_eq!(refused.code, 6);
    assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("--listen"), "{}", refused.stderr);
    assert!(!folder.path().join(".coffer").exists());
}

#[test]
fn a_taken_port_of_the_metrics_is_told_as_such() {
    let folder = Folder::with_store();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = folder.run(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", &address]);
    assert_eq!(ran.code, 6);
    assert!(ran.stderr.contains(&format!("`{address}` for the metrics")), "{}", ran.stderr);
    assert!(ran.stderr.contains("another port with --metrics-listen"), "{}", ran.stderr);
}

#[test]
fn a_store_held_by_another_command_is_waited_for_and_then_told() {
    let folder = Folder::with_store();
    let lock = std::fs::File::open(folder.path().join(".coffer/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let begun = std::time::Instant::now();
    let refused = folder.run(&["list"]);
    assert_eq!(refused.code, 6);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(5));
    assert!(
        refused.stderr.contains("`coffer init`") || refused.stderr.contains("is in use by"),
        "{}",
        refused.stderr
    );
    let refused = folder.run(&["status", "--json"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (6, ""));
    let error: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "unavailable");
    assert!(error["error"]["message"].as_str().unwrap().contains(" is in use by "), "{error}");
    assert_eq!(error["error"]["hint"], "try again when it has ended");
    drop(lock);
    assert_eq!(folder.run(&["list"]).code, 0);
}

#[test]
fn a_passphrase_seals_and_opens() {
    let folder = Folder::new();
    folder.write("passphrase", "correct horse\n");
    folder.write("wrong", "wrong horse\n");
    let run = |arguments: &[&str], file: &str| {
        let output =
            folder.command(arguments).env("COFFER_PASSPHRASE_FILE", folder.path().join(file)).output();
        output.unwrap().status.code().unwrap()
    };
    assert_eq!(run(&["init", "--seal", "passphrase"], "none"), 3);
    assert_eq!(run(&["init", "--seal", "passphrase"], "passphrase"), 0);
    assert_eq!(run(&["list"], "passphrase"), 0);
    assert_ne!(run(&["list"], "wrong"), 0);
}

#[test]
fn the_audit_log_is_told_and_checked() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "app/key"], b"hunter2");
    folder.run(&["get", "app/key"]);
    let tail = folder.run(&["audit", "tail", "-n", "50"]).stdout;
    assert!(
        tail.lines()
            .any(|line| line.contains("GetSecretValue") && line.contains("app/key") && line.ends_with("ok")),
        "{tail}"
    );
    let records = folder.run(&["audit", "tail", "--json"]).stdout;
    assert!(records.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert!(!records.contains("hunter2"));
    let verified = folder.run(&["audit", "verify"]);
    assert_eq!(verified.code, 0);
    assert!(verified.stdout.starts_with("the audit log is whole: "), "{}", verified.stdout);

    folder.spoil_audit_log();
    assert_eq!(folder.run(&["audit", "verify"]).code, 8);
}

#[test]
fn commands_in_place_go_on_in_the_open_segment() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], b"x");
    folder.run(&["get", "a"]);
    let files = folder.audit_files();
    for _ in 0..20 {
        assert_eq!(folder.run(&["get", "a"]).stdout, "x");
    }
    assert_eq!(folder.audit_files(), files);
    let verified = folder.json(&["audit", "verify"]);
    assert!(verified["records"].as_u64().unwrap() > 40, "{verified}");
    // A server closes its segment, with a signed digest.
    let server = folder.serve(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(server.stop(), 0);
    let closed = folder.json(&["audit", "verify"]);
    assert_eq!(closed["digests"].as_u64().unwrap(), verified["digests"].as_u64().unwrap() + 1);
}

#[test]
fn a_log_that_lost_records_keeps_the_store_shut_until_that_is_accepted() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], b"x");
    folder.cut_audit_log(2);
    let serve = &["serve", "--listen", "127.0.0.1:0"];
    let accept = &["serve", "--listen", "127.0.0.1:0", "--accept-audit-loss"];
    let cut = folder.audit_files();
    for arguments in [&["get", "a"][..], &["status"], serve, &["up", "--listen", "127.0.0.1:0"]] {
        let refused = folder.run(arguments);
        assert_eq!(refused.code, 8, "{arguments:?} {}", refused.stderr);
        assert!(
            refused.stderr.contains("the audit log was cut short: it ends at record "),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains("\nhint: see what is missing with `coffer audit verify`"));
        assert!(refused.stderr.contains("--accept-audit-loss"), "{}", refused.stderr);
    }
    let verified = folder.run(&["audit", "verify"]);
    assert_eq!(verified.code, 8);
    assert!(verified.stderr.starts_with("error: the audit log was cut short: "), "{}", verified.stderr);
    assert_eq!(folder.audit_files(), cut);

    let server = folder.serve(accept);
    let tail = folder.run(&["audit", "tail"]).stdout;
    assert!(tail.contains("AcceptAuditLoss"), "{tail}");
    assert_eq!(server.stop(), 0);
    assert_eq!(folder.run(&["audit", "verify"]).code, 0);
    assert_eq!(folder.run(&["get", "a"]).stdout, "x");
    // Nothing is lost by now, so nothing is recorded.
    assert_eq!(folder.serve(accept).stop(), 0);
    let tail = folder.run(&["audit", "tail", "-n", "100"]).stdout;
    assert_eq!(tail.matches("AcceptAuditLoss").count(), 1, "{tail}");

    std::fs::rename(folder.audit_folder(), folder.path().join("aside")).unwrap();
    for arguments in [&["get", "a"][..], &["audit", "verify"], serve] {
        let refused = folder.run(arguments);
        assert_eq!(refused.code, 8, "{arguments:?} {}", refused.stderr);
        assert!(refused.stderr.starts_with("error: the audit log is missing: "), "{}", refused.stderr);
    }
    let server = folder.serve(&["up", "--listen", "127.0.0.1:0", "--accept-audit-loss"]);
    assert_eq!(server.stop(), 0);
    assert_eq!(folder.run(&["audit", "verify"]).code, 0);
    assert!(folder.run(&["audit", "tail"]).stdout.contains("AcceptAuditLoss"));
}

#[test]
fn a_log_that_was_changed_is_refused_and_can_be_set_aside() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "app/key"], b"x");
    folder.spoil_audit_log();
    for arguments in [&["get", "app/key"][..], &["serve", "--listen", "127.0.0.1:0", "--accept-audit-loss"]] {
        let refused = folder.run(arguments);
        assert_eq!(refused.code, 8, "{arguments:?} {}", refused.stderr);
        assert!(refused.stderr.contains("move the folder `audit` aside"), "{}", refused.stderr);
    }
    let verified = folder.run(&["--json", "audit", "verify"]);
    assert_eq!(verified.code, 8);
    let error: serde_json::Value = serde_json::from_str(&verified.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "verification");
    assert!(error["error"]["message"].as_str().unwrap().contains(" was changed, in segment "), "{error}");
}

#[test]
fn when_records_are_safe_can_be_said_anywhere() {
    let folder = Folder::with_store();
    for mode in ["always", "interval", "interval=5"] {
        assert_eq!(folder.run_with_input(&["put", "a", "--sync", mode], b"x").code, 0, "{mode}");
    }
    assert_eq!(folder.run(&["list", "--sync", "never"]).code, 2);
    let by_environment = folder.command(&["list"]).env("COFFER_SYNC", "interval=0").output().unwrap();
    assert_eq!(by_environment.status.code(), Some(2));
    let server = folder.serve(&["--sync", "always", "serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(folder.run(&["get", "a"]).stdout, "x");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_list_asks_once() {
    let folder = Folder::with_store();
    for name in ["a", "b"] {
        folder.run_with_input(&["put", name], b"one");
    }
    folder.run_with_input(&["put", "b"], b"two");
    let secrets = folder.json(&["list"]);
    assert_eq!(
        (&secrets["secrets"][0]["versions"], &secrets["secrets"][1]["versions"]),
        (&1.into(), &2.into())
    );
    let tail = folder.run(&["audit", "tail", "-n", "100"]).stdout;
    assert!(tail.contains("ListSecrets ") && !tail.contains("ListSecretVersionIds"), "{tail}");
}

#[test]
fn a_secret_marked_for_deletion_says_until_when_it_can_be_restored() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "app/key"], b"x");
    folder.run(&["delete", "app/key"]);
    for arguments in [&["get", "app/key"][..], &["put", "app/key", "--from-env", "PATH"]] {
        let refused = folder.run(arguments);
        assert_eq!(refused.code, 5);
        let (error, hint) = refused.stderr.split_once("\nhint: until 2").unwrap();
        assert_eq!(error, "error: secret `app/key` is marked for deletion");
        assert!(hint.ends_with("it can be restored with `coffer restore app/key`\n"), "{hint}");
    }
}

#[test]
fn what_cannot_be_taken_back_is_asked_about() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], b"{\"x\":1}");
    folder.run_with_input(&["put", "a"], b"{\"x\":\"hunter2\"}");
    let rolled_back = "version 1 of secret `a` is current now";
    for (arguments, question, typed, code, said) in [
        (
            &["rollback", "a"][..],
            "make version 1 of secret `a` current? [y/N] ",
            "n\r",
            1,
            "nothing was changed",
        ),
        (&["rollback", "a"], "current? [y/N] ", "\r", 1, "nothing was changed"),
        (&["rollback", "a"], "current? [y/N] ", "\x03", 1, "interrupted"),
        (&["rollback", "a"], "current? [y/N] ", "yes\r", 0, rolled_back),
        (&["delete", "a", "--now"], "for good? [y/N] ", "no\r", 1, "nothing was changed"),
        (&["delete", "a", "--now"], "for good? [y/N] ", "y\r", 0, "secret `a` is deleted"),
    ] {
        let Some((ended, printed, _)) = folder.asked(arguments, question, typed.as_bytes()) else { return };
        assert_eq!(ended, code, "{printed}");
        assert!(printed.contains(said) && !printed.contains("hunter2"), "{printed}");
    }
    assert_eq!(folder.run(&["get", "a"]).code, 3);
}

#[test]
fn nothing_is_left_of_what_an_editor_saw_however_it_ended() {
    // Of its own, so that the files of other tests don't show.
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else { return };
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], b"hunter2");
    let left = || std::fs::read_dir(memory.path()).unwrap().count();
    let edit = |editor: &str| {
        let mut command = folder.command(&["edit", "a"]);
        command.env("XDG_RUNTIME_DIR", memory.path()).env("EDITOR", editor);
        command
    };
    for (editor, code) in [
        ("true", 0),
        ("false", 1),
        ("test $(stat -c %a $(dirname $0)) != 700 -o", 1),
        ("sh -c 'cp \"$1\" \"$1~\"; echo changed > \"$1\"' sh", 0),
        ("rm", 1),
    ] {
        let output = edit(editor).output().unwrap();
        assert_eq!((output.status.code(), left()), (Some(code), 0), "{editor}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
    assert_eq!(folder.run(&["get", "a"]).stdout, "changed");
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::HUP] {
        let mut child = edit("exec sleep 60; :").stderr(std::process::Stdio::piped()).spawn().unwrap();
        while left() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert_eq!((child.wait().unwrap().code(), left()), (Some(1), 0), "{signal:?}");
    }
}

#[test]
fn a_file_for_an_editor_is_never_on_a_disk() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], b"x");
    // Relative, not there, and on a disk: none of them is taken, so it is what the system has.
    for place in [".", "/nonexistent", env!("CARGO_MANIFEST_DIR")] {
        let mut command = folder.command(&["edit", "a"]);
        command.env("XDG_RUNTIME_DIR", place).env("EDITOR", "stat -f -c %T");
        let output = command.output().unwrap();
        let kind = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(6) || kind.starts_with("tmpfs\n"), "{kind}");
    }
}

#[test]
fn json_that_was_spoiled_is_edited_again_kept_or_dropped() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], b"{\"x\":1}");
    folder.write(
        "spoil",
        "#!/bin/sh\nif grep -q later \"$1\"; then echo '{\"x\":2}' > \"$1\"; else echo later > \"$1\"; fi\n",
    );
    let script = folder.path().join("spoil");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let variable = [("EDITOR", script.to_str().unwrap())];
    for (typed, code, value) in [
        ("d\r", 1, "{\"x\":1}"),
        ("\x03", 1, "{\"x\":1}"),
        ("\r\rd\r", 1, "{\"x\":1}"),
        ("\rno\re\r", 0, "{\"x\":2}"),
        ("k\r", 0, "later"),
    ] {
        let question = "[e]dit again, [k]eep it as it is, or [d]rop the change? ";
        let asked = folder.asked_with(&variable, &["edit", "a"], question, typed.as_bytes());
        let Some((ended, printed, _)) = asked else { return };
        assert_eq!((ended, folder.run(&["get", "a"]).stdout.as_str()), (code, value), "{printed}");
    }
}

#[test]
fn a_passphrase_is_asked_for_once_where_one_is_needed_twice() {
    let folder = Folder::new();
    let init = folder
        .shell("printf '%s' 'a few words that nobody says' > p && chmod 600 p && COFFER_PASSPHRASE_FILE=p coffer init --seal passphrase")
        .status();
    assert!(init.unwrap().success());
    folder.shell("printf '{}' | COFFER_PASSPHRASE_FILE=p coffer put a").status().unwrap();
    let typed = b"a few words that nobody says\r";
    let asked = folder.asked_with(&[("EDITOR", "sed -i s/}/}/")], &["edit", "a"], "Passphrase: ", typed);
    let Some((code, printed, _)) = asked else { return };
    assert_eq!((code, printed.matches("Passphrase").count()), (0, 1), "{printed}");
}

#[test]
fn what_takes_long_shows_that_it_goes_on_and_leaves_nothing() {
    let folder = Folder::with_store();
    let lock = std::fs::File::open(folder.path().join(".coffer/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let held = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(2_500));
        drop(lock);
    });
    let (code, printed) = folder.on_terminal_as_drawn(&["list"]);
    held.join().unwrap();
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains(" waiting for the store, 1 s"), "{printed}");
    let (_, last) = printed.rsplit_once("waiting for the store").unwrap();
    assert!(last.contains("\r\u{1b}[2K"), "{last}");
}

#[test]
fn a_store_on_a_path_with_spaces_is_reached_by_what_is_printed() {
    let folder = Folder::new();
    folder.write("it's app/.env", ENV_FILE);
    let server = folder.serve(&[
        "up",
        "it's app/.env",
        "--name",
        "app",
        "--home",
        "it's app/.coffer",
        "--listen",
        "127.0.0.1:0",
    ]);
    let evaluate = server.object["environment_command"].as_str().unwrap();
    let mut shell = folder.shell(&format!("{evaluate}; printf %s \"$AWS_ENDPOINT_URL\""));
    let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    assert_eq!(said, server.object["endpoint"].as_str().unwrap(), "{evaluate}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_line_of_a_value_that_lost_its_quotes_is_refused_and_not_shown() {
    let folder = Folder::with_store();
    for line in ["c2VjcmV0Cg==", "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A=", "MIIBIjANBgkqhkiG9w0B/QEFAAOCAQ8A=x"] {
        folder.write("app/.env", &format!("A=1\n  {line}\n"));
        let refused = folder.run(&["import", "app/.env"]);
        assert_eq!(refused.code, 7, "{line}");
        assert!(refused.stderr.starts_with("error: app/.env:2:3: "), "{}", refused.stderr);
        assert!(refused.stderr.contains("quote the value\nhint: "), "{}", refused.stderr);
        assert!(!refused.stderr.contains(&line[..8]), "{}", refused.stderr);
    }
    assert_eq!(folder.json(&["list"])["secrets"], serde_json::json!([]));
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let folder = Folder::with_store();
    folder.run_with_input(&["put", "a"], &[b'x'; 65_000]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = folder.command(&["get", "a"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn dev_serves_a_throw_away() {
    let folder = Folder::new();
    let server = folder.serve(&["serve", "--dev", "--listen", "127.0.0.1:0"]);
    assert_eq!(server.object["dev"], true);
    assert!(server.object["endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(!folder.path().join(".coffer").exists());
    assert_eq!(server.stop(), 0);
    assert_eq!(folder.run(&["serve", "--dev-expose"]).code, 2);
    let refused = folder.run(&["serve", "--dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 7);
    let hint = refused.stderr.split_once("\nhint: ").unwrap().1;
    assert!(hint.contains("--dev-expose"), "{}", refused.stderr);
}

#[test]
fn which_words_about_tls_do_not_go_together() {
    let folder = Folder::new();
    for arguments in [
        &["serve", "--tls", "--plain-http-beyond-loopback"][..],
        &["serve", "--tls-certificate", "a"],
        &["serve", "--tls-key", "a"],
        &["up", "--tls-certificate", "a", "--tls-key", "b", "--tls-name", "c"],
        &["serve", "--dev", "--tls"],
        &["serve", "--dev", "--tls-name", "a"],
    ] {
        assert_eq!(folder.run(arguments).code, 2, "{arguments:?}");
    }
    let folder = Folder::with_store();
    let refused = folder.run(&["serve", "--listen", "127.0.0.1:0", "--tls-name", "not a name"]);
    assert_eq!(refused.code, 7);
    assert!(
        refused.stderr.contains("`not a name` is neither a host's name nor an address"),
        "{}",
        refused.stderr
    );
    let files = ["serve", "--listen", "127.0.0.1:0", "--tls-certificate", "a", "--tls-key", "b"];
    let refused = folder.run(&files);
    assert_eq!(refused.code, 3);
    assert!(refused.stderr.contains("cannot read `a`"), "{}", refused.stderr);
}
