//! A decision in words: every step of the flow for one address and path, with what it was decided
//! by. It sends no request, so for a blob it names both outcomes.

use std::{fmt, net::IpAddr};

use cloud_ranges::{Location, LocationId};
use http::Method;

use crate::{
    client::Client,
    front::Front,
    hint::{bad_digest, hint},
    plan::{Candidates, Plan, RoutingReason, StoreCandidate, decide},
    response,
    route::{ManifestReference, RequestError, Route, route},
    snapshot::Snapshot,
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
    /// What happens to `GET path` (with a query, if it has one) from a client at `client`: the decision that the
    /// handler would execute.
    #[must_use]
    pub fn explain(&self, client: IpAddr, path: &str) -> Explanation {
        let snapshot = self.snapshot();
        let (text, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let address = client.to_canonical();
        let client = Client::at(&snapshot, address);
        let route = route(&Method::GET, text, query);
        let mut explanation = Explanation { lines: Vec::new(), is_error: false };
        explanation.line("request", subject(&route));
        let page_field = match &route {
            Route::Info => Some("info_url"),
            Route::Privacy => Some("privacy_url"),
            _ => None,
        };
        match decide(&snapshot, &client, route) {
            Plan::ApiVersion => explanation.line("response", "200, this is a registry"),
            Plan::Page { location, .. } => {
                explanation.line("response", format!("307 to {}", location.to_str().unwrap_or("")));
            }
            Plan::Reject(error) => match page_field {
                Some(field) => explanation.missing_page(field),
                None => explanation.rejected(text, &error),
            },
            Plan::Redirect(candidates) => {
                explanation.redirect(&snapshot, address, client.location, &candidates);
            }
        }
        explanation
    }
}

impl Explanation {
    fn line(&mut self, label: &'static str, text: impl Into<String>) {
        self.lines.push((label, text.into()));
    }

    fn missing_page(&mut self, field: &str) {
        self.is_error = true;
        self.line("response", format!("404, no `{field}` is configured"));
    }

    fn rejected(&mut self, text: &str, error: &RequestError) {
        let status = response::status(error);
        if let Some((digest, error)) = bad_digest(text) {
            self.line("hint", format!("`{digest}` is not a digest: {error}"));
        } else if let Some(hint) = hint(text) {
            self.line("hint", format!("did you mean {hint} ?"));
        } else if !text.starts_with('/') {
            let path = "/v2/NAME/manifests/TAG or /v2/NAME/blobs/sha256:…";
            self.line("hint", format!("give the path of a request, such as {path}"));
        }
        self.is_error = true;
        self.line("response", format!("{status}, {}: {error}", error.code()));
    }

    fn redirect(
        &mut self,
        snapshot: &Snapshot,
        address: IpAddr,
        location: Option<LocationId>,
        candidates: &Candidates<'_, '_>,
    ) {
        if candidates.reason.is_by_location() {
            self.client(snapshot, address, location);
        }
        let far = candidates.upstream.url(candidates.tail);
        let response = match candidates.reason {
            RoutingReason::NotABlob => {
                self.line(
                    "decided by",
                    "the path alone: everything but blobs goes to the upstream",
                );
                return self.line("response", format!("307 to {far}"));
            }
            RoutingReason::Attachment => {
                self.line("decided by", "the path alone: referrers go to the canonical upstream");
                return self.line("response", format!("307 to {far}"));
            }
            RoutingReason::KeptUpstream => {
                "307 to the upstream: the cloud is in `keep_upstream`".to_owned()
            }
            RoutingReason::NoStore => {
                "307 to the upstream: no store serves this location".to_owned()
            }
            RoutingReason::Nearest => format!(
                "307 to {} if it has the blob, otherwise to the upstream (`explain` does not check)",
                names(candidates)
            ),
        };
        self.candidates(candidates, &far);
        self.line("response", response);
    }

    fn client(&mut self, snapshot: &Snapshot, address: IpAddr, location: Option<LocationId>) {
        let policy = &snapshot.client_ip;
        self.line("client", format!("{address}, from --ip; serve would take {policy}"));
        let (matched, location) = match (snapshot.ranges.matched(address), location) {
            (Some(matched), Some(location)) => {
                let Location { cloud, region } = snapshot.ranges.location(location);
                let region = match snapshot.ranges.location(location).is_global() {
                    true => "no region".to_owned(),
                    false => format!("region {region}"),
                };
                (matched.prefix.to_string(), format!("cloud {cloud}, {region}"))
            }
            _ => {
                let prefixes = wording::counted(snapshot.ranges.len() as u64, "prefix");
                (format!("none ({prefixes} loaded)"), "unknown".to_owned())
            }
        };
        self.line("matched", matched);
        self.line("location", location);
    }

    fn candidates(&mut self, candidates: &Candidates<'_, '_>, far: &str) {
        let StoreCandidate::Blob(blob, store) = candidates.store else {
            return self.line("candidates", format!("upstream {far}"));
        };
        let url = store.base().url(&blob);
        self.line("candidates", format!("1. store {} {url}", store.name()));
        self.line("", format!("2. upstream {far}"));
    }
}

fn names(candidates: &Candidates<'_, '_>) -> String {
    match candidates.store {
        StoreCandidate::None => String::new(),
        StoreCandidate::Blob(_, store) => format!("store {}", store.name()),
    }
}

/// What a request is for.
fn subject(route: &Route<'_>) -> String {
    let subject = match route {
        Route::Info => "the information page",
        Route::Privacy => "the privacy page",
        Route::Ping => "the version check",
        Route::Manifest(_, ManifestReference::Tag) => "a manifest by tag",
        Route::Manifest(_, ManifestReference::Digest(_)) => "a manifest by digest",
        Route::Manifest(_, ManifestReference::AttachmentTag) => {
            "a signature, attestation, bill of materials or index of referrers by tag"
        }
        Route::Tags(_) => "the tags of a repository",
        Route::Referrers(_) => "the referrers of a digest",
        Route::Blob(_, blob) => return format!("blob {}", blob.text()),
        Route::Rejected(error) => rejected_subject(error),
    };
    subject.to_owned()
}

/// What a rejected request is for.
const fn rejected_subject(error: &RequestError) -> &'static str {
    match error {
        RequestError::Name(_) => "a request with an invalid repository name",
        RequestError::Digest(_) => "a request with an invalid digest",
        RequestError::Tag(_) => "a request with an invalid tag",
        _ => "an unsupported method or path",
    }
}
