//! What core is given instead of taking it: the time, and a way to run something to its end.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use coffer_store::BoxFuture;
use coffer_types::Timestamp;

/// Tells the time. A seam: the system's clock here, a settable one in tests.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Time to measure durations with, from any beginning.
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now().as_millis().try_into().unwrap_or_default())
    }
}

/// The system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock set before 1970 reads as 1970; no request is then signed at an acceptable time.
        let since_1970 =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGINNING.elapsed()
    }
}

/// Runs a future to its end even if whoever waits for it goes away. Core depends on no runtime; whoever has one
/// gives this.
pub trait Spawn: Send + Sync + 'static {
    /// Starts it.
    fn spawn(&self, future: BoxFuture<'static, ()>);
}
