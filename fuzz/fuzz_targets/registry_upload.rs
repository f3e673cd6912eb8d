//! Uploads to the embedded registry: whatever is done in whatever order, it says that it has what a
//! simple model has, and a finished blob is those bytes.
//!
//! Each line is one step: a letter for what is done, one whose bits say how (`@` for none), and what
//! goes with it.

#![no_main]

mod chunk;
mod edge;

use std::collections::HashMap;

use http::{
    HeaderName, StatusCode,
    header::{LOCATION, RANGE},
};
use libfuzzer_sys::fuzz_target;
use oci::{Algorithm, Digest, ErrorBody};
use registry::{Limits, Registry, RegistrySettings, Storage};

use self::{
    chunk::{Chunk, ChunkResult, How, MAX_BLOB_BYTES},
    edge::{DOCKER_CONTENT_DIGEST, RegistryResponse, respond, send},
};

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

const SLOTS: usize = 4;
/// So that some that begin are refused.
const MAX_UPLOADS: usize = 2;
const MAX_STEPS: usize = 64;
/// How many long frames one run may send: they take their time.
const MAX_LARGE: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let mut model = Model::new();
    for line in bytes.split(|byte| *byte == b'\n').take(MAX_STEPS) {
        if let [step, how, text @ ..] = line {
            model.step(*step, How::of(*how), text);
            model.check_sessions();
        }
    }
    model.check_kept();
});

/// A session that is open.
struct Session {
    path: String,
    bytes: Vec<u8>,
}

impl Session {
    fn range(&self) -> String {
        format!("0-{}", self.bytes.len().saturating_sub(1))
    }
}

/// What the registry should hold.
struct Model {
    registry: Registry,
    sessions: [Option<Session>; SLOTS],
    kept: HashMap<Digest, Vec<u8>>,
    large: usize,
}

impl Model {
    fn new() -> Self {
        let limits = Limits {
            max_uploads: MAX_UPLOADS,
            max_blob_bytes: Some(MAX_BLOB_BYTES as u64),
            ..Limits::default()
        };
        let settings = RegistrySettings { limits, ..RegistrySettings::default() };
        let registry = Registry::with(Storage::memory(), settings, None);
        Self { registry, sessions: Default::default(), kept: HashMap::new(), large: 0 }
    }

    fn step(&mut self, step: u8, how: How, text: &[u8]) {
        let received = self.sessions[how.slot].as_ref().map_or(0, |session| session.bytes.len());
        let chunk = |text| Chunk::new(how, text, received);
        match step {
            b's' => self.start(how),
            b'a' => self.append(&chunk(text)),
            b'l' => self.append_large(how, text, received),
            b'f' => self.finish(&chunk(text), true),
            b'w' => self.finish(&chunk(text), false),
            b'n' => self.finish_without_digest(how),
            b'x' => self.cancel(how.slot),
            b'p' => self.push(&chunk(text), true),
            b'q' => self.push(&chunk(text), false),
            b'm' => self.mount(how),
            b'e' => self.use_elsewhere(how),
            _ => {}
        }
    }

    fn append_large(&mut self, how: How, text: &[u8], received: usize) {
        let [frames, range @ ..] = text else { return };
        let frames = usize::from(frames & 7);
        self.large += frames;
        if self.large <= MAX_LARGE {
            self.append(&Chunk::large(how, frames, range, received));
        }
    }

    fn is_full(&self) -> bool {
        self.sessions.iter().flatten().count() >= MAX_UPLOADS
    }

    fn start(&mut self, how: How) {
        self.cancel(how.slot);
        let line = match how.algorithm {
            Algorithm::Sha256 => "POST /v2/a/blobs/uploads/",
            Algorithm::Sha512 => "POST /v2/a/blobs/uploads/?digest-algorithm=sha512",
        };
        let response = send(&self.registry, line, "");
        self.sessions[how.slot] = self.begun(&response);
    }

