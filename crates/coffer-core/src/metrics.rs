//! Counts of what core does, for whoever looks at a running server.
//!
//! No I/O. Invariants: what tells counts apart is written in the code (operations, outcomes), never a name that somebody
//! chose, so there is a bounded number of them; and counting waits for nobody: each of the first threads has cells of its
//! own, in which adding is a load and a store.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::{AuthenticationError, Core, Error, IamError, WebIdentityError};

/// Cells of each count. All but the last belong to one thread each; that one is for all further threads.
const SHARDS: usize = 16;
/// Room for operations by name; there are fewer than half as many.
const OPERATIONS_MAX: usize = 256;

/// Upper ends of the durations told apart, in microseconds.
pub const DURATION_BOUNDS_MICROS: [u64; 12] =
    [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done.
    Ok,
    /// Not allowed.
    Denied,
    /// It was about something that is not there.
    NotFound,
    /// It made no sense, or a limit or another's change was in its way.
    Refused,
    /// coffer could not.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Denied, Self::NotFound, Self::Refused, Self::Failed];

    /// As a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        match error {
            Error::SecretNotFound | Error::ValueNotFound(_) | Error::VersionNotFound(_) => Self::NotFound,
            Error::Iam(IamError::NoSuchEntity(_)) => Self::NotFound,
            Error::Denied(_) | Error::Iam(IamError::NotTrusted(_)) => Self::Denied,
            Error::Unavailable(_) | Error::DecryptionFailure => Self::Failed,
            Error::SecretExists(_)
            | Error::TokenInUse { .. }
            | Error::MarkedForDeletion { .. }
            | Error::NameScheduledForDeletion
            | Error::AlreadyScheduledForDeletion
            | Error::StageNotOnVersion
            | Error::StageElsewhere { .. }
            | Error::StageNotThere { .. }
            | Error::CurrentCannotBeRemoved
            | Error::LimitExceeded(_)
            | Error::InvalidParameter(_)
            | Error::InvalidRequest(_)
            | Error::InvalidNextToken
            | Error::EncryptionFailure
            | Error::Iam(
                IamError::EntityAlreadyExists(_)
                | IamError::DeleteConflict(_)
                | IamError::ConcurrentModification(_)
                | IamError::MalformedPolicyDocument(_)
                | IamError::InvalidInput(_)
                | IamError::LimitExceeded(_)
                | IamError::PackedPolicyTooLarge(_)
                | IamError::InvalidAuthorizationMessage
                | IamError::NotForSessions(_),
            )
            | Error::Busy => Self::Refused,
        }
    }
}

/// Why a caller was not believed, as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disbelief {
    /// No such key.
    UnknownKey,
    /// Another key, another request, or another token than ours.
    WrongSignature,
    /// Signed too long ago or ahead.
    ClockSkew,
    /// Another user of the machine.
    NotOwner,
    /// Believed, but too often.
    RateExceeded,
    /// coffer could not look.
    Unavailable,
}

impl Disbelief {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::UnknownKey,
        Self::WrongSignature,
        Self::ClockSkew,
        Self::NotOwner,
        Self::RateExceeded,
        Self::Unavailable,
    ];

    /// As a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::WrongSignature => "wrong_signature",
            Self::ClockSkew => "clock_skew",
            Self::NotOwner => "not_owner",
            Self::RateExceeded => "rate_exceeded",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<&AuthenticationError> for Disbelief {
    fn from(error: &AuthenticationError) -> Self {
        match error {
            AuthenticationError::WebIdentity(error) => match error {
                WebIdentityError::NoProvider | WebIdentityError::NoVerificationKey => Self::UnknownKey,
                WebIdentityError::Expired { .. } | WebIdentityError::NotYet => Self::ClockSkew,
                WebIdentityError::IssuerUnreachable => Self::Unavailable,
                WebIdentityError::NoToken
                | WebIdentityError::Issuer
                | WebIdentityError::Signature
                | WebIdentityError::Claim(_)
                | WebIdentityError::Audience => Self::WrongSignature,
            },
            AuthenticationError::UnknownAccessKey => Self::UnknownKey,
            AuthenticationError::InvalidSessionToken | AuthenticationError::WrongSignature => {
                Self::WrongSignature
            }
            AuthenticationError::Expired { .. }
            | AuthenticationError::ExpiredToken
            | AuthenticationError::NotYetCurrent { .. } => Self::ClockSkew,
            AuthenticationError::NotOwner { .. } => Self::NotOwner,
            AuthenticationError::RateExceeded => Self::RateExceeded,
            AuthenticationError::Unavailable => Self::Unavailable,
        }
    }
}

