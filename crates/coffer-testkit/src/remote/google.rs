//! Google Cloud Secret Manager's reads over REST, and the endpoints that give tokens out.
//!
//! Written from what Google's clients rely on, not from coffer's own client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Certified, Remote, Reply, Request};

/// What the only project is called in answers.
const PROJECT_NUMBER: &str = "123456789";

/// A Secret Manager, with the token endpoint beside it.
pub struct Google {
    remote: Remote,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By name.
    secrets: BTreeMap<String, Secret>,
    tokens: BTreeSet<String>,
    given_out: u64,
    refuses_tokens: bool,
    wrong_checksums: bool,
}

#[derive(Default)]
struct Secret {
    versions: Vec<(Vec<u8>, &'static str)>,
    closed: bool,
}

impl Google {
    /// With one project, `bot`.
    pub fn start(tls: Option<Certified>) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let rules = Arc::clone(&state);
        let remote = Remote::start(tls, move |request| locked(&rules).answer(request));
        Self { remote, state }
    }

    /// Its address and its failures.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Adds a version.
    pub fn put(&self, name: &str, data: &[u8]) {
        let mut state = locked(&self.state);
        state.secrets.entry(name.to_owned()).or_default().versions.push((data.to_vec(), "ENABLED"));
    }

    /// Puts the last version into another state: `ENABLED`, `DISABLED`, `DESTROYED`.
    ///
    /// # Panics
    /// If there is none.
    pub fn set_state(&self, name: &str, version_state: &'static str) {
        let mut state = locked(&self.state);
        let secret = state.secrets.get_mut(name).expect("a secret");
        secret.versions.last_mut().expect("a version").1 = version_state;
    }

    /// Lets nobody read a secret.
    ///
    /// # Panics
    /// If there is none.
    pub fn close(&self, name: &str) {
        locked(&self.state).secrets.get_mut(name).expect("a secret").closed = true;
    }

    /// Gives no token out any more, or does so again.
    pub fn refuse_tokens(&self, refuses: bool) {
        locked(&self.state).refuses_tokens = refuses;
    }

    /// Ends every token that was given out.
    pub fn end_tokens(&self) {
        locked(&self.state).tokens.clear();
    }

    /// How many tokens were given out.
    pub fn given_out(&self) -> u64 {
        locked(&self.state).given_out
    }

    /// Sends checksums along that do not fit.
    pub fn send_wrong_checksums(&self, wrong: bool) {
        locked(&self.state).wrong_checksums = wrong;
    }

    /// A file of application default credentials, of a user who signed in.
    pub fn authorized_user(&self) -> Value {
        json!({
            "type": "authorized_user",
            "client_id": "client",
            "client_secret": "hunter2",
            "refresh_token": "refresh",
            "token_uri": format!("{}/token", self.remote.url()),
        })
    }

    /// The same of a workload with an identity of its own, which a file holds.
    pub fn external_account(&self, subject_token_file: &str) -> Value {
        json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/sts", self.remote.url()),
            "credential_source": { "file": subject_token_file },
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(code: u16, status: &str, message: &str) -> Reply {
    let error = json!({ "code": code, "message": message, "status": status, "details": [] });
    Reply::json(code, json!({ "error": error }).to_string())
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/token" | "/sts") => self.token(request),
            ("GET", "/computeMetadata/v1/instance/service-accounts/default/token") => {
                match request.header("metadata-flavor") {
                    Some("Google") => self.give_out(),
                    Some(_) | None => {
                        failed(403, "PERMISSION_DENIED", "Missing Metadata-Flavor:Google header.")
                    }
                }
            }
            ("GET", path) => {
                let read = path
                    .strip_prefix("/v1/projects/bot/secrets/")
                    .and_then(|rest| rest.strip_suffix(":access"))
                    .and_then(|rest| rest.split_once("/versions/"));
                match read {
                    Some((name, version)) => self.access(request, name, version),
                    None => failed(404, "NOT_FOUND", "The requested URL was not found."),
                }
            }
            _ => failed(404, "NOT_FOUND", "The requested URL was not found."),
        }
    }

    fn token(&mut self, request: &Request) -> Reply {
        let refresh = request.json();
        let form = String::from_utf8_lossy(&request.body);
        let may = refresh.get("refresh_token").and_then(Value::as_str) == Some("refresh")
            || form.contains("refresh_token=refresh")
            || form.contains("subject_token=workload");
        if !may || self.refuses_tokens {
            let body = json!({ "error": "invalid_grant", "error_description": "Token has been expired or revoked." });
            return Reply::json(400, body.to_string());
        }
        self.give_out()
    }

    fn give_out(&mut self) -> Reply {
        self.given_out += 1;
        let token = format!("ya29.{}", self.given_out);
        self.tokens.insert(token.clone());
        let body = json!({
            "access_token": token,
            "expires_in": 3600,
            "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        });
        Reply::json(200, body.to_string())
    }

    fn access(&self, request: &Request, name: &str, version: &str) -> Reply {
        let bearer = request.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
        if !bearer.is_some_and(|token| self.tokens.contains(token)) {
            let message = "Request had invalid authentication credentials. Expected OAuth 2 access token.";
            return failed(401, "UNAUTHENTICATED", message);
        }
        let whole = format!("projects/{PROJECT_NUMBER}/secrets/{name}");
        let Some(secret) = self.secrets.get(name) else {
            return failed(404, "NOT_FOUND", &format!("Secret [{whole}] not found or has no versions."));
        };
        if secret.closed {
            let message =
                format!("Permission 'secretmanager.versions.access' denied for resource '{whole}'.");
            return failed(403, "PERMISSION_DENIED", &message);
        }
        let number = match version {
            "latest" => secret.versions.len(),
            text => match text.parse() {
                Ok(number) => number,
                Err(_) => return failed(400, "INVALID_ARGUMENT", "The provided Secret Version ID is wrong."),
            },
        };
        let whole = format!("{whole}/versions/{number}");
        let Some((data, state)) = number.checked_sub(1).and_then(|index| secret.versions.get(index)) else {
            return failed(404, "NOT_FOUND", &format!("Secret Version [{whole}] not found."));
        };
        if *state != "ENABLED" {
            let message = format!("Secret Version [{whole}] is in {state} state.");
            return failed(400, "FAILED_PRECONDITION", &message);
        }
        let sum = checksum(data) ^ u32::from(self.wrong_checksums);
        let payload = json!({ "data": STANDARD.encode(data), "dataCrc32c": sum.to_string() });
        Reply::json(200, json!({ "name": whole, "payload": payload }).to_string())
    }
}

/// CRC-32C by its table, as the client does not compute it.
fn checksum(data: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (index, entry) in (0u32..).zip(&mut table) {
        *entry = (0..8).fold(index, |sum, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()));
    }
    let step = |sum: u32, byte: &u8| table[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ (sum >> 8);
    !data.iter().fold(!0, step)
}