    /// The session of a response, if there was room for one.
    fn begun(&self, response: &RegistryResponse) -> Option<Session> {
        if self.is_full() {
            assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS, "{response:?}");
            return None;
        }
        assert_eq!(response.status, StatusCode::ACCEPTED, "{response:?}");
        let path = response.text(&LOCATION).to_owned();
        let id = path.strip_prefix("/v2/a/blobs/uploads/").expect("it is in this repository");
        assert_eq!(response.text(&DOCKER_UPLOAD_UUID), id);
        Some(Session { path, bytes: Vec::new() })
    }

    fn append(&mut self, chunk: &Chunk) {
        let Some(session) = &mut self.sessions[chunk.how.slot] else { return };
        let ChunkResult { status, stays } = chunk.outcome(session.bytes.len());
        let response = respond(&self.registry, chunk.request("PATCH", &session.path));
        assert_eq!(response.status, status, "{response:?}");
        take(&self.registry, session, chunk, stays);
        if response.status == StatusCode::ACCEPTED {
            assert_eq!(response.text(&RANGE), session.range());
            assert_eq!(response.text(&LOCATION), session.path);
        }
        check_out_of_order(session, chunk, &response);
    }

    fn finish(&mut self, chunk: &Chunk, is_right: bool) {
        let slot = chunk.how.slot;
        let Some(mut session) = self.sessions[slot].take() else { return };
        let ChunkResult { status, stays } = chunk.outcome(session.bytes.len());
        let whole = [&*session.bytes, &*chunk.bytes()].concat();
        let mut named = whole.clone();
        if !is_right {
            named.push(b'!');
        }
        let digest = Digest::of(chunk.how.algorithm, &named);
        let path = format!("{}?digest={digest}", session.path);
        let response = respond(&self.registry, chunk.request("PUT", &path));
        if status != 202 {
            assert_eq!(response.status, status, "{response:?}");
            take(&self.registry, &mut session, chunk, stays);
            check_out_of_order(&session, chunk, &response);
            self.sessions[slot] = Some(session);
            return;
        }
        let after = send(&self.registry, &format!("GET {}", session.path), "");
        assert_eq!(after.status, StatusCode::NOT_FOUND, "the session is over: {after:?}");
        self.check_end(&response, digest, is_right.then_some(whole));
    }

    /// The end of an upload: a blob that is there, or a digest that was wrong.
    fn check_end(&mut self, response: &RegistryResponse, digest: Digest, content: Option<Vec<u8>>) {
        match content {
            Some(content) => {
                assert_eq!(response.status, StatusCode::CREATED, "{response:?}");
                assert_eq!(response.text(&LOCATION), format!("/v2/a/blobs/{digest}"));
                assert_eq!(response.text(&DOCKER_CONTENT_DIGEST), digest.to_string());
                self.kept.insert(digest, content);
                self.check_blob(digest);
            }
            None => {
                assert_eq!(response.status, StatusCode::BAD_REQUEST, "{response:?}");
                assert_eq!(code(response), "DIGEST_INVALID");
                self.check_blob(digest);
            }
        }
    }

    /// It is there as the model has it, or not at all.
    fn check_blob(&self, digest: Digest) {
        let found = send(&self.registry, &format!("GET /v2/a/blobs/{digest}"), "");
        match self.kept.get(&digest) {
            Some(content) => assert!(found.status == 200 && found.body == content, "{digest}"),
            None => assert_eq!(found.status, StatusCode::NOT_FOUND, "{digest}"),
        }
    }

    fn finish_without_digest(&mut self, how: How) {
        let Some(session) = &self.sessions[how.slot] else { return };
        let response = send(&self.registry, &format!("PUT {}", session.path), "lost");
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{response:?}");
    }

    fn cancel(&mut self, slot: usize) {
        let Some(session) = self.sessions[slot].take() else { return };
        let line = format!("DELETE {}", session.path);
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
            assert_eq!(send(&self.registry, &line, "").status, status);
        }
    }

    /// All in one request.
    fn push(&mut self, chunk: &Chunk, is_right: bool) {
        let content = chunk.bytes();
        let mut named = content.clone();
        if !is_right {
            named.push(b'!');
        }
        let digest = Digest::of(chunk.how.algorithm, &named);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let response = respond(&self.registry, chunk.request("POST", &path));
        if self.is_full() {
            assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS, "{response:?}");
        } else if chunk.how.breaks {
            assert_eq!(code(&response), "BLOB_UPLOAD_INVALID");
            self.check_blob(digest);
        } else {
            self.check_end(&response, digest, is_right.then_some(content));
        }
    }

    /// What is there comes from any repository; for what is not a session begins.
    fn mount(&mut self, how: How) {
        self.cancel(how.slot);
        let any = self.kept.keys().min().copied();
        let absent = Digest::of(how.algorithm, b"of nothing that is there");
        let digest = any.filter(|_| !how.breaks).unwrap_or(absent);
        let from = if how.says_length { "&from=a" } else { "" };
        let line = format!("POST /v2/a/blobs/uploads/?mount={digest}{from}");
        let response = send(&self.registry, &line, "");
        match self.kept.get(&digest).cloned() {
            Some(content) => self.check_end(&response, digest, Some(content)),
            None => self.sessions[how.slot] = self.begun(&response),
        }
    }

    /// A session is one of its repository alone.
    fn use_elsewhere(&self, how: How) {
        let Some(session) = &self.sessions[how.slot] else { return };
        let path = session.path.replace("/a/", "/b/");
        for method in ["GET", "PATCH", "DELETE"] {
            let response = send(&self.registry, &format!("{method} {path}"), "lost");
            assert_eq!(response.status, StatusCode::NOT_FOUND, "{response:?}");
            assert_eq!(code(&response), "BLOB_UPLOAD_UNKNOWN");
        }
    }

    fn check_sessions(&self) {
        for session in self.sessions.iter().flatten() {
            let response = send(&self.registry, &format!("GET {}", session.path), "");
            assert_eq!(response.status, StatusCode::NO_CONTENT, "{response:?}");
            assert_eq!(response.text(&RANGE), session.range());
            assert_eq!(response.text(&LOCATION), session.path);
        }
    }

    fn check_kept(&self) {
        self.kept.keys().for_each(|digest| self.check_blob(*digest));
    }
}

