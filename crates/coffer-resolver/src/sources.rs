//! Asks providers for documents: through the cache, with time-outs, retries and circuit breakers, one fetch for all who
//! wait.
//!
//! I/O: threads, one a fetch, which end with it; the rest is the providers'. Invariants: no lock is held while anybody
//! is asked, and a caller waits no longer than the budget of its retries allows, whatever the provider does. After a
//! fork the child begins with an empty cache and no fetch under way: the parent's threads did not come along.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use coffer_types::CorrelationId;

use crate::at_hand::CacheVersion;
use crate::breaker::{Breaker, BreakerPolicy, BreakerState};
use crate::cache::{AgeMax, Cache, CachePolicy, Given, Kept, Look};
use crate::call::Inquiry;
use crate::clock::Clock;
use crate::error::{ErrorKind, FetchError};
use crate::per_process::PerProcess;
use crate::provider::{Call, Fetched, Observer, Provider};
use crate::reference::{Reference, Scheme};
use crate::retry::Retry;

/// How documents are kept and asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// How long they are kept.
    pub cache: CachePolicy,
    /// How often they are asked for.
    pub retry: Retry,
    /// When a provider is left alone.
    pub breaker: BreakerPolicy,
}

/// What has been counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Answered with what was there and fresh.
    pub hits: u64,
    /// Waited for a fetch.
    pub misses: u64,
    /// Answered with what is older than it should be.
    pub stale: u64,
    /// Calls of providers, repeated ones included.
    pub fetches: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls that a breaker kept back.
    pub kept_back: u64,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    fetches: AtomicU64,
    failures: AtomicU64,
    kept_back: AtomicU64,
}

/// The providers and what is known of their documents.
pub(crate) struct Sources {
    shared: Arc<Shared>,
    states: PerProcess<Arc<State>>,
}

/// What fetches need of it; no state.
struct Shared {
    providers: HashMap<Scheme, Arc<dyn Provider>>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    process: fn() -> u32,
    observer: Option<Arc<dyn Observer>>,
    counters: Counters,
}

struct State {
    table: Mutex<Table>,
    /// How often what is in the cache has changed.
    changes: AtomicU64,
}

struct Table {
    cache: Cache,
    breakers: HashMap<Scheme, Breaker>,
    /// What a provider failed with last, for those whom its breaker keeps back.
    failures: HashMap<Scheme, FetchError>,
    flights: HashMap<String, Arc<Flight>>,
}

/// A fetch under way, and those who wait for it.
struct Flight {
    /// When it set off.
    began: Duration,
    /// What it is known by: what whoever set it off called their call.
    id: CorrelationId,
    landed: Mutex<Option<Result<Landed, FetchError>>>,
    signal: Condvar,
}

#[derive(Clone)]
struct Landed {
    document: Document,
    /// Why what was kept stands in for what was asked for.
    failure: Option<FetchError>,
}

/// A document that is fresh, until it is to be fetched anew.
pub(crate) struct AtHand {
    pub(crate) kept: Kept,
    /// How long ago it was asked for.
    pub(crate) age: Duration,
    pub(crate) until: Duration,
}

/// A document.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) kept: Kept,
    /// How long ago it was asked for.
    pub(crate) age: Duration,
    /// How old it is, if it is older than it should be.
    pub(crate) stale: Option<Duration>,
}

impl Sources {
    pub(crate) fn new(
        providers: HashMap<Scheme, Arc<dyn Provider>>,
        policy: Policy,
        clock: Arc<dyn Clock>,
        process: fn() -> u32,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let shared = Shared { providers, policy, clock, process, observer, counters: Counters::default() };
        let sources = Self { shared: Arc::new(shared), states: PerProcess::new() };
        // Made before anybody can fork.
        sources.state();
        sources
    }

    /// The document that `reference` names, its field left out.
    pub(crate) fn document(
        &self,
        reference: &Reference,
        inquiry: Inquiry<'_>,
    ) -> Result<Document, FetchError> {
        let reference = reference.document();
        let provider = self.shared.provider(reference.scheme())?;
        if reference.scheme().is_kept() {
            return self.cached(reference, provider, inquiry);
        }
        let document = |fetched| Document { kept: Kept::from(fetched), age: Duration::ZERO, stale: None };
        provider.fetch(&reference).map(document)
    }

