//! Cache, retries and breaker together, under a clock that is moved by hand; and the real thing with many threads.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coffer_resolver::{
    BreakerState, CachePolicy, Clock, ErrorKind, FetchError, Fetched, MachineClock, Manifest, Policy,
    Provider, Reference, Resolver, ResolverOptions, Retry, Scheme, Surroundings,
};
use coffer_types::SecretBytes;
use support::Hand;

/// A store whose answers are set from outside.
#[derive(Default)]
struct Store {
    failing: Mutex<Option<ErrorKind>>,
    value: Mutex<String>,
    calls: AtomicU64,
    gate: Mutex<bool>,
    opened: Condvar,
}

impl Store {
    fn holding(value: &str) -> Arc<Self> {
        let store = Self::default();
        *store.value.lock().unwrap() = value.to_owned();
        Arc::new(store)
    }

    fn fail(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.failing.lock().unwrap() = kind.into();
    }

    fn set(&self, value: &str) {
        *self.value.lock().unwrap() = value.to_owned();
    }

    fn close_gate(&self, closed: bool) {
        *self.gate.lock().unwrap() = closed;
        self.opened.notify_all();
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

struct Door(Arc<Store>);

impl Provider for Door {
    fn scheme(&self) -> Scheme {
        Scheme::Aws
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        let store = &self.0;
        let identity = (document.path() != "one").then(|| "arn:two".to_owned());
        store.calls.fetch_add(1, Ordering::SeqCst);
        let mut closed = store.gate.lock().unwrap();
        while *closed {
            closed = store.opened.wait(closed).unwrap();
        }
        drop(closed);
        match *store.failing.lock().unwrap() {
            Some(kind) => Err(FetchError::new(kind, Scheme::Aws, "as told", "nothing")),
            None => {
                let value = SecretBytes::copy_from(store.value.lock().unwrap().as_bytes());
                Ok(Fetched::new(value).identified(identity))
            }
        }
    }
}

fn resolver_with(
    store: &Arc<Store>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    process: fn() -> u32,
) -> Resolver {
    let text = "[secrets.KEY]\nfrom = \"aws://one\"\n[secrets.SHORT]\nfrom = \"aws://one\"\nfresh = \"10s\"";
    let options = ResolverOptions {
        providers: vec![Arc::new(Door(Arc::clone(store)))],
        policy,
        clock,
        process,
        ..ResolverOptions::default()
    };
    let manifest = Manifest::parse("coffer.toml".as_ref(), text).unwrap();
    Resolver::new(manifest, Surroundings::of(&[], "/"), options).unwrap()
}

fn resolver(store: &Arc<Store>, clock: &Arc<Hand>) -> Resolver {
    resolver_with(store, Policy::default(), Arc::clone(clock) as Arc<dyn Clock>, std::process::id)
}

/// The value, with `!` behind it if it is stale, or the kind of error.
fn got(resolver: &Resolver, name: &str) -> String {
    match resolver.get(name) {
        Ok(Some(found)) => {
            let mark = if found.stale.is_some() { "!" } else { "" };
            format!("{}{mark}", String::from_utf8_lossy(found.value.expose_secret()))
        }
        Ok(None) => "-".to_owned(),
        Err(problem) => problem.kind().to_string(),
    }
}

#[test]
fn a_value_stays_fresh_for_five_minutes_or_as_long_as_its_need_says() {
    let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
    let resolver = resolver(&store, &clock);
    assert_eq!((got(&resolver, "KEY"), store.calls()), ("a".into(), 1));
    store.set("b");
    clock.pass(200);
    assert_eq!((got(&resolver, "KEY"), store.calls()), ("a".into(), 1));
    assert_eq!((got(&resolver, "SHORT"), store.calls()), ("b".into(), 2));
    clock.pass(300);
    store.set("c");
    assert_eq!((got(&resolver, "KEY"), store.calls()), ("c".into(), 3));
    let counts = resolver.counts();
    assert_eq!((counts.hits, counts.misses, counts.fetches, counts.stale), (1, 3, 3, 0));
}

#[test]
fn what_is_at_hand_is_what_no_other_place_may_have() {
    let document = r#"{"KEY":"a","EMPTY":"","PORT":"no port"}"#;
    let (store, clock) = (Store::holding(document), Arc::new(Hand::default()));
    let text = "[secrets.KEY]\n[secrets.EMPTY]\n[secrets.PORT]\ntype = \"port\"\n[secrets.ABSENT]\n[secrets.SET]\n\
                [secrets.MOUNTED]\n[secrets.WHOLE]\nfrom = \"aws://one\"\n[secrets.FILE]\nfrom = \"file:///none\"\n\
                [profiles.stores]\nchain = [\"env\", \"aws:one\"]\n\
                [profiles.files]\nchain = [\"dotenv:.env\", \"aws:one\"]";
    let resolver = |profile: &str| {
        let options = ResolverOptions {
            profile: Some(profile.to_owned()),
            providers: vec![Arc::new(Door(Arc::clone(&store)))],
            clock: Arc::clone(&clock) as _,
            ..ResolverOptions::default()
        };
        let manifest = Manifest::parse("coffer.toml".as_ref(), text).unwrap();
        let variables = [("SET", "here"), ("MOUNTED_FILE", "/none")];
        Resolver::new(manifest, Surroundings::of(&variables, "/"), options).unwrap()
    };
    let at_hand = |resolver: &Resolver, name: &str| {
        let found = resolver.at_hand(name)?;
        Some((String::from_utf8_lossy(found.value.expose_secret()).into_owned(), found.place))
    };
    let (stores, files) = (resolver("stores"), resolver("files"));
    assert_eq!(at_hand(&stores, "KEY"), None, "nothing was read yet");
    for read in [&stores, &files] {
        assert_eq!(got(read, "WHOLE"), document);
    }
    for (resolver, name, expected) in [
        (&stores, "KEY", Some(("a", "aws://one#KEY"))),
        (&stores, "WHOLE", Some((document, "aws://one"))),
        (&files, "WHOLE", Some((document, "aws://one"))),
        (&files, "KEY", None),
        (&stores, "SET", None),
        (&stores, "MOUNTED", None),
        (&stores, "FILE", None),
        (&stores, "ABSENT", None),
        (&stores, "EMPTY", None),
        (&stores, "PORT", None),
        (&stores, "STRANGE", None),
    ] {
        let expected = expected.map(|(value, place)| (value.to_owned(), place.to_owned()));
        assert_eq!(at_hand(resolver, name), expected, "{name}");
        let read = got(resolver, name);
        assert!(expected.is_none_or(|(value, _)| read == value), "{name}: {read}");
    }
    let reference = "aws://one#KEY".parse().unwrap();
    let made = |reference: &Reference, name: &str, text: &str| {
        let (found, made) =
            stores.made_at_hand(reference, name, |_| SecretBytes::copy_from(text.as_bytes()))?;
        assert_eq!(found.place, reference.to_string());
        Some(String::from_utf8_lossy(made.expose_secret()).into_owned())
    };
    for (name, text, expected) in [("x", "1", "1"), ("x", "2", "1"), ("y", "3", "3")] {
        assert_eq!(made(&reference, name, text).as_deref(), Some(expected), "it is made once for each name");
    }
    assert_eq!(made(&"aws://two".parse().unwrap(), "x", "1"), None);
    // In the last fifth of its time it is to be fetched anew.
    clock.pass(250);
    assert_eq!(at_hand(&stores, "KEY"), None);
    assert_eq!(made(&reference, "x", "4"), None);
    stores.forget_all();
    assert_eq!(at_hand(&stores, "WHOLE"), None);
    assert_eq!(got(&stores, "WHOLE"), document);
    assert_eq!(made(&reference, "x", "5").as_deref(), Some("5"), "it went with its document");
}

#[test]
fn a_field_is_of_the_document_that_is_kept() {
    let (store, clock) = (Store::holding(r#"{"KEY":"a"}"#), Arc::new(Hand::default()));
    let resolver = resolver(&store, &clock);
    let read = |reference: &str| {
        let found = resolver.ask_for(&reference.parse().unwrap(), None);
        found
            .map(|found| String::from_utf8_lossy(found.value.expose_secret()).into_owned())
            .unwrap_or_default()
    };
    assert_eq!(
        (read("aws://one#KEY"), read("aws://one#KEY"), read("aws://one#NONE")),
        ("a".into(), "a".into(), "".into())
    );
    store.set(r#"{"KEY":"b"}"#);
    resolver.forget(&"aws://one".parse().unwrap());
    assert_eq!(read("aws://one#KEY"), "b");
}

#[test]
fn a_name_and_its_arn_are_read_once_and_a_label_is_another_document() {
    let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
    let text = "[secrets.NAME]\nfrom = \"aws://two?region=us-east-1\"\n[secrets.ARN]\nfrom = \"aws://arn:two\"\n\
                [secrets.OLD]\nfrom = \"aws://two?region=us-east-1&stage=AWSPREVIOUS\"";
    let options = ResolverOptions {
        providers: vec![Arc::new(Door(Arc::clone(&store)))],
        clock: Arc::clone(&clock) as _,
        ..ResolverOptions::default()
    };
    let manifest = Manifest::parse("coffer.toml".as_ref(), text).unwrap();
    let resolver = Resolver::new(manifest, Surroundings::of(&[], "/"), options).unwrap();
    assert_eq!((got(&resolver, "NAME"), store.calls()), ("a".into(), 1));
    store.set("b");
    assert_eq!((got(&resolver, "ARN"), store.calls()), ("a".into(), 1));
    assert_eq!((got(&resolver, "OLD"), store.calls()), ("b".into(), 2));
    assert_eq!((got(&resolver, "NAME"), store.calls()), ("a".into(), 2));
    resolver.forget(&"aws://two?region=us-east-1".parse().unwrap());
    assert_eq!((got(&resolver, "ARN"), store.calls()), ("b".into(), 3));
}

#[test]
fn before_it_is_too_old_it_is_read_anew_behind_the_caller() {
    let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
    let resolver = resolver(&store, &clock);
    got(&resolver, "KEY");
    store.set("b");
    clock.pass(250);
    store.close_gate(true);
    assert_eq!(got(&resolver, "KEY"), "a", "nobody waits");
    assert_eq!(got(&resolver, "KEY"), "a");
    store.close_gate(false);
    let deadline = Instant::now() + Duration::from_secs(20);
    while got(&resolver, "KEY") != "b" && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((got(&resolver, "KEY"), store.calls()), ("b".into(), 2));
}

#[test]
fn what_was_forgotten_does_not_come_back_from_a_fetch_under_way() {
    for forget in [
        |resolver: &Resolver| resolver.forget_all(),
        |resolver: &Resolver| resolver.forget(&"aws://one".parse().unwrap()),
    ] {
        // Read before, and in its last fifth fetched anew; or under way for the first time.
        for is_known in [true, false] {
            let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
            let resolver = resolver(&store, &clock);
            if is_known {
                got(&resolver, "KEY");
                clock.pass(250);
            }
            let before = store.calls();
            store.close_gate(true);
            thread::scope(|scope| {
                let under_way = scope.spawn(|| got(&resolver, "KEY"));
                while store.calls() == before {
                    thread::sleep(Duration::from_millis(1));
                }
                forget(&resolver);
                store.close_gate(false);
                assert_eq!(under_way.join().unwrap(), "a");
            });
            // The one behind the caller has landed by then, or lands where nobody looks.
            thread::sleep(Duration::from_millis(50));
            store.set("b");
            assert_eq!(got(&resolver, "KEY"), "b", "{is_known}");
        }
    }
}

#[test]
fn an_outage_is_ridden_out_for_an_hour_and_said_to_be_one() {
    let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
    let resolver = resolver(&store, &clock);
    got(&resolver, "KEY");
    store.fail(ErrorKind::Unavailable);
    clock.pass(301);
    assert_eq!(got(&resolver, "KEY"), "a!");
    clock.pass(3500);
    assert_eq!(got(&resolver, "KEY"), "a!");
    clock.pass(200);
    assert_eq!(got(&resolver, "KEY"), "unavailable");
    store.fail(None);
    clock.pass(60);
    assert_eq!(got(&resolver, "KEY"), "a");
    assert_eq!(resolver.counts().stale, 2);
}

#[test]
fn what_was_denied_does_not_come_back_in_an_outage() {
    for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::DecryptionFailed] {
        let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
        let resolver = resolver(&store, &clock);
        got(&resolver, "KEY");
        clock.pass(301);
        store.fail(kind);
        assert_eq!(got(&resolver, "KEY"), kind.to_string());
        store.fail(ErrorKind::Unavailable);
        assert_eq!(got(&resolver, "KEY"), "unavailable");
    }
}

#[test]
fn a_provider_that_fails_on_end_is_left_alone_and_then_tried_once() {
    let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
    let resolver = resolver(&store, &clock);
    got(&resolver, "KEY");
    store.fail(ErrorKind::Unavailable);
    clock.pass(301);
    // Four attempts, then one more opens the breaker.
    assert_eq!((got(&resolver, "KEY"), store.calls()), ("a!".into(), 5));
    assert_eq!((got(&resolver, "KEY"), store.calls()), ("a!".into(), 6));
    assert_eq!(resolver.breaker(Scheme::Aws), BreakerState::Open);
    for _ in 0..100 {
        assert_eq!(got(&resolver, "KEY"), "a!");
    }
    assert_eq!(store.calls(), 6);
    assert!(resolver.counts().kept_back >= 100);
    clock.pass(6);
    store.fail(None);
    assert_eq!((got(&resolver, "KEY"), store.calls()), ("a".into(), 7));
    assert_eq!(resolver.breaker(Scheme::Aws), BreakerState::Closed);
}

#[test]
fn who_is_kept_back_hears_what_it_failed_with() {
    let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
    let resolver = resolver(&store, &clock);
    store.fail(ErrorKind::Unavailable);
    let told = || with_sources(resolver.get("KEY").err().unwrap().as_ref());
    let own = told();
    assert!(!own.contains("again and again"), "{own}");
    // The first of these attempts opens the breaker: it is told as it was, and the next caller both.
    assert_eq!(told(), own);
    let kept_back = told();
    let (_, said) = own.split_once(": ").unwrap();
    assert!(kept_back.contains("it failed again and again") && kept_back.ends_with(said), "{kept_back}");
}

fn with_sources(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[test]
fn only_what_may_pass_is_asked_again() {
    for kind in ErrorKind::ALL {
        let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
        store.fail(kind);
        assert_eq!(got(&resolver(&store, &clock), "KEY"), kind.to_string());
        assert_eq!(store.calls(), if kind.is_transient() { 4 } else { 1 }, "{kind}");
    }
}

#[test]
fn many_callers_share_one_fetch() {
    let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
    let resolver = resolver(&store, &clock);
    store.close_gate(true);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..32).map(|_| scope.spawn(|| got(&resolver, "KEY"))).collect();
        while resolver.counts().misses < 32 {
            thread::sleep(Duration::from_millis(1));
        }
        store.close_gate(false);
        for caller in callers {
            assert_eq!(caller.join().unwrap(), "a");
        }
    });
    assert_eq!(store.calls(), 1);
}

#[test]
fn a_provider_that_never_answers_holds_nobody_up_for_longer_than_the_budget() {
    let store = Store::holding("a");
    let retry = Retry { budget: Duration::from_millis(300), ..Retry::default() };
    let cache = CachePolicy { fresh: Duration::from_millis(50), ..CachePolicy::default() };
    let policy = Policy { retry, cache, ..Policy::default() };
    let resolver = resolver_with(&store, policy, Arc::new(MachineClock), std::process::id);
    got(&resolver, "KEY");
    thread::sleep(Duration::from_millis(60));
    store.close_gate(true);
    let began = Instant::now();
    assert_eq!(got(&resolver, "KEY"), "a!");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // What a call brings that was given up on changes nothing: what was denied meanwhile stays so.
    store.set("b");
    store.close_gate(false);
}

#[test]
fn what_is_denied_late_does_not_come_back_in_an_outage() {
    for (kind, expected) in [
        (ErrorKind::Denied, "unavailable"),
        (ErrorKind::NotFound, "unavailable"),
        (ErrorKind::DecryptionFailed, "unavailable"),
        (ErrorKind::Malformed, "a!"),
    ] {
        let store = Store::holding("a");
        let retry = Retry { budget: Duration::from_millis(100), attempts_max: 1, ..Retry::default() };
        let cache = CachePolicy { fresh: Duration::from_millis(50), ..CachePolicy::default() };
        let policy = Policy { retry, cache, ..Policy::default() };
        let resolver = resolver_with(&store, policy, Arc::new(MachineClock), std::process::id);
        got(&resolver, "KEY");
        thread::sleep(Duration::from_millis(60));
        store.close_gate(true);
        assert_eq!(got(&resolver, "KEY"), "a!");
        store.fail(kind);
        let failures = resolver.counts().failures;
        store.close_gate(false);
        while resolver.counts().failures == failures {
            thread::sleep(Duration::from_millis(1));
        }
        // It was heard of; a moment later it is written down.
        thread::sleep(Duration::from_millis(50));
        store.fail(ErrorKind::Unavailable);
        assert_eq!(got(&resolver, "KEY"), expected, "{kind}");
    }
}

static CHILD: AtomicBool = AtomicBool::new(false);

#[test]
fn a_forked_child_begins_anew_whatever_its_parent_held() {
    let (store, clock) = (Store::holding("a"), Arc::new(Hand::default()));
    let process = || if CHILD.load(Ordering::SeqCst) { 2 } else { 1 };
    let resolver = resolver_with(&store, Policy::default(), Arc::clone(&clock) as Arc<dyn Clock>, process);
    got(&resolver, "KEY");
    // A fetch under way in the parent, on a thread that its child does not have.
    clock.pass(250);
    store.close_gate(true);
    assert_eq!(got(&resolver, "KEY"), "a");
    while store.calls() < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    CHILD.store(true, Ordering::SeqCst);
    store.close_gate(false);
    assert_eq!(got(&resolver, "KEY"), "a");
    assert_eq!(store.calls(), 3, "the child read it for itself");
}

/// Thirty-two threads, a store that comes and goes, a second of it. `COFFER_CHAOS_SECONDS` makes it longer.
#[test]
fn no_wrong_value_and_no_herd_while_the_store_comes_and_goes() {
    let seconds = std::env::var("COFFER_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let store = Store::holding("v");
    let policy = Policy {
        cache: CachePolicy { fresh: Duration::from_millis(20), ..CachePolicy::default() },
        ..Policy::default()
    };
    let resolver = resolver_with(&store, policy, Arc::new(MachineClock), std::process::id);
    assert_eq!(got(&resolver, "KEY"), "v");
    let end = Instant::now() + Duration::from_secs(seconds);
    let answers: HashMap<String, u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| {
                    let mut answers = HashMap::<String, u64>::new();
                    while Instant::now() < end {
                        *answers.entry(got(&resolver, "KEY")).or_default() += 1;
                        thread::yield_now();
                    }
                    answers
                })
            })
            .collect();
        for turn in 0..10 {
            store.fail((turn % 2 == 0).then_some(ErrorKind::Unavailable));
            thread::sleep(Duration::from_secs(seconds) / 10);
        }
        let mut all = HashMap::<String, u64>::new();
        for thread in threads {
            thread
                .join()
                .unwrap()
                .into_iter()
                .for_each(|(answer, count)| *all.entry(answer).or_default() += count);
        }
        all
    });
    assert!(answers.keys().all(|answer| answer == "v" || answer == "v!"), "{answers:?}");
    let asked: u64 = answers.values().sum();
    // One fetch a freshness, at most, and the retries of an outage are fewer.
    let calls_max = seconds * 1000 / 16 + 20;
    assert!(store.calls() <= calls_max, "{} calls for {asked} questions, {calls_max} at most", store.calls());
}
