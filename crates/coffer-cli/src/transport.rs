//! How programs reach the server, as the command line says it: the address, and whose certificate is shown there.
//!
//! I/O: binds the address for a moment, and reads or makes the store's certificate authority.

use std::io;
use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coffer_server::home::{Home, data_dir};
use coffer_server::{
    Limits, ServeError, ServeOptions, TlsError, TlsIdentity, check_oidc_keys, names_of_this_machine,
};
use coffer_wire_local::{Failure, FailureKind};

use crate::arguments::{LimitArguments, Transport};
use crate::failure::{Stop, with_causes};
use crate::output::{Output, counted};

impl Transport {
    /// Whether only programs of this machine can connect.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }

    /// Whether TLS was asked for, or is due because others can reach the address.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
            || !self.tls_name.is_empty()
            || self.tls_certificate.is_some()
            || (!self.is_of_this_machine() && !self.plain_http_beyond_loopback)
    }

    /// How to serve so.
    pub(crate) fn options(&self, identity: Option<TlsIdentity>, output: Output) -> ServeOptions {
        let mut options = ServeOptions::on(self.listen);
        options.tls = identity;
        options.plain_http_beyond_loopback = self.plain_http_beyond_loopback;
        options.warn = Arc::new(move |text| output.warning(text));
        options.metrics_listen = self.metrics_listen;
        options.limits = self.limits.limits();
        options.oidc_keys = self.oidc_keys.clone();
        options
    }

    /// A listener that can't be had, or a file that has no keys, is told before anything is opened, made or imported.
    pub(crate) fn ensure_free(&self) -> Result<(), Stop> {
        check_oidc_keys(&self.oidc_keys).map_err(serve_failed)?;
        let aws = TcpListener::bind(self.listen)
            .map_err(|source| serve_failed(ServeError::Listen { address: self.listen, source }))?;
        if let Some(address) = self.metrics_listen {
            // With the other still held: the two may not be the same.
            TcpListener::bind(address)
                .map_err(|source| serve_failed(ServeError::ListenForMetrics { address, source }))?;
        }
        drop(aws);
        Ok(())
    }

    /// What another machine needs to reach the server, if it can.
    pub(crate) fn for_others(&self, home: &Home, identity: Option<&TlsIdentity>) -> Option<ForOthers> {
        if self.is_of_this_machine() {
            return None;
        }
        let names = match identity {
            // Whichever name leads here.
            None => None,
            Some(identity) => identity.names_for_others(),
        };
        Some(ForOthers {
            address: (!self.listen.ip().is_unspecified()).then(|| self.listen.ip()),
            names: names.map(|names| names.into_iter().map(str::to_owned).collect()),
            scheme: if identity.is_some() { "https" } else { "http" },
            ca: matches!(identity, Some(TlsIdentity::Authority { .. })).then(|| home.authority_certificate()),
        })
    }

    /// Whose certificate the server of a store shows; `None` for plain HTTP. To be called with the store open.
    pub(crate) fn identity(&self, home: &Home, output: Output) -> Result<Option<TlsIdentity>, Stop> {
        if let Some(identity) = self.given_identity() {
            return Ok(Some(identity));
        }
        if !self.is_tls() {
            if !self.is_of_this_machine() {
                output.warning(
                    "plain HTTP beyond this machine: everybody on the way can read every secret that is asked for",
                );
            }
            return Ok(None);
        }
        let mut names = names_of_this_machine();
        names.extend(self.tls_name.iter().cloned());
        if !self.listen.ip().is_unspecified() {
            names.push(self.listen.ip().to_string());
        }
        names.sort();
        names.dedup();
        let data_dir = data_dir().map_err(Failure::from)?;
        let now = SystemTime::now();
        let authority = home.authority(&data_dir, now).map_err(Failure::from)?;
        if authority.is_near_its_end(now) {
            let how = match authority.end().duration_since(now) {
                Ok(left) => format!("ends in {}", counted_days(left)),
                Err(_) => "has ended".to_owned(),
            };
            output.warning(&format!(
                "by this machine's clock the store's certificate authority {how}: if the clock is right, move `{}` aside and start again, which makes another; then give clients `{}` again",
                home.authority_file(&data_dir).map_err(Failure::from)?.display(),
                home.authority_certificate().display()
            ));
        }
        Ok(Some(TlsIdentity::Authority { authority, names }))
    }

    /// The certificate that was given, if one was.
    pub(crate) fn given_identity(&self) -> Option<TlsIdentity> {
        let (certificate, key) = (self.tls_certificate.clone()?, self.tls_key.clone()?);
        Some(TlsIdentity::Files { certificate, key })
    }
}

/// What another machine needs to reach a server.
pub(crate) struct ForOthers {
    /// The one it listens on, if it is not all of them.
    address: Option<IpAddr>,
    /// What the certificate is for; `None` if that is not known.
    names: Option<Vec<String>>,
    scheme: &'static str,
    /// What it has to trust.
    ca: Option<PathBuf>,
}

impl ForOthers {
    /// In people's words, line by line.
    pub(crate) fn describe(&self, port: u16) -> Vec<String> {
        let url = |host: &str| match host.parse::<Ipv6Addr>() {
            Ok(address) => format!("{}://[{address}]:{port}", self.scheme),
            Err(_) => format!("{}://{host}:{port}", self.scheme),
        };
        let mut lines = Vec::new();
        lines.push(match (&self.names, self.address) {
            (Some(names), _) if names.is_empty() => {
                "other machines can't call it by any name its certificate is for: add --tls-name NAME"
                    .to_owned()
            }
            (Some(names), _) => {
                let urls: Vec<String> = names.iter().map(|name| url(name)).collect();
                format!(
                    "from other machines: {}; another name or address takes --tls-name",
                    urls.join(" or ")
                )
            }
            (None, Some(address)) if self.scheme == "http" => {
                format!("from other machines: {}", url(&address.to_string()))
            }
            (None, _) if self.scheme == "http" => {
                format!("from other machines: {}, NAME being this one's name or address", url("NAME"))
            }
            (None, _) => {
                format!("from other machines: {}, NAME being one that its certificate is for", url("NAME"))
            }
        });
        if let Some(ca) = &self.ca {
            lines.push(format!(
                "they have to trust its authority: copy `{}` there and name the copy in AWS_CA_BUNDLE",
                ca.display()
            ));
        }
        lines.push("and an access key, as `coffer env` prints it here".to_owned());
        lines
    }
}

