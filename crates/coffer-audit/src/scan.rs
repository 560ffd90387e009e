//! Reading a log: the names of its files, a segment forwards along the chain, the newest lines backwards.
//!
//! Reads through the [`Disk`] seam only. Invariant: nothing here trusts what it reads; a segment is bounded
//! before it is taken into memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _};
use std::ops::ControlFlow;

use coffer_crypto::digest::Sha256;

use crate::chain::{CHAIN_BYTES_MAX, Line};
use crate::disk::{Disk, LogFile, PIECE, read_up_to};
use crate::record::RECORD_BYTES_MAX;
use crate::{Head, Visit};

/// The file kept ready to become the next segment.
pub(crate) const SPARE: &str = "spare.next";
/// The file that holds space back.
pub(crate) const RESERVE: &str = "reserve";
/// A segment is never larger: the greatest that may be configured, and one batch.
pub(crate) const SEGMENT_FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;

const SEGMENT_SUFFIX: &str = ".jsonl";
const DIGEST_SUFFIX: &str = ".digest.json";

/// The name of the segment whose first record has this sequence.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:020}{SEGMENT_SUFFIX}")
}

/// The name of that segment's digest.
pub(crate) fn digest_name(first: u64) -> String {
    format!("{first:020}{DIGEST_SUFFIX}")
}

/// What lies in a log's directory, by first sequence.
#[derive(Default, Debug)]
pub(crate) struct Listing {
    pub(crate) segments: BTreeSet<u64>,
    pub(crate) digests: BTreeSet<u64>,
    /// Files begun and never finished.
    pub(crate) leftovers: Vec<String>,
    pub(crate) all: BTreeSet<String>,
}

impl Listing {
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Self> {
        let mut listing = Self::default();
        for name in disk.list()? {
            if let Some(first) = first_of(&name, DIGEST_SUFFIX) {
                listing.digests.insert(first);
            } else if let Some(first) = first_of(&name, SEGMENT_SUFFIX) {
                listing.segments.insert(first);
            } else if name == SPARE || name.ends_with(".tmp") {
                listing.leftovers.push(name.clone());
            }
            listing.all.insert(name);
        }
        Ok(listing)
    }
}

fn first_of(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let well_formed = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if well_formed { digits.parse().ok().filter(|&first| first > 0) } else { None }
}

/// All bytes of a segment, at most `limit` of them if one is given.
pub(crate) fn read_segment(file: &dyn LogFile, limit: Option<u64>) -> io::Result<Vec<u8>> {
    let length = file.length()?;
    let length = limit.map_or(length, |limit| limit.min(length));
    if length > SEGMENT_FILE_BYTES_MAX {
        return Err(io::Error::other("a segment is larger than any coffer writes"));
    }
    read_up_to(file, 0, usize::try_from(length).map_err(io::Error::other)?)
}

/// All bytes of a segment but the zeros at its end, which is space that was not written yet. Reads in pieces, so that
/// this space takes no memory, and passes over what the file system knows to be empty.
pub(crate) fn read_written(file: &dyn LogFile) -> io::Result<Vec<u8>> {
    if file.length()? > SEGMENT_FILE_BYTES_MAX {
        return Err(io::Error::other("a segment is larger than any coffer writes"));
    }
    let (mut bytes, mut piece) = (Vec::new(), Vec::with_capacity(PIECE));
    let mut offset = 0;
    loop {
        piece.clear();
        let read = read_more(file, offset as u64, PIECE, &mut piece)?;
        if read == 0 {
            return Ok(bytes);
        }
        let written = without_zeros_at_end(&piece);
        if !written.is_empty() {
            // Zeros that had something behind them after all.
            bytes.resize(offset, 0);
            bytes.extend_from_slice(written);
        }
        offset += read;
        if written.len() < read {
            match file.next_data(offset as u64)? {
                Some(data) => offset = usize::try_from(data).map_err(io::Error::other)?,
                None => return Ok(bytes),
            }
        }
    }
}

fn without_zeros_at_end(bytes: &[u8]) -> &[u8] {
    const BLOCK: usize = 64;
    // Most of it may be zeros: they are looked at many at a time.
    let is_zero = |block: &[u8]| block.iter().fold(0, |found, byte| found | byte) == 0;
    let zeros = bytes.rchunks_exact(BLOCK).take_while(|block| is_zero(block)).count() * BLOCK;
    let rest = bytes.get(..bytes.len() - zeros).unwrap_or_default();
    let end = rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    rest.get(..end).unwrap_or_default()
}

