//! `who-read`: who read which secrets, as the audit log tells.

use std::fmt::Write as _;

use coffer_types::Timestamp;
use coffer_wire_local::{Reads, RecordFilter};
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments::WhoRead;
use crate::failure::Stop;
use crate::output::{Output, age, now, table};

/// `who-read --json`.
#[derive(Serialize)]
struct ReadsObject<'a> {
    reads: Vec<ReaderObject<'a>>,
    /// Whether there are more: the older ones are missing.
    cut: bool,
}

#[derive(Serialize)]
struct ReaderObject<'a> {
    secret: &'a str,
    region: &'a str,
    who: &'a str,
    reads: u64,
    refusals: u64,
    first: String,
    last: String,
    sessions: usize,
    session: Option<&'a str>,
    address: &'a str,
    addresses: usize,
}

impl<'a> ReaderObject<'a> {
    fn of(reads: &'a Reads) -> Self {
        Self {
            secret: reads.secret.as_str(),
            region: &reads.region,
            who: &reads.who,
            reads: reads.reads,
            refusals: reads.refusals,
            first: reads.first.to_string(),
            last: reads.last.to_string(),
            sessions: reads.sessions,
            session: reads.session.as_deref(),
            address: &reads.address,
            addresses: reads.addresses,
        }
    }
}

pub(crate) fn who_read(place: &Place, arguments: &WhoRead, output: Output) -> Result<(), Stop> {
    let WhoRead { name, user, since, scope: _ } = arguments;
    let filter =
        RecordFilter { secret_id: name.clone(), who: user.clone(), since: *since, ..RecordFilter::default() };
    let (mut reads, cut, meant) = Access::of(place, "coffer who-read", |access| {
        if let Some(name) = name {
            // A secret that was deleted has been read all the same, so this is no more than a word of advice.
            crate::near::warn_of_absence(access, name, output)?;
        }
        let (reads, cut) = access.reads(filter)?;
        let meant = match user {
            Some(who) if reads.is_empty() => access.like_nobody(who)?,
            Some(_) | None => None,
        };
        Ok((reads, cut, meant))
    })?;
    if let Some(meant) = meant {
        output.note(&meant);
    }
    if cut {
        output.warning("there are more readers than are shown: the older ones are missing; narrow it with --since or --user");
    }
    reads.sort_by(|one, other| one.secret.cmp(&other.secret).then(other.last.cmp(&one.last)));
    let object = ReadsObject { reads: reads.iter().map(ReaderObject::of).collect(), cut };
    let now = now();
    output.data(&object, |text| {
        if reads.is_empty() {
            let what = name.as_ref().map_or("no secret".to_owned(), |name| format!("secret `{name}`"));
            return match name {
                Some(_) => writeln!(text, "nobody read {what}, as far as the audit log tells"),
                None => writeln!(text, "{what} was read, as far as the audit log tells"),
            };
        }
        let mut header = vec!["Who", "Reads", "Last", "First", "Refused", "From"];
        if name.is_none() {
            header.insert(0, "Secret");
        }
        let rows = reads.iter().map(|reads| {
            let mut row = row(reads, now);
            if name.is_none() {
                row.insert(0, reads.secret.to_string());
            }
            row
        });
        text.push_str(&table(&header, rows));
        Ok(())
    })
}

fn row(reads: &Reads, now: Timestamp) -> Vec<String> {
    let others = |count: usize| match count {
        0 | 1 => String::new(),
        2 => " and 1 other".to_owned(),
        count => format!(" and {} others", count - 1),
    };
    let session = match &reads.session {
        Some(name) => format!(" (session {name}{})", others(reads.sessions)),
        None => String::new(),
    };
    vec![
        format!("{}{session}", who_of(&reads.who)),
        reads.reads.to_string(),
        age(now, reads.last),
        age(now, reads.first),
        reads.refusals.to_string(),
        format!("{}{}", reads.address, others(reads.addresses)),
    ]
}

/// People's words for an ARN.
fn who_of(who: &str) -> String {
    match who.splitn(6, ':').nth(5) {
        Some("root") => "the owner of the store".to_owned(),
        Some(resource) => resource.replacen('/', " ", 1),
        None if who.starts_with("AKIA") || who.starts_with("ASIA") => format!("access key {who}"),
        None => format!("somebody at {who}"),
    }
}
