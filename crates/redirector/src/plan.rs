//! The decision about a request: a response made here, or candidates in order of preference. Pure: the
//! handler executes the plan, and `explain` prints it.

use std::sync::Arc;

use http::HeaderValue;

use crate::{
    client::Client,
    metrics::RedirectTarget,
    nearest::Nearest,
    redirect::UpstreamBase,
    route::{ManifestReference, RequestError, RequestedBlob, Route, Tail},
    snapshot::Snapshot,
    store::Store,
};

/// What the front does with a request.
pub(crate) enum Plan<'s, 'r> {
    /// The response that this is a registry.
    ApiVersion,
    /// A redirect to a configured page.
    Page { target: RedirectTarget, location: &'s HeaderValue },
    /// An error response.
    Reject(RequestError),
    /// A redirect to the first candidate that has the content.
    Redirect(Candidates<'s, 'r>),
}

/// Where the client may be sent: the nearest store, if there is one, then the upstream, which needs no check.
pub(crate) struct Candidates<'s, 'r> {
    pub(crate) store: StoreCandidate<'s, 'r>,
    pub(crate) upstream: &'s UpstreamBase,
    pub(crate) target: RedirectTarget,
    pub(crate) tail: Tail<'r>,
    /// The digest that the request names.
    pub(crate) digest: Option<&'r str>,
    pub(crate) reason: RoutingReason,
}

/// The one store that may have the content. If it does not have it, the client is sent to the upstream.
#[derive(Clone, Copy)]
pub(crate) enum StoreCandidate<'s, 'r> {
    None,
    /// It must be checked for the blob.
    Blob(RequestedBlob<'r>, &'s Arc<Store>),
}

/// The rule that chose the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoutingReason {
    /// Everything but blobs goes to the upstream.
    NotABlob,
    /// Referrers and attachment tags go to the canonical upstream.
    Attachment,
    /// The client's cloud is in `keep_upstream`.
    KeptUpstream,
    /// No store serves the client's location.
    NoStore,
    /// The store serves the client's location.
    Nearest,
}

impl RoutingReason {
    /// The stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::NotABlob => "not-a-blob",
            Self::Attachment => "attachment",
            Self::KeptUpstream => "kept-upstream",
            Self::NoStore => "no-store",
            Self::Nearest => "nearest",
        }
    }

    /// Whether the client's location was decisive.
    pub(crate) fn is_by_location(self) -> bool {
        matches!(self, Self::KeptUpstream | Self::NoStore | Self::Nearest)
    }
}

/// Decides what to do with a request for `route` from `client`.
pub(crate) fn decide<'s, 'r>(
    snapshot: &'s Snapshot,
    client: &Client,
    route: Route<'r>,
) -> Plan<'s, 'r> {
    match route {
        Route::Info => page(RedirectTarget::Info, snapshot.info.as_ref()),
        Route::Privacy => page(RedirectTarget::Privacy, snapshot.privacy.as_ref()),
        Route::Ping => Plan::ApiVersion,
        Route::Manifest(tail, ManifestReference::Digest(digest)) => {
            upstream(snapshot, tail, Some(digest))
        }
        Route::Manifest(tail, ManifestReference::Tag) | Route::Tags(tail) => {
            upstream(snapshot, tail, None)
        }
        Route::Manifest(tail, ManifestReference::AttachmentTag) | Route::Referrers(tail) => {
            canonical(snapshot, tail)
        }
        Route::Blob(tail, blob) => nearest(snapshot, client, tail, blob),
        Route::Rejected(error) => Plan::Reject(error),
    }
}

fn page(target: RedirectTarget, url: Option<&HeaderValue>) -> Plan<'_, 'static> {
    match url {
        Some(location) => Plan::Page { target, location },
        None => Plan::Reject(RequestError::Outside),
    }
}

fn upstream<'s, 'r>(
    snapshot: &'s Snapshot,
    tail: Tail<'r>,
    digest: Option<&'r str>,
) -> Plan<'s, 'r> {
    Plan::Redirect(Candidates {
        store: StoreCandidate::None,
        upstream: &snapshot.upstream,
        target: RedirectTarget::Upstream,
        tail,
        digest,
        reason: RoutingReason::NotABlob,
    })
}

fn canonical<'s, 'r>(snapshot: &'s Snapshot, tail: Tail<'r>) -> Plan<'s, 'r> {
    Plan::Redirect(Candidates {
        store: StoreCandidate::None,
        upstream: &snapshot.canonical,
        target: RedirectTarget::CanonicalUpstream,
        tail,
        digest: None,
        reason: RoutingReason::Attachment,
    })
}

fn nearest<'s, 'r>(
    snapshot: &'s Snapshot,
    client: &Client,
    tail: Tail<'r>,
    blob: RequestedBlob<'r>,
) -> Plan<'s, 'r> {
    let (store, reason) = match snapshot.nearest(client.location) {
        Nearest::KeptUpstream => (StoreCandidate::None, RoutingReason::KeptUpstream),
        Nearest::NoStore => (StoreCandidate::None, RoutingReason::NoStore),
        Nearest::Store(at) => {
            (StoreCandidate::Blob(blob, &snapshot.stores()[at]), RoutingReason::Nearest)
        }
    };
    Plan::Redirect(Candidates {
        store,
        upstream: &snapshot.upstream,
        target: RedirectTarget::Upstream,
        tail,
        digest: Some(blob.text()),
        reason,
    })
}
