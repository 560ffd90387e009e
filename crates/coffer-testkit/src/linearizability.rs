//! Whether what concurrent callers saw can be told as a story in which one acted at a time.
//!
//! Pure. A history is linearizable if every call can be given one moment between its beginning and its end at which it
//! happened at once, such that a secret with no concurrency would have answered the same (Herlihy and Wing, 1990). The
//! check is Wing and Gong's search, remembering which states it has been in: fine for histories of some hundred calls.

use std::collections::HashSet;
use std::fmt;

/// What one caller asked of one secret, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A new version was made current.
    Put {
        /// Its number, which no other version has.
        version: u32,
    },
    /// The current version was read.
    Read {
        /// The version seen; `None` if the secret was marked for deletion.
        version: Option<u32>,
    },
    /// `AWSCURRENT` was to move from one version to another.
    Move {
        /// The version it was said to be on.
        from: u32,
        /// The version it was to be on.
        to: u32,
        /// Whether it did; if not, it was on another.
        moved: bool,
    },
    /// The secret was marked for deletion; it was not before.
    Delete,
    /// The mark was taken back, or was not there.
    Restore,
    /// A write that was refused, because the secret was marked for deletion.
    RefusedByDeletion,
}

/// A call and its moments. Any counter that all callers share will do as a clock.
#[derive(Clone, Debug)]
pub struct Event {
    /// What was asked and answered.
    pub call: Call,
    /// Read before the call.
    pub begun: u64,
    /// Read after the answer.
    pub ended: u64,
}

/// A secret as one caller at a time would know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct State {
    current: u32,
    is_deleted: bool,
}

impl State {
    /// The state after the call; `None` if the call would have been answered otherwise.
    fn after(self, call: &Call) -> Option<Self> {
        match *call {
            Call::Put { version } => (!self.is_deleted).then_some(Self { current: version, ..self }),
            Call::Read { version: Some(version) } => {
                (!self.is_deleted && self.current == version).then_some(self)
            }
            Call::Read { version: None } | Call::RefusedByDeletion => self.is_deleted.then_some(self),
            Call::Move { from, to, moved: true } => {
                (!self.is_deleted && self.current == from).then_some(Self { current: to, ..self })
            }
            Call::Move { from, moved: false, .. } => {
                (!self.is_deleted && self.current != from).then_some(self)
            }
            Call::Delete => (!self.is_deleted).then_some(Self { is_deleted: true, ..self }),
            Call::Restore => Some(Self { is_deleted: false, ..self }),
        }
    }
}

/// A history that no order of its calls explains.
#[derive(Debug)]
pub struct NotLinearizable {
    /// The most calls that could be put in order.
    pub longest: usize,
    /// The history, by the time calls began.
    pub events: Vec<Event>,
}

impl fmt::Display for NotLinearizable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at most {} of {} calls can be put in an order:", self.longest, self.events.len())?;
        for event in &self.events {
            writeln!(f, "  {:>6} to {:>6}: {:?}", event.begun, event.ended, event.call)?;
        }
        Ok(())
    }
}

impl std::error::Error for NotLinearizable {}

/// Checks a history of one secret whose current version was `first` when it began.
pub fn check(first: u32, mut events: Vec<Event>) -> Result<(), NotLinearizable> {
    events.sort_by_key(|event| event.begun);
    let mut search = Search { events: &events, seen: HashSet::new(), longest: 0 };
    let done = vec![false; events.len()];
    if search.goes_on(State { current: first, is_deleted: false }, done) {
        return Ok(());
    }
    let longest = search.longest;
    Err(NotLinearizable { longest, events })
}

struct Search<'a> {
    events: &'a [Event],
    /// Where the search has been: which calls were done, and what the secret was then.
    seen: HashSet<(Vec<bool>, State)>,
    longest: usize,
}

