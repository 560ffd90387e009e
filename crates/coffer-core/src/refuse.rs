//! What never becomes an operation: bad signatures, unknown keys, bodies that can't be read, unknown actions. It is
//! recorded too.
//!
//! A stranger's refusals are recorded in full up to a rate and counted past it, so that nobody without a key can
//! fill the disk. Whoever is authenticated is recorded in full, always.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{MutexGuard, PoisonError};

use coffer_audit::{Admission, EventType, Record, RecordBody, RefusalMeter, RefusalSummary, UserIdentity};
use coffer_types::{Region, Timestamp};

use crate::core::{Core, Inner};
use crate::recorder::{AddressText, Event, correlation_id, source_address};
use crate::{Context, Error, RequestInfo};

/// A request that never became an operation.
pub struct Refusal {
    /// Who sent it, if that was established.
    pub context: Option<Context>,
    /// What is known of the request.
    pub request: RequestInfo,
    /// The door.
    pub event_source: &'static str,
    /// What it asked for, if that could be read.
    pub event_name: Option<String>,
    /// The region it named.
    pub region: Option<Region>,
    /// The access key it claimed.
    pub access_key_id: Option<String>,
    /// The code it was answered with.
    pub code: &'static str,
    /// The text it was answered with. Never holds anything of a body.
    pub message: String,
}

impl Core {
    /// Records a refusal. Fails only if an authenticated caller's refusal could not be recorded; then that is the
    /// answer.
    pub async fn refuse(&self, refusal: Refusal) -> Result<(), Error> {
        let inner = &self.0;
        inner.metrics.refusals.add_one();
        match &refusal.context {
            Some(context) => {
                let failure = Some((refusal.code, refusal.message.as_str()));
                let event = Event { name: event_name(&refusal), read_only: true, failure };
                inner.append(inner.record(context, event, &|_| {}, &|_| {})).await
            }
            None => {
                inner.refuse_stranger(&refusal).await;
                Ok(())
            }
        }
    }
}

fn event_name(refusal: &Refusal) -> &str {
    refusal.event_name.as_deref().unwrap_or("Unknown")
}

impl Inner {
    /// Records a stranger's refusal as far as the rate allows. If the log can't be written the stranger is refused
    /// all the same, and the alarm is the log's.
    async fn refuse_stranger(&self, refusal: &Refusal) {
        let now = self.clock.now();
        let source = refusal.request.source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let admission = self.refusals().admit(now, source, refusal.code);
        let record = match admission {
            Admission::Record => self.stranger_record(refusal, now),
            Admission::FloodBegan(flood) => {
                let region = self.meta.region.as_str();
                flood.to_record(self.make_event_id(), refusal.event_source, region).into_stranger_body()
            }
            Admission::Counted => return,
        };
        let _ = self.append(record).await;
    }

    fn stranger_record(&self, refusal: &Refusal, now: Timestamp) -> RecordBody {
        let region = refusal.region.as_ref().unwrap_or(&self.meta.region);
        let mut room = [0; size_of::<AddressText>()];
        let mut record = Record::new(
            EventType::AwsApiCall,
            self.make_event_id(),
            now,
            refusal.event_source,
            event_name(refusal),
            region.as_str(),
            source_address(&refusal.request, &mut room),
            UserIdentity::unknown(refusal.access_key_id.as_deref().map(Into::into)),
        );
        record.user_agent = Some((&*refusal.request.user_agent).into());
        record.request_id = Some((&*refusal.request.request_id).into());
        record.correlation_id = correlation_id(&refusal.request);
        record.tls_details = refusal.request.transport.tls_details();
        record.recipient_account_id = Some(self.meta.account.to_string().into());
        record.error_code = Some(refusal.code.into());
        record.error_message = Some(refusal.message.as_str().into());
        record.into_stranger_body()
    }

    /// Records what was only counted, for the minutes that are over.
    pub(crate) async fn summarise_refusals(&self) -> Result<(), Error> {
        let summaries = self.refusals().drain(self.clock.now());
        self.record_summaries(summaries).await
    }

    /// Records what was only counted, the running minute included.
    pub(crate) async fn summarise_all_refusals(&self) -> Result<(), Error> {
        let summaries = self.refusals().drain_all();
        self.record_summaries(summaries).await
    }

    async fn record_summaries(&self, summaries: Vec<RefusalSummary>) -> Result<(), Error> {
        for summary in summaries {
            let (id, now) = (self.make_event_id(), self.clock.now());
            let record = summary.to_record(id, now, "coffer.local", self.meta.region.as_str());
            self.append(record.into_stranger_body()).await?;
        }
        Ok(())
    }

    fn refusals(&self) -> MutexGuard<'_, RefusalMeter> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
