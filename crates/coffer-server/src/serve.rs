//! Serving: bind, accept, drive maintenance, and stop in order.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};
use std::{io, thread};

use coffer_core::{Core, IssuerSource};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::current::CurrentCore;
use crate::issuers::{IssuerClient, check_oidc_keys};
use crate::metrics::ServerMetrics;
use crate::socket::LocalListener;
use crate::sources::SourceCounts;
use crate::tls::Keeper;
use crate::worker::{Accepted, Shared, TurnAsker, WorkerHandle};
use crate::{
    Limits, RuntimeSpawn, ServeError, ServeOptions, Watcher, body, metrics_listener, panic, tls, worker,
};

/// How often maintenance is looked after.
const MAINTENANCE_INTERVAL: Duration = Duration::from_millis(100);
/// How often the certificate is looked after.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait when the system has no more descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Descriptors that are not TCP connections: files, sockets, reactors.
const OTHER_DESCRIPTORS: usize = 128;

/// What a server listens on.
pub struct Bound {
    /// The address, with the port it got.
    pub address: SocketAddr,
    /// Whether it speaks TLS there.
    pub is_tls: bool,
}

impl Bound {
    /// The AWS door's URL, as a program of this machine reaches it.
    pub fn endpoint(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback: IpAddr =
                if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        format!("{scheme}://{address}")
    }
}

/// Serves `core` until `shutdown` resolves, then drains: no new connections, requests under way are finished
/// (within a limit), both listeners close, the socket's file goes, and the core is closed.
///
/// Calls `ready` once both listeners are up. To be called on a runtime that runs nothing heavy: commits that
/// outlive their connections run there.
pub async fn serve(
    core: Core,
    options: ServeOptions,
    ready: impl FnOnce(&Bound),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let limits =
        Limits { connections_max: allowed_connections(options.limits.connections_max), ..options.limits };
    let (listener, address) = match &options.passed.aws {
        Some(passed) => adopted(passed, options.listen)?,
        None => {
            options.check(options.listen)?;
            let address = options.listen;
            listening_on(address).await.map_err(|source| ServeError::Listen { address, source })?
        }
    };
    options.check(address)?;
    check_oidc_keys(&options.oidc_keys)?;
    let metrics_listener = match (&options.passed.metrics, options.metrics_listen) {
        (Some(passed), _) => Some(adopted(passed, address)?),
        (None, Some(address)) => Some(
            listening_on(address).await.map_err(|source| ServeError::ListenForMetrics { address, source })?,
        ),
        (None, None) => None,
    };
    let bound = Bound { address, is_tls: options.tls.is_some() };
    let keeper = match options.tls {
        Some(identity) => Some(
            Keeper::new(identity, Arc::clone(&options.warn), SystemTime::now()).map_err(ServeError::Tls)?,
        ),
        None => None,
    };
    let tls =
        keeper.as_ref().map(|keeper| tls::acceptor(keeper.shown())).transpose().map_err(ServeError::Tls)?;

    let (at_once, stop_at_once) = watch::channel(false);
    let issuers = Arc::new(IssuerClient::new(options.oidc_keys, Arc::clone(&options.warn)));
    core.use_issuers(Arc::clone(&issuers) as Arc<dyn IssuerSource>);
    let current = CurrentCore::new(core);
    let shared = Arc::new(Shared {
        core: Arc::clone(&current),
        issuers,
        limits,
        tls,
        shown: keeper.as_ref().map(|keeper| Arc::clone(keeper.shown())),
        metrics: ServerMetrics::new(),
        metrics_are_elsewhere: metrics_listener.is_some(),
        sources: SourceCounts::default(),
        at_once: stop_at_once.clone(),
        dev: options.dev,
        arriving_budget: body::arriving_budget(&limits),
        connections: AtomicUsize::new(0),
        spawn: Arc::new(RuntimeSpawn::here()),
    });
    let threads = options.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, usize::from);
    let workers: Vec<WorkerHandle> = (0..threads)
        .map(|number| worker::start(number, Arc::clone(&shared)))
        .collect::<Result<_, _>>()
        .map_err(ServeError::Thread)?;

    let watching = options.watcher.map(|watcher| {
        let askers = workers.iter().map(WorkerHandle::turn_asker).collect();
        tokio::spawn(tell_watcher(watcher, askers))
    });

    let (stop, stopping) = watch::channel(false);
    let local = match options.socket {
        Some(path) => {
            let listener = LocalListener::bind(&path, &bound, limits)
                .map_err(|source| ServeError::Socket { path, source })?;
            Some(tokio::spawn(listener.run(Arc::clone(&current), stopping.clone())))
        }
        None => None,
    };
    if let Some((listener, _)) = metrics_listener {
        drop(tokio::spawn(metrics_listener::run(listener, Arc::clone(&shared), stopping.clone())));
    }
    let keeping = keeper.map(|keeper| tokio::spawn(keep_fresh(keeper, stopping.clone())));
    let maintenance = tokio::spawn(maintain(Arc::clone(&current), stopping));

    ready(&bound);
    tokio::select! {
        () = accept(&listener, &workers, &shared) => {}
        () = shutdown => {}
    }

    drop(listener);
    stop.send_replace(true);
    let (draining, local_draining) = (workers.into_iter().map(WorkerHandle::drain), local);
    let aborting = local_draining.as_ref().map(JoinHandle::abort_handle);
    let drained = async {
        for worker in draining.map(tokio::spawn).collect::<Vec<_>>() {
            drop(worker.await);
        }
        if let Some(local) = local_draining {
            drop(local.await);
        }
    };
    let hurried = async {
        match options.at_once {
            Some(asked) => asked.await,
            None => std::future::pending().await,
        }
        at_once.send_replace(true);
        if let Some(local) = aborting {
            local.abort();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = drained => {}
        () = hurried => {}
    }
    if let Some(watching) = watching {
        watching.abort();
    }
    drop(maintenance.await);
    if let Some(keeping) = keeping {
        drop(keeping.await);
    }
    current.get().close().await.map_err(ServeError::Close)
}

