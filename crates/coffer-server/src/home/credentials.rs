//! The first access key, kept for its owner's own clients.

use std::path::{Path, PathBuf};

use coffer_crypto::StoreId;
use coffer_types::{AccountId, Region, SecretBytes};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{HomeError, files, io_error};

/// What a client needs to reach the AWS door: the content of `credentials/<store id>.json`.
pub struct Credentials {
    /// The access key's id.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: SecretBytes,
    /// The default region.
    pub region: Region,
    /// The default account.
    pub account: AccountId,
    /// Where the server last listened, such as `http://127.0.0.1:8200`.
    pub endpoint: String,
    /// The certificate of the authority that vouches for the server there, if that is the store's own.
    pub ca_bundle: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct File<Text> {
    access_key_id: String,
    secret_access_key: Text,
    region: Region,
    account: AccountId,
    endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_bundle: Option<PathBuf>,
}

impl Credentials {
    /// Where those of a store lie.
    pub fn path(data_dir: &Path, store_id: StoreId) -> PathBuf {
        data_dir.join("credentials").join(format!("{store_id}.json"))
    }

    /// Reads those of a store; `None` if there are none.
    pub fn read(data_dir: &Path, store_id: StoreId) -> Result<Option<Self>, HomeError> {
        let path = Self::path(data_dir, store_id);
        let json = match std::fs::read(&path) {
            Ok(json) => Zeroizing::new(json),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let file: File<String> = serde_json::from_slice(&json).map_err(|error| unreadable(&path, &error))?;
        Ok(Some(Self {
            access_key_id: file.access_key_id,
            secret_access_key: SecretBytes::from(file.secret_access_key),
            region: file.region,
            account: file.account,
            endpoint: file.endpoint,
            ca_bundle: file.ca_bundle,
        }))
    }

    /// Writes those of a store, in place of what was there.
    pub fn write(&self, data_dir: &Path, store_id: StoreId) -> Result<(), HomeError> {
        let path = Self::path(data_dir, store_id);
        if let Some(folder) = path.parent() {
            files::make_private_folders(folder)?;
        }
        let secret_access_key = std::str::from_utf8(self.secret_access_key.expose_secret())
            .map_err(|_| io_error("write", &path)(std::io::ErrorKind::InvalidData.into()))?;
        let file = File {
            access_key_id: self.access_key_id.clone(),
            secret_access_key,
            region: self.region.clone(),
            account: self.account,
            endpoint: self.endpoint.clone(),
            ca_bundle: self.ca_bundle.clone(),
        };
        // Large enough at once, so that it leaves no copy behind as it grows.
        let mut json = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer_pretty(&mut *json, &file).map_err(|error| unreadable(&path, &error))?;
        json.push(b'\n');
        files::write_private_file(&path, &json)
    }
}

/// Without the parser's text, which repeats what stands in the file.
fn unreadable(path: &Path, error: &serde_json::Error) -> HomeError {
    HomeError::Credentials { path: path.to_owned(), source: error.into() }
}

#[cfg(test)]
mod tests {
    use coffer_crypto::SystemRandom;
    use coffer_wire_local::Failure;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let store_id = StoreId::make(&SystemRandom);
        let path = Credentials::path(folder.path(), store_id);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        for json in [
            r#""hunter2""#,
            r#"{"secret_access_key":["hunter2"]}"#,
            r#"{"access_key_id":"a","secret_access_key":"hunter2","region":"hunter2"}"#,
            r#"{"secret_access_key":"hunter2"#,
            r#"{"account":"hunter2"}"#,
        ] {
            std::fs::write(&path, json).unwrap();
            let error = Credentials::read(folder.path(), store_id).err().unwrap();
            let debug = format!("{error:?}");
            let message = Failure::from(error).message;
            assert!(message.contains(" at line 1 column "), "{message}");
            assert!(!message.contains("hunter2") && !debug.contains("hunter2"), "{message} {debug}");
        }
    }
}
