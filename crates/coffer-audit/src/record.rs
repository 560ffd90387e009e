//! The record of one event, in CloudTrail's format.
//!
//! Pure. Invariants: a [`RecordBody`] is one JSON object on one line, with an `eventID` and without a `chain`
//! member, of at most [`RECORD_BYTES_MAX`] bytes; texts that CloudTrail bounds are cut with a marker, never
//! refused, because an event that happened must be recorded.
//!
//! Records are written by hand rather than by serde: each request has one, and so it is encoded in one pass, bounds
//! included, with one allocation.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use coffer_types::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::members::{Members, push_object, push_truncated};

/// Most bytes of an encoded record.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of a record about somebody who proved nothing.
pub const STRANGER_RECORD_BYTES_MAX: usize = 4096;

/// CloudTrail's bound on `userAgent` and `errorMessage`.
const TEXT_BYTES_MAX: usize = 1024;
/// CloudTrail's bound on `requestParameters`; the other free objects get the same.
const OBJECT_BYTES_MAX: usize = 100 * 1024;
/// A bound on the texts CloudTrail gives none.
const NAME_BYTES_MAX: usize = 4096;
/// What a record of a read usually takes, its chain included.
const RECORD_BYTES_USUAL: usize = 1280;

/// Most bytes of a record's parts, before escaping.
#[derive(Clone, Copy)]
struct Bounds {
    text: usize,
    name: usize,
    object: usize,
    document: usize,
}

const CLOUDTRAIL_BOUNDS: Bounds = Bounds {
    text: TEXT_BYTES_MAX,
    name: NAME_BYTES_MAX,
    object: OBJECT_BYTES_MAX,
    // More than a document may have that is taken, but for its white space.
    document: 16 * 1024,
};
/// For what was refused or failed: whoever may do nothing must not fill the log with what it asks for.
const REFUSED_BOUNDS: Bounds = Bounds { object: 16 * 1024, document: 1024, ..CLOUDTRAIL_BOUNDS };
const STRANGER_BOUNDS: Bounds = Bounds { text: 512, name: 256, object: 1024, document: 256 };
/// For records that are too large all the same, since control characters take six bytes in JSON. With the last even
/// a record in which every byte is escaped fits.
const TIGHT_BOUNDS: [Bounds; 2] = [
    Bounds { text: 256, name: 64, object: 512, document: 64 },
    Bounds { text: 32, name: 24, object: 0, document: 0 },
];

/// Writes the members of an object that has no other form.
type Write<'a> = &'a dyn Fn(&mut Members<'_>);

/// One event. What is absent is left out of the JSON, except the two members CloudTrail always writes.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct Record<'a> {
    /// The version of the format.
    #[serde(rename = "eventVersion")]
    pub event_version: Cow<'a, str>,
    /// Who did it.
    #[serde(rename = "userIdentity")]
    pub user_identity: UserIdentity<'a>,
    /// When; CloudTrail keeps whole seconds.
    #[serde(rename = "eventTime", with = "event_time")]
    pub event_time: Timestamp,
    /// The service, such as `secretsmanager.amazonaws.com`.
    #[serde(rename = "eventSource")]
    pub event_source: Cow<'a, str>,
    /// The operation, such as `GetSecretValue`.
    #[serde(rename = "eventName")]
    pub event_name: Cow<'a, str>,
    /// The region.
    #[serde(rename = "awsRegion")]
    pub aws_region: Cow<'a, str>,
    /// Where from: an address, or the name of a service.
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: Cow<'a, str>,
    /// What the client calls itself.
    #[serde(rename = "userAgent", default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Cow<'a, str>>,
    /// The error's code, if it was refused or failed.
    #[serde(rename = "errorCode", default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<Cow<'a, str>>,
    /// The error's text.
    #[serde(rename = "errorMessage", default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<Cow<'a, str>>,
    /// What was asked for, without values.
    #[serde(rename = "requestParameters", default)]
    pub request_parameters: Option<Cow<'a, RawValue>>,
    /// What was answered, without values; null for reads.
    #[serde(rename = "responseElements", default)]
    pub response_elements: Option<Cow<'a, RawValue>>,
    /// What has no other place.
    #[serde(rename = "additionalEventData", default, skip_serializing_if = "Option::is_none")]
    pub additional_event_data: Option<Cow<'a, RawValue>>,
    /// What the caller itself calls the request; `correlationId` in `additionalEventData`, where that has nothing else.
    #[serde(skip)]
    pub correlation_id: Option<Cow<'a, str>>,
    /// The request's id, as the client was told it.
    #[serde(rename = "requestID", default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Cow<'a, str>>,
    /// The id of this record.
    #[serde(rename = "eventID")]
    pub event_id: EventId,
    /// Whether it changes nothing.
    #[serde(rename = "readOnly")]
    pub read_only: bool,
    /// A call, or something the service did by itself.
    #[serde(rename = "eventType")]
    pub event_type: EventType,
    /// All of Secrets Manager's events are.
    #[serde(rename = "managementEvent")]
    pub management_event: bool,
    /// The account it concerns.
    #[serde(rename = "recipientAccountId", default, skip_serializing_if = "Option::is_none")]
    pub recipient_account_id: Option<Cow<'a, str>>,
    /// Ties the records of two accounts together.
    #[serde(rename = "sharedEventID", default, skip_serializing_if = "Option::is_none")]
    pub shared_event_id: Option<EventId>,
    /// `Management`.
    #[serde(rename = "eventCategory")]
    pub event_category: Cow<'a, str>,
    /// What protected it on its way, if it came over TLS.
    #[serde(rename = "tlsDetails", default, skip_serializing_if = "Option::is_none")]
    pub tls_details: Option<TlsDetails<'a>>,
}