impl LimitArguments {
    fn limits(&self) -> Limits {
        let default = Limits::default();
        let count = |given: Option<NonZeroU32>, default| given.map_or(default, |count| count.get() as usize);
        let bytes = |given: Option<u32>, default| given.map_or(default, |bytes| bytes as usize);
        let time = |given: Option<u32>, default| {
            given.map_or(default, |seconds| Duration::from_secs(seconds.into()))
        };
        Limits {
            connections_max: count(self.connections, default.connections_max),
            source_connections_max: count(self.connections_per_source, default.source_connections_max),
            header_bytes_max: bytes(self.header_bytes, default.header_bytes_max),
            body_bytes_max: bytes(self.body_bytes, default.body_bytes_max),
            request_time_max: time(self.request_time, default.request_time_max),
            handshake_time_max: time(self.handshake_time, default.handshake_time_max),
            idle_time_max: time(self.idle_time, default.idle_time_max),
            drain_time_max: time(self.drain_time, default.drain_time_max),
            ..default
        }
    }
}

fn counted_days(time: Duration) -> String {
    counted(usize::try_from(time.as_secs() / (24 * 60 * 60)).unwrap_or(usize::MAX), "day")
}

/// Why a server did not start or end well, and what to do.
pub(crate) fn serve_failed(error: ServeError) -> Stop {
    let (kind, hint) = match &error {
        ServeError::BeyondLoopback { .. } => {
            (FailureKind::Refused, Some("listen on this machine only: --listen 127.0.0.1:8200"))
        }
        ServeError::Listen { source, .. } => (
            FailureKind::Unavailable,
            Some(match source.kind() {
                io::ErrorKind::AddrInUse => {
                    "another program listens there; choose another port with --listen, or port 0 for any that is free"
                }
                _ => "choose another address, such as --listen 127.0.0.1:8201",
            }),
        ),
        ServeError::ListenForMetrics { source, .. } => (
            FailureKind::Unavailable,
            Some(match source.kind() {
                io::ErrorKind::AddrInUse => {
                    "another program, or the server itself, listens there; choose another port with --metrics-listen"
                }
                _ => "choose another address, such as --metrics-listen 127.0.0.1:9200",
            }),
        ),
        ServeError::Tls(TlsError::Name { .. }) => (
            FailureKind::Refused,
            Some("--tls-name takes a host's name or an address, without a scheme and a port"),
        ),
        ServeError::Tls(TlsError::Read { source, .. }) => (
            match source.kind() {
                io::ErrorKind::NotFound => FailureKind::NotFound,
                io::ErrorKind::PermissionDenied => FailureKind::Denied,
                _ => FailureKind::Refused,
            },
            Some(
                "name a certificate and its key that are there and can be read, or leave both out for one of the store's own",
            ),
        ),
        ServeError::Tls(_) => (
            FailureKind::Refused,
            Some("give a certificate and its key in PEM, or leave both out for one of the store's own"),
        ),
        ServeError::OidcKeys { source, .. } => (
            match source.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::NotFound) => FailureKind::NotFound,
                Some(io::ErrorKind::PermissionDenied) => FailureKind::Denied,
                Some(_) | None => FailureKind::Refused,
            },
            Some(
                "--oidc-keys takes ISSUER=FILE, with a file that is there: the issuer's JSON Web Key Set, {\"keys\": […]}; without it the issuer is asked",
            ),
        ),
        ServeError::Socket { .. } | ServeError::Thread(_) | ServeError::Close(_) => {
            (FailureKind::Unavailable, None)
        }
    };
    let stop = Stop::new(kind, with_causes(&error));
    match hint {
        Some(hint) => stop.with_hint(hint),
        None => stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_machine_needs() {
        let others = |address: Option<&str>, names: Option<&[&str]>, scheme, ca: Option<&str>| {
            let others = ForOthers {
                address: address.map(|address| address.parse().unwrap()),
                names: names.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
                scheme,
                ca: ca.map(PathBuf::from),
            };
            others.describe(8200).join("\n")
        };
        for (said, expected) in [
            (
                others(None, Some(&["host", "10.0.0.5", "fd00::5"]), "https", Some("/h/tls/ca.pem")),
                &[
                    "https://host:8200 or https://10.0.0.5:8200 or https://[fd00::5]:8200",
                    "`/h/tls/ca.pem`",
                    "AWS_CA_BUNDLE",
                ][..],
            ),
            (others(None, Some(&[]), "https", Some("/h/tls/ca.pem")), &["add --tls-name NAME"]),
            (others(None, None, "https", None), &["https://NAME:8200", "its certificate is for"]),
            (others(None, None, "http", None), &["http://NAME:8200", "this one's name"]),
            (others(Some("10.0.0.5"), None, "http", None), &["http://10.0.0.5:8200"]),
        ] {
            for words in expected {
                assert!(said.contains(words), "{said}");
            }
            assert!(said.contains("access key"), "{said}");
            assert_eq!(said.contains("AWS_CA_BUNDLE"), said.contains("ca.pem"), "{said}");
        }
    }
}
