//! The Unix socket in a store's home.
//!
//! Who is asking is what the kernel says. Every wait has an end and every buffer a size.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffer_core::{Context, Refusal};
use coffer_types::{CorrelationId, Region};
use coffer_wire_local::{
    ANSWER_BYTES_MAX, AccessRequest, Answer, Failure, FailureKind, FrameError, Hello, PIECE_BYTES_MAX,
    PROTOCOL, REQUEST_BYTES_MAX, Request, Response, decode, encode, length_of,
};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use crate::current::CurrentCore;
use crate::home::Home;
use crate::panic::{self, Panicked};
use crate::{Bound, Limits, local};

/// Longest path that fits the kernel's `sun_path`, its last byte being zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Most bytes of a client's greeting.
const HELLO_BYTES_MAX: usize = 4096;
/// A client that has not said its version, in records.
const UNNAMED_PROGRAM: &str = "coffer";
/// Most characters of what a client says of itself that are recorded.
const PROGRAM_CHARS_MAX: usize = 64;
/// Longest time between two requests.
const IDLE_TIME_MAX: Duration = Duration::from_secs(600);
/// How long to wait when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The listening socket. Its file is removed when this is dropped.
pub(crate) struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
    /// Whose server this is.
    home: Option<Home>,
    greeting: Hello,
    limits: Limits,
}

impl LocalListener {
    /// Makes the socket in place of a stale one.
    pub(crate) fn bind(path: &Path, bound: &Bound, limits: Limits) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = bind(path)?;
        // Until here its folder alone keeps others out, and the kernel's word on the peer does in any case.
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let greeting = Hello::of_server(bound.endpoint(), std::process::id());
        Ok(Self { listener, path: path.to_owned(), home: Home::of_socket(path), greeting, limits })
    }

    /// Serves until told to stop; then finishes the requests under way, within the limit.
    pub(crate) async fn run(self, core: Arc<CurrentCore>, mut stopping: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => break,
                Some(_ended) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) if connections.len() < self.limits.local_connections_max => {
                    let Ok(peer) = stream.peer_cred() else { continue };
                    let connection = Connection {
                        stream,
                        uid: peer.uid(),
                        core: Arc::clone(&core),
                        home: self.home.clone(),
                        greeting: self.greeting.clone(),
                        limits: self.limits,
                        stopping: stopping.clone(),
                    };
                    connections.spawn(connection.run());
                }
                Ok(_too_many) => {}
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
        let drain_time_max = self.limits.drain_time_max;
        // Nobody should find a socket that nobody serves, nor wait for it.
        drop(self);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        drop(timeout(drain_time_max, all_ended).await);
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        // If it is gone already, or cannot be removed, it is a stale socket, which everybody ignores.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Binds; a path longer than the kernel takes is reached through its folder's descriptor.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return UnixListener::bind(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    UnixListener::bind(Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

/// One connection, generic in its stream so that a test can be any user.
struct Connection<S> {
    stream: S,
    uid: u32,
    core: Arc<CurrentCore>,
    home: Option<Home>,
    greeting: Hello,
    limits: Limits,
    stopping: watch::Receiver<bool>,
}

/// What a client's greeting says of all its requests.
struct Greeted {
    /// The program, as it is recorded.
    program: String,
    /// The region they work in; the store's default if `None`.
    region: Option<Region>,
    /// What it calls them, if it does.
    id: Option<CorrelationId>,
}

/// Whether a request reads for as long as the log, or the list of secrets, is long: then not on the thread that
/// everything else is on.
fn is_long(request: &Request) -> bool {
    matches!(
        request,
        Request::VerifyAudit {}
            | Request::TailAudit { .. }
            | Request::SearchAudit { .. }
            | Request::ListReads { .. }
            | Request::Status {}
            | Request::Access(AccessRequest::WhoCan { .. } | AccessRequest::ExplainDenial { .. })
    )
}