/// CloudTrail's `tlsDetails`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct TlsDetails<'a> {
    /// Such as `TLSv1.3`.
    #[serde(rename = "tlsVersion")]
    pub version: Cow<'a, str>,
    /// The suite's name in IANA's list.
    #[serde(rename = "cipherSuite")]
    pub cipher_suite: Cow<'a, str>,
    /// What the client believes to talk to: its `Host` header.
    #[serde(rename = "clientProvidedHostHeader", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
}

/// What kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub enum EventType {
    /// A request.
    AwsApiCall,
    /// Something that no request asked for: a sweep, a start, a flood of refusals.
    AwsServiceEvent,
}

/// CloudTrail's `userIdentity`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct UserIdentity<'a> {
    /// What kind of caller.
    #[serde(rename = "type")]
    pub identity_type: IdentityType,
    /// A unique id, such as `local:1000` for the administrator at the machine.
    #[serde(rename = "principalId", default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<Cow<'a, str>>,
    /// The principal's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<Cow<'a, str>>,
    /// The account.
    #[serde(rename = "accountId", default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Cow<'a, str>>,
    /// The access key the request was signed with, or claimed to be.
    #[serde(rename = "accessKeyId", default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<Cow<'a, str>>,
    /// The user's name.
    #[serde(rename = "userName", default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<Cow<'a, str>>,
    /// The identity provider that vouches for somebody.
    #[serde(rename = "identityProvider", default, skip_serializing_if = "Option::is_none")]
    pub identity_provider: Option<Cow<'a, str>>,
    /// The service that acted.
    #[serde(rename = "invokedBy", default, skip_serializing_if = "Option::is_none")]
    pub invoked_by: Option<Cow<'a, str>>,
}

/// The kinds of caller coffer knows so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub enum IdentityType {
    /// The account itself: the uid that owns the store.
    Root,
    /// A user.
    IAMUser,
    /// Somebody in a role.
    AssumedRole,
    /// Somebody an identity provider vouches for.
    WebIdentityUser,
    /// Another account.
    AWSAccount,
    /// coffer itself.
    AWSService,
    /// Somebody who proved nothing.
    Unknown,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::AwsApiCall => "AwsApiCall",
            Self::AwsServiceEvent => "AwsServiceEvent",
        }
    }
}

