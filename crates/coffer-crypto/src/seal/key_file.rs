//! A root key sealed under a key in a file of its own, away from the store.
//!
//! I/O: one file. Invariant: a key file is complete under its name or absent, is never written over, and is
//! used only while nobody but its owner may read it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{Seal, SealError, SealedRootKey};
use crate::{Key, Random, RootKey, StoreId, random};

/// What a key file holds: this, 64 hex digits, a line feed.
const PREFIX: &[u8] = b"coffer-key-1:";
const FILE_BYTES: usize = PREFIX.len() + 64 + 1;

/// Seals under a key in a file: mode 0600, its folder 0700 where the seal makes it.
///
/// Sealing makes the file and refuses if it is there; opening refuses a file that its group or others may touch, or
/// that another user owns.
pub struct KeyFileSeal {
    path: PathBuf,
}

impl KeyFileSeal {
    /// The seal whose key is, or will be, at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the key is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self, action: &'static str) -> impl FnOnce(io::Error) -> SealError {
        io_error(action, &self.path)
    }

    /// Makes the folder of the key file, and those above it, where they are not there. Answers the folders whose
    /// entries are new once the key is written, innermost first: each must be synced, or a power cut could take the
    /// key away together with its folder.
    fn make_folder(&self) -> Result<Vec<PathBuf>, SealError> {
        let named =
            |folder: &Path| if folder == Path::new("") { PathBuf::from(".") } else { folder.to_owned() };
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let missing = folder.ancestors().take_while(|folder| !named(folder).exists()).count();
        let changing = folder.ancestors().take(missing + 1).map(named).collect();
        let folder = named(folder);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(io_error("make folder", &folder))?;
        Ok(changing)
    }

    /// Writes the key under another name, syncs it, and gives it its own name by a link, which unlike a renaming never
    /// replaces a file. When this answers `Ok`, the file and its name are on disk.
    fn write(&self, random: &dyn Random, key: &Key) -> Result<(), SealError> {
        let folders = self.make_folder()?;
        let suffix = hex::encode(random::make_bytes::<8>(random));
        let temporary = self.path.with_file_name(format!(".coffer-key-{suffix}"));
        let written = write_new(&temporary, key).map_err(io_error("write", &temporary)).and_then(|()| {
            std::fs::hard_link(&temporary, &self.path).map_err(|error| self.not_linked(error))
        });
        let removed = std::fs::remove_file(&temporary).map_err(io_error("remove", &temporary));
        written.and(removed)?;
        folders.iter().try_for_each(|folder| {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(io_error("sync folder", folder))
        })
    }

    fn not_linked(&self, error: io::Error) -> SealError {
        match error.kind() {
            ErrorKind::AlreadyExists => SealError::KeyFileExists { path: self.path.clone() },
            _ => self.io("make key file")(error),
        }
    }

    fn read(&self) -> Result<Key, SealError> {
        // Without blocking, so that a pipe in the file's place is refused and not waited for.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path);
        let mut file = file.map_err(|error| match error.kind() {
            ErrorKind::NotFound => SealError::KeyFileMissing { path: self.path.clone() },
            _ => self.io("read key file")(error),
        })?;
        // What is checked is what was opened, whatever the name points to by now.
        let metadata = file.metadata().map_err(self.io("read key file"))?;
        let expected = rustix::process::geteuid().as_raw();
        let mode = metadata.mode() & 0o7777;
        if metadata.uid() != expected {
            return Err(SealError::KeyFileOwner { path: self.path.clone(), owner: metadata.uid(), expected });
        }
        if mode & 0o077 != 0 {
            return Err(SealError::KeyFileMode { path: self.path.clone(), mode });
        }
        let not_a_key_file = || SealError::NotAKeyFile { path: self.path.clone() };
        if !metadata.is_file() || metadata.len() != FILE_BYTES as u64 {
            return Err(not_a_key_file());
        }
        let mut text = Zeroizing::new([0; FILE_BYTES]);
        file.read_exact(&mut *text).map_err(self.io("read key file"))?;
        parse(&*text).ok_or_else(not_a_key_file)
    }
}

impl Seal for KeyFileSeal {
    fn kind(&self) -> &'static str {
        "key-file"
    }

    fn seal(&self, random: &dyn Random, store: StoreId, root: &RootKey) -> Result<SealedRootKey, SealError> {
        let sealing_key = Key::make(random);
        self.write(random, &sealing_key)?;
        Ok(SealedRootKey::make(random, self.kind(), store, None, &sealing_key, root))
    }

    fn open(&self, store: StoreId, sealed: &SealedRootKey) -> Result<RootKey, SealError> {
        sealed.check(self.kind(), store)?;
        let opened = sealed.open(self.kind(), store, &self.read()?);
        opened.map_err(|source| SealError::WrongKeyFile { path: self.path.clone(), source })
    }
}

/// Writes a file that does not exist yet and syncs it.
fn write_new(path: &Path, key: &Key) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The mode above is less what the process's mask takes away; this one is exact.
    file.set_permissions(Permissions::from_mode(0o600))?;
    let mut text = Zeroizing::new([b'\n'; FILE_BYTES]);
    let (prefix, rest) = text.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    let digits = rest.get_mut(..64).unwrap_or_default();
    hex::encode_to_slice(key.expose_secret(), digits).map_err(io::Error::other)?;
    file.write_all(&*text)?;
    file.sync_all()
}

