//! How long the resolver takes for a value that was read before, beside the least that could give one: a `HashMap` behind
//! a `Mutex` that clones a `String`. And how often the store is asked when many want the same at once.
//!
//! Prints one line of JSON: nanoseconds a read, by what is read and by how many threads at once; calls of the store. I/O:
//! standard output; the store is in memory. Invariant: floor and resolver take turns, and each figure is a median.

#![allow(clippy::print_stdout, reason = "a tool that prints figures")]

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coffer_resolver::{
    FetchError, Fetched, Manifest, Provider, Reference, Resolver, ResolverOptions, Scheme, Surroundings,
};
use coffer_types::SecretBytes;

const READS: u32 = 200_000;
const TURNS: usize = 7;
const CALLERS: usize = 1000;
const STORE_TAKES: Duration = Duration::from_millis(100);
const DOCUMENT: &[u8] = br#"{"username":"service-0500","password":"correct-horse-battery-staple-0500"}"#;
const MANIFEST: &str = r#"
[secrets.WHOLE]
from = "aws://production/service-0500/credentials"
[secrets.password]
[profiles.production]
chain = ["env", "aws:production/service-0500/credentials?region=us-east-1", "default"]
"#;

/// A store that answers after a while.
struct InMemory(Duration);

impl Provider for InMemory {
    fn scheme(&self) -> Scheme {
        Scheme::Aws
    }

    fn fetch(&self, _: &Reference) -> Result<Fetched, FetchError> {
        std::thread::sleep(self.0);
        Ok(Fetched::new(SecretBytes::copy_from(DOCUMENT)))
    }
}

fn main() -> anyhow::Result<()> {
    let resolver = resolver(Duration::ZERO)?;
    let floor = Mutex::new(HashMap::from([("WHOLE", String::from_utf8(DOCUMENT.to_vec())?)]));
    let of_floor = || {
        let map = floor.lock().unwrap_or_else(PoisonError::into_inner);
        drop(black_box(map.get(black_box("WHOLE")).cloned()));
    };
    let of_resolver = |name| {
        let read = resolver.get(black_box(name));
        // Whoever holds nothing has measured nothing.
        assert!(matches!(black_box(&read), Ok(Some(found)) if !found.value.is_empty()));
    };
    let mut told = Vec::new();
    for threads in [1, 2] {
        let (mut floors, mut wholes, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            floors.push(nanoseconds(threads, of_floor));
            wholes.push(nanoseconds(threads, || of_resolver("WHOLE")));
            fields.push(nanoseconds(threads, || of_resolver("password")));
        }
        for (what, times) in [("floor", floors), ("whole", wholes), ("field", fields)] {
            told.push(format!(r#""{what}_{threads}": {:.1}"#, median(times)));
        }
    }
    println!(r#"{{{}, "callers": {CALLERS}, "fetches": {}}}"#, told.join(", "), fetches_of_many()?);
    Ok(())
}

fn resolver(store_takes: Duration) -> anyhow::Result<Resolver> {
    let options = ResolverOptions {
        profile: Some("production".to_owned()),
        providers: vec![Arc::new(InMemory(store_takes))],
        ..ResolverOptions::default()
    };
    let manifest = Manifest::parse(Path::new("coffer.toml"), MANIFEST)?;
    Ok(Resolver::new(manifest, Surroundings::of(&[], "/"), options)?)
}

/// A read's time on each of so many threads at once.
fn nanoseconds(threads: usize, read: impl Fn() + Sync) -> f64 {
    let together = Barrier::new(threads);
    let timed = || {
        read();
        together.wait();
        let began = Instant::now();
        (0..READS).for_each(|_| read());
        began.elapsed().as_secs_f64() * 1e9 / f64::from(READS)
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(timed)).collect();
        let own = timed();
        let times = others.into_iter().filter_map(|thread| thread.join().ok()).chain([own]);
        times.sum::<f64>() / threads as f64
    })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How often the store was asked, once all who wanted the same at once have it.
fn fetches_of_many() -> anyhow::Result<u64> {
    let resolver = resolver(STORE_TAKES)?;
    let together = Barrier::new(CALLERS);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                together.wait();
                assert!(matches!(resolver.get("WHOLE"), Ok(Some(found)) if found.value.expose_secret() == DOCUMENT));
            });
        }
    });
    Ok(resolver.counts().fetches)
}
