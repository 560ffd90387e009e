//! The rows of the matrix of faults for stores that are asked over the network.

#![allow(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_resolver::{CorrelationId, FetchError, Fetched, Provider, Reference, Scheme};
use coffer_testkit::remote::{Failure, Remote};

use super::support;

/// A store that can be made to fail.
pub(crate) struct Store {
    pub(crate) provider: Arc<dyn Provider>,
    fail: Box<dyn Fn(&Fault) + Send + Sync>,
}

/// How.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The next two answers.
    Twice(Failure),
    /// Every answer.
    Always(Failure),
    /// It is stopped.
    Gone,
    /// Its certificate is no longer one that can be trusted.
    Untrusted,
    /// What only this store can say.
    Says(&'static str),
}

/// One row of the table.
pub(crate) type Row = (&'static str, Fault);

/// What can happen to every one of them.
pub(crate) fn common() -> Vec<Row> {
    vec![
        ("slow", Fault::Twice(Failure::Delay(std::time::Duration::from_millis(200)))),
        ("hangs", Fault::Always(Failure::Delay(std::time::Duration::from_secs(60)))),
        ("429, wait 1 s, twice", Fault::Twice(Failure::Throttled(1))),
        ("429, wait 1 s", Fault::Always(Failure::Throttled(1))),
        ("429, wait 60 s", Fault::Always(Failure::Throttled(60))),
        ("503 twice", Fault::Twice(Failure::Status(503))),
        ("503", Fault::Always(Failure::Status(503))),
        ("500", Fault::Always(Failure::Status(500))),
        ("truncated", Fault::Always(Failure::Truncated)),
        ("other JSON", Fault::Always(Failure::OtherJson)),
        ("no JSON", Fault::Always(Failure::NoJson("hunter2"))),
        ("hangs up", Fault::Always(Failure::HangUp)),
        ("gone", Fault::Gone),
        ("certificate wrong", Fault::Untrusted),
    ]
}

/// Asks one provider until another takes its place.
struct Switched {
    usual: Box<dyn Provider>,
    other: Box<dyn Provider>,
    switched: Arc<AtomicBool>,
}

impl Provider for Switched {
    fn scheme(&self) -> Scheme {
        self.usual.scheme()
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        self.asked().fetch(document)
    }

    fn fetch_as(&self, document: &Reference, id: &CorrelationId) -> Result<Fetched, FetchError> {
        self.asked().fetch_as(document, id)
    }
}

impl Switched {
    fn asked(&self) -> &dyn Provider {
        if self.switched.load(Ordering::SeqCst) { &*self.other } else { &*self.usual }
    }
}

impl Store {
    /// `make` makes a client of the address it is given; `says` makes the store say what only it can.
    fn of<P: Provider + 'static, S: Send + Sync + 'static>(
        server: S,
        remote: fn(&S) -> &Remote,
        make: impl Fn(&S, String) -> P,
        says: fn(&S, &str),
    ) -> Self {
        let switched = Arc::new(AtomicBool::new(false));
        let provider = Switched {
            usual: Box::new(make(&server, remote(&server).url())),
            // TLS to who speaks none: nothing that could be trusted is shown.
            other: Box::new(make(&server, remote(&server).url_over_tls())),
            switched: Arc::clone(&switched),
        };
        let fail = move |fault: &Fault| match fault {
            Fault::Twice(failure) => remote(&server).fail_next([failure.clone(), failure.clone()]),
            Fault::Always(failure) => remote(&server).fail_always(Some(failure.clone())),
            Fault::Gone => remote(&server).stop(),
            Fault::Untrusted => switched.store(true, Ordering::SeqCst),
            Fault::Says(what) => says(&server, what),
        };
        Self { provider: Arc::new(provider), fail: Box::new(fail) }
    }

    pub(crate) fn fail(&self, fault: &Fault) {
        (self.fail)(fault);
    }
}

/// AWS Secrets Manager, as far as its SDK can tell, with a secret `said`.
#[cfg(feature = "aws")]
pub(crate) fn aws() -> Store {
    use coffer_resolver::providers::{Aws, AwsSettings};

    let server = support::SecretsManager::start();
    server.put("said", r#"{"A":1}"#);
    let make = |_: &support::SecretsManager, endpoint| {
        Aws::with(AwsSettings {
            endpoint: Some(endpoint),
            region: Some("us-east-1".to_owned()),
            credentials: Some(aws_credential_types::Credentials::from_keys("test", "test", None)),
        })
    };
    Store::of(server, support::SecretsManager::remote, make, |server, code| server.refuse(Some(code)))
}

#[cfg(feature = "aws")]
pub(crate) fn aws_rows() -> Vec<Row> {
    let says = [
        ("not found", "ResourceNotFoundException"),
        ("denied", "AccessDeniedException"),
        ("marked for deletion", "InvalidRequestException"),
        ("token expired", "ExpiredTokenException"),
        ("no decryption", "DecryptionFailure"),
        ("wrong parameter", "InvalidParameterException"),
        ("throttled", "ThrottlingException"),
        ("fault", "InternalServiceError"),
    ];
    let says = says.map(|(row, code)| (row, Fault::Says(code)));
    says.into_iter().chain(common()).collect()
}

/// Vault, with a document `secret/said` and a token that may be revoked.
#[cfg(feature = "vault")]
pub(crate) fn vault() -> Store {
    use coffer_resolver::{Surroundings, providers};
    use coffer_testkit::remote::Vault;

    let server = Vault::start(None);
    server.put("", "secret/said", r#"{"A":1}"#);
    server.add_token("given", None, &[""]);
    let make = |_: &Vault, address: String| {
        let variables = [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "given")];
        providers::Vault::new(&Surroundings::of(&variables, "/"))
    };
    Store::of(server, Vault::remote, make, |vault, what| match what {
        "sealed" => vault.seal(true),
        "deleted" => vault.delete("secret/said", false),
        "destroyed" => vault.delete("secret/said", true),
        "denied" => vault.add_token("given", None, &["secret/data/other"]),
        "revoked" => vault.revoke(Some("given")),
        other => panic!("{other}"),
    })
}

#[cfg(feature = "vault")]
pub(crate) fn vault_rows() -> Vec<Row> {
    let says = ["destroyed", "deleted", "denied", "revoked", "sealed"];
    let says = says.map(|what| (if what == "revoked" { "token expired" } else { what }, Fault::Says(what)));
    says.into_iter().chain(common()).collect()
}

/// Secret Manager, with a secret `said`.
#[cfg(feature = "gcp")]
pub(crate) fn gcp() -> Store {
    use coffer_resolver::providers::{Gcp, GcpSettings};
    use coffer_testkit::remote::Google;
    use google_cloud_auth::credentials::user_account;

    let server = Google::start(None);
    server.put("said", br#"{"A":1}"#);
    let user = server.authorized_user();
    let credentials = support::on_a_runtime(|| user_account::Builder::new(user).build().unwrap());
    let make = move |_: &Google, endpoint| {
        Gcp::with(GcpSettings {
            endpoint: Some(endpoint),
            project: None,
            credentials: Some(credentials.clone()),
        })
    };
    let store = Store::of(server, Google::remote, make, |google, what| match what {
        "disabled" | "destroyed" => {
            google.set_state("said", if what == "disabled" { "DISABLED" } else { "DESTROYED" });
        }
        "denied" => google.close("said"),
        "token expired" => google.end_tokens(),
        "wrong checksum" => google.send_wrong_checksums(true),
        other => panic!("{other}"),
    });
    // Signed in before anything fails: the SDK asks for its token in the background.
    let _ = store.provider.fetch(&"gcp://bot/none".parse().unwrap());
    store
}

#[cfg(feature = "gcp")]
pub(crate) fn gcp_rows() -> Vec<Row> {
    let says = ["destroyed", "disabled", "denied", "token expired", "wrong checksum"];
    says.map(|what| (what, Fault::Says(what))).into_iter().chain(common()).collect()
}
