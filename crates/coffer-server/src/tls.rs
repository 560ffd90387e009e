//! TLS 1.2 and 1.3 around the AWS door: whose certificate is shown, and how it stays fresh.
//!
//! I/O: the two files of a certificate that was given. Invariants: a certificate is replaced by a whole and working
//! one or not at all, and connections that are open never notice.

mod authority;
mod files;
mod validity;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use coffer_wire_local::JsonFault;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

pub use authority::Authority;
use authority::check_name;
use files::GivenFiles;

use crate::Warn;

/// Sessions that can be resumed, so that a client need not shake hands in full again.
const SESSIONS_MAX: usize = 4096;
/// A certificate that ends sooner is warned of, once a day. One of the store's own is made anew before.
const WARNED_BEFORE_END: Duration = Duration::from_secs(30 * DAY_SECONDS);
const WARNING_INTERVAL: Duration = Duration::from_secs(DAY_SECONDS);
const DAY_SECONDS: u64 = 24 * 60 * 60;
/// How long after a certificate of its own authority was made, or could not be, the next is made.
const RENEWAL_INTERVAL_MIN: Duration = Duration::from_secs(60 * 60);

/// Whose certificate a server shows.
pub enum TlsIdentity {
    /// One that the store's own authority makes, for these names and addresses.
    Authority {
        /// The authority.
        authority: Authority,
        /// Host names and IP addresses.
        names: Vec<String>,
    },
    /// One that was given, in PEM. The files are read again whenever they change.
    Files {
        /// The certificate, and those that lead from it towards a root.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key or certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// A name that no certificate can be for.
    #[error("`{name}` is neither a host's name nor an address")]
    Name {
        /// Which.
        name: String,
    },
    /// The kept authority is not what was written. Says where, and nothing of what stands there.
    #[error("it is not an authority's file")]
    Kept(#[source] JsonFault),
    /// The kept authority's key or certificate cannot be read.
    #[error("its key or certificate is damaged")]
    KeptKey,
    /// Others may use the kept authority's key, and with it pass for this server.
    #[error("others may read or write it, its mode is {mode:04o}")]
    KeptMode {
        /// Its permission bits.
        mode: u32,
    },
    /// A given file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A given file holds no certificate.
    #[error("there is no certificate in PEM in `{}`", path.display())]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// A given file holds no key.
    #[error("there is no private key in PEM in `{}`", path.display())]
    NoKey {
        /// Which.
        path: PathBuf,
    },
    /// A given certificate and key cannot be used together.
    #[error("`{}` and `{}` do not go together", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// rustls refused.
    #[error("cannot set up TLS")]
    Rustls(#[source] rustls::Error),
}

/// The names of this machine that a store's own certificate is always for, beside those that were asked for.
pub fn names_of_this_machine() -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if check_name(&host).is_ok() && !names.contains(&host) {
        names.push(host);
    }
    names
}

impl TlsIdentity {
    /// The names by which another machine can call a server whose certificate it is; `None` if somebody else made it.
    pub fn names_for_others(&self) -> Option<Vec<&str>> {
        let is_for_others = |name: &&str| {
            *name != "localhost" && !name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        match self {
            Self::Authority { names, .. } => {
                Some(names.iter().map(String::as_str).filter(is_for_others).collect())
            }
            Self::Files { .. } => None,
        }
    }
}

/// TLS as connections use it.
pub(crate) fn acceptor(shown: &Arc<Shown>) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Rustls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(shown) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificate that is shown now.
pub(crate) struct Shown(RwLock<Certificate>);

#[derive(Clone)]
struct Certificate {
    certified: Arc<CertifiedKey>,
    end: Option<SystemTime>,
}

impl Certificate {
    fn new(certified: Arc<CertifiedKey>) -> Self {
        Self { end: validity::end_of(&certified.cert), certified }
    }
}

impl Shown {
    fn replace(&self, certified: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Certificate::new(certified);
    }

    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).certified)
    }

    /// When clients begin to refuse it, if that can be told.
    pub(crate) fn end(&self) -> Option<SystemTime> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).end
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

