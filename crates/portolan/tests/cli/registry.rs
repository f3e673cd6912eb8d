//! `portolan registry serve`: the program, its files, and `kill -9`.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use http::{Method, Request, Response, StatusCode};
use oci::{Digest, Host};
use tempfile::TempDir;
use testkit::{
    Body,
    fixture::{self, noise},
    get, send,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr},
    task::JoinSet,
};

use crate::harness::{end_of, portolan, run, signal, write};

type Log = Lines<BufReader<ChildStderr>>;
type ClientResponse = Response<bytes::Bytes>;

/// A registry on `directory`, started; its log, and where it listens.
async fn start(directory: &Path, flags: &[&str]) -> (Child, Log, Host) {
    let storage = format!("file://{}", directory.display());
    let arguments = ["registry", "serve", "--listen", "127.0.0.1:0", "--storage", &storage];
    let mut child = portolan(&[&arguments, flags].concat()).spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let host = loop {
        if let Some(address) = event(&mut log).await["address"].as_str() {
            break address.parse().expect("a host");
        }
    };
    (child, log, host)
}

async fn event(log: &mut Log) -> serde_json::Value {
    let line = log.next_line().await.expect("it can be read").expect("there is one more event");
    serde_json::from_str(&line).expect("JSON")
}

async fn ask(
    host: &Host,
    method: Method,
    path: &str,
    body: impl Into<Body>,
) -> std::io::Result<ClientResponse> {
    let manifest = ("content-type", oci::media_type::OCI_MANIFEST);
    let request = Request::builder().method(method).uri(path).header(manifest.0, manifest.1);
    send(host, request.body(body.into()).expect("a request")).await
}

fn header(response: &ClientResponse, name: &str) -> String {
    response.headers()[name].to_str().expect("text").to_owned()
}

/// The content that the registry has acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    blobs: Vec<(Digest, u64)>,
    manifests: Vec<(String, Vec<u8>)>,
    /// The path of a session, how many bytes it said it had, and of what.
    sessions: Vec<(String, u64, u64)>,
}

type Shared = Arc<Mutex<Acknowledged>>;

const BLOB_BYTES: usize = 300_000;

/// Pushes one thing after the other, until the registry stops responding.
async fn push_until_it_dies(host: Host, seed: u64, shared: Shared) -> std::io::Result<()> {
    let lock = || shared.lock().expect("no thread panicked");
    let in_sessions = seed.is_multiple_of(2);
    for at in 0.. {
        let seed = seed * 1_000 + at;
        let bytes = noise(seed, BLOB_BYTES);
        let digest = Digest::sha256(&bytes);
        let uploads = format!("/v2/team/app{}/blobs/uploads/", seed % 3);
        if !in_sessions {
            let pushed =
                ask(&host, Method::POST, &format!("{uploads}?digest={digest}"), bytes).await?;
            assert_eq!(pushed.status(), StatusCode::CREATED);
            lock().blobs.push((digest, seed));
            push_image(&host, seed, &shared).await?;
            continue;
        }
        let session = header(&ask(&host, Method::POST, &uploads, "").await?, "location");
        for chunk in [0..100_000, 100_000..200_000] {
            let patched = ask(&host, Method::PATCH, &session, bytes.slice(chunk.clone())).await?;
            assert_eq!(patched.status(), StatusCode::ACCEPTED);
            let received = chunk.end as u64;
            let mut shared = lock();
            shared.sessions.retain(|(path, ..)| *path != session);
            shared.sessions.push((session.clone(), received, seed));
        }
        // From here on the registry may have ended the session, whether or not we hear of it.
        lock().sessions.retain(|(path, ..)| *path != session);
        let path = format!("{session}?digest={digest}");
        let put = ask(&host, Method::PUT, &path, bytes.slice(200_000..)).await?;
        assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
        lock().blobs.push((digest, seed));
    }
    Ok(())
}