impl IdentityType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Root => "Root",
            Self::IAMUser => "IAMUser",
            Self::AssumedRole => "AssumedRole",
            Self::WebIdentityUser => "WebIdentityUser",
            Self::AWSAccount => "AWSAccount",
            Self::AWSService => "AWSService",
            Self::Unknown => "Unknown",
        }
    }
}

impl<'a> UserIdentity<'a> {
    fn of(identity_type: IdentityType) -> Self {
        Self {
            identity_type,
            principal_id: None,
            arn: None,
            account_id: None,
            access_key_id: None,
            user_name: None,
            identity_provider: None,
            invoked_by: None,
        }
    }

    /// The administrator at the machine: the uid that owns the store, in place or over the socket.
    pub fn local(uid: u32, account_id: &str) -> Self {
        Self {
            principal_id: Some(format!("local:{uid}").into()),
            arn: Some(format!("arn:aws:iam::{account_id}:root").into()),
            account_id: Some(account_id.to_owned().into()),
            ..Self::of(IdentityType::Root)
        }
    }

    /// A user that signed with an access key.
    pub fn iam_user(
        principal_id: impl Into<Cow<'a, str>>,
        arn: impl Into<Cow<'a, str>>,
        account_id: impl Into<Cow<'a, str>>,
        access_key_id: impl Into<Cow<'a, str>>,
        user_name: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            principal_id: Some(principal_id.into()),
            arn: Some(arn.into()),
            account_id: Some(account_id.into()),
            access_key_id: Some(access_key_id.into()),
            user_name: Some(user_name.into()),
            ..Self::of(IdentityType::IAMUser)
        }
    }

    /// Somebody in a role.
    pub fn assumed_role(
        principal_id: impl Into<Cow<'a, str>>,
        arn: impl Into<Cow<'a, str>>,
        account_id: impl Into<Cow<'a, str>>,
        access_key_id: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            principal_id: Some(principal_id.into()),
            arn: Some(arn.into()),
            account_id: Some(account_id.into()),
            access_key_id: Some(access_key_id.into()),
            ..Self::of(IdentityType::AssumedRole)
        }
    }

    /// Somebody an identity provider vouches for.
    pub fn web_identity(
        principal_id: impl Into<Cow<'a, str>>,
        user_name: impl Into<Cow<'a, str>>,
        identity_provider: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            principal_id: Some(principal_id.into()),
            user_name: Some(user_name.into()),
            identity_provider: Some(identity_provider.into()),
            ..Self::of(IdentityType::WebIdentityUser)
        }
    }

    /// coffer itself, under the name of the service it stands for.
    pub fn service(invoked_by: impl Into<Cow<'a, str>>) -> Self {
        Self { invoked_by: Some(invoked_by.into()), ..Self::of(IdentityType::AWSService) }
    }

    /// Writes all members, in CloudTrail's order.
    fn write(&self, members: &mut Members<'_>, bytes_max: usize) {
        members.plain("type", self.identity_type.as_str().as_bytes());
        cut_optional(members, "principalId", &self.principal_id, bytes_max);
        cut_optional(members, "arn", &self.arn, bytes_max);
        cut_optional(members, "accountId", &self.account_id, bytes_max);
        cut_optional(members, "accessKeyId", &self.access_key_id, bytes_max);
        cut_optional(members, "userName", &self.user_name, bytes_max);
        cut_optional(members, "identityProvider", &self.identity_provider, bytes_max);
        cut_optional(members, "invokedBy", &self.invoked_by, bytes_max);
    }

    /// Somebody who proved nothing; the access key is only claimed.
    pub fn unknown(access_key_id: Option<Cow<'a, str>>) -> Self {
        Self { access_key_id, ..Self::of(IdentityType::Unknown) }
    }
}

