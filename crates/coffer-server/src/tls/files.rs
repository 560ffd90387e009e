//! A certificate that was given, in two files that somebody else renews.
//!
//! I/O: reads both, and looks at their dates. Invariant: what is shown is a pair that goes together; while one file is
//! new and the other old, or either cannot be read, the last such pair stays.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use zeroize::Zeroizing;

use super::TlsError;

/// What tells one content of both files from another, without reading them; `None` for a file that is not there. The
/// last two are of the inode's change, so that a file which could not be read is tried again once it may be.
type Stamp = [Option<(u64, u64, u64, [i64; 2], [i64; 2])>; 2];

/// The two files, and what was last seen of them.
pub(crate) struct GivenFiles {
    certificate: PathBuf,
    key: PathBuf,
    loaded: Stamp,
    /// As of the last look; both files have to stay as they are for one, since they are rarely written at once.
    seen: Stamp,
    /// What could not be loaded, and was told.
    failed: Option<Stamp>,
}

impl GivenFiles {
    pub(crate) fn load(certificate: PathBuf, key: PathBuf) -> Result<(Self, Arc<CertifiedKey>), TlsError> {
        let loaded = stamp_of(&certificate, &key);
        let certified = load_pair(&certificate, &key)?;
        Ok((Self { certificate, key, loaded, seen: loaded, failed: None }, certified))
    }

    pub(crate) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// What their owner should put right.
    pub(crate) fn warning(&self) -> Option<String> {
        let mode = std::fs::metadata(&self.key).ok()?.permissions().mode() & 0o777;
        let path = self.key.display();
        (mode & 0o007 != 0).then(|| {
            format!("everybody may read or write the key `{path}`, whose mode is {mode:04o}: chmod 600 it")
        })
    }

    /// The new pair, if there is one. A broken one is an error once, until something changes again.
    pub(crate) fn look(&mut self) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
        let now = stamp_of(&self.certificate, &self.key);
        let before = std::mem::replace(&mut self.seen, now);
        if now == self.loaded || now != before || self.failed == Some(now) {
            return Ok(None);
        }
        match load_pair(&self.certificate, &self.key) {
            Ok(certified) => {
                (self.loaded, self.failed) = (now, None);
                Ok(Some(certified))
            }
            Err(error) => {
                self.failed = Some(now);
                Err(error)
            }
        }
    }
}

fn stamp_of(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((
            file.dev(),
            file.ino(),
            file.size(),
            [file.mtime(), file.mtime_nsec()],
            [file.ctime(), file.ctime_nsec()],
        ))
    })
}

fn load_pair(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let no_certificate = || TlsError::NoCertificate { path: certificate.to_owned() };
    let pem = read(certificate)?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| no_certificate())?;
    if chain.is_empty() {
        return Err(no_certificate());
    }
    let pem = read(key)?;
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey { path: key.to_owned() })?;
    let der = Zeroizing::new(der);
    let together = any_supported_type(&der).and_then(|signing_key| {
        let certified = CertifiedKey::new(chain, signing_key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(error) => Err(error),
        }
    });
    together.map(Arc::new).map_err(|source| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    const BYTES_MAX: u64 = 1024 * 1024;
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
        return Err(failed(io::Error::other("it is larger than any certificate")));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};

    use super::*;

    #[test]
    fn a_file_that_may_be_read_again_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
        for path in [&certificate, &key] {
            std::fs::write(path, "hunter2").unwrap();
        }
        let stamp = stamp_of(&certificate, &key);
        let mut files = GivenFiles { certificate, key, loaded: [None; 2], seen: stamp, failed: None };
        assert!(files.look().is_err());
        assert!(files.look().unwrap().is_none(), "told once");
        set_permissions(&files.key, Permissions::from_mode(0o400)).unwrap();
        assert!(files.look().unwrap().is_none(), "not before it stays as it is");
        assert!(files.look().is_err());
    }
}
