//! The keys of issuers, kept: asked for when they are needed, seldom, and by one request at a time.
//!
//! No I/O of its own: an [`IssuerSource`] gets what it is told to. Invariants: only an issuer that somebody made a provider of
//! is ever asked; no lock but the issuer's own turn is held while it is; however many tokens come that name keys it does
//! not have, it is asked again only after a while.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coffer_crypto::{SignatureAlgorithm, SignaturePublicKey};
use coffer_store::BoxFuture;
use coffer_types::{IssuerUrl, Timestamp};

use super::WebIdentityError;
use super::keys::{KeySet, keys_url};
use crate::Clock;
use crate::records::OidcProvider;

/// Most bytes of a document or a set of keys.
pub const ISSUER_KEYS_BYTES_MAX: usize = 256 * 1024;
/// How long what an issuer said counts, and how often it is asked.
struct Terms {
    /// Keys are asked for anew after this long.
    fresh_millis: i64,
    /// Keys of an issuer that does not answer are good for this long.
    good_millis: i64,
    /// An issuer that answered is not asked again before this.
    pause_millis: i64,
    /// One that did not is asked again sooner.
    pause_after_failure_millis: i64,
}

/// Of an issuer that is asked itself.
const ASKED: Terms = Terms {
    fresh_millis: 60 * 60 * 1000,
    good_millis: 24 * 60 * 60 * 1000,
    pause_millis: 30 * 1000,
    pause_after_failure_millis: 5 * 1000,
};
/// Of one whose keys the server was given: they are at hand, and what is there no more is not good.
const GIVEN: Terms =
    Terms { fresh_millis: 1000, good_millis: 1000, pause_millis: 1000, pause_after_failure_millis: 1000 };
/// Most issuers whose keys are kept; there are fewer, unless providers come and go.
const ISSUERS_MAX: usize = 512;

/// Gets what issuers publish. Whoever implements it bounds the time it takes, and follows no redirection.
pub trait IssuerSource: Send + Sync {
    /// The keys that the server was given for an issuer, which then is never asked itself.
    fn given<'a>(
        &'a self,
        issuer: &'a IssuerUrl,
        bytes_max: usize,
    ) -> Option<BoxFuture<'a, Result<Vec<u8>, FetchError>>>;

    /// What stands at a URL, at most so many bytes.
    fn get<'a>(&'a self, url: &'a str, bytes_max: usize) -> BoxFuture<'a, Result<Vec<u8>, FetchError>>;

    /// Is told when there are no keys, for whoever looks after the server.
    fn note_failure(&self, issuer: &IssuerUrl, error: &FetchError);
}

/// Why there is no answer of an issuer's. Never has anything of a token.
#[derive(Clone, Debug)]
pub struct FetchError {
    failure: FetchFailure,
    cause: Arc<dyn Error + Send + Sync>,
}

/// What kind of answer there was instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FetchFailure {
    Unreachable,
    Useless,
}

impl FetchError {
    /// It can't be reached, is too slow, or says that it is not able to answer now.
    pub fn unreachable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { failure: FetchFailure::Unreachable, cause: Arc::from(cause.into()) }
    }

    /// It answers with something else.
    pub fn useless(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { failure: FetchFailure::Useless, cause: Arc::from(cause.into()) }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.failure {
            FetchFailure::Unreachable => "there is no answer",
            FetchFailure::Useless => "the answer is of no use",
        })
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Why something gives a server no keys of an issuer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IssuerKeysError {
    /// It is longer than [`ISSUER_KEYS_BYTES_MAX`].
    #[error("it is longer than 256 KiB")]
    TooLong,
    /// It is something else.
    #[error("it is no JSON Web Key Set")]
    NoKeySet,
    /// No token could be signed with what it has.
    #[error("it has no public key for signatures")]
    NoKey,
}

/// Whether keys that a server is to be given are a set of them, with one at least that a token could be signed with.
pub fn check_issuer_keys(keys: &[u8]) -> Result<(), IssuerKeysError> {
    if keys.len() > ISSUER_KEYS_BYTES_MAX {
        return Err(IssuerKeysError::TooLong);
    }
    let set = KeySet::parse(keys).ok_or(IssuerKeysError::NoKeySet)?;
    if set.is_empty() { Err(IssuerKeysError::NoKey) } else { Ok(()) }
}

/// The keys of those that were asked.
#[derive(Default)]
pub(crate) struct IssuerKeys {
    source: OnceLock<Arc<dyn IssuerSource>>,
    /// By issuer, and when its provider was made: another provider's keys are not this one's.
    known: Mutex<HashMap<(IssuerUrl, Timestamp), Arc<Known>>>,
}

#[derive(Default)]
struct Known {
    /// Held by the one who asks.
    turn: async_lock::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Clone)]
struct Kept {
    keys: Arc<KeySet>,
    told: Timestamp,
    /// The issuer answered with something else since: they are good no longer than they are fresh.
    is_doubted: bool,
}