/// A count that threads add to without waiting for each other.
#[derive(Default)]
pub struct Counter {
    shards: [Padded; SHARDS],
}

#[derive(Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl Counter {
    /// One more.
    #[inline]
    pub fn add_one(&self) {
        let shard = shard();
        add(&self.shards[shard].0, shard, 1);
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.shards.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum()
    }
}

/// What is counted of core.
#[derive(Default)]
pub(crate) struct Metrics {
    operations: OperationTable,
    disbelief: [Counter; Disbelief::ALL.len()],
    pub(crate) refusals: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) cache_misses: Counter,
}

impl Metrics {
    /// An operation has ended.
    #[inline]
    pub(crate) fn count(&self, operation: &'static str, outcome: Outcome, duration: Duration) {
        if let Some(counts) = self.operations.of(operation) {
            let shard = shard();
            counts.shards[shard].count(shard, outcome, duration);
        }
    }

    /// A caller was not believed.
    pub(crate) fn disbelieve(&self, error: &AuthenticationError) {
        self.disbelief[Disbelief::from(error) as usize].add_one();
    }
}

/// Counts by operation: an open hash table that only grows.
struct OperationTable {
    slots: Box<[OnceLock<Slot>]>,
}

/// An operation's name and its counts.
type Slot = (&'static str, Box<OperationCounts>);

impl Default for OperationTable {
    fn default() -> Self {
        Self { slots: (0..OPERATIONS_MAX).map(|_| OnceLock::new()).collect() }
    }
}

impl OperationTable {
    /// The counts of an operation; `None` if there are more operations than the table has room for.
    #[inline]
    fn of(&self, operation: &'static str) -> Option<&OperationCounts> {
        let begin = hash(operation);
        for step in 0..OPERATIONS_MAX {
            let slot = &self.slots[(begin + step) % OPERATIONS_MAX];
            let (known, counts) = slot.get_or_init(|| (operation, Box::default()));
            if *known == operation {
                return Some(counts);
            }
        }
        None
    }
}

/// Names differ in length and at their ends.
fn hash(name: &str) -> usize {
    let bytes = name.as_bytes();
    let at = |index: usize| bytes.get(index).copied().map_or(0, usize::from);
    let last = bytes.len().saturating_sub(1);
    (bytes.len() * 31 + at(0) * 7 + at(last) * 13 + at(last / 2) * 3) % OPERATIONS_MAX
}

#[derive(Default)]
struct OperationCounts {
    shards: [OperationShard; SHARDS],
}

#[derive(Default)]
#[repr(align(128))]
struct OperationShard {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// By the bounds, and one for what took longer.
    durations: [AtomicU64; DURATION_BOUNDS_MICROS.len() + 1],
    nanos: AtomicU64,
}

impl OperationShard {
    #[inline]
    fn count(&self, shard: usize, outcome: Outcome, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bound = DURATION_BOUNDS_MICROS.iter().position(|&micros| nanos <= micros * 1000);
        add(&self.outcomes[outcome as usize], shard, 1);
        add(&self.durations[bound.unwrap_or(DURATION_BOUNDS_MICROS.len())], shard, 1);
        add(&self.nanos, shard, nanos);
    }
}

thread_local! {
    /// Which cells are this thread's.
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[inline]
fn shard() -> usize {
    SHARD.with(|known| {
        if known.get() == usize::MAX {
            static THREADS: AtomicUsize = AtomicUsize::new(0);
            known.set(THREADS.fetch_add(1, Ordering::Relaxed).min(SHARDS - 1));
        }
        known.get()
    })
}

/// Adds to a cell of this thread's shard. What no other thread writes needs no locked instruction.
#[inline]
fn add(cell: &AtomicU64, shard: usize, more: u64) {
    if shard < SHARDS - 1 {
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    } else {
        cell.fetch_add(more, Ordering::Relaxed);
    }
}

/// What was counted, and how core is doing: one look.
#[derive(Clone, Debug)]
pub struct CoreMetrics {
    /// By operation, in the order of their names.
    pub operations: Vec<OperationMetrics>,
    /// Callers who were not believed, by why.
    pub disbelief: [(Disbelief, u64); Disbelief::ALL.len()],
    /// Requests that never became an operation.
    pub refusals: u64,
    /// Records found in the cache.
    pub cache_hits: u64,
    /// Records that had to be read.
    pub cache_misses: u64,
    /// Records of changes that are not in the audit log yet, as the store holds them; `None` if it can't be read.
    pub outbox: Option<u64>,
    /// The audit log.
    pub audit: coffer_audit::AuditHealth,
}

/// What was counted of an operation.
#[derive(Clone, Debug)]
pub struct OperationMetrics {
    /// Its name.
    pub name: &'static str,
    /// How often it ended how.
    pub outcomes: [(Outcome, u64); Outcome::ALL.len()],
    /// How often it took longer than the bound before and no longer than this one; last, longer than all.
    pub durations: [u64; DURATION_BOUNDS_MICROS.len() + 1],
    /// How long all took together.
    pub duration: Duration,
}

impl Core {
    /// What was counted so far, and how core is doing. Cheap enough for every second.
    pub async fn metrics(&self) -> CoreMetrics {
        let inner = self.inner();
        let metrics = &inner.metrics;
        let mut operations: Vec<_> = metrics
            .operations
            .slots
            .iter()
            .filter_map(OnceLock::get)
            .map(|(name, counts)| counts.look(name))
            .collect();
        operations.sort_by_key(|operation| operation.name);
        CoreMetrics {
            operations,
            disbelief: Disbelief::ALL.map(|why| (why, metrics.disbelief[why as usize].total())),
            refusals: metrics.refusals.total(),
            cache_hits: metrics.cache_hits.total(),
            cache_misses: metrics.cache_misses.total(),
            outbox: inner.undrained_records().await.ok(),
            audit: inner.audit.health(),
        }
    }

    /// Whether requests are served; if not, why not, in public words.
    pub fn is_ready(&self) -> Result<(), Error> {
        self.inner().refuse_if_unsafe()
    }
}

impl OperationCounts {
    fn look(&self, name: &'static str) -> OperationMetrics {
        let sum = |of: &dyn Fn(&OperationShard) -> &AtomicU64| -> u64 {
            self.shards.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum()
        };
        OperationMetrics {
            name,
            outcomes: Outcome::ALL.map(|outcome| (outcome, sum(&|shard| &shard.outcomes[outcome as usize]))),
            durations: std::array::from_fn(|bound| sum(&|shard| &shard.durations[bound])),
            duration: Duration::from_nanos(sum(&|shard| &shard.nanos)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_whose_names_collide_are_told_apart() {
        const NAMES: [&str; 6] = ["GetSecretValue", "GetSecretValve", "a", "b", "", "PutSecretValue"];
        let table = OperationTable::default();
        for (round, name) in NAMES.iter().cycle().take(60).enumerate() {
            let (shard, counts) = (round % SHARDS, table.of(name).unwrap());
            counts.shards[shard].count(shard, Outcome::Ok, Duration::from_micros(1));
        }
        for name in NAMES {
            assert_eq!(table.of(name).unwrap().look(name).outcomes[0], (Outcome::Ok, 10), "{name}");
        }
    }

    #[test]
    fn a_full_table_counts_no_more_and_does_no_harm() {
        let table = OperationTable::default();
        let names: Vec<&'static str> =
            (0..OPERATIONS_MAX + 1).map(|number| &*number.to_string().leak()).collect();
        let counted = names.iter().filter(|name| table.of(name).is_some()).count();
        assert_eq!(counted, OPERATIONS_MAX);
    }

    #[test]
    fn durations_fall_where_they_belong() {
        let counts = OperationCounts::default();
        for (nanos, bound) in [
            (0, 0),
            (25_000, 0),
            (25_001, 1),
            (1_000_000, 5),
            (1_000_001, 6),
            (1_000_000_000, 11),
            (1_000_000_001, 12),
        ] {
            let before = counts.look("a").durations[bound];
            counts.shards[0].count(0, Outcome::Ok, Duration::from_nanos(nanos));
            assert_eq!(counts.look("a").durations[bound], before + 1, "{nanos}");
        }
        assert_eq!(counts.look("a").duration.as_nanos(), 2_002_050_003);
    }

    #[test]
    fn threads_lose_no_count() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add_one()));
            }
        });
        assert_eq!(counter.total(), 2 * SHARDS as u64 * 10_000);
    }
}
