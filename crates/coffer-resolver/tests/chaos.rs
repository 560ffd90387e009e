//! A store that comes and goes under many threads, and whose value counts up: nobody is given a wrong value or one that is
//! older than it is said to be, nobody who was given one before is left without, and the store is not overrun when it comes
//! back.
//!
//! `COFFER_CHAOS_SECONDS=60` for another length than six seconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coffer_resolver::{
    BreakerPolicy, CachePolicy, Manifest, Policy, Resolver, ResolverOptions, Retry, Surroundings,
};
use coffer_testkit::remote::Vault;

const THREADS: usize = 32;
const STOPS: u32 = 10;
const FRESH: Duration = Duration::from_millis(50);
/// How long an answer may be on its way on a machine that is busy.
const ON_ITS_WAY_MAX: Duration = Duration::from_secs(2);

#[test]
fn a_store_that_is_stopped_and_started_ten_times() {
    let seconds = std::env::var("COFFER_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let vault = Vault::start(None);
    vault.put("", "secret/bot", r#"{"A":"1"}"#);
    let address = vault.remote().url();
    let variables =
        [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "root"), ("KEY", "vault://secret/bot#A")];
    let policy = Policy {
        cache: CachePolicy { fresh: FRESH, ..CachePolicy::default() },
        retry: Retry { budget: Duration::from_secs(2), ..Retry::default() },
        breaker: BreakerPolicy {
            open_for: Duration::from_millis(50),
            open_max: Duration::from_millis(200),
            ..BreakerPolicy::default()
        },
    };
    let options = ResolverOptions { policy, ..ResolverOptions::default() };
    let manifest = Manifest::of_names(["KEY"]).unwrap();
    let resolver = Resolver::new(manifest, Surroundings::of(&variables, "/"), options).unwrap();

    // All at once on an empty cache: one asks, the others wait for it. The mount and the document are two requests.
    let (together, over) = (Barrier::new(THREADS), AtomicBool::new(false));
    let (reads, stale, longest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let oldest = AtomicU64::new(0);
    let first = Arc::new(Barrier::new(THREADS + 1));
    // When each value was there: the first is 1.
    let written = Mutex::new(vec![Instant::now()]);
    let mut requests_at_first = 0;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                together.wait();
                let read = || {
                    let began = Instant::now();
                    let found = resolver.get("KEY").unwrap().unwrap();
                    let value = std::str::from_utf8(found.value.expose_secret()).unwrap();
                    let value: usize = value.parse().unwrap();
                    let (followed, count) = {
                        let written = written.lock().unwrap();
                        (written.get(value).copied(), written.len())
                    };
                    // The last one may be read before it is written down.
                    assert!((1..=count + 1).contains(&value), "{value} of {count}");
                    let age_max = found.stale.unwrap_or(FRESH) + ON_ITS_WAY_MAX;
                    let age = followed.map(|followed| began.saturating_duration_since(followed));
                    assert!(age.is_none_or(|age| age <= age_max), "{value} of {count} is {age:?} old");
                    oldest.fetch_max(age.unwrap_or_default().as_millis() as u64, Ordering::Relaxed);
                    reads.fetch_add(1, Ordering::Relaxed);
                    stale.fetch_add(found.stale.is_some().into(), Ordering::Relaxed);
                    longest.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
                };
                read();
                first.wait();
                while !over.load(Ordering::Relaxed) {
                    read();
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
                let value = written.lock().unwrap().len() + 1;
                vault.put("", "secret/bot", &format!(r#"{{"A":"{value}"}}"#));
                written.lock().unwrap().push(Instant::now());
            }
        });
        first.wait();
        requests_at_first = vault.remote().count();
        let turn = Duration::from_secs(seconds) / STOPS;
        for _ in 0..STOPS {
            thread::sleep(turn / 2);
            vault.remote().stop();
            thread::sleep(turn / 2);
            vault.remote().start_again();
        }
        over.store(true, Ordering::Relaxed);
    });
    let requests = vault.remote().count();
    let counts = resolver.counts();
    eprintln!(
        "{} reads, {} stale, {requests} requests, {} fetches, {} failed, {} kept back, longest wait {} ms, \
         oldest {} ms of {} values",
        reads.load(Ordering::Relaxed),
        stale.load(Ordering::Relaxed),
        counts.fetches,
        counts.failures,
        counts.kept_back,
        longest.load(Ordering::Relaxed),
        oldest.load(Ordering::Relaxed),
        written.lock().unwrap().len(),
    );
    assert!(requests_at_first <= 4, "a herd of {requests_at_first} at the first read");
    // A value is fresh for FRESH and asked for again in the last fifth of that: so many fetches there can be, and no more.
    let most = seconds * 1000 / (FRESH.as_millis() as u64 * 4 / 5) + u64::from(STOPS) + 4;
    assert!(requests <= most, "{requests} requests where {most} would do");
    assert!(stale.load(Ordering::Relaxed) > 0, "nothing was stale while the store was away");
    assert!(counts.failures > 0);
}
