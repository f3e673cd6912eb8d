//! Which redirects are followed, and where they lead.
//!
//! Source: RFC 9110 §15.4 (redirects).

use http::{Method, Response, StatusCode};
use http_client::RedactedUrl;
use hyper::body::Incoming;
use url::Url;

use crate::{
    RegistryClient,
    error::{
        fault::RequestFault,
        pointer::{Pointer, PointerRefusal},
    },
    exchange::{pointer::location, request::RequestTarget},
};

/// How many redirects in a row are followed: a front, its upstream and that one's storage make
/// three; browsers stop at 20, where the reason is always a mistake.
const MAX_REDIRECTS: usize = 5;

/// The request that was redirected.
pub(crate) struct Redirect<'a> {
    pub(crate) target: &'a RequestTarget,
    /// Whether it has content, which is not sent twice.
    pub(crate) has_content: bool,
}

impl Redirect<'_> {
    /// Whether the same request can be sent to where a redirect with this status leads. A 303 names something that
    /// is to be read (§15.4.4), and after a 301 or 302 some send GET in place of POST.
    fn can_be_followed(&self, status: StatusCode) -> bool {
        match self.target.method {
            Method::GET | Method::HEAD => true,
            Method::POST => keeps_method(status) && !self.has_content,
            _ => false,
        }
    }
}

impl RegistryClient {
    /// Where a redirect leads, if it may be followed.
    pub(crate) fn redirected(
        &self,
        redirect: &Redirect<'_>,
        response: &Response<Incoming>,
        been: &[Url],
    ) -> Result<Url, RequestFault> {
        let (from, pointer) = (&redirect.target.url, Pointer::Redirect);
        let to = location(from, response.headers(), pointer)?;
        let reason = if !redirect.can_be_followed(response.status()) {
            PointerRefusal::Method
        } else if to.scheme() == "http" && !self.allows_plain(from, &to) {
            PointerRefusal::of_plain_http(from, &to)
        } else if been.contains(&to) {
            PointerRefusal::Loop
        } else if been.len() > MAX_REDIRECTS {
            PointerRefusal::TooMany { limit: MAX_REDIRECTS, of: "redirects in a row" }
        } else {
            return Ok(to);
        };
        Err(RequestFault::NotFollowed { pointer, to: Some(RedactedUrl::new(&to)), reason })
    }
}

/// Whether a status names another URL for the same request. A 300 requires a choice by a person.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301..=303) || keeps_method(status)
}

fn keeps_method(status: StatusCode) -> bool {
    matches!(status.as_u16(), 307 | 308)
}
