//! Time that runs on, and may be made up.
//!
//! I/O: reads the machine's clock. It counts the time a machine sleeps, so that a value is not fresh after a night.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A clock.
pub trait Clock: Send + Sync {
    /// Time since some beginning; never goes back.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// A number from 0 up to 1 that nobody can foresee well enough to do the same at the same time.
    fn chance(&self) -> f64;
}

/// The machine's.
pub struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Duration {
        Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn chance(&self) -> f64 {
        use std::hash::{BuildHasher as _, RandomState};
        // Spreads callers; nothing secret hangs on it, so the map's own seed is random enough.
        let number = RandomState::new().hash_one(self.now());
        (number >> 11) as f64 / (1u64 << 53) as f64
    }
}
