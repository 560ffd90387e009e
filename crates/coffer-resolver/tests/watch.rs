//! What somebody who follows values is told, and when.

#![expect(clippy::unwrap_used, reason = "in a test")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use coffer_resolver::{
    Change, Credentials, ErrorKind, FetchError, Fetched, Manifest, Provider, Reference, Resolver,
    ResolverOptions, Retry, Scheme, Subscription, Surroundings, Watch, WatchOptions,
};
use coffer_types::SecretBytes;

/// A store whose answer can be set.
struct Store {
    says: Mutex<Result<&'static str, ErrorKind>>,
    asked: AtomicU32,
    /// Its time is that of the last change.
    beacon: PathBuf,
}

impl Store {
    fn change(&self, to: &'static str) {
        *self.says.lock().unwrap() = Ok(to);
        self.shine(SystemTime::now());
    }

    fn shine(&self, at: SystemTime) {
        std::fs::File::create(&self.beacon).unwrap().set_modified(at).unwrap();
    }
}

impl Provider for Store {
    fn scheme(&self) -> Scheme {
        Scheme::Aws
    }

    fn fetch(&self, _: &Reference) -> Result<Fetched, FetchError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match *self.says.lock().unwrap() {
            Ok(text) => Ok(Fetched::new(SecretBytes::copy_from(text.as_bytes()))),
            Err(kind) => Err(FetchError::new(kind, Scheme::Aws, "as told", "nothing")),
        }
    }

    fn beacon(&self) -> Option<PathBuf> {
        Some(self.beacon.clone())
    }
}

const QUICK: WatchOptions = WatchOptions { poll: Duration::from_millis(20), local: Duration::from_millis(5) };
const SELDOM: WatchOptions =
    WatchOptions { poll: Duration::from_secs(3600), local: Duration::from_millis(5) };

fn resolver(folder: &Path, chain: &str, says: &'static str) -> (Arc<Resolver>, Arc<Store>) {
    let text =
        format!("[secrets.A]\n[secrets.B]\nrequired = false\n[profiles.development]\nchain = [{chain}]\n");
    let manifest = Manifest::parse(Path::new("x"), &text).unwrap();
    let beacon = folder.join("changed");
    let store = Arc::new(Store { says: Mutex::new(Ok(says)), asked: AtomicU32::new(0), beacon });
    let mut options = ResolverOptions {
        providers: vec![Arc::clone(&store) as Arc<dyn Provider>],
        ..ResolverOptions::default()
    };
    options.policy.retry = Retry { attempts_max: 1, ..Retry::default() };
    let surroundings = Surroundings::of(&[], folder);
    (Arc::new(Resolver::new(manifest, surroundings, options).unwrap()), store)
}

/// Names with their new values, and names that are lost.
type Told = (Vec<(String, Option<String>)>, Vec<(String, ErrorKind)>);

fn told(change: Option<Change>) -> Told {
    let change = change.unwrap_or_default();
    let text = |value: &SecretBytes| String::from_utf8(value.expose_secret().to_vec()).unwrap();
    let changed =
        change.changed.into_iter().map(|(name, found)| (name, found.map(|found| text(&found.value))));
    let lost = change.lost.into_iter().map(|problem| (problem.name.clone(), problem.kind()));
    (changed.collect(), lost.collect())
}

fn changed(name: &str, value: &str) -> Told {
    (vec![(name.to_owned(), Some(value.to_owned()))], vec![])
}

#[test]
fn files_show_at_once_however_seldom_stores_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "A=1\n").unwrap();
    let mounted = folder.path().join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    let chain = format!("\"dotenv:.env\", \"files:{}\"", mounted.display());
    let (resolver, _) = resolver(folder.path(), &chain, "");
    let mut watch = Watch::new(resolver, SELDOM);
    assert_eq!(told(watch.wait(Duration::from_millis(30))), (vec![], vec![]));
    std::fs::write(folder.path().join(".env"), "A=2\n").unwrap();
    assert_eq!(told(watch.wait(Duration::from_secs(10))), changed("A", "2"));
    std::fs::write(mounted.join("B"), "new\n").unwrap();
    assert_eq!(told(watch.wait(Duration::from_secs(10))), changed("B", "new"));
    std::fs::remove_file(mounted.join("B")).unwrap();
    assert_eq!(told(watch.wait(Duration::from_secs(10))), (vec![("B".to_owned(), None)], vec![]));
    std::fs::write(folder.path().join(".env"), "").unwrap();
    let lost = (vec![], vec![("A".to_owned(), ErrorKind::NotFound)]);
    assert_eq!(told(watch.wait(Duration::from_secs(10))), lost);
    assert_eq!(told(watch.wait(Duration::from_millis(30))), (vec![], vec![]));
    std::fs::write(folder.path().join(".env"), "A=2\n").unwrap();
    assert_eq!(told(watch.wait(Duration::from_millis(30))), (vec![], vec![]), "it is as it was");
}

#[test]
fn a_store_shows_within_the_interval_though_the_cache_is_fresh() {
    let (resolver, store) = resolver(Path::new("/"), "\"aws:{name}\"", "1");
    let mut watch = Watch::new(Arc::clone(&resolver), QUICK);
    assert_eq!(store.asked.load(Ordering::Relaxed), 2);
    *store.says.lock().unwrap() = Ok("2");
    let both = (vec![("A".to_owned(), Some("2".to_owned())), ("B".to_owned(), Some("2".to_owned()))], vec![]);
    assert_eq!(told(watch.wait(Duration::from_secs(10))), both);
    // Away is no change, and whoever asks gets what was there.
    *store.says.lock().unwrap() = Err(ErrorKind::Unavailable);
    assert_eq!(told(watch.wait(Duration::from_millis(60))), (vec![], vec![]));
    assert_eq!(resolver.get("A").unwrap().unwrap().value.expose_secret(), b"2");
}

