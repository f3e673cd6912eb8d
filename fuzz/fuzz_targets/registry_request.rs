//! Requests to the embedded registry: any method, path, query and headers get a response that keeps the
//! contract, a refused request changes nothing, and clients see only what they may read.
//!
//! The bytes are a letter for the settings, and then a request as text, see `request_text.rs`. `$` and a letter
//! name what the registry holds, and the words of its paths.

#![no_main]

mod edge;
mod request_text;
mod stock;

use std::{
    ops::Range,
    sync::{LazyLock, Mutex},
};

use axum::body::Bytes;
use http::{
    HeaderName, Method, StatusCode,
    header::{
        AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK,
        LOCATION, RANGE,
    },
};
use libfuzzer_sys::{Corpus, fuzz_target};
use oci::Digest;
use registry::{Access, NamedText, Registry, RegistrySettings, Storage};

use self::{
    edge::{DOCKER_CONTENT_DIGEST, RegistryResponse, respond, send},
    request_text::ParsedRequest,
    stock::{Names, STOCK, expanded},
};

/// Both have the password `x`.
const USERS: &str = "alice:$2y$04$WR1Bz6ku1lDxDTI2CdX14eA7TvtHM2mwVwJanWJr4TCshFrRiEz8y\n\
                     bob:$2y$04$.M.GtonyqqrBv5oAUD4bw.tI0dbNnDRjBeiyNzc5smWZv4llQGwwW\n";
/// As the two send it.
const CREDENTIALS: [(u8, &str); 2] = [(b'1', "YWxpY2U6eA=="), (b'2', "Ym9iOng=")];
const RIGHTS: &str = "rules:\n\
    - {users: [anonymous], repositories: [\"a/**\"], rights: [pull, push]}\n\
    - {users: [alice], repositories: [\"**\"], rights: [pull, push]}\n\
    - {users: [bob], repositories: [\"**\"], rights: [pull]}\n";
/// In repository `hidden`, for the two alone where there are rights.
const SECRET: &[u8] = b"only its owner may read it";

/// Of which paths are made.
const WORDS: [(u8, &str); 7] = [
    (b'B', "blobs"),
    (b'C', "_catalog"),
    (b'M', "manifests"),
    (b'R', "referrers"),
    (b'T', "tags/list"),
    (b'U', "blobs/uploads/"),
    (b'h', "hidden"),
];

/// More pages than there are names.
const MAX_PAGES: usize = 10;

/// What it holds before the first request.
static STOCKED: LazyLock<Vec<Bytes>> = LazyLock::new(|| FuzzedRegistry::new(0).content());

/// By the letter, as an earlier run left them: to fill a registry takes longer than a request.
static PLACES: Mutex<[Option<FuzzedRegistry>; 32]> = Mutex::new([const { None }; 32]);

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((flags, text)) = bytes.split_first() else { return Corpus::Reject };
    let slot = usize::from(flags % 32);
    let place = PLACES.lock().expect("no panic was survived")[slot].take();
    let place = place.unwrap_or_else(|| FuzzedRegistry::new(*flags));
    let request = ParsedRequest::parse(&expanded(text, &place.names));
    if request.as_ref().is_none_or(|request| leaves_all(request, &place)) {
        PLACES.lock().expect("no panic was survived")[slot] = Some(place);
    }
    if request.is_some() { Corpus::Keep } else { Corpus::Reject }
});

/// Sends a request. Whether the registry is as it was before; a refused request of an upload may end the upload.
fn leaves_all(request: &ParsedRequest, place: &FuzzedRegistry) -> bool {
    let before = place.current(request.target.path());
    let response = respond(&place.registry, request.to_http());
    check_conditions(request, before, &response);
    check_reading(request, &response);
    check_head(request, place, &response);
    check_pages(request, place, &response);
    check_writing(request, place, &response);
    if place.is_guarded && !may_know(request) {
        check_secrecy(request, &response);
    }
    let is_of_upload = request.target.path().contains("uploads");
    request.is_reading() || (response.status.is_client_error() && !is_of_upload)
}

/// A registry with content, and one without rules on the same storage to look behind it.
struct FuzzedRegistry {
    registry: Registry,
    open: Registry,
    names: Names,
    is_guarded: bool,
}

