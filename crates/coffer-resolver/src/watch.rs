//! Follows values: says which have changed, and which can no longer be had.
//!
//! I/O: the resolver's; a thread, for those who subscribe. Invariant: a store that can't be asked is no change; what it last said
//! still counts.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use coffer_types::SecretBytes;

use crate::call::Asking;
use crate::reference::{Reference, Scheme};
use crate::report::{Answer, Problem};
use crate::resolver::{Credentials, Resolved, Resolver, Walk, asked_since};

/// How long a provider that shows its changes is left alone after a look that they set off.
const BEACON_PAUSE: Duration = Duration::from_secs(2);
/// How far the time of a file and that of this process may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(1);

/// How often is looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchOptions {
    /// At stores and programs; where coffer's own store is on this machine, its changes show at once.
    pub poll: Duration,
    /// At what this machine has itself: files, `.env`.
    pub local: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { poll: Duration::from_secs(60), local: Duration::from_millis(500) }
    }
}

/// Follows the values of all names of a manifest. Nothing is looked at unless somebody waits.
pub struct Watch {
    resolver: Arc<Resolver>,
    options: WatchOptions,
    known: BTreeMap<String, Known>,
    polled: Instant,
    beacons: Vec<Seen>,
}

/// What was seen of a provider that shows when something there changes.
struct Seen {
    scheme: Scheme,
    /// When it changed last; `None` if it may have changed since it was asked.
    at: Option<SystemTime>,
    /// When it is looked at again at the earliest.
    not_before: Instant,
    /// How long it is left alone after the next look.
    pause: Duration,
}

/// What was last told of a name.
#[derive(Default)]
struct Known {
    value: Option<Arc<SecretBytes>>,
    /// That it can't be had was told.
    lost: bool,
}

/// What is different.
#[derive(Default)]
pub struct Change {
    /// Names that have another value; `None` if they need not have one and no longer do.
    pub changed: Vec<(String, Option<Resolved>)>,
    /// Names whose value is definitely gone, or no longer what it must be. What it was before still counts for those who
    /// have it. Told once each time.
    pub lost: Vec<Problem>,
}

impl Change {
    fn is_none(&self) -> bool {
        self.changed.is_empty() && self.lost.is_empty()
    }
}

impl Watch {
    /// Follows from what the names are now.
    pub fn new(resolver: Arc<Resolver>, options: WatchOptions) -> Self {
        let (polled, began) = (Instant::now(), SystemTime::now());
        let walks = resolver.walk_all();
        // A cache may have answered with what was read long before.
        let beacons = seen(&resolver, asked_since(began, &walks));
        let mut watch = Self { resolver, options, known: BTreeMap::new(), polled, beacons };
        watch.compare(walks);
        watch
    }

    /// Follows from what `credentials` hold, so that nothing is missed that has changed since they were loaded.
    pub fn following(resolver: Arc<Resolver>, options: WatchOptions, credentials: &Credentials) -> Self {
        let known = |(name, resolved): (&str, &Resolved)| {
            (name.to_owned(), Known { value: Some(Arc::clone(&resolved.value)), lost: false })
        };
        let known = credentials.iter().map(known).collect();
        let beacons = seen(&resolver, credentials.since);
        Self { resolver, options, known, polled: Instant::now(), beacons }
    }

