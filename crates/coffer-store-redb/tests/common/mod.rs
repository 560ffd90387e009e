//! A file that loses what was not synced when the power goes.

#![allow(dead_code, reason = "each test uses its part")]

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{BackendError, StorageBackend};

/// SplitMix64: the same accident for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What a power cut does to the writes that were not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    /// All are lost.
    All,
    /// Those after some point are lost.
    Suffix,
    /// Any may be lost, in any combination.
    Subset,
    /// As `Subset`, and a write may reach the disk in part: some of its sectors.
    Sectors,
}

#[derive(Debug)]
enum Step {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Debug)]
struct Disk {
    /// What the process sees.
    live: Vec<u8>,
    /// What is on the disk for certain.
    durable: Vec<u8>,
    /// What is on its way, in order.
    unsynced: Vec<Step>,
    /// Steps until the power goes; `None` for never.
    steps_left: Option<u64>,
    steps: u64,
    syncs_lie: bool,
    off: bool,
}

/// A disk whose power goes after a number of writes, syncs and changes of length. From then on all fail.
#[derive(Clone, Debug)]
pub(crate) struct PowerCut(Arc<Mutex<Disk>>);

impl PowerCut {
    pub(crate) fn new(image: Vec<u8>, steps_left: Option<u64>) -> Self {
        let (live, durable) = (image.clone(), image);
        let disk =
            Disk { live, durable, unsynced: Vec::new(), steps_left, steps: 0, syncs_lie: false, off: false };
        Self(Arc::new(Mutex::new(disk)))
    }

    /// A disk that answers a sync and does nothing.
    pub(crate) fn lying(steps_left: u64) -> Self {
        let disk = Self::new(Vec::new(), Some(steps_left));
        disk.disk().syncs_lie = true;
        disk
    }

    /// How many steps were done.
    pub(crate) fn steps(&self) -> u64 {
        self.disk().steps
    }

    /// Cuts the power now, and answers what is found on the disk afterwards.
    pub(crate) fn image_after(&self, loss: Loss, dice: &mut Dice) -> Vec<u8> {
        let mut disk = self.disk();
        disk.off = true;
        let mut image = disk.durable.clone();
        let kept = dice.below(disk.unsynced.len() as u64 + 1) as usize;
        for (number, step) in disk.unsynced.iter().enumerate() {
            let survives = match loss {
                Loss::All => false,
                Loss::Suffix => number < kept,
                Loss::Subset | Loss::Sectors => dice.below(2) == 0,
            };
            match step {
                Step::SetLen(len) if survives => image.resize(*len, 0),
                Step::Write(offset, data) if loss == Loss::Sectors => {
                    for (number, sector) in data.chunks(512).enumerate() {
                        if dice.below(2) == 0 {
                            write(&mut image, offset + number * 512, sector);
                        }
                    }
                }
                Step::Write(offset, data) if survives => write(&mut image, *offset, data),
                Step::SetLen(_) | Step::Write(..) => {}
            }
        }
        image
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// Counts a step, unless the power is gone.
    fn step(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk();
        if disk.off || disk.steps_left == Some(0) {
            disk.off = true;
            return Err(io::Error::other("the power is gone"));
        }
        disk.steps_left = disk.steps_left.map(|left| left - 1);
        disk.steps += 1;
        Ok(disk)
    }
}

fn write(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if image.len() < offset + data.len() {
        image.resize(offset + data.len(), 0);
    }
    image[offset..offset + data.len()].copy_from_slice(data);
}

impl StorageBackend for PowerCut {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk();
        let offset = offset as usize;
        let data = disk.live.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(data);
        if disk.off { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.step()?;
        disk.live.resize(len as usize, 0);
        disk.unsynced.push(Step::SetLen(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.step()?;
        if !disk.syncs_lie {
            disk.durable = disk.live.clone();
            disk.unsynced.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.step()?;
        write(&mut disk.live, offset as usize, data);
        disk.unsynced.push(Step::Write(offset as usize, data.to_vec()));
        Ok(())
    }

    fn try_lock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}
