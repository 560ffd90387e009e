//! An operation's answer to a JSON body.
//!
//! Pure. Only fields with a value are written, as AWS does. Invariant: a secret value is written once, into a
//! buffer that is large enough from the start and is wiped when the last reader lets go of it; what hyper, TLS
//! and the kernel copy from it is out of reach.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use coffer_core::Context;
use coffer_core::ops::secrets::{
    BatchOfValues, CreatedSecret, DeletedSecret, PutVersion, RandomPassword, ReadValue, SecretDescription,
    SecretPage, SecretReference, TaggedSecret, UpdatedSecret, VersionDescription, VersionPage,
};
use coffer_types::{SecretArn, SecretValue, Stage, Tag, Timestamp, VersionId};
use zeroize::Zeroizing;

use crate::errors::Refused;

/// What ListSecretVersionIds calls the key of a store that has one key. Recorded in localstack's snapshots of
/// `test_update_secret_version_stages_*`.
const DEFAULT_KEY: &str = "DefaultEncryptionKey";
/// Bytes of a GetSecretValue answer besides its texts: member names, punctuation and a time.
const FIXED_BYTES_MAX: usize = 160;

/// An answer that goes out as a JSON body.
pub trait ToWire {
    /// Writes it.
    fn to_wire(&self, context: &Context) -> Bytes;
}

impl ToWire for ReadValue {
    fn to_wire(&self, _context: &Context) -> Bytes {
        let mut body = Zeroizing::new(Vec::with_capacity(size_max(self)));
        let capacity = body.capacity();
        write_object(&mut body, |answer| answer.value(self));
        debug_assert_eq!(body.capacity(), capacity, "a value was moved, and its old place not wiped");
        Bytes::from_owner(WipedBody(body))
    }
}

impl ToWire for BatchOfValues {
    fn to_wire(&self, _context: &Context) -> Bytes {
        let mut values = Vec::new();
        let mut errors = Vec::new();
        for (id, answer) in &self.answers {
            match answer {
                Ok(value) => values.push(value),
                Err(error) => errors.push((id.to_string(), Refused::from(error))),
            }
        }
        let values_max: usize = values.iter().map(|value| size_max(value) + 3).sum();
        let errors_max: usize = errors
            .iter()
            .map(|(id, refused)| {
                escaped_length(id.as_bytes())
                    + refused.code.len()
                    + escaped_length(refused.message.as_bytes())
                    + 64
            })
            .sum();
        let token_max = self.next_token.as_ref().map_or(0, |token| escaped_length(token.as_bytes()) + 16);
        let mut body = Zeroizing::new(Vec::with_capacity(values_max + errors_max + token_max + 64));
        let capacity = body.capacity();
        write_object(&mut body, |answer| {
            answer.member("SecretValues").list(values, |json, value| json.object(|entry| entry.value(value)));
            answer.member("Errors").list(&errors, |json, (id, refused)| {
                json.object(|entry| {
                    entry.member("SecretId").text(id);
                    entry.member("ErrorCode").text(refused.code);
                    entry.member("Message").text(&refused.message);
                });
            });
            answer.next_token(self.next_token.as_deref());
        });
        debug_assert_eq!(body.capacity(), capacity, "a value was moved, and its old place not wiped");
        Bytes::from_owner(WipedBody(body))
    }
}

/// How many bytes the answer takes at most.
fn size_max(answer: &ReadValue) -> usize {
    let value = match &answer.value {
        SecretValue::String(text) => escaped_length(text.expose_secret()),
        SecretValue::Binary(bytes) => base64_length(bytes.expose_secret()),
    };
    let stages: usize = answer.stages.iter().map(|stage| escaped_length(stage.as_str().as_bytes()) + 3).sum();
    let version_id = escaped_length(answer.version_id.as_str().as_bytes());
    value + stages + version_id + answer.arn.as_str().len() + answer.arn.name.as_str().len() + FIXED_BYTES_MAX
}

