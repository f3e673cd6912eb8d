//! A part of an upload, and what the contract says becomes of it.

use std::io;

use axum::body::{Body, Bytes};
use futures_util::stream;
use http::{
    HeaderValue, Request,
    header::{CONTENT_LENGTH, CONTENT_RANGE},
};
use oci::Algorithm;
use registry::limits::BATCH_BYTES;

/// The longest blob: two of the batches that the registry writes at once, and a little.
pub const MAX_BLOB_BYTES: usize = 600 << 10;
/// A frame of a large body.
const LARGE_BYTES: usize = 100 << 10;
/// How many bytes are missing where a body breaks off.
const LOST_BYTES: u64 = 7;

/// How a step of an upload is done.
#[derive(Clone, Copy)]
pub struct How {
    /// The session that it is about.
    pub slot: usize,
    pub algorithm: Algorithm,
    pub says_length: bool,
    pub in_frames: bool,
    pub breaks: bool,
}

impl How {
    pub fn of(flags: u8) -> Self {
        let is = |bit: u8| flags & bit != 0;
        Self {
            slot: usize::from(flags & 3),
            algorithm: if is(4) { Algorithm::Sha512 } else { Algorithm::Sha256 },
            says_length: is(8),
            in_frames: is(16),
            breaks: is(32),
        }
    }
}

/// A body, and what is said of it.
pub struct Chunk {
    pub how: How,
    frames: Vec<Bytes>,
    range: Option<HeaderValue>,
}

/// What becomes of a chunk.
pub struct ChunkResult {
    pub status: u16,
    /// How many bytes of it the session has then; none where the registry may choose.
    pub stays: Option<usize>,
}

impl Chunk {
    /// From `<Content-Range> <body>`; see [`Self::with_range`].
    pub fn new(how: How, text: &[u8], received: usize) -> Self {
        let middle = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        let (range, body) = (&text[..middle], text.get(middle + 1..).unwrap_or_default());
        let frame_bytes = if how.in_frames { 3 } else { body.len().max(1) };
        let frames = body.chunks(frame_bytes).map(Bytes::copy_from_slice).collect();
        Self { how, frames, range: None }.with_range(range, received)
    }

    /// So many frames, each of which is long.
    pub fn large(how: How, frames: usize, range: &[u8], received: usize) -> Self {
        let frames = (b'a'..).take(frames).map(|byte| Bytes::from(vec![byte; LARGE_BYTES]));
        Self { how, frames: frames.collect(), range: None }.with_range(range, received)
    }

    /// Nothing says nothing, and a dot is the range that a session with so many bytes waits for.
    fn with_range(mut self, range: &[u8], received: usize) -> Self {
        self.range = match range {
            b"" => None,
            b"." => {
                let end = received as u64 + self.length();
                HeaderValue::try_from(format!("{received}-{}", end.saturating_sub(1))).ok()
            }
            range => HeaderValue::from_bytes(range).ok(),
        };
        self
    }

    /// The bytes that come, whether more should or not.
    pub fn bytes(&self) -> Vec<u8> {
        self.frames.concat()
    }

    /// How long it is said to be.
    fn length(&self) -> u64 {
        let lost = if self.how.breaks { LOST_BYTES } else { 0 };
        self.frames.iter().map(|frame| frame.len() as u64).sum::<u64>() + lost
    }

    pub fn request(&self, method: &str, path: &str) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(range) = &self.range {
            request = request.header(CONTENT_RANGE, range);
        }
        if self.how.says_length {
            request = request.header(CONTENT_LENGTH, self.length());
        }
        let frames = self.frames.iter().cloned().map(Ok);
        let end = self.how.breaks.then(|| Err(io::Error::other("it breaks off")));
        let frames: Vec<_> = frames.chain(end).collect();
        request.body(Body::from_stream(stream::iter(frames))).expect("it is a request")
    }

    /// Whether it has a `Content-Range` that can be read.
    pub fn is_placed(&self) -> bool {
        self.range.as_ref().and_then(announced).is_some()
    }

    /// What becomes of it where so many bytes are in.
    pub fn outcome(&self, received: usize) -> ChunkResult {
        let announced = match self.range.as_ref().map(announced) {
            None => None,
            Some(Some((first, length))) if first == received as u64 => Some(length),
            Some(_) => return ChunkResult { status: 416, stays: Some(0) },
        };
        let contradicts = |found: u64| announced.is_some_and(|announced| announced != found);
        if self.how.says_length && contradicts(self.length()) {
            return ChunkResult { status: 400, stays: Some(0) };
        }
        // It is taken in batches; each is held against what was announced, and then against the limit.
        let mut found = 0;
        for batch in self.batches() {
            found += batch;
            if announced.is_some_and(|announced| announced < found as u64) {
                return ChunkResult { status: 400, stays: Some(0) };
            }
            if received + found > MAX_BLOB_BYTES {
                return ChunkResult { status: 413, stays: None };
            }
        }
        let (status, stays) = match () {
            () if self.how.breaks => (400, Some(found)),
            () if contradicts(found as u64) => (400, Some(0)),
            () => (202, Some(found)),
        };
        ChunkResult { status, stays }
    }

    /// The lengths in which the registry takes it.
    fn batches(&self) -> Vec<usize> {
        let mut batches = vec![0];
        for frame in &self.frames {
            if batches.last().is_some_and(|batch| *batch >= BATCH_BYTES) {
                batches.push(0);
            }
            batches.last_mut().into_iter().for_each(|batch| *batch += frame.len());
        }
        batches
    }
}

/// The first byte and the length in `<first>-<last>`.
fn announced(range: &HeaderValue) -> Option<(u64, u64)> {
    let (first, last) = range.to_str().ok()?.split_once('-')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return None;
    }
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    if first > last { None } else { Some((first, (last - first).checked_add(1)?)) }
}
