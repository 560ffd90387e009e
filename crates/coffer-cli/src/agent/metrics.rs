//! What the agent has counted, as Prometheus reads it.
//!
//! Pure. Invariant: labels are words of the code; no name of a secret is among them.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use coffer_resolver::BreakerState;

use crate::agent::durations::{Durations, Fetches, STORES};
use crate::agent::values::Values;

/// The statuses that are counted apart.
const STATUSES: [u16; 8] = [200, 204, 400, 403, 404, 405, 429, 503];

/// What is counted of requests.
#[derive(Default)]
pub(crate) struct Requests {
    by_status: [AtomicU64; STATUSES.len()],
    pub(crate) strangers: AtomicU64,
    /// Of those that asked for a value, whatever came of it.
    pub(crate) durations: Durations,
}

impl Requests {
    /// A request was answered.
    pub(crate) fn count(&self, status: u16) {
        if let Some(counter) =
            STATUSES.iter().position(|known| *known == status).and_then(|at| self.by_status.get(at))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All counts.
pub(crate) fn text(requests: &Requests, fetches: &Fetches, values: &Values) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let mut family = |name: &str, kind: &str, help: &str, lines: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, number) in lines {
            let _ = writeln!(text, "{name}{labels} {number}");
        }
    };
    let plain = |number: u64| vec![(String::new(), number)];
    let by_status: Vec<(String, u64)> = STATUSES
        .iter()
        .zip(&requests.by_status)
        .map(|(status, counter)| (format!("{{status=\"{status}\"}}"), counter.load(Ordering::Relaxed)))
        .collect();
    family("coffer_agent_requests_total", "counter", "Requests answered, by status.", &by_status);
    let strangers = requests.strangers.load(Ordering::Relaxed);
    family(
        "coffer_agent_refused_peers_total",
        "counter",
        "Connections of users who may not connect.",
        &plain(strangers),
    );
    let counts = values.resolver.counts();
    for (name, help, number) in [
        ("hits", "Answers from what was there and fresh.", counts.hits),
        ("misses", "Answers that waited for a fetch.", counts.misses),
        ("stale", "Answers older than they should be, because a store can't be asked.", counts.stale),
        ("recalled", "Answers from the sealed file.", values.recalled.load(Ordering::Relaxed)),
        ("fetches", "Calls of stores, repeated ones too.", counts.fetches),
        ("failures", "Calls that failed.", counts.failures),
        ("kept_back", "Calls that a circuit breaker kept back.", counts.kept_back),
    ] {
        family(&format!("coffer_agent_{name}_total"), "counter", help, &plain(number));
    }
    let kept = u64::try_from(values.resolver.kept()).unwrap_or(u64::MAX);
    family("coffer_agent_documents", "gauge", "Documents in memory.", &plain(kept));
    let in_use = u64::try_from(values.in_use()).unwrap_or(u64::MAX);
    family("coffer_agent_kept_fresh", "gauge", "Secrets asked for within the hour.", &plain(in_use));
    let breakers: Vec<(String, u64)> = STORES
        .into_iter()
        .map(|scheme| {
            let state = match values.resolver.breaker(scheme) {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            (format!("{{provider=\"{scheme}\"}}"), state)
        })
        .collect();
    family(
        "coffer_agent_breaker",
        "gauge",
        "A provider's circuit breaker: 0 closed, 1 half open, 2 open.",
        &breakers,
    );
    let mut histogram = |name: &str, help: &str, all: &[(String, &Durations)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (label, durations) in all {
            durations.write(&mut text, name, label);
        }
    };
    histogram(
        "coffer_agent_request_duration_seconds",
        "How long requests for a value took, whatever came of them.",
        &[(String::new(), &requests.durations)],
    );
    let of_stores: Vec<(String, &Durations)> =
        fetches.by_store().map(|(store, durations)| (format!("provider=\"{store}\","), durations)).collect();
    histogram(
        "coffer_agent_fetch_duration_seconds",
        "How long calls of stores took, each for itself.",
        &of_stores,
    );
    text
}