/// Why a connection ends: the client left, broke off, or has been told why.
struct Over;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(mut self) {
        let Ok(greeted) = self.greet().await else { return };
        while self.answer_one(&greeted).await.is_ok() {}
    }

    /// Exchanges greetings. Another user is recorded, whatever it sends or does not send, and told so; a client of
    /// another protocol is told so.
    async fn greet(&mut self) -> Result<Greeted, Over> {
        if let Err(failure) =
            local::authenticate(&self.core.get(), self.uid, UNNAMED_PROGRAM, None, None).await
        {
            // A client reads only after it has written.
            self.read_frame(HELLO_BYTES_MAX).await?;
            self.write_frame(&Answer::Failure(failure)).await?;
            return Err(Over);
        }
        let json = self.read_frame(HELLO_BYTES_MAX).await?;
        let hello: Hello = match decode(&json) {
            Ok(hello) => hello,
            Err(_) => return self.refuse_greeting("the greeting cannot be read").await,
        };
        let named: String =
            hello.coffer.chars().filter(char::is_ascii_graphic).take(PROGRAM_CHARS_MAX).collect();
        if hello.protocol != PROTOCOL {
            let theirs = hello.protocol;
            let message = format!("this server speaks protocol {PROTOCOL}, and you speak {theirs}");
            return self.refuse_greeting(&message).await;
        }
        let greeting = self.greeting.clone();
        self.write_frame(&greeting).await?;
        // What does not look like an id is left out: it may be anything.
        let id = hello.correlation_id.and_then(|id| id.parse().ok());
        Ok(Greeted { program: format!("{UNNAMED_PROGRAM}/{named}"), region: hello.region, id })
    }

    async fn refuse_greeting(&mut self, message: &str) -> Result<Greeted, Over> {
        let failure = Failure::new(FailureKind::Other, message)
            .with_hint("use the same version of coffer for server and commands");
        self.write_frame(&Answer::Failure(failure)).await?;
        Err(Over)
    }

    async fn answer_one(&mut self, greeted: &Greeted) -> Result<(), Over> {
        let json = self.read_frame(REQUEST_BYTES_MAX).await?;
        let request = decode::<Request>(&json);
        drop(json);
        // Anew for each request: who owns the store may be asked once, what time it is may not.
        let Greeted { program, region, id } = greeted;
        let core = self.core.get();
        let context = match local::authenticate(&core, self.uid, program, region.clone(), id.clone()).await {
            Ok(context) => context,
            Err(failure) => {
                self.write_frame(&Answer::Failure(failure)).await?;
                return Err(Over);
            }
        };
        let answer = match request {
            Ok(Request::Backup {}) => return self.back_up(&context).await,
            Ok(request) => self.serve(context, request).await,
            Err(error) => Answer::Failure(self.refuse_malformed(context, error).await),
        };
        self.write_frame(&answer).await
    }

    async fn serve(&self, context: Context, request: Request) -> Answer {
        let core = self.core.get();
        let served = if is_long(&request) {
            let here = Handle::current();
            let long = move || here.block_on(local::serve(&core, &context, request));
            tokio::task::spawn_blocking(long).await.map_err(|_| Panicked)
        } else {
            panic::catch(local::serve(&core, &context, request)).await
        };
        match served {
            Ok(Ok(response)) => Answer::Response(response),
            Ok(Err(failure)) => Answer::Failure(failure),
            Err(Panicked) => Answer::Failure(self.refuse_panicked().await),
        }
    }

    /// Gives out a backup. Its pieces are read and hashed off this thread, which everything else is on.
    async fn back_up(&mut self, context: &Context) -> Result<(), Over> {
        let begun = match &self.home {
            Some(home) => local::backup(&self.core.get(), context, home).await,
            None => Err(Failure::new(FailureKind::Other, "this server has no folder to back up")),
        };
        let mut stream = match begun {
            Ok(stream) => stream,
            Err(failure) => return self.write_frame(&Answer::Failure(failure)).await,
        };
        let beginning = Response::Backup(local::beginning_of(&stream));
        self.write_frame(&Answer::Response(beginning)).await?;
        let last = loop {
            let here = Handle::current();
            let read = move || {
                let piece = here.block_on(local::next_piece(&mut stream));
                (stream, piece)
            };
            // A panic is told by its hook; the stream is gone with it, and recorded as abandoned.
            let Ok((back, piece)) = tokio::task::spawn_blocking(read).await else {
                break Answer::Failure(self.refuse_panicked().await);
            };
            stream = back;
            match piece {
                Ok(Some(piece)) => self.write_pieces(&piece).await?,
                Ok(None) => break Answer::Response(Response::EndBackup(local::end_of(&stream.totals()))),
                Err(failure) => break Answer::Failure(failure),
            }
        };
        self.write_patiently(&[0; 4]).await?;
        self.write_frame(&last).await
    }

    async fn write_pieces(&mut self, bytes: &[u8]) -> Result<(), Over> {
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            let length = u32::try_from(piece.len()).map_err(|_| Over)?;
            self.write_patiently(&length.to_be_bytes()).await?;
            self.write_patiently(piece).await?;
        }
        Ok(())
    }

    /// Waits as long as between two requests: a backup may go on to where there is little room or little speed.
    async fn write_patiently(&mut self, bytes: &[u8]) -> Result<(), Over> {
        match timeout(IDLE_TIME_MAX, self.stream.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Over),
        }
    }

    async fn refuse_malformed(&self, context: Context, error: FrameError) -> Failure {
        let cause = match &error {
            FrameError::TooLarge => error.to_string(),
            FrameError::Json(json) => json.to_string(),
        };
        // Neither says what stood in the request.
        let failure = Failure::new(FailureKind::Refused, format!("the request cannot be read: {cause}"));
        self.record(Some(context), "SerializationException", &error.to_string()).await;
        failure
    }

    async fn refuse_panicked(&self) -> Failure {
        let context = local::authenticate(&self.core.get(), self.uid, UNNAMED_PROGRAM, None, None).await.ok();
        self.record(context, "InternalServiceError", "a fault of coffer's").await;
        Failure::new(FailureKind::Unavailable, "coffer failed at this request through a fault of its own")
    }

    async fn record(&self, context: Option<Context>, code: &'static str, message: &str) {
        let request = match &context {
            Some(context) => context.request.clone(),
            None => return,
        };
        let refusal = Refusal {
            context,
            request,
            event_source: local::EVENT_SOURCE,
            event_name: None,
            region: None,
            access_key_id: None,
            code,
            message: message.to_owned(),
        };
        // The answer is a refusal already; that the log fails shows at the next request.
        drop(panic::catch(self.core.get().refuse(refusal)).await);
    }

    /// A frame's JSON. Waits long for its first byte and not at all once the server stops; then its rest has to
    /// come in time.
    async fn read_frame(&mut self, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Over> {
        let mut front = [0; 4];
        let stream = &mut self.stream;
        let first = tokio::select! {
            biased;
            read = timeout(IDLE_TIME_MAX, stream.read(&mut front)) => read,
            _ = self.stopping.wait_for(|stopping| *stopping) => return Err(Over),
        };
        let Ok(Ok(length @ 1..)) = first else { return Err(Over) };
        let rest = async {
            if let Some(missing) = front.get_mut(length..) {
                stream.read_exact(missing).await?;
            }
            let length = length_of(front, bytes_max).map_err(|_| io::ErrorKind::InvalidData)?;
            let mut json = Zeroizing::new(vec![0; length]);
            stream.read_exact(&mut json).await?;
            io::Result::Ok(json)
        };
        match timeout(self.limits.request_time_max, rest).await {
            Ok(Ok(json)) => Ok(json),
            _ => Err(Over),
        }
    }

    async fn write_frame(&mut self, message: &impl Serialize) -> Result<(), Over> {
        let frame = encode(message, ANSWER_BYTES_MAX).or_else(|_| {
            let failure = Failure::new(FailureKind::Other, "the answer is too large; ask for fewer entries");
            encode(&Answer::Failure(failure), ANSWER_BYTES_MAX)
        });
        let Ok(frame) = frame else { return Err(Over) };
        match timeout(self.limits.request_time_max, self.stream.write_all(frame.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Over),
        }
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{Core, Spawn};
    use coffer_wire_local::Response;
    use tokio::io::DuplexStream;

    use super::*;
    use crate::{DevSettings, RuntimeSpawn, dev_core};

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// A connection of a user, and its other end.
    async fn connected(uid: u32, limits: Limits) -> (DuplexStream, Arc<CurrentCore>, watch::Sender<bool>) {
        let spawn: Arc<dyn Spawn> = Arc::new(RuntimeSpawn::here());
        let core = CurrentCore::new(dev_core(&DevSettings::default(), spawn).await.unwrap());
        let (client, stream) = tokio::io::duplex(4096);
        let (stop, stopping) = watch::channel(false);
        let greeting = Hello::of_server("http://127.0.0.1:1".to_owned(), 1);
        let connection =
            Connection { stream, uid, core: Arc::clone(&core), home: None, greeting, limits, stopping };
        drop(tokio::spawn(connection.run()));
        (client, core, stop)
    }

    async fn send(client: &mut DuplexStream, json: &[u8]) {
        client.write_all(&u32::try_from(json.len()).unwrap().to_be_bytes()).await.unwrap();
        client.write_all(json).await.unwrap();
    }

    /// The next frame as text; `None` if the connection ended.
    async fn receive(client: &mut DuplexStream) -> Option<String> {
        let mut front = [0; 4];
        client.read_exact(&mut front).await.ok()?;
        let mut json = vec![0; length_of(front, ANSWER_BYTES_MAX).unwrap()];
        client.read_exact(&mut json).await.unwrap();
        Some(String::from_utf8(json).unwrap())
    }

    async fn exchange(client: &mut DuplexStream, json: &str) -> Option<String> {
        send(client, json.as_bytes()).await;
        receive(client).await
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn another_user_is_refused_and_recorded() {
        block_on(async {
            let stranger = own_uid() + 1;
            let (mut client, core, _stop) = connected(stranger, Limits::default()).await;
            let answer = exchange(&mut client, r#"{"protocol":1}"#).await.unwrap();
            assert!(answer.contains(r#""kind":"Denied""#), "{answer}");
            assert!(answer.contains(&format!("user `{stranger}`")), "{answer}");
            assert_eq!(receive(&mut client).await, None);

            let core = core.get();
            assert!(is_stranger_recorded(&core, stranger).await);
        });
    }

    /// The newest records, newest last.
    async fn records(core: &Core) -> Vec<String> {
        let context = local::authenticate(core, own_uid(), "test", None, None).await.unwrap();
        match local::serve(core, &context, Request::TailAudit { count: 100 }).await {
            Ok(Response::TailAudit { lines }) => lines,
            _ => panic!("no tail"),
        }
    }

    async fn is_stranger_recorded(core: &Core, uid: u32) -> bool {
        let said = format!("uid {uid} does not own this store");
        records(core).await.iter().any(|line| line.contains(&said))
    }

    #[test]
    fn another_user_is_recorded_whatever_it_sends() {
        block_on(async {
            let stranger = own_uid() + 1;
            for greeting in [Some(&b"hello"[..]), Some(b"{}"), Some(br#"{"protocol":2}"#), None] {
                let (mut client, core, _stop) = connected(stranger, Limits::default()).await;
                match greeting {
                    Some(greeting) => {
                        send(&mut client, greeting).await;
                        let answer = receive(&mut client).await.unwrap();
                        assert!(answer.contains(r#""kind":"Denied""#), "{answer}");
                        assert_eq!(receive(&mut client).await, None);
                    }
                    None => drop(client),
                }
                tokio::task::yield_now().await;
                assert!(is_stranger_recorded(&core.get(), stranger).await, "{greeting:?}");
            }
        });
    }

    #[test]
    fn what_a_client_wrote_in_the_wrong_place_is_not_recorded() {
        block_on(async {
            let (mut client, core, _stop) = connected(own_uid(), Limits::default()).await;
            exchange(&mut client, r#"{"protocol":1}"#).await.unwrap();
            for (request, is_repeated) in [
                (r#"{"operation":"GetSecretValue","parameters":{"secret_id":"hunter 2"}}"#, true),
                (
                    r#"{"operation":"DeleteSecret","parameters":{"secret_id":"hunter 2","mode":"immediate"}}"#,
                    true,
                ),
                (r#"{"operation":"hunter 2","parameters":{}}"#, false),
                (
                    r#"{"operation":"PutSecretValue","parameters":{"secret_id":"a","value":"hunter 2"}}"#,
                    false,
                ),
                (
                    r#"{"operation":"CreateSecret","parameters":{"name":"hunter 2","value":{"string":"YQ=="}}}"#,
                    false,
                ),
            ] {
                let answer = exchange(&mut client, request).await.unwrap();
                assert!(answer.contains(r#""kind":"Refused""#), "{answer}");
                assert_eq!(answer.contains("hunter 2"), is_repeated, "{answer}");
            }
            let records = records(&core.get()).await;
            assert!(
                records.iter().any(|record| record.contains("what was given names no secret")),
                "{records:#?}"
            );
            assert!(!records.iter().any(|record| record.contains("hunter 2")), "{records:#?}");
        });
    }

    #[test]
    fn a_greeting_names_the_region_of_its_requests() {
        block_on(async {
            let (mut client, core, _stop) = connected(own_uid(), Limits::default()).await;
            exchange(&mut client, r#"{"protocol":1,"region":"eu-west-1"}"#).await.unwrap();
            let create =
                r#"{"operation":"CreateSecret","parameters":{"name":"a","value":{"string":"YQ=="}}}"#;
            let answer = exchange(&mut client, create).await.unwrap();
            assert!(answer.contains("arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-"), "{answer}");
            let get = r#"{"operation":"GetSecretValue","parameters":{"secret_id":"a"}}"#;
            let answer = exchange(&mut client, get).await.unwrap();
            assert!(answer.contains(r#""string":"YQ==""#), "{answer}");

            // Another region's secret, by its name alone.
            let core = core.get();
            for (region, is_there) in [(None, false), (Some("us-east-1"), false), (Some("eu-west-1"), true)] {
                let region = region.map(|region| region.parse().unwrap());
                let context = local::authenticate_self(&core, "test", region, None).await.unwrap();
                let get = decode::<Request>(get.as_bytes()).unwrap();
                assert_eq!(local::serve(&core, &context, get).await.is_ok(), is_there);
            }
            let records = records(&core).await;
            let made =
                records.iter().find(|record| record.contains(r#""eventName":"CreateSecret""#)).unwrap();
            assert!(made.contains(r#""awsRegion":"eu-west-1""#), "{made}");

            let (mut client, _core, _stop) = connected(own_uid(), Limits::default()).await;
            let answer = exchange(&mut client, r#"{"protocol":1,"region":"nowhere"}"#).await.unwrap();
            assert!(answer.contains("the greeting cannot be read"), "{answer}");
        });
    }

    #[test]
    fn what_reads_as_long_as_there_is_something_is_long() {
        for (request, long) in [
            (Request::VerifyAudit {}, true),
            (Request::TailAudit { count: 1 }, true),
            (Request::Status {}, true),
            (Request::DescribeSecret { secret_id: "a".to_owned() }, false),
            (
                Request::ListSecrets {
                    filters: Vec::new(),
                    include_planned_deletion: false,
                    max_results: None,
                    next_token: None,
                },
                false,
            ),
        ] {
            assert_eq!(is_long(&request), long);
        }
    }

    #[test]
    fn each_way_a_client_may_err() {
        block_on(async {
            let (mut client, _core, _stop) = connected(own_uid(), Limits::default()).await;
            let answer = exchange(&mut client, r#"{"protocol":2}"#).await.unwrap();
            assert!(answer.contains("speaks protocol 1, and you speak 2"), "{answer}");
            assert_eq!(receive(&mut client).await, None);

            let (mut client, _core, _stop) = connected(own_uid(), Limits::default()).await;
            assert!(exchange(&mut client, "hello").await.unwrap().contains("failure"));

            let (mut client, _core, _stop) = connected(own_uid(), Limits::default()).await;
            let greeting = exchange(&mut client, r#"{"protocol":1,"coffer":"0.1.0"}"#).await.unwrap();
            assert!(greeting.contains("http://127.0.0.1:1"), "{greeting}");
            for (request, said) in [
                (r#"{"operation":"Destroy","parameters":{}}"#, "Refused"),
                (
                    r#"{"operation":"CreateSecret","parameters":{"name":"a","value":{"string":"!"}}}"#,
                    "Refused",
                ),
                (r#"{"operation":"GetSecretValue","parameters":{"secret_id":"a b"}}"#, "Refused"),
                (r#"{"operation":"GetSecretValue","parameters":{"secret_id":"a"}}"#, "NotFound"),
                (r#"{"operation":"ListSecrets","parameters":{"max_results":101}}"#, "Refused"),
                (r#"{"operation":"Status","parameters":{}}"#, "response"),
            ] {
                let answer = exchange(&mut client, request).await.unwrap();
                assert!(answer.contains(said), "{request} {answer}");
            }
            client.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
            assert_eq!(receive(&mut client).await, None);
        });
    }

    #[test]
    fn a_frame_has_to_come_in_time_and_stopping_ends_the_idle() {
        block_on(async {
            let request_time_max = Duration::from_millis(50);
            let limits = Limits { request_time_max, ..Limits::default() };
            let (mut client, _core, _stop) = connected(own_uid(), limits).await;
            client.write_all(&[0, 0]).await.unwrap();
            assert_eq!(receive(&mut client).await, None);

            let (mut client, _core, stop) = connected(own_uid(), limits).await;
            exchange(&mut client, r#"{"protocol":1}"#).await.unwrap();
            sleep(2 * request_time_max).await;
            assert!(exchange(&mut client, r#"{"operation":"Status","parameters":{}}"#).await.is_some());
            stop.send_replace(true);
            assert_eq!(receive(&mut client).await, None);
        });
    }
}
