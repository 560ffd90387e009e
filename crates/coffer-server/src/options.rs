//! How a server is to run, and why it does not.
//!
//! Pure.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::DevSettings;

/// How to serve.
pub struct ServeOptions {
    /// Where the AWS door listens. Beyond loopback only with [`DevSettings::expose`]; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that answer requests; as many as there are processors if `None`.
    pub threads: Option<NonZeroUsize>,
    /// Where the Unix socket is made; its folder is the owner's alone. A socket that is there is taken to be
    /// stale, so whoever calls holds the home's lock.
    pub socket: Option<PathBuf>,
    /// Set for a throw-away server.
    pub dev: Option<DevSettings>,
    /// What one caller, and all together, may use.
    pub limits: Limits,
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
    /// Longest time between two requests of a connection.
    pub idle_time_max: Duration,
    /// Most TCP connections; more are closed at once. Lowered to what the process may open.
    pub connections_max: usize,
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
            idle_time_max: Duration::from_secs(75),
            connections_max: 4096,
            local_connections_max: 64,
            drain_time_max: Duration::from_secs(10),
        }
    }
}

impl ServeOptions {
    /// Defaults on an address: no Unix socket, not a throw-away.
    pub fn on(listen: SocketAddr) -> Self {
        Self { listen, threads: None, socket: None, dev: None, limits: Limits::default() }
    }

    /// Only loopback, until there is TLS; a throw-away server may be exposed on request.
    pub(crate) fn check(&self) -> Result<(), ServeError> {
        let exposed = self.dev.as_ref().is_some_and(|dev| dev.expose);
        if self.listen.ip().to_canonical().is_loopback() || exposed {
            Ok(())
        } else {
            Err(ServeError::BeyondLoopback { address: self.listen })
        }
    }
}

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Asked to listen where others can reach it.
    #[error("cannot listen on `{address}`: coffer has no TLS yet and listens on loopback addresses only")]
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
    /// The Unix socket could not be made.
    #[error("cannot make the socket `{}`", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
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
    fn only_loopback_unless_a_throw_away_is_exposed() {
        for (listen, expose, served) in [
            ("127.0.0.1:8200", None, true),
            ("127.8.8.8:0", None, true),
            ("[::1]:8200", None, true),
            ("[::ffff:127.0.0.1]:8200", None, true),
            ("0.0.0.0:8200", None, false),
            ("[::]:8200", None, false),
            ("192.168.1.2:8200", None, false),
            ("0.0.0.0:8200", Some(false), false),
            ("0.0.0.0:8200", Some(true), true),
        ] {
            let mut options = ServeOptions::on(listen.parse().unwrap());
            options.dev = expose.map(|expose| DevSettings { expose, ..DevSettings::default() });
            assert_eq!(options.check().is_ok(), served, "{listen} {expose:?}");
        }
    }
}
