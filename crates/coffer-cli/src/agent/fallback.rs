//! The last values, sealed in a file, for a start while their store is away.
//!
//! I/O: that file and the file of its key. Invariants: nothing is in it in clear; what a store denied, or no longer has, or
//! somebody had forgotten, is taken out by whatever name it was asked for; and what is older than it may be is not given.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::mem::take;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_crypto::{Key, Random as _, SystemRandom, TokenKey};
use coffer_resolver::{Facts, Reference, Resolved};
use coffer_types::SecretBytes;
use coffer_wire_local::FailureKind;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::failure::Stop;
use crate::given::bits_of_others;

/// What the sealed bytes are, so that they open as nothing else.
const PURPOSE: &str = "coffer agent fallback 1";
/// How long the same value is not noted again.
const SAME_FOR_SECONDS: u64 = 60;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What sealing adds at most.
const SEAL_BYTES_MAX: u64 = 1024;
/// Most that is known to be gone.
const GONE_MAX: usize = 4096;

/// The file and what belongs into it.
pub(crate) struct Fallback {
    path: PathBuf,
    key: TokenKey,
    age_max: Duration,
    entries_max: usize,
    bytes_max: u64,
    state: Mutex<State>,
    /// Held by whoever writes the file, so that nothing older is written over it.
    writing: Mutex<()>,
}

/// What may be gone: the same value goes by several names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Mark {
    /// What a client asked for.
    Asked(String),
    /// A place, with field and version.
    Place(String),
    /// A document, in all its versions and fields, by what it is called in its store or by its ARN.
    Document(String),
}

impl Mark {
    /// The document that a reference leads into.
    pub(crate) fn document(reference: &Reference) -> Self {
        Self::Document(format!("{}:{}", reference.scheme(), reference.path()))
    }
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    is_changed: bool,
    /// Since when each of these is gone: what was asked for before does not come back from a slower thread.
    gone: HashMap<Mark, Instant>,
    /// When everything was forgotten.
    cleared: Option<Instant>,
}

#[derive(Clone)]
struct Entry {
    value: Arc<SecretBytes>,
    place: String,
    facts: Arc<Facts>,
    read_at_seconds: u64,
}

impl Entry {
    /// All that it goes by.
    fn marks(&self, key: &str) -> Vec<Mark> {
        marks(key, &self.place, &self.facts)
    }
}

