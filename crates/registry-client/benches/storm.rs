//! A storm of 429s: `cargo bench -p registry-client --bench storm`, two minutes.
//!
//! Many tasks ask a server that takes fewer requests a second than they have, and refuses what is above. Told is
//! what the server saw over time, and how the tasks fared. The client knows nothing of the limit beforehand.

use std::{
    error::Error,
    io::{Write as _, stdout},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use oci::Repository;
use registry_client::RegistryClient;
use testkit::{Body, TestServer};

const TASKS: usize = 200;
/// Requests of each task: all together take two minutes at the server's rate.
const REQUESTS: usize = 30;
/// What the server takes a second.
const RATE: f64 = 50.0;
/// What it takes at once after a pause.
const BURST: f64 = 10.0;
/// How long one line of the table is, in seconds.
const LINE: f64 = 10.0;

/// What the server saw.
#[derive(Default)]
struct Seen(Mutex<State>);

#[derive(Default)]
struct State {
    tokens: f64,
    last: f64,
    /// When each request came, and whether it was taken.
    log: Vec<(f64, bool)>,
}

impl Seen {
    /// Whether a request that comes now is taken.
    fn take(&self, now: f64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.tokens = (seen.tokens + (now - seen.last) * RATE).min(BURST);
        seen.last = now;
        let taken = seen.tokens >= 1.0;
        if taken {
            seen.tokens -= 1.0;
        }
        seen.log.push((now, taken));
        taken
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = stdout();
    for retry_after in [None, Some("1")] {
        let header = retry_after.map_or("without `Retry-After`".to_owned(), |after| {
            format!("with `Retry-After: {after}`")
        });
        writeln!(
            out,
            "\n{TASKS} tasks of {REQUESTS} requests; {RATE} a second are taken, 429 {header}\n"
        )?;
        storm(retry_after, &mut out).await?;
    }
    Ok(())
}

async fn storm(
    retry_after: Option<&'static str>,
    out: &mut impl std::io::Write,
) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let seen = Arc::new(Seen::default());
    let server = {
        let seen = Arc::clone(&seen);
        TestServer::start(move |_| {
            let taken = seen.take(begun.elapsed().as_secs_f64());
            async move {
                let mut response = Response::new(Body::empty());
                if !taken {
                    let headers = response.headers_mut();
                    headers.extend(
                        retry_after.map(|after| (RETRY_AFTER, HeaderValue::from_static(after))),
                    );
                    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                }
                response
            }
        })
        .await
    };
    let repository: Repository = "a".parse()?;
    let repository = RegistryClient::builder().build().repository(&server.host(), &repository);
    let blob = oci::Digest::sha256(b"");
    let tasks = (0..TASKS).map(|_| async {
        let mut longest = Duration::ZERO;
        for _ in 0..REQUESTS {
            let sent = Instant::now();
            repository.find_blob(&blob, 0).await?;
            longest = longest.max(sent.elapsed());
        }
        Ok::<_, registry_client::Error>((begun.elapsed(), longest))
    });
    let done = join_all(tasks).await;
    let failed = done.iter().filter(|task| task.is_err()).count();
    let mut ends: Vec<_> = done.into_iter().flatten().collect();
    ends.sort();
    table(&seen, out)?;
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else {
        return Err("no task was done".into());
    };
    let longest = ends.iter().map(|(_, longest)| *longest).max().unwrap_or_default();
    writeln!(
        out,
        "\n{} tasks done, {failed} failed; the first after {:.1} s, half after {:.1} s, the last after {:.1} s; \
         one request took {:.1} s at most",
        ends.len(),
        first.0.as_secs_f64(),
        ends[ends.len() / 2].0.as_secs_f64(),
        last.0.as_secs_f64(),
        longest.as_secs_f64(),
    )?;
    Ok(())
}

/// What the server saw, line by line.
fn table(seen: &Seen, out: &mut impl std::io::Write) -> std::io::Result<()> {
    let seen = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(out, "| seconds | requests a second | accepted a second | throttled |")?;
    writeln!(out, "|---|---|---|---|")?;
    let end = seen.log.last().map_or(0.0, |(at, _)| *at);
    let mut from = 0.0;
    while from <= end {
        let within = |at: f64| at >= from && at < from + LINE;
        let requests = seen.log.iter().filter(|(at, _)| within(*at)).count();
        let taken = seen.log.iter().filter(|(at, taken)| within(*at) && *taken).count();
        let seconds = LINE.min(end - from).max(0.1);
        writeln!(
            out,
            "| {from:.0}–{:.0} | {:.1} | {:.1} | {:.1} % |",
            from + seconds,
            requests as f64 / seconds,
            taken as f64 / seconds,
            100.0 * (requests - taken) as f64 / (requests as f64).max(1.0),
        )?;
        from += LINE;
    }
    Ok(())
}
