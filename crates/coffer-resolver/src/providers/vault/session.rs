//! Being signed in: tokens, how long they are good for, and when there is a new one to get.
//!
//! I/O: asks Vault. Invariant: one signs in for all who wait, and whoever finds a token ended replaces that one only.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hyper::Method;
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use super::settings::VaultAuth;
use super::{Asking, Caller, Envelope, json_of, misconfigured, read_as, refused, unreadable};
use crate::error::{ErrorKind, FetchError};
use crate::reference::Scheme;

/// A token that somebody gave is asked how long it is good for once it has been in use for so long.
const ASKED_OF_ITS_TIME_AFTER: Duration = Duration::from_secs(60);
/// Where that could not be asked, it is asked again so much later.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A token is not used in the last moments of its time.
const MARGIN: Duration = Duration::from_secs(2);

/// A token in use.
pub(super) struct Session {
    token: Zeroizing<String>,
    /// When it is asked how long it is good for, where nothing has said so.
    asks_at: Mutex<Instant>,
    /// How long it is good for, as far as that is known.
    lease: OnceLock<Lease>,
}

#[derive(Clone, Copy)]
enum Lease {
    /// It never ends, or nobody may know.
    Open,
    Until {
        end: Instant,
        length: Duration,
        renewable: bool,
    },
}

/// What signing in, or renewing, answers.
#[derive(Deserialize)]
struct Auth {
    client_token: String,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

impl Drop for Auth {
    fn drop(&mut self) {
        self.client_token.zeroize();
    }
}

/// What a token is told of itself.
#[derive(Deserialize)]
struct Lookup {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

impl Lease {
    fn of(seconds: u64, renewable: bool) -> Self {
        let length = Duration::from_secs(seconds);
        match (seconds, Instant::now().checked_add(length)) {
            (0, _) | (_, None) => Self::Open,
            (_, Some(end)) => Self::Until { end, length, renewable },
        }
    }
}

impl Session {
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    fn of(auth: &Auth) -> Self {
        let lease = OnceLock::from(Lease::of(auth.lease_duration, auth.renewable));
        Self::with(Zeroizing::new(auth.client_token.clone()), lease)
    }

    fn with(token: Zeroizing<String>, lease: OnceLock<Lease>) -> Self {
        Self { token, asks_at: Mutex::new(Instant::now() + ASKED_OF_ITS_TIME_AFTER), lease }
    }

    fn asks_at(&self) -> MutexGuard<'_, Instant> {
        self.asks_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        match self.lease.get() {
            Some(Lease::Until { end, .. }) => Instant::now() + MARGIN >= *end,
            Some(Lease::Open) | None => false,
        }
    }

    /// In the last third of its time it is renewed.
    fn wants_renewal(&self) -> bool {
        match self.lease.get() {
            Some(Lease::Until { end, length, renewable: true }) => Instant::now() + *length / 3 >= *end,
            Some(Lease::Until { .. } | Lease::Open) | None => false,
        }
    }