fn marks(key: &str, place: &str, facts: &Facts) -> Vec<Mark> {
    let mut marks = vec![Mark::Asked(key.to_owned()), Mark::Place(place.to_owned())];
    if let Ok(reference) = place.parse::<Reference>() {
        marks.push(Mark::document(&reference));
        marks.extend(facts.arn.as_ref().map(|arn| Mark::Document(format!("{}:{arn}", reference.scheme()))));
    }
    marks
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
    pub(crate) fn open(path: &Path, key: &Path, age_max: Duration, entries_max: usize) -> Result<Self, Stop> {
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
        let (state, writing) = (Mutex::new(state), Mutex::default());
        Ok(Self {
            path: path.to_owned(),
            key,
            age_max,
            entries_max,
            bytes_max: FILE_BYTES_MAX,
            state,
            writing,
        })
    }

    /// A value that was asked for at `began`, and read then or had already been.
    pub(crate) fn remember(&self, key: &str, found: &Resolved, began: Instant) {
        let read = began.checked_sub(found.age);
        let read_at_seconds = unix_seconds().saturating_sub(found.age.as_secs());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_after = |gone: &Instant| read.is_none_or(|read| read <= *gone);
        let marks = marks(key, &found.place, &found.facts);
        if state.cleared.as_ref().is_some_and(is_after)
            || marks.iter().filter_map(|mark| state.gone.get(mark)).any(is_after)
        {
            return;
        }
        if let Some(entry) = state.entries.get(key)
            && read_at_seconds < entry.read_at_seconds.saturating_add(SAME_FOR_SECONDS)
            && entry.value.expose_secret() == found.value.expose_secret()
        {
            return;
        }
        let entry = Entry {
            value: Arc::clone(&found.value),
            place: found.place.clone(),
            facts: Arc::clone(&found.facts),
            read_at_seconds,
        };
        state.entries.insert(key.to_owned(), entry);
        shrink(&mut state.entries, self.entries_max);
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
            age,
            stale: Some(age),
            facts: Arc::clone(&entry.facts),
        })
    }

    /// Takes out what goes by any of these, and all that is of the same documents.
    pub(crate) fn forget(&self, marks: &[Mark]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone: BTreeSet<Mark> = marks.iter().cloned().collect();
        let is_of =
            |gone: &BTreeSet<Mark>, mark: &Mark| matches!(mark, Mark::Document(_)) && gone.contains(mark);
        for (key, entry) in &state.entries {
            let of_entry = entry.marks(key);
            if of_entry.iter().any(|mark| is_of(&gone, mark)) {
                gone.extend(of_entry.into_iter().filter(|mark| matches!(mark, Mark::Document(_))));
            }
        }
        let before = state.entries.len();
        state.entries.retain(|key, entry| !entry.marks(key).iter().any(|mark| gone.contains(mark)));
        state.is_changed |= state.entries.len() != before;
        let now = Instant::now();
        state.gone.extend(gone.into_iter().map(|mark| (mark, now)));
        while state.gone.len() > GONE_MAX {
            let oldest = state.gone.iter().min_by_key(|(_, at)| **at).map(|(mark, _)| mark.clone());
            let Some(oldest) = oldest else { return };
            state.gone.remove(&oldest);
        }
    }

    /// What the value that was asked for so goes by.
    pub(crate) fn known(&self, key: &str) -> Vec<Mark> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entries.get(key).map(|entry| entry.marks(key)).unwrap_or_default()
    }

    /// Whether anything goes by it.
    pub(crate) fn has(&self, mark: &Mark) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entries.iter().any(|(key, entry)| entry.marks(key).contains(mark))
    }

    /// Takes everything out.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_changed |= !state.entries.is_empty();
        state.entries.clear();
        state.gone.clear();
        state.cleared = Some(Instant::now());
    }

    /// Writes the file if something changed since. Who remembers and recalls meanwhile does not wait for that.
    pub(crate) fn save(&self) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = unix_seconds();
            let age_max = self.age_max.as_secs();
            state.entries.retain(|_, entry| now.saturating_sub(entry.read_at_seconds) <= age_max);
            if !take(&mut state.is_changed) {
                return Ok(());
            }
            state.entries.clone()
        };
        let mut plain = written(&entries);
        // A start would refuse it.
        while plain.len() as u64 + SEAL_BYTES_MAX > self.bytes_max && !entries.is_empty() {
            let left = entries.len() / 4 * 3;
            shrink(&mut entries, left);
            plain = written(&entries);
        }
        if let Some(oldest) = entries.values().map(|entry| entry.read_at_seconds).min() {
            // What found no room would find none next time.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.entries.retain(|key, entry| entry.read_at_seconds >= oldest || entries.contains_key(key));
        }
        let sealed = self.key.seal(&SystemRandom, PURPOSE, &plain);
        let written = write_whole(&self.path, &sealed);
        if written.is_err() {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).is_changed = true;
        }
        written
    }
}

