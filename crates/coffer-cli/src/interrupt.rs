//! Waiting that a signal may end early, so that what must be put in order first is.
//!
//! I/O: signals, threads. Once signals are caught here, they end nothing by themselves any more: what follows should be
//! brief.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// What Ctrl-C means while something is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyboard {
    /// It ends the waiting.
    Ours,
    /// It is for another program that has the terminal.
    Theirs,
}

/// The signals that ask a process to end, caught from the moment this is made: none is lost until somebody waits.
pub(crate) struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them from here on.
    pub(crate) fn catch() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let interrupt = signal(SignalKind::interrupt())?;
        let quit = signal(SignalKind::quit())?;
        let terminate = signal(SignalKind::terminate())?;
        let hangup = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Self { runtime, interrupt, quit, terminate, hangup })
    }

    /// What `work` comes to, done on a thread of its own; `None` if a signal told this process to end before.
    pub(crate) fn unless_ended<T: Send + 'static>(
        &mut self,
        keyboard: Keyboard,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let Self { runtime, interrupt, quit, terminate, hangup } = self;
        let (done, mut finished) = oneshot::channel();
        thread::Builder::new().spawn(move || {
            // Nobody waits any more if it fails.
            let _ = done.send(work());
        })?;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    outcome = &mut finished => return outcome.map(Some).map_err(io::Error::other),
                    _ = interrupt.recv() => if keyboard == Keyboard::Ours { return Ok(None) },
                    _ = quit.recv() => if keyboard == Keyboard::Ours { return Ok(None) },
                    _ = terminate.recv() => return Ok(None),
                    _ = hangup.recv() => return Ok(None),
                }
            }
        })
    }
}