fn parse(text: &[u8]) -> Option<Key> {
    let digits = text.strip_prefix(PREFIX)?.strip_suffix(b"\n")?;
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *key).ok()?;
    Some(key.into())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SealError {
    move |source| SealError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::{OpenError, SystemRandom};

    struct Sealed {
        folder: TempDir,
        seal: KeyFileSeal,
        store: StoreId,
        root: RootKey,
        sealed: SealedRootKey,
    }

    fn sealed() -> Sealed {
        let folder = tempfile::tempdir().unwrap();
        let seal = KeyFileSeal::new(folder.path().join("keys/of/store"));
        let (store, root) = (StoreId::make(&SystemRandom), RootKey::make(&SystemRandom));
        let sealed = seal.seal(&SystemRandom, store, &root).unwrap();
        Sealed { folder, seal, store, root, sealed }
    }

    impl Sealed {
        fn set_mode(&self, mode: u32) {
            std::fs::set_permissions(self.seal.path(), Permissions::from_mode(mode)).unwrap();
        }

        fn refusal(&self) -> SealError {
            self.seal.open(self.store, &self.sealed).err().expect("it must be refused")
        }
    }

    #[test]
    fn the_root_key_comes_back_also_through_json() {
        let this = sealed();
        let read = SealedRootKey::from_json(this.sealed.to_json().as_bytes()).unwrap();
        assert_eq!(read, this.sealed);
        assert_eq!((read.kind(), read.store_id()), ("key-file", this.store));
        assert_eq!(
            this.seal.open(this.store, &read).ok().unwrap().expose_secret(),
            this.root.expose_secret()
        );
    }

    #[test]
    fn the_file_is_for_its_owner_only_and_nothing_is_left_beside_it() {
        let this = sealed();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        let folder = this.seal.path().parent().unwrap();
        assert_eq!(mode(this.seal.path()), 0o600);
        assert_eq!(mode(folder), 0o700);
        assert_eq!(mode(folder.parent().unwrap()), 0o700);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn every_folder_with_a_new_entry_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let synced = |path: &str| KeyFileSeal::new(folder.path().join(path)).make_folder().unwrap();
        let at = |path: &str| folder.path().join(path);
        assert_eq!(synced("a/b/key"), [at("a/b"), at("a"), folder.path().to_owned()]);
        assert_eq!(synced("a/b/key"), [at("a/b")]);
        assert_eq!(KeyFileSeal::new("key").make_folder().unwrap(), [Path::new(".")]);
    }

    #[test]
    fn a_file_that_is_there_is_never_written_over() {
        let this = sealed();
        let before = std::fs::read(this.seal.path()).unwrap();
        let again = this.seal.seal(&SystemRandom, this.store, &this.root);
        assert!(matches!(again, Err(SealError::KeyFileExists { .. })));
        assert_eq!(std::fs::read(this.seal.path()).unwrap(), before);
        assert_eq!(std::fs::read_dir(this.seal.path().parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_others_may_touch_is_refused() {
        let this = sealed();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            this.set_mode(mode);
            let error = this.refusal();
            assert!(matches!(error, SealError::KeyFileMode { mode: found, .. } if found == mode), "{error}");
            assert!(error.to_string().contains(&format!("has mode {mode:04o}")), "{error}");
        }
        this.set_mode(0o400);
        assert!(this.seal.open(this.store, &this.sealed).is_ok());
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let this = sealed();
        // Only root can give a file away.
        if std::os::unix::fs::chown(this.seal.path(), Some(12_345), None).is_ok() {
            assert!(matches!(this.refusal(), SealError::KeyFileOwner { owner: 12_345, .. }));
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let this = sealed();
        let good = std::fs::read(this.seal.path()).unwrap();
        let bad_digit = [&good[..FILE_BYTES - 2], b"g\n"].concat();
        for bad in [&b""[..], &good[1..], &[&good[..], b"\n"].concat(), &bad_digit] {
            std::fs::write(this.seal.path(), bad).unwrap();
            assert!(matches!(this.refusal(), SealError::NotAKeyFile { .. }));
        }
        std::fs::remove_file(this.seal.path()).unwrap();
        assert!(matches!(this.refusal(), SealError::KeyFileMissing { .. }));
        DirBuilder::new().mode(0o700).create(this.seal.path()).unwrap();
        assert!(matches!(this.refusal(), SealError::NotAKeyFile { .. }));
        std::fs::remove_dir(this.seal.path()).unwrap();
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, FileType, Mode, mknodat};
            mknodat(CWD, this.seal.path(), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            assert!(matches!(this.refusal(), SealError::NotAKeyFile { .. }));
        }
    }

    #[test]
    fn another_key_another_store_and_another_seal_do_not_open_it() {
        let this = sealed();
        let other = sealed();
        assert!(this.folder.path() != other.folder.path());
        assert!(matches!(
            other.seal.open(this.store, &this.sealed).err(),
            Some(SealError::WrongKeyFile { source: OpenError::Authentication, .. })
        ));
        assert!(matches!(this.seal.open(other.store, &this.sealed).err(), Some(SealError::Store { .. })));

        let renamed = SealedRootKey { store_id: other.store, ..this.sealed.clone() };
        assert!(matches!(this.seal.open(other.store, &renamed).err(), Some(SealError::WrongKeyFile { .. })));
        let foreign = SealedRootKey { kind: "passphrase".to_owned(), ..this.sealed.clone() };
        assert!(matches!(this.seal.open(this.store, &foreign).err(), Some(SealError::Kind { .. })));
    }

    proptest! {
        #[test]
        fn strangers_bytes_are_no_key_file(text: Vec<u8>) {
            prop_assert!(parse(&text).is_none());
        }
    }
}
