//! A clock that stands still until told otherwise.

use std::sync::atomic::{AtomicI64, Ordering};

use coffer_core::Clock;
use coffer_types::Timestamp;

/// A settable clock. It begins at 2026-11-22T10:30:00Z.
pub struct TestClock(AtomicI64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_795_343_400_000))
    }
}

impl TestClock {
    /// Lets time pass.
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
