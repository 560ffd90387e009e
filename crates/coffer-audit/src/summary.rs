//! What is recorded of strangers' refusals: all of them up to a rate, then counts.
//!
//! Pure: given the time. Invariants: memory is bounded by `SOURCES_MAX` sources; between two calls of
//! [`RefusalMeter::drain`] a minute costs at most the full records the rate admits, `FLOODS_A_MINUTE` records
//! that a flood began, and `SUMMARIES_A_MINUTE` summaries, each of at most 1 KiB.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use coffer_types::Timestamp;

use crate::{EventId, EventType, Record, UserIdentity};

/// Sources told apart within a minute; all others are counted together.
const SOURCES_MAX: usize = 1024;
/// Kinds of error told apart for each source; all others are counted together.
const KINDS_MAX: usize = 16;
/// Records that a flood began, a minute.
const FLOODS_A_MINUTE: u32 = 8;
/// Summaries a minute.
const SUMMARIES_A_MINUTE: usize = 32;

const BURST: i64 = 50;
const OVERALL_A_SECOND: i64 = 2;
const SOURCE_A_SECOND: i64 = 1;
/// Summaries that wait to be drained; beyond it the oldest are merged.
const FINISHED_MAX: usize = SUMMARIES_A_MINUTE * 4;
const MINUTE_MILLIS: i64 = 60_000;

/// Where refusals came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RefusalSource {
    /// One address.
    Address(IpAddr),
    /// All addresses beyond those told apart.
    Other,
}

impl fmt::Display for RefusalSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Other => f.write_str("other"),
        }
    }
}

/// What to do with a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Record it in full.
    Record,
    /// It was counted; record that a flood began.
    FloodBegan(FloodBegan),
    /// It was counted. Nothing more.
    Counted,
}

/// The first refusal of a source in a minute that was only counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FloodBegan {
    /// Where from.
    pub source: RefusalSource,
    /// The error's code.
    pub kind: &'static str,
    /// When.
    pub time: Timestamp,
}

/// Refusals of one source and kind in one minute that were only counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusalSummary {
    /// Where from.
    pub source: RefusalSource,
    /// The error's code; `other` where several are counted together.
    pub kind: &'static str,
    /// The beginning of the minute; of the first, where several were merged.
    pub minute: Timestamp,
    /// How many.
    pub count: u64,
    /// How many pairs of source and kind are counted together here.
    pub merged: u64,
}

/// Decides which refusals are recorded, and counts the others.
#[derive(Debug)]
pub struct RefusalMeter {
    overall: Bucket,
    other: Bucket,
    sources: HashMap<IpAddr, SourceState>,
    other_counts: Counts,
    minute: i64,
    floods: u32,
    finished: Vec<RefusalSummary>,
}

#[derive(Debug)]
struct SourceState {
    bucket: Bucket,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    kinds: Vec<(&'static str, u64)>,
}

/// A token bucket in thousandths of a token.
#[derive(Debug)]
struct Bucket {
    millitokens: i64,
    updated: Timestamp,
}

impl Bucket {
    fn full(now: Timestamp) -> Self {
        Self { millitokens: BURST * 1000, updated: now }
    }

    fn refill(&mut self, now: Timestamp, a_second: i64) {
        let elapsed = now.millis_since(self.updated);
        // A clock that was set back gives nothing.
        if elapsed > 0 {
            let gained = elapsed.saturating_mul(a_second);
            self.millitokens = self.millitokens.saturating_add(gained).min(BURST * 1000);
            self.updated = now;
        } else if elapsed < 0 {
            self.updated = now;
        }
    }

    fn has_one(&self) -> bool {
        self.millitokens >= 1000
    }
}

impl Counts {
    /// Counts one, and answers whether it is the first of this minute.
    fn add(&mut self, kind: &'static str) -> bool {
        let first = self.kinds.is_empty();
        let room = self.kinds.len() < KINDS_MAX;
        match self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count = count.saturating_add(1),
            None if room => self.kinds.push((kind, 1)),
            None => {
                if let Some((name, count)) = self.kinds.last_mut() {
                    *name = "other";
                    *count = count.saturating_add(1);
                }
            }
        }
        first
    }
}

impl RefusalMeter {
    /// A meter that has seen nothing.
    pub fn new(now: Timestamp) -> Self {
        Self {
            overall: Bucket::full(now),
            other: Bucket::full(now),
            sources: HashMap::new(),
            other_counts: Counts::default(),
            minute: now.as_millis().div_euclid(MINUTE_MILLIS),
            floods: 0,
            finished: Vec::new(),
        }
    }

