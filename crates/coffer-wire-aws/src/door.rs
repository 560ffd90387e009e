//! The AWS door: a whole request in, a whole response out.
//!
//! No I/O of its own: it has no store, no key and no socket, and waits only on core. Invariants: who is asking is
//! settled before a body is read; whatever does not become an operation goes through [`Core::refuse`], so that
//! nothing is refused without a record; each answer has a request id and the server's time, which clients
//! correct their clocks by.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;

use bytes::Bytes;
use coffer_core::ops::secrets::{
    BatchGetSecretValue, CreateSecret, DeleteSecret, DescribeSecret, GetRandomPassword, GetSecretValue,
    ListSecretVersionIds, ListSecrets, PutSecretValue, RestoreSecret, TagResource, UntagResource,
    UpdateSecret, UpdateSecretVersionStage,
};
use coffer_core::{
    Claim, Context, Core, Error, Operation, OperationName, Refusal, RequestInfo, TlsSession, Transport,
};
use coffer_types::{CorrelationId, Region, Timestamp};
use http::header::{CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use zeroize::Zeroize;

use crate::errors::Refused;
use crate::from_wire::{self, BODY_BYTES_MAX, FromWire};
use crate::query;
use crate::sigv4;
use crate::to_wire::ToWire;

/// The service a request must be signed for, and the prefix of its target.
pub const SERVICE: &str = "secretsmanager";
/// CloudTrail's name for this door.
pub const EVENT_SOURCE: &str = "secretsmanager.amazonaws.com";

const CONTENT_TYPE_JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const X_AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(crate) const X_AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// Where a client says what it calls a request: tracing's own, what proxies and frameworks use, and what every SDK of
/// AWS's sends. The first that is there counts.
const CORRELATION_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-amzn-trace-id"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("amz-sdk-invocation-id"),
];
/// Most bytes of a user agent that are recorded.
const USER_AGENT_BYTES_MAX: usize = 1024;
/// Most characters of an unknown operation's name that are told and recorded.
const UNKNOWN_NAME_CHARS_MAX: usize = 128;

/// Makes the table of operations and the function that runs them out of one list, so that they agree.
macro_rules! operations {
    (read_batch: $batch:ident, $($operation:ident),* $(,)?) => {
        /// Every operation this door serves, as core names them.
        pub const OPERATIONS: &[OperationName] = &[<$batch as Operation>::NAME, $(<$operation as Operation>::NAME),*];

        async fn run(core: &Core, context: &Context, name: &str, body: &[u8]) -> Result<Bytes, Failure> {
            match name {
                stringify!($batch) => run_batch(core, context, body).await,
                $(stringify!($operation) => run_one::<$operation>(core, context, body).await,)*
                _ => Err(Failure::Unrecorded(unknown_operation(name))),
            }
        }
    };
}

operations! {
    read_batch: BatchGetSecretValue,
    CreateSecret,
    DeleteSecret,
    DescribeSecret,
    GetRandomPassword,
    GetSecretValue,
    ListSecretVersionIds,
    ListSecrets,
    PutSecretValue,
    RestoreSecret,
    TagResource,
    UntagResource,
    UpdateSecret,
    UpdateSecretVersionStage,
}

/// A refusal, and whether core has recorded it.
pub(crate) enum Failure {
    /// By core, which has.
    Recorded(Refused),
    /// By this door; it has yet to go through [`Core::refuse`].
    Unrecorded(Refused),
}

async fn run_one<O>(core: &Core, context: &Context, body: &[u8]) -> Result<Bytes, Failure>
where
    O: Operation + FromWire,
    O::Output: ToWire,
{
    let operation: O =
        from_wire::decode(body).map_err(|malformed| Failure::Unrecorded(Refused::from(&malformed)))?;
    let answer = core.execute(context, operation).await;
    answer.map(|answer| answer.to_wire(context)).map_err(|error| Failure::Recorded(Refused::from(&error)))
}

