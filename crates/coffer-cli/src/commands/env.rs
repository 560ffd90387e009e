//! `env`: what a shell evaluates to reach the server.
//!
//! Invariant: the secret access key is never printed to a terminal.

use std::fmt::Write as _;

use coffer_server::home::{Credentials, Home, data_dir};
use coffer_types::Region;
use coffer_wire_local::{Client, Failure, FailureKind};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::arguments::Env;
use crate::failure::Stop;
use crate::output::{Output, stdout_is_terminal};
use crate::{profile, shell};

/// `env --json`.
#[derive(Serialize)]
struct Environment<'a> {
    #[serde(rename = "AWS_ENDPOINT_URL")]
    endpoint: &'a str,
    #[serde(rename = "AWS_ACCESS_KEY_ID")]
    access_key_id: &'a str,
    #[serde(rename = "AWS_SECRET_ACCESS_KEY")]
    secret_access_key: &'a str,
    #[serde(rename = "AWS_REGION")]
    region: &'a str,
    #[serde(rename = "AWS_DEFAULT_REGION")]
    default_region: &'a str,
    #[serde(rename = "AWS_CA_BUNDLE", skip_serializing_if = "Option::is_none")]
    ca_bundle: Option<&'a str>,
    /// Only where a proxy would be asked otherwise.
    #[serde(rename = "NO_PROXY", skip_serializing_if = "Option::is_none")]
    no_proxy: Option<String>,
}

/// What is set here, and what of the AWS tools' own variables would get in its way.
const VARIABLES: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_PROFILE",
];

/// Whether this process was given an access key, which programs take before any profile.
pub(crate) fn has_keys() -> bool {
    std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|id| !id.is_empty())
}

pub(crate) fn env(home: &Home, arguments: &Env, output: Output) -> Result<(), Stop> {
    if let Some(name) = &arguments.profile {
        return of_profile(home, name, output);
    }
    if arguments.unset {
        let object = serde_json::json!({ "unset": ([&VARIABLES[..], &["AWS_PROFILE"]].concat()) });
        return output.data(&object, |text| writeln!(text, "unset {} AWS_PROFILE", VARIABLES.join(" ")));
    }
    if stdout_is_terminal() {
        return Err(Stop::Usage {
            message: "a secret access key is not printed to a terminal".into(),
            hint: format!("evaluate it instead: eval \"$({})\"", shell::command(home.path(), "env")),
        });
    }
    print(home, &credentials(home)?, arguments.region.as_ref(), output)
}

/// Prints what makes programs use a profile: nothing of it is secret.
fn of_profile(home: &Home, name: &str, output: Output) -> Result<(), Stop> {
    if !profile::is_there(name)? {
        return Err(Stop::new(FailureKind::NotFound, format!("there is no profile `{name}`"))
            .with_hint(format!("make one with `coffer key create USER --profile {name}`")));
    }
    let no_proxy = no_proxy_for(&credentials(home)?.endpoint, |variable| std::env::var(variable).ok());
    let mut object = serde_json::Map::from_iter([("AWS_PROFILE".to_owned(), name.into())]);
    object.extend(no_proxy.iter().map(|hosts| ("NO_PROXY".to_owned(), hosts.as_str().into())));
    output.data(&object, |text| {
        writeln!(text, "export AWS_PROFILE={}", shell::quoted(name))?;
        if let Some(hosts) = no_proxy.as_deref().map(shell::quoted) {
            writeln!(text, "export NO_PROXY={hosts} no_proxy={hosts}")?;
        }
        writeln!(text, "unset {}", VARIABLES.join(" "))
    })
}

/// How the server of a store is reached, with the store's first access key.
pub(crate) fn credentials(home: &Home) -> Result<Credentials, Stop> {
    let data_dir = data_dir().map_err(Failure::from)?;
    let store_id = home.facts(&data_dir).map_err(Failure::from)?.store_id;
    Credentials::read(&data_dir, store_id).map_err(Failure::from)?.ok_or_else(|| {
        let path = Credentials::path(&data_dir, store_id);
        Stop::new(FailureKind::NotFound, format!("there are no credentials in `{}`", path.display()))
            .with_hint("they were made with the store; if they are elsewhere, say so in COFFER_DATA_DIR")
    })
}

