//! The door of AWS's Query protocol: IAM and STS, forms in and XML out.
//!
//! No I/O of its own, as [`crate::door`]. Which service is asked is what the request is *signed* for, so that a signature
//! for one is never good for the other: IAM in `us-east-1`, where it is in AWS, and STS in any region. Invariants: who is
//! asking is settled before a parameter is read, but for the token that settles it; whatever does not become an operation is recorded as refused.

use bytes::Bytes;
use coffer_core::ops::iam::{
    AddClientIDToOpenIDConnectProvider, AddUserToGroup, AttachPolicy, CreateAccessKey, CreateAccountAlias,
    CreateGroup, CreateOpenIDConnectProvider, CreatePolicy, CreatePolicyVersion, CreateRole, CreateUser,
    DeleteAccessKey, DeleteAccountAlias, DeleteGroup, DeleteInlinePolicy, DeleteOpenIDConnectProvider,
    DeletePermissionsBoundary, DeletePolicy, DeletePolicyVersion, DeleteRole, DeleteUser, DetachPolicy,
    GetAccessKeyLastUsed, GetAccountSummary, GetContextKeysForCustomPolicy, GetContextKeysForPrincipalPolicy,
    GetGroup, GetInlinePolicy, GetOpenIDConnectProvider, GetPolicy, GetPolicyVersion, GetRole, GetUser, Kind,
    ListAccessKeys, ListAccountAliases, ListAttachedPolicies, ListEntitiesForPolicy, ListEntityTags,
    ListGroups, ListGroupsForUser, ListInlinePolicies, ListOpenIDConnectProviders, ListPolicies,
    ListPoliciesGrantingServiceAccess, ListPolicyVersions, ListRoles, ListUsers, OfGroup, OfOidcProvider,
    OfPolicy, OfRole, OfUser, PutPermissionsBoundary, PutPolicy, RemoveClientIDFromOpenIDConnectProvider,
    RemoveUserFromGroup, SetDefaultPolicyVersion, SimulateCustomPolicy, SimulatePrincipalPolicy, TagEntity,
    UntagEntity, UpdateAccessKey, UpdateAssumeRolePolicy, UpdateGroup, UpdateOpenIDConnectProviderThumbprint,
    UpdateRole, UpdateRoleDescription, UpdateUser,
};
use coffer_core::ops::sts::{
    AssumeRole, AssumeRoleWithWebIdentity, DecodeAuthorizationMessage, GetCallerIdentity, GetSessionToken,
};
use coffer_core::{Claim, Context, Core, Error, Operation, OperationName, RequestInfo};
use coffer_types::Region;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::door::{Failure, Refusing, X_AMZ_TARGET, shorten};
use crate::errors::Refused;
use crate::sigv4::{self, Rejection, ScopeMismatch, SigV4Error};

mod errors;
mod iam;
pub mod parameters;
mod sts;
pub mod xml;

pub(crate) use errors::of_token;
use parameters::{Malformed, Parameters};
use xml::Xml;

pub(crate) const CONTENT_TYPE_XML: HeaderValue = HeaderValue::from_static("text/xml");
const CONTENT_TYPE_FORM: &str = "application/x-www-form-urlencoded";

/// A service behind this door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Iam,
    Sts,
}

impl Service {
    /// What requests are signed for.
    fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }

    pub(crate) fn event_source(self) -> &'static str {
        match self {
            Self::Iam => "iam.amazonaws.com",
            Self::Sts => "sts.amazonaws.com",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }

    /// The one whose request this is; IAM refuses what is signed for neither.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let authorization =
            headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let scope = authorization.split_once("Credential=").map_or("", |(_, scope)| scope);
        match scope.split('/').nth(3) {
            Some("sts") => Self::Sts,
            _ => Self::Iam,
        }
    }
}

/// Whether a request speaks the Query protocol: a form, and no target of another protocol.
pub(crate) fn speaks_query(headers: &HeaderMap) -> bool {
    // Most requests name a target, and are not looked at any further.
    !headers.contains_key(X_AMZ_TARGET)
        && headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|content_type| {
            let media_type = content_type.split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case(CONTENT_TYPE_FORM)
        })
}

/// An operation that comes as a form.
pub trait FromQuery: Sized {
    /// Reads it.
    fn from_query(parameters: Parameters) -> Result<Self, Malformed>;
}

