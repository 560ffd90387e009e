//! A sign of life for what takes longer than a second: what is being done, how far it is, for how long.
//!
//! I/O: standard error, if that is a terminal and people read it. Invariant: nothing of it is left when it ends.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::output::Output;

/// What is done sooner is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN_FRAMES: Duration = Duration::from_millis(100);
const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// Back to the line's beginning, and the line empty.
const CLEAR: &str = "\r\u{1b}[2K";

/// Something under way. It ends when this is dropped.
pub(crate) struct Progress(Option<Shown>);

struct Shown {
    state: Arc<(Mutex<State>, Condvar)>,
    drawing: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// How many of how many.
    done: Option<(usize, usize)>,
    ended: bool,
}

impl Progress {
    /// Begins to show `what` in a second, if there is somebody to see it.
    pub(crate) fn begin(output: Output, what: &'static str) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        if output.json || is_dumb || !io::stderr().is_terminal() {
            return Self(None);
        }
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let theirs = Arc::clone(&state);
        // Without a thread there is no sign of life, and the work goes on.
        let drawing = thread::Builder::new().spawn(move || draw(&theirs, what)).ok();
        Self(Some(Shown { state, drawing }))
    }

    /// Tells how far it is.
    pub(crate) fn reached(&self, done: usize, of: usize) {
        if let Some(shown) = &self.0 {
            shown.state.0.lock().unwrap_or_else(PoisonError::into_inner).done = Some((done, of));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(Shown { state, drawing }) = self.0.take() else { return };
        state.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        state.1.notify_all();
        if let Some(drawing) = drawing {
            let _ = drawing.join();
        }
    }
}

fn draw((state, changed): &(Mutex<State>, Condvar), what: &str) {
    let begun = Instant::now();
    let mut patience = PATIENCE;
    let mut frames = FRAMES.iter().cycle();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let waited = changed.wait_timeout_while(state, patience, |state| !state.ended);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let drawn = patience != PATIENCE;
        let mut stderr = io::stderr().lock();
        if state.ended {
            if drawn {
                let _ = write!(stderr, "{CLEAR}");
            }
            return;
        }
        let frame = frames.next().unwrap_or(&' ');
        let _ = write!(stderr, "{CLEAR}{}", line(*frame, what, state.done, begun.elapsed()));
        let _ = stderr.flush();
        patience = BETWEEN_FRAMES;
    }
}

fn line(frame: char, what: &str, done: Option<(usize, usize)>, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match done {
        Some((done, of)) => format!("{frame} {what}: {done} of {of}, {seconds} s"),
        None => format!("{frame} {what}, {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line() {
        let elapsed = Duration::from_millis(2_900);
        assert_eq!(line('⠋', "importing", Some((3, 10)), elapsed), "⠋ importing: 3 of 10, 2 s");
        assert_eq!(line('⠋', "opening the store", None, elapsed), "⠋ opening the store, 2 s");
    }
}
