//! A store's folder: made whole or not at all, opened by one, private.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use coffer_audit::SyncMode;
use coffer_server::home::{
    Credentials, Home, HomeError, InitOptions, Initialised, OpenOptions, Opened, SealChoice, WayIn,
};
use coffer_server::{RuntimeSpawn, ServeOptions, local, serve};
use coffer_types::{Region, SecretBytes, SecretValue, Tag};
use coffer_wire_local::{Client, Failure, FailureKind, Request, Response, WireValue};
use common::runtime;
use tempfile::TempDir;

struct Place {
    folder: TempDir,
    home: Home,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("project/.coffer")).unwrap();
        Self { folder, home }
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn init(&self, seal: SealChoice) -> Result<Initialised, HomeError> {
        init(&self.home, &self.data_dir(), seal)
    }

    async fn open(&self) -> Result<Opened, HomeError> {
        let lock = self.home.try_lock("test").unwrap().unwrap();
        let passphrase = || Ok(SecretBytes::copy_from(b"correct horse"));
        let spawn = Arc::new(RuntimeSpawn::here());
        self.home.open(lock, &self.data_dir(), passphrase, OpenOptions::default(), spawn).await
    }
}

fn init(home: &Home, data_dir: &Path, seal: SealChoice) -> Result<Initialised, HomeError> {
    let options = InitOptions {
        account: None,
        region: Region::us_east_1(),
        seal,
        admin_key: None,
        sync: SyncMode::default(),
        data_dir: data_dir.to_owned(),
    };
    runtime().block_on(async { home.init(&options, Arc::new(RuntimeSpawn::here())).await })
}

fn create(value: &[u8]) -> Request {
    Request::CreateSecret {
        name: "app/db".parse().unwrap(),
        token: None,
        description: None,
        value: WireValue(SecretValue::string(SecretBytes::copy_from(value)).unwrap()),
        tags: Vec::new(),
    }
}

fn get() -> Request {
    Request::GetSecretValue { secret_id: "app/db".to_owned(), version_id: None, stage: None }
}

fn value_of(response: Response) -> Vec<u8> {
    match response {
        Response::GetSecretValue(read) => read.value.0.bytes().expose_secret().to_vec(),
        _ => panic!("another answer"),
    }
}

async fn call(opened: &Opened, request: Request) -> Result<Response, Failure> {
    let context = local::authenticate_self(&opened.core, "coffer/test", None, None).await?;
    local::serve(&opened.core, &context, request).await
}

#[test]
fn what_was_put_is_there_again_with_either_seal() {
    for seal in [SealChoice::KeyFile, SealChoice::Passphrase(SecretBytes::copy_from(b"correct horse"))] {
        let place = Place::new();
        place.init(seal).unwrap();
        runtime().block_on(async {
            let opened = place.open().await.unwrap();
            call(&opened, create(b"s3cret")).await.unwrap();
            opened.close().await.unwrap();
            let opened = place.open().await.unwrap();
            assert_eq!(value_of(call(&opened, get()).await.unwrap()), b"s3cret");
            match call(&opened, Request::VerifyAudit {}).await.unwrap() {
                Response::VerifyAudit(verified) => assert!(verified.records > 3),
                _ => panic!("another answer"),
            }
            // Dropped and not closed, nothing is lost either.
            drop(opened);
            let opened = place.open().await.unwrap();
            assert_eq!(value_of(call(&opened, get()).await.unwrap()), b"s3cret");
            opened.close().await.unwrap();
        });
    }
}

