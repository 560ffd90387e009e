//! Finds values: layer by layer, checked, and said where they came from.
//!
//! I/O is the providers'. Invariant: a layer that could not be asked ends the search with its error. Nothing further
//! down, and no default, may stand in for a value that may be there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use coffer_types::{CorrelationId, SecretBytes};

use crate::at_hand::First;
use crate::background::OnThread;
use crate::breaker::BreakerState;
use crate::cache::AgeMax;
use crate::call::{Asking, Inquiry, new_correlation_id};
use crate::chain::{Layer, by_switches};
use crate::clock::{Clock, MachineClock};
use crate::error::{ErrorKind, FetchError};
use crate::field::NoField;
use crate::manifest::{Manifest, Need};
use crate::provider::{Facts, Observer, Provider};
use crate::providers::{Coffer, Dotenv, Env, Exec, File};
use crate::reference::{Reference, Scheme};
use crate::report::{Answer, Asked, Fault, Problem, Problems};
use crate::sources::{AtHand, Counts, Policy, Sources};
use crate::surroundings::Surroundings;

/// The profile where nobody names one.
const USUAL_PROFILE: &str = "development";
/// How many names are looked for at once.
const THREADS_MAX: usize = 32;

/// Finds the values of a manifest's names.
pub struct Resolver {
    manifest: Manifest,
    profile: String,
    chain: Vec<Layer>,
    sources: Sources,
    /// Names whose value is known to be in a store's document, or nowhere that comes before it.
    first: HashMap<String, First>,
    id: Option<CorrelationId>,
}

/// How to resolve.
pub struct ResolverOptions {
    /// The profile; else `COFFER_PROFILE`, else the manifest's own, else `development`.
    pub profile: Option<String>,
    /// In the place of those there would be otherwise, by scheme.
    pub providers: Vec<Arc<dyn Provider>>,
    /// How documents are kept and asked for.
    pub policy: Policy,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Which process this is, so that a forked child begins anew.
    pub process: fn() -> u32,
    /// Who is told of calls.
    pub observer: Option<Arc<dyn Observer>>,
    /// What calls are known by that say nothing else; an id of its own for each unless given.
    pub id: Option<CorrelationId>,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            profile: None,
            providers: Vec::new(),
            policy: Policy::default(),
            clock: Arc::new(MachineClock),
            process: std::process::id,
            observer: None,
            id: None,
        }
    }
}

/// A manifest has no such profile.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no profile is called `{name}`")]
pub struct UnknownProfile {
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub known: Vec<String>,
}

/// A value, and where it came from.
pub struct Resolved {
    /// The value.
    pub value: Arc<SecretBytes>,
    /// Where it is: a reference, or `default`.
    pub place: String,
    /// How long ago its store was asked for it.
    pub age: Duration,
    /// How old it is, if it is older than it should be because its store can't be asked.
    pub stale: Option<Duration>,
    /// What its store says of the document it is in.
    pub facts: Arc<Facts>,
}

/// A moment of a resolver's clock: what is read after it knows of everything before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(Duration);

/// The values of all names that have one.
pub struct Credentials {
    values: Vec<(String, Resolved)>,
    /// What changed in a store before then is in them.
    pub(crate) since: Option<SystemTime>,
}

/// Where to look: a reference to ask, or what the manifest says.
enum Place<'a> {
    Ask(Reference),
    Default(&'a str),
}

/// What one place has.
struct Held {
    value: Arc<SecretBytes>,
    place: String,
    age: Duration,
    stale: Option<Duration>,
    facts: Arc<Facts>,
    /// Whether somebody wrote it here, rather than a store: only then may it be a reference.
    by_hand: bool,
}

/// One name, followed through its layers.
pub struct Walk {
    /// Who was asked, in order.
    pub asked: Vec<Asked>,
    /// The value; `None` if it need not be there and is not.
    pub result: Result<Option<Resolved>, Box<Problem>>,
}