/// An answer that goes out as XML.
pub trait ToXml {
    /// Writes what stands within the operation's result; `None` if it has none.
    ///
    /// `operation` is whose answer it is: some answer alike, and call it otherwise.
    fn to_xml(&self, operation: &str) -> Option<Xml>;
}

/// Something that stands in several answers.
trait Element {
    fn write(&self, kind: Kind, xml: &mut Xml);
}

/// Makes a service's table of operations and the function that runs them out of one list.
macro_rules! operations {
    ($table:ident, $run:ident, $service:expr, $($operation:ty),* $(,)?) => {
        /// Every operation of this service that is served, as core names them.
        pub const $table: &[OperationName] = &[$(<$operation as Operation>::NAME),*];

        async fn $run(core: &Core, context: &Context, action: &str, parameters: Parameters) -> Result<Bytes, Failure> {
            $(if action == <$operation as Operation>::NAME.name {
                return run_one::<$operation>(core, context, $service, parameters).await;
            })*
            Err(Failure::Unrecorded(unknown_action($service, action)))
        }
    };
}

operations! {
    IAM_OPERATIONS, run_iam, Service::Iam,
    AddClientIDToOpenIDConnectProvider,
    AddUserToGroup,
    AttachPolicy<OfGroup>,
    AttachPolicy<OfRole>,
    AttachPolicy<OfUser>,
    CreateAccessKey,
    CreateAccountAlias,
    CreateGroup,
    CreateOpenIDConnectProvider,
    CreatePolicy,
    CreatePolicyVersion,
    CreateRole,
    CreateUser,
    DeleteAccessKey,
    DeleteAccountAlias,
    DeleteGroup,
    DeleteInlinePolicy<OfGroup>,
    DeleteInlinePolicy<OfRole>,
    DeleteInlinePolicy<OfUser>,
    DeleteOpenIDConnectProvider,
    DeletePermissionsBoundary<OfRole>,
    DeletePermissionsBoundary<OfUser>,
    DeletePolicy,
    DeletePolicyVersion,
    DeleteRole,
    DeleteUser,
    DetachPolicy<OfGroup>,
    DetachPolicy<OfRole>,
    DetachPolicy<OfUser>,
    GetAccessKeyLastUsed,
    GetAccountSummary,
    GetContextKeysForCustomPolicy,
    GetContextKeysForPrincipalPolicy,
    GetGroup,
    GetInlinePolicy<OfGroup>,
    GetInlinePolicy<OfRole>,
    GetInlinePolicy<OfUser>,
    GetOpenIDConnectProvider,
    GetPolicy,
    GetPolicyVersion,
    GetRole,
    GetUser,
    ListAccessKeys,
    ListAccountAliases,
    ListAttachedPolicies<OfGroup>,
    ListAttachedPolicies<OfRole>,
    ListAttachedPolicies<OfUser>,
    ListEntitiesForPolicy,
    ListEntityTags<OfOidcProvider>,
    ListEntityTags<OfPolicy>,
    ListEntityTags<OfRole>,
    ListEntityTags<OfUser>,
    ListGroups,
    ListGroupsForUser,
    ListInlinePolicies<OfGroup>,
    ListInlinePolicies<OfRole>,
    ListInlinePolicies<OfUser>,
    ListOpenIDConnectProviders,
    ListPolicies,
    ListPoliciesGrantingServiceAccess,
    ListPolicyVersions,
    ListRoles,
    ListUsers,
    PutPermissionsBoundary<OfRole>,
    PutPermissionsBoundary<OfUser>,
    PutPolicy<OfGroup>,
    PutPolicy<OfRole>,
    PutPolicy<OfUser>,
    RemoveClientIDFromOpenIDConnectProvider,
    RemoveUserFromGroup,
    SetDefaultPolicyVersion,
    SimulateCustomPolicy,
    SimulatePrincipalPolicy,
    TagEntity<OfOidcProvider>,
    TagEntity<OfPolicy>,
    TagEntity<OfRole>,
    TagEntity<OfUser>,
    UntagEntity<OfOidcProvider>,
    UntagEntity<OfPolicy>,
    UntagEntity<OfRole>,
    UntagEntity<OfUser>,
    UpdateAccessKey,
    UpdateAssumeRolePolicy,
    UpdateGroup,
    UpdateOpenIDConnectProviderThumbprint,
    UpdateRole,
    UpdateRoleDescription,
    UpdateUser,
}

