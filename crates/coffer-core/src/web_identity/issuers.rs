//! The keys of issuers, kept: asked for when they are needed, seldom, and by one request at a time.
//!
//! No I/O of its own: an [`IssuerSource`] gets what it is told to. Invariants: only an issuer that somebody made a provider of
//! is ever asked; no lock but the issuer's own turn is held while it is; however many tokens come that name keys it does
//! not have, it is asked again only after a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coffer_crypto::{SignatureAlgorithm, SignaturePublicKey};
use coffer_store::BoxFuture;
use coffer_types::{IssuerUrl, Timestamp};

use super::WebIdentityError;
use super::keys::{KeySet, keys_url};
use crate::Clock;
use crate::records::OidcProvider;

/// Most bytes of a document or a set of keys.
const BYTES_MAX: usize = 256 * 1024;
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
}

/// Why there is no answer of an issuer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// It can't be reached, is too slow, or says that it is not able to answer now.
    #[error("the issuer could not be reached")]
    Unreachable,
    /// It answers with something else.
    #[error("the issuer's answer is of no use")]
    Useless,
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
    asked: Option<(Timestamp, Option<FetchError>)>,
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
        let is_given = self.source.get().is_some_and(|source| source.given(issuer, BYTES_MAX).is_some());
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
            known.note(clock.now(), Err(FetchError::Unreachable));
            let told = self.ask(issuer).await;
            known.note(clock.now(), told);
        }
        drop(turn);
        let state = known.state();
        if let Some(key) = good(&state) {
            return Ok(key);
        }
        Err(match state.asked {
            Some((_, Some(FetchError::Unreachable))) => WebIdentityError::IssuerUnreachable,
            Some((_, Some(FetchError::Useless) | None)) | None => WebIdentityError::NoVerificationKey,
        })
    }

    async fn ask(&self, issuer: &IssuerUrl) -> Result<KeySet, FetchError> {
        let source = self.source.get().ok_or(FetchError::Unreachable)?;
        let keys = match source.given(issuer, BYTES_MAX) {
            Some(given) => given.await?,
            None => {
                let document = source.get(&issuer.discovery_url(), BYTES_MAX).await?;
                let url = keys_url(issuer, &document).ok_or(FetchError::Useless)?;
                source.get(&url, BYTES_MAX).await?
            }
        };
        KeySet::parse(&keys).ok_or(FetchError::Useless)
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

impl Known {
    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, now: Timestamp, told: Result<KeySet, FetchError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Ok(keys) => {
                state.keys = Some(Kept { keys: Arc::new(keys), told: now, is_doubted: false });
                state.asked = Some((now, None));
            }
            Err(error) => {
                if let (FetchError::Useless, Some(kept)) = (error, &mut state.keys) {
                    kept.is_doubted = true;
                }
                state.asked = Some((now, Some(error)));
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