/// Adds to the session what stays of a chunk. Where the registry may choose, it says how much that is:
/// a beginning of the chunk.
fn take(registry: &Registry, session: &mut Session, chunk: &Chunk, stays: Option<usize>) {
    let stays = stays.unwrap_or_else(|| {
        let response = send(registry, &format!("GET {}", session.path), "");
        let range = response.text(&RANGE);
        if range == session.range() {
            return 0;
        }
        let last = range.strip_prefix("0-").and_then(|last| last.parse::<usize>().ok());
        let received = last.expect("it is a range") + 1;
        received.checked_sub(session.bytes.len()).expect("nothing is lost")
    });
    session.bytes.extend_from_slice(&chunk.bytes()[..stays]);
}

/// The response to a chunk out of order gives the offset to continue at.
fn check_out_of_order(session: &Session, chunk: &Chunk, response: &RegistryResponse) {
    if response.status != StatusCode::RANGE_NOT_SATISFIABLE {
        return;
    }
    assert_eq!(code(response), "BLOB_UPLOAD_INVALID");
    if chunk.is_placed() {
        assert_eq!(response.text(&RANGE), session.range());
        assert_eq!(response.text(&LOCATION), session.path);
    }
}

/// Why it was refused.
fn code(response: &RegistryResponse) -> String {
    assert!(response.status.is_client_error(), "{response:?}");
    let body: ErrorBody = serde_json::from_slice(&response.body).expect("it is an error's body");
    body.errors[0].code.clone()
}
