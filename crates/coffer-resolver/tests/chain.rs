//! Which layer answers, and what is said when none does.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use coffer_resolver::{
    Answer, ErrorKind, FetchError, Fetched, Manifest, Policy, Provider, Reference, Resolver, ResolverOptions,
    Retry, Scheme, Surroundings, Walk,
};
use coffer_types::SecretBytes;
use proptest::prelude::*;

/// A store that says of each document what its name says.
struct Scripted;

impl Provider for Scripted {
    fn scheme(&self) -> Scheme {
        Scheme::Aws
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        let kind = match document.path() {
            "absent" => ErrorKind::NotFound,
            "denied" => ErrorKind::Denied,
            "malformed" => ErrorKind::Malformed,
            "sealed" => ErrorKind::DecryptionFailed,
            "throttled" => ErrorKind::Throttled,
            "away" => ErrorKind::Unavailable,
            "wrong" => ErrorKind::Misconfigured,
            "object" => return Ok(Fetched::new(SecretBytes::copy_from(br#"{"KEY":"of store","E":""}"#))),
            path => return Ok(Fetched::new(SecretBytes::copy_from(path.as_bytes()))),
        };
        Err(FetchError::new(kind, Scheme::Aws, "as told", "nothing"))
    }
}

fn resolver(folder: &Path, manifest: &str, variables: &[(&str, &str)]) -> Resolver {
    let manifest = Manifest::parse(Path::new("coffer.toml"), manifest).unwrap();
    // Asked once: what is asked again is in `sources.rs`.
    let retry = Retry { attempts_max: 1, ..Retry::default() };
    let policy = Policy { retry, ..Policy::default() };
    let options =
        ResolverOptions { providers: vec![Arc::new(Scripted)], policy, ..ResolverOptions::default() };
    Resolver::new(manifest, Surroundings::of(variables, folder), options).unwrap()
}

/// `value @ place`, `-`, or what is wrong; and who was asked.
fn told(walk: Walk) -> String {
    let asked: Vec<String> = walk
        .asked
        .iter()
        .map(|asked| match &asked.answer {
            Answer::Found => format!("{}=found", asked.place),
            Answer::Stale(_) => format!("{}=stale", asked.place),
            Answer::NotFound => format!("{}=no", asked.place),
            Answer::Failed(kind) => format!("{}={kind}", asked.place),
        })
        .collect();
    let result = match walk.result {
        Ok(Some(found)) => {
            format!("{} @ {}", String::from_utf8_lossy(found.value.expose_secret()), found.place)
        }
        Ok(None) => "-".to_owned(),
        Err(problem) => problem.to_string(),
    };
    format!("{result} | {}", asked.join(" "))
}

fn of_chain(chain: &str, secret: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), "KEY='of dotenv'\nOTHER=x\n").unwrap();
    fs::create_dir(folder.path().join("mounted")).unwrap();
    fs::write(folder.path().join("mounted/key"), "of file\n").unwrap();
    let manifest = format!("[secrets.KEY]\n{secret}\n[profiles.development]\nchain = [{chain}]");
    told(resolver(folder.path(), &manifest, variables).walk("KEY"))
}

#[test]
fn the_first_layer_that_has_it_answers() {
    let all = r#""env", "dotenv:.env", "aws:object", "default""#;
    for (chain, secret, variables, expected) in [
        (all, "", &[("KEY", "of env")][..], "of env @ env:KEY | env:KEY=found"),
        (all, "", &[], "of dotenv @ dotenv:.env#KEY | env:KEY=no dotenv:.env#KEY=found"),
        (
            r#""env", "aws:object""#,
            "",
            &[],
            "of store @ aws://object#KEY | env:KEY=no aws://object#KEY=found",
        ),
        (
            r#""dotenv:none", "files:mounted""#,
            "",
            &[],
            "of file @ file://mounted/key | dotenv:none#KEY=no file://mounted/KEY=no file://mounted/key=found",
        ),
        (r#""env", "default""#, "default = \"d\"", &[], "d @ default | env:KEY=no default=found"),
        (
            r#""env", "default""#,
            "default = \"aws://object#KEY\"",
            &[],
            "of store @ aws://object#KEY | env:KEY=no default=found aws://object#KEY=found",
        ),
        (
            r#""env""#,
            "from = \"aws://fixed\"",
            &[("KEY", "of env")],
            "fixed @ aws://fixed | aws://fixed=found",
        ),
        (r#""env""#, "", &[("KEY", "aws://abc")], "abc @ aws://abc | env:KEY=found aws://abc=found"),
        (
            r#""exec:sh -c 'echo of $0' {name}""#,
            "",
            &[],
            "of KEY @ exec:sh -c 'echo of $0' KEY | exec:sh -c 'echo of $0' KEY=found",
        ),
        (r#""env""#, "", &[("KEY_FILE", "mounted/key")], "of file @ env:KEY | env:KEY=found"),
    ] {
        assert_eq!(of_chain(chain, secret, variables), expected);
    }
}

#[test]
fn only_a_definitive_not_found_goes_on() {
    for (store, expected) in [
        ("absent", "d @ default | aws://absent#KEY=no default=found"),
        ("object", "of store @ aws://object#KEY | aws://object#KEY=found"),
        ("denied", "`KEY` can't be read from `aws://denied#KEY` | aws://denied#KEY=denied"),
        ("malformed", "`KEY` can't be read from `aws://malformed#KEY` | aws://malformed#KEY=malformed"),
        ("sealed", "`KEY` can't be read from `aws://sealed#KEY` | aws://sealed#KEY=decryption failed"),
        ("throttled", "`KEY` can't be read from `aws://throttled#KEY` | aws://throttled#KEY=throttled"),
        ("away", "`KEY` can't be read from `aws://away#KEY` | aws://away#KEY=unavailable"),
        ("wrong", "`KEY` can't be read from `aws://wrong#KEY` | aws://wrong#KEY=misconfigured"),
        ("no-json", "`KEY` can't be read from `aws://no-json#KEY` | aws://no-json#KEY=malformed"),
    ] {
        assert_eq!(of_chain(&format!("\"aws:{store}\", \"default\""), "default = \"d\"", &[]), expected);
    }
}

#[test]
fn what_is_wrong_with_a_name() {
    for (chain, secret, variables, expected) in [
        (r#""env""#, "", &[][..], "`KEY` is missing | env:KEY=no"),
        (r#""env""#, "required = false", &[], "- | env:KEY=no"),
        (
            r#""env", "default""#,
            "default = \"d\"",
            &[("KEY", "")],
            "`KEY` is empty in `env:KEY` | env:KEY=found",
        ),
        (r#""aws:object#E""#, "", &[], "`KEY` is empty in `aws://object#E` | aws://object#E=found"),
        (
            r#""env""#,
            "type = \"port\"",
            &[("KEY", "hunter2")],
            "`KEY` in `env:KEY` is not a port, 1 to 65535 | env:KEY=found",
        ),
        (
            r#""env""#,
            "",
            &[("KEY", "a"), ("KEY_FILE", "b")],
            "`KEY` can't be read from `env:KEY` | env:KEY=misconfigured",
        ),
        (
            r#""env", "dotenv:.env""#,
            "",
            &[("KEY_FILE", "gone")],
            "`KEY` can't be read from `env:KEY` | env:KEY=misconfigured",
        ),
        (
            r#""env""#,
            "",
            &[("KEY", "aws://")],
            "`KEY` in `env:KEY` is not a reference that can be read: nothing is named behind `aws:` | env:KEY=found",
        ),
        // A value never runs a program and never opens a file.
        (r#""env""#, "", &[("KEY", "exec:echo x")], "exec:echo x @ env:KEY | env:KEY=found"),
        (
            r#""env""#,
            "",
            &[("KEY", "file:///etc/hostname")],
            "file:///etc/hostname @ env:KEY | env:KEY=found",
        ),
        // Nor does what a store holds lead elsewhere.
        (
            r#""aws:aws://object""#,
            "",
            &[],
            "`KEY` can't be read from `aws://aws://object#KEY` | aws://aws://object#KEY=malformed",
        ),
    ] {
        assert_eq!(of_chain(chain, secret, variables), expected);
    }
}

#[test]
#[cfg(not(feature = "gcp"))]
fn what_it_was_built_without_is_not_passed_over() {
    let told = of_chain(r#""gcp:p/{name}", "default""#, "default = \"d\"", &[]);
    assert_eq!(told, "`KEY` can't be read from `gcp://p/KEY` | gcp://p/KEY=misconfigured");
}

#[test]
fn one_report_names_everything_that_is_wrong() {
    let manifest = r#"
        [secrets.A]
        owner = "team bot"
        [secrets.B]
        type = "port"
        [secrets.C]
        [secrets.D]
        required = false
        [secrets.E]
        from = "aws://denied"
        [profiles.development]
        chain = ["env", "default"]
    "#;
    let resolver = resolver(Path::new("/"), manifest, &[("B", "hunter2"), ("C", "c")]);
    let problems = resolver.load().err().unwrap();
    assert_eq!(problems.to_string(), "3 secrets without a usable value: `A`, `B`, `E`");
    let told: Vec<String> = problems
        .0
        .iter()
        .map(|problem| format!("{problem}; {}; {}", problem.kind(), problem.action()))
        .collect();
    assert_eq!(
        told,
        [
            "`A` is missing; not found; set it where it is looked for first, `env:A`, or ask team bot",
            "`B` in `env:B` is not a port, 1 to 65535; malformed; make `env:B` a port, 1 to 65535",
            "`E` can't be read from `aws://denied`; denied; nothing",
        ]
    );
    assert!(problems.0[2].source().unwrap().to_string().contains("aws: denied"));
    assert!(!format!("{problems:?}").contains("hunter2"));
}

#[test]
fn profiles() {
    let manifest = "profile = \"b\"\n[secrets.KEY]\n[profiles.a]\nchain = [\"aws:one/{name}\"]\n[profiles.b]\nchain = [\"aws:two/{name}\"]";
    let parsed = || Manifest::parse(Path::new("x"), manifest).unwrap();
    for (asked, variables, expected) in [
        (None, &[][..], Some("two/KEY")),
        (Some("a"), &[], Some("one/KEY")),
        (None, &[("COFFER_PROFILE", "a")], Some("one/KEY")),
        (Some("b"), &[("COFFER_PROFILE", "a")], Some("two/KEY")),
        (Some("c"), &[], None),
    ] {
        let options = ResolverOptions {
            profile: asked.map(str::to_owned),
            providers: vec![Arc::new(Scripted)],
            ..ResolverOptions::default()
        };
        let found = Resolver::new(parsed(), Surroundings::of(variables, "/"), options)
            .map(|resolver| resolver.get("KEY").unwrap().unwrap())
            .map(|resolved| String::from_utf8(resolved.value.expose_secret().to_vec()).unwrap());
        assert_eq!(found.ok().as_deref(), expected);
    }
}

/// The chain once more, as plainly as it can be said: the first layer that does not say *not found* decides.
fn naive(layers: &[&str]) -> Option<Result<String, String>> {
    let first = layers.iter().find(|layer| **layer != "absent")?;
    match *first {
        "denied" | "away" | "throttled" => Some(Err((*first).to_owned())),
        value => Some(Ok(value.to_owned())),
    }
}

proptest! {
    #[test]
    fn the_chain_is_the_naive_one(layers in prop::collection::vec(
        prop::sample::select(vec!["absent", "denied", "away", "throttled", "one", "two"]), 1..6)
    ) {
        let chain: Vec<String> = layers.iter().map(|layer| format!("\"aws:{layer}?stage={{name}}\"")).collect();
        // `{name}` in the path makes the document the value; a stage is as good a place as any.
        let chain: Vec<String> = chain.iter().map(|layer| layer.replace("?stage={name}", "")).collect();
        let manifest = format!("[secrets.KEY]\n[profiles.development]\nchain = [{}]", chain.join(","));
        // Documents that are no objects are read whole by `from`, so the field is left out here.
        let manifest = manifest.replace("\"aws:one\"", "\"aws:{name}/one\"").replace("\"aws:two\"", "\"aws:{name}/two\"");
        let walk = resolver(Path::new("/"), &manifest, &[]).walk("KEY");
        let found = match walk.result {
            Ok(Some(found)) => Some(Ok(String::from_utf8(found.value.expose_secret().to_vec()).unwrap())),
            Ok(None) => None,
            Err(problem) if problem.kind() == ErrorKind::NotFound => None,
            Err(problem) => Some(Err(problem.kind())),
        };
        let expected = naive(&layers).map(|result| match result {
            Ok(value) => Ok(format!("KEY/{value}")),
            Err(what) => Err(match what.as_str() {
                "denied" => ErrorKind::Denied,
                "away" => ErrorKind::Unavailable,
                _ => ErrorKind::Throttled,
            }),
        });
        prop_assert_eq!(found, expected);
    }
}
