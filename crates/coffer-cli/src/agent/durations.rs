//! How long things took: counts by bounds that never change, as Prometheus reads a histogram.
//!
//! I/O: none; the observer is handed what was measured. Invariant: labels are words of the code, so their number has a bound.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coffer_resolver::{Call, Observer, Scheme};

use crate::agent::log::Log;

/// Upper bounds in microseconds: an answer from memory is in the first ones, a budget that ran out in the last.
const BOUNDS_MICROS: [u64; 11] =
    [50, 200, 1_000, 5_000, 25_000, 100_000, 250_000, 1_000_000, 2_500_000, 5_000_000, 11_000_000];

/// The stores whose calls are timed; what is on this machine is not.
pub(crate) const STORES: [Scheme; 5] =
    [Scheme::Aws, Scheme::Gcp, Scheme::Vault, Scheme::Coffer, Scheme::Exec];

/// How long one kind of thing took.
#[derive(Default)]
pub(crate) struct Durations {
    /// By bound; the last ones took longer than all of them.
    within: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Durations {
    pub(crate) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        if let Some(counter) = self.within.get(at) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The lines of the histogram `name`; `label` comes before the bound, such as `provider="aws",`.
    pub(crate) fn write(&self, text: &mut String, name: &str, label: &str) {
        let bounds =
            BOUNDS_MICROS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64().to_string());
        let mut count = 0;
        // Writing to a String can't fail.
        for (bound, counter) in bounds.chain(["+Inf".to_owned()]).zip(&self.within) {
            count += counter.load(Ordering::Relaxed);
            let _ = writeln!(text, "{name}_bucket{{{label}le=\"{bound}\"}} {count}");
        }
        let sum = Duration::from_micros(self.sum_micros.load(Ordering::Relaxed)).as_secs_f64();
        let label = label.trim_end_matches(',');
        let label = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        let _ = writeln!(text, "{name}_sum{label} {sum}\n{name}_count{label} {count}");
    }
}

/// Hears of every call of a store: times it, and writes it down.
pub(crate) struct Fetches {
    by_store: [Durations; STORES.len()],
    log: Log,
}

impl Fetches {
    pub(crate) fn new(log: Log) -> Arc<Self> {
        Arc::new(Self { by_store: Default::default(), log })
    }

    /// All stores, and how long their calls took.
    pub(crate) fn by_store(&self) -> impl Iterator<Item = (Scheme, &Durations)> {
        STORES.into_iter().zip(&self.by_store)
    }
}

impl Observer for Fetches {
    fn called(&self, call: &Call<'_>) {
        let of = self.by_store().find(|(store, _)| *store == call.document.scheme());
        if let Some((_, durations)) = of {
            durations.add(call.took);
        }
        self.log.called(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_within_its_bounds() {
        let durations = Durations::default();
        for micros in [0, 50, 51, 1_000, 24_999, 11_000_000, 11_000_001] {
            durations.add(Duration::from_micros(micros));
        }
        let mut text = String::new();
        durations.write(&mut text, "x", "provider=\"aws\",");
        assert_eq!(
            text,
            r#"x_bucket{provider="aws",le="0.00005"} 2
x_bucket{provider="aws",le="0.0002"} 3
x_bucket{provider="aws",le="0.001"} 4
x_bucket{provider="aws",le="0.005"} 4
x_bucket{provider="aws",le="0.025"} 5
x_bucket{provider="aws",le="0.1"} 5
x_bucket{provider="aws",le="0.25"} 5
x_bucket{provider="aws",le="1"} 5
x_bucket{provider="aws",le="2.5"} 5
x_bucket{provider="aws",le="5"} 5
x_bucket{provider="aws",le="11"} 6
x_bucket{provider="aws",le="+Inf"} 7
x_sum{provider="aws"} 22.026101
x_count{provider="aws"} 7
"#
        );
        text.clear();
        durations.write(&mut text, "x", "");
        assert!(text.starts_with("x_bucket{le=\"0.00005\"} 2\n") && text.ends_with("x_count 7\n"), "{text}");
    }
}
