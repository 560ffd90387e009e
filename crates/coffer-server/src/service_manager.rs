//! The program that started this one and looks after it, if there is one: systemd, or what speaks as it does.
//!
//! I/O: the environment, listening sockets that were passed, and the datagrams of `sd_notify`. Invariant: what is not
//! meant for this very process is left alone.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use listenfd::ListenFd;

/// Sockets that may be passed at once; systemd itself passes fewer.
const SOCKETS_MAX: usize = 16;
/// What a unit calls the socket of the metrics; any other is the AWS door's.
const METRICS_NAME: &str = "metrics";

/// Listening sockets that were passed to this process.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// For the AWS door.
    pub aws: Option<TcpListener>,
    /// For the metrics.
    pub metrics: Option<TcpListener>,
}

/// Why passed sockets can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedSocketsError {
    /// `LISTEN_FDS` is no number, or too large a one.
    #[error("LISTEN_FDS is not a number from 1 to {SOCKETS_MAX}")]
    Count,
    /// More than one of a kind.
    #[error("more than one socket was passed by the name `{0}`")]
    Twice(String),
    /// Not a listening TCP socket.
    #[error("the passed socket {0} is not one that listens on TCP")]
    Unusable(usize, #[source] io::Error),
}

impl PassedSockets {
    /// Those that the environment tells of. To be called once: they are taken.
    pub fn take() -> Result<Self, PassedSocketsError> {
        let variable = |name: &str| env::var(name).ok();
        let names = socket_names(variable, std::process::id())?;
        let mut passed = Self::default();
        if names.is_empty() {
            return Ok(passed);
        }
        let mut sockets = ListenFd::from_env();
        for (number, name) in names.into_iter().enumerate() {
            let unusable = |error| PassedSocketsError::Unusable(number, error);
            let gone = || unusable(io::ErrorKind::NotFound.into());
            let listener = sockets.take_tcp_listener(number).map_err(unusable)?.ok_or_else(gone)?;
            listener.set_nonblocking(true).map_err(unusable)?;
            let place = if name == METRICS_NAME { &mut passed.metrics } else { &mut passed.aws };
            if place.replace(listener).is_some() {
                return Err(PassedSocketsError::Twice(name));
            }
        }
        Ok(passed)
    }
}

/// The name of each socket that was passed to this process; empty for one that has none.
fn socket_names(
    variable: impl Fn(&str) -> Option<String>,
    process: u32,
) -> Result<Vec<String>, PassedSocketsError> {
    let Some(count) = variable("LISTEN_FDS") else { return Ok(Vec::new()) };
    if variable("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(process) {
        return Ok(Vec::new());
    }
    let count: usize = count.parse().map_err(|_| PassedSocketsError::Count)?;
    if !(1..=SOCKETS_MAX).contains(&count) {
        return Err(PassedSocketsError::Count);
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names: Vec<_> = names.split(':').map(str::to_owned).collect();
    names.resize(count, String::new());
    Ok(names)
}

/// The one that wants to be told how this process is doing.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one that the environment names, if it names one that can be spoken to.
    pub fn from_environment() -> Option<Self> {
        let address = notify_address(&env::var_os("NOTIFY_SOCKET")?)?;
        let watchdog = watchdog_interval(|name| env::var(name).ok(), std::process::id());
        Some(Self { socket: UnixDatagram::unbound().ok()?, address, watchdog })
    }

    /// Serving has begun; `status` is for people.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
    }

    /// It ends.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// It is well. To be said each [`Self::watchdog`].
    pub fn well(&self) {
        self.say("WATCHDOG=1");
    }

    /// How often to say so, if at all: twice as often as is asked for.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Nobody waits for an answer, and there is nothing to do about one who does not listen.
    fn say(&self, what: &str) {
        drop(self.socket.send_to_addr(what.as_bytes(), &self.address));
    }
}

fn notify_address(socket: &OsStr) -> Option<SocketAddr> {
    match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(socket).ok(),
        _ => None,
    }
}

fn watchdog_interval(variable: impl Fn(&str) -> Option<String>, process: u32) -> Option<Duration> {
    let meant = variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(process));
    let micros: u64 = variable("WATCHDOG_USEC").filter(|_| meant)?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros / 2).max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn which_sockets_were_passed_to_this_process() {
        for (variables, expected) in [
            (&[][..], Some(&[][..])),
            (&[("LISTEN_FDS", "1")], Some(&[])),
            (&[("LISTEN_FDS", "1"), ("LISTEN_PID", "8")], Some(&[])),
            (&[("LISTEN_FDS", "1"), ("LISTEN_PID", "")], Some(&[])),
            (&[("LISTEN_FDS", "1"), ("LISTEN_PID", "7")], Some(&[""])),
            (&[("LISTEN_FDS", "2"), ("LISTEN_PID", "7"), ("LISTEN_FDNAMES", "aws")], Some(&["aws", ""])),
            (&[("LISTEN_FDS", "1"), ("LISTEN_PID", "7"), ("LISTEN_FDNAMES", "a:b")], Some(&["a"])),
            (&[("LISTEN_FDS", "0"), ("LISTEN_PID", "7")], None),
            (&[("LISTEN_FDS", "17"), ("LISTEN_PID", "7")], None),
            (&[("LISTEN_FDS", "-1"), ("LISTEN_PID", "7")], None),
            (&[("LISTEN_FDS", "x"), ("LISTEN_PID", "7")], None),
        ] {
            let names = socket_names(in_environment(variables), 7).ok();
            let expected = expected.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(names, expected, "{variables:?}");
        }
    }

    #[test]
    fn how_often_it_says_that_it_is_well() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("WATCHDOG_USEC", "30000000")], Some(15_000)),
            (&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "7")], Some(15_000)),
            (&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "8")], None),
            (&[("WATCHDOG_USEC", "0")], None),
            (&[("WATCHDOG_USEC", "1")], Some(1)),
            (&[("WATCHDOG_USEC", "soon")], None),
        ] {
            let interval = watchdog_interval(in_environment(variables), 7);
            assert_eq!(interval, expected.map(Duration::from_millis), "{variables:?}");
        }
    }

    #[test]
    fn what_is_said_arrives_by_either_kind_of_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("coffer-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (listener, socket) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            let address = notify_address(&socket).unwrap();
            let notifier = Notifier { socket: UnixDatagram::unbound().unwrap(), address, watchdog: None };
            notifier.ready("serving\non a");
            notifier.well();
            notifier.stopping();
            let mut buffer = [0; 100];
            for expected in ["READY=1\nSTATUS=serving on a", "WATCHDOG=1", "STOPPING=1"] {
                let length = listener.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], expected.as_bytes());
            }
        }
        assert!(notify_address(OsStr::new("notify")).is_none());
        assert!(notify_address(OsStr::new("")).is_none());
    }
}
