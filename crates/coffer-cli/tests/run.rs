//! `coffer run` where it looks after the program: files, changes, signals, the terminal, how it ends.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Folder, Serving, heeding};

const MANIFEST: &str = "[secrets.API_KEY]\n[secrets.EXTRA]\nrequired = false\n[profiles.development]\nchain = [\"env\", \"dotenv:.env\"]\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("coffer.toml", MANIFEST);
    folder.write(".env", "API_KEY=first\n");
    folder
}

fn running(folder: &Folder, arguments: &[&str]) -> Child {
    let mut command = heeding(&folder.command(arguments));
    // In a group that has no terminal, wherever the tests are run.
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// What the file holds once it has that many lines.
fn lines(folder: &Folder, name: &str, count: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let lines: Vec<String> = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| line.trim_end().to_owned())
            .collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{lines:?}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn files_in_memory_hold_the_values_while_the_program_runs() {
    let folder = folder();
    let script = r#"cat "$API_KEY_FILE"; echo; stat -c %a "$API_KEY_FILE" "${API_KEY_FILE%/*}"; echo "${API_KEY-unset} ${EXTRA_FILE-unset}"; echo "${API_KEY_FILE%/*}"; exit 9"#;
    let mut command = folder.command(&["run", "--files", "--", "sh", "-c", script]);
    let output = command.env("API_KEY", "inherited").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..4], ["inherited", "600", "700", "unset unset"], "{printed}");
    assert_eq!(output.status.code(), Some(9));
    assert!(Path::new(lines[4]).is_absolute() && !Path::new(lines[4]).exists(), "{printed}");
}

#[test]
fn it_ends_as_the_program_does() {
    let folder = folder();
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(folder.run(&["run", "--files", "--", "sh", "-c", script]).code, code, "{script}");
    }
    let ran = folder.run(&["run", "--watch", "--", "nothing-of-that-name"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("cannot run `nothing-of-that-name`"), "{}", ran.stderr);
}

#[test]
fn signals_reach_the_program_and_those_it_began() {
    let folder = folder();
    // The one in the background has a mind of its own, too.
    let script = "trap 'echo told >> log; wait; exit 7' TERM; \
        sh -c 'trap \"echo told too >> log; exit\" TERM; echo up >> log; while :; do sleep 0.05; done' & \
        echo up >> log; while :; do sleep 0.05; done";
    let mut child = running(&folder, &["run", "--watch", "--", "sh", "-c", script]);
    lines(&folder, "log", 2);
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let mut said = lines(&folder, "log", 4);
    said.sort();
    assert_eq!(said, ["told", "told too", "up", "up"]);
}

#[test]
fn what_it_was_begun_to_ignore_the_program_ignores() {
    let folder = folder();
    let line = "trap '' HUP; exec coffer run --watch -- sh -c 'echo up >> log; while :; do sleep 0.05; done'";
    let mut command = folder.shell(line);
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    lines(&folder, "log", 1);
    send(&child, Signal::HUP);
    sleep(Duration::from_millis(300));
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143), "129 if it was hung up");
}

#[test]
fn no_file_is_left_by_a_signal_that_comes_before_the_program_runs() {
    let Ok(memory) = tempfile::Builder::new().prefix("coffer-test-").tempdir_in("/dev/shm") else { return };
    let folder = folder();
    let count = 2000;
    let secrets: String = (0..count).map(|number| format!("[secrets.KEY_{number}]\n")).collect();
    folder.write("coffer.toml", &format!("{secrets}{MANIFEST}"));
    let mut command = folder.command(&["run", "--files", "--", "sleep", "60"]);
    command.envs((0..count).map(|number| (format!("KEY_{number}"), "hunter2")));
    command.env("XDG_RUNTIME_DIR", memory.path()).process_group(0);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let written = || fs::read_dir(memory.path()).unwrap().flatten().next();
    let begun = Instant::now();
    while written().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(1));
    }
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(written().is_none());
}

#[test]
fn a_changed_secret_starts_the_program_anew() {
    let folder = folder();
    let script =
        "trap 'echo ended >> log; exit 0' TERM; echo \"$API_KEY\" >> log; while :; do sleep 0.05; done";
    let mut child = running(&folder, &["run", "--watch", "--", "sh", "-c", script]);
    assert_eq!(lines(&folder, "log", 1), ["first"]);
    folder.write(".env", "API_KEY=second\n");
    assert_eq!(lines(&folder, "log", 3), ["first", "ended", "second"]);
    // What is gone is warned of, and the program goes on with what it has.
    folder.write(".env", "\n");
    sleep(Duration::from_millis(1200));
    folder.write(".env", "API_KEY=third\n");
    assert_eq!(lines(&folder, "log", 5)[3..], ["ended", "third"]);
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(lines(&folder, "log", 6).len(), 6);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("`API_KEY` is missing; the program goes on with what it has"), "{said}");
    assert!(!said.contains("second") && !said.contains("third"), "{said}");
}

#[test]
fn a_change_is_not_lost_while_another_secret_can_not_be_had() {
    let folder = folder();
    folder.write("coffer.toml", &format!("[secrets.OTHER]\n{MANIFEST}"));
    folder.write(".env", "API_KEY=first\nOTHER=x\n");
    let script =
        "trap 'echo ended >> log; exit 0' TERM; echo \"$API_KEY\" >> log; while :; do sleep 0.05; done";
    let mut child = running(&folder, &["run", "--watch", "--", "sh", "-c", script]);
    assert_eq!(lines(&folder, "log", 1), ["first"]);
    folder.write(".env", "API_KEY=second\n");
    sleep(Duration::from_millis(1500));
    assert_eq!(lines(&folder, "log", 1), ["first"]);
    folder.write(".env", "API_KEY=second\nOTHER=x\n");
    assert_eq!(lines(&folder, "log", 3), ["first", "ended", "second"]);
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(said.matches("`OTHER` is missing; the program goes on with what it has").count(), 1, "{said}");
    assert_eq!(said.matches("goes on with what it has").count(), 1, "{said}");
    assert!(said.contains("changed: `API_KEY`\n"), "{said}");
}

