//! A folder to run the built program in, with a data directory of its own.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use coffer_core::Core;
use coffer_core::ops::secrets::{CreateSecret, DeleteSecret, DeletionMode};
use coffer_server::home::{Home, OpenOptions, WayIn};
use coffer_server::local;
use serde_json::Value;

/// What every dialect reads alike.
pub(crate) const ENV_FILE: &str = "API_KEY=key-1\nexport API_SECRET='s%2Fecret'\nREGION=\"eu\" # a comment\n";

pub(crate) struct Folder {
    folder: tempfile::TempDir,
    data: tempfile::TempDir,
}

/// A program that ran to its end.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stdout_bytes: Vec<u8>,
    pub(crate) stderr: String,
}

/// A program that serves, and the object it printed once it did.
pub(crate) struct Serving {
    child: Child,
    pub(crate) object: Value,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn with_store() -> Self {
        let folder = Self::new();
        let made = folder.run(&["init"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn mode_of(&self, path: &Path) -> u32 {
        fs::metadata(self.path().join(path)).unwrap().permissions().mode() & 0o777
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    /// A line for the shell, to which the command is `coffer`.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(line);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        let program = Path::new(env!("CARGO_BIN_EXE_coffer")).parent().unwrap();
        let search_path = std::env::var_os("PATH").unwrap_or_default();
        let search_path = [program.to_owned()].into_iter().chain(std::env::split_paths(&search_path));
        command
            .current_dir(self.path())
            .env("PATH", std::env::join_paths(search_path).unwrap())
            .env("COFFER_DATA_DIR", self.data_dir())
            // So that nothing is looked for, or written, in the files of whoever runs the tests.
            .env("HOME", self.path())
            .stdin(Stdio::null());
        for name in [
            "COFFER_HOME",
            "COFFER_SYNC",
            "COFFER_PASSPHRASE_FILE",
            "COFFER_ADMIN_ACCESS_KEY_ID",
            "COFFER_ADMIN_SECRET_ACCESS_KEY",
            "VISUAL",
            "EDITOR",
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_CONFIG_FILE",
        ] {
            command.env_remove(name);
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, b"")
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that needs no input may end before it is written.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: code_of(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stdout_bytes: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The object a command prints with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[&["--json"], arguments].concat());
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Runs the command with output and errors on a terminal; its exit code and all it printed but signs of life,
    /// which only a slow machine sees.
    pub(crate) fn on_terminal(&self, arguments: &[&str]) -> (i32, String) {
        let (code, drawn) = self.on_terminal_as_drawn(arguments);
        let mut pieces = drawn.split("\r\u{1b}[2K");
        let first = pieces.next().unwrap_or_default().to_owned();
        let is_frame =
            |piece: &&str| piece.starts_with(|character| ('\u{2800}'..='\u{28ff}').contains(&character));
        (code, first + &pieces.filter(|piece| !is_frame(piece)).collect::<String>())
    }

    /// The same with signs of life.
    pub(crate) fn on_terminal_as_drawn(&self, arguments: &[&str]) -> (i32, String) {
        let (mut controller, terminal) = new_terminal();
        let mut command = self.command(arguments);
        command.env("TERM", "xterm").stdout(terminal.try_clone().unwrap()).stderr(terminal);
        let mut child = command.spawn().unwrap();
        drop(command);
        // Reading ends with an error once the last other end is closed.
        let (mut printed, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = controller.read(&mut piece) {
            printed.extend_from_slice(&piece[..count]);
        }
        (code_of(child.wait().unwrap()), String::from_utf8_lossy(&printed).into_owned())
    }

    /// Runs the command where it can ask somebody, who types `typed` once it does. Its exit code, all it printed, and
    /// whether the terminal echoed while it asked and afterwards. `None` if this machine has no `setsid`.
    pub(crate) fn asked(
        &self,
        arguments: &[&str],
        question: &str,
        typed: &[u8],
    ) -> Option<(i32, String, [bool; 2])> {
        self.asked_with(&[], arguments, question, typed)
    }

    /// The same with environment variables.
    pub(crate) fn asked_with(
        &self,
        variables: &[(&str, &str)],
        arguments: &[&str],
        question: &str,
        typed: &[u8],
    ) -> Option<(i32, String, [bool; 2])> {
        use rustix::termios::{LocalModes, tcgetattr};
        let (mut controller, terminal) = new_terminal();
        let controller_for_typing = controller.try_clone().unwrap();
        let echoes = || tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO);
        let mut plain = self.command(arguments);
        plain.envs(variables.iter().copied());
        let heeding = heeding(&plain);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(heeding.get_program()).args(heeding.get_args());
        command.current_dir(self.path());
        set_environment_of(&plain, &mut command);
        let ends = [&terminal; 3].map(|terminal| terminal.try_clone().unwrap());
        let [stdin, stdout, stderr] = ends;
        let mut child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().ok()?;
        drop(command);
        // Its other end is open here too, so it would never end to read from.
        rustix::fs::fcntl_setfl(&controller, rustix::fs::OFlags::NONBLOCK).unwrap();
        let mut printed = String::new();
        let mut read = |printed: &mut String| {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = controller.read(&mut piece) {
                printed.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        };
        within_a_minute(|| {
            read(&mut printed);
            printed.contains(question).then_some(())
        });
        let echoed_while = echoes();
        rustix::io::write(&controller_for_typing, typed).unwrap();
        let status = within_a_minute(|| child.try_wait().unwrap());
        read(&mut printed);
        Some((code_of(status), printed, [echoed_while, echoes()]))
    }

    /// Runs the command with a terminal to read from that is not its own to ask on; its exit code and what it said.
    /// `None` if this machine has no `setsid`.
    pub(crate) fn unasked(&self, arguments: &[&str]) -> Option<(i32, String)> {
        let (_controller, terminal) = new_terminal();
        let plain = self.command(arguments);
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(plain.get_program()).args(arguments).current_dir(self.path());
        set_environment_of(&plain, &mut command);
        let output = command.stdin(terminal).output().ok()?;
        Some((code_of(output.status), String::from_utf8(output.stderr).unwrap()))
    }

    /// Asks the store's core for something the command has no word for.
    fn execute<O: coffer_core::Operation>(&self, operation: impl FnOnce(&Core) -> O) {
        let home = Home::at(self.path().join(".coffer")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let Ok(WayIn::InPlace(lock)) = home.way_in("a test", None, None, Duration::from_secs(5)) else {
                panic!("the store is held")
            };
            let spawn = std::sync::Arc::new(coffer_server::RuntimeSpawn::here());
            let options = OpenOptions::default();
            let unsealed = || Err(std::io::ErrorKind::Unsupported.into());
            let opened = home.open(lock, self.data_dir(), unsealed, options, spawn).await.unwrap();
            let core = &opened.core;
            let context = local::authenticate_self(core, "a test", None, None).await.unwrap();
            assert!(core.execute(&context, operation(core)).await.is_ok());
            opened.close().await.unwrap();
        });
    }

    /// Makes a secret as programs may: with a name and nothing else.
    pub(crate) fn make_secret_without_value(&self, name: &str) {
        self.execute(|core| CreateSecret {
            name: name.parse().unwrap(),
            token: core.new_version_id(),
            description: None,
            kms_key_id: None,
            value: None,
            tags: None,
        });
    }

    /// Marks a secret for deletion.
    pub(crate) fn delete_secret(&self, name: &str) {
        self.execute(|_| DeleteSecret {
            secret_id: name.parse().unwrap(),
            mode: DeletionMode::Recoverable { days: 7 },
        });
    }

    /// Holds the store as a server does, greets one client, and answers its first request with `answer`.
    pub(crate) fn pretend_to_serve(&self, answer: &'static str) -> JoinHandle<()> {
        let folder = self.path().join(".coffer");
        let lock = fs::File::open(folder.join("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let _ = fs::remove_file(folder.join("coffer.sock"));
        let listener = UnixListener::bind(folder.join("coffer.sock")).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for said in [r#"{"protocol":1}"#, answer] {
                let mut front = [0; 4];
                stream.read_exact(&mut front).unwrap();
                let mut heard = vec![0; u32::from_be_bytes(front).try_into().unwrap()];
                stream.read_exact(&mut heard).unwrap();
                stream.write_all(&u32::try_from(said.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(said.as_bytes()).unwrap();
            }
            drop(lock);
        })
    }

    /// Starts a command that serves, and waits until it does.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Serving {
        let mut command = self.command(&[&["--json"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let object = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Serving { child, object }
    }

    /// Every file of the store and of the data directory.
    pub(crate) fn kept_files(&self) -> Vec<PathBuf> {
        let (mut folders, mut files) =
            (vec![self.path().join(".coffer"), self.data_dir().to_owned()], vec![]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() { &mut folders } else { &mut files }.push(path);
            }
        }
        files
    }

    pub(crate) fn audit_folder(&self) -> PathBuf {
        self.path().join(".coffer/audit")
    }

    /// The names of the log's files, sorted.
    pub(crate) fn audit_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.audit_folder()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Takes the newest records out of the log, as somebody would who wants them forgotten.
    pub(crate) fn cut_audit_log(&self, records: usize) {
        let segments = self.audit_files().into_iter().filter(|name| name.ends_with(".jsonl"));
        let (path, bytes) = segments
            .map(|name| self.audit_folder().join(name))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .rfind(|(_, bytes)| bytes.first() == Some(&b'{'))
            .unwrap();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let lines: Vec<&[u8]> = lines.into_iter().filter(|line| line.first() == Some(&b'{')).collect();
        fs::write(path, lines[..lines.len() - records].concat()).unwrap();
    }

    /// Changes a letter of a record in the middle of the log.
    pub(crate) fn spoil_audit_log(&self) {
        let mut spoiled = 0;
        for entry in fs::read_dir(self.audit_folder()).unwrap() {
            let path = entry.unwrap().path();
            let Ok(mut bytes) = fs::read(&path) else { continue };
            if let Some(at) = bytes.windows(7).position(|window| window == b"app/key") {
                bytes[at] = b'A';
                fs::write(&path, bytes).unwrap();
                spoiled += 1;
            }
        }
        assert!(spoiled > 0);
    }
}

impl Serving {
    /// Asks the server to stop as an init system does; its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        code_of(self.child.wait().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `attempt` comes to, tried again and again.
fn within_a_minute<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing came of it within a minute");
        sleep(Duration::from_millis(10));
    }
}

/// The command, heeding the signals that whoever began the tests may have had ignored, by `nohup` or in the background.
pub(crate) fn heeding(plain: &Command) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,QUIT").arg(plain.get_program()).args(plain.get_args());
    plain.get_current_dir().map(|folder| command.current_dir(folder));
    set_environment_of(plain, &mut command);
    command
}

fn set_environment_of(plain: &Command, command: &mut Command) {
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// A terminal: the end of whoever sits at it, and that of the program.
fn new_terminal() -> (fs::File, fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    (fs::File::from(controller), fs::File::from(terminal))
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("ended by {status}"))
}
