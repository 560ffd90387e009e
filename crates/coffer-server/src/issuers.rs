//! What identity providers publish: over HTTPS, or out of files that the server was given.
//!
//! Invariants: no redirection is followed; every answer has bounds of time and size; without TLS nobody is asked but this machine;
//! whom this machine trusts is read for each question, so nothing that went wrong once stays. Which URL may be asked for is core's
//! business.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffer_core::{FetchError, ISSUER_KEYS_BYTES_MAX, IssuerSource, check_issuer_keys};
use coffer_store::BoxFuture;
use coffer_types::IssuerUrl;
use http::uri::InvalidUri;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::CertificateResult;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{ServeError, Warn};

/// Longest time an issuer has for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Most bytes of an answer's headers.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// An issuer that fails again is told of again after this long; it may be asked every five seconds.
const QUIET_TIME: Duration = Duration::from_secs(60);
/// Most issuers of which is kept when they were told of.
const TOLD_MAX: usize = 512;

/// Asks issuers.
pub(crate) struct IssuerClient {
    /// Issuers that are never asked, and where their keys are.
    given: Vec<(IssuerUrl, PathBuf)>,
    warn: Warn,
    /// When each issuer's failures were last told.
    told: Mutex<HashMap<IssuerUrl, Instant>>,
}

impl IssuerClient {
    pub(crate) fn new(given: Vec<(IssuerUrl, PathBuf)>, warn: Warn) -> Self {
        Self { given, warn, told: Mutex::default() }
    }
}

impl IssuerSource for IssuerClient {
    fn given<'a>(
        &'a self,
        issuer: &'a IssuerUrl,
        bytes_max: usize,
    ) -> Option<BoxFuture<'a, Result<Vec<u8>, FetchError>>> {
        let (_, path) = self.given.iter().find(|(given, _)| given == issuer)?;
        Some(Box::pin(async move {
            let keys = read(path, bytes_max).map_err(|error| unreachable(path.display(), error))?;
            if keys.len() > bytes_max { Err(useless(path.display(), "it is too long")) } else { Ok(keys) }
        }))
    }

    fn get<'a>(&'a self, url: &'a str, bytes_max: usize) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        Box::pin(async move {
            timeout(ANSWER_TIME_MAX, ask(url, bytes_max))
                .await
                .unwrap_or_else(|_| Err(unreachable(url, "no answer within five seconds")))
        })
    }

    fn note_failure(&self, issuer: &IssuerUrl, error: &FetchError) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(issuer).is_some_and(|told| now.duration_since(*told) < QUIET_TIME) {
            return;
        }
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert(issuer.clone(), now);
        drop(told);
        let mut text = format!("no keys of identity provider `{}`: {error}", issuer.as_str());
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        (self.warn)(&text);
    }
}

/// Whether every file of keys is there and has some.
pub fn check_oidc_keys(given: &[(IssuerUrl, PathBuf)]) -> Result<(), ServeError> {
    for (issuer, path) in given {
        let cannot = |source| ServeError::OidcKeys { issuer: issuer.clone(), path: path.clone(), source };
        let keys = read(path, ISSUER_KEYS_BYTES_MAX).map_err(|error| cannot(Box::new(error)))?;
        check_issuer_keys(&keys).map_err(|error| cannot(Box::new(error)))?;
    }
    Ok(())
}

/// At most one byte more than so many, which tells that there are more.
fn read(path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    let mut keys = Vec::new();
    std::fs::File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut keys)?;
    Ok(keys)
}

/// What was tried, and what came of it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Tried {
    what: String,
    #[source]
    cause: Box<dyn Error + Send + Sync>,
}

fn unreachable(what: impl Display, cause: impl Into<Box<dyn Error + Send + Sync>>) -> FetchError {
    FetchError::unreachable(Tried { what: what.to_string(), cause: cause.into() })
}

fn useless(what: impl Display, cause: impl Into<Box<dyn Error + Send + Sync>>) -> FetchError {
    FetchError::useless(Tried { what: what.to_string(), cause: cause.into() })
}

