//! How often a principal may ask: a bucket of tokens for each, in a table of bounded size.
//!
//! Pure: given the time. Invariants: whoever asks no more often than the rate is never refused; the table holds at
//! most [`PRINCIPALS_MAX`] buckets, and what has no room there shares one.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use coffer_types::Timestamp;

/// Principals told apart; all others share a bucket.
const PRINCIPALS_MAX: usize = 16 * 1024;
/// Parts of the table, each with a lock of its own.
const PARTS: usize = 16;
const MILLI: i64 = 1000;

/// Counts what each principal asks for, against one rate.
pub(crate) struct RateLimiter {
    a_second: i64,
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
}

#[derive(Default)]
struct Part {
    buckets: HashMap<String, Bucket>,
    shared: Option<Bucket>,
}

/// In thousandths of a token.
struct Bucket {
    millitokens: i64,
    updated: Timestamp,
}

impl RateLimiter {
    /// So many requests a second, and so many at once.
    pub(crate) fn new(a_second: NonZeroU32) -> Self {
        Self {
            a_second: i64::from(a_second.get()),
            parts: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// Takes a principal's token for one request; whether there was one.
    pub(crate) fn take(&self, principal: &str, now: Timestamp) -> bool {
        let part = self.hasher.hash_one(principal) as usize % PARTS;
        let mut part = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = part.buckets.get_mut(principal) {
            return bucket.take(self.a_second, now);
        }
        if part.buckets.len() >= PRINCIPALS_MAX / PARTS {
            let a_second = self.a_second;
            // Who has a full bucket is as if never seen.
            part.buckets.retain(|_, bucket| !bucket.is_full(a_second, now));
        }
        if part.buckets.len() >= PRINCIPALS_MAX / PARTS {
            let shared = part.shared.get_or_insert_with(|| Bucket::full(self.a_second, now));
            return shared.take(self.a_second, now);
        }
        let mut bucket = Bucket::full(self.a_second, now);
        let taken = bucket.take(self.a_second, now);
        part.buckets.insert(principal.to_owned(), bucket);
        taken
    }
}

impl Bucket {
    fn full(a_second: i64, now: Timestamp) -> Self {
        Self { millitokens: a_second * MILLI, updated: now }
    }

    /// A clock that was set back brings nothing, and takes nothing.
    fn refill(&mut self, a_second: i64, now: Timestamp) {
        let millis = now.millis_since(self.updated).clamp(0, MILLI);
        self.millitokens = (self.millitokens + millis * a_second).min(a_second * MILLI);
        self.updated = now;
    }

    fn is_full(&mut self, a_second: i64, now: Timestamp) -> bool {
        self.refill(a_second, now);
        self.millitokens == a_second * MILLI
    }

    fn take(&mut self, a_second: i64, now: Timestamp) -> bool {
        self.refill(a_second, now);
        let there = self.millitokens >= MILLI;
        if there {
            self.millitokens -= MILLI;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn limiter(a_second: u32) -> RateLimiter {
        RateLimiter::new(NonZeroU32::new(a_second).unwrap())
    }

    /// How many of `count` requests at one moment are let through.
    fn let_through(limiter: &RateLimiter, principal: &str, count: usize, now: Timestamp) -> usize {
        (0..count).filter(|_| limiter.take(principal, now)).count()
    }

    #[test]
    fn as_many_at_once_as_a_second_has_and_then_at_the_rate() {
        let limiter = limiter(10);
        for (millis, asked, expected) in [
            (0, 11, 10),
            (99, 1, 0),
            (100, 2, 1),
            (600, 9, 5),
            (60_000, 20, 10),
            // Set back, and forth again.
            (0, 1, 0),
            (100, 5, 1),
        ] {
            assert_eq!(let_through(&limiter, "a", asked, at(millis)), expected, "{millis}");
        }
    }

    #[test]
    fn at_the_rate_nobody_is_refused() {
        for a_second in [1, 3, 7, 1000] {
            let limiter = limiter(a_second);
            for request in 0..5 * i64::from(a_second) {
                let now = at((request * 1000 + i64::from(a_second) - 1) / i64::from(a_second));
                assert!(limiter.take("a", now), "{a_second} {request}");
            }
        }
    }

    #[test]
    fn one_principal_does_not_use_up_anothers() {
        let limiter = limiter(1);
        assert_eq!(let_through(&limiter, "a", 5, at(0)), 1);
        assert_eq!(let_through(&limiter, "b", 5, at(0)), 1);
    }

    #[test]
    fn the_table_is_bounded_and_those_who_are_quiet_make_room() {
        let limiter = limiter(1);
        let held = || limiter.parts.iter().map(|part| part.lock().unwrap().buckets.len()).sum::<usize>();
        for number in 0..2 * PRINCIPALS_MAX {
            limiter.take(&number.to_string(), at(0));
        }
        assert_eq!(held(), PRINCIPALS_MAX);
        assert_eq!(let_through(&limiter, "late", 5, at(0)), 0, "its shared bucket is empty");
        assert_eq!(let_through(&limiter, "late", 5, at(1000)), 1);
        assert!(held() < PRINCIPALS_MAX);
    }
}
