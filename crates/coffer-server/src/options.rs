//! How a server is to run, and why it does not.
//!
//! Pure.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use coffer_types::IssuerUrl;

use crate::service_manager::PassedSockets;
use crate::{DevSettings, TlsError, TlsIdentity};

/// Tells the owner of a running server something, in people's words.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// Somebody who wants to be told that the server is well, such as a watchdog.
pub struct Watcher {
    /// How often.
    pub every: Duration,
    /// Called so often, for as long as every worker takes turns.
    pub well: Box<dyn Fn() + Send>,
}

/// How to serve.
pub struct ServeOptions {
    /// Where the AWS door listens; port 0 takes a free one. Beyond loopback only with TLS, or if
    /// [`Self::plain_http_beyond_loopback`] or [`DevSettings::expose`] says so.
    pub listen: SocketAddr,
    /// Whose certificate is shown; plain HTTP if `None`.
    pub tls: Option<TlsIdentity>,
    /// Serve plain HTTP where everybody on the way can read it.
    pub plain_http_beyond_loopback: bool,
    /// Where warnings go.
    pub warn: Warn,
    /// Threads that answer requests; as many as there are processors if `None`.
    pub threads: Option<NonZeroUsize>,
    /// Where the Unix socket is made; its folder is the owner's alone. A socket that is there is taken to be
    /// stale, so whoever calls holds the home's lock.
    pub socket: Option<PathBuf>,
    /// Set for a throw-away server.
    pub dev: Option<DevSettings>,
    /// Where the metrics are served, to whoever asks; if `None`, beside the AWS door, to programs of this machine.
    pub metrics_listen: Option<SocketAddr>,
    /// Sockets that listen already, instead of those this server would make itself.
    pub passed: PassedSockets,
    /// Who is told that the server is well.
    pub watcher: Option<Watcher>,
    /// Ends the drain at once.
    pub at_once: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What one caller, and all together, may use.
    pub limits: Limits,
    /// Files with the keys of identity providers, which then are not asked for them.
    pub oidc_keys: Vec<(IssuerUrl, PathBuf)>,
}

/// What one caller, and all together, may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of a request line and headers. At most 64 KiB.
    pub header_bytes_max: usize,
    /// Most bytes of a body.
    pub body_bytes_max: usize,
    /// Most bytes of all bodies that arrive or are being answered, beyond [`BODY_BYTES_FREE`] of each.
    pub arriving_bytes_max: usize,
    /// Longest time from the first byte of a request to its last, and longest a client may leave an answer unread.
    pub request_time_max: Duration,
    /// Longest time a TLS handshake may take.
    pub handshake_time_max: Duration,
    /// Longest time between two requests of a connection.
    pub idle_time_max: Duration,
    /// Most TCP connections; more are closed at once. Lowered to what the process may open.
    pub connections_max: usize,
    /// Most TCP connections of one source: an address, or a /64 network of IPv6; more are closed at once.
    pub source_connections_max: usize,
    /// Most connections on the Unix socket.
    pub local_connections_max: usize,
    /// Longest time that requests under way may take once the server is told to stop.
    pub drain_time_max: Duration,
}

/// So many bytes of a body are not counted in [`Limits::arriving_bytes_max`].
pub const BODY_BYTES_FREE: usize = 16 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes_max: 8 * 1024,
            body_bytes_max: 512 * 1024,
            arriving_bytes_max: 64 * 1024 * 1024,
            request_time_max: Duration::from_secs(10),
            handshake_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(75),
            connections_max: 4096,
            source_connections_max: 1024,
            local_connections_max: 64,
            drain_time_max: Duration::from_secs(10),
        }
    }
}

impl ServeOptions {
    /// Defaults on an address: plain HTTP, no Unix socket, not a throw-away, nobody to warn.
    pub fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            plain_http_beyond_loopback: false,
            warn: Arc::new(|_| {}),
            threads: None,
            socket: None,
            dev: None,
            metrics_listen: None,
            passed: PassedSockets::default(),
            watcher: None,
            at_once: None,
            limits: Limits::default(),
            oidc_keys: Vec::new(),
        }
    }

    /// Beyond loopback only with TLS, unless told otherwise. The known keys of a throw-away server are no better
    /// kept with TLS, so it is told of exposure as such.
    pub(crate) fn check(&self, listen: SocketAddr) -> Result<(), ServeError> {
        let told = match &self.dev {
            Some(dev) => dev.expose,
            None => self.tls.is_some() || self.plain_http_beyond_loopback,
        };
        if listen.ip().to_canonical().is_loopback() || told {
            Ok(())
        } else {
            Err(ServeError::BeyondLoopback { address: listen })
        }
    }
}

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Asked to listen where others can reach it, in plain HTTP or with known keys.
    #[error("cannot listen on `{address}`: others can reach it there, and read along")]
    BeyondLoopback {
        /// Where.
        address: SocketAddr,
    },
    /// The address is taken or not this machine's.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The address of the metrics is taken or not this machine's.
    #[error("cannot listen on `{address}` for the metrics")]
    ListenForMetrics {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The Unix socket could not be made.
    #[error("cannot make the socket `{}`", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file that was to give the keys of an identity provider does not.
    #[error("no keys of `{}` in `{}`", issuer.as_str(), path.display())]
    OidcKeys {
        /// Whose.
        issuer: IssuerUrl,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no certificate to show.
    #[error(transparent)]
    Tls(TlsError),
    /// A thread or its reactor could not be made.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Serving ended, and the store or its log did not close well.
    #[error("the store did not close well")]
    Close(#[source] coffer_core::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_only_with_tls_unless_told_otherwise() {
        const PLAIN: (bool, bool) = (false, false);
        const TLS: (bool, bool) = (true, false);
        const TOLD: (bool, bool) = (false, true);
        for (listen, (tls, told), expose, served) in [
            ("127.0.0.1:8200", PLAIN, None, true),
            ("127.8.8.8:0", PLAIN, None, true),
            ("[::1]:8200", PLAIN, None, true),
            ("[::ffff:127.0.0.1]:8200", PLAIN, None, true),
            ("0.0.0.0:8200", PLAIN, None, false),
            ("[::]:8200", PLAIN, None, false),
            ("192.168.1.2:8200", PLAIN, None, false),
            ("192.168.1.2:8200", TLS, None, true),
            ("192.168.1.2:8200", TOLD, None, true),
            ("0.0.0.0:8200", PLAIN, Some(false), false),
            ("0.0.0.0:8200", TLS, Some(false), false),
            ("0.0.0.0:8200", TOLD, Some(false), false),
            ("0.0.0.0:8200", PLAIN, Some(true), true),
        ] {
            let mut options = ServeOptions::on(listen.parse().unwrap());
            options.tls =
                tls.then(|| TlsIdentity::Files { certificate: PathBuf::new(), key: PathBuf::new() });
            options.plain_http_beyond_loopback = told;
            options.dev = expose.map(|expose| DevSettings { expose, ..DevSettings::default() });
            assert_eq!(options.check(options.listen).is_ok(), served, "{listen} {expose:?}");
        }
    }
}
