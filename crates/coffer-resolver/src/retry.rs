//! When to ask again: exponential back-off with full jitter, within a budget of time.
//!
//! Pure.

use std::time::Duration;

/// How often and how soon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// At most this many times in all.
    pub attempts_max: u32,
    /// What the first wait is drawn from; it doubles with each.
    pub base: Duration,
    /// No wait is drawn from more than this.
    pub wait_max: Duration,
    /// All attempts and waits together.
    pub budget: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            base: Duration::from_millis(100),
            wait_max: Duration::from_secs(5),
            budget: Duration::from_secs(10),
        }
    }
}

impl Retry {
    /// How long to wait after so many attempts, `spent` being all the time they took; `None` to give up.
    ///
    /// `chance` is from 0 up to 1. What the store asked for is the least; if that doesn't fit the budget, it is not
    /// waited for.
    pub fn wait(
        &self,
        attempts: u32,
        spent: Duration,
        asked_for: Option<Duration>,
        chance: f64,
    ) -> Option<Duration> {
        if attempts >= self.attempts_max {
            return None;
        }
        let doubled =
            self.base.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        let drawn = doubled.min(self.wait_max).mul_f64(chance.clamp(0.0, 1.0));
        let wait = drawn.max(asked_for.unwrap_or_default());
        (spent.saturating_add(wait) < self.budget).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn waits() {
        let retry = Retry { attempts_max: 5, base: millis(100), wait_max: millis(500), budget: millis(2000) };
        for (attempts, spent, asked_for, chance, expected) in [
            (1, 0, None, 0.0, Some(0)),
            (1, 0, None, 0.5, Some(50)),
            (2, 0, None, 0.5, Some(100)),
            (3, 0, None, 1.0, Some(400)),
            (4, 0, None, 1.0, Some(500)),
            (5, 0, None, 0.0, None),
            (1, 1999, None, 0.0, Some(0)),
            (1, 2000, None, 0.0, None),
            (1, 0, Some(1000), 0.5, Some(1000)),
            (1, 0, Some(2000), 0.5, None),
            (1, 0, Some(0), 0.5, Some(50)),
        ] {
            let wait = retry.wait(attempts, millis(spent), asked_for.map(millis), chance);
            assert_eq!(wait, expected.map(millis), "{attempts} {spent} {asked_for:?} {chance}");
        }
    }

    proptest! {
        #[test]
        fn no_wait_goes_past_the_budget_and_asking_ends(chances in prop::collection::vec(0.0f64..1.0, 64), hint in prop::option::of(0u64..3000)) {
            let retry = Retry::default();
            let (mut spent, mut attempts) = (Duration::ZERO, 1);
            for chance in chances {
                match retry.wait(attempts, spent, hint.map(millis), chance) {
                    None => break,
                    Some(wait) => {
                        prop_assert!(wait >= hint.map(millis).unwrap_or_default());
                        spent += wait;
                        attempts += 1;
                    }
                }
            }
            prop_assert!(attempts <= retry.attempts_max);
            prop_assert!(spent < retry.budget);
        }
    }
}