impl Resolver {
    /// A resolver of `manifest` in `surroundings`, which relative paths begin at unless the manifest has a folder.
    pub fn new(
        manifest: Manifest,
        surroundings: Surroundings,
        options: ResolverOptions,
    ) -> Result<Self, UnknownProfile> {
        let of_environment = || surroundings.variable("COFFER_PROFILE").filter(|name| !name.is_empty());
        let profile = options
            .profile
            .as_deref()
            .or_else(of_environment)
            .or(manifest.usual_profile())
            .unwrap_or(USUAL_PROFILE)
            .to_owned();
        let chain = match manifest.profile(&profile) {
            Some(profile) => profile.chain.clone(),
            // A manifest that says nothing of where leaves it to the switches.
            None if profile == USUAL_PROFILE || manifest.profile_names().next().is_none() => {
                by_switches(&surroundings, profile == USUAL_PROFILE)
            }
            None => {
                let known = manifest.profile_names().map(str::to_owned).collect();
                return Err(UnknownProfile { name: profile, known });
            }
        };
        let folder = manifest.folder().unwrap_or(surroundings.folder()).to_owned();
        let home = surroundings.variable("COFFER_HOME").unwrap_or(".coffer");
        let home = surroundings.folder().join(home);
        // Somebody else's environment may change.
        let is_own = !options.providers.iter().any(|provider| provider.scheme() == Scheme::Env);
        let is_unset = |name: &str| is_own && surroundings.has_nothing_of(name);
        let first = manifest
            .needs()
            .filter_map(|need| Some((need.name.clone(), First::of(need, &chain, is_unset)?)))
            .collect();
        let mut providers = usual_providers(surroundings, folder, home);
        providers.extend(options.providers.into_iter().map(|provider| (provider.scheme(), provider)));
        let sources =
            Sources::new(providers, options.policy, options.clock, options.process, options.observer);
        Ok(Self { manifest, profile, chain, sources, first, id: options.id })
    }

    /// What is needed.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Which profile counts.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// Where names are looked for, in this order.
    pub fn chain(&self) -> &[Layer] {
        &self.chain
    }

    /// The value of a name; `None` if it need not be there and is not. A name that the manifest doesn't have is a
    /// required text.
    pub fn get(&self, name: &str) -> Result<Option<Resolved>, Box<Problem>> {
        match self.at_hand(name) {
            Some(resolved) => Ok(Some(resolved)),
            None => self.walk(name).result,
        }
    }

    /// The value of a name, if it is kept and fresh, and no place before it may have another: no file is read, nobody is
    /// asked, and nothing is waited for.
    pub fn at_hand(&self, name: &str) -> Option<Resolved> {
        self.first.get(name)?.at_hand(&self.sources)
    }

    /// What `reference` names, if it is kept and fresh, as [`Self::at_hand`]; and what `make` makes of that. It is made once
    /// for each `name`, and kept as long as the document: the same name must always mean the same.
    pub fn made_at_hand(
        &self,
        reference: &Reference,
        name: &str,
        make: impl FnOnce(&Resolved) -> SecretBytes,
    ) -> Option<(Resolved, Arc<SecretBytes>)> {
        let place = reference.to_string();
        let AtHand { kept, age, until: _ } = self.sources.at_hand(reference.document_of(&place), None)?;
        let value = match reference.field() {
            Some(field) => kept.field(field).ok()?,
            None => Arc::clone(&kept.value),
        };
        let found = Resolved { value, place, age, stale: None, facts: Arc::clone(&kept.facts) };
        let made = kept.made(name, || make(&found));
        Some((found, made))
    }

    /// The same, read after `since`: nothing that was kept stands in, not even while its store can't be asked.
    pub fn get_since(&self, name: &str, since: Moment) -> Result<Option<Resolved>, Box<Problem>> {
        self.walk_since(name, since).result
    }

    /// Now, to ask for what is read after it.
    pub fn moment(&self) -> Moment {
        Moment(self.sources.now())
    }

    /// What `reference` names, which need not be in the manifest; read after `since`, if that is given.
    pub fn ask_for(&self, reference: &Reference, since: Option<Moment>) -> Result<Resolved, FetchError> {
        self.ask_as(reference, &Asking::default().after_any(since))
    }

    /// What `reference` names, asked for so.
    pub fn ask_as(&self, reference: &Reference, asking: &Asking) -> Result<Resolved, FetchError> {
        let age = AgeMax { fresh: None, asked_since: asking.since.map(|moment| moment.0) };
        let id = self.id_of(asking);
        let held = self.fetch(reference, Inquiry { age, only: asking.only, id: &id })?;
        Ok(held.resolved())
    }

    fn id_of(&self, asking: &Asking) -> CorrelationId {
        asking.id.as_ref().or(self.id.as_ref()).cloned().unwrap_or_else(new_correlation_id)
    }

    /// Forgets everything that was read, so that the next callers read it anew.
    pub fn forget_all(&self) {
        self.sources.forget_all();
    }

    /// How many documents are kept.
    pub fn kept(&self) -> usize {
        self.sources.kept()
    }

    /// Forgets what was read from `reference`, so that the next caller reads it anew.
    pub fn forget(&self, reference: &Reference) {
        self.sources.forget(reference);
    }

