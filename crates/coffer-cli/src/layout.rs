//! JSON as people edit it: indented for them, and written back as it was.
//!
//! Pure. Only white space between tokens is touched; the tokens themselves stay byte for byte, so that no number and
//! no escape comes out differently. Invariant: buffers have room from the start, so that no copy is left behind.

use coffer_types::SecretBytes;
use coffer_wire_local::JsonFault;
use serde::de::IgnoredAny;

/// Deeper JSON is not indented.
const DEPTH_MAX: usize = 64;

/// Why a text is no JSON, without any of it.
pub(crate) fn check(text: &[u8]) -> Result<(), JsonFault> {
    serde_json::from_slice::<IgnoredAny>(text).map(drop).map_err(|error| JsonFault::from(&error))
}

/// Whether the text is a JSON object or array.
pub(crate) fn is_json(text: &[u8]) -> bool {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'[')) && check(text).is_ok()
}

/// Whether legal JSON is nested so deeply that indenting it would make far more white space than JSON of it.
pub(crate) fn is_deep(json: &[u8]) -> bool {
    let mut depth = 0usize;
    Tokens(json).any(|token| {
        match token {
            b"{" | b"[" => depth += 1,
            b"}" | b"]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_MAX
    })
}

/// Legal JSON without white space between its tokens.
pub(crate) fn compact(json: &[u8]) -> SecretBytes {
    let mut compact = Vec::with_capacity(json.len());
    for token in Tokens(json) {
        compact.extend_from_slice(token);
    }
    SecretBytes::new(compact)
}

/// Legal JSON with a line for each member, and a line break at its end.
pub(crate) fn indented(json: &[u8]) -> SecretBytes {
    let room = indented_length(json);
    let mut text = Vec::with_capacity(room);
    write_indented(json, |piece| text.extend_from_slice(piece));
    debug_assert_eq!(text.len(), room);
    SecretBytes::new(text)
}

fn indented_length(json: &[u8]) -> usize {
    let mut length = 0;
    write_indented(json, |piece| length += piece.len());
    length
}

fn write_indented(json: &[u8], mut write: impl FnMut(&[u8])) {
    let mut depth = 0usize;
    let mut tokens = Tokens(json).peekable();
    while let Some(token) = tokens.next() {
        let next = tokens.peek().copied();
        let is_empty = matches!((token, next), (b"{", Some(b"}")) | (b"[", Some(b"]")));
        write(token);
        match token {
            b"{" | b"[" => depth += 1,
            b"}" | b"]" => depth = depth.saturating_sub(1),
            b":" => write(b" "),
            _ => {}
        }
        let closes = matches!(next, Some(b"}" | b"]"));
        let opens = matches!(token, b"{" | b"[");
        if !is_empty && (opens || token == b"," || closes) {
            write(b"\n");
            for _ in 0..depth.saturating_sub(usize::from(closes)) {
                write(b"  ");
            }
        }
    }
    write(b"\n");
}

/// The tokens of legal JSON, one after the other.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0 = self.0.trim_ascii_start();
        let length = match self.0.first()? {
            b'"' => string_length(self.0),
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            _ => {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || b"{}[],:\"".contains(byte);
                self.0.iter().position(ends).unwrap_or(self.0.len())
            }
        };
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(token)
    }
}

/// How long the string is that `text` begins with, its quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn indented_text(json: &str) -> String {
        String::from_utf8(indented(json.as_bytes()).expose_secret().to_vec()).unwrap()
    }

    #[test]
    fn a_line_for_each_member() {
        for (json, expected) in [
            ("{}", "{}\n"),
            ("[ ]", "[]\n"),
            (r#"{"a":"x"}"#, "{\n  \"a\": \"x\"\n}\n"),
            (
                r#"{"a":1.50,"b":[1,{"c":"{,:\"}"}],"d":{}}"#,
                "{\n  \"a\": 1.50,\n  \"b\": [\n    1,\n    {\n      \"c\": \"{,:\\\"}\"\n    }\n  ],\n  \"d\": {}\n}\n",
            ),
        ] {
            assert_eq!(indented_text(json), expected);
        }
    }

    #[test]
    fn what_is_deep() {
        for (depth, expected) in [(1, false), (DEPTH_MAX, false), (DEPTH_MAX + 1, true), (32_768, true)] {
            let json = "[".repeat(depth) + &"]".repeat(depth);
            assert!(is_json(json.as_bytes()));
            assert_eq!(is_deep(json.as_bytes()), expected, "{depth}");
        }
        assert!(!is_deep(format!("[{}]", ["[]"; 1000].join(",")).as_bytes()));
        assert!(!is_deep(format!("[{:?}]", "[".repeat(1000)).as_bytes()));
    }

    #[test]
    fn what_is_json() {
        for (text, expected) in [
            ("{}", true),
            (" [1]", true),
            ("1", false),
            ("\"a\"", false),
            ("", false),
            ("{a}", false),
            ("{} x", false),
        ] {
            assert_eq!(is_json(text.as_bytes()), expected, "{text}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<Option<bool>>().prop_map(|value| value.map_or(serde_json::Value::Null, Into::into)),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn indenting_is_taken_back_byte_for_byte(value in json()) {
            let json = value.to_string();
            let text = indented(json.as_bytes());
            prop_assert!(check(text.expose_secret()).is_ok());
            let back = compact(text.expose_secret());
            prop_assert_eq!(back.expose_secret(), json.as_bytes());
        }
    }
}