    /// Decides about a refusal. `kind` is the error's code, one of a fixed list.
    pub fn admit(&mut self, now: Timestamp, source: IpAddr, kind: &'static str) -> Admission {
        self.turn_minute(now);
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            self.forget_quiet(now);
        }
        let room = self.sources.len() < SOURCES_MAX;
        let (bucket, counts, source) = if room || self.sources.contains_key(&source) {
            let fresh = || SourceState { bucket: Bucket::full(now), counts: Counts::default() };
            let state = self.sources.entry(source).or_insert_with(fresh);
            (&mut state.bucket, &mut state.counts, RefusalSource::Address(source))
        } else {
            (&mut self.other, &mut self.other_counts, RefusalSource::Other)
        };
        bucket.refill(now, SOURCE_A_SECOND);
        self.overall.refill(now, OVERALL_A_SECOND);
        if bucket.has_one() && self.overall.has_one() {
            bucket.millitokens -= 1000;
            self.overall.millitokens -= 1000;
            return Admission::Record;
        }
        if counts.add(kind) && self.floods < FLOODS_A_MINUTE {
            self.floods += 1;
            return Admission::FloodBegan(FloodBegan { source, kind, time: now });
        }
        Admission::Counted
    }

    /// The summaries of all minutes that are over, oldest first. To be called about once a minute.
    pub fn drain(&mut self, now: Timestamp) -> Vec<RefusalSummary> {
        self.turn_minute(now);
        std::mem::take(&mut self.finished)
    }

    /// All summaries, the current minute's too: for an orderly end.
    pub fn drain_all(&mut self) -> Vec<RefusalSummary> {
        self.finish_minute();
        std::mem::take(&mut self.finished)
    }

    fn turn_minute(&mut self, now: Timestamp) {
        let minute = now.as_millis().div_euclid(MINUTE_MILLIS);
        if minute != self.minute {
            self.finish_minute();
            self.minute = minute;
            self.floods = 0;
        }
    }

    fn finish_minute(&mut self) {
        let minute = Timestamp::from_millis(self.minute.saturating_mul(MINUTE_MILLIS));
        let summary = |source, kind, count| RefusalSummary { source, kind, minute, count, merged: 1 };
        let mut summaries = Vec::new();
        for (&address, state) in &mut self.sources {
            for (kind, count) in state.counts.kinds.drain(..) {
                summaries.push(summary(RefusalSource::Address(address), kind, count));
            }
        }
        for (kind, count) in self.other_counts.kinds.drain(..) {
            summaries.push(summary(RefusalSource::Other, kind, count));
        }
        // The loudest first; ties in a fixed order, so that the same refusals make the same log.
        summaries.sort_by_key(|summary| (std::cmp::Reverse(summary.count), summary.source, summary.kind));
        if summaries.len() > SUMMARIES_A_MINUTE {
            let quiet = summaries.split_off(SUMMARIES_A_MINUTE - 1);
            summaries.extend(merge(quiet));
        }
        self.finished.append(&mut summaries);
        if self.finished.len() > FINISHED_MAX {
            let keep = FINISHED_MAX - 1;
            let later = self.finished.split_off(self.finished.len() - keep);
            let oldest = merge(std::mem::replace(&mut self.finished, later));
            self.finished.splice(0..0, oldest);
        }
    }

    /// Makes room: whoever's bucket is full again and has no count is as good as unknown.
    fn forget_quiet(&mut self, now: Timestamp) {
        self.sources.retain(|_, state| {
            state.bucket.refill(now, SOURCE_A_SECOND);
            !state.counts.kinds.is_empty() || state.bucket.millitokens < BURST * 1000
        });
    }
}

fn merge(summaries: Vec<RefusalSummary>) -> Option<RefusalSummary> {
    summaries.into_iter().reduce(|sum, next| RefusalSummary {
        source: RefusalSource::Other,
        kind: if sum.kind == next.kind { sum.kind } else { "other" },
        minute: sum.minute.min(next.minute),
        count: sum.count.saturating_add(next.count),
        merged: sum.merged.saturating_add(next.merged),
    })
}

impl FloodBegan {
    /// The record to append.
    pub fn to_record<'a>(&self, event_id: EventId, event_source: &'a str, region: &'a str) -> Record<'a> {
        let mut record = flood_record(
            "RefusalFloodBegan",
            event_id,
            self.time,
            event_source,
            region,
            self.source,
            self.kind,
        );
        record.error_message = Some("further refusals are counted, and summarised by minute".into());
        record
    }
}

impl RefusalSummary {
    /// The record to append.
    pub fn to_record<'a>(
        &self,
        event_id: EventId,
        now: Timestamp,
        event_source: &'a str,
        region: &'a str,
    ) -> Record<'a> {
        let mut record =
            flood_record("RefusalsSummarised", event_id, now, event_source, region, self.source, self.kind);
        record.set_additional_event_data(&serde_json::json!({
            "minute": self.minute.to_rfc3339_seconds(),
            "count": self.count,
            "merged": self.merged,
        }));
        record
    }
}

