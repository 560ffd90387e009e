//! HTTP/1.1 as a server of a few requests needs it, and every way in which one can fail.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Certified;

/// A server's rules.
type Answers = dyn Fn(&Request) -> Reply + Send + Sync;

/// How an answer goes wrong.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It comes so much later.
    Delay(Duration),
    /// 429 with so many seconds to wait.
    Throttled(u64),
    /// This status, with a body that is no JSON.
    Status(u16),
    /// It ends in the middle of its body.
    Truncated,
    /// 200, and JSON of something else.
    OtherJson,
    /// 200, and no JSON, with this text.
    NoJson(&'static str),
    /// Hangs up before any answer.
    HangUp,
}

/// A server that can be stopped and started again.
pub struct Remote {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Mutex<Option<Arc<AtomicBool>>>,
}

struct Shared {
    answers: Box<Answers>,
    tls: Option<Certified>,
    /// What happens to the next requests, and to all if it is one that stays.
    failures: Mutex<VecDeque<Failure>>,
    every: Mutex<Option<Failure>>,
    seen: Mutex<Vec<String>>,
    count: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

/// What was asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET` and so on.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Behind `?`.
    pub query: BTreeMap<String, String>,
    /// By name in small letters.
    pub headers: BTreeMap<String, String>,
    /// All of it.
    pub body: Vec<u8>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Such as 200.
    pub status: u16,
    /// JSON, as a rule.
    pub body: String,
    /// More than length and type.
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), headers: Vec::new() }
    }
}

impl Request {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// Begins to serve on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub fn start(
        tls: Option<Certified>,
        answers: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Shared {
            answers: Box::new(answers),
            tls,
            failures: Mutex::default(),
            every: Mutex::default(),
            seen: Mutex::default(),
            count: AtomicU64::new(0),
            streams: Mutex::default(),
        };
        let remote = Self { address, shared: Arc::new(shared), running: Mutex::new(None) };
        remote.listen(listener);
        remote
    }

    /// Where it is, `http://` or `https://`.
    pub fn url(&self) -> String {
        match self.shared.tls {
            // By the name its certificate is for.
            Some(_) => self.url_over_tls(),
            None => format!("http://{}", self.address),
        }
    }

    /// The same address under the other scheme: TLS to who speaks none.
    pub fn url_over_tls(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Goes away: hangs up on everybody, and nobody listens.
    pub fn stop(&self) {
        if let Some(running) = locked(&self.running).take() {
            running.store(false, Ordering::SeqCst);
            // Wakes the thread that accepts, which lets go of the port.
            drop(TcpStream::connect(self.address));
            for stream in locked(&self.shared.streams).drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
            while TcpStream::connect(self.address).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Comes back where it was.
    ///
    /// # Panics
    /// If somebody else took the port.
    pub fn start_again(&self) {
        self.stop();
        for _ in 0..200 {
            if let Ok(listener) = TcpListener::bind(self.address) {
                return self.listen(listener);
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{} was taken", self.address);
    }

    /// The next answers fail so, in this order.
    pub fn fail_next(&self, failures: impl IntoIterator<Item = Failure>) {
        locked(&self.shared.failures).extend(failures);
    }

    /// Every answer fails so from now on, or none.
    pub fn fail_always(&self, failure: Option<Failure>) {
        *locked(&self.shared.every) = failure;
    }

    /// No answer fails any more.
    pub fn clear(&self) {
        locked(&self.shared.failures).clear();
        self.fail_always(None);
    }

    /// Every request so far, as `GET /path`.
    pub fn seen(&self) -> Vec<String> {
        locked(&self.shared.seen).clone()
    }

    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::SeqCst)
    }

    fn listen(&self, listener: TcpListener) {
        let running = Arc::new(AtomicBool::new(true));
        *locked(&self.running) = Some(Arc::clone(&running));
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if !running.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (shared, running) = (Arc::clone(&shared), Arc::clone(&running));
                if let Ok(again) = stream.try_clone() {
                    let mut streams = locked(&shared.streams);
                    streams.retain(|stream| stream.peer_addr().is_ok());
                    streams.push(again);
                }
                thread::spawn(move || match &shared.tls {
                    None => shared.serve(stream, &running),
                    Some(tls) => {
                        if let Some(stream) = tls.shake_hands(stream) {
                            shared.serve(stream, &running);
                        }
                    }
                });
            }
        });
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Answers until somebody hangs up.
    fn serve(&self, stream: impl Read + Write, running: &AtomicBool) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader) {
            if !running.load(Ordering::SeqCst) {
                return;
            }
            self.count.fetch_add(1, Ordering::SeqCst);
            locked(&self.seen).push(format!("{} {}", request.method, request.path));
            let failure = locked(&self.failures).pop_front();
            let failure = failure.or_else(|| locked(&self.every).clone());
            let mut reply = (self.answers)(&request);
            let mut cut = false;
            match failure {
                None => {}
                Some(Failure::Delay(time)) => thread::sleep(time),
                Some(Failure::Throttled(seconds)) => {
                    reply = Reply::json(429, "{\"errors\":[\"hunter2\"]}");
                    reply.headers.push(("retry-after", seconds.to_string()));
                }
                Some(Failure::Status(status)) => reply = Reply::json(status, "<hunter2>"),
                Some(Failure::Truncated) => cut = true,
                Some(Failure::OtherJson) => reply = Reply::json(200, r#"["hunter2"]"#),
                Some(Failure::NoJson(text)) => reply = Reply::json(200, text),
                Some(Failure::HangUp) => return,
            }
            let mut head = format!(
                "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
                reply.status,
                reply.body.len()
            );
            for (name, value) in &reply.headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            let body = reply.body.as_bytes();
            let body = if cut { body.get(..body.len() / 2).unwrap_or_default() } else { body };
            let stream = reader.get_mut();
            let written = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            if cut || written.and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}

/// One request; `None` at the end.
fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = query.map(|(name, value)| (plain(name), plain(value))).collect();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path: plain(path), query, headers, body })
}

/// Without `%` escapes.
fn plain(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