impl FuzzedRegistry {
    fn new(flags: u8) -> Self {
        let is = |bit: u8| flags & bit != 0;
        let settings = RegistrySettings {
            google_listing: is(2),
            read_only: is(4),
            immutable_tags: is(8),
            allow_missing_references: is(16),
            ..RegistrySettings::default()
        };
        let storage = Storage::memory();
        let open = Registry::new(storage.clone());
        STOCK.fill(&open);
        let secret = Digest::sha256(SECRET);
        for name in ["hidden", "hidden/below"] {
            let line = format!("POST /v2/{name}/blobs/uploads/?digest={secret}");
            assert_eq!(send(&open, &line, SECRET).status, 201);
        }
        let users = NamedText { name: "users", text: USERS };
        let rights = NamedText { name: "rights", text: RIGHTS };
        let access = is(1).then(|| Access::new(users, Some(rights)).expect("they are right"));
        let registry = Registry::with(storage, settings, access);
        let mut names = STOCK.names.clone();
        names.extend(WORDS.map(|(letter, word)| (letter, word.to_owned())));
        names.extend(CREDENTIALS.map(|(letter, text)| (letter, format!("Basic {text}"))));
        names.push((b's', secret.to_string()));
        names.push((b'u', session(&registry)));
        Self { registry, open, names, is_guarded: is(1) }
    }

    /// The entity tag of the manifest at this path: empty where there is none, and nothing where it is
    /// the path of something else.
    fn current(&self, path: &str) -> Option<String> {
        let reference = path.strip_prefix("/v2/a/manifests/").filter(|path| !path.contains('%'))?;
        let mut known = STOCK.manifests.iter().zip(&STOCK.manifest_digests);
        let found = known.find(|((letter, ..), digest)| {
            reference.as_bytes() == [*letter] || reference == digest.to_string()
        });
        Some(found.map(|(_, digest)| format!("\"{digest}\"")).unwrap_or_default())
    }

    /// The content that the registry lists.
    fn content(&self) -> Vec<Bytes> {
        let paths = ["$C", "a/$T", "a/$M/i", "a/$R/$i", "a/$B/$b", "hidden/$B/$s"];
        let read = |path| {
            let path = expanded(path, &self.names);
            send(&self.open, &format!("GET /v2/{}", String::from_utf8_lossy(&path)), "").body
        };
        paths.map(str::as_bytes).map(read).into()
    }
}

/// The id of an upload session that has all of blob `b`; of none where nothing is written.
fn session(registry: &Registry) -> String {
    let begun = send(registry, "POST /v2/a/blobs/uploads/", "");
    let location = begun.text(&LOCATION);
    let Some((_, id)) = location.rsplit_once('/') else { return "0".repeat(32) };
    let (_, _, content) = &STOCK.blobs[0];
    assert_eq!(send(registry, &format!("PATCH {location}"), content.clone()).status, 202);
    id.to_owned()
}

/// Whether it has the password of a user.
fn may_know(request: &ParsedRequest) -> bool {
    let sent = request.headers.get_all(AUTHORIZATION).iter().filter_map(|text| text.to_str().ok());
    sent.into_iter().any(|text| CREDENTIALS.iter().any(|(_, known)| text.contains(known)))
}

/// What was done or refused, was so as the conditions have it (RFC 9110 §13.2.2). When something was
/// written, they are about what was there before.
fn check_conditions(request: &ParsedRequest, before: Option<String>, response: &RegistryResponse) {
    let failed = response.status == StatusCode::PRECONDITION_FAILED;
    let tag = response.text(&ETAG).to_owned();
    let current = match request.is_reading() {
        true if tag.is_empty() => return,
        true => tag,
        false if failed => tag,
        false => match before {
            Some(before) => before,
            None => return,
        },
    };
    let is_it = |tag: &str| !current.is_empty() && (tag == "*" || tag == current);
    let is_it_weakly =
        |tag: &str| is_it(tag.strip_prefix("W/").filter(|tag| tag.starts_with('"')).unwrap_or(tag));
    let matches = request.list(&IF_MATCH);
    let matches = matches.is_none_or(|tags| tags.iter().any(|tag| is_it(tag)));
    let is_known = request.list(&IF_NONE_MATCH);
    let is_known = is_known.is_some_and(|tags| tags.iter().any(|tag| is_it_weakly(tag)));
    match response.status {
        status if status.is_success() => assert!(matches && !is_known, "{response:?}"),
        StatusCode::NOT_MODIFIED => assert!(matches && is_known, "{response:?}"),
        _ if failed => {
            assert!(!matches || (is_known && !request.is_reading()), "{response:?}");
        }
        _ => {}
    }
}

/// Only requests that read get content, and a part is the requested part.
fn check_reading(request: &ParsedRequest, response: &RegistryResponse) {
    match response.status {
        StatusCode::PARTIAL_CONTENT => {
            assert_eq!(request.method, Method::GET, "{response:?}");
            check_part(request.headers.get(RANGE).expect("it has one").as_bytes(), response);
        }
        StatusCode::OK | StatusCode::NOT_MODIFIED => assert!(request.is_reading(), "{response:?}"),
        _ => {}
    }
}

