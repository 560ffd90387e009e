//! Google Cloud Secret Manager: `gcp://project/NAME?version=3#field`, by the official SDK.
//!
//! I/O: HTTPS, and wherever Google's application default credentials are looked for. The SDK and its runtime are begun when it is
//! first asked, once a process. The SDK's own retries of reads are off: `sources` has them, for all providers alike.
//! Invariant: a payload whose checksum is another is no value.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use coffer_types::SecretBytes;
use google_cloud_auth::credentials::{Builder, Credentials};
use google_cloud_auth::errors::CredentialsError;
use google_cloud_gax::error::Error;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use google_cloud_secretmanager_v1::model::AccessSecretVersionResponse;
use tokio::sync::OnceCell;

use crate::error::{ErrorKind, FetchError};
use crate::provider::{Facts, Fetched, Provider};
use crate::providers::engine::Engine;
use crate::reference::{Reference, Scheme};
use crate::surroundings::Surroundings;

/// How long one call may take in all.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a token may take. Where there is no metadata server, nobody says so.
const TOKEN_TIME_MAX: Duration = Duration::from_secs(5);
/// Where gcloud is led elsewhere, this is led there too.
const ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER";
/// What a chain writes where no project is known.
const NO_PROJECT: &str = "-";
/// What to do where an answer makes no sense.
const SEE_ENDPOINT: &str =
    "see whether CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER, if set, leads to Secret Manager";
/// What to do where nobody answers.
const SEE_REACH: &str = "see whether Google can be reached from here";
/// What to do where nobody is signed in.
const SIGN_IN: &str = "run where there is a service account, set GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`";

/// Google Cloud Secret Manager.
pub struct Gcp {
    settings: GcpSettings,
    engine: Engine<OnceCell<Client>>,
}

/// What is not left to the SDK's usual sources.
#[derive(Default)]
pub struct GcpSettings {
    /// Where to call, rather than Google.
    pub endpoint: Option<String>,
    /// The project where a reference says `-`.
    pub project: Option<String>,
    /// Whose call it is.
    pub credentials: Option<Credentials>,
}

#[derive(Clone)]
struct Client {
    credentials: Credentials,
    service: Arc<SecretManagerService>,
}

impl Gcp {
    /// As the environment says.
    pub fn new(surroundings: &Surroundings) -> Self {
        let variable = |name: &str| surroundings.variable(name).filter(|text| !text.is_empty());
        let project = variable("GCP_PROJECT_ID").or_else(|| variable("GOOGLE_CLOUD_PROJECT"));
        Self::with(GcpSettings {
            endpoint: variable(ENDPOINT).map(|url| url.trim_end_matches('/').to_owned()),
            project: project.map(str::to_owned),
            credentials: None,
        })
    }

    /// With some things settled.
    pub fn with(settings: GcpSettings) -> Self {
        Self { settings, engine: Engine::new(Scheme::Gcp) }
    }

    async fn client(&self) -> Result<Client, FetchError> {
        let credentials = match &self.settings.credentials {
            Some(credentials) => credentials.clone(),
            // What it says of a file may show what is in it.
            None => Builder::default()
                .build()
                .map_err(|_| failed(ErrorKind::Misconfigured, "the credentials can't be read", SIGN_IN))?,
        };
        let mut builder = SecretManagerService::builder()
            .with_credentials(credentials.clone())
            .with_retry_policy(NeverRetry)
            .with_attempt_timeout(CALL_TIME_MAX);
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let service = builder
            .build()
            .await
            .map_err(|_| failed(ErrorKind::Misconfigured, "its address is none", SEE_ENDPOINT))?;
        Ok(Client { credentials, service: Arc::new(service) })
    }

    /// The whole name of the version that is meant.
    fn version_of(&self, document: &Reference) -> Result<String, FetchError> {
        let (project, name) = document.path().split_once('/').unwrap_or((NO_PROJECT, document.path()));
        let project = match (project, &self.settings.project) {
            (NO_PROJECT, Some(project)) => project.as_str(),
            (NO_PROJECT, None) => {
                let action = "write gcp://PROJECT/NAME, or set GCP_PROJECT_ID";
                return Err(failed(ErrorKind::Misconfigured, "no project is named", action));
            }
            (project, _) => project,
        };
        let version = document.parameter("version").unwrap_or("latest");
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        // A project may belong to a domain: `example.com:bot`.
        let is_project = project.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte));
        if !is_project || !is_plain(name) || !is_plain(version) {
            let action = "write gcp://PROJECT/NAME?version=N: letters, digits, - and _";
            return Err(failed(ErrorKind::Misconfigured, "no secret of Google's is called so", action));
        }
        Ok(format!("projects/{project}/secrets/{name}/versions/{version}"))
    }
}

