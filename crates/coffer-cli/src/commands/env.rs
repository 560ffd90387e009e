//! `env`: what a shell evaluates to reach the server.
//!
//! Invariant: the secret access key is never printed to a terminal.

use coffer_server::home::{Credentials, Home, data_dir};
use coffer_wire_local::{Failure, FailureKind};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::arguments::Env;
use crate::failure::Stop;
use crate::output::{Output, stdout_is_terminal};
use crate::shell;

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
}

pub(crate) fn env(home: &Home, arguments: &Env, output: Output) -> Result<(), Stop> {
    if stdout_is_terminal() {
        return Err(Stop::Usage {
            message: "a secret access key is not printed to a terminal".into(),
            hint: format!("evaluate it instead: eval \"$({})\"", shell::command(home.path(), "env")),
        });
    }
    let data_dir = data_dir().map_err(Failure::from)?;
    let store_id = home.facts(&data_dir).map_err(Failure::from)?.store_id;
    let credentials = Credentials::read(&data_dir, store_id).map_err(Failure::from)?.ok_or_else(|| {
        let path = Credentials::path(&data_dir, store_id);
        Stop::new(FailureKind::NotFound, format!("there are no credentials in `{}`", path.display()))
            .with_hint("they were made with the store; if they are elsewhere, say so in COFFER_DATA_DIR")
    })?;
    let secret_access_key = std::str::from_utf8(credentials.secret_access_key.expose_secret())
        .map_err(|_| Stop::new(FailureKind::Other, "the secret access key is no text"))?;
    let region = arguments.region.as_ref().unwrap_or(&credentials.region).as_str();
    let environment = Environment {
        endpoint: &credentials.endpoint,
        access_key_id: &credentials.access_key_id,
        secret_access_key,
        region,
        default_region: region,
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
        // Left over from elsewhere, the one would be sent along, and the other would win over AWS_ENDPOINT_URL.
        text.extend_from_slice(b"unset AWS_SESSION_TOKEN AWS_ENDPOINT_URL_SECRETS_MANAGER\n");
    }
    output.bytes(&text)
}
