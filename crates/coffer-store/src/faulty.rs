//! A store that fails on purpose: for tests of what stands above a store.
//!
//! No I/O of its own. It wraps another store and, by a script or by a seed, loses changes, loses answers, lets a
//! change land late, or lies. Invariant: whatever it answers, a change reaches the inner store whole and with its
//! guards, or not at all; so the inner store always tells the truth.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{BoxFuture, Change, CommitError, Revision, Snapshot, Store, StoreError, Watch};

/// What befalls one commit: the four cases of *happened × reported*, a change that is late, and a lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing: it happens, and the answer is true.
    None,
    /// It is tried, and the answer, whatever it was, is lost: `Indeterminate`.
    AnswerLost,
    /// It is never tried: `Indeterminate`.
    RequestLost,
    /// It is never tried: `Determinate`.
    Refused,
    /// It is never tried: `Ok`. No store may do this; it shows that a test would notice.
    Lie,
    /// `Indeterminate` at once; it is tried, with its guards as of then, right before the commit that comes
    /// `commits` later, or when [`FaultyStore::land_late`] is called.
    Late {
        /// How many commits later, at least 1.
        commits: u64,
    },
}

/// How often each fault occurs, in thousandths of all commits (or of all snapshots).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Odds {
    /// [`Fault::AnswerLost`].
    pub answer_lost: u16,
    /// [`Fault::RequestLost`].
    pub request_lost: u16,
    /// [`Fault::Refused`].
    pub refused: u16,
    /// [`Fault::Lie`]; zero unless the test is about noticing it.
    pub lie: u16,
    /// [`Fault::Late`], by 1 to 16 commits.
    pub late: u16,
    /// A snapshot that fails.
    pub snapshot: u16,
}

/// A store around another that fails as it is told to.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    script: VecDeque<Fault>,
    snapshots_to_fail: usize,
    dice: Option<(Dice, Odds)>,
    commits: u64,
    late: Vec<Late>,
    injected: Vec<Fault>,
}

struct Late {
    lands_at: u64,
    change: Change,
}

/// SplitMix64: the same faults for the same seed, on every machine.
struct Dice(u64);