#[test]
fn only_the_owner_may_look() {
    let place = Place::new();
    let made = place.init(SealChoice::KeyFile).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.home.path()), 0o700);
    let mut inside: Vec<_> =
        std::fs::read_dir(place.home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    inside.sort();
    let names: Vec<_> = inside.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, [".gitignore", "audit", "changed", "lock", "seal.json", "store.redb", "tls"]);
    for path in &inside {
        assert_eq!(mode(path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    assert_eq!(std::fs::read_to_string(place.home.path().join(".gitignore")).unwrap(), "*\n");
    let key_file = made.key_file.unwrap();
    for file in [&made.credentials, &key_file] {
        assert_eq!(mode(file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
    }
    let credentials = Credentials::read(&place.data_dir(), made.store_id).unwrap().unwrap();
    assert_eq!(credentials.access_key_id, made.access_key_id);
    assert_eq!(credentials.secret_access_key.len(), 40);
    let facts = place.home.facts(&place.data_dir()).unwrap();
    assert_eq!((facts.store_id, facts.seal.as_str()), (made.store_id, "key-file"));
    assert!(facts.warnings.is_empty(), "{:?}", facts.warnings);
    std::fs::set_permissions(place.home.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
    let warnings = place.home.facts(&place.data_dir()).unwrap().warnings;
    assert!(warnings[0].contains("mode is 0750"), "{warnings:?}");
    // The first key is nowhere in the store's folder.
    for path in inside.iter().filter(|path| path.is_file()) {
        let bytes = std::fs::read(path).unwrap();
        let secret = credentials.secret_access_key.expose_secret();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
    }
}

#[test]
fn errors_say_what_and_what_next() {
    let place = Place::new();
    let failure = |error: HomeError| Failure::from(error);
    let nothing = failure(place.home.way_in("test", None, None, Duration::ZERO).err().unwrap());
    assert_eq!(nothing.kind, FailureKind::NotFound);
    let made = place.init(SealChoice::KeyFile).unwrap();
    assert_eq!(failure(place.init(SealChoice::KeyFile).err().unwrap()).kind, FailureKind::Conflict);

    let other = Place::new();
    let theirs = other.init(SealChoice::KeyFile).unwrap().key_file.unwrap();
    let key_file = made.key_file.unwrap();
    let aside = key_file.with_extension("aside");
    std::fs::rename(&key_file, &aside).unwrap();
    runtime().block_on(async {
        let missing = failure(place.open().await.err().unwrap());
        assert_eq!(missing.kind, FailureKind::NotFound);
        assert!(missing.message.contains("there is no key file"), "{}", missing.message);
        std::fs::copy(&aside, &key_file).unwrap();
        place.open().await.unwrap().close().await.unwrap();

        std::fs::copy(&theirs, &key_file).unwrap();
        let wrong = failure(place.open().await.err().unwrap());
        assert!(wrong.hint.as_deref().unwrap_or_default().contains("COFFER_DATA_DIR"), "{wrong:?}");
        std::fs::write(&key_file, "no key").unwrap();
        let wrong = failure(place.open().await.err().unwrap());
        assert!(wrong.hint.as_deref().unwrap_or_default().contains("COFFER_DATA_DIR"), "{wrong:?}");
        std::fs::remove_file(&key_file).unwrap();
        std::fs::rename(&aside, &key_file).unwrap();

        let seal = place.home.path().join("seal.json");
        let json = std::fs::read_to_string(&seal).unwrap();
        std::fs::write(&seal, json.replace("\"format\": 1", "\"format\": 7")).unwrap();
        let newer = failure(place.open().await.err().unwrap());
        assert_eq!(newer.message, "the sealed root key has format 7, which this coffer does not know");
        std::fs::write(&seal, json).unwrap();
        place.open().await.unwrap().close().await.unwrap();
    });
}

#[test]
fn of_many_that_make_it_at_once_one_wins() {
    let place = Place::new();
    let (home, data_dir) = (&place.home, &place.data_dir());
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..6).map(|_| scope.spawn(move || init(home, data_dir, SealChoice::KeyFile))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners: Vec<_> = made.iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert!(
        made.iter()
            .flat_map(|made| made.as_ref().err())
            .all(|error| matches!(error, HomeError::Exists { .. }))
    );
    assert_eq!(place.home.facts(data_dir).unwrap().store_id, winners[0].store_id);
    // Nor did the others leave anything.
    assert_eq!(std::fs::read_dir(place.home.path().parent().unwrap()).unwrap().count(), 1);
    for folder in ["keys", "credentials", "tls"] {
        assert_eq!(std::fs::read_dir(data_dir.join(folder)).unwrap().count(), 1, "{folder}");
    }
    runtime().block_on(async { place.open().await.unwrap().close().await.unwrap() });
}

#[test]
fn a_held_lock_is_waited_for_and_its_holder_named() {
    let place = Place::new();
    place.init(SealChoice::KeyFile).unwrap();
    // A socket that nobody serves makes no difference.
    drop(std::os::unix::net::UnixListener::bind(place.home.socket_path()).unwrap());
    let held = place.home.try_lock("coffer import x").unwrap().unwrap();
    let start = Instant::now();
    match place.home.way_in("test", None, None, Duration::from_millis(200)) {
        Err(HomeError::Locked { holder, .. }) => {
            assert_eq!(holder.pid, Some(std::process::id()));
            assert_eq!(holder.command, "coffer import x");
            assert_eq!(holder.to_string(), format!("process {}, `coffer import x`", std::process::id()));
        }
        _ => panic!("not locked"),
    }
    assert!(start.elapsed() >= Duration::from_millis(200));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            drop(held);
        });
        let way_in = place.home.way_in("test", None, None, Duration::from_secs(10)).unwrap();
        assert!(matches!(way_in, WayIn::InPlace(_)));
    });
}

#[test]
fn while_a_server_runs_its_socket_is_the_way_in() {
    let place = Place::new();
    place.init(SealChoice::KeyFile).unwrap();
    // Longer than the kernel takes for a socket.
    let far = place.folder.path().join("x".repeat(120));
    std::fs::rename(place.home.path(), &far).unwrap();
    let home = Home::at(&far).unwrap();
    std::fs::write(home.socket_path(), "stale").unwrap();
    let data_dir = place.data_dir();
    runtime().block_on(async {
        let lock = home.try_lock("coffer serve").unwrap().unwrap();
        let passphrase = || Err(std::io::ErrorKind::Unsupported.into());
        let spawn = Arc::new(RuntimeSpawn::here());
        let opened = home.open(lock, &data_dir, passphrase, OpenOptions::default(), spawn).await.unwrap();
        let mut options = ServeOptions::on("127.0.0.1:0".parse().unwrap());
        options.socket = Some(home.socket_path());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (up, is_up) = tokio::sync::oneshot::channel();
        let client = {
            let home = home.clone();
            tokio::task::spawn_blocking(move || {
                let endpoint: String = futures_block_on(is_up);
                let mode = std::fs::metadata(home.socket_path()).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600);
                let mut client = match home.way_in("test", None, None, Duration::from_secs(5)).unwrap() {
                    WayIn::Server(client) => client,
                    WayIn::InPlace(_) => panic!("the lock was free"),
                };
                assert_eq!(client.server().endpoint.as_deref(), Some(endpoint.as_str()));
                every_request(&mut client);
                let region = "eu-west-1".parse().unwrap();
                let WayIn::Server(mut elsewhere) =
                    home.way_in("test", Some(&region), None, Duration::from_secs(5)).unwrap()
                else {
                    panic!("the lock was free")
                };
                match elsewhere.call(&create(b"another")).unwrap() {
                    Response::CreateSecret(made) => assert!(made.arn.contains(":eu-west-1:"), "{}", made.arn),
                    _ => panic!("another answer"),
                }
                drop(stop);
            })
        };
        let ready = |bound: &coffer_server::Bound| up.send(bound.endpoint()).unwrap();
        serve(opened.core.clone(), options, ready, async { drop(stopped.await) }).await.unwrap();
        client.await.unwrap();
        assert!(!home.socket_path().exists());
        drop(opened);
    });
    assert!(matches!(home.way_in("test", None, None, Duration::ZERO), Ok(WayIn::InPlace(_))));
}

