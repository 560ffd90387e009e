//! Looks after a program as if nobody did: its signals, its terminal, how it ends.
//!
//! I/O: a child process, signals. Where this process has the terminal, the program shares its process group, so that the
//! keyboard reaches both and job control works as without coffer, and only what a process sends to this one is handed on, but for
//! CONT; elsewhere it leads a group of its own, and what is sent to this process goes to all of that group. Signals that this process was begun to ignore, the program ignores. As process 1 it takes in what others leave behind. Invariant: it ends only once the
//! program has.

use std::fs::File;
use std::io;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{Instant, interval, sleep_until};

/// What a change means for the program.
pub(crate) enum Next {
    /// Nothing.
    GoOn,
    /// It is told.
    Send(Signal),
    /// It is ended, and this is run in its place.
    Restart(Box<Command>),
}

/// How often process 1 looks for what others left behind.
const REAP_EVERY: Duration = Duration::from_secs(1);
/// The signals that are handed on.
const HANDED_ON: [Signal; 8] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::CONT,
    Signal::WINCH,
];
/// Those of them that the kernel sends to everybody at the terminal.
const OF_TERMINAL: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::WINCH];

/// A program that runs.
struct Running {
    pid: Pid,
    /// Whether it leads a group of its own.
    leads: bool,
}

/// What is going to happen to it.
enum Fate {
    /// Nothing: when it ends, that is the end.
    Runs,
    /// It was asked to end, and is killed then; afterwards this is run.
    Replaced { by: Box<Command>, kill_at: Instant },
    /// Somebody else asked it to end: it is not run again.
    Ending,
}

/// The signals, caught from the moment this is made: none is lost until the program runs, and none ends this process.
pub(crate) struct Supervisor {
    runtime: Runtime,
    children: Signals,
    arrivals: UnboundedReceiver<Arrival>,
}

/// A signal, and whence.
struct Arrival {
    signal: Signal,
    /// Whether the kernel sent it: for the terminal, to everybody there.
    of_kernel: bool,
}

impl Arrival {
    /// Whether a program that shares this process's group has it as well.
    fn is_shared(&self) -> bool {
        // A shell's `fg` and `bg` send it to the group, and whoever sends it to this process alone finds nothing stopped.
        self.signal == Signal::CONT
            || self.of_kernel && OF_TERMINAL.contains(&self.signal)
            // When the terminal goes away the kernel tells whoever leads the session alone; when that one ends, the group.
            || self.of_kernel && self.signal == Signal::HUP && !leads_session()
    }
}

impl Supervisor {
    /// Catches them from here on.
    pub(crate) fn catch() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let children = signal(SignalKind::child())?;
        let arrivals = arrivals()?;
        drop(entered);
        Ok(Self { runtime, children, arrivals })
    }

    /// Runs the program until it ends for good; the exit code to end with: its own, or 128 and the number of its signal.
    pub(crate) fn run<C: Send>(
        self,
        first: Command,
        grace: Duration,
        changes: &mut UnboundedReceiver<C>,
        mut on_change: impl FnMut(C) -> Next,
    ) -> io::Result<u8> {
        let Self { runtime, mut children, mut arrivals } = self;
        runtime.block_on(async {
            let shares_terminal = has_terminal();
            let is_first = std::process::id() == 1;
            let mut reaping = interval(REAP_EVERY);
            let mut left_behind = Vec::new();
            let mut running = spawn(first, shares_terminal)?;
            let mut fate = Fate::Runs;
            loop {
                if let Some(code) = running.ended()? {
                    match std::mem::replace(&mut fate, Fate::Runs) {
                        Fate::Replaced { by, .. } => running = spawn(*by, shares_terminal)?,
                        Fate::Runs | Fate::Ending => return Ok(code),
                    }
                }
                let kill_at = match &fate {
                    Fate::Replaced { kill_at, .. } => Some(*kill_at),
                    Fate::Runs | Fate::Ending => None,
                };
                tokio::select! {
                    _ = children.recv() => {}
                    Some(arrival) = arrivals.recv() => {
                        let arrived = arrival.signal;
                        let asks_to_end = [Signal::TERM, Signal::INT, Signal::QUIT].contains(&arrived);
                        fate = match fate {
                            Fate::Replaced { .. } if asks_to_end => Fate::Ending,
                            // Of the others it may have a mind of its own.
                            Fate::Runs if arrived == Signal::TERM => Fate::Ending,
                            fate => fate,
                        };
                        if !(shares_terminal && arrival.is_shared()) {
                            running.send(arrived);
                        }
                    }
                    Some(change) = changes.recv() => match on_change(change) {
                        Next::GoOn => {}
                        Next::Send(signal) => running.send(signal),
                        Next::Restart(by) => {
                            fate = match fate {
                                Fate::Runs => {
                                    running.send(Signal::TERM);
                                    Fate::Replaced { by, kill_at: Instant::now() + grace }
                                }
                                Fate::Replaced { kill_at, .. } => Fate::Replaced { by, kill_at },
                                Fate::Ending => Fate::Ending,
                            };
                        }
                    },
                    () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                        running.send(Signal::KILL);
                        if let Fate::Replaced { kill_at, .. } = &mut fate {
                            *kill_at = Instant::now() + grace.max(REAP_EVERY);
                        }
                    }
                    _ = reaping.tick(), if is_first => left_behind = reap(&left_behind, running.pid),
                }
            }
        })
    }
}

