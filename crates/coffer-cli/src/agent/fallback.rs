//! The last values, sealed in a file, for a start while their store is away.
//!
//! I/O: that file and the file of its key. Invariants: nothing is in it in clear; what a store denied, or no longer has, is
//! taken out; and what is older than it may be is not given.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::mem::take;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_crypto::{Key, Random as _, SystemRandom, TokenKey};
use coffer_resolver::{Facts, Resolved};
use coffer_types::SecretBytes;
use coffer_wire_local::FailureKind;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::failure::Stop;

/// What the sealed bytes are, so that they open as nothing else.
const PURPOSE: &str = "coffer agent fallback 1";
/// How long the same value is not noted again.
const SAME_FOR_SECONDS: u64 = 60;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The file and what belongs into it.
pub(crate) struct Fallback {
    path: PathBuf,
    key: TokenKey,
    age_max: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    is_changed: bool,
}

struct Entry {
    value: Arc<SecretBytes>,
    place: String,
    facts: Arc<Facts>,
    read_at_seconds: u64,
}

/// An entry as it is sealed.
#[derive(Serialize, Deserialize)]
struct Written {
    key: String,
    value: String,
    place: String,
    read_at: u64,
    name: Option<String>,
    arn: Option<String>,
    version_id: Option<String>,
    stages: Vec<String>,
    created_millis: Option<i64>,
    is_binary: bool,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl Fallback {
    /// What the file holds, or nothing if there is none. The key is made if there is none.
    pub(crate) fn open(path: &Path, key: &Path, age_max: Duration) -> Result<Self, Stop> {
        let failed = |path: &Path, error: &io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => FailureKind::Denied,
                _ => FailureKind::Other,
            };
            Stop::new(kind, format!("cannot use `{}`: {error}", path.display()))
        };
        let key = TokenKey::new(read_key(key).map_err(|error| failed(key, &error))?);
        let mut state = State::default();
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(Stop::new(FailureKind::Refused, format!("`{}` is too large", path.display())));
            }
            Ok(_) => {
                let sealed = fs::read(path).map_err(|error| failed(path, &error))?;
                state.entries = opened(&key, &sealed).ok_or_else(|| {
                    let what =
                        format!("`{}` is not what the agent wrote, or not under this key", path.display());
                    Stop::new(FailureKind::Verification, what).with_hint("remove it: it is made anew")
                })?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path, &error)),
        }
        Ok(Self { path: path.to_owned(), key, age_max, state: Mutex::new(state) })
    }

    /// A value was read from its store.
    pub(crate) fn remember(&self, key: &str, found: &Resolved) {
        let now = unix_seconds();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = state.entries.get(key)
            && now.saturating_sub(entry.read_at_seconds) < SAME_FOR_SECONDS
            && entry.value.expose_secret() == found.value.expose_secret()
        {
            return;
        }
        let entry = Entry {
            value: Arc::clone(&found.value),
            place: found.place.clone(),
            facts: Arc::clone(&found.facts),
            read_at_seconds: now,
        };
        state.entries.insert(key.to_owned(), entry);
        state.is_changed = true;
    }

    /// The last value, if it is not too old, as one that is stale.
    pub(crate) fn recall(&self, key: &str) -> Option<Resolved> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = state.entries.get(key)?;
        // A clock that was set back makes nothing young.
        let age = Duration::from_secs(unix_seconds().checked_sub(entry.read_at_seconds)?);
        (age <= self.age_max).then(|| Resolved {
            value: Arc::clone(&entry.value),
            place: entry.place.clone(),
            stale: Some(age),
            facts: Arc::clone(&entry.facts),
        })
    }

    /// The store no longer has it, or no longer gives it.
    pub(crate) fn forget(&self, key: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.entries.remove(key).is_some() {
            state.is_changed = true;
        }
    }

    /// Writes the file if something changed since.
    pub(crate) fn save(&self) -> io::Result<()> {
        let plain = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = unix_seconds();
            let age_max = self.age_max.as_secs();
            state.entries.retain(|_, entry| now.saturating_sub(entry.read_at_seconds) <= age_max);
            if !take(&mut state.is_changed) {
                return Ok(());
            }
            written(&state.entries)
        };
        let sealed = self.key.seal(&SystemRandom, PURPOSE, &plain);
        let written = write_whole(&self.path, &sealed);
        if written.is_err() {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).is_changed = true;
        }
        written
    }
}

