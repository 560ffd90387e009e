//! A load that wrk cannot make: every request another one, each signed.
//!
//! `signed_load ADDR:PORT OPERATION --connections N --secrets N (--seconds N | --count N) [--first N]`
//!
//! OPERATION is `create`, `put`, `get` or `list`. Prints one line of JSON: requests, microseconds, p50, p99.
//! I/O: connects to loopback, prints. Invariant: an answer that is not 200 ends the run with an error, so no figure
//! comes from requests that were refused. The credentials are those of `servers.py`.

#![allow(clippy::print_stdout, reason = "a tool that prints figures")]

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use coffer_crypto::digest::sha256;
use coffer_crypto::sigv4::SigningKey;
use coffer_types::{SecretBytes, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ACCESS_KEY_ID: &str = "AKIABENCHMARKS000001";
const SECRET_ACCESS_KEY: &str = "benchmark/secret/key/that/is/only/for/measuring";
const REGION: &str = "us-east-1";
const SERVICE: &str = "secretsmanager";
const SIGNED_HEADERS: &str = "content-type;host;x-amz-date;x-amz-target";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

#[derive(Clone, Copy)]
enum Operation {
    Create,
    Put,
    Get,
    List,
}

impl Operation {
    fn target(self) -> &'static str {
        match self {
            Self::Create => "CreateSecret",
            Self::Put => "PutSecretValue",
            Self::Get => "GetSecretValue",
            Self::List => "ListSecrets",
        }
    }
}

struct Arguments {
    address: SocketAddr,
    operation: Operation,
    connections: usize,
    secrets: u64,
    first: u64,
    seconds: Option<u64>,
    count: Option<u64>,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut words = std::env::args().skip(1);
    let usage =
        "usage: signed_load ADDR:PORT create|put|get|list --connections N --secrets N --seconds N|--count N";
    let address = words.next().context(usage)?.parse().context("cannot read the address")?;
    let operation = match words.next().context(usage)?.as_str() {
        "create" => Operation::Create,
        "put" => Operation::Put,
        "get" => Operation::Get,
        "list" => Operation::List,
        other => bail!("unknown operation `{other}`"),
    };
    let mut arguments =
        Arguments { address, operation, connections: 1, secrets: 1, first: 0, seconds: None, count: None };
    while let Some(word) = words.next() {
        let number: u64 =
            words.next().context(usage)?.parse().with_context(|| format!("{word} takes a number"))?;
        match word.as_str() {
            "--connections" => arguments.connections = usize::try_from(number)?,
            "--secrets" => arguments.secrets = number,
            "--first" => arguments.first = number,
            "--seconds" => arguments.seconds = Some(number),
            "--count" => arguments.count = Some(number),
            _ => bail!("unknown option `{word}`"),
        }
    }
    ensure!(arguments.seconds.is_some() != arguments.count.is_some(), "{usage}");
    ensure!(arguments.connections > 0 && arguments.secrets > 0, "{usage}");
    Ok(arguments)
}

/// What the connections share.
struct Load {
    arguments: Arguments,
    key: SigningKey,
    date: String,
    host: String,
    next: Cell<u64>,
    ends: Option<Instant>,
    microseconds: RefCell<Vec<u32>>,
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    let date: String = now().to_amz_date().chars().take(8).collect();
    let secret = SecretBytes::copy_from(SECRET_ACCESS_KEY.as_bytes());
    let begun = Instant::now();
    let load = Rc::new(Load {
        key: SigningKey::derive(&secret, &date, REGION, SERVICE),
        date,
        host: arguments.address.to_string(),
        next: Cell::new(0),
        ends: arguments.seconds.map(|seconds| begun + Duration::from_secs(seconds)),
        microseconds: RefCell::default(),
        arguments,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let connections: Vec<_> = (0..load.arguments.connections)
            .map(|number| tokio::task::spawn_local(connection(Rc::clone(&load), number as u64)))
            .collect();
        for connection in connections {
            connection.await??;
        }
        anyhow::Ok(())
    })?;
    let elapsed = begun.elapsed().as_micros();
    let mut times = load.microseconds.take();
    times.sort_unstable();
    let percentile = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let (p50, p99) =
        (percentile(50).context("no request was made")?, percentile(99).copied().unwrap_or_default());
    println!(r#"{{"requests":{},"microseconds":{elapsed},"p50":{p50},"p99":{p99}}}"#, times.len());
    Ok(())
}

fn now() -> Timestamp {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or_default())
}