async fn ask(url: &str, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
    let uri: Uri = url.parse().map_err(|error: InvalidUri| useless(url, error))?;
    let host = uri.host().ok_or_else(|| useless(&uri, "it names no host"))?.trim_matches(['[', ']']);
    let is_plain = uri.scheme_str() == Some("http");
    let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
    let stream = TcpStream::connect((host, port)).await.map_err(|error| unreachable(&uri, error))?;
    if is_plain {
        return exchange(TokioIo::new(stream), &uri, bytes_max).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| useless(&uri, error))?;
    let config = trust_of_this_machine().await.map_err(|error| unreachable(&uri, error))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    exchange(TokioIo::new(stream.map_err(|error| unreachable(&uri, error))?), &uri, bytes_max).await
}

/// The certificates that this machine trusts, so that an authority of its owner's own is one of them.
async fn trust_of_this_machine() -> Result<ClientConfig, Box<dyn Error + Send + Sync>> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(found)?)
        .with_no_client_auth();
    Ok(config)
}

/// What can't be read, or is no certificate that rustls takes, vouches for nobody; if there is nothing else, that is a failure.
fn roots(found: CertificateResult) -> Result<RootCertStore, Tried> {
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let what = "this machine trusts no certificate authority (SSL_CERT_FILE names a file of them)".to_owned();
    Err(match found.errors.into_iter().next() {
        Some(cause) => Tried { what, cause: Box::new(cause) },
        None => Tried { what, cause: format!("{unusable} certificates of no use").into() },
    })
}

/// Ends a task when it is not needed any more.
struct Driven(JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One question and its answer.
async fn exchange<S>(stream: S, uri: &Uri, bytes_max: usize) -> Result<Vec<u8>, FetchError>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(HEADER_BYTES_MAX).handshake(stream).await;
    let (mut sender, connection) = handshake.map_err(|error| unreachable(uri, error))?;
    let _driven = Driven(tokio::spawn(async move { drop(connection.await) }));
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("coffer/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| useless(uri, error))?;
    let response = sender.send_request(request).await.map_err(|error| unreachable(uri, error))?;
    match response.status() {
        StatusCode::OK => {}
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(unreachable(uri, status.to_string()));
        }
        status => return Err(useless(uri, status.to_string())),
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    body.map(|body| body.to_bytes().to_vec()).map_err(|error| {
        if error.is::<LengthLimitError>() { useless(uri, error) } else { unreachable(uri, error) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(certificates: &[&[u8]], errors: Vec<rustls_native_certs::Error>) -> CertificateResult {
        let mut found = CertificateResult::default();
        found.certs = certificates.iter().map(|certificate| certificate.to_vec().into()).collect();
        found.errors = errors;
        found
    }

    #[test]
    fn trust_in_nobody_is_a_failure() {
        for (certificates, told) in [(&[][..], "0 certificates"), (&[&b"none"[..]], "1 certificates")] {
            let error = roots(found(certificates, Vec::new())).unwrap_err();
            assert!(error.cause.to_string().starts_with(told), "{}", error.cause);
        }
    }

    #[test]
    fn an_issuer_that_fails_is_told_of_once_a_minute_with_the_cause() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&said);
        let warn: Warn = Arc::new(move |text: &str| hear.lock().unwrap().push(text.to_owned()));
        let client = IssuerClient::new(Vec::new(), warn);
        let issuer: IssuerUrl = "https://idp.example".parse().unwrap();
        let error = useless("https://idp.example/keys", "404 Not Found");
        for _ in 0..3 {
            client.note_failure(&issuer, &error);
        }
        client.note_failure(&"https://other.example".parse().unwrap(), &error);
        let said = said.lock().unwrap();
        assert_eq!(said.len(), 2);
        assert_eq!(
            said[0],
            "no keys of identity provider `https://idp.example`: the answer is of no use: https://idp.example/keys: 404 Not Found"
        );
    }
}