    /// What changes, as soon as it is seen; `None` if nothing does for so long. A look that has begun is ended first.
    pub fn wait(&mut self, time_max: Duration) -> Option<Change> {
        let deadline = Instant::now() + time_max;
        loop {
            let change = self.look();
            if !change.is_none() {
                return Some(change);
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            let to_poll = self.options.poll.saturating_sub(self.polled.elapsed());
            thread::sleep(self.options.local.min(to_poll).min(left).max(Duration::from_millis(1)));
        }
    }

    /// Looks once: at stores too, if it is time to.
    fn look(&mut self) -> Change {
        let walks = if self.polled.elapsed() >= self.options.poll {
            self.polled = Instant::now();
            self.resolver.walk_all_since(self.resolver.moment())
        } else if let Some(at) = self.due() {
            return self.look_at(at);
        } else {
            // Files are read, and stores are asked for no more than what a cache has let go.
            self.resolver.walk_all()
        };
        self.compare(walks)
    }

    /// A provider of this machine where something has changed, unless that was looked at a moment ago.
    fn due(&mut self) -> Option<usize> {
        let (now, told) = (Instant::now(), self.resolver.beacons());
        let is_due = |seen: &Seen| {
            let at = told.iter().find(|(scheme, _)| *scheme == seen.scheme).and_then(|(_, at)| *at);
            at.is_some() && at != seen.at && now >= seen.not_before
        };
        let index = self.beacons.iter().position(is_due)?;
        let seen = self.beacons.get_mut(index)?;
        // Before it is asked, so that what changes meanwhile is seen next time.
        seen.at = told.iter().find(|(scheme, _)| *scheme == seen.scheme).and_then(|(_, at)| *at);
        Some(index)
    }

    /// Asks that provider. Each question is a record there, so whoever finds nothing new again and again, because others' secrets
    /// change, looks less and less often: in the end as often as at any store.
    fn look_at(&mut self, index: usize) -> Change {
        let Some(Seen { scheme, .. }) = self.beacons.get(index) else { return Change::default() };
        let asking = Asking { since: Some(self.resolver.moment()), only: Some(*scheme), id: None };
        let walks = self.resolver.walk_all_as(&asking);
        let has_failed = walks.iter().any(|(_, walk)| is_unanswered(walk, *scheme));
        let change = self.compare(walks);
        let poll = self.options.poll;
        if let Some(seen) = self.beacons.get_mut(index) {
            if has_failed {
                // What has changed is still to be seen.
                (seen.at, seen.not_before) = (None, Instant::now() + BEACON_PAUSE);
                return change;
            }
            seen.not_before = Instant::now() + seen.pause;
            let longer = if change.is_none() { seen.pause * 2 } else { BEACON_PAUSE };
            seen.pause = longer.min(poll.max(BEACON_PAUSE));
        }
        change
    }

    fn compare(&mut self, walks: Vec<(String, Walk)>) -> Change {
        let mut change = Change::default();
        for (name, walk) in walks {
            let known = self.known.entry(name.clone()).or_default();
            match walk.result {
                Ok(found) => {
                    known.lost = false;
                    let value = found.as_ref().map(|found| &found.value);
                    if value.map(|value| value.expose_secret())
                        != known.value.as_ref().map(|value| value.expose_secret())
                    {
                        known.value = value.map(Arc::clone);
                        change.changed.push((name, found));
                    }
                }
                Err(problem) if problem.kind().is_transient() => {}
                Err(problem) => {
                    if !std::mem::replace(&mut known.lost, true) {
                        change.lost.push(*problem);
                    }
                }
            }
        }
        change
    }
}

/// Whether `scheme` was asked and could not answer for the time being.
fn is_unanswered(walk: &Walk, scheme: Scheme) -> bool {
    walk.asked.iter().any(|asked| {
        let is_away = match asked.answer {
            Answer::Stale(_) => true,
            Answer::Failed(kind) => kind.is_transient(),
            Answer::Found | Answer::NotFound => false,
        };
        is_away && asked.place.parse().is_ok_and(|place: Reference| place.scheme() == scheme)
    })
}

/// What is to be seen of providers of which that can be seen: what changed before `since` is known.
fn seen(resolver: &Resolver, since: Option<SystemTime>) -> Vec<Seen> {
    let since = since.and_then(|since| since.checked_sub(CLOCKS_APART));
    let now = Instant::now();
    let seen = |(scheme, at): (Scheme, Option<SystemTime>)| {
        // What changed at about the time it was asked may have changed after that.
        let at = at.filter(|at| since.is_some_and(|since| *at < since));
        Seen { scheme, at, not_before: now, pause: BEACON_PAUSE }
    };
    resolver.beacons().into_iter().map(seen).collect()
}

/// Somebody who is told of changes until this is dropped. It belongs to the process that made it: a forked child has
/// no part in it.
pub struct Subscription {
    ended: Arc<Ended>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

#[derive(Default)]
struct Ended {
    is_so: Mutex<bool>,
    signal: Condvar,
}

impl Subscription {
    /// Tells `on_change` of everything that changes from now on, on a thread of its own. Looking has begun when this
    /// returns.
    pub fn new(
        resolver: Arc<Resolver>,
        options: WatchOptions,
        on_change: impl FnMut(Change) + Send + 'static,
    ) -> io::Result<Self> {
        Self::to(Watch::new(resolver, options), on_change)
    }

    /// The same, of everything that changes from where `watch` is.
    pub fn to(mut watch: Watch, mut on_change: impl FnMut(Change) + Send + 'static) -> io::Result<Self> {
        let options = watch.options;
        let ended = Arc::new(Ended::default());
        let until = Arc::clone(&ended);
        let work = move || {
            loop {
                let change = watch.look();
                if !change.is_none() {
                    on_change(change);
                }
                let is_so = until.is_so.lock().unwrap_or_else(PoisonError::into_inner);
                let pause = options.local.min(options.poll).max(Duration::from_millis(1));
                let waited = until.signal.wait_timeout_while(is_so, pause, |is_so| !*is_so);
                if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("coffer-watch".to_owned()).spawn(work)?;
        Ok(Self { ended, thread: Some(thread), process: std::process::id() })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // In a forked child neither the thread nor the state of its lock came along.
        if self.process != std::process::id() {
            return;
        }
        *self.ended.is_so.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.signal.notify_all();
        // The one who is told may drop this, and can't wait for itself.
        if let Some(thread) =
            self.thread.take().filter(|thread| thread.thread().id() != thread::current().id())
        {
            drop(thread.join());
        }
    }
}