impl Provider for Gcp {
    fn scheme(&self) -> Scheme {
        Scheme::Gcp
    }

    fn fetch(&self, document: &Reference) -> Result<Fetched, FetchError> {
        let version = self.version_of(document)?;
        self.engine.run(OnceCell::new, async |cell| {
            let client = cell.get_or_try_init(|| self.client()).await?;
            // Asked first, so that "no token" and "no answer" can be told apart. The SDK keeps it.
            let token = client.credentials.headers(Default::default());
            match tokio::time::timeout(TOKEN_TIME_MAX, token).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(no_token(&error)),
                Err(_) => return Err(failed(ErrorKind::Unavailable, "no token in time", SIGN_IN)),
            }
            let call = client.service.access_secret_version().set_name(&version).send();
            match tokio::time::timeout(CALL_TIME_MAX, call).await {
                Ok(Ok(answer)) => fetched(answer),
                Ok(Err(error)) => Err(refused(&error, document, &version)),
                Err(_) => Err(failed(ErrorKind::Unavailable, "no answer in time", SEE_REACH)),
            }
        })
    }
}

fn fetched(answer: AccessSecretVersionResponse) -> Result<Fetched, FetchError> {
    let payload = answer
        .payload
        .ok_or_else(|| failed(ErrorKind::Malformed, "the answer holds no value", SEE_ENDPOINT))?;
    if payload.data_crc32c.is_some_and(|sum| sum != i64::from(crc32c(&payload.data))) {
        let action = "try again; if it stays so, write the secret anew";
        return Err(failed(ErrorKind::Malformed, "the value does not fit its checksum", action));
    }
    // projects/123456789/secrets/NAME/versions/7
    let mut words = answer.name.split('/').skip(1).step_by(2);
    let (project, name, version) = (words.next(), words.next(), words.next());
    let identity = project.zip(name).map(|(project, name)| format!("{project}/{name}"));
    let facts =
        Facts { name: name.map(str::to_owned), version_id: version.map(str::to_owned), ..Facts::default() };
    let value = SecretBytes::copy_from(&payload.data);
    Ok(Fetched::new(value).identified(identity).with_facts(facts))
}

/// Castagnoli's CRC-32, which Google sends along. Slow and plain: a payload has 64 KiB at most.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

/// Why there is no token. What Google's library says may show a key, and is not told.
fn no_token(error: &CredentialsError) -> FetchError {
    match error.is_transient() {
        true => failed(ErrorKind::Unavailable, "no token could be had", SIGN_IN),
        false => failed(ErrorKind::Denied, "the credentials were refused", SIGN_IN),
    }
}