impl<'a> Record<'a> {
    /// A record with what every record has. The rest is set on the fields.
    #[expect(clippy::too_many_arguments, reason = "CloudTrail has no record without one of them")]
    pub fn new(
        event_type: EventType,
        event_id: EventId,
        event_time: Timestamp,
        event_source: impl Into<Cow<'a, str>>,
        event_name: impl Into<Cow<'a, str>>,
        aws_region: impl Into<Cow<'a, str>>,
        source_ip_address: impl Into<Cow<'a, str>>,
        user_identity: UserIdentity<'a>,
    ) -> Self {
        Self {
            event_version: Cow::Borrowed("1.11"),
            user_identity,
            event_time,
            event_source: event_source.into(),
            event_name: event_name.into(),
            aws_region: aws_region.into(),
            source_ip_address: source_ip_address.into(),
            user_agent: None,
            error_code: None,
            error_message: None,
            request_parameters: None,
            response_elements: None,
            additional_event_data: None,
            correlation_id: None,
            request_id: None,
            event_id,
            read_only: true,
            event_type,
            management_event: true,
            recipient_account_id: None,
            shared_event_id: None,
            event_category: Cow::Borrowed("Management"),
            tls_details: None,
        }
    }

    /// The record, encoded and within CloudTrail's bounds.
    pub fn into_body(self) -> RecordBody {
        self.encode(CLOUDTRAIL_BOUNDS, RECORD_BYTES_MAX, None)
    }

    /// The record with these `requestParameters` and `responseElements`, written straight into it. Either is `null`
    /// if it is left without members.
    pub fn into_body_with(
        self,
        parameters: &dyn Fn(&mut Members<'_>),
        response: &dyn Fn(&mut Members<'_>),
    ) -> RecordBody {
        let bounds = if self.error_code.is_some() { REFUSED_BOUNDS } else { CLOUDTRAIL_BOUNDS };
        self.encode(bounds, RECORD_BYTES_MAX, Some((parameters, response)))
    }

    /// The record of somebody who proved nothing, within [`STRANGER_RECORD_BYTES_MAX`].
    pub fn into_stranger_body(self) -> RecordBody {
        self.encode(STRANGER_BOUNDS, STRANGER_RECORD_BYTES_MAX, None)
    }

    /// The record within the first bounds that bring it to at most this many bytes.
    fn encode(
        &self,
        bounds: Bounds,
        bytes_max: usize,
        written: Option<(Write<'_>, Write<'_>)>,
    ) -> RecordBody {
        let mut bytes = Vec::with_capacity(RECORD_BYTES_USUAL);
        for bounds in std::iter::once(bounds).chain(TIGHT_BOUNDS) {
            bytes.clear();
            push_object(&mut bytes, bounds.document, |members| self.write(members, bounds, written));
            if bytes.len() <= bytes_max {
                break;
            }
        }
        RecordBody { bytes, event_id: self.event_id, time: self.event_time }
    }

    /// Writes all members, in CloudTrail's order.
    fn write(&self, members: &mut Members<'_>, bounds: Bounds, written: Option<(Write<'_>, Write<'_>)>) {
        let Bounds { text, name, object, document: _ } = bounds;
        members.cut_text("eventVersion", &self.event_version, name);
        members.object("userIdentity", |members| self.user_identity.write(members, name));
        match event_time::ascii_of_this_age(self.event_time.as_millis().div_euclid(1000)) {
            Some(text) => members.plain("eventTime", &text),
            None => members.text("eventTime", event_time::Text(self.event_time)),
        }
        members.cut_text("eventSource", &self.event_source, name);
        members.cut_text("eventName", &self.event_name, name);
        members.cut_text("awsRegion", &self.aws_region, name);
        members.cut_text("sourceIPAddress", &self.source_ip_address, name);
        cut_optional(members, "userAgent", &self.user_agent, text);
        cut_optional(members, "errorCode", &self.error_code, name);
        cut_optional(members, "errorMessage", &self.error_message, text);
        match written {
            Some((parameters, response)) => {
                members.bounded_object("requestParameters", object, parameters);
                members.bounded_object("responseElements", object, response);
            }
            None => {
                write_raw(members, "requestParameters", self.request_parameters.as_deref(), object);
                write_raw(members, "responseElements", self.response_elements.as_deref(), object);
            }
        }
        if self.additional_event_data.is_some() {
            write_raw(members, "additionalEventData", self.additional_event_data.as_deref(), object);
        } else if self.correlation_id.is_some() {
            members.object("additionalEventData", |members| {
                cut_optional(members, "correlationId", &self.correlation_id, name);
            });
        }
        cut_optional(members, "requestID", &self.request_id, name);
        let mut id = uuid::Uuid::encode_buffer();
        members.plain("eventID", self.event_id.0.hyphenated().encode_lower(&mut id).as_bytes());
        members.raw("readOnly", if self.read_only { b"true" } else { b"false" });
        members.plain("eventType", self.event_type.as_str().as_bytes());
        members.raw("managementEvent", if self.management_event { b"true" } else { b"false" });
        cut_optional(members, "recipientAccountId", &self.recipient_account_id, name);
        members.optional_text("sharedEventID", self.shared_event_id);
        members.cut_text("eventCategory", &self.event_category, name);
        if let Some(tls) = &self.tls_details {
            members.object("tlsDetails", |members| {
                members.cut_text("tlsVersion", &tls.version, name);
                members.cut_text("cipherSuite", &tls.cipher_suite, name);
                cut_optional(members, "clientProvidedHostHeader", &tls.host, name);
            });
        }
    }

    /// Sets `requestParameters` to what a value serializes to; to nothing if it does not.
    pub fn set_request_parameters(&mut self, parameters: &impl Serialize) {
        self.request_parameters = to_raw(parameters);
    }

    /// Sets `responseElements` to what a value serializes to; to nothing if it does not.
    pub fn set_response_elements(&mut self, elements: &impl Serialize) {
        self.response_elements = to_raw(elements);
    }

    /// Sets `additionalEventData` to what a value serializes to; to nothing if it does not.
    pub fn set_additional_event_data(&mut self, data: &impl Serialize) {
        self.additional_event_data = to_raw(data);
    }
}

fn to_raw<'a>(value: &impl Serialize) -> Option<Cow<'a, RawValue>> {
    serde_json::value::to_raw_value(value).ok().map(Cow::Owned)
}

#[inline]
fn cut_optional(
    members: &mut Members<'_>,
    name: &'static str,
    text: &Option<Cow<'_, str>>,
    bytes_max: usize,
) {
    if let Some(text) = text {
        members.cut_text(name, text, bytes_max);
    }
}

/// Writes an object that is JSON already: as it is if it is small enough and stands on one line, `null` if there is none.
fn write_raw(members: &mut Members<'_>, name: &'static str, object: Option<&RawValue>, bytes_max: usize) {
    let Some(text) = object.map(RawValue::get) else { return members.raw(name, b"null") };
    let mut replaced = Vec::new();
    if text.len() > bytes_max {
        push_truncated(&mut replaced, text.len());
    } else if text.bytes().any(|byte| byte == b'\n' || byte == b'\r') {
        let value = serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
        replaced = value.to_string().into_bytes();
    } else {
        return members.raw(name, text.as_bytes());
    }
    members.raw(name, &replaced);
}

/// A record's unique id: a UUID, written with dashes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventId(uuid::Uuid);

/// Why a text is no event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event id is a UUID with dashes")]
pub struct EventIdError;

impl EventId {
    /// A random (version 4) id out of random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Its sixteen bytes: the form to put in a storage key.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 36 {
            return Err(EventIdError);
        }
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| EventIdError)
    }
}