/// Keeps the certificate that is shown fresh.
pub(crate) struct Keeper {
    source: Source,
    shown: Arc<Shown>,
    warn: Warn,
    /// When, and of which end, was warned last.
    warned: Option<(SystemTime, SystemTime)>,
}

enum Source {
    Authority {
        authority: Authority,
        names: Vec<String>,
        /// When the certificate was made. A clock that was set back behind this is about to show clients one that is
        /// not valid yet.
        made: SystemTime,
        renew_at: SystemTime,
    },
    Files(Box<GivenFiles>),
}

impl Keeper {
    /// The first certificate, which must be there.
    pub(crate) fn new(identity: TlsIdentity, warn: Warn, now: SystemTime) -> Result<Self, TlsError> {
        let (source, certified) = match identity {
            TlsIdentity::Authority { authority, names } => {
                let issued = authority.issue(&names, now)?;
                (
                    Source::Authority { authority, names, made: now, renew_at: issued.renew_at },
                    issued.certified,
                )
            }
            TlsIdentity::Files { certificate, key } => {
                let (files, certified) = GivenFiles::load(certificate, key)?;
                if let Some(warning) = files.warning() {
                    warn(&warning);
                }
                (Source::Files(Box::new(files)), certified)
            }
        };
        let shown = Arc::new(Shown(RwLock::new(Certificate::new(certified))));
        Ok(Self { source, shown, warn, warned: None })
    }

    pub(crate) fn shown(&self) -> &Arc<Shown> {
        &self.shown
    }

    /// Looks whether there is, or has to be, a newer certificate, and whether the one there is ends soon. To be called
    /// about once a second.
    pub(crate) fn look(&mut self, now: SystemTime) {
        self.renew(now);
        self.warn_of_the_end(now);
    }

    fn warn_of_the_end(&mut self, now: SystemTime) {
        let Some(end) = self.shown.end().filter(|end| *end < now + WARNED_BEFORE_END) else { return };
        // A clock that was set back behind the last warning is no reason to be quiet.
        let is_told = self.warned.is_some_and(|(at, of)| {
            of == end && now.duration_since(at).is_ok_and(|since| since < WARNING_INTERVAL)
        });
        if is_told {
            return;
        }
        self.warned = Some((now, end));
        let what = match &self.source {
            Source::Authority { .. } => "the certificate of the store's own authority".to_owned(),
            Source::Files(files) => format!("the certificate `{}`", files.certificate().display()),
        };
        let how = match end.duration_since(now) {
            Ok(left) => match left.as_secs() / DAY_SECONDS {
                0 => "ends within a day, and then clients refuse it".to_owned(),
                1 => "ends in a day, and then clients refuse it".to_owned(),
                days => format!("ends in {days} days, and then clients refuse it"),
            },
            Err(_) => "has ended, and clients refuse it".to_owned(),
        };
        let next = match &self.source {
            Source::Authority { .. } => {
                "if the clock is right, move the authority's file aside, which is `tls/<store id>.json` in the data directory, and start the server again: that makes another, which clients have to be given"
            }
            Source::Files(_) => "put a new one in its place, which is seen without a restart",
        };
        (self.warn)(&format!("{what} {how}: {next}"));
    }

