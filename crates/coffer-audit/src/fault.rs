//! A disk in memory that fails on purpose: it loses what was not synced, runs full, and errs where it is told to.
//!
//! No I/O; for tests, here and in other crates. Invariant: what was synced survives every power cut, and nothing
//! else is promised: of unsynced writes any sectors may survive, of names any prefix of their changes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, LogFile};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct VolatileDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    capacity: Option<u64>,
    operations: u64,
    fault: Option<Fault>,
    dead: bool,
}

#[derive(Clone)]
enum NameChange {
    Link(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Default, Clone)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Clone, Copy)]
struct Fault {
    first: u64,
    count: u64,
    kind: io::ErrorKind,
    then_dead: bool,
}

/// A small generator (SplitMix64), so that a seed replays.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64).max(1)).unwrap_or(0)
    }
}

impl VolatileDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bounds the space; what is there already stays.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner().capacity = bytes;
    }

    /// How many changing operations (writes, allocations, cuts, syncs, changes of names) were asked for so far.
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// Makes `count` changing operations fail, from the `first` on, counted as in [`Self::operations`] from 0.
    /// A failing write writes half of its bytes first.
    pub fn fail(&self, first: u64, count: u64, kind: io::ErrorKind) {
        self.inner().fault = Some(Fault { first, count, kind, then_dead: false });
    }

    /// No operation fails any more.
    pub fn heal(&self) {
        let mut inner = self.inner();
        inner.fault = None;
        inner.dead = false;
    }

    /// From this changing operation on nothing works: the process is as good as dead.
    pub fn die_at(&self, operation: u64) {
        let fault = Fault { first: operation, count: u64::MAX, kind: io::ErrorKind::Other, then_dead: true };
        self.inner().fault = Some(fault);
    }

    /// The disk as another process finds it after this one was killed: all that was written is there.
    pub fn after_kill(&self) -> Self {
        let inner = self.inner();
        let files = inner.files.iter().map(|file| File { pending: file.pending.clone(), ..file.clone() });
        Self::with(Inner {
            files: files.collect(),
            names: inner.names.clone(),
            durable_names: inner.durable_names.clone(),
            pending_names: inner.pending_names.clone(),
            capacity: inner.capacity,
            ..Inner::default()
        })
    }

    /// The disk after a power cut: what was synced, and whatever the seed lets survive of the rest.
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let inner = self.inner();
        let mut random = Seeded(seed);
        let mut names = inner.durable_names.clone();
        let kept = random.below(inner.pending_names.len() + 1);
        for change in inner.pending_names.iter().take(kept) {
            change.apply(&mut names);
        }
        // Nothing, everything, an early part, or any sectors.
        let manner = random.below(4);
        let files = inner.files.iter().map(|file| {
            let mut bytes = file.durable.clone();
            let early = random.below(file.pending.len() + 1);
            for (number, change) in file.pending.iter().enumerate() {
                let whole = manner == 1 || manner == 2 && number < early;
                match change {
                    Change::Resize(length) if whole || manner == 3 => bytes.resize(*length, 0),
                    Change::Write { offset, bytes: new } if whole => put(&mut bytes, *offset, new),
                    Change::Write { offset, bytes: new } if manner == 3 || manner == 2 && number == early => {
                        put_some_sectors(&mut bytes, *offset, new, &mut random);
                    }
                    Change::Resize(_) | Change::Write { .. } => {}
                }
            }
            File { durable: bytes.clone(), bytes, pending: Vec::new() }
        });
        Self::with(Inner {
            files: files.collect(),
            durable_names: names.clone(),
            names,
            capacity: inner.capacity,
            ..Inner::default()
        })
    }

    /// A file's bytes as they are now.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        let file = inner.names.get(name).and_then(|&file| inner.files.get(file));
        file.map(|file| file.bytes.clone())
    }

    /// Puts a file there, synced: what somebody else did to the directory.
    pub fn plant(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let number = inner.files.len();
        inner.files.push(File { durable: bytes.clone(), bytes, pending: Vec::new() });
        inner.names.insert(name.to_owned(), number);
        inner.durable_names.insert(name.to_owned(), number);
    }

    fn with(inner: Inner) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, file: usize) -> Arc<dyn LogFile> {
        Arc::new(Handle { inner: Arc::clone(&self.inner), file })
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(new);
    }
}

