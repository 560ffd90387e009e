//! `agent`: secrets for the programs of this machine, until it is told to stop.
//!
//! I/O: sockets, signals; the resolver's.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use coffer_crypto::{Random as _, SystemRandom};
use coffer_resolver::{CachePolicy, Policy, ResolverOptions};
use coffer_server::home::data_dir;
use coffer_server::service_manager::Notifier;
use coffer_wire_local::{Failure, FailureKind};
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{interval, sleep};

use crate::access::Place;
use crate::agent::durations::Fetches;
use crate::agent::fallback::Fallback;
use crate::agent::listeners::{self, SocketFile};
use crate::agent::log::Log;
use crate::agent::question::Reach;
use crate::agent::token::Token;
use crate::agent::values::Values;
use crate::arguments::Agent;
use crate::commands::wanted::resolver_of_any;
use crate::failure::Stop;
use crate::output::{Output, counted};

/// How often the sealed file is written, if something changed.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How often what is in use is looked over: several times within the last fifth of its time, where it is fetched anew.
const FRESHEN_MIN: Duration = Duration::from_millis(200);
const FRESHEN_MAX: Duration = Duration::from_secs(30);
/// Most stores' calls that are waited for at once.
const THREADS_MAX: usize = 256;

/// `agent --json`.
#[derive(Serialize)]
struct Serving<'a> {
    endpoint: String,
    socket: Option<&'a str>,
    token_file: Option<String>,
    names: usize,
}

pub(crate) fn agent(place: &Place, arguments: &Agent, output: Output) -> Result<(), Stop> {
    if !arguments.beyond_loopback && !arguments.listen.ip().to_canonical().is_loopback() {
        return Err(Stop::Usage {
            message: format!("others can reach {}", arguments.listen),
            hint: "listen on 127.0.0.1, or say --beyond-loopback if the network is your own".into(),
        });
    }
    let token = Token::find(arguments.token_file.as_deref())?;
    let log = Log { is_on: arguments.log };
    let fetches = Fetches::new(log);
    let cache = CachePolicy {
        fresh: arguments.ttl,
        stale_if_error: arguments.stale,
        entries_max: arguments.cache_size as usize,
    };
    let options = ResolverOptions {
        policy: Policy { cache, ..Policy::default() },
        observer: Some(Arc::clone(&fetches) as _),
        ..ResolverOptions::default()
    };
    let resolver = Arc::new(resolver_of_any(place, &arguments.wanting, options)?);
    let names = resolver.manifest().needs().count();
    let fallback = arguments
        .fallback
        .as_ref()
        .map(|path| {
            let key = match &arguments.fallback_key {
                Some(key) => key.clone(),
                None => data_dir().map_err(Failure::from)?.join("agent-fallback.key"),
            };
            Fallback::open(path, &key, arguments.fallback_max_age, arguments.cache_size as usize)
        })
        .transpose()?;
    let reach = match (arguments.manifest_only, arguments.allow_references) {
        (true, _) => Reach::Manifest,
        (false, false) => Reach::Store,
        (false, true) => Reach::References,
    };
    let values = Values::new(
        resolver,
        arguments.store.clone(),
        reach,
        fallback,
        arguments.cache_size as usize,
        arguments.ttl,
    );
    let listener = TcpListener::bind(arguments.listen).map_err(|error| {
        Stop::new(FailureKind::Unavailable, format!("cannot listen on {}: {error}", arguments.listen))
            .with_hint("name another address: --listen 127.0.0.1:2774")
    })?;
    let address = listener.local_addr()?;
    let mut users = arguments.allow_user.clone();
    users.push(rustix::process::geteuid().as_raw());
    let token_file = token.file.as_ref().map(|path| path.display().to_string());
    let agent = Arc::new(listeners::Agent {
        values,
        token,
        prefix: arguments.path_prefix.clone(),
        connections_max: arguments.max_connections as usize,
        users,
        requests: Default::default(),
        fetches,
        tcp: AtomicUsize::new(0),
        socket: AtomicUsize::new(0),
        log,
    });
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(THREADS_MAX).build()?;
    let serving = async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        if let Some(path) = &arguments.socket {
            let socket = SocketFile::bind(path, !arguments.allow_user.is_empty()).map_err(|error| {
                Stop::new(FailureKind::Unavailable, format!("cannot listen on `{}`: {error}", path.display()))
            })?;
            tokio::spawn(listeners::serve_socket(Arc::clone(&agent), socket));
        }
        tokio::spawn(listeners::serve_tcp(Arc::clone(&agent), listener));
        let announced = Serving {
            endpoint: format!("http://{address}"),
            socket: arguments.socket.as_ref().and_then(|path| path.to_str()),
            token_file,
            names,
        };
        output.data(&announced, |text| {
            writeln!(text, "giving {} on http://{address}", counted(names, "secret"))?;
            if let Some(file) = &announced.token_file {
                writeln!(text, "token in {file}")?;
            }
            Ok(())
        })?;
        if !arguments.no_prefetch {
            let (agent, more) = (Arc::clone(&agent), arguments.prefetch.clone());
            let wait = drawn(arguments.prefetch_jitter);
            tokio::spawn(async move {
                sleep(wait).await;
                tokio::task::spawn_blocking(move || {
                    let failed = agent.values.prefetch(&more);
                    if failed > 0 {
                        output.warning(&format!(
                            "{} can't be had now; see `coffer check`",
                            counted(failed, "secret")
                        ));
                    }
                });
            });
        }
        let notifier = Notifier::from_environment();
        if let Some(notifier) = &notifier {
            notifier.ready(&format!("giving secrets on http://{address}"));
        }
        let mut saving = interval(SAVE_EVERY);
        let fresh_min = agent.values.fresh_min();
        let mut freshening = interval((fresh_min.unwrap_or_default() / 20).clamp(FRESHEN_MIN, FRESHEN_MAX));
        let well = notifier.as_ref().and_then(Notifier::watchdog);
        let mut well = interval(well.unwrap_or(Duration::from_secs(3600)));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => agent.values.forget_all(),
                _ = well.tick() => if let Some(notifier) = &notifier { notifier.well() },
                _ = saving.tick() => save(Arc::clone(&agent), output),
                _ = freshening.tick(), if fresh_min.is_some() => {
                    let agent = Arc::clone(&agent);
                    tokio::task::spawn_blocking(move || agent.values.keep_fresh());
                }
            }
        }
        if let Some(notifier) = &notifier {
            notifier.stopping();
        }
        Ok(())
    };
    let ended = runtime.block_on(serving);
    // What asks a store now is not waited for.
    runtime.shutdown_background();
    if let Some(fallback) = &agent.values.fallback
        && let Err(error) = fallback.save()
    {
        output.warning(&format!("the sealed file could not be written: {error}"));
    }
    ended
}

/// A time from 0 up to this.
fn drawn(max: Duration) -> Duration {
    let mut bytes = [0; 8];
    SystemRandom.fill(&mut bytes);
    let max = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(u64::from_le_bytes(bytes).checked_rem(max).unwrap_or_default())
}

fn save(agent: Arc<listeners::Agent>, output: Output) {
    tokio::task::spawn_blocking(move || {
        if let Some(fallback) = &agent.values.fallback
            && let Err(error) = fallback.save()
        {
            output.warning(&format!("the sealed file could not be written: {error}"));
        }
    });
}