#[cfg(test)]
impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// An encoded record, ready to append: the JSON object, its event id and its time.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordBody {
    bytes: Vec<u8>,
    event_id: EventId,
    time: Timestamp,
}

/// Why bytes are no encoded record.
#[derive(Debug, thiserror::Error)]
pub enum RecordBodyError {
    /// More than [`RECORD_BYTES_MAX`] bytes.
    #[error("a record has at most {RECORD_BYTES_MAX} bytes")]
    TooLarge,
    /// Not one JSON object on one line, with an event id and a time, and without a chain.
    #[error("not an audit record")]
    Form,
}

/// What the log itself reads of a record.
#[derive(Deserialize)]
struct Essentials<'a> {
    #[serde(rename = "eventID")]
    event_id: EventId,
    #[serde(rename = "eventTime", with = "event_time")]
    event_time: Timestamp,
    #[serde(borrow, default)]
    chain: Option<&'a RawValue>,
}

impl RecordBody {
    /// Takes back what [`RecordBody::as_bytes`] gave, from the store's outbox.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, RecordBodyError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordBodyError::TooLarge);
        }
        let (event_id, time, chained) = essentials(&bytes).ok_or(RecordBodyError::Form)?;
        let framed = bytes.starts_with(b"{") && bytes.ends_with(b"}") && !bytes.contains(&b'\n');
        if framed && !chained { Ok(Self { bytes, event_id, time }) } else { Err(RecordBodyError::Form) }
    }

    /// The JSON object.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The record's id.
    pub fn event_id(&self) -> EventId {
        self.event_id
    }

    /// The record's time.
    pub fn time(&self) -> Timestamp {
        self.time
    }
}