/// The table of what Google refuses with.
fn refused(error: &Error, document: &Reference, version: &str) -> FetchError {
    // Without retries of its own the SDK may say that they are exhausted, with the error inside.
    if let Some(inner) = error.source().and_then(|source| source.downcast_ref::<Error>()) {
        return refused(inner, document, version);
    }
    if let Some(error) = error.source().and_then(|source| source.downcast_ref::<CredentialsError>()) {
        return no_token(error);
    }
    let name = document.path();
    let status = error.status();
    let refusal = match (status.map(|status| status.code), error.http_status_code()) {
        (Some(Code::NotFound), _) => failed(
            ErrorKind::NotFound,
            format!("there is no `{name}`, or no such version of it"),
            "see name, version and project",
        ),
        // It is there and switched off on purpose: no default may stand in.
        (Some(Code::FailedPrecondition), _) => {
            match status.is_some_and(|status| status.message.contains("DESTROYED")) {
                true => failed(
                    ErrorKind::NotFound,
                    format!("`{version}` was destroyed"),
                    "add a version: `gcloud secrets versions add`",
                ),
                false => failed(
                    ErrorKind::Denied,
                    format!("`{version}` is disabled"),
                    "switch it on: `gcloud secrets versions enable`",
                ),
            }
        }
        (Some(Code::PermissionDenied), _) | (None, Some(403)) => {
            let action = match name.split_once('/') {
                Some((project, secret)) => format!(
                    "allow it: gcloud secrets add-iam-policy-binding {secret} --project {project} \
                     --role roles/secretmanager.secretAccessor --member …"
                ),
                None => "give it roles/secretmanager.secretAccessor".to_owned(),
            };
            failed(ErrorKind::Denied, format!("this caller may not read `{name}`"), action)
        }
        (Some(Code::Unauthenticated), _) | (None, Some(401)) => {
            failed(ErrorKind::Denied, "the credentials are wrong or no longer good", SIGN_IN)
        }
        (Some(Code::ResourceExhausted), _) | (None, Some(429)) => failed(
            ErrorKind::Throttled,
            "Google was asked too often",
            "ask less often: a longer `fresh`; or raise the quota",
        ),
        (Some(Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented), _) => {
            failed(ErrorKind::Misconfigured, format!("`{version}` was refused"), "correct the reference")
        }
        (Some(Code::Unavailable | Code::Internal | Code::DeadlineExceeded | Code::Aborted), _) => {
            failed(ErrorKind::Unavailable, "Google failed", SEE_REACH)
        }
        // A status of no known name: what HTTP says tells as much as there is.
        (_, Some(401 | 403)) => {
            failed(ErrorKind::Denied, format!("this caller may not read `{name}`"), SIGN_IN)
        }
        (_, Some(500..)) => failed(ErrorKind::Unavailable, "Google failed", SEE_REACH),
        (_, Some(200..=299)) => failed(ErrorKind::Malformed, "the answer can't be read", SEE_ENDPOINT),
        (_, Some(status)) => {
            failed(ErrorKind::Misconfigured, format!("it was refused with status {status}"), SEE_ENDPOINT)
        }
        (Some(_), None) => failed(ErrorKind::Unavailable, "Google failed", SEE_REACH),
        (None, None) if error.is_deserialization() => {
            failed(ErrorKind::Malformed, "the answer can't be read", SEE_ENDPOINT)
        }
        (None, None) if error.is_binding() || error.is_serialization() => failed(
            ErrorKind::Misconfigured,
            format!("`{version}` can't be asked for"),
            "correct the reference",
        ),
        (None, None) if error.is_timeout() => failed(ErrorKind::Unavailable, "no answer in time", SEE_REACH),
        (None, None) => failed(ErrorKind::Unavailable, "no connection, or one that broke off", SEE_REACH),
    };
    let wait =
        error.http_headers().and_then(|headers| headers.get("retry-after")?.to_str().ok()?.parse().ok());
    match wait.map(Duration::from_secs) {
        Some(time) => refusal.retry_after(time),
        None => refusal,
    }
}

fn failed(kind: ErrorKind, what: impl Into<String>, action: impl Into<String>) -> FetchError {
    FetchError::new(kind, Scheme::Gcp, what, action)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4, and the usual check value.
    #[test]
    fn checksums() {
        for (bytes, expected) in
            [(&b""[..], 0), (b"123456789", 0xe306_9283), (&[0; 32], 0x8a91_36aa), (&[0xff; 32], 0x62a8_ab43)]
        {
            assert_eq!(crc32c(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn versions() {
        let settled = |project: Option<&str>| {
            Gcp::with(GcpSettings { project: project.map(str::to_owned), ..GcpSettings::default() })
        };
        for (project, reference, expected) in [
            (None, "gcp://p/N", Some("projects/p/secrets/N/versions/latest")),
            (None, "gcp://p/N?version=3", Some("projects/p/secrets/N/versions/3")),
            (None, "gcp://example.com:p/N", Some("projects/example.com:p/secrets/N/versions/latest")),
            (Some("q"), "gcp://-/N", Some("projects/q/secrets/N/versions/latest")),
            (None, "gcp://-/N", None),
            (None, "gcp://p/a/b", None),
            (None, "gcp://p/..", None),
            (None, "gcp://p/N?version=1:destroy", None),
        ] {
            let version = settled(project).version_of(&reference.parse().unwrap());
            assert_eq!(version.ok().as_deref(), expected, "{reference}");
        }
    }
}