    /// What has been counted since the start.
    pub fn counts(&self) -> Counts {
        self.sources.counts()
    }

    /// When what a provider answers has changed last, for those of which that can be seen.
    pub(crate) fn beacons(&self) -> Vec<(Scheme, Option<SystemTime>)> {
        self.sources.beacons()
    }

    /// The state of a provider's circuit breaker.
    pub fn breaker(&self, scheme: Scheme) -> BreakerState {
        self.sources.breaker(scheme)
    }

    /// Every name's value, or everything that is wrong. Names are looked for at the same time, so that a slow store
    /// holds up only what it has to answer.
    pub fn load(&self) -> Result<Credentials, Problems> {
        self.load_as(&Asking::default())
    }

    /// The same, asked for so.
    pub fn load_as(&self, asking: &Asking) -> Result<Credentials, Problems> {
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        let began = SystemTime::now();
        let walks = self.walk_all_as(asking);
        let since = asked_since(began, &walks);
        for (name, walk) in walks {
            match walk.result {
                Ok(Some(resolved)) => values.push((name, resolved)),
                Ok(None) => {}
                Err(problem) => problems.push(*problem),
            }
        }
        if problems.is_empty() { Ok(Credentials { values, since }) } else { Err(Problems(problems)) }
    }

    /// As [`Self::load`], where nothing may block: on a thread that ends with it. Any executor may wait for it.
    pub fn load_async(self: &Arc<Self>) -> OnThread<Result<Credentials, Problems>> {
        let resolver = Arc::clone(self);
        OnThread::new(move || resolver.load())
    }

    /// As [`Self::get`], where nothing may block.
    pub fn get_async(self: &Arc<Self>, name: &str) -> OnThread<Result<Option<Resolved>, Box<Problem>>> {
        let (resolver, name) = (Arc::clone(self), name.to_owned());
        OnThread::new(move || resolver.get(&name))
    }

    /// These names, followed through their layers at the same time; those the manifest doesn't have as required texts.
    pub fn walk_names(&self, names: &[&str]) -> Vec<(String, Walk)> {
        let strange: Vec<&str> =
            names.iter().copied().filter(|name| self.manifest.need(name).is_none()).collect();
        let strange: Vec<(&str, Option<Manifest>)> =
            strange.into_iter().map(|name| (name, Manifest::of_names([name]).ok())).collect();
        let of_strangers = strange.iter().flat_map(|(_, alone)| alone.iter().flat_map(Manifest::needs));
        let needs: Vec<&Need> =
            names.iter().filter_map(|name| self.manifest.need(name)).chain(of_strangers).collect();
        let mut walks = self.walk_needs(&needs, &Asking::default());
        walks.extend(
            strange
                .iter()
                .filter(|(_, alone)| alone.is_none())
                .map(|(name, _)| ((*name).to_owned(), unnamed(name))),
        );
        walks
    }

    /// Every name of the manifest, followed through its layers, in their order.
    pub fn walk_all(&self) -> Vec<(String, Walk)> {
        self.walk_all_as(&Asking::default())
    }

    /// The same, read after `since`.
    pub fn walk_all_since(&self, since: Moment) -> Vec<(String, Walk)> {
        self.walk_all_as(&Asking::after(since))
    }

    /// The same, asked for so: all of it is one call, known by one id.
    pub fn walk_all_as(&self, asking: &Asking) -> Vec<(String, Walk)> {
        let needs: Vec<&Need> = self.manifest.needs().collect();
        self.walk_needs(&needs, asking)
    }

