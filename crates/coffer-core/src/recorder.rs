//! What becomes a record, and how: one place turns a context and an operation into CloudTrail's words.

use std::sync::atomic::Ordering;

use coffer_audit::{EventId, EventType, Record, RecordBody, UserIdentity};
use serde_json::Value;

use crate::core::Inner;
use crate::gate::OperationName;
use crate::{Context, Error, Principal};

impl Inner {
    pub(crate) fn make_event_id(&self) -> EventId {
        EventId::from_random(self.ids.make(&*self.random))
    }

    /// The record of an operation that was done.
    pub(crate) fn record<'a>(
        &self,
        context: &'a Context,
        name: OperationName,
        parameters: &Value,
        response: &Value,
    ) -> Record<'a> {
        let mut record = Record::new(
            EventType::AwsApiCall,
            self.make_event_id(),
            context.now,
            context.event_source,
            name.name,
            context.region.as_str(),
            source_address(&context.request),
            identity(context),
        );
        record.user_agent = Some((&*context.request.user_agent).into());
        record.request_id = Some((&*context.request.request_id).into());
        record.recipient_account_id = Some(context.account.to_string().into());
        record.read_only = name.read_only;
        if !parameters.is_null() {
            record.set_request_parameters(parameters);
        }
        if !response.is_null() {
            record.set_response_elements(response);
        }
        record
    }

    /// The record of something that no request asked for.
    pub(crate) fn service_record(&self, name: &'static str, data: &Value) -> Record<'static> {
        let service = "coffer.local";
        let mut record = Record::new(
            EventType::AwsServiceEvent,
            self.make_event_id(),
            self.clock.now(),
            service,
            name,
            self.meta.region.to_string(),
            service,
            UserIdentity::service(service),
        );
        record.read_only = false;
        record.recipient_account_id = Some(self.meta.account.to_string().into());
        record.set_additional_event_data(data);
        record
    }

    /// Appends a record of something that changed nothing in the store; comes back when it is safe.
    pub(crate) async fn append(&self, record: RecordBody) -> Result<(), Error> {
        self.audit.append(record).await.map_err(|error| {
            self.audit_failed.store(true, Ordering::Release);
            Error::unavailable(error)
        })
    }
}

pub(crate) fn source_address(request: &crate::RequestInfo) -> String {
    request.source.map_or_else(|| "localhost".to_owned(), |address| address.to_string())
}

pub(crate) fn identity(context: &Context) -> UserIdentity<'_> {
    let account = context.account.to_string();
    match &context.principal {
        Principal::User { name, arn, access_key_id } => {
            UserIdentity::iam_user(&**name, &**arn, account, &**access_key_id, &**name)
        }
        Principal::Local { uid, .. } => UserIdentity::local(*uid, &account),
    }
}