#[test]
fn a_program_that_does_not_end_in_time_is_killed() {
    let folder = folder();
    // It ends by itself one day, whatever becomes of this test.
    let script = "trap '' TERM; echo \"$API_KEY\" >> log; for i in $(seq 200); do sleep 0.05; done";
    let mut child = running(&folder, &["run", "--watch", "--grace", "1s", "--", "sh", "-c", script]);
    lines(&folder, "log", 1);
    folder.write(".env", "API_KEY=second\n");
    assert_eq!(lines(&folder, "log", 2), ["first", "second"]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_changed_secret_is_told_by_a_signal_once_its_file_holds_it() {
    let folder = folder();
    let script = r#"trap 'cat "$API_KEY_FILE" >> log; echo >> log' HUP; trap 'exit 0' TERM; echo up >> log; while :; do sleep 0.05; done"#;
    let arguments = ["run", "--files", "--watch", "--on-change", "HUP", "--", "sh", "-c", script];
    let mut child = running(&folder, &arguments);
    lines(&folder, "log", 1);
    folder.write(".env", "API_KEY=second\n");
    assert_eq!(lines(&folder, "log", 2), ["up", "second"]);
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_program_has_the_terminal() {
    let folder = folder();
    let script = "printf ready; read answer; echo \"got $answer\"";
    let asked = folder.asked(&["run", "--files", "--", "sh", "-c", script], "ready", b"hello\n");
    if let Some((code, printed, _)) = asked {
        assert!(code == 0 && printed.contains("got hello"), "{code} {printed}");
    }
    // The keyboard's signals come once.
    let script = counting("INT", "");
    let asked = folder.asked(&["run", "--watch", "--", "sh", "-c", &script], "ready", b"\x03");
    if let Some((code, printed, _)) = asked {
        assert_eq!((code, printed.matches("arrived").count()), (5, 1), "{printed}");
    }
}

/// A program that says each time the signal arrives, and ends half a second after the last, or on its own one day.
fn counting(signal: &str, first: &str) -> String {
    format!(
        "trap 'echo arrived; left=10' {signal}; left=400; printf ready; {first}
        while test $left -gt 0; do sleep 0.05; left=$((left - 1)); done; exit 5"
    )
}

#[test]
fn what_a_process_sends_at_a_terminal_is_handed_on() {
    let folder = folder();
    // The program asks for it itself; a supervisor or another terminal would send the same.
    for (signal, to, option) in [
        ("INT", "$PPID", "--watch"),
        ("QUIT", "$PPID", "--files"),
        ("TERM", "$PPID", "--watch"),
        ("HUP", "$PPID", "--watch"),
        // As a shell's `fg` sends it: to the group.
        ("CONT", "0", "--watch"),
    ] {
        let script = counting(signal, &format!("kill -{signal} {to};"));
        let asked = folder.asked(&["run", option, "--", "sh", "-c", &script], "ready", b"");
        if let Some((code, printed, _)) = asked {
            assert_eq!((code, printed.matches("arrived").count()), (5, 1), "{signal}: {printed}");
        }
    }
}

#[test]
fn a_change_in_a_store_of_this_machine_shows_at_once() {
    for is_served in [true, false] {
        let folder = Folder::with_store();
        assert_eq!(folder.run_with_input(&["put", "bot"], b"first").code, 0);
        assert_eq!(folder.run_with_input(&["put", "other"], b"x").code, 0);
        folder.write("coffer.toml", "[secrets.API_KEY]\nfrom = \"coffer://bot\"\n");
        let serving = is_served.then(|| folder.serve(&["serve", "--listen", "127.0.0.1:0"]));
        let script = "trap 'exit 0' TERM; printf '%s\\n' \"$API_KEY\" >> log; while :; do sleep 0.05; done";
        let watch = ["run", "--watch", "--poll", "1h", "--", "sh", "-c", script];
        let mut child = running(&folder, &watch);
        assert_eq!(lines(&folder, "log", 1), ["first"]);
        let put = |name: &str, value: &[u8]| assert_eq!(folder.run_with_input(&["put", name], value).code, 0);
        put("bot", b"second");
        assert_eq!(lines(&folder, "log", 2), ["first", "second"]);
        // Nor does whoever looks set off another look, and what others change is asked for but rarely.
        let reads = || {
            let lines =
                folder.run(&["--json", "audit", "tail", "-n", "1000", "--operation", "GetSecretValue"]);
            lines.stdout.lines().count()
        };
        sleep(Duration::from_secs(3));
        let before = reads();
        sleep(Duration::from_secs(3));
        assert_eq!(reads(), before, "served: {is_served}");
        put("other", b"y");
        put("bot", b"third");
        assert_eq!(lines(&folder, "log", 3)[2], "third");
        assert!(reads() <= before + 3, "served: {is_served}");
        send(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        serving.map(Serving::stop);
    }
}

#[test]
fn as_process_1_it_takes_in_what_others_leave_behind() {
    let folder = folder();
    // The inner shell ends first, so that process 1 becomes the parent of what sleeps.
    let script = "sh -c 'sleep 0.2 & exit'; sleep 3; ps -eo stat= | grep -c ^Z";
    let plain = folder.command(&["run", "--files", "--", "sh", "-c", script]);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]);
    if !Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        return;
    }
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(folder.path());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", String::from_utf8_lossy(&output.stderr));
}