/// A body's bytes, wiped when the last reader lets go.
struct WipedBody(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for WipedBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl ToWire for CreatedSecret {
    fn to_wire(&self, _context: &Context) -> Bytes {
        body(|answer| {
            answer.reference(&self.arn);
            if let Some(version_id) = &self.version_id {
                answer.member("VersionId").text(version_id.as_str());
            }
        })
    }
}

impl ToWire for PutVersion {
    fn to_wire(&self, _context: &Context) -> Bytes {
        body(|answer| {
            answer.reference(&self.arn);
            answer.member("VersionId").text(self.version_id.as_str());
            if !self.stages.is_empty() {
                answer.member("VersionStages").stages(&self.stages);
            }
        })
    }
}

impl ToWire for SecretDescription {
    fn to_wire(&self, _context: &Context) -> Bytes {
        body(|answer| answer.description(self, "VersionIdsToStages"))
    }
}

impl ToWire for SecretPage {
    fn to_wire(&self, _context: &Context) -> Bytes {
        body(|answer| {
            answer.member("SecretList").list(&self.secrets, |json, secret| {
                json.object(|entry| entry.description(secret, "SecretVersionsToStages"));
            });
            answer.next_token(self.next_token.as_deref());
        })
    }
}

impl ToWire for VersionPage {
    fn to_wire(&self, _context: &Context) -> Bytes {
        body(|answer| {
            answer.reference(&self.arn);
            answer.member("Versions").list(&self.versions, |json, version| {
                json.object(|entry| entry.version(version));
            });
            answer.next_token(self.next_token.as_deref());
        })
    }
}

impl ToWire for SecretReference {
    fn to_wire(&self, _context: &Context) -> Bytes {
        body(|answer| answer.reference(&self.arn))
    }
}

impl ToWire for RandomPassword {
    fn to_wire(&self, _context: &Context) -> Bytes {
        let password = self.password.expose_secret();
        let mut body = Zeroizing::new(Vec::with_capacity(escaped_length(password) + 32));
        let capacity = body.capacity();
        write_object(&mut body, |answer| answer.member("RandomPassword").utf8(password));
        debug_assert_eq!(body.capacity(), capacity, "a password was moved, and its old place not wiped");
        Bytes::from_owner(WipedBody(body))
    }
}

impl ToWire for UpdatedSecret {
    fn to_wire(&self, _context: &Context) -> Bytes {
        body(|answer| {
            answer.reference(&self.arn);
            if let Some(version_id) = &self.version_id {
                answer.member("VersionId").text(version_id.as_str());
            }
        })
    }
}

impl ToWire for TaggedSecret {
    /// Nothing at all, as AWS answers what has no output.
    fn to_wire(&self, _context: &Context) -> Bytes {
        Bytes::new()
    }
}

impl ToWire for DeletedSecret {
    /// AWS answers an ARN for a secret that was not there, too (localstack's
    /// `test_delete_non_existent_secret_returns_as_if_secret_exists`, validated against AWS); ours has no suffix.
    fn to_wire(&self, context: &Context) -> Bytes {
        body(|answer| {
            match &self.arn {
                Some(arn) => answer.reference(arn),
                None => {
                    let (region, account, name) = (&context.region, &context.account, &self.name);
                    let arn = format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}");
                    answer.member("ARN").text(&arn);
                    answer.member("Name").text(name.as_str());
                }
            }
            answer.member("DeletionDate").time(self.deletion_date);
        })
    }
}

/// The body of an error: AWS spells the member `Message` for errors of its service model and `message` for the
/// protocol's own.
pub fn error_body(code: &str, message_member: &'static str, message: &str) -> Bytes {
    body(|answer| {
        answer.member("__type").text(code);
        answer.member(message_member).text(message);
    })
}

/// A body that is one object.
fn body(write: impl FnOnce(&mut Object<'_>)) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    write_object(&mut bytes, write);
    bytes.into()
}

fn write_object(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
    Json { bytes }.object(write);
}

/// Writes one JSON value.
struct Json<'b> {
    bytes: &'b mut Vec<u8>,
}

/// Writes the members of a JSON object.
struct Object<'b> {
    bytes: &'b mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    fn member(&mut self, name: &'static str) -> Json<'_> {
        // Names are ours and need no escapes.
        self.bytes.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.is_empty = false;
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        Json { bytes: self.bytes }
    }

    fn reference(&mut self, arn: &SecretArn) {
        self.member("ARN").text(arn.as_str());
        self.member("Name").text(arn.name.as_str());
    }

    /// A value and which version it is.
    fn value(&mut self, read: &ReadValue) {
        self.reference(&read.arn);
        self.member("VersionId").text(read.version_id.as_str());
        match &read.value {
            SecretValue::String(text) => self.member("SecretString").utf8(text.expose_secret()),
            SecretValue::Binary(bytes) => self.member("SecretBinary").base64(bytes.expose_secret()),
        }
        if !read.stages.is_empty() {
            self.member("VersionStages").stages(&read.stages);
        }
        self.member("CreatedDate").time(read.created);
    }

    fn next_token(&mut self, next_token: Option<&str>) {
        if let Some(next_token) = next_token {
            self.member("NextToken").text(next_token);
        }
    }

    /// Everything of a secret but its value; `versions` is what this operation calls its versions.
    fn description(&mut self, secret: &SecretDescription, versions: &'static str) {
        self.reference(&secret.arn);
        if let Some(description) = secret.description.as_deref().filter(|text| !text.is_empty()) {
            self.member("Description").text(description);
        }
        self.member("CreatedDate").time(secret.created);
        self.member("LastChangedDate").time(secret.last_changed);
        if let Some(last_accessed) = secret.last_accessed {
            self.member("LastAccessedDate").time(last_accessed);
        }
        if let Some(deleted) = secret.deleted {
            self.member("DeletedDate").time(deleted);
        }
        if let Some(tags) = &secret.tags {
            self.member("Tags").list(tags, |json, tag| json.tag(tag));
        }
        if !secret.versions.is_empty() {
            self.member(versions).versions(&secret.versions);
        }
    }

    fn version(&mut self, version: &VersionDescription) {
        self.member("VersionId").text(version.version_id.as_str());
        if !version.stages.is_empty() {
            self.member("VersionStages").stages(&version.stages);
        }
        if let Some(last_accessed) = version.last_accessed {
            self.member("LastAccessedDate").time(last_accessed);
        }
        self.member("CreatedDate").time(version.created);
        self.member("KmsKeyIds").list([DEFAULT_KEY], |json, key| json.text(key));
    }
}

