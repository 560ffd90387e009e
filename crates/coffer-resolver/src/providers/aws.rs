//! AWS Secrets Manager: `aws://NAME?region=…&role_arn=…#field`, by the official SDK.
//!
//! I/O: HTTPS, and wherever AWS's chain of credentials looks. The SDK and its runtime are begun when it is first asked, once a
//! process. The SDK's own retries are off: `sources` has them, for all providers alike. Who asks for several secrets at once is
//! answered by one call (`batch`).

mod batch;

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::config::http::{HttpRequest, HttpResponse};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::primitives::{Blob, DateTime};
use aws_sdk_secretsmanager::{Client, Config};
use batch::Batch;
use coffer_types::{CorrelationId, SecretBytes};

use crate::error::{ErrorKind, FetchError};
use crate::provider::{Facts, Fetched, Provider};
use crate::providers::engine::Engine;
use crate::reference::{Reference, Scheme};

/// How long one call may take to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
/// How long one call may take in all.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);

/// AWS Secrets Manager.
pub struct Aws {
    settings: AwsSettings,
    engine: Engine<Clients>,
}

/// What is not left to the SDK's usual sources.
#[derive(Default)]
pub struct AwsSettings {
    /// Where to call, rather than AWS.
    pub endpoint: Option<String>,
    /// The region where a reference says none.
    pub region: Option<String>,
    /// Whose call it is.
    pub credentials: Option<Credentials>,
}

/// Who asks, and where: a region and a role.
type Place = (Option<String>, Option<String>);

/// Most clients that are kept.
const CLIENTS_MAX: usize = 64;
/// How long one is kept that nobody uses: a role that is no longer asked for leaves, and its keys with it.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// The clients of one process, and when each was used last.
type Clients = Mutex<HashMap<Place, (Connected, Instant)>>;

#[derive(Clone)]
struct Connected {
    client: Client,
    batch: Arc<Batch>,
}

impl Aws {
    /// As the SDK is set up: environment, profiles, roles, `AWS_ENDPOINT_URL`.
    pub fn new() -> Self {
        Self::with(AwsSettings::default())
    }

    /// With some things settled.
    pub fn with(settings: AwsSettings) -> Self {
        Self { settings, engine: Engine::new(Scheme::Aws) }
    }

    async fn client(&self, clients: &Clients, document: &Reference) -> Result<Connected, FetchError> {
        let region = document.parameter("region").or(self.settings.region.as_deref()).map(str::to_owned);
        let role = document.parameter("role_arn").map(str::to_owned);
        let place = (region, role);
        {
            let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let_idle_go(&mut clients, now);
            if let Some((connected, used)) = clients.get_mut(&place) {
                *used = now;
                return Ok(connected.clone());
            }
        }
        let (region, role) = &place;
        let times = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .operation_timeout(CALL_TIME_MAX)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(times);
        if let Some(region) = region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(credentials) = &self.settings.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(FetchError::new(
                ErrorKind::Misconfigured,
                Scheme::Aws,
                "no region is set",
                "write ?region=… behind the name, or set AWS_REGION",
            ));
        }
        let client = match role {
            None => Client::new(&config),
            Some(role) => {
                let assumed =
                    AssumeRoleProvider::builder(role).session_name("coffer").configure(&config).build().await;
                let config = Config::from(&config).to_builder().credentials_provider(assumed).build();
                Client::from_conf(config)
            }
        };
        let connected = Connected { client, batch: Arc::new(Batch::new()) };
        // Whoever was first stays, so that all gather at one place.
        let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !clients.contains_key(&place) {
            make_room(&mut clients, CLIENTS_MAX);
        }
        Ok(clients.entry(place).or_insert_with(|| (connected, Instant::now())).0.clone())
    }
}

/// Lets go what nobody has used for long.
fn let_idle_go<K: Eq + Hash, V>(known: &mut HashMap<K, (V, Instant)>, now: Instant) {
    known.retain(|_, (_, used)| now.saturating_duration_since(*used) < IDLE_TIME_MAX);
}

/// Lets what was not used for longest go until one more has room.
fn make_room<K: Clone + Eq + Hash, V>(known: &mut HashMap<K, (V, Instant)>, max: usize) {
    while known.len() >= max {
        let oldest = known.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
        let Some(oldest) = oldest else { return };
        known.remove(&oldest);
    }
}

impl Default for Aws {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for Aws {
    fn scheme(&self) -> Scheme {
        Scheme::Aws
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        self.read(document, None)
    }

