//! `init`: makes a store.

use std::env::VarError;
use std::sync::Arc;

use coffer_server::RuntimeSpawn;
use coffer_server::home::{InitOptions, SealChoice, data_dir};
use coffer_types::{AccountId, Region, SecretBytes};
use coffer_wire_local::{Failure, FailureKind};
use serde::Serialize;

use crate::access::{Place, runtime};
use crate::arguments::{Founding, SealKind};
use crate::failure::Stop;
use crate::output::Output;
use crate::shell;

const ADMIN_ACCESS_KEY_ID: &str = "COFFER_ADMIN_ACCESS_KEY_ID";
const ADMIN_SECRET_ACCESS_KEY: &str = "COFFER_ADMIN_SECRET_ACCESS_KEY";

/// A store that was made; `init --json`.
#[derive(Serialize)]
pub(crate) struct NewStore {
    home: String,
    store_id: String,
    account: AccountId,
    region: Region,
    seal: &'static str,
    /// The file that opens it.
    root_key: Option<String>,
    /// The file with the first access key.
    credentials: String,
    #[serde(skip)]
    warnings: Vec<String>,
}

pub(crate) fn init(place: &Place, founding: &Founding, output: Output) -> Result<(), Stop> {
    let store = NewStore::make(place, founding)?;
    store.warn(output);
    output.data(&store, |text| {
        use std::fmt::Write as _;
        store.describe(text)?;
        writeln!(text, "next: {}", shell::command(place.home.path(), "up"))
    })
}

impl NewStore {
    /// Makes a store; a conflict if there is one.
    pub(crate) fn make(place: &Place, founding: &Founding) -> Result<Self, Stop> {
        let home = &place.home;
        if home.exists() {
            // Told before a passphrase is asked for.
            return Err(Stop::new(
                FailureKind::Conflict,
                format!("there is a store in `{}` already", home.path().display()),
            )
            .with_hint("see what it holds with `coffer list`, or name another folder with --home"));
        }
        let data_dir = data_dir().map_err(Failure::from)?;
        let seal = match founding.seal {
            SealKind::KeyFile => SealChoice::KeyFile,
            SealKind::Passphrase => SealChoice::Passphrase(place.passphrase.make()?),
        };
        let options = InitOptions {
            account: founding.account_id,
            region: founding.region.clone().unwrap_or_else(Region::us_east_1),
            seal,
            admin_key: admin_key()?,
            sync: place.options.sync,
            data_dir,
        };
        let made = runtime()?
            .block_on(async { home.init(&options, Arc::new(RuntimeSpawn::here())).await })
            .map_err(Failure::from)?;
        let facts = home.facts(&options.data_dir).map_err(Failure::from)?;
        Ok(Self {
            home: home.path().display().to_string(),
            store_id: made.store_id.to_string(),
            account: made.account,
            region: made.region,
            seal: match founding.seal {
                SealKind::KeyFile => "key-file",
                SealKind::Passphrase => "passphrase",
            },
            root_key: made.key_file.map(|path| path.display().to_string()),
            credentials: made.credentials.display().to_string(),
            warnings: facts.warnings,
        })
    }

    /// Says on standard error what is amiss.
    pub(crate) fn warn(&self, output: Output) {
        self.warnings.iter().for_each(|warning| output.warning(warning));
    }

    /// What was made, in words.
    pub(crate) fn describe(&self, text: &mut String) -> std::fmt::Result {
        use std::fmt::Write as _;
        writeln!(text, "made a store in {} (account {}, region {})", self.home, self.account, self.region)?;
        match &self.root_key {
            Some(path) => writeln!(text, "root key: {path} (keep a copy: nothing else opens the store)")?,
            None => writeln!(text, "root key: sealed by your passphrase (nothing else opens the store)")?,
        }
        writeln!(text, "access key: {}", self.credentials)
    }
}

/// The first access key, if the environment fixes it.
pub(crate) fn admin_key() -> Result<Option<(String, SecretBytes)>, Stop> {
    match (variable(ADMIN_ACCESS_KEY_ID)?, variable(ADMIN_SECRET_ACCESS_KEY)?) {
        (Some(id), Some(secret)) => Ok(Some((id, SecretBytes::from(secret)))),
        (None, None) => Ok(None),
        _ => Err(Stop::new(
            FailureKind::Refused,
            format!("{ADMIN_ACCESS_KEY_ID} and {ADMIN_SECRET_ACCESS_KEY} are set both or neither"),
        )),
    }
}

/// An environment variable, if it is set to something. One that is no text is refused, not passed over.
fn variable(name: &str) -> Result<Option<String>, Stop> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Stop::new(FailureKind::Refused, format!("the value of {name} is not UTF-8")))
        }
    }
}