impl fmt::Debug for RecordBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordBody({}, {} bytes)", self.event_id, self.bytes.len())
    }
}

/// The event id and time of a body or a whole line, and whether there is a chain member.
pub(crate) fn essentials(json: &[u8]) -> Option<(EventId, Timestamp, bool)> {
    let read: Essentials<'_> = serde_json::from_slice(json).ok()?;
    Some((read.event_id, read.event_time, read.chain.is_some()))
}

/// A time as CloudTrail writes it: `2026-11-22T10:30:00Z`.
mod event_time {
    use super::*;

    /// Prints a time in that form.
    pub(super) struct Text(pub(super) Timestamp);

    impl fmt::Display for Text {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let seconds = self.0.as_millis().div_euclid(1000);
            // Nearly every record is of our time, and the general formatter takes longer than all else of a record.
            match ascii_of_this_age(seconds).as_ref().map(|bytes| std::str::from_utf8(bytes)) {
                Some(Ok(text)) => f.write_str(text),
                _ => f.write_str(&self.0.to_rfc3339_seconds()),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn serialize<S: serde::Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Text(*time))
    }

    /// The text of a second in the years 1970 to 9999; `None` outside.
    pub(super) fn ascii_of_this_age(seconds: i64) -> Option<[u8; 20]> {
        if !(0..253_402_300_800).contains(&seconds) {
            return None;
        }
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Days since 0000-03-01, in eras of 400 years, so that leap days come last.
        let shifted = days + 719_468;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + (shifted / 146_097) * 400 + i64::from(month <= 2);
        let digit = |value: i64| b'0' + u8::try_from(value % 10).unwrap_or(0);
        let mut text = *b"0000-00-00T00:00:00Z";
        let places = [
            (0, year / 1000),
            (1, year / 100),
            (2, year / 10),
            (3, year),
            (5, month / 10),
            (6, month),
            (8, day / 10),
            (9, day),
            (11, second / 36_000),
            (12, second / 3_600),
            (14, second % 3_600 / 600),
            (15, second % 3_600 / 60),
            (17, second % 60 / 10),
            (18, second % 60),
        ];
        for (place, value) in places {
            if let Some(slot) = text.get_mut(place) {
                *slot = digit(value);
            }
        }
        Some(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn example() -> Record<'static> {
        let mut record = Record::new(
            EventType::AwsApiCall,
            EventId::from_random([7; 16]),
            Timestamp::from_millis(1_795_343_400_123),
            "secretsmanager.amazonaws.com",
            "GetSecretValue",
            "us-east-1",
            "127.0.0.1",
            UserIdentity::iam_user(
                "AIDACKCEVSQ6C2EXAMPLE",
                "arn:aws:iam::123456789012:user/admin",
                "123456789012",
                "AKIAIOSFODNN7EXAMPLE",
                "admin",
            ),
        );
        record.user_agent = Some("Boto3/1.40 md/Botocore#1.40 ua/2.1 os/linux lang/python#3.12".into());
        record.request_id = Some("6f1a2f1e-93b6-4f6a-8c07-2f8f3e3a9c11".into());
        record.recipient_account_id = Some("123456789012".into());
        record.set_request_parameters(&serde_json::json!({ "secretId": "btc-agent/twitter/credentials" }));
        record
    }

    #[test]
    fn a_record_reads_as_cloudtrail_writes_it() {
        let body = example().into_body();
        let expected = concat!(
            r#"{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDACKCEVSQ6C2EXAMPLE","#,
            r#""arn":"arn:aws:iam::123456789012:user/admin","accountId":"123456789012","#,
            r#""accessKeyId":"AKIAIOSFODNN7EXAMPLE","userName":"admin"},"eventTime":"2026-11-22T10:30:00Z","#,
            r#""eventSource":"secretsmanager.amazonaws.com","eventName":"GetSecretValue","awsRegion":"us-east-1","#,
            r#""sourceIPAddress":"127.0.0.1","userAgent":"Boto3/1.40 md/Botocore#1.40 ua/2.1 os/linux lang/python#3.12","#,
            r#""requestParameters":{"secretId":"btc-agent/twitter/credentials"},"responseElements":null,"#,
            r#""requestID":"6f1a2f1e-93b6-4f6a-8c07-2f8f3e3a9c11","eventID":"07070707-0707-4707-8707-070707070707","#,
            r#""readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"123456789012","#,
            r#""eventCategory":"Management"}"#,
        );
        assert_eq!(std::str::from_utf8(body.as_bytes()).unwrap(), expected);
        assert_eq!(serde_json::to_string(&example()).unwrap(), expected);
        let read: Record<'_> = serde_json::from_slice(body.as_bytes()).unwrap();
        assert_eq!(read.into_body().as_bytes(), body.as_bytes());
    }

    #[test]
    fn what_a_caller_calls_a_request_stands_among_what_has_no_other_place() {
        let mut record = example();
        record.correlation_id = Some("Root=1-5759e988".into());
        let body = record.clone().into_body();
        let text = std::str::from_utf8(body.as_bytes()).unwrap();
        let expected = r#","additionalEventData":{"correlationId":"Root=1-5759e988"},"requestID":"#;
        assert!(text.contains(expected), "{text}");
        let read: Record<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(read.into_body().as_bytes(), body.as_bytes());
        // What coffer itself has to tell goes before.
        record.set_additional_event_data(&serde_json::json!({ "count": 1 }));
        let text = String::from_utf8(record.into_body().as_bytes().to_vec()).unwrap();
        assert!(
            text.contains(r#""additionalEventData":{"count":1},"#) && !text.contains("correlationId"),
            "{text}"
        );
    }

    #[test]
    fn each_caller_has_its_identity() {
        let json = |identity: UserIdentity<'_>| serde_json::to_string(&identity).unwrap();
        assert_eq!(
            json(UserIdentity::local(1000, "123456789012")),
            r#"{"type":"Root","principalId":"local:1000","arn":"arn:aws:iam::123456789012:root","accountId":"123456789012"}"#
        );
        assert_eq!(json(UserIdentity::unknown(None)), r#"{"type":"Unknown"}"#);
        assert_eq!(
            json(UserIdentity::unknown(Some("AKIA".into()))),
            r#"{"type":"Unknown","accessKeyId":"AKIA"}"#
        );
        assert_eq!(
            json(UserIdentity::service("secretsmanager.amazonaws.com")),
            r#"{"type":"AWSService","invokedBy":"secretsmanager.amazonaws.com"}"#
        );
    }

    #[test]
    fn long_texts_are_cut_with_a_marker() {
        let mut record = example();
        record.user_agent = Some("é".repeat(2000).into());
        record.error_message = Some("m".repeat(1025).into());
        record.set_request_parameters(&"p".repeat(100 * 1024));
        let body = record.into_body();
        let read: Record<'_> = serde_json::from_slice(body.as_bytes()).unwrap();
        let agent = read.user_agent.unwrap();
        assert!(agent.len() <= 1024 && agent.ends_with("é...(truncated)"), "{agent}");
        assert_eq!(read.error_message.unwrap().len(), 1024);
        assert_eq!(read.request_parameters.unwrap().get(), r#"{"bytes":102402,"truncated":true}"#);
    }

    #[test]
    fn line_breaks_never_reach_a_line() {
        let mut record = example();
        record.user_agent = Some("a\nb\r\u{0}".into());
        record.request_parameters =
            Some(Cow::Owned(RawValue::from_string("{\n \"a\": [1,\n2]}".to_owned()).unwrap()));
        let body = record.into_body();
        assert!(!body.as_bytes().contains(&b'\n') && !body.as_bytes().contains(&0));
        assert!(RecordBody::from_bytes(body.as_bytes().to_vec()).is_ok());
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        let good = String::from_utf8(example().into_body().as_bytes().to_vec()).unwrap();
        assert!(RecordBody::from_bytes(good.clone().into_bytes()).is_ok());
        for bad in [
            String::new(),
            "{}".to_owned(),
            format!("{good}\n"),
            format!(" {good}"),
            good.replace("eventID", "eventId"),
            good.replace("\"readOnly\"", "\"chain\":{},\"readOnly\""),
            good.replace("\"readOnly\"", "\n\"readOnly\""),
        ] {
            assert!(RecordBody::from_bytes(bad.clone().into_bytes()).is_err(), "{bad}");
        }
        let large = vec![b' '; RECORD_BYTES_MAX + 1];
        assert!(matches!(RecordBody::from_bytes(large), Err(RecordBodyError::TooLarge)));
    }

    #[test]
    fn an_event_id_is_a_uuid_with_dashes() {
        let id = EventId::from_random([0xff; 16]);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(EventId::from_bytes(*id.as_bytes()), id);
        for bad in ["", "ffffffffffff4fffbfffffffffffffff", "{ffffffff-ffff-4fff-bfff-ffffffffffff}"] {
            assert_eq!(bad.parse::<EventId>(), Err(EventIdError), "{bad}");
        }
    }

    #[test]
    fn what_is_written_into_a_record_is_as_what_is_set_on_it() {
        let mut record = example();
        record.error_code = Some("AccessDenied".into());
        record.error_message = Some("no \"way\"\n".into());
        record.shared_event_id = Some(EventId::from_random([1; 16]));
        record.tls_details = Some(TlsDetails {
            version: "TLSv1.3".into(),
            cipher_suite: "TLS_AES_128_GCM_SHA256".into(),
            host: Some("secrets.example".into()),
        });
        record.set_additional_event_data(&serde_json::json!({ "a": [1, null] }));
        record.set_response_elements(&serde_json::json!({ "name": "b" }));
        let set = record.clone().into_body();
        assert_eq!(std::str::from_utf8(set.as_bytes()).unwrap(), serde_json::to_string(&record).unwrap());
        let parameters =
            |members: &mut Members<'_>| members.text("secretId", "btc-agent/twitter/credentials");
        let response = |members: &mut Members<'_>| members.text("name", "b");
        assert_eq!(record.clone().into_body_with(&parameters, &response).as_bytes(), set.as_bytes());
        record.response_elements = None;
        assert_eq!(
            record.clone().into_body_with(&parameters, &|_| {}).as_bytes(),
            record.into_body().as_bytes()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn times_agree_with_the_general_formatter(seconds in -10_000_000_000_i64..253_402_300_900) {
            if let Some(text) = event_time::ascii_of_this_age(seconds) {
                let time = Timestamp::from_millis(seconds * 1000);
                prop_assert_eq!(std::str::from_utf8(&text).unwrap(), time.to_rfc3339_seconds());
            }
        }

        #[test]
        fn a_strangers_record_is_small(
            agent in "\\PC{0,3000}", controls in "[\u{1}-\u{8}\"\\\\]{0,3000}", key in "\\PC{0,3000}"
        ) {
            let mut record = example();
            record.user_identity = UserIdentity::unknown(Some(key.into()));
            record.user_agent = Some(agent.into());
            record.error_message = Some(controls.clone().into());
            record.event_name = controls.clone().into();
            record.source_ip_address = controls.clone().into();
            record.aws_region = controls.clone().into();
            record.error_code = Some(controls.clone().into());
            record.request_id = Some(controls.clone().into());
            record.set_request_parameters(&controls);
            let body = record.into_stranger_body();
            prop_assert!(body.as_bytes().len() <= STRANGER_RECORD_BYTES_MAX);
            prop_assert!(RecordBody::from_bytes(body.as_bytes().to_vec()).is_ok());
        }
    }
}