async fn listening_on(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A socket that was passed. Whoever passed it keeps it; connections that come while nobody serves wait in it.
fn adopted(
    passed: &std::net::TcpListener,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let cannot_listen = |source| ServeError::Listen { address, source };
    let listener = passed.try_clone().and_then(TcpListener::from_std).map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    Ok((listener, address))
}

/// Accepts connections and hands each to the worker that has fewest. Never ends by itself.
async fn accept(listener: &TcpListener, workers: &[WorkerHandle], shared: &Shared) {
    loop {
        let (stream, source) = match listener.accept().await {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            // The client left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            // No descriptor or memory left: others must leave first.
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        shared.metrics.accepted.add_one();
        // Closed at once, if there are too many; so the client knows, and idle connections are about to make room.
        if !shared.admit(source) {
            continue;
        }
        let worker = workers.iter().min_by_key(|worker| worker.open());
        // Taken off this reactor, to be put on the worker's.
        match (worker, stream.into_std()) {
            (Some(worker), Ok(stream)) => worker.give(Accepted { stream, source }),
            _ => shared.leave(source),
        }
    }
}

/// Drives what core does beside requests: the outbox, checkpoints, summaries, sweeps.
async fn maintain(current: Arc<CurrentCore>, mut stopping: watch::Receiver<bool>) {
    let mut due = interval(MAINTENANCE_INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            _ = due.tick() => {}
        }
        let core = current.get();
        // A panic here must not end maintenance for good; the next round tries again.
        drop(panic::catch(core.maintain()).await);
    }
}

/// Tells a watcher that the server is well, for as long as this thread and every worker take turns. A worker that hangs
/// keeps this waiting, and the watcher without word.
async fn tell_watcher(watcher: Watcher, askers: Vec<TurnAsker>) {
    loop {
        for asker in &askers {
            asker.turn().await;
        }
        (watcher.well)();
        sleep(watcher.every).await;
    }
}

/// Looks after the certificate.
async fn keep_fresh(mut keeper: Keeper, mut stopping: watch::Receiver<bool>) {
    let mut due = interval(CERTIFICATE_INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            _ = due.tick() => keeper.look(SystemTime::now()),
        }
    }
}

/// As many connections as are wanted and the process may open, after asking the system for as many as it gives.
fn allowed_connections(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = (wanted + OTHER_DESCRIPTORS) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(now) = current else { return wanted };
    if now >= needed {
        return wanted;
    }
    let possible = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum }).is_ok();
    let descriptors = usize::try_from(if raised { possible } else { now }).unwrap_or(usize::MAX);
    wanted.min(descriptors.saturating_sub(OTHER_DESCRIPTORS).max(descriptors / 2))
}
