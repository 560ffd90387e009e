//! How far a connection is, seen from its bytes: the clock of slow senders and slow readers.
//!
//! Every request would otherwise set and clear timers of its own; here it costs two readings of the clock, and
//! one timer of the connection looks in now and then.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::Limits;
use crate::stream::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The first byte of a TLS handshake, which no HTTP method begins with.
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Between two requests.
    Idle,
    /// Some bytes of a request have come, and not all.
    Receiving,
    /// The request is whole, and core is at work.
    Answering,
}

/// A connection's progress, shared by the task that watches it and the stream that makes it.
pub(crate) struct Progress {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Bytes of the next request came while this one is answered.
    next_began: Cell<bool>,
    write_blocked_since: Cell<Option<Instant>>,
    /// An answer leaves bytes of its request unread.
    refused_unread: Cell<bool>,
    requests: Cell<u64>,
    /// The first byte that came.
    first_byte: Cell<Option<u8>>,
    /// The stream, once HTTP is done with it.
    returned: RefCell<Option<Stream>>,
}

/// What a connection's time is up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overdue {
    /// No request came.
    Idle,
    /// A request did not come whole.
    Receiving,
    /// An answer was not read.
    Reading,
}

impl Progress {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            next_began: Cell::new(false),
            write_blocked_since: Cell::new(None),
            refused_unread: Cell::new(false),
            requests: Cell::new(0),
            first_byte: Cell::new(None),
            returned: RefCell::new(None),
        })
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    fn bytes_arrived(&self) {
        match self.phase.get() {
            Phase::Idle => self.enter(Phase::Receiving),
            Phase::Receiving => {}
            Phase::Answering => self.next_began.set(true),
        }
    }

    /// The request is whole.
    pub(crate) fn received(&self) {
        self.requests.set(self.requests.get() + 1);
        self.phase.set(Phase::Answering);
    }

    /// The answer is there, though not yet sent.
    pub(crate) fn answered(&self) {
        self.enter(if self.next_began.take() { Phase::Receiving } else { Phase::Idle });
    }

    /// The answer refuses a request that has not been read to its end.
    pub(crate) fn refuse_unread(&self) {
        self.refused_unread.set(true);
    }

    pub(crate) fn is_refused_unread(&self) -> bool {
        self.refused_unread.get()
    }

    /// No request ever began.
    pub(crate) fn is_unused(&self) -> bool {
        self.requests.get() == 0 && self.phase.get() == Phase::Idle
    }

    /// Whether bytes of an answer wait for the client to read.
    pub(crate) fn is_write_blocked(&self) -> bool {
        self.write_blocked_since.get().is_some()
    }

    /// What is overdue; `crowded` if others wait for the place of an idle connection.
    pub(crate) fn overdue(&self, limits: &Limits, crowded: bool) -> Option<Overdue> {
        let has_passed = |since: Instant, time: Duration| since.elapsed() >= time;
        if self.write_blocked_since.get().is_some_and(|since| has_passed(since, limits.request_time_max)) {
            return Some(Overdue::Reading);
        }
        let idle_time_max = if crowded {
            limits.request_time_max.min(limits.idle_time_max) / 10
        } else {
            limits.idle_time_max
        };
        match self.phase.get() {
            Phase::Idle => has_passed(self.since.get(), idle_time_max).then_some(Overdue::Idle),
            Phase::Receiving => {
                has_passed(self.since.get(), limits.request_time_max).then_some(Overdue::Receiving)
            }
            Phase::Answering => None,
        }
    }

    /// Whether what came over plain HTTP began as a TLS handshake begins.
    pub(crate) fn began_as_tls(&self) -> bool {
        self.first_byte.get() == Some(TLS_HANDSHAKE) && self.requests.get() == 0
    }

    /// The stream, for a last word after HTTP is done with it.
    pub(crate) fn take_stream(&self) -> Option<Stream> {
        self.returned.borrow_mut().take()
    }
}

/// A stream that notes its progress, and hands the stream back when dropped.
pub(crate) struct WatchedStream {
    stream: Option<Stream>,
    progress: Rc<Progress>,
}

impl WatchedStream {
    pub(crate) fn new(stream: Stream, progress: Rc<Progress>) -> Self {
        Self { stream: Some(stream), progress }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn note_write<T>(&self, poll: &Poll<io::Result<T>>) {
        if poll.is_ready() {
            if self.progress.is_write_blocked() {
                self.progress.write_blocked_since.set(None);
            }
        } else if !self.progress.is_write_blocked() {
            self.progress.write_blocked_since.set(Some(Instant::now()));
        }
    }
}

impl Drop for WatchedStream {
    fn drop(&mut self) {
        *self.progress.returned.borrow_mut() = self.stream.take();
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = self.stream()?.poll_read(cx, buffer);
        if let Some(&first) = buffer.filled().get(before) {
            if self.progress.first_byte.get().is_none() {
                self.progress.first_byte.set(Some(first));
            }
            self.progress.bytes_arrived();
        }
        poll
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = self.stream()?.poll_write(cx, bytes);
        self.note_write(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = self.stream()?.poll_write_vectored(cx, slices);
        self.note_write(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.stream()?;
        if !stream.is_buffered() {
            return Poll::Ready(Ok(()));
        }
        let poll = stream.poll_flush(cx);
        self.note_write(&poll);
        poll
    }

    /// Left to whoever takes the stream back.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_limit() {
        let none = Duration::ZERO;
        let hour = Duration::from_secs(3600);
        let limits =
            |request_time_max, idle_time_max| Limits { request_time_max, idle_time_max, ..Limits::default() };
        let progress = Progress::new();
        assert_eq!(progress.overdue(&limits(none, hour), false), None);
        assert_eq!(progress.overdue(&limits(hour, none), false), Some(Overdue::Idle));
        assert!(progress.is_unused());
        progress.bytes_arrived();
        assert_eq!(progress.overdue(&limits(hour, none), false), None);
        assert_eq!(progress.overdue(&limits(none, hour), false), Some(Overdue::Receiving));
        progress.received();
        assert_eq!(progress.overdue(&limits(none, none), false), None);
        progress.answered();
        assert_eq!(progress.overdue(&limits(none, hour), false), None);
        progress.bytes_arrived();
        progress.received();
        progress.bytes_arrived();
        progress.answered();
        assert_eq!(progress.overdue(&limits(none, hour), false), Some(Overdue::Receiving));
        progress.write_blocked_since.set(Some(Instant::now()));
        assert_eq!(progress.overdue(&limits(none, hour), false), Some(Overdue::Reading));
    }
}