/// A batch is many operations, which core puts through its gate one by one.
async fn run_batch(core: &Core, context: &Context, body: &[u8]) -> Result<Bytes, Failure> {
    let batch: BatchGetSecretValue =
        from_wire::decode(body).map_err(|malformed| Failure::Unrecorded(Refused::from(&malformed)))?;
    let answer = core.read_batch(context, batch).await;
    answer.map(|answer| answer.to_wire(context)).map_err(|error| Failure::Recorded(Refused::from(&error)))
}

/// Says, among its extensions, that a request came over TLS.
#[derive(Clone, Copy, Debug)]
pub struct OverTls(pub TlsSession);

/// Answers a request, whose whole body has been read, from `source`.
///
/// The body is wiped afterwards, also if the caller stops waiting, unless somebody else still holds a part of it.
pub async fn answer(core: &Core, request: Request<Bytes>, source: IpAddr) -> Response<Bytes> {
    if request.body().len() > BODY_BYTES_MAX {
        let protocol = Protocol::of(request.headers());
        return refuse_early(core, EarlyRefusal::BodyTooLarge, protocol, source).await;
    }
    let (head, body) = request.into_parts();
    let body = WipedBody(body);
    let tls = head.extensions.get::<OverTls>().map(|OverTls(session)| *session);
    let request = request_info(core, &head.headers, source, tls);
    if query::speaks_query(&head.headers) {
        let (status, answer) = query::answer(core, &head, &body.0, &request).await;
        return with_headers(core, &request.request_id, status, answer, query::CONTENT_TYPE_XML);
    }
    let outcome = serve(core, &head, &body.0, &request).await;
    respond(core, &request.request_id, outcome)
}

/// A request's body, which may hold a value.
struct WipedBody(Bytes);

impl Drop for WipedBody {
    fn drop(&mut self) {
        if let Ok(mut body) = std::mem::take(&mut self.0).try_into_mut() {
            body.as_mut().zeroize();
        }
    }
}

async fn serve(core: &Core, head: &Parts, body: &[u8], request: &RequestInfo) -> Result<Bytes, Refused> {
    let target = Target::of(&head.headers);
    let stranger = |access_key_id, region| Refusing {
        core,
        context: None,
        request,
        event_source: EVENT_SOURCE,
        event_name: target.operation().map(|operation| operation.name.to_owned()),
        access_key_id,
        region,
    };

    let claim = match sigv4::parse(head, body, SERVICE) {
        Ok(claim) => claim,
        Err(rejection) => {
            let refused = Refused::from(&rejection.error);
            return Err(stranger(rejection.access_key_id, rejection.region).refuse(refused).await);
        }
    };
    let (access_key_id, region) = (claim.access_key_id.clone(), claim.region.clone());
    let context = match core.authenticate(Claim::SigV4(claim), request.clone(), EVENT_SOURCE).await {
        Ok(context) => context,
        Err(error) => {
            let refused = Refused::from(&error);
            return Err(stranger(Some(access_key_id.to_string()), Some(region)).refuse(refused).await);
        }
    };

    let outcome = if head.method != Method::POST || head.uri.path() != "/" {
        Err(Failure::Unrecorded(Refused::of_protocol(
            StatusCode::NOT_FOUND,
            "UnknownOperationException",
            "This server takes POST requests to / only.".to_owned(),
        )))
    } else {
        match target.name {
            Some(name) => run(core, &context, name, body).await,
            None => Err(Failure::Unrecorded(unknown_operation(target.as_sent))),
        }
    };
    match outcome {
        Ok(answer) => Ok(answer),
        Err(Failure::Recorded(refused)) => Err(refused),
        Err(Failure::Unrecorded(refused)) => {
            let event_name = Some(target.name.unwrap_or(target.as_sent)).filter(|name| !name.is_empty());
            let refusing = Refusing {
                core,
                event_source: EVENT_SOURCE,
                event_name: event_name.map(shorten),
                access_key_id: Some(access_key_id.to_string()),
                region: Some(context.region.clone()),
                request,
                context: Some(context),
            };
            Err(refusing.refuse(refused).await)
        }
    }
}