    fn walk_needs(&self, needs: &[&Need], asking: &Asking) -> Vec<(String, Walk)> {
        let asking = &Asking { id: Some(self.id_of(asking)), ..asking.clone() };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut walks = Vec::new();
            while let Some(need) = needs.get(next.fetch_add(1, Ordering::Relaxed)) {
                walks.push((need.name.clone(), self.walk_for(need, asking)));
            }
            walks
        };
        let mut walks: Vec<(String, Walk)> = if self.is_local() {
            work()
        } else {
            thread::scope(|scope| {
                let threads: Vec<_> = (1..needs.len().min(THREADS_MAX))
                    .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
                    .collect();
                let mut walks = work();
                for thread in threads {
                    match thread.join() {
                        Ok(more) => walks.extend(more),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
                walks
            })
        };
        walks.sort_by(|(left, _), (right, _)| left.cmp(right));
        walks
    }

    /// Whether nothing but this machine's environment and files is asked.
    fn is_local(&self) -> bool {
        let is_local = |layer: &Layer| !matches!(layer, Layer::Reference(_));
        self.chain.iter().all(is_local) && self.manifest.needs().all(|need| need.from.is_none())
    }

    /// One name, followed through its layers.
    pub fn walk(&self, name: &str) -> Walk {
        self.walk_as(name, &Asking::default())
    }

    /// The same, read after `since`.
    pub fn walk_since(&self, name: &str, since: Moment) -> Walk {
        self.walk_as(name, &Asking::after(since))
    }

    /// The same, asked for so.
    pub fn walk_as(&self, name: &str, asking: &Asking) -> Walk {
        match self.manifest.need(name) {
            Some(need) => self.walk_for(need, asking),
            None => match Manifest::of_names([name]) {
                Ok(alone) => {
                    alone.need(name).map(|need| self.walk_for(need, asking)).unwrap_or_else(|| unnamed(name))
                }
                Err(_) => unnamed(name),
            },
        }
    }

    fn walk_for(&self, need: &Need, asking: &Asking) -> Walk {
        let mut asked = Vec::new();
        let age = AgeMax { fresh: need.fresh, asked_since: asking.since.map(|moment| moment.0) };
        let id = self.id_of(asking);
        let result = self.find(need, Inquiry { age, only: asking.only, id: &id }, &mut asked);
        let result = match result {
            Ok(Some(held)) => Ok(Some(held.resolved())),
            Ok(None) if !need.required => Ok(None),
            Ok(None) => Err(Fault::Missing),
            Err(fault) => Err(fault),
        };
        let problem = |fault| {
            Box::new(Problem {
                name: need.name.clone(),
                fault,
                asked: asked.clone(),
                description: need.description.clone(),
                owner: need.owner.clone(),
            })
        };
        let result = result.map_err(problem);
        Walk { asked, result }
    }

    fn find(&self, need: &Need, inquiry: Inquiry<'_>, asked: &mut Vec<Asked>) -> Result<Option<Held>, Fault> {
        for place in self.places(need) {
            let held = match place {
                Place::Ask(reference) => self.ask(&reference, inquiry, asked)?,
                Place::Default(text) => {
                    asked.push(Asked { place: "default".to_owned(), answer: Answer::Found });
                    let value = Arc::new(SecretBytes::copy_from(text.as_bytes()));
                    let place = "default".to_owned();
                    let (age, facts) = (Duration::ZERO, Arc::default());
                    Some(Held { value, place, age, stale: None, facts, by_hand: true })
                }
            };
            let Some(held) = held else { continue };
            // What somebody wrote by hand may say where the value is.
            let Some(held) = self.meant(held, inquiry, asked)? else { continue };
            if held.value.is_empty() {
                return Err(Fault::Empty { place: held.place });
            }
            return match need.value_type.check(held.value.expose_secret()) {
                Ok(()) => Ok(Some(held)),
                Err(expected) => Err(Fault::Malformed { place: held.place, expected }),
            };
        }
        Ok(None)
    }

    /// The places to look for a name, in order.
    fn places<'a>(&self, need: &'a Need) -> Vec<Place<'a>> {
        let name = need.name.as_str();
        let mut places: Vec<Place<'a>> = need.from.iter().cloned().map(Place::Ask).collect();
        for layer in &self.chain {
            match layer {
                Layer::Environment => places.push(Place::Ask(Reference::new(Scheme::Env, name, None))),
                Layer::Dotenv(path) => {
                    let field = Some(name.to_owned());
                    let path = path.display().to_string();
                    places.push(Place::Ask(Reference::new(Scheme::Dotenv, path, field)));
                }
                Layer::Files(folder) => {
                    // Docker's own examples are in small letters.
                    let small = name.to_ascii_lowercase();
                    for name in [name].into_iter().chain((small != name).then_some(small.as_str())) {
                        let path = folder.join(name).display().to_string();
                        places.push(Place::Ask(Reference::new(Scheme::File, path, None)));
                    }
                }
                Layer::Reference(reference) => places.push(Place::Ask(reference.of_name(name))),
                Layer::Default => places.extend(need.default.as_deref().map(Place::Default)),
            }
        }
        places
    }

    /// The value itself, or the one it refers to; `None` if that is definitely not there.
    fn meant(&self, held: Held, inquiry: Inquiry<'_>, asked: &mut Vec<Asked>) -> Result<Option<Held>, Fault> {
        let text = std::str::from_utf8(held.value.expose_secret()).ok().filter(|_| held.by_hand);
        match text.and_then(Reference::in_place_of_value) {
            None => Ok(Some(held)),
            Some(Ok(reference)) => self.ask(&reference, inquiry, asked),
            Some(Err(error)) => Err(Fault::Malformed {
                place: held.place,
                expected: format!("a reference that can be read: {error}"),
            }),
        }
    }

    /// What is there; `None` if it is definitely not.
    fn ask(
        &self,
        reference: &Reference,
        inquiry: Inquiry<'_>,
        asked: &mut Vec<Asked>,
    ) -> Result<Option<Held>, Fault> {
        let place = reference.to_string();
        let result = self.fetch(reference, inquiry);
        let answer = match &result {
            Ok(Held { stale: None, .. }) => Answer::Found,
            Ok(Held { stale: Some(age), .. }) => Answer::Stale(*age),
            Err(error) if error.kind() == ErrorKind::NotFound => Answer::NotFound,
            Err(error) => Answer::Failed(error.kind()),
        };
        asked.push(Asked { place: place.clone(), answer });
        match result {
            Ok(held) => Ok(Some(held)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::Failed { place, error }),
        }
    }

    fn fetch(&self, reference: &Reference, inquiry: Inquiry<'_>) -> Result<Held, FetchError> {
        let scheme = reference.scheme();
        let document = self.sources.document(reference, inquiry)?;
        let held = |value| Held {
            value,
            place: reference.to_string(),
            age: document.age,
            stale: document.stale,
            facts: Arc::clone(&document.kept.facts),
            by_hand: matches!(scheme, Scheme::Env | Scheme::Dotenv),
        };
        let Some(name) = reference.field() else { return Ok(held(Arc::clone(&document.kept.value))) };
        match document.kept.field(name) {
            Ok(value) => Ok(held(value)),
            Err(NoField::Absent) => Err(FetchError::new(
                ErrorKind::NotFound,
                scheme,
                format!("`{}` has no field `{name}`", reference.document()),
                format!("add the field `{name}` there"),
            )),
            Err(NoField::NoObject) => Err(FetchError::new(
                ErrorKind::Malformed,
                scheme,
                format!("`{}` is no JSON object, so it has no field `{name}`", reference.document()),
                "write {name} into the layer, where each secret is one name, or store an object",
            )),
        }
    }
}

