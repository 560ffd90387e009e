//! Secrets as the fields of a struct: looked for together, checked when they are loaded, each of its own type.
//!
//! I/O: the resolver's. Invariant: what is made of a secret keeps it from being shown, and a problem never holds a value.
//!
//! ```
//! use coffer_resolver::{Credentials, LoadCredentials, Manifest, Resolver, ResolverOptions, SecretText, Surroundings};
//!
//! #[derive(Credentials)]
//! struct Twitter {
//!     x_api_key: SecretText,
//!     #[credential(name = "X_PORT")]
//!     port: Option<u16>,
//! }
//!
//! let surroundings = Surroundings::of(&[("X_API_KEY", "hunter2")], "/");
//! let resolver = Resolver::new(Manifest::default(), surroundings, ResolverOptions::default())?;
//! let twitter = Twitter::load(&resolver)?;
//! assert_eq!(twitter.x_api_key.expose_secret(), "hunter2");
//! assert!(twitter.port.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use coffer_types::SecretBytes;

use crate::background::OnThread;
use crate::report::{Fault, Problem, Problems};
use crate::resolver::{Resolver, Walk};
use crate::value_type::truth_of;

/// What `#[derive(Credentials)]` makes of a struct.
pub trait LoadCredentials: Sized {
    /// The names of its fields, as they are looked for.
    const NAMES: &'static [&'static str];

    /// Of what was found for those names.
    fn of_walks(walks: Walks) -> Result<Self, Problems>;

    /// All values, or everything that is wrong. Names that the manifest doesn't have are required texts, but for those of an
    /// `Option`.
    fn load(resolver: &Resolver) -> Result<Self, Problems> {
        Self::of_walks(Walks::new(resolver.walk_names(Self::NAMES)))
    }

    /// The same where nothing may block: looked for on a thread that ends with it. Any executor may wait for it.
    fn load_async(resolver: &Arc<Resolver>) -> OnThread<Result<Self, Problems>>
    where
        Self: Send + 'static,
    {
        let resolver = Arc::clone(resolver);
        OnThread::new(move || Self::load(&resolver))
    }
}

/// A type that a secret can be made to.
pub trait FromSecret: Sized {
    /// The value; or what was expected in its place, without what it was.
    fn from_secret(value: &Arc<SecretBytes>) -> Result<Self, &'static str>;
}

/// A secret that is text: not shown, not compared, wiped when the last copy goes.
#[derive(Clone)]
pub struct SecretText(Arc<SecretBytes>);

impl SecretText {
    /// The text.
    pub fn expose_secret(&self) -> &str {
        // It was text when this was made, and nothing changes it.
        std::str::from_utf8(self.0.expose_secret()).unwrap_or_default()
    }
}

impl FromSecret for SecretText {
    fn from_secret(value: &Arc<SecretBytes>) -> Result<Self, &'static str> {
        match std::str::from_utf8(value.expose_secret()) {
            Ok(_) => Ok(Self(Arc::clone(value))),
            Err(_) => Err("text in UTF-8"),
        }
    }
}

impl FromSecret for Arc<SecretBytes> {
    fn from_secret(value: &Arc<SecretBytes>) -> Result<Self, &'static str> {
        Ok(Arc::clone(value))
    }
}

impl FromSecret for bool {
    fn from_secret(value: &Arc<SecretBytes>) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(value.expose_secret()).unwrap_or_default();
        truth_of(text).ok_or("true or false")
    }
}

macro_rules! numbers {
    ($($number:ty: $expected:literal),* $(,)?) => {
        $(impl FromSecret for $number {
            fn from_secret(value: &Arc<SecretBytes>) -> Result<Self, &'static str> {
                let text = std::str::from_utf8(value.expose_secret()).unwrap_or_default();
                text.parse().map_err(|_| $expected)
            }
        })*
    };
}

numbers! {
    u16: "a whole number from 0 to 65535",
    u32: "a whole number from 0 to 4294967295",
    u64: "a whole number of 64 bits without a sign",
    i64: "a whole number of 64 bits",
}

/// What was found for the names of a struct, while its fields are taken from it.
pub struct Walks {
    walks: HashMap<String, Walk>,
    problems: Vec<Problem>,
}

impl Walks {
    fn new(walks: Vec<(String, Walk)>) -> Self {
        Self { walks: walks.into_iter().collect(), problems: Vec::new() }
    }

    /// Whether nothing was wrong so far.
    pub fn are_well(&self) -> bool {
        self.problems.is_empty()
    }

    /// What was wrong, in the order of the fields.
    pub fn into_problems(self) -> Problems {
        Problems(self.problems)
    }

    /// The value of a name; `Ok(None)` if nobody has it.
    fn take<T: FromSecret>(&mut self, name: &str) -> Result<Option<T>, Box<Problem>> {
        let Some(walk) = self.walks.remove(name) else { return Ok(None) };
        match walk.result {
            Ok(None) => Ok(None),
            Ok(Some(found)) => T::from_secret(&found.value).map(Some).map_err(|expected| {
                let fault = Fault::Malformed { place: found.place, expected: expected.to_owned() };
                Box::new(problem(name, fault, walk.asked))
            }),
            Err(problem) => Err(problem),
        }
    }
}

fn problem(name: &str, fault: Fault, asked: Vec<crate::report::Asked>) -> Problem {
    Problem { name: name.to_owned(), fault, asked, description: None, owner: None }
}

/// A field that has to be there. For what is derived.
pub fn required<T: FromSecret>(walks: &mut Walks, name: &str) -> Option<T> {
    match walks.take(name) {
        Ok(Some(value)) => return Some(value),
        Ok(None) => walks.problems.push(problem(name, Fault::Missing, Vec::new())),
        Err(problem) => walks.problems.push(*problem),
    }
    None
}

/// A field that need not be there: that nobody has it is no problem. For what is derived.
pub fn optional<T: FromSecret>(walks: &mut Walks, name: &str) -> Option<Option<T>> {
    match walks.take(name) {
        Ok(value) => Some(value),
        Err(problem) if matches!(problem.fault, Fault::Missing) => Some(None),
        Err(problem) => {
            walks.problems.push(*problem);
            None
        }
    }
}
