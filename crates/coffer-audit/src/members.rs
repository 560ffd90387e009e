//! JSON written member by member, straight into the record it becomes part of.
//!
//! Pure. Invariants: what is written is one JSON object on one line, whatever the texts hold; nothing can be written
//! that has neither `Display` nor `Serialize`, so no secret value can.

use std::fmt::{self, Write as _};

use coffer_crypto::digest::sha256_hex;
use serde::Serialize;

/// Stands at the end of a text that was cut.
pub(crate) const CUT_MARKER: &str = "...(truncated)";

/// The members of a JSON object that is being written: what a record says was asked for, or answered.
///
/// Members stand in the order in which they are written. One that was not sent is not written.
pub struct Members<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
    /// Most bytes of a document that are kept.
    document_bytes_max: usize,
}

impl Members<'_> {
    /// A text: whatever the noun prints as.
    #[inline]
    pub fn text(&mut self, name: &'static str, text: impl fmt::Display) {
        self.begin(name);
        push_text(self.out, text);
    }

    /// A text, if there is one.
    pub fn optional_text(&mut self, name: &'static str, text: Option<impl fmt::Display>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A document, such as a policy. One that is too long is cut, and ends by saying how long it was and which.
    pub fn document(&mut self, name: &'static str, text: &str) {
        self.begin(name);
        push_document(self.out, text, self.document_bytes_max);
    }

    /// A document, if there is one.
    pub fn optional_document(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.document(name, text);
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &'static str, texts: impl IntoIterator<Item: fmt::Display>) {
        self.begin(name);
        push_list(self.out, texts, push_text);
    }

    /// A number, a truth, or whatever else has a form in JSON. One that is `None` is left out.
    pub fn json(&mut self, name: &'static str, value: impl Serialize) {
        let (before, was_first) = (self.out.len(), self.is_first);
        self.begin(name);
        let start = self.out.len();
        let written = serde_json::to_writer(&mut *self.out, &value);
        if written.is_err() || self.out.get(start..) == Some(b"null") {
            self.out.truncate(before);
            self.is_first = was_first;
        }
    }

    /// An object.
    pub fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Members<'_>)) {
        self.begin(name);
        push_object(self.out, self.document_bytes_max, write);
    }

    /// A list of objects, one for each item.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(T, &mut Members<'_>),
    ) {
        self.begin(name);
        let document_bytes_max = self.document_bytes_max;
        push_list(self.out, items, |out, item| {
            push_object(out, document_bytes_max, |members| write(item, members))
        });
    }

    /// A text of at most this many bytes before escaping; a longer one is cut, and ends by saying so.
    #[inline]
    pub(crate) fn cut_text(&mut self, name: &'static str, text: &str, bytes_max: usize) {
        self.begin(name);
        push_cut(self.out, text, bytes_max);
    }

    /// Bytes that are a JSON value on one line.
    #[inline]
    pub(crate) fn raw(&mut self, name: &'static str, json: &[u8]) {
        self.begin(name);
        self.out.extend_from_slice(json);
    }

    /// An object of at most this many bytes; a larger one is replaced by one that says so, one without members by
    /// `null`.
    pub(crate) fn bounded_object(
        &mut self,
        name: &'static str,
        bytes_max: usize,
        write: impl FnOnce(&mut Members<'_>),
    ) {
        self.begin(name);
        let start = self.out.len();
        push_object(self.out, self.document_bytes_max, write);
        let bytes = self.out.len() - start;
        if bytes == b"{}".len() {
            self.out.truncate(start);
            self.out.extend_from_slice(b"null");
        } else if bytes > bytes_max {
            self.out.truncate(start);
            push_truncated(self.out, bytes);
        }
    }

    /// A text that is known to need no escape.
    #[inline]
    pub(crate) fn plain(&mut self, name: &'static str, text: &[u8]) {
        debug_assert!(is_plain(text), "would need escapes");
        self.begin(name);
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }

    /// Writes a member's name, which needs no escape; its value must follow.
    // Where the name is known the compiler writes it in a few moves.
    #[inline(always)]
    fn begin(&mut self, name: &'static str) {
        debug_assert!(is_plain(name.as_bytes()), "a name that would need escapes");
        self.out.extend_from_slice(if self.is_first { b"\"" } else { b",\"" });
        self.is_first = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// Writes an object, of whose documents so many bytes are kept.
pub(crate) fn push_object(
    out: &mut Vec<u8>,
    document_bytes_max: usize,
    write: impl FnOnce(&mut Members<'_>),
) {
    out.push(b'{');
    write(&mut Members { out, is_first: true, document_bytes_max });
    out.push(b'}');
}

/// Writes what stands in the place of an object of so many bytes.
pub(crate) fn push_truncated(out: &mut Vec<u8>, bytes: usize) {
    push_object(out, 0, |members| {
        members.json("bytes", bytes);
        members.json("truncated", true);
    });
}

fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

fn push_cut(out: &mut Vec<u8>, text: &str, bytes_max: usize) {
    out.push(b'"');
    if text.len() <= bytes_max {
        push_escaped(out, text);
    } else {
        let kept = text.floor_char_boundary(bytes_max.saturating_sub(CUT_MARKER.len()));
        push_escaped(out, text.get(..kept).unwrap_or_default());
        out.extend_from_slice(CUT_MARKER.as_bytes());
    }
    out.push(b'"');
}

fn push_document(out: &mut Vec<u8>, text: &str, bytes_max: usize) {
    if text.len() <= bytes_max {
        return push_text(out, text);
    }
    let kept = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
    let digest = sha256_hex(text.as_bytes());
    let digest = digest.escape_ascii();
    push_text(out, format_args!("{kept}...(truncated: {} bytes, SHA-256 {digest})", text.len()));
}

fn push_text(out: &mut Vec<u8>, text: impl fmt::Display) {
    out.push(b'"');
    write!(Escaped(out), "{text}").expect("writing to a vector does not fail, and no noun's Display does");
    out.push(b'"');
}

/// Escapes what is formatted into it.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

/// Writes the inside of a JSON text, escaped as `serde_json` does.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    // Nearly every text is plain.
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 => {
                let digit = b"0123456789abcdef"[usize::from(byte & 0xf)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), digit]);
            }
            _ => out.push(byte),
        }
    }
}