    /// What is kept by `key`, a document's reference, if it is fresh and not about to end: nobody is asked, and nothing
    /// is waited for.
    pub(crate) fn at_hand(&self, key: &str, fresh: Option<Duration>) -> Option<AtHand> {
        let mut table = self.state().lock();
        let now = self.shared.clock.now();
        match table.cache.look(now, key, AgeMax { fresh, asked_since: None }) {
            Look::Fresh { kept, refresh: false, until, age } => {
                count(&self.shared.counters.hits);
                Some(AtHand { kept, age, until })
            }
            Look::Fresh { refresh: true, .. } | Look::Fetch => None,
        }
    }

    /// Which cache there is now. What is at hand of it does not change as long as this does not.
    pub(crate) fn version(&self) -> CacheVersion {
        let process = (self.shared.process)();
        CacheVersion { process, changes: self.state_of(process).changes.load(Ordering::Acquire) }
    }

    /// A caller was given what was at hand.
    pub(crate) fn count_hit(&self) {
        count(&self.shared.counters.hits);
    }

    fn cached(
        &self,
        reference: Reference,
        provider: Arc<dyn Provider>,
        inquiry: Inquiry<'_>,
    ) -> Result<Document, FetchError> {
        let age = inquiry.age_of(reference.scheme());
        let counters = &self.shared.counters;
        let state = self.state();
        let key = reference.to_string();
        let patience = self.shared.policy.retry.budget + GRACE;
        let (began, mut has_waited) = (Instant::now(), false);
        loop {
            let mut table = state.lock();
            let now = self.shared.clock.now();
            let found = match table.cache.look(now, &key, age) {
                Look::Fresh { kept, refresh: false, age, .. } => {
                    count(&counters.hits);
                    return Ok(Document { kept, age, stale: None });
                }
                Look::Fresh { kept, refresh: true, age, .. } => Some(Document { kept, age, stale: None }),
                Look::Fetch => None,
            };
            let flight = match table.flights.get(&key) {
                Some(flight) => {
                    let flight = Arc::clone(flight);
                    drop(table);
                    flight
                }
                None => {
                    let flight = Arc::new(Flight::begun_at(now, inquiry.id.clone()));
                    table.flights.insert(key.clone(), Arc::clone(&flight));
                    drop(table);
                    let fetch = Fetch {
                        shared: Arc::clone(&self.shared),
                        state: Arc::clone(state),
                        provider: Arc::clone(&provider),
                        reference: reference.clone(),
                        key: key.clone(),
                        fresh: age.fresh,
                    };
                    fetch.set_off(Arc::clone(&flight));
                    flight
                }
            };
            if let Some(document) = found {
                count(&counters.hits);
                return Ok(document);
            }
            // What set off before may not know what this caller wants to see; the next one does.
            let is_too_early = age.asked_since.is_some_and(|since| flight.began < since);
            if !is_too_early {
                count(&counters.misses);
            }
            let left = patience.saturating_sub(began.elapsed());
            let landed = match flight.wait(left) {
                Some(landed) => landed,
                // It set off a moment ago, and has time left that this caller has not.
                None if has_waited => Err(late(reference.scheme())),
                None => self.overdue(state, &flight, &reference, age.fresh),
            };
            if is_too_early {
                if began.elapsed() >= patience {
                    return Err(landed.err().unwrap_or_else(|| late(reference.scheme())));
                }
                has_waited = true;
                continue;
            }
            let Landed { document, failure } = landed?;
            // Whoever wants it as it is now has no use for what it was.
            if let Some(failure) = failure.filter(|_| age.asked_since.is_some()) {
                return Err(failure);
            }
            if document.stale.is_some() {
                count(&counters.stale);
            }
            return Ok(document);
        }
    }

    /// What a caller gets whose fetch does not come back in time.
    fn overdue(
        &self,
        state: &State,
        flight: &Arc<Flight>,
        reference: &Reference,
        fresh: Option<Duration>,
    ) -> Result<Landed, FetchError> {
        let now = self.shared.clock.now();
        let (key, scheme) = (reference.to_string(), reference.scheme());
        let mut table = state.lock();
        if !table.flights.get(&key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            // It landed a moment ago after all, or it was given up on: another caller did, or it was to be forgotten.
            drop(table);
            return flight.wait(Duration::ZERO).unwrap_or_else(|| Err(late(scheme).of_call(&flight.id)));
        }
        // The next caller begins anew, and this one's provider has failed once more.
        table.flights.remove(&key);
        self.shared.breaker(&mut table, scheme).failed(now);
        let failure = late(scheme).of_call(&flight.id);
        let given = table.cache.failed(now, &key, fresh, failure.clone());
        state.changed();
        given.map(|given| Landed::instead(given, failure))
    }

