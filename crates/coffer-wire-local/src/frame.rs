//! Frames: a length and JSON.
//!
//! Pure. Buffers that may hold a secret value are wiped, when dropped and when they grow.

use std::io::{self, Write};

use coffer_types::Region;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use zeroize::Zeroizing;

/// The version of the protocol.
pub const PROTOCOL: u32 = 1;

/// Most bytes of JSON in a frame that a client sends: some times the largest value.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of JSON in a frame that a server sends: a page of the largest descriptions.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most bytes of a piece of a backup in a frame.
pub const PIECE_BYTES_MAX: usize = 1024 * 1024;

const LENGTH_BYTES: usize = 4;

/// The first frame of each side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The version of coffer.
    #[serde(default)]
    pub coffer: String,
    /// From a client: the region that all its requests work in; the store's default if absent. It holds for the
    /// whole connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// From a client: what it calls its requests, for the records of them. It holds for the whole connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// From a server: where its AWS door listens, such as `http://127.0.0.1:8200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// From a server: its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

impl Hello {
    /// What a client says that works in `region`, or in the store's default.
    pub fn of_client(region: Option<Region>) -> Self {
        let coffer = env!("CARGO_PKG_VERSION").to_owned();
        Self { protocol: PROTOCOL, coffer, region, correlation_id: None, endpoint: None, pid: None }
    }

    /// What a server says.
    pub fn of_server(endpoint: String, pid: u32) -> Self {
        Self { endpoint: Some(endpoint), pid: Some(pid), ..Self::of_client(None) }
    }
}

/// Why bytes are no frame, or a value fits none.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// More than [`REQUEST_BYTES_MAX`] or [`ANSWER_BYTES_MAX`].
    #[error(
        "a frame is too large: requests have at most {REQUEST_BYTES_MAX} bytes and answers {ANSWER_BYTES_MAX}"
    )]
    TooLarge,
    /// Not the JSON expected here.
    #[error("a frame is not what was expected here")]
    Json(#[source] JsonFault),
}

/// Where some JSON is not what was expected.
///
/// Made of [`serde_json::Error`], whose text repeats what it found there, such as a secret value in the wrong
/// place. Of that, nothing is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} at line {line} column {column}", words_of(*.category))]
pub struct JsonFault {
    /// The line, from 1; 0 if it has none.
    pub line: usize,
    /// The column, from 1; 0 if it has none.
    pub column: usize,
    /// What is wrong there.
    pub category: Category,
}

fn words_of(category: Category) -> &'static str {
    match category {
        Category::Syntax => "it is no JSON",
        Category::Data => "something else was expected",
        Category::Eof => "it ends too early",
        Category::Io => "it cannot be read",
    }
}

impl From<&serde_json::Error> for JsonFault {
    fn from(error: &serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column(), category: error.classify() }
    }
}

/// A whole frame, wiped when dropped.
pub struct FrameBuffer {
    bytes: Zeroizing<Vec<u8>>,
    bytes_max: usize,
}

impl FrameBuffer {
    /// The frame, its length included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Refuses what would not fit, and leaves no copy behind as it grows.
impl Write for FrameBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.bytes.len() + bytes.len();
        if length > self.bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if length > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value as a frame of at most `json_bytes_max` bytes and its length in front.
pub fn encode(value: &impl Serialize, json_bytes_max: usize) -> Result<FrameBuffer, FrameError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    bytes.extend_from_slice(&[0; LENGTH_BYTES]);
    let mut frame = FrameBuffer { bytes, bytes_max: LENGTH_BYTES + json_bytes_max };
    serde_json::to_writer(&mut frame, value).map_err(|error| match error.io_error_kind() {
        Some(_) => FrameError::TooLarge,
        None => FrameError::Json(JsonFault::from(&error)),
    })?;
    let length = u32::try_from(frame.bytes.len() - LENGTH_BYTES).map_err(|_| FrameError::TooLarge)?;
    if let Some(front) = frame.bytes.first_chunk_mut::<LENGTH_BYTES>() {
        *front = length.to_be_bytes();
    }
    Ok(frame)
}

