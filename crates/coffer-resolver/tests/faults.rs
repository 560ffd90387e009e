//! The matrix of faults: provider by failure by what was known before, and what the caller gets.
//!
//! `COFFER_FAULTS=overwrite cargo test -p coffer-resolver --features aws,gcp,vault --test faults` writes down `faults.txt` as it is
//! now; read the difference before you keep it. Without some of the features the rows of their stores are passed over.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

#[cfg(any(feature = "aws", feature = "gcp", feature = "vault"))]
#[path = "support/stores.rs"]
mod stores;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffer_resolver::providers::{Coffer, Exec};
use coffer_resolver::{Manifest, Provider, Resolver, ResolverOptions, Surroundings};
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
        let clock = Arc::new(Hand::default());
        let resolver = resolver_of(
            folder.path(),
            self.reference,
            vec![
                Arc::new(Exec::new(folder.path()).within(Duration::from_millis(500))),
                Arc::new(Coffer::new(folder.path())),
            ],
            &clock,
        );
        let got = || got(&resolver);
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

fn resolver_of(
    folder: &Path,
    reference: &str,
    providers: Vec<Arc<dyn Provider>>,
    clock: &Arc<Hand>,
) -> Resolver {
    let text = format!(
        "[secrets.KEY]\nfrom = \"{reference}\"\ndefault = \"d\"\n[profiles.development]\nchain = [\"default\"]"
    );
    fs::write(folder.join("coffer.toml"), text).unwrap();
    let surroundings = || Surroundings::of(&[], folder);
    let manifest = Manifest::read(&folder.join("coffer.toml"), &surroundings()).unwrap();
    let options = ResolverOptions { providers, clock: Arc::clone(clock) as _, ..ResolverOptions::default() };
    Resolver::new(manifest, surroundings(), options).unwrap()
}

fn got(resolver: &Resolver) -> String {
    match resolver.get("KEY") {
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
    }
}

/// A row: who, what, and how it goes for each of the states.
type Row = (&'static str, &'static str, Box<dyn Fn(Option<u64>) -> String + Send + Sync>);

/// The rows of what is on this machine.
fn local_rows() -> impl Iterator<Item = Row> {
    SUBJECTS.iter().flat_map(|subject| {
        subject.failures.iter().map(move |(failure, what)| {
            let outcome: Box<dyn Fn(Option<u64>) -> String + Send + Sync> =
                Box::new(move |age| subject.outcome(what, age));
            (subject.name, *failure, outcome)
        })
    })
}

/// The rows of one that is asked over the network.
#[cfg(any(feature = "aws", feature = "gcp", feature = "vault"))]
fn remote_rows(
    name: &'static str,
    reference: &'static str,
    start: fn() -> stores::Store,
    rows: Vec<stores::Row>,
) -> impl Iterator<Item = Row> {
    rows.into_iter().map(move |(failure, fault)| {
        let outcome: Box<dyn Fn(Option<u64>) -> String + Send + Sync> = Box::new(move |age| {
            let (folder, store) = (tempfile::tempdir().unwrap(), start());
            let clock = Arc::new(Hand::default());
            let resolver = resolver_of(folder.path(), reference, vec![Arc::clone(&store.provider)], &clock);
            if let Some(age) = age {
                assert_eq!(got(&resolver), "value", "{name}");
                clock.pass(age);
            }
            store.fail(&fault);
            got(&resolver)
        });
        (name, failure, outcome)
    })
}

#[test]
fn what_the_caller_gets() {
    #[cfg_attr(
        not(any(feature = "aws", feature = "gcp", feature = "vault")),
        expect(unused_mut, reason = "features add more")
    )]
    let mut rows: Vec<Row> = local_rows().collect();
    #[cfg(feature = "aws")]
    rows.extend(remote_rows("aws", "aws://said#A", stores::aws, stores::aws_rows()));
    #[cfg(feature = "vault")]
    rows.extend(remote_rows("vault", "vault://secret/said#A", stores::vault, stores::vault_rows()));
    #[cfg(feature = "gcp")]
    rows.extend(remote_rows("gcp", "gcp://bot/said#A", stores::gcp, stores::gcp_rows()));
    let lines: Vec<String> = std::thread::scope(|scope| {
        let cells = |(_, _, outcome): &Row| STATES.map(|(_, age)| format!("{:<20}", outcome(age))).concat();
        let rows: Vec<_> = rows.iter().map(|row| (row, scope.spawn(move || cells(row)))).collect();
        rows.into_iter()
            .map(|((name, failure, _), cells)| {
                format!("{name:<8}{failure:<22}{}", cells.join().unwrap().trim_end())
            })
            .collect()
    });
    let head = STATES.map(|(state, _)| format!("{state:<20}")).concat();
    let mut table = vec![format!("{:<8}{:<22}{}", "", "", head.trim_end())];
    table.extend(lines);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults.txt");
    if std::env::var_os("COFFER_FAULTS").is_some_and(|value| value == "overwrite") {
        fs::write(&path, table.join("\n") + "\n").unwrap();
    }
    let known = fs::read_to_string(path).unwrap_or_default();
    let is_built = |line: &&str| {
        let name = line.split(' ').next().unwrap_or_default();
        name.is_empty() || rows.iter().any(|(subject, ..)| *subject == name)
    };
    assert_eq!(known.lines().filter(is_built).collect::<Vec<_>>().join("\n"), table.join("\n"));
}
