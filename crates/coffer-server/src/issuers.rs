//! What identity providers publish: over HTTPS, or out of files that the server was given.
//!
//! Invariants: no redirection is followed; every answer has bounds of time and size; without TLS nobody is asked but this machine.
//! Which URL may be asked for is core's business.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coffer_core::{FetchError, IssuerSource};
use coffer_store::BoxFuture;
use coffer_types::IssuerUrl;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest time an issuer has for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Most bytes of an answer's headers.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Asks issuers.
pub(crate) struct IssuerClient {
    /// Issuers that are never asked, and where their keys are.
    given: Vec<(IssuerUrl, PathBuf)>,
    /// Whom this machine trusts, read when it is first needed.
    tls: OnceCell<Arc<ClientConfig>>,
}

impl IssuerClient {
    pub(crate) fn new(given: Vec<(IssuerUrl, PathBuf)>) -> Self {
        Self { given, tls: OnceCell::new() }
    }

    async fn ask(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::Useless)?;
        let host = uri.host().ok_or(FetchError::Useless)?.trim_matches(['[', ']']);
        let is_plain = uri.scheme_str() == Some("http");
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let stream = TcpStream::connect((host, port)).await.map_err(|_| FetchError::Unreachable)?;
        if is_plain {
            return exchange(TokioIo::new(stream), &uri, bytes_max).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Useless)?;
        let config = self.tls.get_or_try_init(trust_of_this_machine).await?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        exchange(TokioIo::new(stream.map_err(|_| FetchError::Unreachable)?), &uri, bytes_max).await
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
            let read = || -> std::io::Result<Vec<u8>> {
                let mut keys = Vec::new();
                std::fs::File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut keys)?;
                Ok(keys)
            };
            let keys = read().map_err(|_| FetchError::Unreachable)?;
            if keys.len() > bytes_max { Err(FetchError::Useless) } else { Ok(keys) }
        }))
    }

    fn get<'a>(&'a self, url: &'a str, bytes_max: usize) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        Box::pin(async move {
            timeout(ANSWER_TIME_MAX, self.ask(url, bytes_max)).await.unwrap_or(Err(FetchError::Unreachable))
        })
    }
}

/// The certificates that this machine trusts, so that an authority of its owner's own is one of them.
async fn trust_of_this_machine() -> Result<Arc<ClientConfig>, FetchError> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    // What can't be read, or is no certificate that rustls takes, vouches for nobody.
    roots.add_parsable_certificates(found.map_err(|_| FetchError::Unreachable)?.certs);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| FetchError::Unreachable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
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
    let (mut sender, connection) = handshake.map_err(|_| FetchError::Unreachable)?;
    let _driven = Driven(tokio::spawn(async move { drop(connection.await) }));
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("coffer/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Useless)?;
    let response = sender.send_request(request).await.map_err(|_| FetchError::Unreachable)?;
    match response.status() {
        StatusCode::OK => {}
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(FetchError::Unreachable);
        }
        _ => return Err(FetchError::Useless),
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    body.map(|body| body.to_bytes().to_vec()).map_err(|error| {
        match error.downcast_ref::<LengthLimitError>() {
            Some(_) => FetchError::Useless,
            None => FetchError::Unreachable,
        }
    })
}
