//! Lines of JSON about requests and fetches, for whoever looks after the machine.
//!
//! I/O: standard error. Invariant: names and outcomes, never a value. A fetch's id is that of the request that
//! set it off, and stands in the store's own record where that has room for it.

use std::io::Write as _;
use std::time::Duration;

use coffer_resolver::{Call, CorrelationId, Observer};
use serde_json::{Value, json};

/// Writes lines, or nothing.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    pub(crate) is_on: bool,
}

impl Log {
    /// A line; `entry` is an object.
    fn line(self, entry: &Value) {
        if self.is_on {
            // There is nowhere left to say that standard error can't be written.
            let _ = writeln!(std::io::stderr().lock(), "{entry}");
        }
    }

    /// A request was answered. `id` is what the client called it, or was given for want of that.
    pub(crate) fn request(
        self,
        id: &CorrelationId,
        secret: &str,
        status: u16,
        stale: Option<Duration>,
        took: Duration,
    ) {
        if !self.is_on {
            return;
        }
        self.line(&json!({
            "event": "request",
            "time": crate::output::now().to_string(),
            "request_id": id.as_str(),
            "secret": secret,
            "status": status,
            "stale_seconds": stale.map(|age| age.as_secs()),
            "micros": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }));
    }
}

impl Observer for Log {
    fn called(&self, call: &Call<'_>) {
        self.line(&json!({
            "event": "fetch",
            "time": crate::output::now().to_string(),
            "fetch_id": call.id.as_str(),
            "document": call.document.to_string(),
            "attempt": call.attempt,
            "outcome": call.result.err().map_or("ok", |error| error.kind().as_str()),
            "version_id": call.result.ok().and_then(|facts| facts.version_id.as_deref()),
            "micros": u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX),
        }));
    }
}
