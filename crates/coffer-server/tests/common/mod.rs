//! A server on a thread of its own, and a client that is as rude as a test wants.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use coffer_core::{Core, CoreOptions, Founding, OpenAudit, Parts, SystemClock};
use coffer_crypto::{Random, RootKey, StoreId, SystemRandom};
use coffer_server::{DevSettings, RuntimeSpawn, ServeError, ServeOptions, dev_core, serve};
use coffer_store::MemoryStore;
use coffer_types::{AccountId, Region};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

/// A store in memory that nobody has a key for, over a log and a source of randomness.
pub async fn founded(audit: OpenAudit, random: Arc<dyn Random>) -> Core {
    let parts = Parts {
        store: Arc::new(MemoryStore::new()),
        audit,
        root: RootKey::make(&SystemRandom),
        store_id: StoreId::make(&SystemRandom),
        clock: Arc::new(SystemClock),
        random,
        spawn: Arc::new(RuntimeSpawn::here()),
        options: CoreOptions::default(),
    };
    let founding = Founding {
        account: AccountId::EXAMPLE,
        region: Region::us_east_1(),
        users: Vec::new(),
        owner_uid: 0,
    };
    Core::found(parts, founding).await.unwrap()
}

pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

impl Server {
    /// A throw-away server.
    pub fn dev(change: impl FnOnce(&mut ServeOptions)) -> Self {
        Self::start(change, || async {
            dev_core(&DevSettings::default(), Arc::new(RuntimeSpawn::here())).await.unwrap()
        })
    }

    /// A server over any core. Its options are those of a throw-away one.
    pub fn start<F: Future<Output = Core>>(
        change: impl FnOnce(&mut ServeOptions),
        core: impl FnOnce() -> F + Send + 'static,
    ) -> Self {
        let mut options = ServeOptions::on("127.0.0.1:0".parse().unwrap());
        options.dev = Some(DevSettings::default());
        change(&mut options);
        let (bound, on_bound) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let core = core().await;
                let ready = |to: &coffer_server::Bound| bound.send(to.address).unwrap();
                serve(core, options, ready, async { drop(stopped.await) }).await
            })
        });
        let address = on_bound.recv().unwrap();
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own, and reads until the server closes it or goes quiet.
    pub fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // A server that has answered already may have closed; what it said is what counts.
        drop(stream.write_all(request));
        read_response(&mut stream)
    }

    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    pub fn stop(mut self) -> Result<(), ServeError> {
        self.begin_stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

/// One response; empty if the connection ended without one.
pub fn read_response(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    let mut byte = [0];
    while !response.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => response.push(byte[0]),
            Ok(_) => return String::from_utf8(response).unwrap(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return String::from_utf8(response).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    let head = String::from_utf8(response).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

/// Whether the server has ended the connection; waits for it.
pub fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// The three digits, or nothing if there was no response.
pub fn status(response: &str) -> &str {
    response.get(9..12).unwrap_or_default()
}
