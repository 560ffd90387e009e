//! Writing XML: elements with text, escaped.
//!
//! Pure. Invariants: what comes out is well-formed whatever the texts hold; characters that XML 1.0 can't hold become
//! the replacement character. What was written is wiped when it is let go of: an answer may hold a new access key's secret.

use bytes::Bytes;
use coffer_types::{SecretBytes, Timestamp};
use zeroize::Zeroizing;

/// Enough for every answer with a secret in it, so that none is moved while it grows.
const CAPACITY: usize = 4096;

/// Elements, one after the other.
pub struct Xml {
    out: Zeroizing<String>,
}

impl Default for Xml {
    fn default() -> Self {
        Self { out: Zeroizing::new(String::with_capacity(CAPACITY)) }
    }
}

/// A body's text, wiped when the last reader lets go.
struct WipedText(Zeroizing<String>);

impl AsRef<[u8]> for WipedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Xml {
    /// An element with a text.
    pub fn text(&mut self, name: &'static str, text: impl AsRef<str>) {
        self.open(name);
        escape(&mut self.out, text.as_ref());
        self.close(name);
    }

    /// An element with a secret.
    pub fn secret(&mut self, name: &'static str, secret: &SecretBytes) {
        self.text(name, std::str::from_utf8(secret.expose_secret()).unwrap_or_default());
    }

    /// An element with a text, if there is one.
    pub fn optional_text(&mut self, name: &'static str, text: Option<impl AsRef<str>>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// An element with a number or a truth.
    pub fn value(&mut self, name: &'static str, value: impl std::fmt::Display) {
        self.text(name, value.to_string());
    }

    /// An element with a time.
    pub fn time(&mut self, name: &'static str, time: Timestamp) {
        self.text(name, time.to_rfc3339_seconds());
    }

    /// An element with elements.
    pub fn element(&mut self, name: &'static str, write: impl FnOnce(&mut Self)) {
        self.open(name);
        write(self);
        self.close(name);
    }

    /// A list: an element with a `member` for each item.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) {
        self.element(name, |xml| {
            for item in items {
                xml.element("member", |xml| write(xml, item));
            }
        });
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &'static str, texts: impl IntoIterator<Item: AsRef<str>>) {
        self.element(name, |xml| {
            for text in texts {
                xml.text("member", text);
            }
        });
    }

    /// The answer of an operation: its result, if it has one, and the request's id.
    pub fn response(
        namespace: &'static str,
        operation: &str,
        result: Option<Self>,
        request_id: &str,
    ) -> Bytes {
        let mut xml = Self::default();
        xml.out.push_str(&format!("<{operation}Response xmlns=\"{namespace}\">"));
        if let Some(result) = result {
            xml.out.push_str(&format!("<{operation}Result>"));
            xml.out.push_str(&result.out);
            xml.out.push_str(&format!("</{operation}Result>"));
        }
        xml.element("ResponseMetadata", |xml| xml.text("RequestId", request_id));
        xml.out.push_str(&format!("</{operation}Response>"));
        Bytes::from_owner(WipedText(xml.out))
    }

    /// The body of a refusal. Whoever can mend it is the sender, or else the receiver.
    pub fn error(
        namespace: &'static str,
        is_senders: bool,
        code: &str,
        message: &str,
        request_id: &str,
    ) -> Bytes {
        let mut xml = Self::default();
        xml.out.push_str(&format!("<ErrorResponse xmlns=\"{namespace}\">"));
        xml.element("Error", |xml| {
            xml.text("Type", if is_senders { "Sender" } else { "Receiver" });
            xml.text("Code", code);
            xml.text("Message", message);
        });
        xml.text("RequestId", request_id);
        xml.out.push_str("</ErrorResponse>");
        Bytes::from_owner(WipedText(xml.out))
    }

    fn open(&mut self, name: &'static str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    fn close(&mut self, name: &'static str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => out.push(character),
            _ => out.push('\u{fffd}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_a_refusal() {
        let mut result = Xml::default();
        result.text("Arn", "a<b>&\"c\"\r\u{1}");
        result.texts("Names", ["x", "y"]);
        result.list("Tags", [("k", "v")], |xml, (key, value)| {
            xml.text("Key", key);
            xml.text("Value", value);
        });
        assert_eq!(
            Xml::response("n:", "Get", Some(result), "id"),
            "<GetResponse xmlns=\"n:\"><GetResult><Arn>a&lt;b&gt;&amp;&quot;c&quot;&#xD;\u{fffd}</Arn>\
             <Names><member>x</member><member>y</member></Names>\
             <Tags><member><Key>k</Key><Value>v</Value></member></Tags></GetResult>\
             <ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetResponse>"
        );
        assert_eq!(
            Xml::response("n:", "Delete", None, "id"),
            "<DeleteResponse xmlns=\"n:\"><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DeleteResponse>"
        );
        assert_eq!(
            Xml::error("n:", true, "C", "m", "id"),
            "<ErrorResponse xmlns=\"n:\"><Error><Type>Sender</Type><Code>C</Code><Message>m</Message></Error>\
             <RequestId>id</RequestId></ErrorResponse>"
        );
    }
}