/// `X-Amz-Target`, taken apart.
struct Target<'a> {
    as_sent: &'a str,
    /// What follows the service's prefix, if that is there.
    name: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let as_sent = headers.get(X_AMZ_TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
        Self { as_sent, name: as_sent.strip_prefix(SERVICE).and_then(|rest| rest.strip_prefix('.')) }
    }

    fn operation(&self) -> Option<&'static OperationName> {
        OPERATIONS.iter().find(|operation| self.name == Some(operation.name))
    }
}

fn unknown_operation(name: &str) -> Refused {
    let served: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
    let served = served.join(", ");
    let message = if name.is_empty() {
        format!("The request names no operation in X-Amz-Target. This server serves {SERVICE}: {served}.")
    } else {
        format!("The operation {} is not served. This server serves {SERVICE}: {served}.", shorten(name))
    };
    Refused::of_protocol(StatusCode::BAD_REQUEST, "UnknownOperationException", message)
}

pub(crate) fn shorten(name: &str) -> String {
    name.chars().take(UNKNOWN_NAME_CHARS_MAX).collect()
}

/// What is known of a request that is about to be refused.
pub(crate) struct Refusing<'a> {
    pub(crate) core: &'a Core,
    pub(crate) context: Option<Context>,
    pub(crate) request: &'a RequestInfo,
    pub(crate) event_source: &'static str,
    pub(crate) event_name: Option<String>,
    pub(crate) access_key_id: Option<String>,
    pub(crate) region: Option<Region>,
}

impl Refusing<'_> {
    /// Records the refusal and hands it back; if it cannot be recorded, the refusal is that.
    async fn refuse(self, refused: Refused) -> Refused {
        self.refuse_as(refused, |error| Refused::from(error)).await
    }

    /// The same, where errors of core are told otherwise.
    pub(crate) async fn refuse_as(self, refused: Refused, tell: impl FnOnce(&Error) -> Refused) -> Refused {
        let refusal = Refusal {
            context: self.context,
            request: self.request.clone(),
            event_source: self.event_source,
            event_name: self.event_name,
            region: self.region,
            access_key_id: self.access_key_id,
            code: refused.code,
            message: refused.record_text().to_owned(),
        };
        match self.core.refuse(refusal).await {
            Ok(()) => refused,
            Err(error) => tell(&error),
        }
    }
}

/// Why the server refuses what it could not read to its end, or could not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyRefusal {
    /// The body has more than [`BODY_BYTES_MAX`] bytes.
    BodyTooLarge,
    /// The headers are too large.
    HeadersTooLarge,
    /// The request did not come in time.
    TooSlow,
    /// The request breaks off or is not HTTP.
    Unreadable,
    /// Plain HTTP where TLS is spoken.
    PlainOnTlsPort,
    /// TLS where plain HTTP is spoken.
    TlsOnPlainPort,
    /// The TLS handshake came to nothing.
    HandshakeFailed,
    /// The server is busy with as much as it takes on.
    Overloaded,
    /// Answering it failed inside coffer, through a fault of coffer's.
    Failed,
}

impl EarlyRefusal {
    fn refused(self) -> Refused {
        let (status, code, message) = match self {
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLargeException",
                "The request body has more than 524288 bytes.",
            ),
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "RequestHeaderFieldsTooLargeException",
                "The request headers are too large.",
            ),
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "RequestTimeoutException", "The request was not sent in time.")
            }
            Self::Unreadable => {
                (StatusCode::BAD_REQUEST, "SerializationException", "The request could not be read.")
            }
            Self::PlainOnTlsPort => (
                StatusCode::BAD_REQUEST,
                "HttpsRequired",
                "This is plain HTTP, and this port speaks TLS: use https://.",
            ),
            Self::TlsOnPlainPort => (
                StatusCode::BAD_REQUEST,
                "HttpRequired",
                "This is TLS, and this port speaks plain HTTP: use http://, or start the server with --tls.",
            ),
            Self::HandshakeFailed => (
                StatusCode::BAD_REQUEST,
                "TlsHandshakeFailed",
                "The TLS handshake failed: the client trusts another certificate, or speaks neither TLS 1.2 nor 1.3.",
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailableException",
                "The server has too many requests to answer. Try again.",
            ),
            Self::Failed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServiceError",
                "An error occurred on the server side.",
            ),
        };
        Refused::of_protocol(status, code, message.to_owned())
    }
}