#[derive(Debug, thiserror::Error)]
#[error("a fault was injected: {0}")]
struct Injected(&'static str);

impl Default for Odds {
    fn default() -> Self {
        Self { answer_lost: 50, request_lost: 50, refused: 50, lie: 0, late: 50, snapshot: 50 }
    }
}

impl FaultyStore {
    /// No faults until some are asked for.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// The first commit meets the first fault, and so on; those after the last meet none.
    pub fn scripted(inner: Arc<dyn Store>, faults: impl IntoIterator<Item = Fault>) -> Self {
        let store = Self::new(inner);
        store.inject(faults);
        store
    }

    /// Faults at random, the same for the same seed and order of calls.
    pub fn seeded(inner: Arc<dyn Store>, seed: u64, odds: Odds) -> Self {
        let plan = Plan { dice: Some((Dice(seed), odds)), ..Plan::default() };
        Self { inner, plan: Mutex::new(plan) }
    }

    /// The next commits meet these faults, after those of the script so far; a seed goes on after them.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().script.extend(faults);
    }

    /// The next `count` snapshots fail.
    pub fn fail_snapshots(&self, count: usize) {
        self.lock().snapshots_to_fail = count;
    }

    /// No more faults. Late changes stay late.
    pub fn heal(&self) {
        let mut plan = self.lock();
        plan.script.clear();
        plan.snapshots_to_fail = 0;
        plan.dice = None;
    }

    /// Every late change is tried now, in the order it was handed over; answers how many there were.
    pub fn land_late(&self) -> usize {
        let late = std::mem::take(&mut self.lock().late);
        let count = late.len();
        self.hand_over(late);
        count
    }

    /// Every late change is lost; answers how many there were.
    pub fn lose_late(&self) -> usize {
        std::mem::take(&mut self.lock().late).len()
    }

    /// What befell each commit so far.
    pub fn injected(&self) -> Vec<Fault> {
        self.lock().injected.clone()
    }

    /// Gives late changes to the inner store. Nobody hears the answers.
    fn hand_over(&self, late: Vec<Late>) {
        late.into_iter().for_each(|late| drop(self.inner.commit(late.change)));
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    /// Counts a commit; answers its fault, and the late changes that come before it.
    fn next_commit(&mut self, change: &Change) -> (Fault, Vec<Late>) {
        self.commits += 1;
        let (due, late) =
            std::mem::take(&mut self.late).into_iter().partition(|late| late.lands_at <= self.commits);
        self.late = late;
        let rolled = |dice: &mut Option<(Dice, Odds)>| {
            dice.as_mut().map_or(Fault::None, |(dice, odds)| odds.roll(dice))
        };
        let fault = self.script.pop_front().unwrap_or_else(|| rolled(&mut self.dice));
        if let Fault::Late { commits } = fault {
            let lands_at = self.commits.saturating_add(commits.max(1));
            self.late.push(Late { lands_at, change: change.clone() });
        }
        self.injected.push(fault);
        (fault, due)
    }

    fn next_snapshot_fails(&mut self) -> bool {
        if self.snapshots_to_fail > 0 {
            self.snapshots_to_fail -= 1;
            return true;
        }
        self.dice.as_mut().is_some_and(|(dice, odds)| dice.below(1000) < u64::from(odds.snapshot))
    }
}

impl Odds {
    fn roll(&self, dice: &mut Dice) -> Fault {
        let commits = 1 + dice.below(16);
        let faults = [
            (self.answer_lost, Fault::AnswerLost),
            (self.request_lost, Fault::RequestLost),
            (self.refused, Fault::Refused),
            (self.lie, Fault::Lie),
            (self.late, Fault::Late { commits }),
        ];
        let mut left = dice.below(1000);
        for (odds, fault) in faults {
            match left.checked_sub(u64::from(odds)) {
                Some(rest) => left = rest,
                None => return fault,
            }
        }
        Fault::None
    }
}

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

impl Store for FaultyStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>> {
        if self.lock().next_snapshot_fails() {
            return Box::pin(ready(Err(injected("the snapshot failed"))));
        }
        self.inner.snapshot()
    }

    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>> {
        if let Err(error) = change.check_limits() {
            return Box::pin(ready(Err(CommitError::Determinate(error))));
        }
        let (fault, due) = self.lock().next_commit(&change);
        self.hand_over(due);
        match fault {
            Fault::None => self.inner.commit(change),
            Fault::AnswerLost => {
                let committed = self.inner.commit(change);
                Box::pin(async move {
                    drop(committed.await);
                    Err(CommitError::Indeterminate(injected("the answer was lost")))
                })
            }
            Fault::RequestLost => {
                Box::pin(ready(Err(CommitError::Indeterminate(injected("the request was lost")))))
            }
            Fault::Refused => {
                Box::pin(ready(Err(CommitError::Determinate(injected("the change was refused")))))
            }
            Fault::Late { .. } => {
                Box::pin(ready(Err(CommitError::Indeterminate(injected("the change is late")))))
            }
            Fault::Lie => {
                let inner = Arc::clone(&self.inner);
                Box::pin(async move {
                    let snapshot = inner.snapshot().await.map_err(CommitError::Indeterminate)?;
                    Ok(Revision(snapshot.revision().0 + 1))
                })
            }
        }
    }

    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        self.inner.watch(prefix, from)
    }
}