    fn wants_to_know_its_time(&self) -> bool {
        self.lease.get().is_none() && Instant::now() >= *self.asks_at()
    }
}

impl Asking<'_> {
    /// A token to ask with: the one in use, renewed if it is time; or one got now, for all who wait.
    pub(super) async fn session(&self) -> Result<Arc<Session>, FetchError> {
        let mut current = self.state.session.lock().await;
        let session = match &*current {
            Some(session) if !session.is_over() => Arc::clone(session),
            Some(_) | None => self.sign_in().await?,
        };
        if session.wants_to_know_its_time() {
            let lease = match self.look_up(&session).await {
                Ok(Some(lookup)) => Some(Lease::of(lookup.ttl, lookup.renewable)),
                Ok(None) => Some(Lease::Open),
                // That Vault does not tell now says nothing of the token.
                Err(_) => None,
            };
            match lease {
                Some(lease) => drop(session.lease.set(lease)),
                None => *session.asks_at() = Instant::now() + ASKED_AGAIN_AFTER,
            }
        }
        let session = match session.wants_renewal() {
            // Whoever can't renew goes on with what is still good.
            true => self.renewed(&session).await.unwrap_or(session),
            false => session,
        };
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Another token in the place of `ended`, unless somebody else has got one already.
    pub(super) async fn sign_in_anew(&self, ended: &Arc<Session>) -> Result<Arc<Session>, FetchError> {
        let mut current = self.state.session.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !Arc::ptr_eq(session, ended)) {
            return Ok(Arc::clone(session));
        }
        *current = None;
        let session = self.sign_in().await?;
        if session.token() == ended.token() {
            let action = "sign in again: `vault login`, or another VAULT_TOKEN";
            let what = "the token is wrong, revoked or no longer good";
            return Err(FetchError::new(ErrorKind::Denied, Scheme::Vault, what, action));
        }
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Whether Vault knows the token, whatever it may do.
    pub(super) async fn is_good(&self, session: &Session) -> Result<bool, FetchError> {
        self.look_up(session).await.map(|found| found.is_some())
    }

    async fn sign_in(&self) -> Result<Arc<Session>, FetchError> {
        let (mount, members) = match &self.settings.auth {
            VaultAuth::Token(token) => {
                let token = token.read()?;
                if token.is_empty() {
                    return Err(misconfigured("the token is empty", "sign in: `vault login`"));
                }
                return Ok(Arc::new(Session::with(token, OnceLock::new())));
            }
            VaultAuth::AppRole { mount, role_id, secret_id } => {
                let secret_id = secret_id.read()?;
                (mount, [("role_id", Zeroizing::new(role_id.clone())), ("secret_id", secret_id)])
            }
            VaultAuth::Jwt { mount, role, jwt } => {
                (mount, [("role", Zeroizing::new(role.clone())), ("jwt", jwt.read()?)])
            }
        };
        let members = members.each_ref().map(|(name, value)| (*name, value.as_str()));
        let at = format!("auth/{mount}/login");
        let caller = Caller { token: None, namespace: self.settings.namespace.as_deref() };
        let answer = self.call(Method::POST, &at, caller, json_of(&members)).await?;
        match answer.status {
            200 => Ok(Arc::new(Session::of(&auth_of(&answer.body)?))),
            400 | 401 | 403 => {
                let what = format!("`{at}` lets nobody in with this role and secret");
                let action = "see whether the role exists and its secret is still good";
                Err(FetchError::new(ErrorKind::Denied, Scheme::Vault, what, action))
            }
            404 => Err(misconfigured(
                "this method of signing in is not enabled there",
                "see `vault auth list`; VAULT_AUTH_MOUNT names another place, VAULT_NAMESPACE another namespace",
            )),
            _ => Err(refused(&answer, &at)),
        }
    }

    async fn renewed(&self, session: &Session) -> Result<Arc<Session>, FetchError> {
        let at = "auth/token/renew-self";
        let answer = self.call(Method::POST, at, self.as_holder(session), json_of(&[])).await?;
        match answer.status {
            200 => Ok(Arc::new(Session::of(&auth_of(&answer.body)?))),
            _ => Err(refused(&answer, at)),
        }
    }

    /// `None` if Vault does not know the token.
    async fn look_up(&self, session: &Session) -> Result<Option<Lookup>, FetchError> {
        let at = "auth/token/lookup-self";
        let answer = self.call(Method::GET, at, self.as_holder(session), Zeroizing::default()).await?;
        match answer.status {
            200 => {
                let envelope: Envelope<'_> = read_as(&answer.body)?;
                Ok(Some(read_as(envelope.data.ok_or_else(unreadable)?.get().as_bytes())?))
            }
            401 | 403 => Ok(None),
            _ => Err(refused(&answer, at)),
        }
    }

    fn as_holder<'a>(&'a self, session: &'a Session) -> Caller<'a> {
        Caller { token: Some(session.token()), namespace: self.settings.namespace.as_deref() }
    }
}

fn auth_of(body: &[u8]) -> Result<Auth, FetchError> {
    let envelope: Envelope<'_> = read_as(body)?;
    read_as(envelope.auth.ok_or_else(unreadable)?.get().as_bytes())
}

#[cfg(test)]
mod tests {
    use coffer_testkit::remote::{Failure, Vault};

    use super::super::State;
    use super::*;
    use crate::providers::VaultSettings;
    use crate::surroundings::Surroundings;

    #[test]
    fn a_token_is_asked_again_for_its_time_where_vault_did_not_tell() {
        let vault = Vault::start(None);
        vault.add_token("given", Some(Duration::from_secs(3600)), &[""]);
        let address = vault.remote().url();
        let variables = [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "given")];
        let settings = VaultSettings::of(&Surroundings::of(&variables, "/")).unwrap();
        let state = State::of(&settings).unwrap();
        let asking = Asking { settings: &settings, state: &state, id: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let session = || runtime.block_on(asking.session()).unwrap();
        let asked = || vault.remote().seen().iter().filter(|seen| seen.ends_with("/lookup-self")).count();
        assert!(session().lease.get().is_none());
        assert_eq!(asked(), 0);
        *session().asks_at() = Instant::now();
        vault.remote().fail_next([Failure::Status(503)]);
        assert!(session().lease.get().is_none(), "Vault did not tell");
        session();
        assert_eq!(asked(), 1, "not at once");
        *session().asks_at() = Instant::now();
        assert!(matches!(session().lease.get(), Some(Lease::Until { .. })));
        assert_eq!(asked(), 2);
    }
}