fn written(entries: &BTreeMap<String, Entry>) -> Zeroizing<Vec<u8>> {
    let all: Vec<Written> = entries
        .iter()
        .map(|(key, entry)| Written {
            key: key.clone(),
            value: STANDARD.encode(entry.value.expose_secret()),
            place: entry.place.clone(),
            read_at: entry.read_at_seconds,
            name: entry.facts.name.clone(),
            arn: entry.facts.arn.clone(),
            version_id: entry.facts.version_id.clone(),
            stages: entry.facts.stages.clone(),
            created_millis: entry.facts.created_millis,
            is_binary: entry.facts.is_binary,
        })
        .collect();
    // Room for all of it, so that no outgrown buffer stays behind.
    let room: usize = all.iter().map(|one| one.value.len() + one.key.len() + one.place.len() + 4096).sum();
    let mut plain = Zeroizing::new(Vec::with_capacity(room + 16));
    // Writing texts to a Vec can't fail.
    let _ = serde_json::to_writer(&mut *plain, &all);
    plain
}

fn opened(key: &TokenKey, sealed: &[u8]) -> Option<BTreeMap<String, Entry>> {
    let plain = key.open(PURPOSE, sealed).ok()?;
    let all: Vec<Written> = serde_json::from_slice(&plain).ok()?;
    all.into_iter()
        .map(|mut one| {
            let facts = Facts {
                name: one.name.take(),
                arn: one.arn.take(),
                version_id: one.version_id.take(),
                stages: take(&mut one.stages),
                created_millis: one.created_millis,
                is_binary: one.is_binary,
            };
            let value = Arc::new(SecretBytes::new(STANDARD.decode(one.value.as_bytes()).ok()?));
            let (place, facts) = (take(&mut one.place), Arc::new(facts));
            let entry = Entry { value, place, facts, read_at_seconds: one.read_at };
            Some((take(&mut one.key), entry))
        })
        .collect()
}

/// The key of the file, which nobody else may read; made if it is not there.
fn read_key(path: &Path) -> io::Result<Key> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may read it"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = Zeroizing::new([0; 32]);
            SystemRandom.fill(&mut *bytes);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(Zeroizing::new(hex::encode(bytes.as_slice())).as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
        }
        Err(error) => return Err(error),
    }
    let text = Zeroizing::new(fs::read_to_string(path)?);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it holds no key: 64 hexadecimal digits"))?;
    Ok(Key::from_bytes(&bytes))
}

/// Puts `bytes` into the file all at once, readable by this user only.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Resolved {
        let facts = Facts { arn: Some("arn:x".into()), ..Facts::default() };
        let value = Arc::new(SecretBytes::copy_from(text.as_bytes()));
        Resolved { value, place: "coffer://bot".into(), stale: None, facts: Arc::new(facts) }
    }

    #[test]
    fn it_outlives_a_start_sealed_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("values"), folder.path().join("keys/key"));
        let day = Duration::from_secs(86_400);
        let open = |age_max| Fallback::open(&path, &key, age_max);
        let first = open(day).unwrap();
        first.remember("name:A", &found("hunter2"));
        first.remember("name:B", &found("gone"));
        first.forget("name:B");
        first.save().unwrap();
        let sealed = fs::read(&path).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2" || window == b"coffer:"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let second = open(day).unwrap();
        let recalled = second.recall("name:A").unwrap();
        assert_eq!(recalled.value.expose_secret(), b"hunter2");
        assert_eq!((recalled.facts.arn.as_deref(), recalled.stale.is_some()), (Some("arn:x"), true));
        assert!(second.recall("name:B").is_none());
        // Too old, or from a time that is still to come.
        for (read_at, expected) in
            [(unix_seconds() - 86_300, true), (unix_seconds() - 86_500, false), (unix_seconds() + 60, false)]
        {
            second.state.lock().unwrap().entries.get_mut("name:A").unwrap().read_at_seconds = read_at;
            assert_eq!(second.recall("name:A").is_some(), expected);
        }
    }

    #[test]
    fn what_is_not_its_own_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("values"), folder.path().join("key"));
        let open = || Fallback::open(&path, &key, Duration::from_secs(60)).err().map(|stop| stop.exit_code());
        assert_eq!(open(), None);
        for bytes in [&b""[..], b"x", &[1; 200]] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(open(), Some(8));
        }
        fs::remove_file(&path).unwrap();
        fs::write(&key, "no key").unwrap();
        assert_eq!(open(), Some(1));
        fs::remove_file(&key).unwrap();
        assert_eq!(open(), None);
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(open(), Some(4));
    }
}
