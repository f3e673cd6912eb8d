//! Requests to the embedded registry: any method, path, query and headers get an answer that keeps the
//! contract's promises, what is refused changes nothing, and nobody sees what they may not.
//!
//! The bytes are a letter for the settings, and then a request as text: method and target, header
//! lines, an empty line, the body. `$` and a letter name what the registry holds.

#![no_main]

mod edge;
mod stock;

use std::{
    ops::Range,
    sync::{LazyLock, Mutex},
};

use axum::body::{Body, Bytes};
use http::{
    HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_RANGE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION, RANGE},
};
use libfuzzer_sys::{Corpus, fuzz_target};
use oci::Digest;
use registry::{Access, NamedText, Registry, Settings, Storage};

use self::{
    edge::{Answer, DOCKER_CONTENT_DIGEST, ask, send},
    stock::{Names, STOCK, expanded},
};

/// Both have the password `x`.
const USERS: &str = "alice:$2y$04$WR1Bz6ku1lDxDTI2CdX14eA7TvtHM2mwVwJanWJr4TCshFrRiEz8y\n\
                     bob:$2y$04$.M.GtonyqqrBv5oAUD4bw.tI0dbNnDRjBeiyNzc5smWZv4llQGwwW\n";
/// `Authorization` as the two send it, after the scheme.
const CREDENTIALS: [&str; 2] = ["YWxpY2U6eA==", "Ym9iOng="];
const RIGHTS: &str = "rules:\n\
    - {users: [anonymous], repositories: [\"a/**\"], rights: [pull, push]}\n\
    - {users: [alice], repositories: [\"**\"], rights: [pull, push]}\n\
    - {users: [bob], repositories: [\"**\"], rights: [pull]}\n";
/// In repository `hidden`, for the two alone where there are rights.
const SECRET: &[u8] = b"nobody else may read this";

/// More pages than there are names.
const MAX_PAGES: usize = 10;

/// What it holds before anything is asked.
static STOCKED: LazyLock<Vec<Bytes>> = LazyLock::new(|| Place::new(0).content());

/// By the letter, as an earlier run left them: to fill a registry takes longer than to ask it.
static PLACES: Mutex<[Option<Place>; 32]> = Mutex::new([const { None }; 32]);

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((flags, text)) = bytes.split_first() else { return Corpus::Reject };
    let Some(asked) = Asked::parse(text) else { return Corpus::Reject };
    let slot = usize::from(flags % 32);
    let place = PLACES.lock().expect("no panic was survived")[slot].take();
    let place = place.unwrap_or_else(|| Place::new(*flags));
    let Some(request) = asked.request(&place.names) else { return Corpus::Reject };
    let current = place.current(request.uri().path());
    let answer = ask(&place.registry, request);
    check_conditions(&asked, &place.names, current, &answer);
    check_reading(&asked, &answer);
    check_pages(&asked, &place, &answer);
    check_writing(&asked, &place, &answer);
    if place.is_guarded && !asked.may_know() {
        check_secrecy(&asked, &answer);
    }
    if asked.leaves_all(&answer) {
        PLACES.lock().expect("no panic was survived")[slot] = Some(place);
    }
    Corpus::Keep
});

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
        let settings = Settings {
            google_listing: is(2),
            read_only: is(4),
            immutable_tags: is(8),
            allow_missing_references: is(16),
            ..Settings::default()
        };
        let storage = Storage::memory();
        let open = Registry::new(storage.clone());
        STOCK.fill(&open);
        let secret = Digest::sha256(SECRET);
        let line = format!("POST /v2/hidden/blobs/uploads/?digest={secret}");
        assert_eq!(send(&open, &line, SECRET).status, 201);
        let users = NamedText { name: "users", text: USERS };
        let rights = NamedText { name: "rights", text: RIGHTS };
        let access = is(1).then(|| Access::new(users, Some(rights)).expect("they are right"));
        let registry = Registry::with(storage, settings, access);
        let mut names = STOCK.names.clone();
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
        let paths =
            ["a/tags/list", "a/manifests/i", "a/referrers/$i", "a/blobs/$b", "hidden/blobs/$s"];
        let read = |path| {
            let path = expanded(path, &self.names);
            send(&self.open, &format!("GET /v2/{}", String::from_utf8_lossy(&path)), "").body
        };
        paths.map(str::as_bytes).map(read).into()
    }
}

/// The id of an upload session with five bytes in it; of none where nothing is written.
fn session(registry: &Registry) -> String {
    let begun = send(registry, "POST /v2/a/blobs/uploads/", "");
    let location = begun.text(&LOCATION);
    let Some((_, id)) = location.rsplit_once('/') else { return "0".repeat(32) };
    assert_eq!(send(registry, &format!("PATCH {location}"), "01234").status, 202);
    id.to_owned()
}

/// A request as text, with names in it.
struct Asked<'a> {
    method: Method,
    target: &'a [u8],
    headers: Vec<(HeaderName, &'a [u8])>,
    body: &'a [u8],
}

