//! A thread that answers requests, with a reactor of its own: a connection never moves between threads.

use std::cell::Cell;
use std::net::{IpAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use coffer_core::{Core, IssuerSource};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::current::{CurrentCore, ThreadCore};
use crate::issuers::IssuerClient;
use crate::metrics::{self, ServerMetrics};
use crate::sources::SourceCounts;
use crate::tls::Shown;
use crate::{DevSettings, Limits, connection};

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) core: Arc<CurrentCore>,
    /// Asks identity providers for their keys.
    pub(crate) issuers: Arc<IssuerClient>,
    pub(crate) limits: Limits,
    /// Set if connections speak TLS.
    pub(crate) tls: Option<TlsAcceptor>,
    /// What they show then.
    pub(crate) shown: Option<Arc<Shown>>,
    pub(crate) metrics: ServerMetrics,
    /// Whether the metrics have a listener of their own.
    pub(crate) metrics_are_elsewhere: bool,
    pub(crate) sources: SourceCounts,
    /// Becomes true if the drain is to end at once.
    pub(crate) at_once: watch::Receiver<bool>,
    pub(crate) dev: Option<DevSettings>,
    pub(crate) arriving_budget: Semaphore,
    /// Open connections of all workers.
    pub(crate) connections: AtomicUsize,
    /// What ends later than the connection that began it runs there.
    pub(crate) spawn: Arc<dyn coffer_core::Spawn>,
}

impl Shared {
    /// Counts a connection, if there is room for it in all and for its source.
    pub(crate) fn admit(&self, source: IpAddr) -> bool {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.limits.connections_max {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            self.metrics.refused.add_one();
            return false;
        }
        let admitted = self.sources.enter(source, self.limits.source_connections_max);
        if !admitted {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            self.metrics.source_refused.add_one();
        }
        admitted
    }

    /// Takes a connection off the counts.
    pub(crate) fn leave(&self, source: IpAddr) {
        self.sources.leave(source);
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// What was counted, as Prometheus reads it.
    pub(crate) async fn metrics_page(&self, core: &Core) -> String {
        let open = self.connections.load(Ordering::Relaxed);
        let end = self.shown.as_ref().and_then(|shown| shown.end());
        metrics::render(&core.metrics().await, core.is_ready().is_ok(), &self.metrics, open, end)
    }
}

/// One accepted connection.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) source: IpAddr,
}

/// What a worker is told.
enum Task {
    /// Answer a connection.
    Serve(Accepted),
    /// Say that there was a turn for this.
    TakeTurn(oneshot::Sender<()>),
}

/// Asks a worker whether it still takes turns, and does not keep it from ending.
pub(crate) struct TurnAsker(mpsc::WeakUnboundedSender<Task>);

impl TurnAsker {
    /// Waits until the worker has taken a turn, or has ended.
    pub(crate) async fn turn(&self) {
        let (taken, on_taken) = oneshot::channel();
        if let Some(tasks) = self.0.upgrade() {
            drop(tasks.send(Task::TakeTurn(taken)));
        } else {
            drop(taken);
        }
        drop(on_taken.await);
    }
}

/// A worker as the accepting side sees it. Dropping it tells the worker to drain.
pub(crate) struct WorkerHandle {
    tasks: mpsc::UnboundedSender<Task>,
    open: Arc<AtomicUsize>,
    ended: oneshot::Receiver<()>,
}

impl WorkerHandle {
    /// How many connections it has.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Gives it a connection, already counted in [`Shared::connections`]. The queue is bounded by that count.
    pub(crate) fn give(&self, accepted: Accepted) {
        self.open.fetch_add(1, Ordering::Relaxed);
        // A worker ends only when told to, which is by dropping this.
        drop(self.tasks.send(Task::Serve(accepted)));
    }

    pub(crate) fn turn_asker(&self) -> TurnAsker {
        TurnAsker(self.tasks.downgrade())
    }

    /// Lets it finish what is under way, and waits for that.
    pub(crate) async fn drain(self) {
        drop(self.tasks);
        drop(self.ended.await);
    }
}

