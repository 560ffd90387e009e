//! One HTTP call to a store: within its time, within its size, over TLS where the address says so.
//!
//! I/O: TCP and TLS, on the runtime of an [`super::engine::Engine`]. Connections are kept for the next call. Invariant: nothing
//! of an answer's body, and no header of a request, is in an error.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use crate::error::{ErrorKind, FetchError};
use crate::reference::Scheme;

/// How long one call may take to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
/// How long one call may take in all.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection that nobody uses is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// The largest answer: a document, as JSON or in base64, and what is around it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A client, and how it says what went wrong.
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    scheme: Scheme,
    /// What to do if nobody answers.
    reach: String,
}

/// Whose certificates count.
pub(crate) enum Trust<'a> {
    /// No TLS will be spoken.
    Nobody,
    /// The system's authorities; `SSL_CERT_FILE` names others.
    System,
    /// Those in a file.
    File(&'a Path),
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// A header, if it is a text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the store asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }
}

impl Http {
    /// A client of `scheme`'s. `reach` is what to do if nobody answers.
    pub(crate) fn new(
        scheme: Scheme,
        trust: Trust<'_>,
        reach: impl Into<String>,
    ) -> Result<Self, FetchError> {
        let misconfigured =
            |what: String, action: &str| FetchError::new(ErrorKind::Misconfigured, scheme, what, action);
        let mut roots = RootCertStore::empty();
        match trust {
            Trust::Nobody => {}
            Trust::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    let what = "this system has no certificates of authorities".to_owned();
                    return Err(misconfigured(what, "install ca-certificates, or set SSL_CERT_FILE"));
                }
            }
            Trust::File(path) => {
                let action = "name a file of certificates in PEM";
                let what = || format!("`{}` can't be read as certificates", path.display());
                let found = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| misconfigured(what(), action).caused_by(error))?;
                if roots.add_parsable_certificates(found).0 == 0 {
                    return Err(misconfigured(what(), action));
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| misconfigured("TLS can't be spoken".to_owned(), "report it").caused_by(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIME_MAX));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .build(connector);
        Ok(Self { client, scheme, reach: reach.into() })
    }

    /// Asks. Any status is an answer; no redirection is followed.
    pub(crate) async fn call(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&'static str, &str)],
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Answer, FetchError> {
        let misconfigured =
            |what: &str, action: &str| FetchError::new(ErrorKind::Misconfigured, self.scheme, what, action);
        let mut request = Request::new(Full::new(Bytes::from_owner(body)));
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().map_err(|_| {
            misconfigured("its address is none", "write one such as https://vault.example.com:8200")
        })?;
        let agent = HeaderValue::from_static(concat!("coffer/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(hyper::header::USER_AGENT, agent);
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                misconfigured("a token holds a control character", "write it without a line break")
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        match tokio::time::timeout(CALL_TIME_MAX, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(self.away("no answer in time")),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, FetchError> {
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            Err(error) if is_of_tls(&error) => {
                return Err(self.away("no connection that can be trusted").caused_by(Cause::of(&error)));
            }
            Err(error) => return Err(self.away("no connection").caused_by(Cause::of(&error))),
        };
        let (parts, mut rest) = answer.into_parts();
        let mut body = Zeroizing::new(Vec::with_capacity(8 * 1024));
        while let Some(frame) = rest.frame().await {
            let frame =
                frame.map_err(|error| self.away("the answer broke off").caused_by(Cause::of(&error)))?;
            let piece = frame.data_ref().map_or(&[][..], |piece| piece);
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                let what = format!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
                return Err(FetchError::new(ErrorKind::Malformed, self.scheme, what, self.reach.clone()));
            }
            body.extend_from_slice(piece);
        }
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    fn away(&self, what: &str) -> FetchError {
        FetchError::new(ErrorKind::Unavailable, self.scheme, what, self.reach.clone())
    }
}

fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(current) = error {
        let wrapped = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if current.is::<rustls::Error>() || wrapped.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        error = current.source();
    }
    false
}

/// What the libraries below said of a connection.
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