/// Sends one request after another, waiting for each answer.
async fn connection(load: Rc<Load>, number: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(load.arguments.address).await?;
    stream.set_nodelay(true)?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1);
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    let mut next_token = None;
    loop {
        let count = load.next.get();
        let is_over = match load.ends {
            Some(ends) => Instant::now() >= ends,
            None => load.arguments.count.is_some_and(|most| count >= most),
        };
        if is_over {
            return Ok(());
        }
        load.next.set(count + 1);
        let body = load.body(count, &mut random, next_token.as_deref());
        load.sign(&body, &mut request)?;
        let begun = Instant::now();
        stream.write_all(&request).await?;
        let body = read_answer(&mut stream, &mut answer).await?;
        let elapsed = begun.elapsed().as_micros();
        load.microseconds.borrow_mut().push(u32::try_from(elapsed).unwrap_or(u32::MAX));
        if matches!(load.arguments.operation, Operation::List) {
            // From the first page again after the last.
            next_token = text_of(body, "\"NextToken\":\"").map(str::to_owned);
        }
    }
}

impl Load {
    fn body(&self, count: u64, random: &mut u64, next_token: Option<&str>) -> String {
        // xorshift: which secret, and nothing that must be hard to guess.
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let any = *random % self.arguments.secrets;
        let token = format!("{:016x}-{:016x}", count, *random);
        match self.arguments.operation {
            Operation::Create => {
                let number = self.arguments.first + count;
                format!(
                    r#"{{"Name":"{}","ClientRequestToken":"{token}","SecretString":"{}"}}"#,
                    name(number),
                    value(number)
                )
            }
            Operation::Put => format!(
                r#"{{"SecretId":"{}","ClientRequestToken":"{token}","SecretString":"{}"}}"#,
                name(any),
                value(count)
            ),
            Operation::Get => format!(r#"{{"SecretId":"{}"}}"#, name(any)),
            Operation::List => match next_token {
                Some(token) => format!(r#"{{"MaxResults":100,"NextToken":"{token}"}}"#),
                None => r#"{"MaxResults":100}"#.to_owned(),
            },
        }
    }

    /// The whole request, signed now.
    fn sign(&self, body: &str, request: &mut Vec<u8>) -> anyhow::Result<()> {
        let (date, host, target) = (now().to_amz_date(), &self.host, self.arguments.operation.target());
        let headers = format!(
            "content-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\nx-amz-target:{SERVICE}.{target}\n"
        );
        let canonical = format!("POST\n/\n\n{headers}\n{SIGNED_HEADERS}\n{}", hex(&sha256(body.as_bytes())));
        let scope = format!("{}/{REGION}/{SERVICE}/aws4_request", self.date);
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&sha256(canonical.as_bytes())));
        let signature = hex(&self.key.sign(to_sign.as_bytes()));
        request.clear();
        use std::io::Write as _;
        write!(
            request,
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {CONTENT_TYPE}\r\nX-Amz-Date: {date}\r\n\
             X-Amz-Target: {SERVICE}.{target}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope}, \
             SignedHeaders={SIGNED_HEADERS}, Signature={signature}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        Ok(())
    }
}

fn name(number: u64) -> String {
    format!("load/{:02}/service-{number:07}", number % 100)
}

fn value(number: u64) -> String {
    format!("correct-horse-battery-staple-{number:016}-{:0>32}", number.wrapping_mul(7919))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads one answer; its body. Nothing follows it, since the next request waits.
async fn read_answer<'a>(stream: &mut TcpStream, buffer: &'a mut Vec<u8>) -> anyhow::Result<&'a [u8]> {
    buffer.clear();
    let mut whole = None;
    while whole.is_none_or(|whole| buffer.len() < whole) {
        ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        if whole.is_none()
            && let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).to_ascii_lowercase();
            let length: usize = text_after(&head, "content-length: ")
                .and_then(|length| length.trim().parse().ok())
                .context("an answer without a length")?;
            whole = Some(end + 4 + length);
        }
    }
    ensure!(buffer.starts_with(b"HTTP/1.1 200 "), "refused: {}", String::from_utf8_lossy(buffer));
    let start = buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_default() + 4;
    Ok(buffer.get(start..).unwrap_or_default())
}

fn text_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.lines().next()
}

fn text_of<'a>(body: &'a [u8], before: &str) -> Option<&'a str> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once(before)?;
    rest.split('"').next()
}