operations! {
    STS_OPERATIONS, run_sts, Service::Sts,
    AssumeRole,
    // Signed by nobody, so that it is answered before this.
    AssumeRoleWithWebIdentity,
    DecodeAuthorizationMessage,
    GetCallerIdentity,
    GetSessionToken,
}

async fn run_one<O>(
    core: &Core,
    context: &Context,
    service: Service,
    parameters: Parameters,
) -> Result<Bytes, Failure>
where
    O: Operation + FromQuery,
    O::Output: ToXml,
{
    let operation = O::from_query(parameters)
        .map_err(|malformed| Failure::Unrecorded(errors::of_parameters(&malformed)))?;
    let answer = core.execute(context, operation).await;
    let answer = answer.map_err(|error| Failure::Recorded(errors::of_core(&error)))?;
    Ok(Xml::response(
        service.namespace(),
        O::NAME.name,
        answer.to_xml(O::NAME.name),
        &context.request.request_id,
    ))
}

/// Answers a request that speaks the Query protocol: status and body.
pub(crate) async fn answer(
    core: &Core,
    head: &Parts,
    body: &[u8],
    request: &RequestInfo,
) -> (StatusCode, Bytes) {
    let by_token = by_token(head, body);
    let service = if by_token.is_some() { Service::Sts } else { Service::of(&head.headers) };
    let served = match by_token {
        Some(parameters) => {
            // To its end: who hangs up would else end the question to the issuer that others wait for, and leave no record.
            let serving = serve_by_token(core.clone(), parameters, request.clone());
            let served = core.run_to_end(serving).await;
            served.unwrap_or_else(|| {
                Err(errors::of_core(&Error::unavailable("a request was not served to its end")))
            })
        }
        None => serve(core, service, head, body, request).await,
    };
    match served {
        Ok(body) => (StatusCode::OK, body),
        Err(refused) => (refused.status, error_body(service, &refused, &request.request_id)),
    }
}

/// Records and writes a refusal of a request that was not read to its end.
pub(crate) async fn refuse(
    service: Service,
    refusing: Refusing<'_>,
    refused: Refused,
) -> (StatusCode, Bytes) {
    let request_id = refusing.request.request_id.clone();
    let refused = refusing.refuse_as(refused, errors::of_core).await;
    (refused.status, error_body(service, &refused, &request_id))
}

fn error_body(service: Service, refused: &Refused, request_id: &str) -> Bytes {
    let is_senders = refused.status.is_client_error();
    Xml::error(service.namespace(), is_senders, refused.code, &refused.message, request_id)
}

/// The parameters of a request that proves itself with an identity provider's token, and by no signature, as in AWS.
fn by_token(head: &Parts, body: &[u8]) -> Option<Parameters> {
    const ACTION: &str = <AssumeRoleWithWebIdentity as Operation>::NAME.name;
    // Most forms are not even looked at any further.
    let is_named = body.windows(ACTION.len()).any(|window| window == ACTION.as_bytes());
    if !is_named || head.method != Method::POST || head.uri.path() != "/" {
        return None;
    }
    let parameters = Parameters::parse(body).ok()?;
    let is_meant =
        parameters.raw("Action") == Some(ACTION) && parameters.raw("Version") == Some(Service::Sts.version());
    is_meant.then_some(parameters)
}

/// Answers a request that proves itself with a token. The shape of its parameters is all that is looked at before that.
async fn serve_by_token(core: Core, parameters: Parameters, request: RequestInfo) -> Result<Bytes, Refused> {
    const NAME: OperationName = <AssumeRoleWithWebIdentity as Operation>::NAME;
    let refusing = || Refusing {
        core: &core,
        context: None,
        request: &request,
        event_source: Service::Sts.event_source(),
        event_name: Some(NAME.name.to_owned()),
        access_key_id: None,
        region: None,
    };
    let (operation, token) = match sts::with_token(parameters) {
        Ok(both) => both,
        Err(malformed) => {
            return Err(refusing().refuse_as(errors::of_parameters(&malformed), errors::of_core).await);
        }
    };
    let claim = Claim::WebIdentity { account: operation.role.account, token };
    let context = match core.authenticate(claim, request.clone(), Service::Sts.event_source()).await {
        Ok(context) => context,
        Err(error) => {
            return Err(refusing().refuse_as(errors::of_authentication(&error), errors::of_core).await);
        }
    };
    let answer = core.execute(&context, operation).await.map_err(|error| errors::of_core(&error))?;
    Ok(Xml::response(
        Service::Sts.namespace(),
        NAME.name,
        answer.to_xml(NAME.name),
        &context.request.request_id,
    ))
}