impl<'a> Asked<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let (line, mut rest) = split(text, b'\n')?;
        let (method, target) = split(line, b' ')?;
        let method = Method::from_bytes(method).ok()?;
        let mut headers = Vec::new();
        let body = loop {
            let Some((line, more)) = split(rest, b'\n') else { break rest };
            rest = more;
            if line.is_empty() {
                break rest;
            }
            let (name, value) = split(line, b':')?;
            headers.push((HeaderName::from_bytes(name).ok()?, value.trim_ascii()));
        };
        Some(Self { method, target, headers, body })
    }

    fn request(&self, names: &Names) -> Option<Request<Body>> {
        let uri = Uri::try_from(expanded(self.target, names)).ok()?;
        let mut request = Request::new(Body::from(expanded(self.body, names)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(&expanded(value, names)).ok()?;
            request.headers_mut().append(name.clone(), value);
        }
        Some(request)
    }

    /// The members of a header that is a list; a line that is no text is one that says nothing.
    fn list(&self, header: &HeaderName, names: &Names) -> Option<Vec<String>> {
        let lines = self.headers.iter().filter(|(name, _)| name == header);
        let lines: Vec<_> = lines.map(|(_, value)| text(&expanded(value, names))).collect();
        let members = lines.iter().flat_map(|line| line.split(','));
        let members = members.map(|member| member.trim().to_owned()).collect();
        (!lines.is_empty()).then_some(members)
    }

    fn value(&self, header: &HeaderName) -> Option<&'a [u8]> {
        self.headers.iter().find(|(name, _)| name == header).map(|(_, value)| *value)
    }

    fn is_reading(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// Whether all is as it was, after this answer. What is refused of an upload may end it.
    fn leaves_all(&self, answer: &Answer) -> bool {
        let is_of_upload = self.target.windows(7).any(|part| part == b"uploads");
        self.is_reading() || (answer.status.is_client_error() && !is_of_upload)
    }

    /// Whether it has the password of somebody.
    fn may_know(&self) -> bool {
        let ours = |value: &[u8]| {
            let value = String::from_utf8_lossy(value);
            CREDENTIALS.iter().any(|credentials| value.contains(credentials))
        };
        self.headers.iter().any(|(name, value)| name == AUTHORIZATION && ours(value))
    }
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let middle = text.iter().position(|byte| *byte == at)?;
    Some((&text[..middle], &text[middle + 1..]))
}

fn text(value: &[u8]) -> String {
    let value = HeaderValue::from_bytes(value).expect("it was one");
    value.to_str().unwrap_or_default().to_owned()
}

/// What was done or refused, was so as the conditions have it (RFC 9110 §13.2.2). When something was
/// written, they are about what was there before.
fn check_conditions(asked: &Asked<'_>, names: &Names, before: Option<String>, answer: &Answer) {
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
    let matches = asked.list(&IF_MATCH, names);
    let matches = matches.is_none_or(|tags| tags.iter().any(|tag| is_it(tag)));
    let is_known = asked.list(&IF_NONE_MATCH, names);
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
fn check_reading(asked: &Asked<'_>, answer: &Answer) {
    match answer.status {
        StatusCode::PARTIAL_CONTENT => {
            assert_eq!(asked.method, Method::GET, "{answer:?}");
            check_part(asked.value(&RANGE).expect("it has one"), answer);
        }
        StatusCode::OK | StatusCode::NOT_MODIFIED => assert!(asked.is_reading(), "{answer:?}"),
        _ => {}
    }
}

fn check_part(asked: &[u8], answer: &Answer) {
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

/// `Link` leads from page to page, and to an end.
fn check_pages(asked: &Asked<'_>, place: &Place, answer: &Answer) {
    let mut link = answer.text(&LINK).to_owned();
    for _ in 0..MAX_PAGES {
        if link.is_empty() {
            return;
        }
        let next = link.strip_prefix("<").and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let next = next.unwrap_or_else(|| panic!("no link: {link}"));
        assert!(next.starts_with("/v2/"), "{link}");
        let page = follow(asked, place, next);
        assert_eq!(page.status, 200, "{link}");
        let applied = HeaderName::from_static("oci-filters-applied");
        assert_eq!(page.text(&applied), answer.text(&applied), "{link}");
        link = page.text(&LINK).to_owned();
    }
    panic!("no end: {link}");
}

/// What the same visitor is answered there.
fn follow(asked: &Asked<'_>, place: &Place, target: &str) -> Answer {
    let authorization = asked.headers.iter().filter(|(name, _)| *name == AUTHORIZATION);
    let get = Asked {
        method: Method::GET,
        target: target.as_bytes(),
        headers: authorization.cloned().collect(),
        body: b"",
    };
    // There are no names in it.
    ask(&place.registry, get.request(&Names::new()).expect("it is a request"))
}

/// What was created is there, what was deleted is not, and what was refused or only read changed
/// nothing.
fn check_writing(asked: &Asked<'_>, place: &Place, answer: &Answer) {
    match answer.status {
        StatusCode::CREATED => {
            let found = follow(asked, place, answer.text(&LOCATION));
            assert_eq!(found.status, 200, "{answer:?}");
            let [now, then] = [&found, answer].map(|answer| answer.text(&DOCKER_CONTENT_DIGEST));
            assert_eq!(now, then, "{answer:?}");
        }
        StatusCode::ACCEPTED if answer.headers.contains_key(LOCATION) => {
            let found = follow(asked, place, answer.text(&LOCATION));
            assert_eq!(found.status, 204, "{answer:?}");
        }
        StatusCode::ACCEPTED => {
            assert_eq!(asked.method, Method::DELETE, "{answer:?}");
            let again = asked.request(&place.names).expect("it was one");
            assert_eq!(ask(&place.registry, again).status, 404, "{answer:?}");
        }
        status if status.is_client_error() && !asked.is_reading() => {
            assert!(place.content() == *STOCKED, "{answer:?}");
        }
        _ => {}
    }
}

/// Nothing of what only the users may read is in the answer.
fn check_secrecy(asked: &Asked<'_>, answer: &Answer) {
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