/// Starts a worker. Fails if there is no thread or no reactor to be had.
pub(crate) fn start(number: usize, shared: Arc<Shared>) -> io::Result<WorkerHandle> {
    let (tasks, receiver) = mpsc::unbounded_channel();
    let (end, ended) = oneshot::channel();
    let (report, reported) = std::sync::mpsc::channel();
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    thread::Builder::new().name(format!("http {number}")).spawn(move || {
        match Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                drop(report.send(Ok(())));
                runtime.block_on(Worker::new(shared, counted).run(receiver));
                // Drops what outlasted the drain before saying that it ended.
                drop(runtime);
                drop(end);
            }
            Err(error) => drop(report.send(Err(error))),
        }
    })?;
    reported.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended")))?;
    Ok(WorkerHandle { tasks, open, ended })
}

/// A worker, on its own thread.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    core: ThreadCore,
    open: Arc<AtomicUsize>,
    /// Connections that run here.
    running: Cell<usize>,
    last_ended: Notify,
}

impl Worker {
    fn new(shared: Arc<Shared>, open: Arc<AtomicUsize>) -> Rc<Self> {
        let core = ThreadCore::new(Arc::clone(&shared.core));
        Rc::new(Self { shared, core, open, running: Cell::new(0), last_ended: Notify::new() })
    }

    async fn run(self: Rc<Self>, mut tasks: mpsc::UnboundedReceiver<Task>) {
        let (drain, draining) = watch::channel(false);
        while let Some(task) = tasks.recv().await {
            let Accepted { stream, source } = match task {
                Task::Serve(accepted) => accepted,
                Task::TakeTurn(taken) => {
                    drop(taken);
                    continue;
                }
            };
            let place = Place::take(&self, source);
            let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
            let draining = draining.clone();
            tokio::task::spawn_local(async move {
                connection::run(Rc::clone(&place.0), stream, source, draining).await;
            });
        }
        drain.send_replace(true);
        let all_ended = async {
            while self.running.get() > 0 {
                self.last_ended.notified().await;
            }
        };
        let mut at_once = self.shared.at_once.clone();
        // What is not done by then is cut off with the runtime.
        tokio::select! {
            _ = timeout(self.shared.limits.drain_time_max, all_ended) => {}
            Ok(_) = at_once.wait_for(|at_once| *at_once) => {}
        }
    }

    /// The core as of now.
    pub(crate) fn core(&self) -> Rc<Core> {
        self.core.get()
    }

    /// Empties a throw-away server.
    pub(crate) fn replace_core(&self, core: Core) {
        core.use_issuers(Arc::clone(&self.shared.issuers) as Arc<dyn IssuerSource>);
        self.core.replace(core);
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn metrics(&self) -> &ServerMetrics {
        &self.shared.metrics
    }

    /// The page of metrics, if it is to be had here.
    pub(crate) async fn metrics_page(&self) -> Option<String> {
        match self.shared.metrics_are_elsewhere {
            true => None,
            false => Some(self.shared.metrics_page(&self.core()).await),
        }
    }

    pub(crate) fn tls(&self) -> Option<&TlsAcceptor> {
        self.shared.tls.as_ref()
    }

    pub(crate) fn arriving_budget(&self) -> &Semaphore {
        &self.shared.arriving_budget
    }

    pub(crate) fn dev(&self) -> Option<&DevSettings> {
        self.shared.dev.as_ref()
    }

    pub(crate) fn spawner(&self) -> &Arc<dyn coffer_core::Spawn> {
        &self.shared.spawn
    }

    /// Whether so many connections are open that idle ones should make room.
    pub(crate) fn is_crowded(&self) -> bool {
        self.shared.connections.load(Ordering::Relaxed) > self.shared.limits.connections_max / 4 * 3
    }
}

/// A connection's place in the counts.
struct Place(Rc<Worker>, IpAddr);

impl Place {
    fn take(worker: &Rc<Worker>, source: IpAddr) -> Self {
        worker.running.set(worker.running.get() + 1);
        Self(Rc::clone(worker), source)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = &self.0;
        worker.running.set(worker.running.get() - 1);
        worker.open.fetch_sub(1, Ordering::Relaxed);
        worker.shared.leave(self.1);
        if worker.running.get() == 0 {
            worker.last_ended.notify_one();
        }
    }
}