    /// Forgets a document, so that the next caller reads it anew. A fetch that is under way is left to those who wait for
    /// it: what it brings may be of before.
    pub(crate) fn forget(&self, reference: &Reference) {
        let state = self.state();
        let mut table = state.lock();
        let Table { cache, flights, .. } = &mut *table;
        let key = reference.document().to_string();
        flights.retain(|name, _| !cache.may_be_of(name, &key));
        cache.evict(&key);
        state.changed();
    }

    /// Forgets all documents, and those that are under way.
    pub(crate) fn forget_all(&self) {
        let state = self.state();
        let mut table = state.lock();
        table.flights.clear();
        table.cache.clear();
        state.changed();
    }

    /// How many documents are kept.
    pub(crate) fn kept(&self) -> usize {
        self.state().lock().cache.len()
    }

    /// The time, as documents' ages are told by.
    pub(crate) fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// When what a provider answers has changed last, for those of which that can be seen.
    pub(crate) fn beacons(&self) -> Vec<(Scheme, Option<SystemTime>)> {
        let of = |(scheme, provider): (&Scheme, &Arc<dyn Provider>)| {
            let path = provider.beacon()?;
            Some((*scheme, std::fs::metadata(path).and_then(|facts| facts.modified()).ok()))
        };
        self.shared.providers.iter().filter_map(of).collect()
    }

    /// What has been counted.
    pub(crate) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        Counts {
            hits: of(&counters.hits),
            misses: of(&counters.misses),
            stale: of(&counters.stale),
            fetches: of(&counters.fetches),
            failures: of(&counters.failures),
            kept_back: of(&counters.kept_back),
        }
    }

    /// The state of a provider's breaker.
    pub(crate) fn breaker(&self, scheme: Scheme) -> BreakerState {
        self.state().lock().breakers.get(&scheme).map_or(BreakerState::Closed, Breaker::state)
    }

    fn state(&self) -> &Arc<State> {
        self.state_of((self.shared.process)())
    }

    fn state_of(&self, process: u32) -> &Arc<State> {
        self.states.of(process, || Arc::new(State::new(self.shared.policy)))
    }
}

/// How much longer than its budget a fetch is waited for.
const GRACE: Duration = Duration::from_millis(200);

impl State {
    fn new(policy: Policy) -> Self {
        let (breakers, failures, flights) = (HashMap::new(), HashMap::new(), HashMap::new());
        let table = Table { cache: Cache::new(policy.cache), breakers, failures, flights };
        Self { table: Mutex::new(table), changes: AtomicU64::new(0) }
    }

    /// To be called with the table held, once the cache is no longer what it was.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing that could panic leaves the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn provider(&self, scheme: Scheme) -> Result<Arc<dyn Provider>, FetchError> {
        self.providers.get(&scheme).cloned().ok_or_else(|| {
            FetchError::new(
                ErrorKind::Misconfigured,
                scheme,
                format!("this coffer is built without `{scheme}`"),
                "use a coffer that has it, or another layer",
            )
        })
    }

    fn breaker<'a>(&self, table: &'a mut Table, scheme: Scheme) -> &'a mut Breaker {
        table.breakers.entry(scheme).or_insert_with(|| Breaker::new(self.policy.breaker))
    }
}

/// All that one fetch needs, on whatever thread.
struct Fetch {
    shared: Arc<Shared>,
    state: Arc<State>,
    provider: Arc<dyn Provider>,
    reference: Reference,
    key: String,
    fresh: Option<Duration>,
}

impl Fetch {
    /// Goes on a thread of its own; on this one, if there is none to be had.
    fn set_off(self, flight: Arc<Flight>) {
        let fetch = Arc::new(self);
        let (there, arrival) = (Arc::clone(&fetch), Arc::clone(&flight));
        let name = format!("coffer-{}", fetch.reference.scheme());
        if thread::Builder::new().name(name).spawn(move || there.land(&arrival)).is_err() {
            fetch.land(&flight);
        }
    }