/// Whether none of these bytes of UTF-8 needs an escape. Looks at eight at once, the last of them twice if need be.
fn is_plain(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks::<8>();
    let mut found = blocks.iter().fold(0, |found, block| found | escapes_in(*block));
    if rest.is_empty() {
        // All of it was in the blocks.
    } else if let Some(last) = text.last_chunk::<8>() {
        found |= escapes_in(*last);
    } else {
        let mut block = *b"        ";
        for (place, byte) in block.iter_mut().zip(rest) {
            *place = *byte;
        }
        found |= escapes_in(block);
    }
    found == 0
}

/// Not 0 if one of these bytes is a quote, a backslash or a control character.
#[inline]
fn escapes_in(block: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_ne_bytes(block);
    // Of a word of bytes below 128 this has the highest bit of at least the first that is below `limit`. Bytes from 128
    // on are parts of longer characters, and are masked out.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHEST;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Members<'_>)) -> String {
        let mut out = Vec::new();
        push_object(&mut out, 10, write);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_stand_as_written_and_what_was_not_sent_is_left_out() {
        assert_eq!(written(|_| {}), "{}");
        let object = written(|members| {
            members.json("limit", None::<u32>);
            members.text("name", format_args!("{}/{}", "prod", 1));
            members.optional_text("description", None::<&str>);
            members.optional_text("token", Some("t"));
            members.json("maxResults", 5);
            members.json("all", true);
            members.texts("stages", ["A", "B"]);
            members.texts("none", [""; 0]);
            members.objects("tags", [("a", "1"), ("b", "2")], |(key, tag), members| {
                members.text("key", key);
                members.text("value", tag);
            });
            members.object("empty", |_| {});
        });
        let expected = concat!(
            r#"{"name":"prod/1","token":"t","maxResults":5,"all":true,"stages":["A","B"],"none":[],"#,
            r#""tags":[{"key":"a","value":"1"},{"key":"b","value":"2"}],"empty":{}}"#
        );
        assert_eq!(object, expected);
    }

    #[test]
    fn a_bounded_object_is_null_when_empty_and_says_when_it_was_too_large() {
        let bounded = |text: &str| {
            written(|members| {
                members.bounded_object("p", 10, |members| {
                    members.optional_text("a", Some(text).filter(|text| !text.is_empty()));
                })
            })
        };
        assert_eq!(bounded(""), r#"{"p":null}"#);
        assert_eq!(bounded("12"), r#"{"p":{"a":"12"}}"#);
        assert_eq!(bounded("123"), r#"{"p":{"bytes":11,"truncated":true}}"#);
    }

    #[test]
    fn a_document_that_is_too_long_is_cut_and_told_apart_from_others() {
        let of = |text: &str| written(|members| members.object("p", |members| members.document("d", text)));
        assert_eq!(of("0123\"56789"), r#"{"p":{"d":"0123\"56789"}}"#);
        // What `sha256sum` prints for it.
        let digest = "9e53fb61cd30c3e77262df34da252c4f176443693a2547d6d1ff3c140c0ef38f";
        let expected = format!(r#"{{"p":{{"d":"012345678...(truncated: 12 bytes, SHA-256 {digest})"}}}}"#);
        assert_eq!(of("012345678éx"), expected);
    }

    #[test]
    fn every_byte_is_told_apart_at_every_place() {
        for length in 1..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    for beside in [b'a', 0xff, b' ', 0x7f, 0x80] {
                        let mut text = vec![beside; length];
                        text[at] = byte;
                        let expected = byte >= 0x20 && byte != b'"' && byte != b'\\';
                        assert_eq!(is_plain(&text), expected, "{byte} at {at} of {length} beside {beside}");
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn texts_are_escaped_as_serde_json_does(text in "[\u{0}-\u{7f}]{0,30}|\\PC{0,60}") {
            let expected = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(written(|members| members.text("a", &text)), format!(r#"{{"a":{expected}}}"#));
        }
    }
}