async fn serve(
    core: &Core,
    service: Service,
    head: &Parts,
    body: &[u8],
    request: &RequestInfo,
) -> Result<Bytes, Refused> {
    let refusing = |context, event_name, access_key_id, region| Refusing {
        core,
        context,
        request,
        event_source: service.event_source(),
        event_name,
        access_key_id,
        region,
    };
    let claim = sigv4::parse(head, body, service.name()).and_then(|claim| match service {
        // IAM is one for all regions.
        Service::Iam if claim.region != Region::us_east_1() => Err(Rejection {
            error: SigV4Error::Scope(ScopeMismatch { region: true, ..ScopeMismatch::default() }),
            access_key_id: Some(claim.access_key_id.to_string()),
            region: Some(claim.region),
        }),
        Service::Iam | Service::Sts => Ok(claim),
    });
    let claim = match claim {
        Ok(claim) => claim,
        Err(rejection) => {
            let refusing = refusing(None, None, rejection.access_key_id, rejection.region);
            let mut refused = errors::of_signature(&rejection.error);
            if service == Service::Iam && matches!(&rejection.error, SigV4Error::Scope(scope) if scope.region)
            {
                refused.message.push_str(" IAM is one for all regions, and signed for us-east-1.");
            }
            return Err(refusing.refuse_as(refused, errors::of_core).await);
        }
    };
    let (access_key_id, region) = (claim.access_key_id.to_string(), claim.region.clone());
    let context = match core.authenticate(Claim::SigV4(claim), request.clone(), service.event_source()).await
    {
        Ok(context) => context,
        Err(error) => {
            let refusing = refusing(None, None, Some(access_key_id), Some(region));
            return Err(refusing.refuse_as(errors::of_authentication(&error), errors::of_core).await);
        }
    };
    let (action, outcome) = run(core, service, head, body, &context).await;
    match outcome {
        Ok(answer) => Ok(answer),
        Err(Failure::Recorded(refused)) => Err(refused),
        Err(Failure::Unrecorded(refused)) => {
            let action = action.filter(|action| !action.is_empty());
            let refusing = refusing(Some(context), action, Some(access_key_id), Some(region));
            Err(refusing.refuse_as(refused, errors::of_core).await)
        }
    }
}

/// Decodes and does what is asked by somebody who is known. Answers also what was asked, as far as that could be read.
async fn run(
    core: &Core,
    service: Service,
    head: &Parts,
    body: &[u8],
    context: &Context,
) -> (Option<String>, Result<Bytes, Failure>) {
    let refuse = |action, refused| (action, Err(Failure::Unrecorded(refused)));
    if head.method != Method::POST || head.uri.path() != "/" {
        let message = "This server takes POST requests to / only.".to_owned();
        return refuse(None, Refused::of_protocol(StatusCode::NOT_FOUND, "InvalidAction", message));
    }
    let parameters = match Parameters::parse(body) {
        Ok(parameters) => parameters,
        Err(malformed) => return refuse(None, errors::of_parameters(&malformed)),
    };
    let action = shorten(parameters.raw("Action").unwrap_or_default());
    let version = parameters.raw("Version").unwrap_or_default();
    if version != service.version() {
        let message = format!("Could not find operation {action} for version {}", shorten(version));
        return refuse(Some(action), Refused::of_protocol(StatusCode::BAD_REQUEST, "InvalidAction", message));
    }
    let outcome = match service {
        Service::Iam => run_iam(core, context, &action, parameters).await,
        Service::Sts => run_sts(core, context, &action, parameters).await,
    };
    (Some(action), outcome)
}

fn unknown_action(service: Service, action: &str) -> Refused {
    let message = format!("Could not find operation {action} for version {}", service.version());
    Refused::of_protocol(StatusCode::BAD_REQUEST, "InvalidAction", message)
}
