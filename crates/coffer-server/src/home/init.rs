//! Making a store: in a folder beside its place, renamed when it is whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_audit::SyncMode;
use coffer_core::{Core, Founding, FoundingUser, Spawn};
use coffer_crypto::{KeyFileSeal, PassphraseSeal, Random, RootKey, Seal, StoreId, SystemRandom};
use coffer_types::{AccountId, Region, SecretBytes};
use rustix::fs::{FlockOperation, flock};

use super::open::Engine;
use super::{
    Credentials, GITIGNORE_FILE, Home, HomeError, LOCK_FILE, SEAL_FILE, authority, files, io_error, key_file,
};

/// The first user's name.
const ADMINISTRATOR: &str = "admin";
/// Where the server listens unless told otherwise.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8200";
/// A draft older than this, whose maker is gone, is removed.
const DRAFT_AGE_MIN: Duration = Duration::from_secs(60);

/// What a new store is to be like.
pub struct InitOptions {
    /// Its default account; random if `None`.
    pub account: Option<AccountId>,
    /// Its default region.
    pub region: Region,
    /// How its root key is sealed.
    pub seal: SealChoice,
    /// The first access key, id and secret; random if `None`.
    pub admin_key: Option<(String, SecretBytes)>,
    /// When records of the log count as safe.
    pub sync: SyncMode,
    /// Where key and credentials go: [`super::data_dir`].
    pub data_dir: PathBuf,
}

/// How a root key is sealed.
pub enum SealChoice {
    /// With a key file in the data directory.
    KeyFile,
    /// With a passphrase.
    Passphrase(SecretBytes),
}

/// A store was made.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// Its id.
    pub store_id: StoreId,
    /// Its default account.
    pub account: AccountId,
    /// Its default region.
    pub region: Region,
    /// The first access key's id.
    pub access_key_id: String,
    /// Where the first access key is.
    pub credentials: PathBuf,
    /// What its root key is sealed with, if that is a file.
    pub key_file: Option<PathBuf>,
}

impl Home {
    /// Makes a store here. [`HomeError::Exists`] if there is one, also if another process was faster.
    ///
    /// The key file, the credentials and the authority are written first: of a process that dies in between they are left, and
    /// open nothing.
    pub async fn init(&self, options: &InitOptions, spawn: Arc<dyn Spawn>) -> Result<Initialised, HomeError> {
        if self.exists() {
            return Err(HomeError::Exists { path: self.path.clone() });
        }
        let random = SystemRandom;
        let draft = Draft::make(&self.path, &random)?;
        let initialised = fill(&draft, options, &random, spawn).await?;
        if let Err(error) = draft.publish() {
            // Certainly not in place, so nothing will ever need what opens it.
            let authority = authority::path(&options.data_dir, initialised.store_id);
            let orphans = initialised.key_file.iter().chain([&initialised.credentials, &authority]);
            orphans.for_each(|orphan| drop(std::fs::remove_file(orphan)));
            return Err(error);
        }
        Ok(initialised)
    }
}

async fn fill(
    draft: &Draft,
    options: &InitOptions,
    random: &SystemRandom,
    spawn: Arc<dyn Spawn>,
) -> Result<Initialised, HomeError> {
    let store_id = StoreId::make(random);
    let root = RootKey::make(random);
    let account = match options.account {
        Some(account) => account,
        None => make_account(random),
    };
    let (access_key_id, secret_access_key) = match &options.admin_key {
        Some((id, secret)) => (id.clone(), SecretBytes::copy_from(secret.expose_secret())),
        None => make_access_key(random),
    };

    let (sealed, key_file) = match &options.seal {
        SealChoice::KeyFile => {
            let path = key_file(&options.data_dir, store_id);
            if let Some(folder) = path.parent() {
                files::make_private_folders(folder)?;
            }
            let seal = KeyFileSeal::new(path);
            (seal.seal(random, store_id, &root)?, Some(seal.path().to_owned()))
        }
        SealChoice::Passphrase(passphrase) => {
            let seal = PassphraseSeal::new(SecretBytes::copy_from(passphrase.expose_secret()));
            (seal.seal(random, store_id, &root)?, None)
        }
    };
    let credentials = Credentials {
        access_key_id: access_key_id.clone(),
        secret_access_key: SecretBytes::copy_from(secret_access_key.expose_secret()),
        region: options.region.clone(),
        account,
        endpoint: DEFAULT_ENDPOINT.to_owned(),
        ca_bundle: None,
    };
    credentials.write(&options.data_dir, store_id)?;
    let authority = authority::make(&options.data_dir, store_id, SystemTime::now())?;
    authority::publish(&draft.path, &authority)?;

    files::write_private_file(&draft.path.join(GITIGNORE_FILE), b"*\n")?;
    files::write_private_file(&draft.path.join(LOCK_FILE), b"")?;
    let engine = Engine::create(&draft.path, options.sync)?;
    let founding = Founding {
        account,
        region: options.region.clone(),
        users: vec![FoundingUser {
            name: ADMINISTRATOR.to_owned(),
            id: None,
            access_key_id: access_key_id.clone(),
            secret_access_key,
            administrator: true,
        }],
        owner_uid: rustix::process::geteuid().as_raw(),
    };
    let core = Core::found(engine.parts(root, store_id, spawn), founding)
        .await
        .map_err(|source| HomeError::Start { path: draft.path.clone(), source })?;
    core.close().await.map_err(HomeError::Close)?;
    drop(core);
    drop(engine);
    // Last, since a folder with a seal is a store.
    files::write_private_file(&draft.path.join(SEAL_FILE), sealed.to_json().as_bytes())?;
    Ok(Initialised {
        store_id,
        account,
        region: options.region.clone(),
        access_key_id,
        credentials: Credentials::path(&options.data_dir, store_id),
        key_file,
    })
}

