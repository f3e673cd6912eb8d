//! A decision in words: every step of the flow for one address and path, with what it was decided
//! by. It sends no request, so for a blob it names both outcomes.

use std::{fmt, net::IpAddr};

use http::Method;

use crate::{
    choose::Nearest,
    front::Front,
    hint::{bad_digest, hint},
    response,
    route::{Blob, Reference, RequestError, Route, Tail, route},
};

/// What the front would do with a request, and why. Its text is for people: a line a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    lines: Vec<(&'static str, String)>,
    is_error: bool,
}

impl Explanation {
    /// Whether the response would be an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.is_error
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, text) in &self.lines {
            let label = if label.is_empty() { String::new() } else { format!("{label}:") };
            writeln!(f, "{label:<12} {text}")?;
        }
        Ok(())
    }
}

impl Front {
    /// What becomes of `GET path` (with a query, if it has one) from a client at `client`.
    #[must_use]
    pub fn explain(&self, client: IpAddr, path: &str) -> Explanation {
        let mut explanation = Explanation { lines: Vec::new(), is_error: false };
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        explanation.explain(self, client.to_canonical(), (path, route(&Method::GET, path, query)));
        explanation
    }
}

impl Explanation {
    fn line(&mut self, label: &'static str, text: impl Into<String>) {
        self.lines.push((label, text.into()));
    }

    fn explain(&mut self, front: &Front, client: IpAddr, (text, route): (&str, Route<'_>)) {
        match route {
            Route::Info => self.page("the information page", "info_url", front.info.as_ref()),
            Route::Privacy => self.page("the privacy page", "privacy_url", front.privacy.as_ref()),
            Route::Ping => {
                self.line("request", "the version check");
                self.line("response", "200, this is a registry");
            }
            Route::Manifest(tail, Reference::Tag) => {
                self.upstream(front, "a manifest by tag", tail);
            }
            Route::Manifest(tail, Reference::Digest(_)) => {
                self.upstream(front, "a manifest by digest", tail);
            }
            Route::Tags(tail) => self.upstream(front, "the tags of a repository", tail),
            Route::Manifest(tail, Reference::AttachmentTag) => {
                self.canonical(
                    front,
                    "a signature, attestation, bill of materials or index of referrers by tag",
                    tail,
                );
            }
            Route::Referrers(tail) => self.canonical(front, "the referrers of a digest", tail),
            Route::Blob(tail, blob) => self.blob(front, client, tail, &blob),
            Route::Rejected(refusal) => self.refused(text, &refusal),
        }
    }

    fn page(&mut self, what: &str, field: &str, url: Option<&http::HeaderValue>) {
        self.line("request", what);
        match url.and_then(|url| url.to_str().ok()) {
            Some(url) => self.line("response", format!("307 to {url}")),
            None => {
                self.is_error = true;
                self.line("response", format!("404, no `{field}` is configured"));
            }
        }
    }

    fn upstream(&mut self, front: &Front, what: &str, tail: Tail<'_>) {
        self.line("request", what);
        self.line("decided by", "the path alone: everything but blobs goes to the upstream");
        self.line("response", format!("307 to {}", front.upstream.url(tail)));
    }

    fn canonical(&mut self, front: &Front, what: &str, tail: Tail<'_>) {
        self.line("request", what);
        self.line("decided by", "the path alone: referrers go to the canonical upstream");
        self.line("response", format!("307 to {}", front.canonical.url(tail)));
    }

    fn refused(&mut self, text: &str, refusal: &RequestError) {
        let status = response::status(refusal);
        self.line("request", subject(refusal));
        if let Some((digest, error)) = bad_digest(text) {
            self.line("hint", format!("`{digest}` is not a digest: {error}"));
        } else if let Some(hint) = hint(text) {
            self.line("hint", format!("did you mean {hint} ?"));
        } else if !text.starts_with('/') {
            let path = "/v2/NAME/manifests/TAG or /v2/NAME/blobs/sha256:…";
            self.line("hint", format!("give the path of a request, such as {path}"));
        }
        self.is_error = true;
        self.line("response", format!("{status}, {}: {refusal}", refusal.code()));
    }

    fn blob(&mut self, front: &Front, client: IpAddr, tail: Tail<'_>, blob: &Blob<'_>) {
        self.line("request", format!("blob {}", blob.text()));
        self.line("client", format!("{client}, as given (in production: {})", front.client_ip));
        let location = match front.ranges.matched(client) {
            Some(matched) => {
                self.line("matched", matched.prefix.to_string());
                self.line("location", front.ranges.location(matched.location).to_string());
                Some(matched.location)
            }
            None => {
                let prefixes = wording::counted(front.ranges.len() as u64, "prefix");
                self.line("matched", format!("none ({prefixes} loaded)"));
                self.line("location", "unknown");
                None
            }
        };
        let far = front.upstream.url(tail);
        match front.choices.nearest(location) {
            Nearest::KeptUpstream => {
                self.line("candidates", format!("upstream {far}"));
                self.line("response", "307 to the upstream: the cloud is in `keep_upstream`");
            }
            Nearest::NoStore => {
                self.line("candidates", format!("upstream {far}"));
                self.line("response", "307 to the upstream: no store serves this location");
            }
            Nearest::Store(id) => {
                let store = &front.config.stores[id.index()].name;
                self.line("candidates", format!("1. store {store} {}", front.store(id).url(blob)));
                self.line("", format!("2. upstream {far}"));
                let response = format!(
                    "307 to store {store} if it has the blob, otherwise to the upstream (`explain` does not check)"
                );
                self.line("response", response);
            }
        }
    }
}

/// What a rejected request is for.
const fn subject(refusal: &RequestError) -> &'static str {
    match refusal {
        RequestError::Name(_) => "something of a repository whose name is invalid",
        RequestError::Digest(_) => "something by an invalid digest",
        RequestError::Tag(_) => "a manifest by an invalid tag",
        _ => "an unsupported method or path",
    }
}