async fn push_image(host: &Host, seed: u64, shared: &Shared) -> std::io::Result<()> {
    let image = fixture::image(seed, 1);
    let name = format!("team/app{}", seed % 3);
    for blob in &image.blobs {
        let path = format!("/v2/{name}/blobs/uploads/?digest={}", blob.descriptor.digest);
        ask(host, Method::POST, &path, blob.bytes.clone()).await?;
    }
    let path = format!("/v2/{name}/manifests/v{seed}");
    // Long, so that many a kill meets it half written.
    let manifest = [&image.bytes[..], &vec![b' '; 1 << 20]].concat();
    let put = ask(host, Method::PUT, &path, manifest.clone()).await?;
    assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
    shared.lock().expect("no thread panicked").manifests.push((path, manifest));
    Ok(())
}

/// Every name of a digest has what it says, and everything else is as the layout says.
fn nothing_is_half_there(directory: &Path) {
    let files = |path: &Path| -> Vec<_> {
        let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let name = |path: &Path| path.file_name().expect("a name").to_str().expect("text").to_owned();
    assert!(files(&directory.join("staging")).is_empty(), "what was half written is gone");
    for path in files(&directory.join("uploads")) {
        let partner = if path.extension().is_some() {
            path.with_extension("")
        } else {
            path.with_extension("session")
        };
        assert!(partner.is_file(), "{} is alone", path.display());
    }
    for repository in files(&directory.join("repositories/team")) {
        for path in files(&repository.join("_blobs")) {
            let bytes = fs::read(&path).expect("it is there");
            assert_eq!(Digest::sha256(&bytes).to_string(), name(&path));
        }
        for path in files(&repository.join("_manifests")) {
            let bytes = fs::read(&path).expect("it is there");
            let line = bytes.iter().position(|byte| *byte == b'\n').expect("a line");
            assert_eq!(Digest::sha256(&bytes[line + 1..]).to_string(), name(&path));
        }
        for path in files(&repository.join("_tags")) {
            let digest = fs::read_to_string(&path).expect("it is there");
            assert!(repository.join("_manifests").join(digest).is_file(), "{}", path.display());
        }
    }
}

async fn all_is_there(host: &Host, acknowledged: &Acknowledged) {
    for (digest, seed) in &acknowledged.blobs {
        let path = format!("/v2/team/app{}/blobs/{digest}", seed % 3);
        let found = get(host, &path).await.expect("a response");
        assert_eq!(Digest::sha256(found.body()), *digest, "{path}");
    }
    for (path, manifest) in &acknowledged.manifests {
        let found = get(host, path).await.expect("a response");
        assert!(found.body() == manifest, "{path}");
    }
}

/// Goes on with every session where it stands, and ends it.
async fn sessions_go_on(host: &Host, sessions: &[(String, u64, u64)]) {
    for (session, received, seed) in sessions {
        let status = get(host, session).await.expect("a response");
        assert_eq!(status.status(), StatusCode::NO_CONTENT, "{session}");
        let range = header(&status, "range");
        let last: u64 = range.trim_start_matches("0-").parse().expect("a number");
        assert!(last + 1 >= *received, "{range} of {received} acknowledged");
        let bytes = noise(*seed, BLOB_BYTES);
        let path = format!("{session}?digest={}", Digest::sha256(&bytes));
        let rest = bytes.slice(usize::try_from(last).expect("it fits") + 1..);
        let put = ask(host, Method::PUT, &path, rest).await.expect("a response");
        assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
    }
}

#[tokio::test]
async fn a_registry_killed_while_eight_push_loses_nothing_that_it_acknowledged() {
    // On a slow machine less is acknowledged before each kill, and more kills are needed.
    const ROUNDS: u64 = 50;
    const MAX_ROUNDS: u64 = 300;
    // A session that was begun when the kill came, and that no client knows of, is kept for an hour.
    const FLAGS: [&str; 2] = ["--max-uploads", "8192"];
    let directory = TempDir::new().expect("a temporary directory");
    let (mut blobs, mut manifests, mut resumed, mut rounds) = (0, 0, 0, 0);
    while rounds < ROUNDS
        || (rounds < MAX_ROUNDS && (blobs <= 50 || manifests <= 50 || resumed <= 5))
    {
        let round = rounds;
        rounds += 1;
        let (mut child, _log, host) = start(directory.path(), &FLAGS).await;
        let shared = Shared::default();
        let mut pushing = JoinSet::new();
        for pusher in 0..8 {
            let seed = round * 8 + pusher;
            pushing.spawn(push_until_it_dies(host.clone(), seed, Arc::clone(&shared)));
        }
        // Any moment will do, and each round has another.
        let moment = Duration::from_micros(u64::from(noise(round, 2)[0]) * 1_500);
        tokio::time::sleep(moment).await;
        child.kill().await.expect("it can be killed");
        while let Some(ended) = pushing.join_next().await {
            // The registry going is no fault; a response that was wrong is.
            let _ = ended.expect("every response was as it should be");
        }
        let acknowledged = std::mem::take(&mut *shared.lock().expect("no thread panicked"));
        let (mut child, _log, host) = start(directory.path(), &FLAGS).await;
        nothing_is_half_there(directory.path());
        all_is_there(&host, &acknowledged).await;
        sessions_go_on(&host, &acknowledged.sessions).await;
        blobs += acknowledged.blobs.len();
        manifests += acknowledged.manifests.len();
        resumed += acknowledged.sessions.len();
        child.kill().await.expect("it can be killed");
    }
    println!(
        "{rounds} kills: {blobs} blobs, {manifests} tagged manifests, {resumed} sessions resumed"
    );
    assert!(blobs > 50 && manifests > 50 && resumed > 5, "too few to show anything");
    // Only abandoned sessions take space, for a limited time.
    let uploads = directory.path().join("uploads");
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    for entry in fs::read_dir(&uploads).expect("it is there") {
        let file = fs::File::open(entry.expect("an entry").path()).expect("it is there");
        file.set_modified(long_ago).expect("it is ours");
    }
    let (mut child, _log, _host) = start(directory.path(), &FLAGS).await;
    assert_eq!(fs::read_dir(uploads).expect("it is there").count(), 0);
    child.kill().await.expect("it can be killed");
}

#[tokio::test]
async fn an_upload_goes_on_after_a_graceful_end() {
    let directory = TempDir::new().expect("a temporary directory");
    let (child, _log, host) = start(directory.path(), &[]).await;
    let started = ask(&host, Method::POST, "/v2/a/blobs/uploads/", "").await.expect("a response");
    let session = header(&started, "location");
    ask(&host, Method::PATCH, &session, "begun").await.expect("a response");
    signal(&child, "TERM").await;
    end_of(child).await.expect(0);
    let (child, _log, host) = start(directory.path(), &[]).await;
    let path = format!("{session}?digest={}", Digest::sha256(b"begun, and done"));
    let put = ask(&host, Method::PUT, &path, ", and done").await.expect("a response");
    assert_eq!(put.status(), StatusCode::CREATED);
    signal(&child, "TERM").await;
    end_of(child).await.expect(0);
}

#[tokio::test]
async fn a_second_registry_on_a_directory_does_not_start() {
    let directory = TempDir::new().expect("a temporary directory");
    let (_child, _log, _host) = start(directory.path(), &[]).await;
    let storage = format!("file://{}", directory.path().display());
    let arguments = ["registry", "serve", "--listen", "127.0.0.1:0", "--storage", &storage];
    let ended = run(&arguments).await.expect(2);
    assert!(ended.stderr.contains("in use by another registry"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_directory_that_no_registry_made_is_refused() {
    let directory = TempDir::new().expect("a temporary directory");
    let photo = directory.path().join("uploads/photo.jpg");
    fs::create_dir(directory.path().join("uploads")).expect("it is made");
    write(&photo, "mine");
    let storage = format!("file://{}", directory.path().display());
    let arguments = ["registry", "serve", "--listen", "127.0.0.1:0", "--storage", &storage];
    for flags in [&[][..], &["--read-only"]] {
        let ended = run(&[&arguments, flags].concat()).await.expect(2);
        for said in ["as the registry's storage", "`uploads`", ".portolan-registry"] {
            assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        }
        assert!(photo.is_file());
    }
    let arguments = ["registry", "serve", "--storage", "file:///proc/portolan"];
    let ended = run(&arguments).await.expect(2);
    assert!(ended.stderr.contains("cannot create `/proc/portolan`"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_registry_in_memory_says_that_its_content_is_lost_at_exit() {
    let mut child =
        portolan(&["registry", "serve", "--listen", "127.0.0.1:0"]).spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let warning = event(&mut log).await;
    assert_eq!(warning["level"], "WARN");
    assert_eq!(
        warning["message"],
        "content is kept in memory and lost at exit; use --storage file:///directory to keep it"
    );
    // From here on it drains on SIGTERM.
    while !event(&mut log).await["address"].is_string() {}
    signal(&child, "TERM").await;
    end_of(child).await.expect(0);
}

#[tokio::test]
async fn what_is_wrong_with_flags_and_files_is_said_before_anything_starts() {
    let directory = TempDir::new().expect("a temporary directory");
    let file =
        |name: &str, text: &str| write(&directory.path().join(name), text).display().to_string();
    let users = file("users", "alice:plain\nbob:{SHA}x\n");
    let rights =
        file("rights.yaml", "rules:\n- {users: [carol], repositories: [a], rights: [own]}\n");
    let pem = file("pem", "nonsense");
    for (flags, said) in [
        (
            &["--htpasswd", &*users, "--rights", &rights, "--tls-cert", &pem, "--tls-key", "/no"][..],
            &["users:1:1: ", "users:2:1: ", "rights.yaml:2:12: ", "rights.yaml:2:48: ", "/no"][..],
        ),
        (&["--rights", &rights], &["--htpasswd"]),
        (&["--htpasswd", &rights], &["rights.yaml:1:1: this is not an htpasswd file; "]),
        (&["--htpasswd", "/nonexistent"], &["/nonexistent"]),
        (&["--tls-cert", &pem], &["--tls-key"]),
        (&["--tls-cert", &pem, "--tls-key", &pem], &["pem", "certificate"]),
        (&["--storage", "file://relative"], &["file:///"]),
        (&["--storage", "s3://bucket"], &["s3://bucket"]),
        (&["--max-blob-size", "1GB"], &["--max-blob-size", "GiB"]),
        (&["--max-uploads", "0"], &["--max-uploads"]),
        (&["--upload-life", "soon"], &["--upload-life", "90s"]),
    ] {
        let arguments = ["registry", "serve", "--listen", "127.0.0.1:0"];
        let ended = run(&[&arguments, flags].concat()).await.expect(2);
        for said in said {
            assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn the_access_log_has_each_request() {
    let directory = TempDir::new().expect("a temporary directory");
    let (_child, mut log, host) = start(directory.path(), &["--access-log"]).await;
    let listed = get(&host, "/v2/a/tags/list?n=5").await.expect("a response");
    let event = event(&mut log).await;
    assert_eq!(event["message"], "request");
    assert_eq!((&event["client"], &event["peer"]), (&"127.0.0.1".into(), &"127.0.0.1".into()));
    assert_eq!(event["method"], "GET");
    assert_eq!(event["path"], "/v2/a/tags/list");
    assert_eq!(event["status"], 404);
    assert_eq!(event["sent"], listed.body().len());
    assert!(event["milliseconds"].is_u64(), "{event}");
    assert!(event.get("user").is_none(), "{event}");
}

/// As `mirror --to` and `store serve` do.
#[tokio::test]
async fn the_url_of_the_storage_is_decoded() {
    let arguments = ["registry", "serve", "--read-only", "--storage", "file:///absent/sp%20ace"];
    let ended = run(&arguments).await.expect(2);
    assert!(ended.stderr.contains("`/absent/sp ace`"), "{}", ended.stderr);
}
