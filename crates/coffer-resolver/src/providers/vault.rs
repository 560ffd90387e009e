//! HashiCorp Vault and OpenBao: `vault://mount/path?version=3#field`, of the KV engine, versions 1 and 2.
//!
//! I/O: HTTP or HTTPS to one address, and the files that settings name. Nothing is begun before it is first asked. Where a
//! mount ends and its path begins, and which version of the engine is there, Vault is asked, as its own command line does it.

mod session;
mod settings;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use coffer_types::{CorrelationId, SecretBytes};
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::{Zeroize as _, Zeroizing};

pub use settings::{Credential, VaultAuth, VaultSettings};

use crate::error::{ErrorKind, FetchError};
use crate::provider::{Facts, Fetched, Provider};
use crate::providers::engine::Engine;
use crate::providers::http::{Answer, Http, Trust};
use crate::reference::{Reference, Scheme};
use crate::surroundings::Surroundings;
use session::Session;

/// What may stand in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// How long a mount is taken to be what it was.
const MOUNT_TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// Where Vault tells of itself, of its tokens and of who has them: no secret of an application's.
const OWN: [&str; 4] = ["auth", "sys", "identity", "cubbyhole"];
/// What to do where an answer makes no sense.
const SEE_ADDRESS: &str = "see whether VAULT_ADDR leads to a Vault";

/// Vault or OpenBao.
pub struct Vault {
    settings: Result<VaultSettings, FetchError>,
    engine: Engine<Result<State, FetchError>>,
}

/// What one process has.
struct State {
    http: Http,
    session: tokio::sync::Mutex<Option<std::sync::Arc<Session>>>,
    mounts: Mutex<Vec<(Mount, Instant)>>,
}

/// A KV engine, and where it is.
#[derive(Clone)]
struct Mount {
    namespace: Option<String>,
    /// With a slash at its end.
    path: String,
    version: EngineVersion,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EngineVersion {
    One,
    Two,
}

/// Whose token a call is made with, and in which namespace.
#[derive(Clone, Copy, Default)]
struct Caller<'a> {
    token: Option<&'a str>,
    namespace: Option<&'a str>,
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    auth: Option<&'a RawValue>,
    warnings: Option<Vec<String>>,
    errors: Option<Vec<String>>,
}

/// What version 2 wraps a document in once more.
#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    destroyed: bool,
    version: Option<u64>,
    created_time: Option<String>,
}

/// What the answer to "what is mounted there" tells.
#[derive(Deserialize)]
struct Mounted {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    version: Option<String>,
}

impl Vault {
    /// As the environment says: `VAULT_ADDR`, `VAULT_TOKEN` and the rest of what docs/resolver.md names.
    pub fn new(surroundings: &Surroundings) -> Self {
        Self { settings: VaultSettings::of(surroundings), engine: Engine::new(Scheme::Vault) }
    }

    /// As `settings` say.
    pub fn with(settings: VaultSettings) -> Self {
        Self { settings: Ok(settings), engine: Engine::new(Scheme::Vault) }
    }
}

impl Provider for Vault {
    fn scheme(&self) -> Scheme {
        Scheme::Vault
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        self.read(document, None)
    }

    fn fetch_as(&self, document: &Reference, id: &CorrelationId) -> Result<Fetched, FetchError> {
        self.read(document, Some(id))
    }
}

impl Vault {
    fn read(&self, document: &Reference, id: Option<&CorrelationId>) -> Result<Fetched, FetchError> {
        let settings = self.settings.as_ref().map_err(Clone::clone)?;
        check_path(document.path())?;
        self.engine.run(
            || State::of(settings),
            async |state| {
                let state = state.as_ref().map_err(Clone::clone)?;
                Asking { settings, state, id }.document(document).await
            },
        )
    }
}

impl State {
    fn of(settings: &VaultSettings) -> Result<Self, FetchError> {
        let trust = match &settings.authorities {
            _ if !settings.address.starts_with("https://") => Trust::Nobody,
            Some(path) => Trust::File(path),
            None => Trust::System,
        };
        let reach = "see whether VAULT_ADDR can be reached from here, and VAULT_CACERT has who signed its certificate";
        let http = Http::new(Scheme::Vault, trust, reach)?;
        Ok(Self { http, session: tokio::sync::Mutex::new(None), mounts: Mutex::new(Vec::new()) })
    }
}

/// Everything one question needs.
#[derive(Clone, Copy)]
struct Asking<'a> {
    settings: &'a VaultSettings,
    state: &'a State,
    /// What the question is known by.
    id: Option<&'a CorrelationId>,
}

