//! AWS Secrets Manager: `aws://NAME?region=…#field`, by the official SDK.
//!
//! I/O: HTTPS, and wherever AWS's chain of credentials looks. The SDK and its runtime are begun when it is first asked, once a
//! process. The SDK's own retries are off: `sources` has them, for all providers alike.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput};
use coffer_types::SecretBytes;

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

/// The clients by region.
type Clients = Mutex<HashMap<Option<String>, Client>>;

impl Aws {
    /// As the SDK is set up: environment, profiles, roles, `AWS_ENDPOINT_URL`.
    pub fn new() -> Self {
        Self::with(AwsSettings::default())
    }

    /// With some things settled.
    pub fn with(settings: AwsSettings) -> Self {
        Self { settings, engine: Engine::new(Scheme::Aws) }
    }

    async fn client(&self, clients: &Clients, region: Option<&str>) -> Result<Client, FetchError> {
        let key = region.or(self.settings.region.as_deref()).map(str::to_owned);
        let known = clients.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let times = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .operation_timeout(CALL_TIME_MAX)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(times);
        if let Some(region) = &key {
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
        let client = Client::new(&config);
        clients.lock().unwrap_or_else(PoisonError::into_inner).insert(key, client.clone());
        Ok(client)
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
        self.engine.run(Clients::default, async |clients| {
            let client = self.client(clients, document.parameter("region")).await?;
            let call = client
                .get_secret_value()
                .secret_id(document.path())
                .set_version_id(document.parameter("version").map(str::to_owned))
                .set_version_stage(document.parameter("stage").map(str::to_owned));
            match call.send().await {
                Ok(output) => fetched(output),
                Err(error) => Err(refused(&error, document)),
            }
        })
    }
}

fn fetched(output: GetSecretValueOutput) -> Result<Fetched, FetchError> {
    let facts = Facts {
        name: output.name,
        arn: output.arn.clone(),
        version_id: output.version_id,
        stages: output.version_stages.unwrap_or_default(),
        created_millis: output.created_date.and_then(|date| date.to_millis().ok()),
        is_binary: output.secret_string.is_none(),
    };
    let value = match (output.secret_string, output.secret_binary) {
        (Some(text), _) => SecretBytes::from(text),
        (None, Some(bytes)) => SecretBytes::new(bytes.into_inner()),
        (None, None) => {
            return Err(FetchError::new(
                ErrorKind::Malformed,
                Scheme::Aws,
                "the answer holds no value",
                "see whether AWS_ENDPOINT_URL leads to Secrets Manager",
            ));
        }
    };
    Ok(Fetched::new(value).identified(output.arn).with_facts(facts))
}

/// The table of what AWS refuses with.
fn refused(error: &SdkError<GetSecretValueError, HttpResponse>, document: &Reference) -> FetchError {
    let name = document.path();
    let failed = |kind, what: String, action: String| FetchError::new(kind, Scheme::Aws, what, action);
    let away = |what: &str| {
        failed(ErrorKind::Unavailable, what.to_owned(), "see whether AWS can be reached from here".to_owned())
    };
    let unreadable = || {
        let what = "the answer can't be read".to_owned();
        failed(ErrorKind::Malformed, what, "see whether AWS_ENDPOINT_URL leads to Secrets Manager".to_owned())
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
                Some(CredentialsError::CredentialsNotLoaded(_)) => failed(
                    ErrorKind::Misconfigured,
                    "no credentials were found".to_owned(),
                    "give this program a role, or set AWS_PROFILE".to_owned(),
                ),
                Some(_) => failed(
                    ErrorKind::Denied,
                    "credentials were refused".to_owned(),
                    "see `aws sts get-caller-identity`; sign in again".to_owned(),
                ),
            }
            .caused_by(Cause::of(error));
        }
    };
    let statement = || {
        let resource = match name.starts_with("arn:") {
            true => name.to_owned(),
            false => format!("arn:aws:secretsmanager:*:*:secret:{name}-??????"),
        };
        format!(
            "allow it: {{\"Effect\":\"Allow\",\"Action\":\"secretsmanager:GetSecretValue\",\"Resource\":\"{resource}\"}}"
        )
    };
    let (kind, what, action) = match refusal.code().unwrap_or_default() {
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
        // An error of no known name: its status tells as much as there is.
        _ => match answer.status().as_u16() {
            429 => (ErrorKind::Throttled, "AWS was asked too often".to_owned(), "ask less often".to_owned()),
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