    /// Fetches, writes down what came of it, and tells those who wait.
    fn land(&self, flight: &Arc<Flight>) {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.with_retries(&flight.id)));
        let result = result.unwrap_or_else(|_| {
            let what = "the provider failed on a fault of its own";
            let scheme = self.reference.scheme();
            Err(FetchError::new(ErrorKind::Misconfigured, scheme, what, "report it as a fault of coffer's"))
        });
        let now = self.shared.clock.now();
        let mut table = self.state.lock();
        if !table.flights.get(&self.key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            // It was given up on. What it brings may be older than what was read, or denied, since. That it is denied, or
            // gone, counts however late: at worst what was read since is read once more.
            if let Err(error) = &result
                && error.kind().is_definite()
            {
                table.cache.evict(&self.key);
                self.state.changed();
            }
            drop(table);
            let age = now.saturating_sub(flight.began);
            let alone = |fetched: Fetched| Landed::from(Given { kept: fetched.into(), age, stale: None });
            return flight.land(result.map(alone));
        }
        let given = match result {
            Ok(mut fetched) => {
                let identity = fetched.identity.take();
                let identity = identity.map(|name| self.reference.identified_by(&name).to_string());
                let given = table.cache.read(now, flight.began, &self.key, identity, fetched.into());
                Ok(Landed::from(given))
            }
            Err(error) => {
                let given = table.cache.failed(now, &self.key, self.fresh, error.clone());
                given.map(|given| Landed::instead(given, error))
            }
        };
        self.state.changed();
        table.flights.remove(&self.key);
        drop(table);
        flight.land(given);
    }

    fn with_retries(&self, id: &CorrelationId) -> Result<Fetched, FetchError> {
        let (clock, scheme) = (&self.shared.clock, self.reference.scheme());
        let began = clock.now();
        let (mut attempts, mut own) = (0, None);
        loop {
            let mut table = self.state.lock();
            let breaker = self.shared.breaker(&mut table, scheme);
            if !breaker.lets_through(clock.now()) {
                let left = breaker.left(clock.now()).unwrap_or_default();
                count(&self.shared.counters.kept_back);
                let last = table.failures.get(&scheme).cloned();
                // What this call itself was told says more than that it is not to go on.
                return Err(own.unwrap_or_else(|| kept_back(scheme, left, last)));
            }
            drop(table);
            count(&self.shared.counters.fetches);
            attempts += 1;
            let called = clock.now();
            let result = self.provider.fetch_as(&self.reference, id);
            let now = clock.now();
            if let Some(observer) = &self.shared.observer {
                let result = result.as_ref().map(|fetched| &fetched.facts);
                let took = now.saturating_sub(called);
                let document = &self.reference;
                observer.called(&Call { id, document, attempt: attempts, result, took });
            }
            let transient = result.as_ref().err().filter(|error| error.kind().is_transient());
            let mut table = self.state.lock();
            let breaker = self.shared.breaker(&mut table, scheme);
            match transient {
                Some(error) => {
                    breaker.failed(now);
                    table.failures.insert(scheme, error.clone().of_call(id));
                }
                None => breaker.succeeded(),
            }
            drop(table);
            let error = match result {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            count(&self.shared.counters.failures);
            let spent = now.saturating_sub(began);
            let wait = self.shared.policy.retry.wait(attempts, spent, error.asked_to_wait(), clock.chance());
            let error = error.of_call(id);
            match wait.filter(|_| error.kind().is_transient()) {
                Some(wait) => {
                    own = Some(error);
                    clock.sleep(wait);
                }
                None => return Err(error),
            }
        }
    }
}

fn late(scheme: Scheme) -> FetchError {
    FetchError::new(
        ErrorKind::Unavailable,
        scheme,
        "no answer in time",
        "see whether it can be reached from here",
    )
}

fn kept_back(scheme: Scheme, left: Duration, last: Option<FetchError>) -> FetchError {
    let what = "it failed again and again, and is left alone for a while";
    let again = format!("it is tried again in {} s", left.as_secs() + 1);
    match last {
        Some(last) => {
            let action = format!("{}; {again}", last.action());
            FetchError::new(ErrorKind::Unavailable, scheme, what, action).caused_by(last)
        }
        None => FetchError::new(ErrorKind::Unavailable, scheme, what, again),
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Landed {
    /// What was kept, in the place of what can't be had.
    fn instead(given: Given, failure: FetchError) -> Self {
        Self { failure: Some(failure), ..Self::from(given) }
    }
}

impl From<Given> for Landed {
    fn from(given: Given) -> Self {
        let Given { kept, age, stale } = given;
        Self { document: Document { kept, age, stale }, failure: None }
    }
}

impl Flight {
    fn begun_at(now: Duration, id: CorrelationId) -> Self {
        Self { began: now, id, landed: Mutex::default(), signal: Condvar::new() }
    }

    fn land(&self, result: Result<Landed, FetchError>) {
        *self.landed.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.signal.notify_all();
    }

    /// What came of it, unless that takes too long.
    fn wait(&self, time_max: Duration) -> Option<Result<Landed, FetchError>> {
        let deadline = Instant::now() + time_max;
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = &*landed {
                return Some(result.clone());
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            landed = self.signal.wait_timeout(landed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