impl Asking<'_> {
    async fn document(&self, document: &Reference) -> Result<Fetched, FetchError> {
        let session = self.session().await?;
        let error = match self.read(&session, document).await {
            Err(error) if error.kind() == ErrorKind::Denied => error,
            result => return result,
        };
        // Vault says the same to who may not and to a token that has ended. Asked of the token itself, it tells.
        if self.is_good(&session).await? {
            return Err(error);
        }
        let session = self.sign_in_anew(&session).await?;
        self.read(&session, document).await
    }

    async fn read(&self, session: &Session, document: &Reference) -> Result<Fetched, FetchError> {
        let namespace = document.parameter("namespace").or(self.settings.namespace.as_deref());
        let caller = Caller { token: Some(session.token()), namespace };
        let mount = self.mount(caller, document).await?;
        let path =
            document.path().strip_prefix(&mount.path).filter(|path| !path.is_empty()).ok_or_else(|| {
                let what = format!("`{}` is a mount, and names nothing in it", document.path());
                FetchError::new(
                    ErrorKind::Misconfigured,
                    Scheme::Vault,
                    what,
                    "write vault://MOUNT/PATH#FIELD",
                )
            })?;
        let asked_for = document.parameter("version");
        if asked_for.is_some_and(|version| version.parse::<u64>().is_err()) {
            return Err(misconfigured("its version is no number", "write ?version=3"));
        }
        let (called, query) = match (mount.version, asked_for) {
            (EngineVersion::One, None) => (format!("{}{path}", mount.path), String::new()),
            (EngineVersion::One, Some(_)) => {
                let what = format!("`{}` is of version 1 and keeps no versions", mount.path);
                return Err(FetchError::new(
                    ErrorKind::Misconfigured,
                    Scheme::Vault,
                    what,
                    "leave ?version= out, or upgrade the engine",
                ));
            }
            (EngineVersion::Two, version) => {
                let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
                (format!("{}data/{path}", mount.path), query)
            }
        };
        let at = format!("{}{query}", utf8_percent_encode(&called, PLAIN));
        let answer = self.call(Method::GET, &at, caller, Zeroizing::default()).await?;
        if answer.status == 404 {
            self.forget(&mount);
            return Err(absent(&answer, document));
        }
        if answer.status != 200 {
            return Err(refused(&answer, &called));
        }
        let envelope: Envelope<'_> = read_as(&answer.body)?;
        let data = envelope.data.ok_or_else(unreadable)?;
        let (value, metadata) = match mount.version {
            EngineVersion::One => (data, None),
            EngineVersion::Two => {
                let versioned: Versioned<'_> = read_as(data.get().as_bytes())?;
                (versioned.data.ok_or_else(unreadable)?, versioned.metadata)
            }
        };
        let made = metadata.as_ref().and_then(|metadata| metadata.created_time.as_deref());
        let facts = Facts {
            name: Some(document.path().to_owned()),
            version_id: metadata.as_ref().and_then(|metadata| metadata.version).map(|v| v.to_string()),
            created_millis: made
                .and_then(|time| time.parse::<jiff::Timestamp>().ok())
                .map(|t| t.as_millisecond()),
            ..Facts::default()
        };
        Ok(Fetched::new(SecretBytes::copy_from(value.get().as_bytes())).with_facts(facts))
    }

    /// Where the engine that `document` is in begins: what the reference says, what is known, or what Vault says.
    async fn mount(&self, caller: Caller<'_>, document: &Reference) -> Result<Mount, FetchError> {
        let path = document.path();
        let namespace = caller.namespace.map(str::to_owned);
        let first = || format!("{}/", path.split('/').next().unwrap_or(path));
        match document.parameter("kv") {
            None => {}
            Some("1") => {
                check_unseen(path)?;
                return Ok(Mount { namespace, path: first(), version: EngineVersion::One });
            }
            Some("2") => return Ok(Mount { namespace, path: first(), version: EngineVersion::Two }),
            Some(_) => return Err(misconfigured("there is no such version of KV", "write ?kv=1 or ?kv=2")),
        }
        let known = {
            let mounts = self.state.mounts.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = |(mount, since): &&(Mount, Instant)| {
                mount.namespace == namespace
                    && path.starts_with(&mount.path)
                    && since.elapsed() < MOUNT_TIME_MAX
            };
            mounts.iter().find(fits).map(|(mount, _)| mount.clone())
        };
        if let Some(mount) = known {
            return Ok(mount);
        }
        let at = format!("sys/internal/ui/mounts/{}", utf8_percent_encode(path, PLAIN));
        let answer = self.call(Method::GET, &at, caller, Zeroizing::default()).await?;
        let mount = match answer.status {
            200 => {
                let envelope: Envelope<'_> = read_as(&answer.body)?;
                let mounted: Mounted = read_as(envelope.data.ok_or_else(unreadable)?.get().as_bytes())?;
                let version = mounted.options.and_then(|options| options.version);
                let version = match (mounted.kind.as_str(), version.as_deref()) {
                    ("kv", Some("2")) => EngineVersion::Two,
                    ("kv" | "generic", _) => EngineVersion::One,
                    _ => {
                        let what = format!("`{}` is no KV engine", mounted.path);
                        let action = "name a secret of a KV engine: `vault secrets list` shows them";
                        return Err(FetchError::new(ErrorKind::Misconfigured, Scheme::Vault, what, action));
                    }
                };
                Mount { namespace, path: format!("{}/", mounted.path.trim_end_matches('/')), version }
            }
            // A Vault from before there was a version 2 has no such page.
            404 => {
                check_unseen(path)?;
                Mount { namespace, path: first(), version: EngineVersion::One }
            }
            403 => {
                let what = format!("nothing is mounted at `{path}`, or this token may not know");
                let action = format!("see `vault secrets list`; {}", permit(path));
                return Err(FetchError::new(ErrorKind::Denied, Scheme::Vault, what, action));
            }
            _ => return Err(refused(&answer, path)),
        };
        let mut mounts = self.state.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.retain(|(known, since)| {
            since.elapsed() < MOUNT_TIME_MAX
                && (&known.namespace, &known.path) != (&mount.namespace, &mount.path)
        });
        mounts.push((mount.clone(), Instant::now()));
        Ok(mount)
    }

    /// What is not there may be so because the engine is another by now.
    fn forget(&self, mount: &Mount) {
        let mut mounts = self.state.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.retain(|(known, _)| (&known.namespace, &known.path) != (&mount.namespace, &mount.path));
    }

    /// One call below `/v1/`, redirected at most once, as a standby does it.
    async fn call(
        &self,
        method: Method,
        at: &str,
        caller: Caller<'_>,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Answer, FetchError> {
        let mut headers = vec![("x-vault-request", "true")];
        headers.extend(caller.token.map(|token| ("x-vault-token", token)));
        headers.extend(caller.namespace.map(|namespace| ("x-vault-namespace", namespace)));
        headers.extend(self.id.map(|id| ("x-correlation-id", id.as_str())));
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        let address = format!("{}/v1/{at}", self.settings.address);
        let answer = self.state.http.call(method.clone(), &address, &headers, body.clone()).await?;
        let elsewhere = match answer.status {
            301 | 302 | 307 | 308 => answer.header("location"),
            _ => None,
        };
        let Some(elsewhere) = elsewhere else { return Ok(answer) };
        let elsewhere = match elsewhere.strip_prefix('/') {
            Some(path) => format!("{}/{path}", self.settings.address),
            None => elsewhere.to_owned(),
        };
        if address.starts_with("https://") && !elsewhere.starts_with("https://") {
            return Err(misconfigured("it leads from HTTPS to what is not", SEE_ADDRESS));
        }
        self.state.http.call(method, &elsewhere, &headers, body).await
    }
}

