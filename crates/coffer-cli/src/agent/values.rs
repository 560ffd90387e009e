//! Values for questions: the resolver's, and those of the sealed file while a store is away at a start.
//!
//! I/O: the resolver's, blocking. Invariant: what a store denies, or no longer has, is given from nowhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use coffer_resolver::{
    Answer, Asked, Asking, CorrelationId, ErrorKind, FetchError, NoField, Reference, Resolved, Resolver,
    Scheme, field,
};
use coffer_types::SecretBytes;

use crate::agent::answer;
use crate::agent::fallback::{Fallback, Mark};
use crate::agent::question::{Question, Reach, Refused, Target, target};
use crate::failure::with_causes;

/// How long after somebody last asked for it a value is kept fresh.
const IDLE_MAX: Duration = Duration::from_secs(3600);
/// Most threads that ask at the start.
const PREFETCH_THREADS_MAX: usize = 8;

/// All there is to give.
pub(crate) struct Values {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) store: Reference,
    pub(crate) reach: Reach,
    pub(crate) fallback: Option<Fallback>,
    /// Given from the sealed file.
    pub(crate) recalled: AtomicU64,
    ttl: Duration,
    used: Mutex<HashMap<String, Use>>,
    /// Held by the thread that keeps values fresh, so that there is one.
    freshening: Mutex<()>,
    used_max: usize,
}

/// What somebody asked for lately.
struct Use {
    target: Target,
    at: Instant,
    /// When the last fifth of its time begins.
    due: Instant,
}

/// An answer.
pub(crate) struct Told {
    pub(crate) body: Arc<SecretBytes>,
    /// How old the value is, if it is older than it should be.
    pub(crate) stale: Option<Duration>,
}

impl Told {
    /// What was found for a question.
    pub(crate) fn of(question: &Question, found: &Resolved) -> Self {
        Self { body: Arc::new(body(question, found)), stale: found.stale }
    }
}

/// Why there is no value.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The request is at fault.
    Refused(Refused),
    /// It was looked for in vain.
    Failed(ErrorKind, String),
}

impl From<Refused> for Unanswered {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Values {
    pub(crate) fn new(
        resolver: Arc<Resolver>,
        store: Reference,
        reach: Reach,
        fallback: Option<Fallback>,
        used_max: usize,
        ttl: Duration,
    ) -> Self {
        let (recalled, used, freshening) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        Self { resolver, store, reach, fallback, recalled, ttl, used, freshening, used_max }
    }

    /// Which secret is meant.
    fn target(&self, question: &Question) -> Result<Target, Refused> {
        target(question, self.resolver.manifest(), &self.store, self.reach)
    }

    /// The value that is asked for, by a request that is known by `id`.
    pub(crate) fn get(
        &self,
        question: &Question,
        id: Option<&CorrelationId>,
    ) -> Result<Resolved, Unanswered> {
        let target = self.target(question)?;
        let found = self.look(&target, question.refresh_now, id)?;
        self.note_use(target, &found);
        part(question, found)
    }

    /// The answer, if the value is in memory and fresh: nobody is asked, no file is read, and nothing is waited for.
    pub(crate) fn at_hand(&self, question: &Question) -> Option<Result<Told, Unanswered>> {
        let began = Instant::now();
        if question.refresh_now {
            return None;
        }
        // Why it can't be had is told by whoever looks for it.
        let target = self.target(question).ok()?;
        let (found, body) = match &target {
            Target::Document(reference) => {
                let body = |found: &Resolved| body(question, found);
                let (found, body) = self.resolver.made_at_hand(reference, &question.secret_id, body)?;
                (found, Some(body))
            }
            Target::Name(name) => (self.resolver.at_hand(name)?, None),
        };
        if let Some(fallback) = &self.fallback {
            fallback.remember(&target.key(), &found, began);
        }
        self.note_use(target, &found);
        Some(match body.filter(|_| question.json_key.is_none()) {
            Some(body) => Ok(Told { body, stale: None }),
            None => part(question, found).map(|found| Told::of(question, &found)),
        })
    }

    /// Forgets what is kept of it, in memory and in the sealed file.
    pub(crate) fn forget(&self, question: &Question) -> Result<(), Refused> {
        let target = self.target(question)?;
        let mut marks = vec![Mark::Asked(target.key())];
        match &target {
            Target::Document(reference) => {
                self.resolver.forget(reference);
                marks.push(Mark::document(reference));
            }
            // Its layers may lead anywhere.
            Target::Name(_) => self.resolver.forget_all(),
        }
        if let Some(fallback) = &self.fallback {
            marks.extend(fallback.known(&target.key()));
            fallback.forget(&marks);
        }
        Ok(())
    }

