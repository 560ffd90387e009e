//! `serve`: the server, for a store or as a throw-away.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use coffer_core::Core;
use coffer_server::home::{Credentials, Home, data_dir};
use coffer_server::service_manager::{Notifier, PassedSockets};
use coffer_server::{
    Bound, DEV_BANNER, DevSettings, RuntimeSpawn, ServeError, ServeOptions, TlsIdentity, Watcher, dev_core,
};
use coffer_wire_local::{Failure, FailureKind};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::access::{Access, InPlace, Place, runtime};
use crate::arguments::{Serve, Transport};
use crate::commands::init::admin_key;
use crate::failure::Stop;
use crate::output::Output;
use crate::shell;
use crate::transport::serve_failed;

/// `serve --json`.
#[derive(Serialize)]
struct Serving {
    endpoint: String,
    dev: bool,
}

pub(crate) fn serve(place: &Place, arguments: &Serve, output: Output) -> Result<(), Stop> {
    let passed = passed_sockets()?;
    let mut transport = arguments.transport.clone();
    if let Some(socket) = &passed.aws {
        transport.listen = socket
            .local_addr()
            .map_err(|source| serve_failed(ServeError::Listen { address: transport.listen, source }))?;
    }
    if passed.metrics.is_some() {
        transport.metrics_listen = None;
    }
    if arguments.dev {
        return serve_dev(arguments, &transport, passed, output);
    }
    let place = place.accepting_audit_loss(arguments.accept_audit_loss).limited(&transport.limits);
    let store = match Access::to(&place, "coffer serve")? {
        Access::InPlace(store) => store,
        Access::Socket(client) => {
            let endpoint = client.server().endpoint.as_deref().unwrap_or("its socket");
            let message = format!("a server of this store runs already, on {endpoint}");
            return Err(Stop::new(FailureKind::Conflict, message).with_hint("use it, or stop it first"));
        }
    };
    if passed.aws.is_none()
        && let Err(stop) = transport.ensure_free()
    {
        Access::InPlace(store).close()?;
        return Err(stop);
    }
    serve_store(&place.home, store, &transport, passed, output, |bound| {
        let serving = Serving { endpoint: bound.endpoint(), dev: false };
        output.data(&serving, |text| writeln!(text, "serving on {}; Ctrl-C stops", serving.endpoint))
    })
}

/// Serves a store that this process has opened, until it is told to stop. `ready` is called once it is up.
pub(crate) fn serve_store(
    home: &Home,
    store: InPlace,
    transport: &Transport,
    passed: PassedSockets,
    output: Output,
    ready: impl FnOnce(&Bound) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let identity = match transport.identity(home, output) {
        Ok(identity) => identity,
        Err(stop) => {
            Access::InPlace(store).close()?;
            return Err(stop);
        }
    };
    let ca_bundle =
        matches!(identity, Some(TlsIdentity::Authority { .. })).then(|| home.authority_certificate());
    let for_others = transport.for_others(home, identity.as_ref());
    let InPlace { runtime, opened, .. } = store;
    let mut options = transport.options(identity, output);
    options.socket = Some(home.socket_path());
    options.passed = passed;
    let ready = |bound: &Bound| {
        if let Err(stop) = publish_endpoint(home, &bound.endpoint(), ca_bundle) {
            output.warning("`coffer env` does not know where this server listens:");
            output.stop(&stop);
        }
        // Whoever started the server may not want to read what it says.
        if let Err(stop @ (Stop::Failure(_) | Stop::Usage { .. })) = ready(bound) {
            output.stop(&stop);
        }
        for line in for_others.iter().flat_map(|others| others.describe(bound.address.port())) {
            output.note(&line);
        }
    };
    let core = opened.core.clone();
    let served = runtime.block_on(serve_until_told(core, options, ready, output));
    match served {
        // The core is closed; dropping the rest frees the lock.
        Ok(()) => Ok(()),
        Err(error) => {
            if !matches!(error, ServeError::Close(_)) {
                runtime.block_on(opened.close()).map_err(Failure::from)?;
            }
            Err(serve_failed(error))
        }
    }
}