fn flood_record<'a>(
    name: &'static str,
    event_id: EventId,
    time: Timestamp,
    event_source: &'a str,
    region: &'a str,
    source: RefusalSource,
    kind: &'static str,
) -> Record<'a> {
    let mut record = Record::new(
        EventType::AwsServiceEvent,
        event_id,
        time,
        event_source,
        name,
        region,
        source.to_string(),
        UserIdentity::service(event_source),
    );
    record.error_code = Some(kind.into());
    record
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::STRANGER_RECORD_BYTES_MAX;

    const START: Timestamp = Timestamp::from_millis(1_795_343_400_000);
    const SOURCE: &str = "secretsmanager.amazonaws.com";

    fn address(number: u32) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(0x2001_0db8_0000_0000_0000_0000_0000_0000_u128 + u128::from(number)))
    }

    /// Bytes written by a minute of 5,000 refusals a second, and how many were seen in the log.
    fn flood(sources: u32) -> (usize, u64) {
        let mut meter = RefusalMeter::new(START);
        let (mut bytes, mut seen) = (0, 0);
        let id = EventId::from_random([1; 16]);
        for number in 0..300_000_u32 {
            let now = START.plus_millis(i64::from(number / 5));
            match meter.admit(now, address(number % sources), "InvalidSignatureException") {
                Admission::Record => {
                    bytes += STRANGER_RECORD_BYTES_MAX;
                    seen += 1;
                }
                Admission::FloodBegan(began) => {
                    bytes += began.to_record(id, SOURCE, "us-east-1").into_stranger_body().as_bytes().len();
                }
                Admission::Counted => {}
            }
        }
        let summaries = meter.drain_all();
        assert!(summaries.len() <= 2 * SUMMARIES_A_MINUTE);
        for summary in &summaries {
            let record = summary.to_record(id, START, SOURCE, "us-east-1");
            let length = record.into_stranger_body().as_bytes().len();
            assert!(length <= 1024, "{length}");
            bytes += length;
            seen += summary.count;
        }
        assert!(meter.sources.len() <= SOURCES_MAX);
        (bytes, seen)
    }

    #[test]
    fn a_minute_of_five_thousand_a_second_writes_less_than_a_mebibyte() {
        for sources in [1, 2, 1000, 100_000] {
            let (bytes, seen) = flood(sources);
            assert!(bytes <= 1024 * 1024, "{sources} sources: {bytes} bytes");
            assert_eq!(seen, 300_000, "{sources} sources: each refusal is recorded or counted");
        }
    }

    #[test]
    fn a_burst_is_recorded_in_full_and_then_one_a_second_of_a_source() {
        let mut meter = RefusalMeter::new(START);
        let one = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let admitted = |meter: &mut RefusalMeter, seconds: i64| {
            meter.admit(START.plus_millis(seconds * 1000), one, "InvalidSignatureException")
        };
        assert!((0..50).all(|_| admitted(&mut meter, 0) == Admission::Record));
        assert!(matches!(admitted(&mut meter, 0), Admission::FloodBegan(_)));
        assert_eq!(admitted(&mut meter, 0), Admission::Counted);
        assert_eq!(admitted(&mut meter, 1), Admission::Record);
        assert_eq!(admitted(&mut meter, 1), Admission::Counted);
        // Another source has the rest of the overall rate.
        assert_eq!(meter.admit(START.plus_millis(1000), address(1), "AccessDenied"), Admission::Record);
        assert!(matches!(
            meter.admit(START.plus_millis(1000), address(2), "AccessDenied"),
            Admission::FloodBegan(_)
        ));

        assert!(meter.drain(START.plus_millis(1000)).is_empty(), "the minute is not over");
        let minute = Timestamp::from_millis(START.as_millis() / 60_000 * 60_000);
        let summary = |source, kind, count| RefusalSummary { source, kind, minute, count, merged: 1 };
        assert_eq!(
            meter.drain(START.plus_millis(60_000)),
            [
                summary(RefusalSource::Address(one), "InvalidSignatureException", 3),
                summary(RefusalSource::Address(address(2)), "AccessDenied", 1),
            ]
        );
        assert!(meter.drain(START.plus_millis(60_000)).is_empty());
    }

    #[test]
    fn what_is_never_drained_stays_bounded() {
        let mut meter = RefusalMeter::new(START);
        let mut recorded = 0;
        for number in 0..60_000_u32 {
            let now = START.plus_millis(i64::from(number) * 60);
            if meter.admit(now, address(number), "x") == Admission::Record {
                recorded += 1;
            }
        }
        assert!(meter.finished.len() <= FINISHED_MAX);
        let counted: u64 = meter.drain_all().iter().map(|summary| summary.count).sum();
        assert_eq!(recorded + counted, 60_000);
    }

    #[test]
    fn a_clock_set_back_gives_no_tokens() {
        let mut meter = RefusalMeter::new(START);
        let one = address(1);
        for _ in 0..60 {
            meter.admit(START, one, "x");
        }
        let earlier = START.plus_millis(-3_600_000);
        assert_ne!(meter.admit(earlier, one, "x"), Admission::Record);
        assert_eq!(meter.admit(earlier.plus_millis(1000), one, "x"), Admission::Record);
    }
}