impl Json<'_> {
    fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        self.bytes.push(b'{');
        write(&mut Object { bytes: self.bytes, is_empty: true });
        self.bytes.push(b'}');
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Json<'_>, T)) {
        self.bytes.push(b'[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            write(&mut Json { bytes: self.bytes }, item);
        }
        self.bytes.push(b']');
    }

    fn stages(&mut self, stages: &[Stage]) {
        self.list(stages, |json, stage| json.text(stage.as_str()));
    }

    fn tag(&mut self, tag: &Tag) {
        self.object(|members| {
            members.member("Key").text(tag.key());
            members.member("Value").text(tag.value());
        });
    }

    /// An object with version ids for names.
    fn versions(&mut self, versions: &[(VersionId, Vec<Stage>)]) {
        self.bytes.push(b'{');
        for (at, (version_id, stages)) in versions.iter().enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            self.text(version_id.as_str());
            self.bytes.push(b':');
            self.stages(stages);
        }
        self.bytes.push(b'}');
    }

    /// Seconds since 1970 with three digits after the point.
    #[allow(clippy::expect_used, reason = "a vector takes any write")]
    fn time(&mut self, time: Timestamp) {
        let sign = if time.as_millis() < 0 { "-" } else { "" };
        let millis = time.as_millis().unsigned_abs();
        write!(self.bytes, "{sign}{}.{:03}", millis / 1000, millis % 1000).expect("a vector takes any write");
    }

    fn text(&mut self, text: &str) {
        self.utf8(text.as_bytes());
    }

    /// A text, as its UTF-8.
    fn utf8(&mut self, text: &[u8]) {
        self.bytes.push(b'"');
        let mut rest = text;
        loop {
            let (plain, from_escape) = rest.split_at(plain_length(rest));
            self.bytes.extend_from_slice(plain);
            let Some((byte, after)) = from_escape.split_first() else { break };
            self.escape(*byte);
            rest = after;
        }
        self.bytes.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                let (high, low) = (b'0' + (byte >> 4), byte & 0xf);
                let low = if low < 10 { b'0' + low } else { b'a' + low - 10 };
                self.bytes.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                return;
            }
        };
        self.bytes.extend_from_slice(&[b'\\', short]);
    }

    #[allow(clippy::expect_used, reason = "the room is made to measure three lines up")]
    fn base64(&mut self, bytes: &[u8]) {
        self.bytes.push(b'"');
        let from = self.bytes.len();
        self.bytes.resize(from + base64_length(bytes), 0);
        let room = self.bytes.get_mut(from..).unwrap_or_default();
        BASE64.encode_slice(bytes, room).expect("the room was made to measure");
        self.bytes.push(b'"');
    }
}

/// How many bytes a byte of UTF-8 takes in a JSON text.
fn escape_length(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

fn escaped_length(text: &[u8]) -> usize {
    let (plain, rest) = text.split_at(plain_length(text));
    plain.len() + rest.iter().map(|byte| escape_length(*byte)).sum::<usize>()
}

/// How many bytes there are before the first that needs an escape. In blocks, which the compiler makes a few
/// instructions each of, since most texts have none.
fn plain_length(text: &[u8]) -> usize {
    const BLOCK: usize = 16;
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let is_plain = |byte: u8| (byte >= 0x20) & (byte != b'"') & (byte != b'\\');
    let blocks =
        blocks.iter().take_while(|block| block.iter().fold(true, |plain, byte| plain & is_plain(*byte)));
    let start = blocks.count() * BLOCK;
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| !is_plain(*byte)).unwrap_or(rest.len())
}

fn base64_length(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}

#[cfg(test)]
mod tests;