/// The protocol a request speaks, as far as its headers have come: a refusal is to be read by whoever wrote the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(Option<query::Service>);

impl Protocol {
    /// That of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        Self(query::speaks_query(headers).then(|| query::Service::of(headers)))
    }

    /// What is spoken where no headers have come.
    pub fn unknown() -> Self {
        Self(None)
    }
}

/// Records a refusal that the server itself makes, and answers it.
pub async fn refuse_early(
    core: &Core,
    early: EarlyRefusal,
    protocol: Protocol,
    source: IpAddr,
) -> Response<Bytes> {
    let request = request_info(core, &HeaderMap::new(), source, None);
    let refusing = Refusing {
        core,
        context: None,
        request: &request,
        event_source: protocol.0.map_or(EVENT_SOURCE, query::Service::event_source),
        event_name: None,
        access_key_id: None,
        region: None,
    };
    let Some(service) = protocol.0 else {
        let refused = refusing.refuse(early.refused()).await;
        return respond(core, &request.request_id, Err(refused));
    };
    let (status, body) = query::refuse(service, refusing, early.refused()).await;
    with_headers(core, &request.request_id, status, body, query::CONTENT_TYPE_XML)
}

fn request_info(core: &Core, headers: &HeaderMap, source: IpAddr, tls: Option<TlsSession>) -> RequestInfo {
    let user_agent = headers.get(USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
    let user_agent =
        std::str::from_utf8(user_agent).map_or_else(|_| String::from_utf8_lossy(user_agent), Cow::Borrowed);
    let (user_agent, _) = user_agent.split_at(user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX));
    RequestInfo {
        request_id: core.new_request_id(),
        correlation_id: correlation_id(headers),
        source: Some(source),
        user_agent: user_agent.into(),
        transport: tls.map_or(Transport::Plain, |session| Transport::Tls {
            session,
            host: headers.get(HOST).and_then(|host| host.to_str().ok()).map(Into::into),
        }),
    }
}

/// What the client calls the request: the first header that looks like an id. What does not is left out: it may be anything.
fn correlation_id(headers: &HeaderMap) -> Option<CorrelationId> {
    CORRELATION_HEADERS.iter().find_map(|name| CorrelationId::from_bytes(headers.get(name)?.as_bytes()).ok())
}

fn respond(core: &Core, request_id: &str, outcome: Result<Bytes, Refused>) -> Response<Bytes> {
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(refused) => (refused.status, refused.body()),
    };
    with_headers(core, request_id, status, body, CONTENT_TYPE_JSON)
}

fn with_headers(
    core: &Core,
    request_id: &str,
    status: StatusCode,
    body: Bytes,
    content_type: HeaderValue,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert(X_AMZN_REQUEST_ID, request_id);
    }
    headers.insert(DATE, date_header(core.now()));
    response
}

thread_local! {
    /// The newest `Date`, which stays the same for a second.
    static DATE_HEADER: RefCell<(i64, HeaderValue)> = const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) };
}

fn date_header(now: Timestamp) -> HeaderValue {
    let second = now.as_millis().div_euclid(1000);
    DATE_HEADER.with_borrow_mut(|(known, value)| {
        if *known != second
            && let Ok(fresh) = HeaderValue::from_str(&now.to_http_date())
        {
            (*known, *value) = (second, fresh);
        }
        value.clone()
    })
}
