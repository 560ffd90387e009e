//! Transcripts of the command: what it prints where, word for word, and its exit status, both ways in.
//!
//! A file of `transcripts/` is run line by line in a folder of its own, which holds a new store:
//!
//! ```text
//! # a remark; `# in place only` and `# no store` mean what they say
//! $ a line for the shell
//! what it prints to standard output
//! \ no newline at end
//! ! what it prints to standard error
//! ? its exit status, unless 0
//! ```
//!
//! What differs from run to run (ids, times, suffixes of ARNs, hashes, ports) is replaced by a text of the same length, or by
//! a numbered one where it matters which of them it is. `COFFER_TRANSCRIPTS=overwrite cargo test -p coffer-cli --test
//! transcripts in_place` writes down what is printed now; read the difference before you keep it.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::Folder;

const NO_NEWLINE: &str = "\\ no newline at end";

#[test]
fn in_place() {
    run_all(false);
}

#[test]
fn over_the_socket_of_a_server() {
    run_all(true);
}

fn run_all(served: bool) {
    let overwrite = std::env::var_os("COFFER_TRANSCRIPTS").is_some_and(|value| value == "overwrite");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let differing = std::thread::scope(|scope| {
        let run = |file: &PathBuf| {
            let expected = fs::read_to_string(file).unwrap();
            if served && (has(&expected, "# in place only") || has(&expected, "# no store")) {
                return None;
            }
            let printed = printed(&expected, served);
            if overwrite && !served {
                fs::write(file, &printed).unwrap();
            }
            (without_ages(&printed) != without_ages(&expected) && !overwrite)
                .then(|| difference(file, &expected, &printed))
        };
        let runs: Vec<_> = files.iter().map(|file| scope.spawn(move || run(file))).collect();
        runs.into_iter().filter_map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// Where a slow machine took minutes, ages are other words and columns have other widths.
fn without_ages(text: &str) -> String {
    let mut plain = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let mut words = words.as_slice();
        while let [first, rest @ ..] = words {
            words = match words {
                [count, "minute" | "minutes", "ago", rest @ ..] if count.parse::<u32>().is_ok() => {
                    plain.push_str(" just now");
                    rest
                }
                _ => {
                    write!(plain, " {first}").unwrap();
                    rest
                }
            };
        }
        plain.push('\n');
    }
    plain
}

fn has(transcript: &str, remark: &str) -> bool {
    transcript.lines().any(|line| line == remark)
}

/// The transcript as it is printed now.
fn printed(transcript: &str, served: bool) -> String {
    let folder = Folder::new();
    if !has(transcript, "# no store") {
        assert_eq!(folder.run(&["init", "--account-id", "111122223333"]).code, 0);
    }
    let server = served.then(|| folder.serve(&["serve", "--listen", "127.0.0.1:0"]));
    let mut redaction = Redaction::of(&folder);
    let mut text = String::new();
    for line in transcript.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            writeln!(text, "{line}").unwrap();
            let output = folder.shell(command).output().unwrap();
            text.push_str(&redaction.apply(&told(&output)));
        } else if line.starts_with('#') || line.is_empty() {
            writeln!(text, "{line}").unwrap();
        }
    }
    if let Some(server) = server {
        assert_eq!(server.stop(), 0);
    }
    text
}

fn told(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut text = stdout.clone().into_owned();
    if !stdout.is_empty() && !stdout.ends_with('\n') {
        writeln!(text, "\n{NO_NEWLINE}").unwrap();
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        writeln!(text, "! {line}").unwrap();
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => writeln!(text, "? {code}").unwrap(),
        None => writeln!(text, "? {}", output.status).unwrap(),
    }
    // An empty line of output is not one of the transcript's own.
    text.replace("\n\n", "\n.\n")
}

/// Both, from the first line that differs.
fn difference(file: &Path, expected: &str, printed: &str) -> String {
    let same = expected.lines().zip(printed.lines()).take_while(|(one, other)| one == other).count();
    let rest = |text: &str| text.lines().skip(same).take(8).collect::<Vec<_>>().join("\n    ");
    format!(
        "{}:{}: expected\n    {}\nprinted\n    {}\n",
        file.display(),
        same + 1,
        rest(expected),
        rest(printed)
    )
}

/// What differs from run to run, and what stands for it.
struct Redaction {
    paths: Vec<(String, &'static str)>,
    ids: Vec<String>,
    hashes: Vec<String>,
}

impl Redaction {
    fn of(folder: &Folder) -> Self {
        let path = |path: &Path| path.display().to_string();
        let paths = vec![(path(folder.data_dir()), "<data>"), (path(folder.path()), "<folder>")];
        Self { paths, ids: Vec::new(), hashes: Vec::new() }
    }

    fn apply(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (path, name) in &self.paths {
            text = text.replace(path, name);
        }
        let mut redacted = String::new();
        // Words are what the shell's own eyes would take for one: nothing that is replaced holds anything else.
        let is_word = |character: char| character.is_ascii_alphanumeric() || "-:./+=_@".contains(character);
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let length = rest.find(|character| is_word(character) != is_word(first)).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(length);
            redacted.push_str(&if is_word(first) { self.word(piece) } else { piece.to_owned() });
            rest = after;
        }
        redacted
    }

    fn word(&mut self, word: &str) -> String {
        let bytes = word.as_bytes();
        let is_hex = |text: &[u8]| text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let shape: String =
            word.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect();
        if bytes.len() == 36
            && word.split('-').map(str::len).eq([8, 4, 4, 4, 12])
            && is_hex(word.replace('-', "").as_bytes())
        {
            return format!("{:.<36}", format!("id-{}", number_of(&mut self.ids, word)));
        }
        if shape.starts_with("0000-00-00T00:00:00") {
            return shape.replace('0', "·");
        }
        if word.starts_with("arn:aws:secretsmanager:") && bytes.get(word.len().wrapping_sub(7)) == Some(&b'-')
        {
            return format!("{}-······", &word[..word.len() - 7]);
        }
        let is_unique =
            ["AKIA", "AIDA", "AGPA", "AROA", "ANPA"].iter().any(|prefix| word.starts_with(prefix));
        if is_unique && [20, 21].contains(&bytes.len()) {
            let number = number_of(&mut self.ids, word);
            return format!("{:.<width$}", format!("{}-{number}", &word[..4]), width = bytes.len());
        }
        if [32, 64].contains(&bytes.len()) && is_hex(bytes) {
            return "hash".to_owned();
        }
        for folder in ["/keys/", "/credentials/"] {
            if word.starts_with(folder) {
                return format!("{folder}<store>");
            }
        }
        if bytes.len() == 8 && is_hex(bytes) {
            return format!("hash-{:03}", number_of(&mut self.hashes, word));
        }
        word.to_owned()
    }
}

fn number_of(known: &mut Vec<String>, text: &str) -> usize {
    match known.iter().position(|other| other == text) {
        Some(at) => at + 1,
        None => {
            known.push(text.to_owned());
            known.len()
        }
    }
}