impl Held {
    fn resolved(self) -> Resolved {
        let Self { value, place, age, stale, facts, by_hand: _ } = self;
        Resolved { value, place, age, stale, facts }
    }
}

fn unnamed(name: &str) -> Walk {
    let expected = "a name: letters, digits and _".to_owned();
    let fault = Fault::Malformed { place: "the name".to_owned(), expected };
    let problem = Problem { name: name.to_owned(), fault, asked: Vec::new(), description: None, owner: None };
    Walk { asked: Vec::new(), result: Err(Box::new(problem)) }
}

fn usual_providers(
    surroundings: Surroundings,
    folder: PathBuf,
    home: PathBuf,
) -> HashMap<Scheme, Arc<dyn Provider>> {
    let surroundings = Arc::new(surroundings);
    #[cfg_attr(
        not(any(feature = "aws", feature = "gcp", feature = "vault")),
        expect(unused_mut, reason = "features add more")
    )]
    let mut all: Vec<Arc<dyn Provider>> = vec![
        Arc::new(Env::new(Arc::clone(&surroundings))),
        Arc::new(Dotenv::new(&folder)),
        Arc::new(File::new(&folder)),
        Arc::new(Exec::new(&folder)),
        Arc::new(Coffer::new(home)),
    ];
    #[cfg(feature = "aws")]
    all.push(Arc::new(crate::providers::Aws::new()));
    #[cfg(feature = "gcp")]
    all.push(Arc::new(crate::providers::Gcp::new(&surroundings)));
    #[cfg(feature = "vault")]
    all.push(Arc::new(crate::providers::Vault::new(&surroundings)));
    all.into_iter().map(|provider| (provider.scheme(), provider)).collect()
}

/// Since when the oldest of what walks that began then have found may have changed in its store. Ages are as of when each was
/// found, which is after that.
pub(crate) fn asked_since(began: SystemTime, walks: &[(String, Walk)]) -> Option<SystemTime> {
    let found = walks.iter().filter_map(|(_, walk)| walk.result.as_ref().ok()?.as_ref());
    began.checked_sub(found.map(|found| found.age).max().unwrap_or_default())
}

impl Credentials {
    /// A value; `None` if it need not be there and is not.
    pub fn get(&self, name: &str) -> Option<&SecretBytes> {
        let at = self.values.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.values.get(at).map(|(_, resolved)| &*resolved.value)
    }

    /// Every name that has a value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Resolved)> {
        self.values.iter().map(|(name, resolved)| (name.as_str(), resolved))
    }
}
