//! The circuit breaker of one provider: after repeated failures it is left alone for a while.
//!
//! Pure: the clock is given. Closed, open, half-open, with one probe at a time.

use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerPolicy {
    /// Opens after so many transient failures on end.
    pub failures_max: u32,
    /// How long it is open the first time; it doubles with each failed probe.
    pub open_for: Duration,
    /// The longest it is open.
    pub open_max: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures_max: 5, open_for: Duration::from_secs(5), open_max: Duration::from_secs(60) }
    }
}

/// A circuit breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    state: State,
}

/// What a breaker is, as metrics say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// Everything is let through.
    Closed,
    /// Nothing is.
    Open,
    /// One call is, to see whether the provider is back.
    HalfOpen,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, open_for: Duration },
    Probing { since: Duration, open_for: Duration },
}

impl Breaker {
    /// A closed one.
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed { failures: 0 } }
    }

    /// Whether to call the provider now. A `true` is to be followed by `succeeded` or `failed`; a probe that is not, is
    /// given up on after as long as the breaker was open.
    pub(crate) fn lets_through(&mut self, now: Duration) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, open_for } if now >= until => {
                self.state = State::Probing { since: now, open_for };
                true
            }
            State::Open { .. } => false,
            State::Probing { since, open_for } if now >= since.saturating_add(open_for) => {
                self.state = State::Probing { since: now, open_for };
                true
            }
            State::Probing { .. } => false,
        }
    }

    /// The provider answered; that it has not what was asked for is an answer too.
    pub(crate) fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// The provider did not answer, or said that it can't.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < self.policy.failures_max => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => self.open(now, self.policy.open_for),
            // A call from before it opened says nothing new.
            State::Open { until, open_for } => State::Open { until, open_for },
            State::Probing { open_for, .. } => self.open(now, open_for.saturating_mul(2)),
        };
    }

    /// How long it will let nothing through, if it doesn't now.
    pub(crate) fn left(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until, .. } => Some(until.saturating_sub(now)),
            State::Probing { since, open_for } => Some(since.saturating_add(open_for).saturating_sub(now)),
        }
    }

    /// Its state.
    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    fn open(&self, now: Duration, open_for: Duration) -> State {
        let open_for = open_for.min(self.policy.open_max);
        State::Open { until: now.saturating_add(open_for), open_for }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures_max: 3,
        open_for: Duration::from_secs(5),
        open_max: Duration::from_secs(15),
    };

    #[derive(Clone, Debug)]
    enum Step {
        Pass(u64),
        Call,
        Succeed,
        Fail,
    }

    /// A breaker as the whole history of what happened to it, read anew for every question.
    #[derive(Default)]
    struct Naive(Vec<(u64, Event)>);

    #[derive(Clone, Copy, PartialEq)]
    enum Event {
        Let,
        Succeed,
        Fail,
    }

    impl Naive {
        /// Whether it would let a call through at `now`, and whether that is a probe.
        fn lets(&self, now: u64) -> (bool, bool) {
            let after = self.0.iter().rposition(|(_, event)| *event == Event::Succeed).map_or(0, |at| at + 1);
            // (closed failures, open since, length, probe since)
            let (mut failures, mut open): (u32, Option<(u64, u64, Option<u64>)>) = (0, None);
            for (time, event) in &self.0[after..] {
                match (event, open) {
                    (Event::Fail, None) => {
                        failures += 1;
                        open = (failures == 3).then_some((*time, 5, None));
                    }
                    (Event::Fail, Some((_, length, Some(_)))) => {
                        open = Some((*time, (length * 2).min(15), None))
                    }
                    (Event::Let, Some((since, length, _))) => open = Some((since, length, Some(*time))),
                    _ => {}
                }
            }
            match open {
                None => (true, false),
                Some((since, length, None)) => (now >= since + length, true),
                Some((_, length, Some(probe))) => (now >= probe + length, true),
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_naive_one(steps in prop::collection::vec(prop_oneof![
            (0u64..8).prop_map(Step::Pass), Just(Step::Call), Just(Step::Succeed), Just(Step::Fail), Just(Step::Fail),
        ], 0..60)) {
            let (mut breaker, mut naive, mut now) = (Breaker::new(POLICY), Naive::default(), 0);
            for step in steps {
                let time = Duration::from_secs(now);
                match step {
                    Step::Pass(seconds) => now += seconds,
                    Step::Call => {
                        let (lets, is_probe) = naive.lets(now);
                        prop_assert_eq!(breaker.lets_through(time), lets);
                        if lets && is_probe {
                            naive.0.push((now, Event::Let));
                        }
                    }
                    Step::Succeed => {
                        breaker.succeeded();
                        naive.0.push((now, Event::Succeed));
                    }
                    Step::Fail => {
                        breaker.failed(time);
                        naive.0.push((now, Event::Fail));
                    }
                }
            }
        }
    }

    #[test]
    fn one_life() {
        let at = Duration::from_secs;
        let mut breaker = Breaker::new(POLICY);
        for _ in 0..2 {
            breaker.failed(at(0));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.failed(at(0));
        assert_eq!((breaker.state(), breaker.left(at(1))), (BreakerState::Open, Some(at(4))));
        assert!(!breaker.lets_through(at(4)));
        assert!(breaker.lets_through(at(5)));
        assert!(!breaker.lets_through(at(5)), "one probe at a time");
        breaker.failed(at(6));
        assert!(!breaker.lets_through(at(15)), "twice as long");
        assert!(breaker.lets_through(at(16)));
        breaker.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