/// How a scan of a segment ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// At the end of what was written: the file ends, or only zeros follow.
    Clean,
    /// At bytes that a power cut may have left: zeros where a line should be, or a line without its end.
    Torn {
        /// Whether a whole line follows somewhere.
        lines_follow: bool,
    },
    /// At a whole line that does not continue the chain.
    Broken {
        /// What the line says it is; `None` if it has not the form of one.
        claimed: Option<Head>,
        /// Whether a whole line follows somewhere.
        lines_follow: bool,
    },
}

/// A segment, as far as it continues the chain.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The chain after the last good line.
    pub(crate) head: Head,
    /// Where that line ends.
    pub(crate) end: usize,
    /// What stopped it.
    pub(crate) stop: End,
}

/// Follows the chain through a segment and shows each good line, without its end.
pub(crate) fn scan<'a>(bytes: &'a [u8], mut head: Head, mut visit: impl FnMut(Head, &'a [u8])) -> Scan {
    let mut end = 0;
    loop {
        let rest = bytes.get(end..).unwrap_or_default();
        if rest.iter().all(|&byte| byte == 0) {
            return Scan { head, end, stop: End::Clean };
        }
        let Some((text, after)) = split_line(rest) else {
            return Scan { head, end, stop: End::Torn { lines_follow: false } };
        };
        let line = Line::parse(text);
        match line {
            Some(line) if line.continues(head) => {
                head = line.claimed;
                visit(head, text);
                end += text.len() + 1;
            }
            _ => {
                let lines_follow = after.split(|&byte| byte == b'\n').any(|text| Line::parse(text).is_some());
                let stop = if text.contains(&0) {
                    End::Torn { lines_follow }
                } else {
                    End::Broken { claimed: line.map(|line| line.claimed), lines_follow }
                };
                return Scan { head, end, stop };
            }
        }
    }
}

/// What a segment holds of which every line continues the chain.
pub(crate) struct Followed {
    /// The chain after its last line.
    pub(crate) head: Head,
    pub(crate) length: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) first_line: Vec<u8>,
    pub(crate) last_line: Vec<u8>,
}

/// Follows the chain through a whole segment, a piece at a time; calls `pause` after each. `None` if it holds anything
/// but lines that continue the chain.
pub(crate) fn follow(
    file: &dyn LogFile,
    before: Head,
    piece_bytes: usize,
    mut pause: impl FnMut(),
) -> io::Result<Option<Followed>> {
    let mut hash = Sha256::new();
    let (mut head, mut length) = (before, 0);
    let (mut first_line, mut last_line) = (Vec::new(), Vec::new());
    // The bytes since the last line's end.
    let mut bytes: Vec<u8> = Vec::with_capacity(2 * piece_bytes);
    loop {
        let carried = bytes.len();
        let read = read_more(file, length, piece_bytes, &mut bytes)?;
        if read == 0 {
            break;
        }
        hash.update(bytes.get(carried..).unwrap_or_default());
        length += read as u64;
        let mut rest = bytes.as_slice();
        while let Some((text, after)) = split_line(rest) {
            match Line::parse(text) {
                Some(line) if line.continues(head) => head = line.claimed,
                _ => return Ok(None),
            }
            if first_line.is_empty() {
                first_line.extend_from_slice(text);
            }
            last_line.clear();
            last_line.extend_from_slice(text);
            rest = after;
        }
        let used = bytes.len() - rest.len();
        bytes.drain(..used);
        if bytes.len() > RECORD_BYTES_MAX + CHAIN_BYTES_MAX {
            return Ok(None);
        }
        pause();
    }
    let followed = Followed { head, length, sha256: hash.finish(), first_line, last_line };
    Ok(bytes.is_empty().then_some(followed))
}

/// A line without its end, and what follows; `None` if there is no whole line.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut after = bytes;
    // Reading from a slice does not fail, and finds the line's end many bytes at a time.
    let length = after.skip_until(b'\n').ok()?;
    let text = bytes.get(..length)?.strip_suffix(b"\n")?;
    Some((text, after))
}

