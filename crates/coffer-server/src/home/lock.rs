//! The lock of a home: who may open the store in place, and whom to ask otherwise.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use coffer_types::{CorrelationId, Region};
use coffer_wire_local::{Client, ConnectError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Home, HomeError, LOCK_FILE, io_error};

/// How often to look whether a lock is free.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Most bytes read of what a holder wrote of itself.
const HOLDER_BYTES_MAX: u64 = 256;

/// The lock, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct HeldLock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Who holds a lock, by its own account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its process, if it said so.
    pub pid: Option<u32>,
    /// Its command.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}, `{}`", self.command),
            None => f.write_str("another process"),
        }
    }
}

/// How to get at a store.
pub enum WayIn {
    /// Nobody has it open: open it.
    InPlace(HeldLock),
    /// A server has it open: ask the server.
    Server(Client),
}

impl Home {
    /// Finds the way in: the lock if it is free, the socket of the server that holds it otherwise. Held by
    /// somebody without a socket, such as another command, it is waited for up to `wait`.
    ///
    /// Blocks. `command` is what others are told of this process while it holds the lock, without secrets. A
    /// server is asked to work in `region`, or in the store's default; who opens the store in place says so to
    /// [`local::authenticate_self`](crate::local::authenticate_self); so it is with `id`, what the requests are called.
    pub fn way_in(
        &self,
        command: &str,
        region: Option<&Region>,
        id: Option<&CorrelationId>,
        wait: Duration,
    ) -> Result<WayIn, HomeError> {
        // A folder that may not be looked into is not an empty one.
        if let Err(source) = self.seal_path().try_exists() {
            return Err(HomeError::Io { action: "open", path: self.path.clone(), source });
        }
        if !self.exists() {
            return Err(HomeError::NotThere { path: self.path.clone() });
        }
        let until = Instant::now() + wait;
        loop {
            let holder = match self.try_lock(command)? {
                Ok(lock) => return Ok(WayIn::InPlace(lock)),
                Err(holder) => holder,
            };
            match Client::connect_as(&self.socket_path(), region.cloned(), id) {
                Ok(client) => return Ok(WayIn::Server(client)),
                // Not a server, or not yet, or no more.
                Err(ConnectError::NobodyListens(_)) => {}
                // A server that just stops closes what it has accepted.
                Err(ConnectError::Transport(error))
                    if error.kind() != std::io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(HomeError::Server(error)),
            }
            if Instant::now() >= until {
                return Err(HomeError::Locked { path: self.path.clone(), holder });
            }
            sleep(LOOK_INTERVAL);
        }
    }

    /// Takes the lock if it is free; says who holds it otherwise.
    pub fn try_lock(&self, command: &str) -> Result<Result<HeldLock, Holder>, HomeError> {
        let path = self.path.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Err(read_holder(&mut file))),
            Err(error) => return Err(io_error("lock", &path)(error.into())),
        }
        let holder = format!("{} {command}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(io_error("write", &path))?;
        Ok(Ok(HeldLock(file)))
    }
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = Vec::new();
    // What cannot be read is told as unknown.
    drop(file.take(HOLDER_BYTES_MAX).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    let (pid, command) = line.split_once(' ').unwrap_or((line, ""));
    let command = command.chars().filter(|character| !character.is_control()).collect();
    Holder { pid: pid.parse().ok(), command }
}