fn injected(what: &'static str) -> StoreError {
    StoreError::Backend(Box::new(Injected(what)))
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::{Guard, MemoryStore, Write};

    crate::conformance_tests!(|| Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()))));

    #[derive(PartialEq, Debug)]
    enum Answer {
        Ok,
        Conflict,
        Determinate,
        Indeterminate,
    }

    fn create(store: &FaultyStore, key: &'static str) -> Answer {
        let key = Bytes::from_static(key.as_bytes());
        let change =
            Change { guards: vec![Guard::Absent(key.clone())], writes: vec![Write::Put(key, Bytes::new())] };
        match block_on(store.commit(change)) {
            Ok(_) => Answer::Ok,
            Err(CommitError::Conflict) => Answer::Conflict,
            Err(CommitError::Determinate(_)) => Answer::Determinate,
            Err(CommitError::Indeterminate(_)) => Answer::Indeterminate,
        }
    }

    fn exists(store: &FaultyStore, key: &str) -> bool {
        block_on(block_on(store.inner.snapshot()).unwrap().get(key.as_bytes())).unwrap().is_some()
    }

    #[test]
    fn each_fault_happens_and_is_reported_as_named() {
        let facts = [
            (Fault::None, Answer::Ok, true),
            (Fault::AnswerLost, Answer::Indeterminate, true),
            (Fault::RequestLost, Answer::Indeterminate, false),
            (Fault::Refused, Answer::Determinate, false),
            (Fault::Lie, Answer::Ok, false),
            (Fault::Late { commits: 1 }, Answer::Indeterminate, false),
        ];
        for (fault, answer, happened) in facts {
            let store = FaultyStore::scripted(Arc::new(MemoryStore::new()), [fault]);
            assert_eq!(create(&store, "k"), answer, "{fault:?}");
            assert_eq!(exists(&store, "k"), happened, "{fault:?}");
            assert_eq!(store.injected(), [fault]);
        }
    }

    #[test]
    fn a_lost_answer_hides_a_conflict_too() {
        let store = FaultyStore::scripted(Arc::new(MemoryStore::new()), [Fault::None, Fault::AnswerLost]);
        assert_eq!(create(&store, "k"), Answer::Ok);
        assert_eq!(create(&store, "k"), Answer::Indeterminate);
    }

    #[test]
    fn a_late_change_lands_right_before_a_later_commit() {
        let store = FaultyStore::scripted(Arc::new(MemoryStore::new()), [Fault::Late { commits: 2 }]);
        assert_eq!(create(&store, "late"), Answer::Indeterminate);
        assert_eq!(create(&store, "other"), Answer::Ok);
        assert!(!exists(&store, "late"));
        assert_eq!(create(&store, "late"), Answer::Conflict);
        assert!(exists(&store, "late"));
    }

    #[test]
    fn a_late_change_honours_its_guards_when_it_lands() {
        let store = FaultyStore::scripted(Arc::new(MemoryStore::new()), [Fault::Late { commits: 9 }]);
        assert_eq!(create(&store, "k"), Answer::Indeterminate);
        assert_eq!(create(&store, "k"), Answer::Ok);
        let before = block_on(store.snapshot()).unwrap().revision();
        assert_eq!(store.land_late(), 1);
        assert_eq!(block_on(store.snapshot()).unwrap().revision(), before);
    }

    #[test]
    fn a_late_change_may_never_land() {
        let store = FaultyStore::scripted(Arc::new(MemoryStore::new()), [Fault::Late { commits: 1 }]);
        assert_eq!(create(&store, "k"), Answer::Indeterminate);
        assert_eq!(store.lose_late(), 1);
        assert_eq!(create(&store, "other"), Answer::Ok);
        assert!(!exists(&store, "k"));
    }

    #[test]
    fn snapshots_fail_as_often_as_asked() {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        store.fail_snapshots(2);
        let answers: Vec<bool> = (0..4).map(|_| block_on(store.snapshot()).is_ok()).collect();
        assert_eq!(answers, [false, false, true, true]);
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_each_kind_of_them() {
        let faults = |seed| {
            let store =
                FaultyStore::seeded(Arc::new(MemoryStore::new()), seed, Odds { lie: 50, ..Odds::default() });
            for _ in 0..500 {
                create(&store, "k");
            }
            store.injected()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        let faults = faults(7);
        for fault in [Fault::None, Fault::AnswerLost, Fault::RequestLost, Fault::Refused, Fault::Lie] {
            assert!(faults.contains(&fault), "{fault:?}");
        }
        assert!(faults.iter().any(|fault| matches!(fault, Fault::Late { .. })));
    }

    #[test]
    fn a_healed_store_fails_no_more() {
        let odds = Odds { answer_lost: 1000, snapshot: 1000, ..Odds::default() };
        let store = FaultyStore::seeded(Arc::new(MemoryStore::new()), 1, odds);
        assert_eq!(create(&store, "a"), Answer::Indeterminate);
        store.heal();
        assert_eq!(create(&store, "b"), Answer::Ok);
        assert!(block_on(store.snapshot()).is_ok());
    }
}