/// The table of what Vault refuses with; `path` is what was asked for, without its namespace.
fn refused(answer: &Answer, path: &str) -> FetchError {
    let (kind, what, action) = match answer.status {
        401 | 403 => (ErrorKind::Denied, format!("this token may not read `{path}`"), permit(path)),
        // Quotas. Standbys say 429, 472 and 473 as well, but only of their health.
        429 => (
            ErrorKind::Throttled,
            "Vault was asked too often".to_owned(),
            "ask less often: a longer `fresh`; or raise the quota".to_owned(),
        ),
        // A node that is behind, a secondary, one that does not answer reads.
        412 | 472 | 473 => (
            ErrorKind::Unavailable,
            "this node can't answer now".to_owned(),
            "let VAULT_ADDR lead to the active node".to_owned(),
        ),
        501 => (
            ErrorKind::Unavailable,
            "this Vault was never initialised".to_owned(),
            "see `vault status`".to_owned(),
        ),
        503 => (
            ErrorKind::Unavailable,
            "Vault is sealed, or has no active node".to_owned(),
            "unseal it: `vault operator unseal`; see `vault status`".to_owned(),
        ),
        500.. => (ErrorKind::Unavailable, "Vault failed".to_owned(), "see what its log says".to_owned()),
        200..=299 => return unreadable(),
        status => (
            ErrorKind::Misconfigured,
            format!("`{path}` was refused with status {status}"),
            SEE_ADDRESS.to_owned(),
        ),
    };
    let refusal = FetchError::new(kind, Scheme::Vault, what, action);
    match answer.retry_after() {
        Some(time) => refusal.retry_after(time),
        None => refusal,
    }
}

