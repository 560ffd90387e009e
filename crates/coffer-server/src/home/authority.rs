//! The store's own certificate authority: kept in the data directory, its certificate beside the store.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use coffer_crypto::StoreId;
use zeroize::Zeroizing;

use super::{Home, HomeError, files, io_error};
use crate::{Authority, TlsError};

const TLS_FOLDER: &str = "tls";
const CERTIFICATE_FILE: &str = "ca.pem";

/// Where that of a store is kept.
pub(super) fn path(data_dir: &Path, store_id: StoreId) -> PathBuf {
    data_dir.join(TLS_FOLDER).join(format!("{store_id}.json"))
}

/// Makes one, in place of any that is there.
pub(super) fn make(data_dir: &Path, store_id: StoreId, now: SystemTime) -> Result<Authority, HomeError> {
    let path = path(data_dir, store_id);
    let cannot = |source| HomeError::Authority { path: path.clone(), source: Box::new(source) };
    let authority = Authority::make(&store_id.to_string(), now).map_err(cannot)?;
    if let Some(folder) = path.parent() {
        files::make_private_folders(folder)?;
    }
    files::write_private_file(&path, &authority.to_json().map_err(cannot)?)?;
    Ok(authority)
}

/// Puts its certificate where clients are pointed to.
pub(super) fn publish(home: &Path, authority: &Authority) -> Result<(), HomeError> {
    let folder = home.join(TLS_FOLDER);
    let path = folder.join(CERTIFICATE_FILE);
    let pem = authority.certificate_pem();
    if std::fs::read(&path).is_ok_and(|there| there == pem.as_bytes()) {
        return Ok(());
    }
    files::make_private_folders(&folder)?;
    files::write_private_file(&path, pem.as_bytes())
}

/// The kept authority, if nobody but its owner may use it: whoever has its key can pass for this server.
fn read_private(mut file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    // Of what was opened, whatever the name points to by now.
    let metadata = file.metadata().map_err(io_error("read", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let source = Box::new(TlsError::KeptMode { mode });
        return Err(HomeError::Authority { path: path.to_owned(), source });
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let length = usize::try_from(metadata.len()).unwrap_or_default();
    let mut json = Zeroizing::new(Vec::with_capacity(length + 1));
    file.read_to_end(&mut json).map_err(io_error("read", path))?;
    Ok(json)
}

impl Home {
    /// The certificate that clients of this store are given to trust.
    pub fn authority_certificate(&self) -> PathBuf {
        self.path.join(TLS_FOLDER).join(CERTIFICATE_FILE)
    }

    /// Where the store's own certificate authority is kept, with its key.
    pub fn authority_file(&self, data_dir: &Path) -> Result<PathBuf, HomeError> {
        Ok(path(data_dir, self.sealed_root_key()?.store_id()))
    }

    /// The store's own certificate authority; a new one if there is none yet. One that is there stays, even past its end:
    /// a clock that is wrong for a moment would otherwise take from every client what it trusts. Who is sure of the clock
    /// moves its file aside. To be called with the store open.
    pub fn authority(&self, data_dir: &Path, now: SystemTime) -> Result<Authority, HomeError> {
        let store_id = self.sealed_root_key()?.store_id();
        let path = path(data_dir, store_id);
        let kept = match File::open(&path) {
            Ok(file) => Some(read_private(file, &path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let kept = kept.map(|json| Authority::from_json(&json)).transpose();
        let kept = kept.map_err(|source| HomeError::Authority { path, source: Box::new(source) })?;
        let authority = match kept {
            Some(authority) => authority,
            None => make(data_dir, store_id, now)?,
        };
        publish(&self.path, &authority)?;
        Ok(authority)
    }
}
