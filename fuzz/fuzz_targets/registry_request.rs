//! Requests to the embedded registry: any method, path, query and headers get an answer that keeps the
//! contract's promises, what is refused changes nothing, and nobody sees what they may not.
//!
//! The bytes are a letter for the settings, and then a request as text, see `asked.rs`. `$` and a letter
//! name what the registry holds, and the words of its paths.

#![no_main]

mod asked;
mod edge;
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
    asked::ParsedRequest,
    edge::{DOCKER_CONTENT_DIGEST, RegistryResponse, ask, send},
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
const SECRET: &[u8] = b"nobody else may read this";

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

/// What it holds before anything is asked.
static STOCKED: LazyLock<Vec<Bytes>> = LazyLock::new(|| Place::new(0).content());

/// By the letter, as an earlier run left them: to fill a registry takes longer than to ask it.
static PLACES: Mutex<[Option<Place>; 32]> = Mutex::new([const { None }; 32]);

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((flags, text)) = bytes.split_first() else { return Corpus::Reject };
    let slot = usize::from(flags % 32);
    let place = PLACES.lock().expect("no panic was survived")[slot].take();
    let place = place.unwrap_or_else(|| Place::new(*flags));
    let asked = ParsedRequest::parse(&expanded(text, &place.names));
    if asked.as_ref().is_none_or(|asked| leaves_all(asked, &place)) {
        PLACES.lock().expect("no panic was survived")[slot] = Some(place);
    }
    if asked.is_some() { Corpus::Keep } else { Corpus::Reject }
});

/// Asks it. Whether all is as it was then; what is refused of an upload may end it.
fn leaves_all(asked: &ParsedRequest, place: &Place) -> bool {
    let before = place.current(asked.target.path());
    let answer = ask(&place.registry, asked.request());
    check_conditions(asked, before, &answer);
    check_reading(asked, &answer);
    check_head(asked, place, &answer);
    check_pages(asked, place, &answer);
    check_writing(asked, place, &answer);
    if place.is_guarded && !may_know(asked) {
        check_secrecy(asked, &answer);
    }
    let is_of_upload = asked.target.path().contains("uploads");
    asked.is_reading() || (answer.status.is_client_error() && !is_of_upload)
}

/// A registry with content, and one without rules on the same storage to look behind it.
struct Place {
    registry: Registry,
    open: Registry,
    names: Names,
    is_guarded: bool,
}

impl Place {
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