impl Search<'_> {
    /// Whether the calls that are not done yet can follow.
    fn goes_on(&mut self, state: State, mut done: Vec<bool>) -> bool {
        // What changes nothing and fits now may as well come now: the others only have more room without it.
        while let Some(number) = self.next(&done).into_iter().find(|&number| self.is_idle(number, state)) {
            set(&mut done, number);
        }
        self.longest = self.longest.max(done.iter().filter(|done| **done).count());
        if done.iter().all(|done| *done) {
            return true;
        }
        let mut next = self.next(&done);
        if !self.seen.insert((done.clone(), state)) {
            return false;
        }
        // Those that must be over first come first.
        next.sort_by_key(|&number| self.events.get(number).map(|event| event.ended));
        next.into_iter().any(|number| {
            let Some(after) = self.events.get(number).and_then(|event| state.after(&event.call)) else {
                return false;
            };
            let mut done = done.clone();
            set(&mut done, number);
            self.goes_on(after, done)
        })
    }

    /// The calls that may come next: what began after another had ended cannot come before it.
    fn next(&self, done: &[bool]) -> Vec<usize> {
        let open: Vec<_> =
            self.events.iter().enumerate().filter(|(number, _)| done.get(*number) == Some(&false)).collect();
        let first_end = open.iter().map(|(_, event)| event.ended).min().unwrap_or(u64::MAX);
        open.into_iter().filter(|(_, event)| event.begun <= first_end).map(|(number, _)| number).collect()
    }

    /// Whether a call fits the state and, wherever it comes, leaves the state as it is.
    fn is_idle(&self, number: usize, state: State) -> bool {
        self.events.get(number).is_some_and(|event| {
            let changes_nothing = matches!(
                event.call,
                Call::Read { .. } | Call::RefusedByDeletion | Call::Move { moved: false, .. }
            );
            changes_nothing && state.after(&event.call).is_some()
        })
    }
}

fn set(done: &mut [bool], number: usize) {
    if let Some(place) = done.get_mut(number) {
        *place = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(begun: u64, ended: u64, call: Call) -> Event {
        Event { call, begun, ended }
    }

    fn read(begun: u64, ended: u64, version: u32) -> Event {
        event(begun, ended, Call::Read { version: Some(version) })
    }

    fn put(begun: u64, ended: u64, version: u32) -> Event {
        event(begun, ended, Call::Put { version })
    }

    fn holds(events: impl IntoIterator<Item = Event>) -> bool {
        check(0, events.into_iter().collect()).is_ok()
    }

    #[test]
    fn what_an_order_explains() {
        assert!(holds([]));
        assert!(holds([read(1, 2, 0), put(3, 4, 1), read(5, 6, 1)]));
        // Either side of a write that is under way.
        assert!(holds([put(1, 10, 1), read(2, 3, 0), read(4, 5, 1)]));
        // Of two writes at once the last one read won.
        assert!(holds([put(1, 10, 1), put(2, 9, 2), read(11, 12, 1)]));
        assert!(holds([put(1, 10, 1), put(2, 9, 2), read(11, 12, 2)]));
        assert!(holds([
            put(1, 2, 1),
            event(3, 4, Call::Move { from: 1, to: 0, moved: true }),
            read(5, 6, 0)
        ]));
        assert!(holds([
            event(1, 2, Call::Delete),
            event(3, 4, Call::Read { version: None }),
            event(3, 4, Call::RefusedByDeletion),
            event(5, 6, Call::Restore),
            read(7, 8, 0),
        ]));
    }

    #[test]
    fn what_no_order_explains() {
        // A stale read: the write had been answered.
        assert!(!holds([put(1, 2, 1), read(3, 4, 0)]));
        // Backwards: one reader saw the new version, a later one the old.
        assert!(!holds([put(1, 10, 1), read(2, 3, 1), read(4, 5, 0)]));
        // A lost update.
        assert!(!holds([put(1, 2, 1), put(3, 4, 2), read(5, 6, 1)]));
        // Both moved the label away from the same version.
        let moved = |to| event(1, 10, Call::Move { from: 0, to, moved: true });
        assert!(!holds([moved(1), moved(2)]));
        // Refused although nobody had moved it.
        assert!(!holds([event(1, 2, Call::Move { from: 0, to: 1, moved: false })]));
        // Read while it was marked.
        assert!(!holds([event(1, 2, Call::Delete), read(3, 4, 0), event(5, 6, Call::Restore)]));
        // A version nobody wrote.
        assert!(!holds([read(1, 2, 7)]));
    }
}