    /// Forgets everything, in memory and in the sealed file.
    pub(crate) fn forget_all(&self) {
        self.resolver.forget_all();
        if let Some(fallback) = &self.fallback {
            fallback.clear();
        }
    }

    fn look(
        &self,
        target: &Target,
        refresh_now: bool,
        id: Option<&CorrelationId>,
    ) -> Result<Resolved, Unanswered> {
        let began = Instant::now();
        let since = refresh_now.then(|| self.resolver.moment());
        let asking = id.cloned().map(Asking::by).unwrap_or_default().after_any(since);
        let (result, asked) = match target {
            Target::Document(reference) => {
                let result = self.resolver.ask_as(reference, &asking);
                let asked = result.as_ref().err().map(|error| (reference.clone(), error.kind()));
                let text = |error: FetchError| {
                    (error.kind(), format!("{}; {}", with_causes(&error), error.action()))
                };
                (result.map_err(text), Vec::from_iter(asked))
            }
            Target::Name(name) => {
                let walk = self.resolver.walk_as(name, &asking);
                let result = match walk.result {
                    Ok(Some(found)) => Ok(found),
                    Ok(None) => Err((ErrorKind::NotFound, format!("`{name}` need not be there and is not"))),
                    Err(problem) => {
                        Err((problem.kind(), format!("{}; {}", with_causes(&*problem), problem.action())))
                    }
                };
                (result, walk.asked.iter().filter_map(in_vain).collect())
            }
        };
        let Some(fallback) = &self.fallback else { return result.map_err(failed) };
        let key = target.key();
        let mut gone: Vec<Mark> =
            asked.iter().filter_map(|(reference, kind)| self.gone(fallback, reference, *kind)).collect();
        if let Err((ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::DecryptionFailed, _)) = &result {
            gone.push(Mark::Asked(key.clone()));
        }
        if !gone.is_empty() {
            fallback.forget(&gone);
        }
        match result {
            Ok(found) => {
                if found.stale.is_none() {
                    fallback.remember(&key, &found, began);
                }
                Ok(found)
            }
            Err((kind @ (ErrorKind::Throttled | ErrorKind::Unavailable), message)) => {
                let recalled = if refresh_now { None } else { fallback.recall(&key) };
                match recalled {
                    Some(found) => {
                        self.recalled.fetch_add(1, Ordering::Relaxed);
                        Ok(found)
                    }
                    None => Err(Unanswered::Failed(kind, message)),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// What is no longer to be given from the sealed file, since a store said so of `reference`.
    fn gone(&self, fallback: &Fallback, reference: &Reference, kind: ErrorKind) -> Option<Mark> {
        let document = Mark::document(reference);
        match kind {
            ErrorKind::Denied | ErrorKind::DecryptionFailed => Some(document),
            ErrorKind::NotFound => {
                let is_of_version =
                    ["version", "stage"].iter().any(|name| reference.parameter(name).is_some());
                // Where only the field is missing, the rest still counts.
                let is_of_field = || {
                    reference.field().is_some()
                        && fallback.has(&document)
                        && self.resolver.ask_for(&reference.document(), None).is_ok()
                };
                let is_part = is_of_version || is_of_field();
                Some(if is_part { Mark::Place(reference.to_string()) } else { document })
            }
            ErrorKind::Throttled
            | ErrorKind::Unavailable
            | ErrorKind::Malformed
            | ErrorKind::Misconfigured => None,
        }
    }

    fn note_use(&self, target: Target, found: &Resolved) {
        let fresh = self.fresh(&target);
        if fresh.is_zero() {
            return;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let key = target.key();
        let at = Instant::now();
        // What is good for ages needs no looking after.
        let Some(due) = at.checked_add(left(fresh, found)) else { return };
        if let Some(one) = used.get_mut(&key) {
            (one.at, one.due) = (at, due);
            return;
        }
        if used.len() >= self.used_max {
            let oldest = used.iter().min_by_key(|(_, one)| one.at).map(|(key, _)| key.clone());
            oldest.map(|key| used.remove(&key));
        }
        used.insert(key, Use { target, at, due });
    }

    /// How long it counts as fresh.
    fn fresh(&self, target: &Target) -> Duration {
        let of_need = match target {
            Target::Name(name) => self.resolver.manifest().need(name).and_then(|need| need.fresh),
            Target::Document(_) => None,
        };
        of_need.unwrap_or(self.ttl)
    }

    /// The shortest time that anything counts as fresh, if anything does.
    pub(crate) fn fresh_min(&self) -> Option<Duration> {
        let of_needs = self.resolver.manifest().needs().filter_map(|need| need.fresh);
        of_needs.chain([self.ttl]).filter(|fresh| !fresh.is_zero()).min()
    }

    /// Asks for what was asked for lately and is in the last fifth of its time, so that nobody who asks again waits. Nothing, if
    /// another thread is still at it.
    pub(crate) fn keep_fresh(&self) {
        let Ok(_freshening) = self.freshening.try_lock() else { return };
        let now = Instant::now();
        let targets: Vec<Target> = {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.retain(|_, one| one.at.elapsed() < IDLE_MAX);
            used.values().filter(|one| one.due <= now).map(|one| one.target.clone()).collect()
        };
        for target in targets {
            let found = self.look(&target, false, None);
            let fresh = self.fresh(&target);
            let wait = match found {
                Ok(found) => left(fresh, &found),
                Err(Unanswered::Failed(kind, _)) if kind.is_transient() => fresh / 5,
                // Whoever asks for it hears why it can't be had.
                Err(_) => Duration::MAX,
            };
            let due = Instant::now().checked_add(wait);
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            match (due, used.get_mut(&target.key())) {
                (Some(due), Some(one)) => one.due = due,
                (None, _) => drop(used.remove(&target.key())),
                (Some(_), None) => {}
            }
        }
    }

    /// Asks for all names of the manifest and these, so that the first who ask don't wait. How many can't be had.
    pub(crate) fn prefetch(&self, more: &[String]) -> usize {
        let names =
            self.resolver.manifest().needs().filter(|need| need.required).map(|need| need.name.clone());
        let names: Vec<String> = names.chain(more.iter().cloned()).collect();
        let ask = |name: String| {
            let question = Question {
                secret_id: name,
                version_id: None,
                version_stage: None,
                refresh_now: false,
                json_key: None,
            };
            self.get(&question, None).is_err()
        };
        let helpers = names.len().min(PREFETCH_THREADS_MAX).saturating_sub(1);
        let names = Mutex::new(names.into_iter());
        // A store that takes many names at once sees them together, and one that is slow holds up fewer.
        let work = || {
            let mut failed = 0;
            loop {
                let next = names.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(name) = next else { return failed };
                failed += usize::from(ask(name));
            }
        };
        thread::scope(|scope| {
            let begin = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let helpers: Vec<_> = (0..helpers).filter_map(begin).collect();
            let own: usize = work();
            own + helpers.into_iter().map(|helper| helper.join().unwrap_or_default()).sum::<usize>()
        })
    }

    /// How many values are kept fresh.
    pub(crate) fn in_use(&self) -> usize {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn body(question: &Question, found: &Resolved) -> SecretBytes {
    let mut body =
        answer::value(found.value.expose_secret(), &found.facts, &found.place, &question.secret_id);
    SecretBytes::new(std::mem::take(&mut *body))
}

/// The part of what was found that is asked for.
fn part(question: &Question, found: Resolved) -> Result<Resolved, Unanswered> {
    let Some(name) = &question.json_key else { return Ok(found) };
    let missing = |what: &str| {
        let message = format!("`{}` {what}", question.secret_id);
        Unanswered::Failed(ErrorKind::NotFound, message)
    };
    match field(found.value.expose_secret(), name) {
        Ok(value) => Ok(Resolved { value: Arc::new(value), ..found }),
        Err(NoField::Absent) => Err(missing("has no such jsonKey")),
        Err(NoField::NoObject) => Err(missing("is no JSON object")),
    }
}

/// A layer that was asked and had nothing to give, and why; what is on this machine is looked at each time.
fn in_vain(asked: &Asked) -> Option<(Reference, ErrorKind)> {
    let kind = match &asked.answer {
        Answer::Found | Answer::Stale(_) => return None,
        Answer::NotFound => ErrorKind::NotFound,
        Answer::Failed(kind) => *kind,
    };
    let reference: Reference = asked.place.parse().ok()?;
    (reference.is_of_store() || reference.scheme() == Scheme::Exec).then_some((reference, kind))
}

/// How long until the last fifth of its time begins.
fn left(fresh: Duration, found: &Resolved) -> Duration {
    match found.stale {
        None => (fresh - fresh / 5).saturating_sub(found.age),
        Some(_) => fresh / 5,
    }
}

fn failed((kind, message): (ErrorKind, String)) -> Unanswered {
    Unanswered::Failed(kind, message)
}