/// Puts up to `length` bytes from `offset` on behind those in `bytes`. How many; 0 at the file's end.
fn read_more(file: &dyn LogFile, offset: u64, length: usize, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let start = bytes.len();
    bytes.resize(start + length, 0);
    loop {
        match file.read_at(offset, bytes.get_mut(start..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => {
                let read = outcome?;
                bytes.truncate(start + read);
                return Ok(read);
            }
        }
    }
}

/// The newest `count` lines, newest last. `open` bounds the segment still being written.
pub(crate) fn tail(disk: &dyn Disk, open: (u64, u64), count: usize) -> io::Result<Vec<String>> {
    let mut newest_first = Vec::new();
    if count > 0 {
        visit_newest(disk, open, &mut |line| {
            newest_first.push(line.to_owned());
            if newest_first.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// Shows all lines, newest first, until there is enough.
pub(crate) fn visit_newest(disk: &dyn Disk, open: (u64, u64), visit: Visit<'_>) -> io::Result<()> {
    let (open_first, open_bytes) = open;
    for &first in Listing::read(disk)?.segments.range(..=open_first).rev() {
        let file = disk.open_to_read(&segment_name(first))?;
        let length = if first == open_first { open_bytes } else { file.length()? };
        if lines_backwards(&*file, length, visit)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn lines_backwards(file: &dyn LogFile, length: u64, visit: Visit<'_>) -> io::Result<ControlFlow<()>> {
    let mut start = length;
    // The bytes from `start` on that are no whole line yet.
    let mut carried: Vec<u8> = Vec::new();
    while start > 0 {
        let from = start.saturating_sub(PIECE as u64);
        let mut bytes = read_up_to(file, from, usize::try_from(start - from).map_err(io::Error::other)?)?;
        start = from;
        bytes.append(&mut carried);
        // Zeros behind the last line of a segment that was not cut to its length yet.
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        while let Some(text) = bytes.strip_suffix(b"\n") {
            let begin = match text.iter().rposition(|&byte| byte == b'\n') {
                Some(end_of_previous) => end_of_previous + 1,
                None if start == 0 => 0,
                None => break,
            };
            let line = text.get(begin..).unwrap_or_default();
            if visit(&String::from_utf8_lossy(line)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            bytes.truncate(begin);
        }
        if bytes.len() > RECORD_BYTES_MAX + CHAIN_BYTES_MAX {
            return Err(io::Error::other("a line is longer than any coffer writes"));
        }
        carried = bytes;
    }
    Ok(ControlFlow::Continue(()))
}

/// Every segment's bytes that may hold records after `sequence`, oldest first.
pub(crate) fn segments_after(
    disk: &dyn Disk,
    open: (u64, u64),
    sequence: u64,
    mut visit: impl FnMut(&[u8]),
) -> io::Result<()> {
    let (open_first, open_bytes) = open;
    let listing = Listing::read(disk)?;
    let from = listing.segments.range(..=sequence.saturating_add(1)).next_back().copied().unwrap_or(1);
    for &first in listing.segments.range(from..=open_first) {
        let file = disk.open_to_read(&segment_name(first))?;
        visit(&read_segment(&*file, (first == open_first).then_some(open_bytes))?);
    }
    Ok(())
}

/// The digests of all closed segments, as bytes, by first sequence.
pub(crate) fn read_digests(disk: &dyn Disk, listing: &Listing) -> io::Result<BTreeMap<u64, Vec<u8>>> {
    let read = |&first| Ok((first, read_digest(disk, first)?));
    listing.digests.iter().map(read).collect()
}

pub(crate) fn read_digest(disk: &dyn Disk, first: u64) -> io::Result<Vec<u8>> {
    let file = disk.open_to_read(&digest_name(first))?;
    read_up_to(&*file, 0, crate::digest::DIGEST_FILE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::push_line;

    fn three_lines() -> (Vec<u8>, Head) {
        let mut bytes = Vec::new();
        let mut head = Head::GENESIS;
        for body in [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#] {
            head = push_line(&mut bytes, body.as_bytes(), head);
        }
        (bytes, head)
    }

    #[test]
    fn a_scan_tells_a_torn_end_from_a_changed_line() {
        let (whole, head) = three_lines();
        let line = whole.len() / 3;
        let stop_of = |bytes: &[u8]| {
            let scan = scan(bytes, Head::GENESIS, |_, _| {});
            (scan.head.sequence, scan.stop)
        };
        assert_eq!(stop_of(&[]), (0, End::Clean));
        assert_eq!(stop_of(&whole), (3, End::Clean));
        assert_eq!(scan(&whole, Head::GENESIS, |_, _| {}).head, head);
        assert_eq!(stop_of(&[&whole[..], &[0; 100]].concat()), (3, End::Clean));
        assert_eq!(stop_of(&whole[..whole.len() - 1]), (2, End::Torn { lines_follow: false }));
        assert_eq!(stop_of(&[&whole[..line + 9], &[0; 50]].concat()), (1, End::Torn { lines_follow: false }));
        let mut hole = whole.clone();
        hole[line + 5..line + 20].fill(0);
        assert_eq!(stop_of(&hole), (1, End::Torn { lines_follow: true }));
        let mut changed = whole.clone();
        changed[line + 2] = b'x';
        let (at, stop) = stop_of(&changed);
        assert!(at == 1 && matches!(stop, End::Broken { claimed: Some(_), lines_follow: true }), "{stop:?}");
    }

    #[test]
    fn what_was_written_is_read_without_the_zeros_behind_it() {
        let disk = crate::fault::VolatileDisk::new();
        let read = |bytes: &[u8]| {
            disk.plant("segment", bytes.to_vec());
            read_written(&*disk.open_to_read("segment").unwrap()).unwrap()
        };
        for before in [0, 1, 63, 64, 65, 1000, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 70] {
            for zeros in [0, 1, 63, 64, 65, PIECE - 1, PIECE, 3 * PIECE + 5] {
                let written = vec![b'x'; before];
                assert_eq!(read(&[&written[..], &vec![0; zeros]].concat()), written, "{before} and {zeros}");
                let more = [&written[..], &vec![0; zeros], b"y"].concat();
                assert_eq!(read(&[&more[..], &[0; 7]].concat()), more, "{before}, {zeros}, and one more");
            }
        }
    }

    #[test]
    fn a_file_with_holes_is_read_as_if_they_were_zeros() {
        let file = tempfile::tempfile().unwrap();
        LogFile::allocate(&file, 8 * 1024 * 1024).unwrap();
        let mut expected = vec![0; 5 * 1024 * 1024];
        for (offset, text) in [(0, "first"), (70_000, "second"), (3_000_001, "third")] {
            crate::disk::write_all_at(&file, offset, text.as_bytes()).unwrap();
            let start = usize::try_from(offset).unwrap();
            expected[start..start + text.len()].copy_from_slice(text.as_bytes());
            assert_eq!(read_written(&file).unwrap(), expected[..start + text.len()], "{text}");
        }
    }

    #[test]
    fn a_segment_is_followed_in_pieces_of_any_size() {
        let (whole, head) = three_lines();
        let disk = crate::fault::VolatileDisk::new();
        let follow_in = |bytes: &[u8], piece: usize| {
            disk.plant("segment", bytes.to_vec());
            let mut pauses = 0;
            let file = disk.open_to_read("segment").unwrap();
            let followed = follow(&*file, Head::GENESIS, piece, || pauses += 1).unwrap();
            assert!(followed.is_none() || pauses == bytes.len().div_ceil(piece));
            followed
        };
        for piece in 1..whole.len() + 2 {
            let followed = follow_in(&whole, piece).unwrap();
            assert_eq!((followed.head, followed.length), (head, whole.len() as u64));
            assert_eq!(followed.sha256, coffer_crypto::digest::sha256(&whole));
            assert!(followed.first_line.starts_with(b"{\"a\"") && followed.last_line.starts_with(b"{\"c\""));
            assert!(follow_in(&whole[..whole.len() - 1], piece).is_none(), "a line without its end");
            assert!(follow_in(&[&whole[..], &[0]].concat(), piece).is_none(), "a zero behind the end");
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 1;
            assert!(follow_in(&changed, piece).is_none());
        }
        assert_eq!(follow_in(&[], 10).unwrap().head, Head::GENESIS);
    }

    #[test]
    fn names_sort_as_their_sequences() {
        assert_eq!(segment_name(1), "00000000000000000001.jsonl");
        assert_eq!(digest_name(u64::MAX), "18446744073709551615.digest.json");
        assert_eq!(first_of("00000000000000000001.jsonl", SEGMENT_SUFFIX), Some(1));
        for bad in [
            "1.jsonl",
            "00000000000000000000.jsonl",
            "0000000000000000001x.jsonl",
            "99999999999999999999.jsonl",
        ] {
            assert_eq!(first_of(bad, SEGMENT_SUFFIX), None, "{bad}");
        }
    }
}
