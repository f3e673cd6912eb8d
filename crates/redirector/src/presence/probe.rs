//! One probe of a store: a HEAD, and the meaning of its status. No deadline, no cache, no redirects.
//! A status that means neither present nor absent is a failure.

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::Empty;
use oci::media_type;

use super::Presence;
use crate::{
    failure::OutboundError,
    outbound::{Outbound, USER_AGENT},
};

/// The media type of web pages: of an error or login page that a proxy, a CDN or a bucket sends with a status of success.
const HTML: &str = "text/html";

/// Probes for the blob at `url`.
pub(super) async fn head(outbound: &Outbound, url: &str) -> Result<Presence, OutboundError> {
    let request = Request::builder().method(Method::HEAD).uri(url);
    let request = request
        .header(header::USER_AGENT, USER_AGENT)
        .body(Empty::new())
        .map_err(OutboundError::Request)?;
    let response = outbound.request(request).await?;
    match response.status() {
        StatusCode::OK if is_web_page(response.headers()) => Err(OutboundError::WebPage),
        StatusCode::OK => Ok(Presence::Present),
        // S3 responds 403 for an absent key where listing is not public.
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(Presence::Absent),
        other => Err(OutboundError::Status(other)),
    }
}

fn is_web_page(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| media_type::essence(value).eq_ignore_ascii_case(HTML))
}
