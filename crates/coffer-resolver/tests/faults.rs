//! The matrix of faults: provider by failure by what was known before, and what the caller gets.
//!
//! `COFFER_FAULTS=overwrite cargo test -p coffer-resolver --test faults` writes down `faults.txt` as it is now; read the
//! difference before you keep it.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffer_resolver::providers::{Coffer, Exec};
use coffer_resolver::{Manifest, Resolver, ResolverOptions, Surroundings};
use support::{Hand, SECRET, serve};

/// Before the failure the value was never read; read just now; four minutes ago, which sets off a fetch behind the caller; ten
/// minutes ago; two hours ago.
const STATES: [(&str, Option<u64>); 5] = [
    ("cold", None),
    ("fresh", Some(1)),
    ("ageing", Some(240)),
    ("stale", Some(600)),
    ("too old", Some(7200)),
];

/// How a provider is made to answer: what to write into its file `said`.
struct Subject {
    name: &'static str,
    reference: &'static str,
    good: &'static str,
    failures: &'static [(&'static str, &'static str)],
}

static SUBJECTS: [Subject; 4] = [
    Subject {
        name: "exec",
        reference: "exec:sh said",
        good: "echo '{\"A\":1}'",
        failures: &[
            ("exit 3", "exit 3"),
            ("exit 4", "exit 4"),
            ("exit 6", "exit 6"),
            ("exit 8", "exit 8"),
            ("exit 1", "echo hunter2; exit 1"),
            ("killed", "kill -9 $$"),
            ("hangs", "exec sleep 60"),
            ("floods", "exec head -c 2000000 /dev/zero"),
        ],
    },
    Subject {
        name: "coffer",
        reference: "coffer://said#A",
        good: "here",
        failures: &[
            ("not found", "NotFound"),
            ("denied", "Denied"),
            ("marked for deletion", "Conflict"),
            ("unavailable", "Unavailable"),
            ("fault", "Other"),
            ("refused", "Refused"),
            ("not what was written", "Verification"),
            ("hangs up", "hang-up"),
            ("nonsense", "nonsense"),
            ("another's answer", "other"),
            ("socket gone", "(gone)"),
        ],
    },
    Subject {
        name: "file",
        reference: "file:said",
        good: "{\"A\":1}",
        failures: &[("gone", "(gone)"), ("folder", "(folder)"), ("emptied", "")],
    },
    Subject {
        name: "dotenv",
        reference: "dotenv:said#A",
        good: "A=1",
        failures: &[("gone", "(gone)"), ("folder", "(folder)"), ("unreadable", "'hunter2")],
    },
];

impl Subject {
    fn say(&self, folder: &Path, what: &str) {
        let said = folder.join("said");
        match what {
            "(gone)" if self.name == "coffer" => fs::remove_file(folder.join("coffer.sock")).unwrap(),
            "(gone)" => fs::remove_file(said).unwrap(),
            "(folder)" => {
                fs::remove_file(&said).unwrap();
                fs::create_dir(said).unwrap();
            }
            text => fs::write(said, text).unwrap(),
        }
    }

    fn outcome(&self, what: &str, age: Option<u64>) -> String {
        let folder = tempfile::tempdir().unwrap();
        serve(&folder.path().join("coffer.sock"));
        let text = format!(
            "[secrets.KEY]\nfrom = \"{}\"\ndefault = \"d\"\n[profiles.development]\nchain = [\"default\"]",
            self.reference
        );
        fs::write(folder.path().join("coffer.toml"), text).unwrap();
        let surroundings = || Surroundings::of(&[], folder.path());
        let manifest = Manifest::read(&folder.path().join("coffer.toml"), &surroundings()).unwrap();
        let clock = Arc::new(Hand::default());
        let options = ResolverOptions {
            providers: vec![
                Arc::new(Exec::new(folder.path()).within(Duration::from_millis(500))),
                Arc::new(Coffer::new(folder.path())),
            ],
            clock: Arc::clone(&clock) as _,
            ..ResolverOptions::default()
        };
        let resolver = Resolver::new(manifest, surroundings(), options).unwrap();
        let got = || match resolver.get("KEY") {
            Ok(Some(found)) if found.place == "default" => "default".to_owned(),
            Ok(Some(found)) if found.stale.is_some() => "stale value".to_owned(),
            Ok(Some(_)) => "value".to_owned(),
            Ok(None) => "-".to_owned(),
            Err(problem) => {
                assert!(!format!("{problem:?}").contains(SECRET));
                match &problem.fault {
                    coffer_resolver::Fault::Empty { .. } => "empty".to_owned(),
                    _ => problem.kind().to_string(),
                }
            }
        };
        if let Some(age) = age {
            self.say(folder.path(), self.good);
            assert_eq!(got(), "value", "{}", self.name);
            clock.pass(age);
        } else if what.starts_with('(') && self.name != "coffer" {
            self.say(folder.path(), self.good);
        }
        self.say(folder.path(), what);
        got()
    }
}

#[test]
fn what_the_caller_gets() {
    let mut table = String::new();
    writeln!(
        table,
        "{:<8}{:<22}{}",
        "",
        "",
        STATES.map(|(state, _)| format!("{state:<20}")).concat().trim_end()
    )
    .unwrap();
    let rows: Vec<String> = std::thread::scope(|scope| {
        let cells = |subject: &'static Subject, failure: &str, what: &str| {
            let outcomes = STATES.map(|(_, age)| format!("{:<20}", subject.outcome(what, age))).concat();
            format!("{:<8}{failure:<22}{}", subject.name, outcomes.trim_end())
        };
        let rows: Vec<_> = SUBJECTS
            .iter()
            .flat_map(|subject| subject.failures.iter().map(move |failure| (subject, failure)))
            .map(|(subject, (failure, what))| scope.spawn(move || cells(subject, failure, what)))
            .collect();
        rows.into_iter().map(|row| row.join().unwrap()).collect()
    });
    for row in rows {
        writeln!(table, "{row}").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults.txt");
    if std::env::var_os("COFFER_FAULTS").is_some_and(|value| value == "overwrite") {
        fs::write(&path, &table).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), table);
}
