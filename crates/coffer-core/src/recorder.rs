//! What becomes a record, and how: one place turns a context and an operation into CloudTrail's words.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::atomic::Ordering;

use coffer_audit::{EventId, EventType, Members, Record, RecordBody, UserIdentity};
use serde_json::Value;

use crate::core::Inner;
use crate::gate::OperationName;
use crate::{Context, Error, Principal};

/// What a record tells of a request besides who made it.
pub(crate) struct Event<'a> {
    /// CloudTrail's `eventName`.
    pub(crate) name: &'a str,
    pub(crate) read_only: bool,
    /// The code and the text it was refused with.
    pub(crate) failure: Option<(&'a str, &'a str)>,
}

impl From<OperationName> for Event<'static> {
    fn from(OperationName { name, read_only }: OperationName) -> Self {
        Self { name, read_only, failure: None }
    }
}

impl Inner {
    pub(crate) fn make_event_id(&self) -> EventId {
        EventId::from_random(self.ids.make(&*self.random))
    }

    /// The record of a request by somebody known. The two writers are called for its `requestParameters` and
    /// `responseElements`.
    pub(crate) fn record(
        &self,
        context: &Context,
        event: Event<'_>,
        parameters: &dyn Fn(&mut Members<'_>),
        response: &dyn Fn(&mut Members<'_>),
    ) -> RecordBody {
        let account = context.account.digits();
        let account = std::str::from_utf8(&account).expect("digits are text");
        let identity = match &context.principal {
            Principal::User { name, arn, id, access_key_id } => {
                UserIdentity::iam_user(&**id, &**arn, account, &**access_key_id, &**name)
            }
            Principal::Session(session) => match session.user_name() {
                Some(name) => UserIdentity::iam_user(
                    &*session.id,
                    &*session.arn,
                    account,
                    &*session.access_key_id,
                    name,
                ),
                None => {
                    UserIdentity::assumed_role(&*session.id, &*session.arn, account, &*session.access_key_id)
                }
            },
            Principal::WebIdentity(identity) => {
                UserIdentity::web_identity(identity.id(), &*identity.subject, &*identity.provider)
            }
            Principal::Local { uid, .. } => UserIdentity::local(*uid, account),
        };
        let mut room: AddressText = [0; size_of::<AddressText>()];
        let mut record = Record::new(
            EventType::AwsApiCall,
            self.make_event_id(),
            context.now,
            context.event_source,
            event.name,
            context.region.as_str(),
            source_address(&context.request, &mut room),
            identity,
        );
        record.user_agent = Some((&*context.request.user_agent).into());
        record.request_id = Some((&*context.request.request_id).into());
        record.correlation_id = correlation_id(&context.request);
        record.tls_details = context.request.transport.tls_details();
        record.recipient_account_id = Some(account.into());
        record.read_only = event.read_only;
        if let Some((code, message)) = event.failure {
            record.error_code = Some(code.into());
            record.error_message = Some(message.into());
        }
        record.into_body_with(parameters, response)
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

/// What the caller calls a request.
pub(crate) fn correlation_id(request: &crate::RequestInfo) -> Option<Cow<'_, str>> {
    request.correlation_id.as_ref().map(|id| id.as_str().into())
}

/// Room for an address in words.
pub(crate) type AddressText = [u8; 45];

/// Where a request came from, in words.
pub(crate) fn source_address<'a>(request: &crate::RequestInfo, room: &'a mut AddressText) -> Cow<'a, str> {
    let Some(address) = request.source else { return Cow::Borrowed("localhost") };
    let mut left = room.as_mut_slice();
    let written = write!(left, "{address}");
    let used = size_of::<AddressText>() - left.len();
    match room.get(..used).map(std::str::from_utf8) {
        Some(Ok(text)) if written.is_ok() => Cow::Borrowed(text),
        _ => Cow::Owned(address.to_string()),
    }
}