/// How many bytes follow a frame's first four.
pub fn length_of(front: [u8; LENGTH_BYTES], json_bytes_max: usize) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(front) as usize;
    if length > json_bytes_max { Err(FrameError::TooLarge) } else { Ok(length) }
}

/// The value in a frame's bytes of JSON. An error repeats nothing of them.
pub fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(json).map_err(|error| FrameError::Json(JsonFault::from(&error)))
}

#[cfg(test)]
mod tests {
    use coffer_types::{SecretBytes, SecretValue};
    use proptest::prelude::*;

    use super::*;
    use crate::{Answer, Request, WireValue};

    #[test]
    fn a_request_as_bytes() {
        let request = Request::GetSecretValue { secret_id: "a/b".into(), version_id: None, stage: None };
        let frame = encode(&request, REQUEST_BYTES_MAX).unwrap();
        let json = br#"{"operation":"GetSecretValue","parameters":{"secret_id":"a/b"}}"#;
        assert_eq!(frame.as_bytes(), [&[0, 0, 0, 63], json.as_slice()].concat());
        assert!(matches!(decode(json), Ok(Request::GetSecretValue { secret_id, .. }) if secret_id == "a/b"));
        assert!(matches!(decode(br#"{"operation":"Status","parameters":{}}"#), Ok(Request::Status {})));
    }

    #[test]
    fn the_largest_value_fits_and_a_frame_has_an_end() {
        let value = WireValue(SecretValue::binary(SecretBytes::new(vec![7; 65_536])).unwrap());
        let request = Request::PutSecretValue { secret_id: "a".into(), token: None, value, stages: None };
        assert!(encode(&request, REQUEST_BYTES_MAX).unwrap().as_bytes().len() < 100_000);
        assert!(encode(&"a".repeat(98), 100).is_ok());
        assert!(matches!(encode(&"a".repeat(99), 100), Err(FrameError::TooLarge)));
        assert_eq!(length_of([0, 16, 0, 0], REQUEST_BYTES_MAX).unwrap(), REQUEST_BYTES_MAX);
        assert!(matches!(length_of([0, 16, 0, 1], REQUEST_BYTES_MAX), Err(FrameError::TooLarge)));
    }

    #[test]
    fn a_client_may_name_a_region_and_an_older_one_names_none() {
        let json_of = |hello: &Hello| serde_json::to_string(hello).unwrap();
        assert!(!json_of(&Hello::of_client(None)).contains("region"));
        let region: Region = "eu-west-1".parse().unwrap();
        let json = json_of(&Hello::of_client(Some(region.clone())));
        assert_eq!(decode::<Hello>(json.as_bytes()).unwrap().region, Some(region));
        assert_eq!(decode::<Hello>(br#"{"protocol":1,"coffer":"0.1.0"}"#).unwrap().region, None);
        assert!(decode::<Hello>(br#"{"protocol":1,"region":"nowhere"}"#).is_err());
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        for (json, said) in [
            (r#"{"operation":"hunter2","parameters":{}}"#, "something else was expected at line 1 column 22"),
            ("{\n\"hunter2\"", "it ends too early at line 2 column 9"),
            ("hunter2", "it is no JSON at line 1 column 1"),
        ] {
            match decode::<Request>(json.as_bytes()) {
                Err(FrameError::Json(fault)) => assert_eq!(fault.to_string(), said, "{json}"),
                _ => panic!("{json}"),
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!(r#"{{"operation":"Status","parameters":{}"#, "[".repeat(100_000));
        assert!(matches!(decode::<Request>(deep.as_bytes()), Err(FrameError::Json(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Answer>(&bytes);
            let _ = decode::<Hello>(&bytes);
        }

        #[test]
        fn no_json_makes_a_panic(operation in "[A-Za-z]{0,12}|GetSecretValue|CreateSecret|DeleteSecret", parameters in "\\PC{0,80}|\\{(\"(name|value|secret_id|mode|stage)\":(\"[a-z+/=]{0,9}\"|\\{\"string\":\"[a-z=]{0,8}\"\\}|[0-9]{1,4}),?){0,4}\\}") {
            let json = format!(r#"{{"operation":"{operation}","parameters":{parameters}}}"#);
            let _ = decode::<Request>(json.as_bytes());
        }
    }
}