fn make_account(random: &dyn Random) -> AccountId {
    loop {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        // Of 40 bits; as AWS's, it does not begin with a zero, which spreadsheets and people lose.
        let number = u64::from_be_bytes(bytes) >> 24;
        if (100_000_000_000..1_000_000_000_000).contains(&number)
            && let Ok(account) = AccountId::from_number(number)
        {
            return account;
        }
    }
}

/// An access key that looks like AWS's, so that whoever scans for those finds a leaked one.
fn make_access_key(random: &dyn Random) -> (String, SecretBytes) {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let letters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    let id = "AKIA".chars().chain(letters.map(|&letter| char::from(letter))).collect();
    let mut secret = zeroize::Zeroizing::new([0; 30]);
    random.fill(&mut *secret);
    (id, SecretBytes::from(STANDARD.encode(*secret)))
}

/// A folder beside a home's place, in which it is made.
pub(super) struct Draft {
    pub(super) path: PathBuf,
    place: PathBuf,
    /// Open and locked while its maker lives, so that nobody else removes it.
    folder: File,
}

impl Draft {
    pub(super) fn make(place: &Path, random: &dyn Random) -> Result<Self, HomeError> {
        let parent = parent_of(place)?;
        files::make_private_folders(parent)?;
        remove_left_drafts(place);
        let mut suffix = [0; 8];
        random.fill(&mut suffix);
        let path = parent.join(format!("{}{}", draft_prefix(place), hex::encode(suffix)));
        files::make_private_folder(&path)?;
        let folder = File::open(&path).map_err(io_error("open", &path))?;
        flock(&folder, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| io_error("lock", &path)(error.into()))?;
        Ok(Self { path, place: place.to_owned(), folder })
    }

    /// Gives the draft its name, unless something has it. After an error it certainly has not got it.
    pub(super) fn publish(&self) -> Result<(), HomeError> {
        self.folder.sync_all().map_err(io_error("sync folder", &self.path))?;
        // Takes the place of an empty folder, and of nothing else.
        std::fs::rename(&self.path, &self.place).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory => {
                if self.place.join(SEAL_FILE).exists() {
                    HomeError::Exists { path: self.place.clone() }
                } else {
                    HomeError::Occupied { path: self.place.clone() }
                }
            }
            _ => io_error("rename to", &self.place)(error),
        })?;
        // The store is in place. What fails from here on is durability alone, so it is no reason to undo.
        files::sync_folder(parent_of(&self.place)?).or(Ok(()))
    }
}

impl Drop for Draft {
    /// Removes what was not published; a published draft has another name by now.
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.path));
    }
}

fn parent_of(place: &Path) -> Result<&Path, HomeError> {
    place.parent().ok_or_else(|| HomeError::Occupied { path: place.to_owned() })
}

fn draft_prefix(place: &Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    format!("{}{name}.draft-", if name.starts_with('.') { "" } else { "." })
}

/// Removes drafts whose makers died. Best effort: what is left over does no harm.
fn remove_left_drafts(place: &Path) {
    let prefix = draft_prefix(place);
    let Some(entries) = place.parent().and_then(|parent| std::fs::read_dir(parent).ok()) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_draft = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
        if is_draft && is_left(&path) {
            drop(std::fs::remove_dir_all(&path));
        }
    }
}

fn is_left(draft: &Path) -> bool {
    let Ok(folder) = File::open(draft) else { return false };
    let Ok(metadata) = folder.metadata() else { return false };
    // A maker locks its draft right after making it, so a young one may be about to be locked.
    let is_old = metadata.modified().is_ok_and(|modified| {
        SystemTime::now().duration_since(modified).is_ok_and(|age| age >= DRAFT_AGE_MIN)
    });
    let is_mine = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    is_mine && is_old && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_look_like_aws() {
        let (id, secret) = make_access_key(&SystemRandom);
        assert_eq!(id.len(), 20);
        assert!(id.starts_with("AKIA"), "{id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)), "{id}");
        assert_eq!(secret.len(), 40);
        assert_eq!(make_account(&SystemRandom).to_string().len(), 12);
    }

    #[test]
    fn only_old_drafts_of_the_dead_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(".coffer");
        let age = |path: &Path, seconds| {
            let then = SystemTime::now() - Duration::from_secs(seconds);
            File::open(path).unwrap().set_modified(then).unwrap();
        };
        let alive = Draft::make(&place, &SystemRandom).unwrap();
        age(&alive.path, 3600);
        let [young, old, other] = [".coffer.draft-1", ".coffer.draft-2", ".coffer.backup"].map(|name| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        });
        age(&old, 3600);
        age(&other, 3600);
        remove_left_drafts(&place);
        assert_eq!([&alive.path, &young, &old, &other].map(|path| path.exists()), [true, true, false, true]);
    }

    #[test]
    fn a_draft_takes_an_empty_place_only() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("deep/er/home");
        let (first, second) =
            (Draft::make(&place, &SystemRandom).unwrap(), Draft::make(&place, &SystemRandom).unwrap());
        std::fs::write(first.path.join(SEAL_FILE), "{}").unwrap();
        std::fs::create_dir(&place).unwrap();
        first.publish().unwrap();
        assert!(matches!(second.publish(), Err(HomeError::Exists { .. })));
        drop((first, second));
        assert!(place.join(SEAL_FILE).exists());
        assert_eq!(std::fs::read_dir(place.parent().unwrap()).unwrap().count(), 1);

        let place = folder.path().join("full");
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("notes"), "").unwrap();
        let draft = Draft::make(&place, &SystemRandom).unwrap();
        assert!(matches!(draft.publish(), Err(HomeError::Occupied { .. })));
    }
}