    fn fetch_as(&self, document: &Reference, id: &CorrelationId) -> Result<Fetched, FetchError> {
        self.read(document, Some(id))
    }
}

impl Aws {
    fn read(&self, document: &Reference, id: Option<&CorrelationId>) -> Result<Fetched, FetchError> {
        self.engine.run(Clients::default, async |clients| {
            let Connected { client, batch } = self.client(clients, document).await?;
            let (version, stage) = (document.parameter("version"), document.parameter("stage"));
            // Batches know no versions and no labels.
            if version.is_none()
                && stage.is_none()
                && let Some(answer) = batch.read(&client, document.path(), id).await
            {
                return answer;
            }
            let call = client
                .get_secret_value()
                .secret_id(document.path())
                .set_version_id(version.map(str::to_owned))
                .set_version_stage(stage.map(str::to_owned));
            let mut call = call.customize();
            if let Some(id) = id.cloned() {
                call = call.mutate_request(move |request| named(request, &id));
            }
            match call.send().await {
                Ok(output) => Read {
                    name: output.name,
                    arn: output.arn,
                    version_id: output.version_id,
                    stages: output.version_stages,
                    created: output.created_date,
                    text: output.secret_string,
                    bytes: output.secret_binary,
                }
                .fetched(),
                Err(error) => Err(refused(&error, document.path())),
            }
        })
    }
}

/// Says what a call is known by. Signatures leave this header out, since whoever hands a request on may add to it.
fn named(request: &mut HttpRequest, id: &CorrelationId) {
    // An id is legal in a header.
    let _ = request.headers_mut().try_insert("x-amzn-trace-id", id.as_str().to_owned());
}

/// What was read, alone or in a batch.
struct Read {
    name: Option<String>,
    arn: Option<String>,
    version_id: Option<String>,
    stages: Option<Vec<String>>,
    created: Option<DateTime>,
    text: Option<String>,
    bytes: Option<Blob>,
}

impl Read {
    fn fetched(self) -> Result<Fetched, FetchError> {
        let facts = Facts {
            name: self.name,
            arn: self.arn.clone(),
            version_id: self.version_id,
            stages: self.stages.unwrap_or_default(),
            created_millis: self.created.and_then(|date| date.to_millis().ok()),
            is_binary: self.text.is_none(),
        };
        let value = match (self.text, self.bytes) {
            (Some(text), _) => SecretBytes::from(text),
            (None, Some(bytes)) => SecretBytes::new(bytes.into_inner()),
            (None, None) => {
                let action = "see whether AWS_ENDPOINT_URL leads to Secrets Manager";
                return Err(failed(ErrorKind::Malformed, "the answer holds no value", action));
            }
        };
        Ok(Fetched::new(value).identified(self.arn).with_facts(facts))
    }
}

fn failed(kind: ErrorKind, what: impl Into<String>, action: impl Into<String>) -> FetchError {
    FetchError::new(kind, Scheme::Aws, what, action)
}

/// What went wrong with a call.
fn refused<E>(error: &SdkError<E, HttpResponse>, name: &str) -> FetchError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let away = |what: &str| failed(ErrorKind::Unavailable, what, "see whether AWS can be reached from here");
    let unreadable = || {
        let action = "see whether AWS_ENDPOINT_URL leads to Secrets Manager";
        failed(ErrorKind::Malformed, "the answer can't be read", action)
    };
    let (refusal, answer) = match error {
        SdkError::ServiceError(service) => (service.err(), service.raw()),
        SdkError::TimeoutError(_) => return away("no answer in time"),
        // Not even its cause is told: it may show the answer.
        SdkError::ResponseError(_) => return unreadable(),
        _ => {
            return match credentials_error(error) {
                None => away("no connection"),
                Some(CredentialsError::ProviderTimedOut(_)) => away("no credentials in time"),
                // The SDK has one kind for a role that is denied and for STS that is away; only its words differ.
                Some(_) if is_of_the_wire(error) => away("no credentials, since AWS can't be reached"),
                Some(CredentialsError::CredentialsNotLoaded(_)) => failed(
                    ErrorKind::Misconfigured,
                    "no credentials were found",
                    "give this program a role, or set AWS_PROFILE",
                ),
                Some(_) => failed(
                    ErrorKind::Denied,
                    "credentials were refused",
                    "see `aws sts get-caller-identity`; sign in again; see whether its role may be assumed",
                ),
            }
            .caused_by(Cause::of(error));
        }
    };
    let (kind, what, action) = match refusal.code().and_then(|code| refused_by_code(code, name)) {
        Some(known) => known,
        // An error of no known name: its status tells as much as there is.
        None => match answer.status().as_u16() {
            429 => (ErrorKind::Throttled, "AWS was asked too often".to_owned(), "ask less often".to_owned()),
            401 | 403 => (
                ErrorKind::Denied,
                format!("this caller may not read `{name}`"),
                "see `aws sts get-caller-identity`, and what the endpoint lets through".to_owned(),
            ),
            200..=299 => return unreadable(),
            500.. => (
                ErrorKind::Unavailable,
                "AWS failed".to_owned(),
                "see whether AWS can be reached from here".to_owned(),
            ),
            status => (
                ErrorKind::Misconfigured,
                format!("the request was refused with status {status}"),
                "see whether AWS_ENDPOINT_URL leads to Secrets Manager".to_owned(),
            ),
        },
    };
    let refusal = failed(kind, what, action).caused_by(Cause::of(error));
    let asked_to_wait = answer.headers().get("retry-after").and_then(|text| text.parse().ok());
    match asked_to_wait.map(Duration::from_secs) {
        Some(time) => refusal.retry_after(time),
        None => refusal,
    }
}