/// What a 404 says: nothing there, taken away, or asked in a way that the engine, or Vault itself, does not know. Only the
/// first is an absence, for which a default may stand in.
fn absent(answer: &Answer, document: &Reference) -> FetchError {
    let path = document.path();
    let envelope: Option<Envelope<'_>> = serde_json::from_slice(&answer.body).ok();
    let asked_wrongly = |warning: &String| warning.starts_with("Invalid path for a versioned K/V");
    if envelope.as_ref().and_then(|e| e.warnings.as_ref()).is_some_and(|all| all.iter().any(asked_wrongly)) {
        let what = format!("`{path}` is in an engine of version 2");
        let action = "leave ?kv= out, or write ?kv=2";
        return FetchError::new(ErrorKind::Misconfigured, Scheme::Vault, what, action);
    }
    let Some(envelope) = envelope else {
        // Vault says 404 in JSON. Who does not is no Vault, and can't tell that anything is not there.
        return unreadable();
    };
    let not_there = || {
        FetchError::new(
            ErrorKind::NotFound,
            Scheme::Vault,
            format!("there is no `{path}`, or no such version of it"),
            format!("write it: `vault kv put {path} …`; see path and namespace"),
        )
    };
    let versioned = envelope.data.and_then(|data| serde_json::from_str::<Versioned<'_>>(data.get()).ok());
    match versioned.and_then(|versioned| versioned.metadata) {
        // Taken away on purpose and still there, so no default may stand in.
        Some(Metadata { destroyed: false, .. }) => FetchError::new(
            ErrorKind::Denied,
            Scheme::Vault,
            format!("`{path}`, or that version of it, is deleted"),
            format!("take that back: `vault kv undelete -versions=N {path}`"),
        ),
        Some(Metadata { destroyed: true, .. }) => not_there(),
        None => match envelope.errors.as_deref() {
            Some([]) => not_there(),
            // Such as "no handler for route": nothing was looked for.
            Some(_) => FetchError::new(
                ErrorKind::Misconfigured,
                Scheme::Vault,
                format!("`{path}` leads to nothing that Vault knows"),
                "see mount and namespace: `vault secrets list`",
            ),
            None => unreadable(),
        },
    }
}

/// Refuses what can't be the path of a secret: Vault's own places, and segments that lead elsewhere.
fn check_path(path: &str) -> Result<(), FetchError> {
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(misconfigured(
            "a segment of its path is empty, `.` or `..`",
            "write vault://MOUNT/PATH#FIELD",
        ));
    }
    if path.split('/').next().is_some_and(|first| OWN.contains(&first)) {
        return Err(misconfigured("that place is Vault's own", "name a secret of a KV engine"));
    }
    Ok(())
}

/// The same where nobody said that a KV engine is mounted there: the first words may be a namespace.
fn check_unseen(path: &str) -> Result<(), FetchError> {
    let mut folders = path.split('/').rev().skip(1);
    if folders.any(|folder| OWN.contains(&folder)) {
        return Err(misconfigured("that place may be Vault's own", "leave ?kv= out, so that Vault is asked"));
    }
    Ok(())
}

/// The statement to ask for.
fn permit(path: &str) -> String {
    format!("allow it: path \"{path}\" {{ capabilities = [\"read\"] }}")
}

fn read_as<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, FetchError> {
    // What the parser says may show the text.
    serde_json::from_slice(json).map_err(|_| unreadable())
}

fn unreadable() -> FetchError {
    let what = "the answer can't be read";
    FetchError::new(ErrorKind::Malformed, Scheme::Vault, what, SEE_ADDRESS)
}

fn misconfigured(what: &str, action: &str) -> FetchError {
    FetchError::new(ErrorKind::Misconfigured, Scheme::Vault, what, action)
}

/// Members of an object as JSON, in a buffer that is wiped.
fn json_of(members: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let mut json = Zeroizing::new(Vec::with_capacity(4096));
    json.push(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        for (text, after) in [(name, &b":"[..]), (value, b"")] {
            // Writing a text to memory can't fail.
            if let Ok(mut quoted) = serde_json::to_string(text) {
                json.extend_from_slice(quoted.as_bytes());
                quoted.zeroize();
            }
            json.extend_from_slice(after);
        }
    }
    json.push(b'}');
    json
}