    fn renew(&mut self, now: SystemTime) {
        let newer = match &mut self.source {
            Source::Authority { authority, names, made, renew_at } => {
                if (*made..*renew_at).contains(&now) {
                    return;
                }
                (*made, *renew_at) = (now, now + RENEWAL_INTERVAL_MIN);
                authority.issue(names, now).map(|issued| {
                    *renew_at = issued.renew_at.max(*renew_at);
                    Some(issued.certified)
                })
            }
            Source::Files(files) => files.look(),
        };
        match newer {
            Ok(Some(certified)) => self.shown.replace(certified),
            Ok(None) => {}
            Err(error) => {
                (self.warn)(&format!(
                    "the certificate stays as it was: {}",
                    crate::home::with_causes(&error)
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn this_machine_has_names() {
        let names = names_of_this_machine();
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(names.iter().any(|known| known == name), "{names:?}");
        }
        for name in &names {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn a_certificate_is_made_anew_near_its_end_and_not_before() {
        let now = SystemTime::now();
        let day = Duration::from_secs(24 * 60 * 60);
        let identity = TlsIdentity::Authority {
            authority: Authority::make("0123", now).unwrap(),
            names: names_of_this_machine(),
        };
        let mut keeper = Keeper::new(identity, Arc::new(|_: &str| {}), now).unwrap();
        let first = keeper.shown().get();
        keeper.look(now + day * 59);
        assert!(Arc::ptr_eq(&keeper.shown().get(), &first));
        keeper.look(now + day * 61);
        let second = keeper.shown().get();
        assert_ne!(second.cert, first.cert);
        keeper.look(now + day * 62);
        assert!(Arc::ptr_eq(&keeper.shown().get(), &second));

        // A clock that ran ahead and was set right: clients would take the certificate for one that is not valid yet.
        keeper.look(now);
        let third = keeper.shown().get();
        assert_ne!(third.cert, second.cert);
        keeper.look(now + day * 59);
        assert!(Arc::ptr_eq(&keeper.shown().get(), &third));
    }

    #[test]
    fn the_end_of_a_given_certificate_is_told_once_a_day() {
        let start = UNIX_EPOCH + Duration::from_secs(20_000 * DAY_SECONDS);
        let day = |days: u64| start + Duration::from_secs(days * DAY_SECONDS);
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
        write_pair(&certificate, &key, day(40));
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let warn: Warn = Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()));
        let identity = TlsIdentity::Files { certificate: certificate.clone(), key: key.clone() };
        let mut keeper = Keeper::new(identity, warn, start).unwrap();
        // That others may read the key.
        said.lock().unwrap().clear();
        assert_eq!(keeper.shown().end(), Some(day(40)));
        let mut heard_at = |now: SystemTime| {
            keeper.look(now);
            std::mem::take(&mut *said.lock().unwrap())
        };
        let second = Duration::from_secs(1);
        for (now, expected) in [
            (start, None),
            (day(10), None),
            (day(10) + second, Some("ends in 29 days")),
            (day(10) + second * 2, None),
            (day(11), None),
            (day(11) + second, Some("ends in 28 days")),
            (day(38), Some("ends in 2 days")),
            (day(39), Some("ends in a day")),
            (day(39) + second, None),
            (day(40), Some("ends within a day")),
            (day(41), Some("has ended")),
            (day(41) + second, None),
            (day(30), Some("ends in 10 days")),
            (day(30) + second, None),
        ] {
            let heard = heard_at(now);
            assert_eq!(heard.len(), usize::from(expected.is_some()), "{heard:?}");
            assert!(heard.iter().all(|text| text.contains(expected.unwrap())), "{heard:?} {expected:?}");
            assert!(heard.iter().all(|text| text.contains(&*certificate.to_string_lossy())), "{heard:?}");
        }
        // Two looks, since both files have to stay as they are for one.
        write_pair(&certificate, &key, day(300));
        assert!(heard_at(day(30) + second).is_empty());
        assert!(heard_at(day(30) + second).is_empty());
        assert_eq!(keeper.shown().end(), Some(day(300)));
        keeper.look(day(35));
        assert!(said.lock().unwrap().is_empty(), "of the new one there is nothing to tell");
    }

    fn write_pair(certificate: &Path, key: &Path, end: SystemTime) {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = UNIX_EPOCH.into();
        params.not_after = end.into();
        let pair = rcgen::KeyPair::generate().unwrap();
        let issued = params.self_signed(&pair).unwrap();
        let pem = |label: &str, der: &[u8]| {
            use base64::Engine as _;
            let base64 = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
        };
        std::fs::write(certificate, pem("CERTIFICATE", issued.der())).unwrap();
        std::fs::write(key, pem("PRIVATE KEY", pair.serialized_der())).unwrap();
    }
}
