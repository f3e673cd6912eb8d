//! A decision in words: every step of the flow for one address and path, with what it was decided
//! by. It sends no request, so for a blob it names both outcomes.

use std::{fmt, net::IpAddr};

use cloud_ranges::{Location, LocationId};
use http::Method;
use serde::Serialize;

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
    plan: ExplainedPlan,
}

/// The same for programs, as JSON. The members are in `docs/reference/front.md`, "portolan explain".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExplainedPlan {
    request: String,
    client: Option<ExplainedClient>,
    reason: Option<&'static str>,
    candidates: Vec<ExplainedCandidate>,
    response: ExplainedResponse,
    hint: Option<String>,
}

/// The client, where its location is decisive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ExplainedClient {
    address: IpAddr,
    matched: Option<String>,
    cloud: Option<String>,
    region: Option<String>,
}

/// A candidate; the first that has the content gets the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ExplainedCandidate {
    kind: &'static str,
    name: Option<String>,
    url: String,
}

/// The response; without a location where that depends on what a store has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct ExplainedResponse {
    status: u16,
    location: Option<String>,
    code: Option<&'static str>,
    message: Option<String>,
}

impl Explanation {
    /// Whether the response would be an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.is_error
    }

    /// The same for programs.
    #[must_use]
    pub const fn plan(&self) -> &ExplainedPlan {
        &self.plan
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
        let plan = ExplainedPlan { request: subject(&route), ..ExplainedPlan::default() };
        let mut explanation = Explanation { lines: Vec::new(), is_error: false, plan };
        explanation.line("request", subject(&route));
        let page_field = match &route {
            Route::Info => Some("info_url"),
            Route::Privacy => Some("privacy_url"),
            _ => None,
        };
        match decide(&snapshot, &client, route) {
            Plan::ApiVersion => {
                explanation.plan.response.status = 200;
                explanation.line("response", "200, this is a registry");
            }
            Plan::Page { location, .. } => {
                let location = location.to_str().unwrap_or("");
                explanation.redirected_to(location);
                explanation.line("response", format!("307 to {location}"));
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

    fn redirected_to(&mut self, location: &str) {
        let location = Some(location.to_owned());
        self.plan.response = ExplainedResponse { status: 307, location, ..Default::default() };
    }

    fn missing_page(&mut self, field: &str) {
        self.is_error = true;
        let message = Some(format!("no `{field}` is configured"));
        self.plan.response = ExplainedResponse { status: 404, message, ..Default::default() };
        self.line("response", format!("404, no `{field}` is configured"));
    }

    fn rejected(&mut self, text: &str, error: &RequestError) {
        let status = response::status(error);
        let hint = if let Some((digest, error)) = bad_digest(text) {
            Some(format!("`{digest}` is not a digest: {error}"))
        } else if let Some(hint) = hint(text) {
            Some(format!("did you mean {hint} ?"))
        } else if !text.starts_with('/') {
            let path = "/v2/NAME/manifests/TAG or /v2/NAME/blobs/sha256:…";
            Some(format!("give the path of a request, such as {path}"))
        } else {
            None
        };
        if let Some(hint) = &hint {
            self.line("hint", hint);
        }
        self.is_error = true;
        self.plan.hint = hint;
        self.plan.response = ExplainedResponse {
            status: status.as_u16(),
            location: None,
            code: Some(error.code().as_str()),
            message: Some(error.to_string()),
        };
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
            self.plan_client(snapshot, address, location);
        }
        let far = candidates.upstream.url(candidates.tail);
        self.plan_redirect(candidates, &far);
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

    fn plan_client(&mut self, snapshot: &Snapshot, address: IpAddr, location: Option<LocationId>) {
        let location = location.map(|location| snapshot.ranges.location(location));
        let region = location.filter(|location| !location.is_global());
        self.plan.client = Some(ExplainedClient {
            address,
            matched: snapshot.ranges.matched(address).map(|matched| matched.prefix.to_string()),
            cloud: location.map(|location| location.cloud.clone()),
            region: region.map(|location| location.region.clone()),
        });
    }

    fn plan_redirect(&mut self, candidates: &Candidates<'_, '_>, far: &str) {
        self.plan.reason = Some(candidates.reason.code());
        let upstream = ExplainedCandidate { kind: "upstream", name: None, url: far.to_owned() };
        self.redirected_to(far);
        if let StoreCandidate::Blob(blob, store) = &candidates.store {
            let (name, url) = (Some(store.name().to_owned()), store.base().url(blob));
            self.plan.candidates.push(ExplainedCandidate { kind: "store", name, url });
            self.plan.response.location = None;
        }
        self.plan.candidates.push(upstream);
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