fn futures_block_on<T>(receiver: tokio::sync::oneshot::Receiver<T>) -> T {
    receiver.blocking_recv().unwrap()
}

/// Each request once, as one user would send them.
fn every_request(client: &mut Client) {
    let id = || "app/db".to_owned();
    let value = |text: &[u8]| WireValue(SecretValue::string(SecretBytes::copy_from(text)).unwrap());
    let kind = |result: Result<Response, coffer_wire_local::CallError>| match result {
        Err(coffer_wire_local::CallError::Failure(failure)) => Some(failure.kind),
        Err(error) => panic!("{error}"),
        Ok(_) => None,
    };
    assert_eq!(kind(client.call(&get())), Some(FailureKind::NotFound));
    assert_eq!(kind(client.call(&create(b"one"))), None);
    assert_eq!(kind(client.call(&create(b"two"))), Some(FailureKind::Conflict));
    let put = Request::PutSecretValue { secret_id: id(), token: None, value: value(b"two"), stages: None };
    let Ok(Response::PutSecretValue(second)) = client.call(&put) else { panic!("not put") };
    assert_eq!(value_of(client.call(&get()).unwrap()), b"two");
    let Ok(Response::DescribeSecret(described)) = client.call(&Request::DescribeSecret { secret_id: id() })
    else {
        panic!("not described")
    };
    assert_eq!(described.versions.len(), 2);
    let first = described.versions.iter().find(|version| version.version_id != second.version_id).unwrap();
    let back = Request::UpdateSecretVersionStage {
        secret_id: id(),
        stage: coffer_types::Stage::current(),
        remove_from: Some(second.version_id),
        move_to: Some(first.version_id.clone()),
    };
    assert_eq!(kind(client.call(&back)), None);
    assert_eq!(value_of(client.call(&get()).unwrap()), b"one");
    let list = Request::ListSecrets {
        filters: Vec::new(),
        include_planned_deletion: false,
        max_results: None,
        next_token: None,
    };
    assert!(matches!(client.call(&list), Ok(Response::ListSecrets(page)) if page.secrets.len() == 1));
    let versions = Request::ListSecretVersionIds {
        secret_id: id(),
        include_deprecated: true,
        max_results: None,
        next_token: None,
    };
    assert!(
        matches!(client.call(&versions), Ok(Response::ListSecretVersionIds(page)) if page.versions.len() == 2)
    );
    let tags = |client: &mut Client| match client.call(&Request::DescribeSecret { secret_id: id() }) {
        Ok(Response::DescribeSecret(described)) => described.tags,
        _ => panic!("no description"),
    };
    let tag = Tag::new("team", "red").unwrap();
    let untag = |key: String| Request::UntagResource { secret_id: id(), tag_keys: vec![key] };
    assert_eq!(kind(client.call(&Request::TagResource { secret_id: id(), tags: vec![tag.clone()] })), None);
    assert_eq!(tags(client), [tag]);
    assert_eq!(kind(client.call(&untag("k".repeat(129)))), Some(FailureKind::Refused));
    assert_eq!(kind(client.call(&untag("team".to_owned()))), None);
    assert_eq!(tags(client), []);
    let delete = |mode| Request::DeleteSecret { secret_id: id(), mode };
    let (week, day) = (coffer_wire_local::DeletionMode::Days(7), coffer_wire_local::DeletionMode::Days(1));
    assert_eq!(kind(client.call(&delete(day))), Some(FailureKind::Refused));
    assert_eq!(kind(client.call(&delete(week))), None);
    assert_eq!(kind(client.call(&get())), Some(FailureKind::Conflict));
    assert_eq!(kind(client.call(&Request::RestoreSecret { secret_id: id() })), None);
    assert_eq!(kind(client.call(&get())), None);
    assert_eq!(kind(client.call(&delete(coffer_wire_local::DeletionMode::Immediate))), None);
    assert_eq!(kind(client.call(&get())), Some(FailureKind::NotFound));
    let Ok(Response::TailAudit { lines }) = client.call(&Request::TailAudit { count: 100 }) else {
        panic!("no tail")
    };
    for name in ["CreateSecret", "PutSecretValue", "GetSecretValue", "DeleteSecret", "RestoreSecret"] {
        assert!(lines.iter().any(|line| line.contains(&format!("\"eventName\":\"{name}\""))), "{name}");
    }
    let uid = rustix_uid();
    assert!(lines.iter().any(|line| line.contains(&format!("local:{uid}"))), "{lines:#?}");
    assert_eq!(kind(client.call(&Request::VerifyAudit {})), None);
    assert!(matches!(client.call(&Request::Status {}), Ok(Response::Status(status)) if status.secrets == 0));
}