#[test]
fn one_document_of_many_names_is_read_once_a_look() {
    let (resolver, store) = resolver(Path::new("/"), "\"aws:bot\"", r#"{"A":"1","B":"2"}"#);
    resolver.load().unwrap();
    assert_eq!(store.asked.load(Ordering::Relaxed), 1);
    let since = resolver.moment();
    assert_eq!(resolver.walk_all_since(since).len(), 2);
    assert_eq!(store.asked.load(Ordering::Relaxed), 2);
    resolver.walk_all_since(since);
    assert_eq!(store.asked.load(Ordering::Relaxed), 2, "it was read after that moment");
}

#[test]
fn what_is_wanted_as_it_is_now_is_never_what_it_was() {
    let (resolver, store) = resolver(Path::new("/"), "\"aws:{name}\"", "1");
    assert!(resolver.get("A").is_ok());
    *store.says.lock().unwrap() = Err(ErrorKind::Throttled);
    assert!(resolver.get("A").is_ok(), "fresh");
    let error = resolver.get_since("A", resolver.moment()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(resolver.get("A").is_ok(), "still fresh");
    let reference: Reference = "aws:A".parse().unwrap();
    assert!(resolver.ask_for(&reference, None).is_ok());
    assert_eq!(resolver.kept(), 1);
    resolver.forget_all();
    assert_eq!(resolver.ask_for(&reference, None).err().unwrap().kind(), ErrorKind::Throttled);
}

#[test]
fn what_changes_between_loading_and_following_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join(".env"), text).unwrap();
    write("A=1\n");
    let (resolver, _) = resolver(folder.path(), "\"dotenv:.env\"", "");
    let credentials = resolver.load().ok().unwrap();
    let mut watch = Watch::following(Arc::clone(&resolver), SELDOM, &credentials);
    assert_eq!(told(watch.wait(Duration::from_millis(30))), (vec![], vec![]));
    write("A=2\n");
    let mut watch = Watch::following(Arc::clone(&resolver), SELDOM, &credentials);
    assert_eq!(told(watch.wait(Duration::from_secs(10))), changed("A", "2"));
    let (sender, changes) = mpsc::channel();
    let watch = Watch::following(resolver, SELDOM, &credentials);
    let _subscription = Subscription::to(watch, move |change| drop(sender.send(change))).unwrap();
    assert_eq!(told(changes.recv_timeout(Duration::from_secs(10)).ok()), changed("A", "2"));
}

#[test]
fn what_changes_in_a_store_between_reading_and_following_is_told() {
    let both = (vec![("A".to_owned(), Some("2".to_owned())), ("B".to_owned(), Some("2".to_owned()))], vec![]);
    for follow in [
        |resolver: &Arc<Resolver>, credentials: &Credentials| {
            Watch::following(Arc::clone(resolver), SELDOM, credentials)
        },
        // It reads from a cache that knows nothing of the change.
        |resolver: &Arc<Resolver>, _: &Credentials| Watch::new(Arc::clone(resolver), SELDOM),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (resolver, store) = resolver(folder.path(), "\"aws:{name}\"", "1");
        store.shine(SystemTime::now() - Duration::from_secs(60));
        let credentials = resolver.load().ok().unwrap();
        store.change("2");
        // As long as it is not taken for the same moment.
        std::thread::sleep(Duration::from_millis(1200));
        let mut watch = follow(&resolver, &credentials);
        assert_eq!(told(watch.wait(Duration::from_secs(10))), both);
    }
}

#[test]
fn a_change_is_still_to_be_seen_if_the_look_at_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (resolver, store) = resolver(folder.path(), "\"aws:{name}\"", "1");
    store.shine(SystemTime::now() - Duration::from_secs(60));
    let mut watch = Watch::new(Arc::clone(&resolver), SELDOM);
    assert_eq!(told(watch.wait(Duration::from_millis(30))), (vec![], vec![]));
    let asked = || store.asked.load(Ordering::Relaxed);
    assert_eq!(asked(), 2, "nothing has changed, and it is fresh");
    store.change("2");
    *store.says.lock().unwrap() = Err(ErrorKind::Unavailable);
    assert_eq!(told(watch.wait(Duration::from_millis(100))), (vec![], vec![]));
    assert_eq!(asked(), 4, "at once, and then not for a while");
    *store.says.lock().unwrap() = Ok("2");
    assert_eq!(told(watch.wait(Duration::from_secs(10))).0.len(), 2);
    assert_eq!(told(watch.wait(Duration::from_secs(3))), (vec![], vec![]));
    assert_eq!(asked(), 6, "now it is seen");
}

#[test]
fn a_subscriber_is_told_until_it_is_dropped() {
    let (resolver, store) = resolver(Path::new("/"), "\"aws:{name}\"", "1");
    let (sender, changes) = mpsc::channel();
    let subscription = Subscription::new(resolver, QUICK, move |change| drop(sender.send(change))).unwrap();
    *store.says.lock().unwrap() = Ok("2");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(told(changes.recv_timeout(Duration::from_secs(10)).ok()).0);
    }
    drop(subscription);
    *store.says.lock().unwrap() = Ok("3");
    // The sender went with the thread.
    assert!(changes.recv_timeout(Duration::from_secs(10)).is_err());
}
