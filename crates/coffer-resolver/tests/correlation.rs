//! What a call is known by: from whoever makes it to the provider, whoever watches, and the error.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::sync::{Arc, Mutex};

use coffer_resolver::{
    Asking, Call, CorrelationId, ErrorKind, FetchError, Fetched, Manifest, Observer, Provider, Reference,
    Resolver, ResolverOptions, Scheme, Surroundings,
};
use coffer_types::SecretBytes;

const MANIFEST: &str = "
[secrets.ONE]
from = \"aws://one\"
[secrets.TWO]
from = \"aws://two\"
[secrets.DENIED]
from = \"aws://denied\"
required = false
";

/// A store that writes down what it was asked by, and a log of what was told of that.
#[derive(Default)]
struct Heard {
    by_store: Mutex<Vec<String>>,
    by_observer: Mutex<Vec<String>>,
}

struct Store(Arc<Heard>);
struct Log(Arc<Heard>);

impl Provider for Store {
    fn scheme(&self) -> Scheme {
        Scheme::Aws
    }

    fn fetch(&self, _: &Reference) -> Result<Fetched, FetchError> {
        panic!("every call has an id")
    }

    fn fetch_as(&self, document: &Reference, id: &CorrelationId) -> Result<Fetched, FetchError> {
        self.0.by_store.lock().unwrap().push(id.to_string());
        match document.path() {
            "denied" => Err(FetchError::new(ErrorKind::Denied, Scheme::Aws, "no", "ask")),
            _ => Ok(Fetched::new(SecretBytes::from("x".to_owned()))),
        }
    }
}

impl Observer for Log {
    fn called(&self, call: &Call<'_>) {
        self.0.by_observer.lock().unwrap().push(call.id.to_string());
    }
}

fn resolver(heard: &Arc<Heard>, id: Option<&str>) -> Resolver {
    let options = ResolverOptions {
        providers: vec![Arc::new(Store(Arc::clone(heard)))],
        observer: Some(Arc::new(Log(Arc::clone(heard)))),
        id: id.map(|id| id.parse().unwrap()),
        ..ResolverOptions::default()
    };
    let manifest = Manifest::parse("coffer.toml".as_ref(), MANIFEST).unwrap();
    Resolver::new(manifest, Surroundings::of(&[], "/"), options).unwrap()
}

fn asking(id: &str) -> Asking {
    Asking::by(id.parse().unwrap())
}

#[test]
fn a_call_is_known_by_one_id_everywhere() {
    let heard = Arc::new(Heard::default());
    let resolver = resolver(&heard, None);
    let problem = resolver.walk_as("DENIED", &asking("Root=1-caller")).result.err().unwrap();
    assert_eq!(problem.correlation_id().unwrap().as_str(), "Root=1-caller");
    assert_eq!(*heard.by_store.lock().unwrap(), ["Root=1-caller"]);
    assert_eq!(*heard.by_observer.lock().unwrap(), ["Root=1-caller"]);

    // Whoever says nothing is given one, for all the names of a call.
    heard.by_store.lock().unwrap().clear();
    assert!(resolver.load().is_err());
    let ids = heard.by_store.lock().unwrap().clone();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 16), "{ids:?}");
    // The next call has another.
    let again = resolver.get("DENIED").err().unwrap();
    assert_ne!(again.correlation_id().unwrap().as_str(), ids[0]);
}

#[test]
fn what_a_resolver_is_told_holds_for_all_its_calls_that_say_nothing_else() {
    let heard = Arc::new(Heard::default());
    let resolver = resolver(&heard, Some("job-7"));
    assert!(resolver.get("ONE").is_ok());
    assert!(resolver.ask_as(&"aws://two".parse().unwrap(), &asking("other")).is_ok());
    // What is kept is asked of nobody.
    assert!(resolver.walk_as("ONE", &asking("third")).result.is_ok());
    assert_eq!(*heard.by_store.lock().unwrap(), ["job-7", "other"]);
}

#[cfg(feature = "vault")]
#[test]
fn vault_is_told() {
    use coffer_resolver::providers::Vault;
    use coffer_testkit::remote::{Remote, Reply};
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let remote = Remote::start(None, move |request| {
        told.lock().unwrap().push(request.header("x-correlation-id").map(str::to_owned));
        Reply::json(200, r#"{"data":{"A":"x"}}"#)
    });
    let address = remote.url();
    let variables = [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "root")];
    let vault = Vault::new(&Surroundings::of(&variables, "/"));
    let document: Reference = "vault://kv1/bot?kv=1".parse().unwrap();
    assert!(vault.fetch_as(&document, &"Root=1-caller".parse().unwrap()).is_ok());
    assert!(vault.fetch(&document).is_ok());
    assert_eq!(*heard.lock().unwrap(), [Some("Root=1-caller".to_owned()), None]);
}