fn rustix_uid() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap())
}

const CHILD_FOLDER: &str = "COFFER_TEST_INIT_FOLDER";

/// Not a test of its own: what the next one starts and kills.
#[test]
fn child_that_makes_a_store() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER).map(PathBuf::from) else { return };
    init(&Home::at(folder.join("project/.coffer")).unwrap(), &folder.join("data"), SealChoice::KeyFile)
        .unwrap();
}

/// What of a store is there, by name, in the order in which it appears.
const STEPS: [&str; 9] = [
    "data/keys/*",
    "data/credentials/*",
    "project/.coffer.draft-*",
    "project/.coffer.draft-*/.gitignore",
    "project/.coffer.draft-*/store.redb",
    "project/.coffer.draft-*/audit",
    "project/.coffer.draft-*/audit/*",
    "project/.coffer.draft-*/seal.json",
    "project/.coffer",
];

/// Whether something is there whose name fits; a star stands for the rest of a name.
fn is_there(folder: &Path, pattern: &str) -> bool {
    let (first, rest) = pattern.split_once('/').map_or((pattern, None), |(first, rest)| (first, Some(rest)));
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let fits = first.strip_suffix('*').map_or(name == first, |start| name.starts_with(start));
        fits && rest.is_none_or(|rest| is_there(&entry.path(), rest))
    })
}