/// Prints what makes programs use these credentials, in a region of the store.
pub(crate) fn print(
    home: &Home,
    credentials: &Credentials,
    region: Option<&Region>,
    output: Output,
) -> Result<(), Stop> {
    let secret_access_key = std::str::from_utf8(credentials.secret_access_key.expose_secret())
        .map_err(|_| Stop::new(FailureKind::Other, "the secret access key is no text"))?;
    let region = region.unwrap_or(&credentials.region).as_str();
    let ca_bundle = match &credentials.ca_bundle {
        Some(path) => Some(path.to_str().ok_or_else(|| {
            Stop::new(
                FailureKind::Other,
                format!("`{}` is no text that a shell could export", path.display()),
            )
        })?),
        None => None,
    };
    if Client::connect(&home.socket_path(), None).is_err() {
        output.warning(&format!(
            "no server of this store answers; start one with `{}`",
            shell::command(home.path(), "serve")
        ));
    }
    let environment = Environment {
        endpoint: &credentials.endpoint,
        access_key_id: &credentials.access_key_id,
        secret_access_key,
        region,
        default_region: region,
        ca_bundle,
        no_proxy: no_proxy_for(&credentials.endpoint, |name| std::env::var(name).ok()),
    };
    // Room for all of it, so that no outgrown buffer stays behind.
    let mut text = Zeroizing::new(Vec::with_capacity(8 * 1024));
    if output.json {
        serde_json::to_writer(&mut *text, &environment).map_err(std::io::Error::from)?;
        text.push(b'\n');
    } else {
        for (name, value) in [
            ("AWS_ENDPOINT_URL", environment.endpoint),
            ("AWS_ACCESS_KEY_ID", environment.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", environment.secret_access_key),
            ("AWS_REGION", environment.region),
            ("AWS_DEFAULT_REGION", environment.default_region),
        ] {
            let line = Zeroizing::new(format!("export {name}={}\n", &*Zeroizing::new(shell::quoted(value))));
            text.extend_from_slice(line.as_bytes());
        }
        if let Some(ca_bundle) = environment.ca_bundle {
            text.extend_from_slice(format!("export AWS_CA_BUNDLE={}\n", shell::quoted(ca_bundle)).as_bytes());
        }
        // Some programs read the one, some the other.
        if let Some(no_proxy) = &environment.no_proxy {
            let quoted = shell::quoted(no_proxy);
            text.extend_from_slice(format!("export NO_PROXY={quoted} no_proxy={quoted}\n").as_bytes());
        }
        // Left over from elsewhere, a token would be sent along, the service's own endpoint would win over
        // AWS_ENDPOINT_URL, and a profile could bring keys, a region and an endpoint of its own.
        text.extend_from_slice(
            b"unset AWS_SESSION_TOKEN AWS_ENDPOINT_URL_SECRETS_MANAGER AWS_PROFILE AWS_DEFAULT_PROFILE\n",
        );
    }
    output.bytes(&text)
}

/// The hosts that are reached without a proxy, with the endpoint's among them; `None` if no proxy is set, or it is among
/// them already.
fn no_proxy_for(endpoint: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let either = |name: &str| set(&name.to_ascii_lowercase()).or_else(|| set(name));
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].iter().find_map(|name| either(name))?;
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let known = either("NO_PROXY").unwrap_or_default();
    if known.split(',').any(|name| matches!(name.trim(), name if name == host || name == "*")) {
        return None;
    }
    Some(if known.is_empty() { host.to_owned() } else { format!("{known},{host}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_not_asked_for_a_server_of_this_machine() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("no_proxy", "a")], None),
            (&[("http_proxy", "")], None),
            (&[("http_proxy", "http://p")], Some("127.0.0.1")),
            (&[("HTTPS_PROXY", "http://p")], Some("127.0.0.1")),
            (&[("ALL_PROXY", "http://p"), ("NO_PROXY", "a,b")], Some("a,b,127.0.0.1")),
            (&[("ALL_PROXY", "http://p"), ("no_proxy", "a, 127.0.0.1")], None),
            (&[("ALL_PROXY", "http://p"), ("no_proxy", "*")], None),
        ] {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            let found = no_proxy_for("https://127.0.0.1:8200", variable);
            assert_eq!(found.as_deref(), expected, "{variables:?}");
        }
        let all = |name: &str| (name == "http_proxy").then(|| "http://p".to_owned());
        assert_eq!(no_proxy_for("http://[::1]:8200", all).as_deref(), Some("::1"));
    }
}
