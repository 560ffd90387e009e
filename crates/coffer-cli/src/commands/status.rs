//! `status`: the state of store, server and audit log.

use std::fmt::Write as _;

use coffer_server::home::data_dir;
use coffer_types::{AccountId, Region};
use coffer_wire_local::{AuditHealth, Failure};
use serde::Serialize;

use crate::access::{Access, Place};
use crate::failure::Stop;
use crate::output::{Output, counted};

/// `status --json`.
#[derive(Serialize)]
struct StatusObject {
    home: String,
    store_id: String,
    account: AccountId,
    region: Region,
    created: String,
    seal: String,
    server: Option<Server>,
    secrets: u64,
    revision: u64,
    audit: AuditHealth,
    warnings: Vec<String>,
}

/// A running server.
#[derive(Serialize)]
struct Server {
    endpoint: Option<String>,
    pid: Option<u32>,
}

pub(crate) fn status(place: &Place, output: Output) -> Result<(), Stop> {
    let mut access = Access::to(place, "coffer status")?;
    let server = access
        .server()
        .map(|server| Server { endpoint: server.server().endpoint.clone(), pid: server.server().pid });
    let status = access.status();
    access.close()?;
    let status = status?;
    let home = &place.home;
    let facts = home.facts(&data_dir().map_err(Failure::from)?).map_err(Failure::from)?;
    let mut warnings = facts.warnings;
    warnings.extend(status.audit.failure.iter().chain(&status.audit.warning).cloned());
    let object = StatusObject {
        home: home.path().display().to_string(),
        store_id: status.store_id,
        account: status.account,
        region: status.region,
        created: status.created.to_string(),
        seal: facts.seal,
        server,
        secrets: status.secrets,
        revision: status.revision,
        audit: status.audit,
        warnings,
    };
    output.data(&object, |text| object.describe(text))?;
    if !output.json {
        object.warnings.iter().for_each(|warning| output.warning(warning));
    }
    Ok(())
}

impl StatusObject {
    fn describe(&self, text: &mut String) -> std::fmt::Result {
        let count = |number: u64, noun| counted(usize::try_from(number).unwrap_or(usize::MAX), noun);
        writeln!(text, "home      {}", self.home)?;
        writeln!(text, "store     {}, made {}", self.store_id, self.created)?;
        writeln!(text, "account   {}, region {}", self.account, self.region)?;
        writeln!(text, "root key  sealed by {}", self.seal)?;
        match &self.server {
            None => writeln!(text, "server    not running")?,
            Some(Server { endpoint, pid }) => {
                let endpoint = endpoint.as_deref().unwrap_or("its socket");
                let pid = pid.map_or(String::new(), |pid| format!(", process {pid}"));
                writeln!(text, "server    {endpoint}{pid}")?;
            }
        }
        writeln!(text, "secrets   {}, revision {}", self.secrets, self.revision)?;
        writeln!(text, "audit     {}, head {}", count(self.audit.records, "record"), self.audit.head)?;
        if let Some(free) = self.audit.free_bytes {
            writeln!(text, "free      {} MiB", free / (1024 * 1024))?;
        }
        Ok(())
    }
}