#[derive(Clone, Default)]
struct State {
    keys: Option<Kept>,
    /// When it was last asked, and what came of that if no keys did.
    asked: Option<(Timestamp, Option<FetchFailure>)>,
}

impl IssuerKeys {
    /// Without a source nobody is asked.
    pub(crate) fn use_source(&self, source: Arc<dyn IssuerSource>) {
        // Whoever came first stays.
        drop(self.source.set(source));
    }

    /// The key of a configured issuer that signed.
    pub(super) async fn find(
        &self,
        provider: &OidcProvider,
        key_id: Option<&str>,
        algorithm: SignatureAlgorithm,
        clock: &dyn Clock,
    ) -> Result<SignaturePublicKey, WebIdentityError> {
        let issuer = &provider.url;
        let known = self.known(issuer, provider.facts.created);
        let is_given =
            self.source.get().is_some_and(|source| source.given(issuer, ISSUER_KEYS_BYTES_MAX).is_some());
        let terms = if is_given { &GIVEN } else { &ASKED };
        let fresh = |state: &State| state.find(key_id, algorithm, clock.now(), terms.fresh_millis);
        let good = |state: &State| {
            let is_doubted = state.keys.as_ref().is_some_and(|kept| kept.is_doubted);
            let millis = if is_doubted { terms.fresh_millis } else { terms.good_millis };
            state.find(key_id, algorithm, clock.now(), millis)
        };
        if let Some(key) = fresh(&known.state()) {
            return Ok(key);
        }
        let turn = match known.turn.try_lock() {
            Some(turn) => turn,
            None => match good(&known.state()) {
                // Somebody is asking already, and what is known will do.
                Some(key) => return Ok(key),
                None => known.turn.lock().await,
            },
        };
        // Whoever had the turn before may have been told.
        if let Some(key) = fresh(&known.state()) {
            return Ok(key);
        }
        if known.state().may_be_asked(clock.now(), terms) {
            // Noted first: whatever ends it in between, it was asked.
            known.note(clock.now(), Err(FetchFailure::Unreachable));
            let told = match self.source.get() {
                Some(source) => ask(&**source, issuer).await.map_err(|error| {
                    source.note_failure(issuer, &error);
                    error.failure
                }),
                None => Err(FetchFailure::Unreachable),
            };
            known.note(clock.now(), told);
        }
        drop(turn);
        let state = known.state();
        if let Some(key) = good(&state) {
            return Ok(key);
        }
        Err(match state.asked {
            Some((_, Some(FetchFailure::Unreachable))) => WebIdentityError::IssuerUnreachable,
            Some((_, Some(FetchFailure::Useless) | None)) | None => WebIdentityError::NoVerificationKey,
        })
    }

    fn known(&self, issuer: &IssuerUrl, made: Timestamp) -> Arc<Known> {
        let of = (issuer.clone(), made);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ISSUERS_MAX && !known.contains_key(&of) {
            known.clear();
        }
        Arc::clone(known.entry(of).or_default())
    }
}

async fn ask(source: &dyn IssuerSource, issuer: &IssuerUrl) -> Result<KeySet, FetchError> {
    let keys = match source.given(issuer, ISSUER_KEYS_BYTES_MAX) {
        Some(given) => given.await?,
        None => {
            let document = source.get(&issuer.discovery_url(), ISSUER_KEYS_BYTES_MAX).await?;
            let url = keys_url(issuer, &document).ok_or_else(|| {
                FetchError::useless(
                    "its discovery document is another's, or names no place for keys (`jwks_uri`)",
                )
            })?;
            source.get(&url, ISSUER_KEYS_BYTES_MAX).await?
        }
    };
    KeySet::parse(&keys).ok_or_else(|| FetchError::useless(IssuerKeysError::NoKeySet))
}

impl Known {
    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, now: Timestamp, told: Result<KeySet, FetchFailure>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Ok(keys) => {
                state.keys = Some(Kept { keys: Arc::new(keys), told: now, is_doubted: false });
                state.asked = Some((now, None));
            }
            Err(failure) => {
                if let (FetchFailure::Useless, Some(kept)) = (failure, &mut state.keys) {
                    kept.is_doubted = true;
                }
                state.asked = Some((now, Some(failure)));
            }
        }
    }
}

impl State {
    fn find(
        &self,
        key_id: Option<&str>,
        algorithm: SignatureAlgorithm,
        now: Timestamp,
        good_millis: i64,
    ) -> Option<SignaturePublicKey> {
        let Kept { keys, told, .. } = self.keys.as_ref()?;
        let is_good = (0..good_millis).contains(&now.millis_since(*told));
        is_good.then(|| keys.find(key_id, algorithm).cloned()).flatten()
    }

    fn may_be_asked(&self, now: Timestamp, terms: &Terms) -> bool {
        let Some((asked, failure)) = self.asked else { return true };
        let pause = match failure {
            Some(_) => terms.pause_after_failure_millis,
            None => terms.pause_millis,
        };
        // Also if the clock was set back.
        !(0..pause).contains(&now.millis_since(asked))
    }
}
