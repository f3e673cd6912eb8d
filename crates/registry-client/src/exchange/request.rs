//! A request: method, URL, content and authorization.

use http::{HeaderMap, Method, header};
use http_client::{Guard, RedactedUrl, Replay, RequestContent, RequestTimeouts};
use url::Url;

use crate::{Error, SharedPermit, auth::RequiredAccess, error::fault::RequestFault};

/// A request.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) content: RequestContent,
    /// What it accesses, for the authorization; without it, none is added.
    pub(crate) access: Option<RequiredAccess>,
    /// The source of the host's name: the user, or a registry.
    pub(crate) guard: Guard,
    /// The permit that it uses; without one, it waits for a permit of its own.
    pub(crate) permit: Option<SharedPermit>,
    /// Whether the host is not the registry, but named by it.
    pub(crate) elsewhere: bool,
    /// How many bytes, sent by earlier requests, it makes the registry store.
    pub(crate) commits: Option<u64>,
    /// Whether it may be sent twice, apart from what its content and conditions say.
    pub(crate) replay: Replay,
}

impl Request {
    pub(crate) fn new(method: Method, url: Url, access: RequiredAccess) -> Self {
        Self { access: Some(access), ..Self::bare(method, url) }
    }

    /// One that is not authorized.
    pub(crate) fn bare(method: Method, url: Url) -> Self {
        let (headers, content) = (HeaderMap::new(), RequestContent::NONE);
        let guard = Guard::Open;
        let (access, permit, elsewhere) = (None, None, false);
        let (commits, replay) = (None, Replay::Always);
        Self { method, url, headers, content, access, guard, permit, elsewhere, commits, replay }
    }

    /// Whether it may be sent twice.
    pub(crate) fn replay(&self) -> Replay {
        let is_conditional = [header::IF_MATCH, header::IF_NONE_MATCH]
            .iter()
            .any(|condition| self.headers.contains_key(condition));
        if self.content.is_spent() {
            Replay::Never
        } else if is_conditional && self.method == Method::PUT {
            Replay::UnlessDone
        } else {
            self.replay
        }
    }

    /// How long to wait for the response.
    pub(crate) fn timeouts(&self, usual: RequestTimeouts) -> RequestTimeouts {
        let response = self.commits.map_or(usual.response, |bytes| usual.commit.of(bytes));
        RequestTimeouts { response, ..usual }
    }

    /// Its first URL.
    pub(crate) fn target(&self) -> RequestTarget {
        let (method, url) = (self.method.clone(), self.url.clone());
        RequestTarget { method, url, elsewhere: self.elsewhere, guard: self.guard }
    }
}

/// Method and URL of a request: after redirects, those of the last one.
#[derive(Clone)]
pub(crate) struct RequestTarget {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Whether a redirect or an upload session has led to another host than the registry.
    pub(crate) elsewhere: bool,
    /// The source of the host's name: the user, or a registry.
    pub(crate) guard: Guard,
}

impl RequestTarget {
    /// An error of this request.
    pub(crate) fn fails(&self, fault: RequestFault) -> Error {
        let error = Error::new(self.method.clone(), RedactedUrl::new(&self.url), fault);
        if self.elsewhere { error.elsewhere() } else { error }
    }
}
