//! How long an append takes: `cargo run --release -p coffer-audit --example append_rate -- DIRECTORY`.
//!
//! Appends from one thread one after another, and from 16 and 64 tasks on one thread, under both sync modes. Beside
//! `always` stands its floor, measured just before: the same bytes of as many records written at once to a file that is
//! all zeros, and synced, one such group after another.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_audit::disk::RealDisk;
use coffer_audit::{
    AuditSink as _, EventId, EventType, FileLog, FileLogOptions, Record, RecordBody, SyncMode, UserIdentity,
};
use coffer_crypto::{AuditSigningKey, SystemRandom};
use coffer_types::Timestamp;
use futures_executor::{LocalPool, block_on};

/// What the chain adds to a record, about.
const CHAIN_BYTES: usize = 105;

fn body(number: u64) -> RecordBody {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let mut record = Record::new(
        EventType::AwsApiCall,
        EventId::from_random(id),
        Timestamp::from_millis(1_795_343_400_000 + number as i64),
        "secretsmanager.amazonaws.com",
        "GetSecretValue",
        "us-east-1",
        "127.0.0.1",
        UserIdentity::iam_user(
            "AIDACKCEVSQ6C2EXAMPLE",
            "arn:aws:iam::123456789012:user/admin",
            "123456789012",
            "AKIAIOSFODNN7EXAMPLE",
            "admin",
        ),
    );
    record.user_agent = Some("Boto3/1.40 md/Botocore#1.40 ua/2.1 os/linux lang/python#3.12".into());
    record.request_id = Some("6f1a2f1e-93b6-4f6a-8c07-2f8f3e3a9c11".into());
    record.recipient_account_id = Some("123456789012".into());
    record.set_request_parameters(&Parameters { secret_id: "btc-agent/twitter/credentials" });
    record.into_body()
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    secret_id: &'static str,
}

/// How many records a second a bare file takes, written and synced in groups of `at_once`.
fn floor(path: &Path, bodies: &[RecordBody], at_once: usize) -> Result<f64, Box<dyn Error>> {
    let mut file = File::create(path)?;
    let zeros = vec![0; bodies.iter().map(|body| body.as_bytes().len() + CHAIN_BYTES).sum()];
    file.write_all(&zeros)?;
    file.sync_all()?;
    let groups: Vec<Vec<u8>> = bodies
        .chunks(at_once)
        .map(|group| group.iter().flat_map(|body| [body.as_bytes(), &[b' '; CHAIN_BYTES]].concat()).collect())
        .collect();
    let start = Instant::now();
    let mut offset = 0;
    for group in &groups {
        file.write_all_at(group, offset)?;
        file.sync_data()?;
        offset += group.len() as u64;
    }
    Ok(bodies.len() as f64 / start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("name a directory to write to")?;
    let mut out = std::io::stdout().lock();
    let start = Instant::now();
    for number in 0..200_000 {
        black_box(body(number));
    }
    writeln!(
        out,
        "encode a record of {} bytes: {:.2?}",
        body(0).as_bytes().len(),
        start.elapsed() / 200_000
    )?;
    for (name, sync, count) in
        [("interval", SyncMode::default(), 100_000_u64), ("always", SyncMode::Always, 20_000)]
    {
        for tasks in [1, 16, 64] {
            let count = if sync == SyncMode::Always && tasks == 1 { count / 10 } else { count };
            let path = Path::new(&directory).join(format!("{name}-{tasks}"));
            let options = FileLogOptions { sync, ..FileLogOptions::new("node-1".parse()?) };
            let key = Arc::new(AuditSigningKey::make(&SystemRandom));
            let bodies: Vec<RecordBody> = (0..count).map(body).collect();
            let floor = match sync {
                SyncMode::Always => Some(floor(&path.with_extension("floor"), &bodies, tasks)?),
                SyncMode::Interval(_) => None,
            };
            let log = FileLog::open(Arc::new(RealDisk::open_directory(&path)?), options, key, None)?;
            std::thread::sleep(Duration::from_millis(500));
            let chunk = bodies.len() / tasks;
            let log_ref = &log;
            let mut pool = LocalPool::new();
            let mut waits = Vec::new();
            let start = Instant::now();
            {
                let work = bodies.chunks(chunk).map(|bodies| async move {
                    let mut waits = Vec::with_capacity(bodies.len());
                    for body in bodies {
                        let start = Instant::now();
                        log_ref.append(body.clone()).await?;
                        waits.push(start.elapsed());
                    }
                    Ok::<_, coffer_audit::AuditError>(waits)
                });
                let mut work: Vec<_> = work.map(Box::pin).collect();
                let mut done = 0;
                // Polls whatever is pending, as a runtime with one thread would under load.
                pool.run_until(std::future::poll_fn(|context| {
                    work.retain_mut(|task| match task.as_mut().poll(context) {
                        std::task::Poll::Ready(Ok(mut more)) => {
                            waits.append(&mut more);
                            done += 1;
                            false
                        }
                        std::task::Poll::Ready(Err(_)) => false,
                        std::task::Poll::Pending => true,
                    });
                    if work.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                }));
            }
            let took = start.elapsed();
            waits.sort_unstable();
            let at =
                |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
            let rate = waits.len() as f64 / took.as_secs_f64();
            let beside = floor.map(|floor| format!("; {:.2} × the floor of {floor:.0}/s", rate / floor));
            writeln!(
                out,
                "{name}, {tasks} at once: {rate:.0} appends/s, {:.2?} each; p50 {:.1?}, p99 {:.1?}, max {:.1?}{}",
                took / waits.len().max(1) as u32,
                at(0.5),
                at(0.99),
                at(0.9999),
                beside.unwrap_or_default(),
            )?;
            block_on(log.close(Timestamp::from_millis(0)))?;
        }
    }
    Ok(())
}