/// Lets the oldest go.
fn shrink(entries: &mut BTreeMap<String, Entry>, entries_max: usize) {
    while entries.len() > entries_max {
        let oldest = entries.iter().min_by_key(|(_, entry)| entry.read_at_seconds);
        let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
        entries.remove(&oldest);
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
        Ok(metadata) if metadata.mode() & bits_of_others(path) != 0 => {
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
        let age = Duration::ZERO;
        Resolved { value, place: "coffer://bot".into(), age, stale: None, facts: Arc::new(facts) }
    }

    fn found_at(place: &str, arn: Option<&str>, age: Duration) -> Resolved {
        let facts = Facts { arn: arn.map(str::to_owned), ..Facts::default() };
        Resolved { place: place.into(), age, facts: Arc::new(facts), ..found("hunter2") }
    }

    fn document(reference: &str) -> Mark {
        Mark::document(&reference.parse().unwrap())
    }

    #[test]
    fn it_outlives_a_start_sealed_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("values"), folder.path().join("keys/key"));
        let day = Duration::from_secs(86_400);
        let open = |age_max| Fallback::open(&path, &key, age_max, 10);
        let first = open(day).unwrap();
        first.remember("name:A", &found("hunter2"), Instant::now());
        first.remember("name:B", &found("gone"), Instant::now());
        first.forget(&[Mark::Asked("name:B".into())]);
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
    fn a_document_goes_by_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("values"), folder.path().join("key"));
        let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:bot-AbCdEf";
        let spellings = [
            ("name:KEY", "coffer://bot#KEY", Some(arn)),
            ("coffer://bot", "coffer://bot", Some(arn)),
            ("coffer://bot#OTHER", "coffer://bot#OTHER", Some(arn)),
            ("by arn", &format!("coffer://{arn}"), Some(arn)),
            ("vault://secret/bot#KEY", "vault://secret/bot#KEY", None),
            ("vault://secret/bot", "vault://secret/bot?version=3", None),
            ("other", "aws://bot", None),
        ];
        for (gone, left) in [
            (document("coffer://bot?region=eu-west-1"), 3),
            (document(&format!("coffer://{arn}")), 3),
            (document("vault://secret/bot"), 5),
            (Mark::Place("coffer://bot#KEY".into()), 6),
            (Mark::Asked("name:KEY".into()), 6),
            (document("aws://none"), 7),
        ] {
            let fallback = Fallback::open(&path, &key, Duration::from_secs(60), 10).unwrap();
            let began = Instant::now();
            for (asked, place, arn) in spellings {
                fallback.remember(asked, &found_at(place, arn, Duration::ZERO), began);
            }
            fallback.forget(std::slice::from_ref(&gone));
            assert_eq!(fallback.state.lock().unwrap().entries.len(), left, "{gone:?}");
            // Threads that were slower bring nothing back.
            for (asked, place, arn) in spellings {
                fallback.remember(asked, &found_at(place, arn, Duration::ZERO), began);
                fallback.remember(asked, &found_at(place, arn, Duration::from_secs(30)), Instant::now());
            }
            assert_eq!(fallback.state.lock().unwrap().entries.len(), left, "{gone:?}");
            // What was read since counts.
            fallback.remember(
                "name:KEY",
                &found_at("coffer://bot#KEY", Some(arn), Duration::ZERO),
                Instant::now(),
            );
            assert!(fallback.recall("name:KEY").is_some());
            fallback.clear();
            fallback.remember("name:KEY", &found_at("coffer://bot#KEY", Some(arn), Duration::ZERO), began);
            assert!(fallback.recall("name:KEY").is_none());
        }
    }

    #[test]
    fn it_is_as_old_as_its_reading_and_has_a_largest_number() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("values"), folder.path().join("key"));
        let fallback = Fallback::open(&path, &key, Duration::from_secs(3600), 3).unwrap();
        for (number, age) in [500, 100, 300, 200, 400].into_iter().enumerate() {
            let place = format!("coffer://{number}");
            fallback.remember(&place, &found_at(&place, None, Duration::from_secs(age)), Instant::now());
        }
        let kept: Vec<u64> = (0..5)
            .filter_map(|number| fallback.recall(&format!("coffer://{number}")))
            .map(|found| found.stale.unwrap().as_secs() / 100)
            .collect();
        assert_eq!(kept, [1, 3, 2]);
    }

    #[test]
    fn a_file_that_would_be_too_large_holds_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("values"), folder.path().join("key"));
        let open = || Fallback::open(&path, &key, Duration::from_secs(3600), 100).unwrap();
        let mut fallback = open();
        for number in 0..8 {
            let place = format!("coffer://{number}");
            let age = Duration::from_secs(100 * number);
            fallback.remember(&place, &found_at(&place, None, age), Instant::now());
        }
        let all = written(&fallback.state.lock().unwrap().entries).len() as u64;
        fallback.bytes_max = all - 1 + SEAL_BYTES_MAX;
        fallback.save().unwrap();
        let kept = |fallback: &Fallback| {
            (0..8)
                .filter(|number| fallback.recall(&format!("coffer://{number}")).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(kept(&fallback), [0, 1, 2, 3, 4, 5]);
        assert_eq!(kept(&open()), [0, 1, 2, 3, 4, 5]);
        // Not even one finds room.
        fallback.bytes_max = 0;
        fallback.remember("coffer://x", &found_at("coffer://x", None, Duration::ZERO), Instant::now());
        fallback.save().unwrap();
        assert_eq!(kept(&open()), [0; 0]);
    }

    #[test]
    fn what_is_not_its_own_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("values"), folder.path().join("key"));
        let open =
            || Fallback::open(&path, &key, Duration::from_secs(60), 10).err().map(|stop| stop.exit_code());
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
