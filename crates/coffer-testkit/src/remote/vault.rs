//! Vault's KV engine, versions 1 and 2, with tokens, AppRole and signed tokens, namespaces and seal.
//!
//! Written from what Vault's clients rely on, not from coffer's own client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Certified, Remote, Reply, Request};

/// A Vault.
pub struct Vault {
    remote: Remote,
    state: Arc<Mutex<State>>,
}

/// A way to sign in.
#[derive(Clone, Debug)]
pub enum Login {
    /// `auth/<mount>/login` with `role_id` and `secret_id`.
    AppRole(&'static str, &'static str, &'static str),
    /// `auth/<mount>/login` with `role` and `jwt`.
    Jwt(&'static str, &'static str, &'static str),
}

#[derive(Default)]
struct State {
    /// By namespace and path, with a slash at its end.
    mounts: BTreeMap<(String, String), &'static str>,
    /// By namespace, mount and path.
    documents: BTreeMap<(String, String, String), Vec<Version>>,
    tokens: BTreeMap<String, Token>,
    logins: Vec<Login>,
    login_ttl: Duration,
    logged_in: u64,
    sealed: bool,
    active_node: Option<String>,
}

struct Version {
    data: Value,
    deleted: bool,
    destroyed: bool,
}

#[derive(Clone)]
struct Token {
    ttl: Duration,
    end: Option<Instant>,
    renewable: bool,
    /// What it may read: beginnings of paths.
    paths: Vec<String>,
}

impl Vault {
    /// With `secret/` and `team/kv/` of version 2, `kv1/` of version 1, `database/` that is no KV engine, and the token
    /// `root` that may read all.
    pub fn start(tls: Option<Certified>) -> Self {
        let mut state = State { login_ttl: Duration::from_secs(3600), ..State::default() };
        for (namespace, path, version) in [
            ("", "secret/", "2"),
            ("", "team/kv/", "2"),
            ("", "kv1/", "1"),
            ("", "database/", "no KV"),
            ("team-a", "secret/", "2"),
        ] {
            state.mounts.insert((namespace.to_owned(), path.to_owned()), version);
        }
        let state = Arc::new(Mutex::new(state));
        let rules = Arc::clone(&state);
        let remote = Remote::start(tls, move |request| locked(&rules).answer(request));
        let vault = Self { remote, state };
        vault.add_token("root", None, &[""]);
        vault
    }

    /// Its address and its failures.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Writes a new version of a document.
    ///
    /// # Panics
    /// If `data` is no JSON, or nothing is mounted there.
    pub fn put(&self, namespace: &str, path: &str, data: &str) {
        let mut state = locked(&self.state);
        let (mount, rest) = state.place(namespace, path).expect("a mount");
        let data = serde_json::from_str(data).expect("JSON");
        let version = Version { data, deleted: false, destroyed: false };
        state.documents.entry((namespace.to_owned(), mount, rest)).or_default().push(version);
    }

    /// Deletes the last version, which can be taken back; or destroys it.
    ///
    /// # Panics
    /// If there is none.
    pub fn delete(&self, path: &str, destroy: bool) {
        let mut state = locked(&self.state);
        let (mount, rest) = state.place("", path).expect("a mount");
        let versions = state.documents.get_mut(&(String::new(), mount, rest)).expect("a document");
        let last = versions.last_mut().expect("a version");
        (last.deleted, last.destroyed) = (true, destroy);
    }

    /// Another token; `paths` are the beginnings of what it may read.
    pub fn add_token(&self, token: &str, ttl: Option<Duration>, paths: &[&str]) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let end = ttl.map(|ttl| Instant::now() + ttl);
        let token_of = Token { ttl: ttl.unwrap_or_default(), end, renewable: ttl.is_some(), paths };
        locked(&self.state).tokens.insert(token.to_owned(), token_of);
    }

    /// Ends a token, or all that came of signing in.
    pub fn revoke(&self, token: Option<&str>) {
        locked(&self.state).tokens.retain(|known, _| match token {
            Some(token) => known != token,
            None => !known.starts_with("hvs.login"),
        });
    }

    /// Lets somebody in, with tokens that are good for so long.
    pub fn let_in(&self, login: Login, ttl: Duration) {
        let mut state = locked(&self.state);
        state.logins.push(login);
        state.login_ttl = ttl;
    }

    /// How often somebody signed in.
    pub fn logged_in(&self) -> u64 {
        locked(&self.state).logged_in
    }

    /// Seals it, or opens it again.
    pub fn seal(&self, sealed: bool) {
        locked(&self.state).sealed = sealed;
    }

    /// Makes it a standby that sends everybody to another address.
    pub fn stand_by_for(&self, url: Option<String>) {
        locked(&self.state).active_node = url;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(status: u16, message: &str) -> Reply {
    let errors: Vec<&str> = if message.is_empty() { Vec::new() } else { vec![message] };
    Reply::json(status, json!({ "errors": errors }).to_string())
}

/// The envelope of every success, all of whose keys are always there.
fn enveloped(status: u16, data: Value, auth: Value, warnings: Value) -> Reply {
    let body = json!({
        "request_id": "00000000-0000-0000-0000-000000000000",
        "lease_id": "",
        "renewable": false,
        "lease_duration": 0,
        "data": data,
        "wrap_info": null,
        "warnings": warnings,
        "auth": auth,
    });
    Reply::json(status, body.to_string())
}

fn found(data: Value) -> Reply {
    enveloped(200, data, Value::Null, Value::Null)
}

impl State {
    /// Which mount a path is below, and the rest of it.
    fn place(&self, namespace: &str, path: &str) -> Option<(String, String)> {
        let mounts = self.mounts.keys().filter(|(at, _)| at == namespace);
        let below = |(_, mount): &(String, String)| {
            path.strip_prefix(mount.as_str()).map(|rest| (mount.clone(), rest.to_owned()))
        };
        mounts.filter_map(below).max_by_key(|(mount, _)| mount.len())
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let Some(path) = request.path.strip_prefix("/v1/") else { return failed(404, "") };
        if let Some(url) = &self.active_node {
            let mut reply = failed(307, "");
            reply.headers.push(("location", format!("{url}{}", request.path)));
            return reply;
        }
        if self.sealed {
            return failed(503, "Vault is sealed");
        }
        let namespace = request.header("x-vault-namespace").unwrap_or_default();
        let writes = matches!(request.method.as_str(), "POST" | "PUT");
        if let Some(mount) = path.strip_prefix("auth/").and_then(|path| path.strip_suffix("/login")) {
            return if writes { self.log_in(mount, &request.json()) } else { failed(405, "") };
        }
        let bearer = request.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
        let name = request.header("x-vault-token").or(bearer).unwrap_or_default().to_owned();
        let token = self.tokens.get(&name).filter(|token| token.end.is_none_or(|end| end > Instant::now()));
        let Some(token) = token.cloned() else { return failed(403, "permission denied") };
        let left = |token: &Token| {
            token.end.map_or(0, |end| end.saturating_duration_since(Instant::now()).as_secs())
        };
        match path {
            "auth/token/lookup-self" => {
                return found(json!({ "id": name, "ttl": left(&token), "renewable": token.renewable }));
            }
            "auth/token/renew-self" if writes && token.renewable => {
                let end = Instant::now() + token.ttl;
                self.tokens.insert(name.clone(), Token { end: Some(end), ..token.clone() });
                return self.authenticated(&name, token.ttl);
            }
            "auth/token/renew-self" => return failed(400, "lease is not renewable"),
            _ => {}
        }
        if let Some(path) = path.strip_prefix("sys/internal/ui/mounts/") {
            return match self.place(namespace, path).or_else(|| self.place(namespace, &format!("{path}/"))) {
                Some((mount, _))
                    if token.paths.iter().any(|may| may.starts_with(&mount) || may.is_empty()) =>
                {
                    let version = self.mounts.get(&(namespace.to_owned(), mount.clone()));
                    found(match version {
                        Some(&("1" | "2")) => {
                            json!({ "path": mount, "type": "kv", "options": { "version": version } })
                        }
                        Some(_) | None => json!({ "path": mount, "type": "database", "options": null }),
                    })
                }
                _ => failed(
                    403,
                    &format!(
                        "preflight capability check returned 403, please ensure client's policies grant access to path \"{path}\""
                    ),
                ),
            };
        }
        if request.method != "GET" {
            return failed(405, "unsupported operation");
        }
        if !token.paths.iter().any(|may| path.starts_with(may.as_str())) {
            return failed(403, "1 error occurred:\n\t* permission denied\n\n");
        }
        let Some((mount, rest)) = self.place(namespace, path) else {
            return failed(404, "no handler for route");
        };
        match self.mounts.get(&(namespace.to_owned(), mount.clone())) {
            Some(&"1") => match self.documents.get(&(namespace.to_owned(), mount, rest)) {
                Some(versions) => found(versions.last().map_or(Value::Null, |last| last.data.clone())),
                None => failed(404, ""),
            },
            Some(&"2") => match rest.strip_prefix("data/") {
                Some(rest) => self.versioned(namespace, mount, rest, request.query.get("version")),
                None => {
                    let warning = "Invalid path for a versioned K/V secrets engine. See the API docs for the \
                                   appropriate API endpoints to use. If using the Vault CLI, use 'vault kv get' \
                                   for this operation.";
                    enveloped(404, Value::Null, Value::Null, json!([warning]))
                }
            },
            Some(_) | None => failed(404, "unsupported path"),
        }
    }

    fn versioned(&self, namespace: &str, mount: String, path: &str, asked_for: Option<&String>) -> Reply {
        let Some(versions) = self.documents.get(&(namespace.to_owned(), mount, path.to_owned())) else {
            return failed(404, "");
        };
        let number = match asked_for.map(|text| text.parse::<usize>()) {
            None | Some(Ok(0)) => versions.len(),
            Some(Ok(number)) => number,
            Some(Err(_)) => return failed(400, "version is no number"),
        };
        let Some(version) = number.checked_sub(1).and_then(|index| versions.get(index)) else {
            return failed(404, "");
        };
        let gone = version.deleted || version.destroyed;
        let data = json!({
            "data": if gone { &Value::Null } else { &version.data },
            "metadata": {
                "version": number,
                "created_time": "2026-01-01T00:00:00.000000000Z",
                "deletion_time": if version.deleted { "2026-01-02T00:00:00.000000000Z" } else { "" },
                "destroyed": version.destroyed,
                "custom_metadata": null,
            },
        });
        enveloped(if gone { 404 } else { 200 }, data, Value::Null, Value::Null)
    }

    fn log_in(&mut self, mount: &str, body: &Value) -> Reply {
        let is = |name: &str, value: &str| body.get(name).and_then(Value::as_str) == Some(value);
        let at = |login: &Login| match login {
            Login::AppRole(at, ..) | Login::Jwt(at, ..) => *at == mount,
        };
        let fits = |login: &Login| match login {
            Login::AppRole(_, role_id, secret_id) => is("role_id", role_id) && is("secret_id", secret_id),
            Login::Jwt(_, role, jwt) => is("role", role) && is("jwt", jwt),
        };
        if !self.logins.iter().any(at) {
            return failed(404, "no handler for route");
        }
        if !self.logins.iter().any(|login| at(login) && fits(login)) {
            return failed(400, "invalid role or secret ID");
        }
        self.logged_in += 1;
        let token = format!("hvs.login-{}", self.logged_in);
        let (ttl, end) = (self.login_ttl, Some(Instant::now() + self.login_ttl));
        self.tokens.insert(token.clone(), Token { ttl, end, renewable: true, paths: vec![String::new()] });
        self.authenticated(&token, ttl)
    }

    fn authenticated(&self, token: &str, ttl: Duration) -> Reply {
        let auth = json!({
            "client_token": token,
            "accessor": "accessor",
            "policies": ["default"],
            "token_policies": ["default"],
            "metadata": null,
            "lease_duration": ttl.as_secs(),
            "renewable": true,
            "entity_id": "",
            "token_type": "service",
            "orphan": true,
            "mfa_requirement": null,
            "num_uses": 0,
        });
        enveloped(200, Value::Null, auth, Value::Null)
    }
}