fn check_part(requested: &[u8], response: &RegistryResponse) {
    let digest = response.text(&DOCKER_CONTENT_DIGEST);
    let whole = content_of(digest.parse().expect("it is a digest")).expect("it is a blob");
    let part = part(requested, whole.len()).expect("it is a range that counts");
    let range = format!("bytes {}-{}/{}", part.start, part.end - 1, whole.len());
    assert_eq!(response.text(&CONTENT_RANGE), range, "{response:?}");
    assert_eq!(response.body, whole[part], "{response:?}");
}

/// The part of so many bytes that a `Range` of one interval requests, if any.
fn part(requested: &[u8], size: usize) -> Option<Range<usize>> {
    let (first, last) = str::from_utf8(requested).ok()?.strip_prefix("bytes=")?.split_once('-')?;
    // A number that is too large for us is beyond the end.
    let number = |text: &str| text.parse().unwrap_or(usize::MAX);
    let part = match (first, last) {
        ("", last) => size.saturating_sub(number(last))..size,
        (first, "") => number(first)..size,
        (first, last) => number(first)..number(last).saturating_add(1).min(size),
    };
    (part.start < part.end).then_some(part)
}

/// The blob that was pushed under this digest.
fn content_of(digest: Digest) -> Option<&'static [u8]> {
    let stocked = STOCK.blobs.iter().find(|(_, of, _)| *of == digest);
    let stocked = stocked.map(|(_, _, content)| content.as_slice());
    stocked.or_else(|| digest.matches(SECRET).then_some(SECRET))
}

/// The response to HEAD is that to GET, and states the length of the body.
fn check_head(request: &ParsedRequest, place: &FuzzedRegistry, response: &RegistryResponse) {
    if request.method != Method::HEAD {
        return;
    }
    let mut get = ParsedRequest { method: Method::GET, ..request.clone() };
    // With HEAD it means nothing.
    get.headers.remove(RANGE);
    let mut get = respond(&place.registry, get.to_http());
    if !matches!(get.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        get.headers.insert(CONTENT_LENGTH, get.body.len().into());
    }
    assert_eq!((response.status, &response.headers), (get.status, &get.headers));
}

/// `Link` leads from page to page, and to an end.
fn check_pages(request: &ParsedRequest, place: &FuzzedRegistry, response: &RegistryResponse) {
    let mut link = response.text(&LINK).to_owned();
    for _ in 0..MAX_PAGES {
        if link.is_empty() {
            return;
        }
        let next = link.strip_prefix("<").and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let next = next.unwrap_or_else(|| panic!("no link: {link}"));
        assert!(next.starts_with("/v2/"), "{link}");
        let page = respond(&place.registry, request.follow(next).to_http());
        assert_eq!(page.status, 200, "{link}");
        let applied = HeaderName::from_static("oci-filters-applied");
        assert_eq!(page.text(&applied), response.text(&applied), "{link}");
        link = page.text(&LINK).to_owned();
    }
    panic!("no end: {link}");
}

/// What was created is there, what was deleted is not, and what was refused changed nothing.
fn check_writing(request: &ParsedRequest, place: &FuzzedRegistry, response: &RegistryResponse) {
    let follow = || respond(&place.registry, request.follow(response.text(&LOCATION)).to_http());
    match response.status {
        StatusCode::CREATED => {
            let found = follow();
            assert_eq!(found.status, 200, "{response:?}");
            let [now, then] =
                [&found, response].map(|response| response.text(&DOCKER_CONTENT_DIGEST));
            assert_eq!(now, then, "{response:?}");
        }
        StatusCode::ACCEPTED if response.headers.contains_key(LOCATION) => {
            assert_eq!(follow().status, 204, "{response:?}");
        }
        StatusCode::ACCEPTED | StatusCode::NO_CONTENT if !request.is_reading() => {
            assert_eq!(request.method, Method::DELETE, "{response:?}");
            let is_content = response.headers.contains_key(DOCKER_CONTENT_DIGEST);
            assert_eq!(is_content, response.status == StatusCode::ACCEPTED, "{response:?}");
            assert_eq!(respond(&place.registry, request.to_http()).status, 404, "{response:?}");
        }
        status if status.is_client_error() && !request.is_reading() => {
            assert!(place.content() == *STOCKED, "{response:?}");
        }
        _ => {}
    }
}

/// The response has nothing that only the users may read.
fn check_secrecy(request: &ParsedRequest, response: &RegistryResponse) {
    if request.body == SECRET {
        return;
    }
    let secret = Digest::sha256(SECRET);
    assert_ne!(response.text(&DOCKER_CONTENT_DIGEST), secret.to_string(), "{response:?}");
    if response.status.is_success() {
        let body = String::from_utf8_lossy(&response.body);
        assert!(!body.contains("hidden"), "{response:?}");
    }
}