#[test]
fn killed_at_any_step_it_leaves_a_whole_store_or_none() {
    for step in STEPS {
        let place = Place::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_makes_a_store"])
            .env(CHILD_FOLDER, place.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A step may be over before it was seen; then the store is whole.
        while !is_there(place.folder.path(), step) && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        // It may have come further than the step, until the kill arrived.
        assert_eq!(place.home.exists(), place.home.path().exists(), "{step}");
        if !place.home.exists() {
            place.init(SealChoice::KeyFile).unwrap();
        }
        runtime().block_on(async {
            let opened = place.open().await.unwrap();
            call(&opened, create(b"v")).await.unwrap();
            opened.close().await.unwrap();
        });
    }
}

#[test]
fn an_authority_that_others_may_use_is_refused() {
    let place = Place::new();
    let store_id = place.init(SealChoice::KeyFile).unwrap().store_id;
    let key = place.data_dir().join("tls").join(format!("{store_id}.json"));
    let authority = || place.home.authority(&place.data_dir(), SystemTime::now());
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    let certificate = authority().unwrap().certificate_pem();
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let failure = Failure::from(authority().err().unwrap());
        assert_eq!(failure.kind, FailureKind::Denied, "{mode:o}");
        assert!(failure.message.contains(&format!("its mode is {mode:04o}")), "{}", failure.message);
        assert!(failure.hint.unwrap().contains("chmod 600"));
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(authority().unwrap().certificate_pem(), certificate);
}

#[test]
fn a_clock_that_is_wrong_takes_no_authority_away() {
    let place = Place::new();
    init(&place.home, &place.data_dir(), SealChoice::KeyFile).unwrap();
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let now = SystemTime::now();
    let at = |time: SystemTime| place.home.authority(&place.data_dir(), time).unwrap();
    let first = at(now).certificate_pem();
    for (time, is_near_its_end) in
        [(now - year * 40, false), (now + year * 8, false), (now + year * 10, true), (now + year * 50, true)]
    {
        let authority = at(time);
        assert_eq!(authority.certificate_pem(), first);
        assert_eq!(authority.is_near_its_end(time), is_near_its_end);
    }
    assert_eq!(std::fs::read_to_string(place.home.authority_certificate()).unwrap(), first);
    // Who is sure moves it aside.
    std::fs::rename(place.home.authority_file(&place.data_dir()).unwrap(), place.data_dir().join("aside"))
        .unwrap();
    let second = at(now).certificate_pem();
    assert_ne!(second, first);
    assert_eq!(std::fs::read_to_string(place.home.authority_certificate()).unwrap(), second);
}
