//! What is counted of connections, and all counts as Prometheus reads them.
//!
//! I/O: `/proc/self`, when asked. Invariant: labels are words of the code, so there is a bounded number of lines, and no
//! name or address that somebody chose is among them.

use std::fmt::{self, Display, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coffer_core::metrics::{CoreMetrics, Counter, DURATION_BOUNDS_MICROS, OperationMetrics};
use coffer_wire_aws::EarlyRefusal;

/// The text's content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted of connections.
pub(crate) struct ServerMetrics {
    pub(crate) accepted: Counter,
    /// Closed at once, because there were too many in all.
    pub(crate) refused: Counter,
    /// Closed at once, because there were too many from their source.
    pub(crate) source_refused: Counter,
    pub(crate) handshakes: Counter,
    handshakes_failed: Counter,
    handshakes_late: Counter,
    plain_on_tls: Counter,
    started: SystemTime,
}

impl ServerMetrics {
    pub(crate) fn new() -> Self {
        Self {
            accepted: Counter::default(),
            refused: Counter::default(),
            source_refused: Counter::default(),
            handshakes: Counter::default(),
            handshakes_failed: Counter::default(),
            handshakes_late: Counter::default(),
            plain_on_tls: Counter::default(),
            started: SystemTime::now(),
        }
    }

    /// A handshake that came to nothing.
    pub(crate) fn handshake_failed(&self, early: EarlyRefusal) {
        match early {
            EarlyRefusal::TooSlow => self.handshakes_late.add_one(),
            EarlyRefusal::PlainOnTlsPort => self.plain_on_tls.add_one(),
            _ => self.handshakes_failed.add_one(),
        }
    }
}

/// All counts, one look at them.
pub(crate) fn render(
    core: &CoreMetrics,
    is_ready: bool,
    server: &ServerMetrics,
    open: usize,
    certificate_end: Option<SystemTime>,
) -> String {
    let mut page = Page { text: String::with_capacity(16 * 1024) };
    page.family("coffer_build_info", "gauge", "Which coffer this is.");
    page.sample("coffer_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    page.one("coffer_ready", "gauge", "1 while requests are served.", u8::from(is_ready));

    operations(&mut page, &core.operations);
    let name = "coffer_authentication_failures_total";
    page.family(name, "counter", "Callers who were not believed, or asked too often.");
    for (why, count) in core.disbelief {
        page.sample(name, &[("reason", &why.as_str())], count);
    }
    page.one("coffer_refusals_total", "counter", "Requests that never became an operation.", core.refusals);

    page.one("coffer_connections_open", "gauge", "Open connections of the AWS door.", open);
    let accepted = server.accepted.total();
    page.one("coffer_connections_accepted_total", "counter", "Connections that were accepted.", accepted);
    let name = "coffer_connections_refused_total";
    page.family(
        name,
        "counter",
        "Connections that were closed at once: too many in all, or from one source.",
    );
    page.sample(name, &[("limit", &"all")], server.refused.total());
    page.sample(name, &[("limit", &"source")], server.source_refused.total());
    let name = "coffer_tls_handshakes_total";
    page.family(name, "counter", "TLS handshakes, by how they ended.");
    for (outcome, counter) in [
        ("ok", &server.handshakes),
        ("failed", &server.handshakes_failed),
        ("timeout", &server.handshakes_late),
        ("plain_http", &server.plain_on_tls),
    ] {
        page.sample(name, &[("outcome", &outcome)], counter.total());
    }
    if let Some(end) = certificate_end {
        let name = "coffer_tls_certificate_expiry_seconds";
        let help = "When the certificate that is shown ends, since 1970.";
        page.one(name, "gauge", help, end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    }

    page.one("coffer_cache_hits_total", "counter", "Records found in the cache.", core.cache_hits);
    page.one("coffer_cache_misses_total", "counter", "Records that had to be read.", core.cache_misses);
    if let Some(records) = core.outbox {
        page.one("coffer_outbox_records", "gauge", "Records of changes not in the audit log yet.", records);
    }
    let audit = &core.audit;
    let (written, synced) = (audit.written.sequence, audit.synced.sequence);
    page.one("coffer_audit_records", "gauge", "The newest record in the audit log, counted from 1.", written);
    page.one("coffer_audit_synced_records", "gauge", "The newest record that is on disk.", synced);
    page.one(
        "coffer_audit_segments_to_close",
        "gauge",
        "Full segments whose digest is still to be made.",
        audit.segments_to_close,
    );
    let failing = u8::from(audit.failure.is_some());
    page.one("coffer_audit_failing", "gauge", "1 while the audit log can't be written.", failing);
    let low = u8::from(audit.low_space);
    page.one("coffer_audit_low_space", "gauge", "1 while space for the audit log runs low.", low);
    if let Some(free) = audit.free_bytes {
        page.one("coffer_audit_free_bytes", "gauge", "Bytes free where the audit log is.", free);
    }

    let started = server.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    page.one("process_start_time_seconds", "gauge", "When the server started, since 1970.", started);
    let process = Process::look();
    if let Some(bytes) = process.resident_bytes {
        page.one("process_resident_memory_bytes", "gauge", "Resident memory.", bytes);
    }
    if let Some(open) = process.open_descriptors {
        page.one("process_open_fds", "gauge", "Open file descriptors.", open);
    }
    if let Some(most) = process.descriptors_max {
        page.one("process_max_fds", "gauge", "Most file descriptors that may be open.", most);
    }
    page.text
}

fn operations(page: &mut Page, operations: &[OperationMetrics]) {
    let name = "coffer_operations_total";
    page.family(name, "counter", "Operations, by how they ended.");
    for operation in operations {
        for (outcome, count) in operation.outcomes {
            page.sample(name, &[("operation", &operation.name), ("outcome", &outcome.as_str())], count);
        }
    }
    let name = "coffer_operation_duration_seconds";
    page.family(name, "histogram", "How long operations took, from decoded to recorded.");
    for operation in operations {
        let label = ("operation", &operation.name as &dyn Display);
        let mut count = 0;
        for (within, bound) in operation.durations.iter().zip(DURATION_BOUNDS_MICROS) {
            count += within;
            let bound = Duration::from_micros(bound).as_secs_f64();
            page.sample("coffer_operation_duration_seconds_bucket", &[label, ("le", &bound)], count);
        }
        count += operation.durations.last().copied().unwrap_or_default();
        page.sample("coffer_operation_duration_seconds_bucket", &[label, ("le", &"+Inf")], count);
        page.sample("coffer_operation_duration_seconds_sum", &[label], operation.duration.as_secs_f64());
        page.sample("coffer_operation_duration_seconds_count", &[label], count);
    }
}

/// A page in Prometheus' text format. Labels and values come from the code, so nothing needs escaping.
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.text.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{label}=\"{text}\""));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.write(format_args!("{end} {value}\n"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a String can't fail.
        let _ = self.text.write_fmt(text);
    }
}

/// What the kernel says of this process.
struct Process {
    resident_bytes: Option<u64>,
    open_descriptors: Option<usize>,
    descriptors_max: Option<u64>,
}

impl Process {
    fn look() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Self {
            resident_bytes: kib.map(|kib| kib * 1024),
            open_descriptors: std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            descriptors_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_expects() {
        let mut page = Page { text: String::new() };
        page.one("a", "gauge", "Of a.", 1);
        page.family("b_total", "counter", "Of b.");
        page.sample("b_total", &[("x", &"y"), ("le", &0.000_025)], 2);
        assert_eq!(
            page.text,
            "# HELP a Of a.\n# TYPE a gauge\na 1\n# HELP b_total Of b.\n# TYPE b_total counter\nb_total{x=\"y\",le=\"0.000025\"} 2\n"
        );
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        let process = Process::look();
        assert!(process.resident_bytes.unwrap() > 100_000);
        assert!(process.open_descriptors.unwrap() > 2);
        assert!(process.descriptors_max.unwrap() > 10);
    }
}