    /// What the registry holds, as it tells it.
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

/// Whether it has the password of somebody.
fn may_know(asked: &ParsedRequest) -> bool {
    let sent = asked.headers.get_all(AUTHORIZATION).iter().filter_map(|text| text.to_str().ok());
    sent.into_iter().any(|text| CREDENTIALS.iter().any(|(_, known)| text.contains(known)))
}

/// What was done or refused, was so as the conditions have it (RFC 9110 §13.2.2). When something was
/// written, they are about what was there before.
fn check_conditions(asked: &ParsedRequest, before: Option<String>, answer: &RegistryResponse) {
    let failed = answer.status == StatusCode::PRECONDITION_FAILED;
    let tag = answer.text(&ETAG).to_owned();
    let current = match asked.is_reading() {
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
    let matches = asked.list(&IF_MATCH);
    let matches = matches.is_none_or(|tags| tags.iter().any(|tag| is_it(tag)));
    let is_known = asked.list(&IF_NONE_MATCH);
    let is_known = is_known.is_some_and(|tags| tags.iter().any(|tag| is_it_weakly(tag)));
    match answer.status {
        status if status.is_success() => assert!(matches && !is_known, "{answer:?}"),
        StatusCode::NOT_MODIFIED => assert!(matches && is_known, "{answer:?}"),
        _ if failed => {
            assert!(!matches || (is_known && !asked.is_reading()), "{answer:?}");
        }
        _ => {}
    }
}

/// Only who reads is shown something, and a part is the part that was asked for.
fn check_reading(asked: &ParsedRequest, answer: &RegistryResponse) {
    match answer.status {
        StatusCode::PARTIAL_CONTENT => {
            assert_eq!(asked.method, Method::GET, "{answer:?}");
            check_part(asked.headers.get(RANGE).expect("it has one").as_bytes(), answer);
        }
        StatusCode::OK | StatusCode::NOT_MODIFIED => assert!(asked.is_reading(), "{answer:?}"),
        _ => {}
    }
}

fn check_part(asked: &[u8], answer: &RegistryResponse) {
    let digest = answer.text(&DOCKER_CONTENT_DIGEST);
    let whole = content_of(digest.parse().expect("it is a digest")).expect("it is a blob");
    let part = part(asked, whole.len()).expect("it is a range that counts");
    let range = format!("bytes {}-{}/{}", part.start, part.end - 1, whole.len());
    assert_eq!(answer.text(&CONTENT_RANGE), range, "{answer:?}");
    assert_eq!(answer.body, whole[part], "{answer:?}");
}

/// What a `Range` of one interval asks of so many bytes, if it is any of them.
fn part(asked: &[u8], size: usize) -> Option<Range<usize>> {
    let (first, last) = str::from_utf8(asked).ok()?.strip_prefix("bytes=")?.split_once('-')?;
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

/// HEAD answers as GET does, and says how long the body would be.
fn check_head(asked: &ParsedRequest, place: &Place, answer: &RegistryResponse) {
    if asked.method != Method::HEAD {
        return;
    }
    let mut get = ParsedRequest { method: Method::GET, ..asked.clone() };
    // With HEAD it means nothing.
    get.headers.remove(RANGE);
    let mut get = ask(&place.registry, get.request());
    if !matches!(get.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        get.headers.insert(CONTENT_LENGTH, get.body.len().into());
    }
    assert_eq!((answer.status, &answer.headers), (get.status, &get.headers));
}

/// `Link` leads from page to page, and to an end.
fn check_pages(asked: &ParsedRequest, place: &Place, answer: &RegistryResponse) {
    let mut link = answer.text(&LINK).to_owned();
    for _ in 0..MAX_PAGES {
        if link.is_empty() {
            return;
        }
        let next = link.strip_prefix("<").and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let next = next.unwrap_or_else(|| panic!("no link: {link}"));
        assert!(next.starts_with("/v2/"), "{link}");
        let page = ask(&place.registry, asked.follow(next).request());
        assert_eq!(page.status, 200, "{link}");
        let applied = HeaderName::from_static("oci-filters-applied");
        assert_eq!(page.text(&applied), answer.text(&applied), "{link}");
        link = page.text(&LINK).to_owned();
    }
    panic!("no end: {link}");
}

/// What was created is there, what was deleted is not, and what was refused changed nothing.
fn check_writing(asked: &ParsedRequest, place: &Place, answer: &RegistryResponse) {
    let follow = || ask(&place.registry, asked.follow(answer.text(&LOCATION)).request());
    match answer.status {
        StatusCode::CREATED => {
            let found = follow();
            assert_eq!(found.status, 200, "{answer:?}");
            let [now, then] = [&found, answer].map(|answer| answer.text(&DOCKER_CONTENT_DIGEST));
            assert_eq!(now, then, "{answer:?}");
        }
        StatusCode::ACCEPTED if answer.headers.contains_key(LOCATION) => {
            assert_eq!(follow().status, 204, "{answer:?}");
        }
        StatusCode::ACCEPTED | StatusCode::NO_CONTENT if !asked.is_reading() => {
            assert_eq!(asked.method, Method::DELETE, "{answer:?}");
            let is_content = answer.headers.contains_key(DOCKER_CONTENT_DIGEST);
            assert_eq!(is_content, answer.status == StatusCode::ACCEPTED, "{answer:?}");
            assert_eq!(ask(&place.registry, asked.request()).status, 404, "{answer:?}");
        }
        status if status.is_client_error() && !asked.is_reading() => {
            assert!(place.content() == *STOCKED, "{answer:?}");
        }
        _ => {}
    }
}

/// Nothing of what only the users may read is in the answer.
fn check_secrecy(asked: &ParsedRequest, answer: &RegistryResponse) {
    if asked.body == SECRET {
        return;
    }
    let secret = Digest::sha256(SECRET);
    assert_ne!(answer.text(&DOCKER_CONTENT_DIGEST), secret.to_string(), "{answer:?}");
    if answer.status.is_success() {
        let body = String::from_utf8_lossy(&answer.body);
        assert!(!body.contains("hidden"), "{answer:?}");
    }
}