/// Every signal that is handed on, as it arrives.
fn arrivals() -> io::Result<UnboundedReceiver<Arrival>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let ignored = ignored();
    // What is caught is no longer ignored, and the program would not inherit that it is.
    let is_wanted = |kind: &Signal| ignored >> (kind.as_raw() - 1) & 1 == 0;
    let wanted = HANDED_ON.into_iter().filter(is_wanted).map(Signal::as_raw);
    let mut caught = SignalsInfo::<WithOrigin>::new(wanted)?;
    // It ends with this process.
    thread::Builder::new().name("coffer-signals".to_owned()).spawn(move || {
        for origin in &mut caught {
            let Some(signal) = Signal::from_named_raw(origin.signal) else { continue };
            if sender.send(Arrival { signal, of_kernel: origin.process.is_none() }).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Whether the keyboard of the terminal is this process group's, wherever input comes from.
fn has_terminal() -> bool {
    let Ok(terminal) = File::open("/dev/tty") else { return false };
    // In this order: in a container this process's group may be one outside, which has no number here.
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|foreground| foreground == rustix::process::getpgrp())
}

fn leads_session() -> bool {
    rustix::process::getsid(None).is_ok_and(|session| session == rustix::process::getpid())
}

/// Which signals this process was begun to ignore, as `nohup` begins one: a bit each. None, where nobody tells.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn spawn(mut command: Command, shares_terminal: bool) -> io::Result<Running> {
    use std::os::unix::process::CommandExt as _;
    if !shares_terminal {
        command.process_group(0);
    }
    let child = command.spawn()?;
    Ok(Running { pid: Pid::from_child(&child), leads: !shares_terminal })
}

impl Running {
    /// Sends it a signal; all of its group, if it leads one.
    fn send(&self, signal: Signal) {
        // It may have ended a moment ago.
        let _ =
            if self.leads { kill_process_group(self.pid, signal) } else { kill_process(self.pid, signal) };
    }

    /// The exit code it ended with, if it has.
    fn ended(&self) -> io::Result<Option<u8>> {
        let Some((_, status)) = waitpid(Some(self.pid), WaitOptions::NOHANG)? else { return Ok(None) };
        let of_signal = || status.terminating_signal().map(|number| 128 + number);
        let code = status.exit_status().or_else(of_signal);
        Ok(code.map(|code| u8::try_from(code).unwrap_or(u8::MAX)))
    }
}

/// Takes in ended processes that are nobody's, and tells those that it saw. Only what was there a look before is taken: this
/// process's own short-lived children are waited for by whoever began them.
fn reap(seen: &[Pid], main: Pid) -> Vec<Pid> {
    let mut waiting = Vec::new();
    for pid in ended_children() {
        if pid == main {
            continue;
        }
        if seen.contains(&pid) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        } else {
            waiting.push(pid);
        }
    }
    waiting
}

/// This process's children that have ended and that nobody has waited for.
fn ended_children() -> Vec<Pid> {
    let own = std::process::id().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let is_ours = |stat: &str| {
        // After the name, which may hold anything, in parentheses: the state, the parent.
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(own.as_str())
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| is_ours(&stat)))
        .filter_map(Pid::from_raw)
        .collect()
}
