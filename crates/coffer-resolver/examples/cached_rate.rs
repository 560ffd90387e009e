//! How long a value takes that was read before, by one caller and by eight at once, and how many fetches that took.
//!
//! `cargo run --release -p coffer-resolver --example cached_rate`. I/O: standard output; the store is in memory.

#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use coffer_resolver::{
    FetchError, Fetched, Manifest, Provider, Reference, Resolver, ResolverOptions, Scheme, Surroundings,
};
use coffer_types::SecretBytes;

const CALLS: u32 = 200_000;

struct InMemory;

impl Provider for InMemory {
    fn scheme(&self) -> Scheme {
        Scheme::Aws
    }

    fn fetch(&self, _: &Reference) -> Result<Fetched, FetchError> {
        let document =
            br#"{"X_API_KEY":"abcdefghijklmnopqrstuvwxyz","X_API_SECRET":"abcdefghijklmnopqrstuvwxyz"}"#;
        Ok(Fetched::new(SecretBytes::copy_from(document)))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = "[secrets.X_API_KEY]\n[secrets.WHOLE]\nfrom = \"aws://bot\"\n\
                [profiles.production]\nchain = [\"env\", \"aws:bot?region=us-east-1\", \"default\"]";
    let options = ResolverOptions {
        profile: Some("production".to_owned()),
        providers: vec![Arc::new(InMemory)],
        ..ResolverOptions::default()
    };
    let manifest = Manifest::parse(Path::new("coffer.toml"), text)?;
    let resolver = Resolver::new(manifest, Surroundings::of(&[], "/"), options)?;
    for (what, name) in [("a whole document", "WHOLE"), ("a field, after the environment", "X_API_KEY")] {
        resolver.get(name)?;
        for threads in [1, 8] {
            let began = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| (0..CALLS / threads).for_each(|_| drop(resolver.get(name))));
                }
            });
            let each = began.elapsed() / CALLS;
            println!("{what}, {threads} at once: {:.2} µs a value", each.as_secs_f64() * 1e6);
        }
    }
    println!("{:?}", resolver.counts());
    Ok(())
}
