//! The store's own certificate authority: kept in the data directory, its certificate beside the store.

use std::io;
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
    let cannot = |source| HomeError::Authority { path: path.clone(), source };
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

impl Home {
    /// The certificate that clients of this store are given to trust.
    pub fn authority_certificate(&self) -> PathBuf {
        self.path.join(TLS_FOLDER).join(CERTIFICATE_FILE)
    }

    /// The store's own certificate authority; a new one if there is none yet, or its end is near. `renewed` is called in
    /// the latter case: whoever trusts the old one has to be given the new. To be called with the store open.
    pub fn authority(
        &self,
        data_dir: &Path,
        now: SystemTime,
        renewed: impl FnOnce(),
    ) -> Result<Authority, HomeError> {
        let store_id = self.sealed_root_key()?.store_id();
        let path = path(data_dir, store_id);
        let kept = match std::fs::read(&path) {
            Ok(json) => Some(Zeroizing::new(json)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let kept = kept.map(|json| Authority::from_json(&json)).transpose();
        let authority = match kept.map_err(|source: TlsError| HomeError::Authority { path, source })? {
            Some(authority) if !authority.is_near_its_end(now) => authority,
            Some(_) => {
                renewed();
                make(data_dir, store_id, now)?
            }
            None => make(data_dir, store_id, now)?,
        };
        publish(&self.path, &authority)?;
        Ok(authority)
    }
}
