//! Requests about what the audit log tells: what they mean to core.
//!
//! No I/O of its own. Invariant: what is looked for comes into a record only if it has the form of what it should be.

use coffer_core::ops::audit::{ListedReads, RecordFilter};
use coffer_wire_local as wire;
use coffer_wire_local::{Failure, FailureKind, Response};

use super::{Failed, TAIL_BYTES_MAX, secret_id_of};

/// The longest ARN that a principal can have, and more.
const TEXT_CHARS_MAX: usize = 2048;

pub(super) fn filter(operation: &'static str, filter: wire::RecordFilter) -> Result<RecordFilter, Failed> {
    let wire::RecordFilter { secret_id, who, operation: named, request_id, failed, since } = filter;
    let legal = |text: Option<String>, also: &[u8], what: &str| {
        text.map(|text| legal_text(operation, text, also, what)).transpose()
    };
    Ok(RecordFilter {
        secret: secret_id.map(|id| secret_id_of(operation, &id)).transpose()?,
        who: legal(who, b"_+=,.@:/-", "no name, ARN or access key of anybody")?,
        operation: legal(named, b"", "no name of an operation")?,
        request_id: legal(request_id, b"-_.:;=,/+@|~", "no id of a request")?,
        failed,
        since,
    })
}

/// The text, if it has letters and digits, and what else is named. The record of a refusal does not repeat it.
pub(super) fn legal_text(
    operation: &'static str,
    text: String,
    also: &[u8],
    what: &str,
) -> Result<String, Failed> {
    if is_legal(&text, also) { Ok(text) } else { Err(refused(operation, &text, what)) }
}

fn is_legal(text: &str, also: &[u8]) -> bool {
    (1..=TEXT_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

fn refused(operation: &'static str, text: &str, what: &str) -> Failed {
    let shown: String = text.chars().take(128).collect();
    let failure = Failure::new(FailureKind::Refused, format!("`{}` is {what}", shown.escape_debug()));
    Failed::Input { operation, failure, recorded: format!("what was given is {what}") }
}

/// As many as fit a frame.
pub(super) fn reads(listed: ListedReads) -> Response {
    let ListedReads { reads, mut is_cut } = listed;
    let (mut kept, mut bytes) = (Vec::with_capacity(reads.len()), 0);
    for reads in reads {
        // More than its texts take in JSON, and the rest of its members.
        let texts = [reads.secret.as_str(), &reads.region, &reads.who, &reads.address];
        bytes += 512 + texts.iter().map(|text| text.len() * 6).sum::<usize>();
        bytes += reads.session.as_ref().map_or(0, |name| name.len() * 6);
        if bytes > TAIL_BYTES_MAX {
            is_cut = true;
            break;
        }
        kept.push(wire::Reads {
            secret: reads.secret,
            region: reads.region,
            who: reads.who,
            reads: reads.reads,
            refusals: reads.refusals,
            first: reads.first,
            last: reads.last,
            sessions: reads.sessions,
            session: reads.session,
            address: reads.address,
            addresses: reads.addresses,
        });
    }
    Response::ListReads { reads: kept, is_cut }
}
