//! A request as text: method and target, header lines, an empty line, the body. A single letter stands
//! for a method or header that the registry knows, so that one changed byte is another request.

use axum::body::Body;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{
        AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH,
        IF_RANGE, RANGE,
    },
};

const METHODS: [(u8, Method); 6] = [
    (b'G', Method::GET),
    (b'H', Method::HEAD),
    (b'P', Method::PUT),
    (b'O', Method::POST),
    (b'A', Method::PATCH),
    (b'D', Method::DELETE),
];

const HEADERS: [(u8, HeaderName); 8] = [
    (b'A', AUTHORIZATION),
    (b'C', CONTENT_RANGE),
    (b'F', IF_RANGE),
    (b'L', CONTENT_LENGTH),
    (b'M', IF_MATCH),
    (b'N', IF_NONE_MATCH),
    (b'R', RANGE),
    (b'T', CONTENT_TYPE),
];

/// A request to the registry.
#[derive(Clone)]
pub struct ParsedRequest {
    pub method: Method,
    pub target: Uri,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl ParsedRequest {
    /// None where it is no request.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (line, mut rest) = split(text, b'\n')?;
        let (method, target) = split(line, b' ')?;
        let method = known(method, &METHODS).or_else(|| Method::from_bytes(method).ok())?;
        let target = Uri::try_from(target).ok()?;
        let mut headers = HeaderMap::new();
        while let Some((line, more)) = split(rest, b'\n') {
            rest = more;
            if line.is_empty() {
                break;
            }
            let (name, value) = split(line, b':')?;
            let name = known(name, &HEADERS).or_else(|| HeaderName::from_bytes(name).ok())?;
            headers.append(name, HeaderValue::from_bytes(value.trim_ascii()).ok()?);
        }
        Some(Self { method, target, headers, body: rest.to_vec() })
    }

    pub fn to_http(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// A GET of this target with the same credentials.
    pub fn follow(&self, target: &str) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(credentials) = self.headers.get(AUTHORIZATION) {
            headers.insert(AUTHORIZATION, credentials.clone());
        }
        let target = target.parse().expect("the registry named it");
        Self { method: Method::GET, target, headers, body: Vec::new() }
    }

    pub fn is_reading(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// The members of a header that is a list: what stands between commas that are not within quotes. A
    /// line that is no text says nothing.
    pub fn list(&self, header: &HeaderName) -> Option<Vec<String>> {
        let lines = self.headers.get_all(header).iter();
        let lines: Vec<_> = lines.map(|line| line.to_str().unwrap_or_default()).collect();
        (!lines.is_empty()).then(|| members(&lines.join(",")))
    }
}

/// What a single letter stands for.
fn known<T: Clone>(text: &[u8], letters: &[(u8, T)]) -> Option<T> {
    letters.iter().find(|(letter, _)| text == [*letter]).map(|(_, meant)| meant.clone())
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let middle = text.iter().position(|byte| *byte == at)?;
    Some((&text[..middle], &text[middle + 1..]))
}

fn members(list: &str) -> Vec<String> {
    let (mut members, mut is_quoted) = (vec![String::new()], false);
    for sign in list.chars() {
        is_quoted ^= sign == '"';
        match members.last_mut().filter(|_| is_quoted || sign != ',') {
            Some(member) => member.push(sign),
            None => members.push(String::new()),
        }
    }
    members.iter().map(|member| member.trim().to_owned()).collect()
}