/// Serves a store in memory that nobody will miss.
fn serve_dev(
    arguments: &Serve,
    transport: &Transport,
    passed: PassedSockets,
    output: Output,
) -> Result<(), Stop> {
    if !arguments.dev_expose && !transport.is_of_this_machine() {
        return Err(serve_failed(ServeError::BeyondLoopback { address: transport.listen }).with_hint(
            "to let others reach a throw-away with known keys, add --dev-expose; else --listen 127.0.0.1:8200",
        ));
    }
    let identity = transport.given_identity();
    if identity.is_none() && (transport.tls || !transport.tls_name.is_empty()) {
        return Err(Stop::Usage {
            message: "a throw-away store has no certificate authority that clients could trust".into(),
            hint: "give it a certificate with --tls-certificate and --tls-key".into(),
        });
    }
    if passed.aws.is_none() {
        transport.ensure_free()?;
    }
    let mut settings = DevSettings {
        expose: arguments.dev_expose,
        rate_limit: transport.limits.rate_limit,
        cache: transport.limits.cache_size.unwrap_or_default(),
        ..DevSettings::default()
    };
    let own_key = admin_key()?;
    let is_known = own_key.is_none();
    if let Some(key) = own_key {
        settings.admin_key = key;
    }
    if let Some(account) = arguments.account_id {
        settings.account = account;
    }
    if let Some(region) = &arguments.region {
        settings.region = region.clone();
    }
    let region = settings.region.clone();
    output.warning(DEV_BANNER);
    let ready = |bound: &Bound| {
        let serving = Serving { endpoint: bound.endpoint(), dev: true };
        let said = output.data(&serving, |text| {
            let (endpoint, region) = (serving.endpoint.as_str(), region.as_str());
            // boto3 reads one name of the region, the other SDKs the other.
            let exports =
                [("AWS_ENDPOINT_URL", endpoint), ("AWS_REGION", region), ("AWS_DEFAULT_REGION", region)];
            for (name, value) in exports {
                writeln!(text, "export {name}={}", shell::quoted(value))?;
            }
            if is_known {
                writeln!(text, "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")?;
            }
            Ok(())
        });
        if let Err(stop) = said {
            output.stop(&stop);
        }
    };
    runtime()?.block_on(async {
        let core = dev_core(&settings, Arc::new(RuntimeSpawn::here()))
            .await
            .map_err(|error| Stop::of(FailureKind::Unavailable, &error))?;
        let mut options = transport.options(identity, output);
        options.dev = Some(settings);
        options.passed = passed;
        serve_until_told(core, options, ready, output).await.map_err(serve_failed)
    })
}

/// The sockets that whoever started this process passed to it.
fn passed_sockets() -> Result<PassedSockets, Stop> {
    PassedSockets::take().map_err(|error| {
        Stop::of(FailureKind::Unavailable, &error)
            .with_hint("pass one TCP socket for the server, and perhaps one named `metrics`")
    })
}

/// Serves until Ctrl-C or an init system ends it, and tells that system, if there is one, how it is doing.
async fn serve_until_told(
    core: Core,
    mut options: ServeOptions,
    ready: impl FnOnce(&Bound),
    output: Output,
) -> Result<(), ServeError> {
    let notifier = Notifier::from_environment().map(Arc::new);
    let (stop, at_once) = told_to_stop(output, notifier.clone());
    options.at_once = Some(Box::pin(at_once));
    options.watcher = notifier.clone().and_then(|notifier| {
        let every = notifier.watchdog()?;
        Some(Watcher { every, well: Box::new(move || notifier.well()) })
    });
    let ready = |bound: &Bound| {
        ready(bound);
        if let Some(notifier) = &notifier {
            notifier.ready(&format!("serving on {}", bound.endpoint()));
        }
    };
    coffer_server::serve(core, options, ready, stop).await
}

/// The file that `coffer env` reads says where the server listens, and who vouches for it.
fn publish_endpoint(home: &Home, endpoint: &str, ca_bundle: Option<PathBuf>) -> Result<(), Stop> {
    let data_dir = data_dir().map_err(Failure::from)?;
    let store_id = home.facts(&data_dir).map_err(Failure::from)?.store_id;
    if let Some(mut credentials) = Credentials::read(&data_dir, store_id).map_err(Failure::from)?
        && (credentials.endpoint != endpoint || credentials.ca_bundle != ca_bundle)
    {
        endpoint.clone_into(&mut credentials.endpoint);
        credentials.ca_bundle = ca_bundle;
        credentials.write(&data_dir, store_id).map_err(Failure::from)?;
    }
    Ok(())
}

/// Resolve at Ctrl-C, or when an init system asks, and when either asks again. Both are caught from this call on, so that
/// a server stops in order from the moment it says that it serves. To be called on a runtime.
fn told_to_stop(
    output: Output,
    notifier: Option<Arc<Notifier>>,
) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
    let (first, on_first) = oneshot::channel::<()>();
    let (second, on_second) = oneshot::channel::<()>();
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    drop(tokio::spawn(async move {
        // Without handlers the signals end the process at once, which loses nothing that was acknowledged.
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return std::future::pending().await };
        let mut told = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        told().await;
        if let Some(notifier) = notifier {
            notifier.stopping();
        }
        output.note("stopping: finishing what is under way");
        drop(first);
        told().await;
        output.note("stopping at once");
        drop(second);
    }));
    (async { drop(on_first.await) }, async { drop(on_second.await) })
}