fn put_some_sectors(bytes: &mut Vec<u8>, offset: usize, new: &[u8], random: &mut Seeded) {
    let mut at = offset;
    while at < offset + new.len() {
        let end = ((at / SECTOR + 1) * SECTOR).min(offset + new.len());
        if random.below(2) == 0 {
            put(bytes, at, new.get(at - offset..end - offset).unwrap_or_default());
        }
        at = end;
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Inner {
    /// Counts a changing operation, and fails it if it is one that shall.
    fn begin(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        if self.dead {
            return Err(io::ErrorKind::Other.into());
        }
        match self.fault {
            Some(fault) if number >= fault.first && number - fault.first < fault.count => {
                self.dead = fault.then_dead;
                Err(fault.kind.into())
            }
            _ => Ok(()),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        let lengths =
            self.names.values().filter_map(|&file| self.files.get(file)).map(|file| file.bytes.len());
        lengths.sum::<usize>() as u64
    }

    fn file(&mut self, number: usize) -> io::Result<&mut File> {
        self.files.get_mut(number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How many more bytes a file may grow by.
    fn room(&self) -> usize {
        let free = self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()));
        usize::try_from(free).unwrap_or(usize::MAX)
    }

    fn rename_or_remove(&mut self, change: NameChange) -> io::Result<()> {
        self.begin()?;
        let (NameChange::Rename(name, _) | NameChange::Remove(name) | NameChange::Link(name, _)) = &change;
        if !self.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        change.apply(&mut self.names);
        self.pending_names.push(change);
        Ok(())
    }
}

impl Disk for VolatileDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let inner = self.inner();
        inner.alive()?;
        let file = inner.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        drop(inner);
        Ok(self.handle(file))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut inner = self.inner();
        inner.begin()?;
        let file = match inner.names.get(name).copied() {
            Some(file) => {
                let emptied = inner.file(file)?;
                emptied.bytes.clear();
                emptied.pending.push(Change::Resize(0));
                file
            }
            None => {
                let file = inner.files.len();
                inner.files.push(File::default());
                let change = NameChange::Link(name.to_owned(), file);
                change.apply(&mut inner.names);
                inner.pending_names.push(change);
                file
            }
        };
        drop(inner);
        Ok(self.handle(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner().rename_or_remove(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner().rename_or_remove(NameChange::Remove(name.to_owned()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let inner = self.inner();
        inner.alive()?;
        Ok(inner.names.keys().cloned().collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.begin()?;
        inner.durable_names = inner.names.clone();
        inner.pending_names.clear();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let inner = self.inner();
        Ok(inner.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(inner.used())))
    }
}

struct Handle {
    inner: Arc<Mutex<Inner>>,
    file: usize,
}

impl Handle {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resize(&self, length: u64, shrink: bool) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut inner = self.inner();
        inner.begin()?;
        let room = inner.room();
        let file = inner.file(self.file)?;
        if length > file.bytes.len() && length - file.bytes.len() > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if shrink || length > file.bytes.len() {
            file.bytes.resize(length, 0);
            file.pending.push(Change::Resize(length));
        }
        Ok(())
    }
}

impl LogFile for Handle {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        inner.alive()?;
        let bytes = &inner.file(self.file)?.bytes;
        let from = usize::try_from(offset).map_err(io::Error::other)?.min(bytes.len());
        let rest = bytes.get(from..).unwrap_or_default();
        let take = rest.len().min(out.len());
        if let (Some(out), Some(rest)) = (out.get_mut(..take), rest.get(..take)) {
            out.copy_from_slice(rest);
        }
        Ok(take)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut inner = self.inner();
        let dead = inner.dead;
        let failure = inner.begin().err();
        let room = inner.room();
        let file = inner.file(self.file)?;
        let fitting = file.bytes.len().saturating_add(room).saturating_sub(offset).min(bytes.len());
        let take = match &failure {
            Some(_) if dead => 0,
            Some(_) => fitting / 2,
            None => fitting,
        };
        let new = bytes.get(..take).unwrap_or_default();
        if take > 0 {
            put(&mut file.bytes, offset, new);
            file.pending.push(Change::Write { offset, bytes: new.to_vec() });
        }
        match failure {
            Some(error) => Err(error),
            None if take == 0 && !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(take),
        }
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.resize(length, false)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.resize(length, true)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.begin()?;
        let file = inner.file(self.file)?;
        // Applying the changes rather than copying the file keeps long tests quick.
        for change in std::mem::take(&mut file.pending) {
            match change {
                Change::Write { offset, bytes } => put(&mut file.durable, offset, &bytes),
                Change::Resize(length) => file.durable.resize(length, 0),
            }
        }
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        let mut inner = self.inner();
        inner.alive()?;
        Ok(inner.file(self.file)?.bytes.len() as u64)
    }
}