/// The table of what AWS refuses with, by name; `None` for a name that is not known.
fn refused_by_code(code: &str, name: &str) -> Option<(ErrorKind, String, String)> {
    let statement = || {
        let resource = match name.starts_with("arn:") {
            true => name.to_owned(),
            false => format!("arn:aws:secretsmanager:*:*:secret:{name}-??????"),
        };
        format!(
            "allow it: {{\"Effect\":\"Allow\",\"Action\":\"secretsmanager:GetSecretValue\",\"Resource\":\"{resource}\"}}"
        )
    };
    Some(match code {
        "ResourceNotFoundException" => (
            ErrorKind::NotFound,
            format!("there is no `{name}`, or no such version of it"),
            "see name, region and account".to_owned(),
        ),
        // It is there and marked for deletion, or some such: no default may stand in.
        "InvalidRequestException" => (
            ErrorKind::Denied,
            format!("`{name}` can't be read as it is now"),
            format!(
                "see `aws secretsmanager describe-secret --secret-id {name}`; it may be marked for deletion"
            ),
        ),
        "InvalidParameterException" | "ValidationException" => (
            ErrorKind::Misconfigured,
            format!("`{name}` is not what AWS takes for a name, or its version or label is not"),
            "correct the reference".to_owned(),
        ),
        "DecryptionFailure" => (
            ErrorKind::DecryptionFailed,
            format!("`{name}` can't be decrypted with its key"),
            "see whether its KMS key is enabled, and allow kms:Decrypt on it".to_owned(),
        ),
        "AccessDeniedException" | "AccessDenied" => {
            (ErrorKind::Denied, format!("this caller may not read `{name}`"), statement())
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => (
            ErrorKind::Denied,
            "the credentials are wrong or no longer good".to_owned(),
            "see `aws sts get-caller-identity`; sign in again".to_owned(),
        ),
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "SlowDown" => (
            ErrorKind::Throttled,
            "AWS was asked too often".to_owned(),
            "ask less often: a longer `fresh`".to_owned(),
        ),
        "InternalServiceError"
        | "InternalServiceErrorException"
        | "InternalFailure"
        | "ServiceUnavailable" => (
            ErrorKind::Unavailable,
            "AWS failed".to_owned(),
            "see whether AWS can be reached from here".to_owned(),
        ),
        _ => return None,
    })
}

/// Why there were no credentials, if that is why.
fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(found) = current.downcast_ref() {
            return Some(found);
        }
        error = current.source();
    }
    None
}

fn is_of_the_wire(error: &dyn Error) -> bool {
    let Cause(text) = Cause::of(error);
    // The first two words are of the call that needed the credentials.
    let text = text.trim_start_matches("dispatch failure");
    ["dispatch failure", "timed out", "timeout"].iter().any(|words| text.contains(words))
}

/// What the SDK said, without the request and the answer that its own error carries.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

impl Cause {
    fn of(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            // Writing to a String can't fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_for_an_hour_leaves() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut known: HashMap<&str, ((), Instant)> =
            [("idle", ((), at(0))), ("used", ((), at(1800)))].into_iter().collect();
        for (now, expected) in [(3599, vec!["idle", "used"]), (3600, vec!["used"]), (5400, vec![])] {
            let_idle_go(&mut known, at(now));
            let mut left: Vec<&str> = known.keys().copied().collect();
            left.sort_unstable();
            assert_eq!(left, expected, "{now}");
        }
    }

    #[test]
    fn as_many_clients_as_there_is_room_for() {
        let began = Instant::now();
        let mut known: HashMap<u64, ((), Instant)> = HashMap::new();
        for number in 0..100 {
            make_room(&mut known, 4);
            // The first is used all the time.
            if let Some((_, used)) = known.get_mut(&0) {
                *used = began + Duration::from_secs(number);
            }
            known.insert(number, ((), began + Duration::from_secs(number)));
        }
        let mut left: Vec<u64> = known.into_keys().collect();
        left.sort_unstable();
        assert_eq!(left, [0, 97, 98, 99]);
    }
}
